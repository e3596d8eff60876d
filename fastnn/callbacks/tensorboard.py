"""Logs for TensorBoard, written by tensorboardX."""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from time import perf_counter
from typing import Any

import numpy as np

from fastnn._checks import as_flag, check_count, check_flag, shown
from fastnn.callbacks.base import Logs, TrainerCallback
from fastnn.callbacks.monitors import number_of
from fastnn.callbacks.paths import folder_for, path_of

__all__ = ["TensorBoard"]


class TensorBoard(TrainerCallback):
    """Event files for ``tensorboard --logdir``: epoch_loss and the others in train/ and, without val_, in validation/.

    epoch_learning_rate is that of the epoch's last step. histogram_freq: after every so many epochs, a histogram of
    each array of weights; 0 for none. write_steps_per_second: also epoch_steps_per_second. update_freq: "epoch";
    "batch" or a number of batches for batch_loss and the others too, and each batch is a call of its own then.
    ``evaluate`` writes evaluation_loss_vs_iterations. There is no graph, whatever write_graph says; ValueError where
    the others of Keras's arguments ask for pictures, a profile or embeddings. Needs tensorboardX; ImportError, with the
    command, where it is missing.
    """

    def __init__(
        self,
        log_dir: str | PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int | Sequence[int] = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        as_flag("TensorBoard: write_graph", write_graph)
        for name, value in (
            ("write_images", as_flag("TensorBoard: write_images", write_images)),
            ("profile_batch", profile_batch),
            ("embeddings_freq", embeddings_freq),
            ("embeddings_metadata", embeddings_metadata),
        ):
            if value is not None and value is not False and not (isinstance(value, int) and value == 0):
                raise ValueError(
                    f"TensorBoard: {name}={shown(value)} asks for what is not there: fastnn writes scalars and "
                    "histograms; leave it out"
                )
        try:
            import tensorboardX
        except ImportError as error:
            raise ImportError('TensorBoard needs tensorboardX: pip install "fastnn[tensorboard]"') from error
        self.log_dir = path_of(self, "log_dir", log_dir)
        self.histogram_freq = check_count("histogram_freq", histogram_freq, 0)
        self.write_steps_per_second = write_steps_per_second
        check_flag(self, "write_steps_per_second")
        every = {"epoch": 0, "batch": 1}.get(update_freq) if isinstance(update_freq, str) else None
        self._every = check_count("update_freq", update_freq) if every is None else every
        self._new_writer: Any = tensorboardX.SummaryWriter
        self._writers: dict[str, Any] = {}
        self._fitting = False
        self._rate: float | None = None  # of the last step

    def listens(self, hook: str) -> bool:
        return super().listens(hook) and (self._every > 0 or hook != "on_train_batch_end")

    def checks(self, fit: Any) -> None:
        folder_for(os.path.join(self.log_dir, "file"))

    def _writer(self, folder: str) -> Any:
        if folder not in self._writers:
            self._writers[folder] = self._new_writer(os.path.join(self.log_dir, folder))
        return self._writers[folder]

    def _write(self, folder: str, tag: str, value: Any, step: int) -> None:
        """A scalar, or one for each number of an array, by its place; what is no number is left out."""
        number = number_of(value)
        if number is not None:
            self._writer(folder).add_scalar(tag, number, step)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            for place, each in np.ndenumerate(value):
                self._writer(folder).add_scalar("_".join([tag, *map(str, place)]), float(each), step)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._fitting = True
        self._batch = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        before, self._batch = self._batch, self._batch + self.model.description.steps_per_execution
        if before // self._every < self._batch // self._every:
            for name, value in (logs or {}).items():
                self._write("train", f"batch_{name}", value, self._batch)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start, self._steps = perf_counter(), self._iterations()

    def measured(self, rate: float, seconds: float) -> None:
        self._rate = rate

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        written = dict(logs or {})
        if self._rate is not None:
            written.setdefault("learning_rate", self._rate)
        if self.write_steps_per_second:
            written["steps_per_second"] = (self._iterations() - self._steps) / (perf_counter() - self._start)
        for name, value in written.items():
            folder = "validation" if name.startswith("val_") else "train"
            self._write(folder, f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for number, array in enumerate(self.model.get_weights()):
                self._writer("train").add_histogram(f"weights_{number}/histogram", array, epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._fitting = False
        self._close()

    def on_test_end(self, logs: Logs | None = None) -> None:
        for name, value in (logs or {}).items():
            self._write("validation", f"evaluation_{name}_vs_iterations", value, self._iterations())
        if not self._fitting:
            self._close()

    def _iterations(self) -> int:
        return int(self.model.description.network.iterations)

    def _close(self) -> None:
        writers, self._writers = self._writers, {}
        for writer in writers.values():
            writer.close()
