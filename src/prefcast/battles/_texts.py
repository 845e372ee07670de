"""Simulated texts: sentences, markdown and faults, made for all texts at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from prefcast.battles._vocabulary import WORDS, Form, Separator, separators, word_table

__all__ = ["Outline", "write_texts"]

_Float = npt.NDArray[np.float64]
_Int = npt.NDArray[np.int64]
_Bool = npt.NDArray[np.bool_]

_CHUNK: Final = 1_000_000
"""Words made at once: about 150 MB of temporary arrays."""
_SENTENCE: Final = 14.0
"""Mean words of a sentence."""


@dataclass(frozen=True)
class Outline:
    """What each of t texts is to be like.

    Parameters
    ----------
    language
        Position in `LANGUAGES`, (t,).
    words
        Number of words, at least 1, (t,).
    topic
        Words that the text is about, (t, k) positions in the vocabulary.
    on_topic
        Share of words taken from the topic, (t,).
    dullness
        At 1 all words are equally frequent, above it the first ones of the vocabulary prevail, (t,).
    typos
        Share of misspelt words, (t,).
    markdown
        From 0 for none to 1 for much, (t,).
    """

    language: _Int
    words: _Int
    topic: _Int
    on_topic: _Float
    dullness: _Float
    typos: _Float
    markdown: _Float

    def slice(self, first: int, last: int) -> Self:
        """The texts first..last-1."""
        return type(self)(*(getattr(self, f.name)[first:last] for f in fields(self)))

    def chunks(self) -> Iterator[Self]:
        """Slices of about `_CHUNK` words."""
        ends, first = np.cumsum(self.words), 0
        while first < len(ends):
            before = int(ends[first - 1]) if first else 0
            last = max(int(np.searchsorted(ends, before + _CHUNK, side="right")), first + 1)
            yield self.slice(first, last)
            first = last


def write_texts(outline: Outline, rng: np.random.Generator) -> tuple[list[str], _Int]:
    """Write texts.

    Parameters
    ----------
    outline
        Of t texts.
    rng
        Source of every choice.

    Returns
    -------
    texts
        The t texts.
    elements
        Markdown elements (headings, list items, code blocks, bold words) in each, (t,).
    """
    texts: list[str] = []
    elements: list[_Int] = []
    for chunk in outline.chunks():
        ends = np.cumsum(chunk.words)
        owner = np.repeat(np.arange(len(ends)), chunk.words)
        last = np.zeros(len(owner), np.bool_)
        last[ends - 1] = True
        sentence_end = last | (rng.random(len(owner)) < 1 / _SENTENCE)
        separator = _separators(chunk, owner, last, sentence_end, rng)
        form = _forms(chunk, owner, sentence_end, rng)
        language = chunk.language[owner]
        pieces = np.empty(2 * len(owner), object)
        pieces[0::2] = separators()[language, separator]
        pieces[1::2] = word_table()[language, _words(chunk, owner, rng), form]
        bounds = [0, *(2 * ends).tolist()]
        texts += ["".join(pieces[a:b].tolist()) for a, b in pairwise(bounds)]
        counted = (separator >= Separator.ITEM) & (separator <= Separator.CODE) | (form == Form.BOLD)
        elements.append(np.bincount(owner[counted], minlength=len(ends)).astype(np.int64))
    return texts, np.concatenate(elements) if elements else np.empty(0, np.int64)


def _words(chunk: Outline, owner: _Int, rng: np.random.Generator) -> _Int:
    words = (WORDS * rng.random(len(owner)) ** chunk.dullness[owner]).astype(np.int64)
    at = np.flatnonzero(rng.random(len(owner)) < chunk.on_topic[owner])
    words[at] = chunk.topic[owner[at], rng.integers(0, chunk.topic.shape[1], len(at))]
    return words


def _forms(chunk: Outline, owner: _Int, sentence_end: _Bool, rng: np.random.Generator) -> _Int:
    sentence_start = np.concatenate([[True], sentence_end[:-1]])
    form = np.full(len(owner), Form.PLAIN, np.int64)
    draw = rng.random(len(owner))
    form[draw < 0.06] = Form.COMMA
    form[draw > 1 - 0.02 * chunk.markdown[owner]] = Form.BOLD
    form[rng.random(len(owner)) < chunk.typos[owner]] = Form.TYPO
    form[sentence_start] = Form.FIRST
    form[sentence_end] = Form.LAST
    form[sentence_start & sentence_end] = Form.ONLY
    return form


def _separators(chunk: Outline, owner: _Int, last: _Bool, sentence_end: _Bool, rng: np.random.Generator) -> _Int:
    """What stands before each word: markdown begins at sentences, and code ends where the next sentence begins."""
    starts = np.flatnonzero(np.concatenate([[True], sentence_end[:-1]]))
    opening = np.concatenate([[True], last[:-1]])[starts]
    closing = np.append(opening[1:], True)
    markdown = chunk.markdown[owner[starts]]
    limits = np.cumsum([0.35 * markdown, 0.07 * markdown, 0.03 * markdown, np.full(len(starts), 0.12)], axis=0)
    kinds = np.array([Separator.ITEM, Separator.HEADING, Separator.CODE, Separator.PARAGRAPH, Separator.SPACE])
    kind = kinds[(rng.random(len(starts)) >= limits).sum(axis=0)]
    kind[opening] = Separator.NOTHING
    code = (kind == Separator.CODE) & ~closing
    kind[kind == Separator.CODE] = Separator.SPACE
    code[1:] &= ~code[:-1]
    before = np.concatenate([[False], code[:-1]])
    kind[code] = Separator.CODE
    kind[before] = Separator.CODE_END
    after_heading = np.concatenate([[False], kind[:-1] == Separator.HEADING]) & (kind == Separator.SPACE)
    kind[after_heading] = Separator.PARAGRAPH
    separator = np.full(len(owner), Separator.SPACE, np.int64)
    separator[starts] = kind
    return separator
