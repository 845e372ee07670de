#!/usr/bin/env python3
"""Speed and memory of the LLM engine on one GPU, beside the yardsticks, in one run.

Llama-3-8B geometry with random weights, the 512 pairs of the yardstick. Every figure is one JSON line; the table comes
last.

    python benchmarks/engine.py --peers ../shared/bench/llm_peers.py
    python benchmarks/engine.py --peers ../shared/bench/llm_peers.py --tiny    # every line of it, on a CPU, tiny

Training speed and memory are in benchmarks/llm_training.py.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import json
import time
from pathlib import Path

import numpy as np
import torch

from prefcast.models.llm._engine import Engine
from prefcast.models.llm._forward import backbone, classifier
from prefcast.models.llm._fuse import fuse_
from prefcast.models.llm._options import EngineOptions
from prefcast.models.llm._quantize import quantize_
from prefcast.models.llm._sequences import Sequences

PROMPT_SHARE = 0.139
"""Share of a battle's tokens that are the same in both orders: arena100 at 2,048 tokens; see RESULTS.md."""


class Pairs:
    """Battles as token sequences of given lengths: a prompt, two answers of random shares, a suffix of ten tokens."""

    def __init__(self, lengths, vocabulary, seed=1):
        r = np.random.default_rng(seed)
        given, swapped, prefix = [], [], []
        for n in lengths:
            tokens = r.integers(0, vocabulary, int(n))
            p = max(1, int(n * PROMPT_SHARE))
            cut = p + int((n - p - 10) * r.uniform(0.3, 0.7))
            prompt, a, b, end = tokens[:p], tokens[p:cut], tokens[cut : n - 10], tokens[n - 10 :]
            given.append(np.concatenate([prompt, a, b, end]))
            swapped.append(np.concatenate([prompt, b, a, end]))
            prefix.append(p)
        self.given, self.swapped = Sequences.of(given, prefix), Sequences.of(swapped, prefix)
        self.exchange, self.identical = np.zeros(len(given), bool), np.zeros(len(given), bool)


def load_peers(path, tiny):
    spec = importlib.util.spec_from_file_location("llm_peers", path)
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    if tiny:
        peers.GEOMETRY.update(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                              num_key_value_heads=2, vocab_size=128256)  # fmt: skip
    return peers


def say(**row):
    print(json.dumps(row), flush=True)
    return row


def fresh(peers, dtype):
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        model = peers.build(dtype)
    else:
        from transformers import LlamaConfig, LlamaForSequenceClassification

        model = LlamaForSequenceClassification(LlamaConfig(**peers.GEOMETRY)).to(dtype).eval()
    model.score = model.score.float()
    return model


def sync():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(name, run, pairs, flops, ceiling, warm=True):
    """Time `run` after a whole run to warm up; the share is of nominal work, whatever the engine leaves out."""
    start = time.perf_counter()
    if warm:
        run()
        sync()
    first = time.perf_counter() - start
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    found = run()
    sync()
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    row = say(
        name=name,
        pairs_per_s=round(len(pairs) / seconds, 2),
        share=round(flops / seconds / ceiling, 3),
        seconds=round(seconds, 2),
        first_run=round(first, 1),
        peak_gib=round(peak, 1),
    )
    return row, found


def profile(engine, sequences, out):
    """Where the time of one pack goes, by kind of kernel."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CUDA]) as p:
        engine.logits(sequences)
        sync()
    rows = sorted(((e.key, e.self_device_time_total, e.count) for e in p.key_averages()), key=lambda x: -x[1])
    total = sum(r[1] for r in rows)
    for key, micros, count in rows[:14]:
        say(profile=out, kernel=key[:90], share=round(micros / total, 4), count=count)


def score_forms(peers, forms, flops_of, ceiling, args):
    lists = peers.token_pairs(args.pairs)
    pairs = Pairs([len(t) for t in lists], peers.GEOMETRY["vocab_size"] - 256)
    one = Sequences.of(lists)
    table = []
    for form in forms:
        try:
            table += score_form(peers, form, one, pairs, flops_of, ceiling, args)
        except Exception as error:  # one form must not cost the others their device time
            say(form=form, failed=f"{type(error).__name__}: {error}"[:400])
        torch._dynamo.reset()
    return table


def score_form(peers, form, one, pairs, flops_of, ceiling, args):
    if form == "bnb-int8:eager":  # for its memory alone
        one = one.take(np.arange(min(64, len(one))))
    precision, how = form.split(":")
    base = {"bnb-int8": torch.float16}.get(precision, torch.bfloat16)
    model = fresh(peers, base if torch.cuda.is_available() else torch.float32)
    flops = flops_of(model, one)
    fuse_(backbone(model))
    quantize_(model, precision)
    options = EngineOptions(
        orders="given",
        path="packed",
        compile="on" if how == "compiled" else "off",
        batch_tokens=8192 if precision == "bnb-int8" else args.batch_tokens,
    )
    engine = Engine(model, options, precision=precision)
    row, _ = measure(f"ours, {form}", lambda: engine.logits(one), one, flops, ceiling)
    row["path"] = str(engine.path)
    table = [row]
    say(form=form, path=str(engine.path), batch_tokens=engine.batch_tokens)
    if args.profile and torch.cuda.is_available():
        profile(engine, one.take(np.arange(24)), form)
    if how == "compiled" or args.tiny:
        table += both_orders(engine, pairs, flops, ceiling)
    return table


def both_orders(engine, pairs, flops, ceiling):
    """One order of battles against both, the prompt's work shared."""
    given = pairs.given
    one, _ = measure("one order, as battles", lambda: engine.logits(given), given, flops, ceiling, warm=False)
    engine.options = engine.options.with_(orders="both")
    both, _ = measure("both orders", lambda: engine.probabilities(pairs), given, flops, ceiling, warm=False)
    both["cost"] = round(both["seconds"] / one["seconds"], 3)
    say(name="both orders over one", cost=both["cost"], prompt_share=PROMPT_SHARE)
    return [one, both]


