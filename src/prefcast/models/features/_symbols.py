"""Texts as sequences of small integers: characters or words, cut as scikit-learn's CountVectorizer cuts them."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from prefcast.models.features._trie import Int, Trie, prefix_closed

__all__ = ["CharacterSymbols", "Symboliser", "Symbols", "WordSymbols", "split_characters", "split_words"]

_N_CODEPOINTS: Final = 0x110000
_SPACES: Final = re.compile(r"\s\s+")
_WORD: Final = re.compile(r"\b\w\w+\b")


def split_characters(text: str) -> str:
    r"""Lower the case and make one blank of every run of white space, as CountVectorizer does.

    Examples
    --------
    >>> split_characters("Two\n\nlines\nhere")
    'two lines\nhere'
    """
    return _SPACES.sub(" ", text.lower())


def split_words(text: str) -> list[str]:
    """Find the words of two or more letters or digits, in lower case, as CountVectorizer does.

    Examples
    --------
    >>> split_words("I ate a Café's menu.")
    ['ate', 'café', 'menu']
    """
    return _WORD.findall(text.lower())


@functools.cache
def _is_space() -> npt.NDArray[np.bool_]:
    return np.strings.isspace(_every_codepoint())


@functools.cache
def _is_word() -> npt.NDArray[np.bool_]:
    # What \w is to the re module: alphanumeric to this Python's Unicode tables, or the underscore.
    table = np.strings.isalnum(_every_codepoint())
    table[ord("_")] = True
    return table


def _every_codepoint() -> npt.NDArray[np.str_]:
    return np.arange(_N_CODEPOINTS, dtype=np.uint32).view("U1")


@dataclass(frozen=True)
class Symbols:
    """Texts as one sequence.

    Parameters
    ----------
    symbols
        (n,); 0 between texts and where the alphabet lacks what stands there.
    lengths
        Symbols of each text, the 0 after it included, (t,).
    """

    symbols: Int
    lengths: Int


class Symboliser(Protocol):
    """Turns texts into symbols of an alphabet: symbol i + 1 is its i-th member."""

    def encode(self, texts: Sequence[str]) -> Symbols:
        """Turn t texts into symbols."""
        ...


@dataclass(frozen=True)
class _Codepoints:
    """Texts in lower case, each followed by one NUL, which ``ends`` tells from a NUL of the text."""

    points: npt.NDArray[np.uint32]
    ends: Int

    @classmethod
    def of(cls, texts: Sequence[str]) -> _Codepoints:
        # Lowered one by one: what Python makes of a final sigma depends on what stands beside it.
        lowered = [text.lower() for text in texts]
        data = ("\0".join(lowered) + "\0").encode("utf-32-le", "surrogatepass")
        lengths = np.fromiter(map(len, lowered), np.int64, len(lowered)) + 1
        return cls(np.frombuffer(data, "<u4"), np.cumsum(lengths) - 1)


def _symbol_table(alphabet: Sequence[str]) -> Int:
    table = np.zeros(_N_CODEPOINTS, np.int64)
    table[[ord(c) for c in alphabet]] = np.arange(1, len(alphabet) + 1)
    return table


@dataclass(frozen=True, eq=False)
class CharacterSymbols:
    """Characters of texts in lower case, with one blank for every run of white space.

    Parameters
    ----------
    table
        Symbol of each code point.
    """

    table: Int

    @classmethod
    def of(cls, alphabet: Sequence[str]) -> CharacterSymbols:
        """Number the characters of an alphabet from 1."""
        return cls(_symbol_table(alphabet))

    def encode(self, texts: Sequence[str]) -> Symbols:
        """Turn t texts into symbols."""
        if not texts:
            return Symbols(np.zeros(0, np.int64), np.zeros(0, np.int64))
        lowered = _Codepoints.of(texts)
        space = _is_space().take(lowered.points, mode="clip")
        symbols = self.table.take(lowered.points, mode="clip")
        symbols[lowered.ends] = 0
        again = np.zeros(len(space) + 1, np.bool_)
        np.logical_and(space[1:], space[:-1], out=again[1:-1])
        again, next_again = again[:-1], again[1:]
        symbols[next_again & ~again] = self.table[ord(" ")]
        keep = ~again
        begins = np.concatenate([[0], lowered.ends[:-1] + 1])
        return Symbols(symbols[keep], np.add.reduceat(keep, begins, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class WordSymbols:
    """Words of two or more letters or digits, of texts in lower case.

    Parameters
    ----------
    table
        Symbol of each code point of the alphabet's words.
    trie
        The words of the alphabet and all their beginnings.
    word
        Symbol of the word at each node of the trie; 0 at a mere beginning.
    """

    table: Int
    trie: Trie
    word: Int

    @classmethod
    def of(cls, alphabet: Sequence[str]) -> WordSymbols:
        """Number the words of an alphabet from 1."""
        letters = sorted({c for word in alphabet for c in word})
        number = {c: i + 1 for i, c in enumerate(letters)}
        keys = [tuple(number[c] for c in word) for word in alphabet]
        nodes = prefix_closed(keys)
        symbol = {key: i + 1 for i, key in enumerate(keys)}
        word = np.array([0, *(symbol.get(node, 0) for node in nodes)], np.int64)
        return cls(_symbol_table(letters), Trie.of(nodes, len(letters) + 1), word)

    def encode(self, texts: Sequence[str]) -> Symbols:
        """Turn t texts into symbols."""
        lowered = _Codepoints.of(texts)
        inside = np.zeros(len(lowered.points) + 1, np.bool_)
        inside[1:] = _is_word().take(lowered.points, mode="clip")  # a NUL is no word, so a word never crosses texts
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        starts, ends = edges[0::2], edges[1::2]
        long = np.flatnonzero(ends - starts >= 2)
        starts, ends = starts[long], ends[long]
        found = self.word[self.trie.find(self.table.take(lowered.points, mode="clip"), starts, ends - starts)]
        counts = np.diff(np.searchsorted(starts, lowered.ends), prepend=0)
        symbols = np.zeros(len(starts) + len(texts), np.int64)
        symbols[np.arange(len(starts)) + np.repeat(np.arange(len(texts)), counts)] = found
        return Symbols(symbols, counts + 1)
