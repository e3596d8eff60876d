"""What a backup says of a callback, looked at before the callback takes any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_count, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray


def checked_state(owner: Any, state: Any, **forms: Any) -> dict[str, Any]:
    """`state`, which must have just these names. ValueError, TypeError for another value.

    forms: of each name int, a whole number of at least 0; list, arrays of the shapes of the model's weights, or None;
    or what ``fastnn.store.text.check_form`` takes.
    """
    from fastnn.store.text import FormError, check_form  # with json

    who = type(owner).__name__
    if not isinstance(state, dict) or state.keys() != forms.keys():
        raise ValueError(f"{who}: expected a state with {', '.join(forms)}, got {shown(state)}")
    for name, form in forms.items():
        value, what = state[name], f"{who}: {name}"
        if form is int:
            check_count(what, value, 0)
        elif form is not list:
            try:
                check_form(value, form)
            except FormError as error:
                raise ValueError(f"{what}: {error}") from None
        elif value is not None:
            shapes = [weights.shape for weights in owner.model.get_weights()]
            if [array_of(what, array).shape for array in value] != shapes:
                raise ValueError(f"{what} must be arrays of the shapes {shown(shapes)}")
    return dict(state)


def array_of(what: str, value: Any) -> NDArray[np.float64]:
    """An array of a state, which a file may have as lists of numbers. ValueError for anything else."""
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{what}: expected numbers in lists of one length, got {shown(value)}") from None
