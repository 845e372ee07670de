"""N-gram counts are those of scikit-learn's CountVectorizer, and the vocabulary is the most frequent one."""

import json
import re
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from prefcast.models.features import _ngrams
from prefcast.models.features._ngrams import NGrams
from prefcast.models.features._plain import PLAIN_COUNTS, plain_counts
from prefcast.models.features._symbols import _is_space, _is_word

UNITS = ("word", "character")

# Few different characters, so that n-grams come again; white space, case and marks of every awkward kind among them.
awkward = st.text(alphabet="aAbB_9 \n\t\u00a0\u2003\x00\x1c.'éÉ\u0301İΣσςß中🙂", max_size=40)
texts = st.lists(awkward | st.text(max_size=20), min_size=1, max_size=12)


def reference(unit, **options):
    analyzer = {"word": "word", "character": "char"}[unit]
    return CountVectorizer(analyzer=analyzer, ngram_range=(1, 5), **options)


def brute_force(rows, unit, size, longest, min_rows):
    """The definition, word for word."""
    frequency, found_in = Counter(), Counter()
    for turns in rows:
        seen = set()
        for text in turns:
            text = text.lower()
            units = re.findall(r"\b\w\w+\b", text) if unit == "word" else list(re.sub(r"\s\s+", " ", text))
            ngrams = [tuple(units[i : i + n]) for n in range(1, longest + 1) for i in range(len(units) - n + 1)]
            frequency.update(ngrams)
            seen.update(ngrams)
        found_in.update(seen)
    enough = [ngram for ngram in frequency if found_in[ngram] >= min_rows]
    best = sorted(enough, key=lambda ngram: (-frequency[ngram], len(ngram), ngram))[:size]
    return [("" if unit == "character" else " ").join(g) for g in sorted(best, key=lambda ngram: (len(ngram), ngram))]


@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=80, deadline=None)
@given(texts=texts, size=st.integers(1, 30))
@example(texts=["ΑΣ ΑΣ. ΑΣΑ", "İstanbul İİ", "a\x00b\x00\x00c", "  \n a \n\n b", ""], size=30)
def test_counts_are_those_of_count_vectorizer(unit, texts, size):
    ngrams = NGrams.fit(pl.Series(texts, dtype=pl.String), unit, size=size, min_rows=1)
    got = ngrams.count(pl.Series(texts, dtype=pl.String))
    assert got.shape == (len(texts), len(ngrams.vocabulary))
    if ngrams.vocabulary:
        want = reference(unit, vocabulary=list(ngrams.vocabulary)).transform(texts)
        np.testing.assert_array_equal(got.toarray(), want.toarray())


@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(awkward, max_size=3), min_size=1, max_size=8),
    size=st.integers(1, 25),
    longest=st.integers(1, 5),
    min_rows=st.integers(1, 3),
)
@example(rows=[["on and on and on, and on"], ["on"], ["and", "and"]], size=25, longest=3, min_rows=2)
@example(rows=[["abab"], ["abab"], ["ba"]], size=3, longest=5, min_rows=1)
def test_vocabulary_is_the_most_frequent(unit, rows, size, longest, min_rows):
    series = pl.Series(rows, dtype=pl.List(pl.String))
    got = NGrams.fit(series, unit, size=size, longest=longest, min_rows=min_rows)
    assert list(got.vocabulary) == brute_force(rows, unit, size, longest, min_rows)


@pytest.mark.parametrize(("unit", "size"), [("word", 300), ("character", 1_000)])
def test_real_votes_give_what_count_vectorizer_gives(data_dir, unit, size):
    frame = pl.read_parquet(data_dir / "llmeval2" / "votes.parquet")[:300]
    rows = [[turn or "" for turn in json.loads(row)] for c in ("response_a", "response_b") for row in frame[c]]
    docs = ["\n".join(turns) for turns in rows]
    series = pl.Series(docs)
    ngrams = NGrams.fit(series, unit, size=size)
    theirs = reference(unit, max_features=size, min_df=4).fit(docs)
    # Which of several n-grams as frequent as the last one is kept is theirs by accident and ours by rule.
    frequency = dict(zip(ngrams.vocabulary, ngrams.count(series).sum(0).tolist(), strict=True))
    least = min(frequency.values())
    assert {g for g, n in frequency.items() if n > least} <= set(theirs.vocabulary_)
    assert sorted(theirs.transform(docs).sum(0).A1.tolist()) == sorted(frequency.values())
    want = reference(unit, vocabulary=list(ngrams.vocabulary)).transform(docs)
    assert (ngrams.count(series) != want).nnz == 0


