"""What a user without torch meets: everything but language models works, and those say in one line what to install."""

import importlib.util
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from prefcast.artifact import load
from prefcast.battles import simulate, write_battles
from prefcast.cli import app

WITHOUT = """
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "peft", "accelerate", "bitsandbytes", "torchao", "vllm"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
from prefcast.cli import main

main()
"""
SAID = re.compile(r"Error: a language model needs \w+, which is not installed: pip install 'prefcast\[llm\]'\n")


def without_torch(*arguments):
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def votes(tmp_path_factory):
    path = tmp_path_factory.mktemp("votes") / "votes.csv"
    write_battles(simulate(80, seed=0).battles, path)
    return path


def test_training_one_says_what_to_install(votes, tmp_path):
    ended = without_torch("train", votes, "-o", tmp_path / "model", "--recipe", "tiny")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert SAID.fullmatch(ended.stderr), ended.stderr
    assert not (tmp_path / "model").exists()


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the llm extra to make a model")
def test_forecasting_with_one_says_what_to_install(votes, tmp_path):
    model = tmp_path / "model"
    arguments = ["train", votes, "-o", model, "--recipe", "tiny", "--full"]
    CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert load(model).model.kind == "llm"
    for command in (
        ["predict", model, votes, "-o", tmp_path / "out.csv"],
        ["compare", model, "--prompt", "Hi", "--a", "x", "--b", "y"],
    ):
        ended = without_torch(*command)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert SAID.fullmatch(ended.stderr), ended.stderr
    assert not (tmp_path / "out.csv").exists()


def test_all_else_works(votes, tmp_path):
    assert without_torch("recipes").returncode == 0
    trained = without_torch("train", votes, "-o", tmp_path / "model", "--recipe", "prior")
    assert trained.returncode == 0, trained.stderr
    assert without_torch("plan", "--backbone", "llama3-8b", "--gpu", "t4").returncode == 0
