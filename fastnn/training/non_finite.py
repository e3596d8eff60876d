"""Why a loss or a gradient is not finite: which row holds what, or which function gave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import losses
from fastnn.data import SparseRows
from fastnn.training.objectives import Output

if TYPE_CHECKING:
    from fastnn.data import Page, Source
    from fastnn.training.epochs import BatchRange


def explained(
    outputs: Sequence[Output],
    network: Any,
    source: Source,
    batches: BatchRange,
    start: int,
    weights: Mapping[str, Any],
    layer: str | None = None,
) -> Exception:
    """Why the batch that begins at row `start` of a page's order was refused: its loss or gradient is not finite.

    weights: of the model, by name. layer: the name of that whose gradient is not finite; None where the loss is not.
    """
    page, stop = batches.page, min(start + batches.size, batches.stop)
    rows = np.arange(start, stop) if page.order is None else page.order[start:stop]
    problem = problem_of(outputs, source, page, rows, batches.first)
    if problem is not None:
        return ValueError(problem)
    steps, kept = network.iterations, "The weights are those before this batch"
    after = f"after {steps} steps"
    what = "the loss" if layer is None else f"the gradient of layer {layer!r}"
    spoilt = next((name for name, view in weights.items() if not np.isfinite(view).all()), None)
    if spoilt is not None:
        value = weights[spoilt][~np.isfinite(weights[spoilt])][0]
        advice = ": training diverged, or they were set so; begin with others, and lower learning_rate"
        advice = advice if steps else "; set them anew"
        return FloatingPointError(f"{what} is not finite {after}: the weights {spoilt!r} hold {value} already{advice}")
    # No step has been taken yet where there are none: then it is no learning rate's fault.
    advice = "lower learning_rate, or standardise x" if steps else "standardise x, or begin with smaller weights"
    loss = "" if layer is None else "the loss is, and "
    found = f"{what} is not finite {after}, though {loss}x and y of its batch, and the weights, are"
    culprit = python_loss(outputs, network, page, np.sort(rows)) or slope_of_a_layer(network)
    if culprit is not None:
        return FloatingPointError(f"{found}: {culprit}. {kept}")
    diverged = ": training diverged" if steps and layer is None else ""
    return FloatingPointError(f"{found}{diverged}; {advice}. {kept}")


def problem_of(outputs: Sequence[Output], source: Source, page: Page, rows: Any, before: int) -> str | None:
    """What is wrong with some rows' numbers, or None."""
    rows = np.sort(rows)
    assert page.y is not None
    numbers = source.row_names(page, rows, before)
    for output, y, weight in _parts(outputs, page, rows):
        problem = _bad_targets(output, y, weight, numbers)
        if problem is not None:
            return f"output {output.objective.output!r}: {problem}" if output.objective.output else problem
    if page.weight is not None:
        counts = (page.weight[rows].reshape(len(rows), -1) != 0).any(axis=1)
        rows, numbers = rows[counts], numbers[counts]
    bad = not_finite(page.x[rows])
    if bad is not None:
        row, column, value = bad
        named = len(source.columns) == page.x.shape[1] and len(source.input_shape) == 1
        name = repr(source.columns[column]) if named else _place(column, source.input_shape)
        return f"x has {value} at row {numbers[row]}, column {name}; remove that row or fill it in before training"
    return None


def not_finite(x: Any) -> tuple[int, int, float] | None:
    """Row, column and value of the first number of rows that is not finite, or None."""
    if isinstance(x, SparseRows):
        return x.not_finite()
    bad = np.argwhere(~np.isfinite(x))
    return (int(bad[0][0]), int(bad[0][1]), x[tuple(bad[0])]) if len(bad) else None


def python_loss(outputs: Sequence[Output], network: Any, page: Page, rows: Any) -> str | None:
    """Which Python loss has a value or slope that is not finite at what the network predicts for some rows, or None."""
    if all(output.objective.loss.compiled for output in outputs):
        return None
    x: Any = page.x[rows]
    predicted, first = network.predict(x if isinstance(x, SparseRows) else np.ascontiguousarray(x)), 0
    for output, y, weight in _parts(outputs, page, rows):
        width = output.lines * output.shape[-1]
        out = predicted[:, first : first + width].reshape(len(rows), *output.shape)
        first += width
        loss: Any = output.objective.loss
        if not loss.compiled:
            y, weight = (
                part.reshape(len(rows), *output.shape[:-1], *last) for part, last in ((y, (-1,)), (weight, ()))
            )
            value, slopes = loss.value_and_gradient(y, out, weight, 1.0)
            if np.isfinite(out).all() and not np.isfinite(value):
                return f"loss {loss.name!r} gives {value} for outputs that are finite; have it give a number there"
            if np.isfinite(out).all() and not np.isfinite(slopes).all():
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(slopes))[0])
                return (
                    f"loss {loss.name!r} has the slope {slopes[place]} at output {out[place]} and target "
                    f"{y[place] if y.shape == out.shape else y[place[:-1]]}; have its gradient give a number there"
                )
    return None


def slope_of_a_layer(network: Any) -> str | None:
    """Which layer written in Python gave, in the last batch, a gradient that is not finite for one that is, or None."""
    for op in network.ops:
        if getattr(op, "gave_not_finite", False):
            return (
                f"{op.title}.backward gave a gradient that is not finite for one that is; have it give a number there"
            )
    return None


def _parts(outputs: Sequence[Output], page: Page, rows: Any) -> Any:
    """For each output: it, its lines' targets and weights in some rows, (lines, targets) and (lines,)."""
    first = line = 0
    assert page.y is not None
    for output in outputs:
        last = first + output.lines * output.targets
        y = page.y[rows, first:last].reshape(-1, output.targets)
        if page.weight is None:
            weight = np.ones(len(y), np.float32)
        elif page.weight.ndim == 1:
            weight = np.repeat(page.weight[rows], output.lines)
        else:
            weight = page.weight[rows, line : line + output.lines].ravel()
        yield output, y, weight
        first, line = last, line + output.lines


def _bad_targets(output: Output, y: Any, weight: Any, numbers: Any) -> str | None:
    loss = output.objective.loss
    names = np.repeat(numbers, output.lines)
    if output.lines > 1:
        lines = [_place(line, output.shape[:-1]) for line in range(output.lines)]
        names = np.array([f"{number}, line {line}" for number in numbers for line in lines], object)
    counts = slice(None) if loss.whole and loss.compiled else np.flatnonzero(weight)
    problem = losses.bad_targets(loss, y[counts], output.shape[-1], names[counts])
    counts = np.flatnonzero(weight)
    for metric in filter(lambda each: each.reads_targets, output.measured):
        problem = problem or metric.bad_targets(y[counts], output.shape[-1], names[counts])
    return problem


def _place(column: int, shape: Sequence[int]) -> int | tuple[int, ...]:
    """The number of a column; in rows of several axes its place in each."""
    return column if len(shape) < 2 else tuple(int(i) for i in np.unravel_index(column, tuple(shape)))
