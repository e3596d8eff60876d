"""What a layer is: a declaration of sizes, names and defaults. Its arithmetic is one or more ops of the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, FrozenInstanceError, dataclass, field, fields
from math import prod
from typing import Any, ClassVar, TypeVar

import numpy as np

from fastnn import regularizers
from fastnn._attributes import missing
from fastnn._checks import as_flag, check_count, check_name, shown
from fastnn._dtypes import DType
from fastnn._fields import called_with
from fastnn._names import users_line
from fastnn._table import Table
from fastnn.layers import places
from fastnn.layers.connected import constants
from fastnn.layers.masks import given_masks, noted
from fastnn.layers.places import LayerVariable, Parameter, Place, locked, place_of, placed, variable_of, variables_of
from fastnn.layers.python import python_ops
from fastnn.layers.quantized import quantized
from fastnn.layers.surface import Surface, check_only
from fastnn.layers.tensor import (
    TRACE,
    Node,
    Structure,
    Tensor,
    called,
    check_training,
    flattened,
    is_symbolic,
    snake_case,
)
from fastnn.typing import Array, FloatArray, Shape

__all__ = ["LAYERS", "Layer", "Parameter"]

R = TypeVar("R")
COMPOSITE: list[Any] = []  # what a class with ``call`` is derived from
MOST_NUMBERS = 2**31  # in a row: 8 GB
MOST_PARAMETERS = 2**40  # of a layer: 4 TB
MOST_AXES = 31  # of a row: with that of the rows NumPy's 32


def any_sources(method: Callable[..., R]) -> Callable[..., R]:
    """Tell type checkers that a subclass's method may name the sources that it reads."""
    return method


class _Fixed(Surface):
    """What says itself which of its fields may be set; apart from Layer, whose signature is that of its fields."""

    __repr__ = called_with

    def __new__(cls, *_: Any, **fields: Any) -> Any:
        if not isinstance(fields.get("trainable", True), (bool, np.bool_)):
            raise ValueError(
                f"{cls.__name__}: trainable must be True or False, got {shown(fields['trainable'])} (Expected "
                "`trainable` to be a boolean)"
            )
        check_only(cls, fields)
        if "_may_set" not in vars(cls):  # a frozen dataclass refuses to set anything; Layer knows better
            for each in cls.__mro__:
                if each is not Layer and issubclass(each, Layer) and "__setattr__" in vars(each):
                    del each.__setattr__
            cls._may_set = True
        return super().__new__(cls)


def set_field(layer: Any, name: str, value: object) -> None:
    """Set a field while the layer is made."""
    object.__setattr__(layer, name, value)


class _ActivityRegularizer:
    """The field of that name: a name becomes the object when it is set."""

    def __get__(self, layer: Any, owner: Any = None) -> Any:
        return None if layer is None else vars(layer).get("activity_regularizer")

    def __set__(self, layer: Any, value: Any) -> None:
        vars(layer)["activity_regularizer"] = regularizers.get(value)


