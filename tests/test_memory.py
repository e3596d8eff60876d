"""A fit needs its data, its arena and nothing else; calls leave nothing behind."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastnn.layers import Dense
from fastnn.models import Sequential

STATUS = Path("/proc/self/status")
ROOT = Path(__file__).parents[1]
MB = 1e6
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
pytestmark = [
    pytest.mark.skipif(not STATUS.exists(), reason=f"{STATUS} is Linux's"),
    pytest.mark.skipif(SANITIZED, reason="AddressSanitizer keeps memory that was freed"),
]


@pytest.mark.parametrize(
    ("sizes", "rows", "batch_size", "epochs"),
    [
        ((784, 32, 10), 60_000, 32, 1),  # 190 MB of data: a copy would show
        ((64, 32, 10), 20_000, 32, 1),
        ((64, 32, 10), 20_000, 32, 50),
        ((64, 256, 256, 10), 20_000, 8192, 3),
        ((256, 1024, 1024, 10), 256, 64, 3),
    ],
)
def test_fit_needs_data_and_arena(sizes: tuple[int, ...], rows: int, batch_size: int, epochs: int) -> None:
    """In a process of its own, so that nothing was in memory before; float32 rows are not copied."""
    numbers = [f"--rows={rows}", f"--batch-size={batch_size}", f"--epochs={epochs}"]
    command = [sys.executable, "-m", "benchmarks.memory", "fastnn", *map(str, sizes), *numbers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    memory = json.loads(done.stdout)
    assert memory["used"] > memory["data"]
    assert memory["used"] - memory["data"] - memory["arena"] <= 5 * MB, memory


def growth(call: Callable[[], object], times: int) -> int:
    """Bytes that the process gained in `times` calls, after as many that let the allocator come to rest."""

    def resident() -> int:
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    for _ in range(times):
        call()
    gc.collect()  # a model and its trainer hold each other: the collector frees them, at a time of its own
    before = resident()
    for _ in range(times):
        call()
    gc.collect()
    return resident() - before


def model_of(*sizes: int) -> Sequential:
    model = Sequential([Dense(sizes[1], "relu", input_dim=sizes[0]), *(Dense(units) for units in sizes[2:])])
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("rows", [1, 3])
def test_predict_leaves_nothing(rows: int) -> None:
    model, x = model_of(8, 16, 2), np.ones((rows, 8), np.float32)
    assert growth(lambda: model.predict(x), 100_000) < 0.5 * MB


def test_short_fits_leave_nothing() -> None:
    model, x, y = model_of(8, 16, 2), np.ones((20, 8), np.float32), np.ones((20, 2), np.float32)
    assert growth(lambda: model.fit(x, y, verbose=0), 2000) < 0.5 * MB


def test_models_leave_nothing() -> None:
    """A model that is built, fitted and forgotten gives its memory back."""
    x, y = np.ones((20, 64), np.float32), np.ones((20, 2), np.float32)
    assert growth(lambda: model_of(64, 64, 2).fit(x, y, verbose=0), 1000) < 0.5 * MB
