"""How many threads a rank takes of a machine on which there are other ranks."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from fastnn.kernels import cores, team


class Shared:
    """A rank's threads: no more than its share of its processors, unless somebody has set a number.

    place: what the other ranks are told: the machine, the process, and on which processors it may run.
    """

    def __init__(self) -> None:
        affinity = getattr(os, "sched_getaffinity", None)  # not of macOS and Windows
        processors = frozenset(affinity(0) if affinity else range(cores.available()))
        self.place, self._before = (socket.gethostname(), os.getpid(), processors), 0

    def take(self, places: Sequence[Any]) -> None:
        """Given the places of all ranks: those that may run on processors of this one's share them."""
        host, _, own = self.place
        beside = {process for name, process, processors in places if name == host and own & processors}
        share, now = max(1, cores.available() // len(beside)), team.get_num_threads()
        if share < now and not team.limit_is_chosen and not cores.named():
            self._before = now
            team.limit_threads(share)

    def leave(self) -> None:
        if self._before:
            team.limit_threads(self._before)
