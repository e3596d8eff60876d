"""Keras's `fit` and `predict_on_batch`, on the backend that KERAS_BACKEND names."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np

from benchmarks.cases import Case, Fit, Predict
from benchmarks.networks import Array, model_of
from benchmarks.rivals import Trainer

STEPS = 32  # in one compiled call; 1 takes up to 4 times as long, 8 up to a fifth longer


def network(case: Case, steps: int) -> keras.Model:
    model = model_of(case.network, keras.layers, keras)
    model.compile(optimizer="adam", loss=case.loss, steps_per_execution=steps)
    model.set_weights(case.weights)
    return model


def fit(case: Fit) -> Trainer:
    x, y = case.data(case.rows)
    model = network(case, min(STEPS, -(-case.rows // case.batch_size)))
    keras.utils.set_random_seed(0)

    def reset() -> None:
        model.set_weights(case.weights)
        rate = float(model.optimizer.learning_rate)
        for variable in model.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        model.optimizer.learning_rate = rate

    def run(shuffle: bool) -> float:
        history = model.fit(x, y, case.batch_size, case.epochs, shuffle=shuffle, verbose=0)
        return float(history.history["loss"][-1])

    return Trainer(reset, run)


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    return partial(network(case, 1).predict_on_batch, x)
