"""Submission files: valid and whole, or not there."""

import csv
import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.battles import SUBMISSION_COLUMNS, SubmissionWriter, read_submission_ids, write_submission
from prefcast.errors import DataError

P = [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_pieces(path, *pieces):
    with SubmissionWriter(path) as writer:
        for ids, p in pieces:
            if p is KeyboardInterrupt:
                raise p
            writer.write(ids, p)


def read_back(path):
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == SUBMISSION_COLUMNS
    return [row[0] for row in rows], [[float(v) for v in row[1:]] for row in rows]


def is_valid(ids, p):
    return (
        len(ids) == len(p) > 0
        and len(set(ids)) == len(ids)
        and all(ids)
        and all(len(row) == 3 and all(math.isfinite(v) and 0 <= v <= 1 for v in row) for row in p)
        and all(abs(sum(row) - 1) < 2e-6 for row in p)
    )


NUMBERS = st.one_of(st.floats(), st.floats(-0.01, 1.01), st.sampled_from([0.0, 1.0, 0.5, 1 / 3, -0.0, 5e-324]))
ROWS = st.one_of(
    st.lists(NUMBERS, min_size=3, max_size=3),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda t: [t[0] * t[1], t[0] * (1 - t[1]), 1 - t[0]]),
)
IDS = st.one_of(st.text(max_size=8), st.none(), st.integers(0, 50).map(str))


@settings(max_examples=300, deadline=None)
@given(ids=st.lists(IDS, max_size=5), rows=st.lists(ROWS, max_size=5), kept=st.lists(IDS, max_size=5) | st.none())
def test_whatever_is_given_no_bad_file_is_written(tmp_path_factory, ids, rows, kept):
    folder = tmp_path_factory.mktemp("h", numbered=True)
    path = folder / "submission.csv"
    try:
        write_submission(path, ids, rows or np.zeros((0, 3)), expected=kept)
    except DataError:
        assert list(folder.iterdir()) == []
        return
    found, p = read_back(path)
    assert is_valid(found, p)
    assert found == ids
    assert p == [[float(v) for v in row] for row in rows]
    assert kept is None or set(kept) == set(ids)
    assert [file.name for file in folder.iterdir()] == ["submission.csv"]


def test_good_rows_are_not_refused(tmp_path):
    p = np.random.default_rng(0).dirichlet([0.05, 0.05, 0.05], size=2_000)
    ids = [str(i) for i in range(2_000)]
    assert read_back(write_submission(tmp_path / "s.csv", ids, p)) == (ids, p.tolist())


def test_columns_and_ids_are_those_of_the_competition(tmp_path, data_dir):
    sample = data_dir / "arena100" / "sample_submission.csv"
    ids = read_submission_ids(sample)
    path = write_submission(tmp_path / "submission.csv", ids, np.full((len(ids), 3), 1 / 3), expected=ids)
    assert path.read_text() == sample.read_text()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl", ".ndjson"])
def test_pieces_are_one_file_in_order_with_exact_numbers(tmp_path, suffix):
    rng = np.random.default_rng(1)
    p = rng.dirichlet([1, 1, 1], size=50)
    ids = [f"{i:03}" for i in rng.permutation(50)]
    path = tmp_path / "deeper" / f"out{suffix}"
    with SubmissionWriter(path) as writer:
        for start in range(0, 50, 7):
            writer.write(ids[start : start + 7], p[start : start + 7])
        assert not path.exists()
    assert writer.n == 50
    np.testing.assert_allclose(writer.mean, p.mean(axis=0))
    reader = {".csv": lambda f: pl.read_csv(f, schema_overrides={"id": pl.String}), ".parquet": pl.read_parquet}
    frame = reader.get(suffix, pl.read_ndjson)(path)
    assert frame.columns == list(SUBMISSION_COLUMNS)
    assert frame["id"].to_list() == ids
    assert (frame.select(SUBMISSION_COLUMNS[1:]).to_numpy() == p).all()
    assert names(path.parent) == [path.name]


def test_ids_with_quotes_commas_and_lines_come_back(tmp_path):
    ids = ['a"b', "x,y", "l\nm", " ", "007", "null", "\r", "été"]
    path = write_submission(tmp_path / "s.csv", ids, [P[0]] * len(ids))
    assert read_back(path)[0] == ids
    assert read_submission_ids(path) == ids
    lines = write_submission(tmp_path / "s.jsonl", ids, [P[0]] * len(ids)).read_text("utf-8").split("\n")
    assert [json.loads(line)["id"] for line in lines[:-1]] == ids


