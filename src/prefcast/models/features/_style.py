"""Style counts of battles: lengths, richness, markdown, characters, endings, tone.

Every number is computed for all texts of a chunk at once; chunks run on all cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles import Battles
from prefcast.models.features._catalogue import ANSWER_FEATURES, PAIR_FEATURES, PROMPT_FEATURES, Feature
from prefcast.models.features._corpus import MAX_ROWS
from prefcast.models.features._counts import Columns, Texts, Values, count_answers, count_pairs, count_prompts

__all__ = ["ANSWER_FEATURES", "PAIR_FEATURES", "PROMPT_FEATURES", "Feature", "Style", "style"]

_CHUNK_BYTES: Final = 400_000
"""Text counted at once: its arrays should stay in the cache, and their number of bytes is some twenty times this."""

_TURN_BREAK: Final = "\n\n"


@dataclass(frozen=True)
class Style:
    """Style counts of n battles: what a model reads, before A and B are contrasted.

    Parameters
    ----------
    a, b
        Counts of each answer, (n, len(ANSWER_FEATURES)).
    prompt
        Counts of the prompt, (n, len(PROMPT_FEATURES)).
    pair
        Counts of both answers together, (n, len(PAIR_FEATURES)).
    """

    a: Values
    b: Values
    prompt: Values
    pair: Values

    def __len__(self) -> int:
        return len(self.a)

    def take(self, rows: npt.NDArray[np.int64]) -> Style:
        """Select battles by position."""
        return Style(self.a[rows], self.b[rows], self.prompt[rows], self.pair[rows])

    def swap(self) -> Style:
        """Exchange A and B."""
        return Style(self.b, self.a, self.prompt, self.pair)


def _stack(columns: Columns, features: tuple[Feature, ...]) -> Values:
    return np.column_stack([columns[f.name] for f in features])


def _count(rows: pl.DataFrame, turns: Values) -> Style:
    texts = Texts.of(rows["prompt"], rows["response_a"], rows["response_b"])
    answers = _stack(count_answers(texts), ANSWER_FEATURES)
    prompts = _stack(count_prompts(texts, turns), PROMPT_FEATURES)
    return Style(answers[: len(rows)], answers[len(rows) :], prompts, _stack(count_pairs(texts), PAIR_FEATURES))


def _slices(n_bytes: npt.NDArray[np.int64]) -> Iterator[slice]:
    start, ends = 0, np.cumsum(n_bytes)
    while start < len(n_bytes):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + _CHUNK_BYTES, side="right"))
        stop = min(max(stop, start + 1), start + MAX_ROWS)
        yield slice(start, stop)
        start = stop


def style(battles: Battles, *, workers: int | None = None) -> Style:
    """Count the style of prompts and answers.

    Parameters
    ----------
    battles
        Any number; turns are joined by a blank line.
    workers
        Threads; by default one for each core. The counts do not depend on it.

    Returns
    -------
    Style
        The counts, one row per battle.
    """
    frame = battles.frame.select(pl.col("prompt", "response_a", "response_b").list.join(_TURN_BREAK))
    n_bytes = frame.select(pl.sum_horizontal(pl.all().str.len_bytes())).to_series().to_numpy().astype(np.int64)
    turns = battles.n_turns.astype(float)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        parts = list(pool.map(lambda part: _count(frame[part], turns[part]), _slices(n_bytes)))
    if not parts:
        widths = [len(ANSWER_FEATURES)] * 2 + [len(PROMPT_FEATURES), len(PAIR_FEATURES)]
        return Style(*(np.empty((0, width)) for width in widths))
    return Style(
        np.concatenate([p.a for p in parts]),
        np.concatenate([p.b for p in parts]),
        np.concatenate([p.prompt for p in parts]),
        np.concatenate([p.pair for p in parts]),
    )
