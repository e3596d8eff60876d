"""Where the batches come from, epoch after epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn._checks import check_count
from fastnn._output import warn
from fastnn.data import Page, Source

if TYPE_CHECKING:
    import numpy as np

ALL = 2**62  # more batches than any range has


class BatchRange(NamedTuple):
    """Rows `start` to `stop` of a page's order: `batches` of `size` rows, the last perhaps of fewer.

    `first` is the number of rows in the pages before.
    """

    page: Page
    start: int
    stop: int
    size: int
    batches: int
    first: int


class EpochIterator:
    """The batches of a source in ranges, each as long as it may be.

    An epoch is one pass over the source; or `steps` batches, which go on where the epoch before ended, as in Keras.
    at_once: the most batches in a range. A source whose ``batches`` is true has one page for each batch.
    """

    def __init__(
        self, source: Source, batch_size: int, rng: np.random.Generator | None = None, steps: int | None = None
    ) -> None:
        self.source = source
        self.batch_size = batch_size
        self.steps = steps
        self.at_once = ALL
        self.remembers = False  # the generator's state before a pass, which takes longer than a small epoch
        self.rng = rng
        self._paged = getattr(source, "batches", False)
        self._by_epoch = getattr(source, "by_epoch", False)
        self.number = 0  # of the epoch, from 0, for such a source
        self._pages: Iterator[Page] = iter(())
        self._page: Page | None = None
        self._start = 0
        self._first = 0  # rows of this pass before the page
        self._passed = 0  # batches of this pass
        self._before: Any = None

    @property
    def batches(self) -> int | None:
        """Batches of an epoch, None while that is unknown."""
        if self.steps is not None:
            return self.steps
        rows = self.source.rows
        return None if self._paged or rows is None else -(-rows // self.batch_size)

    def epoch(self, done: int = 0) -> Iterator[BatchRange]:
        """The ranges of an epoch, of which `done` batches were done before a resumption."""
        if self.steps is None and self.at_once == ALL and done == 0:  # the same as below, in half a microsecond
            first, size = 0, self.batch_size
            for page in self._pass():
                rows = page.rows
                if self._paged:
                    size = rows
                yield BatchRange(page, 0, rows, size, -(-rows // size), first)
                first += rows
            return
        left = ALL if self.steps is None else self.steps - done
        if done == 0 and (self.steps is None or not self._more()):
            self._begin()
        while left > 0 and self._more():
            batches = self._take(min(left, self.at_once))
            left -= batches.batches
            yield batches
        if left > 0 and self.steps is not None:
            warn(f"the data ended {left} batches before the {self.steps} steps of this epoch; ask for fewer steps")

    def close(self) -> None:
        """Let go of what the source holds open for a pass."""
        close = getattr(self._pages, "close", None)
        self._pages, self._page = iter(()), None
        if close is not None:
            close()

    def _begin(self) -> None:
        self.close()
        if self.remembers and self.rng is not None:
            self._before = self.rng.bit_generator.state
        self._passed = self._first = 0
        self._pages = self._pass()

    def _pass(self) -> Iterator[Page]:
        if not self._by_epoch:
            return self.source.pages(self.batch_size, self.rng)
        # A pass in steps goes on from one epoch to the next, and a file of where it stands has no number for it.
        number = self.number if self.steps is None else 0
        return self.source.pages(self.batch_size, self.rng, number)  # type: ignore[call-arg]

    def _more(self) -> bool:
        """Whether the pass has rows left; finds the page that they are in."""
        while self._page is None or self._start >= self._page.rows:
            self._first += 0 if self._page is None else self._page.rows
            self._page, self._start = next(self._pages, None), 0
            if self._page is None:
                return False
        return True

    def _take(self, most: int) -> BatchRange:
        page, start = self._page, self._start
        assert page is not None
        rows = page.rows
        size = rows if self._paged else self.batch_size
        stop = min(rows, start + most * size)
        batches = -(-(stop - start) // size)
        self._start = stop
        self._passed += batches
        return BatchRange(page, start, stop, size, batches, self._first)

    def state(self, between: bool) -> dict[str, Any]:
        """What ``restore`` needs to go on here; `between` two epochs, or within one."""
        if between and self.steps is None:
            return {"generator": None if self.rng is None else self.rng.bit_generator.state, "passed": 0}
        return {"generator": self._before, "passed": self._passed}

    def restore(self, state: dict[str, Any], epochs: int) -> None:
        """Go on where ``state`` was asked for: the same order, and the same batches left in it.

        epochs: how many the fit has at most. ValueError, TypeError, and no change, for what is no such state.
        """
        passed, generator = check_count("batches passed", state["passed"], 0), state["generator"]
        most = self.batches if self.steps is None else self.steps * epochs
        if most is not None and passed > most:
            raise ValueError(f"{passed} batches of the data were passed, but the fit has at most {most}")
        if self.rng is not None and generator is not None:
            # A new one first: what is no state of a generator may leave it half set.
            trial = type(self.rng.bit_generator)()
            trial.state = generator
            self.rng.bit_generator.state = trial.state
        if passed:
            self._begin()
            while self._passed < passed and self._more():
                self._take(passed - self._passed)


def validation_due(validation_freq: Any) -> Callable[[int], bool]:
    """Says whether to validate after epoch number n, from 1. TypeError, ValueError for what says no such thing."""
    if isinstance(validation_freq, (list, tuple, set, range)):
        epochs = {check_count("validation_freq", epoch) for epoch in validation_freq}
        return epochs.__contains__
    every = check_count("validation_freq", validation_freq)
    return lambda epoch: epoch % every == 0
