"""Many n-grams looked up at every position of a sequence at once, exactly: a trie in one table, walked in step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Int", "Key", "Trie", "order_of", "prefix_closed"]

Int = npt.NDArray[np.int64]
Key = tuple[int, ...]

_DEAD: Final = 0


def order_of(key: Key) -> tuple[int, Key]:
    """Sort key of n-grams: the short before the long, then by their symbols."""
    return len(key), key


def prefix_closed(keys: Sequence[Key]) -> list[Key]:
    """Add all prefixes, and sort the short before the long.

    Examples
    --------
    >>> prefix_closed([(3, 1, 2), (4,)])
    [(3,), (4,), (3, 1), (3, 1, 2)]
    """
    return sorted({key[:n] for key in keys for n in range(1, len(key) + 1)}, key=order_of)


@dataclass(frozen=True, eq=False)
class Trie:
    """A set of n-grams of symbols, closed under prefixes.

    Node 0 is dead: no n-gram of the set. Node i + 1 stands for the i-th n-gram. Nodes are numbered level by level, so
    that the deepest of the nodes met on one walk is the largest number, and children of one parent are neighbours.

    Parameters
    ----------
    table
        Node after ``node`` and ``symbol`` at ``node * n_symbols + symbol``; the root's row is apart, in ``first``.
    first
        Node after each symbol at the start, (n_symbols,).
    n_symbols
        Number of symbols with symbol 0, which is in no n-gram.
    families
        For each level from the deepest to the second: its first and last node (exclusive), the parents that have
        children there, and where each parent's children begin.
    """

    table: Int
    first: Int
    n_symbols: int
    families: tuple[tuple[int, int, Int, Int], ...]

    @classmethod
    def of(cls, keys: Sequence[Key], n_symbols: int) -> Self:
        """Build from n-grams as `prefix_closed` gives them, with symbols from 1 to n_symbols - 1."""
        node = {key: i + 1 for i, key in enumerate(keys)}
        first, table = np.zeros(n_symbols, np.int64), np.zeros((len(keys) + 1) * n_symbols, np.int64)
        parents = np.zeros(len(keys) + 1, np.int64)
        for key, i in node.items():
            if len(key) == 1:
                first[key[0]] = i
            else:
                parents[i] = node[key[:-1]]
                table[parents[i] * n_symbols + key[-1]] = i
        depths = np.array([0, *map(len, keys)])
        families = []
        for depth in range(int(depths.max()), 1, -1):
            low, high = np.searchsorted(depths, [depth, depth + 1]).tolist()
            families.append((low, high, *np.unique(parents[low:high], return_index=True)))
        return cls(table, first, n_symbols, tuple(families))

    @property
    def depth(self) -> int:
        """Length of the longest n-gram."""
        return len(self.families) + 1

    @property
    def n_nodes(self) -> int:
        """Number of n-grams, and one for the dead node."""
        return len(self.table) // self.n_symbols

    def deepest(self, symbols: Int) -> Int:
        """Find the longest n-gram that begins at each position.

        All its prefixes begin there as well, so this one number says everything about the position.

        Parameters
        ----------
        symbols
            (n,), from 0 to n_symbols - 1.

        Returns
        -------
        Int
            Nodes, (n,).
        """
        n = len(symbols)
        padded = np.concatenate([symbols, np.zeros(self.depth, np.int64)])
        # Every index is in range by construction; "clip" only spares numpy a second pass to prove it.
        node = self.first.take(symbols, mode="clip")
        best = node.copy()
        for step in range(1, self.depth):
            node *= self.n_symbols
            node += padded[step : step + n]
            node = self.table.take(node, mode="clip")
            np.maximum(best, node, out=best)
        return best

    def count(self, symbols: Int, rows: Int, n_rows: int) -> Int:
        """Count every n-gram in every row.

        Parameters
        ----------
        symbols
            (n,), rows one after another, with symbol 0 between what no n-gram may cross.
        rows
            Row of each symbol, (n,), from 0.
        n_rows
            Number of rows.

        Returns
        -------
        Int
            Counts, (n_rows, n_nodes); column 0 is 0.
        """
        where = rows * self.n_nodes
        where += self.deepest(symbols)
        counts = np.bincount(where, minlength=n_rows * self.n_nodes).reshape(n_rows, self.n_nodes)
        for low, high, parents, starts in self.families:
            counts[:, parents] += np.add.reduceat(counts[:, low:high], starts, axis=1)
        counts[:, _DEAD] = 0
        return counts

    def find(self, symbols: Int, starts: Int, lengths: Int) -> Int:
        """Find the node of each of m spans, 0 where the span is none of the set.

        Parameters
        ----------
        symbols
            (n,).
        starts, lengths
            Of the spans, (m,); lengths are at least 1.

        Returns
        -------
        Int
            Nodes, (m,).
        """
        found = np.zeros(len(starts), np.int64)
        span, at, left = np.arange(len(starts)), starts, lengths
        node = self.first.take(symbols.take(at, mode="clip"), mode="clip")
        for _ in range(self.depth):
            alive = np.flatnonzero(node)
            span, at, left, node = span.take(alive), at.take(alive), left.take(alive), node.take(alive)
            done = np.flatnonzero(left == 1)
            found[span.take(done)] = node.take(done)
            node[done] = _DEAD  # their row in the table is that of the dead node, which leads nowhere
            left -= 1
            at += 1
            node *= self.n_symbols
            node += symbols.take(at, mode="clip")
            node = self.table.take(node, mode="clip")
        return found
