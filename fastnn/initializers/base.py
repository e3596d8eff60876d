"""What an initialiser is, and the table of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from fastnn import random
from fastnn._checks import SEEDS, check_count, shown
from fastnn._config import Configured
from fastnn._fields import Fields
from fastnn._table import Table
from fastnn.serialization import deserialize_keras_object
from fastnn.typing import Array, DoubleArray, Shape

__all__ = ["INITIALIZERS", "Initializer", "Moments"]

FLOAT32 = np.dtype(np.float32)
AT_ONCE = 2**20  # numbers of a large array that are there in float64

if TYPE_CHECKING:
    import numpy.typing as npt


class Moments(NamedTuple):
    """What the values of an initialiser are like: mean, standard deviation, and where they lie."""

    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True, eq=False, repr=False)
class Initializer(Fields, Configured):
    """Gives the first values of a parameter. A subclass says `values` and `reference`."""

    abstract: ClassVar[bool] = True
    table_name: ClassVar[str]
    by_rows: ClassVar[bool] = False  # rows are drawn one after the other, so that some at a time are the same ones

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
        if isinstance(seed, random.SeedGenerator):
            rng = seed.own
        elif seed is not None:
            rng = np.random.default_rng(int(seed))
        elif rng is None:
            rng = random.generator()
        elif not isinstance(rng, np.random.Generator):
            raise TypeError(f"{type(self).__name__}: rng must be a np.random.Generator, got {shown(rng)}")
        dtype = self._dtype(dtype)
        if not self.by_rows or len(shape) < 2 or prod(shape) <= AT_ONCE:
            return self.values(shape, rng).astype(dtype, order="C")
        found, step = np.empty(shape, dtype), max(1, AT_ONCE // prod(shape[1:]))
        for start in range(0, shape[0], step):
            part = found[start : start + step]
            part[...] = self.values(part.shape, rng)
        return found

    def _dtype(self, dtype: Any) -> np.dtype[Any]:
        """What a call gives; TypeError for a dtype of no numbers."""
        if dtype is None:
            return FLOAT32
        try:
            found: np.dtype[Any] | None = np.dtype(dtype)
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

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same initialiser again, by name, as JSON."""
        seed = getattr(self, "seed", None)
        if isinstance(seed, random.SeedGenerator):
            return super().get_config() | {"seed": {"class_name": "SeedGenerator", "config": seed.get_config()}}
        return super().get_config()

    def own_config(self) -> dict[str, Any] | None:
        """What a file holds in place of the fields; None where these do."""
        drawn = isinstance(getattr(self, "seed", None), random.SeedGenerator)
        return self.get_config() if drawn else super().own_config()

    def _check_seed(self) -> None:
        seed = getattr(self, "seed", None)
        if isinstance(seed, Mapping):
            seed = deserialize_keras_object(seed)
            object.__setattr__(self, "seed", seed)
        if seed is not None and not isinstance(seed, random.SeedGenerator):
            check_count(f"{type(self).__name__}: seed", seed, 0, SEEDS)


INITIALIZERS: Table[Initializer] = Table("initializer", Initializer, shares=True)
