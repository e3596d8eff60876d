"""Functions of ``fastnn.ops`` that sum up, turn, cut and put together axes."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._checks import check_count, shown
from fastnn._names import users_line
from fastnn.layers.arithmetic import as_tensor, part, reshape as _reshape, symbolic
from fastnn.layers.merging import Concatenate
from fastnn.layers.operation import operation
from fastnn.layers.reshaping import Permute
from fastnn.ops._both import Reduced, Rows, array_of, axis_in_row, is_symbolic, reduced, tensor_of, tensors_of
from fastnn.ops.elements import add, divide, exp, log, matmul, maximum, multiply, sqrt, square, subtract

__all__ = [
    "amax", "amin", "broadcast_to", "concatenate", "dot", "expand_dims", "flip", "full_like", "logsumexp", "max",
    "mean", "min",
    "moments", "moveaxis", "norm", "normalize", "ones_like", "repeat", "reshape", "shape", "slice", "split",
    "squeeze", "stack", "std", "sum", "swapaxes", "take", "tile", "transpose", "unstack", "var", "zeros_like",
]  # fmt: skip


def _reduction(how: str, x: Any, axis: Any, keepdims: bool) -> Any:
    if symbolic(x) or isinstance(x, Reduced):
        return reduced(how, x, axis, keepdims)
    axis = tuple(axis) if isinstance(axis, list) else axis
    return getattr(np, how)(array_of(x), axis=axis, keepdims=keepdims)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum along axes. Axis 0 of a symbolic tensor is that of the rows: a sum over it too is for ``add_loss``."""
    return _reduction("sum", x, axis, keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean along axes. Axis 0 of a symbolic tensor is that of the rows: a mean over it too is for ``add_loss``."""
    return _reduction("mean", x, axis, keepdims)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest along axes; of equal ones each has its share of the slope."""
    return _reduction("max", x, axis, keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The least along axes; of equal ones each has its share of the slope."""
    return _reduction("min", x, axis, keepdims)


amax, amin = max, min


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The variance along axes, the mean square of what is left without the mean."""
    if not symbolic(x):
        return np.var(array_of(x), axis=axis, keepdims=keepdims)
    return mean(square(subtract(x, mean(x, axis, keepdims=True))), axis, keepdims)


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The standard deviation along axes."""
    return sqrt(var(x, axis, keepdims))


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log of the sum of e^x along axes, without overflow."""
    if not symbolic(x):
        array = array_of(x)
        most = array.max(axis=axis, keepdims=True)
        return np.log(np.exp(array - most).sum(axis=axis, keepdims=keepdims)) + (
            most if keepdims else np.squeeze(most, axis=axis)
        )
    most = max(x, axis, keepdims=True)
    found = add(log(sum(exp(subtract(x, most)), axis, keepdims=True)), most)
    return found if keepdims else squeeze(found, axis)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The Euclidean length along axes. ord: None, 2 or "euclidean"; of arrays as in NumPy."""
    if not symbolic(x):
        return np.linalg.norm(array_of(x), ord=ord, axis=axis, keepdims=keepdims)
    if ord not in (None, 2, "euclidean", "fro"):
        raise ValueError(f"ops.norm of a symbolic tensor is of ord 2, got {shown(ord)}{users_line()}")
    return sqrt(sum(square(x), axis, keepdims))


def normalize(x: Any, axis: Any = -1, order: Any = 2, epsilon: float = 1e-12) -> Any:
    """x over its length along an axis; a length below sqrt(epsilon) counts as that. order: 2."""
    if order != 2:
        raise ValueError(f"ops.normalize: order must be 2, got {shown(order)}{users_line()}")
    return divide(x, sqrt(maximum(sum(square(x), axis, keepdims=True), float(epsilon))))


def moments(x: Any, axes: Any, keepdims: bool = False) -> Any:
    """(Mean, variance) along axes."""
    return mean(x, axes, keepdims), var(x, axes, keepdims)


def shape(x: Any) -> tuple[Any, ...]:
    """The sizes of x's axes. The number of rows of a symbolic tensor is not known; it may stand first in a shape."""
    if not symbolic(x):
        return np.shape(x)
    tensor = tensor_of(x)
    return tensor.row if tensor.node.same else (Rows(tensor), *tensor.row)


def reshape(x: Any, newshape: Any) -> Any:
    """The same numbers in rows of another shape. newshape: the rows first, -1, None or ``ops.shape(x)[0]``."""
    sizes = tuple(newshape) if isinstance(newshape, (tuple, list)) else (newshape,)
    if not symbolic(x):
        return np.reshape(array_of(x), sizes)
    tensor = tensor_of(x)
    if tensor.node.same:
        return _reshape(tensor, tuple(np.empty(tensor.row).reshape(sizes).shape))
    first, rest = sizes[:1], sizes[1:]
    if not first or not (isinstance(first[0], Rows) or first[0] in (None, -1, tensor.shape[0])):
        raise ValueError(
            f"ops.reshape: the first size is that of the rows, -1 or ops.shape(x)[0], got {shown(newshape)}"
            f"{users_line()}"
        )
    count = int(np.prod(tensor.row))
    known = int(np.prod([size for size in rest if size != -1]))
    full = tuple(count // builtins.max(1, known) if size == -1 else int(size) for size in rest)
    if int(np.prod(full)) != count:
        raise ValueError(
            f"ops.reshape: {tensor!r} has {count} numbers in a row, {shown(newshape)} would have {int(np.prod(full))}; "
            f"rows stay rows{users_line()}"
        )
    return _reshape(tensor, full)


def expand_dims(x: Any, axis: Any) -> Any:
    """A new axis of size 1 before axis `axis`, or several."""
    if not symbolic(x):
        return np.expand_dims(array_of(x), tuple(axis) if isinstance(axis, list) else axis)
    tensor = tensor_of(x)
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    ndim = tensor.ndim + len(given)
    numbers = {check_count("axis", each, -ndim, ndim - 1) % ndim for each in given}
    if 0 in numbers and not tensor.node.same:
        raise ValueError(f"axis 0 of {tensor!r} is that of the rows; a new one stands behind it{users_line()}")
    sizes = iter(tensor.shape)
    full = [1 if place in numbers else next(sizes) for place in range(ndim)]
    return _reshape(tensor, tuple(full if tensor.node.same else full[1:]))  # type: ignore[arg-type]


def squeeze(x: Any, axis: Any = None) -> Any:
    """Without axes of size 1: all of them, or these."""
    if not symbolic(x):
        return np.squeeze(array_of(x), axis)
    tensor = tensor_of(x)
    given = (axis if isinstance(axis, (tuple, list)) else (axis,)) if axis is not None else None
    own = {axis_in_row(tensor, each) for each in given} if given is not None else None
    for each in own or ():
        if tensor.row[each] != 1:
            raise ValueError(f"ops.squeeze: {tensor!r} is not 1 along axis {shown(axis)}{users_line()}")
    drop = own if own is not None else {place for place, size in enumerate(tensor.row) if size == 1}
    return _reshape(tensor, tuple(size for place, size in enumerate(tensor.row) if place not in drop))


def transpose(x: Any, axes: Any = None) -> Any:
    """The axes in another order; that of the rows stays first."""
    if not symbolic(x):
        return np.transpose(array_of(x), axes)
    tensor = tensor_of(x)
    order = list(range(tensor.ndim))[::-1] if axes is None else [each % tensor.ndim for each in axes]
    if sorted(order) != list(range(tensor.ndim)) or (not tensor.node.same and order[:1] != [0]):
        raise ValueError(
            f"ops.transpose of {tensor!r}: axes must be all of its axes, that of the rows, 0, first, got {shown(axes)}"
            f"{users_line()}"
        )
    if tensor.node.same:
        order = [0, *(each + 1 for each in order)]
    return tensor if len(order) < 3 else Permute(tuple(order[1:]))(tensor)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """The two axes in each other's place."""
    if not symbolic(x):
        return np.swapaxes(array_of(x), axis1, axis2)
    order = list(range(tensor_of(x).ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


def moveaxis(x: Any, source: int, destination: int) -> Any:
    """An axis in another place, the others in their order."""
    if not symbolic(x):
        return np.moveaxis(array_of(x), source, destination)
    order = list(range(tensor_of(x).ndim))
    moved = order.pop(source)
    order.insert(destination % (len(order) + 1), moved)
    return transpose(x, order)


def concatenate(xs: Sequence[Any], axis: int = 0) -> Any:
    """Side by side along an axis."""
    if not is_symbolic(xs):
        return np.concatenate([array_of(x) for x in xs], axis)
    tensors = tensors_of(xs)
    axis_in_row(tensors[0], axis)
    return Concatenate(axis + tensors[0].node.same if axis >= 0 else axis)(tensors)


def stack(x: Sequence[Any], axis: int = 0) -> Any:
    """Side by side along a new axis."""
    if not is_symbolic(x):
        return np.stack([array_of(each) for each in x], axis)
    return concatenate([expand_dims(each, axis) for each in tensors_of(x)], axis)


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Any]:
    """The parts along an axis, without it."""
    size = x.shape[axis] if hasattr(x, "shape") else np.shape(x)[axis]
    return [take(x, number, axis) for number in range(size if num is None else num)]


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """The parts along an axis: so many of one size, or cut at these places."""
    if not symbolic(x):
        return list(np.split(array_of(x), indices_or_sections, axis))
    tensor = tensor_of(x)
    own = axis_in_row(tensor, axis)
    pieces = np.split(np.arange(tensor.row[own]), indices_or_sections)
    return [_along(tensor, own, builtins.slice(int(piece[0]), int(piece[-1]) + 1)) for piece in pieces]


def _along(tensor: Any, own: int, chosen: Any) -> Any:
    """A part of a row's axis."""
    first = [] if tensor.node.same else [builtins.slice(None)]
    return part(tensor, (*first, *[builtins.slice(None)] * own, chosen))


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The places `indices`, whole numbers, along an axis."""
    if symbolic(indices):
        raise TypeError(f"ops.take: indices must be known; layers.Embedding looks rows up by value{users_line()}")
    if not symbolic(x):
        return np.take(array_of(x), indices, axis)
    tensor = tensor_of(x)
    own = axis_in_row(tensor, -1 if axis is None else axis)
    if np.ndim(indices) == 0:
        return _along(tensor, own, int(indices))
    if np.ndim(indices) != 1:
        raise ValueError(f"ops.take: indices must be one number or a list, got {shown(indices)}{users_line()}")
    parts = [
        _along(tensor, own, builtins.slice(int(i) % tensor.row[own], int(i) % tensor.row[own] + 1)) for i in indices
    ]
    return concatenate(parts, own + (not tensor.node.same)) if len(parts) > 1 else parts[0]


def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """A part of each axis: from where on, and how many. The axis of the rows is taken whole."""
    index = tuple(
        builtins.slice(None)
        if isinstance(size, Rows) or size is None or size == -1
        else builtins.slice(start, start + size)
        for start, size in zip(start_indices, shape, strict=True)
    )
    return part(inputs, index) if symbolic(inputs) else array_of(inputs)[index]


def flip(x: Any, axis: Any = None) -> Any:
    """Turned round along an axis."""
    if not symbolic(x):
        return np.flip(array_of(x), axis)
    tensor = tensor_of(x)
    return _along(tensor, axis_in_row(tensor, -1 if axis is None else axis), builtins.slice(None, None, -1))


def broadcast_to(x: Any, shape: Any) -> Any:
    """Repeated to another shape; of a symbolic tensor its first size is that of the rows."""
    if not symbolic(x):
        return np.broadcast_to(array_of(x), shape)
    row = [int(size) for size in (shape if tensor_of(x).node.same else shape[1:])]
    return operation("broadcast_to", tensor_of(x), shape=row)


def repeat(x: Any, repeats: int, axis: int | None = None) -> Any:
    """Each number so many times along an axis."""
    if not symbolic(x):
        return np.repeat(array_of(x), repeats, axis)
    tensor = tensor_of(x)
    own = axis_in_row(tensor, -1 if axis is None else axis)
    row = tensor.row
    wide = operation("broadcast_to", _reshape(tensor, (*row[: own + 1], 1, *row[own + 1 :])),
                     shape=[*row[: own + 1], int(repeats), *row[own + 1 :]])  # fmt: skip
    return _reshape(wide, (*row[:own], row[own] * int(repeats), *row[own + 1 :]))


def tile(x: Any, repeats: Any) -> Any:
    """The whole so many times along each axis; 1 along that of the rows."""
    if not symbolic(x):
        return np.tile(array_of(x), repeats)
    tensor = tensor_of(x)
    times = [int(each) for each in (repeats if isinstance(repeats, (tuple, list)) else [repeats])]
    times = [1] * (tensor.ndim - len(times)) + times
    if not tensor.node.same and times.pop(0) != 1:
        raise ValueError(f"ops.tile repeats no rows of {tensor!r}; the first of repeats must be 1{users_line()}")
    for own, number in enumerate(times):
        tensor = concatenate([tensor] * number, own + (not tensor.node.same)) if number > 1 else tensor
    return tensor


def _like(x: Any, value: float) -> Any:
    one = tensor_of(x)
    return as_tensor(np.full(one.row, value), one)


def zeros_like(x: Any, dtype: Any = None) -> Any:
    """0 in the shape of x."""
    return _like(x, 0.0) if symbolic(x) else np.zeros_like(array_of(x), dtype)


def ones_like(x: Any, dtype: Any = None) -> Any:
    """1 in the shape of x."""
    return _like(x, 1.0) if symbolic(x) else np.ones_like(array_of(x), dtype)


def full_like(x: Any, fill_value: float, dtype: Any = None) -> Any:
    """A number in the shape of x."""
    return _like(x, float(fill_value)) if symbolic(x) else np.full_like(array_of(x), fill_value, dtype)


def dot(x1: Any, x2: Any) -> Any:
    """The product of matrices, as ``ops.matmul``; of arrays as in NumPy."""
    if not symbolic(x1, x2):
        return np.dot(array_of(x1, "x1"), array_of(x2, "x2"))
    scalar = np.ndim(x1) == 0 if not symbolic(x1) else not symbolic(x2) and np.ndim(x2) == 0
    return multiply(x1, x2) if scalar else matmul(x1, x2)
