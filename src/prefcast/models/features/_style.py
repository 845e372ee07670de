"""Style counts of texts: lengths, richness, markdown, characters, endings, tone.

Every number is computed for all texts of a chunk at once; chunks run on all cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles import Battles
from prefcast.models.features._corpus import Corpus, Words, count_common, count_distinct, distinct

__all__ = ["ANSWER_FEATURES", "PAIR_FEATURES", "PROMPT_FEATURES", "Feature", "Style", "style"]

Values = npt.NDArray[np.float64]
_CHUNK_BYTES: Final = 3_000_000
_CHUNK_ROWS: Final = 20_000  # three texts a row, and a text has a 16-bit number within its chunk


@dataclass(frozen=True)
class Feature:
    """One number of a text.

    Parameters
    ----------
    name
        Its short name, in snake case.
    label
        What a person calls it.
    family
        The group it is reported in.
    count
        Whether it is a count (compared on a log scale) or a share (compared as it stands).
    """

    name: str
    label: str
    family: str
    count: bool


def _features(family: str, *rows: tuple[str, str, bool]) -> tuple[Feature, ...]:
    return tuple(Feature(name, label, family, count) for name, label, count in rows)


ANSWER_FEATURES: Final = (
    *_features(
        "length",
        ("chars", "characters", True),
        ("words", "words", True),
        ("lines", "lines", True),
        ("sentences", "sentences", True),
        ("paragraphs", "paragraphs", True),
    ),
    *_features(
        "richness",
        ("unique_words", "different words", True),
        ("type_token", "share of different words", False),
        ("root_type_token", "different words for its length", False),
        ("compression", "compression ratio", False),
        ("repeated_trigrams", "share of repeated three-word phrases", False),
        ("word_length", "mean word length", False),
        ("sentence_length", "mean sentence length", True),
        ("line_length", "mean line length", True),
        ("long_words", "share of long words", False),
    ),
    *_features(
        "markdown",
        ("headings", "headings", True),
        ("bullets", "bullet points", True),
        ("numbered", "numbered points", True),
        ("bold", "bold marks", True),
        ("code", "code marks", True),
        ("tables", "table bars", True),
        ("list_lines", "share of lines in lists", False),
    ),
    *_features(
        "characters",
        ("digits", "share of digits", False),
        ("capitals", "share of capitals", False),
        ("non_ascii", "share of characters outside ASCII", False),
        ("commas", "commas for its length", False),
        ("colons", "colons for its length", False),
        ("quotes", "quotation marks for its length", False),
        ("brackets", "brackets for its length", False),
        ("questions", "question marks", True),
        ("exclamations", "exclamation marks", True),
    ),
    *_features(
        "prompt overlap",
        ("prompt_covered", "share of the prompt's words that it uses", False),
        ("from_prompt", "share of its words that the prompt has", False),
    ),
    *_features(
        "other answer",
        ("shared_words", "share of its words that the other answer has", False),
    ),
    *_features(
        "ending",
        ("ends_sentence", "ends like a sentence", False),
        ("ends_question", "ends with a question", False),
        ("ends_open", "breaks off", False),
    ),
    *_features(
        "tone",
        ("first_person", "words such as I and my", True),
        ("second_person", "words such as you and your", True),
        ("sorry", "apologies", True),
        ("refusal", "words of refusal", True),
        ("hedges", "hedging words", True),
        ("connectives", "connecting words", True),
    ),
)
"""What is counted in each answer."""

PROMPT_FEATURES: Final = _features(
    "prompt",
    ("turns", "turns", True),
    ("prompt_words", "words of the prompt", True),
    ("prompt_lines", "lines of the prompt", True),
    ("prompt_questions", "question marks of the prompt", True),
    ("prompt_digits", "share of digits in the prompt", False),
    ("prompt_non_ascii", "share of the prompt outside ASCII", False),
    ("prompt_code", "code marks of the prompt", True),
)
"""What is counted once for both answers."""

PAIR_FEATURES: Final = _features(
    "similarity",
    ("similarity", "words that both answers have", False),
    ("phrase_similarity", "three-word phrases that both answers have", False),
    ("same_start", "answers begin alike", False),
    ("identical", "answers are the same", False),
)
"""What is counted of the two answers together; the same when they are exchanged."""

_TONE: Final = {
    "first_person": "i i'm i've i'll i'd me my mine we our us",
    "second_person": "you your you're yours you'll you've yourself",
    "sorry": "sorry apologize apologies unfortunately regret",
    "refusal": "cannot can't unable won't inappropriate illegal unethical decline",
    "hedges": "may might could perhaps possibly generally typically often usually likely seems probably",
    "connectives": "however therefore because additionally furthermore moreover finally overall first second example",
}
_SPACE: Final = np.zeros(256, dtype=np.bool_)
_SPACE[[9, 10, 11, 12, 13, 32, 0]] = True
_STOP: Final = np.zeros(256, dtype=np.bool_)
_STOP[[ord(c) for c in ".!?"]] = True


def _keys_of(text: str) -> npt.NDArray[np.uint64]:
    return np.sort(Corpus.of(pl.Series([text])).words().keys)


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> Values:
    return part / np.maximum(whole, 1)


@dataclass(frozen=True)
class _Texts:
    """A corpus with the parts that several counts need."""

    corpus: Corpus
    words: Words
    chars: npt.NDArray[np.int64]
    unique: npt.NDArray[np.uint64]
    n_unique: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: pl.Series) -> _Texts:
        corpus = Corpus.of(texts)
        words = corpus.words()
        unique = distinct(words.text, words.keys)
        chars = corpus.n_bytes - corpus.histogram[:, 0x80:0xC0].sum(axis=1)
        return cls(corpus, words, chars, unique, count_distinct(unique, len(corpus)))

    def count(self, members: str) -> npt.NDArray[np.int64]:
        return self.corpus.histogram[:, [ord(c) for c in members]].sum(axis=1)


def _line_counts(texts: _Texts) -> dict[str, Values]:
    corpus = texts.corpus
    data = corpus.data
    newlines = np.flatnonzero(data == 10)
    filled = np.flatnonzero(corpus.n_bytes > 0)
    starts = np.sort(np.concatenate([corpus.offsets[:-1][filled], newlines + 1]))
    # A newline that ends a text starts no line of it.
    starts = np.unique(starts[starts < len(data) - 8])
    # Look past the indentation, at most eight columns of it.
    first = starts.copy()
    for _ in range(8):
        first += (data[first] == 32) | (data[first] == 9)
    head, after = data[first], data[np.minimum(first + 1, len(data) - 1)]
    blank = head == 10
    owner = corpus.text_of(starts)

    def per_text(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        return np.bincount(owner[mask], minlength=len(corpus))

    bullet = np.isin(head, [ord("-"), ord("*"), ord("+")]) & (after == 32)
    bullet |= (head == 0xE2) & (after == 0x80)  # the bullet sign
    third = data[np.minimum(first + 2, len(data) - 1)]
    digit = (head >= 48) & (head <= 57)
    point = np.isin(after, [ord("."), ord(")")])
    point |= (after >= 48) & (after <= 57) & np.isin(third, [ord("."), ord(")")])
    lines, bullets, numbered = per_text(~blank), per_text(bullet), per_text(digit & point)
    gaps = np.zeros(len(starts), dtype=np.bool_)
    gaps[1:] = blank[:-1] & ~blank[1:] & (owner[1:] == owner[:-1])
    return {
        "lines": lines.astype(float),
        "paragraphs": per_text(gaps) + (lines > 0).astype(float),
        "headings": per_text(head == ord("#")).astype(float),
        "bullets": bullets.astype(float),
        "numbered": numbered.astype(float),
        "list_lines": _ratio(bullets + numbered, lines),
        "line_length": _ratio(texts.chars, lines),
    }


def _sentence_counts(texts: _Texts) -> dict[str, Values]:
    data, corpus = texts.corpus.data, texts.corpus
    stops = np.flatnonzero(_STOP[data])
    last = np.zeros(len(data), dtype=np.bool_)
    last[(corpus.offsets[1:] - 1)[corpus.n_bytes > 0]] = True
    ends = stops[_SPACE[data[stops + 1]] | last[stops]]
    count = np.maximum(corpus.per_text(ends), (texts.words.count > 0).astype(np.int64))
    # The ending: the last byte that is neither white space nor a closing mark.
    at = corpus.offsets[1:] - 1
    floor = corpus.offsets[:-1]
    for _ in range(6):
        skip = (at > floor) & (_SPACE[data[at]] | np.isin(data[at], [ord(c) for c in "*_`\"')"]))
        at = at - skip
    final = np.where(corpus.n_bytes > 0, data[np.maximum(at, 0)], 0)
    letter = ((final >= 97) & (final <= 122)) | ((final >= 65) & (final <= 90)) | (final == ord(","))
    return {
        "sentences": count.astype(float),
        "sentence_length": _ratio(texts.words.count, count),
        "ends_sentence": np.isin(final, [ord("."), ord("!"), 0x82]).astype(float),
        "ends_question": (final == ord("?")).astype(float),
        "ends_open": letter.astype(float),
    }


def _richness(texts: _Texts) -> dict[str, Values]:
    words, n = texts.words, len(texts.corpus)
    trigram_text, trigrams = words.phrases(3)
    n_trigrams = np.bincount(trigram_text, minlength=n)
    n_distinct = count_distinct(distinct(trigram_text, trigrams), n)
    length = words.ends - words.starts
    return {
        "unique_words": texts.n_unique.astype(float),
        "type_token": _ratio(texts.n_unique, words.count),
        "root_type_token": texts.n_unique / np.sqrt(np.maximum(words.count, 1)),
        "compression": _ratio(texts.corpus.compressed(), texts.corpus.n_bytes),
        "repeated_trigrams": _ratio(n_trigrams - n_distinct, n_trigrams),
        "word_length": np.bincount(words.text, length, minlength=n) / np.maximum(words.count, 1),
        "long_words": _ratio(np.bincount(words.text[length > 7], minlength=n), words.count),
    }


def _characters(texts: _Texts) -> dict[str, Values]:
    histogram, chars = texts.corpus.histogram, texts.chars
    return {
        "chars": chars.astype(float),
        "words": texts.words.count.astype(float),
        "bold": texts.count("*").astype(float),
        "code": texts.count("`").astype(float),
        "tables": texts.count("|").astype(float),
        "digits": _ratio(histogram[:, 48:58].sum(axis=1), chars),
        "capitals": _ratio(histogram[:, 65:91].sum(axis=1), chars),
        "non_ascii": _ratio(histogram[:, 0xC0:].sum(axis=1), chars),
        "commas": _ratio(texts.count(","), chars),
        "colons": _ratio(texts.count(":;"), chars),
        "quotes": _ratio(texts.count("\"'"), chars),
        "brackets": _ratio(texts.count("()[]{}<>"), chars),
        "questions": texts.count("?").astype(float),
        "exclamations": texts.count("!").astype(float),
    }


def _tone(texts: _Texts) -> dict[str, Values]:
    n, keys = len(texts.corpus), texts.words.keys
    out = {}
    for name, members in _TONE.items():
        wanted = _keys_of(members)
        at = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
        out[name] = np.bincount(texts.words.text[wanted[at] == keys], minlength=n).astype(float)
    return out


def _stack(columns: dict[str, Values], features: tuple[Feature, ...]) -> Values:
    return np.column_stack([columns[f.name] for f in features])


def _chunk(prompt: pl.Series, a: pl.Series, b: pl.Series, turns: Values) -> tuple[Values, Values, Values, Values]:
    n = len(prompt)
    ask, both = _Texts.of(prompt), _Texts.of(pl.concat([a, b]))
    columns = _characters(both) | _richness(both) | _line_counts(both) | _sentence_counts(both) | _tone(both)
    cut = int(np.searchsorted(both.unique, np.uint64(n) << np.uint64(48)))
    unique_a, unique_b = both.unique[:cut], both.unique[cut:] - (np.uint64(n) << np.uint64(48))
    in_prompt = np.concatenate([count_common(u, ask.unique, n) for u in (unique_a, unique_b)])
    common = count_common(unique_a, unique_b, n)
    asked = np.concatenate([ask.n_unique, ask.n_unique])
    columns["prompt_covered"] = _ratio(in_prompt, asked)
    columns["from_prompt"] = _ratio(in_prompt, both.n_unique)
    columns["shared_words"] = _ratio(np.concatenate([common, common]), both.n_unique)
    answers = _stack(columns, ANSWER_FEATURES)
    histogram = ask.corpus.histogram
    prompts = {
        "turns": turns,
        "prompt_words": ask.words.count.astype(float),
        "prompt_lines": histogram[:, 10].astype(float),
        "prompt_questions": ask.count("?").astype(float),
        "prompt_digits": _ratio(histogram[:, 48:58].sum(axis=1), ask.chars),
        "prompt_non_ascii": _ratio(histogram[:, 0xC0:].sum(axis=1), ask.chars),
        "prompt_code": ask.count("`").astype(float),
    }
    pairs = _similarity(both, common, n) | {"identical": (a == b).to_numpy().astype(float)}
    return answers[:n], answers[n:], _stack(prompts, PROMPT_FEATURES), _stack(pairs, PAIR_FEATURES)


def _similarity(both: _Texts, common: npt.NDArray[np.int64], n: int) -> dict[str, Values]:
    phrases = distinct(*both.words.phrases(3))
    edge = np.uint64(n) << np.uint64(48)
    cut = int(np.searchsorted(phrases, edge))
    phrases_a, phrases_b = phrases[:cut], phrases[cut:] - edge
    shared = count_common(phrases_a, phrases_b, n)
    either = count_distinct(phrases_a, n) + count_distinct(phrases_b, n) - shared
    offsets, data = both.corpus.offsets[:-1], both.corpus.data
    reach = np.arange(24)
    at = np.minimum(offsets[:, None] + reach, len(data) - 1)
    alike = (data[at[:n]] == data[at[n:]]).cumprod(axis=1).sum(axis=1)
    return {
        "similarity": _ratio(common, both.n_unique[:n] + both.n_unique[n:] - common),
        "phrase_similarity": _ratio(shared, either),
        "same_start": alike / len(reach),
    }


@dataclass(frozen=True)
class Style:
    """Style counts of n battles: what a model reads, before A and B are contrasted.

    Parameters
    ----------
    a, b
        Counts of each answer, (n, len(ANSWER_FEATURES)).
    prompt
        Counts of the prompt, (n, len(PROMPT_FEATURES)).
    pair
        Counts of both answers together, (n, len(PAIR_FEATURES)).
    """

    a: Values
    b: Values
    prompt: Values
    pair: Values

    def __len__(self) -> int:
        return len(self.a)

    def take(self, rows: npt.NDArray[np.int64]) -> Style:
        """Select battles by position."""
        return Style(self.a[rows], self.b[rows], self.prompt[rows], self.pair[rows])

    def swap(self) -> Style:
        """Exchange A and B."""
        return Style(self.b, self.a, self.prompt, self.pair)


def _slices(n_bytes: npt.NDArray[np.int64]) -> Iterator[slice]:
    start, ends = 0, np.cumsum(n_bytes)
    while start < len(n_bytes):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + _CHUNK_BYTES, side="right"))
        stop = min(max(stop, start + 1), start + _CHUNK_ROWS)
        yield slice(start, stop)
        start = stop


def style(battles: Battles, *, workers: int | None = None) -> Style:
    """Count the style of prompts and answers.

    Parameters
    ----------
    battles
        Any number; turns are joined by a blank line.
    workers
        Threads; by default one for each core.

    Returns
    -------
    Style
        The counts, one row per battle.
    """
    frame = battles.frame.select(pl.col("prompt", "response_a", "response_b").list.join("\n\n"))
    n_bytes = frame.select(pl.sum_horizontal(pl.all().str.len_bytes())).to_series().to_numpy().astype(np.int64)
    turns = battles.n_turns.astype(float)

    def work(part: slice) -> tuple[Values, Values, Values, Values]:
        rows = frame[part]
        return _chunk(rows["prompt"], rows["response_a"], rows["response_b"], turns[part])

    slices = list(_slices(n_bytes))
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        parts = list(pool.map(work, slices))
    if not parts:
        widths = [len(ANSWER_FEATURES)] * 2 + [len(PROMPT_FEATURES), len(PAIR_FEATURES)]
        return Style(*(np.empty((0, w)) for w in widths))
    return Style(*(np.concatenate(blocks) for blocks in zip(*parts, strict=True)))
