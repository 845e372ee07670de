"""The notebook's hand counts, of the text itself: newlines are newlines, full stops are full stops."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["PLAIN_COUNTS", "plain_counts"]

_COUNTED: Final[dict[str, pl.Expr]] = {
    "newlines": pl.col("text").str.count_matches("\n", literal=True),
    "blank lines": pl.col("text").str.count_matches("\n\n", literal=True),
    "full stops": pl.col("text").str.count_matches(".", literal=True),
    "spaces": pl.col("text").str.count_matches(" ", literal=True),
    "turns": pl.lit(1),
    "characters": pl.col("text").str.len_chars(),
    "words": pl.col("text").str.count_matches(r"\S+"),
}

PLAIN_COUNTS: Final = tuple(_COUNTED)
"""Names of the columns of `plain_counts`."""


def plain_counts(turns: pl.Series) -> npt.NDArray[np.float64]:
    """Count newlines, full stops, words and so on, summed over turns.

    Parameters
    ----------
    turns
        (n,) lists of strings.

    Returns
    -------
    numpy.ndarray
        (n, 7), columns `PLAIN_COUNTS`.

    Examples
    --------
    >>> import polars as pl
    >>> plain_counts(pl.Series([["One. Two.", "Three"], []])).tolist()
    [[0.0, 0.0, 2.0, 1.0, 2.0, 14.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    lengths = turns.list.len().fill_null(0).to_numpy()
    flat = turns.explode(keep_nulls=False, empty_as_null=False).cast(pl.String).fill_null("")
    frame = flat.alias("text").to_frame().select(e.alias(name).cast(pl.Float64) for name, e in _COUNTED.items())
    # Whole numbers far below 2 ** 53: cumulated sums are exact.
    sums = np.vstack([np.zeros(len(_COUNTED)), np.cumsum(frame.to_numpy(), axis=0)])
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return np.diff(sums[ends], axis=0)
