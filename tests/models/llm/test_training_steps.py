"""Which battles go into which step and part: every one as often as it should, within the budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefcast.models.llm._steps import StepPlan, hold_out, split_step


@given(
    battles=st.integers(1, 60),
    epochs=st.sampled_from([0.3, 1.0, 2.0, 2.5]),
    batch=st.integers(1, 20),
    seed=st.integers(0, 9),
)
def test_a_plan_sees_every_battle_equally_often(battles, epochs, batch, seed):
    plan = StepPlan(battles, epochs, batch, seed)
    steps = [plan.rows(k) for k in range(len(plan))]
    seen = np.concatenate(steps)
    assert len(seen) == max(1, round(battles * epochs))
    counts = np.bincount(seen, minlength=battles)
    assert counts.max() - counts.min() <= 1
    sizes = [len(s) for s in steps]
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert [len(plan.coins(k)) for k in range(len(plan))] == sizes


def test_a_plan_depends_on_the_seed_alone():
    first = [StepPlan(50, 2.0, 8, 3).rows(k).tolist() for k in range(13)]
    assert first == [StepPlan(50, 2.0, 8, 3).rows(k).tolist() for k in range(13)]
    assert first != [StepPlan(50, 2.0, 8, 4).rows(k).tolist() for k in range(13)]


@given(
    lengths=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=30),
    budget=st.integers(1, 300),
    world=st.integers(1, 4),
    padded=st.booleans(),
)
def test_parts_keep_to_the_budget_and_lose_nothing(lengths, budget, world, padded):
    table = np.array(lengths)
    processes = split_step(table, budget, padded=padded, world=world)
    assert len(processes) == world
    assert len({len(parts) for parts in processes}) == 1  # or one process would wait for ever
    parts = [part for process in processes for part in process]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(table)))
    for part in parts:
        cost = (table[part].size * table[part].max() if padded else table[part].sum()) if len(part) else 0
        assert cost <= budget or len(part) == 1


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_hold_out_takes_whole_groups(share):
    groups = np.repeat(np.arange(200), np.random.default_rng(0).integers(1, 6, 200))
    held = hold_out(groups, share, seed=1)
    assert not set(groups[held]) & set(groups[~held])
    assert abs(held.mean() - share) < 0.02
    assert (held == hold_out(groups, share, seed=1)).all()
    assert (held != hold_out(groups, share, seed=2)).any()


def test_hold_out_passes_over_a_group_that_is_most_of_the_data():
    groups = np.concatenate([np.zeros(90, int), np.arange(1, 11)])
    for seed in range(5):
        held = hold_out(groups, 0.1, seed=seed)
        assert 1 <= held.sum() <= 10
        assert not held[0]
