"""Votes as they stand in files, and numbers and names beside them: to shares, weights and strings."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles._problems import Log, excerpt
from prefcast.battles._turns import Column, lone_to_fffd, values_of

__all__ = ["WINNERS", "read_flags", "read_names", "read_shares", "read_weights", "read_winners"]

WINNERS: Final[dict[str, tuple[float, float, float]]] = {
    "model_a": (1.0, 0.0, 0.0),
    "a": (1.0, 0.0, 0.0),
    "model_b": (0.0, 1.0, 0.0),
    "b": (0.0, 1.0, 0.0),
    "tie": (0.0, 0.0, 1.0),
    "both_bad": (0.0, 0.0, 1.0),
    "bothbad": (0.0, 0.0, 1.0),
    "tie (bothbad)": (0.0, 0.0, 1.0),
    "tie (both bad)": (0.0, 0.0, 1.0),
    "tie (both_bad)": (0.0, 0.0, 1.0),
}
"""Words a ``winner`` column may hold, in any case, and the shares they stand for."""

_TOLERANCE: Final = 1e-6
_EXACT_FLOAT: Final = 2**53
_TRUE: Final = {"true": 1.0, "false": 0.0}


def read_shares(columns: Sequence[Column], names: Sequence[str], log: Log) -> npt.NDArray[np.float64]:
    """Read three columns of shares.

    Parameters
    ----------
    columns
        Shares of A, B and tie: whole or broken numbers, booleans or strings of them, n each.
    names
        Their names, for the log.
    log
        Where problems go.

    Returns
    -------
    ndarray
        Shares that sum to 1, (n, 3); NaN where there is no vote or the vote is at fault.
    """
    given = np.stack([_numbers(c, n, log) for c, n in zip(columns, names, strict=True)], axis=1)
    finite = np.where(np.isfinite(given), given, 0.0)
    total = finite.sum(axis=1)
    voted = ~np.isnan(given).all(axis=1)
    whole = ~np.isnan(given).any(axis=1)
    fair = whole & np.isfinite(given).all(axis=1) & (given >= 0).all(axis=1) & (np.abs(total - 1.0) <= _TOLERANCE)
    zero = whole & (given == 0).all(axis=1)
    several = whole & ((given == 1).sum(axis=1) > 1) & ((given == 0) | (given == 1)).all(axis=1)
    at = ", ".join(names)
    log.add("no_winner", at, np.flatnonzero(zero), "all three are 0")
    log.add("two_winners", at, np.flatnonzero(several), [_shown(v) for v in given[several]])
    other = voted & ~fair & ~zero & ~several & ~_unreadable(columns, given)
    log.add("bad_shares", at, np.flatnonzero(other), [_shown(v) for v in given[other]])
    shares = np.full(given.shape, np.nan)
    shares[fair] = finite[fair] / total[fair, None]
    return shares


def read_winners(column: Column, name: str, log: Log) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Read a column of winner words.

    Returns
    -------
    tuple of ndarray
        Shares, (n, 3), NaN where there is no vote or an unknown word; and whether both answers were called bad, (n,).
    """
    words = [_word(v) for v in values_of(column)]
    shares = np.full((len(words), 3), np.nan)
    bad = np.zeros(len(words), dtype=np.bool_)
    unknown: list[int] = []
    for i, word in enumerate(words):
        if word is None:
            continue
        key = word.strip().lower()
        if key in WINNERS:
            shares[i] = WINNERS[key]
            bad[i] = "bad" in key
        else:
            unknown.append(i)
    log.add("unknown_winner", name, unknown, [f"{excerpt(str(words[i]))} is no winner" for i in unknown])
    return shares, bad


def read_weights(column: Column, name: str, log: Log) -> npt.NDArray[np.float64]:
    """Read weights, (n,): positive and finite, 1 where the cell is empty."""
    given = _numbers(column, name, log)
    wrong = ~np.isnan(given) & ~(np.isfinite(given) & (given > 0))
    log.add("bad_weight", name, np.flatnonzero(wrong), [f"{w:g} is not a positive number" for w in given[wrong]])
    return np.where(np.isnan(given) | wrong, 1.0, given)


def read_flags(column: Column, name: str, log: Log) -> npt.NDArray[np.bool_]:
    """Read true and false, (n,), from booleans, 0 and 1, or their words; false where the cell is empty."""
    return np.asarray(np.nan_to_num(_numbers(column, name, log)) != 0, dtype=np.bool_)


def read_names(column: Column) -> pl.Series:
    """Read ids, model names and the like as strings, (n,); null where the cell is empty."""
    plain = isinstance(column, pl.Series) and not column.dtype.is_nested() and not column.dtype.is_float()
    if isinstance(column, pl.Series) and plain and column.dtype not in (pl.Binary, pl.Object):
        try:
            texts = column.cast(pl.String)
        except pl.exceptions.PolarsError:
            return read_names(column.to_list())
        return texts.set(texts == "", None)
    return pl.Series([_name(v) for v in values_of(column)], dtype=pl.String)


def _name(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOAT:
        value = int(value)  # 7.0 is what pandas makes of the id 7 where another id is missing
    if isinstance(value, list | dict):
        value = json.dumps(value, default=str)
    return lone_to_fffd(str(value)) or None


def _word(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return lone_to_fffd(str(value)) or None


def _numbers(column: Column, name: str, log: Log) -> npt.NDArray[np.float64]:
    """Read numbers, (n,), NaN where the cell is empty or, said in the log, no number."""
    if isinstance(column, pl.Series) and (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        return column.cast(pl.Float64).fill_null(math.nan).to_numpy()
    if isinstance(column, pl.Series) and column.dtype == pl.String:
        filled = column.set(column == "", None)
        numbers = filled.cast(pl.Float64, strict=False)
        if numbers.null_count() == filled.null_count():
            return numbers.fill_null(math.nan).to_numpy()
    values = values_of(column)
    numbers_out = np.full(len(values), np.nan)
    wrong: list[int] = []
    for i, value in enumerate(values):
        number = _number(value)
        if number is None:
            wrong.append(i)
        else:
            numbers_out[i] = number
    log.add("not_a_number", name, wrong, [f"{reprlib.repr(values[i])} is not a number" for i in wrong])
    return numbers_out


def _number(value: Any) -> float | None:
    if value is None or (isinstance(value, str) and not value):
        return math.nan
    if isinstance(value, str):
        value = _TRUE.get(value.strip().lower(), value)
    if not isinstance(value, bool | int | float | str | Decimal):
        return None
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _unreadable(columns: Sequence[Column], given: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Rows in which a share is no number: that is said already, and is not said twice."""
    said = np.zeros(len(given), dtype=np.bool_)
    for i, column in enumerate(columns):
        rows = np.flatnonzero(np.isnan(given[:, i]))
        values = column.gather(rows).to_list() if isinstance(column, pl.Series) else [column[r] for r in rows]
        said[rows] |= np.array([_number(v) is None for v in values], dtype=np.bool_)
    return said


def _shown(shares: npt.NDArray[np.float64]) -> str:
    parts = ["empty" if np.isnan(s) else f"{s:g}" for s in shares]
    return f"A {parts[0]}, B {parts[1]}, tie {parts[2]}"
