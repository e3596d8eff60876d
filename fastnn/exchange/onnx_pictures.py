"""Convolution, pooling, borders and sizes of pictures and series, as ONNX nodes.

ONNX has channels second: a picture with channels last is transposed before and behind, and where two such layers meet
both transposes go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.exchange.onnx_calls import Call, writes
from fastnn.exchange.onnx_operations import cut
from fastnn.typing import Array, Shape


def _is_first(c: Call) -> bool:
    return bool(c.layer.data_format == "channels_first")


def _axes(c: Call) -> range:
    """The axes of a row that are those of a picture."""
    return range(1, len(c.row)) if _is_first(c) else range(len(c.row) - 1)


def _sizes(c: Call, row: Shape) -> Shape:
    return tuple(row[axis] for axis in _axes(c))


def _to_first(c: Call, x: str) -> str:
    return x if _is_first(c) else c.g.transpose(x, [0, len(c.row), *range(1, len(c.row))])


def _as_given(c: Call, x: str) -> str:
    return x if _is_first(c) else c.g.transpose(x, [0, *range(2, len(c.row) + 1), 1])


def _borders(c: Call, reach: Sequence[int], padding: str) -> list[int]:
    """Cells before each axis, then behind each: as few as give the places that there are."""
    if padding == "valid":
        return [0] * 2 * len(reach)
    if padding == "causal":
        return [reach[0] - 1, 0]
    totals = []
    for n, k, s in zip(_sizes(c, c.row), reach, c.layer.strides, strict=True):
        totals.append(max((-(-n // s) - 1) * s + k - n, 0))
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def _reach(layer: Any) -> list[int]:
    """Cells from the first to the last that a kernel sees."""
    return [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]


def _turned(kernel: Array) -> Array:
    """(*sizes, channels, filters) -> (filters, channels, *sizes)."""
    return kernel.transpose(kernel.ndim - 1, kernel.ndim - 2, *range(kernel.ndim - 2))


def _convolved(c: Call, x: str, kernel: str | None, bias: str | None, groups: int = 1) -> str:
    return c.op(
        "Conv",
        x,
        kernel,
        bias,
        kernel_shape=c.layer.kernel_size,
        strides=c.layer.strides,
        dilations=c.layer.dilation_rate,
        pads=_borders(c, _reach(c.layer), c.layer.padding),
        group=groups,
    )


@writes("conv1d", "conv2d", "conv3d")
def _convolution(c: Call, x: str) -> str:
    z = _convolved(c, _to_first(c, x), c.weight("kernel", _turned), c.weight("bias"), c.layer.groups)
    return c.activated(_as_given(c, z))


@writes("depthwise_conv1d", "depthwise_conv2d")
def _depthwise(c: Call, x: str) -> str:
    z = _by_channel(c, x, "kernel", c.weight("bias"))
    return c.activated(_as_given(c, z))


@writes("separable_conv1d", "separable_conv2d")
def _separable(c: Call, x: str) -> str:
    between = _by_channel(c, x, "depthwise_kernel")
    z = c.op("Conv", between, c.weight("pointwise_kernel", _turned), c.weight("bias"))
    return c.activated(_as_given(c, z))


def _by_channel(c: Call, x: str, name: str, bias: str | None = None) -> str:
    def turned(kernel: Array) -> Array:
        return _turned(kernel.reshape(*kernel.shape[:-2], 1, -1))

    channels = c.arrays[name].shape[-2]
    return _convolved(c, _to_first(c, x), c.weight(name, turned), bias, channels)


@writes("conv1d_transpose", "conv2d_transpose", "conv3d_transpose")
def _transposed(c: Call, x: str) -> str:
    sizes, layer = _sizes(c, c.row), c.layer
    cuts, reach = layer.cuts(sizes), _reach(layer)
    firsts = [first for _, first, _ in cuts]
    # What is left behind, or, where the kernel reaches no further, is still given.
    rest = [
        (n - 1) * s + k - first - given
        for n, s, k, (_, first, given) in zip(sizes, layer.strides, reach, cuts, strict=True)
    ]
    z = c.op(
        "ConvTranspose",
        _to_first(c, x),
        c.weight("kernel", _turned),
        c.weight("bias"),
        kernel_shape=layer.kernel_size,
        strides=layer.strides,
        dilations=layer.dilation_rate,
        pads=[*firsts, *(max(each, 0) for each in rest)],
        output_padding=[max(-each, 0) for each in rest],
    )
    return c.activated(_as_given(c, z))


# Pooling.


@writes(*(f"{kind}_pooling{axes}d" for kind in ("max", "average") for axes in (1, 2, 3)))
def _pooling(c: Call, x: str) -> str:
    layer = c.layer
    pads = _borders(c, layer.pool_size, layer.padding)
    shapes: dict[str, Any] = {"kernel_shape": layer.pool_size, "strides": layer.strides, "pads": pads}
    if layer.largest:
        return _as_given(c, c.op("MaxPool", _to_first(c, x), **shapes))
    return _as_given(c, c.op("AveragePool", _to_first(c, x), count_include_pad=0, **shapes))


@writes(*(f"global_{kind}_pooling{axes}d" for kind in ("max", "average") for axes in (1, 2, 3)))
def _global_pooling(c: Call, x: str) -> str:
    if c.layer.reads_mask and c.masks[0] is not None:
        return _of_steps(c, c.g.transpose(x, [0, 2, 1]) if _is_first(c) else x, c.masks[0])
    kind = "ReduceMax" if c.layer.largest else "ReduceMean"
    a = c.op(kind, _to_first(c, x), axes=[*range(2, len(c.row) + 1)], keepdims=int(c.layer.keepdims))
    return _as_given(c, a) if c.layer.keepdims else a


def _of_steps(c: Call, x: str, mask: str) -> str:
    """The mean of the steps that count, 0 where none does."""
    counts = c.op("Unsqueeze", mask, [2])
    kept = c.op("Where", c.g.cast(counts, "bool"), x, 0.0)
    sums, total = (c.op("ReduceSum", each, [1], keepdims=0) for each in (kept, counts))
    return c.g.reshape(c.op("Div", sums, c.op("Max", total, 1.0)), c.node.rows[0])


# Borders and sizes.


@writes("zero_padding1d", "zero_padding2d", "zero_padding3d")
def _zero_padding(c: Call, x: str) -> str:
    pairs = [c.layer.padding] if len(_axes(c)) == 1 else c.layer.padding
    return _padded(c, x, dict(zip(_axes(c), pairs, strict=True)))


def _padded(c: Call, x: str, pairs: dict[int, Any], value: float = 0.0) -> str:
    full = [(0, 0), *(pairs.get(axis, (0, 0)) for axis in range(len(c.row)))]
    return c.op("Pad", x, [int(before) for before, _ in full] + [int(after) for _, after in full], float(value))


@writes("cropping1d", "cropping2d", "cropping3d")
def _cropping(c: Call, x: str) -> str:
    pairs = [c.layer.cropping] if len(_axes(c)) == 1 else c.layer.cropping
    parts = {axis: (first, c.node.rows[0][axis], 1) for axis, (first, _) in zip(_axes(c), pairs, strict=True)}
    return cut(c, x, parts)


@writes("up_sampling1d", "up_sampling2d", "up_sampling3d")
def _up_sampling(c: Call, x: str) -> str:
    nearest = getattr(c.layer, "interpolation", "nearest") == "nearest"
    for axis in _axes(c):
        x = _resized(c, x, axis, c.row[axis], c.node.rows[0][axis], nearest)
    return x


@writes("resizing", "center_crop", "random_crop")
def _resizing(c: Call, x: str) -> str:
    layer, (down, across) = c.layer, _axes(c)
    height, width = _sizes(c, c.row)
    if c.node.layer.table_name == "random_crop" and height >= layer.height and width >= layer.width:
        top, left = (height - layer.height + 1) // 2, (width - layer.width + 1) // 2
        return cut(c, x, {down: (top, layer.height, 1), across: (left, layer.width, 1)})
    top, left, tall, wide = (int(each) for each in layer.part(height, width))
    if min(top, left) < 0:  # it lies beyond the picture, as much behind as before
        x = _padded(c, x, {down: (max(-top, 0),) * 2, across: (max(-left, 0),) * 2}, layer.fill_value)
    else:
        x = cut(c, x, {down: (top, tall, 1), across: (left, wide, 1)})
    for axis, n, given in ((down, tall, layer.height), (across, wide, layer.width)):
        x = _resized(c, x, axis, n, given, layer.interpolation == "nearest")
    return x


def _resized(c: Call, x: str, axis: int, n: int, given: int, nearest: bool) -> str:
    """An axis of n cells as one of `given`: each the nearest one, or a mean of the two around its middle."""
    if n == given:
        return x
    share = n / given
    places = (share * np.arange(given) + (0.5 * share - 0.5)).clip(0, n - 1)
    lower = np.floor(places + 0.5 * nearest).astype(np.int64)
    below = c.op("Gather", x, lower, axis=axis + 1)
    if nearest:
        return below
    weight = (places - lower).astype(np.float32).reshape(-1, *(1,) * (len(c.row) - axis - 1))
    above = c.op("Gather", x, np.minimum(lower + 1, n - 1), axis=axis + 1)
    return c.op("Add", c.op("Mul", below, 1 - weight), c.op("Mul", above, weight))
