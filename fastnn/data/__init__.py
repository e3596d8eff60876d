"""Rows in: from arrays, frames, files, batches and SQLite, as pages of float32; and predictions back out."""

from typing import TYPE_CHECKING

from fastnn._lazy import later

from .arrays import ArraySource
from .source import ClassWeighted, Page, RowSource, Source

if TYPE_CHECKING:
    from .batches import BatchSource
    from .paged import PagedSource
    from .predictions import write_predictions
    from .sparse import SparseSource
    from .sql import SQLDataset

__all__ = [
    "ArraySource",
    "BatchSource",
    "ClassWeighted",
    "Page",
    "PagedSource",
    "RowSource",
    "SQLDataset",
    "Source",
    "SparseSource",
    "write_predictions",
]

__getattr__ = later(
    __name__,
    {
        "BatchSource": "batches",
        "PagedSource": "paged",
        "SQLDataset": "sql",
        "SparseSource": "sparse",
        "digits": "digits",
        "write_predictions": "predictions",
    },
)
