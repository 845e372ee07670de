"""Simulated battles: exact truth, realistic texts, the same everywhere."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.battles import VoteModel, best_possible, simulate
from prefcast.errors import DataError

FINITE = st.floats(-4, 4)


@pytest.fixture(scope="module")
def many():
    return simulate(4_000, seed=11)


@settings(max_examples=100, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=20), FINITE, st.floats(0, 3), st.floats(0.1, 3), st.booleans())
def test_probabilities_are_those_of_the_vote_model(utility, position, width, noise, identical):
    model = VoteModel({}, position_effect=position, tie_width=width, noise=noise)
    p = model.probabilities(np.array(utility), np.full(len(utility), identical))
    assert p.shape == (len(utility), 3)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-15)
    # By definition: where utility + position + noise * e falls, e standard logistic.
    half = width + 3 * noise * identical
    edge = (half - np.array(utility) - position) / noise
    np.testing.assert_allclose(p[:, 0], 1 / (1 + np.exp(edge)), atol=1e-12)
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp((half + np.array(utility) + position) / noise)), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=20), st.floats(0, 3), st.floats(0.1, 3))
def test_truth_swaps_exactly_without_a_position_effect(utility, width, noise):
    model = VoteModel({}, tie_width=width, noise=noise)
    p = model.probabilities(np.array(utility))
    assert (model.probabilities(-np.array(utility)) == p[:, [1, 0, 2]]).all()


def test_truth_of_the_simulation_swaps_exactly_only_without_a_position_effect(many):
    assert (many.swapped_truth() == many.truth[:, [1, 0, 2]]).all()
    shown = simulate(50, position_effect=0.5)
    assert (shown.swapped_truth()[:, 0] > shown.truth[:, 1]).all()


def test_votes_are_drawn_from_the_truth(many):
    votes, truth = many.battles.votes, many.truth
    assert set(np.unique(votes)) == {0.0, 1.0}
    assert (votes.sum(axis=1) == 1).all()
    # Mean and calibration within five standard errors, in ten bins of each class.
    for k in range(3):
        order = np.array_split(np.argsort(truth[:, k]), 10)
        for rows in order:
            error = np.sqrt((truth[rows, k] * (1 - truth[rows, k])).sum()) / len(rows)
            assert abs(votes[rows, k].mean() - truth[rows, k].mean()) < 5 * error + 1e-9


def test_best_possible_is_the_loss_of_the_truth_and_nothing_beats_it(many):
    y = many.battles.votes.argmax(axis=1)
    loss = -np.log(many.truth[np.arange(len(y)), y])
    assert abs(loss.mean() - many.best_log_loss) < 5 * loss.std() / np.sqrt(len(y))
    sharper = many.truth**1.3 / (many.truth**1.3).sum(axis=1, keepdims=True)
    assert -(many.truth * np.log(sharper)).sum(axis=1).mean() > many.best_log_loss
    assert best_possible(np.array([[1.0, 0, 0]])) == 0
    weighted = best_possible(np.array([[1.0, 0, 0], [1 / 3] * 3]), np.array([3.0, 1.0]))
    assert weighted == pytest.approx(np.log(3) / 4)


def test_utility_is_quality_and_tastes_of_what_stands_in_the_texts(many):
    frame = many.battles.frame
    characters = [np.array([sum(map(len, turns)) for turns in frame[f"response_{s}"].to_list()]) for s in "ab"]
    plain = simulate(4_000, seed=11, markdown_taste=0.0)
    assert plain.battles.frame.drop("vote_a", "vote_b", "vote_tie").equals(frame.drop("vote_a", "vote_b", "vote_tie"))
    length = np.log1p(characters[0]) - np.log1p(characters[1])
    np.testing.assert_allclose(plain.utility, plain.quality[:, 0] - plain.quality[:, 1] + 0.5 * length, atol=1e-12)
    # Markdown elements are those a reader would count.
    counted = [
        np.array(
            [
                sum(t.count("\n- ") + t.count("\n## ") + t.count("```") / 2 + t.count("**") / 2 for t in turns)
                for turns in frame[f"response_{s}"].to_list()
            ]
        )
        for s in "ab"
    ]
    taste = np.log1p(counted[0]) - np.log1p(counted[1])
    np.testing.assert_allclose(many.utility - plain.utility, 0.25 * taste, atol=1e-12)


def test_skill_decides_and_tastes_move_votes_as_told():
    strong = simulate(600, models=["best", "worst"], skill=[3, -3], length_taste=0, markdown_taste=0, turns=0)
    won = strong.truth[:, 0] > strong.truth[:, 1]
    ordinary = ~strong.identical & (strong.quality > -4).all(axis=1)
    assert ((strong.battles.frame["model_a"] == "best").to_numpy() == won)[ordinary].all()
    assert strong.vote_model.skill == {"best": 3.0, "worst": -3.0}
    first = simulate(600, position_effect=3.0).truth.mean(axis=0)
    assert first[0] > 3 * first[1]
    assert simulate(600, tie_width=4.0).truth[:, 2].mean() > 0.8
    assert simulate(600, tie_width=0.0).truth[~simulate(600, tie_width=0.0).identical, 2].max() < 1e-12


def test_quality_shows_in_the_texts(many):
    one_turn = (many.battles.n_turns == 1) & (many.quality > -4).all(axis=1) & ~many.identical
    frame = many.battles.frame.filter(one_turn, pl.lit(True))
    shares = []
    for side in "ab":
        prompts, answers = (
            frame[c].list.first().str.to_lowercase().str.extract_all(r"\w+") for c in ("prompt", f"response_{side}")
        )
        shares.append(
            np.array(
                [np.mean([w in set(p) for w in a]) for p, a in zip(prompts.to_list(), answers.to_list(), strict=True)]
            )
        )
    gap = many.quality[one_turn, 0] - many.quality[one_turn, 1]
    assert np.corrcoef(shares[0] - shares[1], gap)[0, 1] > 0.4


def test_texts_have_realistic_lengths_turns_and_markdown(many):
    frame = many.battles.frame
    words = frame["response_a"].list.join(" ").str.extract_all(r"\w+").list.len()
    assert 100 < words.median() < 220
    assert words.quantile(0.99) > 4 * words.median()
    prompts = frame["prompt"].list.join(" ").str.extract_all(r"\w+").list.len()
    assert 25 < prompts.median() < 60
    assert 0.10 < (many.battles.n_turns > 1).mean() < 0.22
    assert many.battles.n_turns.max() <= 6
    for column in ("response_a", "response_b"):
        assert (frame[column].list.len() == frame["prompt"].list.len()).all()
    text = frame["response_a"].list.join("\n")
    for mark in ("\n- ", "## ", "**", "```\n"):
        assert 0.02 < text.str.contains(mark, literal=True).mean() < 0.7
    assert (text.str.count_matches("```", literal=True) % 2 == 0).all()
    assert set(frame["language"].unique()) == {"English", "Russian", "Chinese"}
    assert frame["prompt"].n_unique() < 0.6 * len(frame)


def test_odd_answers_are_there_and_judged_as_told(many):
    frame = many.battles.frame
    assert 0.005 < many.identical.mean() < 0.03
    assert (frame["response_a"] == frame["response_b"]).to_numpy()[many.identical].all()
    assert many.truth[many.identical, 2].min() > 0.9
    assert (many.utility[many.identical] == 0).all()
    empty = frame["response_a"].list.join("").str.len_chars() == 0
    assert 0 < empty.sum() < 50
    lonely = empty.to_numpy() & ~many.identical & (many.quality[:, 1] > -4)
    assert (many.truth[lonely, 1] > 0.8).all()


def test_votes_per_pair_repeat_a_pair_with_one_truth():
    simulation = simulate(31, votes_per_pair=3)
    frame = simulation.battles.frame
    assert len(frame) == 31
    assert frame["id"].n_unique() == 31
    assert frame["annotator"][:4].to_list() == ["person-1", "person-2", "person-3", "person-1"]
    for k in range(0, 30, 3):
        assert frame["response_a"][k : k + 3].n_unique() == 1
        assert (simulation.truth[k] == simulation.truth[k + 1]).all()
    votes = simulate(900, votes_per_pair=3).battles.votes.reshape(300, 3, 3)
    assert (votes[:, 0] != votes[:, 1]).any(axis=1).mean() > 0.2  # people disagree


def test_the_same_seed_gives_the_same_battles_and_another_one_others():
    assert simulate(60, seed=4).battles.fingerprint() == simulate(60, seed=4).battles.fingerprint()
    assert simulate(60, seed=4).battles.fingerprint() != simulate(60, seed=5).battles.fingerprint()
    assert simulate(60, seed=4).battles.frame.equals(simulate(60, seed=4).battles.frame)


def test_texts_do_not_depend_on_how_they_are_chunked(monkeypatch):
    from prefcast.battles import _texts

    many_texts = simulate(80).battles
    monkeypatch.setattr(_texts, "_CHUNK", 50)
    few = simulate(80).battles
    # Draws differ by chunk, but every text is whole: no empty, no unfinished sentence, no open code block.
    for battles in (many_texts, few):
        text = battles.frame["response_b"].list.join("\n").filter(battles.frame["response_b"].list.join("") != "")
        assert text.str.contains(r"[.。]\n?$").all()


@pytest.mark.parametrize(("n", "prompts", "models"), [(1, None, 2), (3, 1, 2), (5, None, 40)])
def test_small_and_odd_sizes(n, prompts, models):
    simulation = simulate(n, prompts=prompts, models=models)
    assert len(simulation.battles) == n
    assert len(simulation.vote_model.skill) == models
    assert (simulation.battles.frame["model_a"] != simulation.battles.frame["model_b"]).all()


@pytest.mark.parametrize(
    "wrong",
    [{"n": 0}, {"models": 1}, {"models": 0}, {"models": ["a", "a"]}, {"prompts": 0}, {"skill": [1.0]}, {"seed": -1},
     {"noise": 0.0}, {"noise": -1.0}, {"tie_width": -0.1}, {"turns": 1.0}, {"turns": -0.1}, {"votes_per_pair": 0},
     {"length_taste": float("nan")}, {"position_effect": float("inf")}, {"skill": [float("nan")] * 8}],
)  # fmt: skip
def test_arguments_out_of_range_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(DataError, match="|".join([name, name.replace("_", " "), "all must be finite"])):
        simulate(**{"n": 10, **wrong})
