"""What the layers' fields have in common: units by name, the input shape."""

from __future__ import annotations

from typing import Any

from fastnn import constraints, initializers, regularizers
from fastnn.layers.base import Layer, Parameter, check_shape, set_field
from fastnn.typing import Shape


def own_input_shape(layer: Any) -> None:
    """Check the field `input_shape` and make it a tuple."""
    if layer.input_shape is not None:
        set_field(layer, "input_shape", check_shape(layer, "input_shape", layer.input_shape))


def resolve_units(layer: Any, *names: str) -> None:
    """Turn what stands in `<name>_initializer`, `_regularizer` and `_constraint` into objects."""
    for name in names:
        for kind, get in (
            ("initializer", initializers.get),
            ("regularizer", regularizers.get),
            ("constraint", constraints.get),
        ):
            field = f"{name}_{kind}"
            if hasattr(layer, field):
                given = getattr(layer, field)
                if given is None and kind == "initializer":
                    given = "glorot_uniform"  # as in Keras, whatever the weights are
                set_field(layer, field, get(given))


def parameter_of(layer: Layer, name: str, shape: Shape, trainable: bool = True) -> Parameter:
    """The parameter `name` with the units of the layer's fields."""
    initializer, regularizer, constraint = (
        getattr(layer, f"{name}_{kind}", None) for kind in ("initializer", "regularizer", "constraint")
    )
    return Parameter(name, shape, initializer, regularizer, constraint, trainable)  # type: ignore[arg-type]
