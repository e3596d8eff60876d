"""Accuracies as functions: the value of each line, or of each element, not reduced."""

from __future__ import annotations

from math import prod

import numpy as np

from fastnn._checks import as_number, check_count
from fastnn._numbers import as_numbers
from fastnn.metrics.accuracy import (
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from fastnn.metrics.base import METRICS, MeanMetric
from fastnn.metrics.correlation import ConcordanceCorrelation, PearsonCorrelation
from fastnn.typing import Array, ArrayLike, DoubleArray

__all__ = [
    "binary_accuracy",
    "categorical_accuracy",
    "concordance_correlation",
    "pearson_correlation",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> DoubleArray:
    """1 where (y_pred > threshold) == y_true, else 0, of each element."""
    y, output = as_numbers(y_true, "y_true"), as_numbers(y_pred, "y_pred")
    try:
        return np.asarray(np.equal(output > as_number("threshold", threshold), y), float)
    except ValueError:
        raise _misfit("binary_accuracy", y, output) from None


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> DoubleArray:
    """1 where the largest y_pred stands at the largest y_true, else 0; both (..., classes) give (...,)."""
    return _by_line(CategoricalAccuracy(), y_true, y_pred)


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> DoubleArray:
    """1 where the largest y_pred stands at place y_true, else 0; y_true (...,), y_pred (..., classes)."""
    return _by_line(SparseCategoricalAccuracy(), y_true, y_pred)


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> DoubleArray:
    """1 where fewer than k of a line exceed the one at the largest y_true, else 0; (..., classes) gives (...,)."""
    return _by_line(TopKCategoricalAccuracy(k), y_true, y_pred)


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5, from_sorted_ids: bool = False
) -> DoubleArray:
    """1 where fewer than k of a line exceed the one at place y_true, else 0; y_true (...,), y_pred (..., classes).

    from_sorted_ids: y_pred are class numbers, the best first, and y_true must be one of the first k.
    """
    return _by_line(SparseTopKCategoricalAccuracy(k, from_sorted_ids=from_sorted_ids), y_true, y_pred)


def pearson_correlation(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> DoubleArray:
    """PearsonCorrelation's coefficient along an axis of both, (..., n) gives (...,)."""
    return _along(PearsonCorrelation(), y_true, y_pred, axis)


def concordance_correlation(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> DoubleArray:
    """ConcordanceCorrelation's coefficient along an axis of both, (..., n) gives (...,)."""
    return _along(ConcordanceCorrelation(), y_true, y_pred, axis)


def _along(metric: MeanMetric, y_true: ArrayLike, y_pred: ArrayLike, axis: int) -> DoubleArray:
    output, y = as_numbers(y_pred, "y_pred").astype(float), as_numbers(y_true, "y_true").astype(float)
    if y.shape != output.shape:
        raise _misfit(metric.table_name, y, output)
    axis = check_count(f"{metric.table_name}: axis", axis, -64, 63)
    if not -output.ndim <= axis < output.ndim or output.shape[axis] == 0:
        raise ValueError(f"{metric.table_name}: axis {axis} must be one with numbers of y_pred, {output.shape}")
    return metric.reference(np.moveaxis(y, axis, -1), np.moveaxis(output, axis, -1))


def _by_line(metric: MeanMetric, y_true: ArrayLike, y_pred: ArrayLike) -> DoubleArray:
    """A metric's value for each line of classes along y_pred's last axis."""
    output, y = as_numbers(y_pred, "y_pred").astype(float), as_numbers(y_true, "y_true").astype(float)
    if output.ndim == 0 or output.shape[-1] == 0:
        raise ValueError(f"{metric.table_name} takes y_pred of shape (..., classes), got {output.shape}")
    shape, units = output.shape[:-1], output.shape[-1]
    columns = 1 if metric.kernel.labels else units
    if y.size != prod(shape) * columns:
        raise _misfit(metric.table_name, y, output)
    return metric.reference(y.reshape(-1, columns), output.reshape(-1, units)).reshape(shape)


def _misfit(name: str, y: Array, output: Array) -> ValueError:
    return ValueError(f"{name}: y_true of shape {y.shape} does not go with y_pred of shape {output.shape}")


for _name in __all__:
    globals()[_name].table_family = METRICS.family  # so that none passes for a loss or an activation
