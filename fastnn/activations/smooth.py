"""Smooth activations, and the exponential linear units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastnn import kernels
from fastnn._checks import check_number
from fastnn.activations.base import ACTIVATIONS, Activation
from fastnn.typing import DoubleArray

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Exponential",
    "LogSigmoid",
    "Mish",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Squareplus",
    "Tanh",
    "TanhShrink",
]


def _sigmoid(z: DoubleArray) -> DoubleArray:
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, e) / (1 + e))


def _softplus(z: DoubleArray) -> DoubleArray:
    return np.asarray(np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))))


@ACTIVATIONS.add("elu")
@dataclass(frozen=True, eq=False, repr=False)
class ELU(Activation):
    """z if z > 0 else alpha * (e^z - 1). Source: Clevert et al. 2016. alpha: finite."""

    alpha: float = 1.0
    kernel = kernels.elu

    def __post_init__(self) -> None:
        check_number(self, "alpha", -1e30)

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.where(z > 0, z, self.alpha * np.expm1(np.minimum(z, 0.0)))


@ACTIVATIONS.add("selu")
class SELU(Activation):
    """s * (z if z > 0 else a * (e^z - 1)), s = 1.0507..., a = 1.6733.... Source: Klambauer et al. 2017, eq. 2."""

    kernel = kernels.selu

    def reference(self, z: DoubleArray) -> DoubleArray:
        below = 1.6732632423543772848170429916717 * np.expm1(np.minimum(z, 0.0))
        return 1.0507009873554804934193349852946 * np.where(z > 0, z, below)


@ACTIVATIONS.add("celu")
@dataclass(frozen=True, eq=False, repr=False)
class CELU(Activation):
    """z if z > 0 else alpha * (e^(z / alpha) - 1). Source: Barron 2017. alpha: from 1e-30. float32: at most 3 ulp."""

    alpha: float = 1.0
    kernel = kernels.celu

    def __post_init__(self) -> None:
        check_number(self, "alpha", 1e-30)

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.where(z > 0, z, self.alpha * np.expm1(np.minimum(z, 0.0) / self.alpha))


@ACTIVATIONS.add("exponential")
class Exponential(Activation):
    """e^z. float32: at most 1 ulp."""

    kernel = kernels.exponential

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.exp(z)


@ACTIVATIONS.add("gelu")
@dataclass(frozen=True, eq=False, repr=False)
class GELU(Activation):
    """z * P(N <= z), N standard normal. Source: Hendrycks and Gimpel 2016.

    approximate=True: 0.5 z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))). gelu(-inf) is its limit, 0. float32: absolute
    error at most 1.5e-7 max(1, |z|); below z = -5, where the value is under 2e-6, up to 5e-6 of it.
    """

    approximate: bool = False
    kernel = kernels.gelu

    def reference(self, z: DoubleArray) -> DoubleArray:
        from math import erfc

        bounded = np.maximum(np.asarray(z, float), -40.0)
        if self.approximate:
            cubic = np.clip(bounded, -40.0, 40.0)
            return np.asarray(bounded * _sigmoid(2 * np.sqrt(2 / np.pi) * (cubic + 0.044715 * cubic**3)))
        tail = np.array([0.5 * erfc(-v / np.sqrt(2.0)) for v in bounded.ravel()]).reshape(bounded.shape)
        return np.asarray(bounded * tail)


@ACTIVATIONS.add("silu", "swish")
class SiLU(Activation):
    """z / (1 + e^-z). Source: Elfwing et al. 2018; "swish" of Ramachandran et al. 2017. silu(-inf) is its limit, 0."""

    kernel = kernels.silu

    def reference(self, z: DoubleArray) -> DoubleArray:
        bounded = np.maximum(np.asarray(z, float), -800.0)
        return np.asarray(bounded * _sigmoid(bounded))


@ACTIVATIONS.add("mish")
class Mish(Activation):
    """z * tanh(log(1 + e^z)). Source: Misra 2019. mish(-inf) is its limit, 0.

    float32: at most 5 ulp; below z = -87 an absolute error of 2e-43.
    """

    kernel = kernels.mish

    def reference(self, z: DoubleArray) -> DoubleArray:
        bounded = np.maximum(z, -800.0)
        return np.asarray(bounded * np.tanh(_softplus(bounded)))


@ACTIVATIONS.add("softplus")
class Softplus(Activation):
    """log(1 + e^z) = max(z, 0) + log1p(e^-|z|). float32: at most 3 ulp."""

    kernel = kernels.softplus

    def reference(self, z: DoubleArray) -> DoubleArray:
        return _softplus(z)


@ACTIVATIONS.add("log_sigmoid")
class LogSigmoid(Activation):
    """log(1 / (1 + e^-z)) = -softplus(-z). float32: at most 3 ulp."""

    kernel = kernels.log_sigmoid

    def reference(self, z: DoubleArray) -> DoubleArray:
        return -_softplus(-z)


@ACTIVATIONS.add("squareplus")
@dataclass(frozen=True, eq=False, repr=False)
class Squareplus(Activation):
    """(z + sqrt(z^2 + b)) / 2. Source: Barron 2021, eq. 1. b: from 1e-28 to 1e28. squareplus(-inf) is its limit, 0.

    For z < 0 worked out as (b / 2) / (sqrt(z^2 + b) - z), in which nothing cancels. float32: at most 4 ulp.
    """

    b: float = 4.0
    kernel = kernels.squareplus

    def __post_init__(self) -> None:
        check_number(self, "b", 1e-28, 1e28)

    def reference(self, z: DoubleArray) -> DoubleArray:
        root = np.hypot(z, np.sqrt(self.b))
        return np.where(z < 0, self.b / 4 / (root / 2 + np.abs(z) / 2), z / 2 + root / 2)


@ACTIVATIONS.add("softsign")
class Softsign(Activation):
    """z / (1 + |z|). Source: Bergstra et al. 2009. At +-inf it is its limit, +-1. float32: at most 2 ulp."""

    kernel = kernels.softsign

    def reference(self, z: DoubleArray) -> DoubleArray:
        bounded = np.clip(z, -1e300, 1e300)
        return np.asarray(bounded / (1 + np.abs(bounded)))


@ACTIVATIONS.add("tanh")
class Tanh(Activation):
    """tanh(z). float32: at most 2 ulp."""

    kernel = kernels.tanh

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.asarray(np.tanh(np.asarray(z, float)))


@ACTIVATIONS.add("tanh_shrink")
class TanhShrink(Activation):
    """z - tanh(z). float32: at most 5 ulp, near 0 too."""

    kernel = kernels.tanh_shrink

    def reference(self, z: DoubleArray) -> DoubleArray:
        series = z**3 / 3 - 2 * z**5 / 15 + 17 * z**7 / 315
        return np.where(np.abs(z) < 0.01, series, z - np.tanh(z))


@ACTIVATIONS.add("sigmoid")
class Sigmoid(Activation):
    """1 / (1 + e^-z), from e^-|z| so that neither tail loses its digits. float32: at most 3 ulp."""

    kernel = kernels.sigmoid

    def reference(self, z: DoubleArray) -> DoubleArray:
        return _sigmoid(np.asarray(z, float))
