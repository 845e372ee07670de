"""The data doctor: every problem of a table of battles, by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from prefcast.battles._groups import find_groups
from prefcast.battles._parse import TEXTS, Parser, Texts
from prefcast.battles._problems import KINDS, Log, is_error
from prefcast.battles._read import Source, open_tables, read_battles
from prefcast.battles._repeats import find_repeats
from prefcast.battles._table import SCHEMA, Battles
from prefcast.errors import DataError

__all__ = ["LIMIT_CHARS", "Diagnosis", "Progress", "check_battles"]

LIMIT_CHARS: Final = 200_000
"""Characters of all texts of a battle past which the doctor says so."""

Progress = Callable[[str, float], None]
"""Told a few words and the share done from 0 to 1; 0 if the share is not known."""

PROBLEMS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "kind": pl.String(),
    "severity": pl.String(),
    "row": pl.Int64(),
    "id": pl.String(),
    "column": pl.String(),
    "detail": pl.String(),
}
_MENDED: Final = ("null_cell", "empty_list", "null_turn", "unequal_turns", "no_prompt")
_SHOWN: Final = 5


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What the doctor found.

    Parameters
    ----------
    name
        What was checked.
    problems
        One row per problem: ``kind``, ``severity`` (error, warning or note), ``row`` (from 0, without the header; over
        all files of a folder), ``id``, ``column`` and ``detail``; by row.
    frame
        The battles as they were read, in the columns of `SCHEMA`; rows with an error hold stand-ins.
    """

    name: str
    problems: pl.DataFrame
    frame: pl.DataFrame

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.count(s)} {s}s" for s in ("error", "warning", "note"))
        return f"Diagnosis({self.name}: {self.frame.height} rows, {counts})"

    def count(self, severity: str) -> int:
        """Number of problems of one severity: ``error``, ``warning`` or ``note``."""
        return self.problems.filter(pl.col("severity") == severity).height

    def summary(self) -> pl.DataFrame:
        """Count each kind of problem, gravest first.

        Returns
        -------
        polars.DataFrame
            ``kind``, ``severity``, ``title``, ``count``, ``rows`` (the first five) and ``advice``: what to do.
        """
        counted = self.problems.group_by("kind", "severity").agg(
            count=pl.len(), rows=pl.col("row").drop_nulls().unique(maintain_order=True).head(_SHOWN)
        )
        order = pl.DataFrame(
            {
                "kind": list(KINDS),
                "title": [k.title for k in KINDS.values()],
                "advice": [k.advice for k in KINDS.values()],
            }
        )
        columns = ("kind", "severity", "title", "count", "rows", "advice")
        return order.join(counted, on="kind", maintain_order="left").select(columns)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values, ready for JSON."""
        return {
            "name": self.name,
            "rows": self.frame.height,
            **{f"{severity}s": self.count(severity) for severity in ("error", "warning", "note")},
            "summary": self.summary().to_dicts(),
            "problems": self.problems.to_dicts(),
        }

    def to_json(self) -> str:
        """Give everything as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)


