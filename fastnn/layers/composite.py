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
``fastnn.ops`` make of them. It runs when the layer is called on a tensor, and never on rows. Layers and weights are made
before it, in ``__init__`` or ``build``, so that all calls have the same. A file has the weights by their names, and of
the layer what ``get_config`` gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from fastnn._checks import shown
from fastnn._names import users_line
from fastnn._table import field_values, plain
from fastnn.layers.base import LAYERS, Layer, any_sources
from fastnn.layers.core import InputLayer
from fastnn.layers.graph import Graph, calls
from fastnn.layers.operation import Operation
from fastnn.layers.tensor import Node, Structure, Tensor, called, names_of
from fastnn.layers.tracing import Training, either, has_weights, layers_in, replaced, shapes_of, tensors_in
from fastnn.layers.weight import TRACE, Trace, Weight, Weights, homes_of
from fastnn.object_registration import get_registered_name
from fastnn.typing import Shape

__all__ = ["Composite"]

ASKED = ("training", "mask")  # arguments of a call that are no tensors


class Composite(Layer):
    """A layer whose ``call`` puts layers, arithmetic and weights together; it is traced once and compiled."""

    made_of_layers = True

    def __new__(cls, *given: Any, **named: Any) -> Any:
        self = super().__new__(cls, *given, **named)
        vars(self).update(_given=(given, named), _homes={}, _own=[], _fuses=True, built=False)
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
                self._set("_base", base(**{name: value for name, value in field_values(self).items() if name != "name"}))
            return vars(self)["_base"](inputs[0] if len(inputs) == 1 else list(inputs))
        raise TypeError(
            f"{type(self).__name__} has no call; write call(x), which gives the tensor that its layers make"
        )

    def build(self, input_shape: Any) -> None:
        """Make weights and layers for inputs of this shape, (None, ...); called once, before the first ``call``."""

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: Any = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Weight:
        """A weight of the layer: an array of this shape that begins with the initializer's values.

        shape: () by default, one number. initializer: a name or an object; "glorot_uniform" by default, "zeros" of a
        single number. trainable: whether it learns. dtype: float32. regularizer, constraint: a name, an object or None.
        """
        if isinstance(shape, str):  # as Keras 2 had it: name first
            shape, name = (), shape
        if str(getattr(dtype, "name", dtype)) not in ("None", "float32", "<class 'numpy.float32'>"):
            raise ValueError(f"add_weight: weights are float32, got dtype {shown(dtype)}")
        taken = {weight.name for weight in self._own}
        if name is None:
            name = next(each for number in range(len(taken) + 1) if (each := _numbered(number)) not in taken)
        if name in taken:
            raise ValueError(f"add_weight: {called(self)!r} has a weight {name!r} already; give this one another name")
        shape = () if shape is None else shape
        weight = Weight(name, shape, initializer, trainable, regularizer, constraint)
        self._own.append(weight)
        return weight

    def add_loss(self, loss: Any) -> None:
        """Add to the model's loss what a tensor of this ``call`` gives, the mean of all rows."""
        trace = TRACE.get()
        if trace is None:
            raise RuntimeError(f"add_loss is for tensors within call{users_line()}")
        trace.losses.append(loss)

    # Calls.

    def __call__(self, inputs: Any, *more: Any, **named: Any) -> Any:
        """The symbolic tensors that the layer gives for one, or for a list or dict; for arrays, what it makes of them.

        training: True, False or None; what else ``call`` takes goes to it.
        """
        if not tensors_in((inputs, more, named)):
            training = named.pop("training", None)
            named.pop("mask", None)
            if more or named:
                inputs = [inputs, *more, *named.values()]
            return self.on_arrays(inputs) if training is None else self.on_arrays(inputs, training)
        named = {key: value for key, value in named.items() if key not in ASKED or not _is_asked(value)}
        given = (inputs, *more)
        if not more and isinstance(inputs, (list, tuple)) and self._takes() > 1:
            given = tuple(inputs)
        tensors = tensors_in((given, named))
        self.kinds_read(*(tensor.dtype for tensor in tensors))
        graph, kind, keys = self._traced([tensor.row for tensor in tensors], given, named, tensors)
        rows = tuple(tensor.row for tensor in graph.outputs)
        names = keys or tuple(f"{called(self)}_{place}" if place else called(self) for place in range(len(rows)))
        node = Node(self, tuple(tensors), self._rows_given(graph, rows), Structure(kind, names), graph)
        return node.outputs.pack(self._note(node).tensors())

    def _takes(self) -> int:
        """How many tensors ``call`` must be given one by one; 0 where it takes any number."""
        code = type(self).call.__code__
        names = [name for name in code.co_varnames[1 : code.co_argcount] if name not in ASKED]
        needed = len(names) - sum(name not in ASKED for name in _defaulted(type(self).call))
        return 2 if code.co_flags & inspect.CO_VARARGS else needed

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
        self, rows: Sequence[Shape], given: Any = None, named: Any = None, outer: Sequence[Tensor] = ()
    ) -> tuple[Graph, str, tuple[str, ...]]:
        """The graph that ``call`` draws for rows of these shapes, the kind of what it gives, and a dict's keys."""
        kinds = [tensor.dtype for tensor in outer] or ["float32"] * len(rows)
        inputs = [InputLayer(row, dtype=kind).tensor() for row, kind in zip(rows, kinds, strict=True)]
        for tensor, other in zip(inputs, outer, strict=False):
            tensor.node.same = other.node.same
        if given is None:
            given = tuple(inputs) if self._takes() != 1 or len(inputs) == 1 else (list(inputs),)
        else:
            known = dict(zip(outer, inputs, strict=True))
            given, named = replaced(given, known), replaced(named, known)
        takes = self._takes()
        if takes > 1 and not type(self).call.__code__.co_flags & inspect.CO_VARARGS and len(given) < takes:
            raise ValueError(
                f"layer {called(self)!r}: {type(self).__name__} reads {takes} tensor(s), got {len(given)}"
            )
        try:
            if not vars(self)["built"]:
                shapes = shapes_of(given)
                self._built_for(shapes[0] if len(shapes) == 1 else list(shapes))
            graph, kind, keys = self._drawn(inputs, given, named or {})
            homes = homes_of(list(calls(graph)))
            if any(len(found) > 1 for found in homes.values()) and self._fuses:
                self._set("_fuses", False)
                self._homes.clear()
                graph, kind, keys = self._drawn(inputs, given, named or {})
                homes = homes_of(list(calls(graph)))
        except ValueError as error:
            raise ValueError(f"layer {called(self)!r}: {error}") from None
        for weight, found in homes.items():
            if len(found) > 1 or weight.home not in (None, *found):
                raise ValueError(
                    f"layer {called(self)!r}: {type(self).__name__}.call used its weight {weight.name!r} otherwise "
                    "than before"
                )
            (weight.home,) = found
        weighted = list(dict.fromkeys(node.layer for node in calls(graph) if has_weights(node)))
        if "_known" not in vars(self):
            self._consists_of([member for member in graph.members if not isinstance(member, InputLayer)])
        if vars(self).setdefault("_weighted", weighted) != weighted:
            raise ValueError(
                f"layer {called(self)!r}: {type(self).__name__}.call used other layers than before; make them once, "
                "where the layer is made"
            )
        return graph, kind, keys

    def _built_for(self, shape: Any) -> None:
        """Call ``build``, once."""
        self._set("built", True)
        try:
            self.build(shape)
        except BaseException:
            self._set("built", False)
            raise

    def _drawn(
        self, inputs: list[Tensor], given: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[Graph, str, tuple[str, ...]]:
        """The graph that ``call`` draws, the kind of what it gives, and a dict's keys."""
        trace = Trace(inputs[0], self._homes, self._fuses)
        before = TRACE.set(trace)
        try:
            flag = Training(True)
            options = {"training": flag} if "training" in _arguments(type(self).call) else {}
            tensors, kind, keys = self._given_by(self.call(*given, **named, **options))
            if flag.asked:
                others, *_ = self._given_by(self.call(*given, **named, training=Training(False)))
                tensors = [either(one, other) for one, other in zip(tensors, others, strict=True)]
        finally:
            TRACE.reset(before)
        return Graph(inputs, tuple(tensors)), kind, keys

    def _given_by(self, given: Any) -> tuple[list[Tensor], str, tuple[str, ...]]:
        """The tensors that ``call`` gave, their kind, and a dict's keys."""
        keys = tuple(given) if isinstance(given, Mapping) else ()
        several = isinstance(given, (list, tuple, Mapping))
        parts = list(given.values() if keys else given) if several else [given]
        tensors = [part.tensor() if isinstance(part, Weight) else part for part in parts]
        for tensor in tensors or [given]:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"{type(self).__name__}.call must give one symbolic tensor, got {shown(tensor)}; a list or dict of "
                    "tensors may be given too"
                )
        return tensors, "dict" if keys else "list" if several else "one", keys

    # Its parts.

    def _consists_of(self, members: Sequence[Any]) -> None:
        """Name the layers and models that the layer is made of: its own weights first, then as its attributes are."""
        own = list(dict.fromkeys(layer for value in vars(self).values() for layer in layers_in(value)))
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

    def config(self) -> dict[str, Any]:
        """The layer as JSON: its class, and what ``get_config`` gives."""
        cls = type(self)
        if "__dataclass_fields__" in vars(cls) and cls.get_config is Composite.get_config:
            return LAYERS.config(self)
        return {"class": get_registered_name(cls), **plain(self.get_config())}

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` makes the layer of again: name, trainable and dtype; a subclass adds its own arguments.

        Where a subclass has no get_config, the arguments that it was made with are in it too. TypeError where one of
        them cannot be described.
        """
        cls = type(self)
        config = {"name": getattr(self, "name", None), "trainable": self.trainable, "dtype": "float32"}
        if "__dataclass_fields__" in vars(cls) and cls.get_config is Composite.get_config:
            return LAYERS.config(self)
        if cls.get_config is not Composite.get_config:
            return config
        arguments, named = vars(self)["_given"]
        bound = inspect.signature(cls.__init__).bind(self, *arguments, **named).arguments
        bound.pop(next(iter(bound)))
        for name, parameter in inspect.signature(cls.__init__).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                bound |= bound.pop(name, {})
        try:
            return config | {name: plain(value) for name, value in bound.items()}
        except TypeError as error:
            raise TypeError(
                f"{cls.__name__} was made with what cannot be described ({error}); write get_config(self), which gives "
                "super().get_config() and its arguments"
            ) from None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The layer that ``get_config`` described, with new weights."""
        return cls(**config)

    @classmethod
    def from_description(cls, config: dict[str, Any]) -> Any:
        """The layer of a file; what Layer's own ``get_config`` gives may be unknown to the class."""
        known = _arguments(cls.__init__)
        apart = {}
        if "**" not in known:
            apart = {key: config.pop(key) for key in ("name", "trainable", "dtype") if key in config and key not in known}
        layer = cls.from_config(config)
        if apart.get("name") is not None:
            layer._set("name", apart["name"])
        if apart.get("trainable") is False:
            layer.trainable = False
        return layer


Layer.composite = Composite


def _numbered(number: int) -> str:
    return f"weight_{number}" if number else "weight"


def _arguments(function: Any) -> list[str]:
    """The names of what a function takes, "**" where that is any name."""
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        found.append("**" if parameter.kind is parameter.VAR_KEYWORD else name)
    return found


def _defaulted(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [each.name for each in parameters if each.default is not each.empty and each.kind in kinds]


def _is_asked(value: Any) -> bool:
    """Whether a training or mask is a flag or None, and no tensor."""
    return not isinstance(value, Tensor)
