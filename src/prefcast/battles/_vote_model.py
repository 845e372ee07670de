"""How simulated people vote: a known model with exact probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit, xlogy

from prefcast.errors import DataError

__all__ = ["VoteModel", "best_possible"]

_Float = npt.NDArray[np.float64]

_IDENTICAL_WIDTH: Final = 3.0
"""Noise scales by which ties widen where both answers are the same: 95 % ties with the default widths."""


@dataclass(frozen=True)
class VoteModel:
    """How simulated people vote: the cumulative logistic (Rao-Kupper) model of a difference in utility.

    A vote goes to A if ``utility + noise * e > width``, to B if it is below ``-width``, else it is a tie, with e
    standard logistic. So the noise is inside the probabilities, and they have a closed form:
    ``P(A) = expit((utility - width) / noise)``, ``P(B) = expit((-utility - width) / noise)``.

    Parameters
    ----------
    skill
        Mean quality of the answers of each model.
    length_taste
        Utility per unit of log(characters of A + 1) - log(characters of B + 1).
    markdown_taste
        Utility per unit of the difference in log(1 + markdown elements).
    position_effect
        Utility added to whichever answer stands first (A); negative favours B.
    tie_width
        Half the width of the interval of utilities that people call a tie, at least 0.
    noise
        Scale of the logistic noise, above 0.
    """

    skill: Mapping[str, float]
    length_taste: float = 0.5
    markdown_taste: float = 0.25
    position_effect: float = 0.0
    tie_width: float = 0.7
    noise: float = 1.0

    def __post_init__(self) -> None:
        values = [self.length_taste, self.markdown_taste, self.position_effect, self.tie_width, self.noise]
        if not np.isfinite([*values, *self.skill.values()]).all() or self.noise <= 0 or self.tie_width < 0:
            raise DataError(
                f"the vote model was given noise {self.noise}, tie width {self.tie_width}, length taste "
                f"{self.length_taste}, markdown taste {self.markdown_taste}, position effect "
                f"{self.position_effect}; all must be finite, noise above 0 and tie width 0 or more."
            )

    def probabilities(self, utility: npt.ArrayLike, identical: npt.ArrayLike = False) -> _Float:
        """True probabilities of A, B and tie.

        Parameters
        ----------
        utility
            Utility of A less that of B, without the position effect, (n,).
        identical
            Whether both answers are the same text, (n,): then the tie width is larger by 3 noise scales.

        Returns
        -------
        numpy.ndarray
            (n, 3); for -utility and no position effect, exactly the same with A and B exchanged.
        """
        width = self.tie_width + np.where(identical, _IDENTICAL_WIDTH * self.noise, 0.0)
        shown = np.asarray(utility, np.float64) + self.position_effect
        a, b = expit((shown - width) / self.noise), expit((-shown - width) / self.noise)
        # With a width of 0 the rest is nothing, give or take a rounding error.
        return np.stack([a, b, np.maximum(1.0 - (a + b), 0.0)], axis=-1)


def best_possible(truth: _Float, weights: _Float | None = None) -> float:
    """Log loss in nats to be expected of the true probabilities, that is, their mean entropy.

    Parameters
    ----------
    truth
        True probabilities, (n, 3).
    weights
        Weight of each battle, (n,); equal if None.

    Returns
    -------
    float
        Mean entropy.

    Examples
    --------
    >>> import numpy as np
    >>> round(best_possible(np.full((1, 3), 1 / 3)), 4)
    1.0986
    """
    return float(np.average(-xlogy(truth, truth).sum(axis=1), weights=weights))
