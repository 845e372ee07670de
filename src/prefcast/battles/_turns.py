"""The one text path: from a cell of a file to a list of turns.

Every way into prefcast ends here: JSON lists, plain strings, real lists, and the values of JSON lines. Each
function takes a column and a `Log`, and gives one non-empty list of strings per row; what it had to change or
could not read goes to the log.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles._problems import Log, clean, excerpt

__all__ = ["TURNS", "Column", "equal_turns", "looks_json", "place", "read_turns", "values_of"]

Column = pl.Series | list[Any]
"""A column as it was read: a polars series, or python values where only those say it all."""

TURNS: Final = pl.List(pl.String)

_STRING: Final = (
    r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:[0-9abcefABCEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}'
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))*\""
)
_ITEM: Final = rf"[ \t\r\n]*(?:{_STRING}|null)[ \t\r\n]*"
_EXACT: Final = rf"^[ \t\r\n]*\[(?:{_ITEM}(?:,{_ITEM})*)?\][ \t\r\n]*$"
# The grammar of a JSON list of strings without lone surrogates. On these cells alone polars' decoder is exact:
# elsewhere it reads numbers as strings and a lone surrogate as NUL.

_LISTLIKE: Final = r'^\s*\[\s*(?:"|null\s*[,\]]|\]\s*$|\{\s*")'
_TYPES: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    dict: "an object",
    list: "a list",
    str: "a text",
}
_LONE: Final = re.compile("[\ud800-\udfff]")
_NULL, _EMPTY, _NULL_TURN, _LONE_TURN = "null_cell", "empty_list", "null_turn", "surrogate"
_SAID: Final = {
    _NULL: "empty cell read as one empty turn",
    _EMPTY: "empty list read as one empty turn",
    _NULL_TURN: "null turn read as an empty turn",
    _LONE_TURN: "lone surrogate read as U+FFFD",
}


class UnreadableError(Exception):
    """A cell that is no list of turns: kind of problem and detail."""


def looks_json(column: Column) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Tell which cells of a text column look like JSON lists, and which are plain texts.

    Parameters
    ----------
    column
        A text column, n cells.

    Returns
    -------
    tuple of ndarray
        Two masks, (n,) each. Cells that are null, empty or no strings are in neither.
    """
    if isinstance(column, list):
        texts = pl.Series([clean(v) if isinstance(v, str) else None for v in column], dtype=pl.String)
    elif column.dtype == pl.String:
        texts = column
    else:
        none = np.zeros(len(column), dtype=np.bool_)
        return none, none
    filled = texts.fill_null("")
    # the start alone decides, so that a list cut off in the middle is broken JSON and not a plain text
    listed = filled.str.contains(_LISTLIKE)
    given = filled.str.len_bytes() > 0
    return listed.to_numpy(), (given & ~listed).to_numpy()


def read_turns(column: Column, name: str, *, as_json: bool, log: Log) -> pl.Series:
    """Read a text column as turns.

    Parameters
    ----------
    column
        Strings, lists of strings, or python values, n cells.
    name
        Its name, for the log.
    as_json
        Whether strings hold JSON lists of turns; otherwise each is one turn.
    log
        Where repairs and problems go.

    Returns
    -------
    polars.Series
        Lists of strings, (n,): none null, none empty, no null turn.
    """
    if isinstance(column, list):
        return _per_cell(column, name, _value_reader(as_json), log)
    if column.dtype == TURNS:
        return _mend(column, name, log)
    if column.dtype != pl.String:
        return _per_cell(column.to_list(), name, _value_reader(as_json), log)
    return _read_json(column, name, log) if as_json else _read_plain(column, name, log)


def _read_plain(texts: pl.Series, name: str, log: Log) -> pl.Series:
    log.add(_NULL, name, np.flatnonzero(texts.is_null().to_numpy()), _SAID[_NULL])
    return texts.fill_null("").to_frame("t").select(pl.concat_list("t"))["t"].alias(name)


def _read_json(texts: pl.Series, name: str, log: Log) -> pl.Series:
    exact = texts.str.contains(_EXACT).fill_null(value=False)
    if exact.all():
        return _mend(texts.str.json_decode(TURNS), name, log)
    fast = texts.to_frame("t").select(pl.when(exact).then("t").otherwise(pl.lit('[""]')))["t"].str.json_decode(TURNS)
    rows = np.flatnonzero(~exact.to_numpy())
    slow = _per_cell(texts.gather(rows).to_list(), name, _value_reader(as_json=True), log, rows)
    return _mend(place(fast, rows, slow), name, log)


def _mend(turns: pl.Series, name: str, log: Log) -> pl.Series:
    """Fill null cells, empty lists and null turns, and say so."""
    lengths = turns.list.len()
    if turns.null_count():
        log.add(_NULL, name, np.flatnonzero(turns.is_null().to_numpy()), _SAID[_NULL])
    log.add(_EMPTY, name, np.flatnonzero((lengths == 0).fill_null(value=False).to_numpy()), _SAID[_EMPTY])
    whole = (turns.list.drop_nulls().list.len() == lengths).fill_null(value=True).to_numpy()
    if not whole.all():
        log.add(_NULL_TURN, name, np.flatnonzero(~whole), _SAID[_NULL_TURN])
        turns = turns.list.eval(pl.element().fill_null(""))
    missing = np.flatnonzero((lengths.fill_null(0) == 0).to_numpy())
    return place(turns, missing, pl.Series([[""]] * len(missing), dtype=TURNS)).alias(name)


