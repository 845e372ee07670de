"""Seconds for features: ours beside the notebook's, in the same run, on the distinct texts of tulu and llmeval2.

    python benchmarks/features.py [--repeats 5] [--json features.json] [--bench ../shared/bench]

Both sides get the same battles, read beforehand, and n-grams that are learned beforehand (ours for both, so that both
count the same). The sides take turns; the table gives medians, and the median over repeats of the notebook's time by
ours. Reading JSON is in neither. The notebook counts n-grams of raw JSON strings, as it does; ours of decoded turns.
On a busy machine CPU seconds say more than those on the clock.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SETS = ("tulu", "llmeval2")


@dataclass(frozen=True)
class Timed:
    """Seconds of one call: on the clock, and of all cores together."""

    wall: float
    cpu: float


def timed(work: Callable[[], Any]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Timed(time.perf_counter() - wall, time.process_time() - cpu)


def bench_folder(given: str | None) -> Path:
    """Find the yardstick: as given, beside the votes, or beside the project."""
    data = os.environ.get("PREFCAST_DATA")
    candidates = [Path(given)] if given else [Path(data).parent / "bench"] if data else []
    for folder in (*candidates, ROOT.parent / "shared" / "bench"):
        if (folder / "notebook_gbdt.py").is_file():
            return folder
    sys.exit("needs the folder with notebook_gbdt.py and protocols.py: give it with --bench")


def sides(folder: Path) -> tuple[dict[str, Callable[[], Any]], int]:
    """Name and work of each side, the notebook's first, and the number of rows."""
    sys.path.insert(0, str(folder))
    from sklearn.feature_extraction.text import CountVectorizer

    from prefcast.battles import read_battles
    from prefcast.models.features import contrast
    from prefcast.models.features._ngram_contrast import NGramFeatures

    protocols, notebook = importlib.import_module("protocols"), importlib.import_module("notebook_gbdt")
    frame = protocols.load(*SETS)
    frame = frame.drop_duplicates(["prompt", "response_a", "response_b"]).reset_index(drop=True)
    battles = read_battles(frame)
    ours = NGramFeatures.fit(battles, words=300, characters=1_000, longest=5, min_rows=4, seed=0)
    theirs = notebook.NotebookGBDT()
    theirs.vectorisers = [
        CountVectorizer(ngram_range=(1, 5), vocabulary=ours.words.vocabulary),
        CountVectorizer(ngram_range=(1, 5), vocabulary=ours.characters.vocabulary, analyzer="char"),
    ]
    work: dict[str, Callable[[], Any]] = {
        "the notebook's features": lambda: theirs.features(frame),
        "the same, as prefcast has them": lambda: ours.contrast(battles),
        "style, as the default recipe reads it": lambda: contrast(battles),
    }
    return work, len(battles)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", help="folder with notebook_gbdt.py and protocols.py")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    work, rows = sides(bench_folder(options.bench))
    for call in work.values():
        call()  # once untimed: tables made on first use, pages, caches
    times: dict[str, list[Timed]] = {name: [] for name in work}
    for _ in range(options.repeats):
        for name, call in work.items():
            times[name].append(timed(call))
    yardstick = next(iter(times.values()))
    figures = {}
    print(f"{rows} distinct rows of {' + '.join(SETS)}, medians of {options.repeats}, {os.cpu_count()} cores")
    print(f"{'features':40s} {'wall ms/1,000':>14s} {'CPU ms/1,000':>14s} {'wall':>8s} {'CPU':>8s}")
    for name, runs in times.items():
        row = {
            "wall_ms_per_1000": 1e6 * statistics.median(t.wall for t in runs) / rows,
            "cpu_ms_per_1000": 1e6 * statistics.median(t.cpu for t in runs) / rows,
            "times_faster_wall": statistics.median(y.wall / t.wall for y, t in zip(yardstick, runs, strict=True)),
            "times_faster_cpu": statistics.median(y.cpu / t.cpu for y, t in zip(yardstick, runs, strict=True)),
        }
        figures[name] = row
        print(
            f"{name:40s} {row['wall_ms_per_1000']:14.1f} {row['cpu_ms_per_1000']:14.1f} "
            f"{row['times_faster_wall']:7.1f}x {row['times_faster_cpu']:7.1f}x"
        )
    result = {"rows": rows, "sets": SETS, "repeats": options.repeats, "cores": os.cpu_count(), "features": figures}
    print(json.dumps(result))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
