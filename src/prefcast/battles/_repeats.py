"""Battles that stand more than once: ids, pairs, pairs with A and B exchanged, and votes that disagree."""

from __future__ import annotations

from typing import Final

import polars as pl

from prefcast.battles._problems import Log

__all__ = ["find_repeats"]

_PAIR: Final = ("prompt", "low", "high")
_WINS_LOW, _WINS_HIGH, _TIE = 0, 1, 2


def find_repeats(frame: pl.DataFrame, log: Log) -> None:
    """Find repeated battles and say of each which earlier row it repeats.

    Parameters
    ----------
    frame
        Battles in the columns of `SCHEMA`, and ``row``: where each stands in its file.
    log
        Where findings go.
    """
    pairs = _pairs(frame)
    _add(log, "duplicate_id", "id", _later(frame.select("row", "id"), ["id"]), "row {} has the same id")
    same = _later(pairs, ["prompt", "a", "b"])
    _add(log, "duplicate_pair", None, same, "row {} has the same prompt and answers")
    first_a = pl.col("a").first().over(_PAIR)
    turned = pairs.with_columns(first=pl.col("row").first().over(_PAIR)).filter(pl.col("a") != first_a)
    _add(log, "swapped_pair", None, turned, "row {} has the same prompt and answers, A and B exchanged")
    voters = _later(pairs.filter(pl.col("annotator").is_not_null()), [*_PAIR, "annotator"])
    _add(log, "repeated_vote", "annotator", voters, "row {} is a vote of the same annotator on the same pair")
    _contradictions(pairs, log)


def _pairs(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows by hashes of their texts, and their votes as seen from the answers, whichever side they stand on."""
    hashed = frame.select(
        "row",
        "annotator",
        prompt=pl.col("prompt").hash(),
        a=pl.col("response_a").hash(),
        b=pl.col("response_b").hash(),
        # a vote shared out evenly is for nobody, and contradicts nobody
        best=pl.when(pl.max_horizontal("vote_a", "vote_b", "vote_tie") > 0.5).then(
            pl.concat_list("vote_a", "vote_b", "vote_tie").list.arg_max()
        ),
    )
    swapped = pl.col("a") > pl.col("b")
    towards = pl.when(swapped & (pl.col("best") < _TIE)).then(_WINS_HIGH - pl.col("best").cast(pl.Int8))
    return hashed.with_columns(
        low=pl.min_horizontal("a", "b"),
        high=pl.max_horizontal("a", "b"),
        vote=towards.otherwise(pl.col("best").cast(pl.Int8)),
    )


def _contradictions(pairs: pl.DataFrame, log: Log) -> None:
    """Votes unlike the first vote on the same pair; identical answers have no sides to disagree about."""
    voted = pairs.filter(pl.col("vote").is_not_null() & (pl.col("a") != pl.col("b"))).with_columns(
        first=pl.col("row").first().over(_PAIR), first_vote=pl.col("vote").first().over(_PAIR)
    )
    other = voted.filter(pl.col("vote") != pl.col("first_vote"))
    _add(log, "contradictory_votes", None, other, "the vote on row {} was another, on the same prompt and answers")


def _later(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Rows whose keys an earlier row has, and that row as ``first``."""
    first = frame.with_columns(first=pl.col("row").first().over(keys))
    return first.filter(pl.col("row") != pl.col("first"))


def _add(log: Log, kind: str, column: str | None, rows: pl.DataFrame, said: str) -> None:
    log.add(kind, column, rows["row"].to_numpy(), [said.format(first) for first in rows["first"]])
