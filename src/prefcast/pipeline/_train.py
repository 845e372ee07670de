"""Training: cross-fit the members, blend, calibrate, refit, and keep the record of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from prefcast.artifact import TrainedModel, Training
from prefcast.battles import Battles, Folds, find_groups, make_folds, read_battles
from prefcast.errors import DataError, RecipeError
from prefcast.evaluation import PairedInterval, evaluate, mean_interval, paired_interval, row_log_loss
from prefcast.models import Blend, Calibrated, Calibration, PreferenceModel, blend_weights, fit_calibration, log_pool
from prefcast.models._base import CrossFit, Float, Int, Progress, no_progress
from prefcast.models.features import contrast_features
from prefcast.models.llm._tree import language_models
from prefcast.pipeline._card import model_card
from prefcast.pipeline._recipe import Recipe, TrainingOptions, load_recipe
from prefcast.pipeline._seen import prompt_keys

__all__ = ["check_ready", "train"]

LEAST_GROUPS_TO_CALIBRATE = 50
"""With fewer independent prompts a calibration is noise."""


def train(
    battles: Battles | Any,
    recipe: str | Path | Recipe = "cpu",
    *,
    folds: int | None = None,
    seed: int | None = None,
    subsample: int | None = None,
    fold: int | None = None,
    full: bool = False,
    position_effect: bool | None = None,
    work: str | Path | None = None,
    progress: Progress = no_progress,
) -> TrainedModel:
    """Train a preference model: cross-fitted, blended, calibrated.

    Parameters
    ----------
    battles
        Battles with votes, or anything `prefcast.read_battles` reads; battles without a vote are left out.
    recipe
        Name of a packaged recipe, path of a TOML file, or a `Recipe`.
    folds, seed, subsample
        Instead of the recipe's own.
    fold
        Only hold out this fold, from 0: train on the others, score it, and keep that model.
    full
        Skip the cross-fit: train on everything at once, with equal blend weights, no calibration and no scores.
    position_effect
        Instead of the recipe's own.
    work
        Folder where language models keep their checkpoints: the same training, killed and started again with the same
        folder, goes on where it was. Without it a kill loses what was trained.
    progress
        Told how far it is.

    Returns
    -------
    TrainedModel
        The model, with the record of its training and its out-of-fold scores.

    Raises
    ------
    DataError
        Too few battles with votes or too few independent prompts, or no such fold.
    RecipeError
        The recipe is not valid, or its options do not go together.
    EngineError
        A language model lacks a package or its backbone.
    """
    recipe = load_recipe(recipe).with_training(
        folds=folds, seed=seed, subsample=subsample, position_effect=position_effect
    )
    options = recipe.training
    _refuse_options(options, fold, full)
    check_ready(recipe)
    members = [m.build(options.seed) for m in recipe.members]
    data = _Data.of(battles, options.subsample)
    if work is not None:
        for llm in language_models(*members):
            llm.work = Path(work)
    if full:
        return _record(recipe, data, _fit_all(members, data, progress), None)
    if data.n_groups < options.folds:
        fewer = f", or type --folds {data.n_groups} or --full" if data.n_groups > 1 else ""
        raise DataError(
            f"{len(data.battles)} battles with votes have {data.n_groups} independent prompts, and {options.folds} "
            f"folds need one each. Give battles on more prompts{fewer}."
        )
    assigned = make_folds(data.groups, options.folds, seed=options.seed)
    if fold is not None:
        return _one_fold(recipe, data, members, assigned, fold, progress)
    fits = _cross_fit(members, data, assigned, progress)
    return _assemble(recipe, data, fits, assigned)


def check_ready(recipe: Recipe) -> None:
    """Refuse, before long work, what a recipe could not be trained without: a package, a backbone.

    Parameters
    ----------
    recipe
        What to train. A backbone that it names by hub name is fetched now if it is not on this machine.

    Raises
    ------
    EngineError
        Says what to install or where to get the backbone.
    """
    for member in recipe.members:
        member.build(recipe.training.seed).check_ready()


def _refuse_options(options: TrainingOptions, fold: int | None, full: bool) -> None:
    """Refuse what could not be done, before anything is read, and not leave it out without a word."""
    if full and fold is not None:
        raise RecipeError("--full trains on everything and --fold holds one fold out: leave one of them out.")
    if options.position_effect and (full or fold is not None):
        raise RecipeError(
            "a position effect is fitted on out-of-fold forecasts, which --full and --fold do not make: leave out "
            "either --position-effect or the other."
        )
    if fold is not None and not 0 <= fold < options.folds:
        raise DataError(f"fold {fold} was asked for; the folds are 0 to {options.folds - 1}. Type --fold 0.")


@dataclass(frozen=True)
class _Data:
    battles: Battles
    groups: Int
    without_votes: int = 0

    @property
    def n_groups(self) -> int:
        return len(np.unique(self.groups))

    @classmethod
    def of(cls, source: Any, subsample: int) -> _Data:
        battles = source if isinstance(source, Battles) else read_battles(source)
        given, battles = len(battles), battles.take(battles.has_votes)
        if len(battles) < 2:
            raise DataError(
                f"{len(battles)} battles have a vote; training needs at least two, with the columns winner_model_a, "
                "winner_model_b and winner_tie or winner. See what is in the file with: prefcast check FILE"
            )
        groups, n_voted = find_groups(battles), len(battles)
        if subsample > 1:
            keep = groups % subsample == 0
            battles, groups = battles.take(keep), groups[keep]
        return cls(battles, groups, given - n_voted)

    def take(self, rows: Int) -> _Data:
        return _Data(self.battles.take(rows), self.groups[rows], self.without_votes)


def _prepared(members: Sequence[PreferenceModel], battles: Battles, progress: Progress) -> list[Any]:
    """Make each kind of input once and hand it to all members that read it."""
    made: dict[str, Any] = {}
    for member in members:
        key = member.inputs_key()
        if key not in made:
            progress(f"{key} features", 0.0)
            made[key] = member.prepare(battles)
    return [made[m.inputs_key()] for m in members]


def _within(progress: Progress, part: int, parts: int) -> Progress:
    return lambda what, share: progress(what, (part + share) / parts)


def _fit_all(members: Sequence[PreferenceModel], data: _Data, progress: Progress) -> PreferenceModel:
    inputs = _prepared(members, data.battles, progress)
    for k, (member, read) in enumerate(zip(members, inputs, strict=True)):
        member.fit(data.battles, data.groups, inputs=read, progress=_within(progress, k, len(members)))
    return members[0] if len(members) == 1 else Blend(members, [1 / len(members)] * len(members))


def _cross_fit(members: Sequence[PreferenceModel], data: _Data, folds: Int, progress: Progress) -> list[CrossFit]:
    inputs = _prepared(members, data.battles, progress)
    return [
        m.cross_fit(data.battles, folds, data.groups, inputs=x, progress=_within(progress, k, len(members)))
        for k, (m, x) in enumerate(zip(members, inputs, strict=True))
    ]


@dataclass(frozen=True)
class _Combination:
    """How members' forecasts become one: fitted on some battles, applied to others."""

    weights: Float
    calibration: Calibration

    def apply(self, forecasts: Sequence[Float]) -> Float:
        return self.calibration.apply(log_pool(forecasts, self.weights))


