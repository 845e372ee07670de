"""LightGBM on the style contrast: both orders, bagged over grouped inner folds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm as lgb
import numpy as np

from prefcast.battles import Battles, find_groups, make_folds
from prefcast.errors import DataError, EngineError
from prefcast.models._base import CrossFit, Float, Int, PreferenceModel, Progress, no_progress
from prefcast.models._boosting import Rows, boost, forecast
from prefcast.models._numeric import normalise
from prefcast.models._weights import training_weights
from prefcast.models.features import Contrast, contrast, contrast_features, style

__all__ = ["GBDT"]


@dataclass(frozen=True)
class _Member:
    """One booster of the bag and how many of its rounds count."""

    booster: lgb.Booster
    rounds: int


class GBDT(PreferenceModel):
    """Gradient-boosted trees on style contrasts, exactly swap-symmetric.

    Trees see every battle in both orders and forecasts average both. The model is the mean of ``bags`` boosters, each
    trained without one grouped fold, whose log loss says how many trees it keeps.

    Parameters
    ----------
    learning_rate, num_leaves, min_data_in_leaf, feature_fraction, bagging_fraction, lambda_l2, extra_trees, max_bin
        LightGBM's own.
    rounds, patience
        Most trees per class, and how many more without a gain end the search.
    bags
        Grouped inner folds, and so boosters.
    pair_power, source_power
        How votes are weighed; see `training_weights`.
    seed
        Of the inner folds and of LightGBM.
    """

    kind: ClassVar[str] = "gbdt"

    def __init__(
        self,
        learning_rate: float = 0.05,
        num_leaves: int = 15,
        min_data_in_leaf: int = 20,
        feature_fraction: float = 0.5,
        bagging_fraction: float = 0.8,
        lambda_l2: float = 1.0,
        extra_trees: bool = True,
        max_bin: int = 63,
        rounds: int = 2000,
        patience: int = 60,
        bags: int = 5,
        pair_power: float = 1.0,
        source_power: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._params = {k: v for k, v in locals().items() if k not in {"self", "__class__"}}
        self._bag: list[_Member] = []

    def params(self) -> dict[str, Any]:
        """Return the parameters that recreate the unfitted model."""
        return dict(self._params)

    def prepare(self, battles: Battles) -> Contrast:
        """Contrast the style of A and B."""
        return contrast(style(battles))

    def inputs_key(self) -> str:
        """The style contrast, as the linear model reads it."""
        return "style"

    def fit(
        self,
        battles: Battles,
        groups: Int | None = None,
        *,
        inputs: Any = None,
        progress: Progress = no_progress,
    ) -> Self:
        """Train the bag on battles with votes."""
        groups = find_groups(battles) if groups is None else groups
        return self._fit_bag(_Data.of(self, battles, inputs), _inner_folds(groups, self), progress)

    def _fit_bag(self, data: _Data, folds: Int, progress: Progress) -> Self:
        bag = []
        n = int(folds.max()) + 1
        for k in range(n):
            progress(f"gbdt: booster {k + 1} of {n}", k / n)
            booster, (rounds,) = self._boost(data, folds != k, [folds == k], seed=k)
            bag.append(_Member(booster, rounds))
        self._bag = bag
        return self

    def _boost(
        self, data: _Data, train: Any, watched: list[Any], *, seed: int
    ) -> tuple[lgb.Booster, list[int]]:
        p = self._params
        params = {name: p[name] for name in _LIGHTGBM} | {
            "objective": "multiclass",
            "num_class": 3,
            "bagging_freq": 1,
            "seed": 1000 * p["seed"] + seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        rows = data.rows(train)
        return boost(params, rows, [data.rows(w) for w in watched], rounds=p["rounds"], patience=p["patience"])

    def cross_fit(
        self,
        battles: Battles,
        folds: Int,
        groups: Int,
        *,
        inputs: Any = None,
        progress: Progress = no_progress,
    ) -> CrossFit:
        """Predict each fold by boosters that never saw it, neither to grow nor to stop.

        A booster trained without folds i and j serves both: it forecasts i with the rounds that j chose, and j with
        those that i chose. That is half the boosters of a bag within each fold.
        """
        data = _Data.of(self, battles, inputs)
        n = int(folds.max()) + 1
        pairs = list(combinations(range(n), 2))
        steps = len(pairs) + n
        total = np.zeros((len(battles), 3))
        for step, (i, j) in enumerate(pairs):
            progress(f"gbdt: booster {step + 1} of {steps}", step / steps)
            outside = [folds == i, folds == j]
            if n == 2:  # nothing is left outside two folds: each trains on the other and keeps all its rounds
                return super().cross_fit(battles, folds, groups, inputs=data.inputs, progress=progress)
            booster, rounds = self._boost(data, ~(outside[0] | outside[1]), outside, seed=step)
            for mask, chosen in zip(outside, rounds[::-1], strict=True):
                total[mask] += forecast(booster, data.inputs.take(np.flatnonzero(mask)), chosen)

        def later(what: str, share: float) -> None:
            progress(what, (len(pairs) + share * n) / steps)

        model = self.clone()._fit_bag(data, folds, later)
        return CrossFit(normalise(total), model)

    def predict_proba(self, battles: Battles, *, inputs: Any = None) -> Float:
        """Forecast battles, (n, 3)."""
        if not self._bag:
            raise EngineError("this gbdt is not fitted: call fit(battles) first.")
        read = self.prepare(battles) if inputs is None else inputs
        total = np.zeros((len(read), 3))
        for member in self._bag:
            total += forecast(member.booster, read, member.rounds)
        return normalise(total)

    def write(self, folder: Path) -> None:
        """Write one LightGBM text model for each booster, and ``gbdt.json``."""
        if not self._bag:
            raise EngineError("this gbdt is not fitted: call fit(battles) first.")
        for k, member in enumerate(self._bag):
            text = member.booster.model_to_string(num_iteration=member.rounds)
            (folder / f"booster-{k}.txt").write_text(text, "utf-8", newline="\n")
        saved = {
            "params": self.params(),
            "rounds": [m.rounds for m in self._bag],
            "features": [f.name for f in contrast_features()],
        }
        (folder / "gbdt.json").write_text(json.dumps(saved, indent=1) + "\n", "utf-8", newline="\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` wrote; its features must be those of this version."""
        saved = json.loads((folder / "gbdt.json").read_text("utf-8"))
        if saved["features"] != [f.name for f in contrast_features()]:
            raise ValueError("it was trained on other features than this prefcast computes")
        model = cls(**saved["params"])
        model._bag = [
            _Member(lgb.Booster(model_str=(folder / f"booster-{k}.txt").read_text("utf-8")), rounds)
            for k, rounds in enumerate(saved["rounds"])
        ]
        return model


