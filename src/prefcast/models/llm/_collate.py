"""Training battles as tensors: sequences in both orders, votes that follow the order, weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from prefcast.models._base import Float, swap_columns
from prefcast.models.llm._batches import Batch, pack, pad
from prefcast.models.llm._sequences import Sequences

__all__ = ["Collator", "Part", "TrainingData", "loss_of", "mean_forecast"]

_Int = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Battles to learn from, or to look at.

    Parameters
    ----------
    sequences
        Both orders: row i is battle i as given, row n + i with A and B exchanged, (2 n).
    votes
        Shares of A, B and tie as given, (n, 3).
    weights
        Of the battles, (n,).
    """

    sequences: Sequences
    votes: Float
    weights: Float

    def __len__(self) -> int:
        return len(self.weights)

    def rows(self, battles: _Int, swapped: npt.NDArray[np.bool_] | None) -> _Int:
        """Find the sequences of m battles: both orders of each, (m, 2); or the one that `swapped` says, (m, 1)."""
        n = len(self)
        if swapped is None:
            return np.stack([battles, battles + n], axis=1)
        return (battles + n * swapped)[:, None]


@dataclass(frozen=True, eq=False)
class Part:
    """What goes through a device at once.

    Parameters
    ----------
    batch
        m battles, one after the other, each in k orders.
    votes
        Shares in the order of the sequence, (m, k, 3).
    weights
        Of the battles, (m,); those of a part that only keeps the processes in step are 0.
    """

    batch: Batch
    votes: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Collator:
    """How sequences become a batch.

    Parameters
    ----------
    device
        Where it goes.
    packed
        Packed or padded.
    pad_id
        What to pad with.
    """

    device: str
    packed: bool
    pad_id: int

    def batch(self, sequences: Sequences, rows: _Int) -> Batch:
        """Make the batch of some sequences."""
        if not self.packed:
            return pad(sequences, rows, pad_id=self.pad_id, device=self.device)
        return pack(sequences, rows, device=self.device)

    def part(self, data: TrainingData, battles: _Int, swapped: npt.NDArray[np.bool_] | None) -> Part:
        """Make a part of some battles; of none, one that counts nothing."""
        weights = data.weights[battles]
        if not len(battles):
            battles, weights = np.array([int(data.sequences.lengths[: len(data)].argmin())]), np.zeros(1)
            swapped = None if swapped is None else np.zeros(1, bool)
        rows = data.rows(battles, swapped)
        votes = np.where(
            (rows >= len(data))[:, :, None], swap_columns(data.votes[battles])[:, None], data.votes[battles][:, None]
        )
        return Part(
            self.batch(data.sequences, rows.ravel()),
            torch.tensor(votes, dtype=torch.float32, device=self.device),
            torch.tensor(weights, dtype=torch.float32, device=self.device),
        )


def loss_of(logits: torch.Tensor, part: Part, consistency: float) -> torch.Tensor:
    """Sum the weighted losses of a part's battles.

    Parameters
    ----------
    logits
        Of its sequences, (m k, 3) float32.
    part
        The part.
    consistency
        Weight of the symmetric KL divergence between the two orders.

    Returns
    -------
    torch.Tensor
        Of each battle the mean cross-entropy over its orders against the shares, plus the divergence; weighted, summed.
    """
    log_p = torch.log_softmax(logits.view(part.votes.shape), dim=-1)
    losses = -(part.votes * log_p).sum(-1).mean(-1)
    if consistency:
        first, second = log_p[:, 0], log_p[:, 1][:, [1, 0, 2]]
        losses = losses + consistency * ((first.exp() - second.exp()) * (first - second)).sum(-1) / 2
    return (losses * part.weights).sum()


def mean_forecast(logits: torch.Tensor) -> torch.Tensor:
    """Forecast battles from the logits of both their orders, (2 m, 3); (m, 3) in float64."""
    p = torch.softmax(logits.double().view(-1, 2, 3), dim=-1)
    return (p[:, 0] + p[:, 1][:, [1, 0, 2]]) / 2
