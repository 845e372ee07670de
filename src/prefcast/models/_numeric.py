"""Arithmetic on probabilities that keeps swap symmetry to the last bit.

Floating-point addition commutes but does not associate, so sums are always (A + B) + tie.
"""

from __future__ import annotations

import numpy as np

from prefcast.models._base import Float, Int

__all__ = ["class_rows", "log_probabilities", "mirror", "normalise", "softmax", "symmetrise"]

_FLOOR = 1e-12


def mirror(p: Float) -> Float:
    """Exchange the columns A and B."""
    return p[:, [1, 0, 2]]


def normalise(p: Float) -> Float:
    """Divide rows by their sum, taken as (A + B) + tie."""
    total = (p[:, 0] + p[:, 1]) + p[:, 2]
    return p / total[:, None]


def softmax(z: Float) -> Float:
    """Turn (n, 3) scores into probabilities."""
    return normalise(np.exp(z - z.max(axis=1, keepdims=True)))


def log_probabilities(p: Float) -> Float:
    """Take logarithms, with probabilities below 1e-12 raised to it."""
    return np.log(np.maximum(p, _FLOOR))


def symmetrise(p: Float, swapped: Float) -> Float:
    """Average forecasts of battles with forecasts of the same battles swapped, brought back to the first order."""
    return normalise(p + mirror(swapped))


def class_rows(votes: Float, weights: Float) -> tuple[Int, Int, Float]:
    """Spread votes over hard classes for learners that take only those.

    Parameters
    ----------
    votes
        Shares, (n, 3).
    weights
        Weight of each battle, (n,).

    Returns
    -------
    tuple[Int, Int, Float]
        Row, class and weight of each share above zero, rows ascending.
    """
    rows, classes = np.nonzero(votes > 0)
    return rows.astype(np.int64), classes.astype(np.int64), votes[rows, classes] * weights[rows]
