"""From two answers' counts to what a model compares: A minus B, and what is the same for both orders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from prefcast.battles import Battles
from prefcast.errors import RecipeError
from prefcast.models.features._style import ANSWER_FEATURES, PAIR_FEATURES, PROMPT_FEATURES, Feature, style

__all__ = ["VIEWS", "Contrast", "ContrastFeature", "contrast", "contrast_features", "view_features"]

_ABSOLUTE = ("chars", "words", "unique_words")
"""Counts that are also compared as they stand and as a share of both."""

VIEWS = ("all", "differences")
"""Which columns a model may read. "differences" leaves out what only describes the battle (its prompt, and the sums
over both answers but for words): such columns tell sources apart, which helps on more of the same and hurts on a new
one."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ContrastFeature:
    """One column of a contrast.

    Parameters
    ----------
    name
        Unique name, in snake case.
    label
        What a person calls it.
    family
        The group it is reported in.
    signed
        Whether it changes its sign when A and B are exchanged; otherwise it stays as it is.
    """

    name: str
    label: str
    family: str
    signed: bool


@dataclass(frozen=True)
class Contrast:
    """What a model compares in n battles.

    Parameters
    ----------
    signed
        (n, s), changes its sign when A and B are exchanged, exactly.
    symmetric
        (n, m), stays the same when A and B are exchanged, exactly.
    """

    signed: Values
    symmetric: Values

    def __len__(self) -> int:
        return len(self.signed)

    def take(self, rows: npt.NDArray[np.int64]) -> Contrast:
        """Select battles by position."""
        return Contrast(self.signed[rows], self.symmetric[rows])

    def view(self, name: str) -> Contrast:
        """Keep the columns of one of `VIEWS`."""
        return self if name == "all" else Contrast(self.signed, np.take(self.symmetric, _view_columns(name), axis=1))

    def matrix(self, *, swapped: bool = False) -> Values:
        """Put all columns side by side, (n, s + m), in this order of A and B or the other."""
        return np.hstack([-self.signed if swapped else self.signed, self.symmetric])


def _more(feature: Feature) -> str:
    return f"A has {'more' if feature.count else 'a larger'} {feature.label}"


@cache
def contrast_features() -> tuple[ContrastFeature, ...]:
    """Name the columns of `Contrast.matrix`, in order.

    Returns
    -------
    tuple[ContrastFeature, ...]
        First the signed ones, then the symmetric ones.

    Examples
    --------
    >>> [f.label for f in contrast_features()[:2]]
    ['A has more characters', 'A has more words']
    """
    by_name = {f.name: f for f in ANSWER_FEATURES}
    out = [ContrastFeature(f"{f.name}_difference", _more(f), f.family, True) for f in ANSWER_FEATURES]
    absolute = [by_name[name] for name in _ABSOLUTE]
    out += [ContrastFeature(f"{f.name}_excess", f"A's {f.label} over B's, in number", f.family, True) for f in absolute]
    out += [ContrastFeature(f"{f.name}_balance", f"A's share of all {f.label}", f.family, True) for f in absolute]
    out += [ContrastFeature(f"{f.name}_last_turn", f"{_more(f)}, last turn", f.family, True) for f in ANSWER_FEATURES]
    out += [
        ContrastFeature(f"{f.name}_gap", f"how far the answers differ in {f.label}", f.family, False)
        for f in ANSWER_FEATURES
    ]
    out += [ContrastFeature(f"{f.name}_sum", f"{f.label}, both answers", f.family, False) for f in ANSWER_FEATURES]
    out += [ContrastFeature(f.name, f.label, f.family, False) for f in (*PROMPT_FEATURES, *PAIR_FEATURES)]
    return tuple(out)


@cache
def _view_columns(name: str) -> list[int]:
    symmetric = [f.name for f in contrast_features() if not f.signed]
    kept = {f.name for f in view_features(name)}
    return [k for k, n in enumerate(symmetric) if n in kept]


@cache
def view_features(name: str) -> tuple[ContrastFeature, ...]:
    """Name the columns of one of `VIEWS`, in order.

    Parameters
    ----------
    name
        The view.

    Returns
    -------
    tuple[ContrastFeature, ...]
        First the signed ones, then the symmetric ones.

    Raises
    ------
    RecipeError
        There is no such view.
    """
    if name not in VIEWS:
        raise RecipeError(f"there is no view {name!r} of the style contrast; the views are {', '.join(VIEWS)}.")
    pair = {f.name for f in PAIR_FEATURES}
    everything = contrast_features()
    if name == "all":
        return everything
    return tuple(
        f for f in everything if f.signed or f.name.endswith("_gap") or f.name == "words_sum" or f.name in pair
    )


def contrast(battles: Battles) -> Contrast:
    """Contrast the style of A and B.

    Parameters
    ----------
    battles
        Any number. Counts are compared on a log scale, shares as they stand; the last turn once more by itself, for
        it is what people saw last.

    Returns
    -------
    Contrast
        One row per battle, 32-bit floats.
    """
    counts = style(battles)
    prompt_count = np.array([f.count for f in PROMPT_FEATURES])
    a, b = _scaled(counts.a), _scaled(counts.b)
    prompt = np.where(prompt_count, np.log1p(counts.prompt), counts.prompt)
    names = [f.name for f in ANSWER_FEATURES]
    some = [names.index(name) for name in _ABSOLUTE]
    excess = counts.a[:, some] - counts.b[:, some]
    balance = excess / np.maximum(counts.a[:, some] + counts.b[:, some], 1.0)
    difference = a - b
    last = difference.copy()  # an only turn is the last one; any other value would tell sources apart
    several = np.flatnonzero(battles.n_turns > 1)
    if several.size:
        ending = style(battles.take(several).last_turn())
        last[several] = _scaled(ending.a) - _scaled(ending.b)
    signed = np.hstack([difference, excess, balance, last])
    symmetric = np.hstack([np.abs(difference), a + b, prompt, counts.pair])
    return Contrast(signed.astype(np.float32), symmetric.astype(np.float32))


def _scaled(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.array([f.count for f in ANSWER_FEATURES]), np.log1p(counts), counts)
