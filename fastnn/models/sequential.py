"""Layers one after the other: the model that most people want."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fastnn.layers import InputLayer, Layer
from fastnn.layers.base import check_shape
from fastnn.layers.tensor import Structure, Tensor, called, named
from fastnn.models import weights
from fastnn.models.graph import MAX_LAYERS, Graph
from fastnn.models.model import Model
from fastnn.typing import Shape


class Sequential(Model):
    """Layers one after the other: ``Sequential([Dense(32, "relu", input_dim=784), Dense(10, "softmax")])``.

    A model may stand for a layer. The weights are made when the input shape is known: from ``Input`` or the first
    layer, from ``build``, or from the first rows.
    """

    table_name = "sequential"

    def __init__(self, layers: Iterable[Any] | None = None, name: str | None = None) -> None:
        self._begin(name)
        self._tensors: list[Tensor] = []  # the rows, then what each layer gives, as soon as the input shape is known
        for layer in layers or ():
            self._append(layer)
        self._grow()

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
        layer = self._members.pop()
        del self._names[-1], self._tensors[1 + len(self.layers) :]
        self._network = self._store = self._plan = self._graph = None
        self._grow()
        return layer

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights, if there are none yet for this shape.

        input_shape: of one row, or with the leading None that Keras writes for the rows. ValueError where a layer
        cannot take what the one before gives.
        """
        shape = self._row
        if input_shape is not None:
            sizes = tuple(input_shape)
            if sizes and sizes[0] is None:
                sizes = sizes[1:]
            shape = check_shape("Input", "shape", sizes)
        if shape is None:
            raise ValueError("the input shape is unknown; give the first layer an input_shape, or build(input_shape)")
        self._take_rows(shape)
        if self._network is None and self.layers:
            self._make()
        if self._network is None:
            raise ValueError(f"model {self.name!r} has no layer that computes anything; add a Dense layer")

    def _build_for(self, shape: Shape) -> None:
        """Make everything anew, weights included."""
        before, places = self._state(), {layer: weights.place_of(layer) for layer in self._leaves()}
        if self._store is not None:
            if set(self._store.models) != {self}:
                raise ValueError(f"other models share layers of {self.name!r}, so its input shape cannot change")
            for layer in places:
                layer._set("_place", None)
        try:
            self._tensors = self._chain(shape)
            self._grow()
        except BaseException:
            self._restore(before)
            for layer, place in places.items():
                layer._set("_place", place)
            raise

    @property
    def _row(self) -> Shape | None:
        """Shape of one row, None while it is unknown."""
        return self._tensors[0].row if self._tensors else None

    def _state(self) -> tuple[Any, ...]:
        lists = [list(each) for each in (self._members, self._names, self._tensors)]
        return (*lists, self._graph, self._takes, self._gives, self._store, self._plan, self._network)

    def _restore(self, state: tuple[Any, ...]) -> None:
        """Undo what failed half-way."""
        self._members, self._names, self._tensors, self._graph, self._takes, self._gives = state[:6]
        self._store, self._plan, self._network = state[6:]

    def _chain(self, shape: Shape) -> list[Tensor]:
        """The tensors for rows of `shape`, through all layers."""
        tensors = [InputLayer(shape).tensor()]
        for layer in self.layers:
            tensors.append(layer(tensors[-1]))
        return tensors

    def _draw(self) -> None:
        """The graph of the tensors, if the input shape is known."""
        if self._tensors:
            self._graph = Graph(self._tensors[:1], self._tensors[-1:])
            names = [called(self._tensors[0].node.layer), self._names[-1] if self._names else ""]
            self._takes, self._gives = (Structure("one", (name,)) for name in names)

    def _grow(self) -> None:
        """Make the network anew, as soon as the input shape is known; weights that there are stay."""
        self._draw()
        if len(self._tensors) > 1:
            self._make()

    def _append(self, layer: Any) -> None:
        if isinstance(layer, Tensor) and isinstance(layer.node.layer, InputLayer):
            layer = layer.node.layer
        if not isinstance(layer, (Layer, Model)):
            raise TypeError(f"a layer must be a fastnn.layers.Layer object, got {layer!r}")
        if len(self._members) == MAX_LAYERS:
            raise ValueError(f"a model has at most {MAX_LAYERS} layers")
        if any(layer is other for other in self._members):
            raise ValueError(f"this {type(layer).__name__} is in the model already; make a second one")
        if isinstance(layer, InputLayer) and self._members:
            raise ValueError("Input must be the first layer")
        name = named(layer, self._names)
        given = _given_row(layer)
        if self._tensors and given is not None and self._tensors[-1].row != given:
            raise ValueError(
                f"{type(layer).__name__} {name!r} has input_shape {given}, but the layer before it gives "
                f"{self._tensors[-1].row}; leave input_shape out"
            )
        tensors = self._tensors
        if isinstance(layer, InputLayer):
            tensors = [layer.tensor()]
        elif tensors:
            tensors = [*tensors, layer(tensors[-1])]
        elif given is not None and not self._members:
            tensors = [first := InputLayer(given).tensor(), layer(first)]
        self._tensors = tensors
        self._members.append(layer)
        self._names.append(name)

    @property
    def layers(self) -> list[Any]:
        """The layers, without Input."""
        return [layer for layer in self._members if not isinstance(layer, InputLayer)]

    def _take_rows(self, shape: Shape) -> None:
        with weights.lock:
            if self._graph is None or shape != self._row:
                self._build_for(shape)

    def _ensure_built(self, input_shape: Shape) -> None:
        if self._network is None:
            self.build(None if self._tensors else input_shape)

    def _built(self, action: str) -> Any:
        if self._network is None:
            if not self._tensors:
                raise RuntimeError(
                    f"{action} needs the model's weights, and there are none yet; give the first layer an input_shape, "
                    "or call build() or fit() first"
                )
            self.build()
        return self._network


def _given_row(layer: Any) -> Shape | None:
    """The shape of the rows that a layer says it reads."""
    if isinstance(layer, Layer):
        row: Shape | None = getattr(layer, "input_shape", None)
        return row
    inputs = layer._graph.inputs if layer._graph is not None else ()
    if len(inputs) > 1:
        raise ValueError(f"model {layer.name!r} reads {len(inputs)} tensors, so it cannot stand in a Sequential")
    return inputs[0].row if inputs else None
