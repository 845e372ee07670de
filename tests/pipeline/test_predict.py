"""Forecasting a file: ids and order, any size, whole or not at all."""

import json
import weakref

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.artifact import TrainedModel
from prefcast.battles import SCHEMA, Battles, read_battles
from prefcast.errors import DataError
from prefcast.models._prior import Prior
from prefcast.pipeline import predict_file


class ByLength:
    """The longer answer wins more often: tells rows apart, and swapped ones."""

    def __init__(self):
        self.seen = []

    def predict_proba(self, battles):
        self.seen.append(len(battles))
        a, b = (battles.frame[c].list.join("").str.len_chars().to_numpy() + 1.0 for c in ("response_a", "response_b"))
        return np.stack([a, b, np.ones(len(a))], axis=1) / (a + b + 1)[:, None]


def rows(n):
    return [
        {
            "id": f"{(i * 7919) % 100003:05}",
            "prompt": json.dumps(["Hi", "And?"]),
            "response_a": json.dumps(["a" * (i % 7), "x"]),
            "response_b": json.dumps(["b" * (i % 5), 'y\n,"']),
        }
        for i in range(n)
    ]


def write(path, records):
    frame = pl.DataFrame(records)
    {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}[path.suffix](path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_ids_order_and_probabilities_do_not_depend_on_the_pieces(tmp_path, suffix, size):
    source = write(tmp_path / f"test{suffix}", rows(23))
    model = ByLength()
    report = predict_file(model, source, tmp_path / "out.csv", rows=size)
    assert max(model.seen) <= size
    assert sum(model.seen) == 23 == report.n
    found = pl.read_csv(tmp_path / "out.csv", schema_overrides={"id": pl.String})
    assert found["id"].to_list() == [row["id"] for row in rows(23)]
    p = ByLength().predict_proba(read_battles(source))
    np.testing.assert_array_equal(found[:, 1:].to_numpy(), p)
    np.testing.assert_allclose(report.mean, p.mean(axis=0))
    assert report.n_repaired == 0


def test_a_table_in_memory_gives_the_same_file(tmp_path):
    source = write(tmp_path / "test.csv", rows(9))
    predict_file(ByLength(), source, tmp_path / "one.csv")
    predict_file(ByLength(), read_battles(source), tmp_path / "two.csv", rows=4)
    predict_file(ByLength(), pl.DataFrame(rows(9)), tmp_path / "three.csv", rows=2)
    one = (tmp_path / "one.csv").read_bytes()
    assert one == (tmp_path / "two.csv").read_bytes() == (tmp_path / "three.csv").read_bytes()


def test_memory_holds_a_few_pieces_however_long_the_file(tmp_path):
    alive = []

    class Counting(ByLength):
        def predict_proba(self, battles):
            alive.append(weakref.ref(battles))
            assert sum(ref() is not None for ref in alive) <= 3
            return super().predict_proba(battles)

    report = predict_file(Counting(), write(tmp_path / "test.csv", rows(2_000)), tmp_path / "o.csv", rows=50)
    assert len(alive) == 40
    assert report.n == 2_000


def test_votes_are_not_read(tmp_path, data_dir):
    train = data_dir / "arena100" / "train.csv"
    texts = read_battles(train)
    names = ["model_a", "model_b", "vote_a", "vote_b", "vote_tie", "both_bad"]
    bare = Battles.from_frame(texts.frame.drop(names))
    predict_file(ByLength(), texts, tmp_path / "with.csv")
    predict_file(ByLength(), bare, tmp_path / "without.csv")
    assert (tmp_path / "with.csv").read_bytes() == (tmp_path / "without.csv").read_bytes()


def test_repairs_are_counted_by_row_over_the_whole_file(tmp_path):
    records = rows(10)
    for i in (1, 8):
        records[i]["response_a"] = "[null, null]"
    records[8]["prompt"] = '["Hi", null]'
    report = predict_file(ByLength(), write(tmp_path / "test.csv", records), tmp_path / "out.csv", rows=3)
    assert report.n_repaired == 2
    assert set(report.repairs["row"]) == {1, 8}
    assert set(report.repairs["id"]) == {records[1]["id"], records[8]["id"]}
    assert sum(n for _, n in report.kinds_of_repair()) == 2
    memory = predict_file(ByLength(), pl.DataFrame(records), tmp_path / "out.csv", rows=3)
    assert memory.repairs.sort("row", "column").equals(report.repairs.sort("row", "column"))


def test_repairs_must_be_seen_before_probabilities_are_given(tmp_path):
    records = rows(3)
    trained = TrainedModel(Prior().fit(voted()))
    assert trained.predict_proba(pl.DataFrame(records)).shape == (3, 3)
    assert trained.predict_proba(write(tmp_path / "test.csv", records)).shape == (3, 3)
    records[2]["response_b"] = "[null, null]"
    with pytest.raises(DataError, match="1 rows needed a repair to be read, first row 2") as caught:
        trained.predict_proba(pl.DataFrame(records))
    assert caught.value.rows == (2,)
    assert trained.predict_proba(read_battles(pl.DataFrame(records))).shape == (3, 3)


def voted():
    columns = {name: [[["x"]], [1.0]][name.startswith("vote")] for name in list(SCHEMA)[1:4] + list(SCHEMA)[6:9]}
    return Battles.from_frame(pl.DataFrame({"id": ["0"], **columns}))


def test_a_bad_row_late_in_the_file_leaves_nothing(tmp_path):
    records = rows(30)
    records[27]["response_b"] = '["no end'
    source = write(tmp_path / "test.csv", records)
    with pytest.raises(DataError, match="27"):
        predict_file(ByLength(), source, tmp_path / "out.csv", rows=5, layout="json")
    assert [p.name for p in tmp_path.iterdir()] == ["test.csv"]


def test_a_repeated_id_in_another_piece_leaves_nothing(tmp_path):
    records = rows(30)
    records[27]["id"] = records[2]["id"]
    source = write(tmp_path / "test.csv", records)
    with pytest.raises(DataError, match=records[2]["id"]):
        predict_file(ByLength(), source, tmp_path / "out.csv", rows=5)
    assert [p.name for p in tmp_path.iterdir()] == ["test.csv"]


class Strange:
    """Gives whatever it is told to."""

    def __init__(self, p):
        self.p = p

    def predict_proba(self, battles):
        return self.p


@settings(max_examples=40, deadline=None)
@given(
    p=st.lists(st.lists(st.floats() | st.sampled_from([0.0, 0.5, 1.0]), min_size=3, max_size=3), max_size=4).map(
        lambda p: np.array(p).reshape(len(p), 3)
    )
)
def test_whatever_a_model_gives_no_bad_file_is_written(tmp_path_factory, p):
    folder = tmp_path_factory.mktemp("strange")
    battles = Battles.from_frame(pl.concat([voted().frame, voted().frame.with_columns(id=pl.lit("1"))]))
    try:
        predict_file(Strange(p), battles, folder / "out.csv")
    except DataError:
        assert list(folder.iterdir()) == []
    else:
        assert p.shape == (2, 3)
        np.testing.assert_allclose(pl.read_csv(folder / "out.csv")[:, 1:].to_numpy(), p)
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)


