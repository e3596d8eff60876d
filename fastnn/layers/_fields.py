"""What the layers' fields have in common: units by name, the input shape."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from fastnn import initializers, regularizers
from fastnn._checks import as_flag, check_count, check_number, shown
from fastnn.layers.base import Layer, Parameter, check_shape, set_field
from fastnn.typing import Shape


def nothing(default: Any = None) -> Any:
    """A field for an argument of Keras's that is taken, and may ask for nothing: only with its default, or None."""
    return field(default=default, kw_only=True, repr=False, metadata={"saved": False, "only": (default, None)})


def check_nothing(owner: str, **given: Any) -> None:
    """ValueError for an argument of Keras's that is not None or False: it asks for what is not there."""
    for name, value in given.items():
        if value is not None and as_flag(f"{owner}: {name}", value):
            raise ValueError(
                f"{owner}: `{name}=True` is not supported: `{name}` must be False, got {shown(value)} (see "
                "docs/differences.md)"
            )


def size_of(layer: Any, name: str, least: int = 1, also: str = "") -> int:
    """The layer's field as a whole number of at least `least`; a ValueError for what is none, as in Keras."""
    also = also or f"`{name}` must be a positive integer"
    try:
        return check_count(f"{type(layer).__name__}: {name}", getattr(layer, name), least, also=also)
    except TypeError as error:
        raise ValueError(str(error)) from None


def check_axis(layer: Any, also: str = "") -> None:
    """TypeError, ValueError unless the layer's `axis` is a whole number or a list of them. also: Keras's words."""
    for axis in layer.axis if isinstance(layer.axis, (list, tuple)) else (layer.axis,):
        check_count(f"{type(layer).__name__}: axis", axis, -64, 63, also=also)


def own_input_shape(layer: Any) -> None:
    """Check the field `input_shape` and make it a tuple."""
    if layer.input_shape is not None:
        set_field(layer, "input_shape", check_shape(layer, "input_shape", layer.input_shape))


def check_rate(layer: Any) -> None:
    """Raise unless the layer's `rate` is at least 0 and below 1."""
    try:
        check_number(layer, "rate", 0, 1, open_high=True)
    except ValueError as error:
        raise ValueError(
            f"{error}. Invalid value received for argument `rate`. Expected a float value between 0 and 1."
        ) from None


def constraint_of(given: Any) -> Any:
    """What ``constraints.get`` gives; few ask for one, and the module is imported for those."""
    if given is None:
        return None
    from fastnn import constraints

    return constraints.get(given)


def resolve_units(layer: Any, *names: str) -> None:
    """Turn what stands in `<name>_initializer`, `_regularizer` and `_constraint` into objects."""
    own = vars(layer)
    for name in names:
        for kind, get in (
            ("initializer", initializers.get),
            ("regularizer", regularizers.get),
            ("constraint", constraint_of),
        ):
            field = f"{name}_{kind}"
            if field in own or hasattr(layer, field):
                given = own[field] if field in own else getattr(layer, field)
                if given is None and kind == "initializer":
                    given = "glorot_uniform"  # as in Keras, whatever the weights are
                if given is not None:
                    set_field(layer, field, get(given))


def affine_parameters(layer: Any, shape: Shape) -> tuple[Parameter, ...]:
    """A normalisation's gamma, where it has `scale`, and beta, where it has `center`."""
    names = ["gamma"] * bool(layer.scale) + ["beta"] * bool(layer.center)
    return tuple(parameter_of(layer, name, shape) for name in names)


def parameter_of(layer: Layer, name: str, shape: Shape, trainable: bool = True) -> Parameter:
    """The parameter `name` with the units of the layer's fields."""
    initializer: Any = getattr(layer, f"{name}_initializer", None)
    regularizer, constraint = getattr(layer, f"{name}_regularizer", None), getattr(layer, f"{name}_constraint", None)
    return Parameter(name, shape, initializer, regularizer, constraint, trainable)


class ShapeArgument(tuple[Any, ...]):
    """A layer's output_shape: Keras's argument has the name of a layer's method, so it can be asked too."""

    layer: Any

    def of(self, layer: Any) -> ShapeArgument:
        """The same, of a layer."""
        self.layer = layer
        return self

    def __call__(self, row: Shape) -> Shape:
        shape: Shape = self.layer.row_given(row)
        return shape
