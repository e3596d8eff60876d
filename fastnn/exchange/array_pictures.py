"""Layers on pictures as formulas over another library's arrays: see ``fastnn.exchange.array_layers``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from fastnn import layers as L
from fastnn.exchange.array_units import activated, largest
from fastnn.layers._windows import same_border


def _first(xp: Any, layer: Any, x: Any) -> Any:
    """With the channels at the end."""
    return xp.moveaxis(x, 1, -1) if getattr(layer, "data_format", None) == "channels_first" else x


def _back(xp: Any, layer: Any, x: Any) -> Any:
    return xp.moveaxis(x, -1, 1) if getattr(layer, "data_format", None) == "channels_first" else x


def _borders(layer: Any, sizes: Sequence[int], reach: Sequence[int]) -> list[tuple[int, int]]:
    """Cells before and after each axis that the windows of a layer reach."""
    if layer.padding == "same":
        return [same_border(*each) for each in zip(sizes, reach, layer.strides, strict=True)]
    return [(n - 1 if layer.padding == "causal" else 0, 0) for n in reach]


def _reach(layer: Any) -> list[int]:
    return [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]


def _convolved(xp: Any, layer: Any, x: Any, kernel: Any, groups: int) -> Any:
    border = _borders(layer, x.shape[1:-1], _reach(layer))
    return xp.convolve(x, kernel, layer.strides, border, layer.dilation_rate, groups)


def _conv(xp: Any, layer: Any, x: Any, kernel: Any, bias: Any = None) -> Any:
    z = _convolved(xp, layer, _first(xp, layer, x), kernel, layer.groups)
    return activated(xp, layer.activation, _back(xp, layer, z if bias is None else z + bias))


def _by_channel(xp: Any, layer: Any, x: Any, kernel: Any) -> Any:
    channels = x.shape[-1]
    return _convolved(xp, layer, x, kernel.reshape((*kernel.shape[:-2], 1, -1)), channels)


def _depthwise(xp: Any, layer: Any, x: Any, kernel: Any, bias: Any = None) -> Any:
    z = _by_channel(xp, layer, _first(xp, layer, x), kernel)
    return activated(xp, layer.activation, _back(xp, layer, z if bias is None else z + bias))


def _separable(xp: Any, layer: Any, x: Any, depthwise_kernel: Any, pointwise_kernel: Any, bias: Any = None) -> Any:
    z = _by_channel(xp, layer, _first(xp, layer, x), depthwise_kernel)
    z = z @ pointwise_kernel.reshape(pointwise_kernel.shape[-2:])
    return activated(xp, layer.activation, _back(xp, layer, z if bias is None else z + bias))


def _transposed(xp: Any, layer: Any, x: Any, kernel: Any, bias: Any = None) -> Any:
    x = _first(xp, layer, x)
    z = xp.convolve_transposed(x, kernel, layer.strides, layer.dilation_rate)
    row = layer.output_shape(tuple(_back(xp, layer, x).shape[1:]))
    given = row[1:] if layer.data_format == "channels_first" else row[:-1]
    starts = [0] * len(given)
    if layer.padding == "same":
        extras = layer.output_padding or [None] * len(given)
        for axis, (s, n, extra) in enumerate(zip(layer.strides, _reach(layer), extras, strict=True)):
            border = s + n - 2 if extra is None else n + n % 2 - 2 + extra
            starts[axis] = n - 1 - min(border // 2 + border % 2, n - 1)
    missing = [max(a + n - whole, 0) for a, n, whole in zip(starts, given, z.shape[1:], strict=False)]
    z = xp.pad(z, [(0, 0), *((0, n) for n in missing), (0, 0)], 0.0)
    z = z[(slice(None), *(slice(a, a + n) for a, n in zip(starts, given, strict=True)))]
    return activated(xp, layer.activation, _back(xp, layer, z if bias is None else z + bias))


def _pooled(xp: Any, layer: Any, x: Any) -> Any:
    x = _first(xp, layer, x)
    border = _borders(layer, x.shape[1:-1], layer.pool_size)
    parts = zip(x.shape[1:], border, layer.pool_size, layer.strides, strict=False)
    places = [(n + sum(b) - k) // s + 1 for n, b, k, s in parts]
    full, steps = [(0, 0), *border, (0, 0)], layer.strides

    def windows(cells: Any) -> list[Any]:
        """The cells at each place within a window, for all windows."""
        return [
            cells[
                (slice(None), *(slice(t, t + (n - 1) * s + 1, s) for t, n, s in zip(tap, places, steps, strict=True)))
            ]
            for tap in np.ndindex(*layer.pool_size)
        ]

    if layer.largest:
        return _back(xp, layer, reduce(lambda a, b: largest(xp, a, b), windows(xp.pad(x, full, -float("inf")))))
    count = sum(windows(np.pad(np.ones((1, *x.shape[1:-1], 1)), full)))
    return _back(xp, layer, sum(windows(xp.pad(x, full, 0.0))) / xp.constant(count, x))


def _global(xp: Any, layer: Any, x: Any) -> Any:
    x = _first(xp, layer, x)
    axes = tuple(range(1, x.ndim - 1))
    given = (xp.amax if layer.largest else xp.mean)(x, axes, keepdims=layer.keepdims)
    return _back(xp, layer, given) if layer.keepdims else given


def _pairs(layer: Any, given: Any) -> list[tuple[int, int]]:
    """A border of each axis of an array."""
    own = [given] if layer.axes == 1 else list(given)
    return [(0, 0), (0, 0), *own] if getattr(layer, "data_format", None) == "channels_first" else [(0, 0), *own, (0, 0)]


def _cropped(xp: Any, layer: Any, x: Any) -> Any:
    pairs = zip(x.shape, _pairs(layer, layer.cropping), strict=True)
    return x[tuple(slice(before, n - after) for n, (before, after) in pairs)]


def _upsampled(xp: Any, layer: Any, x: Any) -> Any:
    if getattr(layer, "interpolation", "nearest") != "nearest":
        return _resized(xp, layer, x)
    x = _first(xp, layer, x)
    for axis, times in enumerate([layer.size] if layer.axes == 1 else layer.size):
        x = xp.take(x, xp.constant(np.repeat(np.arange(x.shape[axis + 1]), times), None), axis + 1)
    return _back(xp, layer, x)


def _resized(xp: Any, layer: Any, x: Any) -> Any:
    """A linear map of lines and one of columns, as the layer's formula has them for pictures with one line of 1."""
    if getattr(layer, "fill_value", 0.0):
        raise ValueError("Resizing with a fill_value other than 0 is not read")
    x = _first(xp, layer, x)
    height, width = x.shape[1:3]

    def weights(basis: Any) -> Any:
        return np.asarray(_moved(layer, layer.reference(_moved(layer, basis, 1)), -1))

    ones = np.ones((1, 1, 1))
    lines = weights(np.eye(height)[:, :, None, None] * np.ones((1, width, 1)))
    columns = weights(np.eye(width)[:, None, :, None] * ones.repeat(height, 0))
    down, across = lines.max(axis=2)[..., 0].T, columns.max(axis=1)[..., 0].T
    x = xp.einsum("ah,nhwc->nawc", xp.constant(down, x), x)
    return _back(xp, layer, xp.einsum("bw,nawc->nabc", xp.constant(across, x), x))


