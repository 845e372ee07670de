"""``prefcast predict`` as a person types it."""

import subprocess
import sys

import polars as pl
import pytest
from typer.testing import CliRunner

from prefcast.artifact import TrainedModel, Training
from prefcast.battles import Battles
from prefcast.cli import app, main
from prefcast.errors import DataError
from prefcast.models._prior import Prior


@pytest.fixture
def model(tmp_path):
    frame = pl.DataFrame(
        {
            "id": ["1"],
            "prompt": [["Hi"]],
            "response_a": [["Yes"]],
            "response_b": [["No"]],
            "vote_a": [1.0],
            "vote_b": [0.0],
            "vote_tie": [0.0],
        }
    )
    return TrainedModel(Prior(smoothing=3.0).fit(Battles.from_frame(frame)), Training()).save(tmp_path / "model")


@pytest.fixture
def test_csv(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text(
        'id,prompt,response_a,response_b\n7,"[""Hi""]","[""a""]","[""b""]"\n03,"[""Hi""]","[null]","[""b""]"\n'
    )
    return path


EXPECTED = "id,winner_model_a,winner_model_b,winner_tie\n7,0.375,0.375,0.25\n03,0.375,0.375,0.25\n"


def run(*args):
    return CliRunner().invoke(app, ["predict", *map(str, args)], catch_exceptions=True)


def test_writes_a_submission_and_says_so(model, test_csv, tmp_path):
    out = tmp_path / "submission.csv"
    result = run(model, test_csv, "-o", out, "--rows", 1)
    assert result.exit_code == 0, result.output
    assert out.read_text() == EXPECTED
    assert result.stdout == f"{out}: 2 rows; on average A 0.375, B 0.375, tie 0.250\n"
    assert "2 rows; 1 row was repaired while reading (1 x " in result.stderr
    assert "--repairs repairs.csv lists them" in result.stderr


def test_writes_the_repairs(model, test_csv, tmp_path):
    result = run(model, test_csv, "-o", tmp_path / "s.csv", "--repairs", tmp_path / "new" / "repairs.csv")
    assert result.exit_code == 0
    repairs = pl.read_csv(tmp_path / "new" / "repairs.csv", infer_schema=False)
    assert repairs.columns == ["row", "id", "column", "what"]
    assert repairs.row(0)[:3] == ("1", "03", "response_a")
    assert "repairs.csv\n" in result.stderr


def test_refuses_repairs_that_would_hurt_before_the_work(model, test_csv, tmp_path):
    for name in ("repairs.txt", "test.csv", "s.csv"):
        result = run(model, test_csv, "-o", tmp_path / "s.csv", "--repairs", tmp_path / name)
        assert isinstance(result.exception, DataError), name
        assert "--repairs" in str(result.exception)
        assert not (tmp_path / "s.csv").exists()


def test_the_sample_is_checked(model, test_csv, tmp_path):
    sample = tmp_path / "sample_submission.csv"
    sample.write_text(EXPECTED)
    assert run(model, test_csv, "-o", tmp_path / "s.csv", "--sample", sample).exit_code == 0
    sample.write_text(EXPECTED + "9,0,0,1\n")
    result = run(model, test_csv, "-o", tmp_path / "other.csv", "--sample", sample)
    assert isinstance(result.exception, DataError)
    assert not (tmp_path / "other.csv").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere", "test.csv", "-o", "s.csv"], "Error: nowhere does not exist. Make one with: prefcast train"),
        (["model", "nowhere.csv", "-o", "s.csv"], "Error: there is no file or folder nowhere.csv"),
        (["model", "test.csv", "-o", "s.xlsx"], "Error: a submission is written as .csv, .parquet, .jsonl"),
        (["model", "test.csv", "-o", "test.csv"], "Error: test.csv is the file to read"),
        (["model", "model/manifest.json", "-o", "s.csv"], "Error: "),
    ],
)
def test_a_fault_is_one_paragraph_and_exit_1(model, test_csv, tmp_path, monkeypatch, capsys, args, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prefcast", "predict", *args])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith(words)
    assert "Traceback" not in error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "test.csv"]


def test_the_file_of_the_competition(model, data_dir, tmp_path):
    arena = data_dir / "arena100"
    out = tmp_path / "submission.csv"
    result = run(model, arena / "test.csv", "-o", out, "--sample", arena / "sample_submission.csv")
    assert result.exit_code == 0, result.output
    found, sample = (pl.read_csv(path, infer_schema=False) for path in (out, arena / "sample_submission.csv"))
    assert found.columns == sample.columns
    assert found["id"].to_list() == sample["id"].to_list()


def test_help_imports_nothing_heavy():
    heavy = ("polars", "numpy", "lightgbm", "rich.progress")
    code = f"import sys, prefcast.cli; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
