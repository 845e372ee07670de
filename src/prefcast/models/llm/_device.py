"""Where a language model runs, and in what precision, if nothing else is said."""

from __future__ import annotations

import os
import re

from prefcast.errors import EngineError
from prefcast.models.llm._need import need

__all__ = ["choose_device", "choose_precision"]


def choose_device(asked: str) -> str:
    """Choose where to run: the GPU if there is one."""
    torch = need("torch")
    if asked != "auto":
        if not re.fullmatch(r"cpu|cuda(:\d+)?", asked):
            raise EngineError(f"there is no device {asked!r}; choose cpu, cuda, or one of several GPUs such as cuda:1.")
        if asked.startswith("cuda") and not torch.cuda.is_available():
            raise EngineError(f"the device {asked} was asked for, and torch sees no GPU here. Use --device cpu.")
        if asked.startswith("cuda:") and int(asked[5:]) >= torch.cuda.device_count():
            last = torch.cuda.device_count() - 1
            raise EngineError(f"the device {asked} was asked for; the GPUs here are cuda:0 to cuda:{last}.")
        return asked
    # Started by torchrun, each process has a GPU of its own: not all of them the first.
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}" if torch.cuda.is_available() else "cpu"


def choose_precision(asked: str, device: str) -> str:
    """Choose in what to compute: what the device is built for, and nothing that changes a verdict."""
    if asked != "auto":
        return asked
    if not device.startswith("cuda"):
        return "fp32"  # 16 bits are slow on most CPUs
    return "bf16" if need("torch").cuda.get_device_capability(device)[0] >= 8 else "fp16"
