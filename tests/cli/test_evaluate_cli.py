"""``prefcast evaluate`` as a person types it."""

import json
import sys

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from prefcast.artifact import TrainedModel, Training
from prefcast.battles import read_battles, simulate, write_battles, write_submission
from prefcast.cli import app, main
from prefcast.errors import ArtifactError, DataError
from prefcast.evaluation import evaluate, read_forecasts
from prefcast.models._prior import Prior
from prefcast.pipeline._seen import prompt_keys


@pytest.fixture(scope="module")
def sim():
    return simulate(120, prompts=40, votes_per_pair=2, seed=3)


@pytest.fixture(scope="module")
def votes(sim, tmp_path_factory):
    path = tmp_path_factory.mktemp("votes") / "votes.csv"
    columns = {
        name: [json.dumps(t) for t in sim.battles.frame[name].to_list()]
        for name in ("prompt", "response_a", "response_b")
    }
    names = {"vote_a": "winner_model_a", "vote_b": "winner_model_b", "vote_tie": "winner_tie"}
    frame = sim.battles.frame.select(
        "id", "model_a", "model_b", *(pl.col(v).cast(pl.Int64).alias(c) for v, c in names.items())
    )
    frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()}).write_csv(path)
    return path


@pytest.fixture(scope="module")
def forecasts(sim, votes):
    """The true probabilities, in another order than the votes."""
    order = np.random.default_rng(0).permutation(len(sim.battles))
    return write_submission(votes.parent / "truth.csv", sim.battles.ids[order], sim.truth[order])


@pytest.fixture(scope="module")
def model(sim, votes):
    battles = read_battles(votes)
    training = Training(
        recipe="prior", n_battles=20, folds={"trained_prompts": prompt_keys(battles.take(range(20))).to_list()}
    )
    return TrainedModel(Prior().fit(battles), training).save(votes.parent / "model")


def run(*args):
    return CliRunner().invoke(app, ["evaluate", *map(str, args)], catch_exceptions=True)


def test_prints_what_matters_in_100_columns(forecasts, votes):
    ended = run(forecasts, votes, "--bootstrap", 100)
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("- The forecast is better than the class prior by 0.")
    assert max(map(len, lines)) <= 100
    for words in (
        "Two people agree on",
        "log loss of the class prior",
        "By class",
        "Ties",
        "people",
        "Slices",
        "Chatbots",
    ):
        assert words in ended.stdout
    assert ended.stderr == ""


def test_forecasts_are_joined_by_id_and_the_json_is_the_evaluation(sim, forecasts, votes, tmp_path):
    path = tmp_path / "scores.json"
    ended = run(forecasts, votes, "--json", path, "--bootstrap", 50, "--seed", 4)
    assert ended.exit_code == 0, ended.output
    values = json.loads(path.read_text())
    expected = evaluate(sim.truth, read_battles(votes), times=50, seed=4).to_dict()
    assert values.pop("warnings") == []
    assert values["log_loss"] == pytest.approx(expected["log_loss"])
    assert values.keys() == expected.keys()


def test_a_model_that_was_trained_on_the_votes_is_warned_of(model, votes, tmp_path):
    ended = run(model, votes, "--bootstrap", 50, "--json", tmp_path / "scores.json")
    assert ended.exit_code == 0, ended.output
    assert "was trained or calibrated on the prompts of" in ended.stderr
    assert "trained or calibrated" in json.loads((tmp_path / "scores.json").read_text())["warnings"][0]


def test_a_model_is_not_warned_of_on_other_prompts(model, votes, tmp_path):
    battles = read_battles(votes)
    known = set(prompt_keys(battles.take(range(20))))
    others = battles.take([k for k, key in enumerate(prompt_keys(battles)) if key not in known])
    other = write_battles(others, tmp_path / "other.csv")
    ended = run(model, other, "--bootstrap", 50)
    assert ended.exit_code == 0, ended.output
    assert "trained" not in ended.stderr


