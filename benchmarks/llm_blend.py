"""Blend the forecasts that ``llm_quality.py`` saved with those of a CPU recipe, and write the tables.

    python benchmarks/llm_blend.py trees --out out       # forecasts of the recipe cpu, kept in --out: minutes
    python benchmarks/llm_blend.py blend --out out
    python benchmarks/llm_blend.py table --out out       # all results as Markdown

The weights of the blend are fitted out-of-fold. For `pooled`: on the forecasts of the other folds. For `transfer`: on
the held-out fifth of its training sets, forecast by the model of the part ``rates`` that never saw it (its rate was the
best of three on them, which flatters it a little), against the recipe's out-of-fold forecasts of the same battles.
``transfer, votes of the target`` fits them on the other prompts of mt_bench instead, which needs votes from there.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from llm_quality import Bench, add_common, compared, one_hot, scored

import prefcast
from prefcast.battles import make_folds
from prefcast.models import blend_weights, log_pool

PROTOCOLS = ("transfer", "pooled")


def trees(bench: Bench, name: str) -> None:
    """Forecast a protocol's test rows with a CPU recipe, and its training rows out-of-fold; once."""
    store, recipe = bench.store, bench.args.recipe
    for k, (train, test) in enumerate(bench.splits(name)):
        if store.of(f"{recipe} {name}", test.id) is not None:
            continue
        model = prefcast.train(prefcast.read_battles(train), recipe)
        store.keep(f"{recipe} {name}", test.id, {"p": model.predict_proba(prefcast.read_battles(test))}, fold=k)
        if name == "transfer":
            oof = model.training.oof
            p = oof.select("model_a", "model_b", "model_tie").to_numpy()
            store.keep(f"{recipe} out-of-fold", oof["id"], {"p": p})


def blended(bench: Bench, title: str, frame, forecasts, weights: list[np.ndarray], of: np.ndarray) -> None:
    """Score a blend with the weights of each row's part, beside its members."""
    votes = one_hot(bench, frame)
    p = np.empty_like(forecasts[0])
    for k, w in enumerate(weights):
        p[of == k] = log_pool([f[of == k] for f in forecasts], w)
    against = {}
    for who, q in zip(("llm", "trees"), forecasts, strict=True):
        against |= {k.replace("difference", f"minus_{who}"): v for k, v in compared(frame, votes, p, q).items()}
    bench.store.keep(f"blend {title}", frame.id, {"p": p})
    bench.store.say(
        part="blend",
        run=title,
        **scored(bench, frame, p),
        llm=scored(bench, frame, forecasts[0])["log_loss"],
        trees=scored(bench, frame, forecasts[1])["log_loss"],
        llm_weights=[round(float(w[0]), 3) for w in weights],
        **against,
    )


def across_folds(forecasts, votes, of: np.ndarray) -> list[np.ndarray]:
    """Fit the weights of each fold on the forecasts of the others."""
    found = []
    for k in range(int(of.max()) + 1):
        rest = of != k
        found.append(blend_weights([f[rest] for f in forecasts], votes[rest], np.ones(rest.sum())))
    return found


def blend(bench: Bench, name: str) -> None:
    """Blend the forecasts of one protocol."""
    tests = [test for _, test in bench.splits(name)]
    of = np.repeat(np.arange(len(tests)), [len(t) for t in tests])
    frame = pd.concat(tests, ignore_index=True)
    forecasts = [bench.store.of(name, frame.id), bench.store.of(f"{bench.args.recipe} {name}", frame.id)]
    if any(f is None for f in forecasts):
        bench.store.say(part="skipped", run=f"blend {name}", why="forecasts of some battles are not there")
        return
    votes = one_hot(bench, frame)
    if name == "pooled":
        blended(bench, name, frame, forecasts, across_folds(forecasts, votes, of), of)
        return
    if "held out, lora" in bench.store.tables:
        weights = held_out_weights(bench, next(bench.splits(name))[0])
        blended(bench, name, frame, forecasts, [weights], of)
    groups = np.unique(frame.group_id.to_numpy(), return_inverse=True)[1]
    of = make_folds(groups, 5, seed=0)
    blended(bench, f"{name}, votes of the target", frame, forecasts, across_folds(forecasts, votes, of), of)


def held_out_weights(bench: Bench, train) -> np.ndarray:
    """Fit weights on the battles of the training sets that neither forecast was trained on."""
    ids = bench.store.tables["held out, lora"]["id"].to_list()
    rows = train.set_index("id").loc[ids].reset_index()
    members = [bench.store.of(who, ids) for who in ("held out, lora", f"{bench.args.recipe} out-of-fold")]
    return blend_weights(members, one_hot(bench, rows), np.ones(len(rows)))


def cell(value) -> str:
    """Write one figure."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1e}"


def table(bench: Bench) -> None:
    """Print the results of each part."""
    minus = [f"minus_{who}{end}" for who in ("llm", "trees") for end in ("", "_low", "_high")]
    columns = {
        "rates": ["log_loss", "lo", "hi", "train_s"],
        "protocol": ["log_loss", "lo", "hi", "accuracy", "ece", "given_log_loss", "given_changed", "rate", "train_s"],
        "blend": [*["log_loss", "lo", "hi", "accuracy", "ece", "llm", "trees", "llm_weights"], *minus],
        "forms": [
            *("fp32_largest", "fp32_mean", "fp32_verdicts_changed", "bf16_largest", "bf16_verdicts_changed"),
            *("log_loss", "difference", "difference_low", "difference_high", "error"),
        ],
        "ablations": ["log_loss", "difference", "difference_low", "difference_high", "accuracy", "rate", "train_s"],
        "skipped": ["why"],
    }
    for part, names in columns.items():
        rows = [r for r in bench.store.results if r.get("part") == part]
        if rows:
            print(f"\n| {part} | " + " | ".join(names) + " |\n|" + " --- |" * (len(names) + 1))
        for row in rows:
            cells = [row.get(n, "") for n in names]
            said = [cell(c) for c in cells]
            print(f"| {row['run']} | " + " | ".join(said) + " |")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["trees", "blend", "table"])
    add_common(parser)
    parser.add_argument("--recipe", default="cpu")
    args = parser.parse_args()
    bench = Bench(args)
    if args.step == "table":
        table(bench)
        return
    for name in PROTOCOLS:
        (trees if args.step == "trees" else blend)(bench, name)


if __name__ == "__main__":
    main()
