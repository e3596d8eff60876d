"""Initialisers whose values are drawn: of a fixed distribution, or of one that depends on the shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, prod, sqrt

import numpy as np

from fastnn import kernels
from fastnn._checks import as_list, check_choice, check_count, check_number, written
from fastnn.initializers.base import INITIALIZERS, Initializer, Moments
from fastnn.random import SeedGenerator
from fastnn.typing import DoubleArray, Shape

__all__ = [
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
]

# A normal cut off at two standard deviations has this standard deviation.
_CUT_NORMAL = 0.87962566103423978


def _cut_normal(shape: Shape, rng: np.random.Generator) -> DoubleArray:
    """Standard normal values, those beyond two drawn again."""
    values = rng.standard_normal(shape)
    outside = np.abs(values) > 2
    while outside.any():
        values[outside] = rng.standard_normal(int(outside.sum()))
        outside = np.abs(values) > 2
    return values


# Values of a fixed distribution.


@dataclass(frozen=True, eq=False, repr=False)
class _Normal(Initializer):
    mean: float = 0.0
    stddev: float = 0.05
    seed: int | SeedGenerator | None = None

    def __post_init__(self) -> None:
        check_number(self, "mean", float("-inf"), open_low=True)
        check_number(self, "stddev", 0)
        self._check_seed()


@INITIALIZERS.add("random_normal", "normal")
class RandomNormal(_Normal):
    """Normal of mean `mean` and standard deviation `stddev`, at least 0.

    seed: a number for values of this initialiser's own, the same at each call; a ``random.SeedGenerator`` for others at
    each call; None takes them from the common generator.
    """

    by_rows = True

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        return self.mean + self.stddev * rng.standard_normal(shape)

    def reference(self, shape: Shape) -> Moments:
        return Moments(self.mean, self.stddev, -np.inf, np.inf)


@INITIALIZERS.add("truncated_normal")
class TruncatedNormal(_Normal):
    """Normal of mean `mean` and standard deviation `stddev`, at least 0, but cut off at two of these: 0.88 remain.

    seed: as RandomNormal's.
    """

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        return self.mean + self.stddev * _cut_normal(shape, rng)

    def reference(self, shape: Shape) -> Moments:
        reach = 2 * self.stddev
        return Moments(self.mean, self.stddev * _CUT_NORMAL, self.mean - reach, self.mean + reach)


@INITIALIZERS.add("random_uniform", "uniform")
@dataclass(frozen=True, eq=False, repr=False)
class RandomUniform(Initializer):
    """Uniform from minval to maxval. seed: as RandomNormal's."""

    minval: float = -0.05
    maxval: float = 0.05
    seed: int | SeedGenerator | None = None
    by_rows = True

    def __post_init__(self) -> None:
        check_number(self, "minval", float("-inf"), open_low=True)
        check_number(self, "maxval", self.minval)
        self._check_seed()

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        return rng.uniform(self.minval, self.maxval, shape)

    def reference(self, shape: Shape) -> Moments:
        deviation = (self.maxval - self.minval) / np.sqrt(12)
        return Moments((self.minval + self.maxval) / 2, float(deviation), self.minval, self.maxval)


# Values that depend on the shape.


class _Scaled(Initializer):
    """Values of mean 0 and variance scale / fan. `rule`: scale, mode and distribution, as VarianceScaling has them."""

    input_axes: Sequence[int] | None
    output_axes: Sequence[int] | None

    def _check_axes(self) -> None:
        for name in ("input_axes", "output_axes"):
            axes = getattr(self, name)
            if axes is not None:
                what = f"{type(self).__name__}: {name}"
                axes = [check_count(what, axis, -64, 63) for axis in as_list(what, axes, "axes")]
                object.__setattr__(self, name, tuple(axes))
        if (self.input_axes is None) != (self.output_axes is None):
            raise ValueError(f"{type(self).__name__}: input_axes and output_axes go together, got one of them")

    @property
    def rule(self) -> tuple[float, str, str]:
        raise TypeError(f"{type(self).__name__} has no rule")

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        _, deviation, low, high = self.reference(shape)
        distribution = self.rule[2]
        if distribution == "uniform":  # as `rng.uniform` draws, which looks at more before it does
            found = rng.random(shape)
            found *= high - low
            found += low
            return found
        if distribution == "untruncated_normal":
            return deviation * rng.standard_normal(shape)
        return deviation / _CUT_NORMAL * _cut_normal(shape, rng)

    def reference(self, shape: Shape) -> Moments:
        scale, mode, distribution = self.rule
        fan_in, fan_out = self._fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
        deviation = sqrt(scale / max(1.0, fan))
        reach = {"uniform": sqrt(3), "untruncated_normal": inf, "truncated_normal": 2 / _CUT_NORMAL}[distribution]
        return Moments(0.0, deviation, -deviation * reach, deviation * reach)

    def _fans(self, shape: Shape) -> tuple[float, float]:
        """Inputs and outputs of one unit: the axes that are named; else the last two, times all before them (the places
        of a convolution).
        """
        if self.input_axes is not None and self.output_axes is not None:
            try:
                return prod(shape[axis] for axis in self.input_axes), prod(shape[axis] for axis in self.output_axes)
            except IndexError:
                raise ValueError(
                    f"{type(self).__name__}: the shape {shape} has not all of the axes {self.input_axes} and "
                    f"{self.output_axes}"
                ) from None
        if not shape:
            return 1, 1
        places = prod(shape[:-2])
        return (places * shape[-2] if len(shape) > 1 else shape[0]), places * shape[-1]


