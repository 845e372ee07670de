"""Sequences of texts tokenised in one piece and cut on the right, as the notebook's are."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from prefcast.models._base import Int, Progress
from prefcast.models.llm._encoder import TextEncoder, chunks
from prefcast.models.llm._layout import cut_frame, longest_text
from prefcast.models.llm._sequences import Sequences, TokenIds
from prefcast.models.llm._template import Template
from prefcast.models.llm._turns import Turns

if TYPE_CHECKING:
    from tokenizers import Encoding

__all__ = ["joined_sequences"]


def joined_sequences(
    turns: Turns, template: Template, encoder: TextEncoder, max_tokens: int, progress: Progress
) -> tuple[Sequences, Sequences, pl.DataFrame]:
    """Tokenise battles of one turn as one text each; takes and gives what `apart_sequences` does."""
    safe, escaped = encoder.guard.escape_all(turns.texts)
    # Votes on the same pair of answers, and a pair beside its swap, are one text each.
    places: dict[tuple[int, ...], int] = {}
    given, swapped = (
        [places.setdefault(tuple(codes), len(places)) for codes in turns.codes[:, order].tolist()]
        for order in ([0, 1, 2], [0, 2, 1])
    )
    marks = (template.prompt, template.answer_a, template.answer_b)
    pieces = [[part for mark, k in zip(marks, codes, strict=True) for part in (mark, safe[k])] for codes in places]
    most = longest_text(max_tokens)
    texts = ["".join(parts) for parts in pieces]
    long = np.array([len(text) > most for text in texts], np.bool_)
    lists, counts = _encode(encoder, [text[:most] for text in texts], pieces, progress)

    room = max_tokens - len(encoder.opening) - len(encoder.closing)
    kept = np.minimum(counts, room)
    # Differences of how many tokens begin before each end of a piece; every other piece is a mark.
    tokens, tokens_kept = (np.diff(t, axis=1, prepend=0)[given, 1::2] for t in (counts, kept))
    present = np.ones(len(given), np.bool_)
    cut = cut_frame(turns, tokens, tokens_kept, present, np.zeros(len(safe), np.bool_), escaped)
    cut = cut.with_columns(at_least=pl.Series(long[given], dtype=pl.Boolean))
    rows = [np.array([*encoder.opening, *ids[:room], *encoder.closing], np.int32) for ids in lists]
    before_answer = (len(encoder.opening) + kept[:, 2]).tolist()
    shared = [_shared(rows[a], rows[b], before_answer[a]) for a, b in zip(given, swapped, strict=True)]
    return (
        Sequences.of([rows[k] for k in given], shared),
        Sequences.of([rows[k] for k in swapped], shared),
        cut,
    )


def _encode(
    encoder: TextEncoder, texts: list[str], pieces: list[list[str]], progress: Progress
) -> tuple[list[TokenIds], Int]:
    """Token ids of each text, and how many of its tokens begin before the end of each of its six pieces."""
    lists: list[TokenIds] = []
    counts: list[list[int]] = []
    for first, last in chunks(texts):
        progress("tokenizing", first / len(texts))
        for k, one in enumerate(encoder.tokenizer.encode_batch(texts[first:last], add_special_tokens=False), first):
            ids = np.array(one.ids, np.int32)
            lists.append(encoder.mend(ids, np.array([0, len(ids)]))[0])
            counts.append([_begun(one, end, len(texts[k])) for end in accumulate(map(len, pieces[k]))])
    return lists, np.array(counts, np.int64).reshape(-1, 6)


def _begun(encoding: Encoding, end: int, length: int) -> int:
    """How many tokens begin before a character."""
    for at in range(end, length):
        token = encoding.char_to_token(at)  # none for white space that the tokenizer drops: then the next one
        if token is not None:
            span = encoding.token_to_chars(token)
            return token + (span is not None and span[0] < end)
    return len(encoding)


def _shared(one: TokenIds, other: TokenIds, most: int) -> int:
    """Leading tokens that two sequences have in common, `most` at most, and never all of them."""
    most = min(most, len(one) - 1, len(other) - 1)
    differ = np.flatnonzero(one[:most] != other[:most])
    return int(differ[0]) if len(differ) else most
