"""CSV of any size, block by block: polars where a block is regular, python's reader from the first that is not."""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Iterator
from typing import IO, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles._layouts import wanted
from prefcast.battles._problems import Log
from prefcast.battles._raw import Raw, portions
from prefcast.errors import DataError

__all__ = ["read_csv"]

_BLOCK: Final = 32 << 20
_BOMS: Final = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_HEADER: Final = 1 << 16
_BOM: Final = b"\xef\xbb\xbf"
_QUOTE: Final = ord('"')
_BEFORE: Final = np.frombuffer(b",\n", dtype=np.uint8)
_AFTER: Final = np.frombuffer(b",\r\n", dtype=np.uint8)
_SLOW_ROWS: Final = 4096


def read_csv(stream: IO[bytes], name: str, *, block: int = _BLOCK) -> Iterator[Raw]:
    """Read a CSV file with a header, holding one block of it at a time.

    Parameters
    ----------
    stream
        The bytes of the file.
    name
        What to call it in errors.
    block
        Bytes to read at a time; a longer row is still read whole.

    Yields
    ------
    Raw
        Consecutive rows; every cell is a string, or null if empty.

    Raises
    ------
    DataError
        The file is empty, or is no text.
    """
    buffer = stream.read(block)
    for bom, encoding in _BOMS.items():
        if buffer.startswith(bom):
            raise DataError(f"{name} is {encoding}, not UTF-8: save it as UTF-8 CSV and try again.")
    buffer = buffer.removeprefix(_BOM)
    if not buffer.strip():
        raise DataError(f"{name} is empty: a header and at least one row are needed.")
    header, buffer = _header(buffer, stream, block, name)
    while True:
        body, records, rest = _cut(buffer)
        frame = _fast(body, records, header) if body else None
        if body and frame is None:
            yield from _slow(buffer, stream, header, name)
            return
        if frame is not None and frame.height:
            yield Raw({c: frame[c] for c in header if c in frame.columns}, frame.height, tuple(header))
        more = stream.read(block if body else max(block, len(rest)))
        if not more:
            break
        buffer = rest + more
    if rest.strip(b"\r\n"):
        yield from _slow(rest, stream, header, name)


