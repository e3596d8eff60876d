"""The workloads, in one table: each is data, initial weights and the same task for all sides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np

from benchmarks.numpy_net import Array, NumpyNet
from benchmarks.numpy_tape import NumpyTape
from fastnn.layers import Dense, Input
from fastnn.models import Sequential

Opponent = TypeVar("Opponent", NumpyNet, NumpyTape)

# Keras's name of a loss: the activation of the output layer, the opponents' name of both.
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
class Case:
    name: str
    sizes: tuple[int, ...]
    hidden: str
    loss: str
    floor: str

    def data(self, rows: int) -> tuple[Array, Array]:
        """Normal inputs, and a noisy linear teacher's targets: learnable, but never to zero."""
        random = np.random.default_rng(0)
        inputs, units = self.sizes[0], self.sizes[-1]
        x = random.standard_normal((rows, inputs), np.float32)
        teacher = random.standard_normal((inputs, units), np.float32) / inputs**0.5
        z = x @ teacher + 0.3 * random.standard_normal((rows, units), np.float32)
        if self.loss == "sparse_categorical_crossentropy":
            return x, z.argmax(axis=1)
        if self.loss == "binary_crossentropy":
            return x, (z > 0).astype(np.float32)
        return x, z.astype(np.float32)

    def model(self) -> Sequential:
        """fastnn's, as a user writes it."""
        model = Sequential(
            [
                Input(shape=(self.sizes[0],)),
                *(Dense(units, activation=self.hidden) for units in self.sizes[1:-1]),
                Dense(self.sizes[-1], activation=LOSSES[self.loss][0]),
            ]
        )
        model.compile(optimizer="adam", loss=self.loss)
        model.set_weights(initial_weights(self.sizes))
        return model

    def opponent(self, kind: type[Opponent]) -> Opponent:
        opponent = kind(self.sizes, self.hidden, LOSSES[self.loss][1])
        opponent.set_weights(initial_weights(self.sizes))
        return opponent


@dataclass(frozen=True)
class Fit(Case):
    """`epochs` of Adam, in shuffled order, from the same weights; timed is the call of `fit`."""

    rows: int
    batch_size: int
    epochs: int
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

    def sides(self) -> dict[str, Side]:
        """fastnn and its opponents; resetting brings back the initial weights."""
        x, y = self.data(self.rows)
        how: dict[str, Any] = {"batch_size": self.batch_size, "epochs": self.epochs}
        weights = initial_weights(self.sizes)

        def side(net: Sequential | NumpyNet | NumpyTape, **options: Any) -> Side:
            return Side(partial(net.set_weights, weights), partial(net.fit, x, y, **how, **options))

        return {
            "fastnn": side(self.model(), verbose=0),
            "numpy": side(self.opponent(NumpyNet), seed=0),
            "tape": side(self.opponent(NumpyTape), seed=0),
        }

    def difference(self) -> float:
        """The largest relative difference of the last losses, with the rows in order."""
        x, y = self.data(self.rows)
        how: dict[str, Any] = {"batch_size": self.batch_size, "epochs": self.epochs}
        history = self.model().fit(x, y, **how, shuffle=False, verbose=0)
        ours = history.history["loss"][-1]
        theirs = [self.opponent(kind).fit(x, y, **how)[-1] for kind in (NumpyNet, NumpyTape)]
        return max(abs(ours - loss) / abs(loss) for loss in theirs)


@dataclass(frozen=True)
class PredictRow(Case):
    """The prediction of a single row, the way a service or a simulation asks for it."""

    calls = PREDICTIONS

    @property
    def what(self) -> str:
        return f"predict of one row through {'-'.join(map(str, self.sizes))}"

    def predictors(self) -> dict[str, Callable[[Array], Array]]:
        return {
            "fastnn": self.model().predict,
            "numpy": self.opponent(NumpyNet).predict,
            "tape": self.opponent(NumpyTape).row_predictor(),
        }

    def sides(self) -> dict[str, Side]:
        """fastnn and its opponents, PREDICTIONS times the same row."""
        row, _ = self.data(1)

        def repeat(predict: Callable[[Array], Array]) -> None:
            for _ in range(PREDICTIONS):
                predict(row)

        predictors = self.predictors().items()
        return {name: Side(lambda: None, partial(repeat, predict)) for name, predict in predictors}

    def difference(self) -> float:
        """The largest relative difference of the outputs."""
        row, _ = self.data(1)
        ours, *others = (predict(row) for predict in self.predictors().values())
        return max(float(np.max(np.abs(ours - theirs) / theirs)) for theirs in others)


MSE, BCE, CCE = LOSSES
CASES: tuple[Fit | PredictRow, ...] = (
    Fit("tiny", (10, 10, 1), "relu", MSE, "40x", rows=100, batch_size=10, epochs=100),
    Fit("mnist", (784, 32, 10), "relu", CCE, "3.5x", rows=60_000, batch_size=32, epochs=1),
    Fit("tabular", (32, 128, 64, 1), "tanh", BCE, "2x", rows=100_000, batch_size=256, epochs=1),
    Fit("medium", (784, 512, 512, 10), "relu", CCE, "1.5x", rows=20_000, batch_size=128, epochs=1),
    PredictRow("row", (784, 32, 10), "relu", CCE, "5 us"),
)


def initial_weights(sizes: Sequence[int]) -> list[Array]:
    """Keras's default: Glorot's uniform kernels, zero biases."""
    random = np.random.default_rng(1)
    weights = []
    for inputs, units in pairwise(sizes):
        limit = (6 / (inputs + units)) ** 0.5
        weights.append(random.uniform(-limit, limit, (inputs, units)).astype(np.float32))
        weights.append(np.zeros(units, np.float32))
    return weights
