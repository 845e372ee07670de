"""Forecast which of two chatbot answers people will prefer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefcast.errors import ArtifactError, DataError, EngineError, PrefcastError, RecipeError

if TYPE_CHECKING:
    from prefcast.artifact import load as load
    from prefcast.battles import Battles as Battles
    from prefcast.battles import read_battles as read_battles
    from prefcast.battles import simulate as simulate
    from prefcast.evaluation import evaluate as evaluate
    from prefcast.pipeline import train as train

__version__ = "0.1.0.dev0"

__all__ = [
    "ArtifactError",
    "Battles",
    "DataError",
    "EngineError",
    "PrefcastError",
    "RecipeError",
    "__version__",
    "evaluate",
    "load",
    "read_battles",
    "simulate",
    "train",
]

_LAZY = {
    "Battles": "prefcast.battles",
    "evaluate": "prefcast.evaluation",
    "load": "prefcast.artifact",
    "read_battles": "prefcast.battles",
    "simulate": "prefcast.battles",
    "train": "prefcast.pipeline",
}
"""Where the public names live that would make ``import prefcast`` slow; imported when first asked for (PEP 562)."""


def __dir__() -> list[str]:
    return __all__


if not TYPE_CHECKING:  # A type checker that saw this would accept any name.

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
