"""The most frequent n-grams of long sequences, found level by level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np

from prefcast.models.features._trie import Int, Key, order_of

__all__ = ["grow"]


@dataclass(frozen=True)
class _Trail:
    """Where n-grams of the frontier stand in one block.

    Parameters
    ----------
    symbols, rows
        The block.
    at
        Positions after them, ascending, (m,).
    node
        Which n-gram of the frontier each is, (m,).
    """

    symbols: Int
    rows: Int
    at: Int
    node: Int

    @classmethod
    def start(cls, symbols: Int, rows: Int) -> _Trail:
        at = np.flatnonzero(symbols[:-1])  # the last symbol of a block is a break, so a next one always exists
        return cls(symbols, rows, at + 1, symbols[at] - 1)

    def codes(self, n_symbols: int) -> Int:
        """One number for each n-gram and the symbol after it."""
        return self.node * n_symbols + self.symbols[self.at]

    def follow(self, codes: Int, number: Int) -> _Trail:
        """Go one symbol on, where ``number`` says that the longer n-gram is in the next frontier."""
        node = number[codes]
        alive = np.flatnonzero(node >= 0)
        return _Trail(self.symbols, self.rows, self.at[alive] + 1, node[alive])

    def rows_with(self, codes: Int, number: Int, size: int) -> Int:
        """Count the rows that have each of ``size`` longer n-grams."""
        node = number[codes]
        alive = np.flatnonzero(node >= 0)
        pairs = np.unique(self.rows[self.at[alive]] * size + node[alive])
        return np.bincount(pairs % max(size, 1), minlength=size)


def grow(
    blocks: Sequence[tuple[Int, Int]], first: dict[Key, int], *, size: int, longest: int, min_rows: int
) -> list[Key]:
    """Find the most frequent n-grams of symbols, given the most frequent single symbols.

    Parameters
    ----------
    blocks
        Symbols, with a 0 after each text, and the row of each symbol, ascending. No row is in two blocks.
    first
        How often each single symbol that is kept stands there; symbols from 1 to their number.
    size
        Number of n-grams to keep at most.
    longest
        Largest n.
    min_rows
        An n-gram that stands in fewer rows is not kept.

    Returns
    -------
    list[Key]
        The n-grams, short ones first. Among equally frequent ones the shorter and the one that sorts first is kept.
    """
    n_symbols = len(first) + 1
    trails = [_Trail.start(symbols, rows) for symbols, rows in blocks if len(symbols)]
    kept, frontier = dict(first), sorted(first)
    for _ in range(longest - 1):
        codes = [trail.codes(n_symbols) for trail in trails]
        frequency = np.zeros(len(frontier) * n_symbols, np.int64)
        for some in codes:
            frequency += np.bincount(some, minlength=len(frequency))
        frequency[::n_symbols] = 0
        # One that is rarer than the last of those kept has no chance; of the others, rows must be counted.
        least = min(kept.values(), default=1) if len(kept) == size else 1
        hopeful = np.flatnonzero(frequency >= max(least, min_rows, 1))
        number = np.full(len(frequency), -1)
        number[hopeful] = np.arange(len(hopeful))
        rows = np.zeros(len(hopeful), np.int64)
        for trail, some in zip(trails, codes, strict=True):
            rows += trail.rows_with(some, number, len(hopeful))
        new = {
            (*frontier[code // n_symbols], code % n_symbols): (code, int(frequency[code]))
            for code in hopeful[rows >= min_rows].tolist()
        }
        pool = kept | {key: count for key, (_, count) in new.items()}
        kept = {key: pool[key] for key in nsmallest(size, pool, key=lambda key: (-pool[key], order_of(key)))}
        frontier = sorted(key for key in new if key in kept)
        number[:] = -1
        number[[new[key][0] for key in frontier]] = np.arange(len(frontier))
        trails = [trail.follow(some, number) for trail, some in zip(trails, codes, strict=True)]
    return sorted(kept, key=order_of)
