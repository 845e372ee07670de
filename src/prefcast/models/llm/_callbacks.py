"""What looks on while a model is trained: log and progress, held-out groups, checkpoints."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from prefcast.errors import EngineError
from prefcast.models._base import Progress
from prefcast.models.llm._journal import Journal
from prefcast.models.llm._snapshots import Snapshot, Snapshots
from prefcast.models.llm._trainer import BattleTrainer

__all__ = ["Watch"]


class Watch(TrainerCallback):
    """Logs every step, looks at the held-out groups, and keeps checkpoints.

    Parameters
    ----------
    out
        Work folder.
    progress
        Told how far it is.
    resumed
        Where the run goes on from.
    """

    def __init__(self, out: Path, progress: Progress, resumed: Snapshot | None) -> None:
        self.snapshots, self.journal = Snapshots(out / "checkpoints"), Journal(out / "log.jsonl")
        self.progress, self.resumed = progress, resumed
        state = {} if resumed is None else resumed.state
        self.best_step: int | None = state.get("best_step")
        self.best = float(state.get("best", math.inf))
        self.without_gain = int(state.get("without_gain", 0))
        self.trainer: BattleTrainer
        self._rates: list[float] = []
        self._last_loss = math.nan
        self._began = (time.monotonic(), 0, 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Put optimiser, schedule and counters where the run was."""
        trainer = self.trainer
        start = trainer.start
        state.global_step = start
        self._began = (time.monotonic(), start, 0)
        if trainer.is_world_process_zero():
            self.journal.begin(start)
        if self.resumed is not None:
            restore(trainer, self.resumed)
            self.resumed = None  # its tensors are as large as the model's

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the rate that the step is made with."""
        self._rates.append(float(self.trainer.optimizer.param_groups[0]["lr"]))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Log, look, save."""
        settings, step = self.trainer.task.settings, state.global_step
        last = step >= len(self.trainer.task.plan)
        if step % settings.log_every == 0 or last:
            self._flush(step)
        self._report(step)
        improved = self._look(step, last)
        stop = bool(settings.patience) and self.without_gain >= settings.patience
        if improved or stop or last or step % settings.save_every == 0:
            self._flush(step)
            self._save(step, finished=stop or last)
        if stop:
            control.should_training_stop = True
        return control

    def _flush(self, step: int) -> None:
        if not self.trainer.losses:
            return
        # Only now does the host wait for the device.
        losses = self.trainer.accelerator.reduce(torch.stack(self.trainer.losses), "mean").tolist()
        first = step - len(losses) + 1
        lines = [
            {"step": first + k, "loss": loss, "learning_rate": rate}
            for k, (loss, rate) in enumerate(zip(losses, self._rates, strict=True))
        ]
        self.trainer.losses, self._rates, self._last_loss = [], [], losses[-1]
        if self.trainer.is_world_process_zero():
            self.journal.add(lines)
        wrong = [line["step"] for line in lines if not math.isfinite(line["loss"])]
        if wrong:
            raise EngineError(
                f"the loss is no number any more in step {wrong[0]}: training diverged. Give a smaller learning_rate, "
                "a longer warmup, or precision bf16 in place of fp16."
            )

    def _report(self, step: int) -> None:
        if not self.trainer.is_world_process_zero():
            return
        began, start, _ = self._began
        total, seconds = len(self.trainer.task.plan), max(time.monotonic() - began, 1e-9)
        left = seconds / max(step - start, 1) * (total - step)
        words = [f"step {step} of {total}"]
        if math.isfinite(self._last_loss):
            words.append(f"loss {self._last_loss:.4f}")
        if math.isfinite(self.best):
            words.append(f"held out {self.best:.4f}")
        words += [f"{self.trainer.tokens / seconds:,.0f} tokens/s", f"{_duration(left)} left"]
        self.progress(", ".join(words), step / total)

    def _look(self, step: int, last: bool) -> bool:
        """Look at the held-out groups if it is time; say whether that is the best so far."""
        trainer = self.trainer
        task = trainer.task
        every = task.settings.evaluate_every or max(1, len(task.plan) // 10)
        if not len(task.held_out) or not (last or step % every == 0):
            return False
        loss = trainer.look()
        if not math.isfinite(loss):
            raise EngineError(
                f"the forecasts of the held-out battles are no numbers in step {step}: training diverged."
            )
        self._flush(step)
        if trainer.is_world_process_zero():
            self.journal.add([{"step": step, "validation_log_loss": loss}])
        trainer.log({"validation_log_loss": loss})
        if loss < self.best:
            self.best, self.best_step, self.without_gain = loss, step, 0
            return True
        self.without_gain += 1
        return False

    def _save(self, step: int, *, finished: bool) -> None:
        snapshot = capture(self.trainer, step)  # all processes, for each may hold a part
        snapshot.state |= {
            "best_step": self.best_step,
            "without_gain": self.without_gain,
            "finished": finished,
        }
        if self.best_step is not None:
            snapshot.state["best"] = self.best
        if self.trainer.is_world_process_zero():
            self.snapshots.write(snapshot, keep=self.best_step)
        self.trainer.accelerator.wait_for_everyone()


def capture(trainer: BattleTrainer, step: int) -> Snapshot:
    """Take everything that the rest of a run depends on."""
    optimizer = trainer.optimizer.state_dict()
    tensors = {
        f"{index}/{name}": _gather(value)
        for index, values in optimizer["state"].items()
        for name, value in values.items()
        if isinstance(value, torch.Tensor)
    }
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer["param_groups"]]
    scaler = trainer.accelerator.scaler
    state = {
        "groups": groups,
        "schedule": {k: v for k, v in trainer.lr_scheduler.state_dict().items() if k != "lr_lambdas"},
        "scaler": None if scaler is None else scaler.state_dict(),
        "budget": trainer.task.budget,
    }
    return Snapshot(step, trained(trainer.reader.model), tensors, state)


def restore(trainer: BattleTrainer, snapshot: Snapshot) -> None:
    """Put back what `capture` took, but for the weights, which the model has since before it was wrapped."""
    optimizer = trainer.optimizer.state_dict()
    parameters = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in snapshot.optimizer.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = _scatter(value, parameters[int(index)])
    saved = snapshot.state
    groups = [{**new, **old} for new, old in zip(optimizer["param_groups"], saved["groups"], strict=True)]
    trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})
    trainer.lr_scheduler.load_state_dict({**trainer.lr_scheduler.state_dict(), **saved["schedule"]})
    if saved["scaler"] is not None and trainer.accelerator.scaler is not None:
        trainer.accelerator.scaler.load_state_dict(saved["scaler"])
    trainer.task.budget = saved["budget"]


def trained(model: Any) -> dict[str, torch.Tensor]:
    """Take the weights that are trained, whole, by name."""
    return {name: _gather(p.detach()) for name, p in model.named_parameters() if p.requires_grad}


def _gather(tensor: Any) -> Any:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _scatter(tensor: torch.Tensor, like: Any) -> torch.Tensor:
    if not hasattr(like, "full_tensor") or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
