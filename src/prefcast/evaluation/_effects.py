"""What sways the outcome besides quality: position, length, markdown; of people and of forecasts side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from prefcast.evaluation._bootstrap import Interval, Resampler
from prefcast.evaluation._metrics import Float
from prefcast.evaluation._scored import Scored, SideBySide
from prefcast.evaluation._text import Texts

__all__ = ["Effect", "Effects", "Identical", "effects", "logistic_slope"]

_STEPS: Final = 30
_STEEPEST: Final = 30.0
"""Slope per standard deviation beyond which the data are taken to be separable, so that there is no estimate."""


@dataclass(frozen=True)
class Effect:
    """How an amount (of characters, of markdown) sways decisive outcomes.

    Parameters
    ----------
    n
        Battles with a decisive vote and unequal amounts.
    wins
        Probability that the answer with more of it wins, given that one wins.
    slope
        Logistic slope of that A wins on the log ratio of the amounts, log((1 + A) / (1 + B)), over all decisive votes.
    """

    n: int
    wins: SideBySide
    slope: SideBySide


@dataclass(frozen=True)
class Identical:
    """Battles whose two answers are the same.

    Parameters
    ----------
    n
        Number of them.
    tie
        Share of tie votes and mean probability of a tie.
    """

    n: int
    tie: SideBySide


@dataclass(frozen=True)
class Effects:
    """Effects of people and forecasts side by side.

    Parameters
    ----------
    position
        Share of A minus share of B: above zero, the first place has an advantage (or the better models stand there).
    length
        Of the characters of the answers.
    markdown
        Of their markdown marks.
    identical
        Ties among identical answers.
    """

    position: SideBySide
    length: Effect
    markdown: Effect
    identical: Identical


def logistic_slope(x: Float, target: Float, weights: Float, resampler: Resampler) -> Interval:
    """Slope of a weighted logistic regression of a share on one variable, with an intercept.

    Each draw takes one Newton step from the estimate, which is its own estimate up to second order.

    Parameters
    ----------
    x
        The variable, (n,).
    target
        Shares from 0 to 1, (n,).
    weights
        Weight of each row, (n,).
    resampler
        Draws over the groups of these rows.

    Returns
    -------
    Interval
        The slope in log-odds per unit of `x`; NaN where there is no finite estimate.
    """
    undefined = Interval(math.nan, math.nan, math.nan)
    total = weights.sum()
    if not total > 0:
        return undefined
    mean = weights @ x / total
    spread = math.sqrt(weights @ (x - mean) ** 2 / total)
    if not spread > 1e-12:
        return undefined
    design = np.stack([np.ones(len(x)), (x - mean) / spread], axis=1)
    beta = _fit(design, target, weights)
    if beta is None:
        return undefined
    share = expit(design @ beta)
    gradient = design * (weights * (target - share))[:, None]
    curve = weights * share * (1 - share)
    products = np.stack([curve, curve * design[:, 1], curve * design[:, 1] ** 2], axis=1)
    sums = resampler.unit_sums(np.concatenate([gradient, products], axis=1))

    def step(s: Float) -> Float:
        g0, g1, h0, h1, h2 = s.T
        slope: Float = beta[1] + (h0 * g1 - h1 * g0) / (h0 * h2 - h1**2)
        return slope[:, None] / spread

    (found,) = resampler.statistics(sums, step)
    return found


def _fit(design: Float, target: Float, weights: Float) -> Float | None:
    """Newton's method; None if it runs off, as it does where a line separates the outcomes."""
    beta: Float = np.zeros(2)
    for _ in range(_STEPS):
        share = expit(design @ beta)
        gradient = design.T @ (weights * (target - share))
        curvature = (design * (weights * share * (1 - share))[:, None]).T @ design
        if abs(np.linalg.det(curvature)) < 1e-12 * weights.sum() ** 2:
            return None
        change: Float = np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
        beta += change
        if np.abs(beta).max() > _STEEPEST:
            return None
        if np.abs(change).max() < 1e-10:
            return beta
    return None


def _effect(s: Scored, a: Float, b: Float) -> Effect:
    """Effect of having more of an amount; forecasts are read as given that one wins, on the same battles."""
    decisive = s.votes[:, 0] + s.votes[:, 1]
    weights = s.weights * decisive
    voted = np.divide(s.votes[:, 0], decisive, out=np.full(len(a), 0.5), where=decisive > 0)
    forecast = s.p[:, 0] / (s.p[:, 0] + s.p[:, 1])
    ratio = np.log1p(a) - np.log1p(b)
    more, unequal = a > b, a != b

    def longer_wins(share: Float) -> Float:
        return np.where(more, share, 1 - share)

    return Effect(
        int((unequal & (weights > 0)).sum()),
        s.side_by_side(longer_wins(voted), longer_wins(forecast), weights * unequal),
        SideBySide(
            logistic_slope(ratio, voted, weights, s.resampler), logistic_slope(ratio, forecast, weights, s.resampler)
        ),
    )


def _identical(s: Scored, same: npt.NDArray[np.bool_]) -> Identical:
    return Identical(int(same.sum()), s.side_by_side(s.votes[:, 2], s.p[:, 2], s.weights * same))


def effects(s: Scored, texts: Texts) -> Effects:
    """Measure the effects of position, length, markdown and identical answers.

    Parameters
    ----------
    s
        Forecasts and votes.
    texts
        Measures of the same battles.

    Returns
    -------
    Effects
        Of people and of forecasts.
    """
    return Effects(
        s.side_by_side(s.votes[:, 0] - s.votes[:, 1], s.p[:, 0] - s.p[:, 1], s.weights),
        _effect(s, texts.length_a, texts.length_b),
        _effect(s, texts.markdown_a, texts.markdown_b),
        _identical(s, texts.identical),
    )
