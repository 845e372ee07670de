"""Which sequences go into which batch: balanced packs under a token budget, or batches of like lengths."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from prefcast.models.llm._sequences import Sequences

__all__ = ["padded_batches", "plan_packs", "shared_cost", "unique_rows"]

_Int = npt.NDArray[np.int64]


def unique_rows(sequences: Sequences) -> tuple[_Int, _Int]:
    """Find sequences that are the same tokens, so that each is computed once.

    Parameters
    ----------
    sequences
        All sequences, n of them.

    Returns
    -------
    tuple
        Rows of the m different ones, (m,), and which of those each sequence is, (n,).

    Examples
    --------
    >>> rows, of = unique_rows(Sequences.of([[1, 2], [3], [1, 2]]))
    >>> rows.tolist(), of.tolist()
    ([0, 1], [0, 1, 0])
    """
    seen: dict[bytes, int] = {}
    of = np.array([seen.setdefault(sequences[k].tobytes(), len(seen)) for k in range(len(sequences))], np.int64)
    rows = np.unique(of, return_index=True)[1]
    return rows.astype(np.int64), of


def _families(sequences: Sequences, share: bool) -> list[list[int]]:
    """Group rows by their shared leading tokens, in order of first appearance."""
    found: dict[object, list[int]] = {}
    for k in range(len(sequences)):
        n = int(sequences.prefix[k]) if share else 0
        found.setdefault(sequences[k][:n].tobytes() if n else k, []).append(k)
    return list(found.values())


def shared_cost(lengths: _Int, prefix: int) -> int:
    """Tokens to compute for sequences that share `prefix` leading tokens."""
    return int(lengths.sum() - prefix * (len(lengths) - 1))


def plan_packs(sequences: Sequences, budget: int, *, share: bool = False) -> list[_Int]:
    """Distribute sequences over as few packs as the budget allows, all about equally full.

    Parameters
    ----------
    sequences
        All sequences.
    budget
        Most tokens of a pack; a longer sequence gets a pack of its own.
    share
        Keep sequences with the same leading tokens together and count those tokens once.

    Returns
    -------
    list
        Rows of each pack, those that share tokens next to each other; every row once.

    Examples
    --------
    >>> plan = plan_packs(Sequences.of([[1] * 5, [1] * 3, [1] * 2, [1] * 4]), budget=7)
    >>> [p.tolist() for p in plan]
    [[0, 2], [3, 1]]
    """
    lengths = sequences.lengths
    units: list[tuple[int, list[int]]] = []
    for family in _families(sequences, share):
        prefix = int(sequences.prefix[family[0]]) if share else 0
        units += _split(family, lengths, prefix, budget)
    units.sort(key=lambda unit: -unit[0])
    count = max(1, -(-sum(cost for cost, _ in units) // budget))
    packs: list[list[int]] = [[] for _ in range(count)]
    heap = [(0, k) for k in range(count)]
    for cost, rows in units:
        full, k = heap[0]
        if full and full + cost > budget:  # the emptiest cannot take it, so none can
            k = len(packs)
            packs.append([])
            heapq.heappush(heap, (cost, k))
        else:
            heapq.heapreplace(heap, (full + cost, k))
        packs[k] += rows
    return [np.array(p, np.int64) for p in packs if p]


def _split(family: list[int], lengths: _Int, prefix: int, budget: int) -> list[tuple[int, list[int]]]:
    """Cut a family into units small enough that packs can be balanced."""
    limit = max(budget // 2, 1)
    units: list[tuple[int, list[int]]] = []
    rows: list[int] = []
    cost = 0
    for k in family:
        more = int(lengths[k]) - (prefix if rows else 0)
        if rows and cost + more > limit:
            units.append((cost, rows))
            rows, cost, more = [], 0, int(lengths[k])
        rows.append(k)
        cost += more
    return [*units, (cost, rows)]


def padded_batches(sequences: Sequences, budget: int) -> list[_Int]:
    """Cut sequences, sorted by length, into batches whose padded size keeps to the budget.

    Parameters
    ----------
    sequences
        All sequences.
    budget
        Most tokens of a batch, padding counted; a longer sequence is a batch of its own.

    Returns
    -------
    list
        Rows of each batch, the longest first, so that memory runs out at once if it does.
    """
    lengths = sequences.lengths
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, budget // int(lengths[order[start]]))
        batches.append(order[start : start + rows].astype(np.int64))
        start += rows
    return batches
