"""What the layers' fields have in common: units by name, axes that count the rows as axis 0, the input shape."""

from __future__ import annotations

from typing import Any

from fastnn import constraints, initializers, regularizers
from fastnn.layers.base import Layer, Parameter, check_shape, set_field
from fastnn.typing import Shape


def own_input_shape(layer: Any) -> None:
    """Settle the field `input_shape`."""
    if layer.input_shape is not None:
        set_field(layer, "input_shape", check_shape(layer, "input_shape", layer.input_shape))


def settle_units(layer: Any, *names: str) -> None:
    """Turn what stands in `<name>_initializer`, `_regularizer` and `_constraint` into objects."""
    for name in names:
        for kind, get in (
            ("initializer", initializers.get),
            ("regularizer", regularizers.get),
            ("constraint", constraints.get),
        ):
            field = f"{name}_{kind}"
            if hasattr(layer, field):
                set_field(layer, field, get(getattr(layer, field)))


def parameter_of(layer: Layer, name: str, shape: Shape, trainable: bool = True) -> Parameter:
    """The parameter `name` with the units of the layer's fields."""
    initializer, regularizer, constraint = (
        getattr(layer, f"{name}_{kind}", None) for kind in ("initializer", "regularizer", "constraint")
    )
    return Parameter(name, shape, initializer, regularizer, constraint, trainable)  # type: ignore[arg-type]


def lines_of(layer: Layer, row: Shape, axis: Any, most: int | None = None) -> Shape:
    """The shape of the last axes of a row, which `axis` names; None names none of them. ValueError for others.

    Axis 0 is that of the rows, as in Keras; -1 is the last. most: how many there may be.
    """
    given = () if axis is None else tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    count = len(row) + 1
    found = sorted({a + count if a < 0 else a for a in given})
    if found != list(range(count - len(given), count)) or len(given) > (len(row) if most is None else most):
        few = "the last axis" if most == 1 else "the last axis or the last few"
        raise ValueError(
            f"{type(layer).__name__} works along {few} of its rows, got axis {axis!r} for rows of shape {row}; "
            "axis 0 is that of the rows, and a Permute layer can move another axis to the end"
        )
    return row[len(row) - len(given) :]
