"""What layers and models have in common: they are called on tensors, and know of their calls."""

from __future__ import annotations

import weakref
from typing import Any

from fastnn.layers.masks import Masked, mention_mask
from fastnn.layers.tensor import OPERATORS, TRACE, Node, Operators, Tensor, called


class Connected(Masked):
    """What can be called on tensors: layers and models."""

    def _note(self, node: Node) -> Node:
        """Remember a call, for `input` and `output`, as long as what it gave is alive."""
        calls: list[weakref.ref[Node]] = vars(self).setdefault("_calls", [])
        if len(calls) & (len(calls) - 1) == 0:  # each time that they have doubled
            calls[:] = [call for call in calls if call() is not None]
        calls.append(weakref.ref(node))
        mention_mask(self, node)
        return node

    def _only_call(self, asked: str) -> Node:
        calls: list[weakref.ref[Node]] = vars(self).get("_calls", [])
        nodes = [node for call in calls if (node := call()) is not None]
        if not nodes:
            raise RuntimeError(f"{called(self)!r} has no {asked} yet; call it on a tensor, or build its model")
        if len(nodes) > 1:
            raise ValueError(
                f"{called(self)!r} was called {len(nodes)} times, so {asked} is ambiguous; keep the tensors that the "
                "calls gave"
            )
        return nodes[0]

    @property
    def input(self) -> Any:
        """The tensor, or list of tensors, that the layer was called on. ValueError where it was called twice."""
        tensors = self._only_call("input").inputs
        return tensors[0] if len(tensors) == 1 else list(tensors)

    @property
    def output(self) -> Any:
        """The tensor that the layer gave. ValueError where it was called twice."""
        node = self._only_call("output")
        return node.outputs.pack(node.tensors())


def constants(given: Any, beside: Tensor | None = None) -> Any:
    """What a layer is called on; within a ``call`` that is traced, arrays and weights as tensors, for all rows.

    A layer's weights would else be used as they are, and learn nothing: of positions, say.
    """
    trace = TRACE.get()
    if trace is None or isinstance(given, Tensor):
        return given
    if isinstance(given, (list, tuple)) and not hasattr(given, "_fields"):
        first = next((each for each in given if isinstance(each, Tensor)), None)
        return type(given)(constants(each, first) for each in given)
    if isinstance(given, Operators):
        return given.tensor() if beside is None else OPERATORS["constant"](given, beside)
    number = getattr(getattr(given, "dtype", None), "kind", None) in ("f", "i", "u", "b")
    return OPERATORS["constant"](given, trace.anchor if beside is None else beside) if number else given
