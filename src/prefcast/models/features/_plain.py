"""The notebook's hand counts, of the text itself: newlines are newlines, full stops are full stops."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.models.features._corpus import Corpus

__all__ = ["PLAIN_COUNTS", "plain_counts"]

PLAIN_COUNTS: Final = ("newlines", "blank lines", "full stops", "spaces", "turns", "characters", "words")
"""Names of the columns of `plain_counts`."""

_SPACE: Final = np.isin(np.arange(256), list(b" \t\n\v\f\r"))


def plain_counts(turns: pl.Series) -> npt.NDArray[np.float64]:
    """Count newlines, full stops, words and so on, summed over turns.

    Parameters
    ----------
    turns
        (n,) lists of strings.

    Returns
    -------
    numpy.ndarray
        (n, 7), columns `PLAIN_COUNTS`. Words are what stands between ASCII white space.

    Examples
    --------
    >>> import polars as pl
    >>> plain_counts(pl.Series([["One. Two.", "Three"], []])).tolist()
    [[0.0, 0.0, 2.0, 1.0, 2.0, 14.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    lengths = turns.list.len().fill_null(0).to_numpy()
    texts = turns.explode(keep_nulls=False, empty_as_null=False).cast(pl.String).fill_null("")
    columns = [texts.str.count_matches(literal, literal=True) for literal in ("\n", "\n\n", ".")]
    spaces, words = _spaces_and_words(texts)
    counts = np.column_stack([*columns, spaces, np.ones(len(texts)), texts.str.len_chars(), words]).astype(np.float64)
    # Whole numbers far below 2 ** 53: cumulated sums are exact.
    sums = np.vstack([np.zeros(len(PLAIN_COUNTS)), np.cumsum(counts, axis=0)])
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return np.diff(sums[ends], axis=0)


def _spaces_and_words(texts: pl.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    # Both stand so often that array work on bytes is several times faster than matching one by one.
    corpus = Corpus.of(texts)
    data = corpus.data[: corpus.offsets[-1]]
    space = _SPACE.take(data)
    after_space = np.ones(len(data), np.bool_)
    after_space[1:] = space[:-1]
    starts = corpus.offsets[:-1]
    after_space[starts[starts < len(data)]] = True
    return corpus.per_text(np.flatnonzero(data == ord(" "))), corpus.per_text(np.flatnonzero(after_space & ~space))
