"""Battles as random token sequences, without text or tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefcast.models.llm._sequences import Sequences


@dataclass(frozen=True, eq=False)
class Pairs:
    given: Sequences
    swapped: Sequences
    exchange: np.ndarray
    identical: np.ndarray

    def take(self, rows):
        return Pairs(self.given.take(rows), self.swapped.take(rows), self.exchange[rows], self.identical[rows])

    def swap(self):
        return Pairs(self.swapped, self.given, ~self.exchange, self.identical)


def random_pairs(n: int, seed: int = 0, longest: int = 60, prompts: int = 4) -> Pairs:
    """Battles over a few prompts; the last repeats the first, the one before it has twice the same answer."""
    rng = np.random.default_rng(seed)
    opening = [np.r_[1, rng.integers(8, 260, rng.integers(3, 14))] for _ in range(prompts)]
    given, swapped, prefix = [], [], []
    for k in range(n):
        head = opening[k % prompts]
        a, b = (rng.integers(8, 260, rng.integers(2, longest // 2)) for _ in range(2))
        if k == n - 2:
            b = a
        if k == n - 1:
            given.append(given[0]), swapped.append(swapped[0]), prefix.append(prefix[0])
            continue
        for out, pair in ((given, (a, b)), (swapped, (b, a))):
            out.append(np.concatenate([head, [6], pair[0], [7], pair[1], [9, 10]]))
        prefix.append(len(head))
    identical = np.array([np.array_equal(x, y) for x, y in zip(given, swapped, strict=True)])
    exchange = np.array([x.tobytes() > y.tobytes() for x, y in zip(given, swapped, strict=True)])
    return Pairs(Sequences.of(given, prefix), Sequences.of(swapped, prefix), exchange, identical)
