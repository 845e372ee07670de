"""The two input projections of a gated feed-forward block as one matrix product, since larger ones run faster."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["GatedMLP", "fuse_"]


class GatedMLP(torch.nn.Module):
    """``down(act(gate(x)) * up(x))`` with gate and up side by side in one weight.

    Parameters
    ----------
    mlp
        The block to take the weights from; it is emptied.
    """

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        gate, up = mlp.gate_proj, mlp.up_proj
        self.both = torch.nn.Linear(gate.in_features, 2 * gate.out_features, bias=False, device="meta")
        weight = torch.cat([gate.weight.data, up.weight.data])
        self.both.weight = torch.nn.Parameter(weight, requires_grad=False)
        self.down_proj, self.act_fn = mlp.down_proj, mlp.act_fn
        mlp.gate_proj = mlp.up_proj = None  # two copies of the largest weights would not fit where one does

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the block."""
        gate, up = self.both(x).chunk(2, dim=-1)
        found: torch.Tensor = self.down_proj(self.act_fn(gate) * up)
        return found


def fuse_(backbone: Any) -> Any:
    """Fuse the feed-forward blocks of a decoder where they are plain, in place; for scoring only.

    Parameters
    ----------
    backbone
        The transformer, LoRA merged, not yet quantized.

    Returns
    -------
    Any
        The backbone.
    """
    for layer in getattr(backbone, "layers", []):
        mlp = getattr(layer, "mlp", None)
        parts = [getattr(mlp, name, None) for name in ("gate_proj", "up_proj")]
        plain = all(type(p) is torch.nn.Linear and getattr(p, "bias", None) is None for p in parts)
        if plain and hasattr(mlp, "act_fn"):
            layer.mlp = GatedMLP(mlp)
    return backbone
