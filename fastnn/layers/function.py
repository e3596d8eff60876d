"""Lambda: a function as a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import shown
from fastnn.layers.base import LAYERS, Layer, check_row
from fastnn.layers.composite import Composite
from fastnn.layers.python import python_ops
from fastnn.layers.tensor import SymbolicError, Tensor
from fastnn.typing import Array, DoubleArray, Shape

__all__ = ["Lambda"]


@LAYERS.add("lambda", "Lambda")
class Lambda(Composite):
    """function(x), as a layer. Any shape -> what the function gives.

    function: of arithmetic, layers and ``fastnn.ops`` it is traced once, and compiled; of NumPy it is called for each
    batch, in Python, with arrays (rows, ...): its gradient is ``gradient(x, d)``, the gradient of the loss by x where d
    is that by function(x), or else it is worked out by central differences, 2 calls for each number of a row.
    output_shape: of one row, where it is not to be found out by calling the function. arguments: what else the function
    is given, by name. A file has the function's name alone: ``load_model`` needs it in custom_objects.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        gradient: Callable[[Any, Any], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, given in (("function", function), ("gradient", gradient)):
            if not callable(given) and (name == "function" or given is not None):
                raise TypeError(f"Lambda: {name} must be a function, got {shown(given)}")
        if mask is not None:
            raise ValueError("Lambda: mask must be None; write a layer with call and compute_mask")
        if arguments is not None and not isinstance(arguments, Mapping):
            raise TypeError(f"Lambda: arguments must be a dict, got {shown(arguments)}")
        self._set("function", function)
        self._set("gradient", gradient)
        self._set("given_shape", output_shape)
        self._set("arguments_given", dict(arguments or {}))

    def call(self, inputs: Any) -> Any:
        """What the function gives; an op in Python where it is of NumPy."""
        if self.gradient is None:
            try:
                return self.function(inputs, **self.arguments_given)
            except SymbolicError:
                pass
            except AttributeError as error:
                if not isinstance(error.obj, Tensor):
                    raise
        if "_python" not in vars(self):
            self._set("_python", _Function(self))
        return vars(self)["_python"](inputs)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The function of an array."""
        return np.asarray(self.function(x, **self.arguments_given))

    def get_config(self) -> dict[str, Any]:
        """What it was made with."""
        config = {"function": self.function, "output_shape": self.given_shape, "arguments": self.arguments_given}
        return {**super().get_config(), **config, "gradient": self.gradient}

    function: Callable[..., Any]
    gradient: Callable[[Any, Any], Any] | None
    given_shape: Any
    arguments_given: dict[str, Any]


class _Function(Layer):
    """A function of NumPy."""

    def __init__(self, owner: Lambda) -> None:
        super().__init__()
        self.owner = owner

    owner: Lambda

    def output_shape(self, *rows: Shape) -> Shape:
        given = self.owner.given_shape
        if given is not None:
            if callable(given):  # of shapes with the rows' axis first
                given = given(*((None, *each) for each in rows))[1:]
            sizes = tuple(given) if isinstance(given, (tuple, list)) else (given,)
            row: Shape = tuple(size for size in sizes if size is not None)
        else:
            row = self._called([np.ones((2, *each)) for each in rows]).shape[1:]
        return row

    def _row(self, *rows: Shape) -> Shape:
        row = self.output_shape(*rows)
        check_row(row)
        return row

    def ops(self, *rows: Shape) -> tuple[Any, ...]:
        return python_ops(self, *rows)

    def _called(self, xs: Any) -> Array:
        xs = list(xs) if isinstance(xs, (tuple, list)) else [xs]
        return np.asarray(self.owner.function(xs[0] if len(xs) == 1 else xs, **self.owner.arguments_given))

    def forward(self, x: Any, weights: Any, training: bool) -> Any:
        """What the function gives."""
        return self._called(x)

    def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
        """The gradient by x: the function's own, or by central differences."""
        if self.owner.gradient is not None:
            return self.owner.gradient(x, d), []
        several = isinstance(x, tuple)
        xs = [np.asarray(each, np.float64) for each in (x if several else (x,))]
        slopes = [self._slopes(xs, place, d) for place in range(len(xs))]
        return (tuple(slopes) if several else slopes[0]), []

    def _slopes(self, xs: list[Array], place: int, d: Array) -> Array:
        flat = xs[place].reshape(len(d), -1)
        found = np.empty(flat.shape, np.float32)
        for number in range(prod(flat.shape[1:])):
            step = 1e-6 * np.maximum(1.0, np.abs(flat[:, number]))
            ends = []
            for sign in (1, -1):
                moved = flat.copy()
                moved[:, number] += sign * step
                ends.append(self._called([*xs[:place], moved.reshape(xs[place].shape), *xs[place + 1 :]]))
            change = (ends[0] - ends[1]).reshape(len(d), -1) / (2 * step[:, None])
            found[:, number] = (change * d.reshape(len(d), -1)).sum(axis=1)
        return found.reshape(xs[place].shape)
