"""Folds that never split a group, saved with a hash, and a split that holds out models instead of prompts."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from prefcast.battles._table import Battles
from prefcast.errors import DataError

__all__ = ["Folds", "hold_out_groups", "hold_out_models", "make_folds"]

_Int = npt.NDArray[np.int64]


def make_folds(
    groups: npt.NDArray[Any], k: int = 5, *, seed: int = 0, weights: npt.NDArray[np.float64] | None = None
) -> _Int:
    """Share whole groups out over k folds of nearly equal size.

    Groups are shuffled, then placed from the largest to the smallest, each in the fold that is lightest so far.

    Parameters
    ----------
    groups
        Group of each battle, (n,), as `find_groups` gives it.
    k
        Number of folds, at least 2.
    seed
        Of the shuffle; the same seed gives the same folds on every machine.
    weights
        What is to be balanced, (n,); the number of battles if None.

    Returns
    -------
    numpy.ndarray
        Fold of each battle, (n,), from 0 to k - 1; no fold is empty.

    Raises
    ------
    DataError
        There are fewer groups than folds, or k is below 2.

    Examples
    --------
    >>> import numpy as np
    >>> from prefcast.battles import make_folds
    >>> np.bincount(make_folds(np.array([0, 0, 1, 1, 2, 3, 4, 4]), k=2))
    array([4, 4])
    """
    if k < 2:
        raise DataError(f"{k} folds were asked for; at least 2 are needed. Type --folds 5.")
    _, inverse = np.unique(groups, return_inverse=True)
    sizes = np.bincount(inverse, weights=weights)
    if len(sizes) < k:
        raise DataError(_too_few(len(sizes), k))
    # A group of weight 0 still fills a fold: without the count, all of them would pile up in the lightest one.
    sizes = sizes + np.bincount(inverse) * (1e-9 * max(float(sizes.sum()), 1.0) / max(len(groups), 1))
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    load = np.zeros(k)
    fold_of_group = np.empty(len(sizes), np.int64)
    for place, group in enumerate(order.tolist()):
        fold = place if place < k else int(np.argmin(load))
        fold_of_group[group] = fold
        load[fold] += sizes[group]
    return fold_of_group[inverse]


def _too_few(count: int, k: int) -> str:
    if count < 2:
        return (
            f"the battles form {count} group: every prompt is the same or nearly so, and a group is never split. "
            "At least 2 different prompts are needed; add battles with other prompts."
        )
    return (
        f"the battles form only {count} groups (different prompts), fewer than {k} folds. "
        f"Type --folds {count} or add battles."
    )


@dataclass(frozen=True, eq=False)
class Folds:
    """Which battle stands in which fold, as saved to a file.

    Parameters
    ----------
    ids
        Battle ids, n of them, in the order of the table.
    fold
        Fold of each battle, (n,).
    seed
        What the folds were made with.
    """

    ids: tuple[str, ...]
    fold: _Int
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.fold):
            raise DataError(f"{len(self.ids)} ids were given with {len(self.fold)} folds; there must be one for each.")

    @property
    def k(self) -> int:
        """Number of folds."""
        return int(self.fold.max()) + 1 if len(self.fold) else 0

    def sha256(self) -> str:
        """SHA-256 over ids, folds and seed."""
        content = json.dumps([list(self.ids), self.fold.tolist(), self.seed], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(content.encode("ascii")).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file with a hash; it appears whole or not at all."""
        target = Path(path)
        content = {"seed": self.seed, "sha256": self.sha256(), "ids": list(self.ids), "fold": self.fold.tolist()}
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            part.write_text(json.dumps(content), encoding="ascii")
            part.replace(target)
        except OSError as error:
            raise DataError(f"{target} cannot be written ({error}). Give a path in a folder that exists.") from None
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str], battles: Battles | None = None) -> Self:
        """Read a file written by `save` and check its hash.

        Parameters
        ----------
        path
            The file.
        battles
            If given, the ids must be theirs, in their order.

        Returns
        -------
        Folds
            As they were saved.

        Raises
        ------
        DataError
            The file is missing, is not a fold file, was altered, or belongs to other battles.
        """
        folds, said = cls._parse(Path(path))
        if folds.sha256() != said:
            raise DataError(f"the fold file {path} was altered after it was saved (its hash differs). Make new folds.")
        if battles is not None:
            folds.check(battles)
        return folds

    @classmethod
    def _parse(cls, path: Path) -> tuple[Self, str]:
        try:
            content = json.loads(path.read_text(encoding="ascii"))
            fold = np.array([_exact_int(f) for f in content["fold"]], np.int64)
            return cls(tuple(map(str, content["ids"])), fold, _exact_int(content["seed"])), str(content["sha256"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise DataError(
                f"{path} is not a fold file ({type(error).__name__}: {error}); give one made by prefcast."
            ) from None

    def check(self, battles: Battles) -> None:
        """Raise DataError unless the folds belong to exactly these battles in this order."""
        theirs = battles.ids.to_list()
        if len(theirs) != len(self.ids):
            raise DataError(
                f"the folds are of {len(self.ids)} battles, but {len(theirs)} were given. Give the file the folds were "
                "made from, or make new folds."
            )
        for row, (mine, other) in enumerate(zip(self.ids, theirs, strict=True)):
            if mine != other:
                raise DataError(
                    f"the folds have id {mine!r} in row {row}, the battles have {other!r}. Give the file they were "
                    "made from, or make new folds.",
                    rows=[row],
                    columns=["id"],
                )


def _exact_int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def hold_out_groups(groups: npt.NDArray[Any], share: float = 0.2, *, seed: int = 0) -> tuple[_Int, _Int]:
    """Hold out about a share of the battles for a test, in whole groups.

    Parameters
    ----------
    groups
        Group of each battle, (n,), as `find_groups` gives it.
    share
        Share of the battles to hold out, between 0 and 1.
    seed
        Of the choice of groups.

    Returns
    -------
    train, test
        Positions of battles, increasing; neither is empty.

    Raises
    ------
    DataError
        The share is not between 0 and 1, or there are fewer than 2 groups.
    """
    if not 0 < share < 1:
        raise DataError(f"a share of {share} was to be held out; it must lie between 0 and 1. Type for example 0.2.")
    _, inverse = np.unique(groups, return_inverse=True)
    sizes = np.bincount(inverse)
    if len(sizes) < 2:
        raise DataError(_too_few(len(sizes), 2))
    order = np.random.default_rng(seed).permutation(len(sizes))
    # A group goes to the test if at least half of it fits, so that the test is as near the share as whole groups allow.
    middle = np.cumsum(sizes[order]) - sizes[order] / 2
    held = order[middle <= share * len(groups)]
    held = held[: len(sizes) - 1] if len(held) else order[:1]
    test = np.isin(inverse, held)
    return np.flatnonzero(~test), np.flatnonzero(test)


def hold_out_models(battles: Battles, k: int = 5, *, seed: int = 0) -> list[tuple[_Int, _Int]]:
    """Split by model instead of by prompt: what a forecast is worth for models it never saw.

    The models are shared out over k parts of nearly equal numbers of answers. Each part holds its models out: test
    battles have a held-out model on at least one side, train battles have none on either side. With two held-out
    models or one, a test battle counts the same. Prompts are not held out.

    Parameters
    ----------
    battles
        n battles with model names.
    k
        Number of parts, at least 2.
    seed
        Of the shuffle of models.

    Returns
    -------
    list of (train, test)
        Positions of battles, increasing, for each part; train and test of a part share none and together are all n.

    Raises
    ------
    DataError
        A battle lacks a model name, there are fewer models than parts, or a part would leave nothing to train on.
    """
    names = battles.frame.select("model_a", "model_b")
    missing = np.flatnonzero(names["model_a"].is_null() | names["model_b"].is_null())
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(battles)} battles have no model names, the first in row {missing[0]}; holding out "
            "models needs model_a and model_b in every row.",
            rows=missing[:10].tolist(),
            columns=["model_a", "model_b"],
        )
    models, inverse = np.unique(names.to_numpy().astype(str), return_inverse=True)
    if len(models) < max(k, 2) or k < 2:
        raise DataError(
            f"the battles name {len(models)} models and {k} parts were asked for; as many parts as models, and at "
            "least 2, are possible."
        )
    part_of_model = _parts(np.bincount(inverse.ravel()), k, seed)
    parts = part_of_model[inverse.reshape(-1, 2)]
    splits = []
    for part in range(k):
        out = (parts == part).any(axis=1)
        if out.all():
            held = ", ".join(models[part_of_model == part].tolist())
            raise DataError(
                f"every battle has one of the models {held}: nothing is left to train on. Ask for more than {k} parts."
            )
        splits.append((np.flatnonzero(~out), np.flatnonzero(out)))
    return splits


def _parts(sizes: _Int, k: int, seed: int) -> _Int:
    """Part of each model, balanced by its number of answers."""
    return make_folds(np.arange(len(sizes)), k, seed=seed, weights=sizes.astype(np.float64))