def check_battles(
    source: Source,
    against: Source | None = None,
    *,
    limit_chars: int = LIMIT_CHARS,
    layout: Texts = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> Diagnosis:
    """Look for every problem of a table of battles.

    Parameters
    ----------
    source
        What to check, as for `read_battles`.
    against
        A second table, for instance the test set: groups that stand in both are errors.
    limit_chars
        Characters of all texts of a battle past which it is reported.
    layout, seed
        As for `read_battles`.
    progress
        Told what is being done.

    Returns
    -------
    Diagnosis
        Every problem, by row.

    Raises
    ------
    DataError
        The source cannot be read at all: no such file, no table, or columns of no layout; or `against` has errors.

    Examples
    --------
    >>> row = {"id": 7, "prompt": '["Hi"]', "response_a": '["Yo"]', "response_b": '["Yo"]', "winner": "model_a"}
    >>> check_battles([row, row | {"winner": "nobody"}]).problems.select("kind", "severity", "row").rows()
    [('identical_winner', 'warning', 0), ('unknown_winner', 'error', 1)]
    """
    if limit_chars < 1:
        raise DataError(f"limit_chars={limit_chars}: at least 1 character is needed.")
    tell = progress or _silent
    name, frame, found = _read_all(source, layout, seed, tell)
    lost = found.filter(is_error())["row"].unique()
    rows = frame.with_row_index("row").cast({"row": pl.Int64}).filter(~pl.col("row").is_in(lost.implode()))
    log = Log()
    tell(f"looking for repeats in {frame.height:,} rows", 0.0)
    find_repeats(rows, log)
    _find_identical(rows, log)
    _find_long(rows, limit_chars, log)
    _find_empty(rows, found, log)
    if against is not None:
        _find_leakage(rows, against, layout, seed, log, tell)
    later = log.found()
    later = later.with_columns(frame["id"].gather(later["row"]).alias("id"))
    return Diagnosis(name, _as_problems(pl.concat([found, later])), frame)


def _silent(words: str, share: float) -> None:
    """Tell nobody."""


def _read_all(source: Source, layout: Texts, seed: int, tell: Progress) -> tuple[str, pl.DataFrame, pl.DataFrame]:
    """Read all tables of a source: its name, every row, and what reading found."""
    start = 0
    names: list[str] = []
    frames: list[pl.DataFrame] = []
    found: list[pl.DataFrame] = []
    for table in open_tables(source):
        parser = Parser(table.name, texts=layout, source_name=None, seed=seed, start=start)
        for raw in table.parts:
            result = parser.parse(raw)
            frames.append(result.frame)
            found.append(result.found)
            tell(f"reading {table.name}: {parser.rows:,} rows", 0.0)
        if parser.rows == start:
            raise DataError(f"{table.name} holds no rows: at least one battle is needed.")
        start = parser.rows
        names.append(table.name)
    return str(source) if len(names) > 1 else names[0], pl.concat(frames), pl.concat(found)


def _find_identical(rows: pl.DataFrame, log: Log) -> None:
    decided = rows.filter((pl.col("response_a") == pl.col("response_b")) & (pl.col("vote_a") != pl.col("vote_b")))
    log.add("identical_winner", "response_a, response_b", decided["row"].to_numpy(), "both answers are the same")


def _find_long(rows: pl.DataFrame, limit: int, log: Log) -> None:
    sizes = [pl.col(c).list.eval(pl.element().str.len_chars()).list.sum() for c in TEXTS]
    long = rows.select("row", size=pl.sum_horizontal(sizes)).filter(pl.col("size") > limit)
    said = [f"{size:,} characters in all texts; the limit is {limit:,}" for size in long["size"]]
    log.add("too_long", None, long["row"].to_numpy(), said)


def _find_empty(rows: pl.DataFrame, found: pl.DataFrame, log: Log) -> None:
    """Turns without a letter that stood in the file so; those that reading made are reported already."""
    mended = found.filter(pl.col("kind").is_in(_MENDED)).select("row", "column").unique()
    for name in TEXTS:
        blank = pl.col(name).list.eval(pl.element().str.strip_chars() == "").list.any()
        empty = rows.filter(blank).select("row", column=pl.lit(name)).join(mended, on=["row", "column"], how="anti")
        log.add("empty_turn", name, empty["row"].to_numpy(), "a turn is empty")


def _find_leakage(rows: pl.DataFrame, against: Source, layout: Texts, seed: int, log: Log, tell: Progress) -> None:
    tell("reading the second file", 0.0)
    other = read_battles(against, layout=layout, seed=seed)
    if rows.height == 0:
        return
    tell("looking for groups that stand in both files", 0.0)
    here = Battles(rows.select(list(SCHEMA)))
    groups = find_groups(here.concat(other))
    theirs = pl.DataFrame({"group": groups[len(here) :], "id": other.ids}).with_row_index("other")
    ours = rows.select("row").with_columns(pl.Series("group", groups[: len(here)]))
    both = ours.join(theirs.unique("group", keep="first"), on="group", maintain_order="left")
    said = [
        f"row {other} (id {key}) of the second file is of the same group" for other, key in both["other", "id"].rows()
    ]
    log.add("leakage", None, both["row"].to_numpy(), said)


def _as_problems(found: pl.DataFrame) -> pl.DataFrame:
    """Add severities, and sort by row and, within it, gravest first."""
    ranks = {name: i for i, name in enumerate(KINDS)}
    severities = {name: kind.severity for name, kind in KINDS.items()}
    ranked = found.with_columns(
        severity=pl.col("kind").replace_strict(severities, return_dtype=pl.String),
        rank=pl.col("kind").replace_strict(ranks, return_dtype=pl.Int64),
    )
    return ranked.sort("row", "rank", maintain_order=True).select(pl.col(c).cast(t) for c, t in PROBLEMS_SCHEMA.items())
