"""The one source of chance: first weights, shuffling, dropout; and arrays of random numbers, by Keras's names.

``fastnn.set_random_seed(n)`` makes all that follows repeatable to the bit, on the same version and instruction set.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import SEEDS, as_number, check_count, shown
from fastnn._dtypes import dtype_name
from fastnn._numbers import as_numbers
from fastnn.typing import Array

__all__ = ["SeedGenerator", "normal", "randint", "set_random_seed", "shuffle", "truncated_normal", "uniform"]

_generator: np.random.Generator | None = None
_own: ContextVar[np.random.Generator | None] = ContextVar("_own", default=None)  # of a block, see `seeded`


def set_random_seed(seed: int) -> None:
    """Start all random numbers again from `seed`, a whole number of 0 to 2^128 - 1."""
    global _generator
    _generator = np.random.default_rng(check_count("seed", seed, 0, SEEDS))


def generator() -> np.random.Generator:
    """The generator in use; seeded by the operating system until ``set_random_seed`` is called."""
    global _generator
    own = _own.get()
    if own is not None:
        return own
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """`with seeded(n): ...` draws from a generator of its own in this thread; all others go on as they would have."""
    token = _own.set(np.random.default_rng(check_count("seed", seed, 0, SEEDS)))
    try:
        yield
    finally:
        _own.reset(token)


class SeedGenerator:
    """A source of random numbers of its own. seed: a whole number; None takes one from the source of all."""

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        self.seed = int(generator().integers(2**63)) if seed is None else check_count("seed", seed, 0, 2**64 - 1)
        self.name = name
        self.own = np.random.default_rng(self.seed)

    def next(self) -> Array:
        """Two whole numbers, others at each call."""
        return self.own.integers(2**32, size=2, dtype=np.uint32)

    def get_config(self) -> dict[str, Any]:
        """Its seed."""
        return {"seed": self.seed}


def _source(seed: Any) -> np.random.Generator:
    """The generator that a seed stands for: fastnn's for None, that of a SeedGenerator, a new one for a number."""
    if seed is None:
        return generator()
    return seed.own if isinstance(seed, SeedGenerator) else np.random.default_rng(check_count("seed", seed, 0, SEEDS))


def _shape(shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if any(size is None for size in sizes):
        raise ValueError(f"shape must be whole numbers, got {shown(shape)}; for a tensor write ops.shape(x)[0] first")
    return tuple(check_count("shape", size, 0) for size in sizes)


def _kind(dtype: Any) -> np.dtype[Any]:
    name = "float32" if dtype is None else dtype_name(dtype)
    if name not in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"):
        raise ValueError(f"random: dtype must be one of numbers, such as 'float32', got {shown(dtype)}")
    return np.dtype(name)


def normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = "float32", seed: Any = None) -> Any:
    """Normal numbers: an array of this shape, or for a shape that begins with ``ops.shape(x)[0]`` a symbolic tensor.

    The tensor's numbers are others in each step of training; outside of training it is the mean, as Keras's
    GaussianNoise is. seed: a whole number, a SeedGenerator, or None.
    """
    if isinstance(shape, (tuple, list)) and hasattr(next(iter(shape), None), "normal"):
        own = seed.seed if isinstance(seed, SeedGenerator) else seed
        return shape[0].normal(shape[1:], mean, stddev, own)
    deviation = as_number("random.normal: stddev", stddev)
    if deviation < 0:
        raise ValueError(f"random.normal: stddev must be at least 0, got {shown(stddev)}")
    return _source(seed).normal(as_number("random.normal: mean", mean), deviation, _shape(shape)).astype(_kind(dtype))


def uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = "float32", seed: Any = None) -> Array:
    """An array of numbers from minval up to, and without, maxval."""
    low, high = (as_number(f"random.uniform: {name}", n) for name, n in (("minval", minval), ("maxval", maxval)))
    return (low + (high - low) * _source(seed).random(_shape(shape))).astype(_kind(dtype))


def randint(shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Array:
    """An array of whole numbers from minval up to, and without, maxval."""
    low, high = (
        check_count(f"random.randint: {name}", n, -(2**62)) for name, n in (("minval", minval), ("maxval", maxval))
    )
    if high <= low:
        raise ValueError(f"random.randint: maxval must be more than minval, got {shown(minval)} and {shown(maxval)}")
    return _source(seed).integers(low, high, _shape(shape)).astype(_kind(dtype or "int32"))


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = "float32", seed: Any = None
) -> Array:
    """An array of normal numbers; those further than two deviations from the mean are drawn anew."""
    rng, sizes = _source(seed), _shape(shape)
    found = rng.normal(size=sizes)
    while (far := np.abs(found) > 2).any():
        found = np.where(far, rng.normal(size=sizes), found)
    mean, stddev = (as_number(f"random.truncated_normal: {n}", v) for n, v in (("mean", mean), ("stddev", stddev)))
    return (mean + stddev * found).astype(_kind(dtype))


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Array:
    """A copy in another order along an axis."""
    array = as_numbers(x, "random.shuffle: x")
    number = check_count("random.shuffle: axis", axis, -array.ndim, max(0, array.ndim - 1))
    if not array.ndim:
        raise ValueError(f"random.shuffle: x must have an axis, got {shown(x)}")
    return _source(seed).permutation(array, number)


_names.offer(globals())
