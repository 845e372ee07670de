"""The counts themselves: each function reads a corpus and returns one number per answer and name.

Numbers of bytes, words, lines and phrases are exact integers and are divided last, so that a text gets the same
result whatever stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.models.features import _corpus as kind
from prefcast.models.features._corpus import Corpus, Index, Keys, Words, presence

__all__ = ["Texts", "count_answers", "count_pairs", "count_prompts"]

Values = npt.NDArray[np.float64]
Columns = dict[str, Values]

_TONE: Final = {
    "first_person": "i i'm i've i'll i'd me my mine we our us",
    "second_person": "you your you're yours you'll you've yourself",
    "sorry": "sorry apologize apologies unfortunately regret",
    "refusal": "cannot can't unable won't inappropriate illegal unethical decline",
    "hedges": "may might could perhaps possibly generally typically often usually likely seems probably",
    "connectives": "however therefore because additionally furthermore moreover finally overall first second example",
}
_CLOSING: Final = " \t\n\v\f\r\0*_`\"')"
"""What may stand behind the last character of an answer without being its end: white space and closing marks."""

_LONG: Final = 7
_START: Final = 24
"""Bytes that `same_start` looks at."""


@dataclass(frozen=True)
class Texts:
    """Prompts and answers of n battles, in one corpus: n prompts, n answers A, n answers B.

    Parameters
    ----------
    series
        The 3 n texts.
    corpus
        Their bytes.
    words
        Their words.
    """

    series: pl.Series
    corpus: Corpus
    words: Words

    @classmethod
    def of(cls, prompt: pl.Series, a: pl.Series, b: pl.Series) -> Texts:
        """Lay the texts end to end and find their words."""
        series = pl.concat([prompt.alias("text"), a.alias("text"), b.alias("text")])
        corpus = Corpus.of(series)
        return cls(series, corpus, corpus.words())

    @property
    def n(self) -> int:
        """Number of battles."""
        return len(self.corpus) // 3

    @cached_property
    def chars(self) -> Index:
        """Characters of each text, (3 n,)."""
        return self.corpus.n_bytes - self.corpus.counts[:, kind.CONTINUATION]

    def marks(self, *kinds: int) -> Index:
        """How many bytes of these kinds stand in each text, (3 n,)."""
        return np.asarray(self.corpus.counts[:, kinds].sum(axis=1))

    @cached_property
    def non_ascii(self) -> Values:
        """Share of characters outside ASCII of each text, (3 n,)."""
        return _ratio(self.marks(kind.LEAD, kind.IDEOGRAPH), self.chars)

    @cached_property
    def phrases(self) -> tuple[Index, Keys]:
        """Text and key of each run of three words in the answers."""
        return self.words.phrases(3, first=self.n)

    @cached_property
    def word_sides(self) -> Index:
        """`presence` of the words in prompt, A and B, (n, 8)."""
        return presence(self.words.text, self.words.keys, self.n)

    @cached_property
    def phrase_sides(self) -> Index:
        """`presence` of the phrases in A and B, (n, 8)."""
        return presence(*self.phrases, self.n)

    @cached_property
    def unique(self) -> Index:
        """Different words of each text, (3 n,)."""
        return np.concatenate([self.on(self.word_sides, side) for side in range(3)])

    @staticmethod
    def on(sides: Index, *wanted: int) -> Index:
        """Count what stands at least on the wanted sides, (n,)."""
        mask = sum(1 << side for side in wanted)
        return np.asarray(sides[:, [c for c in range(8) if c & mask == mask]].sum(axis=1))


def _ratio(part: Index, whole: Index) -> Values:
    return part / np.maximum(whole, 1)


def _both(values: Index) -> Index:
    return np.concatenate([values, values])


def count_answers(texts: Texts) -> Columns:
    """Count everything in `ANSWER_FEATURES`: arrays of (2 n,), first all A, then all B."""
    every = _characters(texts) | _lines(texts) | _sentences(texts)
    answers = {name: values[texts.n :] for name, values in every.items()}
    return answers | _endings(texts) | _richness(texts) | _tone(texts) | _overlap(texts)


def _characters(texts: Texts) -> Columns:
    chars, marks = texts.chars, texts.marks
    return {
        "chars": chars.astype(float),
        "words": texts.words.count.astype(float),
        "unique_words": texts.unique.astype(float),
        "bold": marks(kind.STAR).astype(float),
        "code": marks(kind.CODE).astype(float),
        "tables": marks(kind.BAR).astype(float),
        "digits": _ratio(marks(kind.DIGIT), chars),
        "capitals": _ratio(marks(kind.CAPITAL), chars),
        "non_ascii": texts.non_ascii,
        "commas": _ratio(marks(kind.COMMA), chars),
        "colons": _ratio(marks(kind.COLON), chars),
        "quotes": _ratio(marks(kind.DOUBLE_QUOTE, kind.APOSTROPHE), chars),
        "brackets": _ratio(marks(kind.BRACKET), chars),
        "questions": marks(kind.QUESTION).astype(float),
        "exclamations": marks(kind.EXCLAMATION).astype(float),
    }


def _line_starts(corpus: Corpus) -> Index:
    """Where the lines begin that have more than white space."""
    newlines = corpus.positions(kind.NEWLINE)
    starts = np.zeros(corpus.size + 1, dtype=np.bool_)
    starts[newlines + 1] = True
    starts[corpus.offsets] = True
    return np.flatnonzero(starts[:-1])


def _lines(texts: Texts) -> Columns:
    corpus = texts.corpus
    data, n = corpus.data, len(corpus)
    starts = _line_starts(corpus)
    # The first byte of each line that is not white, at any indentation; a line without one is blank.
    dark = (corpus.kinds[: corpus.size] - np.uint8(kind.WHITE)) > kind.NEWLINE - kind.WHITE
    first = dark.copy()
    first[1:] &= ~dark[:-1]
    first[starts] = dark[starts]
    at = np.append(np.flatnonzero(first), corpus.size)
    at = at[np.searchsorted(at, starts)]
    blank = at >= np.append(starts[1:], corpus.size)[: len(starts)]
    owner = corpus.text_of(starts)
    # Lines end with a newline or with their text: what is read behind the end of a text must not count.
    left = corpus.offsets[1:][owner] - at
    size = len(data)
    head, second, third = (np.where((left > k) & ~blank, data[np.minimum(at + k, size - 1)], 0) for k in range(3))

    bullet = np.isin(head, [ord("-"), ord("*"), ord("+")]) & (second == ord(" "))
    bullet |= (head == 0xE2) & (second == 0x80) & np.isin(third, [0xA2, 0xA3])  # the bullet signs
    point = [ord("."), ord(")")]
    numbered = _digit(head) & (np.isin(second, point) | (_digit(second) & np.isin(third, point)))
    new = ~blank
    new[1:] &= blank[:-1] | (owner[1:] != owner[:-1])

    def count(mask: npt.NDArray[np.bool_]) -> Index:
        return np.bincount(owner[mask], minlength=n)

    lines, listed = count(~blank), count(bullet | numbered)
    return {
        "lines": lines.astype(float),
        "paragraphs": count(new).astype(float),
        "headings": count(head == ord("#")).astype(float),
        "bullets": count(bullet).astype(float),
        "numbered": count(numbered).astype(float),
        "list_lines": _ratio(listed, lines),
        "line_length": _ratio(texts.chars, lines),
    }


def _digit(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return (data - np.uint8(ord("0"))) < 10


def _sentences(texts: Texts) -> Columns:
    corpus, words = texts.corpus, texts.words.count
    stops = corpus.positions(kind.STOP, kind.EXCLAMATION)
    # A stop ends a sentence before white space or at the end of its text.
    after = corpus.kinds[stops + 1]
    ends = (after == kind.WHITE) | (after == kind.NEWLINE) | (stops + 1 == corpus.offsets[1:][corpus.text_of(stops)])
    count = np.maximum(corpus.per_text(stops[ends]), words > 0)
    return {"sentences": count.astype(float), "sentence_length": _ratio(words, count)}


def _endings(texts: Texts) -> Columns:
    kept = texts.series[texts.n :].str.strip_chars_end(_CLOSING)
    last = kept.str.slice(-1)
    return {
        "ends_sentence": _is(last, ".!。！"),
        "ends_question": _is(last, "?？"),
        "ends_open": _is(last, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,"),
    }


def _is(characters: pl.Series, members: str) -> Values:
    return characters.is_in(list(members)).to_numpy().astype(float)


def _richness(texts: Texts) -> Columns:
    n, words = texts.n, texts.words
    count, unique = words.count[n:], texts.unique[n:]
    text, _ = texts.phrases
    phrases = np.bincount(text, minlength=3 * n)[n:]
    different = np.concatenate([texts.on(texts.phrase_sides, side) for side in (1, 2)])
    ends = np.concatenate([[0], np.cumsum(words.length)])[np.concatenate([[0], np.cumsum(words.count)])]
    return {
        "type_token": _ratio(unique, count),
        "root_type_token": unique / np.sqrt(np.maximum(count, 1)),
        # A short text grows when it is packed; that says only that it is short, and so do the lengths.
        "compression": np.minimum(_ratio(texts.corpus.compressed(slice(n, None)), texts.corpus.n_bytes[n:]), 1.0),
        "repeated_trigrams": _ratio(phrases - different, phrases),
        "word_length": _ratio(np.diff(ends)[n:], count),
        "long_words": _ratio(np.bincount(words.text[words.length > _LONG], minlength=3 * n)[n:], count),
    }


@cache
def _tone_words() -> tuple[Keys, Index, npt.NDArray[np.bool_]]:
    """Return keys of the words of each tone, ascending, their tones, and which upper 16 bits any of them has."""
    found = [(int(key), tone) for tone, members in enumerate(_TONE.values()) for key in _keys_of(members)]
    keys = np.array([key for key, _ in sorted(found)], dtype=np.uint64)
    some = np.zeros(1 << 16, dtype=np.bool_)
    some[(keys >> np.uint64(48)).astype(np.int64)] = True
    return keys, np.array([tone for _, tone in sorted(found)]), some


def _keys_of(text: str) -> Keys:
    return Corpus.of(pl.Series([text])).words().keys


def _tone(texts: Texts) -> Columns:
    wanted, tones, some = _tone_words()
    n, width = 3 * texts.n, len(_TONE)
    keys = texts.words.keys
    # Nearly all words leave here; only the rest is looked up.
    maybe = np.flatnonzero(some[(keys >> np.uint64(48)).astype(np.int64)])
    at = np.minimum(np.searchsorted(wanted, keys[maybe]), len(wanted) - 1)
    hit = wanted[at] == keys[maybe]
    cells = texts.words.text[maybe[hit]] * width + tones[at[hit]]
    counts = np.bincount(cells, minlength=n * width).reshape(n, width)[texts.n :]
    return {name: counts[:, k].astype(float) for k, name in enumerate(_TONE)}


def _overlap(texts: Texts) -> Columns:
    n, sides = texts.n, texts.word_sides
    unique = texts.unique[n:]
    in_prompt = np.concatenate([texts.on(sides, 0, side) for side in (1, 2)])
    return {
        "prompt_covered": _ratio(in_prompt, _both(texts.unique[:n])),
        "from_prompt": _ratio(in_prompt, unique),
        "shared_words": _ratio(_both(texts.on(sides, 1, 2)), unique),
    }


def count_prompts(texts: Texts, turns: Values) -> Columns:
    """Count everything in `PROMPT_FEATURES`, (n,) each."""
    n = texts.n
    return {
        "turns": turns,
        "prompt_words": texts.words.count[:n].astype(float),
        "prompt_lines": texts.marks(kind.NEWLINE)[:n].astype(float),
        "prompt_questions": texts.marks(kind.QUESTION)[:n].astype(float),
        "prompt_digits": _ratio(texts.marks(kind.DIGIT), texts.chars)[:n],
        "prompt_non_ascii": texts.non_ascii[:n],
        "prompt_code": texts.marks(kind.CODE)[:n].astype(float),
    }


def count_pairs(texts: Texts) -> Columns:
    """Count everything in `PAIR_FEATURES`, (n,) each."""
    n, corpus = texts.n, texts.corpus
    words, phrases = texts.word_sides, texts.phrase_sides
    both, both_phrases = texts.on(words, 1, 2), texts.on(phrases, 1, 2)
    either = texts.on(words, 1) + texts.on(words, 2) - both
    either_phrases = texts.on(phrases, 1) + texts.on(phrases, 2) - both_phrases
    reach = np.arange(_START)
    at = np.minimum(corpus.offsets[n:-1, None] + reach, len(corpus.data) - 1)
    # What lies behind the end of a text is -1, so that two texts that end alike are alike to the last place.
    start = np.where(reach < corpus.n_bytes[n:, None], corpus.data[at], np.int16(-1))
    alike = (start[:n] == start[n:]).cumprod(axis=1).sum(axis=1)
    return {
        "similarity": _ratio(both, either),
        "phrase_similarity": _ratio(both_phrases, either_phrases),
        "same_start": alike / _START,
        "identical": (texts.series[n : 2 * n] == texts.series[2 * n :]).to_numpy().astype(float),
    }
