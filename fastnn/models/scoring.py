"""What a model gives for batches of Arrow, as columns more: for Spark, Ray and Dask, which hand such batches out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import check_text
from fastnn.data.answers import answers, check_choice
from fastnn.data.arguments import check_known, checked_null, names_of
from fastnn.databases.arrow_reader import blocks_of
from fastnn.databases.arrow_values import Batches
from fastnn.databases.reader import Wanted, listed
from fastnn.models import check_model, load_model
from fastnn.models.by_rows import by_rows

# The types of the columns, as Spark calls them.
FLOAT, FLOATS, WHOLE, TEXT, DOUBLE = "float", "array<float>", "long", "string", "double"


class Scoring:
    """A table or a batch of Arrow with more columns: what a model gives for its rows.

    call: of whom errors speak. model: a fastnn model, or the path or URL of its file. columns: those that there are.
    features, output, kind, null: as in ``fastnn.spark.predict``. Attributes: `names`, the columns that are read;
    `added`, names and types of those that come. It may be pickled.
    """

    def __init__(
        self,
        call: str,
        model: Any,
        columns: Sequence[str],
        features: Any = None,
        output: str = "prediction",
        kind: Any = None,
        null: float | None = None,
    ) -> None:
        self.model = load_model(model) if isinstance(model, (str, os.PathLike)) else model
        check_model(call, self.model)
        if not self.model.built:
            raise RuntimeError(f"{call}: model {self.model.name!r} is not built yet; build or fit it first")
        self._call, self._kind, self._null = call, kind, checked_null(null)
        rows, output = by_rows(self.model, call, kind), check_text(f"{call}: output", output)
        check_choice("kind", rows.kind, ("binary", "classes", "values"))
        one = [features] if isinstance(features, str) else features
        self.names = names_of(f"{call}: features", self._default(rows, columns) if one is None else one)
        check_known("features", self.names, columns)
        units = prod(self.model.inputs[0].row)
        if rows.inputs is None and len(self.names) not in (1, units):
            raise ValueError(
                f"{call}: the model reads {units} numbers a row, got {len(self.names)} columns, "
                f"{listed(self.names)}; name as many as features=, or one that holds them all"
            )
        classes = self.model.description.notes.get("classes", ())
        if rows.kind == "values":
            shapes, names = self.model.description.output_shapes(), self.model.description.gives.names
            called = [f"{output}_{name}" for name in names] if len(names) > 1 else [output]
            self.added = [(n, FLOAT if prod(s) == 1 else FLOATS) for n, s in zip(called, shapes, strict=True)]
            self._units = list(map(prod, shapes))
        else:
            known = {str: TEXT, float: DOUBLE}
            self.added = [(output, known.get(type(classes[0]), WHOLE) if classes else WHOLE), ("probability", DOUBLE)]
        for name, _ in self.added:
            if name in columns:
                raise ValueError(f"{call}: there is a column {name!r} already; pass another output=, or drop it")

    def _default(self, rows: Any, columns: Sequence[str]) -> Sequence[str]:
        return self.model.feature_names or (columns if rows.inputs is None else rows.inputs.names)

    def __call__(self, table: Any) -> Any:
        import pyarrow

        rows = by_rows(self.model, self._call, self._kind)
        types = {
            FLOAT: pyarrow.float32(),
            FLOATS: pyarrow.list_(pyarrow.float32()),
            WHOLE: pyarrow.int64(),
            TEXT: pyarrow.string(),
            DOUBLE: pyarrow.float64(),
        }
        found: list[Any] = [[] for _ in self.added]
        if len(table):
            if rows.inputs is None:
                x = self._matrix(table, pyarrow)
                given: Any = rows.predict(x)
            else:
                x = np.empty((len(table), 0), np.float32)
                given = self.model.predict({name: numbers_of(table, name, self._call) for name in self.names})
            parts = given.values() if isinstance(given, dict) else given if isinstance(given, list) else [given]
            output = np.concatenate([np.asarray(part).reshape(len(table), -1) for part in parts], axis=1)
            if rows.kind == "values":
                found = self._values(output, pyarrow)
            else:
                found = answers(output, x, rows.kind, 1, None, self.model.description.notes.get("classes", ()))
        for (name, kind), values in zip(self.added, found, strict=True):
            made = values if isinstance(values, pyarrow.Array) else pyarrow.array(values, types[kind])
            table = table.append_column(name, made)
        return table

    def _values(self, output: Any, pyarrow: Any) -> list[Any]:
        if not np.isfinite(output).all():
            row, unit = np.argwhere(~np.isfinite(output))[0].tolist()
            raise ValueError(
                f"{self._call}: the model gave {output[row, unit]:g} for row {row} of a batch; look at its features"
            )
        found, start = [], 0
        for units in self._units:
            flat = pyarrow.array(np.ascontiguousarray(output[:, start : start + units]).reshape(-1))
            ends = np.arange(0, len(flat) + 1, units, dtype=np.int32)
            found.append(flat if units == 1 else pyarrow.ListArray.from_arrays(ends, flat))
            start += units
        return found

    def _matrix(self, table: Any, pyarrow: Any) -> Any:
        """The features as float32, (rows, numbers)."""
        few = table.select(self.names)
        if len(self.names) == 1 and pyarrow.types.is_nested(few.schema.field(0).type):
            return numbers_of(few, self.names[0], self._call)
        batches = few.to_batches() if hasattr(few, "to_batches") else [few]
        capsule = pyarrow.RecordBatchReader.from_batches(few.schema, batches).__arrow_c_stream__()
        names = tuple(self.names)
        blocks = list(blocks_of([Batches(capsule)], names, Wanted(names, null=self._null), self._call))
        return blocks[0].numbers if len(blocks) == 1 else np.concatenate([block.numbers for block in blocks])


def numbers_of(table: Any, name: str, call: str) -> Any:
    """A column of Arrow as an array; of lists as float32, (rows, numbers). ValueError, which begins with `call`, where
    rows have not as many."""
    from pyarrow import types

    column = table.column(name)
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    if not types.is_nested(column.type):
        return column.to_numpy(zero_copy_only=False)
    values: Any = column.flatten() if hasattr(column, "flatten") else None
    even = not column.null_count and getattr(values, "null_count", 1) == 0
    if even and hasattr(column, "offsets"):
        even = len(set(np.diff(column.offsets.to_numpy()).tolist())) <= 1
    if not even:
        raise ValueError(f"{call}: column {name!r} must hold as many numbers in each row, and no null")
    numbers = values.to_numpy(zero_copy_only=False).reshape(len(column), -1) if len(column) else np.empty((0, 0))
    return np.ascontiguousarray(numbers, np.float32)
