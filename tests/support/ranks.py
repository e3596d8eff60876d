"""Ranks as threads and as processes, for what needs no more of a job than its communicator."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, NoReturn


class Threads:
    """As many ranks as threads stand for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._given: list[Any] = [None] * size
        self._barrier = threading.Barrier(size, timeout=60)
        self._local = threading.local()
        self.calls = 0  # of allgatherv
        self.sent = 0  # bytes that rank 0 has sent by it

    @property
    def rank(self) -> int:
        return int(self._local.rank)

    def _all(self, value: Any) -> list[Any]:
        self._given[self.rank] = value
        self._barrier.wait()
        found = list(self._given)
        self._barrier.wait()
        return found

    def allgatherv(self, send: Any, receive: Any, counts: Any) -> None:
        assert len(send) == counts[self.rank]
        assert send.dtype == receive.dtype
        assert len(receive) == sum(counts)
        self.calls += self.rank == 0
        self.sent += send.nbytes * (self.rank == 0)
        start = 0
        for count, part in zip(counts, self._all(send.copy()), strict=True):
            receive[start : start + count] = part
            start += count

    def bcast(self, array: Any, root: int = 0) -> None:
        array[...] = self._all(array.copy())[root]

    def bcast_object(self, value: Any, root: int = 0) -> Any:
        return pickle.loads(self._all(pickle.dumps(value))[root])

    def barrier(self) -> None:
        self._all(None)

    def abort(self, message: str) -> NoReturn:
        self._barrier.abort()
        raise RuntimeError(f"rank {self.rank} of {self.size}: {message}")


def in_threads(size: int, work: Any) -> list[Any]:
    """What work(comm) gives on each rank, or raises."""
    comm, found = Threads(size), [None] * size

    def run(rank: int) -> None:
        comm._local.rank = rank
        try:
            found[rank] = work(comm)
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


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
    from support.ranks import joined
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