def _per_cell(
    values: Sequence[Any],
    name: str,
    read: Callable[[Any], tuple[list[str], set[str]]],
    log: Log,
    rows: npt.NDArray[np.int64] | None = None,
) -> pl.Series:
    """Read python values one by one: exact, slow, and with the reason for each cell that cannot be read."""
    turns: list[list[str]] = []
    repairs: dict[str, list[int]] = {}
    problems: dict[str, list[tuple[int, str]]] = {}
    for i, value in enumerate(values):
        row = i if rows is None else int(rows[i])
        try:
            found, mended = read(value)
        except UnreadableError as error:
            problems.setdefault(error.args[0], []).append((row, error.args[1]))
            found, mended = [""], set()
        turns.append(found)
        for kind in mended:
            repairs.setdefault(kind, []).append(row)
    for kind, at in repairs.items():
        log.add(kind, name, at, _SAID[kind])
    for kind, cells in problems.items():
        log.add(kind, name, [row for row, _ in cells], [detail for _, detail in cells])
    return pl.Series(name, turns, dtype=TURNS)


def _value_reader(as_json: bool) -> Callable[[Any], tuple[list[str], set[str]]]:
    def read(value: Any) -> tuple[list[str], set[str]]:
        if isinstance(value, str):
            if not as_json:
                return _checked([value])
            value = decode_json(value)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return [""], {_NULL}
        if not isinstance(value, list | tuple):
            raise UnreadableError("wrong_type", f"{_kind_of(value)}, not a list of texts: {reprlib.repr(value)}")
        return _checked(value) if len(value) else ([""], {_EMPTY})

    return read


def decode_json(text: str) -> Any:
    """Decode one JSON document; raw control characters in strings are kept, as the files in use hold them."""
    if not text.strip():
        return None
    try:
        return json.loads(text, strict=False)
    except RecursionError:
        raise UnreadableError("broken_json", f"JSON nested too deeply: {excerpt(text)}") from None
    except ValueError as error:  # JSONDecodeError, and integers past python's limit of digits
        reason = getattr(error, "msg", str(error)).removesuffix(" at")
        at = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableError("broken_json", f"not JSON ({reason}{at}): {excerpt(text)}") from None


def _checked(turns: Sequence[Any]) -> tuple[list[str], set[str]]:
    mended: set[str] = set()
    texts: list[str] = []
    for turn in turns:
        if turn is None:
            mended.add(_NULL_TURN)
            texts.append("")
        elif isinstance(turn, str):
            text = turn if turn.isascii() else lone_to_fffd(turn)
            if text != turn:
                mended.add(_LONE_TURN)
            texts.append(text)
        else:
            raise UnreadableError("wrong_type", f"a turn is {_kind_of(turn)}, not a text: {reprlib.repr(turn)}")
    return texts, mended


def lone_to_fffd(text: str) -> str:
    """Replace each lone surrogate by U+FFFD."""
    return _LONE.sub("\ufffd", text)


def _kind_of(value: Any) -> str:
    return _TYPES.get(type(value), f"a value of type {type(value).__name__}")


def values_of(column: Column) -> list[Any]:
    """Give the python values of a column."""
    return column if isinstance(column, list) else column.to_list()


def place(series: pl.Series, rows: npt.NDArray[Any], values: pl.Series) -> pl.Series:
    """Replace the values at some rows of a series; works for lists, where polars' scatter does not."""
    if len(rows) == 0:
        return series
    index = np.arange(len(series))
    index[rows] = len(series) + np.arange(len(rows))
    return pl.concat([series, values.alias(series.name)]).gather(index)


def equal_turns(frame: pl.DataFrame, columns: Sequence[str], log: Log) -> pl.DataFrame:
    """Pad the shorter ones of a battle's texts with empty turns, so that all have the same number.

    Parameters
    ----------
    frame
        Lists of strings in ``columns``.
    columns
        The text columns.
    log
        Where repairs go.
    """
    lengths = np.stack([frame[c].list.len().to_numpy() for c in columns], axis=1)
    most = lengths.max(axis=1, initial=0)
    for i, name in enumerate(columns):
        rows = np.flatnonzero(lengths[:, i] < most)
        if len(rows) == 0:
            continue
        have, need = lengths[rows, i], most[rows]
        counts = zip(have.tolist(), need.tolist(), strict=True)
        said = [f"{h} turn{'s'[: h > 1]} where another text has {n}: padded with empty turns" for h, n in counts]
        log.add("unequal_turns", name, rows, said)
        longer = [t + [""] * int(n - len(t)) for t, n in zip(frame[name].gather(rows).to_list(), need, strict=True)]
        frame = frame.with_columns(place(frame[name], rows, pl.Series(longer, dtype=TURNS)).alias(name))
    return frame
