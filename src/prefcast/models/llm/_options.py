"""How a language model is run: what a person may choose, apart from what the model is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

from prefcast.errors import EngineError

__all__ = ["ORDERS", "EngineOptions"]

ORDERS: Final = ("both", "canonical", "given")

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "precision": ("auto", "fp32", "bf16", "fp16", "int8", "float8", "bnb-int8", "bnb-nf4"),
    "orders": ORDERS,
    "path": ("auto", "packed", "padded", "vllm"),
    "compile": ("auto", "on", "off"),
    "lora": ("merged", "apart"),
}


@dataclass(frozen=True)
class EngineOptions:
    """How to run a language model.

    Parameters
    ----------
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    precision
        Of the backbone: ``"fp32"``, ``"bf16"``, ``"fp16"``, ``"int8"``, ``"float8"``, ``"bnb-int8"``, ``"bnb-nf4"``, or
        ``"auto"`` for what the device does best. The head is always float32.
    orders
        ``"both"``: the mean of a battle read as A, B and as B, A; exactly swap-symmetric. ``"canonical"``: read once,
        in an order that the texts decide and not who was given first; half the work, exactly swap-symmetric, and
        whatever the model thinks of standing first is noise. ``"given"``: read once as given; NOT swap-symmetric.
    batch_tokens
        Most tokens in a batch; 0 chooses by the memory that is free.
    path
        ``"packed"``, ``"padded"``, ``"auto"``, or ``"vllm"``: another engine, in an environment that has it.
    compile
        ``"on"``, ``"off"``, or ``"auto"``: when the work is long enough to repay it.
    lora
        ``"merged"`` into the weights, in float32, or kept ``"apart"``.
    share
        Compute the prompt once for both orders, and for all battles of one prompt, where the path can.
    """

    device: str = "auto"
    precision: str = "auto"
    orders: str = "both"
    batch_tokens: int = 0
    path: str = "auto"
    compile: str = "auto"
    lora: str = "merged"
    share: bool = True

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise EngineError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(choices)}.")
        if self.batch_tokens < 0:
            raise EngineError(
                f"batch_tokens is {self.batch_tokens}; give a number of tokens, or 0 to let it be chosen."
            )

    def with_(self, **changes: Any) -> EngineOptions:
        """Replace some options; those given as None stay."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        unknown = sorted(set(changes) - set(values))
        if unknown:
            raise EngineError(f"a language model has no option {', '.join(unknown)}; it has {', '.join(values)}.")
        return EngineOptions(**values | {k: v for k, v in changes.items() if v is not None})
