"""Which processors a race runs on, and how many threads each library is told to use."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import HANDICAPS, THREADS


def choose(threads: int) -> set[int]:
    """The first `threads` processors that this process may use; SystemExit where there are fewer."""
    allowed = sorted(os.sched_getaffinity(0))
    if threads > len(allowed):
        raise SystemExit(f"--threads {threads}, but this process may use {len(allowed)} processors; ask for fewer")
    if threads < 1:
        raise SystemExit(f"--threads must be at least 1, got {threads}")
    return set(allowed[:threads])


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Child processes started within inherit the processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, choose(threads))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def environment(threads: int) -> dict[str, str]:
    """This one's, with every library's own setting for its threads, and none that slows one down."""
    count = str(threads)
    names = (*THREADS, "BLIS_NUM_THREADS", "NPROC", "TF_NUM_INTRAOP_THREADS")
    xla = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"
    settings = dict.fromkeys(names, count) | {"TF_NUM_INTEROP_THREADS": "1", "XLA_FLAGS": xla}
    return {name: value for name, value in os.environ.items() if name not in HANDICAPS} | settings


def prepare(threads: int) -> None:
    """The same for this process, which has not imported NumPy yet: BLAS reads its settings when it is loaded."""
    for name in HANDICAPS:
        os.environ.pop(name, None)
    os.environ.update(environment(threads))
    os.sched_setaffinity(0, choose(threads))


def threads_asked() -> int:
    """The value of --threads, for those who need it before they can import what reads the rest of the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--threads", type=int, default=1)
    return int(parser.parse_known_args()[0].threads)
