"""Language models as a person trains and runs them from the command line."""

import json
import os

import polars as pl
import pytest
from typer.testing import CliRunner

import prefcast
from prefcast.cli import app
from prefcast.errors import ArtifactError, DataError, EngineError, RecipeError

torch = pytest.importorskip("torch", reason="needs the llm extra: pip install 'prefcast[llm]'")
os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Votes, a tiny language model and a model without one."""
    folder = tmp_path_factory.mktemp("llm-cli")
    run("simulate", "-o", folder / "votes.csv", "--n", 24, "--seed", 2)
    run("train", folder / "votes.csv", "-o", folder / "model", "--recipe", "tiny")
    run("train", folder / "votes.csv", "-o", folder / "prior", "--recipe", "prior", "--full")
    return folder


def test_a_language_model_is_trained_and_its_work_cleared(place):
    trained = prefcast.load(place / "model")
    assert trained.model.kind == "llm"
    assert "engine" in trained.training.scores["language_models"][0]
    assert json.loads((place / "model" / "manifest.json").read_text())["libraries"].keys() >= {"torch", "transformers"}
    assert "torch" not in json.loads((place / "prior" / "manifest.json").read_text())["libraries"]
    assert not (place / "model.work").exists()


def test_only_its_own_work_is_cleared(place, tmp_path):
    work = tmp_path / "m.work"
    (work / "llm-mine").mkdir(parents=True)
    (work / "llm-mine" / "notes.txt").write_text("mine")
    result = run("train", place / "votes.csv", "-o", tmp_path / "m", "--recipe", "tiny", "--full")
    assert result.exit_code == 0
    assert [p.name for p in work.rglob("*")] == ["llm-mine", "notes.txt"]


def test_work_in_a_named_folder_stays_and_is_used_again(place, tmp_path):
    command = ("train", place / "votes.csv", "--recipe", "tiny", "--full", "--work", tmp_path / "work")
    assert run(*command, "-o", tmp_path / "one").exit_code == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "work").rglob("model.safetensors")}
    assert before
    assert run(*command, "-o", tmp_path / "two").exit_code == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "work").rglob("model.safetensors")} == before
    one, two = (prefcast.load(tmp_path / name) for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint


def test_predict_says_how_it_ran_and_what_it_cut(place, tmp_path):
    result = run(
        "predict", place / "model", place / "votes.csv", "-o", tmp_path / "s.csv", "--cuts", tmp_path / "c.csv"
    )
    assert "language model: both orders, fp32 (trained in fp32) on cpu; padded" in result.stdout
    assert "of 24 battles cut" in result.stdout
    assert f"See {tmp_path / 'c.csv'}" in result.stdout
    cuts = pl.read_csv(tmp_path / "c.csv")
    assert cuts.height == 24
    assert {"id", "prompt_cut", "response_a_cut", "response_b_cut"} <= set(cuts.columns)
    quiet = run("predict", place / "prior", place / "votes.csv", "-o", tmp_path / "p.csv")
    assert "language model" not in quiet.stdout


def test_every_command_says_what_was_not_read(place, tmp_path):
    long = "word " * 200
    compared = run("compare", place / "model", "--prompt", long, "--a", long, "--b", "No.", "--json")
    assert json.loads(compared.stdout)
    assert "did not read all: 1 of 1 battles cut" in compared.stderr
    short = run("compare", place / "model", "--prompt", "Hi", "--a", "Yes", "--b", "No.")
    assert "did not read" not in short.output
    assert "battles cut" in run("evaluate", place / "model", place / "votes.csv", "--bootstrap", 0).stderr
    trained = run("train", place / "votes.csv", "-o", tmp_path / "m", "--recipe", "tiny", "--full")
    assert "Language model tiny:llama: 24 of 24 battles cut" in " ".join(trained.stdout.split())


def test_engine_options_reach_the_model(place, tmp_path):
    result = run(
        "predict", place / "model", place / "votes.csv", "-o", tmp_path / "s.csv",
        "--precision", "bf16", "--orders", "given", "--batch-tokens", 512, "--device", "cpu",
    )  # fmt: skip
    assert "order as given (NOT swap-symmetric), bf16" in result.stdout
    pair = ("--prompt", "Hi", "--a", "Yes, of course", "--b", "No")
    assert "exchange exactly" in run("compare", place / "model", *pair).stdout
    assert "depends on the order" in run("compare", place / "model", *pair, "--orders", "given").stdout
    scored = run("evaluate", place / "model", place / "votes.csv", "--precision", "bf16", "--bootstrap", 0)
    assert scored.exit_code == 0


@pytest.mark.parametrize(
    "option", [("--precision", "int8"), ("--orders", "given"), ("--batch-tokens", 5), ("--device", "cpu")]
)
def test_an_engine_option_without_a_language_model_is_refused(place, tmp_path, option):
    commands = [
        ("predict", place / "prior", place / "votes.csv", "-o", tmp_path / "s.csv"),
        ("compare", place / "prior", "--prompt", "Hi", "--a", "Yes", "--b", "No"),
        ("evaluate", place / "prior", place / "votes.csv"),
    ]
    for command in commands:
        with pytest.raises(EngineError, match=f"{option[0]}: this model has no language model"):
            run(*command, *option)
    assert not (tmp_path / "s.csv").exists()


def test_options_that_do_nothing_or_would_fail_late_are_refused(place, tmp_path):
    votes = place / "votes.csv"
    with pytest.raises(EngineError, match="--cuts: this model has no language model"):
        run("predict", place / "prior", votes, "-o", tmp_path / "s.csv", "--cuts", tmp_path / "c.csv")
    with pytest.raises(DataError, match=r"--cuts writes a .csv"):
        run("predict", place / "model", votes, "-o", tmp_path / "s.csv", "--cuts", tmp_path / "c.txt")
    with pytest.raises(DataError, match="another file to read or to write"):
        run("predict", place / "model", votes, "-o", tmp_path / "s.csv", "--cuts", tmp_path / "s.csv")
    with pytest.raises(ArtifactError, match="leave out --backbone"):
        run("predict", place / "model", votes, "-o", tmp_path / "s.csv", "--backbone", "x")
    run("predict", place / "model", votes, "-o", tmp_path / "s.csv")
    with pytest.raises(EngineError, match="is a file of forecasts, which no model runs"):
        run("evaluate", tmp_path / "s.csv", votes, "--precision", "bf16")


def test_a_backbone_that_is_not_here_is_said_before_any_work(place, tmp_path):
    with pytest.raises(EngineError, match=r"no-one/nothing is not on this machine.*--backbone PATH"):
        run("train", "/no/such.csv", "-o", tmp_path / "m", "--recipe", "qwen3-0.6b", "--backbone", "no-one/nothing")
    with pytest.raises(RecipeError, match="no language model, so --backbone"):
        run("train", place / "votes.csv", "-o", tmp_path / "m", "--backbone", "tiny:llama")
    assert not (tmp_path / "m").exists()
