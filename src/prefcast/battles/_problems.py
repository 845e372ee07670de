"""What can be wrong with a battle: the kinds, where they are collected, and the one error that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.errors import DataError

__all__ = ["FINDINGS_SCHEMA", "KINDS", "Kind", "Log", "excerpt", "refuse"]

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Kind:
    """One kind of problem: how grave it is, what people call it, what to do, and whether reading mends it."""

    severity: Severity
    title: str
    advice: str
    mends: bool = False


_DROPS: Final = "--repair drops the row"

KINDS: Final[dict[str, Kind]] = {
    "broken_line": Kind("error", "broken JSON line", f"mend the line; {_DROPS}"),
    "ragged_row": Kind("error", "row with too few or too many cells", f"mend the quotes of the row; {_DROPS}"),
    "broken_json": Kind("error", "broken JSON", f"mend the cell, or read plain texts with --layout plain; {_DROPS}"),
    "wrong_type": Kind("error", "value of the wrong type", f"texts are strings or lists of strings; {_DROPS}"),
    "mixed_texts": Kind("error", "JSON list among plain texts", "if all texts are plain, read with --layout plain"),
    "null_id": Kind("error", "row without an id", f"give it one; {_DROPS}"),
    "no_winner": Kind("error", "vote without a winner", f"exactly one winner column is 1; {_DROPS}"),
    "two_winners": Kind("error", "vote with two winners", f"exactly one winner column is 1; {_DROPS}"),
    "bad_shares": Kind("error", "vote that does not sum to 1", f"three shares from 0 to 1 that sum to 1; {_DROPS}"),
    "unknown_winner": Kind("error", "unknown winner", f"model_a, model_b, tie or both_bad; {_DROPS}"),
    "not_a_number": Kind("error", "vote or weight that is not a number", _DROPS),
    "bad_weight": Kind("error", "weight that is not a positive number", _DROPS),
    "leakage": Kind("error", "group in both files", "drop these rows from the training file, or split by group"),
    "duplicate_id": Kind(
        "error", "duplicate id", "number the rows anew; --repair gives later ones a suffix; a submission refuses them"
    ),
    "null_cell": Kind("warning", "empty cell", "read as one empty turn; --repair writes it so", mends=True),
    "empty_list": Kind("warning", "empty list of turns", "read as one empty turn; --repair writes it so", mends=True),
    "null_turn": Kind("warning", "null turn", "read as an empty turn; --repair writes it so", mends=True),
    "unequal_turns": Kind(
        "warning", "unequal numbers of turns", "the shorter are padded; --repair writes it so", mends=True
    ),
    "surrogate": Kind("warning", "lone surrogate", "read as U+FFFD; --repair writes it so", mends=True),
    "not_utf8": Kind(
        "warning", "bytes that are not UTF-8", "read as U+FFFD; save the file as UTF-8 if they matter", mends=True
    ),
    "other_prompt": Kind(
        "warning", "the two conversations ask different things", "the user turns of A are kept", mends=True
    ),
    "message_joined": Kind(
        "warning", "several messages read as one turn", "nothing to do if that is what was meant", mends=True
    ),
    "part_left_out": Kind("warning", "content that is not text", "left out: images and files are not read", mends=True),
    "no_prompt": Kind("warning", "pair without a prompt", "read as an empty prompt", mends=True),
    "too_long": Kind("warning", "row past the size limit", "kept whole; models will truncate it and say so"),
    "identical_winner": Kind("warning", "identical answers with a winner", "such votes are noise; people tie 9 in 10"),
    "repeated_vote": Kind("warning", "annotator who voted twice on a pair", "keep one of the votes if it is a mistake"),
    "empty_turn": Kind("note", "empty turn", "kept: a model may answer nothing"),
    "duplicate_pair": Kind(
        "note", "pair that stands more than once", "legitimate if different people voted; never split such a group"
    ),
    "swapped_pair": Kind(
        "note", "pair that also stands with A and B exchanged", "legitimate if different people voted"
    ),
    "contradictory_votes": Kind(
        "note",
        "votes on one pair that disagree",
        "legitimate if different people voted: they often disagree",
    ),
    "turn_not_voted": Kind(
        "note", "turns after the one voted on", "left out: the vote was on the turns before", mends=True
    ),
    "file_left_out": Kind("note", "file that holds no battles", "left out of the folder"),
}
"""Every kind of problem by its stable name, gravest first."""

FINDINGS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "kind": pl.String(),
    "row": pl.Int64(),
    "column": pl.String(),
    "detail": pl.String(),
}

_SHOWN: Final = 5
_EXCERPT: Final = 60


def excerpt(text: str, length: int = _EXCERPT) -> str:
    """Quote the start of a text on one line, as an error message shows it."""
    start = text[: length + 1]
    return repr(start[:length]) + ("…" if len(start) > length else "")


@dataclass(frozen=True)
class Log:
    """What was found in the rows of one file, or of a part of it that begins at row ``start``."""

    start: int = 0
    frames: list[pl.DataFrame] = field(default_factory=list)

    def add(
        self, kind: str, column: str | None, rows: Sequence[int] | npt.NDArray[Any], detail: str | Iterable[str]
    ) -> None:
        """Record one kind in one column, at rows of this part counted from 0."""
        if len(rows) == 0:
            return
        index = pl.Series("row", np.asarray(rows, dtype=np.int64) + self.start, dtype=pl.Int64)
        details = [detail] * len(rows) if isinstance(detail, str) else list(detail)
        self.frames.append(
            pl.DataFrame(
                {
                    "kind": pl.Series([kind], dtype=pl.String).new_from_index(0, len(rows)),
                    "row": index,
                    "column": pl.Series([column], dtype=pl.String).new_from_index(0, len(rows)),
                    "detail": pl.Series([clean(d) for d in details], dtype=pl.String),
                }
            )
        )

    def found(self) -> pl.DataFrame:
        """Everything recorded, in the columns of `FINDINGS_SCHEMA`, by row."""
        return pl.concat([pl.DataFrame(schema=FINDINGS_SCHEMA), *self.frames]).sort("row", maintain_order=True)


def clean(text: str) -> str:
    """Replace lone surrogates, which no file can hold, by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_error() -> pl.Expr:
    """Whether a finding makes its row unusable for reading."""
    return pl.col("kind").is_in([name for name, kind in KINDS.items() if kind.severity == "error"])


