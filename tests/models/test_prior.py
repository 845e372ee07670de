"""The prior: weighted shares, the same for A and B, exactly symmetric."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.battles import Battles
from prefcast.errors import DataError, EngineError, RecipeError
from prefcast.models import read_model, write_model
from prefcast.models._prior import Prior


def battles(votes, weights=None):
    n = len(votes)
    a, b, tie = np.array(votes, dtype=float).reshape(n, 3).T
    frame = pl.DataFrame(
        {
            "id": [str(i) for i in range(n)],
            "prompt": [["Hi"]] * n,
            "response_a": [["Yes"]] * n,
            "response_b": [["No"]] * n,
            "vote_a": a,
            "vote_b": b,
            "vote_tie": tie,
            "weight": [1.0] * n if weights is None else weights,
        }
    )
    return Battles.from_frame(frame)


HARD = st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.25, 0.25)])


def test_is_the_weighted_share_with_a_and_b_alike():
    table = battles([(1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], weights=[1.0, 1.0, 1.0, 3.0])
    p = Prior(smoothing=0.0).fit(table).predict_proba(table)
    np.testing.assert_allclose(p, np.tile([0.25, 0.25, 0.5], (4, 1)), rtol=1e-15)


def test_a_class_without_votes_keeps_some_probability():
    table = battles([(1, 0, 0)] * 9)
    p = Prior(smoothing=1.0).fit(table).predict_proba(table)[0]
    assert p[2] == pytest.approx(1 / 30)


@settings(max_examples=50, deadline=None)
@given(votes=st.lists(HARD, min_size=1, max_size=20), smoothing=st.floats(0, 10))
def test_swapping_exchanges_a_and_b_exactly(votes, smoothing):
    table = battles(votes)
    model = Prior(smoothing).fit(table)
    p, swapped = model.predict_proba(table), model.predict_proba(table.swap())
    assert (p == swapped[:, [1, 0, 2]]).all()
    assert (p == Prior(smoothing).fit(table.swap()).predict_proba(table)).all()
    assert (p >= 0).all()
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-12


def test_comes_back_from_disk_the_same(tmp_path):
    table = battles([(1, 0, 0), (0, 0, 1), (0, 0, 1)], weights=[0.1, 0.7, 0.3])
    model = Prior(smoothing=0.3).fit(table)
    write_model(model, tmp_path / "m")
    again = read_model(tmp_path / "m")
    assert isinstance(again, Prior)
    assert again.params() == model.params()
    assert (again.predict_proba(table) == model.predict_proba(table)).all()


def test_cross_fit_never_sees_the_fold_it_predicts():
    table = battles([(0, 0, 1)] * 4 + [(1, 0, 0)] * 4)
    folds = np.repeat([0, 1], 4)
    fit = Prior(smoothing=0.0).cross_fit(table, folds, np.arange(8))
    np.testing.assert_array_equal(fit.oof[:, 2], [0] * 4 + [1] * 4)
    np.testing.assert_array_equal(fit.model.predict_proba(table)[:, 2], [0.5] * 8)


def test_refuses_battles_without_votes():
    table = battles([(1, 0, 0), (0, 1, 0)])
    table = table.with_columns(**{c: pl.Series([1.0, None]) for c in ("vote_a", "vote_b", "vote_tie")})
    with pytest.raises(DataError, match="1 of 2 battles have no vote, first in row 1") as caught:
        Prior().fit(table)
    assert caught.value.rows == (1,)


def test_refuses_nothing_to_learn_from():
    with pytest.raises(DataError, match="no weight"):
        Prior(smoothing=0.0).fit(battles([(1, 0, 0)], weights=[0.0]))


@pytest.mark.parametrize("smoothing", [-1.0, float("nan"), float("inf")])
def test_refuses_a_smoothing_that_is_no_number_of_votes(smoothing):
    with pytest.raises(RecipeError, match="smoothing"):
        Prior(smoothing)


def test_says_that_it_is_not_fitted(tmp_path):
    with pytest.raises(EngineError, match="fit"):
        Prior().predict_proba(battles([(1, 0, 0)]))
    with pytest.raises(EngineError, match="fit"):
        Prior().write(tmp_path)


def test_a_share_outside_0_to_1_is_not_read(tmp_path):
    (tmp_path / "prior.json").write_text(json.dumps({"params": {"smoothing": 1.0}, "tie": 1.5}))
    with pytest.raises(ValueError, match=r"1\.5"):
        Prior.read(tmp_path)
