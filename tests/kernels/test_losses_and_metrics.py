"""Every loss in every way that it is worked out, and every metric: value, gradient, weights, and what may go wrong."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fastnn.activations import ACTIVATIONS
from fastnn.losses import Loss
from support.bindings import kernels, row_values
from support.guarded import SHAPES, Guard, close
from support.units import TARGETS, Way, elementwise, gradient, outputs_for, targets_for, ways

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
SCALE = 0.37


def outputs(way: Way, targets: int) -> int:
    """Columns of output for so many targets, or classes."""
    return 2 * targets if way.kernel.pairs else targets


def output_for(way: Way, z: np.ndarray) -> np.ndarray:
    """What the way's kernel is given: raw outputs, or outputs that the loss takes."""
    return z if way.logits else outputs_for(way.loss, z)


def away_from_kinks(loss: Loss, y: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Targets moved so that no error is within 0.02 of 0 (mae bends there) or of huber's delta."""
    if loss.kernel.labels or loss.table_name in TARGETS:
        return y
    error = output - y
    for kink in (0.0, getattr(loss, "delta", 0.0), -getattr(loss, "delta", 0.0)):
        near = np.abs(error - kink) < 0.02
        error = np.where(near, kink + np.where(error < kink, -0.02, 0.02), error)
    return output - error


def value_tolerance(dtype: str, units: int, z: np.ndarray) -> tuple[float, float]:
    """(relative, absolute) error of a total: one rounding for each unit in a row's sum, some ulp of the logarithm.

    A cross-entropy is a difference of logits, whose error is one of the largest logit's ulps.
    """
    largest = float(np.abs(z, where=np.isfinite(z), out=np.zeros(z.shape)).max(initial=1.0))
    return (units + 16) * EPS[dtype], 4 * EPS[dtype] * largest * len(z)


@pytest.mark.parametrize("weighted", [False, True])
def test_value(way: Way, dtype: str, weighted: bool, guard: Guard, rng: np.random.Generator) -> None:
    for rows, targets in SHAPES:
        count = outputs(way, targets)
        z = guard(output_for(way, rng.normal(scale=3.0, size=(rows, count))), dtype)
        y = guard(targets_for(way.loss, rows, count, rng), dtype)
        weight = guard(rng.uniform(0.1, 2.0, rows), dtype) if weighted else None
        d, a = guard(np.full(z.shape, np.nan), dtype), guard(np.full(z.shape, np.nan), dtype)
        before = z.copy(), y.copy()
        total, d_out, a_out = way.kernel(y, z, way.loss.numbers(), weight=weight, out=d, activated=a)
        assert d_out is d
        assert a_out is a
        values = way.reference(y, z) * (1.0 if weight is None else weight.astype(np.float64))
        relative, absolute = value_tolerance(dtype, count, z)
        close(total, values.sum(), 0, relative * np.abs(values).sum() + absolute)
        assert not np.isnan(d).any()
        if way.after:
            truth = ACTIVATIONS.get(way.after).reference(z.astype(np.float64))
            close(a, truth, 40 * EPS[dtype], 1e-40)  # softmax's tolerance in test_activations.py
        elif not way.logits:
            np.testing.assert_array_equal(a, z)
        for array, was in zip((z, y), before, strict=True):
            np.testing.assert_array_equal(array, was)


def drawn(way: Way, rows: int, targets: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    count = outputs(way, targets)
    z = output_for(way, rng.normal(scale=2.0, size=(rows, count)))
    return z, away_from_kinks(way.loss, targets_for(way.loss, rows, count, rng), z)


@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_of_the_reference(way: Way, weighted: bool, guard: Guard, rng: np.random.Generator) -> None:
    for rows, count in SHAPES[:-1]:
        z, y = drawn(way, rows, count, rng)
        weight = rng.uniform(0.1, 2.0, rows) if weighted else np.ones(rows)
        d = guard(np.full_like(z, np.nan))
        way.kernel(guard(y), guard(z), way.loss.numbers(), weight=guard(weight), scale=SCALE, out=d)
        numeric = gradient(lambda z, y=y, weight=weight: SCALE * weight * way.reference(y, z), z)
        # units.gradient's own error is near 1e-10; the third derivative of log at 0.02 brings it to 1e-6 of a slope.
        close(d, numeric, 2e-6, 1e-8)


def test_gradient_of_the_kernels_own_value(way: Way, rng: np.random.Generator) -> None:
    z, y = drawn(way, 6, 7, rng)
    numbers = way.loss.numbers()

    def own(z: np.ndarray) -> np.ndarray:
        return np.array([way.kernel(y[i : i + 1], z[i : i + 1], numbers)[0] for i in range(len(z))])

    close(way.kernel(y, z, numbers)[1], gradient(own, z), 2e-6, 1e-8)


def test_float32_gradient_follows_float64(way: Way, guard: Guard, rng: np.random.Generator) -> None:
    numbers = way.loss.numbers()
    for rows, count in SHAPES:
        z, y = (array.astype(np.float32) for array in drawn(way, rows, count, rng))
        weight = rng.uniform(0.1, 2.0, rows).astype(np.float32)
        out = guard(np.full(z.shape, np.nan), "f4")
        total, _, _ = way.kernel(guard(y), guard(z), numbers, weight=guard(weight), scale=SCALE, out=out)
        z64, y64, weight64 = (array.astype(np.float64) for array in (z, y, weight))
        total64, d64, _ = way.kernel(y64, z64, numbers, weight=weight64, scale=SCALE)
        close(total, total64, 1e-5, 1e-6)
        # A few ulp of each term; the terms of one slope are at most the largest of its row, and 1.
        rounding = 4e-6 * np.maximum(1.0, np.abs(d64).max(axis=1, initial=0.0, keepdims=True))
        assert (np.abs(out - d64) <= rounding).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_row_does_not_depend_on_the_rows_around_it(
    way: Way, dtype: str, weighted: bool, guard: Guard, rng: np.random.Generator
) -> None:
    """Its slopes and output have the same bits alone and in any block, and so has a block's total wherever it lies."""
    numbers = way.loss.numbers()
    for count in (1, 3, 7, 10, 17, 65, 300):
        z, y = (array.astype(dtype) for array in drawn(way, 37, count, rng))
        weight = rng.uniform(0.1, 2.0, 37).astype(dtype) if weighted else None
        _, slopes, a = way.kernel(y, z, numbers, weight=weight, scale=SCALE)
        cuts = [0, 1, 2, 5, 18, 34, 37]
        for start, stop in [*pairwise(cuts), *((row, row + 1) for row in range(3, 37, 7))]:
            at = slice(start, stop)
            part = weight[at].copy() if weight is not None else None
            total, *found = way.kernel(y[at].copy(), z[at].copy(), numbers, weight=part, scale=SCALE)
            np.testing.assert_array_equal(found[0], slopes[at])
            np.testing.assert_array_equal(found[1], a[at])
            shifted = guard(weight[at]) if weight is not None else None
            assert way.kernel(guard(y[at]), guard(z[at]), numbers, weight=shifted, scale=SCALE)[0] == total


@pytest.mark.parametrize("weighted", [False, True])
def test_many_rows_are_added_up(way: Way, dtype: str, weighted: bool, rng: np.random.Generator) -> None:
    """Also beyond what is held at once: the total and slopes of 700 rows are those of its hundreds."""
    for count in (2 if "categorical" in way.loss.table_name else 1, 300):
        z, y = (array.astype(dtype) for array in drawn(way, 700, count, rng))
        weight = rng.uniform(0.1, 2.0, 700).astype(dtype) if weighted else np.ones(700, dtype)
        weight[::5] = 0 if weighted else 1
        total, d, _ = way.kernel(y, z, way.loss.numbers(), weight=weight if weighted else None)
        values = weight.astype(np.float64) * way.reference(y, z)
        relative, _ = value_tolerance(dtype, count, z)
        close(total, values.sum(), 0, relative * np.abs(values).sum())
        for start in range(0, 700, 100):
            at = slice(start, start + 100)
            part = way.kernel(y[at], z[at], way.loss.numbers(), weight=weight[at])[1]
            close(d[at], part, 0 if weighted else 4 * EPS[dtype])


def test_probabilities_of_exactly_0_and_1(probability_way: Way, dtype: str) -> None:
    """Keras's clip: the value is finite, and outside the clip nothing moves it."""
    loss, kernel, _ = probability_way
    output = np.eye(3)[[0, 1, 2, 0]].astype(dtype)
    for wanted in ([0, 1, 2, 0], [1, 2, 0, 2]):
        y = np.array(wanted, float) if kernel.labels else np.eye(3)[wanted]
        total, d, _ = kernel(y.astype(dtype), output, loss.numbers())
        truth = loss.reference(y, output.astype(np.float64)).sum()
        # In float32 the nearest to 1 - 1e-7 is 1 - 1.19e-7: log(1.19e-7) is 1.1 % off, as it is in Keras.
        close(total, truth, 0.012 if dtype == "float32" else 1e-9, 1e-6)
        np.testing.assert_array_equal(d, np.zeros_like(d))


def class_targets(way: Way, classes: list[int], count: int, dtype: str) -> np.ndarray:
    return np.array(classes, dtype) if way.kernel.labels else np.eye(count, dtype=dtype)[classes]


def test_fused_with_huge_logits(logit_way: Way, dtype: str) -> None:
    z = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 5.0], [1e4, 1e4, 1e4], [-1e4, -1e4, -1e4], [1e4, 9.999e3, 0]], dtype)
    for target in range(3):
        y = class_targets(logit_way, [target] * len(z), 3, dtype)
        total, d, _ = logit_way.kernel(y, z, logit_way.loss.numbers())
        relative, absolute = value_tolerance(dtype, 3, z)
        close(total, logit_way.reference(y, z).sum(), relative, absolute)
        assert np.isfinite(d).all()
        assert (np.abs(d) <= 1 + 4 * EPS[dtype]).all()


