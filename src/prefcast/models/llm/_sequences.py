"""Token sequences: what the text path hands to the engine and to training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

__all__ = ["Sequences", "TokenIds"]

TokenIds = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Token sequences laid end to end.

    Parameters
    ----------
    ids
        All token ids, (total,) int32.
    offsets
        Where each sequence begins, and the end of the last, (n + 1,) int64.
    prefix
        How many leading tokens of each sequence are the same whichever answer stands first, (n,) int64: the opening
        and the first prompt. Their work can be shared between the orders of a battle and battles of one prompt.

    Examples
    --------
    >>> two = Sequences.of([[1, 2, 3], [1, 4]], prefix=[1, 1])
    >>> two.lengths.tolist(), two[1].tolist(), two.take(np.array([1])).ids.tolist()
    ([3, 2], [1, 4], [1, 4])
    """

    ids: TokenIds
    offsets: npt.NDArray[np.int64]
    prefix: npt.NDArray[np.int64]

    @classmethod
    def of(cls, lists: Iterable[npt.ArrayLike], prefix: npt.ArrayLike | None = None) -> Self:
        """Lay lists of token ids end to end; without `prefix` nothing is shared."""
        arrays = [np.asarray(one, dtype=np.int32) for one in lists]
        offsets = np.concatenate([[0], np.cumsum([len(a) for a in arrays])]).astype(np.int64)
        ids = np.concatenate(arrays) if arrays else np.empty(0, np.int32)
        shared = np.zeros(len(arrays), np.int64) if prefix is None else np.asarray(prefix, dtype=np.int64)
        return cls(ids, offsets, shared)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> TokenIds:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each sequence, (n,)."""
        return np.diff(self.offsets)

    def take(self, rows: npt.NDArray[np.int64]) -> Sequences:
        """Select by position, in the order given."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # Piece by piece: an index of every token would be four times as large as the tokens, and slower.
        starts, ends = self.offsets[:-1][rows].tolist(), self.offsets[1:][rows].tolist()
        pieces = [self.ids[a:b] for a, b in zip(starts, ends, strict=True)]
        ids = np.concatenate(pieces) if pieces else np.empty(0, np.int32)
        return Sequences(ids, offsets, self.prefix[rows])

    def concat(self, other: Sequences) -> Sequences:
        """Append another table of sequences."""
        return Sequences(
            np.concatenate([self.ids, other.ids]),
            np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            np.concatenate([self.prefix, other.prefix]),
        )
