"""Texts as one byte buffer, so that counting them is array work and not a Python loop.

A `Corpus` holds UTF-8 texts end to end, each followed by eight zero bytes of padding at the very end only.
`Words` finds the words of all its texts at once and names each by a 64-bit key; `Lines` looks at line starts.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["Corpus", "Words"]

Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Values = npt.NDArray[np.float64]

_PAD: Final = 8


def _table(members: str) -> npt.NDArray[np.bool_]:
    table = np.zeros(256, dtype=np.bool_)
    table[list(members.encode())] = True
    return table


_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORD_BYTE = _table(_LETTERS + _LETTERS.upper() + "0123456789_'")
_WORD_BYTE[0x80:] = True
# Chinese, Japanese and most Korean characters are three bytes that begin with one of these: each is a word.
_IDEOGRAPH = np.zeros(256, dtype=np.bool_)
_IDEOGRAPH[0xE3:0xEE] = True
_LOWER = np.arange(256, dtype=np.uint8)
_LOWER[65:91] += 32
_MASKS: Final = np.array([(1 << (8 * k)) - 1 for k in range(9)], dtype=np.uint64)


def mix(keys: Keys) -> Keys:
    """Scatter the bits of 64-bit keys (the finaliser of MurmurHash3)."""
    keys = keys ^ (keys >> np.uint64(33))
    keys = keys * np.uint64(0xFF51AFD7ED558CCD)
    keys ^= keys >> np.uint64(33)
    keys *= np.uint64(0xC4CEB9FE1A85EC53)
    keys ^= keys >> np.uint64(33)
    return keys


@dataclass(frozen=True)
class Corpus:
    """Texts end to end.

    Parameters
    ----------
    data
        UTF-8 bytes of all texts, lower-cased where ASCII or not, plus eight zero bytes.
    offsets
        Start of each text and the end of the last, (n + 1,).
    """

    data: Bytes
    offsets: Index

    @classmethod
    def of(cls, texts: pl.Series) -> Corpus:
        """Lay a series of n strings end to end."""
        array = texts.fill_null("").to_arrow().cast("large_string")
        _, offset_buffer, data_buffer = array.buffers()
        offsets = np.frombuffer(offset_buffer, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
        start, end = int(offsets[0]), int(offsets[-1])
        data = np.zeros(end - start + _PAD, dtype=np.uint8)
        if end > start:
            data[: end - start] = np.frombuffer(data_buffer, dtype=np.uint8)[start:end]
        return cls(data, offsets - start)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_bytes(self) -> Index:
        """Length of each text in bytes, (n,)."""
        return np.diff(self.offsets)

    @cached_property
    def histogram(self) -> Index:
        """How often each byte value stands in each text, (n, 256)."""
        counts = np.empty((len(self), 256), dtype=np.int64)
        for i, (start, end) in enumerate(zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True)):
            counts[i] = np.bincount(self.data[start:end], minlength=256)
        return counts

    @cached_property
    def lower(self) -> Bytes:
        """The bytes with ASCII letters in lower case."""
        return _LOWER[self.data]

    def text_of(self, positions: Index) -> Index:
        """Which text each byte position belongs to."""
        return np.searchsorted(self.offsets, positions, side="right") - 1

    def per_text(self, positions: Index) -> Index:
        """How many of the positions, in ascending order, lie in each text, (n,)."""
        return np.diff(np.searchsorted(positions, self.offsets))

    def compressed(self, level: int = 1) -> Index:
        """Bytes of each text after zlib, (n,)."""
        view = memoryview(self.data)
        bounds = zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True)
        return np.array([len(zlib.compress(view[s:e], level)) for s, e in bounds], dtype=np.int64)

    def words(self) -> Words:
        """Find the words of all texts."""
        n = len(self.data) - _PAD
        data = self.lower[:n]
        inside = _WORD_BYTE[data]
        ideograph = _IDEOGRAPH[data]
        before = np.zeros(n, dtype=np.bool_)
        before[1:] = inside[:-1]
        before[self.offsets[:-1][self.offsets[:-1] < n]] = False
        starts = np.flatnonzero((inside & ~before) | ideograph)
        after = np.ones(n, dtype=np.bool_)
        after[:-1] = ~inside[1:] | ideograph[1:]
        last = self.offsets[1:] - 1
        after[last[last >= 0]] = True
        ends = np.flatnonzero(inside & after) + 1
        return Words(self, starts, ends)


@dataclass(frozen=True)
class Words:
    """The words of a corpus: runs of letters, digits, underscores and apostrophes; each ideograph is a word.

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
    def text(self) -> Index:
        """Text of each word, (m,)."""
        return np.repeat(np.arange(len(self.corpus)), self.count)

    @cached_property
    def count(self) -> Index:
        """Words of each text, (n,)."""
        return self.corpus.per_text(self.starts)

    @cached_property
    def keys(self) -> Keys:
        """A key of each word, (m,): equal words have equal keys.

        Exact for words of up to 16 bytes; a longer word is named by its first and last eight bytes and its length.
        """
        data = self.corpus.lower
        eight = np.ndarray((len(data) - _PAD + 1,), dtype="<u8", buffer=data.data, strides=(1,))
        length = self.ends - self.starts
        head = eight[self.starts] & _MASKS[np.minimum(length, 8)]
        tail = eight[np.maximum(self.ends - 8, self.starts)]
        return mix(head ^ mix(np.where(length > 8, tail, np.uint64(0)) + length.astype(np.uint64)))

    def phrases(self, n: int) -> tuple[Index, Keys]:
        """Text and key of each run of n words."""
        if len(self.starts) < n:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64)
        stop = len(self.keys) - n + 1
        keys = self.keys[:stop].copy()
        for k in range(1, n):
            keys = mix(keys * np.uint64(0x9E3779B97F4A7C15) + self.keys[k : k + stop])
        whole = self.text[:stop] == self.text[n - 1 :]
        return self.text[:stop][whole], keys[whole]


def distinct(text: Index, keys: Keys) -> Keys:
    """Return the distinct (text, key) pairs, ascending: text in the upper 16 bits, 48 bits of the key below."""
    pairs = np.sort((text.astype(np.uint64) << np.uint64(48)) | (keys >> np.uint64(16)))
    keep = np.ones(len(pairs), dtype=np.bool_)
    np.not_equal(pairs[1:], pairs[:-1], out=keep[1:])
    return pairs[keep]


def count_distinct(pairs: Keys, n: int) -> Index:
    """Count the distinct pairs of each of n texts."""
    return np.bincount((pairs >> np.uint64(48)).astype(np.int64), minlength=n)


def count_common(first: Keys, second: Keys, n: int) -> Index:
    """Count, for each of n texts, the pairs that stand in both sorted arrays."""
    if not len(second):
        return np.zeros(n, dtype=np.int64)
    at = np.minimum(np.searchsorted(second, first), len(second) - 1)
    return count_distinct(first[second[at] == first], n)
