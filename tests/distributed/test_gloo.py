"""The same over torch.distributed: two processes of a gloo group."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

SCRIPT = """
import hashlib, sys, warnings
import numpy as np
import torch.distributed as d
import fastnn
from fastnn.distributed import GlooCommunicator
from fastnn.layers import Dense, Input
from fastnn.models import Sequential

rank, size, place, what = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
communicator = None
if size > 1:
    d.init_process_group("gloo", init_method="file://" + place, rank=rank, world_size=size)
    communicator = GlooCommunicator()
    assert (communicator.rank, communicator.size) == (rank, size)
    assert communicator.bcast_object({"a": rank}, 1) == {"a": 1}
    communicator.barrier()
fastnn.set_random_seed(rank)
x, y = (np.random.default_rng(n).normal(size=(200, 8)).astype("f4") for n in range(2))
model = Sequential([Input((8,)), Dense(33, "tanh"), Dense(8)])
model.compile("adam", "mse")

def rows():
    for i in range(0, 200, 50):
        if what == "fails" and rank == 1 and i == 100:
            raise OSError("the disk is gone")
        yield x[i:i + 50], y[i:i + 50]

model.fit(rows(), steps_per_epoch=4, epochs=1, verbose=0, distribute=communicator)
print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest())
if size > 1:
    d.destroy_process_group()
"""


def run(size: int, folder: Path, what: str = "") -> list[tuple[int, str, str]]:
    place = str(folder / f"place {size} {what}")
    command = [sys.executable, "-P", "-c", SCRIPT]
    environment = {**os.environ, "FASTNN_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    started = [
        subprocess.Popen(
            [*command, str(rank), str(size), place, what], stdout=-1, stderr=-1, text=True, env=environment
        )
        for rank in range(size)
    ]
    results = [process.communicate(timeout=60) for process in started]
    return [(process.returncode, *result) for process, result in zip(started, results, strict=True)]


def test_the_bits_of_one_process(tmp_path: Path) -> None:
    ((_, alone, errors),) = run(1, tmp_path)
    assert alone, errors
    for status, out, errors in run(2, tmp_path):
        assert (status, out) == (0, alone), errors


def test_a_rank_that_fails_ends_the_others(tmp_path: Path) -> None:
    first, second = run(2, tmp_path, "fails")
    assert first[0] != 0
    assert second[0] != 0
    assert "fastnn: rank 1 of 2: OSError: the disk is gone" in second[2]


def test_without_a_group() -> None:
    from fastnn.distributed import GlooCommunicator

    with pytest.raises(RuntimeError, match="init_process_group"):
        GlooCommunicator()
