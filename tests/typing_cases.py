"""User code, as a person with a type checker writes it; tests/test_types.py has mypy --strict read it, and runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastnn
from fastnn import Input, Model, Sequential, Trainer, activations, initializers, losses, metrics, optimizers
from fastnn.callbacks import Callback, EarlyStopping, History, LambdaCallback, ModelCheckpoint, ReduceLROnPlateau
from fastnn.constraints import MaxNorm
from fastnn.data import ArraySource, BatchSource
from fastnn.layers import Add, BatchNormalization, Concatenate, Dense, Dropout, Layer, Parameter
from fastnn.models import load_model
from fastnn.optimizers.schedules import CosineDecay
from fastnn.regularizers import L2

Array = npt.NDArray[np.float32]


def chain(x: Array, y: Array, folder: Path) -> Array:
    """A Sequential, from its layers to its predictions, and a file."""
    model = Sequential(
        [
            Dense(8, "relu", input_dim=3, kernel_regularizer=L2(1e-4), kernel_constraint=MaxNorm(3)),
            BatchNormalization(),
            Dropout(0.1),
        ]
    )
    model.add(Dense(1, activation=activations.Sigmoid()))
    model.compile(
        optimizer=optimizers.Adam(CosineDecay(0.01, 100), global_clipnorm=1.0),
        loss=losses.BinaryCrossentropy(label_smoothing=0.1),
        metrics=["accuracy", metrics.AUC(name="auc")],
    )
    callbacks = [EarlyStopping("val_loss", patience=2), ModelCheckpoint(folder / "best", save_best_only=True)]
    history: History = model.fit(
        x,
        y,
        batch_size=16,
        epochs=3,
        verbose=0,
        validation_split=0.2,
        callbacks=callbacks,
        class_weight={0: 1.0, 1: 2.0},
    )
    lowest: float = min(history.history["val_loss"])
    logs: dict[str, float] = model.evaluate(x, y, verbose=0, return_dict=True)
    assert lowest > 0
    assert set(logs) == {"loss", "accuracy", "auc"}
    model.save(folder / "model.fastnn")
    again = load_model(folder / "model.fastnn")
    predicted: Array = model.predict(x)
    assert np.array_equal(again.predict(x), predicted)
    weights: list[Array] = model.get_weights()
    model.set_weights(weights)
    name: str = model.layers[0].name or ""
    size: int = model.count_params()
    assert size > len(name)
    return predicted


def graph(x: Array, y: Array) -> Any:
    """A functional model with two inputs and two outputs."""
    a, b = Input((3,), name="a"), Input(shape=(3,), name="b")
    h = Dense(4, "relu")
    both = Concatenate()([h(a), h(b)])
    model = Model(
        {"a": a, "b": b}, {"first": Dense(1, name="first")(both), "second": Dense(1, name="second")(Add()([a, b]))}
    )
    model.compile("adam", {"first": "mse", "second": losses.Huber()}, loss_weights={"first": 1.0, "second": 0.5})
    model.fit({"a": x, "b": x}, {"first": y, "second": y}, verbose=0)
    model.summary(print_fn=lambda line: None)
    return model.predict({"a": x, "b": x})


class Scale(Layer):
    """A layer in Python."""

    def parameters(self, input_shape: tuple[int, ...]) -> tuple[Parameter, ...]:
        """One number for each feature."""
        return (Parameter("scale", input_shape, initializers.Ones()),)

    def forward(self, x: Array, weights: list[Array], training: bool) -> Array:
        """The product."""
        return x * weights[0]

    def backward(self, x: Array, a: Array, d: Array, weights: list[Array]) -> tuple[Array, list[Array]]:
        """Its gradients."""
        return d * weights[0], [(d * x).sum(axis=0)]


@dataclass(frozen=True, eq=False)
class Shift(Layer):
    """A layer in Python with a field."""

    by: float = 1.0

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The same."""
        return input_shape

    def forward(self, x: Array, weights: list[Array], training: bool) -> Array:
        """The sum."""
        return x + np.float32(self.by)

    def backward(self, x: Array, a: Array, d: Array, weights: list[Array]) -> tuple[Array, list[Array]]:
        """Its gradient."""
        return d, []


