"""What every packaged model promises: exact swap symmetry, no dependence on the batch, the same bytes from one seed."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.battles import Battles
from prefcast.errors import ArtifactError, DataError, EngineError, RecipeError
from prefcast.models import _boosting, _gbdt, read_model, write_model
from prefcast.models._blend import Blend, blend_weights, log_pool
from prefcast.models._boosting import Rows
from prefcast.models._calibration import Calibrated, Calibration, fit_calibration
from prefcast.models._gbdt import GBDT
from prefcast.models._linear import Linear
from prefcast.models._numeric import class_rows, normalise, softmax
from prefcast.models._prior import Prior
from prefcast.models._weights import training_weights
from prefcast.models.features import Contrast, contrast, contrast_features

WORDS = ["I", "you", "sorry", "cannot", "maybe", "-", "*", "1.", "#", "the", "house", "tree,", "runs.", "(well)"]
WORDS += ["`code`", "42", "中文", "😀\n\n", "\n"]


def battles_of(rows, **columns):
    """Battles from (prompt, a, b) with votes of shape (n, 3) or other columns."""
    prompt, a, b = ([[text] for text in column] for column in zip(*rows, strict=True))
    votes = columns.pop("votes", None)
    if votes is not None:
        columns |= dict(zip(("vote_a", "vote_b", "vote_tie"), np.asarray(votes, dtype=float).T, strict=True))
    ids = [str(k) for k in range(len(rows))]
    frame = {"id": ids, "prompt": prompt, "response_a": a, "response_b": b, **columns}
    return Battles.from_frame(pl.DataFrame(frame, strict=False))


def some_battles(n, seed=0):
    """People who like the longer answer, and call a tie where both are about as long."""
    rng = np.random.default_rng(seed)

    def text(low, high):
        return " ".join(rng.choice(WORDS, rng.integers(low, high)))

    rows = [(text(3, 12), text(2, 60), text(2, 60)) for _ in range(n)]
    gap = np.array([len(a) - len(b) for _, a, b in rows]) / 80
    p = softmax(np.column_stack([gap, -gap, np.full(n, -0.2)]))
    votes = np.eye(3)[[rng.choice(3, p=row) for row in p]]
    return battles_of(rows, votes=votes, source=[f"set {k % 3}" for k in range(n)])


@pytest.fixture(scope="module")
def battles():
    return some_battles(150)


@pytest.fixture(scope="module")
def groups():
    return np.arange(150) // 3


TINY = {"rounds": 12, "patience": 4, "bags": 3, "min_data_in_leaf": 5, "learning_rate": 0.2}


def all_models():
    def blend():
        return Blend([GBDT(**TINY, seed=1), Linear(), Prior()], [0.5, 0.3, 0.2])

    return {
        "prior": Prior(),
        "linear": Linear(),
        "gbdt": GBDT(**TINY),
        "blend": blend(),
        "calibrated": Calibrated(blend(), Calibration(0.8, 0.3)),
    }


NAMES = list(all_models())


@pytest.fixture(scope="module")
def fitted(battles, groups):
    return {name: model.fit(battles, groups) for name, model in all_models().items()}


@pytest.fixture(scope="module")
def unseen():
    return some_battles(60, seed=7)


TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=15).map(" ".join)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(rows=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=12))
def test_swapping_answers_swaps_probabilities_to_the_last_bit(fitted, name, rows):
    table = battles_of(rows)
    p = fitted[name].predict_proba(table)
    assert p.dtype == np.float64
    assert p.shape == (len(rows), 3)
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=1e-15)
    assert np.array_equal(fitted[name].predict_proba(table.swap()), p[:, [1, 0, 2]])
    same = battles_of([(prompt, a, a) for prompt, a, _ in rows])
    p = fitted[name].predict_proba(same)
    assert np.array_equal(p[:, 0], p[:, 1])


@pytest.mark.parametrize("name", NAMES)
def test_forecasts_are_the_same_alone_in_any_batch_and_order(fitted, unseen, name):
    model = fitted[name]
    p = model.predict_proba(unseen)
    order = np.random.default_rng(1).permutation(len(unseen))
    assert np.array_equal(model.predict_proba(unseen.take(order)), p[order])
    assert np.array_equal(model.predict_proba(unseen.concat(some_battles(300, seed=9)))[: len(unseen)], p)
    for k in range(0, len(unseen), 6):
        assert np.array_equal(model.predict_proba(unseen.take([k])), p[[k]])
    inputs = model.prepare(unseen)
    assert np.array_equal(model.predict_proba(unseen, inputs=inputs), p)
    assert model.predict_proba(unseen.take([])).shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
def test_forecasts_are_the_same_after_writing_and_reading(fitted, unseen, tmp_path, name):
    write_model(fitted[name], tmp_path / "m")
    again = read_model(tmp_path / "m")
    assert type(again) is type(fitted[name])
    assert again.params() == fitted[name].params()
    assert np.array_equal(again.predict_proba(unseen), fitted[name].predict_proba(unseen))
    write_model(again, tmp_path / "n")
    assert files(tmp_path / "n") == files(tmp_path / "m")


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_the_same_bytes_on_any_number_of_cores(fitted, battles, groups, tmp_path, monkeypatch, name):
    write_model(fitted[name], tmp_path / "first")
    for cores in (1, 3):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        again = fitted[name].clone()
        assert again is not fitted[name]
        write_model(again.fit(battles, groups), tmp_path / f"on {cores}")
        assert files(tmp_path / f"on {cores}") == files(tmp_path / "first")


def test_another_seed_gives_other_trees(fitted, battles, groups, unseen):
    other = GBDT(**TINY, seed=5).fit(battles, groups)
    assert not np.array_equal(other.predict_proba(unseen), fitted["gbdt"].predict_proba(unseen))


@pytest.mark.parametrize("name", ["linear", "gbdt", "blend", "calibrated"])
def test_models_learn_what_people_like(fitted, unseen, name):
    p = fitted[name].predict_proba(unseen)
    loss = -np.log((p * unseen.votes).sum(axis=1)).mean()
    prior = -np.log((fitted["prior"].predict_proba(unseen) * unseen.votes).sum(axis=1)).mean()
    assert loss < prior - 0.05


@pytest.mark.parametrize("name", ["linear", "gbdt", "blend"])
def test_a_model_without_fit_says_so(battles, tmp_path, name):
    with pytest.raises(EngineError, match="not fitted"):
        all_models()[name].predict_proba(battles)
    with pytest.raises(EngineError, match="not fitted"):
        write_model(all_models()[name], tmp_path / "m")


@pytest.mark.parametrize("name", ["linear", "gbdt"])
def test_battles_without_votes_cannot_be_learnt_from(battles, groups, name):
    votes = battles.votes.copy()
    votes[3] = np.nan
    columns = {c: pl.Series(v).fill_nan(None) for c, v in zip(("vote_a", "vote_b", "vote_tie"), votes.T, strict=True)}
    with pytest.raises(DataError, match=f"{name}: every battle needs a vote"):
        all_models()[name].fit(battles.with_columns(**columns), groups)


def test_gbdt_needs_two_independent_groups(battles):
    with pytest.raises(DataError, match="at least two independent prompts"):
        GBDT(**TINY).fit(battles, np.zeros(len(battles), dtype=np.int64))


# Soft votes


def doubled(battles):
    """Soft votes of a half and a half, and the same as two rows of hard votes."""
    soft = np.full((len(battles), 3), 0.0)
    first, second = np.arange(len(battles)) % 3, np.arange(len(battles)) // 2 % 3
    soft[np.arange(len(soft)), first] += 0.5
    soft[np.arange(len(soft)), second] += 0.5
    names = ("vote_a", "vote_b", "vote_tie")

    def voted(votes):
        return battles.with_columns(**{c: pl.Series(v) for c, v in zip(names, votes.T, strict=True)})

    return voted(soft), voted(np.eye(3)[first]).concat(voted(np.eye(3)[second]))


def test_linear_takes_soft_votes_as_repeated_hard_votes(battles, unseen):
    soft, hard = doubled(battles)
    # Twice the rows weigh twice against the same penalty.
    p = Linear(l2=50.0, pair_power=0.0).fit(soft).predict_proba(unseen)
    q = Linear(l2=100.0, pair_power=0.0).fit(hard).predict_proba(unseen)
    np.testing.assert_allclose(p, q, atol=2e-4)


def test_prior_takes_soft_votes_as_repeated_hard_votes(battles, unseen):
    soft, hard = doubled(battles)
    p, q = (Prior(smoothing=0.0).fit(table).predict_proba(unseen) for table in (soft, hard))
    np.testing.assert_allclose(p, q, atol=1e-12)


def test_trees_see_soft_votes_as_weighted_rows_in_both_orders(battles):
    votes = np.array([[1, 0, 0], [0.25, 0.25, 0.5], [0, 1, 0]])
    inputs = contrast(battles.take([0, 1, 2]))
    rows = Rows.of(inputs, votes, np.array([1.0, 2.0, 1.0]))
    assert rows.label.tolist() == [0, 0, 1, 2, 1, 1, 1, 0, 2, 0]
    assert rows.weight.tolist() == [1.0, 0.5, 0.5, 1.0, 1.0] * 2
    at = [0, 1, 1, 1, 2]
    assert np.array_equal(rows.matrix, np.vstack([inputs.matrix()[at], inputs.matrix(swapped=True)[at]]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3).filter(any), min_size=1, max_size=8))
def test_class_rows_keep_all_weight(counts):
    votes = np.array(counts, dtype=float)
    votes /= votes.sum(axis=1, keepdims=True)
    weights = np.arange(1.0, len(votes) + 1)
    rows, classes, weight = class_rows(votes, weights)
    back = np.zeros_like(votes)
    np.add.at(back, (rows, classes), weight)
    np.testing.assert_array_equal(back, votes * weights[:, None])
    assert (np.diff(rows) >= 0).all()


# Weights


def test_pair_power_weighs_pairs_alike_whoever_stands_first():
    rows = [("p", "a", "b"), ("p", "b", "a"), ("p", "a", "b"), ("p", "a", "c"), ("q", "a", "b")]
    table = battles_of(rows, votes=[[1, 0, 0]] * 5, weight=[1.0, 1.0, 1.0, 1.0, 2.0])
    one = training_weights(table, pair_power=1.0, source_power=0.0)
    np.testing.assert_allclose(one / one[3], [1 / 3, 1 / 3, 1 / 3, 1, 2])
    half = training_weights(table, pair_power=0.5, source_power=0.0)
    np.testing.assert_allclose(half / half[3], [3**-0.5, 3**-0.5, 3**-0.5, 1, 2])
    none = training_weights(table, pair_power=0.0, source_power=0.0)
    np.testing.assert_allclose(none / none[3], [1, 1, 1, 1, 2])
    for w in (one, half, none):
        assert w.mean() == pytest.approx(1)


def test_source_power_makes_sources_alike():
    rows = [("p", f"a{k}", "b") for k in range(10)]
    source = ["big"] * 7 + ["small"] * 2 + [None]
    table = battles_of(rows, votes=[[1, 0, 0]] * 10, source=source)
    w = training_weights(table, pair_power=1.0, source_power=1.0)
    np.testing.assert_allclose([w[:7].sum(), w[7:9].sum(), w[9]], [10 / 3] * 3)
    assert training_weights(table, pair_power=1.0, source_power=0.0).tolist() == [1.0] * 10


# Cross-fitting


@pytest.mark.parametrize("n_folds", [2, 3, 5])
def test_no_booster_that_grew_or_stopped_on_a_fold_forecasts_it(battles, groups, monkeypatch, n_folds):
    folds = groups % n_folds
    inputs = contrast(battles)
    # A column that says which battle a row is.
    inputs = Contrast(inputs.signed, np.column_stack([inputs.symmetric[:, :-1], np.arange(len(battles))]).astype("f4"))
    wide = inputs.signed.shape[1] + inputs.symmetric.shape[1]
    monkeypatch.setattr(Contrast, "view", lambda self, name: self)
    real_boost, real_forecast = _gbdt.boost, _gbdt.forecast
    known, forecast_rows = {}, []

    def battles_in(matrix):
        assert matrix.shape[1] == wide
        return set(matrix[:, -1].astype(int).tolist())

    def boost(params, train, watched, **rest):
        booster, rounds = real_boost(params, train, watched, **rest)
        # Rounds that no two watched sets share, so that a forecast shows which set chose them.
        rounds = [10 * k + 1 for k in range(len(rounds))]
        known[booster] = (
            battles_in(train.matrix),
            {r: battles_in(w.matrix) for r, w in zip(rounds, watched, strict=True)},
        )
        return booster, rounds

    def forecast(booster, read, rounds):
        rows = battles_in(read.matrix())
        grown, stopped = known[booster]
        assert not rows & grown
        assert not rows & stopped[rounds]
        assert not set(folds[list(rows)]) & (set(folds[list(grown)]) | set(folds[list(stopped[rounds])]))
        forecast_rows.extend(rows)
        return real_forecast(booster, read, 1)

    monkeypatch.setattr(_gbdt, "boost", boost)
    monkeypatch.setattr(_gbdt, "forecast", forecast)
    cross = GBDT(**TINY).cross_fit(battles, folds, groups, inputs=inputs)
    assert set(forecast_rows) == set(range(len(battles)))
    assert np.isfinite(cross.oof).all()
    np.testing.assert_allclose(cross.oof.sum(axis=1), 1)


@pytest.mark.parametrize("name", ["prior", "linear", "gbdt"])
def test_a_vote_does_not_touch_its_own_out_of_fold_forecast(battles, groups, name):
    folds = groups % 3
    model = all_models()[name]
    before = model.cross_fit(battles, folds, groups)
    flipped = folds == 1
    other = battles.take(np.flatnonzero(~flipped)).concat(battles.take(np.flatnonzero(flipped)).swap())
    votes = battles.votes
    votes[flipped] = np.roll(votes[flipped], 1, axis=1)
    names = ("vote_a", "vote_b", "vote_tie")
    after = model.cross_fit(
        battles.with_columns(**{c: pl.Series(v) for c, v in zip(names, votes.T, strict=True)}), folds, groups
    )
    assert len(other) == len(battles)
    if name != "gbdt":  # its boosters stop where other folds say, so there all votes but a row's own may count
        assert np.array_equal(after.oof[flipped], before.oof[flipped])
    assert not np.array_equal(after.oof[~flipped], before.oof[~flipped])


def test_cross_fit_predicts_each_fold_from_the_others(battles, groups):
    folds = groups % 4
    cross = Linear().cross_fit(battles, folds, groups)
    for k in range(4):
        train, test = battles.take(folds != k), battles.take(folds == k)
        assert np.array_equal(Linear().fit(train).predict_proba(test), cross.oof[folds == k])
    assert np.array_equal(cross.model.predict_proba(battles), Linear().fit(battles).predict_proba(battles))


# Blending


def forecasts_and_votes(n=4000, seed=0):
    """True probabilities, two models that know them through noise, and votes."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, (n, 3))
    votes = np.eye(3)[[rng.choice(3, p=row) for row in softmax(scores)]]
    good, poor = (softmax(scores + rng.normal(0, noise, (n, 3))) for noise in (0.5, 1.5))
    return softmax(scores), good, poor, votes


