"""The scores themselves: headline, class by class, ties and calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from prefcast.battles import CLASSES
from prefcast.evaluation._bootstrap import Interval, PairedInterval
from prefcast.evaluation._metrics import CLIP, Float, confidence_bins, row_brier
from prefcast.evaluation._scored import Scored

__all__ = [
    "ClassScores",
    "Prior",
    "Reliability",
    "ReliabilityBin",
    "TieKind",
    "TieScores",
    "class_scores",
    "ece_interval",
    "headline",
    "prior_scores",
    "reliability",
    "tie_scores",
]

_BINS: Final = 10


@dataclass(frozen=True)
class Prior:
    """The class prior of these votes as a forecast: what knowing only the shares of A, B and tie scores.

    Parameters
    ----------
    shares
        Shares of A, B and tie among the votes.
    log_loss
        Its log loss.
    gain
        Log loss of the forecasts minus that of the prior; below zero where the forecasts are better.
    """

    shares: tuple[float, float, float]
    log_loss: Interval
    gain: PairedInterval


@dataclass(frozen=True)
class ClassScores:
    """How one class is forecast.

    Parameters
    ----------
    name
        ``a``, ``b`` or ``tie``.
    share
        Share of the votes.
    forecast
        Mean probability.
    log_loss
        Log loss of the votes for this class.
    recall
        Share of the votes for this class where it was the most probable.
    precision
        Share of the battles where it was the most probable that people voted so; NaN if it never was.
    """

    name: str
    share: Interval
    forecast: Interval
    log_loss: Interval
    recall: Interval
    precision: Interval


@dataclass(frozen=True)
class TieKind:
    """One kind of tie votes: both bad, or any other.

    Parameters
    ----------
    n
        Number of battles.
    forecast
        Mean probability of a tie.
    log_loss
        Log loss of these votes.
    """

    n: int
    forecast: Interval
    log_loss: Interval


@dataclass(frozen=True)
class TieScores:
    """How ties are forecast.

    Parameters
    ----------
    voted
        Share of ties among the votes.
    forecast
        Mean probability of a tie.
    named
        Share of battles where a tie is the most probable outcome.
    auc
        Probability that a tie has a higher tie probability than a decisive vote; 0.5 is chance.
    when_tie
        Mean probability of a tie where people voted tie.
    when_decisive
        Mean probability of a tie where they did not.
    both_bad
        Ties voted as both bad; None if there are none.
    other_ties
        The other ties; None if no tie is known to be both bad.
    """

    voted: Interval
    forecast: Interval
    named: Interval
    auc: Interval
    when_tie: Interval
    when_decisive: Interval
    both_bad: TieKind | None
    other_ties: TieKind | None


@dataclass(frozen=True)
class ReliabilityBin:
    """Battles whose probability of a class lies between two edges.

    Parameters
    ----------
    low, high
        Edges.
    n
        Number of battles.
    forecast
        Mean probability.
    observed
        Share of the votes for the class.
    """

    low: float
    high: float
    n: int
    forecast: float
    observed: Interval


@dataclass(frozen=True)
class Reliability:
    """Forecast against observed shares of one class; bins without battles are left out.

    Parameters
    ----------
    name
        ``a``, ``b`` or ``tie``.
    bins
        Ten equally wide bins of the probability.
    """

    name: str
    bins: tuple[ReliabilityBin, ...]


def headline(s: Scored) -> tuple[Interval, Interval, Interval]:
    """Log loss, accuracy and Brier score."""
    values = np.stack([s.loss, s.hit, row_brier(s.p, s.votes)], axis=1)
    loss, hit, square = s.resampler.means(values, s.weights)
    return loss, hit, square


def ece_interval(s: Scored, bins: int = 15) -> Interval:
    """Expected calibration error; resampling adds noise that raises it, so its draws are centred on it."""
    confidence, at = confidence_bins(s.p, bins)
    columns = np.zeros((len(s.p), bins + 1))
    columns[np.arange(len(s.p)), at] = s.weights * (s.hit - confidence)
    columns[:, bins] = s.weights
    sums = s.resampler.unit_sums(columns)
    (found,) = s.resampler.statistics(
        sums, lambda x: (np.abs(x[:, :bins]).sum(axis=1) / x[:, bins])[:, None], centre=True
    )
    return found


def prior_scores(s: Scored) -> Prior:
    """Score the class prior of the votes themselves."""
    shares = s.weights @ s.votes / s.weights.sum()
    clipped = np.clip(shares, CLIP, 1.0)
    loss = -(s.votes @ np.log(clipped / clipped.sum()))
    own, gain = s.resampler.means(np.stack([loss, s.loss - loss], axis=1), s.weights)
    a, b, tie = (float(x) for x in shares)
    return Prior((a, b, tie), own, PairedInterval(gain.value, gain.low, gain.high))


def class_scores(s: Scored) -> tuple[ClassScores, ...]:
    """Score each class by itself."""
    w, best = s.weights, s.p.argmax(axis=1)
    found = []
    for k, name in enumerate(CLASSES):
        voted, named = w * s.votes[:, k], w * (best == k)
        both = voted * (best == k)
        top = np.stack([voted, w * s.p[:, k], -voted * np.log(s.p[:, k]), both, both], axis=1)
        bottom = np.stack([w, w, voted, voted, named], axis=1)
        found.append(ClassScores(name, *s.resampler.ratios(top, bottom)))
    return tuple(found)


def _auc(s: Scored) -> Interval:
    """AUC of the tie probability; its draws are linearised: placements stay as they are in the full sample."""
    _, level = np.unique(s.p[:, 2], return_inverse=True)
    tie, rest = s.weights * s.votes[:, 2], s.weights * (1 - s.votes[:, 2])

    def placement(weights: Float) -> Float:
        """Share of weight at lower levels, with half of that at the same level."""
        at = np.bincount(level, weights)
        with np.errstate(invalid="ignore"):
            share: Float = (np.cumsum(at) - at / 2) / at.sum()
        return share[level]

    below, above = placement(rest), 1 - placement(tie)
    sums = s.resampler.unit_sums(np.stack([tie * below, tie, rest * above, rest], axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(sums[:, 0].sum() / sums[:, 1].sum())
    (found,) = s.resampler.statistics(sums, lambda x: (x[:, 0] / x[:, 1] + x[:, 2] / x[:, 3] - value)[:, None])
    return found


def _tie_kind(s: Scored, mask: Float) -> TieKind:
    loss = -np.log(s.p[:, 2])
    forecast, cost = s.resampler.means(np.stack([s.p[:, 2], loss], axis=1), s.weights * s.votes[:, 2] * mask)
    return TieKind(int(((s.votes[:, 2] > 0) & (mask > 0)).sum()), forecast, cost)


def tie_scores(s: Scored) -> TieScores:
    """Score ties against the rest, and both-bad ties by themselves where they are known."""
    w, tie, forecast = s.weights, s.votes[:, 2], s.p[:, 2]
    named = s.p.argmax(axis=1) == 2
    top = np.stack([w * tie, w * forecast, w * named, w * tie * forecast, w * (1 - tie) * forecast], axis=1)
    bottom = np.stack([w, w, w, w * tie, w * (1 - tie)], axis=1)
    voted, mean, share_named, when_tie, when_decisive = s.resampler.ratios(top, bottom)
    bad = s.battles.frame["both_bad"].to_numpy().astype(np.float64)
    known = bool((bad * tie > 0).any())
    return TieScores(
        voted,
        mean,
        share_named,
        _auc(s),
        when_tie,
        when_decisive,
        _tie_kind(s, bad) if known else None,
        _tie_kind(s, 1 - bad) if known else None,
    )


def reliability(s: Scored) -> tuple[Reliability, ...]:
    """Compare forecast and observed share in bins of each class's probability."""
    return tuple(Reliability(name, _bins(s, k)) for k, name in enumerate(CLASSES))


def _bins(s: Scored, k: int) -> tuple[ReliabilityBin, ...]:
    p = s.p[:, k]
    at = np.minimum((p * _BINS).astype(np.int64), _BINS - 1)
    inside = np.eye(_BINS)[at] * s.weights[:, None]
    observed = s.resampler.ratios(inside * s.votes[:, k : k + 1], inside)
    weight, forecast, n = inside.sum(axis=0), inside.T @ p, np.bincount(at, minlength=_BINS)
    return tuple(
        ReliabilityBin(i / _BINS, (i + 1) / _BINS, int(n[i]), float(forecast[i] / weight[i]), observed[i])
        for i in range(_BINS)
        if weight[i] > 0
    )
