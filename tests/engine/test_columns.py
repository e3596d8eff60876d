"""Few rows through wide layers, whose columns the threads share: right, and the same bits as one thread gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.layers import Dense, Input
from fastnn.models import Model, Sequential

Array = np.ndarray


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def filled(model: Model) -> Model:
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.05, each.shape).astype(np.float32) for each in model.get_weights()])
    return model


def stack(*units: int, activations: tuple[str | None, ...], use_bias: bool = True) -> Model:
    pairs = zip(units[1:], activations, strict=True)
    return filled(
        Sequential([Input((units[0],)), *(Dense(n, activation=name, use_bias=use_bias) for n, name in pairs)])
    )


def branches() -> Model:
    """Wide layers beside, behind and before others, a narrow one among them."""
    x = Input((20, 30))
    lines = Dense(600, activation="gelu")(Dense(256, activation="relu")(x))
    flat = layers.Flatten()(lines)
    wide = Dense(300, activation="silu")(flat)
    other = Dense(300)(layers.LayerNormalization()(wide))
    joined = layers.Concatenate()([layers.Add()([wide, other]), Dense(3, activation="softmax")(other)])
    return filled(Model(x, [Dense(700, activation="log_softmax")(joined), Dense(200, activation="sparsemax")(wide)]))


MODELS = {
    "elements": lambda: stack(777, 1001, 515, 256, activations=("tanh", "elu", None)),
    "softmax": lambda: stack(512, 900, 1000, activations=("softmax", "softmax")),
    "no bias": lambda: stack(600, 1200, 130, activations=("sigmoid", "relu"), use_bias=False),
    "streamed": lambda: stack(1040, 1100, 40, activations=("relu", None)),
    "branches": branches,
}


def outputs(model: Model, x: Array) -> list[Array]:
    given = model.predict(x, verbose=0)
    return list(given) if isinstance(given, list) else [given]


@pytest.mark.parametrize("name", MODELS)
def test_bits_depend_on_neither_threads_nor_rows(name: str) -> None:
    model = MODELS[name]()
    x = np.random.default_rng(1).normal(size=(600, *model.input_shape[1:])).astype(np.float32)
    fastnn.set_num_threads(1)
    whole = outputs(model, x)
    for rows in (1, 2, 7, 16, 33, 256, 257):
        for threads in (2, 3, 8):
            fastnn.set_num_threads(threads)
            for got, all_rows in zip(outputs(model, x[:rows]), whole, strict=True):
                assert got.tobytes() == all_rows[:rows].tobytes(), (rows, threads)


@pytest.mark.parametrize("rows", [1, 5, 40])
def test_it_is_what_float64_gives(rows: int) -> None:
    model = MODELS["elements"]()
    x = np.random.default_rng(2).normal(size=(rows, 777)).astype(np.float32)
    fastnn.set_num_threads(3)
    w = [each.astype(np.float64) for each in model.get_weights()]
    z = np.tanh(x.astype(np.float64) @ w[0] + w[1]) @ w[2] + w[3]
    expected = np.where(z > 0, z, np.expm1(np.minimum(z, 0))) @ w[4] + w[5]
    # Sums of 1,000 terms about 1, three times.
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=2e-5, atol=1e-5)


def test_other_kinds_of_rows_and_weights() -> None:
    """Whole numbers are collected as float32 by one thread for all; int8 goes by rows."""
    model = MODELS["elements"]()
    x = np.random.default_rng(4).integers(0, 3, (3, 777))
    small = fastnn.compress.quantize(model)
    for each in (model, small):
        fastnn.set_num_threads(1)
        alone = each.predict(x.astype(np.uint8), verbose=0)
        fastnn.set_num_threads(3)
        np.testing.assert_array_equal(each.predict(x.astype(np.uint8), verbose=0), alone)
    function = model.predict_function()
    fastnn.set_num_threads(2)
    np.testing.assert_array_equal(function(x.astype(np.float32)), model.predict(x.astype(np.uint8), verbose=0))
