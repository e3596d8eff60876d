"""A bare network of the engine, told what to train for without a model around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fastnn.engine.description import Metric, Objective, Variable
from fastnn.engine.network import Network


def set_loss(
    network: Network, loss: Any, targets: int, metrics: Sequence[Any] = (), numbers: Iterable[float] = ()
) -> None:
    """Set the loss of the only output; all parameters of all ops learn."""
    network.set_objectives([Objective(loss, targets, numbers, metrics=[Metric(metric) for metric in metrics])])
    network.set_variables([Variable(op.start, op.size) for op in network.ops if op.size])
