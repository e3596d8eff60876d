"""The kernels that only layers use: formulas in NumPy, slopes by central differences, sizes, and what is far off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from support.bindings import kernels
from support.guarded import Guard
from support.units import gradient

ROWS = [1, 2, 15, 16, 17, 33]
COLUMNS = [1, 2, 15, 16, 17, 64, 129]
MERGES: dict[str, tuple[Any, Callable[[list[np.ndarray]], np.ndarray], int]] = {
    "add": (kernels.add_rows, sum, 3),
    "subtract": (kernels.subtract_rows, lambda xs: xs[0] - xs[1], 2),
    "multiply": (kernels.multiply_rows, lambda xs: np.prod(xs, axis=0), 3),
    "average": (kernels.average_rows, lambda xs: sum(xs) / len(xs), 3),
    "maximum": (kernels.maximum_rows, lambda xs: np.max(xs, axis=0), 3),
    "minimum": (kernels.minimum_rows, lambda xs: np.min(xs, axis=0), 3),
}


def batch_norm(x: np.ndarray, gamma: Any = 1.0, epsilon: float = 1e-3) -> np.ndarray:
    return (x - x.mean(0)) / np.sqrt(x.var(0) + epsilon) * gamma


def layer_norm(x: np.ndarray, gamma: Any = 1.0, epsilon: float = 1e-3, centred: bool = True) -> np.ndarray:
    x = x - x.mean(1, keepdims=True) if centred else x
    return x / np.sqrt((x**2).mean(1, keepdims=True) + epsilon) * gamma


def tolerance(dtype: str) -> dict[str, float]:
    return {"rtol": 1e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_formulas_at_every_size(rows: int, columns: int, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    x = guard(rng.normal(1, 2, (rows, columns)), dtype)
    gamma, beta = (guard(rng.normal(size=columns), dtype) for _ in range(2))
    z, wide = x.astype(float), gamma.astype(float)
    mean, variance, shift = kernels.batch_normalization.moments(x)
    np.testing.assert_allclose(mean + shift, z.mean(0), **tolerance(dtype))
    np.testing.assert_allclose(variance, z.var(0), **tolerance(dtype))
    out = guard(np.full((rows, columns), np.nan), dtype)
    a = kernels.affine(x, mean, variance, shift, gamma, beta, epsilon=1e-3, out=out)
    np.testing.assert_allclose(a, batch_norm(z, wide) + beta, **tolerance(dtype))
    for centred in (True, False):
        a = kernels.layer_normalization.forward(x, gamma, beta, 1e-3, centred, out=out)
        np.testing.assert_allclose(a, layer_norm(z, wide, centred=centred) + beta, **tolerance(dtype))
    np.testing.assert_allclose(
        kernels.prelu.forward(x, gamma, out=out), np.where(z > 0, z, wide * z), **tolerance(dtype)
    )
    for kernel, reference, count in MERGES.values():
        xs = [guard(rng.normal(size=(rows, columns)), dtype) for _ in range(count)]
        expected = reference([one.astype(float) for one in xs])
        np.testing.assert_allclose(kernel.forward(xs, out=out), expected, **tolerance(dtype))


@pytest.mark.parametrize("shape", [(1, 3), (5, 1), (17, 2), (3, 18)])
def test_slopes_of_normalisation(shape: tuple[int, int], rng: np.random.Generator) -> None:
    x, d, gamma = rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=shape[1])

    def by_x(f: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Differences of sum of d * f, which any element of x may change."""
        found = gradient(lambda flat: np.array([(d * f(flat.reshape(shape))).sum()]), x.reshape(1, -1))
        return found.reshape(shape)

    d_x, d_gamma, d_beta = kernels.batch_normalization.backward(x, d, gamma, 0.1)
    np.testing.assert_allclose(d_x, by_x(lambda x: batch_norm(x, gamma, 0.1)), atol=1e-8)
    np.testing.assert_allclose(d_gamma, (d * batch_norm(x, 1.0, 0.1)).sum(0), atol=1e-12)
    np.testing.assert_allclose(d_beta, d.sum(0), atol=1e-12)
    for centred in (True, False):
        d_x, d_gamma, d_beta = kernels.layer_normalization.backward(x, d, gamma, 0.1, centred)
        np.testing.assert_allclose(d_x, by_x(lambda x, c=centred: layer_norm(x, gamma, 0.1, c)), atol=1e-8)
        np.testing.assert_allclose(d_gamma, (d * layer_norm(x, 1.0, 0.1, centred)).sum(0), atol=1e-12)
        np.testing.assert_allclose(d_beta, d.sum(0), atol=1e-12)
    d_x, d_alpha = kernels.prelu.backward(x, gamma, d)
    np.testing.assert_allclose(d_x, by_x(lambda x: np.where(x > 0, x, gamma * x)), atol=1e-8)
    np.testing.assert_allclose(d_alpha, (d * np.minimum(x, 0)).sum(0), atol=1e-12)


