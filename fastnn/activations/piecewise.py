"""Activations made of straight lines, and of a parabola between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import kernels
from fastnn._checks import check_number
from fastnn.activations.base import ACTIVATIONS, Activation
from fastnn.typing import DoubleArray

__all__ = [
    "HardShrink",
    "HardSiLU",
    "HardSigmoid",
    "HardTanh",
    "LeakyReLU",
    "Linear",
    "ReLU",
    "ReLU6",
    "SoftShrink",
    "SparsePlus",
    "SparseSigmoid",
    "Threshold",
]


@ACTIVATIONS.add("linear")
class Linear(Activation):
    """z."""

    kernel = kernels.linear

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.asarray(z, float)


@ACTIVATIONS.add("relu")
@dataclass(frozen=True, eq=False, repr=False)
class ReLU(Activation):
    """max(z, 0). Source: Nair and Hinton 2010. Its slope at 0 is taken as 0.

    With other fields: min(z, max_value) if z > threshold else negative_slope * (z - threshold). negative_slope: finite;
    max_value: at least 0, None for no limit; threshold: at least 0. ValueError for what cannot be.
    """

    negative_slope: float = 0.0
    max_value: float | None = None
    threshold: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "negative_slope", -1e30)
        check_number(self, "threshold", 0)
        if self.max_value is not None:
            check_number(self, "max_value", 0)

    @property
    def kernel(self) -> Any:
        """The fast one, unless a field asks for more."""
        plain = self.negative_slope == 0 and self.max_value is None and self.threshold == 0
        return kernels.relu if plain else kernels.relu_bounded

    def numbers(self) -> tuple[float, ...]:
        cap = -1.0 if self.max_value is None else self.max_value
        return (float(self.negative_slope), float(cap), float(self.threshold))

    def reference(self, z: DoubleArray) -> DoubleArray:
        below = self.negative_slope * (z - self.threshold) if self.negative_slope else 0.0
        above = z if self.max_value is None else np.minimum(z, self.max_value)
        return np.asarray(np.where(z <= self.threshold, below, above))


@ACTIVATIONS.add("leaky_relu")
@dataclass(frozen=True, eq=False, repr=False)
class LeakyReLU(Activation):
    """z if z > 0 else negative_slope * z. Source: Maas et al. 2013. negative_slope: finite, 0.2 as in Keras 3."""

    negative_slope: float = 0.2
    kernel = kernels.leaky_relu

    def __post_init__(self) -> None:
        check_number(self, "negative_slope", -1e30)

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.where(z > 0, z, self.negative_slope * z)


@ACTIVATIONS.add("relu6")
class ReLU6(Activation):
    """min(max(z, 0), 6). Source: Krizhevsky 2010."""

    kernel = kernels.clipped

    def numbers(self) -> tuple[float, ...]:
        return (0.0, 6.0)

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.clip(z, 0.0, 6.0)


@ACTIVATIONS.add("hard_tanh")
class HardTanh(Activation):
    """min(max(z, -1), 1). Source: Collobert 2004."""

    kernel = kernels.clipped

    def numbers(self) -> tuple[float, ...]:
        return (-1.0, 1.0)

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.clip(z, -1.0, 1.0)


@ACTIVATIONS.add("hard_sigmoid")
class HardSigmoid(Activation):
    """min(max(z / 6 + 1 / 2, 0), 1). Source: Howard et al. 2019, section 5.2. float32: at most 1.2 ulp."""

    kernel = kernels.clipped_line

    def numbers(self) -> tuple[float, ...]:
        return (3.0,)

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.asarray(np.clip(z + 3.0, 0.0, 6.0) / 6)


@ACTIVATIONS.add("sparse_sigmoid")
class SparseSigmoid(Activation):
    """min(max((z + 1) / 2, 0), 1). Source: Blondel et al. 2019. float32: at most 0.5 ulp."""

    kernel = kernels.clipped_line

    def numbers(self) -> tuple[float, ...]:
        return (1.0,)

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.asarray(np.clip(z + 1.0, 0.0, 2.0) / 2)


@ACTIVATIONS.add("hard_silu", "hard_swish")
class HardSiLU(Activation):
    """z * hard_sigmoid(z). Source: Howard et al. 2019, section 5.2. hard_silu(-inf) is its limit, 0.

    float32: at most 2.5 ulp.
    """

    kernel = kernels.hard_silu

    def reference(self, z: DoubleArray) -> DoubleArray:
        above = np.maximum(z, -3.0)
        return np.asarray(above * (np.clip(above + 3.0, 0.0, 6.0) / 6))


@ACTIVATIONS.add("sparse_plus")
class SparsePlus(Activation):
    """0 if z <= -1, z if z >= 1, (z + 1)^2 / 4 between. Source: Blondel et al. 2019. float32: at most 2.5 ulp."""

    kernel = kernels.sparse_plus

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.asarray(np.where(z >= 1, z, np.clip(z + 1.0, 0.0, 2.0) ** 2 / 4))


@dataclass(frozen=True, eq=False, repr=False)
class _Shrink(Activation):
    """0 from -threshold to threshold. threshold: at least 0."""

    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_number(self, "threshold", 0)


@ACTIVATIONS.add("hard_shrink")
class HardShrink(_Shrink):
    """0 if |z| <= threshold else z. threshold: at least 0."""

    kernel = kernels.hard_shrink

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.where(np.abs(z) <= self.threshold, 0.0, z)


@ACTIVATIONS.add("soft_shrink")
class SoftShrink(_Shrink):
    """sign(z) max(|z| - threshold, 0). Source: Donoho and Johnstone 1994. threshold: at least 0.

    float32: half an ulp, of a threshold rounded to float32.
    """

    kernel = kernels.soft_shrink

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.asarray(z - np.clip(z, -self.threshold, self.threshold))


@ACTIVATIONS.add("threshold")
@dataclass(frozen=True, eq=False, repr=False)
class Threshold(Activation):
    """z if z > threshold else default_value. Both finite."""

    threshold: float = 0.0
    default_value: float = 0.0
    kernel = kernels.threshold

    def __post_init__(self) -> None:
        check_number(self, "threshold", -1e30)
        check_number(self, "default_value", -1e30)

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.where(z <= self.threshold, self.default_value, z)