def log_loss(p, votes):
    return -float((votes * np.log(p)).sum()) / len(p)


def test_blend_weights_find_the_better_model_and_the_best_mixture():
    truth, good, poor, votes = forecasts_and_votes()
    ones = np.ones(len(votes))
    w = blend_weights([poor, good], votes, ones)
    assert w.sum() == pytest.approx(1)
    assert w[1] > w[0] > 0
    grid = np.linspace(0, 1, 201)
    losses = [log_loss(log_pool([poor, good], np.array([1 - g, g])), votes) for g in grid]
    assert w[1] == pytest.approx(grid[int(np.argmin(losses))], abs=0.006)
    # A forecast that says the contrary of a shy one only makes it shyer.
    shy, contrary = Calibration(0.5).apply(truth), Calibration(0.5).apply(normalise(1 / truth))
    assert blend_weights([shy, contrary], votes, ones).tolist() == [1.0, 0.0]
    assert blend_weights([poor], votes, ones).tolist() == [1.0]


def test_blend_weights_of_three_models_beat_a_grid():
    _, good, poor, votes = forecasts_and_votes(1500)
    flat = np.full_like(good, 1 / 3)
    weights = np.random.default_rng(3).uniform(0, 2, len(votes))
    found = blend_weights([good, poor, flat], votes, weights)
    share = votes * (weights / weights.mean())[:, None]
    best = log_loss(log_pool([good, poor, flat], found), share)
    steps = np.linspace(0, 1, 21)
    for first in steps:
        for second in steps[steps <= 1 - first + 1e-9]:
            w = np.array([first, second, max(0.0, 1 - first - second)])
            assert best <= log_loss(log_pool([good, poor, flat], w), share) + 1e-4


