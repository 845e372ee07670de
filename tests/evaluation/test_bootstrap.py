"""Intervals cover what they promise, and say so where they cannot."""

import math

import numpy as np
import pytest

from prefcast.errors import DataError
from prefcast.evaluation import Interval, PairedInterval, _bootstrap, mean_interval, paired_interval


def grouped(rng, n_groups=40, size=5, spread=1.0):
    """Values with a group effect, whose true mean is 0, and their groups."""
    groups = np.repeat(np.arange(n_groups), size)
    return rng.normal(0, spread, n_groups)[groups] + rng.normal(0, 0.5, len(groups)), groups


def test_interval_over_groups_covers_the_truth_and_one_over_rows_does_not():
    rng = np.random.default_rng(0)
    by_group, by_row = [], []
    for _ in range(600):
        values, groups = grouped(rng)
        for found, units in ((by_group, groups), (by_row, np.arange(len(values)))):
            interval = mean_interval(values, units, times=200)
            found.append(interval.low <= 0 <= interval.high)
    # With 40 groups a percentile interval of nominally 95 % covers .93 (3,000 runs); three standard errors of 600 runs.
    assert 0.90 <= np.mean(by_group) <= 0.96
    assert np.mean(by_row) < 0.8


def test_weighted_mean_and_its_interval_are_those_of_repeated_rows():
    rng = np.random.default_rng(1)
    values, groups = grouped(rng)
    times = rng.integers(0, 4, len(values))
    repeated = np.repeat(np.arange(len(values)), times)
    # Every group keeps a row, so that both bootstraps draw the same groups.
    assert set(groups[repeated]) == set(groups)
    weighted, plain = mean_interval(values, groups, times), mean_interval(values[repeated], groups[repeated])
    assert (weighted.value, weighted.low, weighted.high) == pytest.approx((plain.value, plain.low, plain.high))


def test_same_seed_same_interval_and_names_of_groups_do_not_matter():
    values, groups = grouped(np.random.default_rng(2))
    first = mean_interval(values, groups, seed=7)
    assert first == mean_interval(values, groups, seed=7)
    assert first == mean_interval(values, (groups * 7919) % 1009 - 50, seed=7)
    assert first != mean_interval(values, groups, seed=8)


def test_paired_interval_is_narrow_where_two_losses_move_together():
    rng = np.random.default_rng(3)
    first, groups = grouped(rng)
    second = first + 0.1 + rng.normal(0, 0.05, len(first))
    difference = paired_interval(first, second, groups)
    assert difference.value == pytest.approx((first - second).mean())
    assert difference.supports
    assert difference.excludes_zero
    assert not paired_interval(second, first, groups).supports
    assert paired_interval(second, first, groups).excludes_zero
    alone = mean_interval(first, groups)
    assert difference.high - difference.low < (alone.high - alone.low) / 5


def test_a_forecast_against_itself_differs_by_exactly_nothing():
    values, groups = grouped(np.random.default_rng(4))
    assert paired_interval(values, values, groups) == PairedInterval(0.0, 0.0, 0.0)
    assert not paired_interval(values, values, groups).supports
    assert not paired_interval(values, values, groups).excludes_zero


def test_paired_interval_of_noise_rarely_supports():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(100):
        first, groups = grouped(rng)
        second, _ = grouped(rng)
        hits += paired_interval(first, second, groups, times=200).supports
    assert hits <= 9  # 2.5 expected


def test_one_group_has_no_interval():
    interval = mean_interval([1.0, 2.0], [5, 5])
    assert interval.value == 1.5
    assert math.isnan(interval.low)
    assert not interval.excludes_zero
    assert str(interval) == "1.500 [no interval]"
    assert not paired_interval([0.0, 0.0], [1.0, 1.0], [5, 5]).supports


def test_no_weight_gives_no_figure():
    assert math.isnan(mean_interval([1.0, 2.0], [0, 1], [0.0, 0.0]).value)
    assert math.isnan(mean_interval([], []).value)
    assert str(Interval(math.nan, math.nan, math.nan)) == "undefined"


def test_many_groups_are_merged_without_changing_the_interval_much(monkeypatch):
    values, groups = grouped(np.random.default_rng(6), n_groups=4000, size=2)
    whole = mean_interval(values, groups)
    monkeypatch.setattr(_bootstrap, "MAX_UNITS", 500)
    merged = mean_interval(values, groups)
    assert merged.value == pytest.approx(whole.value, abs=1e-12)
    assert merged.high - merged.low == pytest.approx(whole.high - whole.low, rel=0.15)


def test_wrong_shapes_are_refused():
    with pytest.raises(DataError, match="differ in shape"):
        mean_interval([1.0, 2.0], [0])
    with pytest.raises(DataError, match="the same rows"):
        paired_interval([1.0, 2.0], [1.0], [0, 1])
    with pytest.raises(DataError, match="not finite") as caught:
        mean_interval([1.0, np.nan], [0, 1])
    assert caught.value.rows == (1,)