@pytest.mark.parametrize(
    ("ids", "p", "words"),
    [
        (["1", "1"], P, "'1' stands twice"),
        (["1", None], P, "row 1 has no id"),
        (["1", ""], P, "row 1 has no id"),
        (["1", 2], P, "row 1 has no id"),
        (["1", "\ud800"], P, "row 1 is no valid text"),
        (["1", "2"], [P[0], [0.5, 0.5, math.nan]], r"first row 1 \(id '2'\)"),
        (["1", "2"], [P[0], [0.5, 0.5, math.inf]], "first row 1"),
        (["1", "2"], [P[0], [0.6, 0.5, -0.1]], "first row 1"),
        (["1", "2"], [P[0], [1.1, -0.1, 0.0]], "first row 1"),
        (["1", "2"], [P[0], [0.5, 0.5, 0.001]], "first row 1"),
        (["1", "2"], P[:1], "a row is missing"),
        (["1", "2"], [row[:2] for row in P], "shape"),
        ([], np.zeros((0, 3)), "no row"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_bad_row_is_refused_and_what_stood_there_stays(tmp_path, ids, p, words, suffix):
    path = tmp_path / f"submission{suffix}"
    path.write_text("old")
    with pytest.raises(DataError, match=words):
        write_submission(path, ids, p)
    assert path.read_text() == "old"
    assert names(tmp_path) == [path.name]


def test_a_bad_row_in_a_later_piece_is_counted_from_the_start_of_the_file(tmp_path):
    with pytest.raises(DataError, match="again in row 3") as caught:
        write_pieces(tmp_path / "s.csv", (["1", "2"], P), (["3", "1"], P))
    assert caught.value.rows == (3,)
    with pytest.raises(DataError, match="first row 3") as caught:
        write_pieces(tmp_path / "s.csv", (["1", "2"], P), (["3", "4"], [P[0], [1.0, 1.0, 1.0]]))
    assert caught.value.rows == (3,)
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_an_interrupt_leaves_nothing(tmp_path, suffix):
    with pytest.raises(KeyboardInterrupt):
        write_pieces(tmp_path / f"s{suffix}", (["1", "2"], P), (None, KeyboardInterrupt))
    assert names(tmp_path) == []


def test_the_ids_must_be_those_of_the_sample(tmp_path):
    with pytest.raises(DataError, match="sample submission: 1 not in it, first '2'"):
        write_submission(tmp_path / "s.csv", ["1", "2"], P, expected=["9", "1"])
    with pytest.raises(DataError, match="sample submission: 2 of it missing, first '9', '8'"):
        write_submission(tmp_path / "s.csv", ["1", "2"], P, expected=["2", "9", "1", "8"])
    assert names(tmp_path) == []
    write_submission(tmp_path / "s.csv", ["1", "2"], P, expected=["2", "1"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("", "cannot be read"),
        ("id,a\n1,2\n", "lacks winner_model_a, winner_model_b, winner_tie"),
        (",".join(SUBMISSION_COLUMNS) + "\n1,0,0,1\n1,0,0,1\n", "stands twice"),
        (",".join(SUBMISSION_COLUMNS) + "\n,0,0,1\n", "has no id"),
    ],
)
def test_a_sample_that_is_none_is_refused(tmp_path, content, words):
    if content is not None:
        (tmp_path / "sample.csv").write_text(content)
    with pytest.raises(DataError, match=words):
        read_submission_ids(tmp_path / "sample.csv")


def test_the_sample_may_be_no_text(tmp_path):
    (tmp_path / "sample.csv").write_bytes(b"\xff\xfe\x00id,\x80\n\xff")
    with pytest.raises(DataError):
        read_submission_ids(tmp_path / "sample.csv")


def test_another_suffix_or_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"'submission.xlsx' ends in .xlsx"):
        SubmissionWriter("submission.xlsx")
    (tmp_path / "s.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        write_submission(tmp_path / "s.csv", ["1", "2"], P)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_submission(tmp_path / "file" / "s.csv", ["1", "2"], P)


def test_rows_are_written_only_inside_the_with_block(tmp_path):
    with pytest.raises(DataError, match="with"):
        SubmissionWriter(tmp_path / "s.csv").write(["1", "2"], P)
