"""A unit of a model as it predicts, with its slope by the numbers of each input, for explanations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import kernels
from fastnn.engine.description import AddedLoss, Objective
from fastnn.layers.places import start_of
from fastnn.models.graph import planned_unit
from fastnn.models.networks import network_of, read_inputs

if TYPE_CHECKING:
    from fastnn.typing import Array, DoubleArray, FloatArray

BYTES = 1 << 22  # of activations and gradients that rows going through together take, about
BLOCKS = 4  # of rows that go together at least


class Slopes:
    """One unit of a built model, of rows that lie flat: (rows, width) float32, all inputs side by side.

    Where an Embedding reads an input, what it gives stands behind them and takes the input's place; the ids stay,
    for masks. column: the unit's, of all outputs side by side. free: (width,) whether a number has a slope.
    ValueError for a model with a front, or with states that go on from batch to batch.
    """

    def __init__(self, description: Any, column: int, what: str) -> None:
        if description.front is not None:
            raise ValueError(
                f"{what}: texts and categories have no slopes; explain the model by its predictions, or make a Model "
                "of the part behind the layers that read them"
            )
        if description.network.fixed_rows:
            raise ValueError(f"{what}: a stateful layer goes on from batch to batch; make the model without stateful")
        self.what, self.locked = what, description.locked
        with description.locked():
            store, (plan, self.tables) = description.store, planned_unit(description.graph, column)
            self.parameters, self.shapes = store.flat, [tensor.row for tensor in description.graph.inputs]
            self.tables = [each._replace(start=each.start + start_of(each.layer)) for each in self.tables]
            instead = {table.input for table in self.tables}
            taps = [number for number in read_inputs(plan) if number not in instead]
            for op in plan.ops:
                op.training = op.training or -1
            plan.added.append(AddedLoss(plan.outputs[0], 1.0, mean=False))
            self.network = network_of(description, plan, taps=taps)
            self.network.set_objectives([Objective(kernels.mean_absolute_error, 1, importance=0.0)])
            self.network.set_variables([], [False] * len(taps) + [True] * len(plan.ops))
        ends = np.cumsum([0, *plan.inputs]).tolist()
        self.width = ends[-1]
        self.parts = [slice(ends[number], ends[number + 1]) for number in range(len(plan.inputs))]
        self.taps = [self.parts[number] for number in taps]
        self.free = np.zeros(self.width, bool)
        for part in self.taps:
            self.free[part] = True
        floats = 2 * sum(op.units * op.slices for op in self.network.ops) + self.width
        self.rows = max(BYTES // (4 * floats), BLOCKS * self.network.block_rows)

    def flat(self, rows: Sequence[Array]) -> FloatArray:
        """The rows of the model's inputs as they lie flat, embedded where ids are looked up."""
        given = [each.reshape(len(each), -1) for each in rows]
        for table in self.tables:
            ids = given[table.input].astype(np.intp)
            if (ids != given[table.input]).any() or ids.min() < 0 or ids.max() >= table.choices:
                raise ValueError(
                    f"{self.what}: ids must be whole numbers from 0 to {table.choices - 1}, got {ids.min()} to "
                    f"{ids.max()}; check the data, or make the Embedding larger"
                )
            with self.locked():
                weights = self.parameters[table.start : table.start + table.choices * table.depth]
                given.append(weights.reshape(table.choices, table.depth)[ids].reshape(len(ids), -1))
        return np.concatenate(given, axis=1).astype(np.float32, copy=False)

    def folded(self, flat: DoubleArray) -> list[DoubleArray]:
        """What belongs to the numbers of each input, from flat rows: for an id the sum over what is looked up."""
        found = [flat[:, part].copy() for part in self.parts[: len(self.shapes)]]
        for table, part in zip(self.tables, self.parts[len(self.shapes) :], strict=True):
            found[table.input] += flat[:, part].reshape(len(flat), -1, table.depth).sum(axis=2)
        return [each.reshape(len(flat), *shape) for each, shape in zip(found, self.shapes, strict=True)]

    def values(self, x: FloatArray) -> DoubleArray:
        """(rows,): the unit."""
        return np.asarray(self.network.predict(x)[:, 0], np.float64)

    def __call__(self, x: FloatArray) -> FloatArray:
        """(rows, width): its slopes, 0 by what has none. FloatingPointError where one is not finite."""
        found = np.zeros(x.shape, np.float32)
        for start in range(0, len(x), self.rows):
            part = x[start : start + self.rows]
            try:
                self.network.gradient(part, np.zeros((len(part), 1), np.float32))
            except FloatingPointError:
                raise FloatingPointError(f"{self.what}: the output is not finite for a row of x") from None
            for place, columns in enumerate(self.taps):
                found[start : start + self.rows, columns] = self.network.slopes(place, len(part))
        if not np.isfinite(found).all():
            raise FloatingPointError(f"{self.what}: a slope of the output is not finite for a row of x")
        return found


def input_slopes(description: Any, rows: Sequence[Array], column: int, what: str) -> list[FloatArray]:
    """The gradient of a unit by the numbers of each input, each of the shape of its rows; 0 by ids."""
    slopes = Slopes(description, column, what)
    flat = slopes(slopes.flat(rows))
    shapes = zip(slopes.parts, slopes.shapes, strict=False)
    return [np.ascontiguousarray(flat[:, part]).reshape(len(flat), *shape) for part, shape in shapes]
