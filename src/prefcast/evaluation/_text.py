"""What evaluation reads of the texts, in polars: lengths, markdown, script, and which pairs are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles import Battles
from prefcast.evaluation._metrics import Float, Index

__all__ = ["SCRIPTS", "Texts", "pair_keys", "read_texts"]

SCRIPTS: Final = ("Latin", "Cyrillic", "CJK", "Arabic", "Devanagari", "code-heavy", "other")
"""Scripts told apart. Code-heavy: at least a fifth of the two answers stands in fenced code."""

_LETTERS: Final = {
    "Cyrillic": r"\p{Cyrillic}",
    "CJK": r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]",
    "Arabic": r"\p{Arabic}",
    "Devanagari": r"\p{Devanagari}",
    "other": r"[\p{L}--[\p{Latin}\p{Cyrillic}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Arabic}\p{Devanagari}]]",
}
_HEAD: Final = 500
"""Characters of the prompt and of each answer that are read to tell the script."""
_ENOUGH: Final = 0.2
"""Share of characters a script needs; spaces, digits and borrowed Latin words keep it well under 1."""

_CODE: Final = 0.2

_MARKDOWN: Final = r"\n {0,3}(?:#{1,6} |[-*+] |\d{1,3}[.)] |\|)|\*\*\S|```"
"""Wants a line break before each text: `^` in multi-line mode is four times slower."""
_FENCED: Final = r"(?s)```.*?```"


@dataclass(frozen=True)
class Texts:
    """Measures of the texts of each battle.

    Parameters
    ----------
    length_a, length_b
        Characters of each answer, all turns together, (n,).
    length
        Characters of prompt and answers together, (n,).
    markdown_a, markdown_b
        Markdown marks of each answer (headings, list items, table rows, bold, code fences), (n,).
    identical
        Whether the answers are the same, (n,).
    script
        One of `SCRIPTS` for each battle, (n,).
    """

    length_a: Float
    length_b: Float
    length: Float
    markdown_a: Float
    markdown_b: Float
    identical: npt.NDArray[np.bool_]
    script: pl.Series


def _joined(battles: Battles) -> pl.DataFrame:
    return battles.frame.select(
        prompt=pl.col("prompt").list.join("\n", ignore_nulls=True),
        a=pl.col("response_a").list.join("\n", ignore_nulls=True),
        b=pl.col("response_b").list.join("\n", ignore_nulls=True),
    )


def read_texts(battles: Battles) -> Texts:
    """Measure the texts of battles.

    Parameters
    ----------
    battles
        With or without votes.

    Returns
    -------
    Texts
        One entry per battle.
    """
    frame = _joined(battles)
    length = {c: pl.col(c).str.len_chars() for c in ("prompt", "a", "b")}
    measures = frame.select(
        prompt=length["prompt"],
        a=length["a"],
        b=length["b"],
        markdown_a=(pl.lit("\n") + pl.col("a")).str.count_matches(_MARKDOWN),
        markdown_b=(pl.lit("\n") + pl.col("b")).str.count_matches(_MARKDOWN),
        identical=pl.col("a") == pl.col("b"),
    ).with_columns(script=_script(frame))
    number = {c: measures[c].to_numpy().astype(np.float64) for c in ("prompt", "a", "b", "markdown_a", "markdown_b")}
    return Texts(
        number["a"],
        number["b"],
        number["prompt"] + number["a"] + number["b"],
        number["markdown_a"],
        number["markdown_b"],
        measures["identical"].to_numpy().astype(np.bool_),
        measures["script"],
    )


def _script(frame: pl.DataFrame) -> pl.Series:
    heads = frame.select(
        text=pl.concat_str([pl.col(c).str.head(_HEAD) for c in ("prompt", "a", "b")], separator="\n"),
        code=_fenced_share(),
    )
    counted = heads.select(
        "code",
        latin=pl.col("text").str.contains(r"\p{Latin}"),
        total=pl.col("text").str.len_chars(),
        # Only few texts hold letters of other scripts, so that counting those is cheap; Latin ones are never counted.
        **{name: pl.col("text").str.count_matches(letters) for name, letters in _LETTERS.items()},
    )
    most = pl.max_horizontal(*_LETTERS)
    enough = (most > 0) & (most >= _ENOUGH * pl.col("total"))
    script = pl.when(pl.col("latin")).then(pl.lit("Latin")).otherwise(pl.lit("other"))
    for name in _LETTERS:
        script = pl.when(enough & (pl.col(name) == most)).then(pl.lit(name)).otherwise(script)
    return counted.select(script=pl.when(pl.col("code") >= _CODE).then(pl.lit("code-heavy")).otherwise(script))[
        "script"
    ]


def _fenced_share() -> pl.Expr:
    def fenced(column: str) -> pl.Expr:
        text = pl.col(column)
        left = text.str.replace_all(_FENCED, "").str.len_bytes()
        return pl.when(text.str.contains("```", literal=True)).then(text.str.len_bytes() - left).otherwise(0)

    total = pl.col("a").str.len_bytes() + pl.col("b").str.len_bytes()
    return (fenced("a") + fenced("b")).cast(pl.Float64) / total.clip(1)


def pair_keys(battles: Battles) -> tuple[Index, npt.NDArray[np.bool_]]:
    """Number the pairs: battles with the same prompt and the same two answers, in either order.

    Parameters
    ----------
    battles
        With or without votes.

    Returns
    -------
    keys
        Number of the pair of each battle, (n,), from 0.
    turned
        Whether the battle shows the pair in the other order, (n,): exchange its A and B to compare votes.
    """
    frame = _joined(battles).with_columns(pl.col("prompt", "a", "b").hash(seed=1))
    keyed = frame.select(
        key=pl.struct("prompt", low=pl.min_horizontal("a", "b"), high=pl.max_horizontal("a", "b")).rank("dense"),
        turned=pl.col("a") > pl.col("b"),
    )
    return keyed["key"].to_numpy().astype(np.int64) - 1, keyed["turned"].to_numpy().astype(np.bool_)
