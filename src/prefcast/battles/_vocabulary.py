"""Words for simulated texts: a short English list, the rest made of syllables. Nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["LANGUAGES", "WORDS", "Form", "Separator", "separators", "word_table"]

WORDS: Final = 800
"""Words per language, the most frequent first."""

_ENGLISH: Final = """
the of and to a in is that for it as with on be by this are or can from at you not have an will which their one they
more if use when your all there also each how other than time may some should into used these number like such first
only its work been most over any need many make two way new what then help model data example step good between part
value however result system different set water point answer question case people place world change code list reason
school house market story history letter music language energy science method plan history light power garden river
mountain teacher student doctor engine bridge winter summer friend window table paper number colour travel recipe
budget report email python function variable table query server network planet ocean forest animal medicine
"""
_LATIN: Final = "ba ca da el fi ga ho in ja ka lo mi na or pa qua re so ta ul ve wi xa yo ze tri spa cle fen"
_CYRILLIC: Final = "ба ве го да же за ин ка ле мо на об по ра со та ур фи ха це чу шо эл ют яр при сто вра"
_HAN: Final = (
    "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多"
    "天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长知民样现分将外"
)


class Form(IntEnum):
    """How a word stands in its sentence."""

    PLAIN = 0
    COMMA = 1
    LAST = 2
    FIRST = 3
    ONLY = 4
    TYPO = 5
    BOLD = 6
    ASKED = 7


class Separator(IntEnum):
    """What stands before a word."""

    NOTHING = 0
    SPACE = 1
    PARAGRAPH = 2
    ITEM = 3
    HEADING = 4
    CODE = 5
    CODE_END = 6


@dataclass(frozen=True)
class _Language:
    name: str
    space: str
    comma: str
    stop: str
    asked: str
    share: float
    openers: tuple[str, ...]
    small_talk: tuple[str, ...]


LANGUAGES: Final = (
    _Language(
        "English", " ", ",", ".", "?", 0.88,
        ("Explain", "Write a short story about", "What is the difference between", "Summarise this text:", "How do I",
         "Give me five ideas for", "Fix this code:", "Translate into plain words:", "Act as an expert on", "Why does"),
        ("hi", "hello", "test", "Who are you?", "Tell me a joke."),
    ),
    _Language(
        "Russian", " ", ",", ".", "?", 0.06,
        ("Объясни", "Напиши рассказ про", "Как сделать", "Что такое"),
        ("привет", "Кто ты?"),
    ),
    _Language(
        "Chinese", "", "，", "。", "？", 0.06,
        ("请解释", "写一个故事：", "如何", "什么是"),
        ("你好", "你是谁？"),
    ),
)  # fmt: skip
"""The languages of simulated battles, with the share of prompts in each."""


@cache
def word_table() -> npt.NDArray[np.object_]:
    """Every word in every `Form`, (languages, `WORDS`, forms) strings."""
    rng = np.random.default_rng(20_240_516)
    words = (
        _words(rng, _LATIN.split(), _ENGLISH.split()),
        _words(rng, _CYRILLIC.split(), []),
        _words(rng, list(_HAN), []),
    )
    table = [[_forms(word, language) for word in few] for few, language in zip(words, LANGUAGES, strict=True)]
    return np.array(table, dtype=object)


def _words(rng: np.random.Generator, syllables: list[str], known: list[str]) -> list[str]:
    """The known words, then made ones: short ones first, as frequent words are short."""
    found = dict.fromkeys(known)
    while len(found) < WORDS:
        longest = 2 if len(found) < WORDS // 2 else 4
        found["".join(rng.choice(syllables, rng.integers(1, longest + 1)).tolist())] = None
    return list(found)


def _forms(word: str, language: _Language) -> list[str]:
    capital = word.capitalize()
    middle = len(word) // 2
    wrong = word + word[-1]
    if len(word) > 2:
        wrong = word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]
    forms = {
        Form.PLAIN: word,
        Form.COMMA: word + language.comma,
        Form.LAST: word + language.stop,
        Form.FIRST: capital,
        Form.ONLY: capital + language.stop,
        Form.TYPO: wrong,
        Form.BOLD: f"**{word}**",
        Form.ASKED: word + language.asked,
    }
    return [forms[form] for form in Form]


@cache
def separators() -> npt.NDArray[np.object_]:
    """Every `Separator` in every language, (languages, separators) strings."""
    rows: list[list[Any]] = [
        ["", language.space, "\n\n", "\n- ", "\n\n## ", "\n\n```\n", "\n```\n\n"] for language in LANGUAGES
    ]
    return np.array(rows, dtype=object)
