"""Every hyper-parameter of fine-tuning, checked when it is given."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Self

from prefcast.errors import RecipeError
from prefcast.models._checks import check_parameters

__all__ = ["ALL_LINEAR", "TRACKERS", "TrainingSettings"]

ALL_LINEAR: Final = "all-linear"

TRACKERS: Final = ("trackio", "wandb", "mlflow", "tensorboard")
"""Trackers by the name that transformers gives them, which is also their package's."""

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "method": ("lora", "qlora", "full"),
    "schedule": ("cosine", "linear", "constant"),
    "orders_in_training": ("both", "given", "random"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "path": ("auto", "packed", "padded"),
    "device": ("auto", "cpu", "cuda"),
}

_RANGES: Final[dict[str, tuple[float, float]]] = {
    "lora_rank": (1, 1024),
    "lora_alpha": (0.001, 4096.0),
    "lora_dropout": (0.0, 0.9),
    "learning_rate": (1e-8, 1.0),
    "warmup": (0.0, 0.9),
    "weight_decay": (0.0, 10.0),
    "max_grad_norm": (0.0, 1e6),
    "epochs": (0.001, 1000.0),
    "batch_battles": (1, 100_000),
    "batch_tokens": (0, 10_000_000),
    "consistency": (0.0, 1000.0),
    "validation": (0.0, 0.9),
    "evaluate_every": (0, 10_000_000),
    "patience": (0, 10_000),
    "save_every": (1, 10_000_000),
    "log_every": (1, 10_000_000),
    "teacher_weight": (0.0, 1.0),
}

_BESIDES: Final = ("save_every", "log_every", "tracker")
"""What may change between a kill and its resume: it does not touch the weights."""


