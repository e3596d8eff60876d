"""Reading ahead: what a generator gives is made in a thread of its own while what came before is worked on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """What ``make()`` gives, in its order, made at most `most` things before they are asked for.

    The thread starts at once, and is gone after ``close`` or the last thing. An error of ``make`` is raised at its
    place. interrupt: called where nobody asks any more, to cut a long wait in ``make`` short.
    """

    def __init__(
        self, make: Callable[[], Generator[T, None, None]], most: int, interrupt: Callable[[], None] | None = None
    ) -> None:
        self._make, self._most, self._interrupt = make, most, interrupt
        self._ready: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fastnn reads ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            things = self._make()
            try:
                for thing in things:
                    if not self._put(thing):
                        break
            finally:
                things.close()
        except BaseException as error:  # raised where the thing is asked for
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, thing: T) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) < self._most or self._closed)
            self._ready.append(thing)
            self._changed.notify_all()
            return not self._closed

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended)
            if self._ready:
                self._changed.notify_all()
                return self._ready.popleft()
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        """End the thread, and wait for its end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._interrupt is not None and self._thread.is_alive():
            self._interrupt()
        self._thread.join()
