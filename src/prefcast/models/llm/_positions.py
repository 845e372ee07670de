"""How long a sequence an architecture can read, and from where on it reads in another way."""

from __future__ import annotations

from typing import Any

from prefcast.errors import RecipeError

__all__ = ["check_window", "position_limit", "stretched_from"]


def position_limit(config: Any) -> int | None:
    """Find the longest sequence that an architecture has positions for.

    Parameters
    ----------
    config
        Of the model.

    Returns
    -------
    int or None
        Tokens; None if positions are only relative, as DeBERTa's are.
    """
    text = config.get_text_config()
    if getattr(text, "relative_attention", False) and not getattr(text, "position_biased_input", True):
        return None
    limit = getattr(text, "max_position_embeddings", None)
    return int(limit) if limit and limit > 0 else None


def stretched_from(config: Any) -> int | None:
    """Find the length above which rotary positions change for a whole batch ("longrope", as of Phi-3).

    Transformers chooses them by the longest sequence of a batch, so shorter ones must not be in one batch with longer.

    Parameters
    ----------
    config
        Of the model.

    Returns
    -------
    int or None
        Longest sequence with the short factors; None if there is no such length.
    """
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    # One set of parameters, or one for each type of layer.
    sets = [rope, *(one for one in rope.values() if isinstance(one, dict))]
    found = [one.get("original_max_position_embeddings") for one in sets if one.get("rope_type") == "longrope"]
    known = [int(one or text.max_position_embeddings) for one in found]
    return min(known) if known else None


def check_window(config: Any, tokens: int, what: str) -> None:
    """Refuse to train on sequences that an architecture cannot read, or not all in the same way.

    Parameters
    ----------
    config
        Of the model.
    tokens
        Of the longest sequence.
    what
        Whose tokens they are, for the message.

    Raises
    ------
    RecipeError
        They are too many.
    """
    limit, bound = position_limit(config), stretched_from(config)
    if limit is not None and tokens > limit:
        raise RecipeError(
            f"llm: {what} {tokens:,} tokens, and the backbone ({config.model_type}) has positions for {limit:,}: set "
            f"max_tokens = {limit} or less."
        )
    if bound is not None and tokens > bound:
        raise RecipeError(
            f"llm: {what} {tokens:,} tokens, and the backbone ({config.model_type}) reads every battle of a batch in "
            f"another way as soon as one is longer than {bound:,}: set max_tokens = {bound} or less."
        )
