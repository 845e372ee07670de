"""Small runs of `fine_tune` for the tests of training: battles whose winner is the answer with more of one token."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl

from prefcast.models.llm._sequences import Sequences
from prefcast.models.llm._settings import TrainingSettings
from prefcast.models.llm._tiny import tiny_tokenizer
from prefcast.models.llm._training import fine_tune

SMALL = {
    "lora_rank": 4,
    "learning_rate": 3e-3,
    "epochs": 1.0,
    "batch_battles": 8,
    "batch_tokens": 200,
    "save_every": 2,
    "evaluate_every": 3,
    "device": "cpu",
}


def battles(n=40, seed=0):
    """Sequences in both orders, votes, weights and groups of n battles."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(2, 12, (2, n))

    def laid(first, second):
        rows = [[1, *[5] * int(x), 9, *[6] * int(y), 10] for x, y in zip(first, second, strict=True)]
        return Sequences.of(rows)

    shares = np.stack([a / (a + b), b / (a + b), np.full(n, 0.5)], 1) / 1.5
    inputs = SimpleNamespace(
        given=laid(a, b), swapped=laid(b, a), cut=pl.DataFrame({"id": [f"id-{k}" for k in range(n)]})
    )
    return inputs, shares, rng.uniform(0.5, 2.0, n), np.arange(n) // 2


def run(out: Path, data=None, seed=0, progress=None, base="tiny:llama", **changes):
    """Fine-tune; give the folder of the model."""
    inputs, votes, weights, groups = battles() if data is None else data
    more = {} if progress is None else {"progress": progress}
    return fine_tune(
        inputs, votes, weights, groups, settings=TrainingSettings(**{**SMALL, **changes}),
        base=base, tokenizer=tiny_tokenizer(), out=Path(out), seed=seed, **more,
    )  # fmt: skip


def digest(folder: Path):
    """SHA-256 of every file of a model, by name."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(Path(folder).iterdir())}


class Killed(BaseException):
    """Stands for a kill inside one process."""


def killer(step, words="step"):
    """Return a progress callback that dies when a step is reached."""

    def progress(what, share):
        if what.startswith(f"{words} {step} "):
            raise Killed

    return progress
