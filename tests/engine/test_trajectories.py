"""Ten steps of the engine against ten steps in float64 NumPy: weights, losses and metrics."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any
from zlib import crc32

import numpy as np
import pytest

import fastnn
from fastnn import losses, optimizers, regularizers
from fastnn.layers import Activation, Dense, Dropout, Flatten
from fastnn.models import Sequential
from support.cases import ACTIVATIONS, LOSSES, OPTIMIZERS, data, ident
from support.numpy_network import NumpyNetwork
from support.units import label

MSE = losses.MeanSquaredError()
SCCE = losses.SparseCategoricalCrossentropy()


def build(make: Callable[[], list[Any]], optimizer: Any, loss: Any, metrics: Any = (), seed: int = 1) -> Sequential:
    """A compiled model; its biases are small numbers, because at 0 a relu has no slope to compare."""
    fastnn.set_random_seed(seed)
    model = Sequential(make())
    model.compile(optimizer, loss, metrics=list(metrics))
    rng = np.random.default_rng(seed)
    model.set_weights([w + (rng.normal(0, 0.1, w.shape) if w.ndim == 1 else 0) for w in model.get_weights()])
    return model


def check(got: list[np.ndarray], want: list[np.ndarray], before: list[np.ndarray], steps: int) -> None:
    """Assert that weights in float32 went where float64 says.

    A step rounds each weight by up to 2^-24 of it. A gradient is a sum of up to a few hundred rounded terms, within
    about 1e-6 of their size, and an optimizer that divides by its own root can raise that to 1e-5 of the largest step:
    5e-4 of the way gone is above what was ever seen, and a fortieth of what a wrong coefficient would make.
    """
    for a, b, start in zip(got, want, before, strict=True):
        assert np.isfinite(a).all()
        allowed = steps * 2.0**-24 * np.abs(b).max() + 5e-4 * np.abs(b - start).max()
        assert np.abs(a - b).max() <= allowed


def compare(
    make: Callable[[], list[Any]],
    optimizer: Any,
    loss: Any,
    x: np.ndarray,
    y: np.ndarray,
    batch_size: int,
    metrics: Any = (),
    sample_weight: np.ndarray | None = None,
    class_weight: dict[int, float] | None = None,
) -> None:
    """At least ten steps by fit and by train_on_batch, against NumPy's."""
    steps = ceil(len(x) / batch_size)
    epochs = ceil(10 / steps)
    model, other = (build(make, optimizer, loss, metrics) for _ in range(2))
    before = model.get_weights()
    reference = NumpyNetwork(model)
    weight = np.ones(len(x)) if sample_weight is None else sample_weight
    if class_weight is not None:
        labels = y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)
        weight = weight * [class_weight.get(int(label), 1.0) for label in labels]
    expected = reference.fit(x, y, batch_size, epochs, weight)
    history = model.fit(
        x, y, batch_size, epochs, 0, shuffle=False, sample_weight=sample_weight, class_weight=class_weight
    ).history
    check(model.get_weights(), reference.flat_weights(), before, steps * epochs)
    for number, logs in enumerate(expected):
        found = {name: values[number] for name, values in history.items()}
        assert found == pytest.approx(logs, rel=2e-5, abs=1e-6)
    for _ in range(epochs):
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            part = None if sample_weight is None else sample_weight[batch]
            other.train_on_batch(x[batch], y[batch], part, class_weight)
    assert [w.tobytes() for w in other.get_weights()] == [w.tobytes() for w in model.get_weights()]


# Outputs far from 0 make steps so large that within ten of them a rounding decides where they go.
RUNAWAYS = {"exponential", "log_softmax"}
# A row's slope is one of two or three numbers: those of a batch cancel to 0 or to what rounding leaves of it, and an
# optimizer that takes its sign or divides by its root makes a whole step of that.
FLAT = {"hinge", "categorical_hinge", "pinball"}
SIGNED = {"mean_absolute_error": ("lion", "rprop")}  # as flat, but only their steps are whole where a sum is near 0
PLAIN = [optimizer for optimizer in OPTIMIZERS if optimizer.table_name == "sgd"]


def optimizer_for(loss: losses.Loss, after: str, activation: Any) -> optimizers.Optimizer:
    """One by chance, but so that a new entry of a table changes no pair that was there, unless it is chosen itself."""
    signed = SIGNED.get(loss.table_name, ())
    usable = PLAIN if loss.table_name in FLAT else [each for each in OPTIMIZERS if each.table_name not in signed]
    pair = f"{SALT} {label(loss)} {after} {label(activation)} "
    return max(usable, key=lambda optimizer: crc32((pair + label(optimizer)).encode()))


SALT = 3  # with another one, some pair has a gradient in which rounding decides on which side of a kink it is
# Each pair of loss and activation, with an optimizer.
UNITS = [
    (loss, after, activation, optimizer_for(loss, after, activation))
    for loss, after in LOSSES
    for activation in ACTIVATIONS
    if activation.table_name not in RUNAWAYS
]


@pytest.mark.parametrize(("loss", "after", "activation", "optimizer"), UNITS, ids=ident)
def test_units(loss, after, activation, optimizer):
    x, y = data(loss, 23, 7, 3)
    names = ["accuracy"] if loss.kernel.labels else ["accuracy", "mse", "mae"]
    compare(lambda: [Dense(17, activation, input_dim=7), Dense(3, after)], optimizer, loss, x, y, 5, names)


# Around the edges of the matrix kernels' tiles (6 rows; 8 and 16 columns), and of the chunks of 256 rows.
SIZES = [(1, 1, 1), (5, 6, 7), (7, 15, 16), (16, 17, 31), (31, 33, 1), (33, 16, 5), (6, 31, 17, 15)]
BATCHES = [1, 5, 6, 7, 48, 256, 257, 1000]


