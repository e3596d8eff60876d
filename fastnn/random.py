"""The one source of chance: first weights, shuffling, dropout.

``fastnn.set_random_seed(n)`` makes all that follows repeatable to the bit, on the same version and instruction set.
"""

from __future__ import annotations

import numpy as np

_generator: np.random.Generator | None = None


def set_random_seed(seed: int) -> None:
    """Start all random numbers again from `seed`, a whole number of at least 0."""
    global _generator
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"seed must be a whole number, got {seed!r}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    _generator = np.random.default_rng(int(seed))


def generator() -> np.random.Generator:
    """The generator in use; seeded by the operating system until ``set_random_seed`` is called."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator
