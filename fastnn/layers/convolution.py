"""Convolution: Conv1D, Conv2D, Conv3D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import _names, activations
from fastnn._checks import check_choice, check_flag, shown
from fastnn.engine.ops import ConvolutionOp
from fastnn.layers._fields import parameter_of, resolve_units, size_of
from fastnn.layers._windows import Spatial, in_three, pad_ops, padded, same_border, sizes_of
from fastnn.layers.base import LAYERS, Parameter
from fastnn.layers.core import activation_ops
from fastnn.typing import DoubleArray, Shape

__all__ = ["Conv1D", "Conv2D", "Conv3D", "Convolution1D", "Convolution2D", "Convolution3D"]


class Convolution(Spatial):
    """What all convolutions have: a kernel's places, its border, an activation at the end."""

    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")
    kernel_size: Any
    strides: Any
    padding: Any
    dilation_rate: Any
    activation: Any
    use_bias: Any

    def _check(self, *weights: str) -> None:
        for name in ("kernel_size", "strides", "dilation_rate"):
            self._set(name, sizes_of(self, name, self.axes))
        if isinstance(self.padding, str):
            self._set("padding", self.padding.lower())
        check_choice(self, "padding", *self.paddings, also="The `padding` argument must be one of these")
        self._set("activation", activations.get(self.activation))
        check_flag(self, "use_bias")
        self._set("use_bias", bool(self.use_bias))
        resolve_units(self, *weights, "bias")
        super()._check()

    def _border(self, sizes: Shape) -> list[tuple[int, int]]:
        """Cells of zeros before and after each axis."""
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation_rate, strict=True)]
        if self.padding == "same":
            return [same_border(*each) for each in zip(sizes, reach, self.strides, strict=True)]
        return [(n - 1 if self.padding == "causal" else 0, 0) for n in reach]

    def _places(self, sizes: Shape) -> Shape:
        """Places of the kernel along each axis. ValueError where it has none."""
        parts = zip(sizes, self._border(sizes), self.kernel_size, self.dilation_rate, self.strides, strict=True)
        given = tuple((n + sum(border) - (k - 1) * d - 1) // s + 1 for n, border, k, d, s in parts)
        if min(given) < 1:
            raise ValueError(
                f"{type(self).__name__}: a kernel of {self.kernel_size}, dilated by {self.dilation_rate}, has no place "
                f'in a picture of {sizes}; make it smaller, or padding "same" (Computed output size would be zero or '
                "negative)"
            )
        return given

    def _op(self, sizes: Shape, channels: int, filters: int, groups: int, bias: bool, activation: Any) -> Any:
        """The op of a picture with its border."""
        bordered = [n + sum(border) for n, border in zip(sizes, self._border(sizes), strict=True)]
        return ConvolutionOp(
            in_three(bordered, 1),
            in_three(self.kernel_size, 1),
            channels,
            filters,
            in_three(self.strides, 1),
            in_three(self.dilation_rate, 1),
            groups,
            bias,
            activation=activation.kernel if activation else None,
            numbers=activation.numbers() if activation else (),
        )

    def _fused(self) -> Any:
        """The activation, where the last op can have it: softmax works along a row's last axis, whatever that is."""
        along_rows = self._first and isinstance(self.activation, activations.RowActivation)
        return None if along_rows or not self.activation.compiled else self.activation

    def _with_ends(self, row: Shape, filters: int, *ops: Any) -> tuple[Any, ...]:
        """Ops on a picture, with what comes before and after them."""
        sizes, channels = self._picture(row)
        given = self._places(sizes)
        ops = (*self._to_last(row), *pad_ops(sizes, channels, self._border(sizes)), *ops)
        ops += self._from_last(given, filters)
        if self._fused() is None:
            ops += activation_ops(self.activation, self._shaped(given, filters), len(ops))
        return ops

    def _convolved(self, x: DoubleArray, kernel: DoubleArray, groups: int) -> DoubleArray:
        """The formula without bias and activation, of rows whose channels are at the end."""
        sizes, channels, filters = x.shape[1:-1], x.shape[-1], kernel.shape[-1]
        given = self._places(sizes)
        x = padded(x, self._border(sizes))
        z = np.zeros((len(x), *given, filters))
        for tap in np.ndindex(*self.kernel_size):
            starts = [t * d for t, d in zip(tap, self.dilation_rate, strict=True)]
            parts = zip(starts, given, self.strides, strict=True)
            seen = x[(slice(None), *(slice(t, t + (n - 1) * s + 1, s) for t, n, s in parts))]
            seen = seen.reshape(*seen.shape[:-1], groups, channels // groups)
            weights = kernel[tap].reshape(channels // groups, groups, filters // groups)
            z += np.einsum("...gc,cgf->...gf", seen, weights).reshape(z.shape)
        return z


def check_dilation(layer: Any) -> None:
    """ValueError for strides beside dilation, as in Keras."""
    if max(layer.strides) > 1 and max(layer.dilation_rate) > 1:
        raise ValueError(
            f"{type(layer).__name__}: strides {layer.strides} and dilation_rate {layer.dilation_rate} cannot both be "
            "more than 1; leave one of them out (`strides > 1` not supported in conjunction with `dilation_rate > 1`)"
        )


@dataclass(frozen=True, eq=False, repr=False)
class _Conv(Convolution):
    filters: int
    kernel_size: Any
    strides: Any = 1
    padding: Any = "valid"
    data_format: Any = None
    dilation_rate: Any = 1
    groups: int = 1
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self._set("filters", size_of(self, "filters", also="Expected a strictly positive value"))
        self._set("groups", size_of(self, "groups", also="The number of groups must be a positive integer"))
        if self.filters % self.groups:
            raise ValueError(
                f"{type(self).__name__}: filters must be a multiple of groups, got {self.filters} and {self.groups} ("
                "The number of filters must be evenly divisible by the number of groups)"
            )
        self._check("kernel")
        check_dilation(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes, channels = self._picture(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"{type(self).__name__}: {channels} channels are no {shown(self.groups)} equal groups; make groups a "
                "divisor (The number of input channels must be evenly divisible by the number of groups)"
            )
        given: Shape = self.activation.row_given(self._shaped(self._places(sizes), self.filters))
        return given

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        channels = self._picture(input_shape)[1] // self.groups
        names = [("kernel", (*self.kernel_size, channels, self.filters)), ("bias", (self.filters,))]
        return tuple(parameter_of(self, *each) for each in names[: 1 + self.use_bias])

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        sizes, channels = self._picture(input_shape)
        op = self._op(sizes, channels, self.filters, self.groups, self.use_bias, self._fused())
        return self._with_ends(input_shape, self.filters, op)

    def reference(self, x: DoubleArray, kernel: DoubleArray, bias: Any = 0.0) -> DoubleArray:
        """The formula, in float64."""
        z = self._convolved(self._seen(x), kernel, self.groups) + bias
        return np.asarray(self.activation.reference(self._as_given(z)))


@LAYERS.add("conv1d", "Conv1D", "Convolution1D")
@dataclass(frozen=True, eq=False, repr=False)
class Conv1D(_Conv):
    """activation(sum over k and channels of x[t * stride + k * dilation] * kernel[k] + bias), for each place t.

    (steps, channels) -> (places, filters). Weights: kernel (size, channels / groups, filters), bias (filters,).
    filters, kernel_size, strides, dilation_rate: at least 1; one of the last two is 1. padding: "valid", where the
    kernel lies within the steps; "same", which gives ceil(steps / stride) places; "causal", where a place sees no step
    after it. groups: a group of filters sees a group of channels; it divides both. data_format: "channels_last", or
    "channels_first": (channels, steps). activation and the rest: a name or an object. Source: LeCun et al. 1989.
    """

    axes = 1
    paddings = ("valid", "same", "causal")


@LAYERS.add("conv2d", "Conv2D", "Convolution2D")
@dataclass(frozen=True, eq=False, repr=False)
class Conv2D(_Conv):
    """activation(sum over the kernel's cells and channels of x * kernel + bias), for each place of the kernel.

    (height, width, channels) -> (places down, places across, filters). Weights: kernel (height, width, channels /
    groups, filters), bias (filters,). kernel_size, strides, dilation_rate: a whole number of at least 1, or one for
    each axis. padding: "valid", "same". The rest: as Conv1D's. Source: LeCun et al. 1989.
    """

    axes = 2
    strides: Any = (1, 1)
    dilation_rate: Any = (1, 1)


@LAYERS.add("conv3d", "Conv3D", "Convolution3D")
@dataclass(frozen=True, eq=False, repr=False)
class Conv3D(_Conv):
    """Conv2D with an axis more: (depth, height, width, channels) -> (places along each of the three, filters)."""

    axes = 3
    strides: Any = (1, 1, 1)
    dilation_rate: Any = (1, 1, 1)


# Keras's other names.
Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D

_names.offer(globals())
