"""A batch whose gradient is not finite changes nothing at all: weights, slots, counts, averages, sums of metrics.

Nothing means to the bit, also in what comes later, with every optimizer and for any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import kernels, losses, optimizers
from fastnn.data import ArraySource
from fastnn.engine.description import Objective, Variable
from fastnn.engine.network import Network
from fastnn.engine.ops import DenseOp
from fastnn.layers import Activation, Add, BatchNormalization, Dense, Dropout, Input, Layer
from fastnn.models import Model, Sequential
from support.small import bits
from support.units import label, units

INPUTS, BATCH, GOOD = 32, 96, 2
EVERY = [each for each in units(optimizers.OPTIMIZERS) if not (each.full_batch or each.row_clipping[0])]
AROUND: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipvalue": {"clipvalue": 0.1},
    "clipnorm": {"clipnorm": 0.1},
    "global_clipnorm": {"global_clipnorm": 0.1},
    "decay": {"weight_decay": 0.1},
    "accumulation, in the middle": {"gradient_accumulation_steps": 2},
    "accumulation, at its end": {"gradient_accumulation_steps": 3, "clipnorm": 0.1},
    "average": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3},
}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


class Root(Layer):
    """The identity, whose slope is not a number where a number is 100 or more."""

    def forward(self, x: Any, weights: Any, training: bool) -> Any:
        return x

    def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
        return np.where(x < 100, d, np.nan), []


def slope(y_true: Any, y_pred: Any) -> Any:
    return np.where(y_true < 2, 2 * (y_pred - y_true) / y_true.shape[-1], np.nan)


def square(y_true: Any, y_pred: Any) -> Any:
    return ((y_true - y_pred) ** 2).mean(axis=-1)


def rows(batches: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batches * BATCH, INPUTS)).astype(np.float32)
    x[:, 5] = 0
    return x, (rng.random((batches * BATCH, 2)) < 0.5).astype(np.float32)


def with_inf(x: np.ndarray, y: np.ndarray) -> None:
    """A sigmoid of it is 0 or 1: the loss is finite."""
    x[-40, 3] = np.inf


def with_overflow(x: np.ndarray, y: np.ndarray) -> None:
    """A sum of products with it is infinite, and others are beyond what the float32 step takes; its weights are 0."""
    x[-60:, 5] = 3e38


def with_target(x: np.ndarray, y: np.ndarray) -> None:
    """The slope of the loss is not a number."""
    y[-1, 1] = 2


def with_large(x: np.ndarray, y: np.ndarray) -> None:
    """The slope of the layer is not a number."""
    x[-1, 0] = 1000


def with_far_target(x: np.ndarray, y: np.ndarray) -> None:
    """Not even the loss is finite."""
    y[-7, 0] = np.inf


WAYS: dict[str, tuple[Any, Any, list[Any]]] = {
    "inf": (with_inf, "mse", [Dropout(0.2)]),
    "overflow": (with_overflow, losses.MeanAbsoluteError(reduction="sum"), []),
    "y": (with_far_target, "mse", []),
    "slope of a loss": (with_target, losses.Custom(square, slope), []),
    "slope of a layer": (with_large, "mse", [Root()]),
}


def model_of(optimizer: Any, way: str) -> Sequential:
    _, loss, more = WAYS[way]
    fastnn.set_random_seed(4)
    layers: list[Any] = [Dense(128), *more, Activation("sigmoid"), BatchNormalization(momentum=0.5)]
    model = Sequential([Input((INPUTS,)), *layers, Dense(96, "tanh"), Dense(2, kernel_regularizer="l2")])
    if way == "slope of a layer":
        model.layers[0].set_weights([np.eye(INPUTS, 128), np.zeros(128)])
    if way == "overflow":
        weights = model.get_weights()
        weights[0][5] = 0
        model.set_weights(weights)
    model.compile(optimizer, loss, metrics=["mae"], weighted_metrics=["mse"])
    return model


def all_of(model: Sequential) -> list[Any]:
    """All that a step changes, to the bit."""
    net = model.description.network
    return [*bits(model), net.iterations, *(slot.tobytes() for slot in net.slots), model.description.trainer.state()[0]]


def epoch(model: Sequential, x: np.ndarray, y: np.ndarray) -> list[Any]:
    """An epoch of the network's own: what it says, and what its metrics have gathered."""
    net = model.description.trainer.ready(ArraySource(x, y))
    said = net.fit_epoch(x, y, None, None, BATCH, 0.01)
    return [*said, *(state.tobytes() for state in net.states)]


def goes_as_if_the_batch_were_not_there(optimizer: Any, way: str, threads: int) -> None:
    fastnn.set_num_threads(threads)
    spoil = WAYS[way][0]
    x, y = rows(GOOD + 1)
    bad_x, bad_y = x.copy(), y.copy()
    spoil(bad_x, bad_y)
    model, other = model_of(optimizer, way), model_of(optimizer, way)
    for each in (model, other):
        each.fit(*rows(1, 7), BATCH, 1, 0, shuffle=False)
    seed = model.description.network.seed
    other.description.network.seed = seed
    found = epoch(model, bad_x, bad_y)
    assert found[:1] + found[2:3] == [GOOD * BATCH, False]
    wanted = epoch(other, x[: GOOD * BATCH], y[: GOOD * BATCH])
    assert found[:2] + found[3:] == wanted[:2] + wanted[3:]
    assert all_of(model) == all_of(other)
    more = rows(3, 9)
    assert epoch(model, *more) == epoch(other, *more)
    assert all_of(model) == all_of(other)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("optimizer", EVERY, ids=label)
