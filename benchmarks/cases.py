"""The workloads, in one table: each is data, initial weights and the same task for all sides."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any, NamedTuple, TypeVar

import numpy as np

import fastnn.layers
import fastnn.models
from benchmarks import networks
from benchmarks.examples import examples
from benchmarks.networks import Array, Network, model_of, perceptron
from benchmarks.numpy_layers import NumpyLayers
from benchmarks.numpy_net import NumpyNet
from benchmarks.numpy_tape import NumpyTape

Opponent = TypeVar("Opponent", bound=NumpyNet | NumpyTape | NumpyLayers)

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
    network: Network
    loss: str
    asked: dict[str, float]
    rows: int
    optimizer = "adam"

    @property
    def group(self) -> str:
        """Of tables: "dense" for perceptrons, else "layers"."""
        return "dense" if self.network.sizes else "layers"

    @property
    def weights(self) -> list[Array]:
        """The initial ones, in Keras's order."""
        return self.network.initial_weights()

    @property
    def parameters(self) -> int:
        return sum(array.size for array in self.weights)

    def data(self, rows: int) -> tuple[Array, Array]:
        return examples(self.network, self.loss, rows)

    def model(self) -> Any:
        """fastnn's, as a user writes it."""
        model = model_of(self.network, fastnn.layers, fastnn.models)
        self.restart(model)
        return model

    def restart(self, model: Any) -> None:
        """The initial weights, and Adam as it starts."""
        model.compile(optimizer=self.optimizer, loss=self.loss)
        model.set_weights(self.weights)

    def opponent(self, kind: type[Opponent]) -> Opponent:
        loss, sizes = LOSSES[self.loss][1], self.network.sizes
        made: Any
        if issubclass(kind, NumpyLayers):
            made = kind(self.network, loss)
        else:
            assert sizes
            made = kind(sizes, self.network.layers[0].activation, loss)  # type: ignore[union-attr]
        made.set_weights(self.weights)
        return made  # type: ignore[no-any-return]

    def opponents(self) -> dict[str, type[NumpyNet] | type[NumpyTape] | type[NumpyLayers]]:
        """The tape is for perceptrons, and not written for several outputs, but for softmax."""
        if not self.network.sizes:
            return {"numpy": NumpyLayers}
        tape = self.loss == "sparse_categorical_crossentropy" or self.network.units == 1
        return {"numpy": NumpyNet, "tape": NumpyTape} if tape else {"numpy": NumpyNet}

    def careful(self) -> NumpyNet | NumpyLayers:
        """The careful NumPy program."""
        return self.opponent(self.opponents()["numpy"])  # type: ignore[type-var, return-value]


