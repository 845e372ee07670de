"""The log of a run, one JSON line for each step, and its loss curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from prefcast.models.llm._snapshots import write_whole

__all__ = ["Journal", "draw_curve"]


class Journal:
    """A JSON Lines file that is whole after a kill: a line cut short, or of a step that is done again, is dropped.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, step: int) -> None:
        """Keep what was logged up to a step, since the run goes on from there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in self.lines() if line["step"] <= step]
        write_whole(self.path, "".join(json.dumps(line) + "\n" for line in kept))

    def add(self, lines: list[dict[str, Any]]) -> None:
        """Append lines."""
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))

    def lines(self) -> list[dict[str, Any]]:
        """Read the lines that are whole."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").split("\n")[:-1]]


def draw_curve(lines: list[dict[str, Any]], folder: Path) -> None:
    """Write the losses of a run as ``training.json`` and ``training.svg``.

    Parameters
    ----------
    lines
        Of the journal: each has a step and the loss of that step, or the log loss on the held-out groups.
    folder
        Where to.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    steps = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    looks = [(line["step"], line["validation_log_loss"]) for line in lines if "validation_log_loss" in line]
    numbers = {
        "training": [{"step": step, "loss": loss} for step, loss in steps],
        "validation": [{"step": step, "log_loss": loss} for step, loss in looks],
    }
    write_whole(folder / "training.json", json.dumps(numbers) + "\n")
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    if steps:
        at, losses = np.array(steps).T
        axes.plot(at, losses, color="0.8", linewidth=0.8, label="each step")
        axes.plot(at, _smooth(losses), color="C0", label="smoothed")
    if looks:
        axes.plot(*np.array(looks).T, "o-", color="C1", label="held-out groups, both orders")
    axes.set(xlabel="step", ylabel="loss (nats)")
    axes.legend(frameon=False)
    import matplotlib as mpl

    # The same numbers give the same file: no date, no random identifiers.
    with mpl.rc_context({"svg.hashsalt": "prefcast"}):
        figure.savefig(folder / "training.svg", metadata={"Date": None})


def _smooth(losses: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mean of the last steps, a twentieth of the run."""
    width = max(1, len(losses) // 20)
    total = np.cumsum(np.concatenate([[0.0], losses]))
    end = np.arange(1, len(losses) + 1)
    start = np.maximum(end - width, 0)
    return np.asarray((total[end] - total[start]) / (end - start))