def _combine(
    forecasts: Sequence[Float], votes: Float, weights: Float, *, calibrate: bool, position: bool
) -> _Combination:
    share = blend_weights(forecasts, votes, weights)
    if not (calibrate or position):
        return _Combination(share, Calibration())
    return _Combination(
        share, fit_calibration(log_pool(forecasts, share), votes, weights, slopes=calibrate, position=position)
    )


@dataclass(frozen=True)
class _Verdict:
    """Out-of-fold forecasts of the whole, and what the votes say of each step towards them."""

    oof: Float
    final: _Combination
    calibration: PairedInterval | None
    calibrated: bool


def _judge(forecasts: Sequence[Float], data: _Data, folds: Int, recipe: Recipe) -> _Verdict:
    """Forecast each fold with the combination fitted on the other folds' out-of-fold forecasts.

    No member, weight or calibration is fitted on the votes it is scored on. Only the yes or no to calibrating is
    decided on all votes at once.
    """
    votes, weights = data.battles.votes, data.battles.weights
    options = recipe.training

    def cross(calibrate: bool) -> Float:
        out = np.empty_like(forecasts[0])
        for k in range(int(folds.max()) + 1):
            rest, test = folds != k, folds == k
            found = _combine(
                [p[rest] for p in forecasts],
                votes[rest],
                weights[rest],
                calibrate=calibrate,
                position=options.position_effect,
            )
            out[test] = found.apply([p[test] for p in forecasts])
        return out

    oof, interval, use = cross(False), None, False
    if options.calibrate and data.n_groups >= LEAST_GROUPS_TO_CALIBRATE:
        after = cross(True)
        interval = paired_interval(row_log_loss(after, votes), row_log_loss(oof, votes), data.groups, weights)
        use = interval.supports
        oof = after if use else oof
    final = _combine(forecasts, votes, weights, calibrate=use, position=options.position_effect)
    return _Verdict(oof, final, interval, use)


