"""``prefcast simulate``: make battles from a known vote model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from prefcast.battles import Battles

__all__ = ["simulate"]


def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write battles and votes: .csv, .parquet, .jsonl.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of battles.")] = 1_000,
    truth: Annotated[
        Path | None, typer.Option(help="Write the true probabilities of all battles, as a submission.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Write some battles here instead, without models and votes.")
    ] = None,
    test_share: Annotated[
        float, typer.Option(help="Share of the battles that --test takes, in whole groups, between 0 and 1.")
    ] = 0.2,
    test_votes: Annotated[
        Path | None, typer.Option(help="Write the battles of --test here with models and votes.")
    ] = None,
    models: Annotated[int, typer.Option(min=2, help="How many models answer.")] = 8,
    prompts: Annotated[
        int | None, typer.Option(min=1, help="How many prompts to draw from; half the pairs if not given.")
    ] = None,
    votes_per_pair: Annotated[int, typer.Option(min=1, help="Votes on each pair of answers.")] = 1,
    turns: Annotated[float, typer.Option(min=0.0, help="Probability of another turn, below 1.")] = 0.15,
    length_taste: Annotated[float, typer.Option(help="Utility per unit of log length.")] = 0.5,
    markdown_taste: Annotated[float, typer.Option(help="Utility per unit of log markdown elements.")] = 0.25,
    position_effect: Annotated[float, typer.Option(help="Utility of standing first.")] = 0.0,
    tie_width: Annotated[float, typer.Option(min=0.0, help="Utility difference below which people call a tie.")] = 0.7,
    noise: Annotated[float, typer.Option(min=0.0, help="Scale of the logistic noise, above 0.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
) -> None:
    """Make battles from a known vote model.

    The files are in the competition's layout. A vote compares utilities: quality of the answer, taste for length
    and for markdown, and position, with logistic noise; so the true probabilities are exact. With --test, no prompt
    stands in both files. The same options give the same files.
    """
    from prefcast.battles import simulate as run
    from prefcast.battles import write_battles, write_submission
    from prefcast.cli._progress import progress_bar
    from prefcast.errors import DataError

    if test_votes is not None and test is None:
        raise DataError("--test-votes was given without --test. Type --test test.csv as well.")
    files = [path.resolve() for path in (out, truth, test, test_votes) if path is not None]
    if len(set(files)) < len(files):
        raise DataError("two of the files to write have the same name; give each its own.")
    with progress_bar("simulating"):
        simulation = run(
            n, models=models, prompts=prompts, length_taste=length_taste, markdown_taste=markdown_taste,
            position_effect=position_effect, tie_width=tie_width, noise=noise, votes_per_pair=votes_per_pair,
            turns=turns, seed=seed,
        )  # fmt: skip
        kept, held = simulation.battles, None
        if test is not None:
            kept, held = _split(kept, test_share, seed)
    if truth is not None:
        write_submission(truth, simulation.battles.ids, simulation.truth)
        typer.echo(f"{truth}: true probabilities of {n} battles")
    if test is not None and held is not None:
        write_battles(_bare(held), test)
        typer.echo(f"{test}: {len(held)} battles without votes")
        if test_votes is not None:
            write_battles(held, test_votes)
            typer.echo(f"{test_votes}: the same {len(held)} battles with votes")
    write_battles(kept, out)
    typer.echo(f"{out}: {len(kept)} battles")
    typer.echo(f"The best possible log loss on all {n} battles is {simulation.best_log_loss:.4f} on average.")


def _split(battles: Battles, share: float, seed: int) -> tuple[Battles, Battles]:
    from prefcast.battles import find_groups, hold_out_groups

    train, test = hold_out_groups(find_groups(battles), share, seed=seed)
    return battles.take(train), battles.take(test)


def _bare(battles: Battles) -> Battles:
    """Only what a forecast may see."""
    import polars as pl

    from prefcast.battles import Battles

    return Battles.from_frame(battles.frame.select(pl.col("id", "prompt", "response_a", "response_b")))
