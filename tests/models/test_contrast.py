"""The contrast of two answers: what changes its sign when they are exchanged, and what stays."""

import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.battles import Battles
from prefcast.errors import RecipeError
from prefcast.models.features import ANSWER_FEATURES, VIEWS, contrast, contrast_features, style

WORDS = [
    "I",
    "you",
    "sorry",
    "-",
    "*",
    "1.",
    "#",
    "the",
    "a",
    "tree,",
    "runs.",
    "(well)",
    "`code`",
    "42",
    "中文",
    "😀",
    "\n",
    "\n\n",
]
TURN = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=8).map(" ".join)
ROW = st.integers(1, 3).flatmap(lambda n: st.tuples(*[st.lists(TURN, min_size=n, max_size=n)] * 3))


def battles_of(rows):
    """Battles from (prompt, a, b), each a list of turns."""
    columns = dict(zip(("prompt", "response_a", "response_b"), zip(*rows, strict=True), strict=True))
    ids = [str(k) for k in range(len(rows))]
    return Battles.from_frame(pl.DataFrame({"id": ids, **{name: list(turns) for name, turns in columns.items()}}))


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=4))
def test_exchanging_answers_changes_signs_exactly(rows):
    battles = battles_of(rows)
    one, other = contrast(battles), contrast(battles.swap())
    assert np.array_equal(other.signed, -one.signed)
    assert np.array_equal(other.symmetric, one.symmetric)
    for name in VIEWS:
        assert np.array_equal(other.view(name).matrix(), one.view(name).matrix(swapped=True))
        assert np.array_equal(other.view(name).matrix(swapped=True), one.view(name).matrix())


@settings(max_examples=30, deadline=None)
@given(st.lists(ROW, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_a_row_does_not_depend_on_the_others(rows, random):
    battles = battles_of(rows)
    whole = contrast(battles)
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = contrast(battles.take(order))
    assert np.array_equal(shuffled.matrix(), whole.matrix()[order])
    assert np.array_equal(contrast(battles.take(order[:1])).matrix(), whole.take(np.array(order[:1])).matrix())


@settings(max_examples=30, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=3))
def test_everything_is_finite_and_the_same_answers_do_not_differ(rows):
    found = contrast(battles_of([(prompt, a, a) for prompt, a, _ in rows]))
    assert np.isfinite(found.matrix()).all()
    assert not found.signed.any()


def column(name):
    names = [f.name for f in contrast_features()]
    return names.index(name)


def test_columns_are_what_their_names_say():
    battles = battles_of([(["Why?"], ["one two three. four"], ["one, two"]), (["p", "q"], ["a", "b c d"], ["a", "b"])])
    found, counts = contrast(battles), style(battles)
    words = [f.name for f in ANSWER_FEATURES].index("words")
    commas = [f.name for f in ANSWER_FEATURES].index("commas")
    assert (counts.a[:, words].tolist(), counts.b[:, words].tolist()) == ([4, 4], [2, 2])
    values = found.matrix()
    np.testing.assert_allclose(values[:, column("words_difference")], np.log(5 / 3), rtol=1e-6)
    np.testing.assert_allclose(values[:, column("words_gap")], np.log(5 / 3), rtol=1e-6)
    np.testing.assert_allclose(values[:, column("words_sum")], np.log(15), rtol=1e-6)
    np.testing.assert_allclose(values[:, column("words_excess")], 2)
    np.testing.assert_allclose(values[:, column("words_balance")], 2 / 6, rtol=1e-6)
    # Shares are compared as they stand.
    np.testing.assert_allclose(values[:, column("commas_difference")], -counts.b[:, commas], rtol=1e-6)
    np.testing.assert_allclose(values[:, column("turns")], np.log([2, 3]), rtol=1e-6)
    np.testing.assert_allclose(values[:, column("identical")], 0)


def test_names_are_unique_and_as_many_as_columns():
    features = contrast_features()
    names = [f.name for f in features]
    assert len(set(names)) == len(names)
    assert len({f.label for f in features}) == len(names)
    assert all(re.fullmatch("[a-z_]+", name) for name in names)
    found = contrast(battles_of([(["p"], ["a"], ["b"])]))
    assert found.matrix().shape == (1, len(names))
    assert found.matrix().dtype == np.float32
    assert [f.signed for f in features] == [True] * found.signed.shape[1] + [False] * found.symmetric.shape[1]


def test_no_battle_no_row():
    empty = contrast(battles_of([(["p"], ["a"], ["b"])]).take([]))
    assert empty.matrix().shape == (0, len(contrast_features()))


def test_views():
    found = contrast(battles_of([(["p"], ["a b"], ["b"])]))
    assert found.view("all") is found
    view = found.view("differences")
    assert np.array_equal(view.signed, found.signed)
    assert 0 < view.symmetric.shape[1] < found.symmetric.shape[1]
    with pytest.raises(RecipeError, match=r"no view 'some'.*all, differences"):
        found.view("some")
