"""The whole main job on simulated battles, whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from prefcast.artifact import TrainedModel, check_target, load
from prefcast.battles import (
    Battles,
    Simulation,
    best_possible,
    find_groups,
    hold_out_groups,
    simulate,
    write_battles,
    write_submission,
)
from prefcast.errors import DataError
from prefcast.evaluation import Evaluation, Interval, evaluate, mean_interval, row_log_loss, write_json
from prefcast.models._base import Float, Int, Progress, no_progress, swap_columns
from prefcast.pipeline._predict import predict_file
from prefcast.pipeline._recipe import Recipe
from prefcast.pipeline._train import train

__all__ = ["DEMO_FILES", "Demo", "Standing", "run_demo"]

DEMO_FILES: Final = {
    "train.csv": "battles with votes",
    "test.csv": "battles to forecast, without votes",
    "votes.csv": "the votes on them, kept from the model",
    "truth.csv": "their true probabilities",
    "model": "the trained model, with its model card in README.md",
    "submission.csv": "its forecasts of test.csv",
    "demo.json": "the figures shown here",
}
"""What the demo writes."""

Step = Callable[[str], None]


@dataclass(frozen=True)
class Standing:
    """How good one forecast of the test battles is.

    Parameters
    ----------
    name
        Whose forecast.
    on_votes
        Log loss on the votes drawn, with its interval over prompts.
    on_truth
        Log loss to be expected over all votes that could have been drawn.
    """

    name: str
    on_votes: Interval
    on_truth: float


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo found.

    Parameters
    ----------
    folder
        Where its files are.
    model
        The trained model.
    n_train, n_test
        Battles to learn from and to forecast; no prompt stands in both.
    standings
        Class prior, longer-answer rule, model and truth, from worst to best to be expected.
    evaluation
        Scores of the model's forecasts against the votes.
    verdicts_changed
        Battles whose most probable outcome is another when A and B are exchanged.
    largest_change
        Largest difference that exchanging A and B makes to a probability.
    first_rows
        The first rows of the submission.
    """

    folder: Path
    model: TrainedModel
    n_train: int
    n_test: int
    standings: tuple[Standing, ...]
    evaluation: Evaluation
    verdicts_changed: int
    largest_change: float
    first_rows: pl.DataFrame

    @property
    def share_of_gain(self) -> float:
        """How far the model gets on the way from the class prior to the best possible forecast, expected, up to 1."""
        prior, *_, model, best = (s.on_truth for s in self.standings)
        return (prior - model) / (prior - best)


def run_demo(
    folder: str | Path,
    *,
    n: int = 3_000,
    seed: int = 0,
    recipe: str | Recipe = "cpu",
    step: Step = lambda said: None,
    progress: Progress = no_progress,
) -> Demo:
    """Simulate battles, train, forecast a test set, write the submission, and score it against votes and truth.

    Parameters
    ----------
    folder
        Where to write: new, empty, or with nothing in it but what an earlier demo wrote.
    n
        Battles to simulate; a fifth of them, in whole groups, become the test.
    seed
        Of every random choice.
    recipe
        As for `prefcast.train`.
    step
        Told what was done, one sentence each.
    progress
        Told how far training and forecasting are.

    Returns
    -------
    Demo
        Everything it found.

    Raises
    ------
    DataError
        The folder holds files that no demo wrote.
    """
    folder = Path(folder)
    _refuse_folder(folder)
    simulation = simulate(n, seed=seed)
    kept, held = hold_out_groups(find_groups(simulation.battles), 0.2, seed=seed)
    battles, votes = simulation.battles.take(kept), simulation.battles.take(held)
    _write_data(folder, battles, votes, simulation, held)
    step(f"simulated {n:,} battles: {len(battles):,} to train on, {len(votes):,} on other prompts to forecast")
    model = train(folder / "train.csv", recipe, seed=seed, progress=progress)
    model.save(folder / "model", overwrite=True)
    out = model.training.scores["out_of_fold"]["log_loss"]["value"]
    step(f"trained the recipe {model.training.recipe} and saved it; out-of-fold log loss {out:.3f}")
    report = predict_file(load(folder / "model"), folder / "test.csv", folder / "submission.csv", progress=progress)
    step(f"loaded it again and forecast {report.n:,} battles")
    p = model.predict_proba(votes)
    back = swap_columns(model.predict_proba(votes.swap()))
    demo = Demo(
        folder=folder,
        model=model,
        n_train=len(battles),
        n_test=len(votes),
        standings=_standings(p, battles, votes, simulation.truth[held]),
        evaluation=evaluate(p, votes),
        verdicts_changed=int((back.argmax(axis=1) != p.argmax(axis=1)).sum()),
        largest_change=float(np.abs(back - p).max()),
        first_rows=pl.read_csv(report.path, n_rows=5, schema_overrides={"id": pl.String}),
    )
    step("scored the forecasts against the votes and against the truth, and with A and B exchanged")
    write_json(_figures(demo), folder / "demo.json")
    return demo


