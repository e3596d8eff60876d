"""The trainer: epochs over a source of rows, with validation, history and callbacks.

``Model.fit`` makes a source of what it is given and calls ``Trainer.fit``; both are the same machine.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import callbacks as _callbacks
from fastnn import losses, optimizers, random
from fastnn import metrics as _metrics
from fastnn._table import check_count
from fastnn.data import ArraySource, ClassWeighted, Page, Source
from fastnn.engine import description
from fastnn.goals import Goal, figure_names, goals_of, loss_names
from fastnn.progress import Progress
from fastnn.typing import FloatArray

if TYPE_CHECKING:
    from fastnn.models import Model

Figures = dict[str, float]


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
        callbacks: Iterable[_callbacks.Callback] | None = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizers.get(optimizer)
        self.goals = goals_of(model.output_names, loss, loss_weights, metrics, weighted_metrics)
        self.loss = self.goals[0].loss if len(self.goals) == 1 else loss
        self.loss_weights, self.metrics, self.weighted_metrics = loss_weights, metrics or [], weighted_metrics
        self.callbacks = _callbacks.checked(callbacks)
        self._network: Any = None
        self._names: list[str] = []
        self._losses: list[float] = []
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
        class_weight: Mapping[int, float] | None = None,
        callbacks: Iterable[_callbacks.Callback] | None = None,
    ) -> _callbacks.History:
        """Train for `epochs` passes over `source`; gives the history.

        Raises ValueError for rows that do not fit the model, for labels out of range and for NaN in the data, and
        FloatingPointError where the loss overflows; the weights are then those before the bad batch. KeyboardInterrupt
        comes out between two batches.
        """
        epochs, batch_size = check_count("epochs", epochs), check_count("batch_size", batch_size)
        network = self.ready(source)
        if validation is not None:
            self._check(validation, "validation data")
        if class_weight is not None:
            source = ClassWeighted(source, class_weight)
        history = _callbacks.History()
        called = [*self.callbacks, *_callbacks.checked(callbacks), history]
        for callback in called:
            callback.set_model(self.model)
            callback.set_params({"epochs": epochs, "batch_size": batch_size, "verbose": verbose})
        progress = Progress(verbose, epochs)
        rng = random.generator() if shuffle else None
        self.model.stop_training = False
        self.model.history = history
        logs: Figures = {}
        for callback in called:
            callback.on_train_begin()
        for epoch in range(epochs):
            for callback in called:
                callback.on_epoch_begin(epoch)
            if progress.level:
                progress.begin(epoch, source.rows, batch_size)
            if network.owned_by is not self or self.model._network is not network:
                network = self.ready(source)  # a callback has used the model otherwise
            rows, logs = self._epoch(network, source, batch_size, rng, progress if progress.level else None)
            if validation is not None:
                logs.update(self._validate(validation))
            if progress.level:
                progress.end(rows, logs)
            for callback in called:
                callback.on_epoch_end(epoch, logs)
            if self.model.stop_training:
                break
        for callback in called:
            callback.on_train_end(logs)
        return history

    def step(self, source: ArraySource, class_weight: Mapping[int, float] | None = None) -> Figures:
        """One step on all rows of `source` as one batch: the figures before it. Raises as ``fit``."""
        network = self.ready(source)
        rows = source if class_weight is None else ClassWeighted(source, class_weight)
        return self._epoch(network, rows, source.rows, None, None)[1]

    def _validate(self, validation: Source) -> Figures:
        try:
            return {f"val_{name}": value for name, value in self.evaluate(validation).items()}
        except ValueError as error:
            raise ValueError(f"validation data: {error}") from None

    def _epoch(
        self, network: Any, source: Source, batch_size: int, rng: np.random.Generator | None, progress: Progress | None
    ) -> tuple[int, Figures]:
        """One pass over the source: how many rows, and the figures."""
        rows, loss = 0, 0.0
        self._forget(network)
        rate = float(self.optimizer.learning_rate)
        for page in source.pages(batch_size, rng):
            if progress is not None:
                progress.pages_done(rows)
            done, page_loss, went_well = network.fit_epoch(
                page.x, page.y, page.weight, page.order, batch_size, rate, progress
            )
            if not went_well:
                raise self._explained(page, done, min(batch_size, len(page.x) - done), rows)
            rows += done
            loss += page_loss
            self._add_losses(network)
        return rows, self._figures(rows, loss)

    def evaluate(self, source: Source, batch_size: int = 1024, verbose: int | str = 0) -> Figures:
        """Loss and metrics over the rows of `source`, penalties included; dropout does nothing.

        ValueError for labels out of range and for NaN in the data.
        """
        network = self.ready(source)
        progress = Progress(verbose, None)
        progress.begin(0, source.rows, batch_size)
        rows, loss = 0, 0.0
        self._forget(network)
        for page in source.pages(batch_size):
            progress.pages_done(rows)
            page_loss = network.evaluate(page.x, page.y, page.weight, progress)
            if not np.isfinite(page_loss):
                problem = self._problem(page, np.arange(len(page.x)), rows)
                if problem is not None:
                    raise ValueError(problem)
            rows += len(page.x)
            loss += page_loss
            self._add_losses(network)
        figures = self._figures(rows, loss)
        figures["loss"] += network.penalty_value()
        progress.end(rows, figures)
        return figures

    def _forget(self, network: Any) -> None:
        """Start the figures afresh."""
        for state in network.states:
            state[:] = 0
        self._losses = [0.0] * len(loss_names(self.goals))

    def _add_losses(self, network: Any) -> None:
        """Add the sums of the outputs' losses over one page."""
        if self._losses:
            self._losses = [a + b for a, b in zip(self._losses, network.losses_of_outputs, strict=True)]

    def _figures(self, rows: int, loss: float) -> Figures:
        states = self._network.states
        figures = {name: float(total / weight) for name, (total, weight) in zip(self._names, states, strict=True)}
        figures |= {name: total / rows for name, total in zip(loss_names(self.goals), self._losses, strict=True)}
        figures["loss"] = loss / rows
        return figures

    # Making ready.

    def ready(self, source: Source) -> Any:
        """The model's network, built for the source's rows and told what to train for."""
        if self._process != os.getpid():  # a fork: whoever held the lock is not in this process
            self._lock, self._process = threading.RLock(), os.getpid()
        with self._lock:
            self.model._ensure_built(source.input_shape)
            self._check(source, "data")
            network = self.model._network
            settled = (self.optimizer, self.optimizer.numbers(), self.optimizer.slots)
            if self._network is not network or network.owned_by is not self or self._settled != settled:
                self._settle(network)
                self._settled = settled
            return network

    def _settle(self, network: Any) -> None:
        resolved = [self._resolved(goal, units) for goal, units in zip(self.goals, self.model._widths(), strict=True)]
        network.set_goals([self._aim(number, *each) for number, each in enumerate(resolved)])
        network.set_variables(self.model._variables(), self.model._frozen_ops())
        self._names = figure_names(self.goals, [([n for n, _ in a], [n for n, _ in b]) for _, a, b in resolved])
        slots = self.optimizer.slots
        if network.owned_by is not self or self._network is not network or self._slots != slots:
            network.set_optimizer(
                self.optimizer.kernel,
                self.optimizer.numbers(),
                self.optimizer.slot_starts,
                accumulation=self.optimizer.gradient_accumulation_steps or 1,
                average=self.optimizer.use_ema,
            )
            network.owned_by = self
        network.set_numbers(
            self.optimizer.numbers(),
            weight_decay=self.optimizer.weight_decay,
            clipvalue=self.optimizer.clipvalue,
            clipnorm=self.optimizer.clipnorm,
            global_clipnorm=self.optimizer.global_clipnorm,
            ema_momentum=self.optimizer.ema_momentum,
            ema_overwrite_frequency=self.optimizer.ema_overwrite_frequency,
        )
        self._network, self._slots = network, slots

    def _resolved(self, goal: Goal, units: int) -> tuple[int, list[Any], list[Any]]:
        """The columns of y that go with an output, and its metrics with their names: plain ones and those by weight."""
        targets = goal.loss.targets(units)
        plain, weighted = (
            [_metrics.resolve(metric, targets, units, goal.loss) for metric in each]
            for each in (goal.metrics, goal.weighted_metrics)
        )
        return targets, plain, weighted

    def _aim(self, number: int, targets: int, plain: list[Any], weighted: list[Any]) -> description.Goal:
        """The goal of output `number`, as the engine takes it."""
        goal = self.goals[number]
        kernel, fused = goal.loss.kernel_for(self.model._fusible(number))
        measures = [
            description.Measure(metric.kernel, metric.numbers(), by_weight)
            for by_weight, each in ((False, plain), (True, weighted))
            for _, metric in each
        ]
        return description.Goal(
            kernel,
            targets,
            goal.loss.numbers(),
            fused,
            goal.loss.logits,
            importance=goal.importance,
            measures=measures,
        )

    def state(self) -> tuple[int, dict[str, FloatArray]]:
        """(steps done, the optimizer's vectors by slot); (0, {}) where the next step starts afresh."""
        network = self.model._network
        if network.owned_by is not self or self._network is not network or self._slots != self.optimizer.slots:
            return 0, {}
        return network.iterations, dict(zip(self._slots, network.slots, strict=True))

    def _check(self, source: Source, what: str) -> None:
        model = self.model
        model._check_rows(source.input_shape, what)
        widths = model._widths()
        targets = sum(goal.loss.targets(units) for goal, units in zip(self.goals, widths, strict=True))
        if source.targets == 0:
            raise ValueError(f"{what} without targets: pass y, or name the target column")
        if source.targets != targets:
            units = sum(widths)
            name = type(self.loss).__name__ if len(self.goals) == 1 else "the model"
            hint = ""
            if targets == 1 and source.targets == units:
                hint = "; for one-hot targets use categorical_crossentropy"
            elif source.targets == 1 and units > 1:
                hint = "; for class numbers use sparse_categorical_crossentropy"
            raise ValueError(
                f"{what}: y has {source.targets} column(s), but {name} with {units} output(s) expects {targets}{hint}"
            )

    # Explaining.

    def _explained(self, page: Page, start: int, count: int, before: int) -> Exception:
        """Why the loss of rows start:start + count of a page is not finite."""
        rows = np.arange(start, start + count) if page.order is None else page.order[start : start + count]
        problem = self._problem(page, rows, before)
        if problem is not None:
            return ValueError(problem)
        return FloatingPointError(
            f"the loss is not finite after {self._network.iterations} steps, though the data is: training diverged; "
            "lower learning_rate, or standardise x. The weights are those before this batch"
        )

    def _problem(self, page: Page, rows: Any, before: int) -> str | None:
        """What is wrong with some rows' numbers, or None; rows are counted from the source's first."""
        rows = np.sort(rows)
        if page.weight is not None:
            rows = rows[page.weight[rows] != 0]
        assert page.y is not None
        first = 0
        for goal, units in zip(self.goals, self.model._widths(), strict=True):
            last = first + goal.loss.targets(units)
            problem = losses.bad_targets(goal.loss, page.y[rows, first:last], units, rows + before)
            if problem is not None:
                return f"output {goal.output!r}: {problem}" if goal.output else problem
            first = last
        bad = np.argwhere(~np.isfinite(page.x[rows]))
        if len(bad):
            row, column = (int(i) for i in bad[0])
            value = page.x[rows[row], column]
            return (
                f"x has {value} at row {int(rows[row]) + before}, column {column}; remove that row or fill it in "
                "before training"
            )
        return None


def _numbered(names: list[str]) -> list[str]:
    """The names, a second "mae" as "mae_1"."""
    return [name + (f"_{i}" if (i := names[:place].count(name)) else "") for place, name in enumerate(names)]
