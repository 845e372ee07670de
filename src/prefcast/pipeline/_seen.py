"""Which prompts a model was trained on, kept as short hashes so that new votes can be told from old ones."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.artifact import Training
from prefcast.battles import Battles
from prefcast.battles._groups import normalise

__all__ = ["prompt_keys", "seen_prompts"]


def seen_prompts(training: Training, battles: Battles) -> npt.NDArray[np.bool_]:
    """Tell which battles stand on a prompt whose votes the model was trained or calibrated on.

    Parameters
    ----------
    training
        The record of the training.
    battles
        n battles.

    Returns
    -------
    npt.NDArray[np.bool_]
        (n,). Prompts are compared as `prompt_keys` reads them: one that is only nearly the same is not found.
    """
    known = list(training.folds.get("trained_prompts", ()))
    return prompt_keys(battles).is_in(known).to_numpy()


def prompt_keys(battles: Battles) -> pl.Series:
    """Hash the first message of each battle, as it reads without case, space and punctuation.

    Parameters
    ----------
    battles
        n battles.

    Returns
    -------
    pl.Series
        16 hexadecimal digits for each, (n,), named ``prompt``.

    Examples
    --------
    >>> rows = [{"prompt": p, "response_a": "Yes", "response_b": "No"} for p in ("Say hi!", "say  HI")]
    >>> from prefcast.battles import read_battles
    >>> prompt_keys(read_battles(rows)).to_list()
    ['53eae7058490affd', '53eae7058490affd']
    """
    texts = normalise(battles.frame["prompt"].list.first().fill_null(""))
    keys = {t: hashlib.sha256(t.encode()).hexdigest()[:16] for t in texts.unique().to_list()}
    return pl.Series("prompt", [keys[t] for t in texts.to_list()], dtype=pl.String)
