"""Masks: which steps of a row count. What layers and models make of them, pass on, and end.

A mask is a row of zeros and ones, one for each step of a tensor, or for each of its axes but the last. It goes with the
tensor from the layer that makes it (Embedding, Masking) through all that pass it on; which ops read one is found when a
model's ops are planned, so a model within another has the masks that come with what it is called on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fastnn._checks import shown
from fastnn._output import warn
from fastnn.typing import Shape

Rows = Sequence[Shape | None]  # the shape of a row of each mask, None where there is none


class Masked:
    """What a layer or a model has to do with masks."""

    passes_mask: ClassVar[bool] = False  # its first output has the mask of what it reads first
    reads_mask: ClassVar[bool] = False  # its ops take masks: see `masked_ops`
    mentions_mask: ClassVar[bool] = True  # that one ends here, where it does
    masked_outputs: ClassVar[int] = 1  # that have the mask

    @property
    def supports_masking(self) -> bool:
        """Whether what the layer gives has a mask where what it reads has one. May be set to True or False."""
        found = vars(self).get("_supports_masking")
        return (self.passes_mask or _computes(self)) if found is None else bool(found)

    @supports_masking.setter
    def supports_masking(self, value: bool) -> None:
        vars(self)["_supports_masking"] = bool(value)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of what the layer gives for `inputs`, whose mask is `previous_mask`: here the same.

        A subclass may give another one, or None; of several outputs a list of them.
        """
        return previous_mask

    def mask_ops(self, rows: Sequence[Shape], masks: Rows) -> tuple[Any, ...] | int | None:
        """The ops that make the mask of what it gives, as ``Layer.ops`` has them; None where it gives none.

        Sources: -1 - k is the mask of source k, and -1 - n - k source k of n. () passes the first mask on. A number is
        that of the op, among the layer's own, counted from the end, that gives the mask too.
        """
        return () if self.supports_masking and masks and masks[0] is not None else None

    def masked_ops(self, rows: Sequence[Shape], masks: Rows) -> tuple[Any, ...]:
        """The ops of a layer that reads masks, where there is one: -1 - n - k is the mask of source k of n."""
        return self.ops(*rows)  # type: ignore[attr-defined,no-any-return]

    def makes_mask(self) -> bool:
        """Whether what it gives has a mask, whatever it reads."""
        return False


class OfSteps(Masked):
    """A layer that reads steps and gives, with `return_sequences`, as many, or what the last one gave."""

    reads_rows = True
    return_sequences: Any

    def mask_ops(self, rows: Sequence[Shape], masks: Rows) -> tuple[Any, ...] | int | None:
        """That of the steps, where they are given."""
        return super().mask_ops(rows, masks) if self.return_sequences else None

    def reset_states(self) -> None:
        """``reset_state``, by its old name."""
        self.reset_state()  # type: ignore[attr-defined]


def _computes(member: Any) -> bool:
    """Whether a user's class has a compute_mask of its own."""
    return not type(member).compute_mask.__module__.startswith("fastnn.")


def rules_of(node: Any) -> Any:
    """What says the ops and masks of a call: the layer, or what is called in its place and has its weights."""
    owner = getattr(node.makes, "__self__", None)
    return owner if isinstance(owner, Masked) else node.layer


def masks_of(node: Any, read: Rows) -> tuple[Shape | None, ...]:
    """The masks of what a call gives, where what it reads has these."""
    rules = rules_of(node)
    count = len(node.rows)
    if node.graph is not None:
        if node.graph.masks:
            return tuple(None if tensor is None else tensor.row for tensor in node.graph.masks)
        if not rules.supports_masking:
            return graph_masks(node.graph, read)
    elif not rules.makes_mask() and all(mask is None for mask in read):
        return (None,) * count
    ops = rules.mask_ops([tensor.row for tensor in node.values], read)
    row = None if ops is None else read[0] if ops == () else node.rows[0][:-1]
    masks: tuple[Shape | None, ...] = ((row,) * rules.masked_outputs + (None,) * count)[:count]
    return masks


def mention_mask(layer: Any, node: Any) -> None:
    """Warn where a mask ends at a call of a layer that knows nothing of masks."""
    silent = node.graph is not None or not layer.mentions_mask or layer.reads_mask or layer.supports_masking
    if not silent and any(mask is not None for mask in masks_read(node)):
        kind = type(layer).__name__
        warn(
            f"Layer {getattr(layer, 'name', None) or kind!r} (of type {kind}) was passed an input with a mask "
            "attached to it. However, this layer does not support masking and will therefore destroy the mask "
            "information. Downstream layers will not see the mask."
        )


def masks_read(node: Any) -> list[Shape | None]:
    """The masks of what a call reads: those that it is given, else those of the tensors."""
    return [
        node.inputs[node.given_masks[k]].row if k in node.given_masks else tensor.mask_row
        for k, tensor in enumerate(node.values)
    ]


def graph_masks(graph: Any, read: Rows) -> tuple[Shape | None, ...]:
    """The masks of what a graph gives, where its inputs have these."""
    known = dict(zip(graph.inputs, read, strict=True))
    if list(read) != [tensor.mask_row for tensor in graph.inputs]:
        for node in graph.nodes:
            if node.tensors()[0] not in known:
                own = masks_read(node)
                for k, tensor in enumerate(node.values):
                    if k not in node.given_masks:
                        own[k] = known.get(tensor)
                known.update(zip(node.tensors(), masks_of(node, own), strict=True))
    return tuple(known.get(tensor, tensor.mask_row) for tensor in graph.outputs)


def given_masks(name: str, tensors: Sequence[Any], mask: Any, symbol: Any) -> dict[int, Any]:
    """The masks that a call is given in place of the tensors' own, by the tensors' places. symbol: a tensor's class.

    TypeError, ValueError for what is no mask of theirs.
    """
    if mask is None:
        return {}
    found = {}
    masks = mask if isinstance(mask, (list, tuple)) and not hasattr(mask, "row") else [mask]
    if len(masks) > len(tensors):
        raise ValueError(f"layer {name!r}: {len(masks)} masks for {len(tensors)} tensor(s)")
    for k, (each, tensor) in enumerate(zip(masks, tensors, strict=False)):
        if each is None:
            continue
        if not isinstance(each, symbol):
            raise TypeError(
                f"layer {name!r}: mask must be a symbolic tensor, such as Input((steps,)) or what compute_mask gives, "
                f"got {shown(each)}"
            )
        if each.row != tensor.row[: len(each.row)] or (each.row and len(each.row) == len(tensor.row)):
            raise ValueError(
                f"layer {name!r}: a mask of shape {each.shape} does not go with what has shape {tensor.shape}; it has "
                f"a number for each step: {tensor.shape[:-1]}"
            )
        found[k] = each
    return found


def noted(inputs: Any, masks: Mapping[int, Any], call: Any = None) -> dict[str, Any]:
    """What a node notes of the masks that a call is given, which follow what it reads.

    call: what else it is given, (arguments, names and arguments), where that is more than `inputs`.
    """
    if not masks:
        return {}
    count = len(inputs) if isinstance(inputs, (list, tuple)) else 1
    given = [masks.get(k) for k in range(1 + max(masks))]
    args, named = call or ((inputs,), {})
    return {
        "given": (args, {**named, "mask": given[0] if len(given) == 1 else given}),
        "masks": {k: count + place for place, k in enumerate(masks)},
    }