def test_fused_with_infinite_logits(logit_way: Way, dtype: str) -> None:
    """The limit where there is one: 0 more for a class that is not the target's, else beyond all numbers."""
    activation = ACTIVATIONS.get(logit_way.after or next(iter(logit_way.loss.fused)))
    infinities = [-np.inf, np.inf] if elementwise(activation) else [-np.inf]
    for infinity in infinities:
        for target in range(3):
            z = np.array([[infinity, 0.5, -0.3]], dtype)
            y = class_targets(logit_way, [target], 3, dtype)
            total, d, a = logit_way.kernel(y, z, logit_way.loss.numbers())
            limit = logit_way.reference(y, np.clip(z, -1e6, 1e6)).sum()
            if limit < 100:
                close(total, limit, 1e-6)
            else:
                assert total > 1e34
            finite = logit_way.kernel(y, np.clip(z, -1e4, 1e4), logit_way.loss.numbers())
            np.testing.assert_array_equal(d, finite[1])
            np.testing.assert_array_equal(a, finite[2])


def test_nan_makes_the_total_nan(way: Way, dtype: str, rng: np.random.Generator) -> None:
    z, y = (array.astype(dtype) for array in drawn(way, 3, 17, rng))
    for place in range(z.size):
        bad = z.copy()
        bad.flat[place] = np.nan
        assert np.isnan(way.kernel(y, bad, way.loss.numbers())[0])
    for place in range(y.size):
        bad = y.copy()
        bad.flat[place] = np.nan
        assert np.isnan(way.kernel(bad, z, way.loss.numbers())[0])


