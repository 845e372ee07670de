"""Calibrating elsewhere: it helps where people differ, is left alone where they do not, and never sees old votes."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from prefcast.artifact import TrainedModel, load
from prefcast.battles import CLASSES, find_groups, simulate
from prefcast.errors import DataError
from prefcast.evaluation import row_log_loss
from prefcast.models import Calibrated, Calibration, fit_calibration
from prefcast.pipeline import LEAST_PROMPTS, calibrate, train
from prefcast.pipeline._seen import prompt_keys


@pytest.fixture(scope="module")
def trained():
    return train(simulate(600, seed=1).battles, "linear")


def voted(simulation, vote_model, seed=0):
    """The same battles, as other people vote on them."""
    truth = vote_model.probabilities(simulation.utility, simulation.identical)
    drawn = (np.random.default_rng(seed).random((len(truth), 1)) > truth[:, :2].cumsum(axis=1)).sum(axis=1)
    votes = np.eye(3)[drawn]
    return simulation.battles.with_columns(**{f"vote_{c}": pl.Series(votes[:, k]) for k, c in enumerate(CLASSES)})


def elsewhere(n=600, seed=50, **changes):
    simulation = simulate(n, seed=seed)
    return voted(simulation, replace(simulation.vote_model, **{"tie_width": 0.15, "noise": 1.5, **changes}))


def first_groups(battles, k, without=()):
    """The battles of the first k groups, of those whose prompt is not known."""
    battles = battles.take(~prompt_keys(battles).is_in(list(without)).to_numpy())
    groups = find_groups(battles)
    return battles.take(groups < k), battles.take(groups >= k)


def test_it_helps_where_people_hardly_ever_say_tie(trained):
    some, rest = first_groups(elsewhere(), 60)
    found = calibrate(trained, some)
    assert found.supported
    assert found.change.high < 0
    assert found.calibration.tie < -0.3
    assert found.n_groups == 60
    before = row_log_loss(trained.predict_proba(rest), rest.votes).mean()
    after = row_log_loss(found.model.predict_proba(rest), rest.votes).mean()
    assert after < before - 0.03
    assert found.after.value - found.before.value == pytest.approx(found.change.value)


def test_it_is_not_supported_where_people_are_the_same():
    simulation = simulate(2000, seed=9)

    class Truth:
        kind = "truth"

        def predict_proba(self, battles):
            return simulation.truth[: len(battles)]

    battles = simulation.battles
    found = calibrate(TrainedModel(Truth()), battles)
    assert not found.supported
    assert abs(np.log(found.calibration.sharpness)) < 0.1
    assert abs(found.calibration.tie) < 0.15


@pytest.mark.parametrize("k", [0, 1, LEAST_PROMPTS - 1])
def test_few_prompts_are_refused_with_how_many_are_needed(trained, k):
    few, _ = first_groups(elsewhere(120), k, trained.training.folds["trained_prompts"])
    with pytest.raises(DataError, match=f"on {k} independent prompts; calibrating needs {LEAST_PROMPTS} prompts"):
        calibrate(trained, few)


def test_many_votes_on_few_prompts_are_still_few_prompts(trained):
    few, _ = first_groups(elsewhere(120), LEAST_PROMPTS - 1, trained.training.folds["trained_prompts"])
    with pytest.raises(DataError, match=f"on {LEAST_PROMPTS - 1} independent prompts"):
        calibrate(trained, few.concat(*[few] * 20))


def test_just_enough_prompts_are_enough(trained):
    some, _ = first_groups(elsewhere(120), LEAST_PROMPTS, trained.training.folds["trained_prompts"])
    assert calibrate(trained, some).n_groups == LEAST_PROMPTS
    assert LEAST_PROMPTS <= 20


def test_votes_it_was_trained_on_are_refused():
    battles = simulate(200, seed=4).battles
    model = train(battles, "prior")
    with pytest.raises(DataError, match="trained or calibrated on these very votes"):
        calibrate(model, battles)
    with pytest.raises(DataError, match="others are on prompts that the model was trained on"):
        calibrate(model, battles.take(np.arange(100)))
    # swapped and renamed, they are still votes on prompts it knows
    with pytest.raises(DataError, match="others are on prompts"):
        calibrate(model, battles.swap())


@pytest.mark.parametrize("options", [{}, {"full": True}, {"fold": 0}])
def test_battles_on_known_prompts_are_left_out_and_counted(options, tmp_path):
    known = simulate(100, seed=4, turns=0).battles
    model = load(train(known, "prior", **options).save(tmp_path / "m"))
    trained_on = known
    if "fold" in options:
        held = set(model.training.oof["id"])
        trained_on = known.take([i not in held for i in known.ids])
    assert model.training.n_battles == len(trained_on)
    new = elsewhere(200)
    prompts = set(trained_on.frame["prompt"].list.first())
    overlap = sum(p in prompts for p in new.frame["prompt"].list.first())
    found = calibrate(model, new.concat(trained_on))
    assert found.seen >= len(trained_on) + overlap
    assert found.n + found.seen == len(new) + len(trained_on)


def test_battles_without_votes_are_left_out_and_counted(trained):
    battles = elsewhere(200)
    first = pl.int_range(len(battles)) < 50
    none = {f"vote_{c}": pl.when(first).then(None).otherwise(pl.col(f"vote_{c}")) for c in CLASSES}
    found = calibrate(trained, battles.with_columns(**none))
    assert found.without_votes == 50
    assert found.n + found.seen == 150


def test_the_record_keeps_the_training_and_adds_the_calibration(trained, tmp_path):
    some, rest = first_groups(elsewhere(), 60)
    found = calibrate(trained, some)
    assert trained.training.scores.get("recalibrations") is None
    again = load(found.model.save(tmp_path / "m"))
    (record,) = again.training.scores["recalibrations"]
    assert record["n_groups"] == 60
    assert record["supported"]
    assert record["after_minus_before"]["value"] == pytest.approx(found.change.value)
    assert len(record["fingerprint"]) == 64
    losses = [t.training.scores["out_of_fold"]["log_loss"] for t in (again, trained)]
    assert losses[0] == losses[1]
    assert again.training.card.startswith(trained.training.card)
    assert "## Calibrated on other votes" in again.training.card
    assert again.training.swap_symmetric
    p = again.predict_proba(rest)
    np.testing.assert_array_equal(p, found.model.predict_proba(rest))
    np.testing.assert_array_equal(again.predict_proba(rest.swap())[:, [1, 0, 2]], p)


def test_calibrating_twice_is_one_map_and_needs_new_votes(trained):
    some, rest = first_groups(elsewhere(), 60)
    once = calibrate(trained, some).model
    with pytest.raises(DataError, match="trained or calibrated on these very votes"):
        calibrate(once, some)
    other, _ = first_groups(elsewhere(300, seed=51, tie_width=2.0), 60)
    found = calibrate(once, other)
    assert isinstance(found.model.model, Calibrated)
    assert not isinstance(found.model.model.model, Calibrated)
    np.testing.assert_allclose(
        found.model.predict_proba(rest), found.calibration.apply(once.predict_proba(rest)), atol=1e-12
    )
    assert len(found.model.training.scores["recalibrations"]) == 2


def test_a_position_effect_is_fitted_only_if_asked_for(trained):
    some, _ = first_groups(elsewhere(800, position_effect=1.5), 200)
    plain = calibrate(trained, some)
    assert plain.calibration.position == 0
    assert plain.model.training.swap_symmetric
    found = calibrate(trained, some, position_effect=True)
    assert found.calibration.position > 0.15
    assert not found.model.training.swap_symmetric
    assert found.change.value < plain.change.value


# --- The map


def test_two_maps_in_a_row_are_one():
    p = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    first, second = Calibration(0.7, 0.4, 0.1), Calibration(1.6, -0.9, -0.3)
    np.testing.assert_allclose(first.then(second).apply(p), second.apply(first.apply(p)), atol=1e-12)


def test_the_pull_goes_from_the_best_fit_to_no_change():
    p = np.random.default_rng(0).dirichlet(np.ones(3), 400)
    votes = np.eye(3)[np.random.default_rng(1).integers(0, 3, 400)]
    distance = []
    for pull in (0.0, 0.1, 1.0, 1e4):
        c = fit_calibration(p, votes, np.ones(400), pull=pull, position=True)
        distance.append(abs(np.log(c.sharpness)) + abs(c.tie) + abs(c.position))
    assert distance == sorted(distance, reverse=True)
    assert distance[0] > 0.5
    assert distance[-1] < 1e-3
