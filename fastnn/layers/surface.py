"""What Keras's programs ask of a layer beside calling it: its configuration, its shapes, whether it is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

from fastnn._checks import as_arguments, check_count, shown
from fastnn._dtypes import dtype_name
from fastnn._table import own_objects, plain
from fastnn.layers.connected import Connected
from fastnn.layers.tensor import called, set_automatic_name
from fastnn.serialization import deserialize_keras_object, keeps_names, serialize_keras_object
from fastnn.typing import Shape

__all__ = ["deserialize", "serialize"]

# Fields of Keras's layers whose values here ask for nothing: they come with its configurations.
NOTHING: dict[str, tuple[Any, ...]] = {
    "activity_regularizer": (None,),
    "build_config": (None,),
    "lora_alpha": (None,),
    "lora_rank": (None,),
    "quantization_config": (None,),
    "renorm": (False,),
    "renorm_clipping": (None,),
    "renorm_momentum": (0.99,),
    "sparse": (False,),
    "synchronized": (False,),
}


class Surface(Connected):
    """Keras's attributes and methods of a layer, made of those that a layer of fastnn has."""

    # A model of the layer alone, for inputs of such rows; only fastnn.models can make one.
    alone: ClassVar[Callable[[Any, Sequence[Shape]], Any]]
    name: Any
    trainable: bool
    dtype: Any
    table_name: ClassVar[str]

    # Configurations.

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer, as JSON: name, trainable, dtype and its own, as Keras has them."""
        config: dict[str, Any] = {"name": called(self), "trainable": bool(self.trainable), "dtype": self.dtype}
        own = {field.name: field for field in fields(self)}  # type: ignore[arg-type]
        described: dict[str, Any] = self.config()  # type: ignore[attr-defined]
        for name, value in described.items():
            first = name in ("input_dim", "input_shape") and own[name].default is None  # an Input says it
            first |= name == "activity_regularizer" and value is None
            if name == "class" or name in config or first:
                continue
            given = getattr(self, name) if name in own else value
            config[name] = _serialized(given) if plain(given) == value else value
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The layer that ``get_config`` described, fastnn's or Keras's, with no weights yet.

        custom_objects: functions and classes of the user's own by their names. TypeError, ValueError where the
        configuration is of no such layer.
        """
        own_objects(custom_objects)
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        given: dict[str, Any] = {}
        for name, value in as_arguments(cls.__name__, config).items():
            if name not in known and name in NOTHING and value in NOTHING[name]:
                continue
            if name == "dtype":
                if dtype_name(value) not in (None, "", "float32"):  # a layer that computes knows no other
                    given[name] = dtype_name(value)
            else:
                parts = isinstance(value, (dict, list))
                given[name] = deserialize_keras_object(value, custom_objects) if parts else value
        own = given.get("name")
        made = isinstance(own, str) and re.fullmatch(rf"{cls.table_name}(_\d+)?", own)
        layer = cls(**given)
        if made and not keeps_names():  # nobody gave it
            set_automatic_name(layer)
        return layer

    def get_build_config(self) -> dict[str, Any] | None:
        """The shape that the layer was built for, {"input_shape": (None, ...)}; None while it has none."""
        rows = vars(self).get("_rows")
        if rows is None:
            return None
        shapes = [(None, *row) for row in rows]
        return {"input_shape": shapes[0] if len(shapes) == 1 else shapes}

    def build_from_config(self, config: Mapping[str, Any]) -> None:
        """Build it for what ``get_build_config`` gave."""
        if config:
            self.build(config["input_shape"])

    # Shapes.

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape, the rows' axis first: (None, 4); a list of shapes for several.

        TypeError, ValueError where the layer cannot take them.
        """
        self.alone(rows_of(f"{called(self)}.build: input_shape", input_shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of what the layer gives for inputs of this shape, the axis of the rows first."""
        if input_shape == ():  # of one number, in no row
            return self._applied(())[0]  # type: ignore[attr-defined]
        name = f"{called(self)}.compute_output_shape: input_shape"
        rows = rows_of(name, input_shape)
        first = input_shape if _is_shape(input_shape) else _parts(input_shape)[0]
        return (first[0], *self._applied(*rows)[0])  # type: ignore[attr-defined]

    def compute_output_spec(self, *inputs: Any) -> Any:
        """The symbolic tensor that the layer gives for others."""
        return self(*inputs)  # type: ignore[operator]

    # What it is.

    @property
    def path(self) -> str:
        """The layer's name."""
        return called(self)

    @property
    def compute_dtype(self) -> str:
        """What the layer computes in: "float32"."""
        return "float32"

    variable_dtype = compute_dtype

    @property
    def losses(self) -> list[Any]:
        """What the layer added to the loss when it was last called on arrays, then the penalties on its weights now.

        Each is a number.
        """
        return [*vars(self).get("_added", ()), *penalties_of(self)]

    @property
    def metrics(self) -> list[Any]:
        """The layer's own metrics: none."""
        return []


