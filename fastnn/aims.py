"""What a trainer tells a network: each output's loss and metrics, by its shape; and the figures that come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnn.engine import description
from fastnn.goals import Goal, figure_names, loss_names
from fastnn.losses import Loss
from fastnn.typing import TrainedModel

if TYPE_CHECKING:
    from fastnn.metrics import Metric
    from fastnn.training.accumulator import MetricAccumulator

Figures = dict[str, Any]


class Aims:
    """The goals of a built model, resolved: "accuracy" is a metric now, and a loss has its kernel.

    Attributes: `goals`, one for each output, as the engine takes them; `metrics` of all outputs and `names`, what they
    are called in logs; `losses`, what the outputs' own losses are called, () for a single output.
    """

    def __init__(self, goals: Sequence[Goal], model: TrainedModel) -> None:
        self.metrics: list[Metric] = []
        self.goals = []
        names = []
        for number, (goal, units) in enumerate(zip(goals, model.description.widths(), strict=True)):
            targets = goal.loss.targets(units)
            plain, weighted = (
                [_resolved(metric, targets, units, goal.loss) for metric in each]
                for each in (goal.metrics, goal.weighted_metrics)
            )
            measures = [_measure(metric, False) for _, metric in plain] + [
                _measure(metric, True) for _, metric in weighted
            ]
            self.goals.append(_described(goal, targets, model.description.fusible(number), measures))
            self.metrics += [metric for _, metric in (*plain, *weighted)]
            names.append(([name for name, _ in plain], [name for name, _ in weighted]))
        self.names = figure_names(goals, names)
        self.losses = loss_names(goals)
        self.gathers = bool(self.names or self.losses)  # more than the loss
        self._python = [metric for metric in self.metrics if metric.kernel is None]

    def begin(self) -> None:
        """Metrics in Python start afresh; all others are added up in a tally."""
        for metric in self._python:
            metric.reset_state()

    def figures(self, tally: MetricAccumulator, penalty: float = 0.0) -> Figures:
        """What logs say of a tally: metrics, the outputs' losses, the loss."""
        rows = tally.rows or 1  # none where the very first batch ended the epoch
        if not self.gathers:
            return {"loss": tally.loss / rows + penalty}
        found: Figures = {}
        for place, (name, metric) in enumerate(zip(self.names, self.metrics, strict=True)):
            found[name] = metric.reported(tally.states[place]) if tally.states else metric.result()
        for name, total in zip(self.losses, tally.losses, strict=False):
            found[name] = total / rows
        found["loss"] = tally.loss / rows + penalty
        return found


def _measure(metric: Metric, weighted: bool) -> description.Measure:
    if metric.kernel is None:
        return description.Measure(metric, (), weighted)
    numbers = getattr(metric, "tally_numbers", metric.numbers)()
    return description.Measure(metric.kernel, numbers, weighted, metric.logits)


def _resolved(metric: Any, targets: int, units: int, loss: Loss) -> tuple[str, Metric]:
    from fastnn.metrics import resolve  # not at import: see fastnn.goals

    return resolve(metric, targets, units, loss)


def _described(goal: Goal, targets: int, activation: str, measures: Sequence[description.Measure]) -> description.Goal:
    loss = goal.loss
    if loss.kernel is None:
        return description.Goal(loss, targets, reduction=loss.reduction, importance=goal.importance, measures=measures)
    kernel, fused = loss.kernel_for(activation)
    return description.Goal(
        kernel, targets, loss.numbers(), fused, loss.logits, loss.reduction, goal.importance, measures
    )
