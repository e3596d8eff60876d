"""The first layers: Input, Dense, Activation, Dropout, Flatten."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from functools import partial
from math import prod
from typing import Any

import numpy as np

from fastnn import activations, kernels
from fastnn._checks import check_choice, check_count, check_flag, shown
from fastnn._dtypes import dtype_name
from fastnn._output import warn
from fastnn.engine.ops import (
    ActivationOp,
    DenseOp,
    DropoutOp,
    MergeOp,
    PythonActivationOp,
    SharedDropoutOp,
    StridedCopyOp,
)
from fastnn.layers._draws import check_noise_shape, drawn_by
from fastnn.layers._fields import check_nothing, check_rate, nothing, parameter_of, resolve_units, size_of
from fastnn.layers.base import LAYERS, Layer, Parameter, check_row, check_seed, check_shape, set_field
from fastnn.layers.tensor import Node, Structure, Tensor, called
from fastnn.typing import DoubleArray, Shape

__all__ = ["Activation", "Dense", "Dropout", "Flatten", "Input", "InputLayer"]

_NOT_SAVED = {"saved": False}
NUMBERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("float32", "float64", "float16", "bfloat16", *NUMBERS, "string")  # of inputs


def _input_shape(layer: Any) -> None:
    """Set `input_shape` from itself or from `input_dim`."""
    if layer.input_shape is not None:
        set_field(layer, "input_shape", check_shape(layer, "input_shape", layer.input_shape))
    if getattr(layer, "input_dim", None) is not None:
        dim = (check_count(f"{type(layer).__name__}: input_dim", layer.input_dim),)
        if layer.input_shape not in (None, dim):
            raise ValueError(f"Dense: input_dim {dim[0]} and input_shape {layer.input_shape} disagree; give one")
        set_field(layer, "input_shape", dim)


@LAYERS.add("input_layer", "input", "Input")
@dataclass(frozen=True, eq=False, repr=False)
class InputLayer(Layer):
    """Where rows enter a model; ``Input`` makes one and gives its tensor.

    shape: of a row; or batch_shape, the rows' axis first. batch_size is needed by stateful layers alone: for others any
    number of rows will do. dtype: see ``Input``. sparse, ragged, optional: False. input_tensor: a tensor to take shape
    and dtype from. input_shape: of old scripts, which is shape.
    """

    shape: Any = None
    batch_size: Any = field(default=None, metadata=_NOT_SAVED)
    dtype: Any = field(default=None, kw_only=True)
    sparse: Any = field(default=None, metadata=_NOT_SAVED)
    ragged: Any = field(default=None, metadata=_NOT_SAVED)
    batch_shape: Any = field(default=None, metadata=_NOT_SAVED)
    input_tensor: Any = field(default=None, metadata=_NOT_SAVED)
    optional: bool = field(default=False, metadata=_NOT_SAVED)
    name: str | None = None
    input_shape: InitVar[Any] = field(default=None, kw_only=True)

    def __post_init__(self, input_shape: Any) -> None:
        if input_shape is not None:
            warn("Argument `input_shape` is deprecated. Use `shape` instead.")
            self._set("shape", input_shape)
        if isinstance(self.batch_size, str):
            raise TypeError(
                f"Input: batch_size must be a whole number or None, got {shown(self.batch_size)}; write name=..."
            )
        check_nothing("Input", sparse=self.sparse, ragged=self.ragged, optional=self.optional)
        shape, size = self._given()
        if self.input_tensor is not None:
            shape = self._like(self.input_tensor, shape, size)
            size = self.input_tensor.node.batch
        if size is not None:
            size = check_count("Input: batch_size", size)
        if any(each is None for each in shape):
            raise ValueError(
                f"Input: shape must say the size of each axis, got {shown(tuple(shape))}; rows have one shape here"
            )
        self._set("shape", () if shape in ((), []) else check_shape("Input", "shape", shape))
        check_row(self.shape)
        self._set("dtype", dtype_of(self.dtype))
        self._set("batch_size", size)
        self._set("batch_shape", (size, *self.shape))
        self._set("sparse", False)
        self._set("ragged", False)

    def _given(self) -> tuple[Any, Any]:
        """The shape of a row and the number of rows, as they were given."""
        if self.batch_shape is not None:
            for name in ("shape", "batch_size"):
                if getattr(self, name) is not None:
                    raise ValueError(f"Input: You cannot pass both `{name}` and `batch_shape` at the same time.")
            given = self.batch_shape
            if not isinstance(given, (tuple, list)) or not given:
                raise TypeError(f"Input: batch_shape must be a shape such as (None, 4), got {shown(given)}")
            return given[1:], given[0]
        if self.shape is None and self.input_tensor is None:
            raise ValueError("Input: You must pass a `shape` argument.")
        shape = () if self.shape is None else self.shape
        if isinstance(shape, str) or hasattr(shape, "keys"):
            raise TypeError(f"Input: shape must be a tuple of whole numbers, got {shown(shape)}")
        return (shape if isinstance(shape, (tuple, list)) else (shape,)), self.batch_size

    def _like(self, tensor: Any, shape: Any, size: Any) -> Any:
        """The shape of a tensor's rows. ValueError where what else was given disagrees."""
        if not isinstance(tensor, Tensor):
            raise ValueError(f"Input: Argument `input_tensor` must be a KerasTensor. Received: {shown(tensor)}")
        if self.shape is not None and tuple(shape) != tensor.row:
            raise ValueError("Input: When providing `input_tensor`, you cannot provide an incompatible `shape`.")
        if self.batch_shape is not None and tuple(shape) != tensor.row:
            raise ValueError("Input: When providing `input_tensor`, you cannot provide an incompatible `batch_shape`.")
        if size is not None and tensor.node.batch is not None and size != tensor.node.batch:
            raise ValueError("Input: When providing `input_tensor`, you cannot provide an incompatible `batch_size`.")
        if self.dtype is not None and dtype_of(self.dtype) != tensor.dtype:
            raise ValueError("Input: When providing `input_tensor`, you cannot provide an incompatible `dtype`.")
        self._set("dtype", tensor.dtype)
        return tensor.row

    @property
    def output_dtype(self) -> str:  # type: ignore[override]
        """As it was given: "float32", "int64", "string", ..."""
        return str(self.dtype)

    def config(self) -> dict[str, Any]:
        """The layer as JSON: its class and its fields, and the size of batches where it was given one."""
        config = super().config()
        return config if self.batch_size is None else {**config, "batch_size": self.batch_size}

    def get_config(self) -> dict[str, Any]:
        """Its arguments as JSON, as Keras has them."""
        shape = {"batch_shape": list(self.batch_shape), "dtype": self.dtype, "sparse": False, "ragged": False}
        return {**shape, "name": called(self), "optional": False}

    @property
    def output(self) -> Tensor:
        """The rows, as a tensor: the one that ``Input`` gave, else one of its own."""
        if self.input_tensor is not None:
            return self.input_tensor  # type: ignore[no-any-return]
        if "_own" not in vars(self):
            try:
                return super().output  # type: ignore[no-any-return]
            except RuntimeError:  # nobody holds one
                self._set("_own", self.tensor())
        return vars(self)["_own"]  # type: ignore[no-any-return]

    def tensor(self) -> Tensor:
        """The rows, as a tensor to call layers on."""
        node = Node(self, (), (self.shape,), Structure("one", ("",)))
        node.batch = self.batch_shape[0]
        return self._note(node).tensors()[0]


