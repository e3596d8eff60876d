"""The activations that Keras has as layers of their own. Each does what ``Activation`` does with one of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn import activations
from fastnn._checks import check_number
from fastnn.layers._axes import along, row_axes, sizes
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS, Layer
from fastnn.layers.core import activation_ops
from fastnn.typing import DoubleArray, Shape

__all__ = ["ELU", "LeakyReLU", "ReLU", "Softmax"]


class _ActivationLayer(Layer):
    """A layer that is one activation, made of the layer's fields."""

    passes_mask = True
    activation: activations.Activation

    def __post_init__(self) -> None:
        self._set("activation", self._made())
        own_input_shape(self)

    def _made(self) -> activations.Activation:
        """The activation. ValueError for fields that it cannot have."""
        raise TypeError(f"{type(self).__name__} has no activation")

    def as_activation(self) -> activations.Activation | None:
        """The layer as the activation of another; None where it works along other axes than the last."""
        return self.activation

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return activation_ops(self.activation, input_shape)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return self.activation.reference(x)


def _check(layer: Layer, name: str, also: str) -> None:
    """ValueError, in Keras's words too, unless the field is a number of at least 0."""
    if getattr(layer, name) is None:
        raise ValueError(f"{type(layer).__name__}: {name} must be a number, got None ({also})")
    check_number(layer, name, 0, also=also)


@LAYERS.add("re_lu")
@dataclass(frozen=True, eq=False, repr=False)
class ReLU(_ActivationLayer):
    """min(x, max_value) if x > threshold else negative_slope * (x - threshold). Any shape -> the same.

    max_value: at least 0, None for no limit; negative_slope, threshold: at least 0.
    """

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0
    name: str | None = None
    input_shape: Any = None

    def _made(self) -> activations.Activation:
        if self.max_value is not None:
            _check(self, "max_value", "max_value of a ReLU layer cannot be a negative value")
        for name in ("negative_slope", "threshold"):
            _check(self, name, f"{name} of a ReLU layer cannot be None or a negative value")
        return activations.ReLU(self.negative_slope, self.max_value, self.threshold)


@LAYERS.add("leaky_re_lu")
@dataclass(frozen=True, eq=False, repr=False)
class LeakyReLU(_ActivationLayer):
    """x if x > 0 else negative_slope * x. Any shape -> the same. The default is Keras's: the activation's is 0.2.

    negative_slope: at least 0.
    """

    negative_slope: float = 0.3
    name: str | None = None
    input_shape: Any = None

    def _made(self) -> activations.Activation:
        _check(self, "negative_slope", "The negative_slope value of a Leaky ReLU layer cannot be None or negative")
        return activations.LeakyReLU(self.negative_slope)


@LAYERS.add("elu")
@dataclass(frozen=True, eq=False, repr=False)
class ELU(_ActivationLayer):
    """x if x > 0 else alpha * (e^x - 1). Any shape -> the same."""

    alpha: float = 1.0
    name: str | None = None
    input_shape: Any = None

    def _made(self) -> activations.Activation:
        return activations.ELU(self.alpha)


@LAYERS.add("softmax")
@dataclass(frozen=True, eq=False, repr=False)
class Softmax(_ActivationLayer):
    """e^x_j / sum over k of e^x_k along an axis. Any shape -> the same.

    axis: -1, the last one, or a list of several, along which the sum goes together; axis 0 is that of the rows.
    """

    axis: Any = -1
    name: str | None = None
    input_shape: Any = None

    def _made(self) -> activations.Activation:
        if isinstance(self.axis, list):
            self._set("axis", tuple(self.axis))
        return activations.softmax

    def as_activation(self) -> activations.Activation | None:
        return self.activation if self.axis == -1 else None

    def output_shape(self, input_shape: Shape) -> Shape:
        row_axes(self, self.axis, input_shape)
        return input_shape

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        axes = row_axes(self, self.axis, input_shape)
        lines = prod(input_shape) // prod(sizes(input_shape, axes))
        return along(input_shape, axes, *activation_ops(self.activation, (lines, prod(sizes(input_shape, axes)))))

    def reference(self, x: DoubleArray) -> DoubleArray:
        axes = tuple(axis + 1 for axis in row_axes(self, self.axis, x.shape[1:]))
        e = np.exp(x - x.max(axes, keepdims=True))
        return np.asarray(e / e.sum(axes, keepdims=True))
