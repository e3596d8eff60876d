"""What an epoch adds up."""

from __future__ import annotations

from typing import Any

from fastnn.typing import DoubleArray


class MetricAccumulator:
    """What an epoch has added up so far: rows, batches, losses, and what each metric gathers."""

    __slots__ = ("batches", "loss", "losses", "rows", "states")

    def __init__(self) -> None:
        self.rows = self.batches = 0
        self.loss = 0.0
        self.losses: list[float] = []  # of each output
        self.states: list[DoubleArray] = []  # of each metric

    def add(self, rows: int, batches: int, loss: float, network: Any) -> None:
        """A range of batches that the network has run. network: None where nothing but the loss is asked for."""
        self.rows += rows
        self.batches += batches
        self.loss += loss
        if network is None:
            return
        if not self.losses:
            self.losses, self.states = network.losses_of_outputs, [state.copy() for state in network.states]
            return
        self.losses = [a + b for a, b in zip(self.losses, network.losses_of_outputs, strict=True)]
        for mine, state in zip(self.states, network.states, strict=True):
            mine += state

    def until(self, rows: int, loss: float, network: Any) -> MetricAccumulator:
        """This, with so many rows more of the range that the network runs; this itself where there are none."""
        if not rows:
            return self
        found = MetricAccumulator()
        found.rows, found.loss = self.rows, self.loss
        found.losses, found.states = list(self.losses), [state.copy() for state in self.states]
        found.add(rows, 0, loss, network)
        return found
