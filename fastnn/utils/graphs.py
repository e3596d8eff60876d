"""What a symbolic tensor is made from."""

from __future__ import annotations

from fastnn.layers import InputLayer
from fastnn.layers.tensor import Node, Tensor

__all__ = ["get_source_inputs"]


def get_source_inputs(tensor: Tensor) -> list[Tensor]:
    """The tensors of ``Input`` that a symbolic tensor is made from, each once, in the order in which they are met."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"expected a symbolic tensor, such as Input(...) gives, got {tensor!r:.80}")
    found: dict[Tensor, None] = {}
    seen: set[Node] = set()
    stack = [tensor]
    while stack:
        each = stack.pop()
        if isinstance(each.node.layer, InputLayer):
            found[each] = None
        elif each.node not in seen:
            seen.add(each.node)
            stack += reversed(each.node.inputs)
    return list(found)
