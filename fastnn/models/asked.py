"""What a model is asked about: rows of its inputs, and units of its outputs."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import _names
from fastnn._checks import check_count, shown
from fastnn.data.batches import batch_of

if TYPE_CHECKING:
    from fastnn.typing import Array


class Chosen(NamedTuple):
    """Units of a model: columns start : start + width of its outputs side by side. names: () of one unit."""

    start: int
    width: int
    names: tuple[str, ...]


def rows_of(model: Any, x: Any, what: str) -> list[Array]:
    """The rows of each input of a built model: float32 (rows, *row); whole numbers where ids are looked up alone.

    Of a model that reads columns of text, the columns as they are. TypeError, ValueError as ``predict`` raises them,
    and for NaN or infinity; RuntimeError before the model is built.
    """
    tensors, description = model.inputs, model.description
    if description.front is not None:
        from fastnn.data.columns import columns_of

        found: list[Array] = columns_of(x, description.reads())
        rows = [each if each.dtype.kind != "f" else each.astype(np.float32) for each in found]
    else:
        source = batch_of(x, None, None, description.reads())
        description.check_source(source, f"x of {what}")
        flat = source.x if description.reads_ids and source.x.dtype.kind != "f" else source.x.astype(np.float32)
        ends = np.cumsum([prod(tensor.row) for tensor in tensors])[:-1]
        parts = zip(np.split(flat, ends, axis=1), tensors, strict=True)
        rows = [np.ascontiguousarray(part).reshape(len(flat), *tensor.row) for part, tensor in parts]
    for each, name in zip(rows, model.input_names, strict=True):
        if each.dtype.kind == "f" and not np.isfinite(each).all():
            place = np.argwhere(~np.isfinite(each))[0].tolist()
            which = f" of input {name!r}" if len(rows) > 1 else ""
            raise ValueError(
                f"{what}: x must be finite, got {each[tuple(place)]} in row {place[0]}{which} at {place[1:]}; fill "
                "what is missing, or leave the row out"
            )
    return rows


def output_of(model: Any, output: Any, what: str) -> Chosen:
    """The units that `output` asks for.

    None: all of a model of one output. An int: that unit of it. A text: all of the output of that name, or the unit of
    that class where the model knows them. (name, unit): one unit of an output. ValueError, TypeError for any other,
    which say what there is.
    """
    names, shapes = list(model.output_names), [tensor.row for tensor in model.outputs]
    widths, classes = list(map(prod, shapes)), tuple(map(str, model.description.notes.get("classes", ())))
    there = ", ".join(f"{name!r} of {width} unit(s)" for name, width in zip(names, widths, strict=True))
    unit = output
    if isinstance(output, tuple) and len(output) == 2:
        name, unit = output
    elif isinstance(output, str) and output in classes and len(classes) == widths[0]:
        name, unit = names[0], classes.index(output)
    elif isinstance(output, str):
        name, unit = output, None
    elif len(names) > 1:
        raise ValueError(
            f"{what}: output must be a name, or (name, unit), got {shown(output)}; model {model.name!r} has {there}"
        )
    else:
        name = names[0]
    if name not in names:
        raise ValueError(f"{what}: there is no output {shown(name)}{_names.hint(name, names)}; there is {there}")
    place = names.index(name)
    start, width = sum(widths[:place]), widths[place]
    if unit is None:
        labels = classes if len(classes) == width and len(names) == 1 else tuple(map(str, range(width)))
        return Chosen(start, width, labels if width > 1 else ())
    number = check_count(f"{what}: output", unit, 0)
    if number >= width:
        raise ValueError(f"{what}: there is no unit {number} of output {name!r}; there is {there}, counted from 0")
    return Chosen(start + number, 1, ())
