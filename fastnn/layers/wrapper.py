"""Layers that are other layers: Wrapper, what one is derived from, and Pipeline, several one behind the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastnn import _names
from fastnn._checks import as_list, shown
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS
from fastnn.layers.composite import Composite
from fastnn.layers.connected import Connected
from fastnn.layers.tensor import Tensor

__all__ = ["Pipeline", "Wrapper"]


@LAYERS.add("wrapper")
@dataclass(frozen=True, eq=False, repr=False)
class Wrapper(Composite):
    """What a layer around another is derived from; by itself it gives what that gives. layer: a layer or a model."""

    layer: Any
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Connected):
            raise ValueError(
                f"{type(self).__name__}: layer must be a layer or a model, got {shown(self.layer)} (Layer "
                f"{shown(self.layer)} supplied to Wrapper isn't a supported layer type. Please ensure wrapped layer is "
                "a valid Keras layer.)"
            )
        own_input_shape(self)
        self._consists_of([self.layer])

    def call(self, x: Tensor) -> Tensor:
        """What the layer gives."""
        given = self.layer(x)
        if not isinstance(given, Tensor):
            raise ValueError(f"{type(self).__name__} takes a layer or a model of one output, got one of {len(given)}")
        return given


@LAYERS.add("pipeline")
@dataclass(frozen=True, eq=False, repr=False)
class Pipeline(Composite):
    """Layers one behind the other, as one layer. layers: a list of layers or models of one input and one output."""

    layers: Any
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        given = as_list("Pipeline: layers", self.layers, "layers")
        for layer in given:
            if not isinstance(layer, Connected):
                raise TypeError(f"Pipeline: layers must be layers or models, got {shown(layer)}")
        self._set("layers", list(given))
        own_input_shape(self)
        if given:
            self._consists_of(list(dict.fromkeys(given)))

    def call(self, x: Tensor) -> Tensor:
        """What the last of the layers gives."""
        for layer in self.layers:
            x = layer(x)
            if not isinstance(x, Tensor):
                raise ValueError(f"Pipeline takes layers of one output, got {shown(layer)}")
        return x


_names.offer(globals())
