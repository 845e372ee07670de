"""``prefcast predict``: forecast a file of battles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from prefcast.pipeline import PredictReport

__all__ = ["predict"]


def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a trained model.", metavar="MODEL")],
    file: Annotated[str, typer.Argument(help="Battles to forecast: csv, parquet, jsonl or a folder.", metavar="FILE")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write: .csv, .parquet or .jsonl.")],
    sample: Annotated[
        Path | None, typer.Option(help="A sample_submission.csv; the ids written must be exactly its ids.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Battles held in memory at a time.")] = 10_000,
    layout: Annotated[
        Literal["auto", "json", "plain"],
        typer.Option(help="How texts stand in FILE: JSON lists of turns, or plain strings of one turn."),
    ] = "auto",
    repairs: Annotated[
        Path | None, typer.Option(help="Write which rows were repaired while reading, and how: .csv.")
    ] = None,
) -> None:
    """Forecast a file of battles.

    Writes a submission: id and the probabilities of A, B and tie, in the order of FILE. The file appears whole or
    not at all: a missing, repeated or invalid row is an error, never a row in the file.
    """
    from prefcast.artifact import load
    from prefcast.battles import read_submission_ids
    from prefcast.cli._progress import progress_bar
    from prefcast.pipeline import predict_file

    _refuse_repairs(repairs, file, out)
    expected = None if sample is None else read_submission_ids(sample)
    with progress_bar("loading the model") as progress:
        trained = load(model)
        progress("reading the first battles", 0.0)
        report = predict_file(trained, file, out, rows=rows, layout=layout, expected=expected, progress=progress)
    if repairs is not None:
        _write_repairs(report, repairs)
    _print(report, repairs)


def _refuse_repairs(repairs: Path | None, file: str, out: Path) -> None:
    """Find out before the long work, not after it, that the list of repairs cannot be written."""
    from prefcast.errors import DataError

    if repairs is None:
        return
    if repairs.suffix.lower() != ".csv" or repairs.is_dir():
        raise DataError(f"--repairs writes a .csv; got {repairs}. Give for example --repairs repairs.csv")
    if repairs.resolve() in (Path(file).resolve(), out.resolve()):
        raise DataError(f"--repairs {repairs} is also the file to read or to write; give another name.")


def _write_repairs(report: PredictReport, path: Path) -> None:
    from prefcast.errors import DataError

    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        report.repairs.write_csv(partial)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{report.path} is written, but {path} cannot be ({error}).") from error
    finally:
        partial.unlink(missing_ok=True)


def _print(report: PredictReport, repairs: Path | None) -> None:
    if report.n_repaired:
        what = ", ".join(f"{n:,} x {kind}" for kind, n in report.kinds_of_repair()[:3])
        where = f"see {repairs}" if repairs else "--repairs repairs.csv lists them"
        some = f"{report.n_repaired:,} row was" if report.n_repaired == 1 else f"{report.n_repaired:,} rows were"
        typer.echo(f"{report.n:,} rows; {some} repaired while reading ({what}): {where}", err=True)
    a, b, tie = report.mean
    noun = "row" if report.n == 1 else "rows"
    typer.echo(f"{report.path}: {report.n:,} {noun}; on average A {a:.3f}, B {b:.3f}, tie {tie:.3f}")
