"""The trainer: epochs over a source of rows, with validation, history and callbacks.

``Model.fit`` makes a source of what it is given and calls ``Trainer.fit``; both are the same machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from fastnn import optimizers, random
from fastnn._checks import check_batch_size, check_count, optional_count, shown
from fastnn.callbacks import Callback, CallbackList, History
from fastnn.callbacks.base import check_hooks, checked
from fastnn.data import ArraySource, ClassWeighted, Source
from fastnn.optimizers.sparse import with_sparse_steps
from fastnn.optimizers.steps import begin, slot_names, tell_numbers
from fastnn.training.accumulator import MetricAccumulator
from fastnn.training.advice import advise, check_order
from fastnn.training.compiling import compiled
from fastnn.training.epochs import EpochIterator, validation_due
from fastnn.training.full_batch import FullBatch
from fastnn.training.loop import EvaluationLoop, FitLoop
from fastnn.training.objectives import CompiledObjectives, Logs, objectives_of, outputs_of, settled, with_loss
from fastnn.training.progress import Progress
from fastnn.training.steps import ModelSteps, check_rows
from fastnn.training.unobserved import Unobserved
from fastnn.typing import Array, Shape, TrainedModel

ClassWeight = Mapping[int, float] | str


class Trainer:
    """Trains a model: ``Trainer(model, "adam", "mse").fit(source, epochs=5)``.

    optimizer, loss: a name or an object. metrics: names or objects; "accuracy" fits itself to the data. callbacks are
    called at every fit. ValueError for an unknown name, TypeError for what cannot be one.
    """

    def __init__(
        self,
        model: TrainedModel,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Iterable[Any] | None = None,
        callbacks: Iterable[Callback] | None = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        self.model, self.given_optimizer = model, optimizers.get(optimizer) or optimizers.OPTIMIZERS.get(None)
        self.optimizer = self.given_optimizer.rule  # which takes the steps
        self.callbacks = checked(callbacks)
        loss, loss_weights = with_loss(model, loss, loss_weights)
        self.given = objectives_of(model, loss, loss_weights, metrics, weighted_metrics)
        self.loss = loss if len(self.given) > 1 or self.given[0].by_shape else self.given[0].loss
        self.loss_weights, self.weighted_metrics = loss_weights, weighted_metrics
        self.metrics = [] if metrics is None else metrics
        self.objectives: CompiledObjectives  # of the network, once there is one
        self.full_batch: FullBatch | None = None  # for an optimizer that looks at all rows
        self.link: Any = None  # to the other ranks of a fit (fastnn.distributed.training.Link)
        self._network: Any = None
        self._compiled_for: Any = None  # the network that the objectives are for
        self._configured: tuple[Any, ...] = ()
        self._slots: tuple[str, ...] = ()
        self._refusal = ""  # why there can be no step
        self._given_steps = ModelSteps(self)
        self.optimizer.compiled_by(self)

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
        epochs, batch_size = check_count("epochs", epochs), check_batch_size(batch_size)
        initial_epoch = check_count("initial_epoch", initial_epoch, 0)
        steps, due = optional_count("steps_per_epoch", steps_per_epoch), validation_due(validation_freq)
        check_order(self.ready(source), shuffle)
        self.check_step()
        tested = None
        if validation is not None:
            self._check(validation, "validation data")
            size = optional_count("validation_batch_size", validation_batch_size) or batch_size
            tested = EpochIterator(validation, size, None, optional_count("validation_steps", validation_steps))
        self.model.description.learns_from(source)
        if class_weight is not None:
            self.objectives.check_class_weight()
            source = ClassWeighted(source, class_weight)
        if self.link is not None:
            self.link.open(
                source, validation, batch_size=batch_size, epochs=epochs, steps_per_epoch=steps, shuffle=shuffle,
                class_weight=shown(class_weight), validation_freq=shown(validation_freq),
                validation_steps=validation_steps, validation_batch_size=validation_batch_size,
            )  # fmt: skip
        batches = EpochIterator(source, batch_size, random.generator() if shuffle else None, steps)
        progress = Progress(verbose, epochs)
        listeners, history = self._listeners(callbacks)
        listeners.set_params(
            {
                "verbose": verbose,
                "epochs": epochs,
                "steps": batches.batches,
                "batch_size": batch_size,
                "do_validation": validation is not None,
                "validation_freq": validation_freq,
            }
        )
        if self.full_batch is not None:
            self.full_batch.forget()
        fit = FitLoop(self, batches, listeners, progress)
        fit.epoch = initial_epoch
        check_hooks(listeners.callbacks)
        for hook in listeners.trainer_hooks("checks"):
            hook(fit)
        self.model.stop_training, self.model.history = False, history
        try:
            listeners.on_train_begin()
            for hook in listeners.trainer_hooks("fit_begins"):
                hook(fit)
            self._epochs(fit, epochs, tested, due)
            if self.link is not None:
                self.link.gather_slots()
        except BaseException as error:
            progress.broken()
            if self.link is not None:
                self.link.interrupted(error)
            listeners.on_train_interrupt(error, fit.last_logs)
            raise
        finally:
            batches.close()
        if self.optimizer.use_ema:
            self._take_average()
        listeners.on_train_end(fit.last_logs)
        return history

    def _listeners(self, callbacks: Iterable[Callback] | None) -> tuple[CallbackList, History]:
        """The callbacks of a fit, and the history among them."""
        chosen = [*self.callbacks, *checked(callbacks)]
        history = next((callback for callback in chosen if isinstance(callback, History)), None)
        if history is None:
            history = History()
            chosen.append(history)
        listeners = CallbackList(chosen, model=self.model)
        return (listeners if self.link is None else self.link.callbacks(listeners)), history

    def _epochs(self, fit: FitLoop, epochs: int, tested: EpochIterator | None, due: Callable[[int], bool]) -> None:
        model, progress, listeners = self.model, fit.progress, fit.callbacks
        begin, end = listeners.hooks("on_epoch_begin"), listeners.hooks("on_epoch_end")
        measures, between = listeners.trainer_hooks("measured"), listeners.trainer_hooks("between")
        quiet = Progress(0, None)
        if tested is None and Unobserved.fits(fit):
            Unobserved(fit).run(epochs)
        while fit.epoch < epochs and not model.stop_training:
            epoch, accumulator = fit.epoch, fit.accumulator
            for hook in begin:
                hook(epoch, {})
                fit.look()
            if progress.level:
                progress.begin(epoch, fit.epochs.batches)
            started = perf_counter()
            fit.run_epoch(accumulator.batches)
            if not accumulator.rows and not accumulator.loss:
                raise ValueError(
                    f"the data gave no rows in epoch {epoch + 1}: an iterator that was read to its end gives no more; "
                    "pass a list, or a source that can be read again"
                )
            logs = self.objectives.logs(accumulator)
            if tested is not None and due(epoch + 1):
                measured = self._test(tested, listeners, quiet, "validation data: ")
                logs |= {f"val_{name}": value for name, value in measured.items()}
            seconds = perf_counter() - started
            if progress.level:
                progress.end(accumulator.batches, logs, fit.rate)
            for hook in measures:
                hook(fit.rate, seconds)
            fit.last_logs = logs
            fit.epoch, fit.accumulator = epoch + 1, MetricAccumulator()  # a fit that stops here goes on with the next
            for hook in end:
                hook(epoch, logs)
            for hook in between:
                hook()

    def step(self, source: ArraySource, class_weight: ClassWeight | None = None) -> Logs:
        """One step on all rows of `source` as one batch: the logs before it. Raises as ``fit``."""
        self.ready(source)
        self.check_step()
        if self.full_batch is not None:
            self.full_batch.forget()
        self.model.description.learns_from(source)
        rows: Source = source
        if class_weight is not None:
            self.objectives.check_class_weight()
            rows = ClassWeighted(source, class_weight)
        fit = FitLoop(self, EpochIterator(rows, source.rows), CallbackList(), Progress(0, None))
        fit.run_epoch()
        return self.objectives.logs(fit.accumulator)

    def _take_average(self) -> None:
        """Training ends: the weights' moving average, if there has been a step, takes their place."""
        with self.model.description.locked() as held:
            network = self._network
            if network.iterations < (self.optimizer.gradient_accumulation_steps or 1):
                return
            parts = [slice(v.start, v.start + v.rows * v.columns) for v in self.model.description.variables()]
            held.assign([network.parameters[part] for part in parts], [network.slots[-1][part] for part in parts])

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
        batches = EpochIterator(source, check_batch_size(batch_size), None, optional_count("steps", steps))
        listeners = CallbackList(callbacks, model=self.model)
        if self.link is not None and not self.link.fits:  # else a callback asks
            self.ready(source)
            self.link.open(source, None, batch_size=batch_size, steps=steps)
            listeners = self.link.callbacks(listeners)
        check_hooks(listeners.callbacks)
        listeners.set_params({"verbose": verbose, "epochs": 1, "steps": batches.batches, "batch_size": batch_size})
        return self._test(batches, listeners, Progress(verbose, None))

    def _test(self, batches: EpochIterator, listeners: CallbackList, progress: Progress, what: str = "") -> Logs:
        """The logs of an evaluation; `what` begins an error's text."""
        loop = EvaluationLoop(self.ready(batches.source), self, batches, listeners, progress, what)
        self.model.stop_evaluating = False
        for hook in listeners.hooks("on_test_begin"):
            hook({})
            loop.look()
        progress.begin(0, batches.batches)
        self.objectives.begin()
        try:
            done = loop.run_epoch()
        finally:
            batches.close()
        if not loop.accumulator.rows:
            raise ValueError(f"{what}the data gave no rows")
        logs: Logs = self.objectives.logs(loop.accumulator, loop.penalty)
        progress.end(done, logs)
        for hook in listeners.hooks("on_test_end"):
            hook(logs)
        return logs

    # Making ready.

    def ready(self, source: Source) -> Any:
        """The model's network, built for the source's rows and told what to train for."""
        if self.model.description.network is None:
            self.model.build((None, *source.input_shape))
        with self.model.description.locked():
            self._check(source, "data")
            return self.configured()

    def configured(self) -> Any:
        """The network, told what to train for and how; the model is built."""
        built = self.model.description
        with built.locked():
            network, configured = built.network, (self.optimizer, self.optimizer.settings(), built.store.prunings)
            if self._network is not network or network.owned_by is not self or self._configured != configured:
                self._configure(network)
                self._configured = configured
            return network

    def check_step(self) -> None:
        """ValueError where the optimizer cannot do what a layer asks for: such a model takes no step."""
        if self._refusal:
            raise ValueError(self._refusal)

    def steps(self) -> ModelSteps | None:
        """Steps on gradients that are given; None while the model is not built."""
        return None if self.model.description.network is None else self._given_steps

    def is_ready(self, network: Any) -> bool:
        """Whether the network is the model's still, and trained for this trainer's objectives."""
        return network.owned_by is self and self.model.description.network is network

    def _configure(self, network: Any) -> None:
        optimizer = self.optimizer
        network.set_objectives(self.compiled_objectives().described)
        variables, self._refusal = with_sparse_steps(optimizer, optimizer.told(self.model.description.variables()))
        network.set_variables(variables, self.model.description.frozen_ops(self.model.description.frozen))
        slots = self.slot_names()
        if network.owned_by is not self or self._network is not network or self._slots != slots:
            self.full_batch = None
            if optimizer.full_batch:
                self.full_batch = FullBatch(self.model.description.variables())
            network.iterations = 0
            if not optimizer.full_batch:
                begin(optimizer, network)
            network.owned_by = self
        tell_numbers(optimizer, network)
        check_rows(optimizer, network, self.model.description)
        self._network, self._slots = network, slots

    def slot_names(self) -> tuple[str, ...]:
        return slot_names(self.optimizer)

    def state(self) -> tuple[int, dict[str, Array]]:
        """(steps done, copies of the optimizer's vectors by slot); (0, {}) where the next step starts afresh."""
        with self.model.description.locked():
            steps, slots = self.vectors()
            return steps, {name: slot.copy() for name, slot in slots.items()}

    @property
    def huge_gradient(self) -> bool:
        """Whether a gradient has been seen since the optimizer began whose square float32 does not hold."""
        network = self.model.description.network
        return network is not None and self.is_ready(network) and bool(network.huge)

    def vectors(self) -> tuple[int, dict[str, Array]]:
        """`state`, the vectors themselves; the model's lock is held while they are in use."""
        network = self.model.description.network
        if not self.is_ready(network) or self._slots != self.slot_names() or not network.iterations:
            return 0, {}
        if self.full_batch is not None:
            return network.iterations, self.full_batch.slots(network.parameters.size)
        return network.iterations, dict(zip(self._slots, network.slots, strict=True))

    def check_state(self, steps: int, slots: Mapping[str, Array]) -> None:
        """ValueError where a state, of which only names, shapes and types are looked at, is none for ``go_on``."""
        network = self.model.description.network
        wanted = set(self.slot_names()) if steps else set()
        if self.full_batch is not None and slots:
            self.full_batch.check_names(slots)
        elif slots.keys() != wanted and not (steps and self.optimizer.full_batch):
            came = shown(sorted(slots))
            raise ValueError(f"its optimizer keeps {came}, the model's {sorted(wanted)} after {steps} steps")
        dtype = np.float64 if self.optimizer.full_batch else np.float32
        if any(flat.shape != network.parameters.shape or flat.dtype != dtype for flat in slots.values()):
            raise ValueError(f"its optimizer's vectors are not of {network.parameters.size} numbers, as the model's")

    def go_on(self, steps: int, slots: Mapping[str, Array], huge_gradient: bool = False) -> None:
        """Take up a state as ``state`` gives it, on the network as it is. ValueError for other vectors."""
        with self.model.description.locked() as held:
            self.check_state(steps, slots)
            network = self.model.description.network
            network.owned_by = None  # whatever it did before
            self._configure(network)
            if self.full_batch is not None:
                self.full_batch.go_on(slots)
            elif steps:
                held.assign(network.slots, [slots[name] for name in self._slots])
            network.iterations, network.huge = min(steps, 2**62), huge_gradient  # so that any fit may follow

    def _check(self, source: Source, what: str) -> None:
        self.model.description.check_source(source, what)
        given = settled(self.given, source, self.model.description.output_shapes()[0])
        if given is not self.given:
            self.given, self.loss, self._compiled_for = given, given[0].loss, None
        objectives = self.compiled_objectives()
        objectives.check_loss(self.model.description.graph)
        objectives.check(source, what)

    def wanted(self, names: Sequence[str]) -> tuple[list[Shape], list[str]]:
        """(the shapes of a row of y for the model's outputs, the names of outputs that nothing is learnt from)."""
        shapes = [each.target_shape for each in outputs_of(self.given, self.model.description.output_shapes())]
        return shapes, [name for name, each in zip(names, self.given, strict=True) if not each.trained]

    def compiled_objectives(self) -> CompiledObjectives:
        """The objectives, compiled for the network as it is."""
        built = self.model.description
        if self._compiled_for is not built.network:
            shapes = built.output_shapes()
            self.objectives = compiled(self.given, shapes, list(map(built.fusible, range(len(shapes)))))
            if self._compiled_for is None:
                advise(self.objectives.outputs, [built.ending(output) for output in range(len(shapes))])
            self._compiled_for = built.network
        return self.objectives
