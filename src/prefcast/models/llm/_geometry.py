"""The size and shape of a backbone, from its config.json or from the table of well-known ones. No torch."""

from __future__ import annotations

import difflib
import functools
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from prefcast.errors import EngineError

__all__ = ["Geometry", "backbone_names", "load_geometry", "pick", "plan_data", "stored_settings"]

_UNGATED: Final = {"bert", "roberta", "electra", "deberta", "deberta-v2", "xlm-roberta", "gpt2", "gpt_neox", "opt"}
_ENCODERS: Final = {"bert", "roberta", "electra", "deberta", "deberta-v2", "xlm-roberta", "modernbert"}
_OWN_ATTENTION: Final = {"deberta", "deberta-v2"}


@dataclass(frozen=True)
class Geometry:
    """The size and shape of a backbone with a classifier head.

    Parameters
    ----------
    name
        What to call it.
    layers
        Transformer blocks.
    hidden
        Width of the states.
    heads
        Attention heads.
    kv_heads
        Heads of keys and values.
    head_dim
        Width of a head.
    intermediate
        Width of the feed-forward block.
    vocab
        Size of the vocabulary. Tied or not makes no difference here: a classifier has no output embedding.
    gated
        Whether the feed-forward block has three matrices and not two.
    causal
        A decoder, not an encoder.
    whole_scores
        Attention scores are formed whole, tokens times tokens (DeBERTa; Gemma 2 caps them): no packed kernel has that.

    Examples
    --------
    >>> llama = load_geometry("llama3-8b")
    >>> round(llama.linear / 1e9, 2), round(llama.parameters / 1e9, 2)
    (6.98, 7.5)
    >>> llama.lora(16, ["o_proj", "v_proj"])
    6815744
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    gated: bool = True
    causal: bool = True
    whole_scores: bool = False

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each matrix of a block, by the name of its module."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = {
            "q_proj": (self.hidden, q),
            "k_proj": (self.hidden, kv),
            "v_proj": (self.hidden, kv),
            "o_proj": (q, self.hidden),
        }
        block = {"up_proj": (self.hidden, self.intermediate), "down_proj": (self.intermediate, self.hidden)}
        gate = {"gate_proj": (self.hidden, self.intermediate)} if self.gated else {}
        return attention | gate | block

    @property
    def linear(self) -> int:
        """Weights of the blocks' matrices: what is computed with for every token, and what is quantized."""
        return self.layers * sum(i * o for i, o in self.matrices.values())

    @property
    def parameters(self) -> int:
        """All weights of the classifier; norms are counted roughly."""
        return self.linear + self.vocab * self.hidden + self.layers * 2 * self.hidden

    def lora(self, rank: int, targets: str | Sequence[str] = "all-linear") -> int:
        """Weights of an adapter.

        Parameters
        ----------
        rank
            Of the adapter.
        targets
            ``"all-linear"`` or names of modules.

        Returns
        -------
        int
            How many.
        """
        names = list(self.matrices) if targets == "all-linear" else [str(one) for one in targets]
        unknown = sorted(set(names) - set(self.matrices))
        if unknown:
            raise EngineError(f"{self.name} has no module {', '.join(unknown)}; it has {', '.join(self.matrices)}.")
        return self.layers * rank * sum(sum(self.matrices[one]) for one in names)

    def flops(self, lengths: npt.NDArray[np.float64]) -> float:
        """Floating-point operations of one forward pass over sequences.

        Parameters
        ----------
        lengths
            Their tokens, (n,).

        Returns
        -------
        float
            A multiplication and its addition are two.
        """
        attention = (2 if self.causal else 4) * self.layers * self.heads * self.head_dim
        return float(2 * self.linear * lengths.sum() + attention * (lengths**2).sum())


@functools.cache
def plan_data() -> dict[str, Any]:
    """Read plan.toml: backbones, GPUs, shares and what is assumed."""
    return tomllib.loads((files("prefcast.models.llm") / "plan.toml").read_text("utf-8"))


def pick(kind: str, name: str, hint: str = "") -> Any:
    """Take an entry of a table in plan.toml by its name.

    Parameters
    ----------
    kind
        The table.
    name
        The entry.
    hint
        What else may be given, for the error.

    Returns
    -------
    Any
        The entry.

    Raises
    ------
    EngineError
        There is none; it names those that there are.
    """
    table: dict[str, Any] = plan_data()[kind]
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise EngineError(f"there is no {kind} {name!r}; there are {', '.join(table)}{hint}.{meant}")
    return table[name]


def backbone_names() -> list[str]:
    """Names of the well-known backbones.

    Returns
    -------
    list[str]
        In the order of the table.
    """
    return list(plan_data()["backbone"])


def load_geometry(backbone: str | Path) -> Geometry:
    """Find the size and shape of a backbone. Reads no weights.

    Parameters
    ----------
    backbone
        A name in `backbone_names`, or a folder with a config.json at any depth: a backbone, or a trained model.

    Returns
    -------
    Geometry
        Its size and shape.

    Raises
    ------
    EngineError
        There is no such backbone, or its config.json does not say what is needed.
    """
    folder = Path(backbone)
    if folder.is_dir():
        return _from_config(_find_config(folder), folder.resolve().name)
    known = dict(pick("backbone", str(backbone), "; or give a folder with a config.json"))
    published = {"parameters", "lm_head"}
    return Geometry(str(backbone), **{k: v for k, v in known.items() if k not in published})


def stored_settings(folder: str | Path) -> dict[str, Any]:
    """Read how a trained language model is run, by the names of its recipe; empty for anything else."""
    found = sorted(Path(folder).rglob("llm.json")) if Path(folder).is_dir() else []
    try:
        return dict(json.loads(found[0].read_text("utf-8"))["params"]) if found else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{found[0]} is damaged ({error}): copy the model again from where it was made.") from error


def _find_config(folder: Path) -> Path:
    found = sorted(folder.rglob("config.json"), key=lambda path: (len(path.parts), path))
    if found:
        return found[0]
    for adapter in sorted(folder.rglob("adapter_config.json")):
        base = Path(json.loads(adapter.read_text("utf-8")).get("base_model_name_or_path") or "")
        for place in (base, adapter.parent / base):
            if (place / "config.json").is_file():
                return place / "config.json"
        raise EngineError(f"{adapter} belongs to {base}, which is not a folder here: give its folder as --backbone.")
    raise EngineError(f"{folder} has no config.json: it is neither a backbone nor a model made of one.")


def _from_config(path: Path, name: str) -> Geometry:
    try:
        config = json.loads(path.read_text("utf-8"))
        config = config.get("text_config") or config
        kind = str(config.get("model_type", ""))
        if any(int(config.get(key) or 0) > 1 for key in ("num_local_experts", "num_experts", "n_routed_experts")):
            raise EngineError(f"{path} is a mixture of experts, which 'prefcast plan' cannot estimate.")
        heads = int(config["num_attention_heads"])
        return Geometry(
            name=name,
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
            intermediate=int(config["intermediate_size"]),
            vocab=int(config["vocab_size"]),
            gated=kind not in _UNGATED,
            causal=kind not in _ENCODERS,
            whole_scores=kind in _OWN_ATTENTION or bool(config.get("attn_logit_softcapping")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            f"{path} does not give the size of a backbone ({type(error).__name__}: {error}); it must be the "
            "config.json of a Hugging Face model."
        ) from error
