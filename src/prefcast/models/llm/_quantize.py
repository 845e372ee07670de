"""Eight and four bits: weights of the backbone replaced in place; the head is never touched."""

from __future__ import annotations

from typing import Any, Final

import torch

from prefcast.errors import EngineError
from prefcast.models.llm._forward import backbone
from prefcast.models.llm._need import need

__all__ = ["PRECISIONS", "dtype_of", "is_quantized", "quantize_", "refuse_narrow"]

PRECISIONS: Final = ("fp32", "bf16", "fp16", "int8", "float8", "bnb-int8", "bnb-nf4")
"""What a backbone can be run in. int8 and float8 by torchao: weights per channel, activations per token, made on the
fly. bnb-int8 and bnb-nf4 by bitsandbytes: smaller, and slower."""

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def is_quantized(precision: str) -> bool:
    """Whether a precision is fewer than 16 bits."""
    return precision not in _DTYPES


def dtype_of(precision: str, device: torch.device | str) -> torch.dtype:
    """Choose the floating-point type of everything that is not quantized."""
    if precision in _DTYPES:
        return _DTYPES[precision]
    device = torch.device(device)
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] < 8:
        return torch.float16
    return torch.bfloat16


def quantize_(model: Any, precision: str, device: torch.device | str | None = None) -> Any:
    """Replace the linear layers of a backbone, in place.

    Parameters
    ----------
    model
        A sequence classifier in a floating-point type, LoRA merged.
    precision
        One of `PRECISIONS`; a floating-point one leaves the weights as they are.
    device
        Where the model goes; None leaves it where it is. Layers go one by one, each quantized at once, so the device
        never holds the model in 16 bits.

    Returns
    -------
    Any
        The model.

    Raises
    ------
    EngineError
        No such precision, or the package or the device for it is not there.
    """
    if precision not in PRECISIONS:
        raise EngineError(f"there is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    core = backbone(model)
    to = torch.device(device) if device is not None else next(core.parameters()).device
    if precision.startswith("bnb"):
        _bitsandbytes(core, precision, to)
    elif is_quantized(precision):
        _torchao(core, precision, to)
    return model if device is None else model.to(to)


def _torchao(core: Any, precision: str, device: torch.device) -> None:
    quantization = need("torchao.quantization", f"precision {precision}")
    # torchao's own inductor settings made compiling take two minutes instead of ten seconds, and nothing faster.
    if precision == "float8":
        if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 9):
            raise EngineError(
                "float8 needs an NVIDIA GPU of compute capability 8.9 or more (L4, RTX 40, H100 and newer). "
                "Use --precision int8, or bf16."
            )
        config = quantization.Float8DynamicActivationFloat8WeightConfig(
            granularity=quantization.PerRow(), set_inductor_config=False
        )
    else:
        config = quantization.Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
    quantization.quantize_(core, config, filter_fn=lambda module, _: _suits(module), device=device)


def _suits(module: Any) -> bool:
    """Whether the kernels take a layer: a plain linear whose sides are multiples of 16."""
    return type(module) is torch.nn.Linear and module.in_features % 16 == 0 and module.out_features % 16 == 0


def _bitsandbytes(core: Any, precision: str, device: torch.device) -> None:
    bnb = need("bitsandbytes", f"precision {precision}")
    for parent in list(core.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is torch.nn.Linear:
                setattr(parent, name, _bnb_linear(bnb, child, precision, device))


def refuse_narrow(core: Any, precision: str, device: torch.device) -> None:
    """Refuse what bitsandbytes fails on without a word that helps: on a CPU it packs 64 weights of a row at a time."""
    if precision != "bnb-nf4" or device.type != "cpu":
        return
    linear = [m for m in core.modules() if isinstance(m, torch.nn.Linear)]
    # Where transformers has packed them already, the plain ones left are an adapter's.
    packed = [m for m in linear if type(m) is not torch.nn.Linear] or linear
    odd = [m.in_features for m in packed if m.in_features % 64]
    if odd:
        raise EngineError(
            f"on a CPU bnb-nf4 needs layers of a multiple of 64 inputs, and this model has some of {min(odd)}: use "
            "--precision int8 or fp32."
        )


def _bnb_linear(bnb: Any, linear: torch.nn.Linear, precision: str, device: torch.device) -> Any:
    sizes = (linear.in_features, linear.out_features, linear.bias is not None)
    weight = linear.weight.data
    if precision == "bnb-int8":
        new = bnb.nn.Linear8bitLt(*sizes, has_fp16_weights=False, threshold=6.0)
        new.weight = bnb.nn.Int8Params(weight.to(torch.float16).cpu(), requires_grad=False, has_fp16_weights=False)
    else:
        new = bnb.nn.Linear4bit(*sizes, compute_dtype=weight.dtype, quant_type="nf4", compress_statistics=True)
        new.weight = bnb.nn.Params4bit(weight.cpu(), requires_grad=False, quant_type="nf4", compress_statistics=True)
    if linear.bias is not None:
        new.bias = linear.bias
    return new.to(device)  # bitsandbytes quantizes on the way to the device
