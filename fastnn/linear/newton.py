"""Newton's method over blocks of rows: the most likely coefficients, with their second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.linear.design import Design
from fastnn.linear.rows import Rows
from fastnn.linear.solvers import signed, solved
from fastnn.typing import Array, DoubleArray

# Steps that move a linear part by this much while the likelihood stays where it is: it has no maximum there.
_MOVES, _FLAT = 0.1, 1e-6


class Found(NamedTuple):
    """What Newton's method ends with.

    theta: (columns, units). loss: with the penalty. hessian: (columns · units,) * 2, one unit after the other.
    runaway: the columns whose coefficients go on growing, which nothing in the rows holds back.
    """

    theta: DoubleArray
    loss: float
    hessian: DoubleArray
    passes: int
    converged: bool
    runaway: Array


class Problem(NamedTuple):
    """Rows, their columns, a likelihood, and what is asked of coefficients.

    penalty: (columns,), of squares. signs: (columns,). tied: whether adding a number to the intercepts of all units
    changes nothing.
    """

    rows: Rows
    design: Design
    likelihood: Callable[[DoubleArray, DoubleArray, DoubleArray | None], Any]
    units: int
    penalty: DoubleArray
    signs: Array
    tied: bool = False


def derivatives(problem: Problem, theta: DoubleArray) -> tuple[float, DoubleArray, DoubleArray]:
    """(loss, slope (columns, units), hessian) of all rows: one pass."""
    width, units = theta.shape
    loss, slope = 0.0, np.zeros((width, units))
    hessian = np.zeros((units, width, units, width))
    for block in problem.rows:
        z = problem.design.of(block)
        terms = problem.likelihood(theta.T @ z.T, block.y, block.weight)
        loss += terms.loss
        slope += (terms.slope @ z).T
        for k in range(units):
            for other in range(k, units):
                part = (z * terms.curvature[k, other][:, None]).T @ z
                hessian[k, :, other] += part
                if other > k:
                    hessian[other, :, k] += part
    pull = problem.penalty[:, None] * theta
    loss += 0.5 * float((pull * theta).sum())
    for k in range(units):
        hessian[k, :, k] += np.diag(problem.penalty)
    return loss, slope + pull, hessian.reshape(units * width, units * width)


def newton(problem: Problem, start: DoubleArray, tol: float, most: int) -> Found:
    """The coefficients of the least loss. tol: the largest step, of coefficients of standardised columns, at the end.

    A step that makes the loss larger is halved. Each try is one pass over the rows.
    """
    theta = start
    loss, slope, hessian = derivatives(problem, theta)
    passes, runaway = 1, np.zeros(0, np.intp)
    weight = problem.design.moments.weight
    while True:
        step = _step(problem, theta, slope, hessian)
        size = float(np.abs(step).max(initial=0))
        gain = -float((slope * step).sum()) / weight
        if size <= tol * (1 + float(np.abs(theta).max(initial=0))):
            return Found(theta + step, loss, hessian, passes, True, runaway)
        if gain < _FLAT and size >= _MOVES and passes > 4:
            moved = np.abs(step).max(axis=1)
            lead = int(problem.design.intercept)
            places = np.flatnonzero(moved[lead:] >= 0.05 * moved[lead:].max(initial=0))
            return Found(theta, loss, hessian, passes, True, problem.design.kept[places])
        if passes >= most:
            return Found(theta, loss, hessian, passes, False, runaway)
        share = 1.0
        while True:
            tried = derivatives(problem, theta + share * step)
            passes += 1
            if np.isfinite(tried[0]) and tried[0] <= loss + 1e-12 * abs(loss):
                break
            share /= 2 if np.isfinite(tried[0]) else 8
            if share < 1e-10 or passes >= most + 50:
                return Found(theta, loss, hessian, passes, False, runaway)
        theta = theta + share * step
        loss, slope, hessian = tried


def _step(problem: Problem, theta: DoubleArray, slope: DoubleArray, hessian: DoubleArray) -> DoubleArray:
    width, units = theta.shape
    right = -slope.ravel(order="F")
    if problem.tied:
        # The direction in which nothing changes is given a slope of its own, so that the step has none along it.
        hessian = hessian.copy()
        places = np.arange(units) * width
        hessian[np.ix_(places, places)] += hessian.diagonal().mean() / units
    if problem.signs.any():
        # The least of the square that touches here, among coefficients of the right signs.
        flat = theta.ravel(order="F")
        best = signed(hessian, right + hessian @ flat, np.tile(problem.signs, units))
        return (best - flat).reshape(width, units, order="F")
    return solved(hessian, right).reshape(width, units, order="F")
