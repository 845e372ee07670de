"""Two forecasts of the same battles, compared row by row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefcast.battles import CLASSES, Battles
from prefcast.errors import DataError
from prefcast.evaluation._bootstrap import PairedInterval
from prefcast.evaluation._json import plain, write_json
from prefcast.evaluation._metrics import Array, Float, check_probabilities
from prefcast.evaluation._scored import scored
from prefcast.evaluation._show import comparison_table
from prefcast.evaluation._words import verdict

__all__ = ["ClassComparison", "Comparison", "compare_forecasts"]


@dataclass(frozen=True)
class ClassComparison:
    """Differences on the votes for one class, first minus second.

    Parameters
    ----------
    name
        ``a``, ``b`` or ``tie``.
    log_loss
        Of the log loss.
    brier
        Of the Brier score.
    error
        Of the error rate.
    """

    name: str
    log_loss: PairedInterval
    brier: PairedInterval
    error: PairedInterval


@dataclass(frozen=True)
class Comparison:
    """Differences of two forecasts on the same votes, first minus second: below zero, the first is better.

    Parameters
    ----------
    n
        Battles with votes.
    groups
        Groups they fall in.
    log_loss
        Of the log loss.
    brier
        Of the Brier score.
    error
        Of the error rate, which is 1 minus the accuracy.
    classes
        The same on the votes for A, for B and for tie.
    """

    n: int
    groups: int
    log_loss: PairedInterval
    brier: PairedInterval
    error: PairedInterval
    classes: tuple[ClassComparison, ...]

    def __str__(self) -> str:
        return f"{comparison_table(self)}\n\n{verdict(self.log_loss)} in log loss"

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as JSON values; one that is not defined is None."""
        values: dict[str, Any] = plain(self)
        return values

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict` to a file, whole or not at all."""
        write_json(self.to_dict(), path)


def compare_forecasts(
    first: Array,
    second: Array,
    battles: Battles,
    groups: Array | None = None,
    *,
    times: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare two forecasts of the same battles with paired intervals.

    Parameters
    ----------
    first, second
        Probabilities of all battles, (n, 3), columns A, B, tie.
    battles
        The battles; those without votes are left out.
    groups
        Group of each battle, (n,): the bootstrap draws whole groups. Found from the texts if not given.
    times
        Number of bootstrap draws.
    seed
        Seed of the draws.

    Returns
    -------
    Comparison
        Differences, first minus second, over all votes and by class.

    Raises
    ------
    DataError
        There is no vote to score against, or one of the two is no set of probabilities of these battles.
    """
    s = scored(first, battles, groups, times=times, seed=seed)
    try:
        other = check_probabilities(second, len(battles))
    except DataError as error:
        raise DataError(f"in the second forecasts, {error}", rows=error.rows) from None
    other = other[battles.has_votes]
    losses = np.stack([_losses(s.p, k) - _losses(other, k) for k in range(3)], axis=1)  # (n, class, score)
    voted = s.weights[:, None] * s.votes
    columns = np.concatenate([(losses * voted[:, :, None]).reshape(-1, 9), voted], axis=1)

    def differences(sums: Float) -> Float:
        top, bottom = sums[:, :9].reshape(-1, 3, 3), sums[:, 9:]
        overall = top.sum(axis=1) / bottom.sum(axis=1)[:, None]
        return np.concatenate([overall, (top / bottom[:, :, None]).reshape(-1, 9)], axis=1)

    found = s.resampler.statistics(s.resampler.unit_sums(columns), differences)
    pairs = [PairedInterval(i.value, i.low, i.high) for i in found]
    classes = tuple(ClassComparison(name, *pairs[3 + 3 * k : 6 + 3 * k]) for k, name in enumerate(CLASSES))
    return Comparison(len(s.battles), s.resampler.n_groups, pairs[0], pairs[1], pairs[2], classes)


def _losses(p: Float, k: int) -> Float:
    """Log loss, Brier score and error of each row if the vote is for class `k`, (n, 3)."""
    square = (p**2).sum(axis=1) - 2 * p[:, k] + 1
    return np.stack([-np.log(p[:, k]), square, p.argmax(axis=1) != k], axis=1).astype(np.float64)
