"""Battles to a trained model, and to a file of forecasts."""

from prefcast.pipeline._calibrate import LEAST_PROMPTS, Recalibration, calibrate
from prefcast.pipeline._files import read_files
from prefcast.pipeline._predict import Forecaster, PredictReport, predict_file
from prefcast.pipeline._recipe import Member, Recipe, TrainingOptions, load_recipe, recipe_names
from prefcast.pipeline._train import train

__all__ = [
    "LEAST_PROMPTS",
    "Forecaster",
    "Member",
    "PredictReport",
    "Recalibration",
    "Recipe",
    "TrainingOptions",
    "calibrate",
    "load_recipe",
    "predict_file",
    "read_files",
    "recipe_names",
    "train",
]