@pytest.mark.parametrize("unit", UNITS)
def test_turns_are_counted_apart_and_summed(unit):
    rows = [["so it is so", "so it is"], [], ["it is"], [None, "so"]]
    ngrams = NGrams.fit(pl.Series(rows), unit, size=50, min_rows=1)
    flat = [text or "" for turns in rows for text in turns]
    apart = reference(unit, vocabulary=list(ngrams.vocabulary)).transform(flat).toarray()
    want = np.stack([apart[:2].sum(0), np.zeros(apart.shape[1]), apart[2], apart[3:].sum(0)])
    np.testing.assert_array_equal(ngrams.count(pl.Series(rows)).toarray(), want)
    assert "so so" not in ngrams.vocabulary


@pytest.mark.parametrize("unit", UNITS)
def test_blocks_and_threads_change_nothing(unit, monkeypatch):
    rng = np.random.default_rng(0)
    words = np.array(["the", "cat", "sat", "on", "a", "mat", "and", "\n\n", "then"])
    series = pl.Series([" ".join(rng.choice(words, size=n)) for n in rng.integers(0, 40, 200)])
    ngrams = NGrams.fit(series, unit, size=60)
    whole = ngrams.count(series, threads=1)
    monkeypatch.setattr(_ngrams, "_BLOCK_CHARACTERS", 300)
    cut = ngrams.count(series, threads=3)
    for one, other in ((whole.data, cut.data), (whole.indices, cut.indices), (whole.indptr, cut.indptr)):
        np.testing.assert_array_equal(one, other)
    assert NGrams.fit(series, unit, size=60).vocabulary == ngrams.vocabulary
    assert cut.has_sorted_indices
    alone = ngrams.count(series[7:8])
    assert (alone != whole[7:8]).nnz == 0


def test_a_large_series_is_sampled_by_seed():
    series = pl.Series([f"number{i} word" for i in range(300)])
    fit = [NGrams.fit(series, "word", size=20, min_rows=1, sample=400, seed=s).vocabulary for s in (0, 0, 1)]
    assert fit[0] == fit[1] != fit[2]
    assert len(fit[0]) == 20


def test_nothing_frequent_gives_no_columns():
    ngrams = NGrams.fit(pl.Series(["one", "two"]), "word", size=5)
    assert ngrams.vocabulary == ()
    assert ngrams.count(pl.Series(["one"])).shape == (1, 0)
    assert NGrams("word", ("one",)).count(pl.Series([], dtype=pl.String)).shape == (0, 1)
    assert NGrams("word", ("one",)).count(pl.Series(["", None])).nnz == 0


@pytest.mark.parametrize(
    ("unit", "vocabulary"),
    [
        ("word", ("how", "how are")),  # "are" is missing
        ("character", ("a", "b", "c", "abc")),  # "ab" is missing
        ("character", ("b", "a")),  # not in order
        ("character", ("a", "a")),
        ("character", ("",)),
    ],
)
def test_a_damaged_vocabulary_is_refused(unit, vocabulary):
    with pytest.raises(ValueError, match="the vocabulary has"):
        NGrams(unit, vocabulary)


def test_tables_of_characters_are_those_of_the_re_module():
    every = "".join(map(chr, range(0x110000)))
    assert np.flatnonzero(_is_space()).tolist() == [m.start() for m in re.finditer(r"\s", every)]
    assert np.flatnonzero(_is_word()).tolist() == [m.start() for m in re.finditer(r"\w", every)]


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(st.text(alphabet="ab. \n\t\u00a0中🙂", max_size=20), max_size=3), max_size=6))
def test_plain_counts_are_what_their_names_say(rows):
    got = plain_counts(pl.Series(rows, dtype=pl.List(pl.String)))
    ask = {
        "newlines": lambda t: t.count("\n"),
        "blank lines": lambda t: t.count("\n\n"),
        "full stops": lambda t: t.count("."),
        "spaces": lambda t: t.count(" "),
        "turns": lambda t: 1,
        "characters": len,
        "words": lambda t: len(re.findall(r"[^ \t\n\v\f\r]+", t)),
    }
    want = [[sum(ask[name](t) for t in turns) for name in PLAIN_COUNTS] for turns in rows]
    np.testing.assert_array_equal(got, np.array(want, dtype=float).reshape(len(rows), len(PLAIN_COUNTS)))
