"""A random backbone and a tokenizer of bytes, made on the spot: for tests and docs, where nothing can be fetched."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from prefcast.errors import EngineError

__all__ = ["tiny_backbone", "tiny_fingerprint", "tiny_tokenizer"]

_SPECIAL = ("<pad>", "<s>", "</s>")


def tiny_tokenizer() -> Any:
    """Make a tokenizer with one token for each byte: no training, no file.

    Returns
    -------
    Any
        A fast tokenizer of transformers with 259 tokens.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={t: k for k, t in enumerate([*_SPECIAL, *alphabet])}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = dict(zip(("pad_token", "bos_token", "eos_token"), _SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, padding_side="right", **names)


def tiny_backbone(name: str) -> Any:
    """Make a random classifier in float32, the same on every call.

    Parameters
    ----------
    name
        ``"tiny:llama"``.

    Returns
    -------
    Any
        A classifier of three classes.

    Raises
    ------
    EngineError
        There is no such tiny backbone.
    """
    if name != "tiny:llama":
        raise EngineError(f"there is no backbone {name!r}; the only one made on the spot is tiny:llama.")
    config = LlamaConfig(
        vocab_size=len(_SPECIAL) + 256, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096,
        num_labels=3, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForSequenceClassification(config).eval()


def tiny_fingerprint(model: Any) -> str:
    """SHA-256 of a tiny backbone, for it has no file to read."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.base_model.state_dict().items()):
        digest.update(name.encode() + tensor.float().numpy().tobytes())
    return digest.hexdigest()
