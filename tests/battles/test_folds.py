"""Folds never split a group, are balanced, and cannot be altered unnoticed."""

import hashlib
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.battles import Battles, Folds, hold_out_groups, hold_out_models, make_folds, simulate
from prefcast.errors import DataError


def battles_of(pairs):
    n = len(pairs)
    text = pl.Series([["x"]] * n, dtype=pl.List(pl.String))
    return Battles.from_frame(
        pl.DataFrame({
            "id": [f"id{k}" for k in range(n)], "prompt": text, "response_a": text, "response_b": text,
            "model_a": [a for a, _ in pairs], "model_b": [b for _, b in pairs],
        }, schema_overrides={"model_a": pl.String, "model_b": pl.String})
    )  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=2, max_size=80), st.integers(2, 6), st.integers(0, 5))
def test_folds_partition_whole_groups(groups, k, seed):
    groups = np.array(groups)
    n_groups = len(np.unique(groups))
    if n_groups < k:
        with pytest.raises(DataError, match=f"{n_groups} group"):
            make_folds(groups, k, seed=seed)
        return
    fold = make_folds(groups, k, seed=seed)
    assert fold.shape == groups.shape
    assert set(fold.tolist()) == set(range(k))
    for group in np.unique(groups):
        assert len(set(fold[groups == group].tolist())) == 1
    # Greedy from the largest group: no two folds differ by more than the largest group.
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= np.bincount(groups).max()
    assert (make_folds(groups, k, seed=seed) == fold).all()


def test_folds_of_equal_groups_are_equal_and_depend_on_the_seed():
    groups = np.repeat(np.arange(100), 3)
    assert np.bincount(make_folds(groups, 5)).tolist() == [60] * 5
    assert (make_folds(groups, 5, seed=0) != make_folds(groups, 5, seed=1)).any()
    assert make_folds(groups, 5)[:12].tolist() == FIRST_FOLDS


FIRST_FOLDS = [4, 4, 4, 2, 2, 2, 1, 1, 1, 1, 1, 1]


def test_labels_may_be_anything_and_only_equality_counts():
    groups = np.array([5, 9, 5, 7, 9, 1])
    names = np.array(["c", "d", "c", "cc", "d", "a"])
    assert (make_folds(groups, 2) == make_folds(names, 2)).all()


def test_weights_are_what_is_balanced():
    groups = np.arange(101)
    weights = np.where(groups == 0, 100.0, 1.0)
    fold = make_folds(groups, 2, weights=weights)
    assert (fold == fold[0]).sum() == 1


def test_groups_without_weight_are_shared_out_too():
    fold = make_folds(np.arange(100), 5, weights=np.zeros(100))
    assert np.bincount(fold).tolist() == [20] * 5


def test_too_few_groups_say_how_many_there_are_and_what_to_type():
    with pytest.raises(DataError, match=r"only 3 groups .* fewer than 5 folds\. Type --folds 3"):
        make_folds(np.array([0, 0, 1, 2, 2]))
    with pytest.raises(DataError, match=r"1 group: .* add battles with other prompts"):
        make_folds(np.zeros(9, int))
    with pytest.raises(DataError, match=r"at least 2 are needed\. Type --folds 5"):
        make_folds(np.arange(9), 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.floats(0.01, 0.99), st.integers(0, 3))
def test_hold_out_takes_whole_groups_and_about_the_share(groups, share, seed):
    groups = np.array(groups)
    if len(np.unique(groups)) < 2:
        with pytest.raises(DataError, match="1 group"):
            hold_out_groups(groups, share, seed=seed)
        return
    train, test = hold_out_groups(groups, share, seed=seed)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(groups)))
    assert len(train)
    assert len(test)
    assert not set(groups[train].tolist()) & set(groups[test].tolist())
    assert abs(len(test) - share * len(groups)) <= np.bincount(groups).max()


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, float("nan")])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(DataError, match="between 0 and 1"):
        hold_out_groups(np.arange(9), share)


