"""``prefcast check``: the data doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from prefcast.battles import Diagnosis, Repair

__all__ = ["check"]

_SHOWN = 8
_FIRST = 5  # rows of a kind that a summary holds at most


def check(
    file: Annotated[str, typer.Argument(help="Battles to check: csv, parquet, jsonl or a folder.", metavar="FILE")],
    other: Annotated[
        str | None, typer.Argument(help="A second file: groups that stand in both are errors.", metavar="OTHER")
    ] = None,
    json_out: Annotated[
        str | None, typer.Option("--json", help="Write everything found as JSON; - is standard output.")
    ] = None,
    repair: Annotated[
        Path | None, typer.Option(help="Write a clean file: .csv, .parquet or .jsonl.", show_default=False)
    ] = None,
    changes: Annotated[
        Path | None,
        typer.Option(help="Where to list what --repair changed: .csv. [default: beside the clean file]"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Characters of a row past which it is reported.")] = 200_000,
    layout: Annotated[
        Literal["auto", "json", "plain"],
        typer.Option(help="How texts stand in FILE: JSON lists of turns, or plain strings of one turn."),
    ] = "auto",
) -> None:
    """Check a file of battles: every problem, by row.

    Exits 1 if there are errors (with OTHER: also if a group stands in both files), 0 if there are only warnings and
    notes.
    """
    from prefcast.battles import check_battles, repair_battles
    from prefcast.cli._progress import progress_bar
    from prefcast.errors import DataError

    if changes is not None and repair is None:
        raise DataError("--changes lists what --repair changed: add --repair clean.csv.")
    if repair is not None and repair.resolve() in {Path(f).resolve() for f in (file, other) if f}:
        raise DataError(f"--repair {repair} is the file to check: give another name.")
    with progress_bar("checking") as progress:
        diagnosis = check_battles(file, other, limit_chars=limit, layout=layout, progress=progress)
        if repair is not None:
            progress("repairing", 0.0)
        repaired = None if repair is None else repair_battles(diagnosis, repair)
    if json_out != "-":
        _print(diagnosis)
    if json_out is not None:
        _write_json(diagnosis, json_out)
    if repaired is not None:
        _write_changes(repaired, changes)
    if diagnosis.count("error"):
        raise typer.Exit(1)


def _print(diagnosis: Diagnosis) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    summary = diagnosis.summary()
    counts = {s: diagnosis.count(s) for s in ("error", "warning", "note")}
    if summary.height:
        table = Table("", "problem", "count", "first rows", "what to do", box=None, pad_edge=False)
        for _, severity, title, count, rows, advice in summary.rows():
            first = ", ".join(map(str, rows)) + ("…" if count > len(rows) == _FIRST else "")
            table.add_row(severity, title, f"{count:,}", first, advice)
        console.print(table)
        console.print()
        _print_first(console, diagnosis)
    said = ", ".join(f"{n:,} {s}{'s' if n != 1 else ''}" for s, n in counts.items())
    typer.echo(f"{diagnosis.name}: {diagnosis.frame.height:,} rows, {said}.")


def _print_first(console: Console, diagnosis: Diagnosis) -> None:
    """Show the first problems that are more than notes, one line each."""
    import polars as pl

    grave = diagnosis.problems.filter(pl.col("severity") != "note")
    order = grave.with_columns(rank=(pl.col("severity") != "error")).sort("rank", maintain_order=True)
    for row, key, column, detail in order.head(_SHOWN).select("row", "id", "column", "detail").rows():
        named = [f"row {row}", "" if key is None else f"id {key}", column or ""]
        console.print(f"{', '.join(filter(None, named))}: {detail}", soft_wrap=True)
    if grave.height > _SHOWN:
        console.print(f"… and {grave.height - _SHOWN:,} more: --json problems.json lists them all")
    if grave.height:
        console.print()


def _write_json(diagnosis: Diagnosis, where: str) -> None:
    text = diagnosis.to_json() + "\n"
    if where == "-":
        typer.echo(text, nl=False)
    else:
        _write_whole(Path(where), text)


def _write_changes(repaired: Repair, changes: Path | None) -> None:
    path = repaired.path.with_suffix(".changes.csv") if changes is None else changes
    _write_whole(path, repaired.changes.write_csv())
    dropped = repaired.changes.filter(repaired.changes["action"] == "row dropped").height
    other = repaired.changes.height - dropped
    rows = f"{len(repaired.battles):,} row{'s' if len(repaired.battles) != 1 else ''}"
    typer.echo(f"{repaired.path}: {rows}; {dropped:,} dropped, {other:,} repairs, listed in {path}", err=True)


def _write_whole(path: Path, text: str) -> None:
    from prefcast.errors import DataError

    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error}). Give a path in a folder that exists.") from error
    finally:
        partial.unlink(missing_ok=True)
