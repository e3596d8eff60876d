"""A model's summary: its layers as a table."""

from __future__ import annotations

from typing import Any

from fastnn._output import padded, printable, width_of
from fastnn.layers import InputLayer
from fastnn.layers.tensor import Node
from fastnn.models.description import Description

Row = tuple[str, ...]


def described(name: str, model: Description) -> str:
    """The layers, what they give, how many parameters they have and, where it is no chain, what they read."""
    sequential = model.kind == "sequential"
    head: Row = ("Layer (type)", "Output shape", "Parameters")
    rows = [_chain_row(model, member, name) for member, name in _pairs(model)] if sequential else _graph_rows(model)
    table = [head if sequential else (*head, "Reads"), *rows]
    table = [tuple(map(printable, row)) for row in table]
    widths = [max(width_of(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["   ".join(_cells(row, widths)).rstrip() for row in table]
    lines.insert(1, "-" * max(width_of(lines[0]), sum(widths) + 3 * (len(widths) - 1)))
    return "\n".join([f"Model: {name!r}", "", *lines, "", *_totals(model)])


def _pairs(model: Description) -> list[tuple[Any, str]]:
    return [pair for pair in zip(model.members, model.names, strict=True) if not isinstance(pair[0], InputLayer)]


def _nodes(model: Description) -> tuple[Node, ...]:
    return () if model.graph is None else model.graph.nodes


def _cells(row: Row, widths: list[int]) -> list[str]:
    numbers = 2  # the column that stands at the right
    return [
        padded(text, width, left=column != numbers)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]


def _title(member: Any, name: str) -> str:
    note = member.note() if hasattr(member, "note") else ""  # what a layer of the front holds
    return f"{name} ({type(member).__name__}{', ' if note else ''}{note})"


def _size(member: Any) -> str:
    return f"{member.count_params():,}"


def _chain_row(model: Description, member: Any, name: str) -> Row:
    if model.network is None:
        return _title(member, name), "?", "0 (not built)"
    shapes = [node.tensors()[0].shape for node in _nodes(model) if node.layer is member]
    return _title(member, name), str(shapes[0]), _size(member)


def _graph_rows(model: Description) -> list[Row]:
    """One row for each call; a layer's parameters stand with its first."""
    names = dict(zip(model.members, model.names, strict=True))
    seen: set[Any] = set()
    rows: list[Row] = []
    for node in _nodes(model):
        shapes = ", ".join(str(tensor.shape) for tensor in node.tensors())
        size = "(shared)" if node.layer in seen else _size(node.layer)
        seen.add(node.layer)
        reads = ", ".join(names[tensor.node.layer] for tensor in node.inputs)
        rows.append((_title(node.layer, names[node.layer]), shapes, size, reads))
    return rows


def _totals(model: Description) -> list[str]:
    total = sum(view.size for view in model.views()) if model.network is not None else 0
    lines = [f"Total parameters: {total:,} ({total * 4:,} bytes)"]
    fixed = sum(array.size for layer in model.layers() for array in layer.non_trainable_weights) if total else 0
    if fixed:
        lines.append(f"Trainable: {total - fixed:,}; not trainable: {fixed:,}")
    return lines
