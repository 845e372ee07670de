"""The notebook's weights, a backbone and a ``torch.save``d dict of LoRA and head, as a model of prefcast.

The notebook loaded them with ``strict=False``, which takes a dict of any other model, or none of its tensors, without a
word and forecasts with a random head. Here every tensor must be there, have its shape, and be known.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from prefcast.errors import ArtifactError, EngineError
from prefcast.models.llm._adapter import compare, expected_tensors, write_tensors
from prefcast.models.llm._checkpoint import (
    TINY,
    Facts,
    check_tokenizer,
    find_base,
    load_tokenizer,
    safetensors_files,
    stored_name,
    write_facts,
)
from prefcast.models.llm._forward import read_out
from prefcast.models.llm._llm import LLM
from prefcast.models.llm._loading import base_fingerprint, head_names, read_config, skeleton
from prefcast.models.llm._need import need
from prefcast.models.llm._positions import check_window
from prefcast.models.llm._quiet import quiet
from prefcast.models.llm._weights import merge_classifier

__all__ = ["NOTEBOOK_TARGETS", "notebook_llm"]

NOTEBOOK_TARGETS: Final = ("o_proj", "v_proj")

_PREFIX: Final = "base_model.model."
# What wrappers put before the names of a module: DataParallel and torch.compile.
_WRAPPERS: Final = re.compile(r"^(module\.|_orig_mod\.)+")
# peft writes the adapter's name in state_dict() and leaves it out of get_peft_model_state_dict().
_LORA: Final = re.compile(r"\.lora_([AB])\.(?:[^.]+\.)?weight$")
_SAVED: Final = re.compile(r"\.modules_to_save\.[^.]+\.")
# The head that the trained one stands for; peft keeps it and never uses it.
_UNUSED: Final = re.compile(r"\.original_module\.")


def notebook_llm(
    base: str,
    tokenizer: str,
    weights: Path,
    *,
    rank: int = 16,
    alpha: float = 32.0,
    dropout: float = 0.1,
    targets: Sequence[str] = NOTEBOOK_TARGETS,
    template: str = "notebook",
    max_tokens: int = 2048,
    orders: str = "both",
    merge: bool = False,
) -> LLM:
    """Make a model of a backbone, a tokenizer and a state dict of LoRA and head, as the notebook has them.

    Parameters
    ----------
    base
        Folder or hub name of the backbone.
    tokenizer
        Folder of the tokenizer.
    weights
        What ``torch.save`` wrote of the PEFT model's state dict, or of the trained part of it.
    rank, alpha, dropout, targets
        Of the adapter.
    template, max_tokens, orders
        Of the model. The notebook reads the orders as ``"given"``; both cost twice and are exactly swap-symmetric.
    merge
        Merge the adapter into the backbone, in float32 and then rounded to bfloat16, so that the model needs no
        backbone beside it.

    Returns
    -------
    LLM
        The fitted model; its weights stand in a temporary folder until it is saved.

    Raises
    ------
    ArtifactError
        A tensor is missing, unknown, misshapen or untrained; base weights among them differ from the backbone's; or the
        tokenizer does not belong to it.
    EngineError
        The backbone or the tokenizer is not there.
    RecipeError
        The backbone has no positions for so many tokens.
    """
    temporary = Path(tempfile.mkdtemp(prefix="prefcast-import-"))
    try:
        folder = _write(temporary / "adapter", base, tokenizer, weights, rank, alpha, dropout, targets)
        check_window(read_config(base), max_tokens, "max_tokens is")
        if merge:
            folder = merge_classifier(folder, temporary / "merged")
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    training = {"lora_rank": rank, "lora_alpha": alpha, "lora_dropout": dropout, "lora_targets": list(targets)}
    return LLM.of_weights(
        folder, temporary, backbone=base, template=template, max_tokens=max_tokens, orders=orders, training=training
    )


def _write(
    folder: Path, base: str, tokenizer: str, weights: Path,
    rank: int, alpha: float, dropout: float, targets: Sequence[str],
) -> Path:  # fmt: skip
    """Write the adapter as `save_classifier` would, once all of it is known to be there."""
    if not (Path(tokenizer).is_dir() or tokenizer.startswith(TINY)):
        raise EngineError(f"there is no folder {tokenizer}. Give the folder of the tokenizer; the backbone's will do.")
    found = load_tokenizer(tokenizer)
    with quiet():
        peft = need("peft")
    model = skeleton(base)
    heads = head_names(model)
    check_tokenizer(found, model.config, tokenizer)
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, bias="none", inference_mode=True, task_type="SEQ_CLS",
        target_modules=list(targets), modules_to_save=list(heads),
    )  # fmt: skip
    where = read_out(model)
    inside = set(model.state_dict())
    expected = expected_tensors(model, config, f"LoRA on {', '.join(targets)}")
    tensors, besides = _split(_load(weights), inside, expected)
    compare(tensors, expected, str(weights))
    _refuse_untrained(tensors, weights)
    _check_base(besides, base, weights)
    folder.mkdir()
    write_tensors(tensors, config, folder, heads, stored_name(base))
    with quiet():
        found.save_pretrained(str(folder))
    facts = Facts(heads, "fp16", where, found.pad_token, found.pad_token_id, stored_name(base), base_fingerprint(base))
    write_facts(facts, folder)
    return folder


def _load(path: Path) -> dict[str, torch.Tensor]:
    """Read a dict of tensors, without running code that a pickle may hold."""
    try:
        if path.suffix == ".safetensors":
            loaded: Any = need("safetensors.torch").load_file(str(path))
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ArtifactError(f"there is no file {path}. Give what torch.save wrote of the trained weights.") from error
    except Exception as error:  # pickle, zip and safetensors raise many kinds for a file that is none of theirs
        # Not torch's own words: they advise to read the file with the code that it may hold.
        raise ArtifactError(
            f"{path} is no dict of tensors that can be read without running code in it ({type(error).__name__}). "
            "Save it again with torch.save(model.state_dict(), ...)."
        ) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(t, torch.Tensor) for t in loaded.values()):
        raise ArtifactError(f"{path} holds no dict of tensors. Save model.state_dict() and not the model.")
    return {str(name): tensor for name, tensor in loaded.items()}


def _split(
    loaded: Mapping[str, torch.Tensor], inside: set[str], expected: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Tell the adapter and head, by the names that peft gives them now, from weights of the backbone."""
    tensors: dict[str, torch.Tensor] = {}
    besides: dict[str, torch.Tensor] = {}
    for given, tensor in loaded.items():
        name = _WRAPPERS.sub("", given)
        if _UNUSED.search(name):
            continue
        name = _LORA.sub(r".lora_\1.weight", _SAVED.sub(".", name))
        name = name if name.startswith(_PREFIX) else _PREFIX + name
        plain = name.removeprefix(_PREFIX).replace(".base_layer.", ".")
        into, key = (besides, plain) if name not in expected and plain in inside else (tensors, name)
        if key in into:
            raise ArtifactError(f"{given} stands twice in the state dict, under two names: save it once.")
        into[key] = tensor
    return tensors, besides


