"""Networks beside a model's own, of its layers and on its weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fastnn.engine.description import AddedLoss
from fastnn.engine.network import Network
from fastnn.engine.ops import ActivationOp
from fastnn.layers.places import start_of
from fastnn.models.graph import Plan, planned
from fastnn.typing import Array, FloatArray


def network_of(
    description: Any,
    plan: Plan,
    outputs: Sequence[int] | None = None,
    taps: Sequence[int] = (),
    flat: Any = None,
    whole: bool = False,
) -> Network:
    """A network of a plan of the model's layers.

    outputs: ops that give in place of the plan's, without masks and losses. taps: inputs by which `slopes` has the
    gradient, each through an op, the first ones. flat: other weights. whole: slopes are of a whole batch.
    """
    store, shift = description.store, len(taps)
    first = [ActivationOp(plan.inputs[number]) for number in taps]
    for op in first:
        op.tapped = True
    moved = {-1 - number: place for place, number in enumerate(taps)}
    sources: list[Sequence[int]] = [(-1 - number,) for number in taps]
    sources += [tuple(moved.get(s, s) if s < 0 else s + shift for s in each) for each in plan.sources]
    starts = [start_of(layer) + start for layer, start in zip(plan.layers, plan.starts, strict=True)]
    ends, added, masks = (plan.outputs, plan.added, plan.masks) if outputs is None else (outputs, [], [])
    added = [each._replace(op=each.op + shift) for each in added]
    if whole:
        added.append(AddedLoss(0, mean=False))  # nothing, of the batch as one
    network = Network(
        [*first, *plan.ops],
        sources,
        plan.inputs,
        [place + shift for place in ends],
        store.flat if flat is None else flat,
        [0] * shift + starts,
        store.lock if flat is None else None,
        added=added,
        masks=[None if place is None else place + shift for place in masks],
    )
    network.seed, network.matmul_precision = description.seed, description.matmul_precision
    return network


def read_inputs(plan: Plan) -> list[int]:
    """The inputs that ops read."""
    return sorted({-1 - source for each in plan.sources for source in each if source < 0})


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
