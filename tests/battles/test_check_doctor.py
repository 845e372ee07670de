"""The doctor finds every kind of problem, on the rows that have it and no others."""

import json

import polars as pl
import pytest

from prefcast.battles import Battles, check_battles, read_battles
from prefcast.battles._problems import KINDS
from prefcast.errors import DataError


def _row(i, a='["left"]', b='["right"]', winner="model_a", **others):
    return {"id": i, "prompt": f'["question {i}"]', "response_a": a, "response_b": b, "winner": winner, **others}


def _found(rows, kind, **options):
    problems = check_battles(rows, **options).problems.filter(pl.col("kind") == kind)
    return problems.select("row", "column").rows()


HOT = ("winner_model_a", "winner_model_b", "winner_tie")


def _hot(i, votes):
    return {"id": i, "prompt": "p", "response_a": "a", "response_b": "b", **dict(zip(HOT, votes, strict=True))}


@pytest.mark.parametrize(
    ("kind", "row", "column"),
    [
        ("broken_json", _row(1, a='["cut'), "response_a"),
        ("wrong_type", _row(1, b="[1]"), "response_b"),
        ("null_id", _row(None), "id"),
        ("unknown_winner", _row(1, winner="gpt-4"), "winner"),
        ("bad_weight", _row(1, weight=-1), "weight"),
        ("not_a_number", _row(1, weight="much"), "weight"),
        ("null_cell", _row(1, a=None), "response_a"),
        ("empty_list", _row(1, a="[]"), "response_a"),
        ("null_turn", _row(1, b="[null]"), "response_b"),
        ("empty_turn", _row(1, b='[" \\n"]'), "response_b"),
        ("unequal_turns", _row(1, b='["x","y"]'), "response_a"),
        ("surrogate", _row(1, a='["\\ud83d"]'), "response_a"),
        ("too_long", _row(1, a=json.dumps(["x" * 200_000])), None),
        ("identical_winner", _row(1, b='["left"]'), "response_a, response_b"),
        ("duplicate_id", _row(0), "id"),
    ],
)
def test_each_kind_is_found_on_its_row(kind, row, column):
    rows = [_row(0), row, _row(2)]
    assert (1, column) in _found(rows, kind)
    assert {r for r, _ in _found(rows, kind)} == {1}
    assert _found([_row(0), _row(2)], kind) == []


@pytest.mark.parametrize(
    ("votes", "kind"),
    [
        ((0, 0, 0), "no_winner"),
        ((1, 1, 0), "two_winners"),
        ((0.5, 0.1, 0.1), "bad_shares"),
        ((1, None, 0), "bad_shares"),
    ],
)
def test_votes_at_fault(votes, kind):
    assert _found([_hot(0, (1, 0, 0)), _hot(1, votes)], kind) == [(1, ", ".join(HOT))]


def _pair(i, a, b, winner, who=None):
    return _row(i, a, b, winner, annotator=who) | {"prompt": '["same"]'}


def test_repeats_and_votes_that_disagree_are_notes():
    left, right = '["left"]', '["right"]'
    rows = [
        _pair(0, left, right, "model_a", "ann"),
        _pair(1, left, right, "model_a", "bob"),  # again, agreeing
        _pair(2, right, left, "model_b", "cem"),  # swapped, agreeing
        _pair(3, right, left, "model_a", "dee"),  # swapped, disagreeing
        _pair(4, left, right, "tie", "ann"),  # ann once more, disagreeing
        _pair(5, left, right, None),
        _row(6, left, right),
    ]
    diagnosis = check_battles(rows)
    got = {kind: rows["row"].to_list() for (kind,), rows in diagnosis.problems.group_by("kind")}
    assert got == {
        "duplicate_pair": [1, 3, 4, 5],
        "swapped_pair": [2, 3],
        "contradictory_votes": [3, 4],
        "repeated_vote": [4],
    }
    assert diagnosis.count("error") == 0
    assert diagnosis.count("warning") == 1
    detail = diagnosis.problems.filter(pl.col("kind") == "duplicate_pair")["detail"].to_list()
    assert detail[:2] == ["row 0 has the same prompt and answers", "row 2 has the same prompt and answers"]


def test_turns_are_compared_and_not_their_concatenation():
    rows = [_row(0, '["a","b"]'), _row(0, '["ab",""]')]
    assert _found(rows, "duplicate_pair") == []


