"""One seed for all that draws."""

from __future__ import annotations

import random

import numpy as np

from fastnn.random import set_random_seed as set_own_seed

__all__ = ["set_random_seed"]


def set_random_seed(seed: int) -> None:
    """Start all random numbers again from `seed`: fastnn's, Python's (``random``) and NumPy's (``np.random``).

    ``fastnn.set_random_seed`` is for fastnn's alone. TypeError, ValueError unless it is a whole number of at least 0.
    """
    set_own_seed(seed)
    random.seed(int(seed))
    np.random.seed(int(seed) % 2**32)  # noqa: NPY002  # of the generator that scripts draw from
