"""Every metric's kernel: a mean metric's sum of rows, an accumulator's state, weights, NaN, and what may go wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import kernels
from fastnn.metrics import METRICS, AccumulatedMetric, LossMetric, MeanMetric, accuracy as accuracies
from support.guarded import SHAPES, Guard, close
from support.metrics import batch, fits
from support.units import label, outputs_for, targets_for, units

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
TALLY_SHAPES = [(0, 3), (1, 1), (40, 1), (1, 3), (6, 2), (35, 3), (7, 17), (2, 200)]


# Mean metrics


def drawn(metric: MeanMetric, rows: int, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(y, output), of steps of 1/8: many outputs are equal to each other, and to the threshold of binary accuracy."""
    output = rng.integers(0, 9, (rows, count)) / 8
    if isinstance(metric, LossMetric):
        output = outputs_for(metric.loss, rng.normal(scale=2.0, size=(rows, count)))
    return targets_for(metric.loss if isinstance(metric, LossMetric) else metric, rows, count, rng), output


@pytest.mark.parametrize("weighted", [False, True])
def test_mean(mean_metric: MeanMetric, dtype: str, weighted: bool, guard: Guard, rng: np.random.Generator) -> None:
    for rows, count in SHAPES:
        y, output = (guard(array, dtype) for array in drawn(mean_metric, rows, count, rng))
        weight = guard(rng.uniform(0.1, 2.0, rows), dtype) if weighted else None
        out, a = guard(np.full(output.shape, np.nan), dtype), guard(np.full(output.shape, np.nan), dtype)
        total, _, _ = mean_metric.kernel(y, output, mean_metric.numbers(), weight=weight, out=out, activated=a)
        values = mean_metric.reference(y.astype(np.float64), output.astype(np.float64))
        values = values * (1.0 if weight is None else weight.astype(np.float64))
        # A loss's own test has the tolerances of its logarithms.
        absolute = 64 * EPS[dtype] * (rows + 1) if isinstance(mean_metric, LossMetric) else 0
        close(total, values.sum(), 0, (count + 16) * EPS[dtype] * np.abs(values).sum() + absolute)


def test_mean_leaves_rows_of_weight_0_out(
    mean_metric: MeanMetric, dtype: str, guard: Guard, rng: np.random.Generator
) -> None:
    y, output = (array.astype(dtype) for array in drawn(mean_metric, 5, 9, rng))
    weight = np.array([0.5, 0, 2.0, 0, 1.0], dtype)
    keep = weight != 0
    good = mean_metric.kernel(y[keep], output[keep], mean_metric.numbers(), weight=weight[keep])[0]
    y[~keep], output[~keep] = -1 if mean_metric.kernel.labels else np.nan, np.nan
    assert mean_metric.kernel(guard(y), guard(output), mean_metric.numbers(), weight=guard(weight))[0] == good


@pytest.mark.parametrize("name", ["categorical_accuracy", "sparse_categorical_accuracy"])
def test_the_first_of_equal_outputs_counts(name: str, dtype: str) -> None:
    kernel = getattr(kernels, name)
    for count in (2, 10, 15, 16, 17, 100):
        for first in range(count):
            output = np.where(np.arange(count) < first, 0.25, 0.5).astype(dtype)[None]
            for wanted in {first, count - 1}:
                y = np.array([wanted], dtype) if kernel.labels else np.eye(count, dtype=dtype)[[wanted]]
                assert kernel(y, output)[0] == (wanted == first)


@pytest.mark.parametrize(
    "unit",
    [unit for unit in units(METRICS) if type(unit).__module__ == accuracies.__name__ and unit.kernel.labels],
    ids=label,
)
def test_no_output_is_right_where_the_label_is_no_class(unit: MeanMetric, dtype: str) -> None:
    for wrong in (-1.0, 3.0, 0.5, np.nan, np.inf, 1e30):
        total, _, _ = unit.kernel(np.array([wrong], dtype), np.array([[0.9, 0.1, 0.0]], dtype), unit.numbers())
        assert total == 0


def test_a_nan_is_never_among_the_top(dtype: str) -> None:
    output = np.array([[np.nan, 0.5, 0.25]], dtype)
    for k in (1, 3):
        for kernel in (kernels.top_k_categorical_accuracy, kernels.sparse_top_k_categorical_accuracy):
            ys = np.arange(3.0)[:, None] if kernel.labels else np.eye(3)[:, None]
            found = [kernel(y.astype(dtype), output, (k,))[0] for y in ys]
            assert found == [0, 1, k == 3]


# Accumulators


def empty(metric: AccumulatedMetric, y: np.ndarray, output: np.ndarray) -> np.ndarray:
    return np.zeros(metric.state_size(output.shape[1], y.shape[1]))


