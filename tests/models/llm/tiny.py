"""Tiny random models of every architecture and a tokenizer, made on the spot: nothing is fetched."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

VOCAB = 256 + 8
DECODERS = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3")
ENCODERS = ("modernbert", "deberta-v2", "bert")
ARCHITECTURES = DECODERS + ENCODERS

_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
_GQA = {"num_key_value_heads": 2, "head_dim": 8}
_MORE: dict[str, dict[str, Any]] = {
    "llama": _GQA,
    # Windows shorter than the sequences of the tests, so that they matter.
    "mistral": {**_GQA, "sliding_window": 16},
    "qwen2": {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    "qwen3": _GQA,
    "gemma2": {**_GQA, "sliding_window": 16, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 5.0},
    "gemma3_text": {
        **_GQA,
        "sliding_window": 16,
        "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
    "phi3": {"num_key_value_heads": 2, "original_max_position_embeddings": 512, "sliding_window": 16},
    "modernbert": {"local_attention": 16, "global_attn_every_n_layers": 2},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "max_relative_positions": -1,
        "position_biased_input": False,
        "type_vocab_size": 0,
        "pooler_hidden_size": 32,
    },
    "bert": {},
}


def tiny_tokenizer(encoder: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level: token id of a byte is 8 + its place; the first eight are special."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<pad>", "<s>", "</s>", "<unk>", "[CLS]", "[SEP]", "<extra0>", "<extra1>"]
    vocab = {token: k for k, token in enumerate([*special, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    from tokenizers.processors import TemplateProcessing

    begin, end = ("[CLS]", "[SEP]") if encoder else ("<s>", None)
    backend.post_processor = TemplateProcessing(
        single=f"{begin} $A" + (f" {end}" if end else ""),
        special_tokens=[(t, vocab[t]) for t in (begin, end) if t],
    )
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    if encoder:
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, additional_special_tokens=["<extra0>", "<extra1>"], model_max_length=512, **names
    )


def tiny_config(architecture: str, **changes: Any) -> Any:
    """Config of a tiny model with three labels."""
    sizes = {**_SIZES, **_MORE[architecture], **changes}
    return AutoConfig.for_model(
        architecture,
        **sizes,
        num_labels=3,
        id2label={0: "a", 1: "b", 2: "tie"},
        label2id={"a": 0, "b": 1, "tie": 2},
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=4,
        sep_token_id=5,
    )


def tiny_classifier(architecture: str, seed: int = 0, **changes: Any) -> Any:
    """Make a random classifier in float32, in evaluation mode, weights large enough for answers to differ."""
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(tiny_config(architecture, **changes))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim > 1:
                p.normal_(0, 0.3 if "embed" in name else 0.15)
    return model.eval()
