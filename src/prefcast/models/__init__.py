"""Preference models: battles in, probabilities of A, B and tie out."""

from prefcast.models._base import PreferenceModel

__all__ = ["PreferenceModel"]
