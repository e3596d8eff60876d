"""The memory of a fit at its highest, in a process that does nothing else: `python -m benchmarks.memory --help`.

Linux only: the figure is VmHWM of /proc/self/status. (`ru_maxrss` would start from the parent's.)
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cpus import environment
from benchmarks.numpy_net import NumpyNet
from fastnn.layers import Dense
from fastnn.models import Sequential

STATUS = Path("/proc/self/status")
FLOAT = np.dtype(np.float32).itemsize
SLOTS = 2  # of Adam


class Memory(NamedTuple):
    """Bytes: of x and y, of the arena as it must be, and of all that the process took from before either."""

    data: int
    arena: int
    used: int

    @property
    def above(self) -> int:
        return self.used - self.data - self.arena


def arena(sizes: Sequence[int], batch_size: int) -> int:
    """Parameters, their gradient, Adam's slots; for each row of a batch every layer's output and dL/dz.

    relu works where a layer's z was, and the last layer's z is its output.
    """
    parameters = sum((inputs + 1) * units for inputs, units in pairwise(sizes))
    return FLOAT * ((2 + SLOTS) * parameters + batch_size * 2 * sum(sizes[1:]))


def resident(field: str = "VmRSS") -> int:
    """Bytes that the process has in memory now; with "VmHWM" the most that it ever had."""
    lines = STATUS.read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def measure(side: str, sizes: Sequence[int], rows: int, batch_size: int, epochs: int) -> Memory:
    """What a fit takes here; only the first call in a process can tell, because the mark stays up."""
    random = np.random.default_rng(0)
    before = resident()
    x, y = (np.empty((rows, columns), np.float32) for columns in (sizes[0], sizes[-1]))
    for array in (x, y):
        random.standard_normal(dtype=np.float32, out=array)
    net: Any
    if side == "fastnn":
        hidden = [Dense(units, "relu") for units in sizes[1:-1]]
        net = Sequential([*hidden, Dense(sizes[-1])])
        net.compile("adam", "mean_squared_error")
        net.fit(x, y, batch_size, epochs, verbose=0)
    else:
        net = NumpyNet(sizes, "relu", "mse")
        net.fit(x, y, batch_size, epochs, seed=0)
    return Memory(x.nbytes + y.nbytes, arena(sizes, batch_size), resident("VmHWM") - before)


def measured(side: str, sizes: Sequence[int], rows: int, batch_size: int, epochs: int = 1, threads: int = 1) -> Memory:
    """The same, in a process of its own."""
    numbers = [f"--rows={rows}", f"--batch-size={batch_size}", f"--epochs={epochs}"]
    command = [sys.executable, "-m", "benchmarks.memory", side, *map(str, sizes), *numbers]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, env=environment(threads), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return Memory(**json.loads(done.stdout))


def main() -> None:
    if not STATUS.exists():
        raise SystemExit(f"there is no {STATUS} here to read; Linux has it")
    if sys.argv[1:2] == ["peers"]:
        from benchmarks import memory_peers

        memory_peers.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description="Bytes of a fit, as JSON; `peers` instead: of each workload beside PyTorch and JAX, as a table.",
    )
    parser.add_argument("side", choices=["fastnn", "numpy"])
    parser.add_argument("sizes", nargs="+", type=int, help="inputs, and units of each layer")
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=1)
    given = parser.parse_args()
    if len(given.sizes) < 2:
        parser.error(f"sizes must be at least the inputs and one layer's units, got {given.sizes}")
    memory = measure(given.side, given.sizes, given.rows, given.batch_size, given.epochs)
    print(json.dumps(memory._asdict()))


if __name__ == "__main__":
    main()
