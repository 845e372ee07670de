"""From a batch to the logits of A, B and tie: the one function that scoring and training share.

The backbone runs in whatever precision it is in; only the states at the read-out positions reach the head, and the
head is always computed in float32. Where to read is known from the lengths, never searched for by a pad token, so a pad
token that is also the end-of-text token does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch

from prefcast.errors import EngineError
from prefcast.models.llm._attention import ONE_BY_ONE, TRITON, VARLEN, attention_arguments, register
from prefcast.models.llm._batches import Batch, PackedBatch

__all__ = ["backbone", "class_logits", "classifier", "head_modules", "packed_attention", "read_out"]

_HEADS = {
    "bert": ("pooler", "classifier"),
    "deberta-v2": ("pooler", "classifier"),
    "modernbert": ("head", "classifier"),
}
"""Modules of the head by model type, in order, for encoders; a decoder's head is ``score``."""


def classifier(model: Any) -> Any:
    """Take the sequence classifier out of a PEFT or DDP wrapper; one that is not wrapped is returned as it is."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def backbone(model: Any) -> Any:
    """Find the transformer without its head."""
    core = classifier(model)
    return getattr(core, core.base_model_prefix)


def read_out(model: Any) -> str:
    """Say where an architecture is read: ``"last"`` token, ``"first"`` token, or the ``"mean"`` of all.

    Parameters
    ----------
    model
        A sequence classifier, wrapped or not.

    Returns
    -------
    str
        The position.

    Raises
    ------
    EngineError
        The architecture is none that prefcast knows how to read.
    """
    core = classifier(model)
    kind = core.config.model_type
    if kind == "modernbert":
        return "mean" if core.config.classifier_pooling == "mean" else "first"
    if kind in _HEADS:
        return "first"
    if hasattr(core, "score"):
        return "last"
    raise EngineError(
        f"{type(core).__name__} is not an architecture that prefcast can read a verdict from. Use a decoder whose "
        f"sequence classifier has a 'score' head (Llama, Mistral, Qwen, Gemma, Phi-3), or {', '.join(_HEADS)}."
    )


def head_modules(model: Any) -> list[Any]:
    """Find the modules from the read-out state to the logits, in order."""
    core = classifier(model)
    names = _HEADS.get(core.config.model_type, ("score",))
    owner = backbone(core) if core.config.model_type == "bert" else core
    return [getattr(owner if name == "pooler" else core, name) for name in names]


def class_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Compute the logits of A, B and tie.

    Parameters
    ----------
    model
        A sequence classifier with three labels, wrapped by PEFT or not. For a packed batch inside `packed_attention`.
    batch
        A batch of n sequences.

    Returns
    -------
    torch.Tensor
        Logits, (n, 3) float32, differentiable.
    """
    core = classifier(model)
    if isinstance(batch, PackedBatch):
        more = attention_arguments(core.config._attn_implementation, batch)
        arguments = {"position_ids": batch.positions, "attention_mask": None, **more}
    else:
        arguments = {"attention_mask": batch.mask}
    if read_out(core) == "last":
        arguments["use_cache"] = False
    states = backbone(core)(input_ids=batch.ids, **arguments).last_hidden_state
    return _head(core, _read(states, batch, read_out(core)))


def _read(states: torch.Tensor, batch: Batch, where: str) -> torch.Tensor:
    """Take one state of each sequence, (n, hidden)."""
    if where == "mean":
        if not isinstance(batch, PackedBatch):
            # In 16 bits 701 tokens would be counted as 700, and a sum of many large states be infinite.
            mask = batch.mask[..., None].float()
            return (states.float() * mask).sum(1) / mask.sum(1)
        return torch.stack(
            [
                states[0, a : b + 1].float().mean(0)
                for a, b in zip(batch.first.tolist(), batch.last.tolist(), strict=True)
            ]
        )
    at = batch.first if where == "first" else batch.last
    return (
        states[0].index_select(0, at)
        if isinstance(batch, PackedBatch)
        else states[torch.arange(len(at), device=at.device), at]
    )


def _head(core: Any, states: torch.Tensor) -> torch.Tensor:
    with torch.autocast(states.device.type, enabled=False):
        found = states.float()
        for name, module in zip(_HEADS.get(core.config.model_type, ("score",)), head_modules(core), strict=True):
            if name == "pooler":
                found = module(found[:, None])  # a pooler takes the first token of each sequence itself
            else:
                found = module(_dropped(core, found) if name == "classifier" else found)
    return found.float()


def _dropped(core: Any, states: torch.Tensor) -> torch.Tensor:
    drop = getattr(core, "dropout", None) or getattr(core, "drop", None)
    return states if drop is None else drop(states)


@contextmanager
def packed_attention(model: Any) -> Iterator[str]:
    """Let a model read packed batches for as long as the context lasts.

    Where gradients are enabled on entering, the attention has a backward pass.

    Parameters
    ----------
    model
        A sequence classifier, wrapped or not.

    Yields
    ------
    str
        Name of the attention in use.
    """
    register()
    core = classifier(model)
    before = core.config._attn_implementation
    name = _packed_kernel(core)
    core.set_attn_implementation(name)
    try:
        yield name
    finally:
        core.set_attn_implementation(before)


def _packed_kernel(core: Any) -> str:
    """Choose among the ways to attend inside packed sequences."""
    if next(core.parameters()).device.type != "cuda":
        return ONE_BY_ONE
    if not torch.is_grad_enabled() and find_spec("triton") is not None:
        return TRITON
    return ONE_BY_ONE if getattr(core.config, "attn_logit_softcapping", None) else VARLEN
