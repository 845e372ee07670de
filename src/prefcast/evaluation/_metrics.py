"""Scores of forecasts against votes: probabilities and votes in, numbers out.

A soft vote is a mixture of hard votes, and every score here is the expectation over that mixture: a battle with the
shares (0.5, 0.5, 0) scores as two battles of half the weight, one for A and one for B.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from prefcast.errors import DataError

__all__ = [
    "CLIP",
    "Array",
    "Float",
    "Index",
    "accuracy",
    "brier",
    "check_probabilities",
    "check_votes",
    "ece",
    "log_loss",
    "row_brier",
    "row_hit",
    "row_log_loss",
]

Float = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Array = npt.ArrayLike

CLIP: Final = 1e-6
"""Lowest probability that is scored: a certain forecast that is wrong costs 13.8 and not infinity."""

_SHOWN: Final = 5


def _some(rows: npt.NDArray[np.int64]) -> str:
    shown = ", ".join(str(r) for r in rows[:_SHOWN])
    return f"{len(rows)} row{'s' * (len(rows) != 1)} (from 0: {shown}{', ...' * (len(rows) > _SHOWN)})"


def _three_columns(values: Array, what: str) -> Float:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise DataError(f"{what} have the shape {array.shape}; they need to be (n, 3), columns A, B, tie.")
    return array


def check_probabilities(p: Array, n: int | None = None) -> Float:
    """Return probabilities as scored: clipped at `CLIP` and with rows that sum to 1.

    Parameters
    ----------
    p
        Probabilities, (n, 3), columns A, B, tie.
    n
        Number of rows there must be.

    Returns
    -------
    Float
        The same, (n, 3), each at least about 1e-6.

    Raises
    ------
    DataError
        The shape is wrong, a value is not finite, outside 0 to 1, or a row does not sum to 1 (within 0.01).
    """
    array = _three_columns(p, "the probabilities")
    if n is not None and len(array) != n:
        raise DataError(f"there are {len(array)} rows of probabilities for {n} battles; they need one row each.")
    finite = np.isfinite(array).all(axis=1)
    inside = ((array >= -1e-9) & (array <= 1 + 1e-9)).all(axis=1)
    whole = np.abs(array.sum(axis=1) - 1) <= 0.01
    for good, fault in (
        (finite, "are not finite"),
        (inside, "have values outside 0 to 1"),
        (whole, "do not sum to 1"),
    ):
        rows = np.flatnonzero(~good)
        if len(rows):
            raise DataError(
                f"the probabilities {fault} in {_some(rows)}; each row needs three probabilities, A, B, tie, "
                "that sum to 1. Give what predict_proba returned.",
                rows=rows[:_SHOWN].tolist(),
            )
    clipped: Float = np.clip(array, CLIP, 1.0)
    scored: Float = clipped / clipped.sum(axis=1, keepdims=True)
    return scored


def check_votes(votes: Array, n: int | None = None) -> Float:
    """Return votes as an (n, 3) array, or say which rows are no shares of A, B and tie.

    Parameters
    ----------
    votes
        Shares of A, B and tie, (n, 3); one-hot for hard votes.
    n
        Number of rows there must be.

    Returns
    -------
    Float
        The same, (n, 3).

    Raises
    ------
    DataError
        The shape is wrong, or a row is missing, negative or does not sum to 1.
    """
    array = _three_columns(votes, "the votes")
    if n is not None and len(array) != n:
        raise DataError(f"there are {len(array)} votes for {n} rows of probabilities; they need one each.")
    good = np.isfinite(array).all(axis=1) & (array >= 0).all(axis=1) & (np.abs(array.sum(axis=1) - 1) <= 1e-6)
    rows = np.flatnonzero(~good)
    if len(rows):
        raise DataError(
            f"{_some(rows)} have no vote, or shares that do not sum to 1; scores need a vote of every row. "
            "Keep battles.take(battles.has_votes).",
            rows=rows[:_SHOWN].tolist(),
        )
    return array


def _mean(values: Float, weights: Array | None) -> float:
    if weights is None:
        return float(values.mean()) if len(values) else float("nan")
    w = np.asarray(weights, dtype=np.float64)
    total = w.sum()
    return float(values @ w / total) if total > 0 else float("nan")


def row_log_loss(p: Array, votes: Array) -> Float:
    """Log loss of each row: the cross-entropy of its vote and its forecast, in nats.

    Parameters
    ----------
    p
        Probabilities, (n, 3), columns A, B, tie; clipped at 1e-6 and made to sum to 1.
    votes
        Shares of A, B and tie, (n, 3).

    Returns
    -------
    Float
        Losses, (n,), 0 or more.

    Raises
    ------
    DataError
        A row of the probabilities or of the votes cannot be used.

    Examples
    --------
    >>> row_log_loss([[0.5, 0.3, 0.2]], [[1, 0, 0]]).round(3)
    array([0.693])
    """
    q = check_probabilities(p)
    v = check_votes(votes, len(q))
    loss: Float = -(v * np.log(q)).sum(axis=1)
    return loss


def row_brier(p: Array, votes: Array) -> Float:
    """Brier score of each row: squared distance of forecast and vote over the three classes, 0 to 2.

    For soft votes it is the expectation over a voter: ``|p - v|^2 + 1 - |v|^2``.

    Parameters
    ----------
    p
        Probabilities, (n, 3), columns A, B, tie.
    votes
        Shares of A, B and tie, (n, 3).

    Returns
    -------
    Float
        Scores, (n,).
    """
    q = check_probabilities(p)
    v = check_votes(votes, len(q))
    score: Float = ((q - v) ** 2).sum(axis=1) + (v * (1 - v)).sum(axis=1)
    return score


def row_hit(p: Array, votes: Array) -> Float:
    """Share of each row's vote that fell on the most probable class, (n,): 0 or 1 for hard votes.

    Parameters
    ----------
    p
        Probabilities, (n, 3), columns A, B, tie; of equal ones the first counts.
    votes
        Shares of A, B and tie, (n, 3).

    Returns
    -------
    Float
        Shares, (n,).
    """
    q = check_probabilities(p)
    v = check_votes(votes, len(q))
    hit: Float = v[np.arange(len(q)), q.argmax(axis=1)]
    return hit


def log_loss(p: Array, votes: Array, weights: Array | None = None) -> float:
    """Mean log loss in nats; lower is better, and log(3) = 1.0986 is knowing nothing.

    Parameters
    ----------
    p
        Probabilities, (n, 3), columns A, B, tie.
    votes
        Shares of A, B and tie, (n, 3).
    weights
        Weight of each row, (n,).

    Returns
    -------
    float
        The weighted mean of `row_log_loss`.

    Examples
    --------
    >>> round(log_loss([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]], [[1, 0, 0], [0, 0, 1]]), 4)
    0.602
    """
    return _mean(row_log_loss(p, votes), weights)


def brier(p: Array, votes: Array, weights: Array | None = None) -> float:
    """Mean Brier score over the three classes, 0 (best) to 2.

    Parameters
    ----------
    p
        Probabilities, (n, 3), columns A, B, tie.
    votes
        Shares of A, B and tie, (n, 3).
    weights
        Weight of each row, (n,).

    Returns
    -------
    float
        The weighted mean of `row_brier`.
    """
    return _mean(row_brier(p, votes), weights)


def accuracy(p: Array, votes: Array, weights: Array | None = None) -> float:
    """Share of votes that fell on the most probable class.

    Parameters
    ----------
    p
        Probabilities, (n, 3), columns A, B, tie.
    votes
        Shares of A, B and tie, (n, 3).
    weights
        Weight of each row, (n,).

    Returns
    -------
    float
        The weighted mean of `row_hit`.
    """
    return _mean(row_hit(p, votes), weights)


def confidence_bins(p: Float, bins: int) -> tuple[Float, Index]:
    """Highest probability of each row, (n,), and the equal-width bin it falls in, (n,)."""
    confidence: Float = p.max(axis=1)
    return confidence, np.minimum((confidence * bins).astype(np.int64), bins - 1)


def ece(p: Array, votes: Array, weights: Array | None = None, *, bins: int = 15) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, over bins of confidence.

    Parameters
    ----------
    p
        Probabilities, (n, 3), columns A, B, tie.
    votes
        Shares of A, B and tie, (n, 3).
    weights
        Weight of each row, (n,).
    bins
        Number of equally wide bins of the highest probability.

    Returns
    -------
    float
        0 (best) to 1. Noise raises it: a perfect model has an ECE above 0 on few votes.
    """
    q = check_probabilities(p)
    hit = row_hit(q, votes)
    w = np.ones(len(q)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not w.sum() > 0:
        return float("nan")
    confidence, at = confidence_bins(q, bins)
    gap = np.bincount(at, w * (hit - confidence), minlength=bins)
    return float(np.abs(gap).sum() / w.sum())
