"""``prefcast check`` on the command line."""

import csv
import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from prefcast.battles import read_battles
from prefcast.cli import app
from prefcast.errors import DataError

GOOD = {"id": "1", "prompt": '["p"]', "response_a": '["a [b] c"]', "response_b": '["b"]', "winner": "tie"}


@pytest.fixture
def write(tmp_path):
    def _write(rows, name="battles.csv"):
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(GOOD))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return _write


def _run(*arguments):
    return CliRunner().invoke(app, ["check", *map(str, arguments)], catch_exceptions=False)


def test_a_clean_file_exits_0(write):
    result = _run(write([GOOD]))
    assert result.exit_code == 0
    assert "1 rows, 0 errors, 0 warnings, 0 notes." in result.stdout


def test_warnings_exit_0_and_are_shown(write):
    result = _run(write([GOOD | {"response_a": "[null]"}]))
    assert result.exit_code == 0
    assert "null turn" in result.stdout
    assert "row 0, id 1, response_a: null turn read as an empty turn" in result.stdout


def test_errors_exit_1_and_are_shown_first(write):
    rows = [GOOD | {"id": str(i), "response_a": "[null]"} for i in range(10)]
    rows.append(GOOD | {"id": "x", "response_b": '["cut [bold]'})
    result = _run(write(rows))
    assert result.exit_code == 1
    assert "broken JSON" in result.stdout
    lines = [line for line in result.stdout.splitlines() if line.startswith("row ")]
    assert lines[0].startswith("row 10, id x, response_b: not JSON")
    assert "[bold]" in lines[0]
    assert "… and 3 more" in result.stdout


def test_json(write, tmp_path):
    path = write([GOOD, GOOD])
    result = _run(path, "--json", "-")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert data["summary"][0]["kind"] == "duplicate_id"
    assert data["problems"][0] == {
        "kind": "duplicate_id",
        "severity": "error",
        "row": 1,
        "id": "1",
        "column": "id",
        "detail": "row 0 has the same id",
    }
    assert _run(path, "--json", tmp_path / "out.json").exit_code == 1
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8")) == data


def test_repair(write, tmp_path):
    path = write([GOOD, GOOD | {"id": "2", "winner": "?"}, GOOD | {"id": "3", "response_a": "[]"}])
    clean = tmp_path / "clean.csv"
    result = _run(path, "--repair", clean)
    assert result.exit_code == 1
    assert "2 rows; 1 dropped, 1 repairs, listed in" in result.stderr
    assert read_battles(clean).ids.to_list() == ["1", "3"]
    with (tmp_path / "clean.changes.csv").open(newline="") as file:
        changes = list(csv.DictReader(file))
    assert [(c["row"], c["action"]) for c in changes] == [("1", "row dropped"), ("2", "cell repaired")]
    assert _run(clean).exit_code == 0
    _run(path, "--repair", clean, "--changes", tmp_path / "list.csv")
    assert (tmp_path / "list.csv").exists()
    assert not list(tmp_path.glob(".*"))


def test_two_files_leak(write):
    train = write([GOOD, GOOD | {"id": "2", "prompt": '["something quite different"]', "response_a": '["c"]'}])
    test = write([GOOD | {"id": "9", "response_a": '["other"]'}], "test.csv")
    result = _run(train, test)
    assert result.exit_code == 1
    assert "group in both files" in result.stdout
    assert _run(write([GOOD | {"prompt": '["unlike all others"]'}], "b.csv"), test).exit_code == 0


def test_layout_and_limit(write):
    path = write([GOOD | {"prompt": "plain"}])
    assert _run(path).exit_code == 1
    assert _run(path, "--layout", "plain").exit_code == 0
    assert "row past the size limit" in _run(path, "--layout", "plain", "--limit", "5").stdout


def test_what_makes_no_sense_is_refused(write, tmp_path):
    path = write([GOOD])
    for arguments in (["--changes", "c.csv"], ["--repair", path]):
        with pytest.raises(DataError):
            _run(path, *arguments)
    with pytest.raises(DataError, match="cannot be written"):
        _run(path, "--json", tmp_path / "none" / "x.json")
    assert _run(path, "--limit", "0").exit_code == 2


def test_a_file_that_cannot_be_read_is_one_paragraph(tmp_path):
    command = [sys.executable, "-c", "from prefcast.cli import main; main()", "check", str(tmp_path / "none.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: there is no file or folder")
    assert "Traceback" not in done.stderr
