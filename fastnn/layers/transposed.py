"""Transposed convolution: Conv1DTranspose, Conv2DTranspose, Conv3DTranspose."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.engine.ops import ConvolutionOp, StridedCopyOp
from fastnn.layers._fields import parameter_of, size_of
from fastnn.layers._windows import in_three, sizes_of
from fastnn.layers.base import LAYERS, Parameter
from fastnn.layers.convolution import Convolution, check_dilation
from fastnn.layers.core import activation_ops
from fastnn.typing import DoubleArray, Shape

__all__ = [
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Convolution1DTranspose",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
]


@dataclass(frozen=True, eq=False, repr=False)
class _ConvTranspose(Convolution):
    filters: int
    kernel_size: Any
    strides: Any = 1
    padding: Any = "valid"
    output_padding: Any = None
    data_format: Any = None
    dilation_rate: Any = 1
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
        self._check("kernel")
        check_dilation(self)
        if self.output_padding is None:
            return
        self._set("output_padding", sizes_of(self, "output_padding", self.axes, 0))
        if any(extra >= stride for extra, stride in zip(self.output_padding, self.strides, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: output_padding must be less than strides along each axis, got "
                f"{shown(self.output_padding)} and {self.strides} (it must be strictly less than `strides`)"
            )

    def cuts(self, sizes: Shape) -> list[tuple[int, int, int]]:
        """Of each axis: cells of all that the kernel reaches, the first that is given, and how many are."""
        found = []
        extras = self.output_padding or [None] * self.axes
        for n, k, d, s, extra in zip(sizes, self.kernel_size, self.dilation_rate, self.strides, extras, strict=True):
            reach = (k - 1) * d + 1
            whole, first = (n - 1) * s + reach, 0
            given = whole + (max(s - reach, 0) if extra is None else extra)
            if self.padding == "same":
                border = s + reach - 2 if extra is None else reach + reach % 2 - 2 + extra
                first = reach - 1 - min(border // 2 + border % 2, reach - 1)
                given = (n - 1) * s + 1 + border - (reach - 1)
            if given < 1:
                raise ValueError(
                    f"{type(self).__name__}: nothing is left of {sizes} with a kernel of {self.kernel_size}, "
                    f"output_padding {self.output_padding} and padding {self.padding!r}; make output_padding larger"
                )
            found.append((max(whole, first + given), first, given))
        return found

    def _places(self, sizes: Shape) -> Shape:
        return tuple(given for _, _, given in self.cuts(sizes))

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes, _ = self._picture(input_shape)
        row: Shape = self.activation.row_given(self._shaped(self._places(sizes), self.filters))
        return row

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        channels = self._picture(input_shape)[1]
        names = [("kernel", (*self.kernel_size, self.filters, channels)), ("bias", (self.filters,))]
        return tuple(parameter_of(self, *each) for each in names[: 1 + self.use_bias])

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        sizes, channels = self._picture(input_shape)
        cuts, fused = self.cuts(sizes), self._fused()
        whole, given = [each for each, _, _ in cuts], self._places(sizes)
        op = ConvolutionOp(
            in_three(whole, 1),
            in_three(self.kernel_size, 1),
            self.filters,
            channels,
            in_three(self.strides, 1),
            in_three(self.dilation_rate, 1),
            use_bias=self.use_bias,
            activation=fused.kernel if fused else None,
            numbers=fused.numbers() if fused else (),
            transposed=True,
        )
        ops = (*self._to_last(input_shape), op)
        if given != tuple(whole):
            strides = [prod((*whole[axis + 1 :], self.filters)) for axis in range(self.axes)]
            start = sum(first * stride for (_, first, _), stride in zip(cuts, strides, strict=True))
            ops += (StridedCopyOp(prod(whole) * self.filters, (*given, self.filters), (*strides, 1), start),)
        ops += self._from_last(given, self.filters)
        if fused is None:
            ops += activation_ops(self.activation, self._shaped(given, self.filters), len(ops))
        return ops

    def reference(self, x: DoubleArray, kernel: DoubleArray, bias: Any = 0.0) -> DoubleArray:
        """The formula, in float64."""
        x = self._seen(x)
        sizes = x.shape[1:-1]
        cuts = self.cuts(sizes)
        z = np.zeros((len(x), *(whole for whole, _, _ in cuts), self.filters))
        for tap in np.ndindex(*self.kernel_size):
            parts = zip(tap, sizes, self.strides, self.dilation_rate, strict=True)
            z[(slice(None), *(slice(t * d, t * d + (n - 1) * s + 1, s) for t, n, s, d in parts))] += x @ kernel[tap].T
        z = z[(slice(None), *(slice(first, first + given) for _, first, given in cuts))] + bias
        return np.asarray(self.activation.reference(self._as_given(z)))


@LAYERS.add("conv1d_transpose", "Conv1DTranspose", "Convolution1DTranspose")
@dataclass(frozen=True, eq=False, repr=False)
class Conv1DTranspose(_ConvTranspose):
    """activation(z + bias), where each step t adds its numbers . kernel[k] to z[t * stride + k * dilation].

    (steps, channels) -> (places, filters). Weights: kernel (size, filters, channels), bias (filters,). padding:
    "valid", all that the kernel reaches and at least steps * stride places; "same", steps * stride of them, as many cut
    off at both ends. output_padding: less than strides; places beyond those that a Conv1D of these arguments would need
    to give so many steps. The rest: as Conv1D's. Source: Zeiler et al. 2010.
    """

    axes = 1


@LAYERS.add("conv2d_transpose", "Conv2DTranspose", "Convolution2DTranspose")
@dataclass(frozen=True, eq=False, repr=False)
class Conv2DTranspose(_ConvTranspose):
    """Conv1DTranspose on pictures. (height, width, channels) -> (places down, places across, filters).

    Weights: kernel (height, width, filters, channels), bias (filters,). The rest: as Conv2D's and Conv1DTranspose's.
    """

    axes = 2
    strides: Any = (1, 1)
    dilation_rate: Any = (1, 1)


@LAYERS.add("conv3d_transpose", "Conv3DTranspose", "Convolution3DTranspose")
@dataclass(frozen=True, eq=False, repr=False)
class Conv3DTranspose(_ConvTranspose):
    """Conv2DTranspose with an axis more: (depth, height, width, channels) -> (places along each, filters)."""

    axes = 3
    strides: Any = (1, 1, 1)
    dilation_rate: Any = (1, 1, 1)


# Keras's other names.
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose

_names.offer(globals())
