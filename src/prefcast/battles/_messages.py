"""Conversations as lists of messages, transcripts and chosen/rejected pairs: to turns."""

from __future__ import annotations

import hashlib
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles._problems import Log, excerpt
from prefcast.battles._turns import (
    TURNS,
    Column,
    UnreadableError,
    decode_json,
    lone_to_fffd,
    values_of,
)

__all__ = ["coin", "read_chosen", "read_conversations"]

_ROLES: Final = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
}
_SPEAKER: Final = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")
_SAID: Final = {
    "null_turn": "null message read as an empty turn",
    "null_cell": "empty cell read as one empty turn",
    "empty_list": "empty list read as one empty turn",
    "surrogate": "lone surrogate read as U+FFFD",
    "message_joined": "several messages in a row, or a system message, joined into one turn",
    "part_left_out": "content that is not text left out",
    "no_prompt": "no prompt: read as an empty one",
}


@dataclass(frozen=True)
class _Talk:
    """One conversation: what the user said, what was answered (one answer per user turn), and what was mended."""

    asked: list[str]
    answers: list[str]
    mended: set[str] = field(default_factory=set)


def read_conversations(
    a: Column, b: Column, names: tuple[str, str], log: Log, last_turn: Column | None = None
) -> pl.DataFrame:
    """Read two columns of conversations.

    Parameters
    ----------
    a, b
        Lists of messages, as values or as JSON, n each.
    names
        Their names, for the log.
    log
        Where repairs and problems go.
    last_turn
        Number of turns voted on, from 1, (n,).

    Returns
    -------
    polars.DataFrame
        ``prompt`` (of A), ``response_a``, ``response_b``: lists of strings, (n, 3).
    """
    talks_a, talks_b = _talks(a, names[0], log), _talks(b, names[1], log)
    differ = [i for i, (x, y) in enumerate(zip(talks_a, talks_b, strict=True)) if x.asked != y.asked]
    log.add("other_prompt", names[1], differ, "the user's turns differ from those of the other conversation")
    rows = [(x.asked, x.answers, y.answers) for x, y in zip(talks_a, talks_b, strict=True)]
    if last_turn is not None:
        rows = _until(rows, values_of(last_turn), log)
    return pl.DataFrame(
        {name: pl.Series([row[i] for row in rows], dtype=TURNS) for i, name in enumerate(_TEXTS)},
    )


_TEXTS: Final = ("prompt", "response_a", "response_b")
_Row = tuple[list[str], list[str], list[str]]


def _until(rows: list[_Row], last: Sequence[Any], log: Log) -> list[_Row]:
    cut: list[int] = []
    said: list[str] = []
    kept = list(rows)
    for i, (row, value) in enumerate(zip(rows, last, strict=True)):
        try:
            turn = int(value)
        except (TypeError, ValueError, OverflowError):
            continue
        if 1 <= turn < len(row[0]):
            kept[i] = (row[0][:turn], row[1][:turn], row[2][:turn])
            cut.append(i)
            said.append(f"the vote is on turn {turn} of {len(row[0])}; the turns after it are left out")
    log.add("turn_not_voted", "turn", cut, said)
    return kept


def _talks(column: Column, name: str, log: Log) -> list[_Talk]:
    talks: list[_Talk] = []
    repairs: dict[str, list[int]] = {}
    for row, value in enumerate(values_of(column)):
        try:
            talk = _talk(decode_json(value) if isinstance(value, str) else value)
        except UnreadableError as error:
            log.add(error.args[0], name, [row], error.args[1])
            talk = _Talk([""], [""])
        talks.append(talk)
        for kind in talk.mended:
            repairs.setdefault(kind, []).append(row)
    for kind, rows in repairs.items():
        log.add(kind, name, rows, _SAID[kind])
    return talks


def _talk(value: Any) -> _Talk:
    """Read one list of messages as a conversation of user turns and their answers."""
    if value is None:
        return _Talk([""], [""], {"null_cell"})
    if not isinstance(value, list | tuple):
        raise UnreadableError("wrong_type", f"not a list of messages: {reprlib.repr(value)}")
    if not value:
        return _Talk([""], [""], {"empty_list"})
    asked: list[str] = []
    answers: list[str] = []
    mended: set[str] = set()
    before: str | None = None
    for message in value:
        role, text = _message(message, mended)
        if role == before or (before == "system" and role == "user"):
            last = answers if role == "assistant" else asked
            last[-1] += "\n\n" + text
            mended.add("message_joined")
        elif role == "assistant":
            if len(asked) == len(answers):
                asked.append("")
                mended.add("no_prompt")
            answers.append(text)
        else:
            if len(asked) > len(answers):
                answers.append("")
            asked.append(text)
        before = role
    answers += [""] * (len(asked) - len(answers))
    return _Talk(asked, answers, mended)


def _message(message: Any, mended: set[str]) -> tuple[str, str]:
    if not isinstance(message, dict):
        raise UnreadableError("wrong_type", f"not a message of role and content: {reprlib.repr(message)}")
    role = _ROLES.get(str(message.get("role", message.get("from"))).lower())
    if role is None:
        raise UnreadableError("wrong_type", f"a message without a known role: {reprlib.repr(message)}")
    return role, _content(message.get("content", message.get("value")), mended)


def _content(content: Any, mended: set[str]) -> str:
    """Give the text of a message: a string, or a list of parts of which only texts are read."""
    if content is None:
        mended.add("null_turn")
        return ""
    if isinstance(content, list | tuple):
        texts = [part if isinstance(part, str) else _part(part) for part in content]
        if any(t is None for t in texts):
            mended.add("part_left_out")
        content = "\n\n".join(t for t in texts if t is not None)
    if not isinstance(content, str):
        raise UnreadableError("wrong_type", f"the content of a message is not a text: {reprlib.repr(content)}")
    text = content if content.isascii() else lone_to_fffd(content)
    if text != content:
        mended.add("surrogate")
    return text


def _part(part: Any) -> str | None:
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) and part.get("type", "text") in ("text", None) else None


def read_chosen(
    chosen: Column, rejected: Column, prompts: Column | None, flipped: npt.NDArray[np.bool_], *, as_json: bool, log: Log
) -> pl.DataFrame:
    """Read pairs of a chosen and a rejected answer.

    Parameters
    ----------
    chosen, rejected
        Texts, transcripts (``Human:`` / ``Assistant:``) or lists of messages, n each.
    prompts
        Prompts, where the file has them.
    flipped
        Whether the chosen answer stands as B, (n,).
    as_json
        Whether strings hold JSON.
    log
        Where repairs and problems go.

    Returns
    -------
    polars.DataFrame
        ``prompt``, ``response_a``, ``response_b``: lists of strings, (n, 3).
    """
    given = [None] * len(chosen) if prompts is None else values_of(prompts)
    good = _answers(chosen, given, "chosen", as_json, log)
    poor = _answers(rejected, given, "rejected", as_json, log)
    differ = [i for i, (x, y) in enumerate(zip(good, poor, strict=True)) if x.asked != y.asked]
    log.add("other_prompt", "rejected", differ, "the user's turns differ from those of the chosen conversation")
    a = [p.answers if f else g.answers for g, p, f in zip(good, poor, flipped, strict=True)]
    b = [g.answers if f else p.answers for g, p, f in zip(good, poor, flipped, strict=True)]
    asked = [g.asked for g in good]
    return pl.DataFrame(
        {name: pl.Series(v, dtype=TURNS) for name, v in zip(_TEXTS, (asked, a, b), strict=True)},
    )


def _answers(column: Column, prompts: Sequence[Any], name: str, as_json: bool, log: Log) -> list[_Talk]:
    messages: list[Any] = []
    for row, (value, prompt) in enumerate(zip(values_of(column), prompts, strict=True)):
        try:
            messages.append(_as_messages(value, prompt, as_json))
        except UnreadableError as error:
            log.add(error.args[0], name, [row], error.args[1])
            messages.append([{"role": "user", "content": ""}, {"role": "assistant", "content": ""}])
    return _talks(messages, name, log)


def _as_messages(value: Any, prompt: Any, as_json: bool) -> list[Any]:
    """Bring an answer and its prompt, however they stand, to one list of messages."""
    if isinstance(value, str) and as_json:
        value = decode_json(value)
    if isinstance(value, str) and prompt is None and _SPEAKER.match(value):
        return _transcript(value)
    said = _turns_as_messages(value, "assistant")
    if any(isinstance(m, dict) and _ROLES.get(str(m.get("role", m.get("from")))) == "user" for m in said):
        return said
    if isinstance(prompt, str) and as_json and prompt.lstrip().startswith("["):
        prompt = decode_json(prompt)
    if prompt is None:
        return said
    asked = _turns_as_messages(prompt, "user")
    if len(asked) == len(said) > 1 and all(isinstance(m, dict) and m.get("role") == "user" for m in asked):
        return [m for pair in zip(asked, said, strict=True) for m in pair]
    return [*asked, *said]


def _turns_as_messages(value: Any, role: str) -> list[Any]:
    if value is None or isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list | tuple):
        raise UnreadableError("wrong_type", f"neither a text nor a list of messages: {excerpt(reprlib.repr(value))}")
    return [{"role": role, "content": m} if m is None or isinstance(m, str) else m for m in value]


def _transcript(text: str) -> list[Any]:
    parts = _SPEAKER.split(text)[1:]
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": said.strip()} for who, said in zip(parts[::2], parts[1::2], strict=True)]


def coin(keys: Sequence[str], seed: int) -> npt.NDArray[np.bool_]:
    """Toss one coin per row that depends on the seed and the row's key alone, (n,)."""
    tossed = [hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=1).digest()[0] & 1 for key in keys]
    return np.array(tossed, dtype=np.bool_)
