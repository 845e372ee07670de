"""Text to tokens, once: battles in, token sequences of both orders and a report of what was cut out."""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles import Battles
from prefcast.models._base import Progress, no_progress
from prefcast.models.llm._encoder import text_encoder
from prefcast.models.llm._joined import joined_sequences
from prefcast.models.llm._layout import apart_sequences, check_window
from prefcast.models.llm._template import Template, load_template
from prefcast.models.llm._token_cache import TokenCache, cache_key
from prefcast.models.llm._tokenized import TokenizedBattles
from prefcast.models.llm._turns import FIELDS, Turns

__all__ = ["TokenCache", "TokenizedBattles", "cut_summary", "tokenize"]

_NAMES: Final = {"prompt": "prompts", "response_a": "answers A", "response_b": "answers B"}


def tokenize(
    battles: Battles,
    template: str | Path | Template,
    tokenizer: Any,
    max_tokens: int,
    *,
    cache: TokenCache | None = None,
    progress: Progress = no_progress,
) -> TokenizedBattles:
    """Turn battles into token sequences, both orders of each.

    Parameters
    ----------
    battles
        Any battles; votes are not read.
    template
        Its name, path, or itself.
    tokenizer
        A fast tokenizer of transformers, or a `tokenizers.Tokenizer`; left as it is.
    max_tokens
        Longest sequence, special tokens included.
    cache
        Where the result is kept, and taken from if it is there.
    progress
        Told how far it is.

    Returns
    -------
    TokenizedBattles
        No sequence is longer than `max_tokens`, none has padding.

    Raises
    ------
    EngineError
        The tokenizer cannot be used.
    RecipeError
        There is no such template, or the window is too small for it.
    """
    template = load_template(template)
    key = None if cache is None else cache_key(battles, template, tokenizer, max_tokens)
    known = None if cache is None or key is None else cache.get(key)
    if known is not None:
        return known
    encoder = text_encoder(tokenizer, template)
    check_window(template, encoder, max_tokens)
    turns = Turns.of(battles)
    exchange, identical = _canonical(turns)
    if template.layout == "fields":
        turns = turns.join(template.join)
    sequences = joined_sequences if template.joined else apart_sequences
    given, swapped, cut = sequences(turns, template, encoder, max_tokens, progress)
    progress("tokenizing", 1.0)
    made = TokenizedBattles(given, swapped, exchange, identical, cut.insert_column(0, battles.ids))
    if cache is not None and key is not None:
        cache.put(key, made)
    return made


def cut_summary(cut: pl.DataFrame) -> str:
    """Say in a sentence or two what was cut.

    Parameters
    ----------
    cut
        `TokenizedBattles.cut`.

    Returns
    -------
    str
        For people.

    Examples
    --------
    >>> columns = {f"{f}_{what}": [10, 10] for f in ("prompt", "response_a", "response_b") for what in ("tokens",)}
    >>> columns |= {"prompt_cut": [0, 0], "response_a_cut": [0, 5], "response_b_cut": [0, 1]}
    >>> columns |= {"turns_left_out": [0, 0], "at_least": [False, False], "escaped": [0, 0]}
    >>> cut_summary(pl.DataFrame(columns))
    '1 of 2 battles cut: 0.0 % of the tokens of prompts, 25.0 % of answers A, 5.0 % of answers B.'
    """
    is_cut = pl.any_horizontal(pl.col(f"{name}_cut") > 0 for name in FIELDS)
    rows = cut.filter(is_cut).height
    if rows:
        shares: list[str] = []
        for name in FIELDS:
            lost, total = int(cut[f"{name}_cut"].sum()), int(cut[f"{name}_tokens"].sum())
            shares.append(f"{100 * lost / max(total, 1):.1f} % of {'the tokens of ' * (not shares)}{_NAMES[name]}")
        said = f"{rows:,} of {cut.height:,} battles cut: {', '.join(shares)}."
    else:
        said = f"None of {cut.height:,} battles cut."
    left_out = cut.filter(pl.col("turns_left_out") > 0)
    if left_out.height:
        said += f" Early turns left out: {int(left_out['turns_left_out'].sum()):,}, in {left_out.height:,} of them."
    if cut["at_least"].any():
        said += f" {int(cut['at_least'].sum()):,} battles with texts so long that only their ends were counted."
    escaped = int((cut["escaped"] > 0).sum())
    if escaped:
        said += f" {escaped:,} battles whose texts contain marks of the template, broken up."
    return said


def _canonical(turns: Turns) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether B comes first in an order that knows only the answers, and whether they are the same, (n,) each."""
    digests = [blake2b(text.encode(), digest_size=16).digest() for text in turns.texts]
    columns = turns.codes[:, 1:].T.tolist()
    bounds = turns.offsets.tolist()
    keys = [
        # One turn is its own digest; of several, each has the same length, so that they can simply be joined.
        [b"".join([digests[k] for k in column[a:b]]) for a, b in pairwise(bounds)]
        for column in columns
    ]
    exchange = np.array([b < a for a, b in zip(*keys, strict=True)], np.bool_)
    identical = np.array([a == b for a, b in zip(*keys, strict=True)], np.bool_)
    return exchange, identical
