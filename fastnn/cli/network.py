"""What ``fastnn train`` makes where only the rows and the target are known: the task, the network, how to train it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn.data import SQLDataset

CLASSES = 100  # of a target at most; more are numbers


class Task(NamedTuple):
    """What a network is to say of a row, and what its last layers are."""

    what: str
    outputs: int
    activation: str
    loss: str
    metric: str
    scale: tuple[float, float] | None = None  # of a number: deviation and mean


class Schedule(NamedTuple):
    """How large a network, and how long to train.

    patience: epochs without a better result of the rows that are kept apart; alone: epochs where none are.
    """

    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    patience: int
    alone: int


# By the number of rows, below which it is meant.
SCHEDULES = (
    (1_000, Schedule((64, 32), 32, 200, 20, 50)),
    (10_000, Schedule((128, 64), 32, 200, 20, 50)),
    (100_000, Schedule((128, 64), 128, 60, 10, 20)),
    (np.inf, Schedule((128, 64), 256, 30, 5, 10)),
)


def schedule_of(rows: int) -> Schedule:
    """How to train on so many rows."""
    return next(each for below, each in SCHEDULES if rows < below)


def network_of(data: SQLDataset, hidden: Sequence[int] | None) -> tuple[Any, str, int]:
    """A compiled network whose first layers prepare the columns, as a table says; its task, and the number of rows.

    hidden: units of its hidden layers, None for what goes with the rows.
    """
    from fastnn.layers import Dense, Rescaling
    from fastnn.models import Sequential
    from fastnn.models.preparation import prepared
    from fastnn.models.summary import choices

    model, notes, rows = prepared(data)
    say(choices(notes["preparation"]))
    task = _task(data, notes.get("classes", ()))
    hidden = schedule_of(rows).hidden if hidden is None else hidden
    made = Sequential([model, *(Dense(units, activation="relu") for units in hidden)])
    made.add(Dense(task.outputs, activation=task.activation))
    if task.scale is not None:
        made.add(Rescaling(*task.scale))
    made.compile(optimizer="adam", loss=task.loss, metrics=[task.metric])
    made.description.notes.update(notes)
    say(f"{task.what}, from {', '.join(model.input_names)}; hidden layers: {', '.join(map(str, hidden)) or 'none'}")
    return made, task.what, rows


def _task(data: SQLDataset, classes: Sequence[Any]) -> Task:
    """What the target's values call for."""
    from fastnn.data.statistics import Moments

    if classes:
        return _classes(len(classes), f": {', '.join(map(str, classes))}" if len(classes) <= 10 else "")
    (target,) = data.targets_named
    seen: set[float] = set()
    moments = Moments(1)
    for columns in data.typed({target: "float32"}):
        moments.add(columns[target][:, None])
        if len(seen) <= CLASSES:
            seen.update(np.unique(columns[target]).tolist())
    if 1 < len(seen) <= CLASSES and seen == set(map(float, range(len(seen)))):
        return _classes(len(seen), "")
    deviation = float(np.sqrt(moments.variance[0])) or 1.0
    return Task("a number", 1, "linear", "mean_squared_error", "mae", (deviation, float(moments.mean[0])))


def _classes(count: int, names: str) -> Task:
    if count < 2:
        raise ValueError("the target is the same in all rows, so there is nothing to learn")
    if count == 2:
        return Task(f"one of two classes{names}", 1, "sigmoid", "binary_crossentropy", "accuracy")
    return Task(f"one of {count} classes{names}", count, "softmax", "sparse_categorical_crossentropy", "accuracy")
