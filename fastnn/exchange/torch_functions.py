"""Functions and methods of PyTorch's tensors in a traced ``forward``, and what each makes of a model's tensors."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from fastnn import layers as L, ops
from fastnn.exchange.torch_values import ROWS, Value, reshaped

# Of torch.nn.functional, by the module that does the same with the same arguments.
FUNCTIONS: dict[str, str] = {
    "relu": "ReLU", "relu6": "ReLU6", "elu": "ELU", "selu": "SELU", "celu": "CELU", "gelu": "GELU", "silu": "SiLU",
    "mish": "Mish", "softplus": "Softplus", "softsign": "Softsign", "tanh": "Tanh", "tanhshrink": "Tanhshrink",
    "sigmoid": "Sigmoid", "logsigmoid": "LogSigmoid", "log_sigmoid": "LogSigmoid", "hardtanh": "Hardtanh",
    "hardsigmoid": "Hardsigmoid", "hardswish": "Hardswish", "hardshrink": "Hardshrink", "softshrink": "Softshrink",
    "threshold": "Threshold", "leaky_relu": "LeakyReLU", "softmax": "Softmax", "log_softmax": "LogSoftmax",
    "glu": "GLU", "dropout": "Dropout", "max_pool1d": "MaxPool1d", "max_pool2d": "MaxPool2d",
    "max_pool3d": "MaxPool3d", "avg_pool1d": "AvgPool1d", "avg_pool2d": "AvgPool2d", "avg_pool3d": "AvgPool3d",
    "adaptive_avg_pool1d": "AdaptiveAvgPool1d", "adaptive_avg_pool2d": "AdaptiveAvgPool2d",
    "adaptive_max_pool1d": "AdaptiveMaxPool1d", "adaptive_max_pool2d": "AdaptiveMaxPool2d", "flatten": "Flatten",
}  # fmt: skip


def _pair(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A function of two values, or of a value and a number."""

    def applied(x: Any, y: Any) -> Any:
        if not isinstance(x, Value) and not isinstance(y, Value):
            return function(x, y)
        first = x if isinstance(x, Value) else y
        if isinstance(x, Value) and isinstance(y, Value):
            if len(x.tensor.row) != len(y.tensor.row):
                raise ValueError(f"tensors of shape {x.shape} and {y.shape} are joined axis by axis")
            return x.like(function(x.tensor, y.as_layout(x.layout).tensor))
        if not all(isinstance(each, (int, float)) for each in (x, y) if each is not first):
            first = first.as_rows()  # an array is broadcast along PyTorch's axes
        x, y = (_row_of(each, first) for each in (x, y))
        return first.like(function(x, y))

    return applied


def _row_of(x: Any, beside: Value) -> Any:
    """A value's tensor; an array without the axis of the rows, along which it must be the same."""
    if isinstance(x, Value):
        return beside.tensor
    if getattr(x, "ndim", 0) > len(beside.tensor.row):
        if x.shape[0] != 1:
            raise ValueError(f"an array of shape {x.shape} is not the same for all rows")
        x = x[0]
    return x


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def applied(x: Value, dim: Any, keepdim: bool = False) -> Value:
        axes = sorted(x.axis(each) for each in (dim if isinstance(dim, (list, tuple)) else [dim]))
        if keepdim:
            return x.like(function(x.tensor, axis=axes, keepdims=True))
        spatial = list(range(1, len(x.tensor.row)))
        x = x if x.layout == "picture" and axes == spatial else x.as_rows()
        axes = axes if x.layout == "picture" else sorted(x.axis(each) for each in _listed(dim))
        return Value(function(x.tensor, axis=axes))

    return applied


def _listed(dim: Any) -> list[Any]:
    return list(dim) if isinstance(dim, (list, tuple)) else [dim]


