"""The battles table: one frozen type over a polars frame, with one schema."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.errors import DataError

__all__ = ["CLASSES", "REPAIRS_SCHEMA", "SCHEMA", "Battles"]

CLASSES: Final = ("a", "b", "tie")
"""Order of the columns of every probability array: A wins, B wins, tie."""

_TURNS = pl.List(pl.String)

SCHEMA: Final[dict[str, pl.DataType]] = {
    "id": pl.String(),
    "prompt": _TURNS,
    "response_a": _TURNS,
    "response_b": _TURNS,
    "model_a": pl.String(),
    "model_b": pl.String(),
    "vote_a": pl.Float64(),
    "vote_b": pl.Float64(),
    "vote_tie": pl.Float64(),
    "both_bad": pl.Boolean(),
    "weight": pl.Float64(),
    "source": pl.String(),
    "group": pl.String(),
    "annotator": pl.String(),
    "language": pl.String(),
    "flipped": pl.Boolean(),
}
"""Columns of `Battles.frame`, in order. The first four are never null; a missing vote is three nulls."""

REPAIRS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "row": pl.Int64(),
    "id": pl.String(),
    "column": pl.String(),
    "what": pl.String(),
}
"""Columns of `Battles.repairs`: what reading changed, row by row (rows of the file, from 0)."""

_DEFAULTS: Final[dict[str, Any]] = {"both_bad": False, "weight": 1.0, "flipped": False}
_SWAPPED: Final = (("response_a", "response_b"), ("model_a", "model_b"), ("vote_a", "vote_b"))


@dataclass(frozen=True, eq=False, repr=False)
class Battles:
    """A table of battles.

    Build one with `prefcast.read_battles` or `Battles.from_frame`, not directly.

    Parameters
    ----------
    frame
        Exactly the columns of `SCHEMA`. Each battle has at least one turn and the same number of turns
        in ``prompt``, ``response_a`` and ``response_b``.
    repairs
        What reading changed, in the columns of `REPAIRS_SCHEMA`.
    """

    frame: pl.DataFrame
    repairs: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REPAIRS_SCHEMA))

    def __post_init__(self) -> None:
        if dict(self.frame.schema) != SCHEMA or list(self.frame.columns) != list(SCHEMA):
            raise DataError(
                f"a battles table needs the columns {', '.join(SCHEMA)}; got {', '.join(self.frame.columns)}. "
                "Use prefcast.read_battles(...) or Battles.from_frame(...)."
            )

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, repairs: pl.DataFrame | None = None) -> Self:
        """Complete a frame that has some columns of `SCHEMA` (at least id, prompt and both responses).

        Parameters
        ----------
        frame
            Columns of `SCHEMA` with castable types; missing optional ones are filled with their default.
        repairs
            What reading changed.

        Returns
        -------
        Battles
            The completed table.

        Raises
        ------
        DataError
            A required column is missing or a column is unknown.
        """
        missing = [c for c in list(SCHEMA)[:4] if c not in frame.columns]
        unknown = [c for c in frame.columns if c not in SCHEMA]
        if missing or unknown:
            raise DataError(
                f"a battles table lacks {missing or 'nothing'} and does not know {unknown or 'nothing'}; "
                f"its columns are {', '.join(SCHEMA)}.",
                columns=missing or unknown,
            )
        columns = [
            (pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, dtype=kind)).alias(name)
            for name, kind in SCHEMA.items()
        ]
        filled = frame.select(columns).with_columns(pl.col(c).fill_null(v) for c, v in _DEFAULTS.items())
        return cls(filled) if repairs is None else cls(filled, repairs)

    def __len__(self) -> int:
        return self.frame.height

    def __repr__(self) -> str:
        return f"Battles({len(self)} rows, {int(self.has_votes.sum())} with votes)"

    @property
    def ids(self) -> pl.Series:
        """Battle ids, (n,) strings, in the order of the file."""
        return self.frame["id"]

    @property
    def has_votes(self) -> npt.NDArray[np.bool_]:
        """Whether each battle has a vote, (n,)."""
        return self.frame["vote_a"].is_not_null().to_numpy()

    @property
    def votes(self) -> npt.NDArray[np.float64]:
        """Votes as shares of A, B and tie, (n, 3); rows sum to 1, and are NaN where there is no vote."""
        return self.frame.select("vote_a", "vote_b", "vote_tie").to_numpy().astype(np.float64)

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """Weight of each battle, (n,), 1 unless the file said otherwise."""
        return self.frame["weight"].to_numpy().astype(np.float64)

    @property
    def n_turns(self) -> npt.NDArray[np.int64]:
        """Number of turns of each battle, (n,)."""
        return self.frame["prompt"].list.len().cast(pl.Int64).to_numpy()

    def swap(self) -> Battles:
        """Exchange A and B in every battle: answers, models and votes."""
        exchange = {a: b for pair in _SWAPPED for a, b in (pair, pair[::-1])}
        columns = [pl.col(exchange.get(name, name)).alias(name) for name in SCHEMA]
        return Battles(self.frame.select(columns).with_columns(~pl.col("flipped")), self.repairs)

    def take(self, rows: npt.NDArray[Any] | Sequence[int]) -> Battles:
        """Select battles by position (integers) or mask (booleans), in the order given."""
        index = np.asarray(rows)
        if index.dtype == np.bool_:
            index = np.flatnonzero(index)
        return Battles(self.frame[index.astype(np.int64)], self.repairs)

    def last_turn(self) -> Battles:
        """Keep only the last turn of every battle."""
        return self.with_columns(**{c: pl.col(c).list.tail(1) for c in ("prompt", "response_a", "response_b")})

    def with_columns(self, **columns: pl.Series | pl.Expr) -> Battles:
        """Replace columns of the schema, by name."""
        return Battles.from_frame(self.frame.with_columns(**columns), self.repairs)

    def concat(self, *others: Battles) -> Battles:
        """Append other tables below this one."""
        tables = (self, *others)
        return Battles(pl.concat([t.frame for t in tables]), pl.concat([t.repairs for t in tables]))

    def fingerprint(self) -> str:
        """SHA-256 of ids, texts and votes: the same data gives the same string on every machine."""
        digest = hashlib.sha256()
        frame = self.frame
        for name in ("id", "prompt", "response_a", "response_b", "vote_a", "vote_b", "vote_tie", "weight"):
            digest.update(name.encode())
            series = frame[name]
            if series.dtype == _TURNS:
                digest.update(series.list.len().cast(pl.Int64).to_numpy().tobytes())
                series = series.explode(keep_nulls=False, empty_as_null=False)
            if series.dtype == pl.String:
                digest.update(series.str.len_bytes().fill_null(-1).cast(pl.Int64).to_numpy().tobytes())
                for chunk in range(0, len(series), 50_000):
                    digest.update("".join(series[chunk : chunk + 50_000].fill_null("").to_list()).encode())
            else:
                digest.update(series.fill_null(-1.0).to_numpy().tobytes())
        return digest.hexdigest()
