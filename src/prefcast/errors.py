"""Every error prefcast raises on purpose.

::

    PrefcastError
    ├── DataError        the battles or votes given cannot be used
    ├── RecipeError      the recipe asks for something that does not exist or does not fit
    ├── ArtifactError    a saved model is missing, damaged or of another version
    └── EngineError      a model could not be run here

A message says what was given, what is needed, and what to type. The command line prints it and exits 1.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["ArtifactError", "DataError", "EngineError", "PrefcastError", "RecipeError"]


class PrefcastError(Exception):
    """Base class of every error that prefcast raises on purpose."""


class DataError(PrefcastError):
    """The battles or votes given cannot be used.

    Parameters
    ----------
    message
        What was given, what is needed, and what to type.
    rows
        The first rows at fault, counted from 0 without the header.
    columns
        The columns at fault.
    """

    def __init__(self, message: str, *, rows: Sequence[int] = (), columns: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.rows = tuple(rows)
        self.columns = tuple(columns)


class RecipeError(PrefcastError):
    """The recipe asks for something that does not exist or does not fit."""


class ArtifactError(PrefcastError):
    """A saved model is missing, damaged or of another version."""


class EngineError(PrefcastError):
    """A model could not be run here."""
