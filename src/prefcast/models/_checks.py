"""Parameters of models checked when they are given, and not after an hour of training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from prefcast.errors import RecipeError

__all__ = ["check_parameters"]


def check_parameters(kind: str, given: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse a parameter that is no number or out of range.

    Parameters
    ----------
    kind
        Of the model, for the message.
    given
        Parameters by name.
    ranges
        Least and greatest value of each that is checked; both whole numbers (int) if the parameter must be one.

    Raises
    ------
    RecipeError
        Names the parameter, its value and its range.

    Examples
    --------
    >>> check_parameters("gbdt", {"rounds": 5.5}, {"rounds": (1, 10_000)})
    Traceback (most recent call last):
    prefcast.errors.RecipeError: gbdt: rounds is 5.5; it must be a whole number from 1 to 10000.
    """
    for name, (low, high) in ranges.items():
        value, whole = given[name], isinstance(low, int) and isinstance(high, int)
        allowed = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed) or not low <= value <= high or math.isnan(value):
            what = "a whole number" if whole else "a number"
            raise RecipeError(f"{kind}: {name} is {value!r}; it must be {what} from {low} to {high}.")
