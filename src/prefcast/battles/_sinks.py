"""Files that submissions are appended to: csv, parquet and JSON lines."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO, Final

import polars as pl

__all__ = ["SINKS", "SUBMISSION_COLUMNS", "Sink"]

SUBMISSION_COLUMNS: Final = ("id", "winner_model_a", "winner_model_b", "winner_tie")
"""Columns of a submission, in the order of the competition's ``sample_submission.csv``."""


class Sink:
    """A file that frames are appended to."""

    def __init__(self, path: Path) -> None:
        self.file: IO[bytes] = path.open("xb")

    def append(self, frame: pl.DataFrame) -> None:
        """Write the rows of a frame with the columns of `SUBMISSION_COLUMNS`."""
        raise NotImplementedError

    def close(self) -> None:
        """Bring every byte to the disk, so that the rename never shows a half-written file after a crash."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def abandon(self) -> None:
        """Let go of the file, if it is still open."""
        with contextlib.suppress(OSError):
            self.file.close()


class _Csv(Sink):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.file.write((",".join(SUBMISSION_COLUMNS) + "\n").encode())

    def append(self, frame: pl.DataFrame) -> None:
        # polars writes the shortest digits that read back as the same float64, as repr does.
        frame.write_csv(self.file, include_header=False)


class _Jsonl(Sink):
    def append(self, frame: pl.DataFrame) -> None:
        frame.write_ndjson(self.file)


class _Parquet(Sink):
    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq  # 0.1 s that only this format needs

        super().__init__(path)
        schema = pl.DataFrame(schema={n: pl.String if n == "id" else pl.Float64 for n in SUBMISSION_COLUMNS})
        self._schema = schema.to_arrow().schema
        self._writer = pq.ParquetWriter(self.file, self._schema)

    def append(self, frame: pl.DataFrame) -> None:
        self._writer.write_table(frame.to_arrow().cast(self._schema))

    def close(self) -> None:
        self._writer.close()
        super().close()

    def abandon(self) -> None:
        self._writer.is_open = False  # else its destructor writes a footer into a file that is gone
        super().abandon()


SINKS: Final[dict[str, type[Sink]]] = {".csv": _Csv, ".parquet": _Parquet, ".jsonl": _Jsonl, ".ndjson": _Jsonl}
"""Sinks by suffix."""
