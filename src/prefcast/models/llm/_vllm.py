"""vLLM behind the interface of the engine: the same token sequences in, the same probabilities out.

vLLM lives in an environment of its own (it pins torch), so nothing here is imported unless it is asked for. It is asked
for raw logits of the classifier's head, which is kept in float32, and the probabilities are made of them as the engine
makes them. Written against vLLM 0.33.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from prefcast.battles import CLASSES
from prefcast.errors import EngineError
from prefcast.models._base import Float, Progress, no_progress
from prefcast.models.llm._engine import Engine, RunPath
from prefcast.models.llm._need import need
from prefcast.models.llm._options import EngineOptions
from prefcast.models.llm._packing import unique_rows
from prefcast.models.llm._sequences import Sequences

__all__ = ["VllmEngine"]

_ROOM: Final = 8
"""Tokens of the window that stay free: vLLM 0.22 hangs for ever on a request that fills it."""

_PRECISIONS: Final[dict[str, dict[str, Any]]] = {
    "bf16": {"dtype": "bfloat16"},
    "fp16": {"dtype": "float16"},
    "fp32": {"dtype": "float32"},
    # The head is a linear layer of the checkpoint, which vLLM would quantize with the others.
    "float8": {
        "dtype": "bfloat16",
        "quantization": "fp8_per_channel",
        "quantization_config": {"ignore": ["score", "*.score"]},
    },
}


class VllmEngine(Engine):
    """Runs a decoder with a classifier head in vLLM.

    Parameters
    ----------
    folder
        A Hugging Face folder of the whole model, adapter merged, head in float32, as `save_classifier` and
        `merge_classifier` write it.
    options
        How to run it. The precision is ``"bf16"`` (also for ``"auto"``), ``"fp16"``, ``"fp32"`` or ``"float8"``; `path`
        and `compile` are vLLM's own affair; `lora` must be ``"merged"``.
    max_tokens
        Longest sequence.
    gpus
        Devices to split each layer over.

    Raises
    ------
    EngineError
        vLLM is not installed, or the model is none that it can run with the same answers.
    """

    def __init__(
        self, folder: str | Path, options: EngineOptions | None = None, *, max_tokens: int = 2048, gpus: int = 1
    ) -> None:
        self.options = options or EngineOptions()
        self.folder = Path(folder)
        self.precision = "bf16" if self.options.precision == "auto" else self.options.precision
        if self.precision not in _PRECISIONS:
            raise EngineError(f"the vLLM engine runs in {', '.join(_PRECISIONS)}, not in {self.precision}.")
        if self.options.lora != "merged":
            raise EngineError("the vLLM engine needs the adapter merged: --lora merged.")
        config = _check_folder(self.folder)
        self.device = "cuda"
        self.max_tokens = max_tokens
        window = int(config.get("max_position_embeddings") or max_tokens + _ROOM)
        if max_tokens + _ROOM > window:
            raise EngineError(
                f"vLLM needs {_ROOM} tokens more than the longest sequence, and {self.folder} reads {window:,}: "
                f"give max_tokens = {window - _ROOM}."
            )
        self._vllm = need("vllm", "the vLLM engine")
        self._llm = self._start(gpus)
        self._check_head()
        version = getattr(self._vllm, "__version__", "of unknown version")
        self.path = RunPath(packed=True, compiled=True, why=f"vLLM {version}, {self.precision}, asked for")

    def logits(self, sequences: Sequences, *, progress: Progress = no_progress) -> Float:
        """Compute the logits of sequences, each different one once.

        Parameters
        ----------
        sequences
            Token sequences, n of them.
        progress
            Told how far it is.

        Returns
        -------
        Float
            Logits, (n, 3).

        Raises
        ------
        EngineError
            A sequence is too long, or vLLM did not answer as it promises.
        """
        if not len(sequences):
            return np.empty((0, 3))
        longest = int(sequences.lengths.max())
        if longest > self.max_tokens:
            raise EngineError(f"a sequence has {longest:,} tokens, and vLLM was started for {self.max_tokens:,}.")
        rows, of = unique_rows(sequences)
        progress(f"{int(sequences.take(rows).lengths.sum()):,} tokens in vLLM", 0.0)
        # Longest first: the last batches are then the short ones, which fill up.
        order = rows[np.argsort(-sequences.lengths[rows], kind="stable")]
        prompts = [{"prompt_token_ids": sequences[row].tolist()} for row in order]
        raw = self._vllm.PoolingParams(use_activation=False)
        answers = self._llm.classify(prompts, pooling_params=raw, use_tqdm=False)
        found = np.full((len(sequences), 3), np.nan)
        found[order] = _read(answers, prompts)
        return found[rows][of]

    def _start(self, gpus: int) -> Any:
        chosen = dict(_PRECISIONS[self.precision])
        if self.options.batch_tokens:
            chosen["max_num_batched_tokens"] = max(self.options.batch_tokens, self.max_tokens + _ROOM)
        try:
            return self._vllm.LLM(
                str(self.folder),
                runner="pooling",
                convert="classify",
                skip_tokenizer_init=True,
                tensor_parallel_size=gpus,
                max_model_len=self.max_tokens + _ROOM,
                hf_overrides={"head_dtype": "float32"},
                seed=0,
                **chosen,
            )
        except (TypeError, ValueError, RuntimeError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise EngineError(
                f"vLLM could not start on {self.folder}: {first}. prefcast's own engine needs no vLLM."
            ) from error

    def _check_head(self) -> None:
        head = str(getattr(self._llm.model_config, "head_dtype", "unknown")).removeprefix("torch.")
        if head != "float32":
            raise EngineError(f"vLLM would run the classifier head in {head}; it must be float32. Install vllm>=0.33.")


def _check_folder(folder: Path) -> dict[str, Any]:
    """Refuse what vLLM would run with other answers than the engine's, without a word."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        adapter = (folder / "adapter_config.json").is_file()
        why = (
            "it holds an adapter, which must be merged first" if adapter else f"its config.json cannot be read: {error}"
        )
        raise EngineError(f"the vLLM engine cannot run {folder}: {why}.") from error
    architecture = str((config.get("architectures") or ["unknown"])[0])
    if not architecture.endswith("ForSequenceClassification"):
        raise EngineError(f"{folder} is a {architecture}, not a sequence classifier.")
    labels = tuple((config.get("id2label") or {}).get(str(k)) for k in range(len(config.get("id2label") or {})))
    if labels != CLASSES:
        raise EngineError(f"{folder} has the labels {', '.join(map(str, labels))}; they must be {', '.join(CLASSES)}.")
    _check_score(folder)
    return config


