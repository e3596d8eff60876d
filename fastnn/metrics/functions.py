"""Accuracies as functions: the value of each row, or of each element, not reduced."""

from __future__ import annotations

import numpy as np

from fastnn.metrics.accuracy import CategoricalAccuracy, SparseTopKCategoricalAccuracy, TopKCategoricalAccuracy
from fastnn.typing import ArrayLike, DoubleArray


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> DoubleArray:
    """1 where (y_pred > threshold) == y_true, else 0, of each element."""
    return np.asarray(np.equal(np.asarray(y_pred) > threshold, y_true), float)


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> DoubleArray:
    """1 where the largest y_pred stands at the largest y_true, else 0; both (rows, classes) give (rows,)."""
    return CategoricalAccuracy().reference(np.asarray(y_true, float), np.asarray(y_pred, float))


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> DoubleArray:
    """1 where the largest y_pred stands at place y_true, else 0; y_true (rows,), y_pred (rows, classes)."""
    return np.asarray(np.equal(np.asarray(y_pred).argmax(axis=-1), np.reshape(y_true, -1)), float)


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> DoubleArray:
    """1 where fewer than k of a row exceed the one at the largest y_true, else 0; (rows, classes) gives (rows,)."""
    return TopKCategoricalAccuracy(k).reference(np.asarray(y_true, float), np.asarray(y_pred, float))


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5, from_sorted_ids: bool = False
) -> DoubleArray:
    """1 where fewer than k of a row exceed the one at place y_true, else 0; y_true (rows,), y_pred (rows, classes).

    from_sorted_ids: y_pred are class numbers, the best first, and y_true must be one of the first k.
    """
    metric = SparseTopKCategoricalAccuracy(k, from_sorted_ids=from_sorted_ids)
    return metric.reference(np.asarray(y_true, float), np.asarray(y_pred, float))
