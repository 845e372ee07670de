"""Texts as bytes: laying out, finding words, naming them, and counting what stands where."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.models.features import _corpus
from prefcast.models.features._corpus import MAX_ROWS, Corpus, presence

TEXTS = st.lists(
    st.text(max_size=12) | st.sampled_from(["", "中文abc", "don't", "a b", "\0", "é1_x", "한국 말", "，。"]), max_size=6
)


def corpus(texts):
    return Corpus.of(pl.Series("t", texts, dtype=pl.String))


def words_of(texts):
    """Words of each text, decoded."""
    laid = corpus(texts)
    words = laid.words()
    out = [[] for _ in texts]
    for text, start, end in zip(words.text, words.starts, words.ends, strict=True):
        out[text].append(laid.raw[start:end].decode())
    return out


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_texts_lie_end_to_end(texts):
    laid = corpus(texts)
    data = [text.encode() for text in texts]
    assert len(laid) == len(texts)
    assert laid.size == sum(map(len, data))
    assert laid.raw == b"".join(data) + bytes(8)
    assert laid.n_bytes.tolist() == [len(d) for d in data]
    assert laid.lower.tobytes()[: laid.size] == b"".join(d.lower() for d in data)


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_marks_are_counted_in_their_text(texts):
    laid = corpus(texts)
    counts = laid.counts
    assert counts.shape == (len(texts), _corpus.N_KINDS)
    for kind, members in [
        (_corpus.NEWLINE, "\n"),
        (_corpus.DIGIT, "0123456789"),
        (_corpus.COLON, ":;"),
        (_corpus.CODE, "`"),
    ]:
        assert counts[:, kind].tolist() == [sum(map(text.count, members)) for text in texts]
        where = laid.positions(kind)
        assert [chr(laid.raw[k]) in members for k in where] == [True] * len(where)
        assert np.bincount(laid.text_of(where), minlength=len(texts)).tolist() == counts[:, kind].tolist()
    assert (laid.n_bytes - counts[:, _corpus.CONTINUATION]).tolist() == [len(text) for text in texts]


@pytest.mark.parametrize(
    "series",
    [
        pl.Series(["zero", "one", None, "", "two"])[1:],
        pl.concat([pl.Series(["one"]), pl.Series([None, ""], dtype=pl.String), pl.Series(["two"])]),
        pl.Series(["x", "one", "y", None, "z", "", "w", "two"]).gather_every(2, 1),
    ],
    ids=["a slice", "several chunks", "gathered"],
)
def test_series_of_any_layout(series):
    laid = Corpus.of(series)
    assert laid.raw == b"onetwo" + bytes(8)
    assert laid.offsets.tolist() == [0, 3, 3, 3, 6]


@pytest.mark.parametrize("texts", [[], [""], ["", ""], [None]])
def test_nothing_has_no_words(texts):
    laid = corpus(texts)
    words = laid.words()
    assert len(words.starts) == len(words.ends) == len(words.keys) == 0
    assert words.count.tolist() == [0] * len(texts)
    assert [len(part) for part in words.phrases(3)] == [0, 0]
    assert laid.counts.sum() == 0


def test_words():
    assert words_of(["Don't stop_it: 3.5kg—now"]) == [["Don't", "stop_it", "3", "5kg—now"]]
    assert words_of(["ab", "cd", "", "e"]) == [["ab"], ["cd"], [], ["e"]]
    assert words_of(["中文abc字，é"]) == [["中", "文", "abc", "字", "，é"]]
    assert words_of(["Привет, мир!", "naïve"]) == [["Привет", "мир"], ["naïve"]]


def test_keys_name_words():
    texts = ["Word", "word", "wörd", "WÖRD", "w", "", "a" * 9, "a" * 10, "a" * 16, "a" * 17, "b" + "a" * 16]
    words = corpus(texts).words()
    assert len(set(words.keys.tolist())) == len(texts) - 2  # "Word" is "word", and "" is no word
    # Of more than sixteen bytes only the ends and the length are read.
    long = corpus(["a" * 8 + "x" + "b" * 8, "a" * 8 + "y" + "b" * 8, "a" * 8 + "xy" + "b" * 8]).words().keys
    assert long[0] == long[1] != long[2]


def test_keys_of_many_words_do_not_coincide():
    texts = [f"{prefix}{k}{suffix}" for k in range(3000) for prefix in ("", "abcdefgh") for suffix in ("", "x", "hgf")]
    keys = corpus(texts).words().keys >> np.uint64(18)
    assert len(np.unique(keys)) == len(set(texts))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=7), max_size=4),
    st.integers(1, 4),
    st.integers(0, 2),
)
def test_phrases_are_runs_of_words_of_one_text(texts, n, first):
    words = corpus([" ".join(text) for text in texts]).words()
    first = min(first, len(texts))
    text, keys = words.phrases(n, first)
    wanted = [(t, tuple(texts[t][k : k + n])) for t in range(first, len(texts)) for k in range(len(texts[t]) - n + 1)]
    assert text.tolist() == [t for t, _ in wanted]
    named = dict(zip((phrase for _, phrase in wanted), keys.tolist(), strict=True))
    assert keys.tolist() == [named[phrase] for _, phrase in wanted]
    assert len(set(named.values())) == len(named)


ENTRIES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 5)), max_size=40)


@settings(max_examples=100, deadline=None)
@given(ENTRIES)
def test_presence_counts_sets_of_sides(entries):
    n = 4
    text = np.array([side * n + row for row, side, _ in entries], dtype=np.int64)
    keys = np.array([key << 18 for *_, key in entries], dtype=np.uint64)
    sides = {}
    for row, side, key in entries:
        sides.setdefault((row, key), set()).add(side)
    wanted = np.zeros((n, 8), dtype=int)
    for (row, _), on in sides.items():
        wanted[row, sum(1 << side for side in on)] += 1
    assert presence(text, keys, n).tolist() == wanted.tolist()


def test_presence_reaches_to_the_last_row_and_key():
    n = MAX_ROWS
    text = np.array([0, n - 1, 2 * n - 1, 3 * n - 1])
    keys = np.array([0, 2**64 - 1, 2**64 - 1, 2**64 - 1], dtype=np.uint64)
    found = presence(text, keys, n)
    assert found[0].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    assert found[n - 1].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert found.sum() == 2