@dataclass(frozen=True, eq=False, repr=False)
class Layer(_Fixed):
    """A layer: shapes of one row in, the shape of one row out. Called on a symbolic tensor, it gives another.

    trainable: whether the weights learn. It may be set at any time, and counts from a model's next ``compile`` on.
    activity_regularizer: a penalty on what the layer gives, divided by the rows of the batch; a name or an object.
    The weights lie in the flat vector that the layer's models share.
    """

    table_name: ClassVar[str]
    made_of_layers: ClassVar[bool] = False  # by its `call`
    whole_batch: ClassVar[bool] = False  # while training, what a row gives depends on the others of its batch
    output_dtype: ClassVar[str] = "float32"  # of what it gives: the layers of a front give more than that
    # What a call on arrays does, which only fastnn.models can do.
    on_arrays: ClassVar[Callable[..., Any]]
    on_arguments: ClassVar[Callable[..., Any]]
    _: KW_ONLY
    trainable: bool = True
    dtype: Any = field(default=None, repr=False, metadata={"saved": False})
    activity_regularizer: Any = _ActivityRegularizer()

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        input_shape: Any = None,
        input_dim: int | None = None,
        autocast: bool = True,
        activity_regularizer: Any = None,
    ) -> None:
        """What a subclass's own ``__init__`` gives on: ``super().__init__(**kwargs)``."""
        check_name(self, name)
        self._set("dtype", dtype)
        self._set("activity_regularizer", activity_regularizer)
        self._set("trainable", as_flag(f"{type(self).__name__}: trainable", trainable))
        self._set("name", name)
        if input_dim is not None:
            input_shape = (input_dim,)
        if input_shape is not None:
            self._set("input_shape", check_shape(self, "input_shape", input_shape))

    def __init_subclass__(cls) -> None:
        cls.table_name = snake_case(cls.__name__)  # until a table gives it another
        if "call" in vars(cls) and not cls.made_of_layers and cls.__module__ != f"{__package__}.composite":
            _trace(cls)
        if "build" in vars(cls) and COMPOSITE and COMPOSITE[0] in cls.__mro__:
            cls.build = COMPOSITE[0].built_once(cls.build)  # type: ignore[method-assign]
        if "forward" in vars(cls) and "ops" not in vars(cls):
            cls.ops = Layer.ops  # type: ignore[method-assign]  # and not a base's, which knows nothing of it

    @any_sources
    def output_shape(self, *input_shapes: Shape) -> Shape:
        """Shape of one row out for one row in of each source. ValueError where the layer cannot take it."""
        (shape,) = input_shapes
        return shape

    @any_sources
    def parameters(self, *input_shapes: Shape) -> tuple[Parameter, ...]:
        """The layer's weights for rows of these shapes, those that learn first."""
        return ()

    @any_sources
    def ops(self, *input_shapes: Shape) -> tuple[Any, ...]:
        """The ops that the layer becomes: the first reads the layer's sources, each other the one before.

        An op may come with what it reads, (op, places): -1 - k for source k, or the place of an op before it. () passes
        rows through. The ops' parameters are `parameters` in their order. A layer written in Python has
        ``forward`` and ``backward`` instead (see fastnn.layers.python), and one that is made of layers ``call`` (see
        fastnn.layers.composite).
        """
        if not hasattr(self, "forward") and set(LAYERS.units.values()) & set(type(self).__mro__):
            return ()  # such as Flatten
        return python_ops(self, *input_shapes)

    def config(self) -> dict[str, Any]:
        """The layer as JSON: its class and its fields."""
        return LAYERS.config(self)

    def __call__(self, inputs: Any, *, training: bool | None = None, mask: Any = None) -> Any:
        """The symbolic tensor that the layer gives for one, or for a list; for arrays, what it makes of them.

        mask: in place of that which comes with the tensor, or a list of them.
        """
        training = check_training(training)
        inputs = constants(inputs)
        if not is_symbolic(inputs):
            if mask is not None:
                return self.on_arguments((inputs,), {"mask": mask}, bool(training))
            return self.on_arrays(inputs, training is not None and as_flag("training", training))
        tensors, _, _ = flattened(inputs, f"layer {called(self)!r}: inputs")
        masks = given_masks(called(self), tensors, mask, Tensor)
        self.kinds_read(*(tensor.dtype for tensor in tensors))
        row, graph = self._applied(*(tensor.row for tensor in tensors))
        rows = self.rows_given(row)
        names = tuple(f"{called(self)}_{place}" if place else called(self) for place in range(len(rows)))
        outputs = Structure("one" if len(rows) == 1 else "tuple", names)
        node = Node(
            self, (*tensors, *masks.values()), rows, outputs, graph, mode_of(self, training), **noted(inputs, masks)
        )
        vars(self)["_rows"] = tuple(tensor.row for tensor in tensors)
        return outputs.pack(self._note(node).tensors())

    def rows_given(self, row: Shape) -> tuple[Shape, ...]:
        """The shapes of the rows of all that it gives, where the first is `row`. The last of its ops give them."""
        return (row,)

    def kinds_read(self, *dtypes: str) -> list[str]:
        """How it reads tensors of these dtypes. ValueError where it cannot."""
        if "string" in dtypes:
            raise ValueError(
                f"layer {called(self)!r}: {type(self).__name__} reads numbers, got text; put StringLookup, "
                "TextVectorization or Hashing before it"
            )
        return ["float32"] * len(dtypes)

    def _applied(self, *rows: Shape) -> tuple[Shape, Any]:
        """The row that the layer gives for these, and the graph that it is; None for one that has ops."""
        return self._row(*rows), None

    def _row(self, *rows: Shape) -> Shape:
        """`output_shape`, with the layer's name in its error."""
        method = type(self).output_shape
        takes = 1 if method is Layer.output_shape else method.__code__.co_argcount - 1
        if len(rows) != takes and (takes or not len(rows)):  # 0: it takes any number
            raise ValueError(f"layer {called(self)!r}: {type(self).__name__} reads {takes} tensor(s), got {len(rows)}")
        try:
            row = self.output_shape(*rows)
            check_row(row)
            count = sum(parameter.size for parameter in self.parameters(*rows))
            if count > MOST_PARAMETERS:
                raise ValueError(f"{count} weights are more than any machine has; at most 2**40 can be")
        except ValueError as error:
            raise ValueError(f"layer {called(self)!r}: {error}") from None
        return row

    def _set(self, name: str, value: object) -> None:
        """Set a field while the layer is made, or what a model notes on it."""
        object.__setattr__(self, name, value)

    def parts(self) -> Sequence[tuple[str, Any]]:
        """The layers and models that it is made of, with their names; none for a layer that has ops."""
        return ()

    # The weights, through the place that a model gave them.

    def _placed(self) -> Place:
        return placed(self)

    def _held(self) -> list[tuple[bool, FloatArray]]:
        """Whether each array of weights learns, and a view of it."""
        found: list[tuple[bool, FloatArray]] = []
        for layer in leaves_of(self):
            place = placed(layer)
            learns = [layer.trainable and parameter.trainable for parameter in place.parameters]
            found += zip(learns, place.views(place.store.flat), strict=True)
        return found

    def get_weights(self) -> list[FloatArray]:
        """Copies of the layer's weights (a Dense layer's kernel and bias), all of one moment."""
        with locked(leaves_of(self)):
            return [array.copy() for _, array in self._held()]

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Replace the layer's weights; as many arrays as ``get_weights`` gives, of the same shapes."""
        places.replace(locked(leaves_of(self)), lambda: [array for _, array in self._held()], weights)

    @property
    def weights(self) -> list[LayerVariable]:
        """The layer's weights as variables, each as it is when it is looked at; none before there are any."""
        return variables_of(leaves_of(self))

    variables = weights

    @property
    def trainable_weights(self) -> list[LayerVariable]:
        """The weights that learn; none while ``trainable`` is False."""
        return variables_of(leaves_of(self), True)

    trainable_variables = trainable_weights

    @property
    def non_trainable_weights(self) -> list[LayerVariable]:
        """The weights that do not learn."""
        return variables_of(leaves_of(self), False)

    non_trainable_variables = non_trainable_weights

    def __getattr__(self, name: str) -> Any:
        """A weight by its name: ``layer.kernel``; None where the layer is built without it."""
        place = None if name.startswith("_") else place_of(self)
        if place is not None:
            names = [parameter.name for parameter in place.parameters]
            if name in names:
                return variable_of(self, names.index(name))
        if name.startswith("_") or f"{name}_initializer" not in getattr(self, "__dataclass_fields__", ()):
            return missing(self, name)
        if place is None:
            advice = "build it first, by build(input_shape)"
            if TRACE.get() is not None:
                advice = (
                    "call runs once, before there are weights; a kernel that two places use is a weight of your own: "
                    "self.w = self.add_weight(...), ops.matmul(x, self.w) and ops.matmul(h, ops.transpose(self.w))"
                    f"{users_line()}"
                )
            raise AttributeError(f"layer {called(self)!r} has no {name} yet: {advice}")
        return None

    @property
    def built(self) -> bool:
        """Whether the layer's weights exist; also of one that needs none, once it is in a model."""
        layers = leaves_of(self)
        return bool(layers) and all(place_of(layer) is not None for layer in layers)

    def count_params(self) -> int:
        """How many numbers the layer's weights hold."""
        few = [each for layer in leaves_of(self) for each in quantized(layer).values()]
        return sum(array.size for _, array in self._held()) + sum(each.size for each in few)


