"""The vLLM engine against a stand-in with vLLM's names and signatures: the real one needs a GPU of its own."""

import dataclasses
import json
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from pairs import random_pairs
from tiny import tiny_classifier, tiny_tokenizer

from prefcast.errors import EngineError
from prefcast.models.llm._engine import Engine
from prefcast.models.llm._options import EngineOptions
from prefcast.models.llm._vllm import VllmEngine
from prefcast.models.llm._weights import save_classifier


@dataclasses.dataclass
class PoolingParams:
    """As vllm.PoolingParams of 0.33, as far as it concerns classification."""

    use_activation: bool | None = None
    dimensions: int | None = None


@dataclasses.dataclass
class ClassificationOutput:
    probs: list[float]


@dataclasses.dataclass
class ClassificationRequestOutput:
    request_id: str
    outputs: ClassificationOutput
    prompt_token_ids: list[int]
    num_cached_tokens: int
    finished: bool
    error: Any = None


# Arguments of EngineArgs that LLM takes through **kwargs, of those that we could give.
ENGINE_ARGS = {"max_model_len", "max_num_batched_tokens", "max_num_seqs", "enable_prefix_caching", "disable_log_stats"}


class StandIn:
    """As vllm.LLM of 0.33: the same arguments, and answers of the model in the folder."""

    made: list["StandIn"] = []  # noqa: RUF012
    head_dtype = torch.float32

    def __init__(
        self, model: str, *, runner="auto", convert="auto", tokenizer=None, tokenizer_mode="auto",
        skip_tokenizer_init=False, trust_remote_code=False, tensor_parallel_size=1, dtype="auto", quantization=None,
        revision=None, tokenizer_revision=None, seed=0, gpu_memory_utilization=0.92, enforce_eager=False,
        hf_overrides=None, pooler_config=None, quantization_config=None, **kwargs,
    ) -> None:  # fmt: skip
        if set(kwargs) - ENGINE_ARGS:
            raise TypeError(f"unexpected {set(kwargs) - ENGINE_ARGS}")
        assert (runner, convert) == ("pooling", "classify")
        self.given = {k: v for k, v in locals().items() if k != "self"} | kwargs
        self.model_config = types.SimpleNamespace(head_dtype=self.head_dtype, hf_config=hf_overrides)
        self.max_model_len = kwargs["max_model_len"]
        self.model = tiny_classifier("llama").from_pretrained(model).eval()
        StandIn.made.append(self)

    def classify(
        self, prompts, *, pooling_params=None, use_tqdm=True, lora_request=None, tokenization_kwargs=None
    ) -> list[ClassificationRequestOutput]:
        out = []
        for k, prompt in enumerate(prompts):
            ids = prompt["prompt_token_ids"]
            assert isinstance(ids, list)
            assert len(ids) < self.max_model_len, "vLLM 0.22.1 hangs for ever on this"
            with torch.inference_mode():
                values = self.model(torch.tensor([ids])).logits[0]
            if pooling_params is None or pooling_params.use_activation is not False:
                values = values.softmax(-1)
            out.append(ClassificationRequestOutput(str(k), ClassificationOutput(values.tolist()), ids, 0, True))
        return out


@pytest.fixture
def vllm(monkeypatch):
    module = types.ModuleType("vllm")
    module.LLM, module.PoolingParams, module.__version__ = type("LLM", (StandIn,), {}), PoolingParams, "0.33.0"
    monkeypatch.setitem(sys.modules, "vllm", module)
    StandIn.made.clear()
    return module


@pytest.fixture
def folder(tmp_path):
    return save_classifier(tiny_classifier("llama"), tiny_tokenizer(), tmp_path / "model")


def test_the_same_probabilities_as_the_engine(vllm, folder):
    pairs = random_pairs(12)
    for orders in ("both", "canonical", "given"):
        options = EngineOptions(orders=orders, device="cpu")
        expected = Engine(tiny_classifier("llama"), options).probabilities(pairs)
        found = VllmEngine(folder, options, max_tokens=128).probabilities(pairs)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, atol=1e-6)
        if orders != "given":
            swapped = VllmEngine(folder, options, max_tokens=128).probabilities(pairs.swap())
            np.testing.assert_array_equal(swapped, found[:, [1, 0, 2]])
    assert str(VllmEngine(folder, max_tokens=128).path) == "packed, compiled: vLLM 0.33.0, bf16, asked for"
    assert VllmEngine(folder, max_tokens=128).probabilities(pairs.take(np.array([], np.int64))).shape == (0, 3)


