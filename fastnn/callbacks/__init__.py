"""Callbacks: what may happen while a fit, an evaluation or a prediction runs."""

from typing import TYPE_CHECKING

from fastnn._lazy import later
from fastnn.callbacks.base import Callback, CallbackList, LambdaCallback
from fastnn.callbacks.history import History

if TYPE_CHECKING:
    from fastnn.callbacks.backup import BackupAndRestore
    from fastnn.callbacks.checkpoint import ModelCheckpoint
    from fastnn.callbacks.control import LearningRateScheduler, TerminateOnNaN, TimeBudget
    from fastnn.callbacks.loggers import CSVLogger, JSONLinesLogger
    from fastnn.callbacks.monitors import EarlyStopping, ReduceLROnPlateau
    from fastnn.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "JSONLinesLogger",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
    "TimeBudget",
]

__getattr__ = later(
    __name__,
    {
        "BackupAndRestore": "backup",
        "CSVLogger": "loggers",
        "EarlyStopping": "monitors",
        "JSONLinesLogger": "loggers",
        "LearningRateScheduler": "control",
        "ModelCheckpoint": "checkpoint",
        "ReduceLROnPlateau": "monitors",
        "TensorBoard": "tensorboard",
        "TerminateOnNaN": "control",
        "TimeBudget": "control",
    },
)
