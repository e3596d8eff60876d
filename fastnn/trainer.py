"""The trainer: epochs over a source of rows, with validation, history and callbacks.

``Model.fit`` makes a source of what it is given and calls ``Trainer.fit``; both are the same machine.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import optimizers, random
from fastnn._table import check_count
from fastnn.callbacks import Callback, CallbackList, History
from fastnn.callbacks.base import checked
from fastnn.data import ArraySource, ClassWeighted, Source
from fastnn.feed import Feed, Fit, Stretch, Tally, epochs_due
from fastnn.progress import Progress
from fastnn.training.non_finite import explained, problem_of
from fastnn.training.objectives import CompiledObjectives, Logs, Output, objectives_of, outputs_of
from fastnn.typing import Array, FloatArray

if TYPE_CHECKING:
    from fastnn.full_batch import FullBatch
    from fastnn.models import Model

ClassWeight = Mapping[int, float] | str


class Trainer:
    """Trains a model: ``Trainer(model, "adam", "mse").fit(source, epochs=5)``.

    optimizer, loss: a name or an object. metrics: names or objects; "accuracy" fits itself to the data. callbacks are
    called at every fit. ValueError for an unknown name, TypeError for what cannot be one.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Iterable[Any] | None = None,
        callbacks: Iterable[Callback] | None = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizers.get(optimizer)
        self.objectives = objectives_of(model.output_names, loss, loss_weights, metrics, weighted_metrics)
        self.loss = self.objectives[0].loss if len(self.objectives) == 1 else loss
        self.loss_weights, self.metrics, self.weighted_metrics = loss_weights, metrics or [], weighted_metrics
        self.callbacks = checked(callbacks)
        self._network: Any = None
        self._compiled: Any = None  # the objectives of the network as it is
        self._compiled_for: Any = None
        self._full_batch: FullBatch | None = None  # for an optimizer that looks at all rows
        self._settled: tuple[Any, ...] = ()
        self._slots: tuple[str, ...] = ()
        self._lock = threading.RLock()  # of making ready: two threads may begin to fit at once
        self._process = os.getpid()

    def fit(
        self,
        source: Source,
        epochs: int = 1,
        batch_size: int = 32,
        validation: Source | None = None,
        *,
        verbose: int | str = 0,
        shuffle: bool = True,
        class_weight: ClassWeight | None = None,
        callbacks: Iterable[Callback] | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> History:
        """Train until epoch number `epochs`, from `initial_epoch` on; gives the history.

        An epoch is a pass over `source`, or `steps_per_epoch` batches of it. validation_freq: validate after every so
        many epochs, or after those that it lists, counted from 1; on the first `validation_steps` batches of
        `validation_batch_size` rows, or on all rows.

        Raises ValueError for rows that do not fit the model, for labels out of range and for NaN in the data, and
        FloatingPointError where the loss overflows; the weights are then those before the bad batch. KeyboardInterrupt
        comes out between two batches. Whatever comes out, ``model.history`` has the epochs until then, and the
        callbacks have been ended (``Callback.on_train_interrupt``).
        """
        epochs, batch_size = check_count("epochs", epochs), check_count("batch_size", batch_size)
        initial_epoch = check_count("initial_epoch", initial_epoch, 0)
        steps = _optional("steps_per_epoch", steps_per_epoch)
        due = epochs_due(validation_freq)
        self.ready(source)
        tested = None
        if validation is not None:
            self._check(validation, "validation data")
            size = _optional("validation_batch_size", validation_batch_size) or batch_size
            tested = Feed(validation, size, None, _optional("validation_steps", validation_steps))
        if class_weight is not None:
            self._compiled.check_class_weight()
            source = ClassWeighted(source, class_weight)
        feed = Feed(source, batch_size, random.generator() if shuffle else None, steps)
        progress = Progress(verbose, epochs)
        called, history = self._called(callbacks)
        called.set_params(
            {
                "verbose": verbose,
                "epochs": epochs,
                "steps": feed.batches,
                "batch_size": batch_size,
                "do_validation": validation is not None,
                "validation_freq": validation_freq,
            }
        )
        if self._full_batch is not None:
            self._full_batch.forget()
        fit = Fit(self, feed, called, progress)
        fit.epoch = initial_epoch
        self.model.stop_training = False
        self.model.history = history
        try:
            called.on_train_begin()
            for hook in called.hooks("_fit_begins"):
                hook(fit)
            self._epochs(fit, epochs, tested, due)
        except BaseException as error:
            progress.broken()
            called.on_train_interrupt(error, fit.logs)
            raise
        finally:
            feed.close()
        if self.optimizer.use_ema:
            self._take_average()
        called.on_train_end(fit.logs)
        return history

    def _called(self, callbacks: Iterable[Callback] | None) -> tuple[CallbackList, History]:
        """The callbacks of a fit, and the history among them."""
        chosen = [*self.callbacks, *checked(callbacks)]
        history = next((callback for callback in chosen if isinstance(callback, History)), None)
        if history is None:
            history = History()
            chosen.append(history)
        return CallbackList(chosen, self.model), history

    def _epochs(self, fit: Fit, epochs: int, tested: Feed | None, due: Callable[[int], bool]) -> None:
        model, feed, progress, called = self.model, fit.feed, fit.progress, fit.called
        begin, end = called.hooks("on_epoch_begin"), called.hooks("on_epoch_end")
        quiet = Progress(0, None)
        while fit.epoch < epochs and not model.stop_training:
            epoch, tally = fit.epoch, fit.tally
            for hook in begin:
                hook(epoch, None)
            if progress.level:
                progress.begin(epoch, feed.batches)
            started = perf_counter()
            self._epoch(fit)
            if not tally.rows and not tally.loss:
                raise ValueError(
                    f"the data gave no rows in epoch {epoch + 1}: an iterator that was read to its end gives no more; "
                    "pass a list, or a source that can be read again"
                )
            logs = self._compiled.logs(tally)
            if tested is not None and due(epoch + 1):
                measured = self._test(tested, called, quiet, "validation data: ")
                logs |= {f"val_{name}": value for name, value in measured.items()}
            logs["learning_rate"] = fit.rate
            logs["seconds"] = perf_counter() - started
            if progress.level:
                progress.end(tally.batches, logs)
            fit.logs = logs
            fit.epoch, fit.tally = epoch + 1, Tally()  # whoever stops here goes on with the next epoch
            for hook in end:
                hook(epoch, logs)

    def step(self, source: ArraySource, class_weight: ClassWeight | None = None) -> Logs:
        """One step on all rows of `source` as one batch: the figures before it. Raises as ``fit``."""
        self.ready(source)
        if self._full_batch is not None:
            self._full_batch.forget()
        rows: Source = source
        if class_weight is not None:
            self._compiled.check_class_weight()
            rows = ClassWeighted(source, class_weight)
        fit = Fit(self, Feed(rows, source.rows), CallbackList(), Progress(0, None))
        self._epoch(fit)
        return self._compiled.logs(fit.tally)  # type: ignore[no-any-return]

    def _epoch(self, fit: Fit) -> None:
        """An epoch, added up in the fit's tally; it ends early where a callback says so between two stretches."""
        tally, progress = fit.tally, fit.progress
        network = self._current(fit)
        gathers = self._compiled.gathers
        if gathers and tally.batches == 0:
            self._compiled.begin()
        for stretch in fit.feed.epoch(tally.batches):
            for hook in fit.before:
                hook(tally.batches, None)
            if fit.batchwise:
                network = self._current(fit)
            if progress.level:
                progress.stretch(tally.batches, stretch.start, stretch.size)
            done, loss, went_well = self._steps(network, stretch, fit)
            rows = done - stretch.start
            tally.add(rows, -(-rows // stretch.size), loss, network if gathers else None)
            if not went_well:
                op = network.op_not_finite
                layer = None if op is None else self.model._layer_of(op)
                error = explained(self._compiled.outputs, network, fit.feed.source, stretch, done, layer)
                if not any(callback._accepts(error, tally.batches) for callback in fit.called.callbacks):
                    raise error
                tally.loss = float("nan")
            if fit.after:
                logs = self._compiled.logs(tally)
                for hook in fit.after:
                    hook(tally.batches - 1, logs)
            if fit.pauses:
                fit.pause()
            if self.model.stop_training:
                break

    def _steps(self, network: Any, stretch: Stretch, fit: Fit) -> Any:
        """A step for each batch of a stretch, in one compiled call; gives what ``Network.fit_epoch`` does."""
        page, start, stop, size, batches, _ = stretch
        rates = self.optimizer.learning_rate
        if type(rates) is not float:
            rates = self.optimizer.rates(network.iterations, batches)
        fit.rate = rates if type(rates) is float else float(rates[-1])
        if self.optimizer.full_batch:
            return self._full_step(network, stretch, fit)
        progress = fit.progress if fit.progress.level else None
        return network.fit_epoch(page.x, page.y, page.weight, page.order, size, rates, progress, start, stop)

    def _full_step(self, network: Any, stretch: Stretch, fit: Fit) -> tuple[int, float, bool]:
        page, rows = stretch.page, len(stretch.page.x)
        if stretch.batches > 1 or rows != fit.feed.source.rows:
            raise ValueError(
                f"{type(self.optimizer).__name__} looks at all rows in each step, here at {fit.feed.source.rows}; give "
                "them as arrays, with a batch_size of at least as many, or take another optimizer"
            )
        try:
            assert self._full_batch is not None
            seen = self._full_batch.step(self.optimizer, network, page, fit.rate)
        except FloatingPointError:
            return 0, 0.0, False
        for state, value in zip(network.states, seen.states, strict=True):
            state[...] = value
        return rows, seen.loss * rows, True

    def _take_average(self) -> None:
        """Training ends: the weights' moving average, if there has been a step, takes their place."""
        network = self._network
        if network.iterations < (self.optimizer.gradient_accumulation_steps or 1):
            return
        for variable in self.model._variables():
            part = slice(variable.start, variable.start + variable.rows * variable.columns)
            network.parameters[part] = network.slots[-1][part]

    def evaluate(
        self,
        source: Source,
        batch_size: int = 1024,
        verbose: int | str = 0,
        *,
        steps: int | None = None,
        callbacks: Iterable[Callback] | None = None,
    ) -> Logs:
        """Loss and metrics over the rows of `source`, or its first `steps` batches; penalties included, no dropout.

        ValueError for labels out of range and for NaN in the data.
        """
        feed = Feed(source, check_count("batch_size", batch_size), None, _optional("steps", steps))
        called = CallbackList(callbacks, self.model)
        called.set_params({"verbose": verbose, "epochs": 1, "steps": feed.batches, "batch_size": batch_size})
        return self._test(feed, called, Progress(verbose, None))

    def _test(self, feed: Feed, called: CallbackList, progress: Progress, what: str = "") -> Logs:
        """The figures of an evaluation; `what` begins an error's text."""
        network = self.ready(feed.source)
        before, after = called.hooks("on_test_batch_begin"), called.hooks("on_test_batch_end")
        if before or after:
            feed.at_once = 1
        for hook in called.hooks("on_test_begin"):
            hook(None)
        progress.begin(0, feed.batches)
        tally, penalty = Tally(), network.penalty_value()
        self._compiled.begin()
        try:
            for stretch in feed.epoch():
                for hook in before:
                    hook(tally.batches, None)
                progress.stretch(tally.batches, stretch.start, stretch.size)
                loss = self._tested(network, feed.source, stretch, progress, what)
                tally.add(stretch.stop - stretch.start, stretch.batches, loss, network)
                for hook in after:
                    hook(tally.batches - 1, self._compiled.logs(tally, penalty))
        finally:
            feed.close()
        if not tally.rows:
            raise ValueError(f"{what}the data gave no rows")
        figures: Logs = self._compiled.logs(tally, penalty)
        progress.end(tally.batches, figures)
        for hook in called.hooks("on_test_end"):
            hook(figures)
        return figures

    def _tested(self, network: Any, source: Source, stretch: Stretch, progress: Progress, what: str) -> float:
        page, rows = stretch.page, slice(stretch.start, stretch.stop)
        y = None if page.y is None else page.y[rows]
        weight = None if page.weight is None else page.weight[rows]
        loss: float = network.evaluate(page.x[rows], y, weight, progress, stretch.size)
        if not np.isfinite(loss):
            problem = problem_of(self._compiled.outputs, source, page, np.arange(rows.start, rows.stop), stretch.first)
            if problem is not None:
                raise ValueError(what + problem)
        return loss

    # Making ready.

    def _current(self, fit: Fit) -> Any:
        """The network, made ready again where a callback has used the model otherwise."""
        network = fit.network
        if network.owned_by is not self or self.model._network is not network:
            network = fit.network = self.ready(fit.feed.source)
        return network

    def ready(self, source: Source) -> Any:
        """The model's network, built for the source's rows and told what to train for."""
        if self._process != os.getpid():  # a fork: whoever held the lock is not in this process
            self._lock, self._process = threading.RLock(), os.getpid()
        with self._lock:
            self.model._ensure_built(source.input_shape)
            self._check(source, "data")
            network = self.model._network
            settled = (self.optimizer, vars(self.optimizer).copy())
            if self._network is not network or network.owned_by is not self or self._settled != settled:
                self._settle(network)
                self._settled = settled
            return network

    def _settle(self, network: Any) -> None:
        optimizer = self.optimizer
        network.set_objectives(self._compile().described)
        network.set_variables(self.model._variables(), self.model._frozen_ops())
        slots = self._slot_names()
        if network.owned_by is not self or self._network is not network or self._slots != slots:
            self._full_batch = None
            if optimizer.full_batch:
                from fastnn.full_batch import FullBatch  # few need it: `import fastnn` must stay short

                self._full_batch = FullBatch(self.model._variables())
            network.iterations = 0
            if not optimizer.full_batch:
                network.set_optimizer(
                    optimizer.kernel,
                    optimizer.numbers(),
                    optimizer.slot_starts,
                    accumulation=optimizer.gradient_accumulation_steps or 1,
                    average=optimizer.use_ema,
                )
            network.owned_by = self
        network.set_numbers(
            optimizer.numbers(),
            weight_decay=optimizer.weight_decay,
            clipvalue=optimizer.clipvalue,
            clipnorm=optimizer.clipnorm,
            global_clipnorm=optimizer.global_clipnorm,
            ema_momentum=optimizer.ema_momentum,
            ema_overwrite_frequency=optimizer.ema_overwrite_frequency,
        )
        self._network, self._slots = network, slots

    def _slot_names(self) -> tuple[str, ...]:
        optimizer = self.optimizer
        sums = ("sum_of_gradients",) if (optimizer.gradient_accumulation_steps or 1) > 1 else ()
        return (*optimizer.slots, *sums, *(("average",) if optimizer.use_ema else ()))

    def state(self) -> tuple[int, dict[str, Array]]:
        """(steps done, the optimizer's vectors by slot); (0, {}) where the next step starts afresh."""
        network = self.model._network
        ours = network.owned_by is self and self._network is network and self._slots == self._slot_names()
        if not ours or not network.iterations:
            return 0, {}
        if self._full_batch is not None:
            return network.iterations, self._full_batch.slots(network.parameters.size)
        return network.iterations, dict(zip(self._slots, network.slots, strict=True))

    def go_on(self, steps: int, slots: Mapping[str, Array]) -> None:
        """Take up a state as ``state`` gives it, on the network as it is. ValueError for other vectors."""
        network = self.model._network
        wanted = set(self._slot_names()) if steps else set()
        if slots.keys() != wanted and not (steps and self.optimizer.full_batch):
            raise ValueError(f"its optimizer keeps {sorted(slots)}, the model's {sorted(wanted)} after {steps} steps")
        if any(flat.shape != network.parameters.shape for flat in slots.values()):
            raise ValueError(f"its optimizer's vectors are not of {network.parameters.size} numbers, as the model's")
        network.owned_by = None  # whatever it did before
        self._settle(network)
        if self._full_batch is not None:
            self._full_batch.go_on(slots)
        elif steps:
            for name, slot in zip(self._slots, network.slots, strict=True):
                slot[...] = slots[name]
        network.iterations = steps

    def outputs(self) -> list[Output]:
        """The model's outputs, each with its objective."""
        return outputs_of(self.objectives, [tensor.row for tensor in self.model.outputs])

    def _compile(self) -> Any:
        """The objectives of the network as it is."""
        model = self.model
        if self._compiled_for is not model._network:
            shapes = [tensor.row for tensor in model.outputs]
            activations = [model._fusible(output) for output in range(len(shapes))]
            self._compiled = CompiledObjectives(self.objectives, shapes, activations)
            self._compiled_for = model._network
        return self._compiled

    def _check(self, source: Source, what: str) -> None:
        self.model._check_rows(source.input_shape, what)
        self._compile().check(source, what)


def predict(
    model: Model, source: Source, batch_size: int, verbose: int | str, steps: int | None, callbacks: Any
) -> FloatArray:
    """See ``Model.predict``: the rows of a source, batch by batch where a callback wants to know of them."""
    network = model._built("predict")
    model._check_rows(source.input_shape, "x")
    feed = Feed(source, batch_size, None, _optional("steps", steps))
    called, progress = CallbackList(callbacks, model), Progress(verbose, None)
    called.set_params({"verbose": verbose, "epochs": 1, "steps": feed.batches, "batch_size": batch_size})
    before, after = called.hooks("on_predict_batch_begin"), called.hooks("on_predict_batch_end")
    if before or after:
        feed.at_once = 1
    called.on_predict_begin(None)
    progress.begin(0, feed.batches)
    outputs, done = [], 0
    try:
        for stretch in feed.epoch():
            for hook in before:
                hook(done, None)
            progress.stretch(done, stretch.start, stretch.size)
            outputs.append(network.predict(stretch.page.x[stretch.start : stretch.stop], progress))
            done += stretch.batches
            for hook in after:
                hook(done - 1, {"outputs": outputs[-1]})
    finally:
        feed.close()
    if not outputs:
        raise ValueError("the data gave no rows")
    progress.end(done, {})
    called.on_predict_end(None)
    return np.concatenate(outputs)


def _optional(name: str, value: object) -> int | None:
    return None if value is None else check_count(name, value)
