"""A loss that is a Python function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn._table import check_family
from fastnn.losses.base import Loss
from fastnn.typing import Array, ArrayLike, FloatArray

__all__ = ["Custom"]

Function = Callable[[Any, Any], Any]

STEP = 6e-6  # the cube root of float64's epsilon: the two errors of a central difference meet there
MOST = 1024  # outputs of a batch whose slopes are found one by one


class Custom(Loss):
    """A Python function of (y_true, y_pred), both (rows, ..., units), as a loss: a value for each line, that is of
    shape (rows, ...), for each row or one for the batch.

    gradient(y_true, y_pred) gives the slope of each value by its line's outputs, its row's or all, (rows, ..., units).
    Without one the slopes are central differences in float64: two calls of the function for each output that goes with
    a value, where a line's value, or a row's, may depend on that line or row alone; at most 1,024 outputs where it
    gives one value for the batch. The function runs in Python, once or more for each batch, while other Python threads
    wait (the GIL), so a step costs what the function costs; a loss by name runs compiled.

    TypeError if function or gradient cannot be called; ValueError, at the first use, if they give another shape.
    """

    kernel = None
    table_name = "custom"
    function: Function
    gradient: Function | None

    def __init__(
        self,
        function: Function,
        gradient: Function | None = None,
        name: str | None = None,
        reduction: str = "sum_over_batch_size",
    ) -> None:
        if not callable(function) or not (gradient is None or callable(gradient)):
            raise TypeError(f"Custom takes functions of (y_true, y_pred), got {function!r} and gradient {gradient!r}")
        check_family(function, "loss")
        own = getattr(function, "__name__", type(function).__name__)
        super().__init__(reduction=reduction, name=own if name is None else name)
        object.__setattr__(self, "function", function)
        object.__setattr__(self, "gradient", gradient)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Custom) and vars(self) == vars(other)

    __hash__ = Loss.__hash__

    @property
    def labels(self) -> bool:
        return False

    def kernel_for(self, activation: str) -> tuple[Any, bool]:
        return None, False

    def targets(self, units: int) -> int:
        return units

    def values(self, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
        """What the function gives for y_true and y_pred as they are."""
        return np.asarray(self.function(np.asarray(y_true), np.asarray(y_pred)))

    def value_and_gradient(
        self, y: FloatArray, output: FloatArray, weight: FloatArray | None, scale: float
    ) -> tuple[float, FloatArray]:
        """(sum over lines of weight * value, scale * weight * its slopes, (rows, ..., units)) for a batch.

        y, output (rows, ..., units); weight (rows,) or (rows, ...), None for ones. What weighs 0 adds nothing. A value
        of a row, or of the batch, counts for each of its lines.
        """
        values = self._checked(y, output)
        weights = np.ones(output.shape[:-1])
        if weight is not None:
            weights = weights * weight.reshape(weight.shape + (1,) * (weights.ndim - weight.ndim))
        counts = weights.sum(axis=tuple(range(values.ndim, weights.ndim)))
        factor = (scale * counts).reshape(values.shape + (1,) * (output.ndim - values.ndim))
        d = np.where(factor == 0, 0, factor * self._slopes(y, output, values.ndim))
        return float(np.where(counts == 0, 0, counts * values).sum()), d.astype(np.float32)

    def _checked(self, y: Array, output: Array) -> Array:
        values = np.asarray(self.function(y, output), np.float64)
        if values.ndim >= output.ndim or values.shape != output.shape[: values.ndim]:
            each = "row" if output.ndim == 2 else "line"
            raise ValueError(
                f"loss {self.name!r} gave an array of shape {values.shape} for {len(output)} rows of "
                f"{', '.join(map(str, output.shape[1:]))} output(s); it must give one value for each {each}, shape "
                f"{output.shape[:-1]}, or one for the batch: take the mean over the last axis"
            )
        return values

    def _slopes(self, y: Array, output: Array, axes: int) -> Array:
        """The slopes of values that have the first so many axes of the output."""
        if self.gradient is not None:
            slopes = np.asarray(self.gradient(y, output), np.float64)
            if slopes.shape != output.shape:
                raise ValueError(
                    f"the gradient of loss {self.name!r} has shape {slopes.shape}; it must have that of y_pred, "
                    f"{output.shape}"
                )
            return slopes
        if axes == 0 and output.size > MOST:
            raise ValueError(
                f"loss {self.name!r} gives one value for {output.size} outputs, which is too many to find its slopes "
                f"by differences (at most {MOST}); give Custom a gradient, or a function with a value for each row"
            )
        y, output = y.astype(np.float64), output.astype(np.float64)
        slopes = np.empty_like(output)
        for own in np.ndindex(*output.shape[axes:]):
            place = (slice(None),) * axes + own
            forth, back = output.copy(), output.copy()
            step = STEP * np.maximum(1, np.abs(output[place]))
            forth[place] += step
            back[place] -= step
            slopes[place] = (self._checked(y, forth) - self._checked(y, back)) / (forth[place] - back[place])
        return slopes
