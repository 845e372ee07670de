"""Simulated prompts and answers: who says how much of what, and how well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from prefcast.battles._texts import Outline, write_texts
from prefcast.battles._vocabulary import LANGUAGES, WORDS

__all__ = ["Answers", "Prompts"]

_Float = npt.NDArray[np.float64]
_Int = npt.NDArray[np.int64]

_TOPIC: Final = 10
"""Words of a prompt's topic."""
_MAX_TURNS: Final = 6
_MAX_WORDS: Final = 4_000
_SMALL_TALK: Final = 0.03
_LUCK: Final = 0.5
"""Standard deviation of the quality of a model's answers around its skill."""
_EMPTY: Final = 0.004
_EMPTY_QUALITY: Final = -4.0
_IDENTICAL: Final = 0.015


@dataclass(frozen=True, eq=False)
class Prompts:
    """p different prompts: turns (p lists of texts), language (p,), topic (p, k) and length factor of answers (p,)."""

    turns: list[list[str]]
    language: _Int
    topic: _Int
    wordy: _Float

    @classmethod
    def draw(cls, count: int, more: float, rng: np.random.Generator) -> Self:
        """Write prompts, each with another turn with probability `more`."""
        language = rng.choice(len(LANGUAGES), count, p=[one.share for one in LANGUAGES])
        topic = rng.integers(0, WORDS, (count, _TOPIC))
        n_turns = np.minimum(rng.geometric(1 - more, count), _MAX_TURNS)
        owner = np.repeat(np.arange(count), n_turns)
        t = len(owner)
        outline = Outline(
            language=language[owner],
            words=_lengths(np.log(30) + 1.2 * rng.standard_normal(t)),
            topic=topic[owner],
            on_topic=np.full(t, 0.5),
            dullness=np.full(t, 1.4),
            typos=np.full(t, 0.01),
            markdown=np.zeros(t),
        )
        texts, _ = write_texts(outline, rng)
        opener, chatty = rng.random(t), rng.random(count) < _SMALL_TALK
        opened = map(_open, texts, outline.language.tolist(), opener.tolist())
        turns = _lists(list(opened), n_turns)
        for p in np.flatnonzero(chatty).tolist():
            talk = LANGUAGES[language[p]].small_talk
            turns[p][0] = talk[int(opener[p] * len(talk))]
        return cls(turns, language, topic, rng.standard_normal(count))

    def choose(self, pairs: int, rng: np.random.Generator) -> _Int:
        """Draw the prompt of each pair, (pairs,): a few prompts return often, most once or never."""
        weight = 1 / np.sqrt(np.arange(len(self.turns)) + 20.0)
        return rng.choice(len(self.turns), pairs, p=weight / weight.sum())

    def worded(self, prompt: _Int, rng: np.random.Generator) -> list[list[str]]:
        """Turns of each pair's prompt; one in ten comes in other case, or, if it is long, with a word more."""
        draw = rng.random(len(prompt)).tolist()
        return [_reword(self.turns[p], x) for p, x in zip(prompt.tolist(), draw, strict=True)]


def _open(text: str, language: int, draw: float) -> str:
    openers = LANGUAGES[language].openers
    asked = text[:-1] + LANGUAGES[language].asked if int(draw * 1_000) % 3 == 0 else text
    return openers[int(draw * len(openers))] + LANGUAGES[language].space + asked[0].lower() + asked[1:]


def _reword(turns: list[str], draw: float) -> list[str]:
    if draw < 0.05:
        return [turns[0].upper(), *turns[1:]]
    if draw < 0.1 and len(turns[0]) > 200:
        return [f"{turns[0]} Please!", *turns[1:]]
    return turns


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers of both sides of m pairs.

    Texts and elements are flat: for each pair the turns of A, then those of B.
    """

    texts: list[str]
    n_turns: _Int
    quality: _Float
    characters: _Int
    elements: _Int
    identical: npt.NDArray[np.bool_]

    @classmethod
    def draw(cls, prompts: Prompts, prompt: _Int, sides: _Int, skills: _Float, rng: np.random.Generator) -> Self:
        """Write the answers of models `sides` (m, 2) to prompts (m,)."""
        m = len(prompt)
        verbosity, fond_of_markdown = 0.35 * rng.standard_normal(len(skills)), rng.random(len(skills)) ** 2
        quality = skills[sides] + _LUCK * rng.standard_normal((m, 2))
        spread = 0.5 * prompts.wordy[prompt][:, None] + 0.45 * rng.standard_normal((m, 2))
        log_words = np.log(140) + verbosity[sides] + spread
        markdown = np.where(rng.random((m, 2)) < 0.25 + 0.5 * fond_of_markdown[sides], rng.random((m, 2)), 0.0)
        identical = rng.random(m) < _IDENTICAL
        empty = rng.random((m, 2)) < _EMPTY
        empty[identical, 1] = empty[identical, 0]
        quality[identical, 1] = quality[identical, 0]
        quality[empty] = _EMPTY_QUALITY
        n_turns = np.array([len(prompts.turns[p]) for p in prompt.tolist()], np.int64)
        flat = np.repeat(np.arange(2 * m), np.repeat(n_turns, 2))
        good = quality.ravel()[flat]
        outline = Outline(
            language=prompts.language[prompt][flat // 2],
            words=_lengths(log_words.ravel()[flat] + 0.2 * rng.standard_normal(len(flat))),
            topic=prompts.topic[prompt][flat // 2],
            on_topic=0.03 + 0.4 * expit(1.2 * good),
            dullness=1.2 + 2.0 * expit(-1.2 * good),
            typos=0.06 * expit(-1.5 * good - 1.0),
            markdown=markdown.ravel()[flat],
        )
        texts, elements = write_texts(outline, rng)
        starts = np.concatenate([[0], np.cumsum(2 * n_turns)])
        for pair in np.flatnonzero(identical).tolist():
            a, t = starts[pair], n_turns[pair]
            texts[a + t : a + 2 * t] = texts[a : a + t]
            elements[a + t : a + 2 * t] = elements[a : a + t]
        for row in np.flatnonzero(empty.ravel()[flat]).tolist():
            texts[row], elements[row] = "", 0
        characters = np.fromiter(map(len, texts), np.int64, len(texts))
        return cls(
            texts=texts,
            n_turns=n_turns,
            quality=quality,
            characters=_total(characters, flat, m),
            elements=_total(elements, flat, m),
            identical=identical,
        )

    def side(self, which: int) -> list[list[str]]:
        """Turns of each answer of A (0) or B (1)."""
        return _lists(self.texts, np.repeat(self.n_turns, 2))[which::2]


def _total(what: _Int, flat: _Int, m: int) -> _Int:
    """Sum over the turns of each answer, (m, 2)."""
    return np.bincount(flat, what, 2 * m).reshape(m, 2).astype(np.int64)


def _lengths(log_words: _Float) -> _Int:
    return np.clip(np.exp(log_words), 1, _MAX_WORDS).astype(np.int64)


def _lists(texts: list[str], lengths: _Int) -> list[list[str]]:
    ends = np.cumsum(lengths).tolist()
    return [texts[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
