"""The same battle gets the same answer: alone, in any batch and order, packed or padded, shared or not."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from pairs import random_pairs

from prefcast.errors import EngineError
from prefcast.models.llm._engine import Engine
from prefcast.models.llm._options import EngineOptions
from prefcast.models.llm._sequences import Sequences

CLOSE = 1e-5
PACKABLE = [a for a in tiny.ARCHITECTURES if a != "deberta-v2"]


def engine(architecture: str, **options) -> Engine:
    return Engine(tiny.tiny_classifier(architecture), EngineOptions(**options))


def one_at_a_time(architecture: str, sequences: Sequences) -> np.ndarray:
    """Logits by transformers' own whole forward, one sequence a call."""
    model = tiny.tiny_classifier(architecture)
    with torch.inference_mode():
        rows = [
            model(input_ids=torch.tensor(sequences[k][None].astype(np.int64))).logits for k in range(len(sequences))
        ]
    return torch.cat(rows).double().numpy()


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_any_batch_gives_what_transformers_gives_alone(architecture):
    pairs = random_pairs(13)
    expected = softmax(one_at_a_time(architecture, pairs.given))
    assert np.ptp(expected, axis=0).min() > 0.01  # the answers differ, or agreeing would mean nothing
    for options in ({"path": "padded", "batch_tokens": 200}, {"path": "padded", "batch_tokens": 1}):
        p = engine(architecture, orders="given", **options).probabilities(pairs)
        assert np.abs(p - expected).max() < CLOSE
    if architecture == "deberta-v2":
        return
    for options in ({"batch_tokens": 150}, {"batch_tokens": 5000}, {"batch_tokens": 150, "share": False}):
        p = engine(architecture, orders="given", path="packed", **options).probabilities(pairs)
        assert np.abs(p - expected).max() < CLOSE


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("orders", ["both", "canonical"])
def test_swapped_battles_are_exactly_exchanged(architecture, orders):
    pairs = random_pairs(11)
    for path in ("auto", "packed") if architecture in PACKABLE else ("auto",):
        run = engine(architecture, orders=orders, path=path, batch_tokens=170)
        p, q = run.probabilities(pairs), run.probabilities(pairs.swap())
        assert (p[:, [1, 0, 2]] == q).all()
        assert p[9, 0] == p[9, 1]  # twice the same answer
        assert (p[10] == p[0]).all()  # the same battle again


def test_both_orders_are_the_mean_of_each():
    pairs = random_pairs(7)
    p = engine("llama", orders="both").probabilities(pairs)
    given = engine("llama", orders="given").probabilities(pairs)
    swapped = engine("llama", orders="given").probabilities(pairs.swap())
    assert np.abs(p - (given + swapped[:, [1, 0, 2]]) / 2).max() < CLOSE
    assert (
        np.abs(given - swapped[:, [1, 0, 2]]).max() > 0.01
    )  # reading once is not symmetric, so the mean does something


def test_order_of_battles_does_not_matter():
    pairs, rows = random_pairs(9), np.array([4, 0, 8, 2, 7, 1, 3, 6, 5])
    run = engine("qwen3", path="packed", batch_tokens=200)
    assert (run.probabilities(pairs)[rows] == run.probabilities(pairs.take(rows))).all()


def test_sharing_computes_fewer_tokens_and_each_sequence_once():
    pairs = random_pairs(12)
    run = engine("llama", path="packed", batch_tokens=4000)
    seen = []
    forward = run._forward
    run._forward = lambda batch: seen.append(batch.ids.numel()) or forward(batch)
    run.probabilities(pairs)
    whole = pairs.given.concat(pairs.swapped)
    different = {whole[k].tobytes() for k in range(24)}
    assert sum(seen) < sum(map(len, different)) // 4  # bytes of int32 to tokens
    assert len(different) == 24 - 3  # twice the same answer is one sequence, and the repeat is two that were there


def test_running_out_of_memory_halves_the_batch_and_goes_on():
    pairs = random_pairs(10)
    run = engine("llama", path="packed", batch_tokens=800)
    expected = engine("llama", path="packed").probabilities(pairs)
    forward = run._forward

    def scarce(batch):
        if batch.ids.numel() > 250:
            raise torch.OutOfMemoryError("no")
        return forward(batch)

    run._forward = scarce
    assert np.abs(run.probabilities(pairs) - expected).max() < CLOSE
    assert run.batch_tokens == 200
    assert "memory ran out" in str(run.path)


def test_a_sequence_that_never_fits_is_an_error_that_says_what_to_do():
    run = engine("llama", path="padded", batch_tokens=64)

    def full(batch):
        raise torch.OutOfMemoryError("no")

    run._forward = full
    with pytest.raises(EngineError, match=r"does not fit into the memory of cpu.*--precision int8"):
        run.probabilities(random_pairs(3))


def test_values_that_overflow_are_refused():
    run = engine("llama")
    run._forward = lambda batch: torch.full((len(batch), 3), float("nan"))
    with pytest.raises(EngineError, match="overflow"):
        run.probabilities(random_pairs(3))


def test_the_path_is_said_with_its_reason():
    assert str(engine("llama").path) == "padded: the packed kernel needs an NVIDIA GPU, and this runs on cpu"
    assert "attention of its own" in str(engine("deberta-v2").path)
    with pytest.raises(EngineError, match="--path padded"):
        engine("deberta-v2", path="packed")
    with pytest.raises(EngineError, match="choose one of both, canonical, given"):
        EngineOptions(orders="ab")


def test_nothing_to_score_is_nothing():
    assert engine("llama").probabilities(random_pairs(3).take(np.array([], int))).shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_head_is_computed_in_float32(dtype):
    pairs = random_pairs(6)
    exact = engine("llama", orders="given").logits(pairs.given)
    model = tiny.tiny_classifier("llama").to(dtype)
    model.score = tiny.tiny_classifier("llama").score
    found = Engine(model, EngineOptions(orders="given"), precision="bf16").logits(pairs.given)
    assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()
    # Logits of a 16-bit head would all be 16-bit numbers.
    assert (found.astype(np.float32) != torch.tensor(found).to(dtype).float().numpy()).any()
