"""Effects, slices and the human ceiling by hand, against scikit-learn and on real votes."""

import json
import math

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from prefcast.battles import Battles, simulate
from prefcast.evaluation import evaluate
from prefcast.evaluation._bootstrap import Resampler
from prefcast.evaluation._effects import logistic_slope
from prefcast.evaluation._text import pair_keys, read_texts

A, B, TIE = np.eye(3)


def evaluated(battles, p=None, groups=None, times=20):
    n = len(battles)
    return evaluate(
        np.tile([0.5, 0.3, 0.2], (n, 1)) if p is None else p,
        battles,
        range(n) if groups is None else groups,
        times=times,
    )


def test_effects_by_hand(make_battles):
    battles = make_battles(
        [A, A, B, TIE],
        response_a=[["long one"], ["- x\n- y"], ["short"], ["same"]],
        response_b=[["short"], ["no list"], ["long one"], ["same"]],
    )
    p = np.array([[0.6, 0.2, 0.2], [0.4, 0.4, 0.2], [0.3, 0.3, 0.4], [0.1, 0.1, 0.8]])
    found = evaluated(battles, p).effects
    assert found.position.people.value == pytest.approx(0.25)
    assert found.position.forecasts.value == pytest.approx(0.1)
    assert found.length.n == 2  # the second has 7 characters on both sides, the fourth is a tie
    assert found.length.wins.people.value == 1.0
    assert found.length.wins.forecasts.value == pytest.approx((0.75 + 0.5) / 2)
    assert found.markdown.n == 1
    assert found.markdown.wins.people.value == 1.0
    assert found.identical.n == 1
    assert found.identical.tie.people.value == 1.0
    assert found.identical.tie.forecasts.value == pytest.approx(0.8)


def test_no_identical_or_unequal_answers_leave_their_effects_undefined(make_battles):
    found = evaluated(make_battles([A, B])).effects
    assert found.length.n == 1 + 1  # "first" and "second"
    assert found.identical.n == 0
    assert math.isnan(found.identical.tie.people.value)
    equal = evaluated(make_battles([A, B], response_b=[["other"]] * 2)).effects
    assert equal.length.n == 0
    assert math.isnan(equal.length.slope.people.value)


@pytest.fixture(scope="module")
def line():
    rng = np.random.default_rng(0)
    x = rng.normal(0.3, 2, 500)
    return x, (rng.random(500) < 1 / (1 + np.exp(-0.2 - 0.7 * x))).astype(float), rng.random(500) + 0.2


def test_slope_is_that_of_scikit_learn(line):
    x, y, w = line
    other = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, None], y, sample_weight=w)
    found = logistic_slope(x, y, w, Resampler(np.arange(500), times=10))
    assert found.value == pytest.approx(other.coef_[0, 0], abs=1e-5)


