"""Packed attention as one Triton kernel, for scoring.

Against the general kernel (`torch.nn.attention.varlen`) it launches no empty blocks (the blocks of all sequences are
listed, the longest first), reads shared leading tokens where they stand instead of copying them, and can cap scores,
which Gemma 2 needs. It computes softmax in float32 and has no backward pass: training uses the general kernel.

The method is FlashAttention (Dao et al. 2022, arXiv:2205.14135): softmax over blocks of keys with a running maximum.
"""

# ruff: noqa: ANN001, ANN202 (arguments of a Triton kernel are its own types)
# mypy: disable-error-code=no-untyped-def

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from prefcast.models.llm._batches import TILE

__all__ = ["attend"]

_LOG2E = 1.4426950408889634  # softmax is computed with powers of 2


@triton.jit
def _block(
    q, acc, top, total, K, V, i, j0, shift, keys, start, lent, k_row, v_row, d, scale, cap,
    D: tl.constexpr, BN: tl.constexpr, CAUSAL: tl.constexpr, LEFT: tl.constexpr, CAP: tl.constexpr, MASK: tl.constexpr,
):  # fmt: skip
    j = j0 + tl.arange(0, BN)
    # The first `shift` keys are borrowed from another sequence; the others are the sequence's own tokens.
    rows = tl.where(j < shift, lent + j, start + j - shift).to(tl.int64)
    inside = (j < keys)[:, None] & (d < D)[None, :]
    k = tl.load(K + rows[:, None] * k_row + d[None, :], mask=inside, other=0.0)
    s = tl.dot(q, tl.trans(k)) * scale
    if CAP:
        s = 1.4426950408889634 * cap * (2.0 * tl.sigmoid(2.0 * s / cap) - 1.0)
    if MASK:
        seen = (j < keys)[None, :]
        behind = i[:, None] - j[None, :]
        if CAUSAL:
            seen = seen & (behind >= 0)
        if LEFT >= 0:
            seen = seen & (behind <= LEFT)
            if not CAUSAL:
                seen = seen & (behind >= -LEFT)
        s = tl.where(seen, s, -1.0e30)
    new = tl.maximum(top, tl.max(s, 1))
    p = tl.math.exp2(s - new[:, None])
    if MASK:
        p = tl.where(s > -1.0e29, p, 0.0)  # a row may see no key of this block
    fade = tl.math.exp2(top - new)
    v = tl.load(V + rows[:, None] * v_row + d[None, :], mask=inside, other=0.0)
    acc = acc * fade[:, None]
    acc = tl.dot(p.to(v.dtype), v, acc)
    return acc, new, total * fade + tl.sum(p, 1)


@triton.jit
def _kernel(
    Q, K, V, OUT, TILES, SEGMENTS, q_row, q_head, k_row, k_head, v_row, v_head, o_row, o_head, scale, cap,
    HEADS: tl.constexpr, GROUP: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    CAUSAL: tl.constexpr, LEFT: tl.constexpr, CAP: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0) // HEADS
    head = tl.program_id(0) % HEADS
    segment = tl.load(TILES + 2 * tile)
    first = tl.load(TILES + 2 * tile + 1)
    start = tl.load(SEGMENTS + 4 * segment)
    queries = tl.load(SEGMENTS + 4 * segment + 1)
    shift = tl.load(SEGMENTS + 4 * segment + 2)
    lent = tl.load(SEGMENTS + 4 * segment + 3)
    keys = queries + shift
    row = first + tl.arange(0, BM)
    d = tl.arange(0, WIDTH)
    inside = (row < queries)[:, None] & (d < D)[None, :]
    place = (start + row).to(tl.int64)[:, None]
    q = tl.load(Q + place * q_row + head * q_head + d[None, :], mask=inside, other=0.0)
    K += (head // GROUP) * k_head
    V += (head // GROUP) * v_head
    i = row + shift
    acc = tl.zeros([BM, WIDTH], dtype=tl.float32)
    top = tl.full([BM], -1.0e30, dtype=tl.float32)
    total = tl.zeros([BM], dtype=tl.float32)
    low = 0
    high = keys
    plain = (keys // BN) * BN
    if CAUSAL:
        high = tl.minimum(keys, first + BM + shift)
        plain = tl.minimum(plain, ((first + shift + 1) // BN) * BN)
    if LEFT >= 0:
        low = (tl.maximum(first + shift - LEFT, 0) // BN) * BN
        if not CAUSAL:
            high = tl.minimum(keys, first + BM + shift + LEFT)
        plain = low
    for j0 in range(low, plain, BN):
        acc, top, total = _block(
            q, acc, top, total, K, V, i, j0, shift, keys, start, lent, k_row, v_row, d, scale, cap,
            D, BN, CAUSAL, LEFT, CAP, False,
        )  # fmt: skip
    for j0 in range(plain, high, BN):
        acc, top, total = _block(
            q, acc, top, total, K, V, i, j0, shift, keys, start, lent, k_row, v_row, d, scale, cap,
            D, BN, CAUSAL, LEFT, CAP, True,
        )  # fmt: skip
    acc = acc / tl.where(total > 0, total, 1.0)[:, None]  # rows past the end see nothing and are not stored
    tl.store(OUT + place * o_row + head * o_head + d[None, :], acc.to(OUT.dtype.element_ty), mask=inside)


@torch.library.custom_op("prefcast::attend", mutates_args=())
def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    tiles: torch.Tensor,
    segments: torch.Tensor,
    scale: float,
    cap: float,
    left: int,
    causal: bool,
) -> torch.Tensor:
    """Attention inside packed sequences.

    Parameters
    ----------
    query
        (t, heads, d).
    key, value
        (t, key heads, d).
    tiles
        Sequence and first query of every block of `TILE` queries, (b, 2) int32, heavy ones first.
    segments
        Of each sequence: where its own tokens start, how many there are, how many keys it borrows, and where those
        start; (s, 4) int32.
    scale
        Of the scores.
    cap
        Scores are ``cap * tanh(score / cap)``; 0 for no cap.
    left
        How many tokens back one sees (and forth, if not causal); -1 for all.
    causal
        Whether a token sees only those before it.

    Returns
    -------
    torch.Tensor
        (t, heads, d).
    """
    out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    heads, d = query.shape[1:]
    width = max(16, triton.next_power_of_2(d))
    warps = 4 if width <= 128 else 8  # measured on an H200: 261 TFLOP/s at width 128, torch's varlen 210
    _kernel[(len(tiles) * heads,)](
        query, key, value, out, tiles, segments,
        query.stride(0), query.stride(1), key.stride(0), key.stride(1),
        value.stride(0), value.stride(1), out.stride(0), out.stride(1),
        scale if cap > 0 else scale * _LOG2E, cap,
        HEADS=heads, GROUP=heads // key.shape[1], D=d, WIDTH=width, BM=TILE, BN=32,
        CAUSAL=causal, LEFT=left, CAP=cap > 0, num_warps=warps, num_stages=3,
    )  # fmt: skip
    return out


@attend.register_fake
def _(query: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.empty(query.shape, dtype=query.dtype, device=query.device)
