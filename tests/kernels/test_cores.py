"""How many processors a process may use, from files that are written here as Linux would."""

from __future__ import annotations

import math
import multiprocessing.process
import os
from pathlib import Path

import pytest

from fastnn.kernels import cores

# Lines of /proc/self/cgroup, files below /sys/fs/cgroup, processors.
QUOTAS = {
    "v2": ("0::/", {"cpu.max": "150000 100000\n"}, 1.5),
    "v2 without a limit": ("0::/", {"cpu.max": "max 100000\n"}, math.inf),
    "v2 nested": ("0::/a/b", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "200000 100000\n"}, 2.0),
    "v2 with the limit above": ("0::/a/b", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
    "v2 in a container that sees the host's path": ("0::/host/pod", {"cpu.max": "400000 100000\n"}, 4.0),
    "v2 above the root of the namespace": ("0::/../pod", {"cpu.max": "400000 100000\n"}, 4.0),
    "v1": (
        "5:memory:/x\n4:cpu,cpuacct:/x\n1:cpuset:/x",
        {"cpu/x/cpu.cfs_quota_us": "250000\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
        2.5,
    ),
    "v1 with the limit above": (
        "4:cpu:/x/y",
        {
            "cpu/x/cpu.cfs_quota_us": "100000\n",
            "cpu/x/cpu.cfs_period_us": "50000\n",
            "cpu/x/y/cpu.cfs_quota_us": "-1\n",
            "cpu/x/y/cpu.cfs_period_us": "100000\n",
        },
        2.0,
    ),
    "v1 without a limit": ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
    "both, v1 with the limit": (
        "4:cpuacct,cpu:/x\n0::/x",
        {"cpu/x/cpu.cfs_quota_us": "300000", "cpu/x/cpu.cfs_period_us": "100000", "x/cgroup.procs": "1"},
        3.0,
    ),
    "another controller's quota": ("3:cpuset:/", {"cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "1"}, math.inf),
    "nothing mounted": ("4:cpu:/x\n0::/x", {}, math.inf),
    "not a number": ("0::/", {"cpu.max": "many 100000\n"}, math.inf),
    "one number": ("0::/", {"cpu.max": "100000\n"}, math.inf),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_quota(name: str, tmp_path: Path) -> None:
    lines, files, processors = QUOTAS[name]
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    membership.write_text(lines + "\n")
    root.mkdir()
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    assert cores.quota(root, membership) == processors


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    assert cores.quota(tmp_path, tmp_path / "none") == math.inf


# Processors of the machine that the process may run on, quota, how many of them are available.
@pytest.mark.parametrize(
    ("affinity", "quota", "count"), [(8, math.inf, 8), (8, 2.5, 3), (8, 0.5, 1), (2, 4.0, 2), (1, 1.5, 1), (8, 3.0, 3)]
)
@pytest.mark.parametrize("linux", [True, False])
def test_available(affinity: int, quota: float, count: int, linux: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if linux:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: affinity)
    monkeypatch.setattr(cores, "quota", lambda *_: quota)
    assert cores.available.__wrapped__() == count


@pytest.fixture
def five(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five processors, and nothing in the environment."""
    monkeypatch.setattr(cores, "available", lambda: 5)
    monkeypatch.delenv("FASTNN_NUM_THREADS", raising=False)


@pytest.mark.usefixtures("five")
def test_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.default() == 5
    for text, count in (("3", 3), (" 7 \n", 7), ("", 5), ("  ", 5), ("200", 200)):
        monkeypatch.setenv("FASTNN_NUM_THREADS", text)
        assert cores.default() == count
    for text in ("0", "-1", "+2", "2.0", "two", "1 2", "²", "0x2", "1_0"):
        monkeypatch.setenv("FASTNN_NUM_THREADS", text)
        with pytest.raises(ValueError, match="FASTNN_NUM_THREADS must be a whole number from 1 on, got ") as caught:
            cores.default()
        assert repr(text) in str(caught.value)


@pytest.mark.usefixtures("five")
def test_default_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.process, "parent_process", lambda: object())
    assert cores.default() == 1
    monkeypatch.setenv("FASTNN_NUM_THREADS", "4")
    assert cores.default() == 4
