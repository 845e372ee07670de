"""``prefcast demo``: the whole main job on simulated battles."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from prefcast.pipeline import Demo

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("prefcast-demo"),
    n: Annotated[int, typer.Option("--n", min=300, help="Battles to simulate; a fifth become the test.")] = 3_000,
    recipe: Annotated[str, typer.Option(help="Name of a packaged recipe, or path of a .toml file.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
) -> None:
    """Do the whole job on simulated battles, in about a minute.

    Simulates battles from a known vote model, trains, forecasts a test set, writes submission.csv, and scores it
    against the votes and against the truth. Needs no data and no network. Everything it wrote stays to be looked at.
    """
    import time

    from prefcast.cli._progress import progress_bar
    from prefcast.cli._show import console
    from prefcast.pipeline import run_demo

    start = time.perf_counter()
    with progress_bar("simulating battles") as progress:

        def step(said: str) -> None:
            typer.echo(f"{time.perf_counter() - start:5.1f} s  {said}")

        found = run_demo(out, n=n, seed=seed, recipe=recipe, step=step, progress=progress)
    _print(console(), found)


def _print(to: Console, demo: Demo) -> None:
    from prefcast.cli._show import grid, title

    title(to, f"Log loss on {demo.n_test:,} battles with prompts the model has never seen (lower is better)")
    blocks = "█░" if "utf" in to.encoding.lower() else "#."
    rows = [
        (s.name, f"{s.on_votes:.3f}", f"{s.on_truth:.3f}", _bar(demo, k, blocks)) for k, s in enumerate(demo.standings)
    ]
    grid(to, ("", "on the votes, 95 % interval", "expected", "way to the truth   "), rows)
    e = demo.evaluation
    calibration = demo.model.training.scores["calibration"]
    title(to, "Can it be trusted?")
    same = (
        "every probability to the last bit" if not demo.largest_change else f"off by {demo.largest_change:.0e} at most"
    )
    facts = [
        ("A and B exchanged", f"{demo.verdicts_changed} of {demo.n_test:,} verdicts change; {same}"),
        ("accuracy", f"{e.accuracy:.3f}"),
        ("confidence less accuracy (ECE)", f"{e.ece:.3f}"),
        ("temperature and tie bias", "applied" if calibration["used"] else "left out: no interval supports them"),
    ]
    for label, fact in facts:
        to.print(f"{label:31}  {fact}")
    title(to, f"{demo.folder / 'submission.csv'} begins")
    grid(to, demo.first_rows.columns, [(str(i), *(f"{v:.4f}" for v in p)) for i, *p in demo.first_rows.iter_rows()])
    _print_files(to, demo.folder)


def _print_files(to: Console, folder: Path) -> None:
    from prefcast.cli._show import title
    from prefcast.pipeline import DEMO_FILES

    title(to, f"In {folder}/")
    for name, what in DEMO_FILES.items():
        to.print(f"{name:15} {what}")
    title(to, "What to type next")
    name = shlex.quote(str(folder))
    typer.echo(f"  prefcast evaluate {name}/model {name}/votes.csv")
    typer.echo(f"  prefcast compare {name}/model --prompt 'Name a fruit.' --a 'An apple.' --b 'Fruit? No idea.'")
    typer.echo("and with votes of your own:")
    typer.echo("  prefcast check train.csv")
    typer.echo("  prefcast train train.csv -o model/")
    typer.echo("  prefcast predict model/ test.csv -o submission.csv")


def _bar(demo: Demo, k: int, blocks: str) -> str:
    """How far a forecast gets from the class prior to the truth."""
    first, *_, last = (s.on_truth for s in demo.standings)
    share = (first - demo.standings[k].on_truth) / (first - last)
    full = round(12 * min(max(share, 0.0), 1.0))
    return f"{blocks[0] * full}{blocks[1] * (12 - full)} {share:5.0%}"