def test_what_vllm_is_told(vllm, folder):
    VllmEngine(folder, EngineOptions(precision="float8", batch_tokens=64), max_tokens=100, gpus=2)
    given = StandIn.made[-1].given
    assert given["max_model_len"] == 108
    assert given["max_num_batched_tokens"] == 108
    assert given["tensor_parallel_size"] == 2
    assert given["hf_overrides"] == {"head_dtype": "float32"}
    assert given["quantization"] == "fp8_per_channel"
    assert "score" in given["quantization_config"]["ignore"], "the head must not be quantized"
    assert given["skip_tokenizer_init"]
    VllmEngine(folder, max_tokens=100)
    assert StandIn.made[-1].given["dtype"] == "bfloat16"
    assert StandIn.made[-1].given["quantization"] is None


def test_without_vllm_it_is_one_line(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EngineError, match=r"needs vllm, which is not installed: pip install 'prefcast\[vllm\]'$"):
        VllmEngine(folder, max_tokens=100)


@pytest.mark.parametrize(
    ("options", "said"),
    [(EngineOptions(precision="bnb-nf4"), "not in bnb-nf4"), (EngineOptions(lora="apart"), "adapter merged")],
)
def test_options_it_has_not_are_refused(vllm, folder, options, said):
    with pytest.raises(EngineError, match=said):
        VllmEngine(folder, options, max_tokens=100)


def test_a_window_without_room_is_refused(vllm, folder):
    with pytest.raises(EngineError, match="give max_tokens = 504"):
        VllmEngine(folder, max_tokens=512)
    engine = VllmEngine(folder, max_tokens=20)
    with pytest.raises(EngineError, match="vLLM was started for 20"):
        engine.probabilities(random_pairs(4))


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "not a sequence classifier"),
        ({"id2label": {"0": "b", "1": "a", "2": "tie"}}, "labels b, a, tie; they must be a, b, tie"),
        ({"id2label": {"0": "a", "1": "b"}}, "labels a, b; they"),
    ],
)
def test_a_model_of_other_labels_is_refused(vllm, folder, values, said):
    change(folder, **values)
    with pytest.raises(EngineError, match=said):
        VllmEngine(folder, max_tokens=100)


def test_a_model_without_a_whole_head_is_refused(vllm, folder, tmp_path):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"score.weight": tensors["score.weight"].half()}, path)
    with pytest.raises(EngineError, match="stored as F16; it must be F32"):
        VllmEngine(folder, max_tokens=100)
    encoder = save_classifier(tiny_classifier("bert"), tiny_tokenizer(encoder=True), tmp_path / "bert")
    with pytest.raises(EngineError, match=r"no score.weight"):
        VllmEngine(encoder, max_tokens=100)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(EngineError, match="must be merged first"):
        VllmEngine(tmp_path / "adapter", max_tokens=100)


def test_a_head_that_is_not_float32_is_refused(vllm, folder):
    vllm.LLM.head_dtype = torch.bfloat16
    with pytest.raises(EngineError, match="head in bfloat16; it must be float32"):
        VllmEngine(folder, max_tokens=100)


def test_vllm_that_does_not_start_is_one_line(vllm, folder, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no room\nfor the cache")

    monkeypatch.setattr(vllm, "LLM", fail)
    with pytest.raises(EngineError, match=r"could not start on .*: no room"):
        VllmEngine(folder, max_tokens=100)


def each(**changes):
    return lambda given: [dataclasses.replace(one, **changes) for one in given]


def values(*numbers):
    return each(outputs=ClassificationOutput(list(numbers)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda given: given[:-1], r"answered \d+ of \d+ sequences"),
        (lambda given: given[::-1], "another order"),
        (each(error="cancelled"), "failed on a sequence: cancelled"),
        (values(0.5, 1.0), "2 values"),
        (values(0.5, np.nan, 1.0), "not numbers"),
        (values(0.5, 0.3, 0.2), "probabilities where raw logits"),
    ],
)
def test_answers_other_than_promised_are_refused(vllm, folder, monkeypatch, spoil, said):
    engine = VllmEngine(folder, max_tokens=128)
    honest = StandIn.classify
    monkeypatch.setattr(StandIn, "classify", lambda self, *a, **k: spoil(honest(self, *a, **k)))
    with pytest.raises(EngineError, match=said):
        engine.probabilities(random_pairs(5))
