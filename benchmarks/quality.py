"""Forecast quality on the three fixed protocols, beside the notebook's LightGBM branch and the class prior.

    python benchmarks/quality.py                          # within, transfer and pooled, recipe cpu, all yardsticks
    python benchmarks/quality.py --protocols transfer --recipes linear cpu --no-yardsticks

One setting serves all protocols: `prefcast.train` with its defaults on the training rows, `predict_proba` on the test
rows. Splits and scores are those of ``protocols.py`` in the bench folder (``--bench``, or beside ``PREFCAST_DATA``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

import prefcast
from prefcast.battles import hold_out_models

ROOT = Path(__file__).resolve().parent.parent


def bench_folder() -> Path:
    """Find the folder of fixed splits beside the data."""
    data = Path(os.environ.get("PREFCAST_DATA") or ROOT.parent / "shared" / "data")
    return data.parent / "bench"


def run(protocols, name: str, recipe: str) -> dict:
    """Score one recipe on one protocol, and count verdicts that a swap changes."""
    spent, flips, rows = 0.0, 0, 0

    def fit_predict(train, test):
        nonlocal spent, flips, rows
        start = time.perf_counter()
        model = prefcast.train(prefcast.read_battles(train), recipe=recipe)
        battles = prefcast.read_battles(test)
        p = model.predict_proba(battles)
        spent += time.perf_counter() - start
        swapped = model.predict_proba(battles.swap())
        assert np.array_equal(swapped[:, [1, 0, 2]], p), "a swap changed a forecast"
        flips += int((swapped[:, [1, 0, 2]].argmax(axis=1) != p.argmax(axis=1)).sum())
        rows += len(p)
        members = {k: round(m["weight"], 2) for k, m in model.training.scores["members"].items()}
        print(f"    {members} calibrated={model.training.scores['calibration']['used']}", flush=True)
        return p

    result = protocols.run(name, fit_predict)
    protocols.show(f"prefcast {recipe}", name, result)
    print(f"    {flips} of {rows} verdicts changed by swapping; {spent:.0f} s", flush=True)
    return {k: float(v) for k, v in result.items()} | {
        "who": recipe,
        "protocol": name,
        "flips": flips,
        "seconds": spent,
    }


def held_out_models(protocols, recipe: str) -> dict:
    """Score one recipe on mt_bench where every test battle has a model that no training battle has.

    Prompts are shared between training and test here, as they are not in the protocols: the two together say how
    much of a score within one pool of models is knowing the models.
    """
    frame = protocols.load("mt_bench")
    battles = prefcast.read_battles(frame)
    ys, ps, gs = [], [], []
    for train, test in hold_out_models(battles, k=3):
        ps.append(prefcast.train(battles.take(train), recipe=recipe).predict_proba(battles.take(test)))
        ys.append(protocols.labels(frame.iloc[test]))
        gs.append(frame.group_id.to_numpy()[test])
    result = protocols.score(np.concatenate(ys), np.concatenate(ps), np.concatenate(gs))
    protocols.show(f"prefcast {recipe}", "models", result)
    return {k: float(v) for k, v in result.items()} | {"who": recipe, "protocol": "held-out models"}


def yardsticks(protocols, name: str) -> list[dict]:
    """Score the class prior and the notebook's branch as it stands."""
    from notebook_gbdt import NotebookGBDT

    def prior(train, test):
        return np.tile(train[protocols.LABELS].mean().to_numpy(), (len(test), 1))

    def notebook(train, test):
        return NotebookGBDT().fit(train, protocols.labels(train)).predict_proba(test)

    out = []
    for who, fit_predict in (("class prior", prior), ("notebook LightGBM", notebook)):
        result = protocols.run(name, fit_predict)
        protocols.show(who, name, result)
        out.append({k: float(v) for k, v in result.items()} | {"who": who, "protocol": name})
    return out


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocols", nargs="+", default=["within", "transfer", "pooled"])
    parser.add_argument("--recipes", nargs="+", default=["cpu"])
    parser.add_argument("--no-yardsticks", action="store_true")
    parser.add_argument("--held-out-models", action="store_true", help="also hold out models of mt_bench")
    parser.add_argument("--bench", type=Path, default=bench_folder())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    sys.path.insert(0, str(args.bench))
    import protocols

    rows = []
    for name in args.protocols:
        rows += [] if args.no_yardsticks else yardsticks(protocols, name)
        rows += [run(protocols, name, recipe) for recipe in args.recipes]
    if args.held_out_models:
        rows += [held_out_models(protocols, recipe) for recipe in args.recipes]
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
