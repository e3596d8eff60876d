"""Callbacks: what may happen while a fit, an evaluation or a prediction runs."""

from fastnn import _names
from fastnn.callbacks.averages import *
from fastnn.callbacks.backup import *
from fastnn.callbacks.bar import *
from fastnn.callbacks.base import *
from fastnn.callbacks.checkpoint import *
from fastnn.callbacks.control import *
from fastnn.callbacks.gradients import *
from fastnn.callbacks.history import *
from fastnn.callbacks.loggers import *
from fastnn.callbacks.monitors import *
from fastnn.callbacks.remote import *
from fastnn.callbacks.tensorboard import *

__all__ = _names.offer(globals())
_names.explain(History, "plot")
