"""Which battles go into which optimiser step, and in which parts a step goes through the devices.

Everything here is a pure function of the seed and the number of the step, so that a resumed run, and every process of a
distributed one, finds the same plan without being told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["StepPlan", "hold_out", "split_step"]

_Int = npt.NDArray[np.int64]


def hold_out(groups: _Int, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose whole groups that hold about a share of the battles.

    Parameters
    ----------
    groups
        Group of each battle, (n,).
    share
        Of the battles, from 0 to below 1.
    seed
        Of the choice.

    Returns
    -------
    numpy.ndarray
        True where a battle is held out, (n,).

    Examples
    --------
    >>> held = hold_out(np.array([0, 0, 1, 1, 2, 3]), 0.3, seed=1)
    >>> bool(held[0] == held[1]), int(held.sum()) in (1, 2)
    (True, True)
    """
    _, of = np.unique(groups, return_inverse=True)
    sizes = np.bincount(of)
    order = np.random.default_rng([seed, 0x5EED]).permutation(len(sizes))
    taken, limit = np.zeros(len(sizes), bool), share * len(groups)
    size = 0
    for g in order:
        # A large group must not swallow far more than the share: pass over it.
        if size + sizes[g] <= limit or (size == 0 and sizes[g] <= 2 * limit):
            taken[g] = True
            size += int(sizes[g])
    if share and not size and len(sizes) > 1:
        taken[sizes.argmin()] = True
    return np.asarray(taken[of])


@dataclass(frozen=True)
class StepPlan:
    """The battles of every optimiser step.

    Parameters
    ----------
    battles
        How many there are to train on.
    epochs
        How often each is seen.
    batch
        Most battles of a step; steps differ by one battle at most.
    seed
        Of the order.

    Examples
    --------
    >>> plan = StepPlan(battles=5, epochs=2, batch=4, seed=0)
    >>> len(plan), sorted(np.concatenate([plan.rows(k) for k in range(3)]).tolist())
    (3, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    """

    battles: int
    epochs: float
    batch: int
    seed: int

    @property
    def seen(self) -> int:
        """Battles seen in all steps together."""
        return max(1, round(self.battles * self.epochs))

    def __len__(self) -> int:
        return -(-self.seen // self.batch)

    def places(self, step: int) -> range:
        """Where in the stream of all epochs a step (from 0) stands."""
        return range(step * self.seen // len(self), (step + 1) * self.seen // len(self))

    def rows(self, step: int) -> _Int:
        """Battles of a step, in random order."""
        places = self.places(step)
        first, last = places[0] // self.battles, places[-1] // self.battles
        stream = np.concatenate(
            [np.random.default_rng([self.seed, epoch]).permutation(self.battles) for epoch in range(first, last + 1)]
        )
        start = places[0] - first * self.battles
        return np.asarray(stream[start : start + len(places)], np.int64)

    def coins(self, step: int) -> npt.NDArray[np.bool_]:
        """Throw a coin for each battle of a step."""
        return np.random.default_rng([self.seed, step, 0xC01]).random(len(self.places(step))) < 0.5


def split_step(lengths: _Int, budget: int, *, padded: bool, world: int = 1) -> list[list[_Int]]:
    """Split the battles of a step into parts that fit the token budget, for each process equally many.

    Parameters
    ----------
    lengths
        Tokens of each battle's sequences, (n, k): one row for each battle, one column for each order.
    budget
        Most tokens of a part; a battle that needs more is a part of its own.
    padded
        Whether a part costs its longest sequence times its sequences, or only its tokens.
    world
        How many processes share the step.

    Returns
    -------
    list
        For each process its parts, each the positions of its battles; a part may be empty.

    Examples
    --------
    >>> lengths = np.array([[5, 5], [2, 2], [3, 3], [4, 4]])
    >>> [[part.tolist() for part in process] for process in split_step(lengths, 14, padded=False)]
    [[[0, 1], [3, 2]]]
    >>> [[part.tolist() for part in process] for process in split_step(lengths, 14, padded=True)]
    [[[0], [3], [2, 1]]]
    """
    order = np.argsort(-lengths.max(axis=1), kind="stable")
    parts = _padded_parts(lengths, order, budget) if padded else _packed_parts(lengths, order, budget, world)
    parts += [np.empty(0, np.int64)] * (-len(parts) % world)
    return [parts[rank::world] for rank in range(world)]


def _padded_parts(lengths: _Int, order: _Int, budget: int) -> list[_Int]:
    parts, start = [], 0
    while start < len(order):
        longest = int(lengths[order[start]].max())
        size = max(1, budget // (longest * lengths.shape[1]))
        parts.append(order[start : start + size])
        start += size
    return parts


def _packed_parts(lengths: _Int, order: _Int, budget: int, world: int) -> list[_Int]:
    """Put the longest into the emptiest part; with more parts if that bursts one."""
    costs = lengths.sum(axis=1)
    order = order[np.argsort(-costs[order], kind="stable")]
    count = -(-int(costs.sum()) // budget)
    while True:
        count += -count % world
        filled = np.zeros(count, np.int64)
        parts: list[list[int]] = [[] for _ in range(count)]
        for k in order:
            emptiest = int(filled.argmin())
            parts[emptiest].append(int(k))
            filled[emptiest] += costs[k]
        if all(full <= budget or len(part) == 1 for full, part in zip(filled, parts, strict=True)):
            return [np.array(part, np.int64) for part in parts]
        count += max(1, count // 16)
