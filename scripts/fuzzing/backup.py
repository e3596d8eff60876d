"""Damaged files of BackupAndRestore, found by a fit that goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastnn
from fastnn import callbacks as c
from fastnn.callbacks import Callback
from fastnn.models import Model
from fuzzing import models
from fuzzing.judge import OwnError
from fuzzing.mutate import altered
from fuzzing.trial import FAILED, Trial

EPOCHS = 4
CANARY = b"a file of the user's"


class _Ends(Callback):
    """Ends a fit as a kill does, but for the process."""

    def __init__(self, batch: int | None = None) -> None:
        self.batch = batch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise OwnError("the fit ends here")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == self.batch:
            raise OwnError("the fit ends here")


def _callbacks(save_freq: Any = "epoch") -> list[Callback]:
    """Those that keep something from epoch to epoch, by which a file may say it."""
    return [
        c.ModelCheckpoint("checkpoints/{epoch}.fastnn", monitor="loss", keep=2),
        c.EarlyStopping("loss", patience=9, restore_best_weights=True),
        c.ReduceLROnPlateau("loss", patience=1, min_delta=10.0),
        c.CSVLogger("log.csv"),
        c.TimeBudget(1000),
        c.BackupAndRestore("backup", save_freq=save_freq, delete_checkpoint=False),
    ]


class Backup:
    """Backups of fits of some models and optimizers, each with some changes; then the same fit again."""

    name = "backup"

    def prepare(self, folder: str) -> None:
        every = models.made()
        titles = [title for title in every if title.startswith("optimizer")][::2]
        titles += ["several", "inside", "deep", "dropout", "batch on (3, 4)"]
        self.cases: dict[str, tuple[Callable[[], Model], Any, bytes]] = {}
        home = os.getcwd()
        for title in titles:
            for save_freq in ("epoch", 2):
                os.makedirs(folder)
                os.chdir(folder)
                content = _begun(every[title], save_freq)
                os.chdir(home)
                shutil.rmtree(folder)
                if content:
                    self.cases[f"{title}, {save_freq}"] = (every[title], save_freq, content)
        self.titles, self.all = sorted(self.cases), [content for _, _, content in self.cases.values()]

    def play(self, trial: Trial) -> None:
        rng = trial.rng
        for each in os.listdir("."):
            shutil.rmtree(each) if os.path.isdir(each) else os.unlink(each)
        title = rng.choice(self.titles)
        make, save_freq, content = self.cases[title]
        content, notes = altered(content, self.all, rng)
        trial.note(f"the backup of {title}, altered: {'; '.join(notes)}")
        os.makedirs("backup")
        os.makedirs("checkpoints")
        with open("backup/latest.fastnn", "wb") as file:
            file.write(content)
        for canary in ("canary", "checkpoints/x", "backup/x"):
            with open(canary, "wb") as file:
                file.write(CANARY)
        fastnn.set_random_seed(0)
        model = make()
        x, y = models.rows(model, 8), models.targets(model, 8)
        before, rate = model.get_weights(), model.optimizer.learning_rate
        trial.note("fit")
        try:
            _fit(model, _callbacks(save_freq))
        except BaseException as error:
            trial.take(error)
            if isinstance(error, FloatingPointError):  # it has gone on, with the numbers that the file gave
                model.set_weights(before)
            trial.check(
                isinstance(error, FloatingPointError) or "backup" in str(error),
                f"{type(error).__name__} does not name the file",
            )
            same = all(map(np.array_equal, before, model.get_weights()))
            trial.check(same, "the fit was refused, and the weights are not those from before")
            trial.check(model.optimizer.learning_rate == rate, "the fit was refused, and the learning rate is another")
        for canary in ("canary", "checkpoints/x", "backup/x"):
            trial.check(os.path.exists(canary), f"the file {canary} is gone")
        if trial.must("set_weights", model.set_weights, before) is not FAILED:
            model.optimizer.learning_rate = rate
            trial.must("fit", model.fit, x, y, verbose=0)
            trial.must("predict", model.predict, x)


def _fit(model: Model, callbacks: list[Callback]) -> None:
    """Fit 8 rows, by two; L-BFGS takes them all at once."""
    x, y = models.rows(model, 8), models.targets(model, 8)
    batch = 8 if model.optimizer.full_batch else 2
    model.fit(x, y, epochs=EPOCHS, batch_size=batch, verbose=0, callbacks=callbacks)


def _begun(make: Callable[[], Model], save_freq: Any) -> bytes:
    """The backup of a fit that ended before its end; nothing where it has taken too few batches."""
    fastnn.set_random_seed(0)
    model = make()
    ends = _Ends(3 if save_freq != "epoch" else None)
    with contextlib.suppress(OwnError):
        _fit(model, [*_callbacks(save_freq), ends])
    path = Path("backup/latest.fastnn")
    return path.read_bytes() if path.exists() else b""
