"""A model's summary: its layers as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn.layers import InputLayer

if TYPE_CHECKING:
    from fastnn.models.built import Built

Row = tuple[str, ...]


def described(model: Built) -> str:
    """The layers, what they give, how many parameters they have and, where it is no chain, what they read."""
    sequential = model.table_name == "sequential"
    head: Row = ("Layer (type)", "Output shape", "Parameters")
    rows = [_chain_row(model, member, name) for member, name in _pairs(model)] if sequential else _graph_rows(model)
    table = [head if sequential else (*head, "Reads"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["   ".join(_cells(row, widths)).rstrip() for row in table]
    lines.insert(1, "-" * max(len(lines[0]), sum(widths) + 3 * (len(widths) - 1)))
    return "\n".join([f"Model: {model.name!r}", "", *lines, "", *_totals(model)])


def _pairs(model: Built) -> list[tuple[Any, str]]:
    return [pair for pair in zip(model._members, model._names, strict=True) if not isinstance(pair[0], InputLayer)]


def _cells(row: Row, widths: list[int]) -> list[str]:
    numbers = 2  # the column that stands at the right
    return [
        f"{text:>{width}}" if column == numbers else f"{text:<{width}}"
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]


def _title(member: Any, name: str) -> str:
    return f"{name} ({type(member).__name__})"


def _size(member: Any) -> str:
    return f"{member.count_params():,}"


def _chain_row(model: Built, member: Any, name: str) -> Row:
    if not model.built:
        return _title(member, name), "?", "0 (not built)"
    shapes = [node.tensors()[0].shape for node in model._drawn().nodes if node.layer is member]
    return _title(member, name), str(shapes[0]), _size(member)


def _graph_rows(model: Built) -> list[Row]:
    """One row for each call; a layer's parameters stand with its first."""
    names = dict(zip(model._members, model._names, strict=True))
    seen: set[Any] = set()
    rows: list[Row] = []
    for node in model._drawn().nodes:
        shapes = ", ".join(str(tensor.shape) for tensor in node.tensors())
        size = "(shared)" if node.layer in seen else _size(node.layer)
        seen.add(node.layer)
        reads = ", ".join(names[tensor.node.layer] for tensor in node.inputs)
        rows.append((_title(node.layer, names[node.layer]), shapes, size, reads))
    return rows


def _totals(model: Built) -> list[str]:
    total = model.count_params() if model.built else 0
    lines = [f"Total parameters: {total:,} ({total * 4:,} bytes)"]
    fixed = sum(array.size for array in model.non_trainable_weights) if model.built else 0
    if fixed:
        lines.append(f"Trainable: {total - fixed:,}; not trainable: {fixed:,}")
    return lines
