#!/usr/bin/env python3
"""Speed and memory of training on one GPU: packed LoRA beside the plain Trainer with padding, and QLoRA's memory.

Llama-3-8B geometry with random weights, LoRA r 64 on all linear layers, bf16, gradient checkpointing, the lengths of
the yardstick; real tokens a second, padding not counted, the first step left out. Loading and saving are left out: the
model is made in memory and handed to prefcast's trainer.

    python benchmarks/llm_training.py --peers ../shared/bench/llm_peers.py
    python benchmarks/llm_training.py --peers ../shared/bench/llm_peers.py --tiny   # on a CPU, tiny
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from engine import Pairs, fresh, load_peers, say
from peft import LoraConfig, TaskType, get_peft_model
from transformers import Trainer, TrainerCallback, TrainingArguments

from prefcast.models.llm._collate import Collator, TrainingData
from prefcast.models.llm._engine import compile_layers
from prefcast.models.llm._forward import classifier, packed_attention
from prefcast.models.llm._quantize import quantize_
from prefcast.models.llm._settings import TrainingSettings
from prefcast.models.llm._steps import StepPlan
from prefcast.models.llm._trainable import make_trainable
from prefcast.models.llm._trainer import BattleTrainer, Reader, Task, training_arguments

GPU = torch.cuda.is_available()


class Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self):
        self.ends = []

    def on_step_end(self, args, state, control, **_):
        if GPU:
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def seconds(self):
        return self.ends[-1] - self.ends[0]


def clean():
    gc.collect()
    if GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak():
    return round(torch.cuda.max_memory_allocated() / 2**30, 1) if GPU else 0.0


def lora(settings):
    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules="all-linear",
        task_type=TaskType.SEQ_CLS,
    )


def plain(peers, pairs, settings, *, batch, steps):
    """Train as most people do: Trainer, batches in random order, padded to their longest."""
    clean()
    model = fresh(peers, torch.bfloat16)
    model.score = model.score.to(model.dtype)
    model = get_peft_model(model, lora(settings))
    whole = pairs.given.concat(pairs.swapped)
    order = np.random.default_rng(0).permutation(len(whole))[: batch * steps]
    pad = model.config.pad_token_id

    def collate(rows):
        tokens = [whole[int(r)] for r in rows]
        ids = torch.full((len(tokens), max(map(len, tokens))), pad)
        mask = torch.zeros_like(ids)
        for k, t in enumerate(tokens):
            ids[k, : len(t)], mask[k, : len(t)] = torch.from_numpy(t).long(), 1
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(len(rows)) % 3}

    class InOrder(Trainer):
        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    clock = Clock()
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=batch,
        max_steps=steps,
        bf16=GPU,
        use_cpu=not GPU,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        learning_rate=1e-4,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
    )
    model.enable_input_require_grads()
    InOrder(model=model, args=arguments, train_dataset=list(order), data_collator=collate, callbacks=[clock]).train()
    tokens = int(whole.lengths[order[batch:]].sum())
    return report("plain Trainer, padded", tokens, clock, batch=batch)


def ours(name, peers, pairs, settings, *, quantization=None):
    """Train as prefcast does, from the trainer on."""
    clean()
    model = fresh(peers, torch.bfloat16)
    if quantization:
        quantize_(model, quantization)
    clean()
    model = make_trainable(model, settings, seed=0)
    n = len(pairs.given)
    data = TrainingData(pairs.given.concat(pairs.swapped), np.tile([1.0, 0.0, 0.0], (n, 1)), np.ones(n))
    none = np.array([], np.int64)
    held = TrainingData(data.sequences.take(none), data.votes[:0], data.weights[:0])
    plan = StepPlan(n, 1.0, settings.batch_battles, 0)
    device = "cuda:0" if GPU else "cpu"
    arguments = training_arguments(
        settings, Path(tempfile.mkdtemp()), steps=len(plan), precision="bf16" if GPU else "fp32", cpu=not GPU
    )
    if settings.compile:
        compile_layers(classifier(model))
    task = Task(settings, 0, data, held, plan, Collator(device, True, 0), settings.batch_tokens)
    clock = Clock()
    with packed_attention(model):
        BattleTrainer(Reader(model), arguments, task, 0, [clock]).train()
    first = plan.rows(0)
    tokens = int(data.sequences.lengths.sum() - 2 * data.sequences.lengths[first].sum())
    return report(name, tokens, clock, batch_tokens=settings.batch_tokens)


def report(name, tokens, clock, **more):
    return say(name=name, tokens_per_s=round(tokens / clock.seconds()), steps=len(clock.ends), peak_gib=peak(), **more)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--peers", type=Path, required=True)
    ap.add_argument("--battles", type=int, default=96)
    ap.add_argument("--only", default="plain,packed,compiled,qlora")
    ap.add_argument("--tiny", action="store_true")
    args = ap.parse_args()
    peers = load_peers(args.peers, args.tiny)
    lengths = peers.lengths(args.battles)
    pairs = Pairs(lengths // 8 + 30 if args.tiny else lengths, peers.GEOMETRY["vocab_size"] - 256)
    base = TrainingSettings(batch_battles=16, batch_tokens=16384, validation=0.0, lora_dropout=0.05)
    few = Pairs(lengths[:32], peers.GEOMETRY["vocab_size"] - 256)
    qlora = replace(base, method="qlora", batch_tokens=8192)
    work = {
        "plain": lambda: plain(peers, pairs, base, batch=8, steps=3 if args.tiny else 12),
        "packed": lambda: ours("packed", peers, pairs, base),
        "compiled": lambda: ours("packed, compiled", peers, pairs, replace(base, compile=True)),
        "qlora": lambda: ours("QLoRA, packed", peers, few, qlora, quantization="bnb-nf4"),
    }
    for name in args.only.split(","):
        try:
            work[name]()
        except Exception as error:  # one way must not cost the others their device time
            say(name=name, failed=f"{type(error).__name__}: {error}"[:600])


if __name__ == "__main__":
    main()