def _header(buffer: bytes, stream: IO[bytes], block: int, name: str) -> tuple[list[str], bytes]:
    """Split off the first record that is not blank: the names of the columns."""
    while True:
        at = _record_ends(buffer[:_HEADER])
        if len(at) == 0:
            at = _record_ends(buffer)
        if len(at) == 0:
            more = stream.read(block)
            if more:
                buffer += more
                continue
            at = np.array([len(buffer)])
        line, buffer = buffer[: at[0] + 1], buffer[at[0] + 1 :]
        if line.strip():
            break
    try:
        text = line.decode("utf-8")
        names = next(csv.reader([text]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name} has no readable header ({error}): is it a CSV file in UTF-8?") from None
    return [n.strip() for n in names], buffer


def _record_ends(buffer: bytes) -> npt.NDArray[np.int64]:
    """Positions of the newlines that end a record: those outside quotes, (k,)."""
    data = np.frombuffer(buffer, dtype=np.uint8)
    newlines = np.flatnonzero(data == 10)
    quotes = np.flatnonzero(data == _QUOTE)
    outside = np.searchsorted(quotes, newlines) % 2 == 0
    return np.asarray(newlines[outside])


def _cut(buffer: bytes) -> tuple[bytes, int, bytes]:
    """Cut a buffer after its last whole record: the records, how many they are, and the rest."""
    ends = _record_ends(buffer)
    if len(ends) == 0:
        return b"", 0, buffer
    widths = np.diff(ends, prepend=-1)
    blank = widths == 1
    if (widths == 2).any():
        data = np.frombuffer(buffer, dtype=np.uint8)
        blank |= (widths == 2) & (data[np.maximum(ends - 1, 0)] == 13)
    cut = int(ends[-1]) + 1
    body = buffer[:cut]
    if blank.any():
        starts = np.concatenate([[0], ends[:-1] + 1])
        body = b"".join(buffer[s : e + 1] for s, e in zip(starts[~blank], ends[~blank], strict=True))
    return body, int((~blank).sum()), buffer[cut:]


def _fast(body: bytes, records: int, header: list[str]) -> pl.DataFrame | None:
    """Read a block with polars, or give None where polars may not see the rows that python would."""
    if len(set(header)) < len(header) or not _is_regular(body):
        return None
    try:
        frame = pl.read_csv(body, has_header=False, schema=dict.fromkeys(header, pl.String), infer_schema=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError):
        return None
    # polars reads a row that is too short as one that ends in empty cells: only python tells them apart
    if frame.height != records or frame[header[-1]].null_count():
        return None
    keep = [c for c in wanted() if c in header]
    return frame.select(pl.when(pl.col(c) != "").then(pl.col(c)).alias(c) for c in keep) if keep else frame


def _is_regular(body: bytes) -> bool:
    """Whether every quote opens a cell, closes it or is doubled, and every return stands before a newline."""
    if body.startswith(_BOM) or body.count(b"\r") != body.count(b"\r\n"):
        return False
    data = np.frombuffer(b"\n" + body + b"\n", dtype=np.uint8)
    quotes = np.flatnonzero(data == _QUOTE)
    before, after = data[quotes[::2] - 1], data[quotes[1::2] + 1]
    opens = np.isin(before, _BEFORE) | (before == _QUOTE)
    closes = np.isin(after, _AFTER) | (after == _QUOTE)
    return bool(opens.all() and closes.all())


def _slow(buffer: bytes, stream: IO[bytes], header: list[str], name: str) -> Iterator[Raw]:
    """Read the rest of a file with python's reader: any quoting, any bytes, and rows of the wrong width told apart."""
    raw = io.BufferedReader(_Chained(buffer, stream), buffer_size=1 << 20)
    text = io.TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape", newline="")
    end = "\0prefcast end of file\0"
    rows = _until_end(_records(itertools.chain(text, [end]), name), end)
    for part in portions(rows, lambda record: sum(map(len, record[0])), _SLOW_ROWS):
        yield _rows([row for row, _ in part], header, unclosed=part[-1][1])


def _records(lines: Iterator[str], name: str) -> Iterator[list[str]]:
    reader = csv.reader(lines)
    while True:
        try:
            with _LongFields():
                row = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{name} is not a CSV file that can be read: {error}.") from None
        if row is None:
            return
        if row:
            yield row


def _until_end(records: Iterator[list[str]], end: str) -> Iterator[tuple[list[str], bool]]:
    """Give each record, and whether an open quote made it swallow the line that marks the end of the file."""
    for row in records:
        if row == [end]:
            return
        unclosed = row[-1].endswith(end)
        if unclosed:
            row[-1] = row[-1].removesuffix(end)
        yield row, unclosed


def _rows(rows: list[list[str]], header: list[str], *, unclosed: bool) -> Raw:
    log = Log()
    width = len(header)
    ragged = [i for i, row in enumerate(rows) if len(row) != width]
    log.add("ragged_row", None, ragged, [f"{len(rows[i])} cells where the header has {width}" for i in ragged])
    if unclosed and len(rows) - 1 not in ragged:
        log.add("ragged_row", None, [len(rows) - 1], "a quote is opened and never closed")
    bad = set(log.found()["row"].to_list())
    columns: dict[str, pl.Series] = {}
    for i, name in enumerate(header):
        if name not in wanted():
            continue
        cells = [None if r in bad else row[i] or None for r, row in enumerate(rows)]
        try:
            columns[name] = pl.Series(name, cells, dtype=pl.String)
        except (UnicodeEncodeError, TypeError, pl.exceptions.PolarsError):
            odd = [r for r, c in enumerate(cells) if c is not None and not _is_utf8(c)]
            log.add("not_utf8", name, odd, "bytes that are not UTF-8 read as U+FFFD")
            columns[name] = pl.Series(name, [_mended(c) for c in cells], dtype=pl.String)
    return Raw(dict(columns), len(rows), tuple(header), log.found())


def _mended(cell: str | None) -> str | None:
    return None if cell is None else cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _LongFields:
    """Lift python's limit on the length of a cell while reading; the limit belongs to the whole process."""

    def __enter__(self) -> None:
        self._before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

    def __exit__(self, *_: object) -> None:
        csv.field_size_limit(self._before)


class _Chained(io.RawIOBase):
    """Bytes read already, then the rest of their stream."""

    def __init__(self, first: bytes, stream: IO[bytes]) -> None:
        self._first = memoryview(first)
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        if len(self._first):
            size = min(len(target), len(self._first))
            target[:size] = self._first[:size]
            self._first = self._first[size:]
            return size
        data = self._stream.read(len(target))
        target[: len(data)] = data
        return len(data)