def state_of(
    metric: AccumulatedMetric, y: np.ndarray, output: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    state = empty(metric, y, output)
    metric.kernel(y, output, state, metric.accumulator_numbers(), weight=weight)
    return state


def batches(metric: AccumulatedMetric, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    found = [
        batch(metric, rows, count, rng)
        for rows, count in TALLY_SHAPES
        if any(fits(metric, targets, count) for targets in metric.columns(count))
    ]
    assert found
    return found


@pytest.mark.parametrize("weighted", [False, True])
def test_state(
    accumulated: AccumulatedMetric, dtype: str, weighted: bool, guard: Guard, rng: np.random.Generator
) -> None:
    for y, output in batches(accumulated, rng):
        y, output = guard(y, dtype), guard(output, dtype)
        weight = guard(rng.uniform(0.1, 2.0, len(y)), dtype) if weighted else None
        state = guard(empty(accumulated, y, output))
        accumulated.kernel(y, output, state, accumulated.accumulator_numbers(), weight=weight)
        doubles = (array if array is None else array.astype(np.float64) for array in (y, output, weight))
        close(state, accumulated.reference(*doubles), 1e-12, 1e-12)


def test_batches_add_up(accumulated: AccumulatedMetric, dtype: str, rng: np.random.Generator) -> None:
    """To the bit, wherever the batches are cut."""
    for y, output in batches(accumulated, rng):
        y, output, weight = y.astype(dtype), output.astype(dtype), rng.uniform(0.1, 2.0, len(y)).astype(dtype)
        whole = state_of(accumulated, y, output, weight)
        for cut in {0, 1, len(y) // 2}:
            state = empty(accumulated, y, output)
            for at in (slice(0, cut), slice(cut, None)):
                accumulated.kernel(y[at], output[at], state, accumulated.accumulator_numbers(), weight=weight[at])
            np.testing.assert_array_equal(state, whole)


def test_accumulator_leaves_rows_of_weight_0_out(
    accumulated: AccumulatedMetric, dtype: str, rng: np.random.Generator
) -> None:
    for y, output in batches(accumulated, rng):
        y, output, weight = y.astype(dtype), output.astype(dtype), np.tile([0.0, 1.0, 2.0], len(y))[: len(y)]
        keep = weight != 0
        good = state_of(accumulated, y[keep], output[keep], weight[keep].astype(dtype))
        y[~keep], output[~keep] = np.nan, np.nan
        state = state_of(accumulated, y, output, weight.astype(dtype))
        counted = slice(None, -1 if accumulated.kernel is kernels.column_moments else None)  # which counts all rows
        np.testing.assert_array_equal(state[counted], good[counted])


def test_one_weight_for_all_multiplies_the_counts(accumulated: AccumulatedMetric, rng: np.random.Generator) -> None:
    if accumulated.kernel is kernels.column_moments:
        return
    for y, output in batches(accumulated, rng):
        np.testing.assert_array_equal(
            state_of(accumulated, y, output, np.full(len(y), 2.0)), 2 * state_of(accumulated, y, output)
        )


def test_nan_and_infinite_outputs(accumulated: AccumulatedMetric, dtype: str, rng: np.random.Generator) -> None:
    """NaN is above no threshold, is passed by where the largest is looked for, and is no class; R^2 of it is NaN."""
    for y, output in batches(accumulated, rng):
        if accumulated.kernel is kernels.confusion_counts and accumulated.readings(output.shape[1], y.shape[1])[2] == 1:
            continue  # the largest where there is a NaN is any
        output.flat[::3], output.flat[1::3] = np.nan, rng.choice([np.inf, -np.inf], output.size)[1::3]
        y, output = y.astype(dtype), output.astype(dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            truth = accumulated.reference(y.astype(np.float64), output.astype(np.float64))
        close(state_of(accumulated, y, output), truth, 1e-12, 1e-12)


@pytest.mark.parametrize(
    "thresholds", [(0.5,), (0.1, 0.1), (0.1, 0.10001, 0.9), (0.1, 0.8, 0.85, 0.9), tuple(np.arange(200) / 199)]
)
def test_an_output_at_a_threshold_is_not_above_it(thresholds: tuple[float, ...], dtype: str) -> None:
    """Also just beside it, for thresholds at any distance; in float32 it is the threshold rounded that counts."""
    at = np.array(thresholds, dtype)
    output = np.concatenate([at, np.nextafter(at, 2), np.nextafter(at, -1), np.array([-7, 7], dtype)])
    for value in output:
        state = np.zeros(2 * (len(at) + 1))
        one = np.array([[1]], dtype)
        kernels.threshold_counts(one, value[None, None], state, (0, 0, -1, 0, len(at), *thresholds))
        assert state.nonzero()[0] == [len(at) + 1 + (value > at).sum()]


def test_moments_do_not_suffer_from_a_large_mean() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(1000, 1))
    output = y + 0.1 * rng.normal(size=y.shape)
    near, far = (state_of(METRICS.get("r2_score"), y + mean, output + mean) for mean in (0, 2.0**27))
    close(far[2:4], near[2:4], 1e-6)


def test_bindings(dtype: str) -> None:
    kernel, numbers = kernels.class_counts, (0.0, 0.0)
    y, output, state = np.ones((4, 3), dtype), np.ones((4, 3), dtype), np.zeros(9)
    assert repr(kernel) == "<Kernel class_counts: accumulator>"
    with pytest.raises(ValueError, match=r"state must be a float64 array of shape \(9,\), got float64 \(8,\)"):
        kernel(y, output, state[1:].copy(), numbers)
    with pytest.raises(ValueError, match=r"as many rows, got shapes \(3, 3\) and \(4, 3\)"):
        kernel(y[1:], output, state, numbers)
    with pytest.raises(ValueError, match=r"as many rows, got shapes \(12,\) and \(4, 3\)"):
        kernel(y.ravel(), output, state, numbers)
    with pytest.raises(ValueError, match=r"weight has shape \(3,\), expected \(4,\)"):
        kernel(y, output, state, numbers, weight=np.ones(3, dtype))
    other: Any = "f8" if dtype == "float32" else "f4"
    with pytest.raises(TypeError, match="convert one of them"):
        kernel(y.astype(other), output, state, numbers)
    assert not state.any()
    kernel(y.astype(int), output[:, ::-1], state, numbers)
    assert state.tolist() == [4.0] * 9
