"""Layers one after the other: the model that most people want."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import is_
from typing import Any

from fastnn import _names
from fastnn._checks import check_count, shown
from fastnn.data import ArraySource, Source
from fastnn.layers import LAYERS, InputLayer, Layer
from fastnn.layers.base import check_shape
from fastnn.layers.front import FrontLayer, row_and_kind
from fastnn.layers.graph import Graph
from fastnn.layers.places import locked, place_of, set_place
from fastnn.layers.tensor import MAX_LAYERS, Structure, Tensor, called, named
from fastnn.models import weights
from fastnn.models.built import KINDS, NotBuiltError
from fastnn.models.model import Model
from fastnn.typing import Shape


class Sequential(Model):
    """Layers one after the other: ``Sequential([Dense(32, "relu", input_dim=784), Dense(10, "softmax")])``.

    A model may stand for a layer. The weights are made when the input shape is known: from ``Input`` or the first
    layer, from ``build``, or from the first rows. A model of several inputs may stand first: they are then this one's.
    """

    table_name = "sequential"

    def __init__(self, layers: Iterable[Any] | None = None, name: str | None = None) -> None:
        if isinstance(name, (Layer, Model, Tensor)):
            raise TypeError("Sequential: give the layers as one list: Sequential([Dense(...), Dense(...)])")
        self._begin(name)
        self._numbers: dict[str, int] = {}  # see `named`
        # The rows, then what each layer gives, as soon as the input shape is known; of a first model of several inputs
        # the list of them stands in the place of the rows.
        self._tensors: list[Any] = []
        alone = isinstance(layers, (Layer, Model, Tensor, type, str, memoryview)) or not hasattr(layers, "__iter__")
        for layer in () if layers is None else [layers] if alone else layers:
            self._append(layer)
        self._grow()

    @classmethod
    def from_members(
        cls, name: str, members: Iterable[Any], input_shape: Shape | None, input_dtype: str | None = None
    ) -> Sequential:
        # As a file describes it: without weights, which `make` of the description gives it.
        made, size = Sequential(name=name), 0
        for member in members:
            made._append(member)
            size += made._tensors[-1].node.size if made._tensors else 1
            if size > MAX_LAYERS:
                raise ValueError(f"a model has at most {MAX_LAYERS} layers, those of its models included")
        if input_shape is not None:
            if made._row not in (None, input_shape):
                raise ValueError(f"expected rows of shape {made._row}, as the first layer has it, got {input_shape}")
            if made._row is None:
                made._tensors = made._chain(input_shape, input_dtype)
        if input_shape is not None or made._row is None:
            made._draw()
        return made

    def add(self, layer: Any) -> None:
        """Put a layer at the end. The weights of the others stay; TypeError for what is no layer."""
        before = self._state()
        self._append(layer)
        try:
            self._grow()
        except BaseException:
            self._restore(before)
            raise

    def pop(self) -> Any:
        """Take the last layer away and give it; it keeps its weights. ValueError where there is none."""
        if not self.layers:
            raise ValueError(f"model {self.name!r} has no layer to take away")
        layer = self.description.members.pop()
        del self.description.names[-1], self._tensors[1 + len(self.layers) :]
        if not self.layers and self._row is None:
            self._tensors = []
        self._numbers.clear()
        self.description.forget()
        self._grow()
        return layer

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights, if there are none yet for this shape.

        input_shape: as in Keras with the axis of the rows first, (None, 4) or (32, 4); a single number, or a shape of
        one axis, is that of a row. ValueError where a layer cannot take what the one before gives.
        """
        shape = self._row
        if shape is None and self._tensors:  # of several inputs, which say their own
            self._grow()
            return
        if input_shape is not None:
            sizes = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else (input_shape,)
            if len(sizes) > 1 or (sizes and sizes[0] is None):
                check_count("build: input_shape", 1 if sizes[0] is None else sizes[0])
                sizes = sizes[1:]
            shape = check_shape("Input", "shape", sizes)
        if shape is None:
            raise ValueError("the input shape is unknown; give the first layer an input_shape, or build(input_shape)")
        self._take_rows(shape)
        if self.description.network is None and self.layers:
            self.description.make()
        if self.description.network is None:
            raise ValueError(f"model {self.name!r} has no layer that computes anything; add a Dense layer")

    def _build_for(self, shape: Shape) -> None:
        """Make everything anew, weights included."""
        if self.description.members and isinstance(self.description.members[0], InputLayer):
            raise ValueError(
                f"model {self.name!r} has already been configured by its Input for rows of shape {self._row}, got "
                f"{shape}"
            )
        before, places = self._state(), {layer: place_of(layer) for layer in self.description.layers()}
        if shape != self._row:
            self.description.columns = ()
        if self.description.store is not None:
            if set(self.description.store.models) != {self.description}:
                raise ValueError(f"other models share layers of {self.name!r}, so its input shape cannot change")
            weights.check_idle([self.description.store])
            for layer in places:
                set_place(layer, None)
        try:
            self._tensors = self._chain(shape)
            self._grow()
        except BaseException:
            self._restore(before)
            for layer, place in places.items():
                set_place(layer, place)
            raise

    @property
    def _row(self) -> Shape | None:
        """Shape of one row, None while it is unknown, and where there are several inputs."""
        first = self._tensors[0] if self._tensors else None
        return first.row if isinstance(first, Tensor) else None

    def _state(self) -> tuple[Any, list[Any]]:
        return self.description.saved(), list(self._tensors)

    def _restore(self, state: tuple[Any, list[Any]]) -> None:
        """Undo what failed half-way."""
        saved, self._tensors = state
        self._numbers.clear()
        self.description.restore(saved)

    def _chain(self, shape: Shape, dtype: str | None = None) -> list[Tensor]:
        """The tensors for rows of `shape`, through all layers."""
        first = self.layers[0] if self.layers else None
        tensors, size = [_rows_for(first, shape) if dtype is None else InputLayer(shape, dtype=dtype).tensor()], 0
        for layer in self.layers:
            tensors.append(layer(tensors[-1]))
            size += tensors[-1].node.size
            if size > MAX_LAYERS:  # before more of them are drawn
                raise ValueError(f"a model has at most {MAX_LAYERS} layers, those of its models included")
        return tensors

    def _draw(self) -> None:
        """The graph of the tensors, if the input shape is known."""
        if self._tensors:
            first = self._tensors[0]
            self.description.graph = Graph([first] if isinstance(first, Tensor) else first, self._tensors[-1:])
            takes = Structure("one", (called(first.node.layer),)) if isinstance(first, Tensor) else None
            self.description.takes = takes or self.layers[0].description.takes
            self.description.gives = Structure("one", (self.description.names[-1] if self.description.names else "",))

    def _grow(self) -> None:
        """Make the network anew, as soon as the input shape is known; weights that there are stay."""
        self._draw()
        if len(self._tensors) > 1:
            self.description.make()

    def _append(self, layer: Any) -> None:
        rows = layer
        if isinstance(layer, Tensor) and isinstance(layer.node.layer, InputLayer):
            layer = layer.node.layer
        if not isinstance(layer, (Layer, Model)):
            raise TypeError(f"a layer must be a fastnn.layers.Layer object, got {shown(layer)}{_instead(layer)}")
        if len(self.description.members) == MAX_LAYERS:
            raise ValueError(f"a model has at most {MAX_LAYERS} layers")
        if any(map(is_, self.description.members, repeat(layer))):
            raise ValueError(f"this {type(layer).__name__} is in the model already; make a second one")
        if isinstance(layer, InputLayer) and self.description.members:
            raise ValueError(
                f"Input must be the first layer: model {self.name!r} has already been configured to begin with "
                f"{self.description.names[0]!r}"
            )
        name = named(layer, self.description.names, self._numbers)
        several = _several_inputs(layer)
        if several and self.description.members:
            raise ValueError(
                f"model {layer.name!r} reads {len(several)} tensors, so it can stand in a Sequential as the first alone"
            )
        given = None if several else _given_row(layer)
        if self._tensors and given is not None and self._tensors[-1].row != given:
            raise ValueError(
                f"{type(layer).__name__} {name!r} has input_shape {given}, but the layer before it gives "
                f"{self._tensors[-1].row}; leave input_shape out"
            )
        tensors = self._tensors
        if isinstance(layer, InputLayer):
            tensors = [rows if isinstance(rows, Tensor) else layer.tensor()]
        elif tensors:
            tensors = [*tensors, layer(tensors[-1])]
        elif several:
            inputs = [InputLayer(each.row, dtype=each.dtype).tensor() for each in several]
            tensors = [inputs, layer(layer.description.takes.pack(inputs))]
        elif given is not None and not self.description.members:
            tensors = [first := _rows_for(layer, given), layer(first)]
        if tensors and not isinstance(tensors[-1], Tensor):
            raise ValueError(
                f"{type(layer).__name__} {name!r} gives {len(tensors[-1])} tensors, so it cannot stand in a Sequential"
            )
        self._tensors = tensors
        self.description.members.append(layer)
        self.description.names.append(name)

    @property
    def layers(self) -> list[Any]:
        """The layers, without Input."""
        return [layer for layer in self.description.members if not isinstance(layer, InputLayer)]

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError("`Sequential.layers` attribute is reserved: Use `add()` and `pop()` to change the layers")

    def _take_rows(self, shape: Shape) -> None:
        while True:
            with locked(self.description.layers()) as held, weights.lock:
                if held.is_current():
                    several = self._tensors and self._row is None  # inputs, of shapes of their own
                    if not several and (self.description.graph is None or shape != self._row):
                        self._build_for(shape)
                    return

    def _source(self, x: Any, y: Any, sample_weight: Any) -> Source:
        self._see(x)
        return super()._source(x, y, sample_weight)

    def _batch(self, x: Any, y: Any, sample_weight: Any) -> ArraySource:
        self._see(x)
        return super()._batch(x, y, sample_weight)

    def _see(self, x: Any) -> None:
        """Build for rows like those of `x`, where they say what the first layers are, or of what kind they are."""
        if self.description.graph is None and getattr(x, "prepare", None) is not None:
            from fastnn.models.preparation import prepared  # few datasets ask for it

            model, notes, _ = prepared(x)
            before, layers = self._state(), self.layers
            self.description.members, self.description.names, self._tensors = [], [], []
            self._numbers.clear()
            try:
                for layer in (model, *layers):
                    self._append(layer)
                self._grow()
            except BaseException:
                self._restore(before)
                raise
            self.description.notes.update(notes)
        if self.description.graph is None and self.layers and isinstance(self.layers[0], FrontLayer):
            row, kind = row_and_kind(x, self.layers[0].reads)
            self._tensors = self._chain(row, kind)
            self._grow()

    def _built_by(self, action: str, x: Any) -> Any:
        if not self._tensors and self.layers and iter_of(x) is not x:  # a generator is not begun for that
            self._take_rows(self._source(x, None, None).input_shape)
        return self._built(action)

    def _built(self, action: str) -> Any:
        if self.description.network is None:
            if not self.layers:
                raise NotBuiltError(f"{action}: Sequential model {self.name!r} has no layers; add one: model.add(...)")
            if not self._tensors:
                raise NotBuiltError(
                    f"{action} needs the model's weights, and there are none yet; give the first layer an input_shape, "
                    "or call build() or fit() first"
                )
            self.build()
        return self.description.network


