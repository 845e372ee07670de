"""What calibrating on 20 prompts from where a model is used is worth.

    python benchmarks/calibrate.py [--recipe cpu] [--draws 5] [--prompts 20] [--json calibrate.json]

Trains on the training rows of the protocol `transfer` (no prompt of mt_bench among them). Each draw calibrates on the
votes of 20 prompts of mt_bench, as ``prefcast calibrate`` does, and scores the votes on the other 60. Two figures:
with what the rule does (the calibration if its interval on the 20 prompts supports it, else the model as it was), and
with the calibration whatever the interval says (``--anyway``). The pull and the least number of prompts were chosen on
other data (see `prefcast.pipeline._calibrate`); mt_bench decides nothing here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

import prefcast
from prefcast.evaluation import mean_interval, paired_interval, row_log_loss
from prefcast.pipeline import calibrate

ROOT = Path(__file__).resolve().parent.parent


def bench_folder() -> Path:
    """Find the folder of fixed splits beside the data."""
    data = Path(os.environ.get("PREFCAST_DATA") or ROOT.parent / "shared" / "data")
    return data.parent / "bench"


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="cpu")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--bench", type=Path, default=bench_folder())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    sys.path.insert(0, str(args.bench))
    import protocols

    ((train, test),) = protocols.splits("transfer")
    model = prefcast.train(prefcast.read_battles(train), recipe=args.recipe)
    battles = prefcast.read_battles(test)
    groups = np.unique(test["group_id"].to_numpy(), return_inverse=True)[1]
    before = row_log_loss(model.predict_proba(battles), battles.votes)
    print(f"{len(train)} votes to train on; {len(battles)} of mt_bench, log loss {before.mean():.4f} uncalibrated")
    rows, pooled = [], {"rule": [], "anyway": []}
    for draw in range(args.draws):
        chosen = np.random.default_rng(draw).permutation(groups.max() + 1)[: args.prompts]
        held_in = np.isin(groups, chosen)
        found = calibrate(model, battles.take(held_in))
        rest = ~held_in
        after = row_log_loss(found.model.predict_proba(battles.take(rest)), battles.votes[rest])
        gaps = {"anyway": after - before[rest], "rule": (after - before[rest]) * found.supported}
        for name, gap in gaps.items():
            pooled[name].append((gap, groups[rest]))
        interval = paired_interval(after, before[rest], groups[rest])
        c = found.calibration
        print(
            f"draw {draw}: sharpness {c.sharpness:.3f}, tie bias {c.tie:+.3f}; on its {found.n_groups} prompts "
            f"{found.change:+.4f}, {'supported' if found.supported else 'not supported'}; on the others log loss "
            f"{before[rest].mean():.4f} -> {after.mean():.4f}, after minus before {interval:+.4f}",
            flush=True,
        )
        rows.append(
            {"draw": draw, **vars(c), "supported": found.supported, "before": before[rest].mean(), **vars(interval)}
        )
    means = {}
    for name, parts in pooled.items():
        # A prompt is tested in several draws: the bootstrap takes it with all of them or not at all.
        gap, group = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        weights = np.concatenate([np.full(len(g), 1 / len(g)) for g, _ in parts])
        means[name] = mean_interval(gap, group, weights)
        print(f"mean of {args.draws} draws, {name}: after minus before {means[name]:+.4f}")
    if args.json:
        args.json.write_text(json.dumps({"draws": rows, "means": {k: vars(v) for k, v in means.items()}}) + "\n")


if __name__ == "__main__":
    main()
