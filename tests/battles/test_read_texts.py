"""The stated policy for every oddity of a text, and that the quick way of reading it is exact."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prefcast.battles import read_battles
from prefcast.battles._problems import Log
from prefcast.battles._turns import read_turns
from prefcast.errors import DataError

FFFD = "\ufffd"


def _read(cell, other='["x"]', **options):
    """Read one battle with a cell as response_a; its turns and what was repaired."""
    row = {"id": "k", "prompt": other, "response_a": cell, "response_b": other}
    battles = read_battles([row], **options)
    return battles.frame["response_a"].to_list()[0], battles.repairs.select("row", "id", "column", "what").rows()


@pytest.mark.parametrize(
    ("cell", "turns"),
    [
        (r'["a\"b\\c\/d\b\f\n\r\t"]', ['a"b\\c/d\b\f\n\r\t']),
        (r'["\u00e9\u4e2d"]', ["é中"]),
        (r'["\ud83d\ude00"]', ["😀"]),
        ('["😀"]', ["😀"]),
        (r'["a\u0000b\u0001"]', ["a\0b\x01"]),
        ('["a\nb\tc\x01\x7f"]', ["a\nb\tc\x01\x7f"]),  # raw control characters: no JSON, but there
        (' [ "a" ] \n', ["a"]),
        ('[""]', [""]),
        (r'["\ufffd"]', [FFFD]),
        ('["[\\"in\\"]"]', ['["in"]']),
    ],
)
def test_texts_are_decoded_and_nothing_is_repaired(cell, turns):
    assert _read(cell) == (turns, [])


@pytest.mark.parametrize(
    ("cell", "turns", "what"),
    [
        ("[null]", [""], "null turn read as an empty turn"),
        ("[]", [""], "empty list read as one empty turn"),
        ("[ ]", [""], "empty list read as one empty turn"),
        ("null", [""], "empty cell read as one empty turn"),
        ("", [""], "empty cell read as one empty turn"),
        (None, [""], "empty cell read as one empty turn"),
        (r'["a\ud83d"]', ["a" + FFFD], "lone surrogate read as U+FFFD"),
        (r'["\ude00a"]', [FFFD + "a"], "lone surrogate read as U+FFFD"),
        (r'["\ud83d\ud83d\ude00"]', [FFFD + "😀"], "lone surrogate read as U+FFFD"),
        (["\ud83d"], [FFFD], "lone surrogate read as U+FFFD"),
        ([None], [""], "null turn read as an empty turn"),
        ([], [""], "empty list read as one empty turn"),
        (float("nan"), [""], "empty cell read as one empty turn"),
    ],
)
def test_oddities_are_repaired_and_recorded(cell, turns, what):
    assert _read(cell) == (turns, [(0, "k", "response_a", what)])


def test_turns_stay_turns_and_null_among_them_is_empty():
    turns, repairs = _read('["a",null,"b"]', '["1","2","3"]')
    assert turns == ["a", "", "b"]
    assert [r[3] for r in repairs] == ["null turn read as an empty turn"]


def test_unequal_turns_are_padded_and_recorded():
    row = {"id": 1, "prompt": '["1","2"]', "response_a": '["a","b","c"]', "response_b": '["x"]'}
    battles = read_battles([row, {**row, "id": 2, "response_a": '["a"]', "prompt": '["1"]'}])
    assert battles.frame["prompt"].to_list() == [["1", "2", ""], ["1"]]
    assert battles.frame["response_b"].to_list() == [["x", "", ""], ["x"]]
    assert battles.repairs.select("row", "column").rows() == [(0, "prompt"), (0, "response_b")]
    assert "1 turn where another text has 3" in battles.repairs["what"][1]


def test_a_lone_surrogate_in_a_plain_text_is_repaired():
    assert _read("a\ud83d", "x", layout="plain") == (
        ["a" + FFFD],
        [(0, "k", "response_a", "lone surrogate read as U+FFFD")],
    )


def test_very_long_rows_are_kept_whole(tmp_path):
    text = 'ab"\n' * 300_000
    row = {"id": "k", "prompt": '["p"]', "response_a": json.dumps([text]), "response_b": '["b"]'}
    pl.DataFrame([row]).write_csv(tmp_path / "long.csv")
    assert read_battles(tmp_path / "long.csv").frame["response_a"].to_list() == [[text]]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ('["a"', "not JSON"),
        ('["a",]', "not JSON"),
        ("['a']", "not JSON"),
        ('["a"] x', "not JSON"),
        (r'["\x"]', "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "a turn is a number"),
        ("[" + "9" * 5000 + "]", "not JSON"),
        ("[true]", "a turn is true or false"),
        ('[["a"]]', "a turn is a list"),
        ('[{"a":1}]', "a turn is an object"),
        ('"a"', "a text, not a list"),
        ("{}", "an object, not a list"),
        ("5", "a number, not a list"),
        (5, "a number, not a list"),
        ({"a": 1}, "an object, not a list"),
        ([1], "a turn is a number"),
        ([["a"]], "a turn is a list"),
    ],
)
def test_cells_that_cannot_be_read_are_listed(cell, said):
    with pytest.raises(DataError, match="response_a") as error:
        _read(cell)
    assert said in str(error.value)
    assert "prefcast.battles.repair_battles" in str(error.value)
    assert error.value.rows == (0,)
    assert error.value.columns == ("response_a",)


_PIECES = st.sampled_from(
    ["a", "é", "😀", '\\"', "\\\\", "\\n", "\\u00e9", "\\ud83d", "\\ude00", "\\uD83D\\uDE00", "\\ud7ff", "\\ue000",
     "\\u0000", "\n", "\t", "\0", "\x1f", "\x7f", "\u2028", "\\/", "\\x", '"', ",", "[", "]", " ", "null", "1", "\\u12",
     "\\u00E9"]
)  # fmt: skip
_STRINGS = st.lists(_PIECES, max_size=6).map("".join)
_ITEMS = st.one_of(_STRINGS.map(lambda s: f'"{s}"'), st.sampled_from(["null", "1", "true", "{}", "[]", ""]))
_LISTS = st.builds(
    lambda items, comma, ends: ends[0] + comma.join(items) + ends[1],
    st.lists(_ITEMS, max_size=4),
    st.sampled_from([",", " , ", ",\n"]),
    st.sampled_from([("[", "]"), (" [ ", " ]\n"), ("[", ""), ("", "]")]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_LISTS, min_size=1, max_size=8))
@example(['["\\ud83d\\ude00\\ud83d"]', '["\\udBFF\\uDC00"]'])
def test_the_quick_decoder_is_exact(cells):
    """Cells decoded by polars where that is exact give what python's decoder gives, finding for finding."""
    quick, slow = Log(), Log()
    fast = read_turns(pl.Series(cells, dtype=pl.String), "x", as_json=True, log=quick)
    exact = read_turns(list(cells), "x", as_json=True, log=slow)
    assert fast.to_list() == exact.to_list()
    assert sorted(quick.found().rows()) == sorted(slow.found().rows())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=3), min_size=1, max_size=5), st.booleans())
def test_any_text_comes_back_from_json(turns, ascii_only):
    cells = [json.dumps(t, ensure_ascii=ascii_only) for t in turns]
    log = Log()
    assert read_turns(pl.Series(cells), "x", as_json=True, log=log).to_list() == turns
    assert log.found().height == 0


def test_most_cells_take_the_quick_decoder(data_dir, monkeypatch):
    """Reading stays fast: python's decoder is left the few cells with a lone surrogate."""
    from prefcast.battles import _turns

    slow = []
    original = _turns._per_cell
    monkeypatch.setattr(_turns, "_per_cell", lambda values, *rest: (slow.extend(values), original(values, *rest))[1])
    battles = read_battles(data_dir / "arena100" / "train.csv")
    assert len(battles) == 100
    assert len(slow) <= 2
    np.testing.assert_array_equal(battles.votes.sum(axis=1), 1.0)