def test_every_optimizer(optimizer: Any, around: str) -> None:
    clips = dict.fromkeys(("clipnorm", "clipvalue", "global_clipnorm"))
    given = {name: value for name, value in vars(optimizer).items() if not name.startswith("_")}
    chosen = type(optimizer)(**{**given, **clips, **AROUND[around]})
    for threads in (1, 2, 3):
        goes_as_if_the_batch_were_not_there(chosen, "inf", threads)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("optimizer", [optimizers.Adam(), optimizers.RMSprop(momentum=0.9, centered=True)], ids=label)
def test_every_way(optimizer: Any, threads: int, way: str) -> None:
    goes_as_if_the_batch_were_not_there(optimizer, way, threads)


def test_the_layer_that_is_named_does_not_depend_on_threads() -> None:
    """Gradients of several layers are not finite, each found by the thread whose share it is."""
    x, y = rows(3)
    x[-60:, 5] = np.inf
    for threads in (1, 2, 3, 4, 8):
        fastnn.set_num_threads(threads)
        first = Input((INPUTS,))
        branches = [Dense(64, "sigmoid", use_bias=False)(first) for _ in range(4)]
        model = Model(first, Dense(2)(Add()(branches)))
        model.set_weights([np.abs(w) for w in model.get_weights()])
        model.compile("sgd", "mse")
        epoch(model, x, y)
        net = model.description.network
        assert net.op_not_finite == 0
        ends = [op.start + op.size for op in net.ops if op.size][:4]
        assert not any(np.isfinite(net.gradients[:end]).all() for end in ends[: 1 if threads == 1 else 2])


# The network's own calls


def network_of(optimizer: Any, size: int = 4, **around: Any) -> Network:
    """Its outputs for x = 1 are its parameters, and its loss is their sum."""
    net = Network([DenseOp(1, size, use_bias=False)])
    net.set_objectives([Objective(kernels.mean_absolute_error, size, reduction="sum")])
    net.set_variables([Variable(0, size)])
    net.set_optimizer(optimizer.kernel, optimizer.numbers(), optimizer.slot_starts, **around)
    net.parameters[:size] = [1, -2, 3, 4]
    return net


def contents_of(net: Network) -> list[Any]:
    return [net.parameters.tobytes(), net.iterations, *(slot.tobytes() for slot in net.slots)]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("optimizer", EVERY, ids=label)
def test_a_step_on_gradients_that_are_not_finite(optimizer: Any, wrong: float) -> None:
    net, other = network_of(optimizer), network_of(optimizer)
    g = np.zeros_like(net.parameters)
    g[:4] = 1, 2, 3, 1e20
    net.step_on_gradients(g[:].copy(), 0.01)
    other.step_on_gradients(g[:].copy(), 0.01)
    bad = g.copy()
    bad[2] = wrong
    with pytest.raises(FloatingPointError, match="a gradient is not finite"):
        net.step_on_gradients(bad, 0.01)
    assert contents_of(net) == contents_of(other)
    net.step_on_gradients(net.gradients, 0.01)  # its own
    other.step_on_gradients(other.gradients.copy(), 0.01)
    assert contents_of(net) == contents_of(other)


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_is_told_and_nothing_moves(wrong: float) -> None:
    net = network_of(optimizers.Adam())
    x, y = np.ones((3, 1), np.float32), np.full((3, 4), 9, np.float32)
    assert net.gradient(x, y) == pytest.approx(np.abs(net.parameters[:4] - 9).mean() * 3)
    before = contents_of(net)
    x[1] = wrong
    with pytest.raises(FloatingPointError, match="the loss or its gradient is not finite"):
        net.gradient(x, y)
    assert contents_of(net) == before


def test_looking_at_a_huge_gradient_changes_no_step_after() -> None:
    """Steps on huge gradients are worked out otherwise, from then on; a look is no step."""
    net, other = network_of(optimizers.Adam()), network_of(optimizers.Adam())
    x, y = np.full((64, 1), 1e20, np.float32), np.zeros((64, 4), np.float32)
    net.gradient(x, y)
    g = np.zeros_like(net.parameters)
    for step in range(50):
        g[:4] = np.random.default_rng(step).standard_normal(4)
        for each in (net, other):
            each.step_on_gradients(g, 0.01)
    assert contents_of(net) == contents_of(other)


@pytest.mark.parametrize("around", ["plain", "clipvalue", "clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("optimizer", EVERY, ids=label)
def test_huge_gradients_that_are_added_up(optimizer: Any, around: str) -> None:
    """Each is finite, and their sum is not."""
    net = network_of(optimizer, accumulation=3)
    net.set_numbers(optimizer.numbers(), **AROUND[around])
    g = np.zeros_like(net.parameters)
    g[:4] = 3e38, -3e38, 1, 0
    for _ in range(7):
        net.step_on_gradients(g, 0.01)
    assert np.isfinite(net.parameters).all()
    assert all(np.isfinite(slot).all() for slot in net.slots)
