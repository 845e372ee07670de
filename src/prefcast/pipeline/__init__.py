"""Battles to a trained model, and to a file of forecasts."""

from prefcast.pipeline._predict import Forecaster, PredictReport, predict_file
from prefcast.pipeline._recipe import Member, Recipe, TrainingOptions, load_recipe, recipe_names
from prefcast.pipeline._train import train

__all__ = [
    "Forecaster",
    "Member",
    "PredictReport",
    "Recipe",
    "TrainingOptions",
    "load_recipe",
    "predict_file",
    "recipe_names",
    "train",
]
