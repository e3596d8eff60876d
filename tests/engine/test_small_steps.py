"""Steps of small networks, whose gradients and steps go by pieces: the bits of those that go by blocks.

A bound that no gradient reaches, `clipvalue`, changes no number and has a fit go by blocks.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import optimizers
from fastnn.layers import Activation, Add, Dense, Dropout, Input, LayerNormalization
from fastnn.models import Model, Sequential

RNG = np.random.default_rng(20)
ROWS = 61
OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "beta_1": 0.5}),
    ("RMSprop", {}),
    ("Lamb", {}),
]


def data(inputs: int, units: int) -> tuple[Any, Any]:
    return RNG.normal(size=(ROWS, inputs)).astype(np.float32), (RNG.random((ROWS, units)) < 0.5).astype(np.float32)


def stack(sizes: tuple[int, ...], activation: str, last: str) -> Model:
    fastnn.set_random_seed(1)
    hidden = [Dense(units, activation, use_bias=units != 2) for units in sizes[1:-1]]
    return Sequential([Input((sizes[0],)), *hidden, Dense(sizes[-1], last)])


def fitted(
    model: Model, optimizer: tuple[str, dict[str, Any]], loss: Any, batch: int, x: Any, y: Any, **around: Any
) -> Any:
    name, numbers = optimizer
    weight = around.pop("sample_weight", None)
    model.compile(getattr(optimizers, name)(**numbers, **around), loss, metrics=["mae"])
    history = model.fit(x, y, batch, 4, verbose=0, sample_weight=weight).history
    return [array.tobytes() for array in model.get_weights()], history


def check(
    make: Any, optimizer: tuple[str, dict[str, Any]], loss: Any, batch: int, x: Any, y: Any, **around: Any
) -> None:
    by_pieces = fitted(make(), optimizer, loss, batch, x, y, **around)
    assert by_pieces == fitted(make(), optimizer, loss, batch, x, y, clipvalue=1e30, **around)
    assert by_pieces[0] != [array.tobytes() for array in make().get_weights()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 1), (10, 10, 1), (12, 1, 10, 1), (7, 2, 5, 3)], ids=str)
def test_the_bits_of_stacks(sizes: tuple[int, ...], optimizer: tuple[str, dict[str, Any]]) -> None:
    x, y = data(sizes[0], sizes[-1])
    heads = [("linear", "mse"), ("sigmoid", "binary_crossentropy"), ("tanh", "huber")]
    for activation, (last, loss), batch in product(["relu", "tanh", "sigmoid", "gelu"], heads, [1, 10, 29]):
        check(lambda a=activation, h=last: stack(sizes, a, h), optimizer, loss, batch, x, y)


@pytest.mark.parametrize("optimizer", OPTIMIZERS[:3], ids=str)
def test_the_bits_of_others(optimizer: tuple[str, dict[str, Any]]) -> None:
    x, y = data(6, 1)

    def frozen() -> Model:
        model = stack((6, 5, 4, 3, 1), "relu", "linear")
        model.layers[1].trainable = False
        return model

    def shared() -> Model:
        fastnn.set_random_seed(2)
        given, one = Input((6,)), Dense(6, "tanh")
        first = one(given)
        return Model(given, Dense(1)(Add()([one(first), Dropout(0.3)(LayerNormalization()(first))])))

    def penalised() -> Model:
        fastnn.set_random_seed(2)
        layers = [Dense(5, "relu", kernel_regularizer="l2"), Dense(5, kernel_constraint="max_norm"), Activation("tanh")]
        return Sequential([Input((6,)), *layers, Dense(1)])

    for make in (frozen, shared, penalised):
        check(make, optimizer, "mse", 10, x, y, sample_weight=RNG.random(ROWS).astype(np.float32))


def test_large_networks_go_by_blocks_and_learn_the_same() -> None:
    x, y = data(150, 1)
    check(lambda: stack((150, 120, 1), "relu", "linear"), OPTIMIZERS[2], "mse", 20, x, y)
