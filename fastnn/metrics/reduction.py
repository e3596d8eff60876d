"""Means and sums of numbers that are worked out elsewhere, and metrics made of a Python function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastnn._checks import check_name, shown
from fastnn._config import serialize
from fastnn._numbers import as_numbers
from fastnn._table import check_family
from fastnn.metrics.base import Metric
from fastnn.serialization import deserialize_keras_object
from fastnn.typing import ArrayLike, DoubleArray

__all__ = ["Mean", "MeanMetricWrapper", "Sum"]


def _of_each_row(
    values: ArrayLike, weight: ArrayLike | None, reduce: Callable[..., Any]
) -> tuple[DoubleArray, DoubleArray]:
    """(weight * value, weight) of each row; what a row has beyond its first axis is reduced."""
    found = as_numbers(values, "values").astype(float)
    if weight is None:
        w = np.ones(len(found) if found.ndim else ())
    else:
        w = as_numbers(weight, "sample_weight").astype(float)
        if w.ndim == found.ndim + 1 and w.shape[-1] == 1:
            w = w[..., 0]
        if found.ndim > w.ndim:
            found = reduce(found, axis=tuple(range(w.ndim, found.ndim)))
        try:
            w = np.broadcast_to(w, found.shape)
        except ValueError:
            raise ValueError(
                f"sample_weight of shape {np.shape(weight)} does not go with values of shape {found.shape}; give a "
                "weight for each value"
            ) from None
        found = np.where(w == 0, 0.0, found) * w
        w = reduce(w, axis=tuple(range(1, w.ndim))) if w.ndim > 1 else w
    return reduce(found, axis=tuple(range(1, found.ndim))) if found.ndim > 1 else found, w


class Sum(Metric):
    """Sum of weight * value. update_state(values, sample_weight): a weight for each row, or for each value."""

    def __init__(self, name: str = "sum", dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.total = self.add_variable((), "zeros", float, name="total")

    def update_state(  # type: ignore[override]
        self, values: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        self.total.assign_add(_of_each_row(values, sample_weight, np.sum)[0].sum())

    def result(self) -> float:
        return float(self.total)

    def __call__(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> float:  # type: ignore[override]
        self.update_state(values, sample_weight)
        return self.result()


class Mean(Metric):
    """Sum of weight * value / sum of weights, 0 where that is 0 / 0; arguments as Sum's."""

    def __init__(self, name: str = "mean", dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.total = self.add_variable((), "zeros", float, name="total")
        self.count = self.add_variable((), "zeros", float, name="count")

    def update_state(  # type: ignore[override]
        self, values: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        found, weight = _of_each_row(values, sample_weight, np.mean)
        self.total.assign_add(found.sum())
        self.count.assign_add(weight.sum())

    def result(self) -> float:
        return float(self.total / self.count) if self.count else 0.0

    def __call__(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> float:  # type: ignore[override]
        self.update_state(values, sample_weight)
        return self.result()


class MeanMetricWrapper(Metric):
    """The mean of fn(y_true, y_pred, **kwargs): a value for each row or element, or one number for a batch.

    One number counts as one row, however many there were. A model that is given a function makes this metric of it,
    and calls it for each batch with the GIL held.
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        check_family(fn, "metric", "loss")
        if not callable(fn):
            raise TypeError(f"MeanMetricWrapper: fn must be a function of (y_true, y_pred), got {shown(fn)}")
        check_name(self, name)
        super().__init__(name or getattr(fn, "name", None) or getattr(fn, "__name__", None), dtype)
        self.fn = fn
        self.kwargs = kwargs
        self.mean = Mean()

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        self.mean.update_state(self.fn(y_true, y_pred, **self.kwargs), sample_weight)

    def result(self) -> float:
        return self.mean.result()

    def get_config(self) -> dict[str, Any]:
        """Its arguments, by name, as JSON: the function by its name."""
        return {**super().get_config(), "fn": serialize(self.fn), **serialize(self.kwargs)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The metric whose arguments ``get_config`` gave."""
        return super().from_config(
            deserialize_keras_object(config) if isinstance(config, Mapping) and "fn" in config else config
        )
