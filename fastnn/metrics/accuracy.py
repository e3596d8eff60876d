"""Accuracies: the share of outputs that are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import kernels
from fastnn._checks import check_count, check_number
from fastnn.losses.targets import PROBABILITIES
from fastnn.metrics.base import METRICS, MeanMetric, declared
from fastnn.typing import DoubleArray

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
]


@METRICS.add("accuracy")
@declared
class Accuracy(MeanMetric):
    """Share of units where output == y. For a model, the name "accuracy" means the accuracy that goes with its loss."""

    name: str = "accuracy"
    kernel = kernels.accuracy
    by_element = True

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray((output == y).mean(axis=-1))


@METRICS.add("binary_accuracy")
@declared
class BinaryAccuracy(MeanMetric):
    """Share of units where (output > threshold) == y."""

    name: str = "binary_accuracy"
    threshold: float = 0.5
    kernel = kernels.binary_accuracy
    takes = PROBABILITIES
    by_element = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "threshold", -1e30)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.threshold),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(((output > self.threshold) == y).mean(axis=-1))


@METRICS.add("categorical_accuracy")
@declared
class CategoricalAccuracy(MeanMetric):
    """1 where the largest output stands at the largest y, else 0; the first of equals counts as the largest."""

    name: str = "categorical_accuracy"
    kernel = kernels.categorical_accuracy
    by_row = True

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray((output.argmax(axis=-1) == y.argmax(axis=-1)).astype(float))


@METRICS.add("sparse_categorical_accuracy")
@declared
class SparseCategoricalAccuracy(MeanMetric):
    """1 where the largest output stands at place y, else 0; y (rows, 1) class numbers."""

    name: str = "sparse_categorical_accuracy"
    kernel = kernels.sparse_categorical_accuracy
    by_row = True

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray((output.argmax(axis=-1) == np.asarray(y).reshape(-1)).astype(float))


def among_top(y: DoubleArray, output: DoubleArray, k: int) -> DoubleArray:
    """1 where fewer than k outputs of the row exceed the one at place y, else 0."""
    labels = np.asarray(y).reshape(-1)
    known = np.isin(labels, np.arange(output.shape[1]))
    if not known.any():
        return np.zeros(len(labels))
    own = output[np.arange(len(labels)), np.where(known, labels, 0).astype(int)]
    return np.asarray((((output > own[:, None]).sum(axis=-1) < k) & known & ~np.isnan(own)).astype(float))


@METRICS.add("top_k_categorical_accuracy")
@declared
class TopKCategoricalAccuracy(MeanMetric):
    """1 where fewer than k outputs exceed the one at the largest y, else 0. An output of NaN is never among the top."""

    k: int = 5
    name: str = "top_k_categorical_accuracy"
    kernel = kernels.top_k_categorical_accuracy
    by_row = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(f"{type(self).__name__}: k", self.k)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.k),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return among_top(y.argmax(axis=-1).astype(float), output, self.k)


@METRICS.add("sparse_top_k_categorical_accuracy")
@declared
class SparseTopKCategoricalAccuracy(MeanMetric):
    """1 where fewer than k outputs exceed the one at place y, else 0; y (rows, 1) class numbers.

    from_sorted_ids: the outputs are class numbers, the best first, and y must be one of the first k.
    """

    k: int = 5
    name: str = "sparse_top_k_categorical_accuracy"
    from_sorted_ids: bool = False
    by_row = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(f"{type(self).__name__}: k", self.k)

    @property
    def kernel(self) -> Any:
        return kernels.sorted_top_k_accuracy if self.from_sorted_ids else kernels.sparse_top_k_categorical_accuracy

    def numbers(self) -> tuple[float, ...]:
        return (float(self.k),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        if self.from_sorted_ids:
            return np.asarray((output[:, : self.k] == np.reshape(y, (-1, 1))).any(axis=-1).astype(float))
        return among_top(y, output, self.k)
