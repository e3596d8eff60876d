"""What a backup says of a callback, looked at before the callback takes any of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._table import check_count, shown


def checked_state(owner: Any, state: Any, **kinds: Any) -> dict[str, Any]:
    """`state`, which must have just these names. ValueError, TypeError for another value.

    kinds: of each name int, a whole number of at least 0; float, any number; list, arrays of the shapes of the model's
    weights, or None.
    """
    who = type(owner).__name__
    if not isinstance(state, dict) or state.keys() != kinds.keys():
        raise ValueError(f"{who}: expected a state with {', '.join(kinds)}, got {shown(state)}")
    for name, kind in kinds.items():
        value, what = state[name], f"{who}: {name}"
        if kind is int:
            check_count(what, value, 0)
        elif kind is float and type(value) not in (int, float):
            raise TypeError(f"{what} must be a number, got {shown(value)}")
        elif kind is list and value is not None:
            shapes = [weights.shape for weights in owner.model.get_weights()]
            if [np.shape(array) for array in value] != shapes:
                raise ValueError(f"{what} must be arrays of the shapes {shown(shapes)}")
    return dict(state)
