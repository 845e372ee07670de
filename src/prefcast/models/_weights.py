"""How much each vote counts in training."""

from __future__ import annotations

import numpy as np
import polars as pl

from prefcast.battles import Battles
from prefcast.models._base import Float

__all__ = ["training_weights"]


def training_weights(battles: Battles, *, pair_power: float, source_power: float) -> Float:
    """Weigh votes so that neither often-judged pairs nor large sources drown the rest.

    Parameters
    ----------
    battles
        All must have votes.
    pair_power
        A vote on a pair with k votes counts ``k ** -pair_power``: 0 counts votes, 1 counts pairs.
    source_power
        A vote of a source with total weight W is multiplied by ``W ** -source_power``: 0 leaves sources as
        large as they are, 1 makes them equal.

    Returns
    -------
    Float
        Weights, (n,), with mean 1.
    """
    a, b = pl.col("response_a").list.join("\x00"), pl.col("response_b").list.join("\x00")
    frame = battles.frame.select(
        pl.col("prompt").list.join("\x00"),
        pl.min_horizontal(a, b).alias("low"),
        pl.max_horizontal(a, b).alias("high"),
        pl.col("source").fill_null(""),
        pl.col("weight"),
    )
    votes = pl.len().over("prompt", "low", "high").cast(pl.Float64)
    frame = frame.with_columns(w=pl.col("weight") * votes ** (-pair_power))
    frame = frame.with_columns(w=pl.col("w") * pl.col("w").sum().over("source") ** (-source_power))
    w = frame["w"].to_numpy().astype(np.float64)
    return np.asarray(w / w.mean())