@pytest.fixture
def saved(tmp_path):
    battles = simulate(40).battles
    folds = Folds(tuple(battles.ids), make_folds(np.arange(40) // 2, 4, seed=7), seed=7)
    path = tmp_path / "folds.json"
    folds.save(path)
    return path, folds, battles


def test_saved_folds_come_back(saved):
    path, folds, battles = saved
    back = Folds.load(path, battles)
    assert back.ids == folds.ids
    assert (back.fold == folds.fold).all()
    assert (back.seed, back.k, back.sha256()) == (7, 4, folds.sha256())
    assert [p.name for p in path.parent.iterdir()] == ["folds.json"]


def test_saving_twice_gives_the_same_bytes_and_replaces(saved):
    path, folds, _ = saved
    first = path.read_bytes()
    folds.save(path)
    assert path.read_bytes() == first


def test_every_byte_of_the_content_is_covered(saved):
    path, _, _ = saved
    content = json.loads(path.read_text())
    changes = [
        {"fold": [(content["fold"][0] + 1) % 4, *content["fold"][1:]]},
        {"ids": ["other", *content["ids"][1:]]},
        {"ids": content["ids"][::-1]},
        {"seed": 8},
        {"sha256": hashlib.sha256(b"").hexdigest()},
    ]
    for change in changes:
        path.write_text(json.dumps(content | change))
        with pytest.raises(DataError, match="altered"):
            Folds.load(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", "\x00\xff", '{"ids": [1], "fold": ["x"], "seed": 0, "sha256": ""}',
     '{"ids": ["1"], "fold": [0.5], "seed": 0, "sha256": ""}', '{"ids": ["1"], "fold": [], "seed": 0, "sha256": ""}',
     '{"ids": ["1"], "fold": [99999999999999999999], "seed": 0, "sha256": ""}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_fold_file_is_refused(tmp_path, text):
    path = tmp_path / "folds.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError):
        Folds.load(path)
    with pytest.raises(DataError, match="not a fold file"):
        Folds.load(tmp_path / "missing.json")


def test_folds_of_other_battles_are_refused(saved):
    path, _, battles = saved
    with pytest.raises(DataError, match="of 40 battles, but 39 were given"):
        Folds.load(path, battles.take(range(39)))
    with pytest.raises(DataError, match=r"id '1' in row 0, the battles have '40'") as caught:
        Folds.load(path, battles.take(range(39, -1, -1)))
    assert caught.value.rows == (0,)


def test_a_save_that_fails_leaves_nothing(tmp_path):
    folds = Folds(("1",), np.array([0]))
    with pytest.raises(DataError, match="cannot be written"):
        folds.save(tmp_path / "none" / "folds.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        folds.save(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_held_out_models_stand_on_no_side_of_training():
    battles = simulate(400, models=9).battles
    names = battles.frame.select("model_a", "model_b").to_numpy()
    splits = hold_out_models(battles, 4)
    held_by_part = []
    for train, test in splits:
        assert np.union1d(train, test).tolist() == list(range(400))
        assert not np.intersect1d(train, test).size
        held = set(names.ravel()) - set(names[train].ravel())
        assert all(held & set(pair) for pair in names[test])
        held_by_part.append(held)
    # Every model is held out exactly once.
    assert sorted(m for held in held_by_part for m in held) == sorted(set(names.ravel()))
    again = hold_out_models(battles, 4)
    assert all((a == b).all() for one, two in zip(splits, again, strict=True) for a, b in zip(one, two, strict=True))


def test_holding_out_models_needs_names_and_enough_of_them():
    with pytest.raises(DataError, match=r"2 of 3 battles have no model names, the first in row 1") as caught:
        hold_out_models(battles_of([("a", "b"), (None, "b"), (None, None)]), 2)
    assert caught.value.rows == (1, 2)
    with pytest.raises(DataError, match="name 2 models and 3 parts"):
        hold_out_models(battles_of([("a", "b")] * 5), 3)
    with pytest.raises(DataError, match="nothing is left to train on"):
        hold_out_models(battles_of([("a", "b")] * 5), 2)
    with pytest.raises(DataError, match="at least 2"):
        hold_out_models(battles_of([("a", "b")] * 5), 1)
