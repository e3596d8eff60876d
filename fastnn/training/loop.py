"""The loop over a source's batches, and what a fit, an evaluation and a prediction do with each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np

from fastnn._checks import check_count
from fastnn.callbacks.base import Callback, CallbackList, check_hooks, is_own
from fastnn.data import Source
from fastnn.engine.description import RowError
from fastnn.layers.tensor import called
from fastnn.optimizers.variables import Rate
from fastnn.training.accumulator import MetricAccumulator
from fastnn.training.epochs import ALL, BatchRange, EpochIterator
from fastnn.training.non_finite import explained, problem_of
from fastnn.training.progress import Progress
from fastnn.typing import FloatArray

LOOK = 0.1  # seconds between two looks at the clock, where a callback wants to look


class BatchLoop(ABC):
    """Runs the batches of an epoch in ranges, between the hooks of callbacks and with a bar of progress.

    phase: "train", "test" or "predict". Where a callback has hooks of batches, they are called around every so many
    as ``compile`` was told, and no range is longer. by_range: whether the network is given the rows of a range, and not
    the page. what: how an error's text begins.
    """

    network: Any
    trainer: Any
    by_range = True
    what = ""

    def __init__(self, phase: str, epochs: EpochIterator, callbacks: CallbackList, progress: Progress) -> None:
        self.epochs = epochs
        self.callbacks = callbacks
        self.progress = progress
        self.before = callbacks.hooks(f"on_{phase}_batch_begin")
        self.after = callbacks.hooks(f"on_{phase}_batch_end")
        self.batchwise = bool(self.before or self.after)
        self.every = 1
        if self.batchwise:
            self.every = epochs.at_once = callbacks.model.description.steps_per_execution

    def run_epoch(self, done: int = 0) -> int:
        """Run the batches of an epoch, of which `done` were done before; gives how many are done then."""
        progress, before, every = self.progress, self.before, self.every
        for batches in self.epochs.epoch(done):
            if before and done % every == 0:
                for hook in before:
                    hook(done, {})
            if progress.level:
                progress.begin_range(done, 0 if self.by_range else batches.start, batches.size)
            count = None
            while count is None:
                try:
                    with self.network.lock:  # until what the batches have added up is taken from the network
                        count = self.run(batches)
                except RowError as error:
                    raise self.named(error, batches) from None
                if count is None:
                    self.make_ready()
            done += count
            if progress.level == 1:
                progress.look(done, self.figures)
            if self.batchwise:
                if self.after and done % every == 0:
                    self._tell(done)
                self.epochs.at_once = every - done % every
            if self.ends():
                break
        if self.after and done % every:
            self._tell(done)
        return done

    def _tell(self, done: int) -> None:
        logs, last = self.logs(), -(-done // self.every) * self.every - 1  # which, as in Keras, may not be there
        for hook in self.after:
            hook(last, logs)

    def named(self, error: RowError, batches: BatchRange) -> RowError:
        """An error in a row of what the network was given, by the name that the user knows the row by."""
        rows = np.array([error.row + (batches.start if self.by_range else 0)])
        return error.named(self.epochs.source.row_names(batches.page, rows, batches.first)[0], self.what)

    def look(self) -> None:
        """After hooks that come before the first batch: where one asks to stop, that batch runs alone, as in Keras."""
        if self.stopped():
            self.epochs.at_once = 1

    @abstractmethod
    def run(self, batches: BatchRange) -> int | None:
        """Run a range of batches; gives how many of them were done. The network's lock is held.

        None, and nothing done, where the network is not ready for them any more, since the model was used otherwise.
        """

    def make_ready(self) -> None:
        """Make the network, or the one that has taken its place, ready again."""
        self.network = self.trainer.ready(self.epochs.source)

    @abstractmethod
    def logs(self) -> Mapping[str, Any]:
        """What the hooks are told after a batch."""

    def watcher(self, start: int = 0) -> Callable[[int, float], None] | None:
        """What the engine calls now and then in a range whose first row is `start`; None where no bar moves."""
        if self.progress.level != 1:
            return None
        return lambda row, loss: self.progress(row, lambda: self.figures(row - start, loss))

    @abstractmethod
    def figures(self, rows: int = 0, loss: float = 0.0) -> Mapping[str, Any]:
        """What the bar shows, within a range after so many of its rows, whose losses have a sum."""

    @abstractmethod
    def stopped(self) -> bool:
        """Whether somebody asks that no further batch is run."""

    def ends(self) -> bool:
        """Whether the epoch ends here, before its last batch."""
        return self.stopped()


class FitLoop(BatchLoop):
    """The loop of a fit, and where the fit stands: the epoch that runs or comes next, and what that has added up."""

    by_range = False

    def __init__(self, trainer: Any, epochs: EpochIterator, callbacks: CallbackList, progress: Progress) -> None:
        super().__init__("train", epochs, callbacks, progress)
        self.trainer = trainer
        self.model = trainer.model
        self.network = self.model.description.network
        self.epoch = 0
        self.accumulator = MetricAccumulator()
        self.rate = 0.0  # of the last step
        self.last_logs: dict[str, Any] = {}
        self._pauses = callbacks.trainer_hooks("pauses")
        self._ahead: list[Any] = callbacks.trainer_hooks("ahead")
        if self._pauses and not self.batchwise:
            epochs.at_once = 1
        self._looked = perf_counter()

    def run_epoch(self, done: int = 0) -> int:
        self.epochs.number = self.epoch
        if self.trainer.objectives.gathers and done == 0:
            self.trainer.objectives.begin()
        self._look_ahead()
        return super().run_epoch(done)

    def _look_ahead(self) -> None:
        """Where a callback wants to be called after so many batches, have the next range be no longer."""
        if self._ahead and not self.stopped():
            most = self.epochs.at_once if self._pauses or self.batchwise else ALL
            self.epochs.at_once = min(most, *(hook() for hook in self._ahead))

    def expected(self, callback: Callback, hook: str) -> tuple[dict[str, Any], bool]:
        """(logs as `hook` of a callback will be given them, of no rows; whether no other callback may add to them)."""
        objectives, others = self.trainer.objectives, self.callbacks.callbacks
        logs: dict[str, Any] = {}
        for name, metric, state in zip(objectives.names, objectives.metrics, self.network.states, strict=True):
            try:
                logs[name] = metric.reported(np.zeros_like(state)) if metric.compiled else metric.result()
            except Exception:  # a metric of the user's own that has no value yet
                logs[name] = 0.0
        logs |= dict.fromkeys((*objectives.losses, "loss"), 0.0)
        if hook == "on_epoch_end" and self.callbacks.params["do_validation"]:
            logs |= {f"val_{name}": value for name, value in logs.items()}
        before = [other for other in others[: others.index(callback)] if other.listens(hook)]
        if hook == "on_epoch_end":
            logs |= dict.fromkeys((name for other in before for name in getattr(other, "adds", ())), 0.0)
        tested = [other for other in others if other.listens("on_test_end")]
        return logs, all(map(is_own, [*before, *tested]))

    def run(self, batches: BatchRange) -> int | None:
        trainer, network = self.trainer, self.network
        if network.owned_by is not trainer or self.model.description.network is not network:
            return None
        row, loss, went_well = self._steps(network, batches)
        return self.finish(batches, row, loss, went_well)

    def finish(self, batches: BatchRange, row: int, loss: float, went_well: bool) -> int:
        """Take what a range of batches gave until `row`; gives how many were done. Raises where it did not go well."""
        trainer, accumulator, network = self.trainer, self.accumulator, self.network
        rows = row - batches.start
        done: int = -(-rows // batches.size)
        accumulator.add(rows, done, loss, network if trainer.objectives.gathers else None)
        if not went_well:
            op, built = network.op_not_finite, self.model.description
            layer = None if op is None else built.plan.layers[op]
            layer = layer and built.paths().get(layer, called(layer))
            error = explained(
                trainer.objectives.outputs, network, self.epochs.source, batches, row, built.arrays(), layer
            )
            if not any(accepts(error, accumulator.batches) for accepts in self.callbacks.trainer_hooks("accepts")):
                raise error
            accumulator.loss = float("nan")
        return done

    def _steps(self, network: Any, batches: BatchRange) -> Any:
        """A step for each batch of a range, in one compiled call; gives what ``Network.fit_epoch`` does."""
        page, start, stop, size, count, _ = batches
        rates = self.rates(network, count)
        if self.trainer.optimizer.full_batch:
            return self._full_step(network, batches)
        watch = self.watcher(start) if self.progress.level == 1 else None  # a call less for most epochs
        return network.fit_epoch(page.x, page.y, page.weight, page.order, size, rates, watch, start, stop)

    def rates(self, network: Any, count: int) -> Any:
        """The learning rates of the next so many steps, one number where it is constant."""
        optimizer = self.trainer.optimizer
        rates: Any = optimizer.learning_rate
        if type(rates) is Rate:
            rates = self.rate = float(rates)
        else:
            rates = optimizer.rates(network.iterations, count)
            self.rate = rates if type(rates) is float else float(rates[-1])
        return rates

    def _full_step(self, network: Any, batches: BatchRange) -> tuple[int, float, bool]:
        page, rows, optimizer = batches.page, batches.page.rows, self.trainer.optimizer
        if batches.batches > 1 or rows != self.epochs.source.rows:
            raise ValueError(
                f"{type(optimizer).__name__} looks at all rows in each step, here at {self.epochs.source.rows}; give "
                "them as arrays, with a batch_size of at least as many, or take another optimizer"
            )
        try:
            seen = self.trainer.full_batch.step(optimizer, network, page, self.rate)
        except FloatingPointError:
            return 0, 0.0, False
        for state, value in zip(network.states, seen.states, strict=True):
            state[...] = value
        return rows, seen.loss * rows, True

    def logs(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.trainer.objectives.logs(self.accumulator)
        return found

    def figures(self, rows: int = 0, loss: float = 0.0) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.trainer.objectives.logs(self.accumulator.until(rows, loss, self.network))
        return found

    def stopped(self) -> bool:
        return bool(self.model.stop_training)

    def ends(self) -> bool:
        if self._pauses:
            self._pause()
        self._look_ahead()
        return bool(self.model.stop_training)

    def _pause(self) -> None:
        """Between two ranges, where a callback wants to look at the clock: about every LOOK seconds."""
        for hook in self._pauses:
            hook()
        now = perf_counter()
        if not self.batchwise:
            if now - self._looked < LOOK / 2:
                self.epochs.at_once *= 2
            elif now - self._looked > LOOK:
                self.epochs.at_once = max(1, self.epochs.at_once // 2)
        self._looked = now


class EvaluationLoop(BatchLoop):
    """The loop of an evaluation, and what that has added up."""

    def __init__(
        self, network: Any, trainer: Any, epochs: EpochIterator, callbacks: CallbackList, progress: Progress, what: str
    ) -> None:
        super().__init__("test", epochs, callbacks, progress)
        self.network = network
        self.trainer = trainer
        self.what = what
        self.accumulator = MetricAccumulator()
        self.penalty = 0.0

    def run(self, batches: BatchRange) -> int | None:
        if not self.trainer.is_ready(self.network):
            return None
        self.penalty = self.network.penalty_value()
        page, rows = batches.page, slice(batches.start, batches.stop)
        y = None if page.y is None else page.y[rows]
        weight = None if page.weight is None else page.weight[rows]
        loss: float = self.network.evaluate(page.x[rows], y, weight, self.watcher(), batches.size)
        if not isfinite(loss):
            places = np.arange(rows.start, rows.stop)
            problem = problem_of(self.trainer.objectives.outputs, self.epochs.source, page, places, batches.first)
            if problem is not None:
                raise ValueError(self.what + problem)
        self.accumulator.add(batches.stop - batches.start, batches.batches, loss, self.network)
        return batches.batches

    def logs(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.trainer.objectives.logs(self.accumulator, self.penalty)
        return found

    def figures(self, rows: int = 0, loss: float = 0.0) -> Mapping[str, Any]:
        seen = self.accumulator.until(rows, loss, self.network)
        found: Mapping[str, Any] = self.trainer.objectives.logs(seen, self.penalty)
        return found

    def stopped(self) -> bool:
        return bool(self.trainer.model.stop_evaluating)


class PredictionLoop(BatchLoop):
    """The loop of a prediction, and what the network gave for each range."""

    def __init__(
        self, model: Any, network: Any, epochs: EpochIterator, callbacks: CallbackList, progress: Progress
    ) -> None:
        super().__init__("predict", epochs, callbacks, progress)
        self.model = model
        self.network = network
        self.outputs: list[FloatArray] = []

    def run(self, batches: BatchRange) -> int | None:
        self.outputs.append(self.network.predict(batches.page.x[batches.start : batches.stop], self.watcher()))
        return batches.batches

    def logs(self) -> Mapping[str, Any]:
        return {"outputs": self.outputs[-1]}

    def figures(self, rows: int = 0, loss: float = 0.0) -> Mapping[str, Any]:
        return {}

    def stopped(self) -> bool:
        return bool(self.model.stop_predicting)


def predict(
    model: Any, network: Any, source: Source, batch_size: int, verbose: int | str, steps: int | None, callbacks: Any
) -> FloatArray:
    """See ``Model.predict``: the rows of a source, batch by batch where a callback wants to know of them."""
    batches = EpochIterator(source, batch_size, None, None if steps is None else check_count("steps", steps))
    listeners, progress = CallbackList(callbacks, model=model), Progress(verbose, None)
    check_hooks(listeners.callbacks)
    listeners.set_params({"verbose": verbose, "epochs": 1, "steps": batches.batches, "batch_size": batch_size})
    loop = PredictionLoop(model, network, batches, listeners, progress)
    model.stop_predicting = False
    listeners.on_predict_begin()
    loop.look()
    progress.begin(0, batches.batches)
    try:
        done = loop.run_epoch()
    finally:
        batches.close()
    if not loop.outputs:
        raise ValueError("the data gave no rows")
    progress.end(done, {})
    listeners.on_predict_end()
    return np.concatenate(loop.outputs)
