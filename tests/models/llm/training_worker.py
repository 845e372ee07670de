"""Runs of `fine_tune` in processes of their own, for the tests of kills and of several processes.

``python training_worker.py kill OUT``: runs once undisturbed and once killed at random moments, in forks of one process
that has torch loaded. ``python training_worker.py several OUT``: one of several processes that train together.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

import torch
from training_runs import Killed, digest, run

from prefcast.models.llm._callbacks import Watch

torch.set_num_threads(1)


def forked(work):
    """Run something in a fork; say whether it came to its end."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL) and status != 0:
        raise SystemExit(f"the fork ended with {status}")
    return status == 0


def killed_at_random(out, moment):
    """Run until a moment between two steps, or while a file is written; say whether it came to its end before."""
    count = 0

    def tick(frame, event, argument):
        nonlocal count
        # Calls that write, move or remove, and the steps: where a kill could leave something half done.
        if event == "call" and frame.f_code.co_name in MOMENTS and "prefcast" in frame.f_code.co_filename:
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    def work():
        sys.setprofile(tick)
        run(out, **KILLED)

    return forked(work)


MOMENTS = {"_sync", "write", "save_file", "rename", "add", "training_step", "_report"}
KILLED = {"epochs": 1.0, "save_every": 2, "evaluate_every": 4, "lora_dropout": 0.2}


def kill(out):
    forked(lambda: run(out / "whole", **KILLED))
    rng, kills = random.Random(0), 0
    # Later and later, so that it ends however long a run is.
    while not killed_at_random(out / "killed", rng.randrange(1, 12 + 3 * kills)):
        kills += 1
    same = digest(out / "whole" / "model") == digest(out / "killed" / "model")
    (out / "found.json").write_text(json.dumps({"kills": kills, "same": same}))


SHARED = {"lora_dropout": 0.0, "batch_battles": 11, "batch_tokens": 110, "save_every": 1}


def several(out):
    """Train as one of several processes: with all weights in each; and sharded, dying once at the same step in all."""
    run(out / "ddp", method="full", **SHARED)
    report = Watch._report

    def die(watch, step):
        report(watch, step)
        if step == 3:
            raise Killed

    Watch._report = die
    try:
        run(out / "fsdp", fsdp=True, **SHARED)
    except Killed:
        Watch._report = report
    run(out / "fsdp", fsdp=True, **SHARED)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    {"kill": kill, "several": several}[sys.argv[1]](Path(sys.argv[2]))