def _trace(cls: Any) -> None:
    """Put what traces its ``call`` before Layer, or a layer of fastnn's, among what a user's class derives from."""
    own = [each for each in cls.__mro__ if Layer in each.__bases__ and not each.__module__.startswith("fastnn.")]
    for each in own:
        each.__bases__ = tuple(COMPOSITE[0] if base is Layer else base for base in each.__bases__)
    if not own:
        cls.__bases__ = (COMPOSITE[0], *cls.__bases__)


def _set_attribute(layer: Layer, name: str, value: object) -> None:
    """A layer's fields are fixed once it is made, but for ``trainable`` and ``supports_masking``."""
    if name == "trainable":
        value = as_flag(f"{type(layer).__name__}: trainable", value)
        for _, part in layer.parts():
            part.trainable = value
    elif name != "supports_masking" and (
        name in {each.name for each in fields(layer)} or LAYERS.units.get(layer.table_name) is type(layer)
    ):
        raise FrozenInstanceError(
            f"{type(layer).__name__}: {name} cannot be changed once the layer is made; make another layer"
        )
    object.__setattr__(layer, name, value)


Layer.__setattr__ = _set_attribute  # type: ignore[assignment,method-assign]
Layer.dtype = DType()
Layer.table_name = "layer"
LAYERS: Table[Layer] = Table("layer", Layer)


