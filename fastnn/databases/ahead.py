"""Reading ahead: what a generator gives is made in a thread of its own while what came before is worked on."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """What ``make()`` gives, in its order, made at most `most` things before they are asked for.

    The thread starts at once, and is gone after ``close`` or the last thing. An error of ``make`` is raised at its
    place. interrupt: called where nobody asks any more, to cut a long wait in ``make`` short.
    """

    # The one who asks may be the main thread, in which Ctrl-C may be raised at any step. Queues of C are whole then; a
    # Condition, which a Thread's start waits on too, may find its lock let go: "release unlocked lock".

    def __init__(
        self, make: Callable[[], Generator[T, None, None]], most: int, interrupt: Callable[[], None] | None = None
    ) -> None:
        self._make, self._interrupt = make, interrupt
        self._ready: SimpleQueue[tuple[T] | BaseException] = SimpleQueue()  # at last StopIteration, or what was raised
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(most):
            self._room.put(None)
        self._closed = False
        self._end: BaseException | None = None
        start_new_thread(self._run, ())

    def _run(self) -> None:
        end: BaseException = StopIteration()
        try:
            things = self._make()
            try:
                for thing in things:
                    self._room.get()
                    if self._closed:
                        break
                    self._ready.put((thing,))
            finally:
                things.close()
        except BaseException as error:  # raised where the thing is asked for
            end = error
        self._ready.put(end)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._end is None:
            found = self._ready.get()
            if isinstance(found, tuple):
                self._room.put(None)
                return found[0]
            self._end = found
        raise self._end

    def close(self) -> None:
        """End the thread, and wait for its end."""
        self._closed = True
        self._room.put(None)
        if self._interrupt is not None and self._end is None:
            self._interrupt()
        while self._end is None:
            found = self._ready.get()
            if not isinstance(found, tuple):
                self._end = found
