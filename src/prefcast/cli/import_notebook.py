"""``prefcast import-notebook``: weights of the notebook to a model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = ["import_notebook"]


def import_notebook(
    base: Annotated[str, typer.Option(help="Folder or hub name of the backbone.")],
    tokenizer: Annotated[str, typer.Option(help="Folder of the tokenizer.")],
    weights: Annotated[Path, typer.Option(help="State dict of LoRA and head, as torch.save wrote it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to save the model to.")],
    rank: Annotated[int, typer.Option(min=1, help="Rank of the adapter.")] = 16,
    alpha: Annotated[float, typer.Option(help="Alpha of the adapter.")] = 32.0,
    target: Annotated[
        list[str] | None, typer.Option(help="Modules with an adapter. [default: o_proj, v_proj]", show_default=False)
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=16, help="Longest sequence.")] = 2048,
    orders: Annotated[
        Literal["both", "canonical", "given"],
        typer.Option(help="How predict reads a battle; given is the notebook's way and NOT swap-symmetric."),
    ] = "both",
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Merge the adapter in: as large as the backbone, which is then not needed."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that stands there.")] = False,
) -> None:
    """Import the notebook's language model.

    Takes a backbone, a tokenizer and the saved adapter and head, and saves a model that predict, compare and calibrate
    use like any other. Every tensor must be there, of the right shape, and known; the file is read without running
    code that it may hold.
    """
    from prefcast.artifact import check_target
    from prefcast.cli._progress import progress_bar
    from prefcast.pipeline import import_notebook as run

    check_target(out, overwrite=overwrite)
    with progress_bar("checking the weights") as progress:
        model = run(
            base, tokenizer, weights, rank=rank, alpha=alpha, targets=target or ("o_proj", "v_proj"),
            max_tokens=max_tokens, orders=orders, merge=merge,
        )  # fmt: skip
        progress("saving", 1.0)
        model.save(out, overwrite=overwrite)
    name = shlex.quote(str(out))
    typer.echo(f"{out} is saved. Every tensor of the adapter and the head was there. What to type next:")
    typer.echo(f"  prefcast predict {name} test.csv -o submission.csv")
    typer.echo(f"  prefcast calibrate {name} votes.csv -o calibrated/")
