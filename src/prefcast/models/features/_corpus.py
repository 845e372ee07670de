"""Texts as one byte buffer, so that counting them is array work and not a Python loop.

A `Corpus` holds UTF-8 texts end to end. `Words` finds the words of all its texts at once and names each by a 64-bit
key. `presence` says in which of several texts each word of a row stands. No result of a text depends on its neighbours.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["MAX_ROWS", "Corpus", "Words", "presence"]

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

MAX_ROWS: Final = 1 << 16
"""Most rows that `presence` can tell apart."""

_PAD: Final = 8
_MASKS: Final = np.array([(1 << (8 * k)) - 1 for k in range(9)], dtype=np.uint64)
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)  # multiplying one of two keys makes their order count

# Kinds of bytes, in an order that makes every question about many bytes one comparison.
PLAIN, WHITE, NEWLINE, STOP, QUESTION, EXCLAMATION, COMMA, COLON = range(8)
BRACKET, STAR, CODE, BAR, DOUBLE_QUOTE = range(8, 13)
# From here on, bytes of words.
APOSTROPHE, DIGIT, CAPITAL, CONTINUATION, LEAD, IDEOGRAPH, LETTER = range(13, 20)
N_KINDS: Final = LETTER + 1

_MEMBERS: Final = {
    WHITE: "\t\x0b\x0c\r \x00",
    NEWLINE: "\n",
    STOP: ".",
    QUESTION: "?",
    EXCLAMATION: "!",
    COMMA: ",",
    COLON: ":;",
    BRACKET: "()[]{}<>",
    STAR: "*",
    CODE: "`",
    BAR: "|",
    DOUBLE_QUOTE: '"',
    APOSTROPHE: "'",
    DIGIT: "0123456789",
    CAPITAL: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    LETTER: "abcdefghijklmnopqrstuvwxyz_",
}


@cache
def _kinds() -> bytes:
    table = bytearray(256)
    for kind, members in _MEMBERS.items():
        for byte in members.encode():
            table[byte] = kind
    table[0x80:0xC0] = bytes([CONTINUATION]) * 0x40
    table[0xC0:] = bytes([LEAD]) * 0x40
    # Kana, Chinese and most Korean characters are three bytes that begin with one of these.
    table[0xE3:0xEE] = bytes([IDEOGRAPH]) * 0x0B
    return bytes(table)


@dataclass(frozen=True)
class Corpus:
    """Texts end to end.

    Parameters
    ----------
    raw
        UTF-8 bytes of all texts and eight zero bytes after the last.
    offsets
        Start of each text and the end of the last, (n + 1,).
    """

    raw: bytes
    offsets: Index

    @classmethod
    def of(cls, texts: pl.Series) -> Corpus:
        """Lay a series of n strings end to end."""
        array = texts.fill_null("").to_arrow().cast("large_string")
        _, offset_buffer, data_buffer = array.buffers()
        if not len(array) or data_buffer is None:
            return cls(bytes(_PAD), np.zeros(len(array) + 1, dtype=np.int64))
        offsets = np.frombuffer(offset_buffer, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
        start, end = int(offsets[0]), int(offsets[-1])
        return cls(b"".join([memoryview(data_buffer)[start:end], bytes(_PAD)]), offsets - start)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def size(self) -> int:
        """Bytes of all texts together."""
        return len(self.raw) - _PAD

    @property
    def n_bytes(self) -> Index:
        """Length of each text in bytes, (n,)."""
        return np.diff(self.offsets)

    @cached_property
    def data(self) -> Bytes:
        """All bytes, (size + 8,)."""
        return np.frombuffer(self.raw, dtype=np.uint8)

    # bytes.translate and bytes.lower are several times faster than indexing a table with an array.
    @cached_property
    def kinds(self) -> Bytes:
        """Kind of each byte, (size + 8,)."""
        return np.frombuffer(self.raw.translate(_kinds()), dtype=np.uint8)

    @cached_property
    def lower(self) -> Bytes:
        """The bytes with ASCII letters in lower case, (size + 8,)."""
        return np.frombuffer(self.raw.lower(), dtype=np.uint8)

    @cached_property
    def marks(self) -> Index:
        """Positions of all bytes but lower-case letters, white space and what has no kind, ascending."""
        return np.flatnonzero((self.kinds[: self.size] - np.uint8(NEWLINE)) < LETTER - NEWLINE)

    @cached_property
    def mark_kinds(self) -> Bytes:
        """Kind of each of the marks."""
        return self.kinds[self.marks]

    @cached_property
    def counts(self) -> Index:
        """How many marks of each kind stand in each text, (n, N_KINDS)."""
        cells = self.text_of(self.marks) * N_KINDS + self.mark_kinds
        return np.bincount(cells, minlength=len(self) * N_KINDS).reshape(len(self), N_KINDS)

    def positions(self, kind: int, last: int | None = None) -> Index:
        """Where the marks of a kind, or of those up to a last one, stand, ascending."""
        width = (kind if last is None else last) - kind
        return self.marks[(self.mark_kinds - np.uint8(kind)) <= width]

    def text_of(self, positions: Index) -> Index:
        """Which text each of the positions, in ascending order, belongs to."""
        return np.repeat(np.arange(len(self)), self.per_text(positions))

    def per_text(self, positions: Index) -> Index:
        """How many of the positions, in ascending order, lie in each text, (n,)."""
        return np.diff(np.searchsorted(positions, self.offsets))

    def compressed(self, texts: slice) -> Index:
        """Bytes of each of some texts after zlib at its fastest."""
        view = memoryview(self.raw)
        bounds = self.offsets.tolist()
        pairs = zip(bounds[:-1][texts], bounds[1:][texts], strict=True)
        return np.array([len(zlib.compress(view[start:end], 1)) for start, end in pairs], dtype=np.int64)

    def words(self) -> Words:
        """Find the words of all texts."""
        inside = self.kinds >= APOSTROPHE  # the padding is not
        cuts = np.zeros(self.size + 1, dtype=np.bool_)
        cuts[:1] = inside[:1]
        np.not_equal(inside[1 : self.size + 1], inside[: self.size], out=cuts[1:])
        ideographs = self.positions(IDEOGRAPH)
        cuts[ideographs] = True
        cuts[ideographs + 3] = True
        cuts[self.offsets] = True
        starts = np.flatnonzero(cuts[:-1] & inside[: self.size])
        ends = np.flatnonzero(cuts[1:] & inside[: self.size]) + 1
        return Words(self, starts, ends)


@dataclass(frozen=True)
class Words:
    """The words of a corpus: runs of letters, digits, underscores, apostrophes and bytes outside ASCII.

    A character of Chinese, Japanese or Korean is a word of its own.

    Parameters
    ----------
    corpus
        Where they stand.
    starts, ends
        Byte positions, (m,), ascending.
    """

    corpus: Corpus
    starts: Index
    ends: Index

    @cached_property
    def count(self) -> Index:
        """Words of each text, (n,)."""
        return self.corpus.per_text(self.starts)

    @cached_property
    def text(self) -> Index:
        """Text of each word, (m,)."""
        return np.repeat(np.arange(len(self.corpus)), self.count)

    @cached_property
    def length(self) -> Index:
        """Bytes of each word, (m,)."""
        return self.ends - self.starts

    @cached_property
    def keys(self) -> Keys:
        """A key of each word, (m,): words that differ only in the case of ASCII letters have the same.

        A word of more than sixteen bytes is named by its first and last eight and its length.
        """
        lower = self.corpus.lower
        eight = np.ndarray((self.corpus.size + 1,), dtype="<u8", buffer=lower.data, strides=(1,))
        length = self.length
        keys = _scatter(eight[self.starts] & _MASKS[np.minimum(length, 8)])
        long = np.flatnonzero(length > 8)
        tail = _scatter(eight[self.ends[long] - 8]) + length[long].astype(np.uint64)
        keys[long] = _scatter(keys[long] * _ODD + tail)
        return keys

    def phrases(self, n: int, first: int = 0) -> tuple[Index, Keys]:
        """Text and key of each run of n words of one text, from text ``first`` on."""
        skipped = int(self.count[:first].sum())
        words, text = self.keys[skipped:], self.text[skipped:]
        stop = max(len(words) - n + 1, 0)
        keys = words[:stop]
        for k in range(1, n):
            keys = _scatter(keys * _ODD + words[k : k + stop])
        whole = text[:stop] == text[n - 1 : n - 1 + stop]
        return text[:stop][whole], keys[whole]


def _scatter(keys: Keys) -> Keys:
    """Scatter the bits of 64-bit keys, one to one: those of equal words stay equal, and no others become so."""
    keys = keys * np.uint64(0xFF51AFD7ED558CCD)
    keys ^= keys >> np.uint64(32)
    keys *= np.uint64(0xC4CEB9FE1A85EC53)
    return keys


def presence(text: Index, keys: Keys, n: int) -> Index:
    """Count, for each set of sides, the keys of a row that stand on just these sides.

    Parameters
    ----------
    text
        Text of each key, (m,): ``side * n + row`` with a side from 0 to 2.
    keys
        The keys, (m,), of which the upper 46 bits tell them apart.
    n
        Number of rows, at most `MAX_ROWS`.

    Returns
    -------
    Index
        (n, 8): column ``2**i + 2**j`` counts the distinct keys that stand on sides i and j only.
    """
    if not len(keys):
        return np.zeros((n, 8), dtype=np.int64)
    # One number for each key: row, key, side; sorted, what is the same stands together.
    row, side = np.tile(np.arange(n, dtype=np.uint64), 3), np.repeat(np.arange(3, dtype=np.uint64), n)
    entries = keys >> np.uint64(18) << np.uint64(2)
    entries |= (row << np.uint64(48) | side)[text]
    entries.sort()
    group = entries >> np.uint64(2)
    new = np.ones(len(group), dtype=np.bool_)
    np.not_equal(group[1:], group[:-1], out=new[1:])
    first = np.flatnonzero(new)
    bits = np.uint8(1) << (entries & np.uint64(3)).astype(np.uint8)
    cells = (entries[first] >> np.uint64(48) << np.uint64(3)).astype(np.int64)
    cells |= np.bitwise_or.reduceat(bits, first)
    return np.bincount(cells, minlength=n * 8).reshape(n, 8)
