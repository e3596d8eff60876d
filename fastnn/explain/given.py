"""What explanations are given: rows, the names of their features, and which output is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.data.convert import has_columns
from fastnn.models import asked, check_model

if TYPE_CHECKING:
    from fastnn.typing import Array, DoubleArray

output_of = asked.output_of


def rows_of(model: Any, x: Any, what: str) -> list[Array]:
    """The rows of each input of a built model, as ``asked.rows_of`` gives them. TypeError for what is no model."""
    check_model(what, model)
    return asked.rows_of(model, x, what)


def names_of(model: Any, x: Any, rows: Sequence[Array]) -> tuple[str, ...]:
    """Names of the features: a frame's columns, those that the model was fitted on, else x1, x2, ...

    Of the last axis of a row of one or two axes, () of a picture; of several inputs the inputs' names.
    """
    if len(rows) > 1:
        return tuple(model.input_names)
    if rows[0].ndim > 3:
        return ()
    known: tuple[str, ...] = ()
    if has_columns(x):
        from fastnn.data.frames import names_of as columns

        known = columns(x)
    count = rows[0].shape[-1]
    for names in (known, tuple(model.feature_names)):
        if len(names) == count:
            return names
    return tuple(f"x{number}" for number in range(1, count + 1))


def output_function(model: Any, output: Any, what: str = "output") -> Callable[[Sequence[Array]], DoubleArray]:
    """What gives the units that are asked for, for the rows of each input: (rows,) float64, or (rows, units)."""
    chosen, pack = output_of(model, output, what), model.description.takes.pack
    stop = chosen.start + chosen.width

    def found(rows: Sequence[Array]) -> DoubleArray:
        given = model.description.gives.unpack(model.predict(pack(rows)), what)
        flat = np.concatenate([each.reshape(len(each), -1) for each in given], axis=1)[:, chosen.start : stop]
        return np.asarray(flat if chosen.names else flat[:, 0], np.float64)

    return found
