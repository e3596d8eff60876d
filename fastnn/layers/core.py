"""The layers: Input, Dense, Activation, Dropout, Flatten."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from fastnn import activations, initializers, regularizers
from fastnn._table import check_count, check_number
from fastnn.engine.ops import ActivationOp, DenseOp, DropoutOp
from fastnn.layers.base import LAYERS, Layer, Parameter, check_shape
from fastnn.typing import Shape


def _input_shape(layer: Any) -> None:
    """Settle `input_shape` from itself or from `input_dim`."""
    if layer.input_shape is not None:
        layer._set("input_shape", check_shape(layer, "input_shape", layer.input_shape))
    if getattr(layer, "input_dim", None) is not None:
        dim = (check_count(f"{type(layer).__name__}: input_dim", layer.input_dim),)
        if layer.input_shape not in (None, dim):
            raise ValueError(f"Dense: input_dim {dim[0]} and input_shape {layer.input_shape} disagree; give one")
        layer._set("input_shape", dim)


@LAYERS.add("input", "InputLayer")
@dataclass(frozen=True, eq=False)
class Input(Layer):
    """Says what one row of the input looks like: ``Input((784,))``, ``Input(shape=(28, 28))``."""

    shape: Shape
    name: str | None = None

    def __post_init__(self) -> None:
        self._set("shape", check_shape(self, "shape", self.shape))

    @property
    def input_shape(self) -> Shape:
        """Shape of one row."""
        return self.shape


@LAYERS.add("dense")
@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """activation(x . kernel + bias). (inputs,) -> (units,); kernel (inputs, units), bias (units,).

    units: at least 1. activation, kernel_initializer, bias_initializer, kernel_regularizer: a name or an object.
    input_dim or input_shape: what the model's first layer reads. TypeError, ValueError for what cannot be.
    """

    units: int
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    input_dim: int | None = None
    input_shape: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        self._set("units", check_count(f"{type(self).__name__}: units", self.units))
        self._set("activation", activations.get(self.activation))
        self._set("use_bias", bool(self.use_bias))
        self._set("kernel_initializer", initializers.get(self.kernel_initializer))
        self._set("bias_initializer", initializers.get(self.bias_initializer))
        self._set("kernel_regularizer", regularizers.get(self.kernel_regularizer))
        _input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(
                f"Dense expects rows of one axis (features,), got rows of shape {input_shape}; "
                "put a Flatten layer before it"
            )
        return (self.units,)

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        kernel = Parameter("kernel", (input_shape[0], self.units), self.kernel_initializer, self.kernel_regularizer)
        bias = Parameter("bias", (self.units,), self.bias_initializer)
        return (kernel, bias) if self.use_bias else (kernel,)

    def op(self, input_shape: Shape) -> Any:
        return DenseOp(
            input_shape[0],
            self.units,
            self.use_bias,
            activation=self.activation.kernel,
            numbers=self.activation.numbers(),
        )


@LAYERS.add("activation")
@dataclass(frozen=True, eq=False)
class Activation(Layer):
    """activation(x), as a layer of its own. Any shape -> the same; softmax runs along the last axis.

    activation: a name or an object. A softmax and its kin take rows of one axis.
    """

    activation: Any
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self._set("activation", activations.get(self.activation))
        _input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1 and isinstance(self.activation, activations.RowActivation):
            raise ValueError(
                f"Activation {self.activation.table_name!r} expects rows of one axis, got rows of shape {input_shape}; "
                "put a Flatten layer before it"
            )
        return input_shape

    def op(self, input_shape: Shape) -> Any:
        return ActivationOp(prod(input_shape), activation=self.activation.kernel, numbers=self.activation.numbers())


@LAYERS.add("dropout")
@dataclass(frozen=True, eq=False)
class Dropout(Layer):
    """While training: 0 with probability rate, else x / (1 - rate). Otherwise x. Any shape -> the same.

    rate: at least 0 and below 1. Source: Srivastava et al. 2014.
    """

    rate: float
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_number(self, "rate", 0, 1, open_high=True)
        self._set("rate", float(self.rate))
        _input_shape(self)

    def op(self, input_shape: Shape) -> Any:
        return DropoutOp(prod(input_shape), self.rate)


@LAYERS.add("flatten")
@dataclass(frozen=True, eq=False)
class Flatten(Layer):
    """Rows of any shape -> rows of one axis: (28, 28) -> (784,)."""

    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        _input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        return (prod(input_shape),)
