"""A model's summary: its layers as a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any

from fastnn._checks import as_list, check_count, shown
from fastnn._output import aligned, padded, printable, width_of
from fastnn.layers import InputLayer, Layer
from fastnn.layers.quantized import quantized_in
from fastnn.layers.tensor import Node
from fastnn.models.description import Description

Row = tuple[str, ...]


def described(
    name: str, model: Description, nested: bool = False, trainable: bool = False, layers: Sequence[str] | None = None
) -> str:
    """The layers, what they give, how many parameters they have and, where it is no chain, what they read.

    nested: with the layers inside of layers and models. trainable: whether each learns. layers: the first and the last.
    """
    sequential = model.kind == "sequential"
    head: Row = ("Layer (type)", "Output shape", "Parameters")
    head = head if sequential else (*head, "Reads")
    rows = _rows(model, nested, trainable)
    if layers is not None:
        rows = _between(rows, layers)
    table = [(*head, "Learns") if trainable else head, *(row for _, row in rows)]
    table = [tuple(map(printable, row)) for row in table]
    widths = [max(width_of(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["   ".join(_cells(row, widths)).rstrip() for row in table]
    lines.insert(1, "-" * max(width_of(lines[0]), sum(widths) + 3 * (len(widths) - 1)))
    precision = [f"Matmul precision: {model.matmul_precision}"] if model.matmul_precision else []
    return "\n".join([f"Model: {name!r}", "", *lines, "", *_totals(model), *precision])


def choices(table: Sequence[Sequence[str]]) -> str:
    """What was chosen for the columns of a query, as lines of text. table: of each, as the head names it."""
    head = ("column", "holds", "becomes", "NULL", "unknown value")
    rows = [[printable(cell if len(cell) <= 60 else f"{cell[:57]}...") for cell in row] for row in (head, *table)]
    return aligned(rows)


def check_table(line_length: Any, positions: Any, layer_range: Any) -> None:
    """Raise where an argument of Keras's summary is not what it can be."""
    if line_length is not None:
        check_count("summary: line_length", line_length)
    if positions is not None:
        as_list("summary: positions", positions, "numbers")
    if layer_range is not None:
        ends = as_list("summary: layer_range", layer_range, "two names")
        if len(ends) != 2 or not all(isinstance(end, str) for end in ends):
            raise ValueError(f"summary: layer_range must be the names of two layers, got {shown(layer_range)}")


def _rows(model: Description, nested: bool, trainable: bool, reads: bool = True) -> list[tuple[str, Row]]:
    """A row for each layer of a chain, or each call of a graph, with the layer's name."""
    found: list[tuple[str, Row]] = []
    named = dict(zip(model.members, model.names, strict=True))
    sequential = model.kind == "sequential"
    rows = [(member, _chain_row(model, member, name)) for member, name in _pairs(model)]
    shown_before: set[Any] = set()
    for member, row in rows if sequential else _graph_rows(model):
        if not reads:
            row = row[:3]
        learns = ("yes" if member.trainable else "no",) if trainable else ()
        found.append((named[member], (*row, *learns)))
        if nested and member not in shown_before:
            found += _inside(member, len(row), trainable)
        shown_before.add(member)
    return found


def _inside(member: Any, columns: int, trainable: bool) -> list[tuple[str, Row]]:
    """The rows of what a member is made of, further to the right."""
    if isinstance(member, Layer):
        rows = [
            (name, (_title(part, name), "", _size(part), *[""] * (columns - 3), *_learns(part, trainable)))
            for name, part in member.parts()
        ]
    else:
        inner = _rows(member.description, True, False, reads=False)
        parts = dict(zip(member.description.names, member.description.members, strict=True))
        rows = [(name, (*row, *[""] * (columns - 3), *_learns(parts.get(name), trainable))) for name, row in inner]
    return [(name, (f"  {row[0]}", *row[1:])) for name, row in rows]


def _learns(member: Any, trainable: bool) -> Row:
    return (("yes" if getattr(member, "trainable", True) else "no"),) if trainable else ()


def _between(rows: list[tuple[str, Row]], layers: Sequence[str]) -> list[tuple[str, Row]]:
    """The rows from the first to the last layer, which are named by patterns. ValueError where there is none."""
    names = [name for name, _ in rows]
    first, last = layers
    try:
        start = next(place for place, name in enumerate(names) if re.search(first, name))
        end = next(place for place in range(len(names) - 1, -1, -1) if re.search(last, names[place]))
    except (StopIteration, re.error):
        raise ValueError(
            f"summary: layer_range must name two layers of {', '.join(map(repr, names))}, got {shown(layers)}"
        ) from None
    return rows[min(start, end) : max(start, end) + 1]


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


def _graph_rows(model: Description) -> list[tuple[Any, Row]]:
    """One row for each call; a layer's parameters stand with its first."""
    names = dict(zip(model.members, model.names, strict=True))
    seen: set[Any] = set()
    rows: list[tuple[Any, Row]] = []
    for node in _nodes(model):
        shapes = ", ".join(str(tensor.shape) for tensor in node.tensors())
        size = "(shared)" if node.layer in seen else _size(node.layer)
        seen.add(node.layer)
        reads = ", ".join(names[tensor.node.layer] for tensor in node.inputs)
        rows.append((node.layer, (_title(node.layer, names[node.layer]), shapes, size, reads)))
    return rows


def _totals(model: Description) -> list[str]:
    """How many numbers there are, in Keras's words, by which scripts find them; the optimizer's once it has stepped."""
    total = sum(view.size for view in model.views()) if model.network is not None else 0
    fixed = sum(array.size for layer in model.layers() for array in layer.non_trainable_weights) if total else 0
    few = quantized_in(model).values()
    whole, own = sum(each.size for each in few), sum(each.size * each.itemsize for each in few)
    counts = {"Total": total + whole, "Trainable": total - fixed, "Non-trainable": fixed + whole}
    trainer = model.trainer
    if trainer is not None and total and trainer.is_ready(model.network) and model.network.iterations:
        counts["Optimizer"] = sum(prod(variable.shape) for variable in trainer.given_optimizer.variables)
        counts["Total"] += counts["Optimizer"]
    saved = {"Total": 4 * whole - own, "Non-trainable": 4 * whole - own}
    return [f"{what} params: {count:,} ({count * 4 - saved.get(what, 0):,} bytes)" for what, count in counts.items()]