def test_blend_weights_do_not_depend_on_which_answer_stands_first():
    _, good, poor, votes = forecasts_and_votes(1000)
    swapped = blend_weights([good[:, [1, 0, 2]], poor[:, [1, 0, 2]]], votes[:, [1, 0, 2]], np.ones(1000))
    np.testing.assert_allclose(swapped, blend_weights([good, poor], votes, np.ones(1000)), atol=1e-6)


def test_a_blend_leaves_out_members_without_weight_and_needs_one():
    blend = Blend([Prior(), Linear(), Prior(2.0)], [0.5, 0.0, 0.5])
    assert [type(m) for m in blend.members] == [Prior, Prior]
    for members, weights in [([Prior()], [0.0]), ([Prior()], [0.5, 0.5]), ([], [])]:
        with pytest.raises(RecipeError, match="a blend needs a weight"):
            Blend(members, weights)


def test_a_pool_of_one_model_is_that_model():
    _, good, _, _ = forecasts_and_votes(100)
    np.testing.assert_allclose(log_pool([good], np.ones(1)), good, rtol=1e-12)
    np.testing.assert_allclose(log_pool([good, good], np.array([0.3, 0.7])), good, rtol=1e-12)


# Calibration


def test_calibration_recovers_a_known_temperature_and_tie_bias():
    truth, _, _, votes = forecasts_and_votes(20_000)
    # Someone makes the true forecasts too sure, and ties too rare.
    spoilt = Calibration(1 / 0.6, -0.7 / 0.6).apply(truth)
    found = fit_calibration(spoilt, votes, np.ones(len(votes)))
    assert found.sharpness == pytest.approx(0.6, abs=0.03)
    assert found.tie == pytest.approx(0.7, abs=0.05)
    assert found.position == 0
    np.testing.assert_allclose(found.apply(spoilt), truth, atol=0.03)


