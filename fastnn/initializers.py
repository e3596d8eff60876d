"""Initialisers: the weights that training starts from.

An initialiser is called with a shape, ``HeNormal()((784, 32))``; unless it has a seed of its own or is given a
generator, it draws from the one that ``fastnn.set_random_seed`` sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from fastnn import _names, kernels, random
from fastnn._checks import SEEDS, check_choice, check_count, check_number, shown
from fastnn._fields import Fields
from fastnn._table import Table, refuse_other
from fastnn.typing import Array, DoubleArray, Shape

if TYPE_CHECKING:
    import numpy.typing as npt


class Moments(NamedTuple):
    """What the values of an initialiser are like: mean, standard deviation, and where they lie."""

    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True, eq=False, repr=False)
class Initializer(Fields):
    """Gives the first values of a parameter. A subclass says `values` and `reference`."""

    abstract: ClassVar[bool] = True
    table_name: ClassVar[str]

    def __call__(
        self, shape: Shape, dtype: npt.DTypeLike | None = None, rng: np.random.Generator | None = None
    ) -> Array:
        """Array of `shape`, float32 unless dtype says otherwise."""
        if isinstance(dtype, np.random.Generator):
            raise TypeError(f"{type(self).__name__}: dtype comes before the generator; write rng=...")
        sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
        shape = tuple(check_count(f"{type(self).__name__}: a size of the shape", size, 0) for size in sizes)
        if prod(shape) > 2**40:
            raise ValueError(f"{type(self).__name__}: no machine has room for the shape {shown(shape)}")
        seed = getattr(self, "seed", None)
        if seed is not None:
            rng = np.random.default_rng(int(seed))
        elif rng is None:
            rng = random.generator()
        elif not isinstance(rng, np.random.Generator):
            raise TypeError(f"{type(self).__name__}: rng must be a np.random.Generator, got {shown(rng)}")
        return self.values(shape, rng).astype(self._dtype(dtype), order="C")

    def _dtype(self, dtype: Any) -> np.dtype[Any]:
        """What a call gives; TypeError for a dtype of no numbers."""
        try:
            found = np.dtype(np.float32 if dtype is None else dtype)
        except (TypeError, ValueError, RecursionError):  # the last of lists within lists
            found = None
        if found is None or found.kind not in "biufc":
            raise TypeError(f"{type(self).__name__}: dtype must be one of numbers, got {shown(dtype)}")
        return found

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        """The values in float64."""
        raise TypeError(f"{type(self).__name__} has no values")

    def reference(self, shape: Shape) -> Moments:
        """What the values' distribution is, in float64."""
        raise TypeError(f"{type(self).__name__} has no reference")

    def _check_seed(self) -> None:
        seed = getattr(self, "seed", None)
        if seed is not None:
            check_count(f"{type(self).__name__}: seed", seed, 0, SEEDS)


INITIALIZERS: Table[Initializer] = Table("initializer", Initializer)

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


# Values that are known.


@INITIALIZERS.add("zeros", "zero")
class Zeros(Initializer):
    """0 everywhere."""

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        return np.zeros(shape)

    def reference(self, shape: Shape) -> Moments:
        return Moments(0.0, 0.0, 0.0, 0.0)


@INITIALIZERS.add("ones", "one")
class Ones(Initializer):
    """1 everywhere."""

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        return np.ones(shape)

    def reference(self, shape: Shape) -> Moments:
        return Moments(1.0, 0.0, 1.0, 1.0)


@INITIALIZERS.add("constant")
@dataclass(frozen=True, eq=False, repr=False)
class Constant(Initializer):
    """`value` everywhere."""

    value: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "value", float("-inf"), open_low=True)

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        return np.full(shape, float(self.value))

    def reference(self, shape: Shape) -> Moments:
        return Moments(float(self.value), 0.0, float(self.value), float(self.value))


@INITIALIZERS.add("identity", "IdentityInitializer")
@dataclass(frozen=True, eq=False, repr=False)
class Identity(Initializer):
    """`gain` on the diagonal of a matrix, 0 elsewhere. ValueError for a shape that is none. Source: Le et al. 2015."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "gain", float("-inf"), open_low=True)

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        if len(shape) != 2:
            raise ValueError(f"Identity makes matrices, got shape {shape}; take another initializer")
        return np.asarray(self.gain * np.eye(*shape))

    def reference(self, shape: Shape) -> Moments:
        share = min(shape) / max(1, prod(shape))
        deviation = abs(self.gain) * np.sqrt(share * (1 - share))
        return Moments(self.gain * share, float(deviation), min(0.0, self.gain), max(0.0, self.gain))


# Values of a fixed distribution.


@dataclass(frozen=True, eq=False, repr=False)
class _Normal(Initializer):
    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        check_number(self, "mean", float("-inf"), open_low=True)
        check_number(self, "stddev", 0)
        self._check_seed()


@INITIALIZERS.add("random_normal", "normal")
class RandomNormal(_Normal):
    """Normal of mean `mean` and standard deviation `stddev`, at least 0.

    seed: values of this initialiser's own, the same at each call; None takes them from the common generator.
    """

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
    seed: int | None = None

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

    @property
    def rule(self) -> tuple[float, str, str]:
        raise TypeError(f"{type(self).__name__} has no rule")

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        _, deviation, low, high = self.reference(shape)
        distribution = self.rule[2]
        if distribution == "uniform":
            return rng.uniform(low, high, shape)
        if distribution == "untruncated_normal":
            return deviation * rng.standard_normal(shape)
        return deviation / _CUT_NORMAL * _cut_normal(shape, rng)

    def reference(self, shape: Shape) -> Moments:
        scale, mode, distribution = self.rule
        fan_in, fan_out = _fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
        deviation = float(np.sqrt(scale / max(1.0, fan)))
        reach = {"uniform": np.sqrt(3), "untruncated_normal": np.inf, "truncated_normal": 2 / _CUT_NORMAL}[distribution]
        return Moments(0.0, deviation, float(-deviation * reach), float(deviation * reach))


def _fans(shape: Shape) -> tuple[float, float]:
    """Inputs and outputs of one unit: the last two axes, times all before them (the places of a convolution)."""
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
    "untruncated_normal" or "uniform". seed: as RandomNormal's.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None

    def __post_init__(self) -> None:
        check_number(self, "scale", 0, open_low=True)
        if isinstance(self.distribution, str) and self.distribution == "normal":
            object.__setattr__(self, "distribution", "truncated_normal")
        check_choice(self, "mode", "fan_in", "fan_out", "fan_avg")
        check_choice(self, "distribution", "truncated_normal", "untruncated_normal", "uniform")
        self._check_seed()

    @property
    def rule(self) -> tuple[float, str, str]:
        return self.scale, self.mode, self.distribution


@dataclass(frozen=True, eq=False, repr=False)
class _Named(_Scaled):
    """VarianceScaling under its author's name. seed: as RandomNormal's."""

    seed: int | None = None

    def __post_init__(self) -> None:
        self._check_seed()


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
    seed: int | None = None

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


def get(identifier: Any) -> Any:
    """An initialiser from its name, class, instance or configuration; a function of (shape, dtype), and None, stay as
    they are. ValueError for an unknown name.
    """
    if identifier is None or refuse_other(INITIALIZERS, identifier):
        return identifier
    if isinstance(identifier, dict):
        return INITIALIZERS.from_config(identifier)
    return INITIALIZERS.get(identifier)


_names.offer(globals())
