"""A small fit, what writes down the hooks that are called, and values that follow a script, with what comes of them.

The tables are run by fastnn in tests/callbacks, and by Keras in tests/peers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import fastnn
from fastnn.callbacks import Callback, EarlyStopping
from fastnn.data import ArraySource, Page, Source
from fastnn.data.source import row_order
from fastnn.layers import Dense
from fastnn.models import Sequential

X = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
Y = X[:, :1] - 2 * X[:, 1:2]


def model_of(**compiled: object) -> Sequential:
    fastnn.set_random_seed(1)
    model = Sequential([Dense(1, input_dim=3)])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    return model


class Pages(Source):
    """Rows in pages of two batches, as a stream gives them."""

    def __init__(self, x: np.ndarray, y: np.ndarray | None = None, rows: int | None = None) -> None:
        self._all = ArraySource(x, y)
        self.input_shape, self.targets = self._all.input_shape, self._all.targets
        self._rows = rows
        self.opened = self.closed = 0

    @property
    def rows(self) -> int | None:
        return self._rows

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        self.opened += 1
        try:
            for start in range(0, self._all.rows, 2 * batch_size):
                x = self._all.x[start : start + 2 * batch_size]
                y = None if self._all.y is None else self._all.y[start : start + 2 * batch_size]
                yield Page(x, y, None, row_order(len(x), rng))
        finally:
            self.closed += 1


class Batches(Pages):
    """Pages that are batches of 1, 2, 3, ... rows, whatever size is asked for; without an end where `endless`."""

    batches = True

    def __init__(self, x: np.ndarray, y: np.ndarray | None = None, endless: bool = False) -> None:
        super().__init__(x, y)
        self.endless = endless

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        self.opened += 1
        start = size = 0
        while self.endless or start < self._all.rows:
            size += 1
            x = self._all.x[start : start + size]
            yield Page(x, None if self._all.y is None else self._all.y[start : start + size], None, None)
            start += size
            if self.endless and start >= self._all.rows:
                start = size = 0


class Recorder(Callback):
    """Writes down what is called, with which epoch."""

    def __init__(self, name: str, log: list) -> None:
        self.name, self.log = name, log

    def on_train_begin(self, logs=None):
        self.log.append((self.name, "train begin", logs))

    def on_train_end(self, logs=None):
        self.log.append((self.name, "train end", sorted(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        self.log.append((self.name, "epoch begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.log.append((self.name, "epoch end", epoch))


class Scripted(Callback):
    """Puts given values into the logs, and the number of the epoch into the weights."""

    def __init__(self, **values: list[float]) -> None:
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: values[epoch] for name, values in self.values.items()})
        kernel, bias = self.model.get_weights()
        self.model.set_weights([kernel * 0, bias * 0 + epoch])


def trace(stopping: EarlyStopping, **values: list[float]) -> tuple[int, int]:
    """(epochs run, the epoch whose weights the model ends with)."""
    model = model_of()
    epochs = len(next(iter(values.values())))
    history = model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[Scripted(**values), stopping])
    return len(history.epoch), int(model.get_weights()[1].item())


INF, NAN = float("inf"), float("nan")
FALLS = [5.0, 4.0, 3.0, 3.5, 3.6, 2.0, 2.5, 2.6, 2.7, 2.8]
# Arguments; values; epochs run and the epoch of the weights at the end.
TRACES = [
    ({}, {"val_loss": FALLS}, (4, 3)),
    ({"patience": 1}, {"val_loss": FALLS}, (4, 3)),
    ({"patience": 2}, {"val_loss": FALLS}, (5, 4)),
    ({"patience": 3}, {"val_loss": FALLS}, (9, 8)),
    ({"patience": 5}, {"val_loss": FALLS}, (10, 9)),
    ({"restore_best_weights": True}, {"val_loss": FALLS}, (4, 2)),
    ({"patience": 3, "restore_best_weights": True}, {"val_loss": FALLS}, (9, 5)),
    ({"patience": 5, "restore_best_weights": True}, {"val_loss": FALLS}, (10, 5)),
    ({"monitor": "loss", "patience": 2}, {"loss": FALLS}, (5, 4)),
    # Equal is no improvement, and a change below min_delta is none.
    ({"patience": 2}, {"val_loss": [1.0, 1.0, 1.0, 1.0]}, (3, 2)),
    ({"patience": 2, "min_delta": 0.5}, {"val_loss": [5, 4.75, 4.25, 4.0, 3.75]}, (5, 4)),
    ({"patience": 2, "min_delta": -0.5}, {"val_loss": [5, 4.75, 4.5, 4.25, 4.0]}, (3, 2)),
    ({"patience": 1, "min_delta": 0.5}, {"val_loss": [5, 4.75, 4.5, 4.25]}, (2, 1)),
    ({"patience": 1, "min_delta": 0.5, "restore_best_weights": True}, {"val_loss": [5, 4.75, 4.0]}, (2, 0)),
    # What rises: named so, or by its name.
    ({"monitor": "val_accuracy"}, {"val_accuracy": [0.1, 0.2, 0.3, 0.25]}, (4, 3)),
    ({"monitor": "val_accuracy", "restore_best_weights": True}, {"val_accuracy": [0.1, 0.3, 0.2]}, (3, 1)),
    ({"monitor": "score", "mode": "max"}, {"score": [1, 2, 3, 2, 9]}, (4, 3)),
    ({"monitor": "score", "mode": "max", "min_delta": 2}, {"score": [1, 2, 3, 4]}, (2, 1)),
    ({"mode": "max"}, {"val_loss": FALLS}, (2, 1)),
    ({"monitor": "val_accuracy", "mode": "min"}, {"val_accuracy": [0.1, 0.2]}, (2, 1)),
    # Patience starts again only where the baseline is beaten; but an improvement never ends the fit.
    ({"patience": 2, "baseline": 2.5}, {"val_loss": FALLS}, (4, 3)),
    ({"patience": 6, "baseline": 2.5}, {"val_loss": FALLS}, (10, 9)),
    ({"patience": 3, "baseline": 3.5}, {"val_loss": FALLS}, (9, 8)),
    ({"patience": 2, "baseline": 2.5, "restore_best_weights": True}, {"val_loss": FALLS}, (4, 2)),
    ({"baseline": 1.0}, {"val_loss": [0.5, 0.4, 0.45]}, (3, 2)),
    # The first epochs do not count, not even as the best.
    ({"start_from_epoch": 3, "patience": 1}, {"val_loss": FALLS}, (5, 4)),
    ({"start_from_epoch": 3, "restore_best_weights": True}, {"val_loss": [1, 1, 1, 5, 6]}, (5, 3)),
    ({"start_from_epoch": 9}, {"val_loss": FALLS}, (10, 9)),
    # The first figure is the best so far, whatever it is; what is not finite is never better than another.
    ({"patience": 2}, {"val_loss": [INF, INF, INF, INF]}, (3, 2)),
    ({"patience": 1}, {"val_loss": [INF, 3, 2, 2]}, (4, 3)),
    ({"patience": 2}, {"val_loss": [NAN, 3, 2, 1]}, (3, 2)),
    ({"patience": 2, "restore_best_weights": True}, {"val_loss": [NAN, 3, 2, 1]}, (3, 0)),
    ({"patience": 2}, {"val_loss": [3, NAN, 2, NAN, NAN]}, (5, 4)),
    ({"patience": 3}, {"val_loss": [-INF, 1, -INF, 0]}, (4, 3)),
    ({"patience": 1, "mode": "max"}, {"val_loss": [-INF, -INF, 1]}, (2, 1)),
    ({"patience": 2, "mode": "max"}, {"val_loss": [NAN, -INF, INF]}, (3, 2)),
    ({"patience": 2, "baseline": 1.0}, {"val_loss": [INF, 5, 4, 3]}, (4, 3)),
    ({"patience": 2, "baseline": 1.0}, {"val_loss": [NAN, 0.5, 0.4]}, (2, 1)),
    ({"patience": 1, "min_delta": 0.5}, {"val_loss": [INF, 1, 0.75]}, (3, 2)),
    ({"patience": 1, "start_from_epoch": 2}, {"val_loss": [1, 1, NAN, 1, 1]}, (4, 3)),
    ({"start_from_epoch": 20, "restore_best_weights": True}, {"val_loss": FALLS}, (10, 9)),
]

# ReduceLROnPlateau: arguments; values; each epoch's learning rate, beginning with 1.
PLATEAUS = [
    ({"patience": 1}, {"val_loss": [5, 4, 4, 4, 3]}, [1, 1, 1, 0.1, 0.01]),
    ({"patience": 2, "factor": 0.5}, {"val_loss": FALLS}, [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]),
    ({"patience": 0, "factor": 0.5}, {"val_loss": [3, 3, 3, 2]}, [1, 1, 0.5, 0.25]),
    ({"patience": 1, "factor": 0.5, "cooldown": 2}, {"val_loss": [1] * 8}, [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]),
    ({"patience": 1, "factor": 0.5, "cooldown": 1}, {"val_loss": [1] * 6}, [1, 1, 0.5, 0.25, 0.125, 0.0625]),
    (
        {"patience": 2, "factor": 0.5, "cooldown": 3},
        {"val_loss": [5, 5, 5, 4, 5, 5, 5, 5]},
        [1, 1, 1] + [0.5] * 4 + [0.25],
    ),
    ({"patience": 1, "min_lr": 0.05}, {"val_loss": [1] * 5}, [1, 1, 0.1, 0.05, 0.05]),
    ({"patience": 1, "min_lr": 2.0}, {"val_loss": [1] * 4}, [1, 1, 1, 1]),
    ({"patience": 1, "min_delta": 0.5, "factor": 0.5}, {"val_loss": [5, 4.75, 4.25, 4.0, 3.5]}, [1, 1, 0.5, 0.5, 0.25]),
    ({"patience": 1, "min_delta": 0, "factor": 0.5}, {"val_loss": [5, 4.99999, 4.99998]}, [1, 1, 1]),
    ({"patience": 1, "factor": 0.5}, {"val_loss": [5, 4.99999, 4.99998]}, [1, 1, 0.5]),
    ({"monitor": "loss", "patience": 1, "factor": 0}, {"loss": [1, 1, 1]}, [1, 1, 0]),
    ({"mode": "max", "patience": 1, "factor": 0.5}, {"val_loss": [1, 2, 2, 3]}, [1, 1, 1, 0.5]),
    ({"patience": 2, "factor": 0.5}, {"val_loss": [INF, INF, 1, 1, 1]}, [1, 1, 1, 1, 1]),
    ({"patience": 1, "factor": 0.5}, {"val_loss": [NAN, 2, 1, 0]}, [1, 1, 0.5, 0.25]),
    ({"patience": 1, "factor": 0.5}, {"val_loss": [2, NAN, 1, INF]}, [1, 1, 0.5, 0.5]),
]
# ModelCheckpoint with "{epoch}" as the name: arguments; values; the epochs whose files are there at the end.
CHECKPOINTS = [
    ({}, {"val_loss": [3, 2, 4]}, [1, 2, 3]),
    ({"save_best_only": True}, {"val_loss": FALLS}, [1, 2, 3, 6]),
    ({"save_best_only": True, "mode": "max"}, {"val_loss": [3, 2, 4, 4, 5]}, [1, 3, 5]),
    ({"save_best_only": True, "monitor": "loss"}, {"loss": [3, 3, 2]}, [1, 3]),
    ({"save_best_only": True, "initial_value_threshold": 3.0}, {"val_loss": FALLS}, [6]),
    ({"save_best_only": True, "initial_value_threshold": 2.0, "mode": "max"}, {"val_loss": [1, 3, 2, 4]}, [2, 4]),
    ({"save_best_only": True}, {"val_loss": [INF, INF, 2]}, [1, 3]),
    ({"save_best_only": True}, {"val_loss": [NAN, 2, 1]}, [1]),
    ({"save_best_only": True}, {"val_loss": [2, NAN, 1]}, [1, 3]),
    ({"save_best_only": True, "initial_value_threshold": 0.0}, {"val_loss": [1, 2]}, []),
]
