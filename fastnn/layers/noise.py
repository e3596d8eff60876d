"""Layers that add noise while training: GaussianNoise, GaussianDropout, AlphaDropout."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np

from fastnn import kernels
from fastnn._checks import check_number
from fastnn.engine.ops import NoiseOp, SharedAlphaDropoutOp
from fastnn.layers._draws import check_noise_shape, drawn_by
from fastnn.layers._fields import check_rate, own_input_shape
from fastnn.layers.base import LAYERS, Layer, check_seed
from fastnn.typing import DoubleArray, Shape

__all__ = ["AlphaDropout", "GaussianDropout", "GaussianNoise"]

SELU_LIMIT = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


class _Noise(Layer):
    """A layer of one noise. seed: noise of its own; None takes the model's, which ``set_random_seed`` sets."""

    passes_mask = True
    seed: int | None

    def __post_init__(self) -> None:
        name = "stddev" if hasattr(self, "stddev") else "rate"
        if name == "rate":
            check_rate(self)
        else:
            check_number(self, name, 0)
        self._set(name, float(getattr(self, name)))
        check_seed(self)
        own_input_shape(self)


@LAYERS.add("gaussian_noise")
@dataclass(frozen=True, eq=False, repr=False)
class GaussianNoise(_Noise):
    """While training: x + stddev * N, a normal number for each. Otherwise x. Any shape -> the same.

    stddev: at least 0. seed: noise of the layer's own, the same in each run; None: of the model's.
    """

    stddev: float
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return (NoiseOp(prod(input_shape), kernels.gaussian_noise, self.stddev, self.seed),)

    def reference(self, x: DoubleArray, normal: DoubleArray) -> DoubleArray:
        """What training makes of x with these normal numbers, in float64."""
        return np.asarray(x + self.stddev * normal)


@LAYERS.add("gaussian_dropout")
@dataclass(frozen=True, eq=False, repr=False)
class GaussianDropout(_Noise):
    """While training: x * (1 + sqrt(rate / (1 - rate)) * N). Otherwise x. Any shape -> the same.

    rate: at least 0 and below 1. seed: as GaussianNoise's. Source: Srivastava et al. 2014, section 10.
    """

    rate: float
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return (NoiseOp(prod(input_shape), kernels.gaussian_dropout, sqrt(self.rate / (1 - self.rate)), self.seed),)

    def reference(self, x: DoubleArray, normal: DoubleArray) -> DoubleArray:
        """What training makes of x with these normal numbers, in float64."""
        return np.asarray(x * (1 + np.sqrt(self.rate / (1 - self.rate)) * normal))


@LAYERS.add("alpha_dropout")
@dataclass(frozen=True, eq=False, repr=False)
class AlphaDropout(_Noise):
    """While training: scale * (x with probability 1 - rate, else SELU's limit) + level. Otherwise x.

    scale and level bring the mean and the variance of SELU's outputs back to 0 and 1. Any shape -> the same. rate: at
    least 0 and below 1. noise_shape: as Dropout's. seed: as GaussianNoise's. Source: Klambauer et al. 2017, section 3.
    """

    rate: float
    noise_shape: Any = None
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        drawn_by(self, input_shape)
        return input_shape

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        places, by_row = drawn_by(self, input_shape)
        if places is None:
            return (NoiseOp(prod(input_shape), kernels.alpha_dropout, self.rate, self.seed),)
        return (SharedAlphaDropoutOp(places, by_row, self.rate, SELU_LIMIT, self.seed),)

    def reference(self, x: DoubleArray, kept: Any) -> DoubleArray:
        """What training makes of x where `kept` says which are kept, in float64."""
        scale = ((1 - self.rate) * (1 + self.rate * SELU_LIMIT**2)) ** -0.5
        return np.asarray(scale * (np.where(kept, x, SELU_LIMIT) - SELU_LIMIT * self.rate))
