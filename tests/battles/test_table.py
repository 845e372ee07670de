"""The table: one schema, swap as an involution, take, concat and fingerprint."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.battles import SCHEMA, Battles, simulate
from prefcast.errors import DataError

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
SHARES = st.sampled_from([None, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.25, 0.5, 0.25)])


@st.composite
def tables(draw, min_rows=0, max_rows=5):
    rows = []
    for k in range(draw(st.integers(min_rows, max_rows))):
        turns = draw(st.integers(1, 3))
        vote = draw(SHARES) or (None, None, None)
        texts = [draw(st.lists(TEXT, min_size=turns, max_size=turns)) for _ in range(3)]
        rows.append({
            "id": f"{k}{draw(TEXT)}", "prompt": texts[0], "response_a": texts[1], "response_b": texts[2],
            "model_a": draw(st.none() | TEXT), "model_b": draw(st.none() | TEXT),
            "vote_a": vote[0], "vote_b": vote[1], "vote_tie": vote[2],
            "weight": draw(st.none() | st.floats(0.1, 9)), "group": draw(st.none() | TEXT),
            "flipped": draw(st.booleans()),
        })  # fmt: skip
    frame = pl.DataFrame(rows, schema={c: SCHEMA[c] for c in rows[0]} if rows else {c: SCHEMA[c] for c in list(SCHEMA)})
    return Battles.from_frame(frame)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_swap_is_an_involution(battles):
    assert battles.swap().swap().frame.equals(battles.frame)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_swap_exchanges_answers_models_and_votes_and_nothing_else(battles):
    swapped = battles.swap()
    for one, other in (("response_a", "response_b"), ("model_a", "model_b"), ("vote_a", "vote_b")):
        assert swapped.frame[one].to_list() == battles.frame[other].to_list()
    np.testing.assert_array_equal(swapped.votes, battles.votes[:, [1, 0, 2]])
    for name in ("id", "prompt", "vote_tie", "both_bad", "weight", "source", "group", "annotator", "language"):
        assert swapped.frame[name].equals(battles.frame[name], null_equal=True)
    assert (swapped.frame["flipped"] != battles.frame["flipped"]).all()
    assert list(swapped.frame.columns) == list(SCHEMA)


@settings(max_examples=60, deadline=None)
@given(tables(min_rows=1), st.data())
def test_take_by_position_and_by_mask(battles, data):
    n = len(battles)
    rows = data.draw(st.lists(st.integers(0, n - 1), max_size=8))
    assert battles.take(rows).ids.to_list() == [battles.ids[r] for r in rows]
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    assert battles.take(mask).ids.to_list() == battles.take(np.flatnonzero(mask)).ids.to_list()
    assert battles.take(range(n)).fingerprint() == battles.fingerprint()


@settings(max_examples=60, deadline=None)
@given(tables(), tables())
def test_concat_stacks_and_take_takes_apart(one, other):
    both = one.concat(other)
    assert len(both) == len(one) + len(other)
    assert both.take(range(len(one))).frame.equals(one.frame)
    assert both.take(range(len(one), len(both))).frame.equals(other.frame)


@settings(max_examples=60, deadline=None)
@given(tables(min_rows=1), st.data())
def test_fingerprint_sees_every_id_text_and_vote(battles, data):
    row = data.draw(st.integers(0, len(battles) - 1))
    column = data.draw(
        st.sampled_from(["id", "prompt", "response_a", "response_b", "vote_a", "vote_b", "vote_tie", "weight"])
    )
    values = battles.frame[column].to_list()
    old = values[row]
    values[row] = (
        [*old[:-1], old[-1] + "x"] if isinstance(old, list) else old + "x" if isinstance(old, str) else (old or 0) + 0.5
    )
    changed = battles.with_columns(**{column: pl.Series(values, dtype=SCHEMA[column])})
    assert changed.fingerprint() != battles.fingerprint()
    # What the models never read does not count.
    assert battles.with_columns(source=pl.lit("elsewhere")).fingerprint() == battles.fingerprint()


def one_battle(prompt, a, b):
    return Battles.from_frame(pl.DataFrame({"id": ["1"], "prompt": [prompt], "response_a": [a], "response_b": [b]}))


def test_fingerprint_tells_where_a_text_ends_and_is_the_same_everywhere():
    prints = [
        one_battle(["ab", "c"], ["x", "y"], ["z", "z"]), one_battle(["a", "bc"], ["x", "y"], ["z", "z"]),
        one_battle(["abc"], ["xy"], ["zz"]), one_battle(["ab"], ["cxy"], ["zz"]),
    ]  # fmt: skip
    assert len({b.fingerprint() for b in prints}) == 4
    assert one_battle(["hi"], ["a"], ["b"]).fingerprint() == HI


HI = "06d451e6281c803bdbb124a55cbee002a5ea73c9784beefc4f63a7f5a8fdaffc"


def test_fingerprint_depends_on_the_order_of_rows_and_of_sides():
    battles = simulate(20).battles
    assert battles.take(range(19, -1, -1)).fingerprint() != battles.fingerprint()
    assert battles.swap().fingerprint() != battles.fingerprint()


def test_missing_columns_get_their_defaults():
    battles = one_battle(["hi"], ["a"], ["b"])
    assert battles.frame.row(0, named=True) == {
        "id": "1", "prompt": ["hi"], "response_a": ["a"], "response_b": ["b"], "model_a": None, "model_b": None,
        "vote_a": None, "vote_b": None, "vote_tie": None, "both_bad": False, "weight": 1.0, "source": None,
        "group": None, "annotator": None, "language": None, "flipped": False,
    }  # fmt: skip
    assert not battles.has_votes.any()
    assert np.isnan(battles.votes).all()
    assert (battles.weights.tolist(), battles.n_turns.tolist(), len(battles)) == ([1.0], [1], 1)
    assert repr(battles) == "Battles(1 rows, 0 with votes)"


def test_a_table_with_other_columns_is_refused():
    frame = one_battle(["hi"], ["a"], ["b"]).frame
    with pytest.raises(DataError, match="needs the columns id, prompt"):
        Battles(frame.drop("weight"))
    with pytest.raises(DataError, match="needs the columns"):
        Battles(frame.with_columns(pl.col("weight").cast(pl.Float32)))
    with pytest.raises(DataError, match="needs the columns"):
        Battles(frame.select(reversed(frame.columns)))
    with pytest.raises(DataError, match=r"lacks \['prompt'\]") as caught:
        Battles.from_frame(frame.drop("prompt"))
    assert caught.value.columns == ("prompt",)
    with pytest.raises(DataError, match=r"does not know \['winner'\]"):
        Battles.from_frame(frame.with_columns(winner=1))


def test_battles_are_frozen():
    battles = one_battle(["hi"], ["a"], ["b"])
    with pytest.raises(AttributeError):
        battles.frame = battles.frame.head(0)
