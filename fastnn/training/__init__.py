"""How a model is trained: epochs over a source of rows, with validation, history and callbacks."""

from fastnn.training.trainer import Trainer

__all__ = ["Trainer"]