def refuse(name: str, errors: pl.DataFrame, height: int, repair: str) -> DataError:
    """Build the one error that lists what makes a table unusable.

    Parameters
    ----------
    name
        What was read, as the user named it.
    errors
        Findings with an ``id`` column, at least one.
    height
        Number of rows read.
    repair
        What to type to repair it.
    """
    counts = errors.group_by("kind", maintain_order=True).len().rows()
    lines = [
        f"{name} cannot be used: {errors.height:,} problem{'s'[: errors.height > 1]} in {errors['row'].n_unique():,} "
        f"of {height:,} rows (counted from 0, without the header)."
    ]
    lines += [f"  {count:,} × {KINDS[kind].title}: {KINDS[kind].advice}" for kind, count in counts]
    lines.append(f"First rows at fault ({min(_SHOWN, errors.height)} of {errors.height:,}):")
    first = errors.head(_SHOWN)
    for row, key, column, detail in first.select("row", "id", "column", "detail").rows():
        place = "".join([f"row {row}", f", id {key}" if key is not None else "", f", {column}" if column else ""])
        lines.append(f"  {place}: {detail}")
    lines.append(f"To see them all and repair: {repair}")
    columns = first["column"].drop_nulls().unique(maintain_order=True).to_list()
    return DataError("\n".join(lines), rows=first["row"].to_list(), columns=columns)
