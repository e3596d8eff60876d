"""Why a loss is not finite: which row holds what."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import losses
from fastnn.data import Page
from fastnn.feed import Stretch


def explained(loss: Any, network: Any, stretch: Stretch, start: int) -> Exception:
    """Why the loss of the batch that begins at row `start` of a page's order is not finite."""
    page, stop = stretch.page, min(start + stretch.size, stretch.stop)
    rows = np.arange(start, stop) if page.order is None else page.order[start:stop]
    problem = problem_of(loss, network.units, page, rows, stretch.first)
    if problem is not None:
        return ValueError(problem)
    return FloatingPointError(
        f"the loss is not finite after {network.iterations} steps, though the data is: training diverged; "
        "lower learning_rate, or standardise x. The weights are those before this batch"
    )


def problem_of(loss: Any, units: int, page: Page, rows: Any, before: int) -> str | None:
    """What is wrong with some rows' numbers, or None; rows are counted from the source's first."""
    rows = np.sort(rows)
    if page.weight is not None:
        rows = rows[page.weight[rows] != 0]
    assert page.y is not None
    problem = losses.bad_targets(loss, page.y[rows], units, rows + before)
    if problem is not None:
        return problem
    bad = np.argwhere(~np.isfinite(page.x[rows]))
    if len(bad):
        row, column = (int(i) for i in bad[0])
        value = page.x[rows[row], column]
        return (
            f"x has {value} at row {int(rows[row]) + before}, column {column}; remove that row or fill it in "
            "before training"
        )
    return None
