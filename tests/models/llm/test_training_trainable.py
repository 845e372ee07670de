"""What of a model is trained, where it begins, and what a teacher adds."""

import json
import re

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from tiny import ARCHITECTURES, tiny_classifier
from training_runs import run

from prefcast.errors import DataError, RecipeError
from prefcast.models.llm._loading import head_names
from prefcast.models.llm._settings import TrainingSettings
from prefcast.models.llm._teacher import mix_teacher
from prefcast.models.llm._trainable import linear_layers, make_trainable

RANK = 4


def trainable(architecture, **settings):
    model = tiny_classifier(architecture).train()
    return make_trainable(model, TrainingSettings(lora_rank=RANK, **settings), seed=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_linear_adapts_every_layer_and_trains_the_head_whole(architecture):
    plain = tiny_classifier(architecture)
    heads = head_names(plain)
    linear = {n for n, m in plain.named_modules() if isinstance(m, torch.nn.Linear) and not n.startswith(heads)}
    model = trainable(architecture, gradient_checkpointing=False)
    adapted = {n.removeprefix("base_model.model.") for n, m in model.named_modules() if hasattr(m, "lora_A")}
    assert adapted == linear
    taught = {n for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in n or ".modules_to_save." in n for n in taught)
    for head in heads:
        inside = model.get_base_model().get_submodule(head)
        assert sum(p.numel() for p in inside.parameters() if p.requires_grad) == sum(
            p.numel() for p in plain.get_submodule(head).parameters()
        )
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)


def test_named_targets_are_adapted_and_no_other():
    model = trainable("llama", lora_targets=("o_proj", "v_proj"))
    adapted = {n.rpartition(".")[2] for n, m in model.named_modules() if hasattr(m, "lora_A")}
    assert adapted == {"o_proj", "v_proj"}


def test_a_target_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(RecipeError, match=r"Wqkv, which LlamaForSequenceClassification.*down_proj, gate_proj, k_proj"):
        trainable("llama", lora_targets=("Wqkv", "o_proj"))


def test_a_frozen_backbone_stays_in_its_precision():
    model = make_trainable(tiny_classifier("llama").bfloat16(), TrainingSettings(lora_rank=RANK), seed=0)
    kinds = {(p.requires_grad, p.dtype) for p in model.parameters()}
    # The head is float32 from `new_classifier`; here it was rounded, and what is trained is float32 again.
    assert {k for k in kinds if k[0]} == {(True, torch.float32)}
    assert (False, torch.float32) not in kinds


def test_full_trains_everything():
    assert all(p.requires_grad for p in trainable("llama", method="full").parameters())


def test_linear_layers_are_named_for_people():
    assert linear_layers(tiny_classifier("modernbert")) == ["Wi", "Wo", "Wqkv"]


def test_qlora_trains_on_a_backbone_in_four_bits(tmp_path):
    pytest.importorskip("bitsandbytes", reason="needs the quant extra: pip install 'prefcast[quant]'")
    model = run(tmp_path, method="qlora", epochs=2.0, validation=0.0, log_every=1)
    found = [line["loss"] for line in json.loads((model / "training.json").read_text())["training"]]
    assert np.mean(found[-3:]) < np.mean(found[:2])
    assert set(load_file(model / "adapter_model.safetensors")) == set(
        load_file(run(tmp_path / "lora", epochs=0.2, validation=0.0) / "adapter_model.safetensors")
    )


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_warm_start_begins_where_the_other_ended(tmp_path, method):
    still = {"method": method, "validation": 0.0}
    first = run(tmp_path / "first", **still, epochs=2.0)
    second = run(tmp_path / "second", **still, epochs=0.2, learning_rate=1e-8, warm_start=str(tmp_path / "first"))
    name = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    one, two = load_file(first / name), load_file(second / name)
    assert one.keys() == two.keys()
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 1e-6
    fresh = load_file(run(tmp_path / "fresh", **still, epochs=0.2, learning_rate=1e-8) / name)
    assert max(float((one[k] - fresh[k]).abs().max()) for k in one) > 1e-3


def test_a_warm_start_that_does_not_fit_is_refused(tmp_path):
    first = run(tmp_path / "first", epochs=0.2)
    with pytest.raises(RecipeError, match=r"do not fit: .*lora_A.* is \(4, 64\) there and \(8, 64\) here"):
        run(tmp_path / "rank", lora_rank=8, warm_start=str(first))
    with pytest.raises(RecipeError, match="holds an adapter; this method starts from a whole classifier"):
        run(tmp_path / "full", method="full", warm_start=str(first))
    with pytest.raises(RecipeError, match="no trained language model"):
        run(tmp_path / "none", warm_start=str(tmp_path / "nowhere"))


VOTES = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
IDS = pl.Series("id", ["x", "y"])
GOOD = {"id": ["y", "z", "x"], "p_a": [0.2, 0.1, 0.5], "p_b": [0.3, 0.1, 0.25], "p_tie": [0.5, 0.8, 0.25]}


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_teacher_is_mixed_in_by_id(tmp_path, suffix):
    path = tmp_path / f"soft{suffix}"
    write = {".csv": "write_csv", ".parquet": "write_parquet", ".jsonl": "write_ndjson"}[suffix]
    getattr(pl.DataFrame(GOOD), write)(path)
    mixed = mix_teacher(VOTES, IDS, str(path), 0.25)
    np.testing.assert_allclose(mixed, [[0.875, 0.0625, 0.0625], [0.05, 0.075, 0.875]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": ["y", "z", "w"]}, "for 1 of 2 battles, first for 'x'"),
        ({"id": ["y", "y", "x"]}, "knows the battle 'y' twice"),
        ({"p_a": [0.9, 0.1, 0.5]}, "sum to 1"),
        ({"p_a": [None, 0.1, 0.5]}, "first for 'y'"),
        ({"p_tie": None}, "lacks the columns p_tie"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(tmp_path, change, said):
    columns = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    pl.DataFrame(columns).write_csv(tmp_path / "soft.csv")
    with pytest.raises(DataError, match=re.escape(said)):
        mix_teacher(VOTES, IDS, str(tmp_path / "soft.csv"), 0.5)


def test_a_teacher_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="give a file that is there"):
        mix_teacher(VOTES, IDS, str(tmp_path / "soft.csv"), 0.5)
    (tmp_path / "soft.csv").write_text("id,p_a,p_b,p_tie\nx,a,0,1")
    with pytest.raises(DataError):
        mix_teacher(VOTES, IDS, str(tmp_path / "soft.csv"), 0.5)


def test_a_teacher_changes_what_is_learned(tmp_path):
    ids = [f"id-{k}" for k in range(40)]
    pl.DataFrame({"id": ids, "p_a": 0.0, "p_b": 0.0, "p_tie": 1.0}).with_columns(
        pl.col("p_a", "p_b", "p_tie").cast(pl.Float64)
    ).write_csv(tmp_path / "soft.csv")
    model = run(tmp_path / "run", teacher=str(tmp_path / "soft.csv"), teacher_weight=1.0, epochs=4.0, validation=0.0)
    found = [line["loss"] for line in json.loads((model / "training.json").read_text())["training"]]
    assert found[-1] < 0.5 < found[0]  # all ties: there is nothing to learn but that
