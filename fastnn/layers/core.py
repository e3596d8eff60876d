"""The first layers: Input, Dense, Activation, Dropout, Flatten."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

from fastnn import activations, constraints, initializers, regularizers
from fastnn._table import check_count, check_number
from fastnn.engine.noise import DropoutOp
from fastnn.engine.ops import ActivationOp, DenseOp
from fastnn.engine.python import PythonActivationOp
from fastnn.layers.base import LAYERS, Layer, Parameter, check_seed, check_shape, set_field
from fastnn.layers.tensor import Node, Structure, Tensor
from fastnn.typing import Shape


def _input_shape(layer: Any) -> None:
    """Settle `input_shape` from itself or from `input_dim`."""
    if layer.input_shape is not None:
        set_field(layer, "input_shape", check_shape(layer, "input_shape", layer.input_shape))
    if getattr(layer, "input_dim", None) is not None:
        dim = (check_count(f"{type(layer).__name__}: input_dim", layer.input_dim),)
        if layer.input_shape not in (None, dim):
            raise ValueError(f"Dense: input_dim {dim[0]} and input_shape {layer.input_shape} disagree; give one")
        set_field(layer, "input_shape", dim)


@LAYERS.add("input_layer", "input", "Input")
@dataclass(frozen=True, eq=False)
class InputLayer(Layer):
    """Where rows enter a model; ``Input`` makes one and gives its tensor."""

    shape: Shape
    name: str | None = None

    def __post_init__(self) -> None:
        self._set("shape", check_shape("Input", "shape", self.shape))

    @property
    def input_shape(self) -> Shape:
        """Shape of one row."""
        return self.shape

    def tensor(self) -> Tensor:
        """The rows, as a tensor to call layers on."""
        node = Node(self, (), (self.shape,), Structure("one", ("",)))
        return self._note(node).tensors()[0]


def Input(shape: Any, name: str | None = None) -> Tensor:
    """Rows of `shape`, as a tensor to call layers on, or as the first of a Sequential's layers.

    ``Input((784,))``, ``Input(shape=(28, 28), name="image")``. TypeError, ValueError for what is no shape.
    """
    return InputLayer(shape, name).tensor()


@LAYERS.add("dense")
@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """activation(x . kernel + bias). (inputs,) -> (units,); kernel (inputs, units), bias (units,).

    units: at least 1. activation, initializers, regularizers, constraints: a name or an object.
    input_dim or input_shape: what the model's first layer reads. TypeError, ValueError for what cannot be.
    """

    units: int
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None
    input_dim: int | None = None
    input_shape: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        self._set("units", check_count(f"{type(self).__name__}: units", self.units))
        self._set("activation", activations.get(self.activation))
        self._set("use_bias", bool(self.use_bias))
        for part in ("kernel", "bias"):
            self._set(f"{part}_initializer", initializers.get(getattr(self, f"{part}_initializer")))
            self._set(f"{part}_regularizer", regularizers.get(getattr(self, f"{part}_regularizer")))
            self._set(f"{part}_constraint", constraints.get(getattr(self, f"{part}_constraint")))
        _input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(
                f"Dense expects rows of one axis (features,), got rows of shape {input_shape}; "
                "put a Flatten layer before it"
            )
        return (self.units,)

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        kernel = Parameter(
            "kernel",
            (input_shape[0], self.units),
            self.kernel_initializer,
            self.kernel_regularizer,
            self.kernel_constraint,
        )
        bias = Parameter("bias", (self.units,), self.bias_initializer, self.bias_regularizer, self.bias_constraint)
        return (kernel, bias) if self.use_bias else (kernel,)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        dense = partial(DenseOp, input_shape[0], self.units, self.use_bias)
        if self.activation.kernel is None:
            return dense(), *activation_ops(self.activation, self.units)
        return (dense(activation=self.activation.kernel, numbers=self.activation.numbers()),)


def activation_ops(activation: Any, units: int) -> tuple[Any, ...]:
    """An activation as an op of its own, for rows of `units` numbers."""
    if activation.kernel is None:
        return (PythonActivationOp(units, activation, f"activation {activation.name!r}"),)
    return (ActivationOp(units, activation=activation.kernel, numbers=activation.numbers()),)


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

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return activation_ops(self.activation, prod(input_shape))


@LAYERS.add("dropout")
@dataclass(frozen=True, eq=False)
class Dropout(Layer):
    """While training: 0 with probability rate, else x / (1 - rate). Otherwise x. Any shape -> the same.

    rate: at least 0 and below 1. seed: random numbers of the layer's own, the same in each run; None takes the model's.
    Source: Srivastava et al. 2014.
    """

    rate: float
    name: str | None = None
    input_shape: Any = None
    seed: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_number(self, "rate", 0, 1, open_high=True)
        self._set("rate", float(self.rate))
        check_seed(self)
        _input_shape(self)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return (DropoutOp(prod(input_shape), self.rate, self.seed),)


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
