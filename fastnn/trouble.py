"""Why a loss is not finite: which row holds what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import losses
from fastnn.data import Page, Source
from fastnn.goals import Goal
from fastnn.training.epochs import BatchRange
from fastnn.typing import TrainedModel


def explained(goals: Sequence[Goal], model: TrainedModel, source: Source, stretch: BatchRange, start: int) -> Exception:
    """Why the loss of the batch that begins at row `start` of a page's order is not finite."""
    page, stop = stretch.page, min(start + stretch.size, stretch.stop)
    rows = np.arange(start, stop) if page.order is None else page.order[start:stop]
    problem = problem_of(goals, model, source, page, rows, stretch.first)
    if problem is not None:
        return ValueError(problem)
    steps = model.description.network.iterations
    return FloatingPointError(
        f"the loss is not finite after {steps} steps, though the data is: training diverged; "
        "lower learning_rate, or standardise x. The weights are those before this batch"
    )


def problem_of(
    goals: Sequence[Goal], model: TrainedModel, source: Source, page: Page, rows: Any, before: int
) -> str | None:
    """What is wrong with some rows' numbers, or None; rows are counted from the source's first."""
    rows = np.sort(rows)
    if page.weight is not None:
        weight = page.weight[rows]
        rows = rows[weight != 0 if weight.ndim == 1 else (weight != 0).any(axis=1)]
    assert page.y is not None
    numbers = rows + before if page.numbers is None else page.numbers[rows]
    first = 0
    for goal, units in zip(goals, model.description.widths(), strict=True):
        last = first + goal.loss.targets(units)
        problem = losses.bad_targets(goal.loss, page.y[rows, first:last], units, numbers)
        if problem is not None:
            return f"output {goal.output!r}: {problem}" if goal.output else problem
        first = last
    bad = np.argwhere(~np.isfinite(page.x[rows]))
    if len(bad):
        row, column = (int(i) for i in bad[0])
        name = repr(source.columns[column]) if source.columns else column
        return (
            f"x has {page.x[rows[row], column]} at row {int(numbers[row])}, column {name}; remove that row or fill it "
            "in before training"
        )
    return None
