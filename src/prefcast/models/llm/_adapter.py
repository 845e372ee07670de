"""LoRA adapters: read strictly, merged in float32 or kept apart, and written with the head."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from prefcast.errors import ArtifactError
from prefcast.models.llm._checkpoint import ADAPTER, ADAPTER_CONFIG
from prefcast.models.llm._need import need
from prefcast.models.llm._quiet import quiet

__all__ = [
    "LoRA",
    "adapter_tensors",
    "compare",
    "expected_tensors",
    "inject",
    "merge",
    "read_adapter",
    "write_adapter",
    "write_tensors",
]

_PREFIX: Final = "base_model.model."


@dataclass(frozen=True, eq=False)
class LoRA:
    """An adapter.

    Parameters
    ----------
    config
        Of peft.
    pairs
        A and B of each adapted module, by its name in the model.
    head
        Tensors of the head, float32, by their names in the model.
    """

    config: Any
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]]
    head: dict[str, torch.Tensor]


def adapter_tensors(model: Any, state_dict: Mapping[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """List what an adapter of a PEFT model consists of, by the names that peft writes."""
    peft = need("peft")
    # Without False, peft asks the hub whether the vocabulary was changed.
    found: dict[str, torch.Tensor] = peft.get_peft_model_state_dict(
        model, state_dict=None if state_dict is None else dict(state_dict), save_embedding_layers=False
    )
    return found


def read_adapter(folder: Path, skeleton: Any, head: tuple[str, ...]) -> LoRA:
    """Read an adapter, which must have every tensor that it should have, and no other.

    Parameters
    ----------
    folder
        With ``adapter_config.json`` and ``adapter_model.safetensors``.
    skeleton
        The backbone's classifier on the meta device; it is changed.
    head
        Names of the modules of the head.

    Returns
    -------
    LoRA
        The adapter.

    Raises
    ------
    ArtifactError
        A tensor is missing, unexpected, misshapen or not finite, or the adapter is not plain LoRA.
    """
    peft, safetensors = need("peft"), need("safetensors.torch")
    try:
        config = peft.PeftConfig.from_pretrained(str(folder))
        tensors: dict[str, torch.Tensor] = safetensors.load_file(str(folder / ADAPTER))
    except Exception as error:  # damaged JSON or safetensors raise their own kinds
        raise ArtifactError(f"the adapter in {folder} cannot be read ({type(error).__name__}: {error}).") from error
    _check_plain(config, head, folder)
    expected = expected_tensors(skeleton, config, f"the adapter in {folder}")
    compare(tensors, expected, f"the adapter in {folder}")
    found = {key.removeprefix(_PREFIX): tensor for key, tensor in tensors.items()}
    pairs = {
        key.removesuffix(".lora_A.weight"): (found[key], found[key.replace(".lora_A.", ".lora_B.")])
        for key in found
        if key.endswith(".lora_A.weight")
    }
    return LoRA(config, pairs, {k: t for k, t in found.items() if ".lora_" not in k})


def expected_tensors(skeleton: Any, config: Any, what: str) -> dict[str, torch.Tensor]:
    """List what an adapter of a config has for a backbone, on the meta device; the skeleton is changed."""
    peft = need("peft")
    config.base_model_name_or_path = None  # else peft warns that the skeleton has another name
    try:
        with quiet(), torch.device("meta"):
            return adapter_tensors(peft.get_peft_model(skeleton, config))
    except ValueError as error:  # peft finds none of the modules
        raise ArtifactError(f"{what} does not fit its backbone ({error}).") from error


def _check_plain(config: Any, head: tuple[str, ...], folder: Path) -> None:
    """Refuse forms of LoRA whose merge is another sum than the one computed here."""
    plain = (
        config.peft_type == "LORA"
        and config.bias == "none"
        and not config.use_dora
        and not config.rank_pattern
        and not config.alpha_pattern
        and not config.fan_in_fan_out
        and config.init_lora_weights in (True, False, "gaussian", "orthogonal")
    )
    saved = set(config.modules_to_save or ())  # peft adds the usual names of heads, whether the model has them or not
    if not plain or not set(head) <= saved <= {*head, "score", "classifier"}:
        raise ArtifactError(
            f"the adapter in {folder} is not plain LoRA with the head ({', '.join(head)}) in modules_to_save, which is "
            "all that prefcast reads. Merge it where it was trained, and give the whole classifier."
        )


def compare(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], what: str) -> None:
    """Refuse tensors that are not exactly those expected, by name and shape, all of them finite."""
    faults = [
        ("lacks", expected.keys() - tensors.keys()),
        ("also has", tensors.keys() - expected.keys()),
        ("misshapes", {k for k in expected.keys() & tensors.keys() if expected[k].shape != tensors[k].shape}),
        ("holds numbers that are not finite in", {k for k, t in tensors.items() if not t.isfinite().all()}),
    ]
    for fault, keys in faults:
        if keys:
            raise ArtifactError(
                f"{what} {fault} {len(keys)} of {len(expected)} tensors (such as {min(keys)}): it is "
                "damaged or of another backbone. Copy it again, or train again."
            )


def merge(model: Any, adapter: LoRA) -> None:
    """Add an adapter to the weights in place, in float32, each weight rounded once.

    A merge computed in bfloat16 rounds twice and moves probabilities by up to .1.
    """
    alpha, rank = adapter.config.lora_alpha, adapter.config.r
    scale = alpha / (rank**0.5 if adapter.config.use_rslora else rank)
    with torch.no_grad():
        for name, (a, b) in adapter.pairs.items():
            weight = model.get_submodule(name).weight
            delta = b.to(weight.device).float() @ a.to(weight.device).float()
            weight.copy_(weight.float() + scale * delta)


def inject(model: Any, adapter: LoRA) -> None:
    """Put an adapter beside the weights, in place."""
    peft = need("peft")
    config = copy.deepcopy(adapter.config)
    config.modules_to_save = None  # the head is set by itself, and needs no wrapper
    config.target_modules = set(adapter.pairs)
    config.inference_mode = True
    with quiet():
        peft.inject_adapter_in_model(config, model)
    with torch.no_grad():
        for name, (a, b) in adapter.pairs.items():
            layer = model.get_submodule(name)
            layer.lora_A["default"].weight.data = a.to(layer.weight.device)
            layer.lora_B["default"].weight.data = b.to(layer.weight.device)


def write_adapter(
    model: Any, folder: Path, head: tuple[str, ...], base: str, state_dict: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Write an adapter with its head, the same bytes for the same weights.

    Parameters
    ----------
    model
        A PEFT model.
    folder
        An empty folder.
    head
        Names of the modules of the head, all of which must be in the adapter.
    base
        Name of the backbone.
    state_dict
        The weights, where the model holds only a part of them.

    Raises
    ------
    ArtifactError
        A module of the head is not part of the adapter, so it would be lost; or a weight is not finite.
    """
    config = model.peft_config["default"]
    _check_plain(config, head, folder)
    write_tensors(adapter_tensors(model, state_dict), config, folder, head, base)


