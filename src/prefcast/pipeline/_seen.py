"""Which prompts a model was trained on, kept as short hashes so that new votes can be told from old ones."""

from __future__ import annotations

import hashlib

import polars as pl

from prefcast.battles import Battles
from prefcast.battles._groups import normalise

__all__ = ["prompt_keys"]


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
