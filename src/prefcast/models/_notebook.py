"""The notebook's LightGBM branch without its faults: counts of n-grams in A minus those in B, and hand counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import lightgbm
import numpy as np
import polars as pl
from scipy import sparse

from prefcast.battles import Battles, find_groups, make_folds
from prefcast.errors import DataError, EngineError, RecipeError
from prefcast.models._base import Float, Int, PreferenceModel, Progress, no_progress, swap_columns
from prefcast.models.features._contrast import NotebookFeatures

__all__ = ["NotebookGBDT"]

_ROWS_AT_ONCE: Final = 5_000
_FILE: Final = "notebook.json"
_INTEGERS: Final = {
    "n_models": 1, "n_folds": 2, "fold": -1, "seed": 0, "subsample": 1, "words": 0, "characters": 0, "longest": 1,
    "min_rows": 1, "depth": 1, "trees": 1, "patience": 1,
}  # fmt: skip
_SHARES: Final = ("learning_rate", "row_share", "column_share")


class NotebookGBDT(PreferenceModel):
    """Gradient-boosted trees on the difference between the n-grams of two answers.

    Every battle is learned from in both orders, and forecast in both orders and averaged, so that exchanging A and B
    exchanges their probabilities exactly. The number of trees is chosen on grouped inner folds.

    Parameters
    ----------
    n_models
        Boosters to average, which differ by seed alone (``n_lgb`` in the notebook).
    n_folds
        Inner folds on which the number of trees is chosen; fewer if there are fewer groups.
    fold
        -1 chooses the number of trees on all inner folds and learns from all battles. From 0 on, that fold alone is held
        out: trees are chosen on it, and it is not learned from.
    seed
        Of folds, samples and boosters.
    subsample
        Learn from every k-th group only, in the order in which groups first appear.
    words, characters
        Number of word and of character n-grams.
    longest
        Largest n.
    min_rows
        An n-gram in fewer texts is not counted.
    learning_rate
        Share of each tree's step that is taken.
    depth
        Of a tree.
    trees
        Most trees per class.
    patience
        Stop after so many trees without improvement on the held-out folds.
    row_share, column_share
        Share of battles and of features that each tree sees.

    Raises
    ------
    RecipeError
        A parameter is out of range.
    """

    kind: ClassVar[str] = "notebook-gbdt"

    def __init__(
        self,
        n_models: int = 3,
        n_folds: int = 3,
        fold: int = -1,
        seed: int = 3,
        subsample: int = 1,
        words: int = 300,
        characters: int = 1_000,
        longest: int = 5,
        min_rows: int = 4,
        learning_rate: float = 0.03,
        depth: int = 4,
        trees: int = 1_000,
        patience: int = 50,
        row_share: float = 0.8,
        column_share: float = 0.8,
    ) -> None:
        self._params: dict[str, Any] = {
            "n_models": n_models, "n_folds": n_folds, "fold": fold, "seed": seed, "subsample": subsample, "words": words,
            "characters": characters, "longest": longest, "min_rows": min_rows, "learning_rate": learning_rate,
            "depth": depth, "trees": trees, "patience": patience, "row_share": row_share, "column_share": column_share,
        }  # fmt: skip
        _check(self._params)
        self._features: NotebookFeatures | None = None
        self._boosters: list[lightgbm.Booster] = []
        self._floor = 0.0

    def params(self) -> dict[str, Any]:
        """Return the parameters that recreate the unfitted model."""
        return dict(self._params)

    @property
    def n_trees(self) -> int:
        """Trees per class that were chosen; 0 before `fit`."""
        return self._boosters[0].current_iteration() if self._boosters else 0

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each column of the boosters is."""
        return self._fitted().names

    def fit(
        self,
        battles: Battles,
        groups: Int | None = None,
        *,
        inputs: Any = None,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn the n-grams, the number of trees and the boosters.

        Parameters
        ----------
        battles
            All must have votes.
        groups
            Group of each battle, (n,); found from the texts if not given.
        inputs
            Not read: n-grams depend on the training battles.
        progress
            Told how far it is.

        Returns
        -------
        Self
            The fitted model.

        Raises
        ------
        DataError
            A vote is missing, no weight is above 0, or all battles are one group.
        """
        _check_votes(battles)
        groups = find_groups(battles) if groups is None else np.asarray(groups)
        battles, groups = _every_kth_group(battles, groups, self._params["subsample"])
        held_out = self._inner_folds(groups)
        progress("notebook-gbdt: n-grams", 0.0)
        learned = np.flatnonzero(held_out != self._params["fold"])
        self._features = self._learn_features(battles.take(learned))
        data, battle = _training_set(self._features, battles)
        progress("notebook-gbdt: number of trees", 0.2)
        trees = self._choose_trees(data, held_out[battle])
        if self._params["fold"] >= 0:
            data = data.subset(np.flatnonzero(held_out[battle] != self._params["fold"]))
        self._boosters = []
        for k in range(self._params["n_models"]):
            progress(f"notebook-gbdt: model {k + 1} of {self._params['n_models']}", 0.6 + 0.4 * k / self._params["n_models"])
            self._boosters.append(lightgbm.train(self._booster_params(k), data, num_boost_round=trees))
        self._floor = 1.0 / (3.0 + float(battles.weights[learned].sum()))
        return self

    def _inner_folds(self, groups: Int) -> Int:
        n_folds = max(2, min(self._params["n_folds"], len(np.unique(groups))))
        if self._params["fold"] >= n_folds:
            raise DataError(
                f"the recipe holds out inner fold {self._params['fold']}, but there are only the folds 0 to {n_folds - 1}: "
                f"the battles form {len(np.unique(groups))} groups. Set fold = -1 in the recipe, or add battles."
            )
        return make_folds(groups, n_folds, seed=self._params["seed"])

    def _learn_features(self, battles: Battles) -> NotebookFeatures:
        keys = ("words", "characters", "longest", "min_rows", "seed")
        return NotebookFeatures.fit(battles, **{key: self._params[key] for key in keys})

    def _choose_trees(self, data: lightgbm.Dataset, held_out: Int) -> int:
        folds = np.unique(held_out) if self._params["fold"] < 0 else [self._params["fold"]]
        scores = lightgbm.cv(
            self._booster_params(0),
            data,
            num_boost_round=self._params["trees"],
            folds=[(np.flatnonzero(held_out != k), np.flatnonzero(held_out == k)) for k in folds],
            callbacks=[lightgbm.early_stopping(self._params["patience"], verbose=False)],
        )
        return len(scores["valid multi_logloss-mean"])

    def _booster_params(self, k: int) -> dict[str, Any]:
        return {
            "objective": "multiclass",
            "num_class": 3,
            "metric": "multi_logloss",
            "learning_rate": self._params["learning_rate"],
            "max_depth": self._params["depth"],
            "num_leaves": min(2 ** self._params["depth"], 31),
            "bagging_fraction": self._params["row_share"],
            "bagging_freq": 1,
            "feature_fraction": self._params["column_share"],
            "seed": self._params["seed"] + k,
            # The same bytes from the same seed, on any number of cores.
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }

    def predict_proba(self, battles: Battles, *, inputs: Any = None) -> Float:
        """Forecast battles: the mean over boosters and both orders.

        Parameters
        ----------
        battles
            With or without votes; votes are not read.
        inputs
            Not read.

        Returns
        -------
        Float
            Probabilities, (n, 3), columns A, B, tie; rows sum to 1.

        Raises
        ------
        EngineError
            The model is not fitted.
        """
        features = self._fitted()
        p = np.empty((len(battles), 3))
        for start in range(0, len(battles), _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(battles)))
            x = features.contrast(battles.take(rows))
            p[rows] = self._predict(x, features.exchange(x))
        return p

    def _predict(self, x: sparse.csr_matrix, exchanged: sparse.csr_matrix) -> Float:
        total = np.zeros((x.shape[0], 3))
        for booster in self._boosters:
            total += np.asarray(booster.predict(x)) + swap_columns(np.asarray(booster.predict(exchanged)))
        # A + B before tie: with A and B exchanged, the sum is the same to the last bit.
        total /= (total[:, 0] + total[:, 1] + total[:, 2])[:, None]
        return total * (1.0 - 3.0 * self._floor) + self._floor

    def _fitted(self) -> NotebookFeatures:
        if self._features is None:
            raise EngineError("this notebook-gbdt is not fitted: call fit(battles) first.")
        return self._features

    def write(self, folder: Path) -> None:
        """Write ``notebook.json`` with parameters and n-grams, and one LightGBM text file for each booster."""
        saved = {"params": self.params(), "floor": self._floor, "features": self._fitted().to_json()}
        (folder / _FILE).write_text(json.dumps(saved) + "\n", "utf-8", newline="\n")
        for k, booster in enumerate(self._boosters):
            (folder / f"booster-{k}.txt").write_text(booster.model_to_string(), "utf-8", newline="\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` wrote."""
        saved = json.loads((folder / _FILE).read_text("utf-8"))
        model = cls(**saved["params"])
        model._features = NotebookFeatures.from_json(saved["features"])
        model._floor = float(saved["floor"])
        if not 0 <= model._floor < 1 / 3:
            raise ValueError(f"the floor of the probabilities is {model._floor}; it must be between 0 and 1/3")
        texts = [(folder / f"booster-{k}.txt").read_text("utf-8") for k in range(model._params["n_models"])]
        model._boosters = [lightgbm.Booster(model_str=text) for text in texts]
        for booster in model._boosters:
            if booster.num_feature() != len(model._features.names) or booster.num_model_per_iteration() != 3:
                raise ValueError("a booster does not fit the features or the three classes")
        return model


def _check(params: dict[str, Any]) -> None:
    for name, least in _INTEGERS.items():
        if not isinstance(params[name], int) or isinstance(params[name], bool) or params[name] < least:
            raise RecipeError(f"notebook-gbdt: {name} is {params[name]!r}; it must be a whole number, {least} or more.")
    for name in _SHARES:
        if isinstance(params[name], bool) or not isinstance(params[name], int | float) or not 0 < params[name] <= 1:
            raise RecipeError(f"notebook-gbdt: {name} is {params[name]!r}; it must be above 0 and at most 1.")
    if params["fold"] >= params["n_folds"]:
        raise RecipeError(f"notebook-gbdt: fold is {params['fold']}, but n_folds is {params['n_folds']}; folds count from 0.")


def _check_votes(battles: Battles) -> None:
    missing = np.flatnonzero(~battles.has_votes)
    if missing.size:
        raise DataError(
            f"{missing.size} of {len(battles)} battles have no vote, first in row {missing[0]}; training needs one in each: "
            "give the winner_model_a, winner_model_b and winner_tie columns, or leave those rows out.",
            rows=missing[:10].tolist(),
        )
    if not (battles.weights > 0).any():
        raise DataError(f"{len(battles)} battles with no weight above 0: there is nothing to learn from.")


def _every_kth_group(battles: Battles, groups: Int, k: int) -> tuple[Battles, Int]:
    if k == 1:
        return battles, groups
    appearance = pl.Series(groups).rank("dense").to_numpy() - 1
    _, first = np.unique(groups, return_index=True)
    order = np.argsort(np.argsort(first))
    keep = np.flatnonzero(order[appearance] % k == 0)
    return battles.take(keep), groups[keep]


def _training_set(features: NotebookFeatures, battles: Battles) -> tuple[lightgbm.Dataset, Int]:
    """Rows of both orders, one for each class that has a share of the vote, and the battle of each row."""
    x = features.contrast(battles)
    both = sparse.vstack([x, features.exchange(x)], format="csr")
    votes = np.vstack([battles.votes, swap_columns(battles.votes)])
    shares = votes * np.tile(battles.weights, 2)[:, None]
    rows, labels = np.nonzero(shares > 0)
    if len(rows) != both.shape[0] or (rows != np.arange(len(rows))).any():  # hard votes need no copy
        both = both[rows]
    data = lightgbm.Dataset(both, label=labels, weight=shares[rows, labels], params={"verbosity": -1}, free_raw_data=True)
    return data, rows % len(battles)
