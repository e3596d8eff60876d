"""Where the batches come from, epoch after epoch, and where a fit stands in them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn._table import check_count
from fastnn.callbacks import CallbackList
from fastnn.data import Page, Source
from fastnn.progress import Progress
from fastnn.typing import DoubleArray

if TYPE_CHECKING:
    import numpy as np

    from fastnn.trainer import Trainer

ALL = 2**62  # more batches than any stretch has
PIECE = 0.1  # seconds between two looks at the clock, where a callback wants to look


class Stretch(NamedTuple):
    """Rows `start` to `stop` of a page's order: `batches` of `size` rows, the last perhaps of fewer.

    `first` is the number of rows in the pages before.
    """

    page: Page
    start: int
    stop: int
    size: int
    batches: int
    first: int


class Feed:
    """The batches of a source in stretches, each as long as it may be.

    An epoch is one pass over the source; or `steps` batches, which go on where the epoch before ended, as in Keras.
    at_once: the most batches in a stretch. A source whose ``batches`` is true has one page for each batch.
    """

    def __init__(
        self, source: Source, batch_size: int, rng: np.random.Generator | None = None, steps: int | None = None
    ) -> None:
        self.source = source
        self.batch_size = batch_size
        self.steps = steps
        self.at_once = ALL
        self.remembers = False  # the generator's state before a pass, which takes longer than a small epoch
        self._rng = rng
        self._paged = getattr(source, "batches", False)
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

    def epoch(self, done: int = 0) -> Iterator[Stretch]:
        """The stretches of an epoch, of which `done` batches were done before a resumption."""
        if self.steps is None and self.at_once == ALL and done == 0:  # the same as below, in half a microsecond
            first, size = 0, self.batch_size
            for page in self.source.pages(size, self._rng):
                rows = len(page.x)
                if self._paged:
                    size = rows
                yield Stretch(page, 0, rows, size, -(-rows // size), first)
                first += rows
            return
        left = ALL if self.steps is None else self.steps - done
        if done == 0 and (self.steps is None or not self._more()):
            self._begin()
        while left > 0 and self._more():
            stretch = self._take(min(left, self.at_once))
            left -= stretch.batches
            yield stretch
        if left > 0 and self.steps is not None:
            warnings.warn(
                f"the data ended {left} batches before the {self.steps} steps of this epoch; ask for fewer steps",
                stacklevel=5,
            )

    def close(self) -> None:
        """Let go of what the source holds open for a pass."""
        close = getattr(self._pages, "close", None)
        self._pages, self._page = iter(()), None
        if close is not None:
            close()

    def _begin(self) -> None:
        self.close()
        if self.remembers and self._rng is not None:
            self._before = self._rng.bit_generator.state
        self._passed = self._first = 0
        self._pages = self.source.pages(self.batch_size, self._rng)

    def _more(self) -> bool:
        """Whether the pass has rows left; finds the page that they are in."""
        while self._page is None or self._start >= len(self._page.x):
            self._first += 0 if self._page is None else len(self._page.x)
            self._page, self._start = next(self._pages, None), 0
            if self._page is None:
                return False
        return True

    def _take(self, most: int) -> Stretch:
        page, start = self._page, self._start
        assert page is not None
        rows = len(page.x)
        size = rows if self._paged else self.batch_size
        stop = min(rows, start + most * size)
        batches = -(-(stop - start) // size)
        self._start = stop
        self._passed += batches
        return Stretch(page, start, stop, size, batches, self._first)

    def state(self, between: bool) -> dict[str, Any]:
        """What ``restore`` needs to go on here; `between` two epochs, or within one."""
        if between and self.steps is None:
            return {"generator": None if self._rng is None else self._rng.bit_generator.state, "passed": 0}
        return {"generator": self._before, "passed": self._passed}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was asked for: the same order, and the same batches left in it."""
        if self._rng is not None and state["generator"] is not None:
            self._rng.bit_generator.state = state["generator"]
        if state["passed"]:
            self._begin()
            while self._passed < state["passed"] and self._more():
                self._take(state["passed"] - self._passed)


class Tally:
    """What an epoch has added up so far: rows, batches, losses, and what each metric gathers."""

    __slots__ = ("batches", "loss", "losses", "rows", "states")

    def __init__(self) -> None:
        self.rows = self.batches = 0
        self.loss = 0.0
        self.losses: list[float] = []  # of each output
        self.states: list[DoubleArray] = []  # of each metric

    def add(self, rows: int, batches: int, loss: float, network: Any) -> None:
        """A stretch that the network has run. network: None where nothing but the loss is asked for."""
        self.rows += rows
        self.batches += batches
        self.loss += loss
        if network is None:
            return
        if not self.losses:
            self.losses, self.states = network.losses_of_outputs, [state.copy() for state in network.states]
            return
        self.losses = [a + b for a, b in zip(self.losses, network.losses_of_outputs, strict=True)]
        for mine, state in zip(self.states, network.states, strict=True):
            mine += state


class Fit:
    """A fit and where it stands: the epoch that runs or comes next, and what that has added up."""

    def __init__(self, trainer: Trainer, feed: Feed, called: CallbackList, progress: Progress) -> None:
        self.trainer = trainer
        self.network: Any = trainer.model._network
        self.feed = feed
        self.called = called
        self.progress = progress
        self.epoch = 0
        self.tally = Tally()
        self.rate = 0.0  # of the last step
        self.logs: dict[str, Any] = {}
        self.before, self.after = called.hooks("on_train_batch_begin"), called.hooks("on_train_batch_end")
        self.pauses = called.hooks("_pauses")
        self.batchwise = bool(self.before or self.after)
        if self.batchwise or self.pauses:
            feed.at_once = 1
        self._looked = perf_counter()

    def pause(self) -> None:
        """Between two stretches, where a callback wants to look at the clock: about every PIECE seconds."""
        for hook in self.pauses:
            hook()
        now = perf_counter()
        if not self.batchwise and now - self._looked < PIECE / 2:
            self.feed.at_once *= 2
        elif now - self._looked > PIECE:
            self.feed.at_once = max(1, self.feed.at_once // 2)
        self._looked = now


def epochs_due(validation_freq: Any) -> Callable[[int], bool]:
    """Says whether to validate after epoch number n, from 1. TypeError, ValueError for what says no such thing."""
    if isinstance(validation_freq, (list, tuple, set, range)):
        epochs = {check_count("validation_freq", epoch) for epoch in validation_freq}
        return epochs.__contains__
    every = check_count("validation_freq", validation_freq)
    return lambda epoch: epoch % every == 0
