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
    cls = getattr(keras.optimizers, type(optimizer).__name__)
    arguments = inspect.signature(cls).parameters
    given = {name: value for name, value in vars(optimizer).items() if value != arguments[name].default}
    if isinstance(optimizer.learning_rate, schedules.LearningRateSchedule):
        rate = optimizer.learning_rate
        given["learning_rate"] = getattr(keras.optimizers.schedules, type(rate).__name__)(**rate.get_config())
    return cls(**given)


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
        scale = optimizer.loss_scale_factor or 1
        other.apply([keras.ops.convert_to_tensor(one * np.float32(scale)) for one in g], variables)
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
    assert set(other) - set(ours) == {"kwargs"} & set(other)
    placed = [name for name, parameter in ours.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert list(other)[: len(placed)] == placed
    for name, parameter in ours.items():
        assert name == "name" or parameter.default == other[name].default, name


def test_every_optimizer_of_keras_but_one() -> None:
    """MultiOptimizer is left out; LossScaleOptimizer is no rule of its own."""
    known = {name for name, value in vars(keras.optimizers).items() if isinstance(value, type)}
    others = {"LossScaleOptimizer", "MultiOptimizer", "Optimizer", "OptimizerMap"}
    assert {type(unit).__name__ for unit in SHARED} == known - others


@pytest.mark.parametrize("optimizer", SHARED, ids=label)
def test_twenty_steps_on_gradients_that_are_given(optimizer: Optimizer) -> None:
    """By the compiled steps, on variables of any shape, what each keeps included."""
    rng = np.random.default_rng(3)
    ours = [rng.normal(size=shape).astype(np.float32) for shape in ((7, 5), (5,), (1, 9), (9, 1), (2, 3, 4))]
    optimizer, other = type(optimizer).from_config(optimizer.get_config()), theirs(optimizer)
    variables = [keras.Variable(w) for w in ours]
    other.build(variables)
    for _ in range(20):
        gradients = [rng.normal(size=w.shape).astype(np.float32) for w in ours]
        other.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        optimizer.apply_gradients(zip(gradients, ours, strict=True))
        assert int(optimizer.iterations) == int(other.iterations)
    for w, variable in zip(ours, variables, strict=True):
        np.testing.assert_allclose(w, np.asarray(variable), rtol=1e-4, atol=2e-5)
    if isinstance(optimizer, optimizers.Adafactor | optimizers.Muon):  # which keep other vectors
        return
    mine = {each.name.rpartition("_")[2]: each for each in optimizer.variables}
    # Keras's Nadam keeps the product of its momenta too, which the number of steps gives.
    held = other.variables[:-1] if isinstance(optimizer, optimizers.Nadam) else other.variables
    assert len(optimizer.variables) == len(held)
    assert mine["iteration"] == 20
    for kept, other_kept in zip(optimizer.variables[2:], held[2:], strict=True):
        np.testing.assert_allclose(kept, np.asarray(other_kept), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("optimizer", SHARED, ids=label)
def test_configurations_go_both_ways(optimizer: Optimizer) -> None:
    other = theirs(optimizer)
    ours, given = optimizer.get_config(), other.get_config()
    assert list(ours)[:11] == list(given)[:11]
    assert ours.keys() == given.keys()
    for name in ours.keys() - {"name"}:
        numbers = isinstance(ours[name], float)
        assert ours[name] == (pytest.approx(given[name], rel=1e-6) if numbers else given[name]), name
    assert optimizers.deserialize(keras.optimizers.serialize(other)).get_config().keys() == ours.keys()
    # By its module: what `keras.optimizers.deserialize` knows by name lacks Keras's own Lamb.
    serialized = {**optimizers.serialize(optimizer), "module": "keras.optimizers"}
    assert type(keras.saving.deserialize_keras_object(serialized)) is type(other)


def test_loss_scaling() -> None:
    """The scale, what a gradient that is not finite does to it, and the steps."""
    rng = np.random.default_rng(5)
    ours = optimizers.LossScaleOptimizer(Adam(0.1), 2.0**10, 3)
    other = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1), 2.0**10, 3)
    w = rng.normal(size=(4, 3)).astype(np.float32)
    variable = keras.Variable(w)
    other.build([variable])
    held = [each.value for each in other.variables]
    values = [variable.value]
    for step in range(12):
        g = rng.normal(size=w.shape).astype(np.float32) * 1024
        if step in (4, 5, 9):
            g[0, 0] = np.inf
        ours.apply_gradients([(g, w)])
        values, held = other.stateless_apply(held, [keras.ops.convert_to_tensor(g)], values)
        np.testing.assert_allclose(w, np.asarray(values[0]), rtol=1e-4, atol=2e-5)
    for kept, theirs_kept in zip(other.variables, held, strict=True):
        kept.assign(theirs_kept)
    assert float(ours.scale_loss(1.0)) == float(other.scale_loss(1.0))
    assert int(ours.iterations) == int(other.inner_optimizer.iterations)


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