def _check_score(folder: Path) -> None:
    safetensors = need("safetensors", "the vLLM engine")
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, "np") as file:
            if "score.weight" in file.keys():  # noqa: SIM118 (a file, not a dict)
                kind = file.get_slice("score.weight").get_dtype()
                if kind != "F32":
                    raise EngineError(f"the head in {path} is stored as {kind}; it must be F32: save the model again.")
                return
    raise EngineError(
        f"{folder} has no score.weight, and vLLM reads decoders with that head only: use prefcast's own engine."
    )


def _read(answers: Any, prompts: list[dict[str, list[int]]]) -> Float:
    """Read what vLLM answered, refusing anything but three raw logits for each prompt in its order."""
    if len(answers) != len(prompts):
        raise EngineError(f"vLLM answered {len(answers)} of {len(prompts)} sequences.")
    for answer, prompt in zip(answers, prompts, strict=True):
        error = getattr(answer, "error", None)
        if error is not None:
            raise EngineError(f"vLLM failed on a sequence: {error}")
        if list(answer.prompt_token_ids) != prompt["prompt_token_ids"]:
            raise EngineError("vLLM answered in another order than it was asked, or changed the tokens.")
    values = [list(answer.outputs.probs) for answer in answers]
    if any(len(one) != len(CLASSES) for one in values):
        raise EngineError(f"vLLM gave {len(values[0])} values for a sequence; three labels were expected.")
    found = np.array(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise EngineError("vLLM gave values that are not numbers: the precision overflows. Use --precision bf16.")
    if (found >= 0).all() and np.allclose(found.sum(1), 1, atol=1e-3):
        raise EngineError("vLLM gave probabilities where raw logits were asked for. Install vllm>=0.33.")
    return found