@INITIALIZERS.add("variance_scaling")
@dataclass(frozen=True, eq=False, repr=False)
class VarianceScaling(_Scaled):
    """Values of mean 0 and variance scale / fan.

    scale: above 0. mode: the fan is the number of inputs ("fan_in"), of outputs ("fan_out"), or their mean ("fan_avg").
    distribution: "truncated_normal" (or "normal": cut off at two standard deviations of the uncut one),
    "untruncated_normal" or "uniform". seed: as RandomNormal's. input_axes, output_axes: the axes whose sizes multiply
    to the number of inputs and of outputs; without them the last two, and those before count for both.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | SeedGenerator | None = None
    input_axes: Sequence[int] | None = field(default=None, repr=False)
    output_axes: Sequence[int] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_number(self, "scale", 0, open_low=True, also="Argument `scale` must be positive float.")
        if isinstance(self.distribution, str) and self.distribution == "normal":
            object.__setattr__(self, "distribution", "truncated_normal")
        also = f"Invalid `mode` argument: {written(self.mode)}"
        check_choice(self, "mode", "fan_in", "fan_out", "fan_avg", also=also)
        also = f"Invalid `distribution` argument: {written(self.distribution)}"
        check_choice(self, "distribution", "truncated_normal", "untruncated_normal", "uniform", also=also)
        self._check_seed()
        self._check_axes()

    @property
    def rule(self) -> tuple[float, str, str]:
        return self.scale, self.mode, self.distribution


@dataclass(frozen=True, eq=False, repr=False)
class _Named(_Scaled):
    """VarianceScaling under its author's name. seed: as RandomNormal's; input_axes, output_axes: VarianceScaling's."""

    seed: int | SeedGenerator | None = None
    input_axes: Sequence[int] | None = field(default=None, repr=False)
    output_axes: Sequence[int] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._check_seed()
        self._check_axes()


@INITIALIZERS.add("glorot_uniform")
class GlorotUniform(_Named):
    """Uniform of variance 2 / (fan_in + fan_out). seed: as RandomNormal's. Source: Glorot and Bengio 2010."""

    rule = (1.0, "fan_avg", "uniform")


@INITIALIZERS.add("glorot_normal")
class GlorotNormal(_Named):
    """Cut normal of variance 2 / (fan_in + fan_out). seed: as RandomNormal's. Source: Glorot and Bengio 2010."""

    rule = (1.0, "fan_avg", "truncated_normal")


@INITIALIZERS.add("he_uniform")
class HeUniform(_Named):
    """Uniform of variance 2 / fan_in. seed: as RandomNormal's. Source: He et al. 2015."""

    rule = (2.0, "fan_in", "uniform")


@INITIALIZERS.add("he_normal")
class HeNormal(_Named):
    """Cut normal of variance 2 / fan_in. seed: as RandomNormal's. Source: He et al. 2015."""

    rule = (2.0, "fan_in", "truncated_normal")


@INITIALIZERS.add("lecun_uniform")
class LecunUniform(_Named):
    """Uniform of variance 1 / fan_in. seed: as RandomNormal's. Source: LeCun et al. 1998."""

    rule = (1.0, "fan_in", "uniform")


@INITIALIZERS.add("lecun_normal")
class LecunNormal(_Named):
    """Cut normal of variance 1 / fan_in. seed: as RandomNormal's. Source: LeCun et al. 1998."""

    rule = (1.0, "fan_in", "truncated_normal")


@INITIALIZERS.add("orthogonal", "OrthogonalInitializer")
@dataclass(frozen=True, eq=False, repr=False)
class Orthogonal(Initializer):
    """`gain` times a random matrix with orthonormal columns, or rows where there are fewer of them.

    All axes but the last count as rows. seed: as RandomNormal's. ValueError for fewer than two axes. Source: Saxe et
    al. 2014; all such matrices are equally likely.
    """

    gain: float = 1.0
    seed: int | SeedGenerator | None = None

    def __post_init__(self) -> None:
        check_number(self, "gain", float("-inf"), open_low=True)
        self._check_seed()

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal makes shapes of two axes and more, got {shape}; take another initializer")
        rows, columns = prod(shape[:-1]), shape[-1]
        vectors = rng.standard_normal((min(rows, columns), max(rows, columns)))
        _make_orthonormal(vectors)
        return np.asarray(self.gain * (vectors if rows < columns else vectors.T).reshape(shape))

    def reference(self, shape: Shape) -> Moments:
        deviation = abs(self.gain) / np.sqrt(max(1, prod(shape[:-1]), shape[-1]))
        return Moments(0.0, float(deviation), -abs(self.gain), abs(self.gain))


def _make_orthonormal(vectors: DoubleArray) -> None:
    """Gram and Schmidt's method on the rows, in place, in blocks; twice is enough (Giraud et al. 2005).

    Not a LAPACK's, whose bits depend on how many threads it uses.
    """
    for start in range(0, len(vectors), 32):
        before, block = vectors[:start], vectors[start : start + 32]
        for _ in range(2):
            if start:
                block -= kernels.matmul(kernels.matmul_transposed_b(block, before), before)
            for i, vector in enumerate(block):
                vector -= ((block[:i] * vector).sum(axis=1)[:, None] * block[:i]).sum(axis=0)
                vector /= np.sqrt((vector * vector).sum())
