"""Sequence classifiers loaded, made and saved: strictly, and with the head always in float32.

What other tools do with a warning is an error here: a head that is missing or fresh, an adapter that lacks a layer,
weights of another shape or another backbone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from prefcast.battles import CLASSES
from prefcast.errors import ArtifactError, EngineError
from prefcast.models.llm._adapter import inject, merge, read_adapter, write_adapter
from prefcast.models.llm._checkpoint import (
    Checkpoint,
    Facts,
    check_tokenizer,
    load_tokenizer,
    read_checkpoint,
    read_facts,
    safetensors_files,
    stored_name,
    write_facts,
)
from prefcast.models.llm._forward import backbone, classifier, head_modules, read_out
from prefcast.models.llm._fuse import fuse_
from prefcast.models.llm._loading import (
    base_fingerprint,
    head_names,
    label,
    load_base,
    load_folder,
    pinned,
    skeleton,
)
from prefcast.models.llm._need import need
from prefcast.models.llm._quantize import PRECISIONS, dtype_of, is_quantized, quantize_, refuse_narrow
from prefcast.models.llm._quiet import quiet

__all__ = ["load_classifier", "merge_classifier", "new_classifier", "precision_of", "save_classifier"]

_NAMES: Final = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
_HEAD_SCALE: Final = 0.01  # forecasts begin near a third each; states are of size 1 to 10, so logits are under 0.1


def load_classifier(
    checkpoint: Checkpoint, *, precision: str = "fp32", device: str = "cpu", lora: str = "merged"
) -> Any:
    """Load a trained classifier to forecast with.

    Parameters
    ----------
    checkpoint
        Which weights; see `read_checkpoint`.
    precision
        One of `PRECISIONS`; of all but the head, which is float32.
    device
        Such as ``"cpu"`` or ``"cuda:0"``.
    lora
        ``"merged"`` into the weights, computed in float32 and rounded once; or kept ``"apart"``.

    Returns
    -------
    Any
        A model of transformers in evaluation mode.

    Raises
    ------
    ArtifactError
        A head, adapter or backbone is missing, fresh, misshapen or another than the one trained.
    EngineError
        The backbone is not on this machine, or the precision cannot be had here.
    """
    if precision not in PRECISIONS or lora not in ("merged", "apart"):
        raise EngineError(
            f"precision {precision!r} and lora {lora!r} were asked for; precision is one of {', '.join(PRECISIONS)}, "
            "and lora is merged or apart."
        )
    if lora == "apart" and precision in ("int8", "float8"):
        raise EngineError(f"{precision} quantizes every linear layer, an adapter too: it needs the adapter merged.")
    model, late = _load_plain(checkpoint, precision, device, lora)
    refuse_narrow(backbone(model), precision, torch.device(device))
    if late:
        if device.startswith("cuda"):
            fuse_(backbone(model))
        quantize_(model, precision, device)
    return model.requires_grad_(False).eval()


def _load_plain(checkpoint: Checkpoint, precision: str, device: str, lora: str) -> tuple[Any, bool]:
    """Load a classifier whose layers are still as transformers has them, and say whether it is yet to be quantized.

    One that is stays on the CPU: in 16 bits it may not fit the device that it fits in 8.
    """
    folder = Path(checkpoint.base) if checkpoint.adapter is None else checkpoint.adapter
    facts = read_facts(folder)
    if checkpoint.adapter is None:
        late = not precision.startswith("bnb")  # which transformers quantizes as it reads
        model, _ = load_folder(folder, *_first(precision, device) if late else (precision, device))
        head = _whole_head(folder, facts)
    else:
        model, head, late = _with_adapter(checkpoint, facts, precision, device, lora)
    _set_head(model, head, facts, folder)
    _assert_facts(model, facts, folder)
    return model, late


def _with_adapter(
    checkpoint: Checkpoint, facts: Facts, precision: str, device: str, lora: str
) -> tuple[Any, dict[str, torch.Tensor], bool]:
    """Load a backbone with its adapter: the model, its head, and whether it is still to be quantized."""
    assert checkpoint.adapter is not None
    found = base_fingerprint(checkpoint.base)
    if checkpoint.fingerprint is not None and found != checkpoint.fingerprint:
        raise ArtifactError(
            f"the backbone {checkpoint.base} is not the one that the adapter was trained on ({facts.base}): their "
            "configs or weights differ. Give that one with --backbone PATH."
        )
    adapter = read_adapter(checkpoint.adapter, skeleton(checkpoint.base), facts.head)
    # To quantize a merged model, its weights must first be there as they are.
    late = lora == "merged" or not precision.startswith("bnb")
    loaded_as, place = _first(precision, device) if late else (precision, device)
    model, _ = load_base(checkpoint.base, loaded_as, place, pad=facts.pad_token_id)
    if lora == "apart":
        inject(model, adapter)
    else:
        merge(model, adapter)
    return model, adapter.head, late


def _first(precision: str, device: str) -> tuple[str, str]:
    """In which type and where a model is loaded that `quantize_` then brings to its device."""
    return _NAMES[dtype_of(precision, device)], "cpu" if is_quantized(precision) else device


def new_classifier(
    base: str,
    *,
    dtype: str = "bf16",
    quantization: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    revision: str | None = None,
) -> Any:
    """Make a classifier to train: a pretrained backbone with a deliberately fresh head.

    Parameters
    ----------
    base
        Folder or hub name of the backbone, or ``"tiny:llama"``.
    dtype
        Of the backbone: fp32, bf16 or fp16. The head is float32.
    quantization
        None, ``"bnb-int8"`` or ``"bnb-nf4"`` (QLoRA).
    seed
        Of the head: the same seed gives the same head.
    device
        Where to put it.
    revision
        Of a hub name; the same as ``name@revision``.

    Returns
    -------
    Any
        A model of transformers with three labels, a, b and tie.

    Raises
    ------
    EngineError
        The backbone is not there or not one that prefcast can read.
    ArtifactError
        Its weights are not whole, or its tokenizer does not belong to it.
    """
    base = pinned(base, revision)
    tokenizer = load_tokenizer(base)
    pad = tokenizer.pad_token_id
    model, missing = load_base(base, quantization or dtype, device, pad=pad, dtype=dtype)
    check_tokenizer(tokenizer, model.config, base)
    _fresh_head(model, missing, seed)
    return model


def save_classifier(
    model: Any,
    tokenizer: Any,
    folder: Path,
    *,
    base: str | None = None,
    revision: str | None = None,
    state_dict: Mapping[str, torch.Tensor] | None = None,
) -> Path:
    """Save as a standard Hugging Face folder: an adapter if the model is a PEFT model, else a whole classifier.

    Parameters
    ----------
    model
        The trained model.
    tokenizer
        Its tokenizer.
    folder
        Where to; made, must be empty.
    base, revision
        What the adapter belongs to.
    state_dict
        The weights, where the model itself holds only a part of them (FSDP).

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ArtifactError
        The folder is not empty, the head would not be saved, or a weight is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ArtifactError(f"{folder} is not empty: choose another folder for the weights.")
    model = getattr(model, "module", model)
    core = classifier(model)
    adapted = hasattr(model, "peft_config")
    check_tokenizer(tokenizer, core.config, str(folder))
    label(core.config, tokenizer.pad_token_id)
    names = head_names(core)
    if adapted and base is None:
        raise ArtifactError("an adapter is saved with the name of its backbone: give base.")
    base = None if base is None else stored_name(pinned(base, revision))
    with quiet():
        if adapted:
            write_adapter(model, folder, names, str(base), state_dict)
        else:
            _write_whole(core, folder, names, state_dict)
        tokenizer.save_pretrained(str(folder))
    facts = Facts(
        head=names,
        dtype=_NAMES[backbone(core).get_input_embeddings().weight.dtype],
        read_out=read_out(core),
        pad_token=tokenizer.pad_token,
        pad_token_id=tokenizer.pad_token_id,
        base=base if adapted else None,
        fingerprint=base_fingerprint(str(base)) if adapted else None,
    )
    write_facts(facts, folder)
    return folder


