"""Backbones and trained adapters on disk, tiny and random."""

from __future__ import annotations

import peft
import torch
from tiny import ENCODERS, tiny_classifier, tiny_tokenizer

from prefcast.models.llm._loading import head_names
from prefcast.models.llm._quiet import quiet
from prefcast.models.llm._weights import new_classifier


def save_backbone(folder, architecture="llama", seed=0, **changes):
    """A pretrained model as the hub has it: no head, and a tokenizer."""
    with quiet():
        tiny_classifier(architecture, seed, **changes).base_model.save_pretrained(folder)
    tiny_tokenizer(architecture in ENCODERS).save_pretrained(folder)
    return str(folder)


def adapted(base, seed=0, targets="all-linear", rank=4, alpha=8, **more):
    """A PEFT model whose adapter and head look trained."""
    model = new_classifier(base, dtype="fp32", seed=seed)
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=rank, lora_alpha=alpha, target_modules=targets,
        modules_to_save=list(head_names(model)), **more,
    )  # fmt: skip
    torch.manual_seed(seed)  # peft draws A from the global generator
    with quiet():
        model = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def forecasts(model, tokens=None):
    """Probabilities of two sequences, one after the other, through transformers' own forward."""
    tokens = [list(range(10, 40)), list(range(60, 77))] if tokens is None else tokens
    with torch.inference_mode():
        return torch.cat([model(torch.tensor([t])).logits.float().softmax(-1) for t in tokens])
