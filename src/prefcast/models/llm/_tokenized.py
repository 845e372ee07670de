"""Tokenised battles: what `LLM.prepare` makes, and training and scoring read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.models._base import Int
from prefcast.models.llm._sequences import Sequences

__all__ = ["TokenizedBattles"]


@dataclass(frozen=True, eq=False)
class TokenizedBattles:
    """What a language model reads of n battles.

    Parameters
    ----------
    given
        The battles as given, n sequences.
    swapped
        The same battles with A and B exchanged, n sequences: exactly what tokenising ``battles.swap()`` gives.
    exchange
        Where the canonical order puts B first, (n,). It hangs on the two answers alone, not on which was given first.
    identical
        Where both answers are the same text, (n,).
    cut
        What was cut, one row per battle: ``id``; for each of ``prompt``, ``response_a`` and ``response_b`` its
        ``_tokens`` and how many of them were ``_cut``, as given; ``turns`` and ``turns_left_out``; ``at_least``,
        whether a text was so long that only its ends were counted; ``escaped``, how many section marks and special
        tokens in its texts were broken up.
    """

    given: Sequences
    swapped: Sequences
    exchange: npt.NDArray[np.bool_]
    identical: npt.NDArray[np.bool_]
    cut: pl.DataFrame

    def __len__(self) -> int:
        return len(self.given)

    def take(self, rows: Int) -> TokenizedBattles:
        """Select by position, in the order given."""
        return TokenizedBattles(
            self.given.take(rows), self.swapped.take(rows), self.exchange[rows], self.identical[rows], self.cut[rows]
        )

    def concat(self, other: TokenizedBattles) -> TokenizedBattles:
        """Append other battles below these."""
        return TokenizedBattles(
            self.given.concat(other.given),
            self.swapped.concat(other.swapped),
            np.concatenate([self.exchange, other.exchange]),
            np.concatenate([self.identical, other.identical]),
            pl.concat([self.cut, other.cut]),
        )
