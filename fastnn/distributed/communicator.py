"""Between the processes of a job: who they are, and arrays that go from each of them to all."""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NoReturn, Protocol

import numpy as np

from fastnn._output import say

# Leaves the processor to who waits for it, and is back at once where nobody does. time.sleep(0) takes 50 us on Linux:
# for that time it takes the other rank to wait too, which so sleeps itself, and so on; it comes later than that.
_give_way = getattr(os, "sched_yield", lambda: time.sleep(0))
_SPIN, _NAP = 0.0002, 0.05  # seconds of waiting, behind which a rank sleeps for moments, and for a thousandth of one


class Communicator(Protocol):
    """What fastnn asks of the processes of a job, which are ranks 0 .. size - 1. All of them make the same calls.

    Arrays have one axis and are C-contiguous. Nothing is added up by a communicator, so that sums have one order.
    """

    rank: int
    size: int

    def allgatherv(self, send: np.ndarray, receive: np.ndarray, counts: Sequence[int]) -> None:
        """Put every rank's `send` into everyone's `receive`, in the order of ranks.

        counts: the items of each rank. Both have one dtype; `send` may be this rank's own part of `receive`.
        """

    def bcast(self, array: np.ndarray, root: int = 0) -> None:
        """Give all ranks the array of rank `root`, in place."""

    def bcast_object(self, value: Any, root: int = 0) -> Any:
        """The small value of Python's that rank `root` has."""

    def barrier(self) -> None:
        """Wait until all ranks are here."""

    def abort(self, message: str) -> NoReturn:
        """End the whole job, with a line that names this rank."""


def starts_of(counts: Sequence[int]) -> list[int]:
    """Where each rank's items begin in what all of them have together, and the end."""
    return [0, *accumulate(counts)]


def gather_objects(communicator: Communicator, value: Any) -> list[Any]:
    """The values of all ranks, in their order: small ones, which pickle takes. Who is in the job is trusted."""
    mine = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = np.empty(communicator.size, np.int64)
    communicator.allgatherv(np.array([mine.size]), sizes, [1] * communicator.size)
    counts = sizes.tolist()
    everyone, starts = np.empty(sum(counts), np.uint8), starts_of(counts)
    communicator.allgatherv(mine, everyone, counts)
    return [pickle.loads(everyone[a:b].tobytes()) for a, b in pairwise(starts)]


def say_failed(communicator: Communicator, message: str) -> None:
    """Say in a line which rank ends the job, wherever its own output goes; nothing where nothing is to be said."""
    if message:
        say(f"fastnn: rank {communicator.rank} of {communicator.size}: {message}", out=sys.__stderr__)


class LocalCommunicator:
    """One process alone."""

    rank, size = 0, 1

    def allgatherv(self, send: np.ndarray, receive: np.ndarray, counts: Sequence[int]) -> None:
        receive[...] = send

    def bcast(self, array: np.ndarray, root: int = 0) -> None:
        pass

    def bcast_object(self, value: Any, root: int = 0) -> Any:
        return value

    def barrier(self) -> None:
        pass

    def abort(self, message: str) -> NoReturn:
        raise RuntimeError(message)


