"""What was read from a file before anything is understood: columns by name, and where they stood."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

import polars as pl

from prefcast.battles._problems import FINDINGS_SCHEMA
from prefcast.battles._turns import Column

__all__ = ["Raw", "portions", "rebatch"]

_T = TypeVar("_T")
_SIZE: Final = 8 << 20


@dataclass(frozen=True)
class Raw:
    """A part of a table as it was read.

    Parameters
    ----------
    columns
        The columns that some layout reads, by name, ``height`` cells each.
    height
        Number of rows.
    present
        Names of all columns of the table.
    found
        What was wrong with the rows before their cells were read, in rows of this part.
    """

    columns: dict[str, Column]
    height: int
    present: tuple[str, ...]
    found: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FINDINGS_SCHEMA))

    def slice(self, start: int, length: int) -> Raw:
        """Take some rows."""
        stop = min(start + length, self.height)
        here = pl.col("row").is_between(start, stop - 1)
        # what was found beside the rows has no row: it stays with the first ones
        here |= pl.col("row").is_null() & (start == 0)
        found = self.found.filter(here).with_columns(pl.col("row") - start)
        columns = {name: column[start:stop] for name, column in self.columns.items()}
        return Raw(columns, stop - start, self.present, found)

    def append(self, other: Raw) -> Raw:
        """Put another part of the same table below this one; a column that one of them lacks is null there."""
        below = other.found.with_columns(pl.col("row") + self.height)
        none: tuple[Column, Column] = ([None] * self.height, [None] * other.height)
        columns = {
            name: _joined(self.columns.get(name, none[0]), other.columns.get(name, none[1]))
            for name in {**self.columns, **other.columns}
        }
        present = tuple(dict.fromkeys((*self.present, *other.present)))
        return Raw(columns, self.height + other.height, present, pl.concat([self.found, below]))


def _joined(above: Column, below: Column) -> Column:
    if isinstance(above, pl.Series) and isinstance(below, pl.Series) and above.dtype == below.dtype:
        return pl.concat([above, below])
    return [*above, *below]


def portions(items: Iterable[_T], size: Callable[[_T], int], most: int) -> Iterator[list[_T]]:
    """Gather items into lists of at most ``most``, fewer where they are large: memory, not number, is the bound."""
    held: list[_T] = []
    total = 0
    for item in items:
        held.append(item)
        total += size(item)
        if len(held) >= most or total >= _SIZE:
            yield held
            held, total = [], 0
    if held:
        yield held


def rebatch(parts: Iterable[Raw], rows: int) -> Iterator[Raw]:
    """Cut parts of any height into parts of exactly ``rows`` rows, and a last one of what is left."""
    held: Raw | None = None
    for part in parts:
        held = part if held is None or held.height == 0 else held.append(part)
        start = 0
        while held.height - start >= rows:
            yield held.slice(start, rows)
            start += rows
        held = held.slice(start, held.height - start) if start else held
    if held is not None and held.height:
        yield held
