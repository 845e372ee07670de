"""Votes on one pair become one soft vote with the same loss."""

import numpy as np
import polars as pl
import pytest

from prefcast.battles import Battles, simulate
from prefcast.models.llm._votes import merge_votes


def repeated() -> Battles:
    frame = pl.DataFrame(
        {
            "id": list("abcdef"),
            "prompt": [["p"], ["p"], ["p"], ["q"], ["p"], ["p"]],
            "response_a": [["x"], ["y"], ["x"], ["x"], ["x"], ["x"]],
            "response_b": [["y"], ["x"], ["y"], ["y"], ["z"], ["y"]],
            "vote_a": [1.0, 0, 0, 1, 1, 0],
            "vote_b": [0.0, 1, 1, 0, 0, 0],
            "vote_tie": [0.0, 0, 0, 0, 0, 1],
        }
    )
    return Battles.from_frame(frame)


def losses(p: np.ndarray, votes: np.ndarray, weights: np.ndarray) -> float:
    return -float((weights[:, None] * votes * np.log(p)).sum())


def test_loss_is_what_it_was_for_any_forecast():
    battles, rng = repeated(), np.random.default_rng(0)
    weights = rng.random(6) + 0.1
    rows, votes, total = merge_votes(battles, weights, either_order=True)
    assert rows.tolist() == [0, 3, 4]
    of = np.array([0, 0, 0, 1, 2, 0])
    p = rng.dirichlet(np.ones(3), 3)
    before = p[of].copy()
    before[1] = before[1][[1, 0, 2]]  # row 1 is row 0 with its answers exchanged
    assert losses(p, votes, total) == pytest.approx(losses(before, battles.votes, weights))
    assert total.sum() == pytest.approx(weights.sum())
    np.testing.assert_allclose(votes.sum(axis=1), 1)


def test_orders_apart_stay_apart():
    rows, votes, _ = merge_votes(repeated(), np.ones(6), either_order=False)
    assert rows.tolist() == [0, 1, 3, 4]
    np.testing.assert_allclose(votes[0], [1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(votes[1], [0, 1, 0])


def test_other_turns_are_another_pair():
    frame = pl.DataFrame(
        {
            "id": ["1", "2"],
            "prompt": [["p", "q"]] * 2,
            "response_a": [["x", "y\x00z"], ["x\x00y", "z"]],
            "response_b": [["u", "v"]] * 2,
            "vote_a": [1.0, 0],
            "vote_b": [0.0, 1],
            "vote_tie": [0.0, 0],
        }
    )
    rows, _, _ = merge_votes(Battles.from_frame(frame), np.ones(2), either_order=True)
    assert rows.tolist() == [0, 1]


def test_nothing_changes_where_nothing_repeats():
    battles = simulate(20, seed=1).battles
    rows, votes, total = merge_votes(battles, np.arange(20) + 1.0, either_order=True)
    assert rows.tolist() == list(range(20))
    np.testing.assert_array_equal(votes, battles.votes)
    np.testing.assert_array_equal(total, np.arange(20) + 1.0)


def test_weight_zero_stays_zero():
    rows, votes, total = merge_votes(repeated(), np.array([1.0, 1, 1, 0, 1, 1]), either_order=True)
    assert total[rows.tolist().index(3)] == 0
    np.testing.assert_allclose(votes.sum(axis=1), 1)  # still votes


@pytest.mark.parametrize(("orders", "pairs"), [("both", 3), ("given", 4)])
def test_training_reads_a_pair_once(monkeypatch, tmp_path, orders, pairs):
    from prefcast.models.llm._llm import LLM

    seen = {}

    def fine_tune(inputs, votes, weights, groups, **options):
        seen.update(inputs=inputs, votes=votes, weights=weights, groups=groups)
        return tmp_path

    monkeypatch.setattr("prefcast.models.llm._training.fine_tune", fine_tune)
    battles = repeated()
    model = LLM("tiny:llama", training={"orders_in_training": orders})
    model.work = tmp_path
    model.fit(battles, np.array([0, 0, 0, 1, 0, 0]))
    assert len(seen["inputs"]) == len(seen["votes"]) == len(seen["weights"]) == pairs
    assert seen["groups"].tolist() == [0] * (pairs - 2) + [1, 0]
    rows, *_ = merge_votes(battles, np.ones(6), either_order=orders == "both")
    for k, row in enumerate(LLM("tiny:llama").prepare(battles.take(rows)).given):
        np.testing.assert_array_equal(seen["inputs"].given[k], row)
    # One weight per pair, though four votes are on the first.
    if orders == "both":
        np.testing.assert_allclose(seen["weights"], seen["weights"][0])
