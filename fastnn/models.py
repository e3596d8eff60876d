"""Models: a list of layers, compiled into a network on first use, with Keras's methods."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from math import prod
from os import PathLike
from typing import Any, Literal

import numpy as np

from fastnn import random
from fastnn._table import check_count
from fastnn.callbacks import Callback, History
from fastnn.data import ArraySource, Source, write_predictions
from fastnn.data.arrays import source_of, validation_of
from fastnn.engine.network import Network
from fastnn.layers import Input, Layer, Parameter
from fastnn.trainer import ClassWeight, Trainer, predict
from fastnn.typing import Array, ArrayLike, FloatArray, Shape

MAX_LAYERS = 1000  # a file that names more is not believed


class Model:
    """What can be compiled, fitted, evaluated, asked and saved. ``Sequential`` is the kind there is today."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or "sequential"
        self.stop_training = False
        self.history: History | None = None
        self._layers: list[Layer] = []
        self._names: list[str] = []
        self._input_shape: Shape | None = None
        self._shapes: list[Shape] = []  # of a row into each layer, then out of the last
        self._network: Any = None
        self._places: list[int | None] = []  # which op each layer became
        self._trainer: Trainer | None = None
        self._seed: int | None = None  # of dropout

    # Training.

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Iterable[Any] | None = None) -> None:
        """Say how to train: an optimizer, a loss and metrics, each by name or as an object.

        The optimizer starts afresh. ValueError for an unknown name or a missing loss.
        """
        self._trainer = Trainer(self, optimizer, loss, metrics)

    @property
    def optimizer(self) -> Any:
        """The optimizer given to ``compile``, None before; its learning_rate may be changed between epochs."""
        return None if self._trainer is None else self._trainer.optimizer

    @property
    def loss(self) -> Any:
        """The loss given to ``compile``, None before."""
        return None if self._trainer is None else self._trainer.loss

    def _compiled(self, action: str) -> Trainer:
        if self._trainer is None:
            raise RuntimeError(
                f"{action} needs a compiled model; call compile(optimizer, loss, metrics) first, "
                "such as model.compile('adam', 'mean_squared_error')"
            )
        return self._trainer

    def fit(
        self,
        x: ArrayLike | Source | None = None,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: ClassWeight | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> History:
        """Train until epoch number `epochs`; gives a History, whose ``history`` has a list for each figure.

        x: rows (rows, *input_shape) of any numeric type, or a source such as ``SQLDataset``, which brings its own y.
        y: (rows,) or (rows, targets). batch_size: rows a step, 32. validation_split: share of the rows, the last ones,
        kept for validation. validation_data: (x, y), (x, y, sample_weight) or a source. class_weight: class -> weight,
        or "balanced", which makes all classes weigh the same. sample_weight: (rows,). The rest, and what is raised:
        see ``Trainer.fit``; RuntimeError before ``compile``.
        """
        trainer = self._compiled("fit")
        source = source_of(x, y, sample_weight)
        validation = None if validation_data is None else validation_of(validation_data)
        if validation_split and validation is None:
            if not isinstance(source, ArraySource):
                raise ValueError("validation_split works on arrays; pass validation_data for a source")
            source, validation = source.split(validation_split)
        return trainer.fit(
            source,
            epochs,
            32 if batch_size is None else batch_size,
            validation,
            verbose=verbose,
            shuffle=shuffle,
            class_weight=class_weight,
            callbacks=callbacks,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )

    def evaluate(
        self,
        x: ArrayLike | Source | None = None,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: ArrayLike | None = None,
        steps: int | None = None,
        callbacks: Iterable[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics over rows: the loss alone, [loss, metric, ...], or a dict.

        batch_size: rows that are read at a time from a source; the result does not depend on it. steps: the first so
        many batches only.
        """
        trainer, rows = self._compiled("evaluate"), 32 if batch_size is None else batch_size
        figures = trainer.evaluate(source_of(x, y, sample_weight), rows, verbose, steps=steps, callbacks=callbacks)
        return figures if return_dict else _listed(figures)

    def train_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: ClassWeight | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch: the loss before the step, or [loss, metric, ...], or a dict."""
        figures = self._compiled("train_on_batch").step(ArraySource(x, y, sample_weight), class_weight)
        return figures if return_dict else _listed(figures)

    def test_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics of one batch, as ``evaluate`` gives them."""
        figures = self._compiled("test_on_batch").evaluate(ArraySource(x, y, sample_weight))
        return figures if return_dict else _listed(figures)

    # Predicting.

    def predict(
        self,
        x: ArrayLike | Source,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        callbacks: Iterable[Callback] | None = None,
    ) -> FloatArray:
        """The output for each row: float32 (rows, units). x: (rows, *input_shape) or a source.

        batch_size: rows that are read at a time from a source, 32; the result does not depend on it. steps: the first
        so many batches only. RuntimeError before the model is built, ValueError for rows of another shape.
        """
        network = self._network or self._built("predict")
        if batch_size is not None:
            batch_size = check_count("batch_size", batch_size)
        if not verbose and steps is None and callbacks is None and len(self._shapes[0]) == 1:
            plain = network.predict_as_it_lies(x)
            if plain is not None:
                return plain  # type: ignore[no-any-return]
        source = x if isinstance(x, Source) else ArraySource(x)
        return predict(self, source, batch_size or 32, verbose, steps, callbacks)

    __call__ = predict

    def predict_on_batch(self, x: ArrayLike) -> FloatArray:
        """The output for each row of a batch, as ``predict`` gives it."""
        return self.predict(x)

    def predict_sql(
        self,
        sql: str,
        con: Any,
        *,
        into: str,
        key: str,
        params: Any = None,
        kind: Literal["classes", "binary", "values"] | None = None,
    ) -> int:
        """Predict the rows of a SQLite query and write them into the new table `into`; gives how many.

        The query returns the column `key` and the features. The table has key, prediction and probability; kind is
        "classes" for several outputs, "binary" for one sigmoid output and "values" otherwise. See
        ``fastnn.data.write_predictions``.
        """
        network = self._built("predict_sql")
        if kind is None:
            binary = self._last_activation() == "sigmoid"
            kind = "classes" if network.units > 1 else "binary" if binary else "values"
        return write_predictions(self.predict, sql, con, into=into, key=key, params=params, kind=kind)

    # Building.

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights, if there are none yet for this shape.

        input_shape: of one row, or with the leading None that Keras writes for the rows. ValueError where a layer
        cannot take what the one before gives.
        """
        shape = self._input_shape
        if input_shape is not None:
            sizes = tuple(input_shape)
            if sizes and sizes[0] is None:
                sizes = sizes[1:]
            shape = Input(sizes).shape  # type: ignore[arg-type]
        if shape is None:
            raise ValueError("the input shape is unknown; give the first layer an input_shape, or build(input_shape)")
        if self._network is None or shape != self._input_shape:
            self._make(shape, [])
        if self._network is None:
            raise ValueError(f"model {self.name!r} has no layer that computes anything; add a Dense layer")

    def _make(self, shape: Shape, kept: Sequence[FloatArray]) -> None:
        """The network for rows of `shape`, if any layer computes; its first weights are `kept`, the rest fresh."""
        shapes = self._follow(shape)
        ops: list[Any] = []
        places: list[int | None] = []
        for layer, row in zip(self._layers, shapes, strict=False):
            op = layer.op(row)
            places.append(None if op is None else len(ops))
            if op is not None:
                ops.append(op)
        if not ops:
            return
        network = Network(ops)
        generator = random.generator()
        if self._seed is None:
            self._seed = int(generator.integers(2**63))
        network.seed = self._seed
        before = self._input_shape, self._shapes, self._network, self._places
        self._input_shape, self._shapes, self._network, self._places = shape, shapes, network, places
        try:
            old = iter(kept)
            for index, layer in enumerate(self._layers):
                pairs = zip(self._layer_weights(index), layer.parameters(shapes[index]), strict=True)
                for array, parameter in pairs:
                    known = next(old, None)
                    array[...] = parameter.initializer(parameter.shape, generator) if known is None else known
        except BaseException:
            self._input_shape, self._shapes, self._network, self._places = before
            raise

    def _follow(self, shape: Shape) -> list[Shape]:
        """The shapes that a row of `shape` takes on its way through the layers."""
        shapes = [shape]
        for layer, name in zip(self._layers, self._names, strict=True):
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except ValueError as error:
                raise ValueError(f"layer {name!r}: {error}") from None
        return shapes

    def _ensure_built(self, input_shape: Shape) -> None:
        if self._network is None:
            self.build(input_shape if self._input_shape is None else None)

    def _built(self, action: str) -> Any:
        """The network. RuntimeError while there is none."""
        if self._network is None:
            if self._input_shape is None:
                raise RuntimeError(
                    f"{action} needs the model's weights, and there are none yet; give the first layer an input_shape, "
                    "or call build() or fit() first"
                )
            self.build()
        return self._network

    def _check_rows(self, shape: Shape, what: str) -> None:
        expected = self._shapes[0]
        if shape != expected:
            layer, name = self._layers[0], self._names[0]
            raise ValueError(
                f"{type(layer).__name__} {name!r} expects {_described(expected)}, got {_described(shape)} in {what}; "
                "check the columns of the data, or input_shape"
            )

    def _last_activation(self) -> str:
        """Name of the activation that the network ends in."""
        activation = getattr(self._computing_layers()[-1], "activation", None)
        return "linear" if activation is None else activation.table_name

    def _computing_layers(self) -> list[Layer]:
        return [layer for layer, place in zip(self._layers, self._places, strict=True) if place is not None]

    def _parameters(self, index: int) -> list[tuple[int, Parameter]]:
        """A layer's parameters with their offsets in the flat vector of the built model."""
        place = self._places[index]
        offset = 0 if place is None else self._network.ops[place].start
        result = []
        for parameter in self._layers[index].parameters(self._shapes[index]):
            result.append((offset, parameter))
            offset += prod(parameter.shape)
        return result

    def _views(self, index: int, flat: FloatArray) -> list[FloatArray]:
        """A layer's part of a flat vector, as one array for each parameter; views, not copies."""
        return [
            flat[start : start + prod(parameter.shape)].reshape(parameter.shape)
            for start, parameter in self._parameters(index)
        ]

    def _layer_weights(self, index: int) -> list[FloatArray]:
        return self._views(index, self._built("get_weights").parameters)

    def _penalties(self) -> list[tuple[int, int, float, float]]:
        """(start, stop, l1, l2) of each regularised parameter."""
        return [
            (start, start + prod(parameter.shape), *parameter.regularizer.numbers())
            for index in range(len(self._layers))
            for start, parameter in self._parameters(index)
            if parameter.regularizer is not None
        ]

    # Weights.

    @property
    def layers(self) -> list[Layer]:
        """The layers, without Input."""
        return [layer for layer in self._layers if not isinstance(layer, Input)]

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._network is not None

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, ...): the shape of the rows that the model reads."""
        self._built("input_shape")
        return (None, *self._shapes[0])

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(None, ...): the shape of what the model gives."""
        self._built("output_shape")
        return (None, *self._shapes[-1])

    def _weights(self) -> list[FloatArray]:
        self._built("get_weights")
        return [array for index in range(len(self._layers)) for array in self._layer_weights(index)]

    def get_weights(self) -> list[FloatArray]:
        """Copies of all weights, layer by layer: kernel, bias, kernel, bias, ..."""
        return [array.copy() for array in self._weights()]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace all weights; arrays as ``get_weights`` gives them. ValueError, and no change, where one differs."""
        self._replace(self._weights(), weights)

    def _replace(self, targets: list[FloatArray], weights: Sequence[ArrayLike]) -> None:
        if len(weights) != len(targets):
            raise ValueError(f"expected {len(targets)} arrays of weights, got {len(weights)}")
        new = [np.asarray(array, dtype=np.float32) for array in weights]
        for number, (array, target) in enumerate(zip(new, targets, strict=True)):
            if array.shape != target.shape:
                raise ValueError(f"weights[{number}] has shape {array.shape}, expected {target.shape}")
        for array, target in zip(new, targets, strict=True):
            target[...] = array

    def count_params(self) -> int:
        """How many numbers the weights hold."""
        return sum(array.size for array in self._weights())

    def summary(self, print_fn: Callable[[str], object] | None = None) -> None:
        """Print the layers, what they give and how many parameters they have."""
        rows = [("Layer (type)", "Output shape", "Parameters")]
        total = 0
        for index, (layer, name) in enumerate(zip(self._layers, self._names, strict=True)):
            if isinstance(layer, Input):
                continue
            shape, count = "?", "0 (not built)"
            if self.built:
                size = sum(array.size for array in self._layer_weights(index))
                shape, count = str((None, *self._shapes[index + 1])), f"{size:,}"
                total += size
            rows.append((f"{name} ({type(layer).__name__})", shape, count))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{a:<{widths[0]}}   {b:<{widths[1]}}   {c:>{widths[2]}}" for a, b, c in rows]
        lines.insert(1, "-" * len(lines[0]))
        end = f"Total parameters: {total:,} ({total * 4:,} bytes)"
        (print_fn or _write)("\n".join([f"Model: {self.name!r}", "", *lines, "", end]))

    # Files.

    def save(self, filepath: str | PathLike[str], overwrite: bool = True) -> None:
        """Write layers, weights, and what ``compile`` was given with the optimizer's state to one file.

        The layout is safetensors: data only, any name. The file is replaced whole or not at all. FileExistsError
        where it exists and overwrite is False; ValueError before the model is built.
        """
        from fastnn.store import model_file  # with json, a quarter of what `import fastnn` would cost

        model_file.save(self, filepath, overwrite)

    def save_weights(self, filepath: str | PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone to one file, as ``save`` does; ``load_weights`` reads it."""
        from fastnn.store import weights_file

        weights_file.save(self, filepath, overwrite)

    def load_weights(self, filepath: str | PathLike[str]) -> None:
        """Take the weights that ``save_weights`` wrote. ValueError, and no change, where they are another model's."""
        from fastnn.store import weights_file

        weights_file.load(self, filepath)


class Sequential(Model):
    """Layers one after the other: ``Sequential([Dense(32, "relu", input_dim=784), Dense(10, "softmax")])``.

    The weights are made when the input shape is known: from the first layer, from ``build``, or from the first rows.
    """

    def __init__(self, layers: Iterable[Layer] | None = None, name: str | None = None) -> None:
        super().__init__(name)
        for layer in layers or ():
            self._append(layer)
        self._grow([])

    def add(self, layer: Layer) -> None:
        """Put a layer at the end. The weights of the others stay; TypeError for what is no layer."""
        shape, kept = self._input_shape, self.get_weights() if self.built else []
        self._append(layer)
        try:
            self._grow(kept)
        except BaseException:
            del self._layers[-1], self._names[-1]
            self._input_shape = shape
            raise

    def _grow(self, kept: Sequence[FloatArray]) -> None:
        """Make the weights that are missing behind those that are `kept`, as soon as the input shape is known."""
        if self._input_shape is not None:
            self._make(self._input_shape, kept)

    def _append(self, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"a layer must be a fastnn.layers.Layer object, got {layer!r}")
        if len(self._layers) == MAX_LAYERS:
            raise ValueError(f"a model has at most {MAX_LAYERS} layers")
        if any(layer is other for other in self._layers):
            raise ValueError(f"this {type(layer).__name__} is in the model already; make a second one")
        if isinstance(layer, Input) and self._layers:
            raise ValueError("Input must be the first layer")
        name = self._name_for(layer)
        given = getattr(layer, "input_shape", None)
        if self._layers and given is not None and self._input_shape is not None:
            before = self._follow(self._input_shape)[-1]
            if before != given:
                raise ValueError(
                    f"{type(layer).__name__} {name!r} has input_shape {given}, but the layer before it gives {before}; "
                    "leave input_shape out"
                )
        shape = self._input_shape if self._layers else given
        self._layers.append(layer)
        self._names.append(name)
        try:
            if shape is not None:
                self._follow(shape)
        except ValueError:
            del self._layers[-1], self._names[-1]
            raise
        self._input_shape = shape
        layer._join(self, len(self._layers) - 1, name)

    def _name_for(self, layer: Layer) -> str:
        given = layer._given_name()
        taken = set(self._names)
        if given is not None:
            if not isinstance(given, str) or "/" in given:
                raise ValueError(f"{type(layer).__name__}: name must be a text without '/', got {given!r}")
            if given in taken:
                raise ValueError(f"the model has a layer called {given!r} already; give this one another name")
            return given
        number, name = 0, layer.table_name
        while name in taken:
            number += 1
            name = f"{layer.table_name}_{number}"
        return name


def load_model(filepath: str | PathLike[str]) -> Sequential:
    """The model that ``save`` wrote, compiled as it was. Runs no code from the file.

    FileNotFoundError; ValueError where the file is damaged, truncated or not a fastnn model.
    """
    from fastnn.store import model_file

    return model_file.load(filepath, Sequential)


def _described(shape: Shape) -> str:
    return f"{shape[0]} features" if len(shape) == 1 else f"rows of shape {shape}"


def _listed(figures: dict[str, float]) -> Any:
    """Figures as Keras gives them: the loss alone, or [loss, metric, ...]."""
    loss = figures.pop("loss")
    return [loss, *figures.values()] if figures else loss


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


__all__ = ["Array", "Model", "Sequential", "load_model"]
