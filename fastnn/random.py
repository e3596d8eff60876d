"""The one source of chance: first weights, shuffling, dropout.

``fastnn.set_random_seed(n)`` makes all that follows repeatable to the bit, on the same version and instruction set.
"""

from __future__ import annotations

import numpy as np

from fastnn._checks import SEEDS, check_count

_generator: np.random.Generator | None = None


def set_random_seed(seed: int) -> None:
    """Start all random numbers again from `seed`, a whole number of 0 to 2^128 - 1."""
    global _generator
    _generator = np.random.default_rng(check_count("seed", seed, 0, SEEDS))


def generator() -> np.random.Generator:
    """The generator in use; seeded by the operating system until ``set_random_seed`` is called."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator
