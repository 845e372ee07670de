"""Which files hold battles: the layouts as a table of data, and how one is recognised by its columns."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Final, Literal

from prefcast.errors import DataError

__all__ = ["LAYOUTS", "Layout", "detect", "fits", "wanted"]

_COMMON: Final[dict[str, tuple[str, ...]]] = {
    "id": ("id",),
    "model_a": ("model_a",),
    "model_b": ("model_b",),
    "both_bad": ("both_bad",),
    "weight": ("weight",),
    "source": ("source",),
    "group": ("group", "group_id"),
    "annotator": ("annotator", "judge", "judge_hash", "evaluation_session_id"),
    "language": ("language",),
    "flipped": ("flipped",),
}
_VOTES: Final = (
    ("winner_model_a", "winner_model_b", "winner_tie"),
    ("vote_a", "vote_b", "vote_tie"),
    ("winner",),
)


@dataclass(frozen=True)
class Layout:
    """One layout of battles in a table.

    Parameters
    ----------
    name
        What it is called in messages.
    texts
        How the texts stand: ``turns`` (prompt and two answers), ``conversations`` (two lists of messages) or
        ``chosen`` (a preferred and a rejected answer).
    needs
        Columns it must have.
    lacks
        Columns that tell it is another layout.
    columns
        For each column of the battles table, the names it may have in the file, best first.
    last_turn
        Column that holds the number of the turn voted on, where later turns are in the file too.
    """

    name: str
    texts: Literal["turns", "conversations", "chosen"]
    needs: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    last_turn: str | None = None

    def fits(self, present: Set[str]) -> bool:
        """Whether columns are those of this layout."""
        return set(self.needs) <= present and not set(self.lacks) & present

    def named(self, column: str, present: Sequence[str]) -> str | None:
        """Name in the file of a column of the battles table, if the file has it."""
        names = {**_COMMON, **self.columns}[column]
        return next((name for name in names if name in present), None)

    def votes(self, present: Sequence[str]) -> tuple[str, ...]:
        """Names of the vote columns in the file: three shares, one word, or none."""
        if self.texts == "chosen":
            return ()
        return next((names for names in _VOTES if set(names) <= set(present)), ())


LAYOUTS: Final = (
    # the competition's, and everything written by prefcast
    Layout("competition", "turns", needs=("prompt", "response_a", "response_b")),
    # lmsys/mt_bench_human_judgments: question_id names the prompt, not the battle; `turn` is the turn judged
    Layout(
        "mt_bench_human_judgments",
        "conversations",
        needs=("conversation_a", "conversation_b", "question_id", "judge", "turn"),
        lacks=("id", "tstamp", "anony", "language"),
        columns={"group": ("question_id",)},
        last_turn="turn",
    ),
    # lmarena-ai/arena-human-preference-100k and -140k, lmsys/chatbot_arena_conversations
    Layout(
        "arena conversations",
        "conversations",
        needs=("conversation_a", "conversation_b"),
        columns={"id": ("id", "question_id")},
    ),
    Layout("chosen and rejected", "chosen", needs=("chosen", "rejected")),
)
"""Every layout, in the order they are tried."""


def wanted() -> list[str]:
    """Names of every column that any layout reads; the others are never decoded."""
    names: dict[str, None] = {}
    for layout in LAYOUTS:
        for column in (*layout.needs, *(n for names in layout.columns.values() for n in names)):
            names[column] = None
    for group in (*_COMMON.values(), *_VOTES):
        names.update(dict.fromkeys(group))
    return list(names)


def fits(present: Sequence[str]) -> bool:
    """Whether columns are those of any layout."""
    return any(layout.fits(set(present)) for layout in LAYOUTS)


def detect(present: Sequence[str], name: str) -> Layout:
    """Recognise the layout of a table by its columns.

    Raises
    ------
    DataError
        No layout fits, some winner columns are missing, or a column stands twice.
    """
    twice = sorted({c for c in present if list(present).count(c) > 1 and c in wanted()})
    if twice:
        raise DataError(f"{name}: the column {twice[0]} stands twice; rename or remove one.", columns=twice)
    have = set(present)
    for layout in LAYOUTS:
        if layout.fits(have):
            _check_votes(have, name)
            return layout
    nearest = max(LAYOUTS, key=lambda x: len(set(x.needs) & have) / len(x.needs))
    missing = [c for c in nearest.needs if c not in have]
    shown = ", ".join(map(str, list(present)[:20])) or "no columns"
    raise DataError(
        f"{name} lacks the column{'s'[: len(missing) > 1]} {', '.join(missing)}; it has {shown}. Needed are prompt, "
        "response_a and response_b (as in the competition), or conversation_a and conversation_b, or chosen and "
        "rejected. Rename its columns, or see docs/data.md for every layout.",
        columns=missing,
    )


def _check_votes(have: set[str], name: str) -> None:
    for names in _VOTES:
        some = [c for c in names if c in have]
        if some and len(some) < len(names):
            missing = [c for c in names if c not in have]
            raise DataError(
                f"{name} has {', '.join(some)} but lacks {', '.join(missing)}: a vote needs all of {', '.join(names)}. "
                "Add the missing column, or remove the others to read the battles without votes.",
                columns=missing,
            )
