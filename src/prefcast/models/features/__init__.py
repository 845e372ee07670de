"""Turns to numbers: style counts, n-grams, and the A-B contrast of both."""

from prefcast.models.features._contrast import (
    VIEWS,
    Contrast,
    ContrastFeature,
    contrast,
    contrast_features,
    view_features,
)
from prefcast.models.features._style import ANSWER_FEATURES, PAIR_FEATURES, PROMPT_FEATURES, Feature, Style, style

__all__ = [
    "ANSWER_FEATURES",
    "PAIR_FEATURES",
    "PROMPT_FEATURES",
    "VIEWS",
    "Contrast",
    "ContrastFeature",
    "Feature",
    "Style",
    "contrast",
    "contrast_features",
    "style",
    "view_features",
]