def test_interval_of_the_slope_is_that_of_fits_to_the_draws(line):
    x, y, w = line
    resampler = Resampler(np.arange(500) // 5, times=150)
    found = logistic_slope(x, y, w, resampler)
    rng, fits = np.random.default_rng(1), []
    for _ in range(150):
        times = rng.multinomial(100, np.full(100, 0.01))[np.arange(500) // 5]
        model = LogisticRegression(C=np.inf, solver="newton-cholesky")
        fits.append(model.fit(x[:, None], y, sample_weight=w * times + 1e-9).coef_[0, 0])
    low, high = np.percentile(fits, [2.5, 97.5])
    assert found.high - found.low == pytest.approx(high - low, rel=0.25)
    assert found.low <= 0.7 <= found.high


@pytest.mark.parametrize(
    ("x", "y"), [([1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 1.0, 1.0]), ([1.0, 2.0], [1.0, 1.0]), ([5.0, 5.0], [0.0, 1.0])]
)
def test_slope_that_no_data_hold_in_is_undefined(x, y):
    found = logistic_slope(np.array(x), np.array(y), np.ones(len(x)), Resampler(np.arange(len(x)), times=10))
    assert math.isnan(found.value)


def test_effects_of_a_known_vote_model_are_found():
    flat = simulate(800, length_taste=0.0, position_effect=0.0, seed=1)
    keen = simulate(800, length_taste=1.5, position_effect=0.8, seed=1)
    plain = evaluated(flat.battles, flat.truth, flat.prompt, times=200).effects
    swayed = evaluated(keen.battles, keen.truth, keen.prompt, times=200).effects
    assert swayed.position.people.low > 0
    assert not plain.position.people.excludes_zero
    assert swayed.length.slope.people.low > plain.length.slope.people.high
    # Where the votes are the true shares, forecasts of the truth have the effects of the people (but for their clip).
    shares = {name: pl.Series(keen.truth[:, k]) for k, name in enumerate(("vote_a", "vote_b", "vote_tie"))}
    exact = evaluated(keen.battles.with_columns(**shares), keen.truth, keen.prompt).effects
    for side in (exact.position, exact.length.wins, exact.length.slope, exact.markdown.slope, exact.identical.tie):
        assert side.people.value == pytest.approx(side.forecasts.value, abs=1e-6)
        assert side.people.low == pytest.approx(side.forecasts.low, abs=1e-6)


def test_ceiling_by_hand(make_battles):
    # Votes A, A and tie on one pair (the second shown in the other order), and one vote on another pair.
    battles = make_battles(
        [A, B, TIE, B],
        prompt=[["q"], ["q"], ["q"], ["else"]],
        response_a=[["x"], ["y"], ["x"], ["x"]],
        response_b=[["y"], ["x"], ["y"], ["y"]],
    )
    p = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]])
    found = evaluated(battles, p, [0, 0, 1, 2]).ceiling
    assert (found.pairs, found.votes) == (1, 3)
    assert found.agreement.value == pytest.approx(1 / 3)
    assert found.agreement_decisive.value == 1.0
    assert found.others_log_loss.value == pytest.approx((2 * np.log(5 / 2) + np.log(5)) / 3)
    assert found.entropy.value == pytest.approx(-(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)))
    assert found.model_log_loss.value == pytest.approx((-2 * np.log(0.6) - np.log(0.2)) / 3)
    assert found.gap.value == pytest.approx(found.model_log_loss.value - found.others_log_loss.value)


def test_one_annotator_is_not_another_person(make_battles):
    same = {"prompt": [["q"]] * 3}
    twice = make_battles([A, A, B], annotator=["ann", "ann", "bob"], **same)
    found = evaluated(twice).ceiling
    assert found.votes == 3
    assert found.agreement.value == 0.0  # ann agrees with herself only
    assert evaluated(make_battles([A, A], annotator=["ann", "ann"], prompt=[["q"]] * 2)).ceiling is None
    assert evaluated(make_battles([A, A], annotator=["ann", None], prompt=[["q"]] * 2)).ceiling.agreement.value == 1.0


def test_no_repeated_pair_no_ceiling(make_battles):
    evaluation = evaluated(make_battles([A, B]))
    assert evaluation.ceiling is None
    assert evaluation.to_dict()["ceiling"] is None


def test_pairs_are_the_same_in_either_order_and_differ_by_turns_and_prompt(make_battles):
    battles = make_battles(
        [A] * 5,
        prompt=[["q"], ["q"], ["q2"], ["q", "r"], ["q"]],
        response_a=[["x"], ["y"], ["x"], ["x", "x"], ["z"]],
        response_b=[["y"], ["x"], ["y"], ["y", "y"], ["y"]],
    )
    keys, turned = pair_keys(battles)
    assert keys[0] == keys[1]
    assert turned[0] != turned[1]
    assert len(set(keys)) == 4


SAMPLES = {
    "Latin": "Wie geht es dir? Ça va très bien.",
    "Cyrillic": "Как дела? Everything fine.",
    "CJK": "你好,世界。GPT-4",
    "Arabic": "مرحبا بالعالم",
    "Devanagari": "नमस्ते दुनिया",
    "code-heavy": "Here:\n```python\nprint('hello world')\n```",
    "other": "שלום עולם",
}


def test_scripts(make_battles):
    texts = [*SAMPLES.values(), "12 + 7 = 19", "", "Translate 你好 for me, and explain in depth how it is used."]
    same = [[text] for text in texts]
    battles = make_battles([A] * len(texts), prompt=same, response_a=same, response_b=same)
    assert read_texts(battles).script.to_list() == [*SAMPLES, "other", "other", "Latin"]


def test_japanese_and_korean_are_cjk(make_battles):
    same = [["こんにちは世界"], ["안녕하세요 세계"]]
    assert set(read_texts(make_battles([A, A], prompt=same, response_a=same, response_b=same)).script) == {"CJK"}


