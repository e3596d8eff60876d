"""Activations: the function that a layer applies to its output.

Each has its formula here, in float64 NumPy (``reference``), and its kernel in ``fastnn/kernels/activations.pyx``. An
activation is callable on arrays, as Keras's functions are: ``fastnn.activations.relu([-1.0, 2.0])``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import kernels
from fastnn._table import Table, check_number, field_values
from fastnn.typing import Array, ArrayLike, DoubleArray


@dataclass(frozen=True)
class Activation:
    """An activation a = f(z), elementwise or along the last axis. (rows, units) -> (rows, units)."""

    table_name: ClassVar[str]
    kernel: ClassVar[Any]

    def numbers(self) -> tuple[float, ...]:
        """The activation's own numbers, as its kernel reads them."""
        return tuple(float(value) for value in field_values(self).values())

    def reference(self, z: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        raise TypeError(f"{type(self).__name__} has no reference")

    def __call__(self, x: ArrayLike) -> Array:
        """f(x) by the kernel: float32 for float32 in, else float64; shape of x."""
        z = np.asarray(x)
        return np.asarray(self.kernel.forward(z, self.numbers())).reshape(z.shape)


ACTIVATIONS: Table[Activation] = Table("activation", Activation)


def _sigmoid(z: DoubleArray) -> DoubleArray:
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, e) / (1 + e))


@ACTIVATIONS.add("linear")
class Linear(Activation):
    """z."""

    kernel = kernels.linear

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.asarray(z, float)


@ACTIVATIONS.add("relu")
class ReLU(Activation):
    """max(z, 0). Source: Nair and Hinton 2010. Its slope at 0 is taken as 0."""

    kernel = kernels.relu

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.maximum(z, 0.0)


@ACTIVATIONS.add("leaky_relu")
@dataclass(frozen=True)
class LeakyReLU(Activation):
    """z if z > 0 else negative_slope * z. Source: Maas et al. 2013. negative_slope: finite, 0.2 as in Keras 3."""

    negative_slope: float = 0.2
    kernel = kernels.leaky_relu

    def __post_init__(self) -> None:
        check_number(self, "negative_slope", -1e30)

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.where(z > 0, z, self.negative_slope * z)


@ACTIVATIONS.add("elu")
@dataclass(frozen=True)
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


@ACTIVATIONS.add("gelu")
@dataclass(frozen=True)
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


@ACTIVATIONS.add("softplus")
class Softplus(Activation):
    """log(1 + e^z) = max(z, 0) + log1p(e^-|z|). float32: at most 3 ulp."""

    kernel = kernels.softplus

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


@ACTIVATIONS.add("tanh")
class Tanh(Activation):
    """tanh(z). float32: at most 2 ulp."""

    kernel = kernels.tanh

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.asarray(np.tanh(np.asarray(z, float)))


@ACTIVATIONS.add("sigmoid")
class Sigmoid(Activation):
    """1 / (1 + e^-z), from e^-|z| so that neither tail loses its digits. float32: at most 3 ulp."""

    kernel = kernels.sigmoid

    def reference(self, z: DoubleArray) -> DoubleArray:
        return _sigmoid(np.asarray(z, float))


@ACTIVATIONS.add("softmax")
class Softmax(Activation):
    """e^z_j / sum over k of e^z_k, along the last axis, from z - max z so that nothing overflows."""

    kernel = kernels.softmax

    def reference(self, z: DoubleArray) -> DoubleArray:
        z = np.asarray(z, float)
        e = np.exp(z - z.max(axis=-1, keepdims=True)) if z.shape[-1] else z
        return np.asarray(e / e.sum(axis=-1, keepdims=True))


linear, relu, leaky_relu, elu, selu = Linear(), ReLU(), LeakyReLU(), ELU(), SELU()
gelu, silu, softplus, tanh, sigmoid, softmax = GELU(), SiLU(), Softplus(), Tanh(), Sigmoid(), Softmax()
swish = silu


def get(identifier: Any) -> Activation:
    """An activation from its name, class, instance or configuration; None is linear. ValueError for an unknown name."""
    if identifier is None:
        return linear
    if isinstance(identifier, dict):
        return ACTIVATIONS.from_config(identifier)
    return ACTIVATIONS.get(identifier)
