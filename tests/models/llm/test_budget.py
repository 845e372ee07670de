"""The window is shared fairly, wholly, and the same way for A and B."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.models.llm._budget import Costs, share_window

COSTS = Costs(fixed=7, marks=6, next_round=1, left_out=3, cut=2, minimum=4)
LENGTHS = st.lists(
    st.lists(st.tuples(*[st.integers(0, 9) | st.integers(0, 400)] * 3), min_size=1, max_size=8), min_size=1, max_size=6
)


def flat(battles):
    offsets = np.cumsum([0, *map(len, battles)])
    return np.array([turn for battle in battles for turn in battle], np.int64).reshape(-1, 3), offsets


def by_hand(battle, window):
    """The same rule, one battle and one token of level at a time."""
    floor = COSTS.minimum + COSTS.cut
    for first in range(len(battle)):
        rest = battle[first:]
        room = window - COSTS.fixed - len(rest) * COSTS.marks - (len(rest) - 1) * COSTS.next_round
        room -= COSTS.left_out * (first > 0)
        if sum(min(x, floor) for turn in rest for x in turn) <= room:
            break

    def at(level):
        widths = [[w / (len(rest) - k) for w in (0.5, 1, 1)] for k in range(len(rest))]
        return [
            [min(x, max(int(level * w), floor)) for x, w in zip(turn, ws, strict=True)]
            for turn, ws in zip(rest, widths, strict=True)
        ]

    level = 0
    while level < 20_000 and sum(map(sum, at(level + 1))) <= room:
        level += 1
    return [[0, 0, 0]] * first + at(level)


@settings(max_examples=60, deadline=None)
@given(battles=LENGTHS, window=st.integers(COSTS.least, 300))
def test_shares(battles, window):
    lengths, offsets = flat(battles)
    shares = share_window(lengths, offsets, window, COSTS)
    assert shares.tokens.tolist() == [turn for battle in battles for turn in by_hand(battle, window)]
    assert shares.kept[offsets[1:] - 1].all()
    assert (shares.tokens[shares.kept] >= np.minimum(lengths, COSTS.minimum + COSTS.cut)[shares.kept]).all()
    assert (shares.tokens[~shares.kept] == 0).all()
    # Later turns before earlier ones.
    for a, b in pairwise(offsets):
        assert (np.diff(shares.kept[a:b].astype(int)) >= 0).all()
    swapped = share_window(lengths[:, [0, 2, 1]], offsets, window, COSTS)
    assert np.array_equal(swapped.tokens[:, [0, 2, 1]], shares.tokens)
    # No battle depends on its neighbours.
    alone = share_window(lengths[: offsets[1]], offsets[:2], window, COSTS)
    assert np.array_equal(alone.tokens, shares.tokens[: offsets[1]])


def test_short_fields_stay_whole_and_long_ones_share():
    tokens = share_window(np.array([[10, 1000, 30]]), np.array([0, 1]), 213, COSTS).tokens
    assert tokens.tolist() == [[10, 160, 30]]
    tokens = share_window(np.array([[10, 1000, 900]]), np.array([0, 1]), 213, COSTS).tokens
    assert tokens.tolist() == [[10, 95, 95]]


def test_what_fits_exactly_is_not_cut():
    lengths, offsets = np.array([[5, 50, 40], [5, 10, 10]]), np.array([0, 2])
    whole = COSTS.fixed + 2 * COSTS.marks + COSTS.next_round + lengths.sum()
    assert np.array_equal(share_window(lengths, offsets, whole, COSTS).tokens, lengths)
    assert share_window(lengths, offsets, whole - 1, COSTS).tokens.sum() < lengths.sum()


def test_many_turns_lose_the_earliest():
    lengths, offsets = np.full((500, 3), 50), np.array([0, 500])
    shares = share_window(lengths, offsets, 200, COSTS)
    assert 0 < shares.kept.sum() < 500
    assert shares.kept[-shares.kept.sum() :].all()
    assert shares.tokens[-1].tolist() >= shares.tokens[-2].tolist()


@pytest.mark.parametrize("n", [0, 1])
def test_no_battles(n):
    shares = share_window(np.zeros((n, 3), np.int64), np.arange(n + 1), COSTS.least, COSTS)
    assert shares.tokens.shape == (n, 3)
