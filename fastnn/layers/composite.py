"""Layers that are made of layers, of arithmetic and of weights of their own: what a user's class with ``call`` is.

    class Linear(Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape):
            self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="he_normal")
            self.b = self.add_weight(shape=(self.units,), initializer="zeros")

        def call(self, inputs):
            return ops.matmul(inputs, self.w) + self.b

``call`` says how, as a model is described: it is given symbolic tensors, and gives those that layers, arithmetic and
``fastnn.ops`` make of them. It runs when the layer is called on a tensor, and never on rows. Layers and weights are
made before it, in ``__init__`` or ``build``, so that all calls have the same. A file has the weights by their names,
and of the layer what ``get_config`` gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import wraps
from typing import Any, ClassVar

from fastnn._checks import as_arguments, as_flag
from fastnn._table import field_values, note_own, plain, unplain
from fastnn.layers.base import COMPOSITE, LAYERS, Layer, any_sources, mode_of, set_field
from fastnn.layers.connected import constants
from fastnn.layers.core import InputLayer
from fastnn.layers.graph import Graph, calls
from fastnn.layers.masks import given_masks, noted
from fastnn.layers.operation import Operation
from fastnn.layers.surface import rows_of
from fastnn.layers.tensor import Node, Structure, Tensor, called, check_training, names_of, replaced
from fastnn.layers.traced import Traced, made_from
from fastnn.layers.tracing import ASKED, arguments_of, has_weights, layers_of, shapes_of, tensors_in
from fastnn.layers.weight import Weights
from fastnn.object_registration import get_registered_name
from fastnn.serialization import deserialize_keras_object
from fastnn.typing import Shape

__all__ = ["Composite"]


class Composite(Traced, Layer):
    """A layer whose ``call`` puts layers, arithmetic and weights together; it is traced once and compiled."""

    made_of_layers = True
    reads_rows: ClassVar[bool] = False  # also in what is the same for all rows, as a layer with ops does

    def __new__(cls, *given: Any, **named: Any) -> Any:
        self = super().__new__(cls, *given, **named)
        self._begin_traced(given, named)
        vars(self)["_is_built"] = vars(self)["_is_building"] = False
        return self

    # What a subclass writes.

    @any_sources
    def call(self, *inputs: Any) -> Any:
        """The tensors that the layers and arithmetic give for these; ``training=`` is asked where it is named.

        ``super().call(x)`` of a class that is derived from a layer of fastnn's is what that layer gives.
        """
        known = set(LAYERS.units.values())
        base = next((cls for cls in type(self).__mro__ if cls in known), None)
        if base is not None and base is not type(self):
            if "_base" not in vars(self):
                self._set(
                    "_base", base(**{name: value for name, value in field_values(self).items() if name != "name"})
                )
            return vars(self)["_base"](inputs[0] if len(inputs) == 1 else list(inputs))
        raise TypeError(
            f"{type(self).__name__} has no call; write call(x), which gives the tensor that its layers make"
        )

    def build(self, input_shape: Any) -> None:
        """Make weights and layers for inputs of this shape, (None, ...); called once, before the first ``call``."""

    @staticmethod
    def built_once(build: Any) -> Any:
        """A subclass's ``build``, which is for who calls it themselves as that of a layer of fastnn's.

        It makes weights that can be looked at and set, and calls of the layer do not build it again.
        """

        @wraps(build)
        def built(self: Any, *shapes: Any, **named: Any) -> Any:
            if vars(self)["_is_building"]:
                return build(self, *shapes, **named)
            try:
                rows = [row for shape in shapes for row in rows_of("input_shape", shape)]
            except (TypeError, ValueError):  # such as None: what is made does not hang on shapes
                rows = []
            takes = self._takes()
            fits = takes <= len(rows) <= self._takes_at_most() or len(shapes) == takes == 1 <= len(rows)  # of a list
            if named or not fits:
                return None if vars(self)["_is_built"] else self._built_for(*shapes, **named)
            return self.alone(rows)

        return built

    @property
    def built(self) -> bool:
        """Whether ``build`` was called."""
        return bool(vars(self)["_is_built"])

    @built.setter
    def built(self, value: bool) -> None:
        vars(self)["_is_built"] = as_flag("built", value)

    # Calls.

    def __call__(self, *given: Any, **named: Any) -> Any:
        """The symbolic tensors that the layer gives for one, or for a list or dict; for arrays, what it makes of them.

        training: True, False or None; what else ``call`` takes goes to it.
        """
        if not tensors_in((given, named)):
            given = tuple(map(constants, given))
        if not tensors_in((given, named)):
            return self._on_arrays(
                given, {name: each for name, each in named.items() if name != "mask" or each is not None}
            )
        mask, mode = named.pop("mask", None), check_training(named.pop("training", None))
        if len(given) == 1 and isinstance(given[0], (list, tuple)) and self._takes() > 1:
            given = tuple(given[0])
        tensors = tensors_in((given, named))
        self.kinds_read(*(tensor.dtype for tensor in tensors))
        masks = given_masks(called(self), tensors, mask, Tensor)
        read = [masks[k].row if k in masks else tensor.mask_row for k, tensor in enumerate(tensors)]
        graph, kind, keys = self._traced([tensor.row for tensor in tensors], given, named, tensors, read)
        rows = tuple(tensor.row for tensor in graph.outputs)
        names = keys or tuple(f"{called(self)}_{place}" if place else called(self) for place in range(len(rows)))
        given_rows, outputs = self._rows_given(graph, rows), Structure(kind, names)
        plain = not named and given in (tuple(tensors), (tensors,))
        notes = {"given": None if plain else (given, named)} | noted(tensors, masks, (given, named))
        node = Node(self, (*tensors, *masks.values()), given_rows, outputs, graph, mode_of(self, mode), **notes)
        return node.outputs.pack(self._note(node).tensors())

    def _on_arrays(self, given: Any, named: dict[str, Any]) -> Any:
        """What the layer makes of arrays, which stand where `call` reads tensors."""
        training = named.pop("training", None)
        if len(given) != 1 or named or isinstance(given[0], dict):
            return self.on_arguments(given, named, training is not None and as_flag("training", training))
        return self.on_arrays(given[0]) if training is None else self.on_arrays(given[0], training)

    def _rows_given(self, graph: Graph, rows: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The shapes of rows that it gives, where its graph has these."""
        return rows

    def output_shape(self, *input_shapes: Shape) -> Shape:
        if not self.made_of_layers or hasattr(self, "forward"):
            return super().output_shape(*input_shapes)
        return self._applied(*input_shapes)[0]

    def ops(self, *input_shapes: Shape) -> tuple[Any, ...]:
        raise TypeError(f"{type(self).__name__} has no ops of its own; its layers have")

    def graph(self, *rows: Shape) -> Graph:
        """The graph that the layer is, for rows of these shapes."""
        return self._traced(rows)[0]

    def _applied(self, *rows: Shape) -> tuple[Shape, Graph]:
        graph = self.graph(*rows)
        return self._rows_given(graph, (graph.outputs[0].row,))[0], graph

    # Tracing.

    def _traced(
        self,
        rows: Sequence[Shape],
        given: Any = None,
        named: Any = None,
        outer: Sequence[Tensor] = (),
        masks: Sequence[Shape | None] = (),
    ) -> tuple[Graph, str, tuple[str, ...]]:
        """The graph that ``call`` draws for rows of these shapes, the kind of what it gives, and a dict's keys."""
        kinds = [tensor.dtype for tensor in outer] or ["float32"] * len(rows)
        inputs = [InputLayer(row, dtype=kind).tensor() for row, kind in zip(rows, kinds, strict=True)]
        for tensor, other in zip(inputs, outer, strict=False):
            tensor.node.same = other.node.same and not self.reads_rows
            tensor.node.batch = other.node.batch
        for tensor, mask in zip(inputs, masks, strict=False):
            tensor.node.masks = (mask,)
        if given is None:
            given = tuple(inputs) if self._takes() != 1 or len(inputs) == 1 else (list(inputs),)
        else:
            known = dict(zip(outer, inputs, strict=True))
            given, named = replaced(given, known), replaced(named, known)
        takes, came = self._takes(), len(given) + len(named or ())
        if not self._takes_any() and not (takes <= came and len(given) <= self._takes_at_most()):
            raise ValueError(f"layer {called(self)!r}: {type(self).__name__} reads {takes} tensor(s), got {came}")
        try:
            if not vars(self)["_is_built"]:
                self._built_for(*self._shapes(given, named or {}))
            graph, kind, keys = self._trace(inputs, given, named or {})
        except ValueError as error:
            raise ValueError(f"layer {called(self)!r}: {error}") from None
        weighted = list(dict.fromkeys(node.layer for node in calls(graph) if has_weights(node)))
        if "_known" not in vars(self):
            self._consists_of([member for member in graph.named if not isinstance(member, InputLayer)])
        if vars(self).setdefault("_weighted", weighted) != weighted:
            raise ValueError(
                f"layer {called(self)!r}: {type(self).__name__}.call used other layers than before; make them once, "
                "where the layer is made"
            )
        return graph, kind, keys

    def _shapes(self, given: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """What ``build`` is given: the shapes of what ``call`` is given, or those of the arguments that it names.

        build(self, x_shape, y_shape) names two of call(self, x, y).
        """
        shapes = shapes_of(given)
        names = arguments_of(type(self).build)[1:]
        if len(names) < 2 or any(name.startswith("*") for name in names):
            return [shapes[0] if len(shapes) == 1 else list(shapes)]
        takes = [name for name in arguments_of(type(self).call)[1:] if name not in ASKED]
        known = shapes_of(dict(zip(takes, given, strict=False)) | dict(named))
        found = []
        for name in names:
            of = name.removesuffix("_shape")
            if of == name:
                raise ValueError(
                    f"{type(self).__name__}.build has an argument `{name}`, which does not end in `_shape`; build "
                    "takes the shape of each argument of call by its name and `_shape`, or one shape"
                )
            if of not in takes:
                raise ValueError(
                    f"{type(self).__name__}.build has an argument `{name}`, but `call()` does not have argument `{of}`"
                )
            found.append(known.get(of))
        return found

    def _built_for(self, *shapes: Any, **named: Any) -> None:
        """Call ``build``, once."""
        vars(self)["_is_built"] = vars(self)["_is_building"] = True
        try:
            self.build(*shapes, **named)
        except BaseException:
            vars(self)["_is_built"] = False
            raise
        finally:
            vars(self)["_is_building"] = False

    # Its parts.

    def _consists_of(self, members: Sequence[Any]) -> None:
        """Name the layers and models that the layer is made of: its own weights first, then as its attributes are."""
        own = layers_of(self)
        weights = [member for member in members if isinstance(member, Weights)]
        rest = [member for member in members if not isinstance(member, (Weights, Operation))]
        rest.sort(key=lambda member: own.index(member) if member in own else len(own))
        rest += [member for member in members if isinstance(member, Operation)]
        names = [*("" for _ in weights), *names_of(rest)]
        self._set("_known", tuple(zip(names, [*weights, *rest], strict=True)))
        if not self.trainable:
            for each in members:
                each.trainable = False

    def parts(self) -> Sequence[tuple[str, Any]]:
        parts: Sequence[tuple[str, Any]] = vars(self).get("_known", ())
        return parts

    # As JSON.

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` makes the layer of again: name, trainable and dtype; a subclass adds its own arguments.

        Where a subclass has no get_config, the arguments that it was made with are in it too. TypeError where one of
        them cannot be described.
        """
        cls = type(self)
        own = cls.get_config is not Composite.get_config
        if "__dataclass_fields__" in vars(cls) and not own:
            return super().get_config()
        config = {"name": getattr(self, "name", None), "trainable": self.trainable, "dtype": "float32"}
        return config if own else config | self.arguments()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None, **_: Any) -> Any:
        """The layer that ``get_config`` described, with new weights."""
        if "__dataclass_fields__" in vars(cls):
            return super().from_config(config, custom_objects)
        given = as_arguments(cls.__name__, config)
        return cls(**{name: _made(value, custom_objects) for name, value in given.items()})

    @classmethod
    def from_description(cls, config: dict[str, Any]) -> Any:
        """The layer of a file; what Layer's own ``get_config`` gives may be unknown to the class."""
        layer, apart = made_from(cls, config)
        if apart.get("name") is not None:
            set_field(layer, "name", apart["name"])
        if apart.get("trainable") is False:
            layer.trainable = False
        return layer

    def own_config(self) -> dict[str, Any]:
        """What a file has of the layer beside its class: what ``get_config`` gives, or its fields."""
        return field_values(self) if self._is_declared() else self.get_config()

    def config(self) -> dict[str, Any]:
        """The layer as JSON: its class, and what it is made of."""
        cls = type(self)
        if self._is_declared():
            return LAYERS.config(self)
        return {"class": note_own(get_registered_name(cls), cls), **plain(self.own_config())}

    def _is_declared(self) -> bool:
        """Whether its fields say what it is made of."""
        cls = type(self)
        return "__dataclass_fields__" in vars(cls) and cls.get_config is Composite.get_config


def _made(value: Any, custom: Any) -> Any:
    """An argument from a configuration, fastnn's or Keras's."""
    if isinstance(value, list):
        return [_made(each, custom) for each in value]
    if not isinstance(value, dict):
        return value
    return unplain(value, custom) if "family" in value else deserialize_keras_object(value, custom)


Composite.build = Composite.built_once(Composite.build)  # type: ignore[method-assign]
COMPOSITE.append(Composite)