def _item(x: Any, key: Any) -> Any:
    """x[key]: of a tensor along PyTorch's axes, of a tuple one of it."""
    if not isinstance(x, Value):
        return x[key]
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in keys:
        place = keys.index(Ellipsis)
        taken = sum(each is not None for each in keys) - 1
        keys[place : place + 1] = [slice(None)] * (len(x.shape) - taken)
    keys += [slice(None)] * (len(x.shape) - sum(each is not None for each in keys))
    if x.layout == "steps":
        keys[0], keys[1] = keys[1], keys[0]
        layout = "steps" if isinstance(keys[1], slice) else "rows"
    else:
        x, layout = x.as_rows(), "rows"
    if keys[0] != slice(None):
        raise ValueError(f"{key} is no part of each row")
    return Value(x.tensor[tuple(keys)], layout)


def _attribute(x: Value, name: str) -> Any:
    if name not in ("shape", "ndim"):
        raise ValueError(f"the attribute {name!r} of a tensor is not read")
    return x.shape if name == "shape" else len(x.shape)


def _size(x: Value, dim: int | None = None) -> Any:
    return x.shape if dim is None else x.shape[dim]


def _cat(xs: Any, dim: int = 0) -> Value:
    layout = xs[0].layout
    values = [x.as_layout(layout) for x in xs]
    return xs[0].like(L.Concatenate(xs[0].axis(dim))([x.tensor for x in values]))


def _permuted(x: Value, *dims: Any) -> Value:
    order = list(dims[0]) if len(dims) == 1 and isinstance(dims[0], (list, tuple)) else list(dims)
    order = [each % len(x.shape) for each in order]
    if x.layout == "steps" and order[:2] == [1, 0] and order[2:] == list(range(2, len(order))):
        return x.as_rows()
    if x.layout == "rows" and order[:2] == [1, 0] and order[2:] == list(range(2, len(order))):
        return Value(x.tensor, "steps")
    x.only_rows("what is turned")
    if order[0] != 0:
        raise ValueError("the axis of the rows must stay the first")
    x = x.as_rows()
    return Value(L.Permute(tuple(order[1:]))(x.tensor))


def _transposed(x: Value, first: int, second: int) -> Value:
    order = list(range(len(x.shape)))
    order[first], order[second] = order[second], order[first]
    return _permuted(x, order)


def _squeezed(x: Any, dim: Any = None) -> Any:
    if isinstance(x, list) and len(x) == 1 and dim == 0:  # the state of one layer
        return x[0]
    if dim is None:
        raise ValueError("squeeze needs dim")
    x = x.as_rows()
    row = list(x.tensor.row)
    if row.pop(x.axis(dim) - 1) != 1:
        raise ValueError(f"axis {dim} has more than one place")
    return reshaped(x, (ROWS, *row))


def _unsqueezed(x: Value, dim: int) -> Value:
    x = x.as_rows()
    sizes = list(x.shape)
    sizes.insert(dim % (len(sizes) + 1), 1)
    return reshaped(x, sizes)


def _same(x: Any, *_: Any, **__: Any) -> Any:
    return x


def _unary(function: Callable[[Any], Any]) -> Callable[[Value], Value]:
    return lambda x: x.like(function(x.tensor))


METHODS: dict[str, Callable[..., Any]] = {
    "add": _pair(operator.add), "iadd": _pair(operator.add), "sub": _pair(operator.sub),
    "mul": _pair(operator.mul), "truediv": _pair(operator.truediv), "div": _pair(operator.truediv),
    "maximum": _pair(ops.maximum), "minimum": _pair(ops.minimum), "pow": _pair(operator.pow),
    "neg": _unary(operator.neg), "abs": _unary(ops.abs), "exp": _unary(ops.exp), "log": _unary(ops.log),
    "sqrt": _unary(ops.sqrt), "square": _unary(ops.square), "sin": _unary(ops.sin), "cos": _unary(ops.cos),
    "mean": _reduced(ops.mean), "sum": _reduced(ops.sum), "amax": _reduced(ops.max), "amin": _reduced(ops.min),
    "getitem": _item, "getattr": _attribute,
    "size": _size, "cat": _cat, "concat": _cat, "view": lambda x, *sizes: reshaped(x, sizes),
    "reshape": lambda x, *sizes: reshaped(x, sizes), "permute": _permuted, "transpose": _transposed,
    "swapaxes": _transposed, "squeeze": _squeezed, "unsqueeze": _unsqueezed, "contiguous": _same, "clone": _same,
    "detach": _same, "float": _same, "to": _same,
}  # fmt: skip
