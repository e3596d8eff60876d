"""Threads that are the ranks of a job, each with chance of its own; what they send is counted."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NoReturn

import numpy as np

from fastnn import random
from fastnn.callbacks import Callback


class AbortedError(RuntimeError):
    """A rank has ended the job."""


class GoneError(RuntimeError):
    """A rank that others wait for has ended."""


class KilledError(Exception):
    """What `Kill` raises: the job is gone."""


class Kill(Callback):
    """Ends a fit in the midst of an epoch, after so many batches."""

    def __init__(self, batch: int) -> None:
        self.left = batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if self.left < 0:
            raise KilledError(f"at batch {batch}")


class Job:
    def __init__(self, size: int) -> None:
        self.size, self.slots, self.changed = size, [None] * size, threading.Condition()
        self.here = self.meetings = self.gone = 0

    def meet(self) -> None:
        with self.changed:
            meeting = self.meetings
            self.here += 1
            if self.here == self.size:
                self.here, self.meetings = 0, meeting + 1
                self.changed.notify_all()
            while self.meetings == meeting:
                if self.gone or not self.changed.wait(60):
                    raise GoneError

    def leave(self) -> None:
        with self.changed:
            self.gone += 1
            self.changed.notify_all()


class ThreadCommunicator:
    """One of the threads of a job. calls: (bytes sent, bytes of all) of each ``allgatherv`` of this rank."""

    def __init__(self, job: Job, rank: int) -> None:
        self.job, self.rank, self.size = job, rank, job.size
        self.calls: list[tuple[int, int]] = []

    def _met(self, value: Any) -> list[Any]:
        self.job.slots[self.rank] = value
        self.job.meet()
        found = list(self.job.slots)
        self.job.meet()
        return found

    def allgatherv(self, send: Any, receive: Any, counts: Any) -> None:
        assert len(send) == counts[self.rank]
        assert len(receive) == sum(counts)
        self.calls.append((send.nbytes, receive.nbytes))
        ends = [*accumulate(counts)]
        for rank, array in enumerate(self._met(send.copy())):
            assert array.shape == (counts[rank],)
            receive[ends[rank] - counts[rank] : ends[rank]] = array

    def bcast(self, array: Any, root: int = 0) -> None:
        array[...] = self._met(array.copy())[root]

    def bcast_object(self, value: Any, root: int = 0) -> Any:
        return pickle.loads(self._met(pickle.dumps(value))[root])

    def barrier(self) -> None:
        self._met(None)

    def abort(self, message: str) -> NoReturn:
        raise AbortedError(f"rank {self.rank}: {message}")


def run(size: int, work: Callable[[Any], Any]) -> list[Any]:
    """What work(communicator) gives on each rank; an error where it raises one."""
    job = Job(size)
    results: list[Any] = [None] * size

    def one(rank: int) -> None:
        try:
            with random.seeded(rank):
                results[rank] = work(ThreadCommunicator(job, rank))
        except BaseException as error:
            results[rank] = error
            job.leave()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def same(size: int, work: Callable[[Any], Any]) -> Any:
    """What work gives, which must be the same on all ranks; raises what the first of them has raised."""
    results = run(size, work)
    odd = [each for each in results if isinstance(each, BaseException)]
    if odd:
        raise next((each for each in odd if not isinstance(each, GoneError)), odd[0])
    assert all(each == results[0] for each in results[1:])
    return results[0]


def numbers(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
