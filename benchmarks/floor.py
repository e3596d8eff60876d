"""The least time that a workload could take here: `python -m benchmarks.floor`.

Measured by a small C program (floor.c), compiled for this processor and the vectors of the instruction set in use
(FASTNN_ISA): its peak of fused multiply-adds in float32, and the speed at which it reads arrays from each cache and
from memory. A workload says what it needs at least
(`flops` and `traffic` in cases.py). Arithmetic and memory may work at the same time, so the floor is the larger of the
two times, not their sum; activations, losses and the optimizer's arithmetic are left out, so nobody reaches it.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks import cpus

SOURCE = Path(__file__).with_name("floor.c")
NARROWER = {"avx2": ["-mno-avx512f"], "baseline": ["-mno-avx"]}  # what a set's kernels have not
SIZES = tuple(2**power for power in range(14, 30))  # bytes: from the first cache to well beyond the last


@dataclass(frozen=True)
class Speeds:
    """Multiply-adds count as two operations; bandwidth: (bytes of the array, bytes a second)."""

    threads: int
    flops: float
    bandwidth: tuple[tuple[int, float], ...]
    dot: float = 0  # of products of bfloat16; 0: there are none

    def arithmetic(self, case: Any) -> float:
        """Seconds that the matrix products of a case take at the peak."""
        return float(case.flops() / self.flops)

    def memory(self, case: Any) -> float:
        """Seconds that its bytes take, each at the speed of the memory that is large enough to hold them."""
        return float(sum(part.moved / self.read_speed(part.held) for part in case.traffic()))

    def of(self, case: Any) -> float:
        return max(self.arithmetic(case), self.memory(case))

    def read_speed(self, size: int) -> float:
        """The fastest array of at least `size` bytes; of the largest, where none is."""
        return max((speed for held, speed in self.bandwidth if held >= size), default=self.bandwidth[-1][1])

    def __str__(self) -> str:
        at = {
            name: self.read_speed(size) for name, size in {"256 KiB": 2**18, "8 MiB": 2**23, "512 MiB": 2**29}.items()
        }
        reads = ", ".join(f"{speed / 1e9:.0f} GB/s from {name}" for name, speed in at.items())
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{threads}: {self.flops / 1e9:.0f} GFLOP/s of multiply-adds in float32; reads {reads}"


def measure(threads: int) -> Speeds | None:
    """On the first `threads` processors that this process may use; None where there is no C compiler."""
    from fastnn import kernels  # imports NumPy, for which `main` makes ready

    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "floor")
        flags = ["-O3", "-march=native", *NARROWER.get(kernels.isa, []), "-pthread"]
        subprocess.run([compiler, *flags, "-o", program, str(SOURCE)], check=True)
        command = [program, str(threads), *map(str, SIZES)]
        with cpus.pinned(threads):
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    words = [line.split() for line in lines]
    (flops,) = (float(speed) for kind, *rest in words if kind == "fma" for speed in rest)
    reads = tuple((int(rest[0]), float(rest[1])) for kind, *rest in words if kind == "read")
    return Speeds(threads, flops, reads, sum(float(rest[0]) for kind, *rest in words if kind == "dot"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    if not benchmarks.prepare_blas():
        raise SystemExit(benchmarks.TOO_LATE)
    from benchmarks.cases import CASES
    from benchmarks.report import duration

    speeds = measure(threads)
    if speeds is None:
        raise SystemExit("no C compiler found: install one, or name it in CC")
    print(speeds, "\n\n| array | read |\n|--:|--:|", sep="")
    for size, speed in speeds.bandwidth:
        print(f"| {size // 1024} KiB | {speed / 1e9:.0f} GB/s |")
    print("\n| case | operations | arithmetic | bytes | floor |\n|---|--:|--:|--:|--:|")
    for case in CASES:
        parts = speeds.arithmetic(case), speeds.memory(case), speeds.of(case)
        print(f"| {case.name} | {case.flops():,} | {' | '.join(map(duration, parts))} |")


if __name__ == "__main__":
    main()