def _refuse_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; the demo writes a folder. Give another: prefcast demo --out NAME")
    check_target(folder / "model", overwrite=True)
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    foreign = sorted(there - set(DEMO_FILES))
    # A person's own folder may hold a train.csv: only demo.json says that a demo wrote it.
    if foreign or (there and "demo.json" not in there):
        raise DataError(
            f"{folder} holds files that no demo wrote ({', '.join((foreign or sorted(there))[:5])}), and this one "
            "would write over files there. Give another folder: prefcast demo --out NAME"
        )


def _write_data(folder: Path, battles: Battles, votes: Battles, simulation: Simulation, held: Int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # First of all, so that a demo that was stopped half-way can be run again.
    write_json({}, folder / "demo.json")
    write_battles(battles, folder / "train.csv")
    bare = votes.frame.select("id", "prompt", "response_a", "response_b")
    write_battles(Battles.from_frame(bare), folder / "test.csv")
    write_battles(votes, folder / "votes.csv")
    write_submission(folder / "truth.csv", votes.ids, simulation.truth[held])


def _standings(p: Float, train: Battles, test: Battles, truth: Float) -> tuple[Standing, ...]:
    groups = find_groups(test)
    forecasts = {
        "class prior": np.tile(_shares(train), (len(test), 1)),
        "the longer answer": _longer_answer(train, test),
        "the model": p,
        "the truth (best possible)": truth,
    }
    return tuple(
        Standing(name, mean_interval(row_log_loss(q, test.votes), groups), best_possible(truth) + _divergence(truth, q))
        for name, q in forecasts.items()
    )


def _divergence(truth: Float, p: Float) -> float:
    """What a forecast loses to the truth on average, in nats."""
    safe = np.maximum(truth, 1e-300)
    return float((truth * (np.log(safe) - np.log(np.maximum(p, 1e-12)))).sum(axis=1).mean())


def _shares(battles: Battles) -> Float:
    """Shares of A, B and tie, with A and B alike."""
    a, b, tie = battles.votes.mean(axis=0)
    return np.array([(a + b) / 2, (a + b) / 2, tie])


def _longer_answer(train: Battles, test: Battles) -> Float:
    """Forecast by one rule: how often the longer answer won, lost and tied in training."""
    sign, votes = _longer(train), train.votes
    apart = sign != 0
    won = np.where(sign > 0, votes[:, 0], votes[:, 1])[apart].mean()
    lost = np.where(sign > 0, votes[:, 1], votes[:, 0])[apart].mean()
    here = _longer(test)[:, None]
    ahead = np.array([won, lost, 1 - won - lost])
    return np.where(here > 0, ahead, np.where(here < 0, ahead[[1, 0, 2]], _shares(train)))


def _longer(battles: Battles) -> Int:
    """1 where A has more characters, -1 where B has, 0 where they are as long."""
    a, b = (battles.frame[f"response_{side}"].list.eval(pl.element().str.len_chars()).list.sum() for side in "ab")
    more: Int = np.sign(a.cast(pl.Int64).to_numpy() - b.cast(pl.Int64).to_numpy()).astype(np.int64)
    return more


def _figures(demo: Demo) -> dict[str, object]:
    standings: Sequence[Standing] = demo.standings
    return {
        "n_train": demo.n_train,
        "n_test": demo.n_test,
        "log_loss": {s.name: {"on_votes": vars(s.on_votes), "on_truth": s.on_truth} for s in standings},
        "share_of_gain": demo.share_of_gain,
        "verdicts_changed": demo.verdicts_changed,
        "largest_change": demo.largest_change,
        "evaluation": demo.evaluation.to_dict(),
    }
