"""A bare network of the engine, told what to train for without a model around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fastnn.engine.network import Network


def aim(network: Network, loss: Any, targets: int, metrics: Sequence[Any] = (), numbers: Iterable[float] = ()) -> None:
    """Set the loss of the only output; all parameters of all ops learn."""
    metrics = [(metric, (), False) for metric in metrics]
    network.set_goals([(loss, numbers, targets, False, False, "sum_over_batch_size", 1.0, metrics)])
    network.set_variables([(op.start, op.size, 0.0, 0.0, True) for op in network.ops if op.size])
