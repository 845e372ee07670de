"""``prefcast train`` started as torchrun starts it: every process works, the first one alone speaks and writes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

import prefcast
from prefcast.battles import write_battles

pytest.importorskip("torch", reason="needs the llm extra: pip install 'prefcast[llm]'")


def test_several_processes_save_one_model(tmp_path):
    write_battles(prefcast.simulate(40, turns=0.0, seed=0).battles, tmp_path / "votes.parquet")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    known = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    known |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "prefcast", "train", "votes.parquet", "-o", "model", "--recipe", "tiny"]
    workers = [
        subprocess.Popen(
            [*command, "--full"],
            cwd=tmp_path,
            env=known | {"RANK": str(k), "LOCAL_RANK": str(k)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(2)
    ]
    try:
        ends = [worker.communicate(timeout=120) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], ends
    assert "model is saved" in ends[0][0]
    assert ends[1][0] == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "votes.parquet"]  # the work is cleared away
    p = prefcast.load(tmp_path / "model").predict_proba(prefcast.simulate(3, seed=1).battles)
    assert p.shape == (3, 3)
