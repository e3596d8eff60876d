"""How a model is trained: epochs over a source of rows, with validation, history and callbacks."""

from fastnn import _names
from fastnn.training.trainer import Trainer

__all__ = ["Trainer"]

_names.offer(globals())
_names.explain(Trainer, "fit", "evaluate")
