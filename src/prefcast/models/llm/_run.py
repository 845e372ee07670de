"""Which run a work folder holds, so that only that run is ever continued in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefcast.errors import RecipeError
from prefcast.models.llm._collate import TrainingData
from prefcast.models.llm._settings import TrainingSettings
from prefcast.models.llm._snapshots import write_whole

__all__ = ["Run", "claim"]

_FORMAT = 1


@dataclass(frozen=True)
class Run:
    """What makes a run the one that it is.

    Parameters
    ----------
    settings
        Those that touch the weights.
    seed
        Of everything random.
    base
        Name of the backbone.
    backbone
        Fingerprint of its weights.
    data
        SHA-256 of sequences, votes, weights and groups.
    """

    settings: dict[str, Any]
    seed: int
    base: str
    backbone: str
    data: str

    @classmethod
    def of(
        cls,
        settings: TrainingSettings,
        seed: int,
        base: str,
        backbone: str,
        data: TrainingData,
        groups: np.ndarray[Any, Any],
    ) -> Run:
        """Describe a run."""
        digest = hashlib.sha256()
        arrays = (data.sequences.ids, data.sequences.offsets, data.votes, data.weights, np.asarray(groups, np.int64))
        for array in arrays:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return cls(settings.identity(), seed, base, backbone, digest.hexdigest())


def claim(folder: Path, run: Run) -> None:
    """Make a work folder that of a run, or see that it already is.

    Parameters
    ----------
    folder
        The work folder.
    run
        The run that wants it.

    Raises
    ------
    RecipeError
        It holds another run; the message says in what that differs.
    """
    path = folder / "run.json"
    mine = {"format": _FORMAT, **asdict(run)}
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(mine, indent=1, sort_keys=True) + "\n")
        return
    try:
        theirs = json.loads(path.read_text("utf-8"))
        differ = [f"{k} is {theirs[k]!r} there" for k in ("format", "seed", "base") if theirs[k] != mine[k]]
        differ += [f"its {k} is another" for k in ("data", "backbone") if theirs[k] != mine[k]]
        old, new = theirs["settings"], mine["settings"]
        differ += [f"{k} is {old.get(k)!r} there" for k in sorted(old | new) if old.get(k) != new.get(k)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecipeError(f"{path} is damaged ({error}): remove {folder} to train anew, or choose another.") from error
    if differ:
        raise RecipeError(
            f"{folder} holds another run: {'; '.join(differ)}. Give what that run was given to finish it, choose "
            "another folder, or remove this one."
        )
