"""The language models in a tree of models, and how they are all run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefcast.errors import EngineError
from prefcast.models._base import PreferenceModel
from prefcast.models.llm._llm import LLM

__all__ = ["language_models", "use_engine"]


def language_models(*models: PreferenceModel) -> list[LLM]:
    """Find the language models that models are made of.

    Parameters
    ----------
    *models
        Any models.

    Returns
    -------
    list[LLM]
        In order; none if there are none.
    """
    found: list[LLM] = []
    for model in models:
        found += [model] if isinstance(model, LLM) else language_models(*model.parts())
    return found


def use_engine(model: PreferenceModel, options: dict[str, Any]) -> Sequence[LLM]:
    """Choose how the language models in a model are run.

    Parameters
    ----------
    model
        Any model.
    options
        Fields of `EngineOptions`, and ``backbone``; those that are None stay as they are.

    Returns
    -------
    Sequence[LLM]
        The language models in it.

    Raises
    ------
    EngineError
        Something was chosen and there is no language model to run so.
    """
    found = language_models(model)
    chosen = {name: value for name, value in options.items() if value is not None}
    if chosen and not found:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in chosen)
        raise EngineError(f"{names}: this model has no language model in it to run so. Leave the option out.")
    for one in found:
        one.use_engine(**chosen)
    return found
