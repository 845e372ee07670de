"""Checkpoints of a run: written whole or not at all, safetensors and JSON only."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from prefcast.models.llm._need import need

__all__ = ["Snapshot", "Snapshots", "write_whole"]

_KEPT = 2


@dataclass
class Snapshot:
    """Where a run stands after a step.

    Parameters
    ----------
    step
        Optimiser steps done.
    weights
        What is trained, by name.
    optimizer
        Tensors of the optimiser, as ``"<parameter>/<name>"``.
    state
        All else, as JSON: groups of the optimiser, schedule, loss scale, and what the looks at held-out groups found.
    """

    step: int
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    state: dict[str, Any] = field(default_factory=dict)


class Snapshots:
    """The checkpoints in a folder.

    Parameters
    ----------
    folder
        Made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are whole, in order."""
        # One that was being written when the run was killed still has its temporary name.
        return sorted(int(p.name[5:]) for p in self.folder.glob("step-*") if p.name[5:].isdigit())

    def write(self, snapshot: Snapshot, *, keep: int | None = None) -> None:
        """Write a checkpoint, then remove all but the last two and `keep`."""
        safetensors = need("safetensors.torch")
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".writing-{snapshot.step}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        safetensors.save_file(_whole(snapshot.weights), str(temporary / "weights.safetensors"))
        safetensors.save_file(_whole(snapshot.optimizer), str(temporary / "optimizer.safetensors"))
        (temporary / "state.json").write_text(json.dumps(snapshot.state), "utf-8")
        for path in temporary.iterdir():
            _sync(path)
        shutil.rmtree(self._place(snapshot.step), ignore_errors=True)
        temporary.rename(self._place(snapshot.step))
        _sync(self.folder)
        self._prune(keep)

    def _prune(self, keep: int | None) -> None:
        last = self.steps()[-_KEPT:]
        # The one before the last may have to be resumed from, so the best that it knows of stays too.
        wanted = {*last, keep} | {self.state(step).get("best_step") for step in last}
        for step in set(self.steps()) - wanted:
            # First out of the way: a folder half removed must not look whole.
            gone = self.folder / f".gone-{step}"
            self._place(step).rename(gone)
            shutil.rmtree(gone)
        for rest in (*self.folder.glob(".writing-*"), *self.folder.glob(".gone-*")):
            shutil.rmtree(rest, ignore_errors=True)

    def state(self, step: int) -> dict[str, Any]:
        """Read what is JSON of a checkpoint."""
        found: dict[str, Any] = json.loads((self._place(step) / "state.json").read_text("utf-8"))
        return found

    def weights(self, step: int) -> dict[str, torch.Tensor]:
        """Read the weights of a checkpoint."""
        return self._tensors(step, "weights")

    def read(self, step: int) -> Snapshot:
        """Read a checkpoint."""
        return Snapshot(step, self.weights(step), self._tensors(step, "optimizer"), self.state(step))

    def _tensors(self, step: int, name: str) -> dict[str, torch.Tensor]:
        safetensors = need("safetensors.torch")
        found: dict[str, torch.Tensor] = safetensors.load_file(str(self._place(step) / f"{name}.safetensors"))
        return found

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_text(text, "utf-8", newline="\n")
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _whole(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _sync(path: Path) -> None:
    """Have the system put a file or folder on the disk, for a rename may otherwise arrive before what it renames."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
