"""Transformers' models loaded from a folder or made on the spot, and refused where transformers would only warn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from prefcast.battles import CLASSES
from prefcast.errors import ArtifactError, EngineError
from prefcast.models.llm._checkpoint import TINY, find_base, fingerprint
from prefcast.models.llm._forward import classifier, head_modules
from prefcast.models.llm._need import need
from prefcast.models.llm._quantize import dtype_of, quantize_
from prefcast.models.llm._quiet import quiet

__all__ = ["base_fingerprint", "head_names", "label", "load_base", "load_folder", "pinned", "read_config", "skeleton"]

_NAMES: Final = dict(enumerate(CLASSES))


def head_names(model: Any) -> tuple[str, ...]:
    """Name the modules from the state that is read to the logits.

    Parameters
    ----------
    model
        A classifier.

    Returns
    -------
    tuple[str, ...]
        Such as ``("score",)``, or ``("bert.pooler", "classifier")``; what an adapter must save besides LoRA.
    """
    core = classifier(model)
    wanted = {id(module) for module in head_modules(core)}
    return tuple(name for name, module in core.named_modules() if id(module) in wanted)


def pinned(base: str, revision: str | None) -> str:
    """Return a backbone's name with its revision."""
    return base if revision is None else f"{base}@{revision}"


def base_fingerprint(base: str, revision: str | None = None) -> str:
    """Tell a backbone from another; see `fingerprint`."""
    base = pinned(base, revision)
    if base.startswith(TINY):
        from prefcast.models.llm._tiny import tiny_backbone, tiny_fingerprint

        return tiny_fingerprint(tiny_backbone(base))
    return fingerprint(find_base(base, fetch=False))


def skeleton(base: str) -> Any:
    """Make a classifier of a backbone's shapes without its weights.

    Parameters
    ----------
    base
        The backbone.

    Returns
    -------
    Any
        A model of transformers on the meta device.
    """
    transformers = need("transformers")
    config = read_config(base)
    with quiet(), torch.device("meta"):  # the first use of an architecture imports it, and what it warns of
        return transformers.AutoModelForSequenceClassification.from_config(config)


def read_config(base: str) -> Any:
    """Read the config of a backbone, with three labels; refuse one that transformers cannot read or is quantized."""
    transformers = need("transformers")
    if base.startswith(TINY):
        from prefcast.models.llm._tiny import tiny_backbone

        return tiny_backbone(base).config
    folder = find_base(base, fetch=False)
    try:
        config = transformers.AutoConfig.from_pretrained(
            str(folder), num_labels=len(CLASSES), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().partition("\n")[0]
        raise EngineError(f"{base} is not a model that this transformers can read ({first}).") from error
    if getattr(config, "quantization_config", None) is not None:
        raise EngineError(f"{base} is quantized already; give the original and quantize with the precision.")
    return config


def load_base(base: str, precision: str, device: str, *, pad: int, dtype: str | None = None) -> tuple[Any, set[str]]:
    """Load a backbone under a head that the caller must replace, and say which of its tensors were not in the files."""
    if base.startswith(TINY):
        from prefcast.models.llm._tiny import tiny_backbone

        model, missing = tiny_backbone(base).to(device=device, dtype=dtype_of(dtype or precision, device)), set[str]()
        quantize_(model, precision)
    else:
        config = read_config(base)
        folder = find_base(base, fetch=False)
        model, missing = load_folder(folder, precision, device, dtype=dtype, fresh_head=True, config=config)
    label(model.config, pad)
    for module in head_modules(model):
        module.float()
    return model, missing


def load_folder(
    folder: Path, precision: str, device: str, *, dtype: str | None = None, fresh_head: bool = False, config: Any = None
) -> tuple[Any, set[str]]:
    """Load with transformers, and refuse what it would only warn of."""
    transformers = need("transformers")
    arguments: dict[str, Any] = {"dtype": dtype_of(dtype or precision, device)}
    config = config or read_config(str(folder))
    if precision.startswith("bnb"):
        arguments["quantization_config"] = _bnb_config(config, precision, arguments["dtype"])
    if precision.startswith("bnb") or torch.device(device).type != "cpu":
        arguments["device_map"] = {"": device}
    try:
        with quiet():
            model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                str(folder), config=config, output_loading_info=True, ignore_mismatched_sizes=True,
                use_safetensors=True, local_files_only=True, trust_remote_code=False, **arguments,
            )  # fmt: skip
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"{folder} does not fit the memory of {device} in {precision}. Use --precision bnb-int8 or bnb-nf4, or a "
            "smaller backbone; 'prefcast plan' says what fits."
        ) from error
    except Exception as error:  # whatever damaged weights make transformers or safetensors raise
        first = str(error).strip().partition("\n")[0]
        raise ArtifactError(f"the weights in {folder} cannot be read ({type(error).__name__}: {first}).") from error
    _check_loaded(model, info, folder, fresh_head=fresh_head)
    return model, set(info["missing_keys"])


def _check_loaded(model: Any, info: Mapping[str, Any], folder: Path, *, fresh_head: bool) -> None:
    """Refuse weights that are not whole. A backbone may lack the head, and may have that of another task."""
    heads = tuple(f"{name}." for name in head_names(model)) if fresh_head else ()
    inner = f"{model.base_model_prefix}." if fresh_head else ""
    missing = [k for k in info["missing_keys"] if not k.startswith(heads)]
    # Entries are (name, shape in the file, shape in the model).
    misshapen = [k[0] for k in info["mismatched_keys"] if not k[0].startswith(heads)]
    # A backbone of old may have buffers that are no longer saved; what has been trained is a weight or a bias.
    ends = ("weight", "bias") if fresh_head else ""
    unexpected = [k for k in info["unexpected_keys"] if k.startswith(inner) and k.endswith(ends)]
    for what, keys in (("lack", missing), ("misshape", misshapen), ("have besides", unexpected)):
        if keys:
            some = ", ".join(sorted(keys)[:3])
            raise ArtifactError(
                f"the weights in {folder} {what} {len(keys)} tensors of {type(model).__name__} (such as {some}): they "
                "are damaged or of another model. Copy or fetch them again."
            )


def _bnb_config(config: Any, precision: str, dtype: torch.dtype) -> Any:
    transformers = need("transformers")
    need("bitsandbytes", f"precision {precision}")
    with quiet(), torch.device("meta"):
        heads = list(head_names(transformers.AutoModelForSequenceClassification.from_config(config)))
    if precision == "bnb-int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=heads)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=heads,
    )  # fmt: skip


def label(config: Any, pad_token_id: int) -> None:
    """Write the names of the classes and the pad token into a config, where other programs look for them."""
    config.id2label, config.label2id = dict(_NAMES), {name: k for k, name in _NAMES.items()}
    config.pad_token_id = pad_token_id
    config.get_text_config().pad_token_id = pad_token_id
