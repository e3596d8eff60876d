"""Every rule that Keras has too, with all that acts around it: 20 steps from the same weights and gradients."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")

from fastnn import constraints, optimizers, regularizers  # noqa: E402
from fastnn.optimizers import OPTIMIZERS, Adam, Optimizer, schedules  # noqa: E402
from support.numpy_network import NumpyNetwork  # noqa: E402
from support.units import label, units  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

SHARED = [unit for unit in units(OPTIMIZERS) if hasattr(keras.optimizers, type(unit).__name__)]
SHAPES = [(7, 5), (5,)]


def theirs(optimizer: Optimizer) -> Any:
    """Keras's optimizer of the same arguments."""
    given = {name: value for name, value in vars(optimizer).items() if value is not None}
    if isinstance(optimizer.learning_rate, schedules.LearningRateSchedule):
        rate = optimizer.learning_rate
        given["learning_rate"] = getattr(keras.optimizers.schedules, type(rate).__name__)(**rate.get_config())
    return getattr(keras.optimizers, type(optimizer).__name__)(**given)


def paths(optimizer: Optimizer, steps: int = 20) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """All weights after each step, our formulas' in float64 and Keras's in float32."""
    rng = np.random.default_rng(1)
    start = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
    variables = [keras.Variable(w) for w in start]
    other = theirs(optimizer)
    other.build(variables)
    plain = object.__new__(NumpyNetwork)
    plain.layers, plain.weights = [None], [[w.astype(float) for w in start]]
    plain.begin(optimizer)
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for _ in range(steps):
        g = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
        other.apply([keras.ops.convert_to_tensor(one) for one in g], variables)
        plain.take([[one.astype(float) for one in g]])
        for path, weights in zip(found, (plain.weights[0], variables), strict=True):
            path.append(np.concatenate([np.asarray(w).ravel() for w in weights]))
    return found


@pytest.mark.parametrize("optimizer", SHARED, ids=label)
def test_twenty_steps(optimizer: Optimizer) -> None:
    ours, other = paths(optimizer)
    # Keras works in float32. Centered RMSprop takes a square from a square, FTRL large sums from each other.
    loose = 20 if getattr(optimizer, "centered", False) or isinstance(optimizer, optimizers.Ftrl) else 1
    np.testing.assert_allclose(other, ours, rtol=1e-5 * loose, atol=2e-6 * loose)


@pytest.mark.parametrize(
    "rate",
    [
        schedules.ExponentialDecay(0.1, 5, 0.5),
        schedules.PiecewiseConstantDecay([3, 9], [0.1, 0.05, 0.01]),
        schedules.CosineDecay(0.01, 10, warmup_target=0.1, warmup_steps=5),
    ],
    ids=lambda rate: type(rate).__name__,
)
def test_with_a_schedule(rate: schedules.LearningRateSchedule) -> None:
    np.testing.assert_allclose(*paths(Adam(rate, weight_decay=0.1)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cls", dict.fromkeys(type(unit) for unit in SHARED), ids=lambda cls: cls.__name__)
def test_arguments(cls: type[Optimizer]) -> None:
    """The same names and defaults; those that are given by place in the same order."""
    ours, other = (inspect.signature(one).parameters for one in (cls, getattr(keras.optimizers, cls.__name__)))
    assert set(other) - set(ours) - {"kwargs"} == {"loss_scale_factor"}
    placed = [name for name, parameter in ours.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert list(other)[: len(placed)] == placed
    for name, parameter in ours.items():
        assert name == "name" or parameter.default == other[name].default, name


def test_every_optimizer_of_keras_but_the_newest() -> None:
    """Muon, Adafactor, Lamb and the ones that wrap others are left out."""
    for name in ("SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Adagrad", "Adadelta", "Lion", "Ftrl"):
        assert name in {type(unit).__name__ for unit in SHARED}


PENALTIES = [
    regularizers.L1(0.3),
    regularizers.L2(0.3),
    regularizers.L1L2(0.3, 0.2),
    regularizers.OrthogonalRegularizer(0.3),
    regularizers.OrthogonalRegularizer(0.3, "columns"),
]


@pytest.mark.parametrize("penalty", PENALTIES, ids=label)
def test_regularizers(penalty: Any) -> None:
    other = getattr(keras.regularizers, type(penalty).__name__)(**vars(penalty))
    for shape in ((7, 5), (5, 7), (2, 2)):
        w = np.random.default_rng(2).normal(size=shape).astype(np.float32)
        np.testing.assert_allclose(penalty(w), float(other(keras.ops.convert_to_tensor(w))), rtol=2e-6)
    names = ("l1", "l2", "l1l2", "orthogonal_regularizer", "L1", "L2", "L1L2", "OrthogonalRegularizer")
    assert all(type(regularizers.get(name)).__name__ == type(keras.regularizers.get(name)).__name__ for name in names)


@pytest.mark.parametrize("constraint", units(constraints.CONSTRAINTS), ids=label)
def test_constraints(constraint: Any) -> None:
    other = getattr(keras.constraints, type(constraint).__name__)(**vars(constraint))
    for shape in ((7, 5), (1, 1), (40, 33)):
        w = np.random.default_rng(2).normal(size=shape).astype(np.float32)
        np.testing.assert_allclose(constraint(w), np.asarray(other(w)), rtol=2e-6, atol=1e-8)
    assert type(keras.constraints.get(constraint.table_name)).__name__ == type(constraint).__name__