@pytest.mark.parametrize("wrong", [-1.0, 5.0, 1.5, np.nan, 1e30, -1e30, np.inf, -np.inf, -0.5, 4.5, 2.0**31, 2.0**63])
def test_invalid_labels(label_way: Way, dtype: str, wrong: float, guard: Guard, rng: np.random.Generator) -> None:
    for row in range(4):
        z = output_for(label_way, rng.normal(size=(4, 5)))
        y = rng.integers(0, 5, 4).astype(float)
        y[row] = wrong
        out, a = guard(np.full(z.shape, np.nan), dtype), guard(np.full(z.shape, np.nan), dtype)
        total, _, _ = label_way.kernel(guard(y, dtype), guard(z, dtype), label_way.loss.numbers(), out=out, activated=a)
        assert np.isnan(total)


def assert_left_out(unit: Any, kernel: Any, z: np.ndarray, y: np.ndarray, guard: Guard, gradients: bool) -> None:
    """Rows of weight 0 hold NaN, or the label -1, and change nothing."""
    dtype = z.dtype
    weight = np.array([0.5, 0, 2.0, 0, 1.0], dtype)
    bad_z, bad_y = z.copy(), y.copy()
    bad_z[weight == 0] = np.nan
    bad_y[weight == 0] = -1 if kernel.labels else np.nan
    out = guard(np.full(z.shape, 7.0), dtype)
    total, d, _ = kernel(guard(bad_y), guard(bad_z), unit.numbers(), weight=guard(weight), out=out)
    keep = weight != 0
    good_total, good_d, _ = kernel(y[keep], z[keep], unit.numbers(), weight=weight[keep])
    assert total == good_total
    if gradients:
        np.testing.assert_array_equal(d[keep], good_d)
        np.testing.assert_array_equal(d[~keep], np.zeros_like(d[~keep]))


