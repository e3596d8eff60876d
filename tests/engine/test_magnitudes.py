"""Numbers whose squares float32 does not hold: norms, moments and losses are those of float64 all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import losses, optimizers
from fastnn.constraints import MaxNorm, MinMaxNorm, UnitNorm
from fastnn.data import ArraySource
from fastnn.layers import (
    BatchNormalization,
    Dense,
    Dot,
    Input,
    LayerNormalization,
    Normalization,
    RMSNormalization,
    TimeDistributed,
)
from fastnn.models import Model, Sequential
from fastnn.regularizers import L2, OrthogonalRegularizer
from support.bindings import kernels

SIZES = (1e-30, 1e-25, 1e-20, 1e-10, 1.0, 1e10, 1e15, 1e17, 1e18, 1e19, 1e20, 1e25, 1e30, 1e36)
EPSILONS = (1e-3, 0.0)
WIDTH = 6
MOST = float(np.finfo(np.float32).max)
Formula = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray, np.ndarray]]


def rows(size: float, count: int = 40, mean: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    return ((rng.standard_normal((count, WIDTH)) + mean) * size).astype(np.float32)


def normalised(axis: int, centred: bool) -> Formula:
    """(x normalised, gradient by x from that by it, the deviation), in float64."""

    def formula(x: np.ndarray, d: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x = x.astype(np.float64)
        apart = x - x.mean(axis, keepdims=True) if centred else x
        deviation = np.sqrt((apart**2).mean(axis, keepdims=True) + epsilon)
        hat = apart / deviation
        level = d.mean(axis, keepdims=True) if centred else 0
        return hat, (d - level - hat * (d * hat).mean(axis, keepdims=True)) / deviation, deviation

    return formula


LAYERS: dict[str, tuple[Callable[[float], Any], Formula]] = {
    "batch": (lambda epsilon: BatchNormalization(epsilon=epsilon, momentum=0.5), normalised(0, True)),
    "layer": (lambda epsilon: LayerNormalization(epsilon=epsilon), normalised(1, True)),
    "rms": (lambda epsilon: RMSNormalization(epsilon=epsilon), normalised(1, False)),
}


def close(found: Any, wanted: Any, tolerance: float = 2e-4) -> bool:
    """Alike to a part of the largest number that is wanted."""
    wanted = np.asarray(wanted, np.float64)
    return bool(np.isfinite(found).all() and np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max() + 1e-37)


@pytest.mark.parametrize("mean", [0.0, 3.0])
@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_of_a_layer_that_normalises(name: str, size: float, epsilon: float, mean: float, threads: int) -> None:
    """Of Dense, which is the identity, the layer, and a squared error: all weights, the moving averages included."""
    make, formula = LAYERS[name]
    fastnn.set_num_threads(threads)
    first, layer = Dense(WIDTH, use_bias=False, kernel_initializer="identity"), make(epsilon)
    model = Sequential([Input((WIDTH,)), first, layer])
    model.compile(optimizers.SGD(1.0), "mse")
    x = rows(size, mean=mean)
    y = np.random.default_rng(5).standard_normal(x.shape)
    hat, _, deviation = formula(x, y, epsilon)
    d = 2 * (hat - y) / x.size
    _, d_x, _ = formula(x, d, epsilon)
    network = model.description.trainer.ready(ArraySource(x, y))
    assert network.gradient(x, y.astype(np.float32)) == pytest.approx(((hat - y) ** 2).mean(), rel=1e-5)
    kernel, gamma, *rest = model.description.arrays(network.gradients).values()
    if size < 1e36:  # there the gradient by x is no float32
        assert close(kernel, x.astype(np.float64).T @ d_x, 1e-3)
    assert close(gamma, (d * hat).sum(0))
    if name != "rms":
        assert close(rest[0], d.sum(0))
    if name == "batch":
        model.fit(x, y, len(x), verbose=0)
        moving_mean, moving_variance = layer.get_weights()[2:]
        assert close(moving_mean, 0.5 * x.astype(np.float64).mean(0), 1e-5)
        variance = np.minimum(deviation[0] ** 2 - epsilon, MOST)
        assert close(moving_variance, 0.5 + 0.5 * variance, 1e-4)
    fastnn.set_num_threads(1)


@pytest.mark.parametrize("size", [*SIZES, 1e38])
@pytest.mark.parametrize("name", ["layer", "rms"])
def test_a_prediction_of_a_layer_that_normalises_each_row(name: str, size: float) -> None:
    make, formula = LAYERS[name]
    x = rows(size)
    for epsilon in EPSILONS:
        assert close(Sequential([Input((WIDTH,)), make(epsilon)]).predict(x), formula(x, x * 0, epsilon)[0], 1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_columns_of_all_sizes_in_one_batch_of_steps(size: float) -> None:
    """Huge, tiny and ordinary columns beside each other, as the steps of sequences, on any number of threads."""
    x = rows(1.0, 64 * 8).reshape(64, 8, WIDTH) * np.array([1, size, 1, 1e-20, 1e25, 1], np.float32)
    x = x.astype(np.float32)
    found = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        layer = BatchNormalization(epsilon=0)
        model = Sequential([Input((8, WIDTH)), TimeDistributed(layer)])
        model.compile("sgd", "mse")
        found.append(model.fit(x, np.zeros_like(x), 64, epochs=2, verbose=0, shuffle=False).history["loss"])
        assert close(layer.get_weights()[0], np.full(WIDTH, layer.get_weights()[0][0]), 1e-5)
    fastnn.set_num_threads(1)
    assert found[0] == found[1] == found[2]
    assert found[0][0] == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("other", [1e-10, 1.0, 1e30])
def test_cosines_of_a_dot_layer(size: float, other: float) -> None:
    left, right = Input((WIDTH,)), Input((WIDTH,))
    model = Model([left, right], Dot(1, normalize=True)([left, right]))
    a, b = rows(size), rows(other)[::-1].copy()
    lengths = [np.maximum(np.sqrt((v.astype(np.float64) ** 2).sum(1)), 1e-12) for v in (a, b)]
    wanted = (a.astype(np.float64) * b).sum(1) / lengths[0] / lengths[1]
    assert close(model.predict([a, b])[:, 0], wanted, 1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_the_cosine_as_a_loss(size: float) -> None:
    loss = losses.CosineSimilarity()
    y, a = rows(1.0), rows(size)[::-1].copy()
    value, slopes, _ = fastnn.kernels.bindings.evaluate(loss.kernel, y, a, (), None, 1.0)
    wanted = loss.reference(y.astype(np.float64), a.astype(np.float64))
    _, wide, _ = fastnn.kernels.bindings.evaluate(loss.kernel, y.astype(float), a.astype(float), (), None, 1.0)
    assert value == pytest.approx(wanted.sum(), rel=1e-5)
    assert close(slopes, wide, 1e-4)


@pytest.mark.parametrize("size", [1e-30, 1e-25, 1e-20, 1e19, 1e20, 1e30, 1e37])
@pytest.mark.parametrize("name", ["mean_squared_error", "squared_hinge"])
@pytest.mark.parametrize("weighted", [False, True])
def test_squared_losses_are_numbers_of_float64(name: str, size: float, weighted: bool) -> None:
    loss: Any = losses.LOSSES.get(name)
    y = np.sign(rows(1.0)).astype(np.float32) if "hinge" in name else rows(size, mean=1.0)
    a = rows(size)[::-1].copy()
    weight = np.linspace(0, 1, len(a), dtype=np.float32) if weighted else None
    value = fastnn.kernels.bindings.evaluate(loss.kernel, y, a, (), weight, 1.0)[0]
    each = loss.reference(y.astype(np.float64), a.astype(np.float64))
    assert value == pytest.approx((each * (1 if weight is None else weight)).sum(), rel=1e-4)


def test_a_fit_whose_loss_is_no_float32_goes_on() -> None:
    model = Sequential([Input((1,)), Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(optimizers.SGD(0.25), "mse", metrics=["mse", "root_mean_squared_error"])
    history = model.fit(np.ones((8, 1)), np.full(8, 1e20), 8, epochs=2, verbose=0).history
    for name, power in (("loss", 2), ("mse", 2), ("root_mean_squared_error", 1)):
        assert history[name] == pytest.approx([1e20**power, 5e19**power], rel=1e-5)


def test_the_likelihood_of_huge_deviations() -> None:
    loss = losses.GaussianNLL()
    for size in (1e10, 1e20, 1e25, 1e30, 1e37):
        a = np.array([[3 * size, 2 * np.log(size)], [0, 2 * np.log(size)]], np.float32)
        y = np.array([[size], [size]], np.float32)
        value = fastnn.kernels.bindings.evaluate(loss.kernel, y, a, loss.numbers(), None, 1.0)[0]
        assert value == pytest.approx(loss.reference(y.astype(float), a.astype(float)).sum(), rel=1e-4)


CLIPS: tuple[dict[str, float], ...] = tuple(
    {name: to} for name in ("clipnorm", "global_clipnorm") for to in (1.0, 1e-25, 1e10)
)


@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize("size", [*SIZES, 8e37])
def test_a_clipped_gradient_keeps_its_direction(size: float, clip: dict[str, float]) -> None:
    """The slope of an absolute error by the weights is x."""
    (most,) = clip.values()
    x = np.array([[3 * size, 4 * size]], np.float32)
    model = Sequential([Input((2,)), Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizers.SGD(1.0, **clip), "mae")
    model.fit(x, [[-1.0]], verbose=0)
    wanted = -x[0].astype(np.float64) * min(1, most / (5 * size))
    assert close(model.get_weights()[0][:, 0], wanted, 1e-5)


def test_a_norm_larger_than_any_float32_clips() -> None:
    g = np.full(1000, 3e38, np.float32)
    assert kernels.squares(g) == pytest.approx(1000 * 9e76)
    kernels.scale(g, x=1e-40)
    assert g == pytest.approx(3e-2)


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e17, 1e20, 1e30, 1e36, 1e38])
@pytest.mark.parametrize("constraint", [MaxNorm(2.0), UnitNorm(), MinMaxNorm(0.5, 2.0), UnitNorm(axis=1)], ids=str)
def test_constraints(constraint: Any, size: float) -> None:
    w = rows(size)
    model = Sequential([Input((40,)), Dense(WIDTH, use_bias=False, kernel_constraint=constraint)])
    model.compile(optimizers.SGD(0.0), "mse")
    model.set_weights([w])
    model.fit(np.zeros((1, 40)), np.zeros((1, WIDTH)), verbose=0)
    assert close(model.get_weights()[0], constraint.reference(w.astype(np.float64)), 1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e17, 1e20, 1e30, 1e36])
@pytest.mark.parametrize("penalty", [L2(0.5), OrthogonalRegularizer(0.5)], ids=str)
def test_penalties(penalty: Any, size: float) -> None:
    w = rows(size)
    model = Sequential([Input((40,)), Dense(WIDTH, use_bias=False, kernel_regularizer=penalty)])
    model.compile("sgd", "mse")
    model.set_weights([w])
    found = model.evaluate(np.zeros((1, 40)), np.zeros((1, WIDTH)), verbose=0)
    assert found == pytest.approx(penalty.reference(w.astype(np.float64)), rel=1e-5)


def test_a_variance_that_float32_does_not_hold_is_refused() -> None:
    for size, fits in ((1e18, True), (1e20, False)):
        data = rows(size)
        if fits:
            layer = Normalization()
            layer.adapt(data)
            wanted = (data - data.astype(float).mean(0)) / data.astype(float).std(0)
            assert close(Sequential([Input((WIDTH,)), layer]).predict(data), wanted, 1e-5)
        else:
            with pytest.raises(ValueError, match=r"a feature has the variance .*e\+40, more than float32 holds"):
                Normalization().adapt(data)
            with pytest.raises(ValueError, match="more than float32 holds"):
                Normalization(mean=0.0, variance=1e40)
