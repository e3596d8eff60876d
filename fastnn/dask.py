"""Dask: predictions block by block, and data frames as rows of a fit. Its arrays are taken by ``fit`` as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.data import SQLDataset
from fastnn.models.scoring import Scoring

__all__ = ["dataset", "predict"]


def predict(rows: Any, model: Any, **options: Any) -> Any:
    """What a model gives for rows of Dask, lazily as Dask's own functions do.

    rows: a dask.array (rows, ...), of which this gives a dask.array, as ``Model.predict`` does for each block of rows;
    or a dask.dataframe, of which it gives the same with columns more: options are then those of
    ``fastnn.spark.predict``: features, output, kind, null. TypeError, ValueError for what does not fit.
    """
    if hasattr(rows, "map_partitions"):
        found = Scoring("predict", model, [str(name) for name in rows.columns], **options)
        numpy = {"float": "float32", "long": "int64", "double": "float64"}
        meta = {**rows.dtypes.to_dict(), **{name: numpy.get(kind, "object") for name, kind in found.added}}
        return rows.map_partitions(_scored, found, meta=meta)
    if not hasattr(rows, "map_blocks"):
        raise TypeError(f"predict: rows must be an array or a data frame of Dask, got {shown(rows)}")
    if options:
        raise TypeError(f"predict: {', '.join(options)} goes with a data frame, rows are an array")
    row = model.output_shape[1:]
    whole = rows.rechunk(dict.fromkeys(range(1, rows.ndim), -1))
    chunks = (whole.chunks[0], *((size,) for size in row))
    none = np.empty((0, *row), np.float32)
    axes = {"drop_axis": list(range(1, rows.ndim)), "new_axis": list(range(1, 1 + len(row)))}
    return whole.map_blocks(model.predict, dtype=np.float32, chunks=chunks, meta=none, verbose=0, **axes)


def _scored(frame: Any, found: Scoring) -> Any:
    import pyarrow

    table = found(pyarrow.Table.from_pandas(frame, preserve_index=False))
    return frame.assign(**{name: table.column(name).to_pandas().to_numpy() for name, _ in found.added})


class _Frame:
    """A dask.dataframe as a stream of Arrow, a partition in memory at a time."""

    def __init__(self, frame: Any) -> None:
        self._frame, self.columns = frame, [str(name) for name in frame.columns]

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        import pyarrow

        parts = (self._frame.partitions[n].compute() for n in range(self._frame.npartitions))
        first = pyarrow.Table.from_pandas(next(parts), preserve_index=False)

        def batches() -> Iterator[Any]:
            yield from first.to_batches()
            for part in parts:
                yield from pyarrow.Table.from_pandas(part, first.schema, preserve_index=False).to_batches()

        return pyarrow.RecordBatchReader.from_batches(first.schema, batches()).__arrow_c_stream__()


def dataset(frame: Any, **options: Any) -> SQLDataset:
    """The rows of a dask.dataframe, for ``fit``, ``evaluate`` and ``predict``, computed a partition at a time.

    options: those of ``fastnn.data.SQLDataset``, such as target, features, null and prepare.
    """
    if not hasattr(frame, "npartitions") or not hasattr(frame, "columns"):
        raise TypeError(f"dataset: frame must be a data frame of Dask, got {shown(frame)}")
    return SQLDataset(None, _Frame(frame), **options)


_names.offer(globals())
