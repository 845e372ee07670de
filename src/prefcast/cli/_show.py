"""What several commands show alike: tables of figures, what reading left out or repaired."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from prefcast.battles import Battles
    from prefcast.evaluation import Interval

__all__ = ["console", "figure", "grid", "interval", "said_of_reading", "title"]


def console() -> Console:
    """Make a console of a fixed width, so that output in a pipe or a test looks like that on a terminal."""
    from rich.console import Console

    return Console(width=100, markup=False, highlight=False, emoji=False)


def title(to: Console, text: str) -> None:
    """Print a heading."""
    from rich.text import Text

    to.print(Text(f"\n{text}", style="bold"))


def grid(to: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text: the first column left, figures right."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(columns), header_style="dim")
    for k, name in enumerate(columns):
        shown.add_column(Text(name), justify="right" if k else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    to.print(shown)


def interval(values: Mapping[str, Any]) -> Interval:
    """Read an interval as scores keep it, where what is not defined is None."""
    from prefcast.evaluation import Interval

    return Interval(*(math.nan if values[k] is None else float(values[k]) for k in ("value", "low", "high")))


def figure(values: Mapping[str, Any], spec: str = ".4f") -> str:
    """Write an interval as scores keep it."""
    return f"{interval(values):{spec}}"


def said_of_reading(battles: Battles, without_votes: int) -> list[str]:
    """Say what reading repaired and which battles do not count, one sentence each."""
    import polars as pl

    said = []
    rows = battles.repairs["row"].n_unique()
    if rows:
        counts = battles.repairs.group_by("what").agg(pl.col("row").n_unique()).sort(["row", "what"], descending=True)
        what = ", ".join(f"{n:,} x {kind}" for kind, n in counts.head(3).iter_rows())
        more = ", ..." if counts.height > 3 else ""
        said.append(
            f"{rows:,} {'row was' if rows == 1 else 'rows were'} repaired while reading ({what}{more}): "
            "'prefcast check FILE' lists them."
        )
    if without_votes:
        noun = "battle has no vote and was" if without_votes == 1 else "battles have no vote and were"
        said.append(f"{without_votes:,} {noun} left out.")
    return said
