"""Bidirectional: a recurrent layer through the steps in both directions."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import Any

from fastnn import _names
from fastnn._checks import shown
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS, Layer, set_field
from fastnn.layers.composite import Composite
from fastnn.layers.masks import OfSteps
from fastnn.layers.merging import Add, Average, Concatenate, Multiply
from fastnn.layers.reshaping import Identity
from fastnn.layers.surface import rows_of
from fastnn.layers.tensor import called

__all__ = ["Bidirectional"]

_MERGES = {"concat": Concatenate, "sum": Add, "ave": Average, "mul": Multiply}
_ALIKE = ("stateful", "return_sequences", "return_state")


@LAYERS.add("bidirectional")
@dataclass(frozen=True, eq=False, repr=False)
class Bidirectional(OfSteps, Composite):
    """A recurrent layer forward, another like it backward, and both merged. (steps, features) -> what they give.

    layer: a SimpleRNN, LSTM or GRU. A copy of it, forward_<name>, goes forward, and backward_<name>, or backward_layer,
    backward. With return_sequences what that gives is put into the order of the steps. merge_mode: "concat" (along the
    last axis), "sum", "ave", "mul"; None gives a tuple of both. With return_state the states follow, forward's
    first, as in initial_state=[...] of a call. Source: Schuster and Paliwal 1997.
    """

    passes_mask = True
    layer: Any
    merge_mode: str | None = "concat"
    weights: InitVar[Any] = field(default=None)
    backward_layer: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self, weights: Any) -> None:
        if not isinstance(self.layer, Layer):
            raise ValueError(
                f"Bidirectional: layer must be a recurrent layer, got {shown(self.layer)} (Please initialize "
                "`Bidirectional` layer with a `keras.layers.Layer` instance.)"
            )
        if self.backward_layer is not None and not isinstance(self.backward_layer, Layer):
            raise ValueError(
                f"Bidirectional: backward_layer must be a recurrent layer, got {shown(self.backward_layer)} "
                "(`backward_layer` need to be a `keras.layers.Layer` instance.)"
            )
        if self.merge_mode is not None and self.merge_mode not in _MERGES:
            raise ValueError(
                f"Bidirectional: merge_mode must be one of {', '.join(_MERGES)}, or None, got {shown(self.merge_mode)} "
                "(Invalid merge mode.)"
            )
        if weights is not None:
            raise ValueError("Bidirectional: weights must be None; call set_weights once the layer is built")
        for each in (self.layer, self.backward_layer):
            if each is not None and not hasattr(each, "go_backwards"):
                raise ValueError(f"Bidirectional takes a SimpleRNN, LSTM or GRU, got a {type(each).__name__}")
        backward = self.backward_layer
        if backward is None:
            backward = _copied(self.layer, "backward_", go_backwards=True)
        self._set("layer", _copied(self.layer, "forward_"))
        self._set("backward_layer", backward)
        self._check_both()
        for each in (self.layer, backward):  # so that a masked step is nothing in both directions
            set_field(each, "zero_output_for_mask", each.return_sequences)
        self._set("masked_outputs", 2 if self.merge_mode is None else 1)
        own_input_shape(self)
        self._consists_of([self.layer, backward])

    def _check_both(self) -> None:
        """ValueError where the two do not go together."""
        one, other = self.layer, self.backward_layer
        if one.go_backwards == other.go_backwards:
            raise ValueError(
                "Bidirectional: one of the layers must have go_backwards=True and the other not (Forward layer and "
                "backward layer should have different `go_backwards` value.)"
            )
        for name in _ALIKE:
            if getattr(one, name) != getattr(other, name):
                raise ValueError(
                    f"Bidirectional: Forward layer and backward layer are expected to have the same value for "
                    f'attribute "{name}", got {getattr(one, name)} and {getattr(other, name)}'
                )

    @property
    def forward_layer(self) -> Any:
        """The layer that goes forward."""
        return self.layer

    @property
    def stateful(self) -> bool:
        """Whether both go on from batch to batch."""
        return bool(self.layer.stateful)

    def reset_state(self) -> None:
        """Have both begin with zeros again. AttributeError unless they are stateful."""
        if not self.stateful:
            raise AttributeError(f"layer {called(self)!r} has no states to reset: Layer must be stateful.")
        self.layer.reset_state()
        self.backward_layer.reset_state()

    @property
    def return_sequences(self) -> bool:
        """Whether both give all steps."""
        return bool(self.layer.return_sequences)

    def call(self, x: Any, initial_state: Any = None) -> Any:
        """What both give, merged, and their states."""
        half = 0 if initial_state is None else len(initial_state) // 2
        one, *states = _listed(self.layer(x, initial_state=initial_state and list(initial_state[:half])))
        other, *more = _listed(self.backward_layer(x, initial_state=initial_state and list(initial_state[half:])))
        if self.layer.return_sequences:
            one, other = Identity()(one), other[:, ::-1]  # both as far from the end: forward's weights come first
        given = (one, other) if self.merge_mode is None else (_MERGES[self.merge_mode]()([one, other]),)
        given = (*given, *states, *more)
        return given if len(given) > 1 else given[0]

    def compute_output_shape(self, input_shape: Any, initial_state_shape: Any = None) -> Any:
        """The shapes of what the layer gives, the axis of the rows first: one, or a tuple of them."""
        rows = rows_of(f"{called(self)}.compute_output_shape: input_shape", input_shape)
        first = input_shape[0][0] if isinstance(input_shape[0], (tuple, list)) else input_shape[0]
        shapes = tuple((first, *tensor.row) for tensor in self.graph(*rows[:1]).outputs)
        return shapes if len(shapes) > 1 else shapes[0]


Bidirectional.weights = Layer.weights  # type: ignore[method-assign]  # an argument, and what all layers have


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, tuple) else [given]


def _copied(layer: Any, prefix: str, **other: Any) -> Any:
    """A layer like that one, without its weights, under a name that begins so."""
    name = f"{prefix}{called(layer).removeprefix(prefix)}"
    return type(layer).from_config({**layer.get_config(), "name": name, **other})


_names.offer(globals())