class Best(Callback):
    """A callback that keeps the least loss."""

    least = float("inf")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Look at the loss."""
        self.least = min(self.least, (logs or {})["loss"])


class Largest(metrics.Metric):
    """A metric in Python: the largest error."""

    largest = 0.0

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Look at a batch."""
        y, output, _ = self.arrays(y_true, y_pred, sample_weight)
        self.largest = max(self.largest, float(np.abs(y - output).max()))

    def result(self) -> float:
        """The largest so far."""
        return self.largest

    def reset_state(self) -> None:
        """Begin anew."""
        self.largest = 0.0


def squared(y_true: Array, y_pred: Array) -> Array:
    """A loss in Python."""
    return np.asarray(((y_true - y_pred) ** 2).mean(axis=-1))


def own(x: Array, y: Array) -> float:
    """Layers, a loss, a callback and a metric in Python, trained from a generator."""

    def batches() -> Iterator[tuple[Array, Array]]:
        for start in range(0, len(x), 8):
            yield x[start : start + 8], y[start : start + 8]

    model = Sequential([Input((3,)), Scale(), Shift(0.5), Dense(1)])
    model.compile("sgd", losses.Custom(squared), metrics=[Largest("largest")])
    best = Best()
    seen: list[int] = []
    count = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    model.fit(batches(), callbacks=[best, count, ReduceLROnPlateau("loss")], verbose=0)
    assert seen == [0]
    Trainer(model, optimizers.SGD(0.01, momentum=0.9), "mse").fit(ArraySource(x, y), epochs=2)
    model.fit(BatchSource([(x, y)]), verbose=0)
    return best.least


def arrays(y: Array) -> float:
    """Losses, metrics, activations and initialisers, called on arrays."""
    loss = losses.MeanSquaredError()
    value: float = float(loss(y, y + 1, sample_weight=np.ones(len(y))))
    rows: npt.NDArray[Any] = losses.mean_squared_error(y[:, None], y[:, None])
    metric = metrics.MeanAbsoluteError()
    metric.update_state(y, y + 1)
    metric.reset_state()
    kernel: npt.NDArray[Any] = initializers.HeNormal(seed=1)((3, 4))
    sloped: npt.NDArray[Any] = activations.relu(kernel)
    return value + float(metric.result()) + float(rows.sum()) + float(sloped.min())


def main(folder: Path) -> None:
    """Run all of it."""
    fastnn.set_random_seed(1)
    fastnn.set_num_threads(fastnn.get_num_threads())
    rng = np.random.default_rng(0)
    x = rng.random((40, 3), dtype=np.float32)
    y = (x[:, 0] > 0.5).astype(np.float32)
    assert chain(x, y, folder).shape == (40, 1)
    assert set(graph(x, y)) == {"first", "second"}
    assert own(x, y) > 0
    assert arrays(y) == 1


def mistakes(model: Sequential, x: Array) -> None:
    """What a type checker finds; never run. An ignore that is not needed is an error too."""
    Dense(units="3")  # type: ignore[arg-type]
    Dense(3, activaton="relu")  # type: ignore[call-arg]
    Dropout()  # type: ignore[call-arg]
    Add(3, 4)  # type: ignore[arg-type,call-arg]
    optimizers.Adam(lr=0.1)  # type: ignore[call-arg]
    losses.Huber("1")  # type: ignore[arg-type]
    metrics.AUC(curves="ROC")  # type: ignore[call-arg]
    EarlyStopping(patience="two")  # type: ignore[arg-type]
    model.fit(x, x, epoch=3)  # type: ignore[call-arg]
    model.fit(x, x, epochs="3")  # type: ignore[arg-type]
    fastnn.set_num_threads("2")  # type: ignore[arg-type]