def test_an_error_of_the_model_is_its_own_and_leaves_nothing(tmp_path):
    class Failing:
        def predict_proba(self, battles):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        predict_file(Failing(), voted(), tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_the_sample_decides_which_ids_there_are(tmp_path):
    ids = [row["id"] for row in rows(3)]
    predict_file(ByLength(), pl.DataFrame(rows(3)), tmp_path / "out.csv", expected=ids[::-1])
    with pytest.raises(DataError, match="1 of it missing, first '99999'"):
        predict_file(ByLength(), pl.DataFrame(rows(3)), tmp_path / "other.csv", expected=[*ids, "99999"])
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_an_empty_table_and_the_source_itself_are_refused(tmp_path):
    with pytest.raises(DataError):
        predict_file(ByLength(), voted().take([]), tmp_path / "out.csv")
    source = write(tmp_path / "test.csv", rows(3))
    before = source.read_bytes()
    with pytest.raises(DataError, match="is the file to read"):
        predict_file(ByLength(), source, tmp_path / "." / "test.csv")
    with pytest.raises(DataError, match="rows is 0"):
        predict_file(ByLength(), source, tmp_path / "out.csv", rows=0)
    assert source.read_bytes() == before


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_progress_rises_to_about_the_whole(tmp_path, suffix):
    told = []
    source = write(tmp_path / f"test{suffix}", [row | {"prompt": json.dumps(["long " * 200, "x"])} for row in rows(40)])
    predict_file(ByLength(), source, tmp_path / "out.csv", rows=10, progress=lambda what, share: told.append(share))
    assert told == sorted(told)
    assert len(told) == 4
    assert 0.1 < told[0] < 0.4
    assert 0.8 < told[-1] <= 1
