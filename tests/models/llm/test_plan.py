"""What `prefcast plan` reckons, against published sizes, real tiny models and measured speeds."""

import json
import math

import numpy as np
import pytest
from tiny import ARCHITECTURES, DECODERS, tiny_config, tiny_tokenizer
from transformers import AutoModelForSequenceClassification

from prefcast.battles import simulate
from prefcast.errors import EngineError
from prefcast.models.llm._engine import _WORTH_COMPILING
from prefcast.models.llm._geometry import Geometry, backbone_names, load_geometry, plan_data
from prefcast.models.llm._gpus import gpu_names, load_gpu
from prefcast.models.llm._options import EngineOptions
from prefcast.models.llm._plan import GIB, JOBS, PLAN_PRECISIONS, Job, best_plan, plan, remedies
from prefcast.models.llm._workload import Workload, find_tokenizer

LLAMA = load_geometry("llama3-8b")
WORK = Workload.typical(25_000)


@pytest.mark.parametrize("name", backbone_names())
def test_sizes_are_the_published_ones(name):
    published = plan_data()["backbone"][name]
    geometry = load_geometry(name)
    head = geometry.vocab * geometry.hidden if published.get("lm_head") else 0
    assert (geometry.parameters + head) / 1e9 == pytest.approx(published["parameters"], rel=0.007)


def tiny(architecture, folder, **changes):
    model = AutoModelForSequenceClassification.from_config(tiny_config(architecture, **changes))
    model.config.save_pretrained(folder)
    return model, load_geometry(folder)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sizes_are_those_of_a_real_model(architecture, tmp_path):
    model, geometry = tiny(architecture, tmp_path)
    matrices = {
        n: p
        for n, p in model.named_parameters()
        if p.dim() == 2 and "layer" in n and "embed" not in n and "norm" not in n
    }
    assert geometry.linear == sum(p.numel() for p in matrices.values())
    assert geometry.causal == (architecture in DECODERS)
    assert geometry.whole_scores == (architecture in ("gemma2", "deberta-v2"))


def test_an_adapter_is_as_large_as_a_real_one(tmp_path):
    from peft import LoraConfig, get_peft_model

    model, geometry = tiny("qwen3", tmp_path)
    targets = ["q_proj", "v_proj", "down_proj"]
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=targets))
    real = sum(p.numel() for n, p in adapted.named_parameters() if "lora_" in n)
    assert geometry.lora(4, targets) == real
    with pytest.raises(EngineError, match=r"no module w_q; it has q_proj"):
        geometry.lora(4, ["w_q"])


def test_operations_are_two_a_weight_and_token_and_the_attention():
    lengths = np.array([100.0, 700.0])
    expected = 2 * LLAMA.linear * 800 + 2 * 32 * 32 * 128 * (100**2 + 700**2)
    assert LLAMA.flops(lengths) == pytest.approx(expected)


@pytest.mark.parametrize(("precision", "pairs_per_second"), [("bf16", 64.87), ("float8", 103.86), ("int8", 72.42)])
def test_an_h200_scores_as_fast_as_measured(precision, pairs_per_second):
    # The 512 pairs of the measurement, 50 times: enough to be worth compiling.
    drawn = np.random.default_rng(0).normal(math.log(560), 0.75, 512)
    lengths = np.clip(np.exp(drawn), 40, 2048).astype(int).astype(float)
    found = plan(LLAMA, load_gpu("h200"), Workload(lengths, 25_600, 0.15, ""), Job(precision=precision, orders="given"))
    assert 25_600 / found.seconds["scoring"] == pytest.approx(pairs_per_second, rel=0.05)


