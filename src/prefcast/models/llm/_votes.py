"""Votes on the same pair as one soft vote: the same loss for less work."""

from __future__ import annotations

import numpy as np
import polars as pl

from prefcast.battles import Battles
from prefcast.models._base import Float, Int, swap_columns

__all__ = ["merge_votes"]


def merge_votes(battles: Battles, weights: Float, *, either_order: bool) -> tuple[Int, Float, Float]:
    """Merge the votes on each pair into one soft vote with their total weight.

    Cross-entropy is linear in the vote, so the loss and its gradient stay what they were; a pair that three people
    judged is read once instead of three times.

    Parameters
    ----------
    battles
        All must have votes.
    weights
        Of the battles, (n,).
    either_order
        Whether a pair judged as A, B and as B, A is one: true where training reads both orders of every battle.

    Returns
    -------
    Int
        Row of the first battle of each pair, (m,), rising.
    Float
        Shares of A, B and tie, in that row's order of answers, (m, 3).
    Float
        Weights, (m,); their sum is that of `weights`.

    Examples
    --------
    >>> frame = pl.DataFrame({"id": ["1", "2"], "prompt": [["Hi"]] * 2, "response_a": [["Yes"], ["No"]],
    ...                       "response_b": [["No"], ["Yes"]], "vote_a": [1, 0], "vote_b": [0, 0], "vote_tie": [0, 1]})
    >>> merge_votes(Battles.from_frame(frame), np.array([3.0, 1.0]), either_order=True)
    (array([0]), array([[0.75, 0.  , 0.25]]), array([4.]))
    """
    # As lists, for a joined text could be that of two different battles.
    first, second = pl.col("response_a"), pl.col("response_b")
    exchange = battles.frame.select(first.list.join("\x00") > second.list.join("\x00")).to_series().to_numpy()
    if not either_order:
        exchange = np.zeros(len(battles), bool)
    keys = battles.frame.select(
        "prompt",
        pl.when(pl.lit(pl.Series(exchange))).then(second).otherwise(first).alias("low"),
        pl.when(pl.lit(pl.Series(exchange))).then(first).otherwise(second).alias("high"),
    )
    numbered = keys.with_row_index("row").with_columns(pl.col("row").min().over("prompt", "low", "high").alias("first"))
    rows, of = np.unique(numbered["first"].to_numpy().astype(np.int64), return_inverse=True)
    # Every vote in the order of its pair's first row.
    turned = exchange != exchange[rows][of]
    votes = np.where(turned[:, None], swap_columns(battles.votes), battles.votes)
    total: Float = np.zeros(len(rows))
    shares: Float = np.zeros((len(rows), 3))
    np.add.at(total, of, weights)
    np.add.at(shares, of, weights[:, None] * votes)
    counts = total > 0  # where nothing counts, the first vote stands for all
    return rows, np.where(counts[:, None], shares / np.where(counts, total, 1.0)[:, None], battles.votes[rows]), total
