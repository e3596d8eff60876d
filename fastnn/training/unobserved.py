"""Epochs that nobody looks at: many of them in one compiled call."""

from __future__ import annotations

from time import perf_counter
from typing import Any, cast

from fastnn.callbacks import History
from fastnn.data import ArraySource, Page
from fastnn.engine.description import RowError
from fastnn.kernels.bindings import permutation
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.optimizers.variables import Rate
from fastnn.training.epoch_table import EpochTable
from fastnn.training.epochs import BatchRange
from fastnn.training.loop import FitLoop

CALL = 0.03  # seconds at most, so that a thread that asks for the model, or for the fit's end, does not wait long
# The first call, and an epoch that may be part of one, in looks of the engine at the clock: about a millisecond, 30.
FIRST, MOST = 64, 2000


def histories_of(fit: FitLoop) -> list[History]:
    """A fit's own history, and those that it was given."""
    return [callback for callback in fit.callbacks.callbacks if type(callback) is History]


class Unobserved:
    """The epochs of a fit between which there is nothing to call, to show or to test."""

    def __init__(self, fit: FitLoop) -> None:
        self.fit = fit
        self.source = cast(ArraySource, fit.epochs.source)
        self.size = fit.epochs.batch_size
        self.rows = self.source.rows
        self.steps = -(-self.rows // self.size)
        self.histories = histories_of(fit)

    @staticmethod
    def fits(fit: FitLoop) -> bool:
        """Whether a fit without validation has such epochs."""
        trainer, callbacks, epochs, rate = fit.trainer, fit.callbacks, fit.epochs, fit.trainer.optimizer.learning_rate
        histories = histories_of(fit)
        return (
            type(epochs.source) is ArraySource
            and epochs.steps is None
            and not fit.progress.level
            and not fit.batchwise
            and callbacks.hooks("on_epoch_end") == [history.on_epoch_end for history in histories]
            and callbacks.trainer_hooks("measured") == [history.measured for history in histories]
            and not callbacks.hooks("on_epoch_begin")
            and not any(map(callbacks.trainer_hooks, ("ahead", "accepts")))
            and not (trainer.optimizer.full_batch or trainer.link or fit.network.takes_gil)
            and (type(rate) is Rate or isinstance(rate, LearningRateSchedule))
            and epochs.source.rows <= MOST * max(1, fit.network.glance)
            and fit.accumulator.batches == 0
        )

    def run(self, epochs: int) -> None:
        """Run them until number `epochs`, or the first that takes long: what follows may as well be looked at."""
        fit = self.fit
        hooks = [*fit.callbacks.trainer_hooks("pauses"), *fit.callbacks.trainer_hooks("between")]
        together = max(1, FIRST * fit.network.glance // self.rows)
        while fit.epoch < epochs and not fit.model.stop_training:
            began = perf_counter()
            count = self._some(min(together, epochs - fit.epoch))
            seconds = (perf_counter() - began) / count
            for hook in hooks:
                hook()
            if seconds > CALL:
                return
            together = min(2 * together, max(1, int(CALL / seconds)))

    def _some(self, count: int) -> int:
        """So many epochs in one call, or fewer: gives how many.

        One where the learning rates are not known so far ahead; no more when another thread asks for the model.
        """
        fit, source, draws, well = self.fit, self.source, None, False
        rng = fit.epochs.rng
        with fit.network.lock:
            while not fit.trainer.is_ready(fit.network):  # the model was used otherwise meanwhile
                fit.make_ready()
            network = fit.network
            try:
                rates = fit.rates(network, count * self.steps)
            except Exception:
                count, rates = 1, fit.rates(network, self.steps)
            if rng is not None:
                before = rng.bit_generator.state
                draws = rng.bit_generator.random_raw(count)
            try:
                row, loss, well = network.fit_epochs(source.x, source.y, source.weight, self.size, rates, count, draws)
            except RowError as error:
                raise fit.named(error, self._batches(draws, network.epochs_done)) from None
            finally:
                done = network.epochs_done
                if rng is not None and done < count:  # an epoch that was not ended has drawn its order too
                    rng.bit_generator.state = before
                    rng.bit_generator.random_raw(done + (not well))
                if done:
                    self._enter(network, done, rates)
            if not well:
                fit.finish(self._batches(draws, done), row, loss, False)
        return int(done)

    def _batches(self, draws: Any, epoch: int) -> BatchRange:
        """What an epoch of the last call had."""
        order = None if draws is None else permutation(self.rows, int(draws[epoch]))
        page = Page(self.source.x, self.source.y, self.source.weight, order)
        return BatchRange(page, 0, self.rows, self.size, self.steps, 0)

    def _enter(self, network: Any, done: int, rates: Any) -> None:
        """Put the epochs that are done into the history, all in one step: Ctrl-C may come at any time."""
        fit, numbers = self.fit, network.epoch_logs[:done]
        table = EpochTable(fit.trainer.objectives, numbers, network, fit.epoch, self.rows, self.steps, rates)
        for history in self.histories:
            history.enter(table)
        fit.epoch += done
        fit.last_logs = table.logs(done - 1)