def test_every_combination_has_an_answer():
    for gpu in map(load_gpu, gpu_names()):
        for geometry in (LLAMA, load_geometry("gemma2-9b"), load_geometry("modernbert-base")):
            for kind in JOBS:
                precisions = PLAN_PRECISIONS if kind == "scoring" else ["auto"]
                for found in (plan(geometry, gpu, WORK, Job(kind, precision=p)) for p in precisions):
                    assert found.fits == (not found.why_not) == bool(found.seconds)
                    assert found.fits == math.isfinite(found.time)
                    assert not found.path or (0 < found.share < 1 and found.share_from)
                    json.dumps(found.to_dict(), allow_nan=False)


def test_the_tables_say_where_each_figure_is_from():
    assert all(gpu["source"] and gpu["ceiling_from"] for gpu in plan_data()["gpu"].values())
    assert all(row["from"].startswith(("measured", "assumed")) for row in plan_data()["share"])
    assert plan_data()["assumed"]["worth_compiling"] == _WORTH_COMPILING, "the engine compiles from another amount on"
    for precision in PLAN_PRECISIONS:
        EngineOptions(precision=precision)


@pytest.mark.parametrize("job", [Job(precision="bf16"), Job("lora"), Job("qlora"), Job("lora", checkpointing=False)])
def test_the_largest_batch_fits_and_no_larger(job):
    gpu, at = load_gpu("rtx4090"), lambda n: plan(LLAMA, gpu, WORK, Job(**{**vars(job), "batch_tokens": n}))
    largest = plan(LLAMA, gpu, WORK, job).largest_batch
    assert at(largest).fits if largest else not at(2048).fits
    assert not at(largest + 128).fits


def test_two_t4_of_the_competition():
    t4 = load_gpu("t4")
    fp16, int8 = (plan(LLAMA, t4, WORK, Job(precision=p, gpus=2)) for p in ("fp16", "bnb-int8"))
    assert not fp16.fits
    assert "needs 14.4 GiB" in fp16.why_not
    assert int8.fits
    assert int8.path == "padded"
    assert int8.time < 9 * 3600
    assert best_plan(LLAMA, t4, WORK, Job(gpus=2)).precision == "bnb-int8"
    assert "no arithmetic for bf16" in plan(LLAMA, t4, WORK, Job(precision="bf16")).why_not
    assert remedies(LLAMA, t4, WORK, Job(precision="fp16")) == [
        "in bnb-int8", "in bnb-nf4", "on one NVIDIA P100 16 GB (PCIe)"
    ]  # fmt: skip


def test_parts_of_training():
    b200 = load_gpu("b200")
    lora, qlora, full = (plan(LLAMA, b200, WORK, Job(kind)) for kind in ("lora", "qlora", "full"))
    adapter = LLAMA.lora(64)
    assert lora.memory["optimiser"] == qlora.memory["optimiser"] == 8 * adapter
    assert full.memory["optimiser"] == 8 * LLAMA.parameters
    assert qlora.memory["weights"] < lora.memory["weights"] / 3
    assert (
        plan(LLAMA, b200, WORK, Job("lora", checkpointing=False)).memory["activations"] > 9 * lora.memory["activations"]
    )
    sharded = plan(LLAMA, b200, WORK, Job("full", gpus=4, fsdp=True))
    assert sharded.memory["optimiser"] == full.memory["optimiser"] / 4
    assert "by qlora" in remedies(LLAMA, load_gpu("t4"), WORK, Job("full"))
    assert any("sharded over" in one for one in remedies(LLAMA, load_gpu("a100-80"), WORK, Job("full")))
    assert lora.seconds["training"] > 3 * plan(LLAMA, b200, WORK, Job()).seconds["scoring"]


def test_orders_and_gpus_scale_the_time():
    def seconds(gpu, **how):
        return plan(LLAMA, load_gpu(gpu), WORK, Job(**how)).seconds["scoring"]

    assert seconds("t4", precision="bnb-int8") == pytest.approx(
        2 * seconds("t4", precision="bnb-int8", orders="canonical")
    )
    assert seconds("h100") == pytest.approx((2 - WORK.prompt) * seconds("h100", orders="canonical"))
    assert seconds("h100", gpus=4) == pytest.approx(seconds("h100") / 4 / plan_data()["assumed"]["balance"])