def test_loss_leaves_rows_of_weight_0_out(way: Way, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    z, y = (array.astype(dtype) for array in drawn(way, 5, 9, rng))
    assert_left_out(way.loss, way.kernel, z, y, guard, gradients=True)


def test_called_on_arrays(loss: Loss, rng: np.random.Generator) -> None:
    """A loss called as a function is the mean over the rows that it counts of weight * value."""
    [way, *_] = ways(loss)
    z, y = drawn(way, 6, 3, rng)
    weight = rng.uniform(0.1, 2.0, 6)
    mask = loss.mask(y)
    values = loss.reference(y, z) / (1 if mask is None else mask.mean())
    close(loss(y, z), values.mean(), 1e-12)
    close(loss(y, z, sample_weight=weight), (weight * values).mean(), 1e-12)
    close(loss(y.astype("f4"), z.astype("f4")), values.mean(), 1e-5)


def test_values_are_those_of_rows_alone(way: Way, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    for rows in (0, 1, 7, 40):
        z, y = (array.astype(dtype) for array in drawn(way, rows, 5, rng))
        numbers = way.loss.numbers()
        found = row_values(way.kernel, guard(y), guard(z), numbers)
        alone = [way.kernel(y[i : i + 1], z[i : i + 1], numbers)[0] for i in range(rows)]
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.array(alone, dtype))


def row_by_row(way: Way, y: np.ndarray, z: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The batch's value with one row of z after the other replaced by that of `moved`."""
    batches = np.tile(z.astype(np.float64), (len(z), 1, 1))
    batches[np.arange(len(z)), np.arange(len(z))] = moved
    return np.array([way.reference(y, one) for one in batches])


def test_whole_batch(whole_way: Way, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    """(sum of weights) * the batch's one value; a weight multiplies it and takes no row out of it."""
    way = whole_way
    for rows, count in SHAPES:
        z = guard(output_for(way, rng.normal(size=(rows, count))), dtype)
        y = guard(targets_for(way.loss, rows, count, rng), dtype)
        value = way.reference(y, z)
        for weight in (None, rng.uniform(0.1, 2.0, rows), np.zeros(rows), np.arange(rows) % 2):
            given = None if weight is None else guard(weight, dtype)
            d = guard(np.full(z.shape, np.nan), dtype)
            total, _, a = way.kernel(y, z, way.loss.numbers(), weight=given, scale=SCALE, out=d)
            weights = rows if weight is None else float(given.sum(dtype=np.float64))
            close(total, weights * value, 1e-5 if dtype == "float32" else 1e-12)
            np.testing.assert_array_equal(a, z)

            if count < 20:
                slopes = SCALE * weights * gradient(partial(row_by_row, way, y, z), z.astype(np.float64))
                close(d, slopes, 1e-4 if dtype == "float32" else 1e-6, 1e-6 if dtype == "float32" else 1e-8)


def test_nan_makes_a_whole_batch_nan(whole_way: Way, dtype: str) -> None:
    z, y = np.full((3, 4), 0.5, dtype), np.ones((3, 4), dtype)
    for bad in (z, y):
        bad[1, 2] = np.nan
        assert np.isnan(whole_way.kernel(y, z, whole_way.loss.numbers())[0])
        bad[1, 2] = 0.5


def test_two_outputs_for_each_target(dtype: str) -> None:
    """The binding tells an odd number of outputs; k targets go with 2 k outputs."""
    with pytest.raises(ValueError, match="gaussian_nll takes two outputs for each target, got 3 outputs"):
        kernels.gaussian_nll(np.zeros((2, 1), dtype), np.zeros((2, 3), dtype), (1e-6,))
    with pytest.raises(ValueError, match="y has shape"):
        kernels.gaussian_nll(np.zeros((2, 4), dtype), np.zeros((2, 4), dtype), (1e-6,))
    z = np.array([[1.0, -500.0], [1.0, 500.0], [1.0, -500.0], [1e10, 80.0]], dtype)
    total, d, _ = kernels.gaussian_nll(np.array([[1.0], [9.0], [1.001], [0.0]], dtype), z, (1e-6,))
    assert np.isfinite(total)
    assert np.isfinite(d).all()


def test_generalized_cross_entropy_of_0(dtype: str) -> None:
    """The value is exact; the slope, infinite there, is a large number."""
    total, d, _ = kernels.categorical_generalized_cross_entropy(
        np.array([0.0], dtype), np.array([[0.0, 1.0]], dtype), (0.5,)
    )
    assert total == 2
    close(d, np.array([[-1e15, 0]]), 1e-4)
