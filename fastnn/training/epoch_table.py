"""What epochs gave that ran together, as a history has it: worked out when somebody asks."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np

from fastnn.training.accumulator import MetricAccumulator
from fastnn.training.objectives import CompiledObjectives, Logs


class EpochTable:
    """numbers: the engine's `epoch_logs`, of epochs from number `first` on; rates: one, or an array of each step's."""

    def __init__(
        self, objectives: CompiledObjectives, numbers: Any, network: Any, first: int, rows: int, steps: int, rates: Any
    ) -> None:
        self.objectives, self.numbers, self.first, self.rows_of_each = objectives, numbers, first, rows
        self.steps, self.rates = steps, rates
        self.places: Any = None
        if objectives.gathers:
            sizes = [len(network.losses_of_outputs), *(state.size for state in network.states)]
            self.places = np.cumsum(sizes)[:-1]

    def __len__(self) -> int:
        return len(self.numbers)

    def logs(self, number: int) -> Logs:
        epoch = MetricAccumulator()
        epoch.rows, epoch.batches, epoch.loss = self.rows_of_each, self.steps, float(self.numbers[number, 1])
        if self.places is not None:
            losses, *epoch.states = np.split(self.numbers[number, 2:], self.places)
            epoch.losses = losses.tolist()
        return self.objectives.logs(epoch)

    def columns(self) -> dict[str, list[Any]]:
        """Each quantity's list."""
        if self.places is None:
            return {"loss": (self.numbers[:, 1] / (self.rows_of_each or 1) + 0.0).tolist()}
        logs = [self.logs(number) for number in range(len(self))]
        return {name: [each[name] for each in logs] for name in logs[0]}

    def rows(self) -> list[tuple[int, Logs, tuple[float, float]]]:
        """(number, logs, (learning rate of the last step, seconds)) of each epoch."""
        columns, rates = self.columns(), self.rates
        rate = repeat(rates) if type(rates) is float else rates[self.steps - 1 :: self.steps].tolist()
        logs = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        measured = zip(rate, self.numbers[:, 0].tolist(), strict=False)
        return list(zip(range(self.first, self.first + len(self)), logs, measured, strict=False))
