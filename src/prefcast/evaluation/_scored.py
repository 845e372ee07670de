"""Forecasts beside their votes, checked and ready to be scored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prefcast.battles import Battles, find_groups
from prefcast.errors import DataError
from prefcast.evaluation._bootstrap import Interval, Resampler
from prefcast.evaluation._metrics import Array, Float, check_probabilities, check_votes, row_hit, row_log_loss

__all__ = ["Scored", "SideBySide", "scored"]


@dataclass(frozen=True)
class SideBySide:
    """The same figure of people's votes and of the forecasts, on the same battles.

    Parameters
    ----------
    people
        Of the votes.
    forecasts
        Of the forecasts.
    """

    people: Interval
    forecasts: Interval


@dataclass(frozen=True, eq=False)
class Scored:
    """Rows with votes only: probabilities as scored, votes, weights, battles and the shared draws."""

    p: Float
    votes: Float
    weights: Float
    battles: Battles
    resampler: Resampler

    @cached_property
    def loss(self) -> Float:
        """Log loss of each row, (n,)."""
        return row_log_loss(self.p, self.votes)

    @cached_property
    def hit(self) -> Float:
        """Share of each vote on the most probable class, (n,)."""
        return row_hit(self.p, self.votes)

    def side_by_side(self, people: Float, forecasts: Float, weights: Float) -> SideBySide:
        """Weighted means of one figure per row of votes and of forecasts."""
        votes, model = self.resampler.means(np.stack([people, forecasts], axis=1), weights)
        return SideBySide(votes, model)


def scored(p: Array, battles: Battles, groups: Array | None, *, times: int, seed: int) -> Scored:
    """Check forecasts of battles and keep the rows that have votes.

    Parameters
    ----------
    p
        Probabilities of all battles, (n, 3).
    battles
        Some must have votes.
    groups
        Group of each battle, (n,); found from the texts if not given.
    times
        Number of bootstrap draws.
    seed
        Seed of the draws.

    Returns
    -------
    Scored
        The rows with votes.

    Raises
    ------
    DataError
        No battle has a vote and a weight, or the shapes differ, or a probability or vote cannot be used.
    """
    q = check_probabilities(p, len(battles))
    g = None if groups is None else np.asarray(groups)
    if g is not None and g.shape != (len(battles),):
        raise DataError(f"groups have the shape {g.shape}; {len(battles)} battles need ({len(battles)},).")
    if times < 0:
        raise DataError(f"the number of bootstrap draws is {times}; it needs to be 0 or more (1000 is usual).")
    rows = np.flatnonzero(battles.has_votes)
    if len(rows) < len(battles):
        battles, q, g = battles.take(rows), q[rows], None if g is None else g[rows]
    wrong = np.flatnonzero(~(np.isfinite(battles.weights) & (battles.weights >= 0)))
    if len(wrong):
        raise DataError(
            f"{len(wrong)} battles have a weight that is negative or not finite, the first of them "
            f"id {battles.ids[int(wrong[0])]}; weights need to be 0 or more.",
            rows=rows[wrong[:5]].tolist(),
            columns=("weight",),
        )
    if not battles.weights.sum() > 0:
        raise DataError(
            "none of the battles has a vote (with a weight above 0), so there is nothing to score against. "
            "Give a file with winner_model_a, winner_model_b and winner_tie.",
            columns=("vote_a", "vote_b", "vote_tie"),
        )
    g = find_groups(battles) if g is None else g
    return Scored(q, check_votes(battles.votes), battles.weights, battles, Resampler(g, times=times, seed=seed))
