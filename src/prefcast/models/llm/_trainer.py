"""The Trainer of transformers with optimiser steps of whole battles.

An item of its data loader is the number of an optimiser step; every process knows from it which battles those are and
which of them are its own. A step is then computed in as many parts as the token budget asks for, each loss divided by
the weight of the whole step, so that neither the parts nor the number of processes change the result. Only documented
hooks are overridden (`training_step`, `get_train_dataloader`), and checkpoints are prefcast's own: the Trainer's are
pickles.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from prefcast.errors import EngineError
from prefcast.models.llm._collate import Collator, Part, TrainingData, loss_of, mean_forecast
from prefcast.models.llm._forward import class_logits, classifier
from prefcast.models.llm._settings import TrainingSettings
from prefcast.models.llm._steps import StepPlan, split_step

__all__ = ["BattleTrainer", "Reader", "Task", "training_arguments"]

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


class Reader(torch.nn.Module):
    """A classifier whose forward pass is `class_logits`, so that wrappers such as DDP see every call.

    Parameters
    ----------
    model
        The classifier, wrapped by PEFT or not.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @property
    def _no_split_modules(self) -> Any:
        """Which layers FSDP shards as one."""
        return classifier(self.model)._no_split_modules

    def forward(self, batch: Any) -> torch.Tensor:
        """Compute the logits of a batch."""
        return class_logits(self.model, batch)


@dataclass
class Task:
    """What a run trains on.

    Parameters
    ----------
    settings
        All of them.
    seed
        Of everything random.
    data
        Battles to learn from.
    held_out
        Battles to look at.
    plan
        Which battles go into which step.
    collator
        How they become tensors.
    budget
        Most tokens of a part; halved when memory runs out.
    """

    settings: TrainingSettings
    seed: int
    data: TrainingData
    held_out: TrainingData
    plan: StepPlan
    collator: Collator
    budget: int


class BattleTrainer(Trainer):
    """Trains on the steps of a plan.

    Parameters
    ----------
    reader
        The model.
    arguments
        See `training_arguments`.
    task
        What to train on.
    start
        Steps that are done.
    callbacks
        What looks on.
    """

    def __init__(
        self, reader: Reader, arguments: TrainingArguments, task: Task, start: int, callbacks: list[TrainerCallback]
    ) -> None:
        self.task, self.start, self.reader = task, start, reader
        self.tokens = 0
        self.losses: list[torch.Tensor] = []
        super().__init__(
            model=reader,
            args=arguments,
            train_dataset=[{"step": k} for k in range(start, len(task.plan))],
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> Any:
        """Return the numbers of the steps, the same for every process."""
        return torch.utils.data.DataLoader(self.train_dataset, batch_size=None, collate_fn=lambda item: item)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Compute the gradients of one optimiser step.

        Parameters
        ----------
        model
            The reader, wrapped for several processes or not.
        inputs
            The number of the step.
        num_items_in_batch
            Not read: a step is normalised by the weight of its battles.

        Returns
        -------
        torch.Tensor
            Its loss; the mean over the processes is that of the step.
        """
        while True:
            try:
                loss = self._compute(model, int(inputs["step"]))
            except torch.OutOfMemoryError as error:
                why = str(error).partition(".")[0]
            else:
                self.losses.append(loss)
                return loss
            # Outside of the handler, which keeps every tensor of the failed attempt alive.
            model.zero_grad()
            self._halve(why)

    def _compute(self, model: Any, step: int) -> torch.Tensor:
        task, world = self.task, self.accelerator.num_processes
        # Dropout depends on the step alone, so that a resumed run needs no state of any generator.
        torch.manual_seed(_seed(task.seed, step, self.accelerator.process_index))
        model.train()
        rows = task.plan.rows(step)
        swapped = {
            "both": None,
            "given": np.zeros(len(rows), bool),
            "random": task.plan.coins(step),
        }[task.settings.orders_in_training]
        lengths = task.data.sequences.lengths[task.data.rows(rows, swapped)]
        parts = self._share(lengths)
        scale = world / float(task.data.weights[rows].sum())
        total = torch.zeros((), device=self.args.device)
        for k, at in enumerate(parts):
            part = task.collator.part(task.data, rows[at], None if swapped is None else swapped[at])
            wait = contextlib.nullcontext() if k + 1 == len(parts) else self.accelerator.no_sync(model)
            with wait:
                loss = scale * loss_of(self._logits(model, part), part, task.settings.consistency)
                self.accelerator.backward(loss)
            total += loss.detach()
        self.tokens += int(lengths.sum())
        return total

    def _share(self, lengths: Any) -> list[Any]:
        """Find the parts of a step that are this process's own."""
        padded, world = not self.task.collator.packed, self.accelerator.num_processes
        return split_step(lengths, self.task.budget, padded=padded, world=world)[self.accelerator.process_index]

    def _logits(self, model: Any, part: Part) -> torch.Tensor:
        found: torch.Tensor = model(part.batch)
        return found

    def _halve(self, why: str) -> None:
        longest = int(self.task.data.sequences.lengths.max())
        if self.accelerator.num_processes > 1 or self.task.budget < 2 * longest:
            raise EngineError(
                f"training does not fit the memory of {self.args.device} with {self.task.budget:,} tokens at once "
                f"({why}). Give a smaller batch_tokens, gradient_checkpointing = true, "
                "method qlora, fewer tokens, or a larger device; 'prefcast plan' says what fits."
            )
        torch.cuda.empty_cache()
        self.task.budget //= 2

    def look(self) -> float:
        """Forecast the held-out battles from both orders.

        Returns
        -------
        float
            Their weighted mean log loss, the same in every process.
        """
        held, model = self.task.held_out, self.model_wrapped
        model.eval()
        lengths = held.sequences.lengths[held.rows(np.arange(len(held)), None)]
        total = torch.zeros((), dtype=torch.float64, device=self.args.device)
        with torch.no_grad():
            for at in self._share(lengths):
                part = self.task.collator.part(held, at, None)
                p = mean_forecast(self._logits(model, part))
                losses = -(part.votes[:, 0].double() * p.clamp_min(1e-15).log()).sum(-1)
                total += (losses * part.weights.double()).sum()
        summed = self.accelerator.reduce(total, "sum")
        assert isinstance(summed, torch.Tensor)
        return float(summed) / float(held.weights.sum())


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def training_arguments(settings: TrainingSettings, out: Path, *, steps: int, precision: str, cpu: bool) -> Any:
    """Say to the Trainer what the settings mean.

    Parameters
    ----------
    settings
        All of them.
    out
        Work folder.
    steps
        Optimiser steps in all.
    precision
        fp32, bf16 or fp16.
    cpu
        Whether to use no GPU.

    Returns
    -------
    TrainingArguments
        Silent, and without checkpoints and evaluation of its own.
    """
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=_SCHEDULES[settings.schedule],
        warmup_steps=round(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch" if cpu else "adamw_torch_fused",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=cpu,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="steps" if settings.tracker else "no",
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        report_to=[settings.tracker] if settings.tracker else [],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        fsdp=settings.fsdp or None,
        fsdp_config={"version": 2, "reshard_after_forward": True} if settings.fsdp else None,
    )
    # Else "no" would mean what `accelerate launch` was configured to: fp32 was asked for, and bf16 computed.
    arguments.mixed_precision = "no" if precision == "fp32" else precision
    # Several GPUs in one process would mean DataParallel, which no one wants: torchrun starts one process for each.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
