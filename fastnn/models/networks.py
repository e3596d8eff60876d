"""Networks beside a model's own, on its weights: for slopes by inputs, for what layers give, for other weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.engine.description import AddedLoss
from fastnn.engine.network import Network
from fastnn.engine.ops import ActivationOp
from fastnn.layers.places import start_of
from fastnn.models.graph import Plan


def network_of(
    description: Any,
    plan: Plan,
    outputs: Sequence[int] | None = None,
    taps: Sequence[int] = (),
    flat: Any = None,
    whole: bool = False,
) -> Network:
    """A network of a plan of the model's layers.

    outputs: ops that give in place of the plan's, without masks and losses. taps: inputs, each of which goes through
    an op that keeps the gradient by it; these ops come first, and `slopes(place, rows)` gives it. flat: weights in
    place of the model's, where they are there. whole: a batch goes through at once, so that slopes are of all of it.
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
    network.seed = description.seed
    return network


def read_inputs(plan: Plan) -> list[int]:
    """The inputs that ops read."""
    return sorted({-1 - source for each in plan.sources for source in each if source < 0})
