"""Fewer bits in the backbone, float32 in the head, and nearly the same answers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tiny
import torch
from pairs import random_pairs

from prefcast.errors import EngineError
from prefcast.models.llm._engine import Engine
from prefcast.models.llm._forward import backbone
from prefcast.models.llm._fuse import GatedMLP, fuse_
from prefcast.models.llm._options import EngineOptions
from prefcast.models.llm._quantize import dtype_of, quantize_

SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_key_value_heads": 4, "head_dim": 16}


def logits(model) -> np.ndarray:
    return Engine(model, EngineOptions(orders="given")).logits(random_pairs(6).given)


@pytest.mark.parametrize("precision", ["int8", "bnb-int8", "bnb-nf4"])
@pytest.mark.filterwarnings("ignore")  # the libraries' own, on a CPU
def test_fewer_bits_change_little_and_spare_the_head(precision):
    exact = logits(tiny.tiny_classifier("llama", **SIZES))
    model = quantize_(tiny.tiny_classifier("llama", **SIZES), precision)
    linear = backbone(model).layers[0].mlp.down_proj
    changed = type(linear) is not torch.nn.Linear or type(linear.weight.data) is not torch.Tensor
    assert changed or linear.weight.dtype != torch.float32
    assert model.score.weight.dtype == torch.float32
    found = logits(model)
    gap = np.abs(found - exact).max() / np.abs(exact).max()
    assert 1e-6 < gap < (0.8 if precision == "bnb-nf4" else 0.1)


def test_float8_needs_a_gpu_that_has_it():
    with pytest.raises(EngineError, match=r"compute capability 8\.9.*--precision int8"):
        quantize_(tiny.tiny_classifier("llama"), "float8")


def test_an_unknown_precision_is_refused():
    with pytest.raises(EngineError, match="there is no precision 'int3'"):
        quantize_(tiny.tiny_classifier("llama"), "int3")


@pytest.mark.parametrize("architecture", ["llama", "gemma3_text", "qwen3"])
def test_fused_feed_forward_blocks_compute_the_same(architecture):
    exact = logits(tiny.tiny_classifier(architecture))
    model = tiny.tiny_classifier(architecture)
    fuse_(backbone(model))
    assert all(isinstance(layer.mlp, GatedMLP) for layer in backbone(model).layers)
    assert np.abs(logits(model) - exact).max() < 1e-5


def test_blocks_that_are_not_plain_are_left_alone():
    model = tiny.tiny_classifier("phi3")  # has them fused already
    before = [type(layer.mlp) for layer in backbone(model).layers]
    fuse_(backbone(model))
    assert [type(layer.mlp) for layer in backbone(model).layers] == before


def test_what_bitsandbytes_leaves_in_16_bits_does_not_overflow():
    # The states of Gemma 3 exceed what fp16 holds; only the products inside are rounded to it.
    assert dtype_of("bnb-int8", "cpu") == torch.bfloat16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = quantize_(tiny.tiny_classifier("llama", **SIZES).to(torch.bfloat16), "bnb-int8")
        model.score.float()
        backbone(model).embed_tokens.weight.data *= 1e6
        assert np.isfinite(logits(model)).all()
