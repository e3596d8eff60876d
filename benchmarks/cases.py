"""The workloads, in one table: each is data, initial weights and the same task for all sides."""

import gc
import time
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

Opponent = TypeVar("Opponent", bound=NumpyNet | NumpyTape)

# Keras's name of a loss: the activation of the output layer, the opponents' name of both.
LOSSES = {
    "mean_squared_error": ("linear", "mse"),
    "binary_crossentropy": ("sigmoid", "bce"),
    "sparse_categorical_crossentropy": ("softmax", "cce"),
}
FLOAT = 4  # bytes


class Side(NamedTuple):
    """One contender: `reset` is not timed, `run` is."""

    reset: Callable[[], object]
    run: Callable[[], object]


class Traffic(NamedTuple):
    """Bytes that must move, and the size of the memory that they are in: it decides on the cache."""

    moved: int
    held: int


def timed(side: Side) -> tuple[float, Any]:
    """Seconds of one run, and what it gave."""
    side.reset()
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        result = side.run()
        return time.perf_counter() - start, result
    finally:
        gc.enable()


@dataclass(frozen=True)
class Case:
    """`asked`: how many times as fast as that opponent fastnn is to be; "best" is the best of all."""

    name: str
    sizes: tuple[int, ...]
    hidden: str
    loss: str
    asked: dict[str, float]
    rows: int

    @property
    def network(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def parameters(self) -> int:
        return sum((inputs + 1) * units for inputs, units in pairwise(self.sizes))

    @property
    def products(self) -> int:
        """Multiplications in one row's way forward; as many additions go with them."""
        return sum(inputs * units for inputs, units in pairwise(self.sizes))

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
        self.restart(model)
        return model

    def restart(self, model: Sequential) -> None:
        """The initial weights, and Adam as it starts."""
        model.compile(optimizer="adam", loss=self.loss)
        model.set_weights(initial_weights(self.sizes))

    def opponent(self, kind: type[Opponent]) -> Opponent:
        opponent = kind(self.sizes, self.hidden, LOSSES[self.loss][1])
        opponent.set_weights(initial_weights(self.sizes))
        return opponent

    def opponents(self) -> dict[str, type[NumpyNet] | type[NumpyTape]]:
        """The tape is not written for several outputs, but for softmax."""
        tape = self.loss == "sparse_categorical_crossentropy" or self.sizes[-1] == 1
        return {"numpy": NumpyNet, "tape": NumpyTape} if tape else {"numpy": NumpyNet}


@dataclass(frozen=True)
class Fit(Case):
    """`epochs` of Adam, in shuffled order, from the same weights; timed is the call of `fit`."""

    batch_size: int
    epochs: int
    calls = 1

    @property
    def what(self) -> str:
        output = LOSSES[self.loss][0]
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return (
            f"{self.network}, {self.hidden}, {output}, {self.loss.replace('_', ' ')}, Adam, {self.rows:,} rows, "
            f"batch {self.batch_size}, {epochs}"
        )

    def flops(self) -> int:
        """Of the matrix products alone: output, weight gradient, and input gradient but for the first layer."""
        first = self.sizes[0] * self.sizes[1]
        return 2 * (3 * self.products - first) * self.rows * self.epochs

    def traffic(self) -> list[Traffic]:
        """Weights, gradients and Adam's two slots are read and written each step; rows and targets are read once."""
        steps = self.epochs * -(-self.rows // self.batch_size)
        arena = 4 * FLOAT * self.parameters
        data = FLOAT * self.rows * (self.sizes[0] + self.target_columns)
        return [Traffic(2 * arena * steps, arena), Traffic(data * self.epochs, data)]

    @property
    def target_columns(self) -> int:
        return 1 if self.loss == "sparse_categorical_crossentropy" else self.sizes[-1]

    def sides(self) -> dict[str, Side]:
        """fastnn and its opponents; resetting brings back the initial weights."""
        x, y = self.data(self.rows)
        how: dict[str, Any] = {"batch_size": self.batch_size, "epochs": self.epochs}
        weights = initial_weights(self.sizes)

        model = self.model()
        sides = {"fastnn": Side(partial(self.restart, model), partial(model.fit, x, y, **how, verbose=0))}
        for name, kind in self.opponents().items():
            net = self.opponent(kind)
            sides[name] = Side(partial(net.set_weights, weights), partial(net.fit, x, y, **how, seed=0))
        return sides

    def difference(self) -> float:
        """The largest relative difference of the last losses, with the rows in order."""
        x, y = self.data(self.rows)
        how: dict[str, Any] = {"batch_size": self.batch_size, "epochs": self.epochs}
        history = self.model().fit(x, y, **how, shuffle=False, verbose=0)
        ours = history.history["loss"][-1]
        theirs = [self.opponent(kind).fit(x, y, **how)[-1] for kind in self.opponents().values()]
        return max(abs(ours - loss) / abs(loss) for loss in theirs)


@dataclass(frozen=True)
class Predict(Case):
    """The prediction of a few rows, the way a service or a simulation asks for it."""

    @property
    def what(self) -> str:
        return f"predict of {'1 row' if self.rows == 1 else f'{self.rows} rows'} through {self.network}"

    @property
    def calls(self) -> int:
        """In one timed run: a clock is too coarse for a short one."""
        return max(1, min(2000, 500_000_000 // self.flops()))

    def flops(self) -> int:
        """Of the matrix products of one call."""
        return 2 * self.products * self.rows

    def traffic(self) -> list[Traffic]:
        """Of one call: the weights and the rows are read, the outputs written."""
        size = FLOAT * (self.parameters + self.rows * (self.sizes[0] + self.sizes[-1]))
        return [Traffic(size, size)]

    def predictors(self) -> dict[str, Callable[[Array], Array]]:
        others: dict[str, Callable[[Array], Array]] = {"numpy": self.opponent(NumpyNet).predict}
        if self.rows == 1 and self.loss == "sparse_categorical_crossentropy":
            others["tape"] = self.opponent(NumpyTape).row_predictor()
        return {"fastnn": self.model().predict, **others}

    def sides(self) -> dict[str, Side]:
        """fastnn and its opponents, `calls` times the same rows."""
        x, _ = self.data(self.rows)
        return {name: self.repeated(partial(predict, x)) for name, predict in self.predictors().items()}

    def repeated(self, predict: Callable[[], Array]) -> Side:
        """`calls` predictions; the last one's output."""

        def run() -> Array:
            for _ in range(self.calls - 1):
                predict()
            return predict()

        return Side(lambda: None, run)

    def difference(self) -> float:
        """The largest relative difference of the outputs."""
        x, _ = self.data(self.rows)
        ours, *others = (predict(x) for predict in self.predictors().values())
        return max(distance(ours, theirs) for theirs in others)


def distance(ours: Array, theirs: Array) -> float:
    """The largest difference, relative to the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


MSE, BCE, CCE = LOSSES
FITS = (
    Fit("tiny", (10, 10, 1), "relu", MSE, {"best": 15, "numpy": 60, "torch": 200}, 100, 10, 100),
    Fit("mnist", (784, 32, 10), "relu", CCE, {"best": 2.5, "numpy": 5}, 60_000, 32, 1),
    Fit("tabular", (32, 128, 64, 1), "tanh", BCE, {"best": 2}, 100_000, 256, 1),
    Fit("medium", (784, 512, 512, 10), "relu", CCE, {"best": 1.6}, 20_000, 128, 1),
    Fit("large", (1024, 2048, 2048, 1024), "relu", MSE, {"best": 1.3}, 4096, 512, 1),
)
ROWS = {1: 5.0, 32: 1.5, 1024: 1.2}  # predicted at a time: how many times as fast as ONNX Runtime to be
CASES: tuple[Fit | Predict, ...] = (
    *FITS,
    *(
        Predict(f"{fit.name}-{rows}", fit.sizes, fit.hidden, fit.loss, {"onnxruntime": asked}, rows)
        for fit in FITS
        for rows, asked in ROWS.items()
    ),
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
