"""Packs are full, balanced, and hold every sequence once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefcast.models.llm._packing import padded_batches, plan_packs, shared_cost, unique_rows
from prefcast.models.llm._sequences import Sequences


def sequences(lengths, prefix=0):
    rng = np.random.default_rng(0)
    head = rng.integers(0, 99, prefix)
    return Sequences.of([np.r_[head, rng.integers(0, 99, n)] for n in lengths], [prefix] * len(lengths))


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 900), st.booleans())
def test_every_sequence_is_in_one_pack_within_the_budget(lengths, budget, share):
    rows = sequences(lengths, prefix=5)
    for plan in (plan_packs(rows, budget, share=share), padded_batches(rows, budget)):
        assert sorted(np.concatenate(plan).tolist()) == list(range(len(lengths)))
    for pack in plan_packs(rows, budget, share=share):
        cost = shared_cost(rows.lengths[pack], 5) if share else rows.lengths[pack].sum()
        assert cost <= budget or len(pack) == 1
    for batch in padded_batches(rows, budget):
        assert rows.lengths[batch].max() * len(batch) <= budget or len(batch) == 1


def test_packs_are_nearly_equal():
    rng = np.random.default_rng(1)
    rows = sequences(np.clip(np.exp(rng.normal(6.3, 0.75, 400)), 40, 2048).astype(int))
    packs = plan_packs(rows, 16384)
    full = np.array([rows.lengths[p].sum() for p in packs])
    assert len(packs) == -(-int(rows.lengths.sum()) // 16384)
    assert full.max() / full.min() < 1.03


def test_sharing_keeps_a_family_together_and_counts_its_prefix_once():
    rows = sequences([10] * 8, prefix=90)
    assert len(plan_packs(rows, 400)) == 2
    (pack,) = plan_packs(rows, 400, share=True)
    assert shared_cost(rows.lengths[pack], 90) == 90 + 8 * 10


def test_same_tokens_are_computed_once():
    rows, of = unique_rows(Sequences.of([[5, 6], [7], [5, 6], [5], [7]]))
    assert rows.tolist() == [0, 1, 3]
    assert of.tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize("rows", [[2, 0], [1], []])
def test_taking_sequences_keeps_their_tokens(rows):
    all_rows = Sequences.of([[1, 2, 3], [4], [5, 6]], prefix=[2, 0, 1])
    taken = all_rows.take(np.array(rows, np.int64))
    assert [taken[k].tolist() for k in range(len(taken))] == [all_rows[r].tolist() for r in rows]
    assert taken.prefix.tolist() == [[2, 0, 1][r] for r in rows]
