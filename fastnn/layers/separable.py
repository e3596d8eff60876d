"""Convolutions that meet each channel by itself: DepthwiseConv1D and 2D, SeparableConv1D and 2D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import _names
from fastnn.engine.ops import ConvolutionOp
from fastnn.layers._fields import parameter_of, size_of
from fastnn.layers._windows import in_three
from fastnn.layers.base import LAYERS, Parameter
from fastnn.layers.convolution import Convolution
from fastnn.typing import DoubleArray, Shape

__all__ = [
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
]


class _ByChannel(Convolution):
    depth_multiplier: Any

    def _kernel(self, channels: int) -> Shape:
        """The shape of the kernel that meets each channel."""
        return (*self.kernel_size, channels, self.depth_multiplier)

    def _check_multiplier(self) -> None:
        also = "Expected a strictly positive value"
        self._set("depth_multiplier", size_of(self, "depth_multiplier", also=also))

    def _depthwise(self, x: DoubleArray, kernel: DoubleArray) -> DoubleArray:
        """The formula of the kernel that meets each channel."""
        channels = x.shape[-1]
        return self._convolved(x, kernel.reshape(*self.kernel_size, 1, channels * self.depth_multiplier), channels)


@dataclass(frozen=True, eq=False, repr=False)
class _DepthwiseConv(_ByChannel):
    kernel_size: Any
    strides: Any = 1
    padding: Any = "valid"
    depth_multiplier: int = 1
    data_format: Any = None
    dilation_rate: Any = 1
    activation: Any = None
    use_bias: bool = True
    depthwise_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    depthwise_regularizer: Any = None
    bias_regularizer: Any = None
    depthwise_constraint: Any = None
    bias_constraint: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self._check_multiplier()
        self._check("depthwise")

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes, channels = self._picture(input_shape)
        row = self._shaped(self._places(sizes), channels * self.depth_multiplier)
        given: Shape = self.activation.row_given(row)
        return given

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        channels = self._picture(input_shape)[1]
        kernel = parameter_of(self, "depthwise", self._kernel(channels))._replace(name="kernel")
        return (kernel, parameter_of(self, "bias", (channels * self.depth_multiplier,)))[: 1 + self.use_bias]

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        sizes, channels = self._picture(input_shape)
        filters = channels * self.depth_multiplier
        op = self._op(sizes, channels, filters, channels, self.use_bias, self._fused())
        return self._with_ends(input_shape, filters, op)

    def reference(self, x: DoubleArray, kernel: DoubleArray, bias: Any = 0.0) -> DoubleArray:
        """The formula, in float64."""
        z = self._depthwise(self._seen(x), kernel) + bias
        return np.asarray(self.activation.reference(self._as_given(z)))


@dataclass(frozen=True, eq=False, repr=False)
class _SeparableConv(_ByChannel):
    filters: int
    kernel_size: Any
    strides: Any = 1
    padding: Any = "valid"
    data_format: Any = None
    dilation_rate: Any = 1
    depth_multiplier: int = 1
    activation: Any = None
    use_bias: bool = True
    depthwise_initializer: Any = "glorot_uniform"
    pointwise_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    depthwise_regularizer: Any = None
    pointwise_regularizer: Any = None
    bias_regularizer: Any = None
    depthwise_constraint: Any = None
    pointwise_constraint: Any = None
    bias_constraint: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self._set("filters", size_of(self, "filters", also="Expected a strictly positive value"))
        self._check_multiplier()
        self._check("depthwise", "pointwise")

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes, _ = self._picture(input_shape)
        given: Shape = self.activation.row_given(self._shaped(self._places(sizes), self.filters))
        return given

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        channels = self._picture(input_shape)[1]
        pointwise = (*(1 for _ in self.kernel_size), channels * self.depth_multiplier, self.filters)
        return (
            parameter_of(self, "depthwise", self._kernel(channels))._replace(name="depthwise_kernel"),
            parameter_of(self, "pointwise", pointwise)._replace(name="pointwise_kernel"),
            parameter_of(self, "bias", (self.filters,)),
        )[: 2 + self.use_bias]

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        sizes, channels = self._picture(input_shape)
        fused, between = self._fused(), channels * self.depth_multiplier
        pointwise = ConvolutionOp(
            in_three(self._places(sizes), 1),
            (1, 1, 1),
            between,
            self.filters,
            use_bias=self.use_bias,
            activation=fused.kernel if fused else None,
            numbers=fused.numbers() if fused else (),
        )
        depthwise = self._op(sizes, channels, between, channels, False, None)
        return self._with_ends(input_shape, self.filters, depthwise, pointwise)

    def reference(
        self, x: DoubleArray, depthwise_kernel: DoubleArray, pointwise_kernel: DoubleArray, bias: Any = 0.0
    ) -> DoubleArray:
        """The formula, in float64."""
        z = self._depthwise(self._seen(x), depthwise_kernel)
        z = z @ pointwise_kernel.reshape(-1, self.filters) + bias
        return np.asarray(self.activation.reference(self._as_given(z)))


@LAYERS.add("depthwise_conv1d", "DepthwiseConv1D")
@dataclass(frozen=True, eq=False, repr=False)
class DepthwiseConv1D(_DepthwiseConv):
    """Conv1D in which each channel has `depth_multiplier` filters of its own, and no filter sees another channel.

    (steps, channels) -> (places, channels * depth_multiplier). Weights: kernel (size, channels, depth_multiplier),
    bias (channels * depth_multiplier,). padding: "valid", "same". The rest: as Conv1D's. Source: Howard et al. 2017.
    """

    axes = 1


@LAYERS.add("depthwise_conv2d", "DepthwiseConv2D")
@dataclass(frozen=True, eq=False, repr=False)
class DepthwiseConv2D(_DepthwiseConv):
    """Conv2D in which each channel has `depth_multiplier` filters of its own, and no filter sees another channel.

    (height, width, channels) -> (places down, places across, channels * depth_multiplier). Weights: kernel (height,
    width, channels, depth_multiplier), bias. The rest: as Conv2D's. Source: Howard et al. 2017.
    """

    axes = 2
    strides: Any = (1, 1)
    dilation_rate: Any = (1, 1)


@LAYERS.add("separable_conv1d", "SeparableConv1D", "SeparableConvolution1D")
@dataclass(frozen=True, eq=False, repr=False)
class SeparableConv1D(_SeparableConv):
    """activation(x, convolved channel by channel, . pointwise_kernel + bias). (steps, channels) -> (places, filters).

    Weights: depthwise_kernel (size, channels, depth_multiplier), pointwise_kernel (1, channels * depth_multiplier,
    filters), bias (filters,). Arguments: as DepthwiseConv1D's. Source: Chollet 2017.
    """

    axes = 1


@LAYERS.add("separable_conv2d", "SeparableConv2D", "SeparableConvolution2D")
@dataclass(frozen=True, eq=False, repr=False)
class SeparableConv2D(_SeparableConv):
    """activation(x, convolved channel by channel, . pointwise_kernel + bias).

    (height, width, channels) -> (places down, places across, filters). Weights: depthwise_kernel (height, width,
    channels, depth_multiplier), pointwise_kernel (1, 1, channels * depth_multiplier, filters), bias (filters,).
    Arguments: as DepthwiseConv2D's. Source: Chollet 2017.
    """

    axes = 2
    strides: Any = (1, 1)
    dilation_rate: Any = (1, 1)


# Keras's other names.
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D

_names.offer(globals())
