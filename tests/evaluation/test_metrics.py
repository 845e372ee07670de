"""Scores against scikit-learn, against the fixed protocols, and against what they promise of soft votes."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from prefcast.errors import DataError
from prefcast.evaluation import (
    accuracy,
    brier,
    ece,
    log_loss,
    mean_interval,
    row_brier,
    row_hit,
    row_log_loss,
)

SCORES = [log_loss, brier, accuracy, ece]


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(3)
    p = rng.dirichlet([2, 2, 1], 400)
    y = np.array([rng.choice(3, p=row) for row in p])
    return p, y, rng.random(400) + 0.1


def test_scores_are_those_of_scikit_learn(sample):
    p, y, w = sample
    votes = np.eye(3)[y]
    assert log_loss(p, votes, w) == pytest.approx(sklearn_log_loss(y, p, sample_weight=w), abs=1e-12)
    assert accuracy(p, votes, w) == pytest.approx(accuracy_score(y, p.argmax(1), sample_weight=w), abs=1e-12)
    scaled = brier_score_loss(y, p, sample_weight=w, labels=[0, 1, 2], scale_by_half=False)
    assert brier(p, votes, w) == pytest.approx(scaled, abs=1e-12)


def test_scores_and_interval_are_those_of_the_protocols(data_dir):
    path = data_dir.parent / "bench" / "protocols.py"
    if not path.is_file():
        pytest.skip("needs bench/protocols.py beside the folder of the votes")
    spec = importlib.util.spec_from_file_location("protocols", path)
    protocols = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(protocols)
    frame = protocols.load("mt_bench")
    y = protocols.labels(frame)
    p = np.random.default_rng(0).dirichlet([1, 1, 0.5], len(y))
    p[:3] = np.eye(3)  # certain, and so clipped
    expected = protocols.score(y, p, frame.group_id)
    votes, groups = np.eye(3)[y], frame.group_id.rank(method="dense").to_numpy(dtype=int)
    interval = mean_interval(row_log_loss(p, votes), groups)
    assert interval.value == pytest.approx(expected["log_loss"], abs=1e-9)
    assert interval.low == pytest.approx(expected["lo"], abs=1e-9)
    assert interval.high == pytest.approx(expected["hi"], abs=1e-9)
    assert accuracy(p, votes) == pytest.approx(expected["accuracy"], abs=1e-9)
    assert brier(p, votes) == pytest.approx(expected["brier"], abs=1e-9)
    assert ece(p, votes) == pytest.approx(expected["ece"], abs=1e-9)


def test_ece_by_hand():
    # Two rows of confidence .9, one of them right, and two of .6, both right: gaps .4 and .4.
    p = [[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.2, 0.6, 0.2], [0.2, 0.6, 0.2]]
    votes = np.eye(3)[[0, 1, 1, 1]]
    assert ece(p, votes) == pytest.approx(0.4)
    assert ece(p, votes, [1, 0, 1, 0]) == pytest.approx((0.1 + 0.4) / 2)
    assert ece(p, votes, bins=1) == pytest.approx(0.0)  # all in one bin: right in 3 of 4, and .75 confident


@pytest.mark.parametrize("score", SCORES)
def test_a_soft_vote_scores_as_the_hard_votes_it_stands_for(score):
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    soft = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    hard, weights = np.eye(3)[[0, 0, 1, 2, 1]], [1, 1, 1, 1, 4]
    assert score(p, soft) == pytest.approx(score(p[[0, 0, 0, 0, 1]], hard, weights), abs=1e-12)


@pytest.mark.parametrize("score", SCORES)
@settings(max_examples=30, deadline=None)
@given(p=arrays(float, (12, 3), elements=st.floats(0.001, 1)), y=arrays(int, 12, elements=st.integers(0, 2)))
def test_scores_do_not_change_with_the_swap(score, p, y):
    p = p / p.sum(1, keepdims=True)
    p[:, 0] += 1e-4 * (p[:, 0] == p[:, 1])  # of equal probabilities the first counts, which a swap would change
    p = p / p.sum(1, keepdims=True)
    votes, order = np.eye(3)[y], [1, 0, 2]
    assert score(p[:, order], votes[:, order]) == pytest.approx(score(p, votes), abs=1e-9)


def test_rows_average_to_the_scores(sample):
    p, y, w = sample
    votes = np.eye(3)[y]
    for rows, score in ((row_log_loss, log_loss), (row_brier, brier), (row_hit, accuracy)):
        assert rows(p, votes).shape == (400,)
        assert np.average(rows(p, votes), weights=w) == pytest.approx(score(p, votes, w), abs=1e-12)


def test_a_certain_miss_costs_a_finite_amount():
    assert row_log_loss([[1.0, 0.0, 0.0]], [[0, 1, 0]])[0] == pytest.approx(-np.log(1e-6), abs=1e-4)
    assert row_log_loss([[1.0, 0.0, 0.0]], [[1, 0, 0]])[0] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([0.2, np.nan, 0.8], "not finite"),
        ([0.2, np.inf, 0.8], "not finite"),
        ([-0.5, 0.5, 1.0], "outside 0 to 1"),
        ([0.2, 0.2, 0.2], "do not sum to 1"),
    ],
)
@pytest.mark.parametrize("score", SCORES)
def test_impossible_probabilities_are_refused_with_their_rows(score, bad, words):
    p = [[0.2, 0.3, 0.5], bad, [0.2, 0.3, 0.5], bad]
    with pytest.raises(DataError, match=words) as caught:
        score(p, np.eye(3)[[0, 1, 2, 0]])
    assert caught.value.rows == (1, 3)
    assert "2 rows" in str(caught.value)


def test_wrong_shapes_and_missing_votes_are_refused():
    good = [[0.2, 0.3, 0.5]] * 2
    with pytest.raises(DataError, match=r"\(2, 2\)"):
        log_loss([[0.5, 0.5]] * 2, np.eye(3)[[0, 1]])
    with pytest.raises(DataError, match="3 votes for 2 rows"):
        log_loss(good, np.eye(3))
    with pytest.raises(DataError, match="no vote") as caught:
        log_loss(good, [[1, 0, 0], [np.nan, np.nan, np.nan]])
    assert caught.value.rows == (1,)


def test_no_weight_gives_no_score():
    for score in SCORES:
        assert np.isnan(score([[0.2, 0.3, 0.5]], [[1, 0, 0]], [0.0]))
