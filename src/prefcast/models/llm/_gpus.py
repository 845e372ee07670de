"""The table of well-known GPUs: what they hold and what they are rated at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prefcast.models.llm._geometry import pick, plan_data

__all__ = ["Gpu", "gpu_names", "load_gpu"]

_CAPABILITY: Final = {"int8": 8.0, "bnb-int8": 7.5, "bnb-nf4": 6.0}
"""Compute capability that a form of 8 or 4 bits needs; the others need arithmetic of their own."""


@dataclass(frozen=True)
class Gpu:
    """A device: its memory and what it is rated at.

    Parameters
    ----------
    name
        Its name.
    memory
        GiB, as its driver shows.
    capability
        CUDA compute capability; 0 for a CPU.
    fp32, bandwidth
        TFLOP/s and GB/s.
    ceiling, ceiling_from
        Share of its peak that one large matrix product reaches, and how that is known.
    source
        Where the figures are from.
    fp16, bf16, int8, float8
        Dense peaks in TFLOP/s (TOP/s); 0 if it has none.
    """

    name: str
    memory: float
    capability: float
    fp32: float
    bandwidth: float
    ceiling: float
    ceiling_from: str
    source: str
    fp16: float = 0.0
    bf16: float = 0.0
    int8: float = 0.0
    float8: float = 0.0

    def peak(self, precision: str) -> float:
        """Rated TFLOP/s of products in a precision; 0 if it cannot compute so."""
        if self.capability < _CAPABILITY.get(precision, 0.0):
            return 0.0
        own = {"fp32": self.fp32, "fp16": self.fp16, "bf16": self.bf16, "int8": self.int8, "float8": self.float8}
        return own.get(precision, max(self.fp16, self.bf16))

    @property
    def half(self) -> str:
        """The precision to use where nothing is quantized."""
        return "bf16" if self.bf16 else "fp16" if self.fp16 else "fp32"


def gpu_names() -> list[str]:
    """Names of the devices in the table."""
    return list(plan_data()["gpu"])


def load_gpu(name: str) -> Gpu:
    """Take a device from the table.

    Raises
    ------
    EngineError
        There is none of that name.
    """
    return Gpu(**pick("gpu", name.lower()))
