"""How many threads this process should use when nobody has said."""

from __future__ import annotations

import math
import os
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CGROUPS = "/sys/fs/cgroup"


def default() -> int:
    """FASTNN_NUM_THREADS; else 1 in a worker process, since there are others beside it; else all processors."""
    return named() or (1 if _is_worker() else available())


def named() -> int:
    """FASTNN_NUM_THREADS, 0 where it is not set; ValueError where it is no number of threads."""
    text = os.environ.get("FASTNN_NUM_THREADS", "").strip()
    if not text:
        return 0
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise ValueError(f"FASTNN_NUM_THREADS must be a whole number from 1 on, got {text!r:.80}")
    return int(text)


@cache
def available() -> int:
    """Processors that this process may use: its affinity, and its cgroup's quota rounded up."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        count = os.cpu_count() or 1
    from pathlib import Path  # not at import: it costs more than all else here

    return max(1, math.ceil(min(count, quota(Path(CGROUPS), Path("/proc/self/cgroup")))))


def _is_worker() -> bool:
    """Whether multiprocessing or joblib started this process."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def quota(root: Path, membership: Path) -> float:
    """Processors that the cgroup and those above it allow, of version 2 or 1; infinity where none says."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return math.inf
    smallest = math.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top = root
        elif "cpu" in controllers.split(","):
            top = root / "cpu"
        else:
            continue
        # Inside a container the path may be the host's, of which only the top is mounted here.
        group = top / path.lstrip("/")
        while group != top:
            smallest = min(smallest, _quota_of(group))
            group = group.parent
        smallest = min(smallest, _quota_of(top))
    return smallest


def _quota_of(group: Path) -> float:
    """Microseconds of processor time in each period, as a number of processors."""
    try:
        if (group / "cpu.max").exists():
            allowed, period = (group / "cpu.max").read_text().split()
        else:
            allowed = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        return int(allowed) / int(period) if allowed != "max" and int(allowed) > 0 else math.inf
    except (OSError, ValueError):
        return math.inf
