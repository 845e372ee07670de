"""Attention inside packed sequences, behind transformers' attention interface.

On a GPU scoring uses a kernel of our own, training `torch.nn.attention.varlen`, which has a backward pass; elsewhere
the sequences are taken one by one, which is exact and slow.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import torch

from prefcast.errors import EngineError
from prefcast.models.llm._batches import PackedBatch

__all__ = ["ONE_BY_ONE", "TRITON", "VARLEN", "attention_arguments", "register"]

TRITON = "prefcast_triton"
VARLEN = "prefcast_varlen"
ONE_BY_ONE = "prefcast_one_by_one"


def register() -> None:
    """Make them known to transformers; again does no harm."""
    from transformers import AttentionInterface, AttentionMaskInterface

    for name, function in ((TRITON, _triton), (VARLEN, partial(_varlen, _kernel())), (ONE_BY_ONE, _one_by_one)):
        AttentionInterface.register(name, function)
        AttentionMaskInterface.register(name, _no_mask)


def _kernel() -> Any:
    """Take torch's kernel; from torch 2.12 on it must be told that keys have fewer heads than queries."""
    from torch.nn.attention.varlen import varlen_attn

    tell = "enable_gqa" in inspect.signature(varlen_attn).parameters
    return partial(varlen_attn, enable_gqa=True) if tell else varlen_attn


def attention_arguments(name: str, batch: PackedBatch) -> dict[str, Any]:
    """What a packed batch adds to the call of the backbone; transformers hands it through to the attention."""
    if name == TRITON:
        return {"prefcast_tables": (batch.tiles, batch.segments)}
    bounds = (batch.queries, batch.keys, batch.key_rows)
    longest = (batch.longest_query, batch.longest_key)
    return {"prefcast_bounds": bounds} | ({"prefcast_longest": longest} if name == VARLEN else {})


def _no_mask(*_args: Any, **_kwargs: Any) -> None:
    """Return no mask: the bounds of the sequences do its work."""


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x[0].transpose(0, 1)  # (1, heads, t, d) -> (t, heads, d)


def _window(sliding_window: int | None, causal: bool) -> tuple[int, int]:
    """How far a token sees to its left and right; -1 is without bound. A window of w counts the token itself."""
    reach = -1 if not sliding_window else sliding_window - 1
    return (reach, 0 if causal else reach)


def _triton(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    prefcast_tables: tuple[torch.Tensor, torch.Tensor],
    **_: Any,
) -> tuple[torch.Tensor, None]:
    from prefcast.models.llm._triton import attend

    causal = getattr(module, "is_causal", True)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    left = _window(sliding_window, causal)[0]
    found = attend(_rows(query), _rows(key), _rows(value), *prefcast_tables, scale, softcap or 0.0, left, causal)
    return found[None], None


def _varlen(
    kernel: Any,
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    prefcast_bounds: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    prefcast_longest: tuple[int, int],
    **_: Any,
) -> tuple[torch.Tensor, None]:
    if softcap is not None or dropout:
        raise EngineError(
            "packed training has no dropout of attention weights and no cap of scores, and this backbone has: set "
            'path = "auto" or "padded" in the recipe.'
        )
    # Under autocast with float32 weights, rotary positions turn queries and keys, but not values, into float32 again.
    q, k, v = _rows(query).to(value.dtype), _rows(key).to(value.dtype), _rows(value)
    queries, keys, key_rows = prefcast_bounds
    if key_rows is not None:
        k, v = k.index_select(0, key_rows), v.index_select(0, key_rows)
    found = kernel(
        q,
        k,
        v,
        queries,
        keys,
        *prefcast_longest,
        scale=scaling,
        window_size=_window(sliding_window, getattr(module, "is_causal", True)),
    )
    return found[None], None


def _one_by_one(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    prefcast_bounds: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    **_: Any,
) -> tuple[torch.Tensor, None]:
    q, k, v = query[0], key[0], value[0]  # (heads, t, d)
    queries, keys, key_rows = prefcast_bounds
    if key_rows is not None:
        k, v = k.index_select(1, key_rows), v.index_select(1, key_rows)
    if k.shape[0] != q.shape[0]:
        k, v = (x.repeat_interleave(q.shape[0] // x.shape[0], 0) for x in (k, v))
    window = _window(sliding_window, getattr(module, "is_causal", True))
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    bounds_q, bounds_k = queries.tolist(), keys.tolist()
    parts = [
        _attend(q[:, a:b], k[:, c:d], v[:, c:d], window, scale, softcap, dropout if module.training else 0.0)
        for a, b, c, d in zip(bounds_q, bounds_q[1:], bounds_k, bounds_k[1:], strict=False)
        if b > a
    ]
    return torch.cat(parts, 1).transpose(0, 1)[None], None


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    window: tuple[int, int],
    scale: float,
    softcap: float | None,
    dropout: float,
) -> torch.Tensor:
    scores = (q @ k.transpose(1, 2)).float() * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    n, m = scores.shape[1:]
    # The last query stands at the last key: shared leading tokens are keys without a query.
    behind = torch.arange(m - n, m, device=q.device)[:, None] - torch.arange(m, device=q.device)
    left, right = window
    hidden = (behind > left) if left >= 0 else torch.zeros_like(behind, dtype=torch.bool)
    if right >= 0:
        hidden = hidden | (-behind > right)
    weights = torch.softmax(scores.masked_fill(hidden, float("-inf")), -1).to(q.dtype)
    return torch.nn.functional.dropout(weights, dropout) @ v
