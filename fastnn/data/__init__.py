"""Rows in: from arrays, frames, files, batches and SQLite, as pages of float32; and predictions back out."""

from typing import TYPE_CHECKING, Any

from .arrays import ArraySource
from .predictions import write_predictions
from .source import ClassWeighted, Page, RowSource, Source
from .sql import SQLDataset

if TYPE_CHECKING:
    from .batches import BatchSource
    from .paged import PagedSource
    from .sparse import SparseSource

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

_LATER = {"BatchSource": "batches", "PagedSource": "paged", "SparseSource": "sparse"}


def __getattr__(name: str) -> Any:
    """Import a source that few need when it is first asked for: ``import fastnn`` must stay short."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LATER[name]}", __name__), name)
