"""What this machine has, for those who plan with it."""

from __future__ import annotations

import os

UNKNOWN = 2**46  # bytes: more than any machine has


def memory() -> int:
    """Bytes of memory in this machine; where the system does not say, more than any machine has."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return UNKNOWN


def readable(size: float) -> str:
    """A number of bytes as people say it: "1.5 GB"."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError
