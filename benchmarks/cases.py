"""The workloads, in one table: each is data, initial weights and the same task for both sides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.numpy_net import NumpyNet
from fastnn.layers import Dense, Input
from fastnn.models import Sequential

Array = NDArray[Any]

# Keras's name of a loss: the activation of the output layer, the name in NumpyNet.
LOSSES = {
    "mean_squared_error": ("linear", "mse"),
    "binary_crossentropy": ("sigmoid", "bce"),
    "sparse_categorical_crossentropy": ("softmax", "cce"),
}
PREDICTIONS = 2000  # in one timed run, because a clock is too coarse for a single one


class Side(NamedTuple):
    """One contender: `reset` is not timed, `run` is."""

    reset: Callable[[], object]
    run: Callable[[], object]


@dataclass(frozen=True)
class Fit:
    """`epochs` of Adam, in shuffled order, from the same weights; timed is the call of `fit`."""

    name: str
    sizes: tuple[int, ...]
    hidden: str
    loss: str
    rows: int
    batch_size: int
    epochs: int
    floor: str
    calls = 1

    @property
    def what(self) -> str:
        output = LOSSES[self.loss][0]
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return (
            f"{'-'.join(map(str, self.sizes))}, {self.hidden}, {output}, "
            f"{self.loss.replace('_', ' ')}, Adam, {self.rows:,} rows, "
            f"batch {self.batch_size}, {epochs}"
        )

    def sides(self) -> tuple[Side, Side]:
        """fastnn and NumPy; resetting brings back the initial weights."""
        x, y = make_data(self.sizes, self.loss, self.rows)
        weights = initial_weights(self.sizes)
        model = fastnn_model(self.sizes, self.hidden, self.loss)
        net = NumpyNet(self.sizes, self.hidden, LOSSES[self.loss][1])
        arguments = {"batch_size": self.batch_size, "epochs": self.epochs}
        return (
            Side(
                lambda: model.set_weights(weights),
                lambda: model.fit(x, y, **arguments, verbose=0),
            ),
            Side(lambda: net.set_weights(weights), lambda: net.fit(x, y, **arguments, seed=0)),
        )

    def difference(self) -> float:
        """Relative difference of the two last losses, after training on the rows in order."""
        x, y = make_data(self.sizes, self.loss, self.rows)
        weights = initial_weights(self.sizes)
        model = fastnn_model(self.sizes, self.hidden, self.loss)
        model.set_weights(weights)
        net = NumpyNet(self.sizes, self.hidden, LOSSES[self.loss][1])
        net.set_weights(weights)
        arguments = {"batch_size": self.batch_size, "epochs": self.epochs}
        history = model.fit(x, y, **arguments, shuffle=False, verbose=0)
        ours = history.history["loss"][-1]
        theirs = net.fit(x, y, **arguments)[-1]
        return float(abs(ours - theirs) / abs(theirs))


@dataclass(frozen=True)
class PredictRow:
    """The prediction of a single row, the way a service or a simulation asks for it."""

    name: str
    sizes: tuple[int, ...]
    hidden: str
    loss: str
    floor: str
    calls = PREDICTIONS

    @property
    def what(self) -> str:
        return f"predict of one row through {'-'.join(map(str, self.sizes))}"

    def predictors(self) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
        """fastnn and NumPy, with the same weights."""
        weights = initial_weights(self.sizes)
        model = fastnn_model(self.sizes, self.hidden, self.loss)
        model.set_weights(weights)
        net = NumpyNet(self.sizes, self.hidden, LOSSES[self.loss][1])
        net.set_weights(weights)
        predict = model.predict
        return lambda x: predict(x, verbose=0), net.row_predictor()

    def sides(self) -> tuple[Side, Side]:
        """fastnn and NumPy, PREDICTIONS times the same row."""
        row, _ = make_data(self.sizes, self.loss, 1)

        def repeat(predict: Callable[[Array], Array]) -> Callable[[], None]:
            def run() -> None:
                for _ in range(PREDICTIONS):
                    predict(row)

            return run

        ours, theirs = self.predictors()
        return Side(lambda: None, repeat(ours)), Side(lambda: None, repeat(theirs))

    def difference(self) -> float:
        """The largest relative difference between the two outputs."""
        row, _ = make_data(self.sizes, self.loss, 1)
        ours, theirs = (predict(row) for predict in self.predictors())
        return float(np.max(np.abs(ours - theirs) / theirs))


CASES: tuple[Fit | PredictRow, ...] = (
    Fit("tiny", (10, 10, 1), "relu", "mean_squared_error", 100, 10, 100, "40x"),
    Fit("mnist", (784, 32, 10), "relu", "sparse_categorical_crossentropy", 60_000, 32, 1, "3.5x"),
    Fit("tabular", (32, 128, 64, 1), "tanh", "binary_crossentropy", 100_000, 256, 1, "2x"),
    Fit(
        "medium",
        (784, 512, 512, 10),
        "relu",
        "sparse_categorical_crossentropy",
        20_000,
        128,
        1,
        "1.5x",
    ),
    PredictRow("row", (784, 32, 10), "relu", "sparse_categorical_crossentropy", "5 us"),
)


def make_data(sizes: Sequence[int], loss: str, rows: int) -> tuple[Array, Array]:
    """Normal inputs, and the targets of a noisy linear teacher: learnable, but never to zero."""
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, sizes[0]), np.float32)
    teacher = random.standard_normal((sizes[0], sizes[-1]), np.float32) / sizes[0] ** 0.5
    z = x @ teacher + 0.3 * random.standard_normal((rows, sizes[-1]), np.float32)
    if loss == "sparse_categorical_crossentropy":
        return x, z.argmax(axis=1)
    if loss == "binary_crossentropy":
        return x, (z > 0).astype(np.float32)
    return x, z.astype(np.float32)


def initial_weights(sizes: Sequence[int]) -> list[Array]:
    """Keras's default: Glorot's uniform kernels, zero biases."""
    random = np.random.default_rng(1)
    weights = []
    for inputs, units in pairwise(sizes):
        limit = (6 / (inputs + units)) ** 0.5
        weights.append(random.uniform(-limit, limit, (inputs, units)).astype(np.float32))
        weights.append(np.zeros(units, np.float32))
    return weights


def fastnn_model(sizes: Sequence[int], hidden: str, loss: str) -> Sequential:
    """The model as a user writes it."""
    model = Sequential(
        [
            Input(shape=(sizes[0],)),
            *(Dense(units, activation=hidden) for units in sizes[1:-1]),
            Dense(sizes[-1], activation=LOSSES[loss][0]),
        ]
    )
    model.compile(optimizer="adam", loss=loss)
    return model
