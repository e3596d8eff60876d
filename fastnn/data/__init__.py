"""Rows in: from arrays, frames, files, batches and SQLite, as pages of float32; and predictions back out."""

from fastnn import _names
from fastnn.data import digits as digits
from fastnn.data.arrays import *
from fastnn.data.batches import *
from fastnn.data.paged import *
from fastnn.data.predictions import *
from fastnn.data.source import *
from fastnn.data.sparse import *
from fastnn.data.sql import *

__all__ = _names.offer(globals())
