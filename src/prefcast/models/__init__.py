"""Preference models: battles in, probabilities of A, B and tie out."""

from prefcast.models._base import CrossFit, PreferenceModel, Progress
from prefcast.models._blend import Blend, blend_weights, log_pool
from prefcast.models._calibration import Calibrated, Calibration, fit_calibration
from prefcast.models._gbdt import GBDT
from prefcast.models._kinds import KINDS, MODEL_FORMAT, model_class, read_model, write_model
from prefcast.models._linear import Linear
from prefcast.models._prior import Prior

__all__ = [
    "GBDT",
    "KINDS",
    "MODEL_FORMAT",
    "Blend",
    "Calibrated",
    "Calibration",
    "CrossFit",
    "Linear",
    "PreferenceModel",
    "Prior",
    "Progress",
    "blend_weights",
    "fit_calibration",
    "log_pool",
    "model_class",
    "read_model",
    "write_model",
]
