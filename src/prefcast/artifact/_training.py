"""What is kept of a training run beside the model: recipe, features, folds, scores, out-of-fold forecasts, card."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from prefcast.artifact._manifest import Manifest
from prefcast.errors import ArtifactError

__all__ = ["TRAINING_FILES", "Training", "read_training", "write_training"]

_JSON: Final = {"features": "features.json", "scores": "scores.json", "folds": "folds.json"}
_TEXT: Final = {"recipe_toml": "recipe.toml", "card": "README.md"}
_OOF: Final = "oof.arrow"

TRAINING_FILES: Final = (*_JSON.values(), *_TEXT.values(), _OOF)
"""Files beside ``model/`` and the manifest in every artifact."""


@dataclass(frozen=True, eq=False)
class Training:
    """How a model was trained, and how well it forecast what it had not seen.

    Parameters
    ----------
    recipe
        Name of the recipe.
    recipe_toml
        The recipe in full, as TOML.
    fingerprint
        SHA-256 of the training battles, `Battles.fingerprint`.
    n_battles, n_groups
        Number of training battles and of groups among them.
    swap_symmetric
        Whether swapped battles get exactly exchanged probabilities.
    features
        Feature names, as JSON values. In this and the next two, numbers that are not finite are kept as None.
    scores
        Out-of-fold scores with their intervals, as JSON values.
    folds
        How the folds were made, with their hash, as JSON values.
    oof
        Out-of-fold forecasts, one row for each battle: id, fold, group and the probabilities of each part.
    card
        The model card, in Markdown.
    """

    recipe: str = ""
    recipe_toml: str = ""
    fingerprint: str = ""
    n_battles: int = 0
    n_groups: int = 0
    swap_symmetric: bool = True
    features: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    folds: Mapping[str, Any] = field(default_factory=dict)
    oof: pl.DataFrame = field(default_factory=pl.DataFrame)
    card: str = ""

    def __repr__(self) -> str:
        return f"Training(recipe {self.recipe!r}, {self.n_battles} battles, {self.n_groups} groups)"


def write_training(training: Training, folder: Path) -> None:
    """Write the files of `TRAINING_FILES` into a folder; the rest stands in the manifest."""
    for name, file in _JSON.items():
        text = json.dumps(_plain(getattr(training, name)), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / file).write_text(text + "\n", "utf-8", newline="\n")
    for name, file in _TEXT.items():
        (folder / file).write_text(getattr(training, name), "utf-8", newline="")
    # One chunk: how a frame came to be must not show in its bytes.
    training.oof.rechunk().write_ipc(folder / _OOF, compression="zstd")


def read_training(folder: Path, manifest: Manifest) -> Training:
    """Read what `write_training` wrote.

    Parameters
    ----------
    folder
        The folder of the artifact.
    manifest
        Its manifest.

    Returns
    -------
    Training
        What was saved.

    Raises
    ------
    ArtifactError
        A file is missing or cannot be read.
    """
    try:
        values: dict[str, Any] = {n: json.loads((folder / f).read_text("utf-8")) for n, f in _JSON.items()}
        # Bytes, because read_text would turn the line ends of a card written on Windows into others.
        values |= {name: (folder / file).read_bytes().decode("utf-8") for name, file in _TEXT.items()}
        values["oof"] = pl.read_ipc(io.BytesIO((folder / _OOF).read_bytes()))
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(
            f"the training record in {folder} cannot be read ({type(error).__name__}: {error}). "
            "Copy the whole folder again from where it was made, or train it again with 'prefcast train'."
        ) from error
    same = {n: getattr(manifest, n) for n in ("recipe", "fingerprint", "n_battles", "n_groups", "swap_symmetric")}
    return Training(**same, **values)


def _plain(value: Any) -> Any:
    """Turn numpy values, tuples and numbers that are not finite into what JSON has."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
