"""From tables in memory to raw columns: polars, pandas and Arrow frames, lists of dicts."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from prefcast.battles._layouts import wanted
from prefcast.battles._problems import Log, excerpt
from prefcast.battles._raw import Raw
from prefcast.battles._turns import Column
from prefcast.errors import DataError

__all__ = ["first_line", "from_arrow", "from_dicts", "from_frame", "from_rows", "guarded"]


@contextmanager
def guarded(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise DataError(f"{name} cannot be read: {first_line(error)}") from error
    except (
        pl.exceptions.PanicException,
        MemoryError,
        ArithmeticError,
        RecursionError,
        ValueError,
        LookupError,
    ) as error:
        raise DataError(f"{name} cannot be read, its contents are damaged: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__


def from_rows(rows: Iterable[Any], name: str) -> Iterator[Raw]:
    """Read a list of dicts."""
    log = Log()
    kept: list[dict[Any, Any]] = []
    with guarded(name):
        for i, row in enumerate(rows):
            if not isinstance(row, dict):
                log.add("broken_line", None, [i], f"not an object but {excerpt(type(row).__name__)}")
            kept.append(_plain(row) if isinstance(row, dict) else {})
    if kept:
        yield from_dicts(kept, {}, log)


def from_dicts(rows: list[dict[Any, Any]], present: dict[str, None], log: Log) -> Raw:
    """Gather the values of each column; a column that some rows lack is null there."""
    for row in rows:
        present.update(dict.fromkeys(k for k in row if isinstance(k, str)))
    columns: dict[str, Column] = {c: _narrowed([row.get(c) for row in rows]) for c in wanted() if c in present}
    return Raw(columns, len(rows), tuple(present), log.found())


def _plain(value: Any) -> Any:
    """Turn the arrays and numbers of numpy, which pandas keeps in cells, into python's, however deep they are."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return None if _is_missing(value) else value


def _narrowed(values: list[Any]) -> Column:
    """Make a column of strings a series; anything else, or a lone surrogate, stays as it is."""
    if all(v is None or isinstance(v, str) for v in values):
        try:
            return pl.Series(values, dtype=pl.String)
        except (UnicodeEncodeError, TypeError, pl.exceptions.PolarsError):
            return values
    return values


def from_arrow(table: pa.Table, present: Iterable[str]) -> Raw:
    """Read the columns of an Arrow table that some layout knows."""
    names = [name for name in wanted() if name in table.column_names]
    # neither Arrow nor polars looks whether strings are UTF-8, and polars is unsafe on those that are not
    table.select(names).validate(full=True)
    columns = {name: _arrow_column(table.column(name)) for name in names}
    return Raw(columns, table.num_rows, tuple(present))


def _arrow_column(column: pa.Array | pa.ChunkedArray) -> Column:
    try:
        return _series(pl.Series(pl.from_arrow(column)))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError, NotImplementedError):
        values: list[Any] = column.to_pylist()
        return values


def _series(series: pl.Series) -> Column:
    """Bring a series to one of the types the text path reads: strings, lists of strings, or python values."""
    kind = series.dtype
    if kind in (pl.Categorical, pl.Enum, pl.Null):
        return series.cast(pl.String)
    if isinstance(kind, pl.Array | pl.List) and kind.inner in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return series.cast(pl.List(pl.String))
    return series.to_list() if kind == pl.Object else series


def from_frame(source: Any, name: str) -> Raw | None:
    """Read a polars or pandas frame or an Arrow table; None if it is none of these."""
    with guarded(name):
        if isinstance(source, pl.LazyFrame):
            source = source.collect()
        if isinstance(source, pl.DataFrame):
            columns = {c: _series(source[c]) for c in wanted() if c in source.columns}
            return Raw(columns, source.height, tuple(source.columns))
        if isinstance(source, pa.Table | pa.RecordBatch):
            table = source if isinstance(source, pa.Table) else pa.Table.from_batches([source])
            return from_arrow(table, table.column_names)
        if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
            present = tuple(map(str, source.columns))
            twice = {c for c in present if present.count(c) > 1}
            names = [c for c in wanted() if c in present and c not in twice]
            return Raw({c: _pandas_column(source[c]) for c in names}, len(source), present)
    return None


def _pandas_column(column: Any) -> Column:
    if str(column.dtype) == "object":
        return _narrowed([_plain(v) for v in column.tolist()])
    try:
        array = pa.array(column, from_pandas=True)
        array.validate(full=True)
        return _arrow_column(array)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, ValueError, TypeError):
        return _narrowed([_plain(v) for v in column.tolist()])


def _is_missing(value: Any) -> bool:
    """Whether a value is one of pandas' marks for nothing: None, NaN, NaT, NA."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")