def _assemble(recipe: Recipe, data: _Data, fits: Sequence[CrossFit], folds: Int) -> TrainedModel:
    found = _judge([f.oof for f in fits], data, folds, recipe)
    model: PreferenceModel = fits[0].model
    if len(fits) > 1:
        model = Blend([f.model for f in fits], found.final.weights.tolist())
    if found.final.calibration != Calibration():
        model = Calibrated(model, found.final.calibration)
    names = [m.kind for m in recipe.members]
    columns = {"id": data.battles.ids, "fold": folds, "group": data.groups}
    for name, p in [*zip(_numbered(names), [f.oof for f in fits], strict=True), ("model", found.oof)]:
        columns |= {f"{name}_{c}": p[:, k] for k, c in enumerate(("a", "b", "tie"))}
    scores = _scores(found, fits, data, _numbered(names))
    return _record(recipe, data, model, scores, folds=folds, oof=pl.DataFrame(columns))


def _numbered(names: Sequence[str]) -> list[str]:
    """Tell apart members of the same kind."""
    return [f"{n}-{names[:k].count(n) + 1}" if names.count(n) > 1 else n for k, n in enumerate(names)]


def _scores(found: _Verdict, fits: Sequence[CrossFit], data: _Data, names: Sequence[str]) -> dict[str, Any]:
    votes, weights = data.battles.votes, data.battles.weights
    whole = row_log_loss(found.oof, votes)
    members = {}
    for name, fit, weight in zip(names, fits, found.final.weights.tolist(), strict=True):
        alone = row_log_loss(fit.oof, votes)
        members[name] = {
            "weight": weight,
            "log_loss": vars(mean_interval(alone, data.groups, weights)),
            "model_minus_member": vars(paired_interval(whole, alone, data.groups, weights)),
        }
    return {
        "out_of_fold": evaluate(found.oof, data.battles, data.groups).to_dict(),
        "members": members,
        "calibration": {
            "used": found.calibrated,
            "after_minus_before": None if found.calibration is None else vars(found.calibration),
            "least_groups": LEAST_GROUPS_TO_CALIBRATE,
            **vars(found.final.calibration),
        },
    }


def _one_fold(
    recipe: Recipe, data: _Data, members: Sequence[PreferenceModel], folds: Int, fold: int, progress: Progress
) -> TrainedModel:
    rest, test = data.take(np.flatnonzero(folds != fold)), data.take(np.flatnonzero(folds == fold))
    model = _fit_all(members, rest, progress)
    p = model.predict_proba(test.battles)
    scores = {"held_out_fold": fold, "out_of_fold": evaluate(p, test.battles, test.groups).to_dict()}
    oof = pl.DataFrame(
        {"id": test.battles.ids, "fold": np.full(len(p), fold), "group": test.groups}
        | {f"model_{c}": p[:, k] for k, c in enumerate(("a", "b", "tie"))}
    )
    return _record(recipe, rest, model, scores, folds=folds, fold_ids=data.battles.ids, oof=oof)


def _record(
    recipe: Recipe,
    data: _Data,
    model: PreferenceModel,
    scores: dict[str, Any] | None,
    *,
    folds: Int | None = None,
    fold_ids: pl.Series | None = None,
    oof: pl.DataFrame | None = None,
) -> TrainedModel:
    ids = data.battles.ids if fold_ids is None else fold_ids
    kept: dict[str, Any] = {"trained_prompts": prompt_keys(data.battles).unique().sort().to_list()}
    if folds is not None:
        made = Folds(tuple(ids.to_list()), folds, recipe.training.seed)
        kept |= {"k": made.k, "seed": made.seed, "sha256": made.sha256()}
    training = Training(
        recipe=recipe.name,
        recipe_toml=recipe.to_toml(),
        fingerprint=data.battles.fingerprint(),
        n_battles=len(data.battles),
        n_groups=data.n_groups,
        swap_symmetric=model.swap_symmetric and not recipe.training.position_effect,
        features={f.name: {"label": f.label, "family": f.family} for f in contrast_features()},
        scores={"without_votes": data.without_votes} | _language_models(model) | (scores or {}),
        folds=kept,
        oof=pl.DataFrame() if oof is None else oof,
    )
    return TrainedModel(model, Training(**{**vars(training), "card": model_card(training, recipe)}))


def _language_models(model: PreferenceModel) -> dict[str, Any]:
    """What of the language models in a model is worth a record: backbone, orders, how they were run, what was cut."""
    found = [llm.record() for llm in language_models(model)]
    return {"language_models": found} if found else {}