def test_calibration_recovers_a_position_effect_only_if_asked():
    truth, _, _, _ = forecasts_and_votes(20_000)
    rng = np.random.default_rng(5)
    votes = np.eye(3)[[rng.choice(3, p=row) for row in Calibration(position=0.4).apply(truth)]]
    ones = np.ones(len(votes))
    assert fit_calibration(truth, votes, ones, slopes=False, position=True).position == pytest.approx(0.4, abs=0.03)
    assert fit_calibration(truth, votes, ones, slopes=False, position=True).sharpness == 1
    assert fit_calibration(truth, votes, ones).position == 0


def test_calibration_is_the_optimum_and_counts_weights():
    _, good, _, votes = forecasts_and_votes(3000)
    weights = np.random.default_rng(2).integers(1, 4, 3000).astype(float)
    found = fit_calibration(good, votes, weights)
    share = votes * (weights / weights.mean())[:, None]
    best = log_loss(found.apply(good), share)
    for step in (-0.05, 0.05):
        assert best < log_loss(Calibration(found.sharpness + step, found.tie).apply(good), share)
        assert best < log_loss(Calibration(found.sharpness, found.tie + step).apply(good), share)
    rows = np.repeat(np.arange(3000), weights.astype(int))
    repeated = fit_calibration(good[rows], votes[rows], np.ones(len(rows)))
    assert repeated.sharpness == pytest.approx(found.sharpness, abs=1e-3)
    assert repeated.tie == pytest.approx(found.tie, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 5), st.floats(-5, 5), st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=5))
