"""``prefcast demo``: the whole job, and its folder."""

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from prefcast.artifact import load
from prefcast.battles import SUBMISSION_COLUMNS, find_groups, read_battles
from prefcast.cli import app
from prefcast.errors import PrefcastError
from prefcast.pipeline import DEMO_FILES


def run(*arguments):
    return CliRunner().invoke(app, ["demo", "--n", "400", "--recipe", "linear", *map(str, arguments)])


def refused(ended):
    assert isinstance(ended.exception, PrefcastError), ended.exception
    return str(ended.exception)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "here"
    ended = run("--out", folder)
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return folder, ended


def test_shows_the_result_in_100_columns(shown):
    folder, ended = shown
    for words in (
        "class prior",
        "the longer answer",
        "the model",
        "the truth (best possible)",
        "0 of 79 verdicts change; every probability to the last bit",
        "ECE",
        "submission.csv begins",
        "winner_model_a",
        "What to type next",
        "prefcast train train.csv -o model/",
    ):
        assert words in ended.stdout, words
    assert max(len(line) for line in ended.stdout.splitlines() if str(folder) not in line) <= 100
    assert ended.stderr == ""


def test_writes_what_it_says(shown):
    folder, _ = shown
    assert {path.name for path in folder.iterdir()} == set(DEMO_FILES)
    test, submission = read_battles(folder / "test.csv"), pl.read_csv(folder / "submission.csv", infer_schema=False)
    assert submission.columns == list(SUBMISSION_COLUMNS)
    assert submission["id"].to_list() == test.ids.to_list()
    assert not test.has_votes.any()
    p = load(folder / "model").predict_proba(test)
    np.testing.assert_allclose(submission.drop("id").cast(pl.Float64).to_numpy(), p, atol=1e-12)
    train, votes = read_battles(folder / "train.csv"), read_battles(folder / "votes.csv")
    assert len(train) + len(votes) == 400
    groups = find_groups(train.concat(votes))
    assert not set(groups[: len(train)]) & set(groups[len(train) :])


def test_the_figures_are_in_order_and_those_of_the_files(shown):
    folder, _ = shown
    figures = json.loads((folder / "demo.json").read_text())
    expected = [v["on_truth"] for v in figures["log_loss"].values()]
    assert expected == sorted(expected, reverse=True)
    assert 0 < figures["share_of_gain"] < 1
    assert figures["verdicts_changed"] == 0
    assert figures["largest_change"] == 0
    truth = pl.read_csv(folder / "truth.csv").drop("id").to_numpy()
    p = pl.read_csv(folder / "submission.csv").drop("id").to_numpy()
    assert figures["log_loss"]["the model"]["on_truth"] == pytest.approx(-(truth * np.log(p)).sum(axis=1).mean())
    votes = read_battles(folder / "votes.csv").votes
    loss = -np.log((p * votes).sum(axis=1)).mean()
    assert figures["log_loss"]["the model"]["on_votes"]["value"] == pytest.approx(loss)
    assert figures["evaluation"]["log_loss"]["value"] == pytest.approx(loss)


def test_the_same_seed_gives_the_same_submission_over_an_old_demo(shown):
    folder, _ = shown
    before = (folder / "submission.csv").read_bytes()
    assert run("--out", folder).exit_code == 0
    assert (folder / "submission.csv").read_bytes() == before


def test_files_of_others_are_never_touched(tmp_path):
    (tmp_path / "train.csv").write_text("mine")
    assert "no demo wrote (train.csv)" in refused(run("--out", tmp_path))
    assert (tmp_path / "train.csv").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]
    assert "is a file" in refused(run("--out", tmp_path / "train.csv"))


def test_a_file_added_to_a_demo_is_kept(tmp_path):
    (tmp_path / "demo.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    assert "notes.txt" in refused(run("--out", tmp_path))


def test_a_demo_that_was_stopped_can_be_run_again(tmp_path):
    (tmp_path / "demo.json").write_text("{}")
    (tmp_path / "train.csv").write_text("half")
    assert run("--out", tmp_path).exit_code == 0
