"""The texts of battles: each distinct one once, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from prefcast.battles import Battles
from prefcast.errors import DataError

__all__ = ["FIELDS", "Turns"]

FIELDS: Final = ("prompt", "response_a", "response_b")


@dataclass(frozen=True, eq=False)
class Turns:
    """The turns of n battles, t in all.

    Parameters
    ----------
    texts
        The distinct texts.
    codes
        Which of them is the prompt, the answer of A and that of B, (t, 3).
    offsets
        First turn of each battle, and t, (n + 1,).
    """

    texts: list[str]
    codes: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, battles: Battles) -> Self:
        """Collect the texts of battles.

        Raises
        ------
        DataError
            A battle has no turn, or not as many answers as prompts.
        """
        frame = battles.frame
        counts = np.stack([frame[name].list.len().fill_null(0).to_numpy() for name in FIELDS], axis=1)
        bad = np.flatnonzero((counts != counts[:, :1]).any(axis=1) | (counts[:, 0] == 0))
        if len(bad):
            raise DataError(
                f"{len(bad)} battles have no turn, or not as many answers as prompts; the first is "
                f"{frame['id'][int(bad[0])]!r}. Read the file with prefcast.read_battles(...), which mends that.",
                rows=bad[:5].tolist(),
                columns=FIELDS,
            )
        columns = [frame[name].explode(keep_nulls=False, empty_as_null=False).fill_null("") for name in FIELDS]
        return cls._from([column.to_list() for column in columns], np.append(0, np.cumsum(counts[:, 0])))

    @classmethod
    def _from(cls, columns: list[list[str]], offsets: npt.NDArray[np.int64]) -> Self:
        places: dict[str, int] = {}
        codes = [[places.setdefault(text, len(places)) for text in column] for column in columns]
        return cls(list(places), np.array(codes, dtype=np.int64).T, offsets.astype(np.int64))

    @property
    def battle(self) -> npt.NDArray[np.int64]:
        """Battle of each turn, (t,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def join(self, between: str) -> Turns:
        """Make one turn of each battle: its prompts joined, the answers of A joined and those of B."""
        texts = self.texts
        bounds = self.offsets.tolist()
        columns = [
            [between.join(texts[k] for k in column[a:b]) for a, b in pairwise(bounds)]
            for column in self.codes.T.tolist()
        ]
        return Turns._from(columns, np.arange(len(self.offsets)))