def test_identical_answers_may_tie():
    assert _found([_row(0, b='["left"]', winner="tie"), _row(1, b='["left"]', winner=None)], "identical_winner") == []


def test_reading_and_the_doctor_do_not_say_the_same_twice():
    rows = [_row(0, a=None), _row(1, a="[null]"), _row(2, a='["a"]', b='["b","c"]')]
    assert _found(rows, "empty_turn") == []
    assert check_battles(rows).problems["kind"].to_list() == [
        "null_cell",
        "null_turn",
        "unequal_turns",
        "unequal_turns",
    ]


def test_rows_with_an_error_are_not_looked_at_further():
    rows = [_row(0), _row(0, a='["cut'), _row(0, a='["cut')]
    assert set(check_battles(rows).problems["kind"]) == {"broken_json"}


def test_the_size_limit_is_the_sum_of_all_texts():
    rows = [_row(0, a='["12345"]', b='["12345","12345"]')]
    size = len("question 0") + 15
    assert _found(rows, "too_long", limit_chars=size) == []
    assert _found(rows, "too_long", limit_chars=size - 1) == [(0, None)]
    with pytest.raises(DataError, match="limit_chars=0"):
        check_battles(rows, limit_chars=0)


def test_groups_in_both_files_are_leakage(tmp_path):
    train = [_row(i) for i in range(5)]
    test = [_row(90, a='["x"]') | {"prompt": '["Question  3!"]'}, _row(91, a='["y"]') | {"prompt": '["new"]'}]
    for row in test:
        del row["winner"]
    pl.DataFrame(test).write_csv(tmp_path / "test.csv")
    diagnosis = check_battles(pl.DataFrame(train), tmp_path / "test.csv")
    leaked = diagnosis.problems.filter(pl.col("kind") == "leakage")
    assert leaked.select("row", "id", "severity", "detail").rows() == [
        (3, "3", "error", "row 0 (id 90) of the second file is of the same group")
    ]
    assert check_battles(train[:3], tmp_path / "test.csv").count("error") == 0


def test_a_second_file_with_errors_is_refused():
    with pytest.raises(DataError, match="cannot be used"):
        check_battles([_row(0)], [_row(1, a='["cut')])


def test_summary_and_dict():
    rows = [_row(i, a="[null]") for i in range(9)] + [_row(9, winner="?")]
    diagnosis = check_battles(rows)
    summary = diagnosis.summary()
    assert summary.select("kind", "severity", "count", "rows").rows() == [
        ("unknown_winner", "error", 1, [9]),
        ("null_turn", "warning", 9, [0, 1, 2, 3, 4]),
    ]
    assert all(summary["advice"].str.len_chars() > 10)
    data = json.loads(diagnosis.to_json())
    assert (data["rows"], data["errors"], data["warnings"], data["notes"]) == (10, 1, 9, 0)
    assert data["problems"][-1]["kind"] == "unknown_winner"
    assert "1 errors, 9 warnings" in repr(diagnosis)
    assert diagnosis.problems.columns == ["kind", "severity", "row", "id", "column", "detail"]


def test_a_clean_table_has_no_problems():
    diagnosis = check_battles([_row(0), _row(1)])
    assert diagnosis.problems.height == 0
    assert diagnosis.summary().height == 0


def test_every_kind_says_what_to_do_and_comes_in_order_of_gravity():
    ranks = [("error", "warning", "note").index(kind.severity) for kind in KINDS.values()]
    assert ranks == sorted(ranks)
    assert all(kind.title and kind.advice for kind in KINDS.values())


def test_the_doctor_and_the_reader_agree_on_real_votes(data_dir):
    path = data_dir / "mt_bench" / "votes.parquet"
    diagnosis = check_battles(path)
    assert diagnosis.count("error") == 0
    assert Battles(diagnosis.frame).fingerprint() == read_battles(path).fingerprint()
    counts = dict(diagnosis.summary().select("kind", "count").rows())
    assert counts["contradictory_votes"] > 400
    assert counts["swapped_pair"] > 800
    assert counts["empty_turn"] == 18
    leaks = check_battles(path, data_dir / "arena100" / "test.csv")
    assert leaks.count("error") == 0


def test_progress_is_told(tmp_path):
    told = []
    check_battles([_row(0)], progress=lambda words, share: told.append(words))
    assert "reading the table given: 1 rows" in told