# An argument of that name, and what all layers have.
InputLayer.input_shape = property(lambda layer: layer.shape)  # type: ignore[attr-defined]


def dtype_of(value: Any) -> str:
    """The name of a dtype that an input may have. ValueError for another."""
    name = dtype_name(value)
    name = {None: "float32", "str": "string", "int": "int64", "float": "float32"}.get(name, name)
    if name not in DTYPES:
        raise ValueError(f"Input: dtype must be one of {', '.join(DTYPES)}, got {shown(value)}")
    return name


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> Tensor:
    """Rows of `shape`, as a tensor to call layers on, or as the first of a Sequential's layers.

    ``Input((784,))``, ``Input(shape=(28, 28), name="image")``, ``Input(batch_shape=(None, 784))``. dtype: how the
    columns come, "float32", "int64", "string" or another one: text, and whole numbers beyond 2**24, are for layers such
    as StringLookup, IntegerLookup and Hashing; all others read them as float32. batch_size is for stateful layers.
    sparse, ragged, optional: False. tensor: given back as it is. TypeError, ValueError for what is no shape or dtype,
    and for what asks for what is not there.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(
            f"Input: name must be a text, got {shown(name)}; a shape of several axes is a tuple: Input((3, 4))"
        )
    layer = InputLayer(
        shape,
        batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        input_tensor=tensor,
        optional=optional,
        name=name,
    )
    return layer.tensor() if tensor is None else tensor


@LAYERS.add("dense")
@dataclass(frozen=True, eq=False, repr=False)
class Dense(Layer):
    """activation(x . kernel + bias), along the last axis. (..., inputs) -> (..., units).

    Weights: kernel (inputs, units), bias (units,).

    units: at least 1. activation, initializers, regularizers, constraints: a name or an object.
    input_dim or input_shape: what the model's first layer reads. TypeError, ValueError for what cannot be.
    """

    passes_mask = True
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
    lora_rank: None = nothing()
    lora_alpha: None = nothing()
    quantization_config: None = nothing()

    def __post_init__(self) -> None:
        self._set("units", size_of(self, "units"))
        self._set("activation", activations.get(self.activation))
        check_flag(self, "use_bias")
        self._set("use_bias", bool(self.use_bias))
        resolve_units(self, "kernel", "bias")
        _input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape:
            raise ValueError(
                f"{type(self).__name__} expects rows of at least one axis, got single numbers; Reshape((1,)) makes "
                "rows of them (expected min_ndim=2)"
            )
        given: Shape = self.activation.row_given((*input_shape[:-1], self.units))
        return given

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        kernel = parameter_of(self, "kernel", (input_shape[-1], self.units))
        return (kernel, parameter_of(self, "bias", (self.units,))) if self.use_bias else (kernel,)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        dense = partial(DenseOp, input_shape[-1], self.units, self.use_bias, lines=prod(input_shape[:-1]))
        if not self.activation.compiled:
            return dense(), *activation_ops(self.activation, (*input_shape[:-1], self.units), 1)
        return (dense(activation=self.activation.kernel, numbers=self.activation.numbers()),)

    def reference(self, x: DoubleArray, kernel: DoubleArray, bias: Any = 0.0) -> DoubleArray:
        """The formula, in float64."""
        return np.asarray(self.activation.reference(x @ kernel + bias))


def activation_ops(activation: Any, row: Shape, before: int = 0) -> tuple[Any, ...]:
    """An activation as an op of its own, for rows of this shape; one of rows works along their last axis.

    before: how many ops of the layer come before it.
    """
    units = prod(row)
    if isinstance(activation, activations.GLU):
        return _glu_ops(activation, row, before)
    if not activation.compiled:
        own = activations.Custom.of(activation)
        return (PythonActivationOp(units, own, f"activation {own.name!r}"),)
    lines = prod(row[:-1]) if isinstance(activation, activations.RowActivation) else 1
    return (ActivationOp(units // lines, activation=activation.kernel, numbers=activation.numbers(), lines=lines),)


def _glu_ops(glu: activations.GLU, row: Shape, before: int) -> tuple[Any, ...]:
    """Its halves, the sigmoid of the second, and the product."""
    half, axis = glu.row_given(row), glu.row_axis(row)
    strides = [prod(row[each + 1 :]) for each in range(len(row))]
    units = prod(half)
    halves = [StridedCopyOp(prod(row), half, strides, first) for first in (0, half[axis] * strides[axis])]
    gate = ActivationOp(units, activation=kernels.sigmoid)
    return (
        *((op, (before - 1,)) for op in halves),
        (gate, (before + 1,)),
        (MergeOp(kernels.multiply_rows, units, 2), (before, before + 2)),
    )


@LAYERS.add("activation")
@dataclass(frozen=True, eq=False, repr=False)
class Activation(Layer):
    """activation(x), as a layer of its own. Any shape -> the same; softmax runs along the last axis.

    activation: a name or an object.
    """

    passes_mask = True
    activation: Any
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self._set("activation", activations.get(self.activation))
        _input_shape(self)

    def as_activation(self) -> activations.Activation:
        """The layer as the activation of another."""
        given: activations.Activation = self.activation
        return given

    def output_shape(self, input_shape: Shape) -> Shape:
        given: Shape = self.activation.row_given(input_shape)
        return given

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return activation_ops(self.activation, input_shape)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return np.asarray(self.activation.reference(x))


@LAYERS.add("dropout")
@dataclass(frozen=True, eq=False, repr=False)
class Dropout(Layer):
    """While training: 0 with probability rate, else x / (1 - rate). Otherwise x. Any shape -> the same.

    rate: at least 0 and below 1. noise_shape: the shape of what is drawn, rows first: (None, 1, 8) for rows of shape
    (5, 8) keeps or drops a feature in all steps together; 1 in place of the None, or fewer axes, draws once for all
    rows, None or the size of a batch for each. seed: random numbers of the layer's own, the same in each run; None
    takes the model's. Source: Srivastava et al. 2014.
    """

    passes_mask = True
    rate: float
    noise_shape: Any = None
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_rate(self)
        self._set("rate", float(self.rate))
        check_noise_shape(self)
        check_seed(self)
        _input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        drawn_by(self, input_shape)
        return input_shape

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        places, by_row = drawn_by(self, input_shape)
        if places is None:
            return (DropoutOp(prod(input_shape), self.rate, self.seed),)
        return (SharedDropoutOp(places, by_row, self.rate, self.seed),)


@LAYERS.add("flatten")
@dataclass(frozen=True, eq=False, repr=False)
class Flatten(Layer):
    """Rows of any shape -> rows of one axis: (28, 28) -> (784,)."""

    name: str | None = None
    input_shape: Any = None
    data_format: str | None = field(default=None, kw_only=True, repr=False, metadata=_NOT_SAVED)

    def __post_init__(self) -> None:
        check_choice(self, "data_format", None, "channels_last")  # for another put Permute before it
        _input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        return (prod(input_shape),)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return x.reshape(len(x), -1)