def test_calibration_keeps_swap_symmetry_and_probabilities(sharpness, tie, rows):
    p = normalise(np.array(rows) + 1e-9)
    q = Calibration(sharpness, tie).apply(p)
    assert np.array_equal(Calibration(sharpness, tie).apply(p[:, [1, 0, 2]]), q[:, [1, 0, 2]])
    assert (q >= 0).all()
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(Calibration().apply(p), np.maximum(p, 1e-12), rtol=1e-6)


def test_a_position_effect_gives_up_swap_symmetry(fitted, unseen):
    plain = fitted["linear"].predict_proba(unseen)
    p = Calibrated(fitted["linear"], Calibration(position=0.3)).predict_proba(unseen)
    assert (p[:, 0] > plain[:, 0]).all()
    assert (p[:, 1] < plain[:, 1]).all()


# Damaged folders


@pytest.fixture(scope="module")
def folder(fitted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "m"
    write_model(fitted["calibrated"], folder)
    return folder


DAMAGES = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "of another kind": lambda file: file.write_bytes(b"\x00\xff\xfe" * 50),
    "other JSON": lambda file: file.write_text("[1, 2]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_of_models_is_refused(folder, tmp_path, damage):
    names = sorted(files(folder))
    assert len(names) > 8
    for k, name in enumerate(names):
        copy = tmp_path / str(k)
        shutil.copytree(folder, copy)
        DAMAGES[damage](copy / name)
        with pytest.raises(ArtifactError) as caught:
            read_model(copy)
        assert str(copy) in str(caught.value), name


@pytest.mark.parametrize(("kind", "file"), [("linear", "linear.json"), ("gbdt", "gbdt.json")])
def test_a_model_of_other_features_is_refused(fitted, tmp_path, kind, file):
    write_model(fitted[kind], tmp_path / "m")
    text = (tmp_path / "m" / file).read_text()
    (tmp_path / "m" / file).write_text(text.replace(contrast_features()[0].name, "charm_difference"))
    with pytest.raises(ArtifactError, match="other features than this prefcast computes"):
        read_model(tmp_path / "m")


def test_trees_are_checked_before_lightgbm_reads_them(fitted, tmp_path):
    # LightGBM ends the whole process over some damaged files, and reads others as another model.
    write_model(fitted["gbdt"], tmp_path / "m")
    file = tmp_path / "m" / "booster-1.txt"
    text = file.read_text("utf-8")
    at = text.index("leaf_value=") + len("leaf_value=") + 2
    file.write_text(text[:at] + ("1" if text[at] == "2" else "2") + text[at + 1 :], "utf-8")
    with pytest.raises(ArtifactError, match=r"booster-1\.txt is not as it was written"):
        read_model(tmp_path / "m")


def test_saved_linear_models_can_be_read_by_people(fitted, tmp_path):
    write_model(fitted["linear"], tmp_path / "m")
    saved = json.loads((tmp_path / "m" / "linear.json").read_text())
    coefficient, scale = saved["signed"]["chars_difference"]
    assert np.isfinite(coefficient)
    assert scale > 0


def test_side_by_side_keeps_the_order_and_passes_errors_on():
    assert _boosting.side_by_side([lambda k=k: k for k in range(20)]) == list(range(20))
    with pytest.raises(ZeroDivisionError):
        _boosting.side_by_side([lambda: 1, lambda: 1 // 0])
