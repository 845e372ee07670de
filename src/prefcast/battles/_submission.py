"""Submission files: one row of three probabilities for each battle, written whole and valid or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles._sinks import SINKS, SUBMISSION_COLUMNS, Sink
from prefcast.errors import DataError

__all__ = ["SUBMISSION_COLUMNS", "SubmissionWriter", "read_submission_ids", "write_submission"]

_SUM_TOLERANCE: Final = 1e-6
_SHOWN: Final = 5


def write_submission(
    path: str | Path,
    ids: Iterable[str] | pl.Series,
    p: npt.ArrayLike,
    *,
    expected: Sequence[str] | None = None,
) -> Path:
    """Write a submission at once; `SubmissionWriter` writes one piece by piece.

    Parameters
    ----------
    path
        Where to write: ``.csv``, ``.parquet`` or ``.jsonl``.
    ids
        Id of each battle, (n,).
    p
        Probabilities, (n, 3), columns A, B, tie.
    expected
        The ids that the file must have, in any order.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        An id is missing, empty, repeated or not expected, or a row is not three probabilities that sum to 1.
    """
    with SubmissionWriter(path, expected=expected) as writer:
        writer.write(ids, p)
    return writer.path


def read_submission_ids(path: str | Path) -> list[str]:
    """Read the ids of a submission such as ``sample_submission.csv``, as they are written there.

    Parameters
    ----------
    path
        A ``.csv`` with the columns of `SUBMISSION_COLUMNS`.

    Returns
    -------
    list of str
        The ids, in the order of the file.

    Raises
    ------
    DataError
        The file cannot be read, has other columns, or misses or repeats an id.
    """
    path = Path(path)
    try:
        # Ids stay text: a leading zero, or a number past 2**63, must come out as it went in.
        frame = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"the sample submission {path} cannot be read ({error}); it must be a csv with the columns "
            f"{', '.join(SUBMISSION_COLUMNS)}."
        ) from error
    missing = [c for c in SUBMISSION_COLUMNS if c not in frame.columns]
    if missing:
        raise DataError(
            f"the sample submission {path} has the columns {', '.join(frame.columns)}; it lacks {', '.join(missing)}.",
            columns=missing,
        )
    ids = frame["id"].to_list()
    _refuse_ids(ids, set(), 0, f"the sample submission {path}")
    return ids


class SubmissionWriter:
    """Write a submission piece by piece; the file appears, whole, only when all of it is valid.

    Use it as a context manager. Until it closes, rows go to a hidden file beside ``path``; a refused row or any other
    error removes that file and leaves whatever stood at ``path`` as it was. It remembers the ids seen: about 100
    bytes a row.

    Parameters
    ----------
    path
        Where to write: ``.csv``, ``.parquet`` or ``.jsonl`` (``.ndjson``). Its folder is made if need be.
    expected
        The ids that the file must have, in any order; not checked if not given.

    Raises
    ------
    DataError
        The suffix is another, or the place cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with SubmissionWriter(Path(folder) / "submission.csv") as writer:
    ...         writer.write(["7", "8"], [[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    ...     print(writer.path.read_text().rstrip())
    id,winner_model_a,winner_model_b,winner_tie
    7,0.5,0.25,0.25
    8,0.2,0.2,0.6
    """

    def __init__(self, path: str | Path, *, expected: Sequence[str] | None = None) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in SINKS:
            raise DataError(
                f"a submission is written as {', '.join(SINKS)}; {str(self.path)!r} ends in "
                f"{self.path.suffix or 'nothing'}. Give for example -o submission.csv"
            )
        self.n = 0
        self._expected = None if expected is None else dict.fromkeys(expected)
        self._seen: set[str] = set()
        self._total = np.zeros(3)
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
        self._sink: Sink | None = None

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Mean probabilities of the rows written so far, (3,)."""
        return self._total / max(self.n, 1)

    def __enter__(self) -> Self:
        if self.path.is_dir():
            raise DataError(f"{self.path} is a folder; give the name of a file, for example {self.path}/submission.csv")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = SINKS[self.path.suffix.lower()](self._temporary)
        except OSError as error:
            raise DataError(f"cannot write {self.path} ({error}); choose a place that you may write to.") from error
        return self

    def write(self, ids: Iterable[str] | pl.Series, p: npt.ArrayLike) -> None:
        """Append rows.

        Parameters
        ----------
        ids
            Id of each battle, (n,).
        p
            Probabilities, (n, 3), columns A, B, tie.

        Raises
        ------
        DataError
            A row is refused; nothing will be written.
        """
        if self._sink is None:
            raise DataError("a SubmissionWriter writes only inside its 'with' block.")
        names = list(ids)
        values = _checked(names, p, self.n)
        _refuse_ids(names, self._seen, self.n, "the battles given")
        if self._expected is not None:
            # Now, and not at the end: what does not belong shows in the first piece, before hours of work.
            _refuse_differing("not in it", [n for n in names if n not in self._expected])
        if not names:
            return
        columns = {"id": pl.Series(names, dtype=pl.String)}
        columns |= {name: pl.Series(values[:, k]) for k, name in enumerate(SUBMISSION_COLUMNS[1:])}
        self._sink.append(pl.DataFrame(columns))
        self._total += values.sum(axis=0)
        self.n += len(names)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sink, self._sink = self._sink, None
        if sink is None:
            return
        try:
            if kind is None:
                self._refuse_incomplete()
            sink.close()
            if kind is None:
                self._temporary.replace(self.path)
        except OSError as failure:
            raise DataError(f"cannot write {self.path} ({failure}).") from failure
        finally:
            sink.abandon()
            self._temporary.unlink(missing_ok=True)

    def _refuse_incomplete(self) -> None:
        if self.n == 0:
            raise DataError(f"{self.path} would have no row: there is no battle to forecast.")
        _refuse_differing("of it missing", [name for name in self._expected or () if name not in self._seen])


def _refuse_differing(what: str, names: Sequence[str]) -> None:
    if names:
        first = ", ".join(repr(name) for name in names[:_SHOWN])
        raise DataError(
            f"the ids are not those of the sample submission: {len(names)} {what}, first {first}. Give the test file "
            "that belongs to this sample.",
            columns=["id"],
        )


def _refuse_ids(names: Sequence[object], seen: set[str], start: int, where: str) -> None:
    """Add the names to those seen; refuse one that is no text, is empty, or was seen before."""
    for row, name in enumerate(names, start):
        if not isinstance(name, str) or not name:
            raise DataError(f"{where}: row {row} has no id; every row needs one.", rows=[row], columns=["id"])
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(f"{where}: the id {name!r} of row {row} is no valid text.", rows=[row], columns=["id"])
        if name in seen:
            raise DataError(
                f"{where}: the id {name!r} stands twice, again in row {row}; every id must be there once. "
                "'prefcast check FILE --repair' lists and repairs them.",
                rows=[row],
                columns=["id"],
            )
        seen.add(name)


def _checked(names: Sequence[object], p: npt.ArrayLike, start: int) -> npt.NDArray[np.float64]:
    """Return the probabilities as an (n, 3) array, each row of which is valid."""
    values = np.asarray(p, dtype=np.float64)
    if values.shape != (len(names), 3):
        raise DataError(
            f"{len(names)} battles need probabilities of shape ({len(names)}, 3); got {values.shape}: a row is missing."
        )
    with np.errstate(invalid="ignore", over="ignore"):
        wrong = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1) | (values > 1).any(axis=1)
        wrong |= ~(np.abs(values.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{int(wrong.sum())} rows are not three probabilities from 0 to 1 that sum to 1, first row {start + first} "
            f"(id {names[first]!r}): {values[first].tolist()}. This is a fault of the model, not of your file: "
            "please report it.",
            rows=(start + np.flatnonzero(wrong)[:_SHOWN]).tolist(),
        )
    return values
