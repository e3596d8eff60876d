"""The activations that Keras has as layers of their own. Each does what ``Activation`` does with one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastnn import activations
from fastnn.layers.base import LAYERS, Layer
from fastnn.layers.core import Activation, _input_shape
from fastnn.typing import Shape


class _ActivationLayer(Layer):
    """A layer that is one activation, made of the layer's fields."""

    activation: activations.Activation

    def __post_init__(self) -> None:
        self._set("activation", self._made())
        _input_shape(self)

    def _made(self) -> activations.Activation:
        """The activation. ValueError for fields that it cannot have."""
        raise NotImplementedError

    def output_shape(self, input_shape: Shape) -> Shape:
        return Activation(self.activation).output_shape(input_shape)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return Activation(self.activation).ops(input_shape)


@LAYERS.add("re_lu")
@dataclass(frozen=True, eq=False)
class ReLU(_ActivationLayer):
    """min(x, max_value) if x > threshold else negative_slope * (x - threshold). Any shape -> the same.

    max_value: at least 0, None for no limit; negative_slope: finite; threshold: at least 0.
    """

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0
    name: str | None = None
    input_shape: Any = None

    def _made(self) -> activations.Activation:
        return activations.ReLU(self.negative_slope, self.max_value, self.threshold)


@LAYERS.add("leaky_re_lu")
@dataclass(frozen=True, eq=False)
class LeakyReLU(_ActivationLayer):
    """x if x > 0 else negative_slope * x. Any shape -> the same. The default is Keras's: the activation's is 0.2."""

    negative_slope: float = 0.3
    name: str | None = None
    input_shape: Any = None

    def _made(self) -> activations.Activation:
        return activations.LeakyReLU(self.negative_slope)


@LAYERS.add("elu")
@dataclass(frozen=True, eq=False)
class ELU(_ActivationLayer):
    """x if x > 0 else alpha * (e^x - 1). Any shape -> the same."""

    alpha: float = 1.0
    name: str | None = None
    input_shape: Any = None

    def _made(self) -> activations.Activation:
        return activations.ELU(self.alpha)


@LAYERS.add("softmax")
@dataclass(frozen=True, eq=False)
class Softmax(_ActivationLayer):
    """e^x_j / sum over k of e^x_k. Rows of one axis -> the same. axis: -1 or 1, that axis; axis 0 is the batch."""

    axis: int = -1
    name: str | None = None
    input_shape: Any = None

    def _made(self) -> activations.Activation:
        if self.axis not in (-1, 1):
            raise ValueError(f"Softmax: axis must be -1 or 1, the only axis of a row of numbers; got {self.axis!r}")
        return activations.softmax