def test_measures_of_texts(make_battles):
    battles = make_battles(
        [A], prompt=[["é", "two"]], response_a=[["# T\n\n- a\n1. b", "**c**"]], response_b=[["", ""]]
    )
    texts = read_texts(battles)
    assert texts.length_a[0] == len("# T\n\n- a\n1. b\n**c**")
    assert texts.markdown_a[0] == 4
    assert texts.markdown_b[0] == 0
    assert texts.length[0] == texts.length_a[0] + texts.length_b[0] + 5


def test_slices_by_hand(make_battles):
    n = 120
    votes = [A if i % 2 else B for i in range(n)]
    battles = make_battles(
        votes,
        prompt=[["q"] * (1 + (i >= 60) + (i >= 100)) for i in range(n)],
        response_a=[["x" * (i + 1)] * (1 + (i >= 60) + (i >= 100)) for i in range(n)],
        response_b=[["y"] * (1 + (i >= 60) + (i >= 100)) for i in range(n)],
        source=["web"] * 90 + [None] * 30,
        model_a=["m1"] * 60 + ["m2"] * 60,
        model_b=["m2"] * 60 + [None] * 30 + ["m1"] * 20 + ["m2"] * 10,
    )
    p = np.array([[0.6, 0.2, 0.2] if i < 60 else [0.1, 0.1, 0.8] for i in range(n)])
    evaluation = evaluated(battles, p, np.arange(n) // 2)
    slices = {(s.kind, s.name): s for s in evaluation.slices}
    one, three = slices["turns", "1 turn"], slices["turns", "3 or more turns"]
    assert (one.n, one.groups, one.few) == (60, 30, False)
    assert (three.n, three.groups, three.few) == (20, 10, True)
    assert one.log_loss.value == pytest.approx(-(np.log(0.6) + np.log(0.2)) / 2)
    assert one.accuracy.value == 0.5
    assert slices["source", "(not given)"].n == 30
    for kind in ("turns", "length", "script", "source"):
        assert sum(s.n for s in evaluation.slices if s.kind == kind) == n
    lengths = [s.n for s in evaluation.slices if s.kind == "length"]
    assert len(lengths) == 4
    assert min(lengths) >= 25
    assert "language" not in {s.kind for s in evaluation.slices}
    models = {m.name: m for m in evaluation.models}
    assert models["m1"].n == models["m2"].n == 80  # without the 30 unnamed and the 10 against itself
    assert models["m1"].win_rate.people.value == 0.5
    assert models["m1"].win_rate.forecasts.value == pytest.approx((60 * 0.7 + 20 * 0.5) / 80)
    assert "turns: 3 or more turns*" in str(evaluation)


def test_too_few_groups_mark_a_slice_however_many_battles_it_has(make_battles):
    evaluation = evaluated(make_battles([A, B] * 50), groups=np.arange(100) % 9)
    assert all(s.few and s.n == 100 for s in evaluation.slices if s.kind == "turns")


def test_very_many_sources_are_put_together_and_say_so(make_battles):
    n = 300
    battles = make_battles([A] * n, source=[f"s{i // 2:03d}" for i in range(n)])
    slices = [s for s in evaluated(battles).slices if s.kind == "source"]
    assert len(slices) == 100
    assert slices[-1].name == "(51 smaller ones)"
    assert sum(s.n for s in slices) == n


@pytest.mark.parametrize(
    ("name", "agreement", "second_opinion"),
    [("mt_bench", 0.656, 0.865), ("tulu", 0.624, None), ("pandalm", 0.930, None)],
)
def test_people_agree_on_the_real_votes_as_is_known(data_dir, name, agreement, second_opinion):
    frame = pl.read_parquet(data_dir / name / "votes.parquet")

    def texts(column):
        return pl.Series(column, [[t or "" for t in json.loads(s)] for s in frame[column]], dtype=pl.List(pl.String))

    battles = Battles.from_frame(
        frame.select(
            pl.col("id").cast(pl.String),
            *(texts(c) for c in ("prompt", "response_a", "response_b")),
            vote_a="winner_model_a",
            vote_b="winner_model_b",
            vote_tie="winner_tie",
        )
    )
    found = evaluated(battles, groups=frame["group_id"].rank("dense").to_numpy(), times=100).ceiling
    assert found.agreement.value == pytest.approx(agreement, abs=0.0006)
    if second_opinion:
        assert found.others_log_loss.value == pytest.approx(second_opinion, abs=0.0006)
        assert found.agreement_decisive.value == pytest.approx(0.83, abs=0.005)