def yardsticks(peers, flops_of, ceiling, only):
    """The notebook's way and plain transformers, by the yardstick's own code."""
    rows = []
    pairs = peers.token_pairs()
    if "sorted" in only:
        model = peers.build(torch.bfloat16)
        rows.append(peers.timed("sorted", lambda p: peers.run_padded(model, p, 16, sort=True), pairs, model, ceiling))
        del model
    if "notebook" in only:
        rows.append(notebook(peers, pairs[:64], ceiling))
    gc.collect()
    torch.cuda.empty_cache()
    return rows


def notebook(peers, pairs, ceiling):
    import bitsandbytes as bnb
    from peft import LoraConfig, TaskType, get_peft_model

    model = peers.build(torch.float16)
    for parent in list(model.model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear):
                q = bnb.nn.Linear8bitLt(
                    child.in_features, child.out_features, bias=False, has_fp16_weights=False, threshold=6.0
                )
                q.weight = bnb.nn.Int8Params(child.weight.data.cpu(), requires_grad=False, has_fp16_weights=False)
                setattr(parent, name, q.cuda())
    gc.collect()
    torch.cuda.empty_cache()
    plain = model
    lora = LoraConfig(
        r=16,
        lora_alpha=32,
        lora_dropout=0.1,
        bias="none",
        inference_mode=True,
        task_type=TaskType.SEQ_CLS,
        target_modules=["o_proj", "v_proj"],
    )
    model = get_peft_model(model, lora).cuda().eval()
    run = lambda p: peers.run_padded(model, p, 4, pad_to=2048, autocast=torch.float16)  # noqa: E731
    return peers.timed("notebook", run, pairs, plain, ceiling)


def sustained(n=8192, seconds=2.5):
    """Matmul rate of this GPU once its power limit holds it back, FLOP/s; the yardstick's ceiling is a short burst."""
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    start, times = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for _ in range(50):
            a @ b
        torch.cuda.synchronize()
        times += 50
    return 2 * n**3 * times / (time.perf_counter() - start)


def agreement(peers, args):
    """The packed kernel against transformers' own padded path, same weights: how far apart the logits are."""
    precision = "bf16" if torch.cuda.is_available() else "fp32"
    model = fresh(peers, torch.bfloat16 if precision == "bf16" else torch.float32)
    lists = peers.token_pairs(24)
    pairs = Pairs([len(t) for t in lists], peers.GEOMETRY["vocab_size"] - 256)
    padded = Engine(model, EngineOptions(path="padded", batch_tokens=8192), precision=precision).both(pairs)
    packed = Engine(model, EngineOptions(path="packed", batch_tokens=8192), precision=precision).both(pairs)
    again = Engine(model, EngineOptions(path="padded", batch_tokens=2048), precision=precision).both(pairs)
    for name, other in (("packed", packed), ("padded in other batches", again)):
        gap = max(float(np.abs(a - b).max()) for a, b in zip(padded, other, strict=True))
        say(name=f"{name} against padded", largest_dp=gap, spread=float(np.ptp(padded[0], axis=0).max()))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--peers", type=Path, required=True)
    ap.add_argument("--forms", default="bf16:compiled,float8:compiled,int8:compiled,bnb-int8:eager")
    ap.add_argument("--yardsticks", default="sorted,notebook")
    ap.add_argument("--batch-tokens", type=int, default=32768)
    ap.add_argument("--pairs", type=int, default=512)
    ap.add_argument("--profile", action="store_true")
    ap.add_argument("--tiny", action="store_true")
    args = ap.parse_args()
    peers = load_peers(args.peers, args.tiny)
    ceiling = 1e12
    if torch.cuda.is_available():
        ceiling, fp8 = peers.ceilings()
        say(
            gpu=torch.cuda.get_device_name(0),
            torch=torch.__version__,
            bf16_tflops=round(ceiling / 1e12),
            fp8_tflops=fp8 and round(fp8 / 1e12),
        )

    def flops_of(model, sequences):
        return peers.model_flops(classifier(model), [sequences[k] for k in range(len(sequences))])

    agreement(peers, args)
    marks = yardsticks(peers, flops_of, ceiling, args.yardsticks.split(",")) if torch.cuda.is_available() else []
    rows = score_forms(peers, args.forms.split(","), flops_of, ceiling, args)
    base = next((m["pairs_per_s"] for m in marks if m["name"] == "notebook"), None)
    for row in marks + rows:
        ratio = f"{row['pairs_per_s'] / base:6.2f}" if base else ""
        share = row.get("share", row.get("share_of_bf16_ceiling"))
        print(
            f"{row['name']:34s} {row['pairs_per_s']:8.2f} pairs/s {ratio:>6s} share {share} peak {row['peak_gib']} GiB"
        )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
