"""What users write stays text: no section mark of the template and no special token can be made of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["Guard"]

_DROPPED: Final = "\ufffd"
"""Characters that tokenizers drop, beside white space, accents and control characters."""
_GAP: Final = r"[\s\x00-\x1f\x7f]*"
_SMALL_GAP: Final = r"[\s\p{M}\p{C}\p{Z}\x{FFFD}]+"


@dataclass(frozen=True)
class Guard:
    r"""Finds forbidden strings in texts, and breaks them up visibly.

    A tokenizer may change case and form of letters and drop accents, white space and control characters. So a string
    is found however it is dressed up in these, and an escape is put behind its first character.

    Parameters
    ----------
    forbidden
        What no text may contain.
    escape
        One visible character that none of them contains.

    Examples
    --------
    >>> Guard(("[Answer B]",), "\\").escape_all(["x [ANSWER  b]", "fine"])
    (['x [\\ANSWER  b]', 'fine'], array([1, 0]))
    """

    forbidden: tuple[str, ...]
    escape: str

    @cached_property
    def _folded(self) -> list[str]:
        return sorted({f for f in (_fold(text)[0] for text in self.forbidden) if f}, key=len, reverse=True)

    def suspects(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Which texts contain a forbidden string: positions."""
        if not self._folded or not len(texts):
            return np.empty(0, np.int64)
        column = pl.Series(texts, dtype=pl.String)
        # Most texts are plain ASCII, and for those a search without folding is as good and ten times as fast.
        plain = "|".join(_GAP.join(re.escape(c) for c in folded) for folded in self._folded if folded.isascii())
        ascii_ = column.str.len_bytes() == column.str.len_chars()
        found = ascii_ & column.str.contains(f"(?i){plain}") if plain else pl.repeat(False, len(column), eager=True)
        other = np.flatnonzero(~ascii_.to_numpy())
        folded = column.gather(other).str.normalize("NFKD").str.to_lowercase().str.replace_all(_SMALL_GAP, "")
        also = other[folded.str.contains_any(self._folded).to_numpy()]
        return np.union1d(np.flatnonzero(found.to_numpy()), also)

    def escape_all(self, texts: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Break up every forbidden string.

        Parameters
        ----------
        texts
            Any texts, n.

        Returns
        -------
        texts
            The same, escapes added.
        counts
            Escapes added to each, (n,).
        """
        safe = list(texts)
        counts = np.zeros(len(safe), np.int64)
        for i in self.suspects(safe).tolist():
            safe[i], counts[i] = self._escape(safe[i])
        return safe, counts

    def _escape(self, text: str) -> tuple[str, int]:
        folded, origin = _fold(text)
        pattern = "|".join(map(re.escape, self._folded))
        at: dict[int, int] = {}  # place of an escape -> characters it replaces
        for match in re.finditer(f"(?=({pattern}))", folded):  # overlapping ones too
            inside = origin[match.start(1) : match.end(1)]
            behind = next((k for k in inside if k != inside[0]), None)
            # One character may stand for all of it, as a circled letter does: then the escape takes its place.
            at.update({inside[0]: 1} if behind is None else {behind: 0})
        pieces, last = [], 0
        for k in sorted(at):
            pieces += [text[last:k], self.escape]
            last = k + at[k]
        return "".join([*pieces, text[last:]]), len(at)


def _fold(text: str) -> tuple[str, list[int]]:
    """Drop what a tokenizer may drop; and the place in `text` of each character that is left."""
    folded: list[str] = []
    origin: list[int] = []
    for k, char in enumerate(text):
        for c in unicodedata.normalize("NFKD", char).lower():
            if c not in _DROPPED and not c.isspace() and unicodedata.category(c)[0] not in "MCZ":
                folded.append(c)
                origin.append(k)
    return "".join(folded), origin
