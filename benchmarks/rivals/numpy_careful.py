"""The careful NumPy programs (`benchmarks.numpy_net`, and `benchmarks.numpy_layers` for pictures and sequences)."""

from collections.abc import Callable
from functools import partial

from benchmarks.cases import Fit, Predict
from benchmarks.networks import Array
from benchmarks.rivals import Trainer


def fit(case: Fit, name: str = "numpy") -> Trainer:
    x, y = case.data(case.rows)
    net = case.opponent(case.opponents()[name])

    def run(shuffle: bool) -> float:
        return net.fit(x, y, case.batch_size, case.epochs, seed=0 if shuffle else None)[-1]

    return Trainer(partial(net.set_weights, case.weights), run)


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    return partial(case.careful().predict, x)
