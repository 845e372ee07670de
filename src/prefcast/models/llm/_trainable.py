"""What of a model is trained: an adapter and the head, or everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from prefcast.errors import RecipeError
from prefcast.models.llm._adapter import adapter_tensors
from prefcast.models.llm._checkpoint import ADAPTER, FACTS, safetensors_files
from prefcast.models.llm._forward import backbone
from prefcast.models.llm._loading import head_names
from prefcast.models.llm._need import need
from prefcast.models.llm._quiet import quiet
from prefcast.models.llm._settings import ALL_LINEAR, TrainingSettings

__all__ = ["linear_layers", "make_trainable", "warm_start"]


def make_trainable(model: Any, settings: TrainingSettings, *, seed: int) -> Any:
    """Freeze what is not trained and add the adapter.

    Parameters
    ----------
    model
        A fresh classifier of `new_classifier`.
    settings
        The method, the adapter, and whether to keep activations.
    seed
        Of the adapter's first weights.

    Returns
    -------
    Any
        The model, wrapped by PEFT for LoRA and QLoRA; all that is trained is float32.

    Raises
    ------
    RecipeError
        The backbone has no module of a name in ``lora_targets``.
    """
    if settings.method == "full":
        return _checkpointed(model.requires_grad_(True), settings)
    # peft's own preparation for k bits would also turn embeddings and norms, and so all states, into float32: one
    # gigabyte of weights and twice the activations of Llama 3 8B for nothing, since they are frozen.
    model.requires_grad_(False)
    peft = need("peft", "LoRA")
    config = peft.LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=_targets(model, settings.lora_targets),
        # Named in full, so that no linear layer of the head is adapted, and no layer of like name is trained whole.
        modules_to_save=list(head_names(model)),
    )
    torch.manual_seed(seed)  # peft draws from the global generator; the caller restores it
    with quiet():
        adapted = peft.get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    _checkpointed(model, settings)
    return adapted


def _checkpointed(model: Any, settings: TrainingSettings) -> Any:
    """Have activations computed again in the backward pass, in the form that frozen inputs do not break."""
    if settings.gradient_checkpointing:
        kwargs = {"use_reentrant": False}
        if hasattr(model, "activation_checkpointing_enable"):
            model.activation_checkpointing_enable(activation_checkpointing_kwargs=kwargs)
        else:  # transformers before 5.20 or so
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)
    return model


def linear_layers(model: Any) -> list[str]:
    """Names of all linear layers of a backbone, quantized ones too, the last part of each name, in order."""
    layers = backbone(model).named_modules()
    names = {name.rpartition(".")[2] for name, module in layers if isinstance(module, torch.nn.Linear)}
    head = {name.rpartition(".")[2] for name in head_names(model)}
    return sorted(names - head)


def _targets(model: Any, wanted: str | tuple[str, ...]) -> list[str]:
    """Name the modules to adapt in full; peft shortens the names again where that says the same."""
    heads = tuple(head_names(model))
    own = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    own = [name for name in own if not any(name == h or name.startswith(f"{h}.") for h in heads)]
    if wanted == ALL_LINEAR:
        return own
    found = [name for name in own if name.rpartition(".")[2] in wanted]
    missing = sorted(set(wanted) - {name.rpartition(".")[2] for name in found})
    if missing:
        raise RecipeError(
            f"llm: lora_targets names {', '.join(missing)}, which {type(model).__name__} does not have; its linear "
            f'layers are {", ".join(linear_layers(model))}. Give some of them, or "{ALL_LINEAR}".'
        )
    return found


def warm_start(model: Any, folder: str) -> None:
    """Begin from a trained adapter or classifier, head included, instead of from a fresh one.

    Parameters
    ----------
    model
        What `make_trainable` returned.
    folder
        Of a trained model, or of an artifact that holds one.

    Raises
    ------
    RecipeError
        It holds none, or one of other names or shapes.
    """
    safetensors = need("safetensors.torch")
    place = _only_model(Path(folder))
    adapted = hasattr(model, "peft_config")
    if (place / ADAPTER).is_file() != adapted:
        has, needs = ("an adapter", "a whole classifier") if not adapted else ("a whole classifier", "an adapter")
        raise RecipeError(
            f"llm: warm_start names {folder}, which holds {has}; this method starts from {needs}. Choose the method "
            "that it was trained with, or give it as the backbone."
        )
    tensors: dict[str, torch.Tensor] = {}
    for path in [place / ADAPTER] if adapted else safetensors_files(place):
        tensors |= safetensors.load_file(str(path))
    wanted = adapter_tensors(model) if adapted else model.state_dict()
    wrong = sorted(k for k in wanted.keys() | tensors.keys() if _shape(wanted, k) != _shape(tensors, k))
    if wrong:
        raise RecipeError(
            f"llm: warm_start names {folder}, whose weights do not fit: {wrong[0]} is {_shape(tensors, wrong[0])} "
            f"there and {_shape(wanted, wrong[0])} here, and {len(wrong) - 1} more differ. The backbone, lora_rank and "
            "lora_targets must be the same."
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            wanted[name].copy_(tensor)


def _shape(tensors: dict[str, torch.Tensor], name: str) -> tuple[int, ...] | str:
    return tuple(tensors[name].shape) if name in tensors else "missing"


def _only_model(folder: Path) -> Path:
    found = sorted(path.parent for path in folder.rglob(FACTS)) if folder.is_dir() else []
    if len(found) != 1:
        what = "no trained language model" if not found else f"{len(found)} of them: name the folder of one"
        raise RecipeError(f"llm: warm_start names {folder}, and there is {what}.")
    return found[0]
