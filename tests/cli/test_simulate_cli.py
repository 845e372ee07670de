"""``prefcast simulate`` from the command line."""

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from prefcast.battles import find_groups, read_battles, simulate
from prefcast.cli import app
from prefcast.errors import DataError


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        result = CliRunner().invoke(app, ["simulate", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def test_writes_battles_and_their_truth(run):
    result = run("-o", "b.csv", "--n", "60", "--truth", "truth.csv", "--seed", "3")
    assert result.exit_code == 0
    assert "b.csv: 60 battles" in result.stdout
    simulation = simulate(60, seed=3)
    assert f"{simulation.best_log_loss:.4f}" in result.stdout
    assert read_battles("b.csv").fingerprint() == simulation.battles.fingerprint()
    truth = pl.read_csv("truth.csv", schema_overrides={"id": pl.String})
    assert truth["id"].to_list() == simulation.battles.ids.to_list()
    np.testing.assert_allclose(truth.drop("id").to_numpy(), simulation.truth, atol=1e-12)


def test_a_test_file_shares_no_group_and_shows_no_vote(run):
    run("-o", "b.csv", "--n", "200", "--test", "t.csv", "--test-share", "0.3", "--test-votes", "v.parquet")
    train, test, votes = read_battles("b.csv"), read_battles("t.csv"), read_battles("v.parquet")
    assert pl.read_csv("t.csv").columns == ["id", "prompt", "response_a", "response_b"]
    assert 45 <= len(test) <= 75
    assert len(train) + len(test) == 200
    assert votes.has_votes.all()
    assert votes.ids.to_list() == test.ids.to_list()
    groups = find_groups(train.concat(test))
    assert not set(groups[: len(train)].tolist()) & set(groups[len(train) :].tolist())


def test_every_option_reaches_the_vote_model(run):
    run(
        "-o", "b.parquet", "--n", "40", "--models", "3", "--prompts", "5", "--votes-per-pair", "2", "--turns", "0.5",
        "--length-taste", "1", "--markdown-taste", "0", "--position-effect", "0.4", "--tie-width", "0.2",
        "--noise", "2",
    )  # fmt: skip
    simulation = simulate(
        40, models=3, prompts=5, votes_per_pair=2, turns=0.5, length_taste=1, markdown_taste=0, position_effect=0.4,
        tie_width=0.2, noise=2,
    )  # fmt: skip
    assert read_battles("b.parquet").frame.equals(simulation.battles.frame)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "b.txt"], "written to .csv, .parquet, .jsonl"),
        (["-o", "none/b.csv"], "cannot be written"),
        (["-o", "b.csv", "--noise", "0"], "noise above 0"),
        (["-o", "b.csv", "--turns", "1"], "turns = 1.0"),
        (["-o", "b.csv", "--test-votes", "v.csv"], "Type --test test.csv"),
        (["-o", "b.csv", "--test", "b.csv"], "the same name"),
        (["-o", "b.csv", "--test", "t.csv", "--test-share", "1"], "between 0 and 1"),
        (["-o", "b.csv", "--test", "t.csv", "--prompts", "1", "--n", "20"], "group"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_paragraph(run, tmp_path, arguments, message):
    with pytest.raises(DataError) as caught:
        run(*arguments)
    assert message in str(caught.value)
    assert not list(tmp_path.glob("b.*"))


def test_missing_output_is_a_usage_error(run):
    assert run().exit_code == 2
