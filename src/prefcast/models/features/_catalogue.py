"""What is counted in prompts and answers: names, labels for people, and families for reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ANSWER_FEATURES", "PAIR_FEATURES", "PROMPT_FEATURES", "Feature"]


@dataclass(frozen=True)
class Feature:
    """One number of a text.

    Parameters
    ----------
    name
        Its short name, in snake case.
    label
        What a person calls it.
    family
        The group it is reported in.
    count
        Whether it is a count (compared on a log scale) or a share (compared as it stands).
    """

    name: str
    label: str
    family: str
    count: bool


def _features(family: str, *rows: tuple[str, str, bool]) -> tuple[Feature, ...]:
    return tuple(Feature(name, label, family, count) for name, label, count in rows)


ANSWER_FEATURES: Final = (
    *_features(
        "length",
        ("chars", "characters", True),
        ("words", "words", True),
        ("lines", "lines", True),
        ("sentences", "sentences", True),
        ("paragraphs", "paragraphs", True),
    ),
    *_features(
        "richness",
        ("unique_words", "different words", True),
        ("type_token", "share of different words", False),
        ("root_type_token", "different words for its length", False),
        ("compression", "compression ratio", False),
        ("repeated_trigrams", "share of repeated three-word phrases", False),
        ("word_length", "mean word length", False),
        ("sentence_length", "mean sentence length", True),
        ("line_length", "mean line length", True),
        ("long_words", "share of long words", False),
    ),
    *_features(
        "markdown",
        ("headings", "headings", True),
        ("bullets", "bullet points", True),
        ("numbered", "numbered points", True),
        ("bold", "bold marks", True),
        ("code", "code marks", True),
        ("tables", "table bars", True),
        ("list_lines", "share of lines in lists", False),
    ),
    *_features(
        "characters",
        ("digits", "share of digits", False),
        ("capitals", "share of capitals", False),
        ("non_ascii", "share of characters outside ASCII", False),
        ("commas", "commas for its length", False),
        ("colons", "colons for its length", False),
        ("quotes", "quotation marks for its length", False),
        ("brackets", "brackets for its length", False),
        ("questions", "question marks", True),
        ("exclamations", "exclamation marks", True),
    ),
    *_features(
        "prompt overlap",
        ("prompt_covered", "share of the prompt's words that it uses", False),
        ("from_prompt", "share of its words that the prompt has", False),
    ),
    *_features(
        "other answer",
        ("shared_words", "share of its words that the other answer has", False),
    ),
    *_features(
        "ending",
        ("ends_sentence", "ends like a sentence", False),
        ("ends_question", "ends with a question", False),
        ("ends_open", "breaks off", False),
    ),
    *_features(
        "tone",
        ("first_person", "words such as I and my", True),
        ("second_person", "words such as you and your", True),
        ("sorry", "apologies", True),
        ("refusal", "words of refusal", True),
        ("hedges", "hedging words", True),
        ("connectives", "connecting words", True),
    ),
)
"""What is counted in each answer."""

PROMPT_FEATURES: Final = _features(
    "prompt",
    ("turns", "turns", True),
    ("prompt_words", "words of the prompt", True),
    ("prompt_lines", "lines of the prompt", True),
    ("prompt_questions", "question marks of the prompt", True),
    ("prompt_digits", "share of digits in the prompt", False),
    ("prompt_non_ascii", "share of the prompt outside ASCII", False),
    ("prompt_code", "code marks of the prompt", True),
)
"""What is counted once for both answers."""

PAIR_FEATURES: Final = _features(
    "similarity",
    ("similarity", "words that both answers have", False),
    ("phrase_similarity", "three-word phrases that both answers have", False),
    ("same_start", "answers begin alike", False),
    ("identical", "answers are the same", False),
)
"""What is counted of the two answers together; the same when they are exchanged."""
