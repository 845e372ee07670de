"""Counts of the most frequent word or character n-grams, as sparse rows: CountVectorizer's counts, many times faster.

The vocabulary is the first ``size`` n-grams by frequency, the shorter and then the alphabetically first among equals.
In that order an n-gram never stands before its own beginning, so the vocabulary holds the beginning of each of its
members. Hence it can be grown from n-grams to (n + 1)-grams without losing any (the a-priori rule), and counted by one
walk down a trie from every position. No hashing: counts are exact.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from heapq import nsmallest
from itertools import pairwise
from typing import Final, Literal, Self

import numpy as np
import polars as pl
from scipy import sparse

from prefcast.models.features._frequent import grow
from prefcast.models.features._symbols import CharacterSymbols, Symboliser, WordSymbols, split_characters, split_words
from prefcast.models.features._trie import Int, Key, Trie

__all__ = ["NGrams", "Unit"]

Unit = Literal["word", "character"]

_SPLIT: Final[dict[str, Callable[[str], Iterable[str]]]] = {"word": split_words, "character": split_characters}
_BLOCK_CHARACTERS: Final = 100_000  # with the cells below, what one step works on stays in a core's second cache
_BLOCK_CELLS: Final = 200_000


@dataclass(frozen=True, eq=False)
class NGrams:
    """A vocabulary of n-grams, and the counting of them.

    Texts are put in lower case. A word is a run of two or more letters or digits, and a word n-gram is joined by
    blanks; for character n-grams every run of white space is one blank. An n-gram never crosses from one turn into the
    next.

    Parameters
    ----------
    unit
        What n-grams are made of, ``word`` or ``character``.
    vocabulary
        The n-grams, v of them, in the order of the columns: short ones first, then by the units. With an n-gram, its
        beginnings are in it as well, and of word n-grams every word.

    Raises
    ------
    ValueError
        The vocabulary is not as said.

    Examples
    --------
    >>> import polars as pl
    >>> turns = pl.Series([["How are you?", "How are they?"], ["Fine."]])
    >>> ngrams = NGrams.fit(turns, "word", size=3, min_rows=1)
    >>> ngrams.vocabulary
    ('are', 'how', 'how are')
    >>> ngrams.count(turns).toarray()
    array([[2, 2, 2],
           [0, 0, 0]], dtype=int32)
    """

    unit: Unit
    vocabulary: tuple[str, ...]

    def __post_init__(self) -> None:
        keys = [self._units(ngram) for ngram in self.vocabulary]
        known, singles = set(keys), set(self._alphabet)
        if keys != sorted(known, key=lambda key: (len(key), key)):
            raise ValueError("the vocabulary has an n-gram twice or is not in order")
        lost = [k for k in keys if not k or (len(k) > 1 and k[:-1] not in known) or not singles.issuperset(k)]
        if lost:
            raise ValueError(f"the vocabulary has {lost[0]!r} but not what it begins with or is made of")

    @classmethod
    def fit(
        cls,
        texts: pl.Series,
        unit: Unit,
        *,
        size: int,
        longest: int = 5,
        min_rows: int = 4,
        sample: int = 8_000_000,
        seed: int = 0,
    ) -> Self:
        """Learn the most frequent n-grams.

        Parameters
        ----------
        texts
            (n,) strings, or lists of turns.
        unit
            What n-grams are made of.
        size
            Number of n-grams to keep at most.
        longest
            Largest n.
        min_rows
            An n-gram that stands in fewer rows is not kept.
        sample
            Characters to look at, about: of a larger series, rows drawn at random.
        seed
            Of that draw.

        Returns
        -------
        NGrams
            With its vocabulary; empty if nothing is frequent enough.
        """
        turns = _Turns.of(_sample(texts, sample, seed))
        split = _SPLIT[unit]
        frequency, rows = Counter[str](), Counter[str]()
        for row in turns.each_row():
            pieces = [piece for text in row for piece in split(text)]
            frequency.update(pieces)
            rows.update(set(pieces))
        singles = nsmallest(size, ((-f, single) for single, f in frequency.items() if rows[single] >= min_rows))
        alphabet = sorted(single for _, single in singles)
        symboliser = _symboliser(unit, alphabet)
        blocks = [_encode(block, symboliser) for block in turns.blocks(0)]
        first: dict[Key, int] = {(i + 1,): frequency[single] for i, single in enumerate(alphabet)}
        keys = grow(blocks, first, size=size, longest=longest, min_rows=min_rows)
        joint = "" if unit == "character" else " "
        return cls(unit, tuple(joint.join(alphabet[s - 1] for s in key) for key in keys))

    def count(self, texts: pl.Series, *, threads: int | None = None) -> sparse.csr_array:
        """Count the n-grams of each row.

        Parameters
        ----------
        texts
            (n,) strings, or lists of turns.
        threads
            How many blocks to work on at once; one per core if None. The result does not depend on it.

        Returns
        -------
        scipy.sparse.csr_array
            Counts, (n, v), int32.
        """
        turns = _Turns.of(texts)
        if not self.vocabulary or not turns.n_rows:
            return sparse.csr_array(np.zeros((turns.n_rows, len(self.vocabulary)), np.int32))
        tools = self._tools
        with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
            parts = list(pool.map(lambda block: _count(block, *tools), turns.blocks(len(self.vocabulary) + 1)))
        data, columns, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        index = np.int32 if len(data) < np.iinfo(np.int32).max else np.int64
        shape = (turns.n_rows, len(self.vocabulary))
        return sparse.csr_array((data, columns.astype(index, copy=False), starts.astype(index)), shape=shape)

    @cached_property
    def _tools(self) -> tuple[Symboliser, Trie]:
        number = {single: i + 1 for i, single in enumerate(self._alphabet)}
        keys = [tuple(number[unit] for unit in self._units(ngram)) for ngram in self.vocabulary]
        return _symboliser(self.unit, self._alphabet), Trie.of(keys, len(number) + 1)

    def _units(self, ngram: str) -> tuple[str, ...]:
        return tuple(ngram) if self.unit == "character" else tuple(ngram.split(" "))

    @property
    def _alphabet(self) -> list[str]:
        return [ngram for ngram in self.vocabulary if len(self._units(ngram)) == 1]


def _symboliser(unit: Unit, alphabet: Sequence[str]) -> Symboliser:
    return CharacterSymbols.of(alphabet) if unit == "character" else WordSymbols.of(alphabet)


@dataclass(frozen=True, eq=False)
class _Turns:
    """Turns of n rows, end to end.

    Parameters
    ----------
    texts
        (t,) strings.
    rows
        Row of each turn, (t,), ascending.
    n_rows
        Number of rows.
    """

    texts: pl.Series
    rows: Int
    n_rows: int

    @classmethod
    def of(cls, texts: pl.Series) -> _Turns:
        if texts.dtype == pl.String:
            return cls(texts.fill_null(""), np.arange(len(texts)), len(texts))
        lengths = texts.list.len().fill_null(0).cast(pl.Int64).to_numpy()
        flat = texts.explode(keep_nulls=False, empty_as_null=False).cast(pl.String).fill_null("")
        return cls(flat, np.repeat(np.arange(len(texts)), lengths), len(texts))

    def each_row(self) -> Iterator[list[str]]:
        texts, bounds = self.texts.to_list(), np.searchsorted(self.rows, np.arange(self.n_rows + 1)).tolist()
        for low, high in pairwise(bounds):
            yield texts[low:high]

    def blocks(self, width: int) -> Iterator[_Turns]:
        """Cut into runs of whole rows, small enough to be counted in a dense array ``width`` wide."""
        sizes = np.bincount(self.rows, self.texts.str.len_chars().to_numpy(), minlength=self.n_rows)
        cost = np.cumsum(sizes / _BLOCK_CHARACTERS + width / _BLOCK_CELLS)
        cuts = np.flatnonzero(np.diff(np.floor(cost))) + 1
        rows = [0, *cuts.tolist(), self.n_rows]
        turns = np.searchsorted(self.rows, rows).tolist()
        for (row, next_row), (low, high) in zip(pairwise(rows), pairwise(turns), strict=True):
            yield _Turns(self.texts[low:high], self.rows[low:high] - row, next_row - row)


def _encode(turns: _Turns, symboliser: Symboliser) -> tuple[Int, Int]:
    """Symbols and row of each symbol."""
    encoded = symboliser.encode(turns.texts.to_list())
    return encoded.symbols, np.repeat(turns.rows, encoded.lengths)


def _count(turns: _Turns, symboliser: Symboliser, trie: Trie) -> tuple[Int, Int, Int]:
    """Counts above 0 of a block in row order, their columns, and how many there are in each row."""
    counts = trie.count(*_encode(turns, symboliser), turns.n_rows).ravel()
    where = np.flatnonzero(counts != 0)  # of booleans it is much faster than of integers
    bounds = np.arange(turns.n_rows + 1) * trie.n_nodes
    lengths = np.diff(np.searchsorted(where, bounds))
    columns = where - np.repeat(bounds[:-1] + 1, lengths)  # node 0 is no n-gram
    return counts[where].astype(np.int32), columns.astype(np.int32), lengths


def _sample(texts: pl.Series, characters: int, seed: int) -> pl.Series:
    turns = _Turns.of(texts)
    sizes = np.bincount(turns.rows, turns.texts.str.len_chars().to_numpy(), minlength=turns.n_rows)
    if sizes.sum() <= characters:
        return texts
    order = np.random.default_rng(seed).permutation(len(texts))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), characters)) + 1
    return texts[np.sort(order[:enough])]
