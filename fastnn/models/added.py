"""What layers add to the loss for rows that a model is called on, beside what it gives for them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fastnn.models.graph import planned
from fastnn.models.networks import network_of
from fastnn.typing import Array, FloatArray


def with_losses(description: Any, x: FloatArray, number: int | None) -> tuple[FloatArray, list[float]]:
    """The outputs for rows, side by side in each, and what each call that adds to the loss adds for them as one batch.

    number: which random numbers a run as in training draws; None for a run that is none. The engine adds such losses up
    where it has targets; here a network of its own gives the numbers that they are made of.
    """
    plan = planned(description.graph)
    ends = list(dict.fromkeys([*plan.outputs, *(each.op for each in plan.added)]))
    network = network_of(description, plan, ends)
    given = network.predict(x) if number is None else network.predict_in_training(x, number)
    widths = [plan.ops[place].units * plan.ops[place].slices for place in ends]
    parts = dict(zip(ends, np.split(given, np.cumsum(widths)[:-1], axis=1), strict=True))
    outputs = np.ascontiguousarray(given[:, : sum(prod(tensor.row) for tensor in description.graph.outputs)])
    return outputs, [_value(each, parts[each.op]) for each in plan.added]


def _value(added: Any, rows: Array) -> float:
    """What an added loss comes to for these rows."""
    if added.python is not None:
        value = float(added.python(np.ascontiguousarray(rows))[0])
    else:
        numbers = rows.astype(np.float64)
        value = float(added.total * numbers.sum() + added.l1 * abs(numbers).sum() + added.l2 * (numbers**2).sum())
    return value / len(rows) if added.mean else value
