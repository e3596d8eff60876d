"""A model of any graph: ``Model(inputs, outputs)``, with Keras's methods to compile, fit, evaluate and predict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Never

import numpy as np

from fastnn import _names
from fastnn._checks import as_flag, check_batch_size, shown
from fastnn._output import say
from fastnn.data import Source
from fastnn.data.convert import axes_of
from fastnn.data.given import source_of, unread_targets, validation_of
from fastnn.layers.graph import Graph
from fastnn.layers.quantized import check_learns
from fastnn.layers.tensor import Structure, Tensor, check_training, distinct, flattened, is_symbolic, names_of
from fastnn.models.built import ADOPT, KINDS
from fastnn.models.description import take_precision, untrainable
from fastnn.models.surface import Surface, checked_steps, is_nothing, listed

if TYPE_CHECKING:
    from fastnn.callbacks import Callback, History
    from fastnn.data.several import Several
    from fastnn.training.trainer import ClassWeight, Trainer


class Model(Surface):
    """A model from symbolic inputs to outputs; either is one tensor, a list or a dict of them.

        x = Input((4,))
        h = Dense(8, "relu")(x)
        model = Model(x, Dense(1)(h))

    Models that contain the same layer share its weights. Called on a symbolic tensor, a model applies its layers to
    it; called on an array, it predicts. TypeError, ValueError where inputs and outputs do not hang together.
    """

    def __init_subclass__(cls) -> None:
        for adopt in ADOPT:
            adopt(cls)

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, trainable: bool = True
    ) -> None:
        if inputs is None and outputs is None:
            self._begin_alone(name)
            return
        self._begin(name)
        reads, kind, keys = flattened(inputs, "inputs")
        gives, kind_of_outputs, keys_of_outputs = flattened(outputs, "outputs")
        self.description.graph = graph = Graph(reads, gives)
        self.description.members = list(graph.members)
        self._name_members(graph)
        known = dict(zip(self.description.members, self.description.names, strict=True))
        self.description.takes = Structure(
            kind, keys or tuple(known[tensor.node.layer] for tensor in self.description.graph.inputs)
        )
        names = keys_of_outputs or tuple(known[tensor.node.layer] for tensor in self.description.graph.outputs)
        self.description.gives = Structure(kind_of_outputs, distinct(names))
        self.description.make()
        if not as_flag(f"{type(self).__name__}: trainable", trainable):
            self.trainable = False

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights where only the rows say what the model reads, as in a Sequential; here they are there."""

    @classmethod
    def from_tensors(
        cls, name: str, members: list[Any], takes: tuple[Structure, list[Tensor]], gives: tuple[Structure, list[Tensor]]
    ) -> Model:
        # As a file describes it: without weights, which `make` of the description gives it.
        graph = Graph(takes[1], gives[1])
        if set(graph.members) != set(members):
            raise ValueError("expected that each member is called on the way from the inputs to the outputs")
        self = Model.__new__(Model)
        self._begin(name)
        self.description.members, self.description.graph = list(graph.members), graph
        self.description.takes, self.description.gives = takes[0], gives[0]
        self._name_members(graph)
        return self

    def _name_members(self, graph: Graph) -> None:
        known = dict(zip(graph.named, names_of(graph.named), strict=True))
        self.description.names = [known[member] for member in self.description.members]

    def _begin_alone(self, name: str | None) -> None:
        raise TypeError(
            f"{type(self).__name__}() needs inputs and outputs, symbolic tensors such as Input(...) gives; a subclass "
            "without them has a method call(self, inputs)"
        )

    def _begin(self, name: str | None) -> None:
        super()._begin(name)
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        self.history: History | None = None

    # Training.

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str | None = "auto",
        auto_scale_loss: bool = True,
        matmul_precision: str | None = None,
    ) -> None:
        """Say how to train: an optimizer, a loss and metrics, each by name or as an object.

        With several outputs, loss, loss_weights and metrics may be lists, or dicts by the outputs' names; the loss is
        the weighted sum of the outputs' losses. weighted_metrics: those that the sample weights count in.
        The optimizer starts afresh, and the layers that have ``trainable`` False now do not learn. steps_per_execution:
        callbacks hear of batches after every so many. matmul_precision: None goes by ``fastnn.set_matmul_precision``.
        run_eagerly, jit_compile, auto_scale_loss: of Keras's programs, without effect. ValueError for an unknown name.
        """
        steps = checked_steps(run_eagerly, steps_per_execution, jit_compile, auto_scale_loss, matmul_precision)
        check_learns(self.description, "compile")
        from fastnn.training import Trainer  # with what it needs: `import fastnn` must stay short

        trainer = Trainer(self, optimizer, loss, metrics, None, loss_weights, weighted_metrics)
        with self.description.locked():
            self.description.trainer, self.description.steps_per_execution = trainer, steps
            self.description.compiled_with = (optimizer, loss, loss_weights, metrics, weighted_metrics)
            self.description.frozen = untrainable(self.description.layers())
            take_precision(self.description, matmul_precision)

    @property
    def optimizer(self) -> Any:
        """The optimizer given to ``compile``, None before; its learning_rate may be changed between epochs."""
        return None if self.description.trainer is None else self.description.trainer.given_optimizer

    @property
    def loss(self) -> Any:
        """The loss as it was given to ``compile``, None before."""
        return self.description.compiled_with[1] if self.description.compiled_with else None

    def _compiled(self, action: str) -> Trainer:
        if self.description.trainer is None:
            check_learns(self.description, action)
            example = "such as model.compile('adam', 'mean_squared_error')"
            raise RuntimeError(
                f"{action} needs a compiled model; call compile(optimizer, loss, metrics) first, {example}"
            )
        return self.description.trainer  # type: ignore[no-any-return]

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: ClassWeight | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        *,
        distribute: Any = None,
    ) -> History:
        """Train until epoch number `epochs`; gives a History, whose ``history`` has a list for each quantity.

        x: rows (rows, *input_shape) of any numeric type: arrays, frames, tensors, sparse matrices, a list or dict of
        them for several inputs, batches from a generator, or a source such as ``SQLDataset``, which brings its own y.
        y: (rows, *output_shape), without the last axis for class numbers; a list or dict for several outputs.
        batch_size: rows a step, 32 unless the source says it. validation_split: share of the rows, the last ones, kept
        for validation.
        validation_data: (x, y), (x, y, sample_weight) or a source. class_weight: class -> weight, or "balanced", which
        makes all classes weigh the same. sample_weight: (rows,), or a number for each value of the loss; a list or dict
        for several outputs. distribute: a communicator (``fastnn.distributed``), whose ranks all make this call and
        share the work; the weights end with the same bits on any number of them. The rest, and what is raised: see
        ``Trainer.fit``; RuntimeError before ``compile``.
        """
        if distribute is not None:
            arguments = {name: value for name, value in locals().items() if name not in ("self", "distribute")}
            from fastnn.distributed import training

            found: History = training.run(self, distribute, "fit", arguments)
            return found
        trainer = self._compiled("fit")
        self.description.last_logs = {}
        self._check_weighable(class_weight)
        unknown = self.description.graph is None
        if unknown and self.description.may_round(x):
            self._built_by("fit", x)
        source = self._source(x, self._targets(x, y), sample_weight)
        if unknown and verbose and "preparation" in self.description.notes:
            from fastnn.models.summary import choices

            say(choices(self.description.notes["preparation"]))
        validation = None if validation_data is None else self._validation(validation_data)
        if validation is None and not is_nothing(validation_split):
            source, validation = source.split(validation_split)
        return trainer.fit(
            source, epochs, (source.batch_size or 32) if batch_size is None else batch_size, validation,
            verbose=verbose, shuffle=as_flag("shuffle", shuffle), class_weight=class_weight, callbacks=callbacks,
            initial_epoch=initial_epoch, steps_per_epoch=steps_per_epoch, validation_steps=validation_steps,
            validation_batch_size=validation_batch_size, validation_freq=validation_freq,
        )  # fmt: skip

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Iterable[Callback] | None = None,
        return_dict: bool = False,
        *,
        by: Any = None,
        distribute: Any = None,
    ) -> Any:
        """Loss and metrics over rows: the loss alone, [loss, metric, ...], or a dict.

        batch_size: rows that are read at a time from a source; the result does not depend on it, but for losses that
        are no mean over the rows. steps: the first so many batches only. by: also for each group of rows, by labels
        (rows,), the name of a column of x, or a tuple of such: see ``fastnn.models.groups.GroupMetrics``. distribute: a
        communicator, whose ranks share the work, as in `fit`, and all have the result; not with by.
        """
        if distribute is not None and by is None:
            arguments = {name: value for name, value in locals().items() if name not in ("self", "by", "distribute")}
            from fastnn.distributed import training

            return training.run(self, distribute, "evaluate", arguments)
        trainer, rows = self._compiled("evaluate"), 32 if batch_size is None else batch_size

        def rows_of(x: Any) -> Source:
            return self._source(x, self._targets(x, y), sample_weight)

        if by is not None:
            from fastnn.models.groups import evaluate_by

            if distribute is not None:
                raise ValueError("evaluate goes group by group on one rank; leave out by or distribute")
            return evaluate_by(self, rows_of, x, by, rows, verbose, steps, callbacks, return_dict)
        logs = trainer.evaluate(rows_of(x), rows, verbose, steps=steps, callbacks=callbacks)
        self.description.last_logs = dict(logs)
        return logs if as_flag("return_dict", return_dict) else listed(logs)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: ClassWeight | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch: the loss before the step, or [loss, metric, ...], or a dict."""
        self._check_weighable(class_weight)
        logs = self._compiled("train_on_batch").step(self._batch(x, y, sample_weight), class_weight)
        return logs if as_flag("return_dict", return_dict) else listed(logs)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Loss and metrics of one batch, as ``evaluate`` gives them."""
        logs = self._compiled("test_on_batch").evaluate(self._batch(x, y, sample_weight))
        return logs if as_flag("return_dict", return_dict) else listed(logs)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the columns that the model was fitted on, in their order; () where they had none."""
        known = self.description.columns
        return known or (self.description.takes.names if self.description.takes.kind == "dict" else ())

    # Predicting.

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        callbacks: Iterable[Callback] | None = None,
        *,
        distribute: Any = None,
        **unknown: Never,
    ) -> Any:
        """The output for each row: float32 (rows, units); a list or dict of them where the model has several.

        x: as in `fit`. batch_size: rows that are read at a time from a source, 32; the result does not depend on it.
        steps: the first so many batches only. distribute: a communicator, whose ranks all make this call, share the
        rows out and all have what comes out, by the weights of rank 0; without callbacks. RuntimeError before the model
        is built, ValueError for rows of another shape.
        """
        if unknown:
            takes = ("x", "batch_size", "verbose", "steps", "callbacks", "distribute")
            raise TypeError(_names.unknown_argument("Model.predict", next(iter(unknown)), takes))
        if batch_size is not None:
            batch_size = check_batch_size(batch_size)
        if distribute is not None:
            from fastnn.distributed import scoring

            how = {"batch_size": batch_size, "steps": steps}
            run = partial(self._predicted, verbose=verbose, **how)
            return scoring.predict(self, distribute, x, run, callbacks, **how)
        network = self.description.network or self._built_by("predict", x)
        try:
            quiet = not verbose and steps is None and callbacks is None
        except ValueError:  # an array
            raise TypeError(f"verbose must be 0, 1, 2 or 'auto', got {shown(verbose)}") from None
        if quiet:
            if self.description.is_plain:
                plain = network.predict_as_it_lies(x)
                if plain is not None:
                    return plain
            elif (rows := self.description.only_rows) is not None:
                plain = network.predict_in_shape(x, rows[0])
                if plain is not None:
                    return plain if len(rows[1]) == 1 else plain.reshape(len(plain), *rows[1])
        return self._predicted(x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks)

    def __call__(self, inputs: Any, training: bool | None = None, mask: None = None) -> Any:
        """What `predict` gives for arrays; for symbolic tensors, the tensors that the model's layers give.

        training: True for what the layers give in training, all rows as one batch: dropout and noise are at work, and
        BatchNormalization goes by the batch, which its moving averages follow. In a model of symbolic tensors True and
        False hold for each run of it, None as the run says. mask: None; there are no masks.
        """
        if mask is not None:
            raise ValueError(f"model {self.name!r}: mask must be None, got {shown(mask)}; there are no masks")
        training = check_training(training)
        if isinstance(inputs, np.ndarray) or not is_symbolic(inputs):
            if training is None or not as_flag("training", training):
                return self._called(inputs)
            return self.predict_in_training(inputs)
        return self._symbolic(inputs, training)

    def _source(self, x: Any, y: Any, sample_weight: Any) -> Source:
        """What `fit`, `evaluate` and `predict` are given, as one source."""
        if type(x) is not np.ndarray:
            x = self._only(x)
            if getattr(x, "prepare", None) is not None and self.description.front is None:
                raise ValueError(
                    f"model {self.name!r} has its inputs already, so the dataset's prepare= comes too late; leave "
                    "Input and input_shape out of a Sequential, whose first layers it makes"
                )
        return source_of(x, y, sample_weight, *self._sides())

    def _only(self, x: Any) -> Any:
        """The array that a dict or list of one stands for, where the model has one input; else x."""
        if self.description.takes.kind != "one" or self.description.graph is None or self.description.front is not None:
            return x
        if isinstance(x, dict) and not hasattr(x, "tocsr") and tuple(x) == self.description.takes.names:
            return x[self.description.takes.names[0]]
        alone = isinstance(x, (list, tuple)) and len(x) == 1
        if not alone or (isinstance(x[0], tuple) and hasattr(next(iter(x[0]), None), "shape")):  # a tuple is a batch
            return x
        return x[0] if axes_of(x[0]) == len(self.description.graph.inputs[0].row) + 1 else x

    def _validation(self, data: Any) -> Source:
        return validation_of(data, *self._sides())

    def _targets(self, x: Any, y: Any) -> Any:
        """y; or numbers that nothing looks at, where layers add all that there is of a loss."""
        trainer = self.description.trainer
        if y is not None or trainer is None or any(each.importance for each in trainer.given):
            return y
        if self.description.graph is None:
            self._built_by("fit", x)
        shapes, _ = trainer.wanted(self.description.gives.names)
        return unread_targets(x, shapes, self.description.gives.pack)

    def _sides(self) -> tuple[Several | None, Several | None]:
        """What the inputs and the outputs are called, and their shapes; None, None where there is one of each."""
        front = self.description.front
        if self.description.takes.kind == self.description.gives.kind == "one" and front is None:
            return (self.description.reads() if self.description.reads_ids else None), None
        from fastnn.data.several import Several

        outputs = self._drawn().outputs
        shapes, unused = [tensor.row for tensor in outputs], ()
        if self.description.trainer is not None:
            shapes, unused = self.description.trainer.wanted(self.description.gives.names)
        return self.description.reads(), Several(self.description.gives.names, shapes, unused=unused)

    def _check_weighable(self, class_weight: Any) -> None:
        if class_weight is not None and len(self.description.gives.names) > 1:
            raise ValueError(
                f"class_weight goes with one output, and model {self.name!r} has {len(self.description.gives.names)}; "
                "pass sample_weight"
            )


KINDS[Model.table_name] = Model
