"""Whatever the bytes, values and types: battles, or one DataError, never another exception."""

import datetime as dt
import json
import tempfile
from pathlib import Path

import polars as pl
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefcast.battles import check_battles, iter_battles, read_battles, repair_battles
from prefcast.errors import DataError

MODEST = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

ROWS = [
    {
        "id": i,
        "model_a": "m1",
        "model_b": "m2",
        "prompt": json.dumps([f"p{i}", "é\n"]),
        "response_a": json.dumps(['say "hi", you', None]),
        "response_b": json.dumps(["\ud83d"]),
        "winner_model_a": i % 2,
        "winner_model_b": 1 - i % 2,
        "winner_tie": 0,
    }
    for i in range(4)
]


def _bytes_of(suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        frame = pl.DataFrame(ROWS)
        if suffix == ".parquet":
            frame.write_parquet(path, compression="uncompressed")
        elif suffix == ".csv":
            frame.write_csv(path)
        else:
            path.write_text("\n".join(map(json.dumps, ROWS)) if suffix == ".jsonl" else json.dumps(ROWS))
        return path.read_bytes()


KEPT = ["id", "prompt", "response_a", "response_b", "model_a", "model_b", "vote_a", "vote_b", "vote_tie"]
VALID = {suffix: _bytes_of(suffix) for suffix in (".csv", ".parquet", ".jsonl", ".json")}


def _or_refused(read):
    """What reading gives, or None where it refuses with an error that says something."""
    try:
        return read()
    except DataError as error:
        refused = error
    assert str(refused)
    assert all(isinstance(row, int) for row in refused.rows)
    return None


def _try_everything(source):
    """Read, stream, check and repair; each gives what it promises or a DataError, and they agree."""
    battles = _or_refused(lambda: read_battles(source))
    parts = _or_refused(lambda: list(iter_battles(source, rows=3)))
    if battles is None:
        assert parts is None
    else:
        assert parts[0].concat(*parts[1:]).frame.equals(battles.frame)
        lengths = battles.frame.select(pl.col("prompt", "response_a", "response_b").list.len())
        assert (lengths["prompt"] == lengths["response_a"]).all()
        assert (lengths["prompt"] == lengths["response_b"]).all()
        assert lengths["prompt"].min() >= 1
    _try_repair(source, readable=battles is not None)


def _try_repair(source, *, readable):
    diagnosis = _or_refused(lambda: check_battles(source))
    if diagnosis is None:
        assert not readable
        return
    unusable = diagnosis.problems.filter((pl.col("severity") == "error") & (pl.col("kind") != "duplicate_id"))
    assert readable == (unusable.height == 0)
    json.loads(diagnosis.to_json())
    suffix = (".csv", ".parquet", ".jsonl")[diagnosis.problems.height % 3]
    with tempfile.TemporaryDirectory() as folder:
        repair = _or_refused(lambda: repair_battles(diagnosis, Path(folder) / f"clean{suffix}"))
        if repair is None:
            assert unusable["row"].n_unique() == diagnosis.frame.height
            return
        assert check_battles(repair.path).count("error") == 0
        again = read_battles(repair.path)
    assert again.repairs.height == 0
    assert again.frame.select(KEPT).equals(repair.battles.frame.select(KEPT))


def _in_a_file(data, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        path.write_bytes(data)
        _try_everything(path)


@MODEST
@given(st.binary(max_size=200), st.sampled_from([*VALID, ".csv.gz", ".ndjson"]))
def test_random_bytes(data, suffix):
    _in_a_file(data, suffix)


_BREAKING = [b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"\\", b"[", b"\\ud800", b"null"]


@st.composite
def _mutated(draw):
    """A valid file with some bytes changed, cut out, doubled, or its end cut off."""
    suffix = draw(st.sampled_from(list(VALID)))
    data = bytearray(VALID[suffix])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        how = draw(st.sampled_from(["change", "cut", "double", "end", "insert"]))
        if how == "change" and data:
            data[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 30))]
        elif how == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 60))]
        elif how == "end":
            del data[at:]
        else:
            data[at:at] = draw(
                st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"\\", b"[", b"\\ud800", b"null"])
            )
    return bytes(data), suffix


@settings(parent=MODEST, max_examples=40)
@given(_mutated())
def test_mutated_files(case):
    _in_a_file(*case)


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(alphabet=st.characters(), max_size=5),
    st.sampled_from(['["a"]', "[]", "[null]", '["a","b"]', "null", "[1]", '["', "\ud83d", "", "tie", "model_a", "1"]),
)  # fmt: skip
_MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "?"]), "content": _SCALARS}),
    max_size=3,
)
_VALUES = st.one_of(
    _SCALARS,
    st.lists(_SCALARS, max_size=3),
    st.dictionaries(st.text(max_size=3), _SCALARS, max_size=2),
    _MESSAGES,
    st.lists(_SCALARS, max_size=2).map(lambda v: json.dumps(v)),
)
_NAMES = ["id", "model_a", "prompt", "response_a", "response_b", "winner", "winner_model_a", "winner_model_b",
          "winner_tie", "weight", "both_bad", "flipped", "language", "conversation_a", "conversation_b", "chosen",
          "rejected", "turn", "question_id", "judge"]  # fmt: skip
