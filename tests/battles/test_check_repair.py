"""A repaired file is whole, clean, and lists every change."""

import json

import polars as pl
import pytest

from prefcast.battles import check_battles, read_battles, repair_battles
from prefcast.errors import DataError


def _row(i, a='["left"]', winner="model_a", **others):
    return {
        "id": i,
        "prompt": f'["question {i}"]',
        "response_a": a,
        "response_b": '["right"]',
        "winner": winner,
        **others,
    }


BAD = [
    _row("a"),
    _row("b", a='["cut', winner="?"),
    _row("c", a='["x\\ud83d",null]', language="pl", weight=2.0),
    _row("a", a='["3"]'),
    _row("a-2", a='["4"]'),
    _row("a", a='["5"]', winner="both_bad"),
    _row(None, a='["6"]'),
    _row("u", winner=None),
]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_repair(tmp_path, suffix):
    repair = repair_battles(BAD, tmp_path / f"clean{suffix}")
    assert list(tmp_path.iterdir()) == [repair.path]
    assert repair.changes.select("row", "id", "column", "action").rows() == [
        (1, "b", "response_a", "row dropped"),
        (2, "c", "response_a", "cell repaired"),
        (2, "c", "prompt", "cell repaired"),
        (2, "c", "response_b", "cell repaired"),
        (2, "c", "response_a", "cell repaired"),
        (3, "a", "id", "id changed"),
        (5, "a", "id", "id changed"),
        (6, None, "id", "row dropped"),
    ]
    dropped = repair.changes["reason"][0]
    assert "broken JSON: not JSON" in dropped
    assert "unknown winner: '?' is no winner" in dropped
    clean = check_battles(repair.path)
    assert clean.count("error") == 0
    again = read_battles(repair.path)
    assert again.frame.equals(repair.battles.frame)
    assert again.repairs.height == 0
    assert again.ids.to_list() == ["a", "c", "a-3", "a-2", "a-4", "u"]
    row = again.frame.row(1, named=True)
    assert (row["response_a"], row["prompt"], row["weight"], row["language"]) == (
        ["x\ufffd", ""],
        ["question c", ""],
        2.0,
        "pl",
    )
    assert again.frame["both_bad"].to_list() == [False, False, False, False, True, False]
    assert again.has_votes.tolist() == [True, True, True, True, True, False]


def test_csv_is_in_the_competitions_layout(tmp_path):
    rows = [_row(i, model_a="x", model_b="y") for i in range(2)]
    text = repair_battles(rows, tmp_path / "c.csv").path.read_text()
    assert text.splitlines()[0] == (
        "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie"
    )
    assert text.splitlines()[1] == '0,x,y,"[""question 0""]","[""left""]","[""right""]",1,0,0'


def test_rows_that_leak_are_dropped(tmp_path):
    repair = repair_battles([_row(i) for i in range(4)], tmp_path / "c.csv", [_row(2)])
    assert repair.battles.ids.to_list() == ["0", "1", "3"]
    assert repair.changes["reason"].to_list() == [
        "group in both files: row 0 (id 2) of the second file is of the same group"
    ]


def test_a_diagnosis_is_not_made_again(tmp_path):
    diagnosis = check_battles(BAD)
    again = repair_battles(diagnosis, tmp_path / "c.csv")
    assert again.changes.equals(repair_battles(BAD, tmp_path / "d.csv").changes)


def test_nothing_left_is_an_error_and_no_file(tmp_path):
    with pytest.raises(DataError, match="nothing is left"):
        repair_battles([_row("x", winner="?")], tmp_path / "c.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        repair_battles([_row(0)], tmp_path / "none" / "c.csv")
    with pytest.raises(DataError, match="ends in"):
        repair_battles([_row(0)], tmp_path / "c.xlsx")


def test_plain_and_conversation_files_become_the_competitions_layout(tmp_path):
    plain = [{"id": 1, "prompt": "p", "response_a": '["a"]', "response_b": "b"}]
    repair = repair_battles(plain, tmp_path / "c.csv", layout="plain")
    assert read_battles(repair.path).frame["response_a"].to_list() == [['["a"]']]
    talk = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "a"}]
    repair = repair_battles([{"id": 1, "conversation_a": talk, "conversation_b": talk}], tmp_path / "d.jsonl")
    assert json.loads(repair.path.read_text())["prompt"] == ["p"]
    assert pl.read_ndjson(repair.path).columns == ["id", "prompt", "response_a", "response_b"]
