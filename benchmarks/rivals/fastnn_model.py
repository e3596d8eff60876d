"""fastnn as its users use it."""

from collections.abc import Callable
from functools import partial

import fastnn
from benchmarks.cases import Fit, Predict
from benchmarks.networks import Array
from benchmarks.rivals import Trainer


def fit(case: Fit) -> Trainer:
    x, y = case.data(case.rows)
    model = case.model()
    fastnn.set_random_seed(0)

    def run(shuffle: bool) -> float:
        history = model.fit(x, y, batch_size=case.batch_size, epochs=case.epochs, shuffle=shuffle, verbose=0)
        return history.history["loss"][-1]

    return Trainer(partial(case.restart, model), run)


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    return partial(case.model().predict, x)
