"""A loss that is a Python function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn._checks import shown
from fastnn._numbers import as_numbers
from fastnn._table import check_family
from fastnn.losses.base import Loss
from fastnn.typing import Array, ArrayLike

__all__ = ["Custom"]

Function = Callable[[Any, Any], Any]


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

    table_name = "custom"
    function: Function

    def __init__(
        self,
        function: Function,
        gradient: Function | None = None,
        name: str | None = None,
        reduction: str = "sum_over_batch_size",
    ) -> None:
        if not callable(function) or not (gradient is None or callable(gradient)):
            raise TypeError(
                f"Custom takes functions of (y_true, y_pred), got {shown(function)} and gradient {shown(gradient)}"
            )
        check_family(function, "loss")
        own = getattr(function, "__name__", type(function).__name__)
        super().__init__(reduction=reduction, name=own if name is None else name)
        object.__setattr__(self, "function", function)
        object.__setattr__(self, "gradient", gradient)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Custom) and vars(self) == vars(other)

    __hash__ = Loss.__hash__

    def kernel_for(self, activation: str) -> tuple[Any, bool]:
        return None, False

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
        """What the function gives for y_true and y_pred as they are."""
        y, output = as_numbers(y_true, "y_true"), as_numbers(y_pred, "y_pred")
        return as_numbers(self.function(y, output), f"loss {self.name!r}")
