"""A blend of models: a pool of their log-probabilities, weights fitted on out-of-fold forecasts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from scipy.optimize import LinearConstraint, minimize

from prefcast.battles import Battles
from prefcast.errors import RecipeError
from prefcast.models._base import Float, Int, PreferenceModel, Progress, no_progress
from prefcast.models._kinds import read_model, write_model
from prefcast.models._numeric import log_probabilities, softmax

__all__ = ["Blend", "blend_weights", "log_pool"]


def log_pool(forecasts: Sequence[Float], weights: Float) -> Float:
    """Pool forecasts: probabilities proportional to the product of their powers.

    Parameters
    ----------
    forecasts
        One (n, 3) array for each model.
    weights
        Power of each model, (m,).

    Returns
    -------
    Float
        Pooled probabilities, (n, 3); exchanged if all forecasts are.
    """
    scores = np.zeros_like(forecasts[0])
    for p, w in zip(forecasts, weights, strict=True):
        scores += w * log_probabilities(p)
    return softmax(scores)


def blend_weights(forecasts: Sequence[Float], votes: Float, weights: Float) -> Float:
    """Find the weights of a log pool that forecast the votes best.

    Parameters
    ----------
    forecasts
        Out-of-fold forecasts, one (n, 3) array for each model.
    votes
        Shares, (n, 3).
    weights
        Weight of each battle, (n,).

    Returns
    -------
    Float
        Weights of the models, (m,), at least 0, with sum 1; those under 0.01 become 0.
    """
    m = len(forecasts)
    if m == 1:
        return np.ones(1)
    logs = np.stack([log_probabilities(p) for p in forecasts])
    share = votes * (weights / weights.sum())[:, None]

    def loss(v: Float) -> tuple[float, Float]:
        p = softmax(np.tensordot(v, logs, axes=1))
        slope = np.array([float(((p * share.sum(axis=1, keepdims=True) - share) * logs[k]).sum()) for k in range(m)])
        return -float((share * np.log(np.maximum(p, 1e-300))).sum()), slope

    found = minimize(
        loss,
        np.full(m, 1 / m),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * m,
        constraints=LinearConstraint(np.ones(m), 1.0, 1.0),
        options={"maxiter": 200, "ftol": 1e-10},
    ).x
    found = np.where(found < 0.01, 0.0, found)
    return np.asarray(found / found.sum())


class Blend(PreferenceModel):
    """A log pool of fitted models.

    Parameters
    ----------
    members
        Fitted models.
    weights
        Their weights; members with weight 0 are left out.
    """

    kind: ClassVar[str] = "blend"

    def __init__(self, members: Sequence[PreferenceModel], weights: Sequence[float]) -> None:
        if len(members) != len(weights) or not any(w > 0 for w in weights):
            raise RecipeError(f"a blend needs a weight for each of its {len(members)} members, one of them above 0.")
        kept = [(m, float(w)) for m, w in zip(members, weights, strict=True) if w > 0]
        self.members = tuple(m for m, _ in kept)
        self.weights = np.array([w for _, w in kept])

    def params(self) -> dict[str, Any]:
        """Return the weights; the members have their own."""
        return {"weights": self.weights.tolist()}

    def clone(self) -> Self:
        """Return a blend of unfitted members with the same weights."""
        return type(self)([m.clone() for m in self.members], self.weights.tolist())

    @property
    def swap_symmetric(self) -> bool:
        """Whether all members are."""
        return all(m.swap_symmetric for m in self.members)

    def parts(self) -> tuple[PreferenceModel, ...]:
        """The members."""
        return self.members

    def prepare(self, battles: Battles) -> _Shared:
        """Prepare once for all members that read the same."""
        return _Shared.of(self.members, battles)

    def inputs_key(self) -> str:
        """The members' keys together."""
        return "+".join(m.inputs_key() for m in self.members)

    def fit(
        self,
        battles: Battles,
        groups: Int | None = None,
        *,
        inputs: Any = None,
        progress: Progress = no_progress,
    ) -> Self:
        """Fit the members; the weights stay, for they need out-of-fold forecasts (see `prefcast.train`)."""
        shared = self.prepare(battles) if inputs is None else inputs
        for member in self.members:
            member.fit(battles, groups, inputs=shared.of_model(member), progress=progress)
        return self

    def predict_proba(self, battles: Battles, *, inputs: Any = None) -> Float:
        """Pool the members' forecasts, (n, 3)."""
        shared = self.prepare(battles) if inputs is None else inputs
        forecasts = [m.predict_proba(battles, inputs=shared.of_model(m)) for m in self.members]
        return log_pool(forecasts, self.weights)

    def write(self, folder: Path) -> None:
        """Write ``blend.json`` and one folder for each member."""
        (folder / "blend.json").write_text(json.dumps(self.params()) + "\n", "utf-8", newline="\n")
        for k, member in enumerate(self.members):
            write_model(member, folder / f"member-{k}")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``blend.json`` and the members."""
        weights = json.loads((folder / "blend.json").read_text("utf-8"))["weights"]
        return cls([read_model(folder / f"member-{k}") for k in range(len(weights))], weights)


class _Shared:
    """Inputs of several models, each kind made once."""

    def __init__(self, inputs: dict[str, Any], n: int) -> None:
        self._inputs = inputs
        self._n = n

    @classmethod
    def of(cls, models: Sequence[PreferenceModel], battles: Battles) -> _Shared:
        by_key = {m.inputs_key(): m for m in models}
        return cls({key: m.prepare(battles) for key, m in by_key.items()}, len(battles))

    def __len__(self) -> int:
        return self._n

    def of_model(self, model: PreferenceModel) -> Any:
        return self._inputs.get(model.inputs_key())

    def take(self, rows: Int) -> _Shared:
        return _Shared({k: None if v is None else v.take(rows) for k, v in self._inputs.items()}, len(rows))
