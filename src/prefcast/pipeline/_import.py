"""Weights that were trained elsewhere, as a trained model of prefcast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefcast.artifact import TrainedModel, Training
from prefcast.models.llm._need import need
from prefcast.pipeline._card import imported_card
from prefcast.pipeline._recipe import Member, Recipe

__all__ = ["import_notebook"]


def import_notebook(
    base: str,
    tokenizer: str,
    weights: str | Path,
    *,
    rank: int = 16,
    alpha: float = 32.0,
    dropout: float = 0.1,
    targets: Sequence[str] = ("o_proj", "v_proj"),
    max_tokens: int = 2048,
    orders: str = "both",
    merge: bool = False,
) -> TrainedModel:
    """Turn a backbone, a tokenizer and a state dict, as the notebook loads them, into a trained model.

    Parameters
    ----------
    base
        Folder or hub name of the backbone.
    tokenizer
        Folder of the tokenizer.
    weights
        What ``torch.save`` wrote of the adapter and the head. It is read without running code that it may hold.
    rank, alpha, dropout, targets
        Of the adapter.
    max_tokens
        Longest sequence.
    orders
        ``"both"``; ``"canonical"``; or ``"given"`` as the notebook, which gives up swap symmetry.
    merge
        Merge the adapter into the backbone, so that the model needs none beside it.

    Returns
    -------
    TrainedModel
        With the notebook's template and no scores: nobody knows here what it was trained on.

    Raises
    ------
    ArtifactError
        A tensor is missing, unknown, misshapen or untrained.
    EngineError
        torch is not installed, or the backbone is not there.

    Examples
    --------
    >>> import prefcast.pipeline
    >>> trained = prefcast.pipeline.import_notebook(
    ...     "llama-3/8b-chat-hf", "lmsys-model/tokenizer", "lmsys-model/model")  # doctest: +SKIP
    """
    need("torch", "importing a language model")
    from prefcast.models.llm._notebook_import import notebook_llm

    model = notebook_llm(
        base, tokenizer, Path(weights), rank=rank, alpha=alpha, dropout=dropout, targets=targets,
        max_tokens=max_tokens, orders=orders, merge=merge,
    )  # fmt: skip
    recipe = Recipe(
        name="imported-notebook",
        description="Weights of the notebook's language model, trained elsewhere.",
        members=(Member(kind="llm", **model.params()),),
    )
    training = Training(
        recipe=recipe.name,
        recipe_toml=recipe.to_toml(),
        swap_symmetric=model.swap_symmetric,
        scores={"without_votes": 0, "language_models": [model.record()]},
    )
    return TrainedModel(model, Training(**{**vars(training), "card": imported_card(training, recipe)}))
