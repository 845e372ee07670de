"""Files of any size are read part by part, and every way of cutting them gives the same battles."""

import csv
import io
import json
import tracemalloc

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prefcast.battles import _csv, iter_battles, read_battles
from prefcast.errors import DataError

N = 37


def _frame(n=N):
    rows = [
        {
            "id": i,
            "prompt": json.dumps([f"p{i}", "more"]),
            "response_a": json.dumps([f'a "quoted", {i}\n' * (i % 5), None]),
            "response_b": json.dumps([f"b{i}"] * (1 + i % 2)),
            "winner": ("model_a", "tie")[i % 2],
        }
        for i in range(n)
    ]
    return pl.DataFrame(rows)


@pytest.fixture
def files(tmp_path):
    frame = _frame()
    frame.write_csv(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text(frame.write_csv().replace("\n", "\r\n"), newline="")
    pq.write_table(frame.to_arrow(), tmp_path / "x.parquet", row_group_size=8)
    frame.write_ndjson(tmp_path / "x.jsonl")
    (tmp_path / "x.json").write_text(json.dumps(frame.to_dicts()))
    return sorted(tmp_path.iterdir())


@pytest.mark.parametrize("rows", [1, 10, N, 1000])
def test_parts_are_exact_and_whole(files, rows):
    for path in files:
        whole = read_battles(path)
        parts = list(iter_battles(path, rows=rows))
        assert [len(p) for p in parts] == [rows] * (N // rows) + [N % rows] * (N % rows > 0), path.name
        joined = parts[0].concat(*parts[1:])
        assert joined.frame.equals(whole.frame), path.name
        assert joined.repairs.equals(whole.repairs), path.name
    assert whole.repairs.filter(pl.col("what").str.contains("null turn"))["row"].to_list() == list(range(N))


def test_small_blocks_give_the_same(files, monkeypatch):
    whole = read_battles(files[0])
    for block in (1, 50, 400):
        parts = list(_csv.read_csv(io.BytesIO(files[0].read_bytes()), "x", block=block))
        assert sum(p.height for p in parts) == N
        assert len(parts) > 3
    monkeypatch.setattr(_csv, "_fast", lambda *_: None)
    assert read_battles(files[0]).frame.equals(whole.frame)


def test_rows_of_errors_are_counted_over_the_whole_file(files):
    for path in files:
        frame = _frame().with_columns(
            response_b=pl.when(pl.col("id").is_in([20, 33])).then(pl.lit("[broken")).otherwise("response_b")
        )
        if path.suffix == ".csv":
            frame.write_csv(path)
        elif path.suffix == ".parquet":
            frame.write_parquet(path)
        else:
            frame.write_ndjson(path)
        for read in (read_battles, lambda p: list(iter_battles(p, rows=10))):
            with pytest.raises(DataError, match=r"2 problems in 2 of 37 rows") as error:
                read(path)
            assert error.value.rows == (20, 33), path.name
            assert "row 20, id 20, response_b" in str(error.value)


def test_parts_before_an_error_are_given(files):
    frame = _frame().with_columns(winner=pl.when(pl.col("id") == 25).then(pl.lit("?")).otherwise("winner"))
    frame.write_csv(files[0])
    parts = iter_battles(files[0], rows=10)
    assert [len(next(parts)), len(next(parts))] == [10, 10]
    with pytest.raises(DataError, match="unknown winner"):
        next(parts)


def test_memory_is_bounded(tmp_path):
    """A file of 40 MB is read in parts in a fraction of that (python's share; polars' own is a part's)."""
    text = json.dumps(["word " * 2000])
    with (tmp_path / "big.jsonl").open("w") as file:
        for i in range(4000):
            file.write(json.dumps({"id": i, "prompt": '["p"]', "response_a": text, "response_b": '["b"]'}) + "\n")
    tracemalloc.start()
    try:
        assert sum(map(len, iter_battles(tmp_path / "big.jsonl", rows=100))) == 4000
        assert tracemalloc.get_traced_memory()[1] < 25e6
    finally:
        tracemalloc.stop()


def test_a_part_needs_a_row():
    with pytest.raises(DataError, match="rows=0"):
        next(iter_battles([], rows=0))


def _write(folder, text):
    path = folder / "x.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
    return path


HEADER = "id,prompt,response_a,response_b\n"


def test_quotes_in_the_middle_of_a_cell_and_blank_lines(tmp_path):
    battles = read_battles(_write(tmp_path, HEADER + '\n1,5" screen,a,b\r\n\r\n2,"x\ny","say ""hi""",z\n\n'))
    assert battles.frame["prompt"].to_list() == [['5" screen'], ["x\ny"]]
    assert battles.frame["response_a"].to_list() == [["a"], ['say "hi"']]


def test_bytes_that_are_not_utf8_become_fffd_and_are_recorded(tmp_path):
    path = _write(tmp_path, HEADER.encode() + b"1,p,a,b\n2,p,caf\xe9,b\n")
    battles = read_battles(path)
    assert battles.frame["response_a"].to_list() == [["a"], ["caf\ufffd"]]
    assert battles.repairs.select("row", "id", "column").rows() == [(1, "2", "response_a")]
    (tmp_path / "x.jsonl").write_bytes(b'{"id": 1, "prompt": "p", "response_a": "\xe9", "response_b": "b"}\n')
    battles = read_battles(tmp_path / "x.jsonl")
    assert battles.frame["response_a"].to_list() == [["\ufffd"]]
    assert "not UTF-8" in battles.repairs["what"].item()


def test_nul_in_a_csv_is_kept(tmp_path):
    assert read_battles(_write(tmp_path, HEADER + "1,p,a\0,b\n")).frame["response_a"].to_list() == [["a\0"]]


@pytest.mark.parametrize(
    ("body", "said", "row"),
    [
        ("1,p,a,b\n2,p,a\n", "3 cells where the header has 4", 1),
        ("1,p,a,b\n2,p,a,b,c\n3,p,a,b\n", "5 cells where the header has 4", 1),
        ('1,p,a,b\n2,p,a,"b\n', "never closed", 1),
        ('1,p,"a,b\n2,p,a,b\n', "3 cells where the header has 4", 0),
    ],
)
def test_rows_of_the_wrong_width_are_listed(tmp_path, body, said, row):
    with pytest.raises(DataError, match="too few or too many cells") as error:
        read_battles(_write(tmp_path, HEADER + body))
    assert said in str(error.value)
    assert error.value.rows == (row,)


def test_broken_lines_of_json_are_listed(tmp_path):
    good = json.dumps({"prompt": "p", "response_a": "a", "response_b": "b"})
    (tmp_path / "x.jsonl").write_text(f"{good}\n\n[1]\n{{cut\n{good}\n" + "[" * 9999)
    with pytest.raises(DataError, match="3 × broken JSON line") as error:
        read_battles(tmp_path / "x.jsonl")
    assert error.value.rows == (1, 2, 4)


def test_a_column_that_only_later_lines_have_is_read():
    rows = [
        {"prompt": "p", "response_a": "a", "response_b": "b"},
        {"response_b": "b", "response_a": "a", "prompt": "p"},
    ]
    rows[1]["winner"] = "tie"
    assert read_battles(rows).has_votes.tolist() == [False, True]


def test_a_column_that_only_later_parts_of_a_file_have_is_read(tmp_path):
    with (tmp_path / "x.jsonl").open("w") as file:
        for i in range(10_050):
            row = {"prompt": "p", "response_a": "a", "response_b": "b"}
            file.write(json.dumps(row | ({"winner": "tie"} if i > 10_010 else {})) + "\n")
    assert read_battles(tmp_path / "x.jsonl").has_votes.sum() == 39
    assert sum(p.has_votes.sum() for p in iter_battles(tmp_path / "x.jsonl", rows=10_020)) == 39


_PIECES = [b",", b'"', b'""', b"\n", b"\r\n", b"\r", b"a", b" ", b"[", b"\\", b"\0", b"\xc3\xa9", b"\xff", b"1", b'"x"',
           b'"x","y","z"\n', b"1,2,3\n", b"\xef\xbb\xbf"]  # fmt: skip


def _rows_of(data, block):
    try:
        parts = list(_csv.read_csv(io.BytesIO(data), "x", block=block))
    except DataError:
        return "refused"
    cells = [list(zip(*(c.to_list() for c in p.columns.values()), strict=True)) for p in parts]
    starts = [sum(p.height for p in parts[:i]) for i in range(len(parts))]
    found = [(k, r + s) for p, s in zip(parts, starts, strict=True) for k, r in p.found.select("kind", "row").rows()]
    return [row for part in cells for row in part], found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=20).map(b"".join), st.sampled_from([8, 30, 10_000]))
@example(b'""a"x","y","z"\n', 8)
@example(b'\r"x","y","z"\n', 8)
@example(b"\xef\xbb\xbf1,2,3\n", 8)
def test_polars_and_python_see_the_same_rows(body, block):
    """The quick way is taken only where it cannot differ from python's reader of the whole file."""
    data = b"id,prompt,response_a\n" + body
    quick = _rows_of(data, block)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_csv, "_fast", lambda *_: None)
        assert _rows_of(data, 1 << 20) == quick
    assert csv.field_size_limit() == 131072


def test_regular_files_take_the_quick_way(tmp_path, monkeypatch):
    _frame().write_csv(tmp_path / "x.csv")
    monkeypatch.setattr(_csv, "_slow", lambda *_: pytest.fail("the slow way was taken"))
    assert len(read_battles(tmp_path / "x.csv")) == N