def mode_of(member: Any, training: Any) -> bool | None:
    """Whether a call in a model is as in training in each run, or in none; None where it is as the run says."""
    mode = None if training is None else as_flag("training", training)
    if mode and any(layer.whole_batch for layer in leaves_of(member)):
        raise ValueError(
            f"{called(member)!r}: training=True would make what a row gives hang on the other rows that are predicted "
            "with it; leave it out, or call the layer or the model on arrays with training=True"
        )
    return mode


def parts_of(member: Any) -> Sequence[tuple[str, Any]]:
    """The layers and models that a layer or a model is made of, with their names."""
    if isinstance(member, Layer):
        return member.parts()
    return list(zip(member.description.names, member.description.members, strict=True))


def leaves_of(member: Any) -> list[Layer]:
    """The layers that have ops, each once: a layer alone, or those that a layer or a model is made of."""
    found: dict[Layer, None] = {}
    _gather(member, found, set())
    return list(found)


def _gather(member: Any, found: dict[Layer, None], seen: set[Any]) -> None:
    if member in seen:  # models may share parts at each level: as many ways lead to them as there are levels, doubled
        return
    seen.add(member)
    parts = parts_of(member)
    if isinstance(member, Layer) and not parts:
        found[member] = None
    for _, part in parts:
        _gather(part, found, seen)


def check_seed(layer: Any) -> None:
    """Raise unless the layer's `seed` is None or a whole number from 0 to 2^64 - 1."""
    if layer.seed is None:
        return
    try:
        check_count(f"{type(layer).__name__}: seed", layer.seed, 0, 2**64 - 1)
    except TypeError as error:
        raise TypeError(str(error).replace("whole number", "whole number or None", 1)) from None


def check_row(row: Shape) -> None:
    """ValueError where rows of this shape could be on no machine."""
    if len(row) > MOST_AXES:
        raise ValueError(f"rows have at most {MOST_AXES} axes, got {len(row)}")
    if prod(row) > MOST_NUMBERS:
        count = shown(prod(row))
        raise ValueError(f"rows of shape {shown(row)} would have {count} numbers each; at most 2**31 can be")


def check_shape(owner: object, name: str, shape: object) -> Shape:
    """`shape` as a tuple of whole numbers of at least 1; a single number is a shape of one axis."""
    kind = owner if isinstance(owner, str) else type(owner).__name__
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    if not sizes:
        raise ValueError(f"{kind}: {name} must have at least one axis, got {shown(shape)}")
    return tuple(check_count(f"{kind}: {name}", size) for size in sizes)