def merge_classifier(
    folder: Path, out: Path, *, precision: str = "bf16", device: str = "cpu", backbone: str | None = None
) -> Path:
    """Turn an adapter into a whole classifier that needs no backbone, merged in float32.

    Parameters
    ----------
    folder
        Of the adapter.
    out
        Where to; must be empty.
    precision
        Of the weights written: fp32, bf16 or fp16.
    device
        Where to compute.
    backbone
        Where the backbone is, if not where it was in training.

    Returns
    -------
    Path
        The folder written.
    """
    if precision not in _NAMES.values():
        raise EngineError(
            f"weights are saved in {', '.join(_NAMES.values())}, not in {precision}: quantize when loading."
        )
    model, _ = _load_plain(read_checkpoint(folder, backbone), precision, device, "merged")
    return save_classifier(model, load_tokenizer(str(folder), facts=read_facts(folder)), out)


def precision_of(folder: Path) -> str:
    """Say what saved weights were trained in: fp32, bf16 or fp16."""
    return read_facts(folder).dtype


def _fresh_head(model: Any, missing: set[str], seed: int) -> None:
    """Draw the last layer, and of the head what the backbone has not. On the CPU: the same on every machine."""
    generator = torch.Generator().manual_seed(seed)
    *inner, last = zip(head_names(model), head_modules(model), strict=True)
    with torch.no_grad():
        for name, module in inner:
            if any(key.startswith(f"{name}.") for key in missing):
                _draw(module, generator, model.config.initializer_range)
        _draw(last[1], generator, _HEAD_SCALE / last[1].in_features ** 0.5)


