"""Battles are written in the competition's layout, and come back as they were."""

import csv
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.battles import Battles, read_battles, simulate, write_battles
from prefcast.errors import DataError

SUFFIXES = [".csv", ".parquet", ".jsonl"]
LAYOUT = [
    "id",
    "model_a",
    "model_b",
    "prompt",
    "response_a",
    "response_b",
    "winner_model_a",
    "winner_model_b",
    "winner_tie",
]


def bare(prompt, a="x", b="y", **columns):
    turns = [[prompt] if isinstance(prompt, str) else prompt, [a], [b]]
    names = ("prompt", "response_a", "response_b")
    return Battles.from_frame(
        pl.DataFrame({"id": ["1"], **{n: [t] for n, t in zip(names, turns, strict=True)}, **columns})
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_can_be_read_again(tmp_path, suffix):
    battles = simulate(120, votes_per_pair=2, turns=0.4).battles
    path = write_battles(battles, tmp_path / f"battles{suffix}")
    assert read_battles(path).frame.equals(battles.frame)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_csv_is_the_layout_of_the_competition(tmp_path):
    battles = simulate(50).battles.with_columns(language=pl.lit(None, dtype=pl.String))
    with write_battles(battles, tmp_path / "b.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == LAYOUT
    for row, battle in zip(rows, battles.frame.iter_rows(named=True), strict=True):
        assert (row["id"], row["model_a"], row["model_b"]) == (battle["id"], battle["model_a"], battle["model_b"])
        assert [json.loads(row[c]) for c in LAYOUT[3:6]] == [battle[c] for c in LAYOUT[3:6]]
        assert [row[c] for c in LAYOUT[6:]] == [str(int(battle[c])) for c in ("vote_a", "vote_b", "vote_tie")]


def test_battles_without_votes_and_models_have_the_layout_of_a_test_file(tmp_path):
    path = write_battles(bare("hi"), tmp_path / "b.csv")
    assert path.read_text() == 'id,prompt,response_a,response_b\n1,"[""hi""]","[""x""]","[""y""]"\n'


def test_soft_votes_are_shares_and_missing_votes_are_empty(tmp_path):
    votes = {"vote_a": [0.5], "vote_b": [0.25], "vote_tie": [0.25]}
    battles = bare("hi", **votes).concat(bare("ho"))
    rows = write_battles(battles, tmp_path / "b.csv").read_text().splitlines()
    assert [row[-len(end) :] for row, end in zip(rows[1:], (",0.5,0.25,0.25", ",,,"), strict=True)] == [
        ",0.5,0.25,0.25",
        ",,,",
    ]


def test_extra_columns_are_written_only_if_a_battle_has_them(tmp_path):
    extra = {
        "source": ["s"],
        "group": ["g"],
        "annotator": ["p"],
        "language": ["de"],
        "weight": [2.0],
        "both_bad": [True],
    }
    header = write_battles(bare("hi", **extra), tmp_path / "b.csv").read_text().splitlines()[0]
    assert header == "id,prompt,response_a,response_b,source,group_id,annotator,language,weight,both_bad"
    assert read_battles(tmp_path / "b.csv").frame["group"].to_list() == ["g"]


@settings(max_examples=40, deadline=None)
@given(
    text=st.text(st.characters(codec="utf-8"), max_size=30),
    turns=st.lists(st.text(st.characters(codec="utf-8"), max_size=9), min_size=1, max_size=3),
)
def test_every_text_survives_as_json(tmp_path_factory, text, turns):
    battles = bare("x", a=text).with_columns(prompt=pl.Series([turns]))
    folder = tmp_path_factory.mktemp("written")
    for suffix in SUFFIXES:
        path = write_battles(battles, folder / f"b{suffix}")
        frame = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}[suffix](path)
        cells = [
            c if isinstance(c, str) else json.dumps(c)
            for c in (frame["response_a"].to_list()[0], frame["prompt"].to_list()[0])
        ]
        assert [json.loads(c) for c in cells] == [[text], turns]


@pytest.mark.parametrize("name", ["b.txt", "b", "b.csv.gz"])
def test_an_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"written to \.csv, \.parquet, \.jsonl"):
        write_battles(bare("hi"), tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_write_that_fails_leaves_nothing(tmp_path, suffix):
    with pytest.raises(DataError, match="cannot be written"):
        write_battles(bare("hi"), tmp_path / "none" / f"b{suffix}")
    (tmp_path / f"b{suffix}").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_battles(bare("hi"), tmp_path / f"b{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [f"b{suffix}"]


def test_a_write_that_dies_half_way_keeps_the_old_file(tmp_path, monkeypatch):
    path = write_battles(bare("old"), tmp_path / "b.csv")
    old = path.read_bytes()

    def half(self, target, **_):
        target.write_text("id,pro")
        raise OSError("no space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", half)
    with pytest.raises(DataError, match="no space left"):
        write_battles(bare("new"), path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["b.csv"]
