"""thinc's layers and its Adam; the losses' gradients by NumPy, on raw outputs where it has no stable one.

Products by NumPy's BLAS: on a Zen 5 its default, BLIS, takes 1.3 (tiny) to 2.8 times (medium) as long.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from thinc.api import Adam, Linear, Model, NumpyOps, Relu, Softmax, chain, set_current_ops

from benchmarks.cases import Case, Fit, Predict
from benchmarks.networks import Array
from benchmarks.numpy_net import BETA_1, BETA_2, EPSILON, LEARNING_RATE, sigmoid
from benchmarks.rivals import Trainer, sizes_of

set_current_ops(NumpyOps(use_blis=False))


def tanh_layer() -> Model:
    """thinc has none."""

    def forward(model: Model, x: Array, is_train: bool) -> tuple[Array, Callable[[Array], Array]]:
        a = np.tanh(x)
        return a, lambda d: d * (1 - a * a)

    return Model("tanh", forward)


def network(case: Case) -> Model:
    *hidden, (inputs, units) = pairwise(sizes_of(case.network))
    relu, layers = case.network.layers[0].activation == "relu", []
    for before, after in hidden:
        layers += [Relu(after, before)] if relu else [Linear(after, before), tanh_layer()]
    last = Softmax if case.loss == "sparse_categorical_crossentropy" else Linear
    model = chain(*layers, last(units, inputs)).initialize()
    load(model, case)
    return model


def load(model: Model, case: Case) -> None:
    """The initial weights; a kernel is (units, inputs) there."""
    weights = iter(case.weights)
    for layer in (layer for layer in model.walk() if layer.has_param("W")):
        layer.set_param("W", np.ascontiguousarray(next(weights).T))
        layer.set_param("b", next(weights))


def loss_and_gradient(name: str, output: Array, y: Array) -> tuple[float, Array]:
    """The mean loss, and its derivative by the raw output."""
    if name == "mean_squared_error":
        d = output - y
        return float(np.vdot(d, d) / d.size), d * np.float32(2 / d.size)
    if name == "binary_crossentropy":
        loss = (np.logaddexp(0, output).sum() - np.vdot(output, y)) / len(y)
        sigmoid(output)
        return float(loss), (output - y) / np.float32(len(y))
    rows = np.arange(len(y))
    loss = -np.log(output[rows, y]).mean()
    output[rows, y] -= 1
    output /= len(y)
    return float(loss), output


def fit(case: Fit) -> Trainer:
    x, y = case.data(case.rows)
    model, random = network(case), np.random.default_rng(0)
    optimizer: Any = None

    def reset() -> None:
        nonlocal optimizer
        load(model, case)
        optimizer = Adam(LEARNING_RATE, beta1=BETA_1, beta2=BETA_2, eps=EPSILON, L2=0, grad_clip=0, use_averages=False)

    def run(shuffle: bool) -> float:
        order = np.arange(case.rows)
        for _ in range(case.epochs):
            if shuffle:
                random.shuffle(order)
            total = 0.0
            for start in range(0, case.rows, case.batch_size):
                chosen = order[start : start + case.batch_size]
                output, backward = model.begin_update(x[chosen])
                loss, d = loss_and_gradient(case.loss, output, y[chosen])
                backward(d)
                model.finish_update(optimizer)
                total += loss * len(chosen)
        return total / case.rows

    return Trainer(reset, run)


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    model = network(case)
    if case.loss != "binary_crossentropy":
        return partial(model.predict, x)

    def predict() -> Array:
        output = model.predict(x)
        sigmoid(output)
        return output

    return predict
