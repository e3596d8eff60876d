"""Initialisers: the weights that training starts from.

An initialiser is called with a shape and a generator, ``HeNormal()((784, 32), rng)``; without a generator it uses the
one that ``fastnn.set_random_seed`` sets. fan_in and fan_out are the first and the last number of the shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import random
from fastnn._table import Table
from fastnn.typing import FloatArray, Shape


@dataclass(frozen=True)
class Initializer:
    """Gives the first values of a parameter."""

    table_name: ClassVar[str]

    def __call__(self, shape: Shape, rng: np.random.Generator | None = None) -> FloatArray:
        """float32 array of `shape`."""
        raise TypeError(f"{type(self).__name__} cannot be called")

    def reference(self, shape: Shape) -> tuple[float, float]:
        """(standard deviation, bound on the absolute value) of the values, in float64."""
        raise TypeError(f"{type(self).__name__} has no reference")


INITIALIZERS: Table[Initializer] = Table("initializer", Initializer)

# A normal cut off at two standard deviations has this standard deviation.
_CUT_NORMAL = 0.87962566103423978


@dataclass(frozen=True)
class _Scaled(Initializer):
    """Values of variance scale / fan: uniform, or normal cut off at two standard deviations of the uncut one.

    seed: values of this initialiser's own, the same at each call; None takes them from the common generator.
    """

    seed: int | None = None
    scale: ClassVar[float]
    fan: ClassVar[str]
    normal: ClassVar[bool]

    def __post_init__(self) -> None:
        if self.seed is not None and not isinstance(self.seed, int):
            raise TypeError(f"{type(self).__name__}: seed must be a whole number or None, got {self.seed!r}")

    def _deviation(self, shape: Shape) -> float:
        fan_in, fan_out = max(1, shape[0]), max(1, shape[-1])
        fan = fan_in if self.fan == "in" else (fan_in + fan_out) / 2
        return float(np.sqrt(self.scale / fan))

    def reference(self, shape: Shape) -> tuple[float, float]:
        deviation = self._deviation(shape)
        return deviation, deviation * (2 / _CUT_NORMAL if self.normal else np.sqrt(3.0))

    def __call__(self, shape: Shape, rng: np.random.Generator | None = None) -> FloatArray:
        if self.seed is not None:
            rng = np.random.default_rng(self.seed)
        rng = rng or random.generator()
        deviation, bound = self.reference(shape)
        if not self.normal:
            return rng.uniform(-bound, bound, shape).astype(np.float32)
        values = rng.standard_normal(shape)
        outside = np.abs(values) > 2
        while outside.any():
            values[outside] = rng.standard_normal(int(outside.sum()))
            outside = np.abs(values) > 2
        return (values * (deviation / _CUT_NORMAL)).astype(np.float32)


@INITIALIZERS.add("glorot_uniform")
class GlorotUniform(_Scaled):
    """Uniform of variance 2 / (fan_in + fan_out). Source: Glorot and Bengio 2010."""

    scale, fan, normal = 1.0, "average", False


@INITIALIZERS.add("glorot_normal")
class GlorotNormal(_Scaled):
    """Cut normal of variance 2 / (fan_in + fan_out). Source: Glorot and Bengio 2010."""

    scale, fan, normal = 1.0, "average", True


@INITIALIZERS.add("he_uniform")
class HeUniform(_Scaled):
    """Uniform of variance 2 / fan_in. Source: He et al. 2015."""

    scale, fan, normal = 2.0, "in", False


@INITIALIZERS.add("he_normal")
class HeNormal(_Scaled):
    """Cut normal of variance 2 / fan_in. Source: He et al. 2015."""

    scale, fan, normal = 2.0, "in", True


@INITIALIZERS.add("lecun_uniform")
class LecunUniform(_Scaled):
    """Uniform of variance 1 / fan_in. Source: LeCun et al. 1998."""

    scale, fan, normal = 1.0, "in", False


@INITIALIZERS.add("lecun_normal")
class LecunNormal(_Scaled):
    """Cut normal of variance 1 / fan_in. Source: LeCun et al. 1998."""

    scale, fan, normal = 1.0, "in", True


@INITIALIZERS.add("zeros")
class Zeros(Initializer):
    """0 everywhere."""

    def __call__(self, shape: Shape, rng: np.random.Generator | None = None) -> FloatArray:
        return np.zeros(shape, np.float32)

    def reference(self, shape: Shape) -> tuple[float, float]:
        return 0.0, 0.0


@INITIALIZERS.add("ones")
class Ones(Initializer):
    """1 everywhere."""

    def __call__(self, shape: Shape, rng: np.random.Generator | None = None) -> FloatArray:
        return np.ones(shape, np.float32)

    def reference(self, shape: Shape) -> tuple[float, float]:
        return 0.0, 1.0


def get(identifier: Any) -> Initializer:
    """An initialiser from its name, class, instance or configuration. ValueError for an unknown name."""
    if isinstance(identifier, dict):
        return INITIALIZERS.from_config(identifier)
    return INITIALIZERS.get(identifier)
