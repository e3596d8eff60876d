"""Rows in: from arrays, frames, files, batches and databases, as pages of float32; and predictions back out."""

from typing import TYPE_CHECKING

from fastnn import _names
from fastnn.data.arrays import *
from fastnn.data.batches import *
from fastnn.data.dataset import *
from fastnn.data.paged import *
from fastnn.data.source import *
from fastnn.data.sparse import *

if TYPE_CHECKING:
    from fastnn.data import digits as digits
    from fastnn.data.media import *
    from fastnn.data.mongo import *
    from fastnn.data.parquet import *
    from fastnn.data.predictions import *
    from fastnn.data.redis import *
    from fastnn.data.sql import *

_LATER = {
    "Audio": "media",
    "Image": "media",
    "Json": "media",
    "Text": "media",
    "Xml": "media",
    "digits": "digits",
    "MongoDataset": "mongo",
    "ParquetDataset": "parquet",
    "RedisDataset": "redis",
    "RedisStream": "redis",
    "SQLDataset": "sql",
    "clear_cache": "stored",
    "write_predictions": "predictions",
    "write_redis": "redis",
}

# Databases and files: `import fastnn` must stay short.
__getattr__ = _names.later(__name__, _LATER, _LATER)
__all__ = sorted([*_names.offer(globals()), *_LATER])