def penalties_of(layer: Any) -> list[float]:
    """The penalties on a layer's weights, as they are now."""
    found = [v for v in layer.trainable_variables if v.regularizer is not None]
    return [float(v.regularizer(v.numpy())) for v in found]


def check_only(cls: Any, given: Mapping[str, Any]) -> None:
    """ValueError for an argument of Keras's that asks for what is not there: see `nothing`."""
    known = getattr(cls, "__dataclass_fields__", {})
    for name, value in given.items():
        only = known[name].metadata.get("only") if name in known else None
        if only is not None and not any(type(value) is type(each) and value == each for each in only):
            raise ValueError(
                f"{cls.__name__}: {name} must be {only[0]!r}, got {shown(value)}: fastnn has no other (see "
                "docs/differences.md)"
            )


def _serialized(value: Any) -> Any:
    """A field's value as Keras writes it: an activation by its name where that says all, else class and arguments."""
    own = getattr(value, "table_family", None) == "activation" and type(value).__module__.startswith("fastnn.")
    if own and not callable(getattr(value, "function", None)) and value == type(value)():
        return value.table_name
    return serialize_keras_object(list(value) if isinstance(value, tuple) else value)


def _is_shape(given: Any) -> bool:
    return isinstance(given, (tuple, list)) and all(not isinstance(size, (tuple, list, dict)) for size in given)


def _parts(given: Any) -> list[Any]:
    return list(given.values()) if isinstance(given, Mapping) else list(given)


def rows_of(name: str, given: Any) -> list[Shape]:
    """The shapes of a row that Keras's shapes, with the axis of the rows first, say; one for each input."""
    if _is_shape(given) and given:
        rows = check_axes(name, given[1:])
        if given[0] is not None:
            check_count(name, given[0], 0)
        return [rows]
    if not isinstance(given, (tuple, list, Mapping)) or not given:
        raise TypeError(f"{name} must be a shape, the rows' axis first, such as (None, 4), got {shown(given)}")
    return [row for each in _parts(given) for row in rows_of(name, each)]


def check_axes(name: str, sizes: Sequence[Any]) -> Shape:
    """The sizes of a row's axes; ValueError where one is None, as rows have one shape here."""
    if any(size is None for size in sizes):
        raise ValueError(
            f"{name} must say the size of each axis but that of the rows, got {shown(sizes)}; rows have one shape"
        )
    return tuple(check_count(name, size) for size in sizes)


def serialize(layer: Any) -> dict[str, Any]:
    """A layer as JSON, in Keras's form: {"module", "class_name", "config", "registered_name"}."""
    entry: dict[str, Any] = serialize_keras_object(layer)
    return entry


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The layer that ``serialize``, or Keras's, described. TypeError, ValueError where it describes none."""
    layer = deserialize_keras_object(config, custom_objects)
    if not isinstance(layer, Connected):
        raise ValueError(f"layers.deserialize: expected what describes a layer, got {shown(config)}")
    return layer
