"""What the language models in a model did while a file was forecast: what they cut, and how they were run."""

from __future__ import annotations

from typing import Any

import polars as pl

from prefcast.artifact import TrainedModel
from prefcast.models import PreferenceModel
from prefcast.models._base import Progress
from prefcast.models.llm._tree import language_models

__all__ = ["Cuts"]


class Cuts:
    """Collects the reports of the language models in a model, one part of a file after another.

    Parameters
    ----------
    model
        Anything that forecasts; one that is no preference model has no language models.
    """

    def __init__(self, model: Any) -> None:
        root = model.model if isinstance(model, TrainedModel) else model
        self._llms = language_models(root) if isinstance(root, PreferenceModel) else []
        self._frames: list[pl.DataFrame] = []

    def watch(self, progress: Progress, n: int, share: float) -> None:
        """Let the language models say how far they are within a part, after n battles and that share of the file."""
        for llm in self._llms:
            llm.progress = lambda what, _: progress(f"{n:,} battles forecast; {what}", share)

    def collect(self) -> None:
        """Take over what was cut of the part just forecast."""
        self._frames += [
            llm.cut.select(pl.lit(k).alias("model"), pl.all())
            for k, llm in enumerate(self._llms)
            if llm.cut is not None
        ]

    def frame(self) -> pl.DataFrame:
        """Return what was cut, row by row; no columns without a language model."""
        return pl.concat(self._frames) if self._frames else pl.DataFrame()

    def engines(self) -> tuple[str, ...]:
        """Say how each language model was run, and why."""
        return tuple(llm.engine for llm in self._llms if llm.engine is not None)
