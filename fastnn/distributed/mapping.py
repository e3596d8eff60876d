"""Work that ranks share, an item at a time: who has done one takes the next; what a lost rank had, others do."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from fastnn._checks import check_count

from .communicator import Communicator, LocalCommunicator, MPICommunicator, gather_objects

WAIT = 60.0  # seconds for a rank that has not come when all is done


def map(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    comm: Any = None,
    *,
    threads: int = 1,
    on_result: Callable[[int, Any], object] | None = None,
) -> list[Any]:
    """[function(item) for item in items], worked out by all ranks, each of which gets all of it.

    Every rank calls this with the same items; results are pickled and go by sockets of their own, which only who has
    the job's key may use. comm: a communicator of ``fastnn.distributed`` or of mpi4py; None for this process alone.
    threads: how many items a rank works on at a time. on_result: called at rank 0 with the number of an item and its
    result, as they come.

    An item is done by whichever rank is free. Where a rank is lost, the others do what it had, if the communicator's
    engine lets them live: MPI ends the whole job. Rank 0, which hands out the work, must stay: else ConnectionError.
    What `function` raises is raised at its rank, and RuntimeError, which says so, at the others; items that have begun
    are done first.
    """
    todo = list(items)
    threads = check_count("threads", threads)
    found = communicator_of(comm) or LocalCommunicator()
    if found.size == 1:
        return in_threads(function, todo, threads, on_result)
    host = _host(found)
    if found.rank:
        return _work(function, todo, found, threads)
    return _lead(function, todo, found, threads, host, on_result)


def in_threads(
    function: Callable[[Any], Any],
    items: list[Any],
    threads: int,
    on_result: Callable[[int, Any], object] | None = None,
    stop: Callable[[], object] | None = None,
) -> list[Any]:
    """`map` of one process. stop: called when nobody wants any more, so that what has begun may end soon."""
    tell = on_result or (lambda number, result: None)
    if threads < 2:
        results = []
        for number, item in enumerate(items):
            results.append(function(item))
            tell(number, results[-1])
        return results
    results, todo, done = [None] * len(items), deque(enumerate(items)), deque[int]()
    errors: list[BaseException] = []
    context, ended, finished = copy_context(), threading.Event(), threading.Semaphore(0)

    def work() -> None:
        try:
            while not ended.is_set() and (taken := _first(todo)) is not None:
                results[taken[0]] = context.copy().run(function, taken[1])
                done.append(taken[0])
        except BaseException as error:
            errors.append(error)
        finally:
            finished.release()

    def look() -> None:
        while (number := _first(done)) is not None:
            tell(number, results[number])

    mine = [_thread(work) for _ in range(threads)]
    try:
        for each in mine:
            each.start()
        for _ in mine:
            # Who is woken for each result takes the others' time; and with an end Windows hears Ctrl-C. Not by `join`,
            # which takes a thread for ended once Ctrl-C has come in it.
            while not (errors or finished.acquire(timeout=0.1)):
                look()
    finally:
        ended.set()
        if stop is not None:
            stop()
        for each in mine:
            if each.ident is not None:
                each.join()
    look()
    if errors:
        raise errors[0]
    return results


def _first(queue: deque[Any]) -> Any:
    """The first of a queue that threads share, which takes it out; None where there is none."""
    with suppress(IndexError):
        return queue.popleft()


def communicator_of(comm: Any) -> Communicator | None:
    """A communicator; one of mpi4py as fastnn's. TypeError for what is none."""
    if comm is None or hasattr(comm, "bcast_object"):
        return comm  # type: ignore[no-any-return]
    if hasattr(comm, "Get_rank"):
        return MPICommunicator(comm)
    raise TypeError(
        f"comm must be a communicator, such as fastnn.distributed.MPICommunicator(), got a {type(comm).__name__}"
    )


def _host(comm: Communicator) -> str:
    """The address by which the other ranks reach rank 0, as rank 0 knows it."""
    hosts = gather_objects(comm, socket.gethostname())
    other = next((host for host in hosts if host != hosts[0]), None)
    if other is None or comm.rank:
        return "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:  # nothing is sent
        way.connect((other, 9))
        return str(way.getsockname()[0])


class _Work:
    """What is to be done, at rank 0."""

    def __init__(self, count: int) -> None:
        self.todo = deque(range(count))
        self.results: dict[int, Any] = {}
        self.told: deque[int] = deque()  # results that nobody has heard of
        self.count = count
        self.failed: tuple[int, Exception] | None = None
        self.changed = threading.Condition()

    def take(self) -> int | None:
        """The number of an item; waits while others may still leave one. None where all is done, or one has failed."""
        with self.changed:
            while not self.over():
                if self.todo:
                    return self.todo.popleft()
                self.changed.wait()
            return None

    def over(self) -> bool:
        return self.failed is not None or len(self.results) == self.count

    def put(self, number: int, rank: int, result: Any, error: Exception | None) -> None:
        with self.changed:
            if error is not None:
                self.failed = self.failed or (rank, error)
            elif number not in self.results:
                self.results[number] = result
                self.told.append(number)
            self.changed.notify_all()

    def back(self, number: int | None) -> None:
        """An item whose rank is lost."""
        with self.changed:
            if number is not None:
                self.todo.appendleft(number)
            self.changed.notify_all()


