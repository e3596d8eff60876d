"""A fit that is killed goes on where it was."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from os import PathLike
from typing import Any

import numpy as np

from fastnn import _remote
from fastnn._checks import check_count, check_flag, shown
from fastnn._output import warn
from fastnn.callbacks.base import Callback, Logs, TrainerCallback
from fastnn.callbacks.paths import folder_for, path_of
from fastnn.callbacks.state import array_of
from fastnn.databases.ahead import Ahead

__all__ = ["BackupAndRestore"]

ARRAYS = "\0arrays"  # stands in a state for a list of arrays: how many; their names say whose they are
# What a file says of where the fit stands; the tally is rows, batches, loss, losses of outputs, states of metrics.
FORM = {
    "epoch": int,
    "tally": (int, int, float, [float], [list]),
    "feed": {"generator": dict | None, "passed": int},
    "batches": int,
    "stop": bool,
    "iterations": int,
    "seed": int,
    "rate": float,
    "learning_rate": float | None,
    "callbacks": dict,
}


class BackupAndRestore(TrainerCallback):
    """Writes where the fit stands to a file in `backup_dir`; the next fit that finds it there goes on from it.

    A file is written while the next epoch runs; where that fails, the error comes with the next one, or at the end.
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
        for name in ("double_checkpoint", "delete_checkpoint"):
            check_flag(self, name)
        self._path = os.path.join(self.backup_dir, "latest.fastnn")
        self._before = os.path.join(self.backup_dir, "previous.fastnn")
        self._batches = 0
        self._fit: Any = None
        self._writing: Ahead[None] | None = None

    def listens(self, hook: str) -> bool:
        return super().listens(hook) and hook != ("on_train_batch_end" if self.save_freq == "epoch" else "on_epoch_end")

    def checks(self, fit: Any) -> None:
        folder_for(self._path)

    def fit_begins(self, fit: Any) -> None:
        self._fit = fit
        self._batches = 0
        fit.epochs.remembers = fit.epochs.steps is not None or self.save_freq != "epoch"
        paths = [path for path in (self._path, self._before) if _remote.exists(path)]
        for path in paths:
            try:
                self._restore(path)
                return
            except ValueError:
                if path == paths[-1]:
                    raise

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._save()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += self.model.description.steps_per_execution
        if self._batches >= int(self.save_freq):
            self._batches = 0
            self._save()

    def on_train_interrupt(self, error: BaseException, logs: Logs | None = None) -> None:
        self._fit = None  # but the files stay: the next fit goes on
        try:
            self._written()
        except Exception as failure:  # beside what ends the fit
            warn(f"BackupAndRestore: the last backup could not be written: {failure}")

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._fit = None  # with the rows
        self._written()
        if self.delete_checkpoint:
            for path in (self._path, self._before):
                _remote.remove(path)
            with contextlib.suppress(OSError):  # it is not empty
                _remote.remove(self.backup_dir, folder=True)

    def _save(self) -> None:
        from fastnn.store import document
        from fastnn.store.versions import BACKUP

        arrays, place = self._standing()
        metadata = document.metadata_of(BACKUP, arrays, place)  # here, as what it says goes on to change
        self._written()

        def write() -> Generator[None, None, None]:
            _remote.make_folder(self.backup_dir)
            if self.double_checkpoint and _remote.exists(self._path):
                _remote.move(self._path, self._before)
            document.write_with(self._path, arrays, metadata, lasting=False)  # the one before serves as well
            yield

        self._writing = Ahead(write, 1)

    def _written(self) -> None:
        """Wait until the last backup is on the disk. What its writing raises is raised here."""
        if self._writing is not None:
            for _ in self._writing:
                pass
            self._writing = None

    def _standing(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(arrays, where the fit stands): what a file has."""
        fit, done = self._fit, self._fit.accumulator
        with self.model.description.locked():
            (steps, slots), huge = fit.trainer.state(), fit.trainer.huge_gradient
            arrays = {f"weights/{i}": array for i, array in enumerate(self.model.get_weights())}
        arrays |= {f"optimizer/{name}": flat for name, flat in slots.items()}
        return arrays, {
            "epoch": fit.epoch,
            # The names are those of the format: files of other versions have them too.
            "tally": [done.rows, done.batches, done.loss, done.losses, [state.tolist() for state in done.states]],
            "feed": fit.epochs.state(between=done.batches == 0),
            "batches": self._batches,
            "stop": self.model.stop_training,
            "iterations": steps,
            "huge_gradient": huge,
            "seed": fit.network.seed,
            "rate": fit.rate,
            "learning_rate": _number(self.model.optimizer.learning_rate),
            "callbacks": _without_arrays(fit.callbacks.get_state(), "callbacks", arrays),
        }

    def _restore(self, path: str) -> None:
        """Go on from a file. ValueError, and no change, where it is damaged or of another model or fit."""
        from fastnn.store import document
        from fastnn.store.text import check_form
        from fastnn.store.versions import BACKUP

        wrong = "is no backup that this fit can go on from"
        with document.reading(path, "no backup of a fit", wrong, BACKUP) as file:
            place = file.described
            check_form(place, FORM)
            self._check_model(file.shapes, place)
            self._check_place(place)
            arrays = file.arrays()
            callbacks = _with_arrays(place["callbacks"], "callbacks", arrays)
            before = self._standing()
            old = {name: array.copy() for name, array in before[0].items()}
            try:
                self._take(_weights_in(arrays), _slots_in(arrays), place, callbacks)
            except BaseException:
                states = _with_arrays(before[1]["callbacks"], "callbacks", old)
                self._take(_weights_in(old), _slots_in(old), before[1], states)
                raise

    def _check_model(self, shapes: dict[str, Any], place: dict[str, Any]) -> None:
        """ValueError where the weights and the optimizer's vectors are not those of the model. shapes: and types."""
        weights, slots = _weights_in(shapes), _slots_in(shapes)
        try:
            mine = self.model.get_weights()
            if [(a.shape, a.dtype) for a in weights] != [(a.shape, a.dtype) for a in mine]:
                raise ValueError(f"it has {len(weights)} arrays of weights, or others than the model's {len(mine)}")
            self._fit.trainer.check_state(check_count("iterations", place["iterations"], 0), slots)
        except ValueError as error:
            raise ValueError(
                f"the backup in {self.backup_dir!r} is of another model: {error}; delete it, or name another folder"
            ) from None

    def _check_place(self, place: dict[str, Any]) -> None:
        """ValueError where a number is none of a fit of this model."""
        network, steps = self._fit.network, self._fit.epochs.steps
        rows, batches, loss, losses, states = place["tally"]
        counts = {"epoch": place["epoch"], "batches": place["batches"], "batches of an epoch": batches, "rows": rows}
        for name, count in counts.items():
            check_count(name, count, 0)
        check_count("seed", place["seed"], 0, 2**64 - 1)
        rates = [place["rate"], *([] if place["learning_rate"] is None else [place["learning_rate"]])]
        if not all(0 <= rate < float("inf") for rate in rates):
            raise ValueError(f"a learning rate must be a finite number of at least 0, got {shown(rates)}")
        passed = place["feed"]["passed"]
        fresh = (rows, loss, losses, states) == (0, 0, [], [])
        if batches > (passed if steps is None else steps) or not (fresh if batches == 0 else rows >= batches):
            raise ValueError(f"{batches} batches of an epoch do not go with {rows} rows and {passed} batches read")
        shapes = [array_of("what its metrics have added up", state).shape for state in states]
        if (losses or states) and shapes != [state.shape for state in network.states]:
            raise ValueError(f"what its metrics have added up is of the shapes {shown(shapes)}, not of this fit's")
        if losses and len(losses) != len(network.losses_of_outputs):
            raise ValueError(f"it has losses of {len(losses)} outputs, the model {len(network.losses_of_outputs)}")

    def _take(
        self, weights: list[Any], slots: dict[str, Any], place: dict[str, Any], callbacks: dict[str, Any]
    ) -> None:
        fit, model = self._fit, self.model
        # What may still be refused comes first.
        epochs, feed = int(self.params["epochs"]), place["feed"]
        if place["epoch"] >= epochs:
            feed = {**feed, "passed": 0}  # no batch is to come
        fit.epochs.number = place["epoch"]
        fit.epochs.restore(feed, epochs)
        fit.callbacks.set_state(callbacks)
        model.set_weights(weights)
        fit.trainer.go_on(place["iterations"], slots, place.get("huge_gradient") is True)
        fit.network.seed = place["seed"]
        if place["learning_rate"] is not None:
            model.optimizer.learning_rate = place["learning_rate"]
        fit.rate = place["rate"]
        fit.epoch, model.stop_training, self._batches = place["epoch"], place["stop"], place["batches"]
        done = fit.accumulator
        done.rows, done.batches, done.loss, done.losses, states = place["tally"]
        done.states = [np.array(state, float) for state in states]


def _weights_in(arrays: dict[str, Any]) -> list[Any]:
    """The weights, in their order, whatever that of the file is."""
    return [arrays[f"weights/{i}"] for i in range(sum(name.startswith("weights/") for name in arrays))]


def _slots_in(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name.partition("/")[2]: flat for name, flat in arrays.items() if name.startswith("optimizer/")}


def checked_freq(owner: Callback, save_freq: Any) -> str | int:
    """save_freq, "epoch" or a number of batches. ValueError for anything else."""
    named = isinstance(save_freq, str) and save_freq == "epoch"
    if not named and (type(save_freq) is not int or save_freq < 1):
        raise ValueError(
            f"{type(owner).__name__}: save_freq must be 'epoch' or a whole number of batches, got {shown(save_freq)} "
            "(Invalid value for argument `save_freq`)"
        )
    return save_freq  # type: ignore[no-any-return]


def _number(rate: Any) -> float | None:
    """A learning rate, None where it is a schedule, which goes by the number of steps."""
    return float(rate) if isinstance(rate, (int, float, np.number)) else None


def _without_arrays(state: Any, place: str, arrays: dict[str, Any]) -> Any:
    """A state as JSON: its lists of arrays go to `arrays`."""
    if isinstance(state, dict):
        return {name: _without_arrays(value, f"{place}/{name}", arrays) for name, value in state.items()}
    if isinstance(state, list) and state and isinstance(state[0], np.ndarray):
        arrays |= {f"{place}/{i}": array for i, array in enumerate(state)}
        return {ARRAYS: len(state)}
    return state


def _with_arrays(state: Any, place: str, arrays: dict[str, Any]) -> Any:
    """What `_without_arrays` took apart. KeyError where an array is missing."""
    if not isinstance(state, dict):
        return state
    if state.keys() == {ARRAYS}:
        count = state[ARRAYS]
        count = count[1] if isinstance(count, list) and len(count) == 2 else count  # version 1 names the place too
        return [arrays[f"{place}/{i}"] for i in range(check_count("arrays", count, 0, len(arrays)))]
    return {name: _with_arrays(value, f"{place}/{name}", arrays) for name, value in state.items()}
