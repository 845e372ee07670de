"""``prefcast calibrate`` from the command line."""

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from prefcast.artifact import load
from prefcast.battles import read_battles, simulate, write_battles
from prefcast.cli import app
from prefcast.errors import PrefcastError
from prefcast.pipeline import train


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model of the class prior, votes of people who never say tie, and votes like those it learned from."""
    folder = tmp_path_factory.mktemp("calibrate")
    train(simulate(300, seed=1).battles, "prior").save(folder / "model")
    some = simulate(200, seed=61, tie_width=0.0).battles
    write_battles(some, folder / "never.csv")
    write_battles(simulate(200, seed=62).battles, folder / "same.csv")
    write_battles(some.take(np.arange(8)), folder / "few.csv")
    return folder


def run(place, votes, *arguments):
    return CliRunner().invoke(app, ["calibrate", str(place / "model"), str(place / votes), *map(str, arguments)])


def refused(ended):
    assert isinstance(ended.exception, PrefcastError), ended.exception
    return str(ended.exception)


def test_it_saves_a_calibrated_model_beside_the_old_one(place, tmp_path):
    ended = run(place, "never.csv", "-o", tmp_path / "c")
    assert ended.exit_code == 0, ended.exception
    assert "after minus before" in ended.stdout
    assert "tie bias -" in ended.stdout
    assert "prefcast predict" in ended.stdout
    battles = read_battles(place / "never.csv")
    before, after = (load(f).predict_proba(battles)[0, 2] for f in (place / "model", tmp_path / "c"))
    assert after < before / 2
    record = load(tmp_path / "c").training.scores["recalibrations"][0]
    assert f"{record['after_minus_before']['value']:+.4f}" in ended.stdout


def test_what_no_interval_supports_is_not_saved_unless_asked_for(place, tmp_path):
    ended = run(place, "same.csv", "-o", tmp_path / "c")
    assert ended.exit_code == 1
    assert "do not support that calibrating helps" in refused(ended)
    assert "after minus before" in ended.stdout
    assert not (tmp_path / "c").exists()
    assert run(place, "same.csv", "-o", tmp_path / "c", "--anyway").exit_code == 0
    training = load(tmp_path / "c").training
    assert training.scores["recalibrations"][0]["supported"] is False
    assert "do not support it" in training.card


def test_few_prompts_and_votes_of_the_training_are_refused(place, tmp_path):
    assert "needs 15 prompts" in refused(run(place, "few.csv", "-o", tmp_path / "c"))
    write_battles(simulate(300, seed=1).battles, place / "train.csv")
    assert "these very votes" in refused(run(place, "train.csv", "-o", tmp_path / "c"))
    assert not (tmp_path / "c").exists()


def test_the_model_itself_is_never_the_place_to_save(place, tmp_path):
    assert "is not empty" in refused(run(place, "never.csv", "-o", place / "model"))
    said = refused(run(place, "never.csv", "-o", place / "model", "--overwrite"))
    assert "is the model to calibrate" in said


def test_what_was_left_out_is_said(place, tmp_path):
    never = read_battles(place / "never.csv")
    none = pl.when(pl.int_range(len(never)) < 3).then(None)
    battles = never.with_columns(**{f"vote_{c}": none.otherwise(pl.col(f"vote_{c}")) for c in ("a", "b", "tie")})
    write_battles(battles.concat(simulate(300, seed=1).battles.take([0, 1])), tmp_path / "v.parquet")
    ended = run(place, tmp_path / "v.parquet", "-o", tmp_path / "c")
    assert ended.exit_code == 0, ended.exception
    assert "3 battles have no vote and were left out." in ended.stderr
    assert "are on prompts the model was trained on and were left out" in ended.stderr


def test_a_position_effect_is_said(place, tmp_path):
    ended = run(place, "never.csv", "-o", tmp_path / "c", "--position-effect")
    assert "NOT swap-symmetric" in ended.stdout
    assert load(tmp_path / "c").training.swap_symmetric is False
