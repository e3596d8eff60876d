"""A fit that is killed goes on where it was."""

from __future__ import annotations

import contextlib
import os
from os import PathLike
from typing import Any

import numpy as np

from fastnn.callbacks.base import Callback, Logs, TrainerCallback, folder_for, naming, path_of

__all__ = ["BackupAndRestore"]

FORMAT = "fastnn backup 1"
ARRAYS = "\0arrays"  # stands in a state for a list of arrays: its prefix among the tensors, and how many


class BackupAndRestore(TrainerCallback):
    """Writes where the fit stands to a file in `backup_dir`; the next fit that finds it there goes on from it.

    A fit that was killed and is started again, with the same model, data and arguments, ends with the same bits as
    one that was not: weights, optimizer, order of the rows, dropout and the other callbacks' states are restored; no
    seed is needed, but a generator must begin again with its first batch. The history has the epochs from there on, as
    in Keras.

    save_freq: "epoch", or after how many batches; each batch is a call of its own then. double_checkpoint: keep the
    file before the last, too. delete_checkpoint: delete them when the fit has ended; where an error or Ctrl-C ends it,
    they stay. ValueError where the file does not fit the model.
    """

    last = True  # what the others do after an epoch belongs in the file

    def __init__(
        self,
        backup_dir: str | PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        self.backup_dir = path_of(self, "backup_dir", backup_dir)
        self.save_freq = checked_freq(self, save_freq)
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._path = os.path.join(self.backup_dir, "latest.fastnn")
        self._before = os.path.join(self.backup_dir, "previous.fastnn")
        self._batches = 0
        self._fit: Any = None

    def listens(self, hook: str) -> bool:
        return super().listens(hook) and hook != ("on_train_batch_end" if self.save_freq == "epoch" else "on_epoch_end")

    def checks(self, fit: Any) -> None:
        folder_for(self._path)

    def fit_begins(self, fit: Any) -> None:
        self._fit = fit
        self._batches = 0
        fit.epochs.remembers = fit.epochs.steps is not None or self.save_freq != "epoch"
        found = self._read()
        if found is not None:
            self._restore(*found)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._save()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self._batches >= int(self.save_freq):
            self._batches = 0
            self._save()

    def on_train_interrupt(self, error: BaseException, logs: Logs | None = None) -> None:
        self._fit = None  # but the files stay: the next fit goes on

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._fit = None  # with the rows
        if self.delete_checkpoint:
            for path in (self._path, self._before):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            with contextlib.suppress(OSError):  # it is not empty, or not there
                os.rmdir(self.backup_dir)

    def _save(self) -> None:
        import json

        from fastnn.store import safetensors

        fit, done = self._fit, self._fit.accumulator
        steps, slots = fit.trainer.state()
        tensors = {f"weights/{i}": array for i, array in enumerate(self.model.get_weights())}
        tensors |= {f"optimizer/{name}": flat for name, flat in slots.items()}
        place = {
            "epoch": fit.epoch,
            # The names are those of the format: files of other versions have them too.
            "tally": [done.rows, done.batches, done.loss, done.losses, [state.tolist() for state in done.states]],
            "feed": fit.epochs.state(between=done.batches == 0),
            "batches": self._batches,
            "stop": self.model.stop_training,
            "iterations": steps,
            "seed": fit.network.seed,
            "rate": fit.rate,
            "learning_rate": _number(self.model.optimizer.learning_rate),
            "callbacks": _without_arrays(fit.callbacks.get_state(), "callbacks", tensors),
        }
        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint and os.path.exists(self._path):
            os.replace(self._path, self._before)
        with naming(self._path):
            safetensors.write(self._path, tensors, {"format": FORMAT, "place": json.dumps(place)})

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """(tensors, where the fit stood), None where there is no file."""
        import json

        from fastnn.store import safetensors

        paths = [path for path in (self._path, self._before) if os.path.exists(path)]
        for path in paths:
            try:
                tensors, metadata = safetensors.read(path)
                if metadata.get("format") != FORMAT:
                    raise ValueError(f"{path} is no backup of a fit: expected format {FORMAT!r}")
                return tensors, json.loads(metadata["place"])
            except ValueError:
                if path == paths[-1]:
                    raise
        return None

    def _restore(self, tensors: dict[str, Any], place: dict[str, Any]) -> None:
        fit, model = self._fit, self.model
        weights = [array for name, array in tensors.items() if name.startswith("weights/")]
        saved = {name.partition("/")[2]: flat for name, flat in tensors.items() if name.startswith("optimizer/")}
        before = model.get_weights()
        try:
            model.set_weights(weights)
            fit.trainer.go_on(place["iterations"], saved)
        except ValueError as error:
            model.set_weights(before)
            raise ValueError(
                f"the backup in {self.backup_dir!r} is of another model: {error}; delete it, or name another folder"
            ) from None
        fit.network.seed = place["seed"]
        if place["learning_rate"] is not None:
            model.optimizer.learning_rate = place["learning_rate"]
        fit.rate = place["rate"]
        fit.epoch, model.stop_training, self._batches = place["epoch"], place["stop"], place["batches"]
        done = fit.accumulator
        done.rows, done.batches, done.loss, done.losses, states = place["tally"]
        done.states = [np.array(state) for state in states]
        fit.epochs.restore(place["feed"])
        fit.callbacks.set_state(_with_arrays(place["callbacks"], tensors))


def checked_freq(owner: Callback, save_freq: Any) -> str | int:
    """save_freq, "epoch" or a number of batches. ValueError for anything else."""
    named = isinstance(save_freq, str) and save_freq == "epoch"
    if not named and (type(save_freq) is not int or save_freq < 1):
        raise ValueError(
            f"{type(owner).__name__}: save_freq must be 'epoch' or a whole number of batches, got {save_freq!r}"
        )
    return save_freq  # type: ignore[no-any-return]


def _number(rate: Any) -> float | None:
    """A learning rate, None where it is a schedule, which goes by the number of steps."""
    return float(rate) if isinstance(rate, (int, float, np.number)) else None


def _without_arrays(state: Any, place: str, tensors: dict[str, Any]) -> Any:
    """A state as JSON: its lists of arrays go to `tensors`."""
    if isinstance(state, dict):
        return {name: _without_arrays(value, f"{place}/{name}", tensors) for name, value in state.items()}
    if isinstance(state, list) and state and isinstance(state[0], np.ndarray):
        tensors |= {f"{place}/{i}": array for i, array in enumerate(state)}
        return {ARRAYS: [place, len(state)]}
    return state


def _with_arrays(state: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(state, dict):
        if ARRAYS in state:
            place, count = state[ARRAYS]
            return [tensors[f"{place}/{i}"] for i in range(count)]
        return {name: _with_arrays(value, tensors) for name, value in state.items()}
    return state
