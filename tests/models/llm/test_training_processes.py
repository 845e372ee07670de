"""Training killed at any moment, and training by several processes: the same weights as one that was left alone."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from training_runs import run
from training_worker import SHARED

WORKER = Path(__file__).parent / "training_worker.py"


def start(*arguments, **environment):
    known = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment}
    return subprocess.Popen(
        [sys.executable, WORKER, *arguments], env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end_of(worker):
    """Wait for a process and return what it complained of; one that hangs is killed, not left behind."""
    try:
        return worker.communicate(timeout=120)[1]
    except subprocess.TimeoutExpired:
        worker.kill()
        return worker.communicate()[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks of one process, which this system does not have")
def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path):
    worker = start("kill", str(tmp_path))
    err = end_of(worker)
    assert worker.returncode == 0, err
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["same"]
    assert found["kills"] >= 3  # else the test has tested nothing


def test_two_processes_give_the_weights_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    workers = [start("several", str(tmp_path), RANK=str(k), LOCAL_RANK=str(k), **place) for k in range(2)]
    for worker in workers:
        err = end_of(worker)
        assert worker.returncode == 0, err
    for folder, file, settings in (
        ("ddp", "model.safetensors", {"method": "full"}),
        ("fsdp", "adapter_model.safetensors", {}),
    ):
        one = load_file(run(tmp_path / f"one-{folder}", **SHARED, **settings) / file)
        two = load_file(tmp_path / folder / "model" / file)
        assert one.keys() == two.keys()
        assert max(float((one[k] - two[k]).abs().max()) for k in one) < 1e-5
        losses = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in (f"one-{folder}", folder)]
        assert [set(json.loads(a)) for a in losses[0]] == [set(json.loads(b)) for b in losses[1]]
        for a, b in zip(*losses, strict=True):
            assert json.loads(a) == pytest.approx(json.loads(b), abs=1e-5)