def _draw(module: Any, generator: torch.Generator, spread: float) -> None:
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
        elif name.endswith("weight"):  # of a normalisation
            parameter.fill_(1.0)
        else:
            parameter.zero_()


def _whole_head(folder: Path, facts: Facts) -> dict[str, torch.Tensor]:
    """Read the head's tensors as they stand in the file, for the model may have rounded them."""
    safetensors = need("safetensors")
    prefixes = tuple(f"{name}." for name in facts.head)
    found: dict[str, torch.Tensor] = {}
    for path in safetensors_files(folder):
        with safetensors.safe_open(str(path), "pt") as file:
            found |= {key: file.get_tensor(key) for key in file.keys() if key.startswith(prefixes)}  # noqa: SIM118
    return found


def _set_head(model: Any, tensors: Mapping[str, torch.Tensor], facts: Facts, folder: Path) -> None:
    if head_names(model) != facts.head:
        raise ArtifactError(
            f"{folder} was saved with the head {', '.join(facts.head)}, but {type(model).__name__} has "
            f"{', '.join(head_names(model))}: its config was changed. Copy the folder again."
        )
    wanted = {
        f"{name}.{key}": tensor
        for name, module in zip(facts.head, head_modules(model), strict=True)
        for key, tensor in module.float().state_dict(keep_vars=True).items()
    }
    if wanted.keys() != tensors.keys() or any(t.shape != wanted[k].shape for k, t in tensors.items()):
        raise ArtifactError(
            f"the head in {folder} is missing or misshapen: it has {_shapes(tensors)}, and the model needs "
            f"{_shapes(wanted)}. A fresh head would forecast noise. Copy the folder again, or train again."
        )
    with torch.no_grad():
        for key, tensor in tensors.items():
            if tensor.dtype != torch.float32 or not tensor.isfinite().all():
                raise ArtifactError(f"{key} in {folder} is {tensor.dtype} or not finite; a head is saved in float32.")
            wanted[key].copy_(tensor)


def _shapes(tensors: Mapping[str, torch.Tensor]) -> str:
    return ", ".join(f"{k} {tuple(t.shape)}" for k, t in sorted(tensors.items())) or "nothing"


def _assert_facts(model: Any, facts: Facts, folder: Path) -> None:
    """Compare the model with what was written beside it."""
    config = model.config
    labels = tuple(config.id2label.get(k) for k in range(len(CLASSES)))
    said = (read_out(model), config.get_text_config().pad_token_id, labels)
    if said != (facts.read_out, facts.pad_token_id, facts.labels):
        raise ArtifactError(
            f"{folder} was saved to be read at the {facts.read_out} token, with pad token {facts.pad_token_id} and "
            f"labels {facts.labels}, but its config says {said}: it was changed. Copy the folder again."
        )


def _write_whole(
    core: Any, folder: Path, names: tuple[str, ...], state_dict: Mapping[str, torch.Tensor] | None
) -> None:
    if getattr(core, "is_quantized", False) or core.get_parameter(f"{names[-1]}.weight").dtype != torch.float32:
        raise ArtifactError("a whole classifier is saved in full precision with its head in float32; this one is not.")
    tensors = core.state_dict() if state_dict is None else state_dict
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ArtifactError(f"{key} is not finite: the training diverged. Lower the learning rate.")
    core.save_pretrained(str(folder), state_dict=dict(tensors))