def _moved(layer: Any, x: Any, way: int) -> Any:
    if layer.data_format != "channels_first":
        return x
    return np.moveaxis(x, -1, 1) if way > 0 else np.moveaxis(x, 1, -1)


PICTURES: dict[type, Callable[..., Any]] = {}
PICTURES |= dict.fromkeys((L.Conv1D, L.Conv2D, L.Conv3D), _conv)
PICTURES |= dict.fromkeys((L.DepthwiseConv1D, L.DepthwiseConv2D), _depthwise)
PICTURES |= dict.fromkeys((L.SeparableConv1D, L.SeparableConv2D), _separable)
PICTURES |= dict.fromkeys((L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose), _transposed)
PICTURES |= dict.fromkeys((L.Resizing, L.CenterCrop), _resized)
for _axes in ("1D", "2D", "3D"):
    PICTURES |= dict.fromkeys((getattr(L, f"{how}Pooling{_axes}") for how in ("Max", "Average")), _pooled)
    PICTURES |= dict.fromkeys((getattr(L, f"Global{how}Pooling{_axes}") for how in ("Max", "Average")), _global)
    PICTURES[getattr(L, f"ZeroPadding{_axes}")] = lambda xp, f, x: xp.pad(x, _pairs(f, f.padding), 0.0)
    PICTURES[getattr(L, f"Cropping{_axes}")] = _cropped
    PICTURES[getattr(L, f"UpSampling{_axes}")] = _upsampled
