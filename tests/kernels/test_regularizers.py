"""Every regulariser's penalty, by its kernel: value, gradient, and that the gradient is added."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.regularizers import REGULARIZERS, OrthogonalRegularizer, Regularizer
from support.bindings import bound, kernels
from support.guarded import SHAPES, SIZES, Guard, close
from support.units import gradient, label, units

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def test_value_and_gradient(regularizer: Regularizer, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    l1, l2 = regularizer.numbers()
    for n in SIZES:
        # Away from 0, where |w| bends.
        w = guard(rng.choice([-1, 1], n) * rng.uniform(0.05, 2.0, n), dtype)
        g = guard(rng.normal(size=n), dtype)
        w_before, g_before = w.copy(), g.copy()
        value = kernels.l1_l2(w, g, l1, l2)
        # All terms are positive: a sum of n of them is off by at most n ulp, in 16 partial sums by far less.
        close(value, regularizer.reference(w), (n / 16 + 16) * EPS[dtype], 1e-300)
        close(regularizer(w), regularizer.reference(w), 1e-12)
        numeric = gradient(lambda w: np.array([regularizer.reference(v) for v in w]), w.astype(float).reshape(-1, 1))
        # The penalty is separable: each weight's difference stands alone. Its own error is near 1e-10.
        close(g - g_before.astype(float), numeric.ravel(), 4 * EPS[dtype], 1e-8 + 8 * EPS[dtype])
        np.testing.assert_array_equal(w, w_before)


def test_gradient_of_the_kernels_own_value(regularizer: Regularizer, rng: np.random.Generator) -> None:
    l1, l2 = regularizer.numbers()
    w = rng.choice([-1, 1], (9, 1)) * rng.uniform(0.05, 2.0, (9, 1))
    g = np.zeros(9)
    kernels.l1_l2(w.ravel(), g, l1, l2)
    numeric = gradient(lambda w: np.array([kernels.l1_l2(v, np.zeros(1), l1, l2) for v in w]), w)
    close(g, numeric.ravel(), 1e-8, 1e-8)


def test_slope_at_0_is_0(regularizer: Regularizer, dtype: str) -> None:
    w, g = np.array([0.0, -0.0] * 17, dtype), np.zeros(34, dtype)
    assert kernels.l1_l2(w, g, *regularizer.numbers()) == 0
    np.testing.assert_array_equal(g, np.zeros(34))


def test_nan_shows_in_the_value(regularizer: Regularizer, dtype: str) -> None:
    for place in range(35):
        w = np.ones(35, dtype)
        w[place] = np.nan
        assert np.isnan(kernels.l1_l2(w, np.zeros(35, dtype), *regularizer.numbers()))


def test_descends(regularizer: Regularizer) -> None:
    """The sign: a small step against the gradient makes the penalty smaller, where there is one."""
    w, g = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    value = kernels.l1_l2(w, g, *regularizer.numbers())
    after = kernels.l1_l2(w - 0.01 * g, np.zeros(3), *regularizer.numbers())
    assert after < value if any(regularizer.numbers()) else after == value == 0


def slope_of(regularizer: Any, w: np.ndarray) -> np.ndarray:
    """Central differences of the reference, one number of w at a time."""
    numeric = np.empty(w.shape)
    for place in np.ndindex(w.shape):
        forth, back = w.astype(float), w.astype(float)
        forth[place] += 1e-6
        back[place] -= 1e-6
        numeric[place] = (regularizer.reference(forth) - regularizer.reference(back)) / 2e-6
    return numeric


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if np.prod(shape) < 200], ids=str)
def test_matrix_value_and_gradient(
    matrix_regularizer: Any, shape: tuple[int, int], dtype: str, guard: Guard, rng: np.random.Generator
) -> None:
    eps = EPS[dtype]
    w, before = guard(rng.normal(size=shape), dtype), rng.normal(size=shape)
    g, original = guard(before, dtype), w.copy()
    value = bound(matrix_regularizer.kernel)(w, g, matrix_regularizer.numbers())
    close(value, matrix_regularizer.reference(w.astype(float)), 64 * eps, 64 * eps)
    close(matrix_regularizer(w), matrix_regularizer.reference(w.astype(float)), 1e-12)
    # What is added to g is rounded with g; the differences' own error is near 1e-10.
    close(g, before.astype(dtype) + slope_of(matrix_regularizer, w), 4 * eps, 1e-8 + 8 * eps)
    np.testing.assert_array_equal(w, original)


def test_matrix_of_many_vectors(matrix_regularizer: Any, dtype: str, rng: np.random.Generator) -> None:
    for shape in ((20, 17), (17, 20), (50, 3)):
        w, g = rng.normal(size=shape).astype(dtype), np.zeros(shape, dtype)
        value = bound(matrix_regularizer.kernel)(w, g, matrix_regularizer.numbers())
        close(value, matrix_regularizer.reference(w), 64 * EPS[dtype])
        slope = slope_of(matrix_regularizer, w)
        close(g, slope, 0, 1e-9 + 64 * EPS[dtype] * np.abs(slope).max())


def test_matrix_known_values() -> None:
    """Two rows at 60 degrees: their product is a half, whatever their lengths; orthogonal rows cost nothing."""
    w, g = np.array([[2.0, 0.0], [0.5, 0.5 * 3**0.5]]), np.zeros((2, 2))
    numbers = OrthogonalRegularizer(1.0).numbers()
    close(kernels.orthogonal(w, g, numbers), 0.5, 1e-15)
    close(g, [[0.0, 3**0.5 / 4], [0.75, -(3**0.5) / 4]], 1e-14, 1e-15)
    assert kernels.orthogonal(np.eye(3), np.zeros((3, 3)), numbers) == 0
    assert OrthogonalRegularizer(1.0)(np.eye(3)) == 0


def test_matrix_with_a_short_or_lone_vector(matrix_regularizer: Any, dtype: str) -> None:
    """Zeros have no direction, and one vector no other: no penalty, no slope, no NaN."""
    numbers = matrix_regularizer.numbers()
    for w in (np.zeros((3, 3)), np.diag([1.0, 0.0, 2.0]), np.ones((1, 1)), np.zeros((0, 3)), np.zeros((3, 0))):
        g = np.zeros(w.shape, dtype)
        assert bound(matrix_regularizer.kernel)(w.astype(dtype), g, numbers) == 0
        assert matrix_regularizer(w) == 0
        np.testing.assert_array_equal(g, np.zeros(w.shape))


def test_matrix_nan_shows_in_the_value(matrix_regularizer: Any, dtype: str) -> None:
    for place in np.ndindex(3, 4):
        w = np.arange(12.0).reshape(3, 4).astype(dtype)
        w[place] = np.nan
        assert np.isnan(bound(matrix_regularizer.kernel)(w, np.zeros((3, 4), dtype), matrix_regularizer.numbers()))


def test_matrix_of_other_axes(matrix_regularizer: Any) -> None:
    for shape in ((3,), (2, 3, 4)):
        with pytest.raises(ValueError, match="orthogonal takes a matrix, got shape"):
            bound(matrix_regularizer.kernel)(np.ones(shape), np.ones(shape), matrix_regularizer.numbers())
        with pytest.raises(ValueError, match="Inputs to OrthogonalRegularizer must have rank 2"):
            matrix_regularizer(np.ones(shape))


def test_matrix_penalty_adds_to_nothing_but_a_fitting_array() -> None:
    for g in (None, np.zeros((2, 3), np.float32), np.zeros((3, 2)), np.zeros((3, 2)).T):
        with pytest.raises(ValueError, match="g must be"):
            kernels.orthogonal(np.ones((2, 3)), g, (0.1, 1.0))


@pytest.mark.parametrize("one", units(REGULARIZERS), ids=label)
def test_from_configuration(one: Regularizer) -> None:
    assert fastnn.regularizers.get(REGULARIZERS.config(one)) == one
    assert fastnn.regularizers.get(one.table_name) == type(one)()
    assert getattr(fastnn.regularizers, one.table_name) is type(one)


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match="factor must be at least 0, got -1"):
        OrthogonalRegularizer(-1)
    with pytest.raises(ValueError, match="mode must be one of rows, columns, got"):
        OrthogonalRegularizer(mode="both")
