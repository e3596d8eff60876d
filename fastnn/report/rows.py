"""The rows that a report is about, as the engine reads them, and the targets of each output."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn.data import ArraySource
from fastnn.data.given import source_of
from fastnn.data.several import Several
from fastnn.typing import Array

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST, NUMBERS = 10_000, 2**25  # rows that are read of the data, and what the model gives for them


class Output(NamedTuple):
    """What the model gives at one output, and what was to come: float64 (lines, units) and (lines, targets)."""

    name: str
    given: NDArray[np.float64]
    truth: NDArray[np.float64] | None
    activation: str  # its last one
    loss: Any  # what it is trained with, None where it is not
    classes: tuple[str, ...]  # what its class numbers stand for, where the model knows


def rows_of(model: Any, x: Any, y: Any) -> ArraySource:
    """The first rows of what `evaluate` takes, in memory. ValueError where they do not fit, or a number is none."""
    built, trainer = model.description, model.description.trainer
    shapes, unused = built.output_shapes(), ()
    if trainer is not None:
        shapes, unused = trainer.wanted(built.gives.names)
    source = source_of(x, y, None, built.reads(), Several(built.gives.names, shapes, unused=unused))
    built.check_source(source, "x")
    most = min(MOST, max(1, NUMBERS // built.network.units))
    pages: list[Any] = []
    for page in source.pages(1024):
        pages.append(page)
        if sum(len(each.x) for each in pages) >= most:
            break
    if not pages:
        raise ValueError("the data gave no rows")
    parts: Any = ([None if page[k] is None else page[k][:most] for page in pages] for k in range(3))
    rows, targets, weights = (None if part[0] is None else np.concatenate(part)[:most] for part in parts)
    _check_finite(rows, "x", source.columns)
    found = ArraySource(rows, targets)  # type: ignore[arg-type]
    found.x, found.weight, found.weight_shape = rows, weights, source.weight_shape  # type: ignore[assignment]
    found.input_shape, found.columns, found.names = source.input_shape, source.columns, source.names
    if targets is not None:
        found.target_shape = source.target_shape
        _check_finite(targets, "y")
    return found


def outputs_of(model: Any, source: ArraySource) -> list[Output]:
    """What the model gives for the rows, output by output."""
    built, trainer = model.description, model.description.trainer
    given = np.asarray(built.network.predict(source.x), np.float64)
    rows = built.output_shapes()
    columns = [(*row[:-1], 1)[: len(row)] for row in rows]  # of class numbers
    if source.y is not None and source.y.shape[1] != sum(map(prod, columns)):
        columns = rows if trainer is None else trainer.wanted(built.gives.names)[0]
    found, at, place = [], 0, 0
    for k, (name, row, target) in enumerate(zip(built.gives.names, rows, columns, strict=True)):
        units, width, lines = prod(row), prod(target), len(given) * prod(row[:-1])
        truth = None
        if source.y is not None and place + width <= source.y.shape[1]:
            truth = source.y[:, place : place + width].reshape(lines, -1).astype(np.float64)
        loss = trainer.given[k].loss if trainer is not None and trainer.given[k].trained else None
        names = tuple(map(str, built.notes.get("classes", ())))
        label = name if len(rows) > 1 else ""
        output = given[:, at : at + units].reshape(lines, -1)
        found.append(Output(label, output, truth, built.last_activation(k), loss, names))
        at, place = at + units, place + width
    return found


def spread(rows: int, most: int) -> NDArray[np.intp]:
    """The numbers of at most so many rows, evenly over all."""
    return np.linspace(0, rows - 1, min(rows, most)).astype(np.intp)


def _check_finite(values: Array | None, what: str, columns: tuple[str, ...] = ()) -> None:
    if values is None or values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values.reshape(len(values), -1))
    if bad.any():
        row, column = np.unravel_index(int(bad.argmax()), bad.shape)
        name = repr(columns[column]) if len(columns) == bad.shape[1] else column
        raise ValueError(
            f"report: {what} has {values.reshape(bad.shape)[row, column]} in row {row}, column {name}; fill it, or "
            "leave the row out"
        )