class MPICommunicator:
    """The processes that ``mpiexec`` has started, by mpi4py (``fastnn[mpi]``) on any MPI.

    comm: a communicator of mpi4py, MPI.COMM_WORLD where it is None; the attribute `comm` then has it.
    timeout: seconds that a call waits for the other ranks before the job is ended; None: for ever.

    Raises ImportError without mpi4py, ValueError for a timeout that is not above 0.
    """

    def __init__(self, comm: Any = None, *, timeout: float | None = 600.0) -> None:
        try:
            from mpi4py import MPI
        except ImportError as error:
            raise ImportError('MPICommunicator needs mpi4py: pip install "fastnn[mpi]"') from error
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, or None, got {timeout!r}")
        self.comm, self.timeout, self._in_place = MPI.COMM_WORLD if comm is None else comm, timeout, MPI.IN_PLACE
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()

    def _wait(self, request: Any) -> None:
        """Wait for what was begun, and let Ctrl-C through; a core that others want too is left to them."""
        began, looks = time.monotonic(), 0
        while not request.Test():
            looks += 1
            if looks % 64 == 0:
                waited = time.monotonic() - began
                if waited < _SPIN:
                    _give_way()
                else:
                    time.sleep(0.001 if waited > _NAP else 0)
                if self.timeout is not None and waited > self.timeout:
                    self.abort(f"has waited {waited:.0f} s for another rank: a process hangs, or the link to it does")

    def allgatherv(self, send: np.ndarray, receive: np.ndarray, counts: Sequence[int]) -> None:
        own = self._in_place if np.may_share_memory(send, receive) else send
        self._wait(self.comm.Iallgatherv(own, [receive, (counts, starts_of(counts)[:-1])]))

    def bcast(self, array: np.ndarray, root: int = 0) -> None:
        self._wait(self.comm.Ibcast(array, root))

    def bcast_object(self, value: Any, root: int = 0) -> Any:
        own = np.frombuffer(pickle.dumps(value), np.uint8).copy() if self.rank == root else np.empty(0, np.uint8)
        size = np.array([own.size])
        self.bcast(size, root)
        own = own if self.rank == root else np.empty(int(size[0]), np.uint8)
        self.bcast(own, root)
        return pickle.loads(own.tobytes())

    def barrier(self) -> None:
        self._wait(self.comm.Ibarrier())

    def abort(self, message: str) -> NoReturn:
        say_failed(self, message)
        time.sleep(0.2)  # what was just said is still on its way through mpiexec, which forgets it
        self.comm.Abort(1)
        raise SystemExit(1)


class GlooCommunicator:
    """The processes of a group of torch.distributed, whose backend is "gloo" or another for arrays in memory.

    group: one of its process groups, None for the default one, which ``torch.distributed.init_process_group`` has made;
    its timeout counts.

    Raises ImportError without torch, RuntimeError where no group was made.
    """

    def __init__(self, group: Any = None) -> None:
        try:
            import torch
            from torch import distributed
        except ImportError as error:
            raise ImportError('GlooCommunicator needs torch: pip install "fastnn[torch]"') from error
        if group is None and not (distributed.is_available() and distributed.is_initialized()):
            raise RuntimeError(
                "there is no process group yet; call torch.distributed.init_process_group('gloo', ...) first"
            )
        self._tensor, self._distributed, self.group = torch.from_numpy, distributed, group
        self.rank, self.size = distributed.get_rank(group), distributed.get_world_size(group)

    def _begin(self, array: np.ndarray, root: int) -> Any:
        root = root if self.group is None else self._distributed.get_global_rank(self.group, root)
        return self._distributed.broadcast(self._tensor(array.view(np.uint8)), root, self.group, async_op=True)

    def allgatherv(self, send: np.ndarray, receive: np.ndarray, counts: Sequence[int]) -> None:
        starts = starts_of(counts)
        own = receive[starts[self.rank] : starts[self.rank + 1]]
        if own.ctypes.data != send.ctypes.data:
            own[...] = send
        parts = [receive[a:b] for a, b in pairwise(starts)]
        works = [self._begin(part, rank) for rank, part in enumerate(parts) if part.size]
        for work in works:
            work.wait()

    def bcast(self, array: np.ndarray, root: int = 0) -> None:
        self._begin(array, root).wait()

    def bcast_object(self, value: Any, root: int = 0) -> Any:
        values = gather_objects(self, value if self.rank == root else None)
        return values[root]

    def barrier(self) -> None:
        self._distributed.barrier(self.group)

    def abort(self, message: str) -> NoReturn:
        say_failed(self, message)
        self._distributed.destroy_process_group(self.group)
        raise RuntimeError(message)