_NEEDED = st.sampled_from(
    [("prompt", "response_a", "response_b"), ("conversation_a", "conversation_b"), ("chosen", "rejected", "prompt"),
     ("conversation_a", "conversation_b", "question_id", "judge", "turn")]
)  # fmt: skip


@st.composite
def _tables(draw):
    names = [*draw(_NEEDED), *draw(st.lists(st.sampled_from(_NAMES), max_size=4))]
    row = st.fixed_dictionaries(dict.fromkeys(names, _VALUES))
    return draw(st.lists(row, min_size=1, max_size=4))


@settings(parent=MODEST, max_examples=40)
@given(_tables())
def test_random_values_in_cells(rows):
    _try_everything(rows)


@MODEST
@given(_tables())
def test_random_values_in_json_lines(rows):
    _in_a_file("\n".join(map(json.dumps, rows)).encode(), ".jsonl")


_DAY = dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC)
_TYPED = [
    pl.Series([1, None], dtype=pl.Int8),
    pl.Series([1, 0], dtype=pl.UInt64),
    pl.Series([2**100, 1], dtype=pl.Int128),
    pl.Series([0.5, float("nan")]),
    pl.Series([True, None]),
    pl.Series(["x", None]),
    pl.Series(['["a"]', '["b","c"]']),
    pl.Series(["tie", "model_a"], dtype=pl.Categorical),
    pl.Series(["tie", "model_b"], dtype=pl.Enum(["tie", "model_b"])),
    pl.Series([_DAY, None]),
    pl.Series([_DAY.date(), None]),
    pl.Series([_DAY.time(), None]),
    pl.Series([dt.timedelta(1), None]),
    pl.Series([b"x", b"\xff"]),
    pl.Series([None, None], dtype=pl.Null),
    pl.Series([["a", None], None]),
    pl.Series([["a"], []]),
    pl.Series([[1], [2, None]]),
    pl.Series([[None], []], dtype=pl.List(pl.Null)),
    pl.Series([["a", "b"], ["c", None]], dtype=pl.Array(pl.String, 2)),
    pl.Series([[["a"]], [[]]]),
    pl.Series([{"a": 1}, {"a": None}]),
    pl.Series([[{"role": "user", "content": "x"}], [{"role": "assistant", "content": None}]]),
    pl.Series([[{"role": "user", "content": [{"type": "text", "text": "x"}]}], None]),
    pl.Series(["1.5", "2"]).cast(pl.Decimal(10, 2)),
    pl.Series([object(), "x"], dtype=pl.Object),
]


@settings(parent=MODEST, max_examples=40)
@given(st.data())
def test_random_column_types(data):
    names = [*data.draw(_NEEDED), *data.draw(st.lists(st.sampled_from(_NAMES), max_size=3, unique=True))]
    # by number: polars panics when hypothesis prints a series of objects
    kinds = {name: data.draw(st.integers(0, len(_TYPED) - 1)) for name in names}
    frame = pl.DataFrame({name: _TYPED[i] for name, i in kinds.items()})
    kind = data.draw(st.sampled_from(["polars", "arrow", "pandas", "parquet"]))
    if kind == "polars" or pl.Object in frame.dtypes or pl.Int128 in frame.dtypes:
        _try_everything(frame)
    elif kind == "arrow":
        _try_everything(frame.to_arrow())
    elif kind == "pandas":
        _try_everything(frame.to_pandas())
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.parquet"
            frame.write_parquet(path)
            _try_everything(path)


def test_arrow_types_that_polars_does_not_have():
    odd = [
        pa.array([{"a": 1}, None]),
        pa.array([[("k", "v")], None], type=pa.map_(pa.string(), pa.string())),
        pa.array([1, None], type=pa.decimal128(5)),
        pa.array([None, None], type=pa.null()),
        pa.array([1.5, None], type=pa.float16()),
        pa.array([b"ab", None], type=pa.binary(2)),
        pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array(["a", "b"])]),
    ]
    good = pa.array(["a", "b"])
    for column in odd:
        for name in ("id", "prompt", "winner", "weight"):
            columns = {"id": pa.array([1, 2]), "prompt": good, "response_a": good, "response_b": good} | {name: column}
            _try_everything(pa.table(columns))
