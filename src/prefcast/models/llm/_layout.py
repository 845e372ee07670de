"""Sequences laid out of pieces: each text is tokenised by itself, cut to its share, and put between the marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.errors import RecipeError
from prefcast.models._base import Int, Progress
from prefcast.models.llm._budget import Costs, Shares, share_window
from prefcast.models.llm._encoder import TextEncoder
from prefcast.models.llm._sequences import Sequences, TokenIds
from prefcast.models.llm._template import Template
from prefcast.models.llm._turns import FIELDS, Turns

__all__ = ["apart_sequences", "check_window", "cut_frame", "longest_text"]

_BLOCK: Final = 4_000_000
"""Tokens gathered at once."""

# The columns of a turn, in the order of a sequence. Empty ones have length 0.
_OPENING, _LEFT_OUT, _NEXT, _PROMPT_MARK, _PROMPT, _A_MARK, _A, _B_MARK, _B, _SUFFIX, _CLOSING, _COLUMNS = (
    0, 1, 2, 3, 4, 7, 8, 11, 12, 15, 16, 17,
)  # fmt: skip
_PLACES: Final = {"prompt": _PROMPT, "response_a": _A, "response_b": _B}


@dataclass(frozen=True, eq=False)
class _Pool:
    """Tokens of marks and texts, end to end; of u texts, where they begin and what is known of them, (u,) each.

    `head` and `tail` are how many tokens there are from the start on and up to the end: all of them, but for a
    text so long that its middle was never tokenised; its `length` is then greater than any window.
    """

    ids: TokenIds
    marks: dict[str, tuple[int, int]]
    start: Int
    size: Int
    length: Int
    head: Int
    tail: Int
    escaped: Int


def check_window(template: Template, encoder: TextEncoder, max_tokens: int) -> None:
    """Refuse a window that the fixed parts alone would fill.

    Raises
    ------
    RecipeError
        It says how many tokens are needed.
    """
    least = costs_of(template, encoder).least
    if template.cut == "right":
        around = len(encoder.opening) + len(encoder.closing) + len(encoder.marks["suffix"])
        least = around + 1
    if max_tokens < least:
        raise RecipeError(
            f"a window of {max_tokens} tokens is too small for the template {template.name!r} with this tokenizer: "
            f"its fixed parts and {template.minimum} tokens of each text need {least}. Raise max_tokens."
        )


def longest_text(max_tokens: int) -> int:
    """Characters up to which a text is tokenised whole: far beyond what any window of this size can hold."""
    return max(1 << 16, 32 * max_tokens)


def costs_of(template: Template, encoder: TextEncoder) -> Costs:
    """Count the tokens of the fixed parts."""
    sizes = {name: len(ids) for name, ids in encoder.marks.items()}
    return Costs(
        fixed=len(encoder.opening) + len(encoder.closing) + sizes["suffix"],
        marks=sizes["prompt"] + sizes["answer_a"] + sizes["answer_b"],
        next_round=sizes["next_round"],
        left_out=sizes["left_out"],
        cut=sizes["cut_mark"],
        minimum=template.minimum,
    )


def apart_sequences(
    turns: Turns, template: Template, encoder: TextEncoder, max_tokens: int, progress: Progress
) -> tuple[Sequences, Sequences, pl.DataFrame]:
    """Lay out battles whose texts are tokenised apart.

    Parameters
    ----------
    turns
        The texts of n battles.
    template
        How.
    encoder
        Made for this template.
    max_tokens
        Longest sequence.
    progress
        Told how far it is.

    Returns
    -------
    given
        The battles, n sequences.
    swapped
        The battles with A and B exchanged, n sequences.
    cut
        What was cut of each, n rows.
    """
    pool = _pool(turns.texts, encoder, max_tokens, progress)
    lengths = pool.length[turns.codes]
    if template.cut == "middle":
        shares = share_window(lengths, turns.offsets, max_tokens, costs_of(template, encoder))
    else:
        shares = Shares(np.ones(len(lengths), np.bool_), lengths)
    starts, sizes, wanted = _segments(turns, pool, shares)
    exchanged = np.arange(_COLUMNS)
    exchanged[_A : _A + 3], exchanged[_B : _B + 3] = exchanged[_B : _B + 3].copy(), exchanged[_A : _A + 3].copy()
    both = []
    for order in (np.arange(_COLUMNS), exchanged):
        at, size, want = starts[:, order], sizes[:, order], wanted[:, order]
        if template.cut == "right":
            size = _cut_right(size, want, turns.offsets, max_tokens)
        both.append((_gather(pool.ids, at, size, turns.offsets, shares.kept), size))
    (given, size), (swapped, _) = both
    kept = np.stack([size[:, k] + size[:, k + 2] for k in _PLACES.values()], axis=1)
    present = size[:, _PROMPT_MARK:_SUFFIX].sum(axis=1) > 0
    cut = cut_frame(turns, pool.size[turns.codes], kept, present, pool.head < pool.size, pool.escaped)
    return given, swapped, cut


def _pool(texts: list[str], encoder: TextEncoder, max_tokens: int, progress: Progress) -> _Pool:
    most = longest_text(max_tokens) // 2
    long = {k for k, text in enumerate(texts) if len(text) > 2 * most}
    pieces = [part for k, text in enumerate(texts) for part in ((text[:most], text[-most:]) if k in long else (text,))]
    encoded = encoder.encode(pieces, progress)
    first = np.arange(len(texts)) + np.searchsorted(np.array(sorted(long), np.int64), np.arange(len(texts)))
    is_long = np.zeros(len(texts), np.bool_)
    is_long[list(long)] = True
    last = first + is_long
    start, size = encoded.offsets[first], encoded.offsets[last + 1] - encoded.offsets[first]
    head = np.where(is_long, encoded.offsets[first + 1] - start, size)
    fixed = {"opening": encoder.opening, **encoder.marks, "closing": encoder.closing}
    marks, at = {}, len(encoded.ids)
    for name, ids in fixed.items():
        marks[name] = (at, len(ids))
        at += len(ids)
    tokens = np.concatenate([encoded.ids, *(np.array(ids, np.int32) for ids in fixed.values())])
    escaped = encoded.escaped[first] + np.where(is_long, encoded.escaped[last], 0)
    length = size + np.where(is_long, max_tokens, 0)
    return _Pool(tokens, marks, start, size, length, head, np.where(is_long, size - head, size), escaped)


def _segments(turns: Turns, pool: _Pool, shares: Shares) -> tuple[Int, Int, Int]:
    """Where in the pool each column of each turn begins, its tokens there, and its tokens if the pool had all."""
    starts = np.zeros((len(turns.codes), _COLUMNS), np.int64)
    sizes = np.zeros_like(starts)
    kept = shares.kept
    first, last = turns.offsets[:-1], turns.offsets[1:] - 1
    begins = kept & ~np.append(False, kept[:-1])
    begins[first] = kept[first]
    ends = np.zeros_like(kept)
    ends[last] = True
    cut_before = begins.copy()
    cut_before[first] = False
    marks = (
        (_OPENING, "opening", begins), (_LEFT_OUT, "left_out", cut_before), (_NEXT, "next_round", kept & ~begins),
        (_PROMPT_MARK, "prompt", kept), (_A_MARK, "answer_a", kept), (_B_MARK, "answer_b", kept),
        (_SUFFIX, "suffix", ends), (_CLOSING, "closing", ends),
    )  # fmt: skip
    for column, name, where in marks:
        at, size = pool.marks[name]
        starts[:, column], sizes[:, column] = at, np.where(where, size, 0)
    wanted = sizes.copy()
    at, size = pool.marks["cut_mark"]
    for field, column in enumerate(_PLACES.values()):
        code, share = turns.codes[:, field], shares.tokens[:, field]
        cut = kept & (pool.length[code] > share)
        left = np.maximum(share - size, 0)
        starts[:, column] = pool.start[code]
        sizes[:, column] = np.where(cut, np.minimum((left + 1) // 2, pool.head[code]), share)
        starts[:, column + 1], sizes[:, column + 1] = at, np.where(cut, size, 0)
        sizes[:, column + 2] = np.where(cut, np.minimum(left // 2, pool.tail[code]), 0)
        starts[:, column + 2] = pool.start[code] + pool.size[code] - sizes[:, column + 2]
        wanted[:, column : column + 3] = sizes[:, column : column + 3]
        # Only where the whole is cut on the right is a share greater than what was tokenised.
        sizes[:, column] = np.minimum(sizes[:, column], pool.head[code])
    return starts, sizes, wanted


def _cut_right(sizes: Int, wanted: Int, offsets: Int, max_tokens: int) -> Int:
    """Sizes of the columns when each battle loses its end, but for the suffix and what closes it."""
    body = wanted[:, :_SUFFIX]
    ends = np.cumsum(body).reshape(body.shape)
    before = ends - body
    n_turns = np.diff(offsets)
    room = max_tokens - sizes[offsets[1:] - 1, _SUFFIX:].sum(axis=1) + before[offsets[:-1], 0]
    left = np.repeat(room, n_turns)[:, None] - before
    return np.concatenate([np.clip(left, 0, sizes[:, :_SUFFIX]), sizes[:, _SUFFIX:]], axis=1)


def _gather(pool: TokenIds, starts: Int, sizes: Int, offsets: Int, kept: npt.NDArray[np.bool_]) -> Sequences:
    n = len(offsets) - 1
    if n == 0:
        return Sequences.of([])
    per_turn = sizes.sum(axis=1)
    ends = np.concatenate([[0], np.cumsum(np.add.reduceat(per_turn, offsets[:-1]))])
    ids = np.empty(ends[-1], np.int32)
    turn_ends = np.cumsum(per_turn)
    first, done = 0, 0
    while first < len(sizes):
        last = max(first + 1, int(np.searchsorted(turn_ends, done + _BLOCK, side="right")))
        size = sizes[first:last].ravel()
        end = np.cumsum(size)
        index = np.repeat(starts[first:last].ravel() - (end - size), size) + np.arange(end[-1])
        ids[done : done + end[-1]] = pool[index]
        first, done = last, done + int(end[-1])
    battle = np.repeat(np.arange(n), np.diff(offsets))
    begin = np.flatnonzero(kept & np.append(True, ~kept[:-1] | (np.diff(battle) > 0)))
    # All before the first answer is the same in both orders; one token at least is never shared, as it is read out.
    prefix = np.minimum(sizes[begin, :_A].sum(axis=1), np.diff(ends) - 1)
    return Sequences(ids, ends, prefix)


def cut_frame(
    turns: Turns,
    tokens: Int,
    kept: Int,
    kept_turns: npt.NDArray[np.bool_],
    long: npt.NDArray[np.bool_],
    escaped: Int,
) -> pl.DataFrame:
    """Say what was cut of each battle.

    Parameters
    ----------
    turns
        The texts of n battles, t turns.
    tokens, kept
        Tokens of the texts of each turn, and how many of them are in the sequence, (t, 3).
    kept_turns
        Whether any of a turn is in the sequence, (t,).
    long, escaped
        Whether a text was only tokenised at its ends, and its escapes, (texts,).

    Returns
    -------
    polars.DataFrame
        As `TokenizedBattles` describes it, without the ids.
    """

    def per_battle(values: npt.NDArray[Any]) -> Int:
        if len(turns.offsets) == 1:
            return np.empty(0, np.int64)
        return np.add.reduceat(values.astype(np.int64), turns.offsets[:-1])

    columns: dict[str, npt.NDArray[Any]] = {}
    for k, name in enumerate(FIELDS):
        columns[f"{name}_tokens"] = per_battle(tokens[:, k])
        columns[f"{name}_cut"] = per_battle(tokens[:, k] - kept[:, k])
    columns["turns"] = np.diff(turns.offsets)
    columns["turns_left_out"] = per_battle(~kept_turns)
    columns["at_least"] = per_battle(long[turns.codes].sum(axis=1)) > 0
    columns["escaped"] = per_battle(escaped[turns.codes].sum(axis=1))
    return pl.DataFrame(columns)
