"""The attention kernel against plain attention, sequence by sequence, run by Triton's interpreter on the CPU."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from pairs import random_pairs

pytest.importorskip("triton", reason="needs Triton, which torch brings on Linux with a GPU: pip install triton")

from prefcast.errors import EngineError
from prefcast.models.llm import _attention as attention
from prefcast.models.llm._batches import TILE, pack


class Layer(torch.nn.Module):
    """All that the attention reads of a layer."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.is_causal = causal
        self.eval()


@pytest.mark.parametrize(
    ("causal", "window", "cap", "width"),
    [(True, None, None, 16), (True, 40, None, 24), (True, None, 3.0, 16), (True, 40, 3.0, 16), (False, 40, None, 16)],
)
def test_it_computes_attention_inside_sequences(causal, window, cap, width):
    pairs = random_pairs(4, longest=330, prompts=1)
    batch = pack(pairs.given, range(4), share=causal)
    assert (batch.segments[:, 2] > 0).any() == causal  # some keys are borrowed, where tokens see only those before them
    t = batch.ids.shape[1]
    assert t > 2 * TILE
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, t, width) for heads in (4, 2, 2))
    layer, options = Layer(causal), {"sliding_window": window, "softcap": cap}
    plain, found = (
        function(layer, q, k, v, None, **options, **attention.attention_arguments(name, batch))[0]
        for function, name in (
            (attention._one_by_one, attention.ONE_BY_ONE),
            (attention._triton, attention.TRITON),
        )
    )
    assert plain.shape == found.shape == (1, t, 4, width)
    assert (plain - found).abs().max() < 1e-5
    assert plain.abs().max() > 0.5


def test_heavy_blocks_come_first_and_every_query_is_in_one():
    pairs = random_pairs(9, longest=900, prompts=2)
    batch = pack(pairs.given, range(9), share=True)
    seen = torch.zeros(batch.ids.shape[1], dtype=torch.int)
    work = []
    for segment, first in batch.tiles.tolist():
        start, queries, borrowed, _ = batch.segments[segment].tolist()
        last = min(first + TILE, queries)
        seen[start + first : start + last] += 1
        work.append(min(first + TILE, queries) + borrowed)
    assert (seen == 1).all()
    assert all(a >= b - TILE for a, b in pairwise(work))


def test_what_packed_training_cannot_do_is_refused_with_the_way_out():
    pairs = random_pairs(3)
    batch = pack(pairs.given, range(3))
    q = torch.randn(1, 2, batch.ids.shape[1], 16)
    more = attention.attention_arguments(attention.VARLEN, batch)
    for options in ({"dropout": 0.1}, {"softcap": 5.0}):
        with pytest.raises(EngineError, match='path = "auto" or "padded"'):
            attention._varlen(None, Layer(True), q, q, q, None, **options, **more)