@dataclass(frozen=True)
class Fit(Case):
    """`epochs` of Adam, in shuffled order, from the same weights; timed is the call of `fit`.

    checked: rows whose losses are compared, in order, before the race; 0 for all. Rounding alone drives a deep network
    apart from itself in many steps. spread: how far losses of rows in different random orders may be apart.
    """

    batch_size: int
    epochs: int
    checked: int = 0
    spread: float = 0.05
    calls = 1

    @property
    def check(self) -> "Fit":
        """The fit whose losses must agree."""
        return replace(self, rows=self.checked) if self.checked else self

    @property
    def what(self) -> str:
        output = LOSSES[self.loss][0]
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        units = f"{self.network.layers[0][1]}, {output}, " if self.network.sizes else ""
        return (
            f"{self.network.text}, {units}{self.loss.replace('_', ' ')}, Adam, {self.rows:,} rows, "
            f"batch {self.batch_size}, {epochs}"
        )

    def flops(self) -> int:
        """Of the products alone: output, weight gradient, and input gradient but for the data's."""
        return 2 * (3 * self.network.products - self.network.without_gradient) * self.rows * self.epochs

    def traffic(self) -> list[Traffic]:
        """Weights, gradients and Adam's two slots are read and written each step; rows and targets are read once."""
        steps = self.epochs * -(-self.rows // self.batch_size)
        arena = 4 * FLOAT * self.parameters
        data = FLOAT * self.rows * (prod(self.network.inputs) + self.target_columns)
        return [Traffic(2 * arena * steps, arena), Traffic(data * self.epochs, data)]

    @property
    def target_columns(self) -> int:
        return 1 if self.loss == "sparse_categorical_crossentropy" else self.network.units

    def sides(self) -> dict[str, Side]:
        """fastnn and its opponents; resetting brings back the initial weights."""
        x, y = self.data(self.rows)
        how: dict[str, Any] = {"batch_size": self.batch_size, "epochs": self.epochs}

        model = self.model()
        sides = {"fastnn": Side(partial(self.restart, model), partial(model.fit, x, y, **how, verbose=0))}
        for name, kind in self.opponents().items():
            net = self.opponent(kind)
            sides[name] = Side(partial(net.set_weights, self.weights), partial(net.fit, x, y, **how, seed=0))
        return sides

    def difference(self) -> float:
        """The largest relative difference of the last losses, with the rows in order."""
        x, y = self.data(self.check.rows)
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
        return f"predict of {'1 row' if self.rows == 1 else f'{self.rows} rows'} through {self.network.text}"

    @property
    def calls(self) -> int:
        """In one timed run: a clock is too coarse for a short one."""
        return max(1, min(2000, 500_000_000 // self.flops()))

    def flops(self) -> int:
        """Of the products of one call."""
        return 2 * self.network.products * self.rows

    def traffic(self) -> list[Traffic]:
        """Of one call: the weights and the rows are read, the outputs written."""
        met = self.parameters
        if self.network.ids:  # a row of the embedding for each word, not all
            words, features = self.network.layers[0][:2]
            met -= max(0, words - self.rows * prod(self.network.inputs)) * features
        size = FLOAT * (met + self.rows * (prod(self.network.inputs) + self.network.units))
        return [Traffic(size, size)]

    def predictors(self) -> dict[str, Callable[[Array], Array]]:
        others: dict[str, Callable[[Array], Array]] = {"numpy": self.careful().predict}
        if self.network.sizes and self.rows == 1 and self.loss == "sparse_categorical_crossentropy":
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


def dense_fit(
    name: str, sizes: tuple[int, ...], hidden: str, loss: str, asked: dict[str, float], rows: int, *how: int
) -> Fit:
    """A perceptron's; how: rows of a batch, epochs."""
    return Fit(name, perceptron(sizes, hidden, LOSSES[loss][0]), loss, asked, rows, *how)


FITS = (
    dense_fit("tiny", (10, 10, 1), "relu", MSE, {"best": 15, "numpy": 60, "torch": 200}, 100, 10, 100),
    dense_fit("mnist", (784, 32, 10), "relu", CCE, {"best": 2.5, "numpy": 5}, 60_000, 32, 1),
    dense_fit("tabular", (32, 128, 64, 1), "tanh", BCE, {"best": 2}, 100_000, 256, 1),
    dense_fit("medium", (784, 512, 512, 10), "relu", CCE, {"best": 1.6}, 20_000, 128, 1),
    dense_fit("large", (1024, 2048, 2048, 1024), "relu", MSE, {"best": 1.3}, 4096, 512, 1),
)
ROWS = {1: 5.0, 32: 1.5, 1024: 1.2}  # predicted at a time: how many times as fast as ONNX Runtime to be
# Pictures and sequences.
LAYERED_FITS = (
    Fit("lenet", networks.LENET, CCE, {"best": 6}, 2048, 32, 1, checked=512, spread=0.2),
    Fit("lenet-b128", networks.LENET, CCE, {"best": 5}, 2048, 128, 1, spread=0.2),
    Fit("cnn", networks.CNN, CCE, {"best": 1.9}, 256, 32, 2, spread=0.2),
    Fit("lstm", networks.LSTM_64, MSE, {"best": 2.5}, 1024, 32, 1, spread=0.2),
    Fit("gru", networks.GRU_32, MSE, {"best": 3.5}, 1024, 32, 1, spread=0.2),
    Fit("cnn1d", networks.CNN_1D, CCE, {"best": 1.7}, 1024, 32, 1, spread=0.2),
    Fit("transformer", networks.TRANSFORMER, CCE, {"best": 2.3}, 512, 32, 1, spread=0.2),
    Fit("lstm-small", networks.LSTM_8, MSE, {"best": 8}, 1000, 10, 10, spread=0.2),
    Fit("words", networks.WORDS, BCE, {"best": 2.2}, 1024, 32, 1, spread=0.2),
)
# How many times as fast as ONNX Runtime to predict 1 and 32 rows.
AHEAD = {
    "lenet": (2.0, 1.5),
    "cnn": (1.0, 1.0),
    "lstm": (1.5, 1.5),
    "gru": (2.0, 2.0),
    "cnn1d": (1.3, 1.2),
    "transformer": (1.2, 1.5),
    "lstm-small": (5.0, 2.0),
    "words": (2.0, 1.5),
}
CASES: tuple[Fit | Predict, ...] = (
    *FITS,
    *(
        Predict(f"{fit.name}-{rows}", fit.network, fit.loss, {"onnxruntime": asked}, rows)
        for fit in FITS
        for rows, asked in ROWS.items()
    ),
    *LAYERED_FITS,
    *(
        Predict(f"{fit.name}-{rows}", fit.network, fit.loss, {"onnxruntime": asked}, rows)
        for fit in LAYERED_FITS
        if fit.name in AHEAD
        for rows, asked in zip((1, 32), AHEAD[fit.name], strict=True)
    ),
)
