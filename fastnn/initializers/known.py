"""Initialisers whose values are known."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import check_number
from fastnn._numbers import as_numbers
from fastnn.initializers.base import INITIALIZERS, Initializer, Moments
from fastnn.typing import DoubleArray, Shape

__all__ = ["Constant", "Identity", "Ones", "Zeros"]


@INITIALIZERS.add("zeros", "zero")
class Zeros(Initializer):
    """0 everywhere."""

    by_rows = True

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


MOST = 4096  # numbers of a Constant that a file holds; the weights that it gave are there anyway


@INITIALIZERS.add("constant")
@dataclass(frozen=True, eq=False, repr=False)
class Constant(Initializer):
    """`value` everywhere; or an array of values, of the parameter's shape or one that NumPy spreads to it.

    A file holds an array of at most 4,096 numbers; from a longer one it keeps the weights alone.
    """

    value: Any = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.value, (np.ndarray, list, tuple)) or getattr(self.value, "ndim", 1) == 0:
            check_number(self, "value", float("-inf"), open_low=True)
            return
        values = np.array(as_numbers(self.value, "Constant: value"), float)
        values.flags.writeable = False
        object.__setattr__(self, "value", values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and bool(np.array_equal(self.value, other.value))

    def __hash__(self) -> int:
        return hash((type(self), np.asarray(self.value).tobytes()))

    def own_config(self) -> dict[str, Any] | None:
        return {"value": 0.0} if np.size(self.value) > MOST else None

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        try:
            return np.array(np.broadcast_to(np.asarray(self.value, float), shape))
        except ValueError:
            raise ValueError(
                f"Constant: Expected `shape` to be {np.shape(self.value)}, that of the values, or one that they can be "
                f"spread over, got {shape}"
            ) from None

    def reference(self, shape: Shape) -> Moments:
        values = np.asarray(self.value, float)
        if values.ndim:
            values = np.broadcast_to(values, shape)
        return Moments(float(values.mean()), float(values.std()), float(values.min()), float(values.max()))


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
