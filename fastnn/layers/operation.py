"""Operation: a function of symbolic tensors as a layer, which arithmetic on them and ``fastnn.ops`` make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, prod
from typing import Any, NamedTuple

import numpy as np

from fastnn import kernels
from fastnn._checks import check_count, shown
from fastnn.engine.ops import REDUCTIONS, ActivationOp, ConstantOp, MaskOp, NoiseOp, PhaseOp, ReduceOp, StridedCopyOp
from fastnn.layers._axes import permute_op, sizes, stretch_op
from fastnn.layers.base import LAYERS, Layer, check_row
from fastnn.layers.tensor import Tensor
from fastnn.typing import DoubleArray, Shape

__all__ = ["Operation"]

# Functions of one number, as kernels/functions.pxi counts them; `a` and `b` are theirs.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "affine": lambda x, a, b: a * x + b,
    "absolute": lambda x, a, b: np.abs(x),
    "square": lambda x, a, b: x * x,
    "sqrt": lambda x, a, b: np.sqrt(x),
    "reciprocal": lambda x, a, b: a / x,
    "log": lambda x, a, b: np.log(x),
    "log1p": lambda x, a, b: np.log1p(x),
    "expm1": lambda x, a, b: np.expm1(x),
    "sin": lambda x, a, b: np.sin(x),
    "cos": lambda x, a, b: np.cos(x),
    "power": lambda x, a, b: np.power(x, a),
    "sign": lambda x, a, b: np.sign(x),
    "floor": lambda x, a, b: np.floor(x),
    "ceil": lambda x, a, b: np.ceil(x),
    "round": lambda x, a, b: np.round(x),
    "erf": lambda x, a, b: _erf(x),
    "stop_gradient": lambda x, a, b: x,
}


def _erf(x: Any) -> DoubleArray:
    from math import erf

    return np.array([erf(each) for each in np.ravel(x)]).reshape(np.shape(x))


class Rule(NamedTuple):
    """What an operation is: the row that it gives, its ops, and its formula in NumPy for arrays of rows."""

    row: Callable[..., Shape]
    ops: Callable[..., tuple[Any, ...]]
    formula: Callable[..., Any]


@LAYERS.add("operation")
@dataclass(frozen=True, eq=False, repr=False)
class Operation(Layer):
    """A function of symbolic tensors: what ``t1 / t2``, ``t[:, 1]`` or ``ops.log(t)`` put into a model.

    operation: its name. arguments: its own, as numbers and lists.
    """

    mentions_mask = False
    operation: str
    arguments: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.operation, str) or self.operation not in RULES:
            raise ValueError(f"Operation: unknown operation {shown(self.operation)}; known: {', '.join(RULES)}")
        if not isinstance(self.arguments, (dict, type(None))):
            raise TypeError(f"Operation: arguments must be a dict, got {shown(self.arguments)}")
        reduction = (self.arguments or {}).get("how") if self.operation == "reduce" else None
        known = {"slice": "get_item", "reduce": reduction if reduction in REDUCTIONS else "reduce"}
        self._set("table_name", known.get(self.operation, self.operation))

    def _rule(self, which: str, *given: Any) -> Any:
        try:
            return getattr(RULES[self.operation], which)(*given, **(self.arguments or {}))
        except (TypeError, IndexError, OverflowError) as error:
            raise ValueError(f"{self.operation} with {shown(self.arguments)}: {error}") from error

    def output_shape(self, *input_shapes: Shape) -> Shape:
        row: Shape = self._rule("row", *input_shapes)
        return row

    def _row(self, *rows: Shape) -> Shape:
        row = self.output_shape(*rows)
        check_row(row)
        return row

    def ops(self, *input_shapes: Shape) -> tuple[Any, ...]:
        ops: tuple[Any, ...] = self._rule("ops", *input_shapes)
        return ops

    def reference(self, *xs: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return np.asarray(self._rule("formula", *xs))


def operation(name: str, *tensors: Tensor, **arguments: Any) -> Tensor:
    """The tensor that an operation gives for these."""
    given: Tensor = Operation(name, arguments or None)(tensors[0] if len(tensors) == 1 else list(tensors))
    return given


# Number by number.


def _same(row: Shape, **_: Any) -> Shape:
    return row


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise ValueError(f"expected a finite number, got {shown(value)}")
    return float(value)


def _function_rule(number: int, formula: Callable[..., Any]) -> Rule:
    def ops(row: Shape, a: float = 0.0, b: float = 0.0) -> tuple[Any, ...]:
        numbers = (float(number), _number(a), _number(b))
        return (ActivationOp(prod(row), activation=kernels.function, numbers=numbers),)

    return Rule(_same, ops, lambda x, a=0.0, b=0.0: formula(x, a, b))


def _clip_ops(row: Shape, low: float | None = None, high: float | None = None) -> tuple[Any, ...]:
    numbers = (-inf if low is None else _number(low), inf if high is None else _number(high))
    return (ActivationOp(prod(row), activation=kernels.clipped, numbers=numbers),)


# Along axes of a row, which are counted from 0.


def _axes(row: Shape, axes: Any) -> list[int]:
    found = [check_count("axis", axis, 0, len(row) - 1) for axis in axes]
    if sorted(set(found)) != found:
        raise ValueError(f"axes must be in their order, each once, got {shown(axes)}")
    return found


def _reduced_row(row: Shape, how: str, axes: Sequence[int], keepdims: bool) -> Shape:
    if how not in REDUCTIONS:
        raise ValueError(f"expected one of {', '.join(REDUCTIONS)}, got {shown(how)}")
    own = _axes(row, axes)
    return tuple(1 if axis in own else size for axis, size in enumerate(row) if keepdims or axis not in own)


def _reduce_ops(row: Shape, how: str, axes: Sequence[int], keepdims: bool) -> tuple[Any, ...]:
    own = _axes(row, axes)
    n = prod(sizes(row, own))
    if not own:
        return ()
    first, last = own[0], own[-1]
    if len(own) == last - first + 1:  # they lie together
        return (ReduceOp(how, prod(row[:first]), n, prod(row[last + 1 :])),)
    order = [*(axis for axis in range(len(row)) if axis not in own), *own]
    return (permute_op(row, order), ReduceOp(how, prod(row) // n, n, 1))


def _reduce(x: Any, how: str, axes: Sequence[int], keepdims: bool) -> Any:
    return getattr(np, how)(x, axis=tuple(axis + 1 for axis in axes), keepdims=keepdims)


# Parts of a row. An axis's part is [first, how many, step], a whole number for one of them, or "new" for a new axis.


def _parts(row: Shape, parts: Sequence[Any]) -> list[tuple[int, int, int, bool]]:
    """(how many, step in the row, its first number, whether the axis stays) for each axis of the view."""
    views: list[tuple[int, int, int, bool]] = []
    axis = 0
    for part in parts:
        if part == "new":
            views.append((1, 0, 0, True))
            continue
        stride, size = prod(row[axis + 1 :]), row[axis]
        axis += 1
        if isinstance(part, (list, tuple)):
            first, count, step = (check_count("a part", each, -size) for each in part)
            last = first + (count - 1) * step
            if count < 1 or not 0 <= first < size or not 0 <= last < size:
                raise ValueError(f"an axis of {size} has no part {shown(part)}")
            views.append((count, step * stride, first * stride, True))
        else:
            views.append((1, 0, check_count("a part", part, 0, size - 1) * stride, False))
    if axis != len(row):
        raise ValueError(f"rows of shape {row} need a part for each axis, got {shown(parts)}")
    return views


def _slice_row(row: Shape, parts: Sequence[Any]) -> Shape:
    return tuple(count for count, _, _, stays in _parts(row, parts) if stays)


def _slice_ops(row: Shape, parts: Sequence[Any]) -> tuple[Any, ...]:
    views = _parts(row, parts) or [(1, 0, 0, True)]
    counts, strides, firsts, _ = zip(*views, strict=True)
    return (StridedCopyOp(prod(row), counts, strides, sum(firsts)),)


def _slice(x: Any, parts: Sequence[Any]) -> Any:
    index: list[Any] = [slice(None)]
    for part in parts:
        if part == "new":
            index.append(None)
        elif isinstance(part, (list, tuple)):
            first, count, step = part
            stop = first + count * step
            index.append(slice(first, None if stop < 0 else stop, step))
        else:
            index.append(part)
    return x[tuple(index)]


# The same for each row; what it reads says how many there are.


def _shape(shape: Any) -> Shape:
    return tuple(check_count("shape", size) for size in shape)


def _array(value: Any) -> DoubleArray:
    array = np.asarray(value, np.float64)
    if array.size < 1:
        raise ValueError("a constant has at least one number")
    return array


def _constant(x: Any, value: Any) -> Any:
    array = _array(value)
    return np.broadcast_to(array, (len(x), *array.shape))


def _normal_ops(row: Shape, shape: Any, mean: float, stddev: float, seed: int | None) -> tuple[Any, ...]:
    own = _shape(shape)
    if seed is not None:
        check_count("seed", seed, 0, 2**64 - 1)
    if _number(stddev) < 0:
        raise ValueError(f"stddev must be at least 0, got {stddev}")
    means = ConstantOp(prod(row), np.full(prod(own), _number(mean)))
    return means, NoiseOp(prod(own), kernels.gaussian_noise, stddev, seed)


def mask_op(row: Shape, value: float, by_line: bool) -> MaskOp:
    """1 for each number of a row that is another than `value`, or for each line that has such a number."""
    width = row[-1] if by_line else 1
    return MaskOp(prod(row) // width, width, _number(value))


def _stretched_row(row: Shape, shape: Any) -> Shape:
    own = _shape(shape)
    if np.broadcast_shapes(row, own) != own:
        raise ValueError(f"rows of shape {row} are not broadcast to {own}")
    return own


def _one_shape(first: Shape, second: Shape) -> Shape:
    if first != second:
        raise ValueError(f"expected rows of one shape, got {first} and {second}")
    return first


RULES: dict[str, Rule] = {
    **{name: _function_rule(number, formula) for number, (name, formula) in enumerate(FUNCTIONS.items())},
    "clip": Rule(_same, _clip_ops, lambda x, low=None, high=None: np.clip(x, low, high)),
    "reduce": Rule(_reduced_row, _reduce_ops, _reduce),
    "slice": Rule(_slice_row, _slice_ops, _slice),
    "broadcast_to": Rule(
        _stretched_row,
        lambda row, shape: (stretch_op(row, _shape(shape)),),
        lambda x, shape: np.broadcast_to(
            x.reshape(len(x), *(1,) * (len(shape) + 1 - x.ndim), *x.shape[1:]), (len(x), *shape)
        ),
    ),
    "constant": Rule(
        lambda _, value: _array(value).shape, lambda row, value: (ConstantOp(prod(row), _array(value)),), _constant
    ),
    "normal": Rule(
        lambda _, shape, **__: _shape(shape), _normal_ops, lambda x, shape, mean, **_: np.full((len(x), *shape), mean)
    ),
    # Of the first axes of a row; without a mask, ones. Which mask it is, the plan of a model knows.
    "mask": Rule(
        lambda row, axes: row[: check_count("axes", axes, 0, len(row))],
        lambda row, axes: (ConstantOp(prod(row), np.ones(row[:axes])),),
        lambda x, axes: np.ones(x.shape[: axes + 1]),
    ),
    "valid": Rule(
        lambda row, value, by_line: row[:-1] if by_line else row,
        lambda row, value, by_line: (mask_op(row, value, by_line),),
        lambda x, value, by_line: (x != value).any(-1) if by_line else x != value,
    ),
    "phase": Rule(_one_shape, lambda row, _: (PhaseOp(prod(row)),), lambda x, y: x),
}
