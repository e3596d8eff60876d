"""Ranks that are processes, for what needs no more of a job than its communicator; one that is killed ends no other."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from multiprocessing.connection import Client, Connection, Listener
from typing import Any


class Processes:
    """A rank that is a process, with a line to rank 0. A rank that is killed ends no other."""

    def __init__(self, rank: int, size: int, lines: list[Connection]) -> None:
        self.rank, self.size, self._lines = rank, size, lines

    def _all(self, value: Any) -> list[Any]:
        if self.rank:
            self._lines[0].send(value)
            return list(self._lines[0].recv())
        found = [value, *(line.recv() for line in self._lines)]
        for line in self._lines:
            line.send(found)
        return found

    def allgatherv(self, send: Any, receive: Any, counts: Any) -> None:
        start = 0
        for count, part in zip(counts, self._all(send.copy()), strict=True):
            receive[start : start + count] = part
            start += count

    def bcast_object(self, value: Any, root: int = 0) -> Any:
        return self._all(value)[root]


CHILD = """
    import sys
    from support.processes import joined
    comm = joined(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
"""


def joined(rank: int, size: int, port: int) -> Processes:
    """The communicator of a child."""
    line = Client(("127.0.0.1", port), authkey=b"ranks")
    line.send(rank)
    return Processes(rank, size, [line])


def started(size: int, code: str, *arguments: str) -> tuple[Processes, list[subprocess.Popen[str]]]:
    """The communicator of this process, rank 0, and the other ranks, which run some code that has `comm`."""
    whole = textwrap.dedent(CHILD) + textwrap.dedent(code)
    path = [each for each in sys.path if each]
    with Listener(("127.0.0.1", 0), authkey=b"ranks") as listener:
        port = str(listener.address[1])
        start = f"import sys; sys.path[:0] = {path!r}\n{whole}"
        command = [sys.executable, "-P", "-c", start]
        children = [
            subprocess.Popen([*command, str(rank), str(size), port, *arguments], stdout=subprocess.PIPE, text=True)
            for rank in range(1, size)
        ]
        lines = {line.recv(): line for line in (listener.accept() for _ in children)}
    return Processes(0, size, [lines[rank] for rank in range(1, size)]), children
