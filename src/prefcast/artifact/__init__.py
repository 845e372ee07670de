"""Saved models: a folder with a manifest, whole or not at all, checked byte for byte when it is loaded."""

from prefcast.artifact._manifest import Manifest, read_manifest
from prefcast.artifact._model import TrainedModel, check_target, load, load_training, save
from prefcast.artifact._training import Training

__all__ = ["Manifest", "TrainedModel", "Training", "check_target", "load", "load_training", "read_manifest", "save"]
