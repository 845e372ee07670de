"""A tokenizer for texts of users: without special tokens, in parallel, each text once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from prefcast.errors import EngineError
from prefcast.models._base import Progress, no_progress
from prefcast.models.llm._guard import Guard
from prefcast.models.llm._sequences import TokenIds
from prefcast.models.llm._template import Template

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Encoded", "TextEncoder", "backend_of", "chunks", "text_encoder"]

_CHUNK: Final = 4_000_000
"""Characters tokenised at once: tokenizers hold some hundred bytes per token until they are done."""
_BLANKS: Final = " \t\n\r\x0b\x0c▁"


@dataclass(frozen=True, eq=False)
class Encoded:
    """Tokens of t texts, end to end.

    Parameters
    ----------
    ids
        Token ids, (total,) int32.
    offsets
        Where each text begins, and the end of the last, (t + 1,).
    escaped
        Section marks and special tokens broken up in each text, (t,).
    """

    ids: TokenIds
    offsets: npt.NDArray[np.int64]
    escaped: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A tokenizer made safe for a template.

    Parameters
    ----------
    tokenizer
        A copy, in which texts yield no special tokens.
    guard
        Breaks up what must not stand in a text.
    forbidden
        Which token ids no text may yield, (vocabulary,).
    escape
        Token id that takes the place of a forbidden one, where all else failed.
    opening, closing
        What the tokenizer puts before and after every text: BOS or CLS, and SEP or EOS.
    marks
        Token ids of each fixed text of the template, by the name of its field.
    """

    tokenizer: Tokenizer
    guard: Guard
    forbidden: npt.NDArray[np.bool_]
    escape: int
    opening: tuple[int, ...]
    closing: tuple[int, ...]
    marks: dict[str, tuple[int, ...]]

    def encode(self, texts: Sequence[str], progress: Progress = no_progress) -> Encoded:
        """Tokenise texts of users, in parallel on all cores (``RAYON_NUM_THREADS`` sets how many)."""
        safe, escaped = self.guard.escape_all(texts)
        parts = [np.empty(0, np.int32)]
        for first, last in chunks(safe):
            progress("tokenizing", first / len(safe))
            batch = self.tokenizer.encode_batch_fast(safe[first:last], add_special_tokens=False)
            parts += [np.array(one.ids, dtype=np.int32) for one in batch]
        offsets = np.cumsum([len(part) for part in parts], dtype=np.int64)
        ids, texts_hit = self.mend(np.concatenate(parts), offsets)
        np.add.at(escaped, texts_hit, 1)
        return Encoded(ids, offsets, escaped)

    def mend(self, ids: TokenIds, offsets: npt.NDArray[np.int64]) -> tuple[TokenIds, npt.NDArray[np.int64]]:
        """Replace forbidden ids that a tokenizer made all the same, and say in which texts, one entry for each."""
        at = np.flatnonzero(self.forbidden[ids])
        if len(at):
            ids = ids.copy()
            ids[at] = self.escape
        return ids, np.searchsorted(offsets, at, side="right") - 1


