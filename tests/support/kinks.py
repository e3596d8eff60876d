"""Where an activation bends or jumps, so that no difference steps across."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.activations import Activation

KINKS: dict[str, Callable[[Any], tuple[float, ...]]] = {
    "relu": lambda unit: (unit.threshold, *(() if unit.max_value is None else (unit.max_value,))),
    "leaky_relu": lambda unit: (0.0,),
    "elu": lambda unit: (0.0,),
    "selu": lambda unit: (0.0,),
    "celu": lambda unit: (0.0,),
    "relu6": lambda unit: (0.0, 6.0),
    "hard_tanh": lambda unit: (-1.0, 1.0),
    "hard_sigmoid": lambda unit: (-3.0, 3.0),
    "hard_silu": lambda unit: (-3.0, 3.0),
    "sparse_sigmoid": lambda unit: (-1.0, 1.0),
    "sparse_plus": lambda unit: (-1.0, 1.0),
    "hard_shrink": lambda unit: (-unit.threshold, unit.threshold),
    "soft_shrink": lambda unit: (-unit.threshold, unit.threshold),
    "threshold": lambda unit: (unit.threshold,),
}


def distance(activation: Activation, z: np.ndarray) -> np.ndarray:
    """How far each number is from the nearest kink."""
    if activation.table_name == "sparsemax" and z.size:
        # A number joins the row's others, or leaves them, at tau = z - a of those that are in.
        tau = z.max(axis=-1, keepdims=True) - activation.reference(z).max(axis=-1, keepdims=True)
        return np.abs(z - tau)
    kinks = np.array(KINKS.get(activation.table_name, lambda unit: ())(activation))
    return np.abs(z[..., None] - kinks).min(axis=-1, initial=np.inf)


def clear_of_kinks(activation: Activation, z: np.ndarray, rng: np.random.Generator, gap: float = 0.01) -> np.ndarray:
    """z, of which the numbers within `gap` of a kink are drawn anew."""
    z = z.copy()
    while (near := distance(activation, z) < gap).any():
        z[near] = rng.normal(scale=2.0, size=near.sum())
    return z