@pytest.mark.parametrize("name", MERGES)
def test_slopes_of_merges(name: str, rng: np.random.Generator) -> None:
    kernel, reference, count = MERGES[name]
    xs, d = list(rng.normal(size=(count, 3, 18))), rng.normal(size=(3, 18))
    for k, d_x in enumerate(kernel.backward(xs, d)):

        def value(flat: np.ndarray, k: int = k) -> np.ndarray:
            return np.array([(d * reference([*xs[:k], flat.reshape(3, 18), *xs[k + 1 :]])).sum()])

        np.testing.assert_allclose(d_x, gradient(value, xs[k].reshape(1, -1)).reshape(3, 18), atol=1e-8)


def test_of_equal_numbers_the_first_has_the_gradient() -> None:
    xs = [np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 5.0, 3.0]]), np.array([[1.0, 5.0, 0.0]])]
    found = kernels.maximum_rows.backward(xs, np.full((1, 3), 7.0))
    np.testing.assert_array_equal(found, [[[7, 0, 7]], [[0, 7, 0]], [[0, 0, 0]]])
    found = kernels.minimum_rows.backward(xs, np.full((1, 3), 7.0))
    np.testing.assert_array_equal(found, [[[7, 7, 0]], [[0, 0, 0]], [[0, 0, 7]]])


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    ("left", "right", "axes"),
    [((4,), (4,), (1, 1)), ((2, 4), (4, 3), (2, 1)), ((4, 2), (3, 4), (1, 2)), ((2, 4, 3), (4,), (2, 1))],
)
def test_dot(left: Any, right: Any, axes: Any, normalize: bool, dtype: str, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(5, *left)), rng.normal(size=(5, *right))

    def reference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = np.moveaxis(x, axes[0], -1), np.moveaxis(y, axes[1], -1)
        if normalize:
            u, v = (w / np.linalg.norm(w, axis=-1, keepdims=True) for w in (u, v))
        return np.einsum("bpk,bqk->bpq", u.reshape(5, -1, u.shape[-1]), v.reshape(5, -1, v.shape[-1]))

    found = kernels.dot_rows(x.astype(dtype), y.astype(dtype), axes, normalize)
    np.testing.assert_allclose(found, reference(x, y), **tolerance(dtype))
    d = rng.normal(size=found.shape)
    d_x, d_y = kernels.dot_rows(x, y, axes, normalize, d)

    def total(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.array([(d * reference(x.reshape(5, *left), y.reshape(5, *right))).sum()])

    np.testing.assert_allclose(d_x.reshape(1, -1), gradient(lambda x: total(x, y), x.reshape(1, -1)), atol=1e-8)
    np.testing.assert_allclose(d_y.reshape(1, -1), gradient(lambda y: total(x, y), y.reshape(1, -1)), atol=1e-8)


def test_dot_of_a_vector_without_length() -> None:
    x, y = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    assert kernels.dot_rows(x, y, normalize=True)[0, 0, 0] == 0
    d_x, d_y = kernels.dot_rows(x, y, normalize=True, d=np.ones((1, 1, 1), np.float32))
    assert np.isfinite(d_x).all()
    np.testing.assert_array_equal(d_y, 0)


def test_lines_of_a_row_count_as_rows(dtype: str, rng: np.random.Generator) -> None:
    x, d = rng.normal(size=(2, 6, 20)).astype(dtype)
    lines, d_lines, gamma = x.reshape(24, 5), d.reshape(24, 5), rng.normal(size=5).astype(dtype)
    for one, other in zip(
        kernels.batch_normalization.backward(x, d, gamma, repeats=4),
        kernels.batch_normalization.backward(lines, d_lines, gamma),
        strict=True,
    ):
        np.testing.assert_array_equal(one.ravel(), other.ravel())
    for one, other in zip(
        kernels.layer_normalization.backward(x, d, gamma, groups=4),
        kernels.layer_normalization.backward(lines, d_lines, gamma),
        strict=True,
    ):
        np.testing.assert_array_equal(one.ravel(), other.ravel())
    for one, other in zip(
        kernels.prelu.backward(x, gamma, d, repeats=4), kernels.prelu.backward(lines, gamma, d_lines), strict=True
    ):
        np.testing.assert_array_equal(one.ravel(), other.ravel())


@pytest.mark.parametrize("level", [0.0, 1e4, -1e6, 3e7])
def test_moments_of_large_numbers(level: float, rng: np.random.Generator) -> None:
    """What float32 holds of numbers far from 0 is normalised as float64 would do it."""
    x = (level + 10 * rng.normal(size=(1000, 5))).astype(np.float32)
    z = x.astype(float)
    mean, variance, shift = kernels.batch_normalization.moments(x)
    np.testing.assert_allclose(mean.astype(float) + shift, z.mean(0), rtol=1e-7, atol=1e-5)
    np.testing.assert_allclose(variance, z.var(0), rtol=1e-6)
    a = kernels.affine(x, mean, variance, shift, epsilon=1e-3)
    np.testing.assert_allclose(a, batch_norm(z), atol=3e-6)
    a = kernels.layer_normalization.forward(np.ascontiguousarray(x.T))
    np.testing.assert_allclose(a, layer_norm(z.T), atol=5e-6)


def test_moments_of_an_outlier_first(rng: np.random.Generator) -> None:
    """The shift is the first number, which may be nothing like the others."""
    x = rng.normal(size=(4096, 3)).astype(np.float32)
    x[0] = 1e5
    mean, variance, shift = kernels.batch_normalization.moments(x)
    np.testing.assert_allclose(variance, x.astype(float).var(0), rtol=1e-5)
    np.testing.assert_allclose(mean.astype(float) + shift, x.astype(float).mean(0), rtol=1e-3)


def test_constant_columns_become_beta(dtype: str) -> None:
    x, beta = np.full((20, 3), 7.25, dtype), np.array([1, 2, 3], dtype)
    mean, variance, shift = kernels.batch_normalization.moments(x)
    np.testing.assert_array_equal(variance, 0)
    np.testing.assert_array_equal(kernels.affine(x, mean, variance, shift, None, beta, epsilon=1e-3)[3], beta)
    np.testing.assert_array_equal(kernels.layer_normalization.forward(x, None, beta)[3], beta)


def test_not_a_number_stays_in_its_column_and_row(dtype: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(20, 18)).astype(dtype)
    x[4, 17] = np.nan
    mean, variance, _ = kernels.batch_normalization.moments(x)
    assert np.isnan(mean[17])
    assert np.isnan(variance[17])
    assert np.isfinite(mean[:17]).all()
    assert np.isfinite(variance[:17]).all()
    a = kernels.layer_normalization.forward(x)
    assert np.isnan(a[4]).all()
    assert np.isfinite(np.delete(a, 4, 0)).all()
    for kernel, _, count in MERGES.values():
        for k in range(count):
            xs = [x if i == k else np.ones_like(x) for i in range(count)]
            np.testing.assert_array_equal(np.isnan(kernel.forward(xs)), np.isnan(x))
    np.testing.assert_array_equal(np.isnan(kernels.prelu.forward(x, np.ones(18, dtype))), np.isnan(x))


@pytest.mark.parametrize(("root", "factor"), [("added", 1 / np.sqrt(4.5)), ("floored", 0.5), ("inverse", 2.0)])
def test_roots_of_a_variance(root: str, factor: float, dtype: str) -> None:
    x, variance = np.array([[3.0]], dtype), np.array([4.0], dtype)
    a = kernels.affine(x, variance=variance, root=root, epsilon=0.5)
    np.testing.assert_allclose(a, 3 * factor, rtol=1e-6)
    slope = kernels.affine(x, np.ones(1, dtype), variance, beta=np.ones(1, dtype), root=root, epsilon=0.5, slope=True)
    np.testing.assert_allclose(slope, 3 * factor, rtol=1e-6)
    if root == "floored":
        np.testing.assert_allclose(kernels.affine(x, variance=variance, root=root, epsilon=10), 0.3, rtol=1e-6)


def test_bindings_refuse_what_does_not_fit() -> None:
    x = np.zeros((3, 4))
    with pytest.raises(ValueError, match="no rows have no mean"):
        kernels.batch_normalization.moments(x[:0])
    with pytest.raises(ValueError, match="rows of 4 numbers cannot be 3 equal parts"):
        kernels.affine(x, repeats=3)
    with pytest.raises(ValueError, match=r"gamma has shape \(3,\), expected \(4,\)"):
        kernels.layer_normalization.forward(x, np.zeros(3))
    with pytest.raises(ValueError, match="subtract_rows cannot take 3 arrays"):
        kernels.subtract_rows.forward([x, x, x])
    with pytest.raises(ValueError, match="do not fit along axes"):
        kernels.dot_rows(x, np.zeros((3, 5)))
    with pytest.raises(ValueError, match="must have shape"):
        kernels.prelu.forward(np.zeros(3), np.zeros(3))