def _thread(work: Callable[..., object], *arguments: Any) -> threading.Thread:
    """A thread in which context variables are as they are here."""
    return threading.Thread(target=copy_context().run, args=(work, *arguments), daemon=True)


def _done(function: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
    try:
        return function(item), None
    except Exception as error:
        return None, error


def _lead(
    function: Callable[[Any], Any],
    items: list[Any],
    comm: Communicator,
    threads: int,
    host: str,
    on_result: Callable[[int, Any], object] | None,
) -> list[Any]:
    work, key = _Work(len(items)), os.urandom(32)
    left = set(range(1, comm.size))  # ranks that have not heard of the end

    def serve(line: Connection) -> None:
        number, rank = None, None
        try:
            rank, first = line.recv()
            while (number := work.take()) is not None:
                line.send(number)
                work.put(number, rank, *line.recv())
            line.send(None)
            if first:
                failed = work.failed and (work.failed[0], _said(work.failed[1]))
                line.send((failed, None if failed else [work.results[place] for place in range(work.count)]))
                line.recv()  # that it has come
        except (EOFError, OSError):
            work.back(number)
        finally:
            line.close()
            with work.changed:
                left.discard(-1 if rank is None or not first else rank)
                work.changed.notify_all()

    def here() -> None:
        while (number := work.take()) is not None:
            work.put(number, 0, *_done(function, items[number]))

    with Listener((host, 0), backlog=64, authkey=key) as listener:
        comm.bcast_object((listener.address, key))
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                with suppress(Exception):  # who has not the key
                    threading.Thread(target=serve, args=(listener.accept(),), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        mine = [_thread(here) for _ in range(threads)]
        for each in mine:
            each.start()
        try:
            _tell(work, on_result)
            for each in mine:
                each.join()
            with work.changed:
                work.changed.wait_for(lambda: not left, WAIT)
        except BaseException as error:
            told = error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
            work.put(-1, 0, None, told)
            with work.changed:  # until the others have heard of it
                work.changed.wait_for(lambda: not left, WAIT if told is error else 1.0)
            raise
        finally:
            ended.set()
            with suppress(OSError):  # so that accept() returns
                socket.create_connection(listener.address).close()
            accepting.join()
    if work.failed is not None:
        raise _error(work.failed, 0)
    return [work.results[place] for place in range(work.count)]


def _tell(work: _Work, on_result: Callable[[int, Any], object] | None) -> None:
    """Say of each result that it has come, until there are no more."""
    while True:
        with work.changed:
            while not work.told and not work.over():
                work.changed.wait(0.1)  # not for ever, as Windows would then hear no Ctrl-C
            if not work.told:
                return
            number = work.told.popleft()
        if on_result is not None:
            on_result(number, work.results[number])


def _work(function: Callable[[Any], Any], items: list[Any], comm: Communicator, threads: int) -> list[Any]:
    rank, (address, key) = comm.rank, comm.bcast_object(None)
    outcome: list[Any] = []
    own: list[Exception] = []

    def work(place: int) -> None:
        with suppress(EOFError, OSError), Client(address, authkey=key) as line:
            line.send((rank, place == 0))
            while (number := line.recv()) is not None:
                result, error = _done(function, items[number])
                if error is not None:
                    own.append(error)
                try:
                    line.send((result, None if error is None else _said(error)))
                except (EOFError, OSError):
                    raise
                except Exception as unsent:  # a result that cannot be pickled
                    own.append(unsent)
                    line.send((None, _said(unsent)))
            if place == 0:
                outcome.append(line.recv())
                line.send(True)

    workers = [_thread(work, place) for place in range(threads)]
    for each in workers:
        each.start()
    for each in workers:
        while each.is_alive():
            each.join(0.1)
    if not outcome:
        raise own[0] if own else ConnectionError("rank 0, which hands out the work, is gone; start the job again")
    failed, results = outcome[0]
    if failed is not None:
        raise own[0] if own else _error(failed, rank)
    return list(results)


def _said(error: Exception) -> Exception:
    """An error that can be sent."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _error(failed: tuple[int, Exception], rank: int) -> Exception:
    where, error = failed
    return error if where == rank else RuntimeError(f"rank {where} failed: {type(error).__name__}: {error}")
