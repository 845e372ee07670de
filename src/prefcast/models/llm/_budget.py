"""The token budget: how the window is shared between prompt, A and B, and between turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Costs", "Shares", "share_window"]

Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.int64]

_PROMPT: Final = 0.5
"""Weight of a prompt beside an answer: people vote on answers, and a prompt repeats itself in both of them."""


@dataclass(frozen=True)
class Costs:
    """Tokens that are no text of a user.

    Parameters
    ----------
    fixed
        Of every sequence: beginning, end and suffix.
    marks
        Of every round kept: the marks of the prompt and of both answers.
    next_round
        Between two rounds.
    left_out
        Where earlier rounds are left out.
    cut
        Of the mark where a text lost its middle.
    minimum
        Least tokens of a text beside that mark, where it has as many.
    """

    fixed: int
    marks: int
    next_round: int
    left_out: int
    cut: int
    minimum: int

    @property
    def least(self) -> int:
        """The smallest window that holds any battle."""
        return self.fixed + self.left_out + self.marks + 3 * (self.minimum + self.cut)


@dataclass(frozen=True)
class Shares:
    """Who gets how much.

    Parameters
    ----------
    kept
        Whether each turn is kept, (t,); the last of a battle always is.
    tokens
        Tokens that the texts of each turn may take, mark of the cut included, (t, 3); 0 where left out.
    """

    kept: Bool
    tokens: Int


def share_window(lengths: Int, offsets: Int, window: int, costs: Costs) -> Shares:
    """Share a window of tokens between the texts of each battle.

    Texts that fit under a common level stay whole; the others get the level. A prompt weighs half an answer, and a
    turn k turns before the last 1/(k+1). Where not even the minimum of every turn fits, the earliest are left out.
    The answers of a turn are treated alike, so that a battle and its swap are cut alike.

    Parameters
    ----------
    lengths
        Tokens of the prompt and the answers of each turn, (t, 3).
    offsets
        First turn of each battle, and t, (n + 1,); every battle has a turn.
    window
        Tokens of a sequence, at least ``costs.least``.
    costs
        Tokens that are no text.

    Returns
    -------
    Shares
        For each turn.

    Examples
    --------
    >>> costs = Costs(fixed=2, marks=3, next_round=1, left_out=1, cut=1, minimum=2)
    >>> share_window(np.array([[4, 100, 5]]), np.array([0, 1]), 30, costs).tokens
    array([[ 4, 16,  5]])
    """
    first, n_turns = offsets[:-1], np.diff(offsets)
    battle = np.repeat(np.arange(len(first)), n_turns)
    least = np.minimum(lengths, costs.minimum + costs.cut)
    kept, room = _keep(least.sum(axis=1), offsets, battle, window, costs)
    tokens = np.where(kept[:, None], lengths, 0)
    over = np.add.reduceat(tokens.sum(axis=1), first) > room if len(first) else np.empty(0, np.bool_)
    turns = np.flatnonzero(over[battle] & kept)
    if len(turns):
        later = offsets[1:][battle[turns]] - 1 - turns
        weights = np.array([_PROMPT, 1.0, 1.0]) / (1.0 + later[:, None])
        tokens[turns] = _pour(lengths[turns], least[turns], weights, battle[turns], room)
    return Shares(kept, tokens)


def _keep(least: Int, offsets: Int, battle: Int, window: int, costs: Costs) -> tuple[Bool, Int]:
    """Which turns are kept, (t,), and what is left for the texts of each battle, (n,)."""
    need = least + costs.marks + costs.next_round
    total = np.cumsum(need)
    from_here = total[offsets[1:] - 1][battle] - total + need  # this turn and all later ones of its battle
    room = window - costs.fixed + costs.next_round
    whole = from_here[offsets[:-1]] <= room
    kept = whole[battle] | (from_here <= room - costs.left_out)
    n_kept = np.bincount(battle, weights=kept, minlength=len(whole)).astype(np.int64)
    left_out = np.where(n_kept < np.diff(offsets), costs.left_out, 0)
    return kept, room - left_out - n_kept * (costs.marks + costs.next_round)


def _pour(lengths: Int, least: Int, weights: npt.NDArray[np.float64], battle: Int, room: Int) -> Int:
    """Raise the level of each battle, as water in vessels of different widths, until the room is full."""
    starts = np.flatnonzero(np.diff(battle, prepend=-1))
    row = np.cumsum(np.diff(battle, prepend=-1) != 0) - 1
    room = room[battle[starts]]

    def filled(level: Int) -> Int:
        return np.clip(np.floor(level[row, None] * weights).astype(np.int64), least, lengths)

    low = np.zeros(len(room), np.int64)
    high = np.ceil(room / np.minimum.reduceat(weights.min(axis=1), starts)).astype(np.int64)
    while (low < high).any():
        middle = (low + high + 1) // 2
        fits = np.add.reduceat(filled(middle).sum(axis=1), starts) <= room
        low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
    return filled(low)
