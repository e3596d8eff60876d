"""Rows in: from arrays and from SQLite, as pages of float32; and predictions back out."""

from .arrays import ArraySource
from .predictions import write_predictions
from .source import ClassWeighted, Page, Source
from .sql import SQLDataset

__all__ = ["ArraySource", "ClassWeighted", "Page", "SQLDataset", "Source", "write_predictions"]
