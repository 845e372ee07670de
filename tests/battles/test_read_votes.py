"""Votes in every form they stand in, and every form that is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from prefcast.battles import read_battles
from prefcast.errors import DataError

TEXTS = {"prompt": ["p"], "response_a": ["a"], "response_b": ["b"]}


def _rows(votes, names=("winner_model_a", "winner_model_b", "winner_tie")):
    return [{"id": i, **TEXTS, **dict(zip(names, vote, strict=True))} for i, vote in enumerate(votes)]


@pytest.mark.parametrize(
    "values",
    [
        [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
        [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)],
        [("1", "0", "0"), ("0.0", "1.0", "0"), ("0", "0", "1e0")],
        [(True, False, False), (False, True, False), (False, False, True)],
        [("True", "False", "false"), ("FALSE", "true", "false"), ("False", "False", "True")],
    ],
)
@pytest.mark.parametrize("make", [list, pl.DataFrame, pd.DataFrame])
def test_one_hot_votes(values, make):
    assert read_battles(make(_rows(values))).votes.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_soft_votes_sum_to_one_after_reading():
    battles = read_battles(_rows([(0.2, 0.3, 0.5), (1 / 3, 1 / 3, 1 / 3 + 5e-7)]))
    np.testing.assert_allclose(battles.votes.sum(axis=1), 1.0, atol=1e-15)
    np.testing.assert_allclose(battles.votes[0], [0.2, 0.3, 0.5])


@pytest.mark.parametrize(
    ("vote", "said"),
    [
        ((0, 0, 0), "vote without a winner"),
        ((1, 1, 0), "vote with two winners"),
        ((1, 1, 1), "vote with two winners"),
        ((0.5, 0.4, 0.0), "does not sum to 1"),
        ((0.5, 0.5, 1e-3), "does not sum to 1"),
        ((-1, 1, 1), "does not sum to 1"),
        ((float("inf"), 0, 0), "does not sum to 1"),
        ((1, None, 0), "does not sum to 1"),
        ((1, None, None), "does not sum to 1"),
        (("x", 0, 1), "'x' is not a number"),
        (([1], 0, 1), "[1] is not a number"),
    ],
)
def test_votes_at_fault_are_listed(vote, said):
    rows = [*_rows([(1, 0, 0)]), *_rows([vote])]
    with pytest.raises(DataError) as error:
        read_battles(rows)
    assert said in str(error.value)
    assert "1 problem in 1 of 2 rows" in str(error.value)
    assert error.value.rows == (1,)


def test_a_row_with_no_vote_at_all_is_unlabelled():
    battles = read_battles(_rows([(1, 0, 0), (None, None, None), (float("nan"),) * 3]))
    assert battles.has_votes.tolist() == [True, False, False]
    assert np.isnan(battles.votes[1:]).all()


def test_empty_strings_are_no_votes(tmp_path):
    pl.DataFrame(_rows([("", "", ""), ("0", "1", "0")])).write_parquet(tmp_path / "v.parquet")
    assert read_battles(tmp_path / "v.parquet").has_votes.tolist() == [False, True]


def test_words():
    words = ["model_a", "MODEL_B ", "tie", "tie (bothbad)", "both_bad", "a", None, ""]
    battles = read_battles(_rows([(w,) for w in words], names=("winner",)))
    assert battles.frame["both_bad"].to_list() == [False, False, False, True, True, False, False, False]
    assert battles.has_votes.tolist() == [True] * 6 + [False] * 2
    assert battles.votes[:6].argmax(axis=1).tolist() == [0, 1, 2, 2, 2, 0]


@pytest.mark.parametrize("word", ["gpt-4", "none", "0", 0, 1.5, True, "model_c", "tie?", ["tie"]])
def test_an_unknown_word_is_never_a_tie(word):
    with pytest.raises(DataError, match="unknown winner"):
        read_battles(_rows([("tie",), (word,)], names=("winner",)))


@pytest.mark.parametrize("weight", [0, -1, float("inf"), "heavy", "-inf"])
def test_weights_are_positive_numbers(weight):
    with pytest.raises(DataError, match=r"row 1.*weight"):
        read_battles([{**TEXTS, "weight": 2}, {**TEXTS, "weight": weight}])


def test_weights_and_their_default():
    rows = [{**TEXTS, "weight": w} for w in (2, "0.5", None, float("nan"))]
    assert read_battles(rows).weights.tolist() == [2.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("missing", [("winner_tie",), ("winner_model_a", "winner_model_b")])
def test_some_winner_columns_are_not_enough(missing):
    with pytest.raises(DataError, match="a vote needs all of") as error:
        read_battles(pl.DataFrame(_rows([(1, 0, 0)])).drop(missing))
    assert error.value.columns == missing


def test_ids():
    def ids(values):
        return read_battles(pd.DataFrame([{"id": v, **TEXTS} for v in values])).ids.to_list()

    assert ids([1, 2]) == ["1", "2"]
    assert ids(["x", "x"]) == ["x", "x"]  # the doctor reports them; a submission refuses them
    assert ids([1.0, 2.5]) == ["1", "2.5"]
    assert ids([2**60, 7]) == [str(2**60), "7"]
    assert ids(["\ud83d", 3]) == ["\ufffd", "3"]
    with pytest.raises(DataError, match="row without an id") as error:
        ids([1.0, None, 3.0])
    assert error.value.rows == (1,)
    with pytest.raises(DataError, match="row without an id"):
        ids(["", "a"])