@pytest.mark.parametrize("batch_size", BATCHES)
@pytest.mark.parametrize("sizes", SIZES, ids=ident)
def test_sizes(sizes, batch_size):
    inputs, *hidden, units = sizes

    def layers():
        first = [Dense(n, "tanh", input_dim=inputs if i == 0 else None) for i, n in enumerate(hidden)]
        return [*first, Dense(units)]

    rows = max(11, 2 * batch_size + batch_size // 3 + 1)
    x, y = data(MSE, rows, inputs, units)
    compare(layers, optimizers.SGD(0.05, momentum=0.5), MSE, x, y, batch_size, ["mae"])


# More parameters than one block of gradient and step holds, in one layer and in several.
@pytest.mark.parametrize("sizes", [(257, 300, 1), (200, 200, 200, 200), (300, 3, 300)], ids=ident)
# Among so many gradients there is one no larger than what float32 rounds off: a larger epsilon keeps Adam from taking
# a whole step for it.
@pytest.mark.parametrize("optimizer", [optimizers.SGD(0.1), optimizers.Adam(epsilon=1e-4)], ids=ident)
def test_many_parameters(sizes, optimizer):
    def layers():
        return [
            Dense(n, "tanh", input_dim=sizes[0] if i == 0 else None, kernel_regularizer=regularizers.L2(1e-3))
            for i, n in enumerate(sizes[1:])
        ]

    x, y = data(MSE, 9, sizes[0], sizes[-1])
    compare(layers, optimizer, MSE, x, y, 4)


def dropped(rate: float) -> list[Any]:
    return [
        Dropout(rate, input_shape=6),
        Dense(17, "relu"),
        Dropout(rate),
        Dense(9, "tanh"),
        Dropout(0.25),
        Dense(3, "softmax"),
    ]


# From rows of 6 numbers to 3 classes.
STRUCTURES: dict[str, Callable[[], list[Any]]] = {
    "one layer": lambda: [Dense(3, "softmax", input_dim=6)],
    "no bias": lambda: [
        Dense(16, "gelu", use_bias=False, input_dim=6),
        Dense(5, "elu"),
        Dense(3, "softmax", use_bias=False),
    ],
    "Activation": lambda: [
        Dense(5, input_dim=6),
        Activation("tanh"),
        Activation("softplus"),
        Dense(3),
        Activation("softmax"),
    ],
    "Activation first": lambda: [Activation("silu", input_shape=(6,)), Dense(3, "softmax")],
    "no parameters after": lambda: [Dense(3, "softmax", input_dim=6), Activation("sigmoid")],
    "Flatten": lambda: [Flatten(input_shape=(2, 3)), Dense(7, "relu"), Flatten(), Dense(3, "softmax")],
    "shape kept": lambda: [
        Activation("tanh", input_shape=(2, 3)),
        Dropout(0.3),
        Flatten(),
        Dense(3, "softmax"),
    ],
    "Dropout": lambda: dropped(0.5),
    "Dropout of nothing": lambda: dropped(0.0),
    "Dropout of nearly all": lambda: dropped(0.9),
    "Dropout last": lambda: [Dense(3, "softplus", input_dim=6), Dropout(0.2), Dense(3, "sigmoid"), Dropout(0.0)],
    "penalties": lambda: [
        Dense(15, "relu", kernel_regularizer="l1", input_dim=6),
        Dense(16, "tanh", kernel_regularizer=regularizers.L2(0.02)),
        Dense(7, "tanh"),
        Dense(3, "softmax", kernel_regularizer=regularizers.L1L2(0.003, 0.005), use_bias=False),
    ],
    "deep": lambda: [
        Dense(8, "selu", input_dim=6),
        *[Dense(n, "tanh") for n in (7, 9, 8, 5, 16, 33)],
        Dense(3, "softmax"),
    ],
}
SAMPLE_WEIGHT = np.array([0.5, 0, 2, 1, 0, 0, 0.25, 3] * 5, np.float32)
WEIGHTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rows": {"sample_weight": SAMPLE_WEIGHT},
    "classes": {"class_weight": {0: 3.0, 2: 0.25}},
    "both": {"sample_weight": SAMPLE_WEIGHT, "class_weight": {0: 0.0, 1: 2.0}},
}


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_structures(structure, weights):
    x, y = data(SCCE, 40, 6, 3)
    if structure in ("Flatten", "shape kept"):
        x = x.reshape(-1, 2, 3)
    compare(STRUCTURES[structure], optimizers.SGD(0.1, 0.9), SCCE, x, y, 7, ["acc"], **WEIGHTS[weights])


@pytest.mark.parametrize(("loss", "after"), LOSSES, ids=ident)
def test_weighted_losses(loss, after):
    x, y = data(loss, 40, 6, 3)
    compare(lambda: [Dense(3, after, input_dim=6)], optimizers.SGD(0.1), loss, x, y, 6, (), SAMPLE_WEIGHT)


def test_one_hot_class_weights():
    loss = losses.CategoricalCrossentropy()
    x, y = data(loss, 40, 6, 3)
    weights = {0: 3.0, 2: 0.25}
    compare(lambda: [Dense(3, "softmax", input_dim=6)], optimizers.SGD(0.1), loss, x, y, 6, class_weight=weights)


@pytest.mark.parametrize("rows", [300, 1000])
def test_dropout_beyond_a_chunk(rows):
    """Masks are those of places in the batch, not in the chunk of 256 rows."""
    x, y = data(MSE, rows, 7, 2)
    compare(lambda: [Dense(17, "tanh", input_dim=7), Dropout(0.4), Dense(2)], optimizers.SGD(0.1), MSE, x, y, rows)
