"""A second Python process, which the command needs for what can be set only at a process's start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

THREADS = (
    "FASTNN_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def fresh_process(code: str, *arguments: str, threads: int | None = None) -> str:
    """Run Python code, which has sys, in a process of its own; give what it prints.

    threads: for fastnn, and for NumPy, whose BLAS is told only once, when it is loaded. ValueError, with the last
    line of what it said, where it fails.
    """
    import subprocess

    limits = {} if threads is None else dict.fromkeys(THREADS, str(threads))
    # This fastnn, and (-P) no module that happens to lie in the current folder.
    home = str(Path(__file__).parents[1])
    start = f"import sys; {home!r} in sys.path or sys.path.insert(0, {home!r}); {code}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", start, *arguments],
        env=os.environ | limits,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise ValueError(f"a second Python process failed: {reason}")
    return done.stdout
