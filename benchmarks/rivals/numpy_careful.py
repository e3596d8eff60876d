"""The careful NumPy program (`benchmarks.numpy_net`)."""

from collections.abc import Callable
from functools import partial

from benchmarks.cases import Fit, Predict, initial_weights
from benchmarks.numpy_net import Array, NumpyNet
from benchmarks.numpy_tape import NumpyTape
from benchmarks.rivals import Trainer


def fit(case: Fit, kind: type[NumpyNet] | type[NumpyTape] = NumpyNet) -> Trainer:
    x, y = case.data(case.rows)
    net, weights = case.opponent(kind), initial_weights(case.sizes)

    def run(shuffle: bool) -> float:
        return net.fit(x, y, case.batch_size, case.epochs, seed=0 if shuffle else None)[-1]

    return Trainer(partial(net.set_weights, weights), run)


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    return partial(case.opponent(NumpyNet).predict, x)