def test_two_are_compared_on_the_same_votes(model, forecasts, votes, tmp_path):
    ended = run(forecasts, votes, "--against", model, "--bootstrap", 200, "--json", tmp_path / "scores.json")
    assert ended.exit_code == 0, ended.output
    assert f"In log loss, {forecasts} is better than {model} by 0." in " ".join(ended.stdout.split())
    assert json.loads((tmp_path / "scores.json").read_text())["comparison"]["log_loss"]["high"] < 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.tail(-2), "has no forecast of 2 ids"),
        (lambda f: pl.concat([f, f.head(1).with_columns(id=pl.lit("new"))]), r"other battles .* 1 id \(new\)"),
        (lambda f: pl.concat([f, f.head(1)]), "repeats 1 ids"),
        (lambda f: f.drop("winner_tie"), "lack winner_tie"),
        (lambda f: f.with_columns(winner_tie=pl.lit("none")), "120 rows without three finite numbers"),
        (lambda f: f.with_columns(winner_tie=pl.lit("nan")), "120 rows without three finite numbers"),
        (lambda f: f.with_columns(winner_tie=pl.lit("1.5")), "outside 0 to 1"),
    ],
)
def test_forecasts_that_do_not_fit_are_refused_by_name(forecasts, votes, tmp_path, change, words):
    path = tmp_path / "bad.csv"
    change(pl.read_csv(forecasts, infer_schema=False)).write_csv(path)
    ended = run(path, votes, "--bootstrap", 10, "--json", tmp_path / "scores.json")
    assert isinstance(ended.exception, DataError)
    with pytest.raises(DataError, match=words):
        raise ended.exception
    assert not (tmp_path / "scores.json").exists()


def test_votes_with_a_repeated_id_cannot_be_joined(forecasts, sim):
    battles = sim.battles.concat(sim.battles.take([0]))
    with pytest.raises(DataError, match="the votes repeat 1 ids") as caught:
        read_forecasts(forecasts, battles)
    assert caught.value.rows == (0, 120)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_other_formats_of_predict_are_read(sim, tmp_path, suffix):
    path = write_submission(tmp_path / f"p{suffix}", sim.battles.ids, sim.truth)
    assert read_forecasts(path, sim.battles) == pytest.approx(sim.truth)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nowhere.csv", None, "there is no"),
        ("p.txt", b"hello", "cannot read forecasts"),
        ("empty.csv", b"", "cannot be read"),
        ("broken.parquet", b"PAR1nonsense", "cannot be read"),
        ("broken.jsonl", b"{not json", "cannot be read"),
        ("list.csv", b"a,b\n1,2\n", "they lack id"),
    ],
)
def test_what_is_no_file_of_forecasts_is_refused(sim, tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_forecasts(tmp_path / name, sim.battles)


def test_a_folder_that_is_no_model_is_an_artifact_error(votes, tmp_path):
    assert isinstance(run(tmp_path, votes).exception, ArtifactError)


def test_votes_file_without_votes_is_refused(model, votes, tmp_path):
    path = tmp_path / "test.csv"
    pl.read_csv(votes, infer_schema=False).select("id", "prompt", "response_a", "response_b").write_csv(path)
    ended = run(model, path)
    assert isinstance(ended.exception, DataError)
    assert "none of the battles has a vote" in str(ended.exception)


def test_json_never_overwrites_what_it_is_made_of(forecasts, votes, tmp_path):
    for path in (votes, forecasts, tmp_path):
        before = path.read_bytes() if path.is_file() else None
        ended = run(forecasts, votes, "--json", path)
        assert isinstance(ended.exception, DataError)
        assert (path.read_bytes() if path.is_file() else None) == before


def test_an_error_is_one_paragraph_and_exit_1(votes, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["prefcast", "evaluate", "nowhere.csv", str(votes)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: there is no nowhere.csv")
    assert "Traceback" not in said
