"""Time and memory of the main job on a file as large as the competition's: check, train on 5 folds, predict.

    python benchmarks/scale.py                  # 57,477 rows, about 180 MB
    python benchmarks/scale.py --rows 5000      # a dry run

The file is made by recombining real votes: each battle takes its prompt, vote and the greater part of its answers from
one battle and other paragraphs from another, so that texts differ, lengths are arena-like and length still tells.
Each command runs as its own process; wall and processor seconds and peak memory are the operating system's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

import prefcast
from prefcast.battles import Battles, write_battles

ROOT = Path(__file__).resolve().parent.parent
SETS = {"mt_bench": 0.75, "tulu": 0.1, "llmeval2": 0.1, "pandalm": 0.05}


def make(path: Path, rows: int, data: Path, seed: int = 0) -> None:
    """Write the file."""
    rng = np.random.default_rng(seed)
    frames = {name: prefcast.read_battles(data / name / "votes.parquet").frame for name in SETS}
    names = rng.choice(list(SETS), size=rows, p=list(SETS.values()))
    parts = []
    for name, frame in frames.items():
        n = int((names == name).sum())
        base, other = frame[rng.integers(0, len(frame), n)], frame[rng.integers(0, len(frame), n)]
        asked = [f"{p[0]}\n\n(Version {k}.)" for p, k in zip(base["prompt"], rng.integers(0, rows, n), strict=True)]
        prompt = [[first, *rest[1:]] for first, rest in zip(asked, base["prompt"].to_list(), strict=True)]
        answers = {}
        for side in ("response_a", "response_b"):
            mixed = []
            for own, foreign in zip(base[side].to_list(), other[side].to_list(), strict=True):
                pieces = foreign[0].split("\n\n")
                mixed.append([*own[:-1], own[-1] + "\n\n" + pieces[int(rng.integers(len(pieces)))][:600]])
            answers[side] = mixed
        parts.append(
            base.with_columns(
                prompt=pl.Series(prompt, dtype=pl.List(pl.String)),
                response_a=pl.Series(answers["response_a"], dtype=pl.List(pl.String)),
                response_b=pl.Series(answers["response_b"], dtype=pl.List(pl.String)),
                group=pl.lit(None, dtype=pl.String),
                annotator=pl.lit(None, dtype=pl.String),
                source=pl.lit(None, dtype=pl.String),
            )
        )
    whole = pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=seed)
    write_battles(Battles.from_frame(whole.with_columns(id=pl.int_range(pl.len()).cast(pl.String))), path)


def timed(name: str, *words: str) -> dict:
    """Run one command and say what it took."""
    start = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-m", "prefcast", *words], dict(os.environ))
    _, status, usage = os.wait4(pid, 0)
    row = {
        "step": name,
        "wall_s": round(time.perf_counter() - start, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gib": round(usage.ru_maxrss / 2**20, 2),
        "exit": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=57_477)
    default = Path(os.environ.get("PREFCAST_DATA") or ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, model, out = (str(Path(folder) / name) for name in ("train.csv", "model", "submission.csv"))
        make(Path(file), args.rows, args.data)
        print(json.dumps({"rows": args.rows, "mb": round(Path(file).stat().st_size / 1e6, 1)}), flush=True)
        rows = [
            timed("check", "check", file),
            timed("train", "train", file, "-o", model, "--folds", "5"),
            timed("predict", "predict", model, file, "-o", out),
        ]
        total, peak = sum(r["wall_s"] for r in rows), max(r["peak_gib"] for r in rows)
        print(json.dumps({"wall_minutes": round(total / 60, 2), "peak_gib": peak}))


if __name__ == "__main__":
    main()
