"""Training settings: every field is a recipe key, checked when given."""

import dataclasses
import re

import pytest

from prefcast.errors import RecipeError
from prefcast.models.llm._settings import TrainingSettings


def test_settings_survive_json():
    settings = TrainingSettings(lora_targets=["q_proj", "v_proj"], epochs=2)
    assert TrainingSettings.from_dict(settings.to_dict()) == settings
    assert settings.to_dict()["lora_targets"] == ["q_proj", "v_proj"]


def test_every_field_is_explained():
    for field in dataclasses.fields(TrainingSettings):
        assert re.search(rf"^    {field.name}$", TrainingSettings.__doc__, re.MULTILINE), field.name


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "lorra"}, "choose one of lora, qlora, full"),
        ({"lora_rank": 0}, "whole number from 1"),
        ({"lora_rank": 8.0}, "whole number"),
        ({"validation": 1.0}, "0.0 to 0.9"),
        ({"learning_rate": float("nan")}, "a number"),
        ({"compile": 1}, "true or false"),
        ({"warm_start": None}, "a text"),
        ({"lora_targets": "q_proj"}, "list of names"),
        ({"lora_targets": []}, "list of names"),
        ({"consistency": 0.5, "orders_in_training": "random"}, "compares both orders"),
        ({"tracker": "clearml"}, "prefcast knows trackio"),
        ({"method": "qlora", "fsdp": True}, "fsdp"),
    ],
)
def test_wrong_settings_are_refused(wrong, said):
    with pytest.raises(RecipeError, match=re.escape(said)):
        TrainingSettings(**wrong)


def test_an_unknown_key_is_refused():
    with pytest.raises(RecipeError, match="no training setting learning_rat; there are method, lora_rank"):
        TrainingSettings.from_dict({"learning_rat": 1e-4})


def test_only_what_touches_the_weights_identifies_a_run():
    one, other = TrainingSettings(log_every=1, save_every=5, tracker="wandb"), TrainingSettings()
    assert one.identity() == other.identity()
    assert TrainingSettings(batch_battles=8).identity() != other.identity()