def _refuse_untrained(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse an adapter as peft begins it, which is zero everywhere and changes nothing."""
    if all(not tensor.any() for name, tensor in tensors.items() if ".lora_B." in name):
        raise ArtifactError(f"the adapter in {path} was never trained: its B is all zero. Give the trained one.")


def _check_base(besides: Mapping[str, torch.Tensor], base: str, path: Path) -> None:
    """Compare weights of the backbone that stand in the state dict with the backbone's own; they are never taken."""
    if not besides:
        return
    safetensors = need("safetensors")
    left = dict(besides)
    for file in safetensors_files(find_base(base)):
        with safetensors.safe_open(str(file), "pt") as opened:
            for key in opened.keys():  # noqa: SIM118  it is no dict
                ours = next((left.pop(k) for k in (key, f"model.{key}") if k in left), None)
                if ours is None:
                    continue
                theirs = opened.get_tensor(key)
                if not ours.is_floating_point() or not torch.equal(ours, theirs.to(ours.dtype)):
                    raise ArtifactError(
                        f"{path} holds weights of a backbone, and {key} is not that of {base}. Give the backbone that "
                        "it was trained on, unquantized, or leave such weights out of the file."
                    )
    if left:
        raise ArtifactError(f"{path} holds {len(left)} weights that {base} does not have, such as {min(left)}.")
