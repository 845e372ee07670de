"""What was read from a file before anything is understood: columns by name, and where they stood."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import polars as pl

from prefcast.battles._problems import FINDINGS_SCHEMA
from prefcast.battles._turns import Column

__all__ = ["Raw", "rebatch"]


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
        """Put another part of the same table below this one."""
        below = other.found.with_columns(pl.col("row") + self.height)
        columns = {name: _joined(self.columns[name], other.columns[name]) for name in self.columns}
        return Raw(columns, self.height + other.height, self.present, pl.concat([self.found, below]))


def _joined(above: Column, below: Column) -> Column:
    if isinstance(above, pl.Series) and isinstance(below, pl.Series) and above.dtype == below.dtype:
        return pl.concat([above, below])
    return [*above, *below]


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