_LIGHTGBM = (
    "learning_rate",
    "num_leaves",
    "min_data_in_leaf",
    "feature_fraction",
    "bagging_fraction",
    "lambda_l2",
    "extra_trees",
    "max_bin",
)


@dataclass(frozen=True)
class _Data:
    """Training battles as LightGBM needs them."""

    inputs: Contrast
    votes: Float
    weights: Float

    @classmethod
    def of(cls, model: GBDT, battles: Battles, inputs: Any) -> _Data:
        if not battles.has_votes.all():
            raise DataError("gbdt: every battle needs a vote to learn from; leave the others out.")
        p = model.params()
        weights = training_weights(battles, pair_power=p["pair_power"], source_power=p["source_power"])
        return cls(model.prepare(battles) if inputs is None else inputs, battles.votes, weights)

    def rows(self, mask: Any) -> Rows:
        at = np.flatnonzero(mask)
        return Rows.of(self.inputs.take(at), self.votes[at], self.weights[at])


def _inner_folds(groups: Int, model: GBDT) -> Int:
    n_groups, p = len(np.unique(groups)), model.params()
    if n_groups < 2:
        raise DataError(
            f"gbdt: all {len(groups)} battles share one prompt or answer; stopping in time needs at least two "
            "independent prompts. Give more battles, or train with --recipe prior."
        )
    return make_folds(groups, min(p["bags"], n_groups), seed=p["seed"])