def test_short_batches_wait_for_the_memory():
    short = Workload.typical(1000, max_tokens=32)
    slow, fast = (plan(LLAMA, load_gpu("h100"), short, Job(batch_tokens=n)).seconds["scoring"] for n in (32, 8192))
    assert slow > 4 * fast
    assert plan(LLAMA, load_gpu("h100"), WORK, Job(batch_tokens=32)).batch_tokens == 2048, "a sequence is never split"


def test_lengths_of_battles(tmp_path):
    battles = simulate(300, seed=1).battles
    guessed = Workload.of(battles, 100_000)
    tiny_tokenizer().save_pretrained(tmp_path / "deep")
    counted = Workload.of(battles, 100_000, find_tokenizer(tmp_path))  # bytes: one token a character
    assert len(guessed.lengths) == guessed.battles == 300
    assert (counted.mean - 40) / (guessed.mean - 40) == pytest.approx(4, rel=0.1)
    assert Workload.of(battles, 64).longest == 64
    assert 0 < guessed.prompt < 1
    assert find_tokenizer("llama3-8b") is None
    with pytest.raises(EngineError, match="no battles"):
        Workload.of(battles.take(np.array([], np.int64)))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(EngineError, match="cannot be read as a tokenizer"):
        Workload.of(battles, 2048, tmp_path / "tokenizer.json")


def test_lengths_assumed():
    assert Workload.typical(10, 300, 100_000).mean == pytest.approx(300)
    assert Workload.typical(10, 300, 512).longest == 512


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: load_gpu("rtx4080"), r"no gpu 'rtx4080'; there are t4, .*Did you mean 'rtx4090'"),
        (lambda: load_geometry("llama3-8"), r"no backbone 'llama3-8'.*Did you mean 'llama3-8b'"),
        (lambda: Job("guess"), "no job 'guess'"),
        (lambda: Job(precision="int3"), "no precision 'int3'"),
        (lambda: Job("qlora", fsdp=True), "FSDP cannot shard"),
        (lambda: plan(LLAMA, load_gpu("h100"), WORK, Job("lora", precision="int8")), "4 bits are the job qlora"),
    ],
)
def test_what_does_not_exist_is_refused(given, said):
    with pytest.raises(EngineError, match=said):
        given()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"hidden_size": 8}, "KeyError"),
        ([1], "AttributeError"),
        ({**tiny_config("llama").to_dict(), "num_local_experts": 8}, "mixture of experts"),
    ],
)
def test_a_folder_that_is_no_backbone_is_refused(config, said, tmp_path):
    with pytest.raises(EngineError, match="neither a backbone nor a model"):
        load_geometry(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(EngineError, match=said):
        load_geometry(tmp_path)


def test_an_adapter_leads_to_its_backbone(tmp_path):
    tiny("llama", tmp_path / "base")
    artifact = tmp_path / "model" / "weights"
    artifact.mkdir(parents=True)
    (artifact / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "base")}))
    assert load_geometry(tmp_path / "model").layers == load_geometry(tmp_path / "base").layers
    (artifact / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "meta/Llama"}))
    with pytest.raises(EngineError, match="give its folder as --backbone"):
        load_geometry(tmp_path / "model")


def test_memory_of_8_bit_scoring_and_4_bit_training_of_8b():
    int8 = plan(LLAMA, load_gpu("h100"), WORK, Job(precision="int8"))
    qlora = plan(LLAMA, load_gpu("h100"), WORK, Job("qlora", batch_tokens=8192))
    assert int8.total < 12 * GIB
    assert qlora.total < 24 * GIB


def test_geometry_can_be_made_by_hand():
    assert Geometry("mine", 2, 8, 2, 1, 4, 16, 100).linear == 2 * (8 * 8 * 2 + 2 * 8 * 4 + 3 * 8 * 16)
