"""Metrics: what is measured of a network's output beside its loss; the mean over rows.

A metric's kernel has the signature of a loss's, so a loss can be measured too. "accuracy" becomes binary, categorical
or sparse categorical accuracy by the shapes of target and output, as in Keras.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import kernels
from fastnn._table import Table, check_number
from fastnn.typing import DoubleArray


@dataclass(frozen=True)
class Metric:
    """A metric of y (rows, targets) and output (rows, units)."""

    table_name: ClassVar[str]
    kernel: ClassVar[Any]

    def numbers(self) -> tuple[float, ...]:
        """The metric's own numbers, as its kernel reads them."""
        return ()

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        """Each row's value, in float64: (rows,)."""
        raise TypeError(f"{type(self).__name__} has no reference")


METRICS: Table[Metric] = Table("metric", Metric)


@METRICS.add("mean_squared_error", "mse", "MSE")
class MeanSquaredError(Metric):
    """mean over units of (output - y)^2."""

    kernel = kernels.mean_squared_error

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(((output - y) ** 2).mean(axis=-1))


@METRICS.add("mean_absolute_error", "mae", "MAE")
class MeanAbsoluteError(Metric):
    """mean over units of |output - y|."""

    kernel = kernels.mean_absolute_error

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(np.abs(output - y).mean(axis=-1))


@METRICS.add("binary_accuracy")
@dataclass(frozen=True)
class BinaryAccuracy(Metric):
    """Share of units where (output > threshold) == y."""

    threshold: float = 0.5
    kernel = kernels.binary_accuracy

    def __post_init__(self) -> None:
        check_number(self, "threshold", -1e30)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.threshold),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(((output > self.threshold) == y).mean(axis=-1))


@METRICS.add("categorical_accuracy")
class CategoricalAccuracy(Metric):
    """1 where the largest output stands at the largest y, else 0; the first of equals counts as the largest."""

    kernel = kernels.categorical_accuracy

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray((output.argmax(axis=-1) == y.argmax(axis=-1)).astype(float))


@METRICS.add("sparse_categorical_accuracy")
class SparseCategoricalAccuracy(Metric):
    """1 where the largest output stands at place y, else 0; y (rows, 1) class numbers."""

    kernel = kernels.sparse_categorical_accuracy

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray((output.argmax(axis=-1) == np.asarray(y).reshape(-1)).astype(float))


def get(identifier: Any) -> Metric:
    """A metric from its name, class, instance or configuration. ValueError for an unknown name."""
    if isinstance(identifier, dict):
        return METRICS.from_config(identifier)
    return METRICS.get(identifier)


def resolve(identifier: Any, targets: int, units: int) -> tuple[str, Metric]:
    """(the name in logs, the metric) for outputs of `units` columns and targets of `targets` columns.

    ValueError for an unknown name, and for a metric that does not go with these shapes.
    """
    if isinstance(identifier, str) and identifier in ("accuracy", "acc"):
        metric: Metric
        if units == 1:
            metric = BinaryAccuracy()
        elif targets == 1:
            metric = SparseCategoricalAccuracy()
        else:
            metric = CategoricalAccuracy()
        return identifier, metric
    metric = get(identifier)
    name = identifier if isinstance(identifier, str) else metric.table_name
    wanted = 1 if metric.kernel.labels else units
    if targets != wanted:
        raise ValueError(
            f"metric {name!r} takes {wanted} target column(s) for {units} output(s), but this loss has {targets}; "
            "choose the metric that goes with the loss, or 'accuracy'"
        )
    return name, metric
