"""``prefcast train``: votes to a model."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from prefcast.artifact import TrainedModel

__all__ = ["print_training", "train"]


def train(
    files: Annotated[
        list[str], typer.Argument(help="Battles with votes: csv, parquet, jsonl or folders.", metavar="FILE...")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to save the model to.")],
    recipe: Annotated[str, typer.Option(help="Name of a packaged recipe, or path of a .toml file.")] = "cpu",
    backbone: Annotated[
        str | None, typer.Option(help="Folder or hub name of a pretrained language model. [default: the recipe's]")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Grouped folds. [default: the recipe's]", min=2)] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice. [default: the recipe's]", min=0)] = None,
    subsample: Annotated[int | None, typer.Option(help="Train on every K-th group only.", metavar="K", min=1)] = None,
    fold: Annotated[
        int | None, typer.Option(help="Train once, without this fold (from 0), and score it.", min=0)
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train once, on everything: no scores, no blend weights, no calibration.")
    ] = False,
    position_effect: Annotated[
        bool, typer.Option("--position-effect", help="Fit what standing first does. Gives up swap symmetry.")
    ] = False,
    layout: Annotated[
        Literal["auto", "json", "plain"],
        typer.Option(help="How texts stand in FILE: JSON lists of turns, or plain strings of one turn."),
    ] = "auto",
    work: Annotated[
        Path | None,
        typer.Option(help="Where a language model keeps its checkpoints while it trains. [default: OUT.work]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that stands there.")] = False,
) -> None:
    """Train a model on votes.

    Cross-fits the recipe's models on grouped folds, blends and calibrates them by what they forecast for battles they
    never saw, refits them on everything, and saves the model with its scores. Several files are taken as one table.
    A language model that was killed goes on where it was when the same command is given again. On several GPUs:
    torchrun --nproc-per-node 4 -m prefcast train ..., or accelerate launch.
    """
    import time

    from prefcast.artifact import check_target
    from prefcast.cli._progress import progress_bar
    from prefcast.models.llm._processes import is_first_process, wait_for_all
    from prefcast.pipeline import check_ready, load_recipe, read_files
    from prefcast.pipeline import train as run

    start = time.perf_counter()
    check_target(out, overwrite=overwrite)
    chosen = load_recipe(recipe).with_backbone(backbone)
    place = out.with_name(f"{out.name}.work") if work is None else work
    first = is_first_process()
    with progress_bar("reading", quiet=not first) as progress:
        check_ready(chosen)
        battles = read_files(files, layout=layout, progress=progress)
        progress("finding groups", 0.0)
        model = run(
            battles, chosen, folds=folds, seed=seed, subsample=subsample, fold=fold, full=full,
            position_effect=position_effect or None, work=place, progress=progress,
        )  # fmt: skip
        wait_for_all()  # none reads the work folder any more
        if not first:
            return
        progress("saving", 1.0)
        model.save(out, overwrite=overwrite)
        if work is None:
            _clear(place)  # its work is done; a folder that the user named is the user's
    from prefcast.cli._show import console, said_of_reading

    for line in said_of_reading(battles, model.training.scores["without_votes"]):
        typer.echo(line, err=True)
    to = console()
    print_training(to, model, time.perf_counter() - start)
    name = shlex.quote(str(out))
    typer.echo(f"\n{out} is saved. What to type next:")
    typer.echo(f"  prefcast predict {name} test.csv -o submission.csv")
    typer.echo(f"  prefcast evaluate {name} other-votes.csv")


def _clear(work: Path) -> None:
    """Remove the work of language models, and nothing else that may stand there."""
    for run in work.glob("llm-*/run.json"):
        shutil.rmtree(run.parent, ignore_errors=True)
    if work.is_dir() and not any(work.iterdir()):
        work.rmdir()


def print_training(to: Console, model: TrainedModel, seconds: float) -> None:
    """Print how good a model is where it was trained, and what it is made of."""
    from prefcast.cli._show import grid, title

    training = model.training
    scores = training.scores
    to.print(
        f"Trained {training.recipe} on {training.n_battles:,} battles with {training.n_groups:,} independent prompts "
        f"in {seconds:.0f} s."
    )
    for llm in scores.get("language_models", ()):
        to.print(f"Language model {llm['backbone']}: {llm['cut_in_training'].get('said', '')}")
    if "out_of_fold" not in scores:
        to.print("Trained on everything at once: there are no scores. Score it on other votes.")
        return
    where = "on the fold held out" if "held_out_fold" in scores else "out of fold"
    title(to, f"Scores {where}, 95 % intervals over prompts")
    grid(to, ("", "", ""), _headline(scores["out_of_fold"]))
    if len(scores.get("members", {})) > 1:
        title(to, "What each member adds")
        grid(to, ("", "weight", "log loss alone", "whole minus alone"), _members(scores["members"]))
    for line in _calibration(scores.get("calibration"), training.swap_symmetric):
        to.print(f"\n{line}")


def _headline(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    from prefcast.cli._show import figure

    prior = found.get("prior")
    beside = f"class prior {figure(prior['log_loss'])}" if prior else ""
    rows = [("log loss", figure(found["log_loss"]), beside)]
    rows += [(label, figure(found[key]), "") for label, key in _LABELS]
    return rows


_LABELS = (("accuracy", "accuracy"), ("Brier score", "brier"), ("calibration error (ECE)", "ece"))


def _members(members: Mapping[str, Any]) -> list[tuple[str, ...]]:
    from prefcast.cli._show import figure

    return [
        (name, f"{m['weight']:.2f}", figure(m["log_loss"]), figure(m["model_minus_member"], "+.4f"))
        for name, m in members.items()
    ]


def _calibration(found: Mapping[str, Any] | None, symmetric: bool) -> list[str]:
    from prefcast.cli._show import figure

    if found is None:
        return []
    said = []
    change = found["after_minus_before"]
    if change is None:
        said.append("Calibration: not tried (the recipe asks for none, or there are too few prompts).")
    elif found["used"]:
        said.append(
            f"Calibration: applied (sharpness {found['sharpness']:.3f}, tie bias {found['tie']:+.3f}); on prompts "
            f"that it was not fitted on it changes the log loss by {figure(change, '+.4f')}."
        )
    else:
        said.append(
            "Calibration: left out; on prompts that it was not fitted on it would change the log loss by "
            f"{figure(change, '+.4f')}."
        )
    if not symmetric:
        said.append(
            f"Position effect: {found['position']:+.3f} to the score of A and as much from B. NOT swap-symmetric."
        )
    return said