def write_tensors(
    tensors: Mapping[str, torch.Tensor], config: Any, folder: Path, head: tuple[str, ...], base: str
) -> None:
    """Write the tensors and the config of an adapter; see `write_adapter`."""
    safetensors = need("safetensors.torch")
    heads = tuple(f"{_PREFIX}{name}." for name in head)
    saved = {}
    for key, tensor in sorted(tensors.items()):
        if not tensor.isfinite().all():
            raise ArtifactError(f"{key} is not finite: the training diverged. Lower the learning rate.")
        value = tensor.detach().cpu().contiguous()
        saved[key] = value.float() if key.startswith(heads) else value
    if any(not any(key.startswith(name) for key in saved) for name in heads):
        raise ArtifactError(f"the head ({', '.join(head)}) is not in the adapter and would be lost: nothing is saved.")
    safetensors.save_file(saved, str(folder / ADAPTER), metadata={"format": "pt"})
    said = {**config.to_dict(), "base_model_name_or_path": base, "inference_mode": True}
    said |= {"modules_to_save": list(head), "task_type": "SEQ_CLS"}
    text = json.dumps(_plain_json(said), indent=2, sort_keys=True)
    (folder / ADAPTER_CONFIG).write_text(text + "\n", "utf-8", newline="\n")


def _plain_json(value: Any) -> Any:
    """Turn sets into sorted lists: their order differs from run to run."""
    if isinstance(value, dict):
        return {str(k): _plain_json(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value)
    return [_plain_json(v) for v in value] if isinstance(value, list | tuple) else value