def iter_of(x: Any) -> Any:
    """What a loop over `x` would ask, None where there can be none."""
    try:
        return iter(x)
    except TypeError:
        return None


def _rows_for(layer: Any, shape: Shape) -> Tensor:
    """The rows that a model's first layer reads."""
    if isinstance(layer, FrontLayer):
        return InputLayer(shape, dtype=layer.reads or "int64").tensor()
    graph = layer.description.graph if isinstance(layer, Model) else None
    return InputLayer(shape, dtype="float32" if graph is None else graph.inputs[0].dtype).tensor()


def _several_inputs(layer: Any) -> list[Tensor]:
    """The inputs of a model that reads several tensors, or one by a name; none of what reads rows."""
    if not isinstance(layer, Model) or layer.description.graph is None or layer.description.takes.kind == "one":
        return []
    return list(layer.description.graph.inputs)


def _instead(given: Any) -> str:
    """What to write in place of what is no layer."""
    if isinstance(given, type):
        return f", a class; make an object of it: {given.__name__}(...)" if issubclass(given, Layer) else ", a class"
    if isinstance(given, (list, tuple)):
        return "; give the layers in one list, without lists in it"
    if "keras" in type(given).__module__.split("."):
        return ", which is Keras's; fastnn has its own in fastnn.layers"
    if isinstance(given, str):
        return f"{_names.hint(given, dict(LAYERS) | LAYERS.aliases)}; make an object of its class, such as Dense(8)"
    return "; for a function write an Activation, or a subclass of Layer" if callable(given) else ""


def _given_row(layer: Any) -> Shape | None:
    """The shape of the rows that a layer says it reads."""
    if isinstance(layer, Layer):
        row: Shape | None = getattr(layer, "input_shape", None)
        return row
    graph = layer.description.graph
    inputs = graph.inputs if graph is not None else ()
    return inputs[0].row if inputs else None


KINDS[Sequential.table_name] = Sequential
