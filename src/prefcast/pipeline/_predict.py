"""Forecast a file of any size, piece by piece, into a submission that is whole and valid or not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from prefcast.battles import Battles, SubmissionWriter, iter_battles, read_battles
from prefcast.battles._parse import Texts
from prefcast.errors import DataError
from prefcast.models._base import Float, Progress, no_progress
from prefcast.pipeline._cuts import Cuts

__all__ = ["Forecaster", "PredictReport", "predict_file"]

_TEXTS = ("prompt", "response_a", "response_b")


class Forecaster(Protocol):
    """Anything that forecasts battles: a `PreferenceModel`, or a trained model as it is loaded."""

    def predict_proba(self, battles: Battles) -> Float:
        """Forecast battles, (n, 3)."""
        ...


@dataclass(frozen=True, eq=False)
class PredictReport:
    """What `predict_file` did.

    Parameters
    ----------
    path
        The file written.
    n
        Number of battles forecast.
    mean
        Mean probabilities of A, B and tie.
    repairs
        What reading changed, row by row, in the columns of `Battles.repairs`.
    cuts
        What each language model cut, row by row: its place among them as ``model`` and the columns of its
        `TokenizedBattles.cut`. Empty without one.
    engines
        How each language model was run, and why.
    """

    path: Path
    n: int
    mean: tuple[float, float, float]
    repairs: pl.DataFrame
    cuts: pl.DataFrame
    engines: tuple[str, ...] = ()

    @property
    def n_repaired(self) -> int:
        """Number of rows that reading changed."""
        return self.repairs["row"].n_unique()

    def kinds_of_repair(self) -> list[tuple[str, int]]:
        """What was repaired and in how many rows, the most frequent first."""
        counts = (
            self.repairs.group_by("what").agg(pl.col("row").n_unique()).sort(["row", "what"], descending=[True, False])
        )
        return [(str(what), int(n)) for what, n in counts.iter_rows()]


def predict_file(
    model: Forecaster,
    source: Any,
    out: str | Path,
    *,
    rows: int = 10_000,
    layout: Texts = "auto",
    expected: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> PredictReport:
    """Forecast battles and write them as a submission, ids and order as in the source.

    A file is read, forecast and written `rows` battles at a time, so its size does not matter; the rest of memory is
    what the model needs for that many.

    Parameters
    ----------
    model
        The fitted model.
    source
        A file or anything else that `prefcast.read_battles` reads, or a `Battles` table.
    out
        Where to write: ``.csv``, ``.parquet`` or ``.jsonl``.
    rows
        Battles at a time.
    layout
        How strings stand in the text columns; see `prefcast.read_battles`.
    expected
        The ids that the submission must have, in any order; see `prefcast.battles.read_submission_ids`.
    progress
        Told how far it is.

    Returns
    -------
    PredictReport
        Where it was written, how many rows, and what reading repaired.

    Raises
    ------
    DataError
        The source cannot be read, or the submission would have a missing, repeated or invalid row; nothing is written.

    Examples
    --------
    >>> import tempfile
    >>> from prefcast.models import model_class
    >>> frame = pl.DataFrame({"id": ["7"], "prompt": [["Hi"]], "response_a": [["Yes"]], "response_b": [["No"]],
    ...                       "vote_a": [1], "vote_b": [0], "vote_tie": [0]})
    >>> battles = Battles.from_frame(frame)
    >>> model = model_class("prior")(smoothing=3.0).fit(battles)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = predict_file(model, battles, f"{folder}/submission.csv")
    ...     print(report.path.read_text().rstrip())
    id,winner_model_a,winner_model_b,winner_tie
    7,0.375,0.375,0.25
    """
    if rows < 1:
        raise DataError(f"rows is {rows}; give how many battles to hold at a time, 1 or more.")
    if isinstance(source, str | Path) and Path(source).resolve() == Path(out).resolve():
        raise DataError(f"{out} is the file to read; write the forecasts to another, for example -o submission.csv")
    share = _Share(source)
    repairs, done = [], 0.0
    cuts = Cuts(model)
    with SubmissionWriter(out, expected=expected) as writer:
        for part in _parts(source, rows, layout):
            cuts.watch(progress, writer.n, done)
            writer.write(part.ids, np.asarray(model.predict_proba(part), dtype=np.float64))
            repairs.append(part.repairs)
            cuts.collect()
            done = share.after(part)
            progress(f"{writer.n:,} battles forecast", done)
    a, b, tie = writer.mean.tolist()
    return PredictReport(writer.path, writer.n, (a, b, tie), pl.concat(repairs), cuts.frame(), cuts.engines())


def _parts(source: Any, rows: int, layout: Texts) -> Iterator[Battles]:
    if isinstance(source, str | Path):
        yield from iter_battles(source, rows=rows, layout=layout)
        return
    battles = source if isinstance(source, Battles) else read_battles(source, layout=layout)
    for start in range(0, len(battles), rows):
        part = battles.frame[start : start + rows]
        yield Battles(part, battles.repairs) if start == 0 else Battles(part)


class _Share:
    """How much of the source is done: by rows where their number is known, else by bytes of text."""

    def __init__(self, source: Any) -> None:
        self._done = 0
        self._by_rows = not isinstance(source, str | Path)
        self._total = len(source) if hasattr(source, "__len__") and self._by_rows else 0
        if isinstance(source, str | Path):
            self._measure(Path(source))

    def _measure(self, path: Path) -> None:
        if not path.is_file() or path.suffix.lower() == ".gz":
            return  # the bytes of texts are no share of a folder or of packed bytes
        if path.suffix.lower() == ".parquet":
            self._by_rows = True
            try:
                self._total = pl.scan_parquet(path).select(pl.len()).collect().item()
            except (OSError, pl.exceptions.PolarsError):
                return  # reading it says what is wrong
        else:
            self._total = path.stat().st_size

    def after(self, part: Battles) -> float:
        """Return the share done, from 0 to 1, once these battles are."""
        if self._by_rows:
            self._done += len(part)
        else:
            texts = part.frame.select(pl.col(_TEXTS).list.eval(pl.element().str.len_bytes()).list.sum().sum())
            self._done += int(texts.sum_horizontal().item() or 0)
        return min(self._done / self._total, 1.0) if self._total else 0.0