@dataclass(frozen=True)
class TrainingSettings:
    """How to fine-tune; every field is a key of a recipe.

    The defaults are what worked best for the best published solutions of this task (Kaggle LMSYS 2024): LoRA of rank 64
    on all linear layers with a small alpha, both orders of a battle in one step, one epoch.

    Parameters
    ----------
    method
        ``"lora"``; ``"qlora"``: the same on a backbone in 4 bits (NF4, double quantization); ``"full"``: all weights.
    lora_rank
        Rank of the adapter.
    lora_alpha
        The adapter counts ``lora_alpha / lora_rank``.
    lora_dropout
        Share of the adapter's inputs that are dropped in training.
    lora_targets
        ``"all-linear"``, or names of modules such as ``["q_proj", "v_proj"]``. The head is never a target: it is
        trained whole.
    learning_rate
        The highest rate of AdamW.
    schedule
        How the rate falls after warming up: ``"cosine"``, ``"linear"``, ``"constant"``.
    warmup
        Share of all steps in which the rate rises from 0.
    weight_decay
        AdamW's; biases and norms are spared.
    max_grad_norm
        Gradients of a step are scaled down to this norm; 0 does not.
    epochs
        How often each battle is seen; may be a fraction.
    batch_battles
        Battles of one optimiser step, on all devices together.
    batch_tokens
        Most tokens on a device at once, padding counted; 0 chooses. A step goes through the device in as many parts as
        it needs, and its result does not depend on them (but for rounding and dropout).
    orders_in_training
        ``"both"`` orders of a battle in the same part of the same step; only as ``"given"``; or one at ``"random"``.
    consistency
        Weight of the symmetric KL divergence between the two orders' forecasts. Needs both orders.
    validation
        Share of the groups held out to stop early and to choose the best weights; 0 trains on all and keeps the last.
    evaluate_every
        Steps between looks at the held-out groups; 0 looks ten times.
    patience
        Looks without a gain that end the training; 0 never ends it.
    save_every
        Steps between checkpoints.
    log_every
        Steps between reports of the loss; every step is logged all the same.
    gradient_checkpointing
        Compute activations again in the backward pass instead of keeping them: a third more time, far less memory.
    compile
        Compile each layer (packed batches on a GPU).
    precision
        ``"bf16"`` and ``"fp16"`` compute so, with the trained weights in float32; ``"auto"`` is the
        device's best.
    path
        ``"packed"``, ``"padded"``, or ``"auto"``: packed where the device and the architecture can.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``.
    warm_start
        Folder of a trained model (or of an artifact with one) whose adapter or weights, and head, to begin from.
    teacher
        File with the columns id, p_a, p_b, p_tie: another model's forecasts, mixed into the votes.
    teacher_weight
        Share of the teacher in that mixture.
    tracker
        Where else to report: "trackio", "wandb", "mlflow", "tensorboard"; nowhere if empty.
    fsdp
        Shard a backbone that does not fit over the devices of ``torchrun`` or ``accelerate launch``.

    Examples
    --------
    >>> TrainingSettings(learning_rate=5e-5).lora_rank
    64
    >>> TrainingSettings(epochs=-1)
    Traceback (most recent call last):
    prefcast.errors.RecipeError: llm: epochs is -1; it must be a number from 0.001 to 1000.0.
    """

    method: str = "lora"
    lora_rank: int = 64
    lora_alpha: float = 16.0
    lora_dropout: float = 0.05
    lora_targets: str | tuple[str, ...] = ALL_LINEAR
    learning_rate: float = 2e-4
    schedule: str = "cosine"
    warmup: float = 0.05
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    epochs: float = 1.0
    batch_battles: int = 16
    batch_tokens: int = 0
    orders_in_training: str = "both"
    consistency: float = 0.0
    validation: float = 0.1
    evaluate_every: int = 0
    patience: int = 3
    save_every: int = 100
    log_every: int = 10
    gradient_checkpointing: bool = True
    compile: bool = False
    precision: str = "auto"
    path: str = "auto"
    device: str = "auto"
    warm_start: str = ""
    teacher: str = ""
    teacher_weight: float = 0.5
    tracker: str = ""
    fsdp: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.lora_targets, str):  # a list, from TOML or JSON
            object.__setattr__(self, "lora_targets", tuple(self.lora_targets))
        values = vars(self)
        check_parameters("llm", values, _RANGES)
        for name, choices in _CHOICES.items():
            if values[name] not in choices:
                raise RecipeError(f"llm: {name} is {values[name]!r}; choose one of {', '.join(choices)}.")
        for field in dataclasses.fields(self):
            kind = type(field.default)
            if kind in (bool, str) and field.name != "lora_targets" and not isinstance(values[field.name], kind):
                needed = "true or false" if kind is bool else "a text"
                raise RecipeError(f"llm: {field.name} is {values[field.name]!r}; it must be {needed}.")
        self._check_together()

    def _check_together(self) -> None:
        targets = self.lora_targets
        if targets != ALL_LINEAR and (isinstance(targets, str) or not targets):
            raise RecipeError(f'llm: lora_targets is {targets!r}; give "{ALL_LINEAR}" or a list of names of modules.')
        if self.consistency and self.orders_in_training != "both":
            raise RecipeError(
                f"llm: consistency is {self.consistency} and orders_in_training is {self.orders_in_training!r}; "
                'it compares both orders of a battle: set orders_in_training = "both" or consistency = 0.0.'
            )
        if self.tracker and self.tracker not in TRACKERS:
            raise RecipeError(f"llm: tracker is {self.tracker!r}; prefcast knows {', '.join(TRACKERS)}.")
        if self.method == "qlora" and self.fsdp:
            raise RecipeError("llm: fsdp shards weights that bitsandbytes has packed; use method lora or full with it.")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values, by recipe key."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make settings of recipe keys; an unknown one is refused.

        Raises
        ------
        RecipeError
            A key is unknown or a value does not fit.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise RecipeError(f"llm: there is no training setting {', '.join(unknown)}; there are {', '.join(known)}.")
        return cls(**values)

    def identity(self) -> dict[str, Any]:
        """Return what a run must have in common with the one that it continues."""
        return {k: v for k, v in self.to_dict().items() if k not in _BESIDES}