def backend_of(tokenizer: Any) -> Tokenizer:
    """Give the `tokenizers.Tokenizer` inside a fast tokenizer of transformers, or the thing itself.

    Raises
    ------
    EngineError
        It has none.
    """
    from tokenizers import Tokenizer

    backend = tokenizer if isinstance(tokenizer, Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise EngineError(
            f"a tokenizer of type {type(tokenizer).__name__} cannot be used: prefcast needs a fast one, "
            "with a tokenizer.json. Save it as one with transformers, or choose a backbone that has one."
        )
    return backend


def text_encoder(tokenizer: Any, template: Template) -> TextEncoder:
    """Make a tokenizer safe for texts of users.

    Added tokens are never made of them, special or not (such as ``<think>``), unless they are only white space: runs
    of spaces and newlines, for which some vocabularies have added tokens, cannot be mistaken for anything.

    Parameters
    ----------
    tokenizer
        A fast tokenizer of transformers, or a `tokenizers.Tokenizer`; left as it is.
    template
        Whose marks are protected.

    Returns
    -------
    TextEncoder
        With its own copy of the tokenizer.

    Raises
    ------
    EngineError
        There is no fast tokenizer, or it cannot write the marks of the template.
    """
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(backend_of(tokenizer).to_str())
    copy.no_padding()
    copy.no_truncation()
    copy.encode_special_tokens = False
    unknown = _unknown(copy)
    opening, closing = _around(copy)
    marks = _marks(copy, template, unknown)
    added = {i: t for i, t in copy.get_added_tokens_decoder().items() if t.content.strip(_BLANKS) and i != unknown}
    # To tokenizers, only tokens that are special can be switched off; none gets a new id by this.
    copy.add_special_tokens(list(added.values()))
    copy.encode_special_tokens = True
    known = set(added) | (set(getattr(tokenizer, "all_special_ids", ())) - {unknown})
    forbidden = np.zeros(max([copy.get_vocab_size(), *(i + 1 for i in known)]), np.bool_)
    forbidden[list(known)] = True
    guard = Guard((*template.marks, *_leaks(copy, [t.content for t in added.values()], forbidden)), template.escape)
    escape = [i for i in copy.encode(template.escape, add_special_tokens=False).ids if not forbidden[i]]
    if not escape:
        raise EngineError(f"the tokenizer cannot write {template.escape!r}, the escape of the template: change it.")
    return TextEncoder(copy, guard, forbidden, escape[-1], opening, closing, marks)


def _leaks(tokenizer: Tokenizer, contents: list[str], forbidden: npt.NDArray[np.bool_]) -> list[str]:
    """Special tokens that the model itself makes of their text: SentencePiece vocabularies contain theirs."""
    dressed = [form for content in contents for form in (content, f"x{content}x")]
    found = [
        bool(forbidden[one.ids].any()) if len(one.ids) else False
        for one in tokenizer.encode_batch_fast(dressed, add_special_tokens=False)
    ]
    return [content for k, content in enumerate(contents) if found[2 * k] or found[2 * k + 1]]


def _unknown(tokenizer: Tokenizer) -> int | None:
    """Id of the token of unknown characters: texts may yield it."""
    token = getattr(tokenizer.model, "unk_token", None)
    if token is not None:
        return tokenizer.token_to_id(token)
    # A Unigram model does not say. No vocabulary has this character, which is reserved for private use.
    added = tokenizer.get_added_tokens_decoder()
    return next((i for i in tokenizer.encode("\U0010fffd", add_special_tokens=False).ids if i in added), None)


def _around(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts before and after a text."""
    for text in ("a", "0", "the"):
        inner = tokenizer.encode(text, add_special_tokens=False).ids
        outer = tokenizer.encode(text, add_special_tokens=True).ids
        for k in range(len(outer) - len(inner) + 1):
            if inner and outer[k : k + len(inner)] == inner:
                return tuple(outer[:k]), tuple(outer[k + len(inner) :])
    raise EngineError(
        "the tokenizer changes a text when it adds its special tokens, so that they cannot be told from it: "
        "choose another backbone."
    )


def _marks(tokenizer: Tokenizer, template: Template, unknown: int | None) -> dict[str, tuple[int, ...]]:
    fields = ("prompt", "answer_a", "answer_b", "next_round", "suffix", "cut_mark", "left_out")
    texts = {name: getattr(template, name) for name in fields}
    marks = {name: tuple(tokenizer.encode(text, add_special_tokens=False).ids) for name, text in texts.items()}
    # Newlines may be unknown: what must be read is what stands between them.
    words = {
        name: tokenizer.encode(" ".join(text.split()), add_special_tokens=False).ids for name, text in texts.items()
    }
    bad = next((name for name in fields if unknown in words[name]), None)
    if marks["answer_a"] == marks["answer_b"]:
        bad = "answer_b"
    if bad is not None:
        raise EngineError(
            f"the tokenizer cannot write {texts[bad]!r}, the {bad} of the template {template.name!r}: its vocabulary "
            "lacks some of the characters. Give a template of your own with other marks."
        )
    return marks


def chunks(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Slices of texts to tokenise at once: first and last + 1."""
    first, size = 0, 0
    for k, text in enumerate(texts):
        size += len(text)
        if size >= _CHUNK or k + 1 == len(texts):
            yield first, k + 1
            first, size = k + 1, 0
