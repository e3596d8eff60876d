"""L-BFGS: a quasi-Newton method for whole gradients, with few points rather than many small steps.

It has no kernel: it asks for loss and gradient at points of its own choice. What it does between them is a few passes
over a flat vector, in float64. Sums are NumPy's, of products, never a BLAS's: they do not depend on threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastnn._checks import MOST, check_choice, check_count, check_number
from fastnn.optimizers.base import OPTIMIZERS, Optimizer
from fastnn.typing import Array, DoubleArray

__all__ = ["LBFGS"]

# w -> (loss, gradient at w)
Closure = Callable[[Array], tuple[float, Array]]
# Nocedal and Wright 2006, page 62: how much of the slope's promise a step must keep, and how flat it must end.
DECREASE, CURVATURE = 1e-4, 0.9


class Point(NamedTuple):
    """Where a step ended: the weights, with loss and gradient there (None where they were not asked for)."""

    w: Array
    loss: float | None = None
    gradient: DoubleArray | None = None


@OPTIMIZERS.add("lbfgs")
@dataclass
class LBFGS(Optimizer):
    """w += rate * d, where d = -H g and H is the inverse Hessian as the last history_size steps show it.

    Each step looks at all rows: one epoch is one step. line_search: "strong_wolfe" takes a rate that lowers the loss
    enough and flattens its slope, in at most max_evaluations trials, the first at learning_rate; None takes
    learning_rate as it is. (The first step of all is no longer than learning_rate, as the sum of its numbers' sizes.)
    tolerance_grad: the weights stay where no number of the gradient is larger; tolerance_change: where the slope along
    d or the interval in which a rate is looked for is smaller. Weight decay, clipping, accumulation and averages have
    no meaning for it. Source: Liu and Nocedal 1989; Nocedal and Wright 2006, algorithms 3.5, 3.6 and 7.4. Rates, names
    and defaults are PyTorch's, but for line_search and history_size, which are SciPy's.
    """

    learning_rate: Any = 1.0
    history_size: int = 10
    line_search: str | None = "strong_wolfe"
    max_evaluations: int = 25
    tolerance_grad: float = 1e-7
    tolerance_change: float = 1e-9
    full_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("LBFGS: history_size", self.history_size, most=MOST)
        check_count("LBFGS: max_evaluations", self.max_evaluations, most=MOST)
        check_number(self, "tolerance_grad", 0)
        check_number(self, "tolerance_change", 0)
        check_choice(self, "line_search", "strong_wolfe", None)
        for name in ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"LBFGS takes no {name}: it follows the loss itself; use a regularizer, or another optimizer"
                )
        if self.use_ema:
            raise ValueError("LBFGS takes no use_ema: its steps do not waver; use another optimizer")

    def minimize_step(
        self, closure: Closure, w: Array, state: dict[str, DoubleArray], rate: float, known: Point | None = None
    ) -> Point:
        """One step from the weights `w` (n,): where it ended.

        state: {} before the first step, and its own from then on: "w" and "gradient" of the last step's start (n,),
        and "steps" and "changes" of the gradient (k, n), the latest last. known: what the step before gave, if neither
        the weights nor the loss have changed since. Points have the type of `w`, all else is float64.
        """
        loss, g = (known.loss, known.gradient) if known is not None else (None, None)
        if loss is None or g is None:
            loss, g = _at(closure, w)
        if np.abs(g).max(initial=0.0) <= self.tolerance_grad:
            return Point(w, loss, g)
        first = not state
        self._remember(state, w, g)
        d = _direction(g, state["steps"], state["changes"])
        slope = _dot(g, d)
        if not slope < -self.tolerance_change:
            return Point(w, loss, g)
        if first:
            rate = rate * min(1.0, 1.0 / float(np.abs(g).sum()))
        if self.line_search is None:
            return Point((w + rate * d).astype(w.dtype))
        start = _Trial(0.0, loss, slope, g, w)
        tolerance = self.tolerance_change / float(np.abs(d).max())
        end = _Search(closure, start, d, tolerance, self.max_evaluations).run(rate)
        if end is start:  # no way down that rounding leaves: next time, look along the gradient
            state.clear()
        return Point(end.w, end.loss, end.gradient)

    def _remember(self, state: dict[str, DoubleArray], w: Array, g: DoubleArray) -> None:
        here = w.astype(np.float64)
        steps = state.get("steps", np.empty((0, w.size)))
        changes = state.get("changes", np.empty((0, w.size)))
        if state:
            step, change = here - state["w"], g - state["gradient"]
            # Byrd, Lu, Nocedal and Zhu 1995, eq. 3.9: else H would not be positive definite, but for rounding.
            if _dot(step, change) > np.finfo(float).eps * _dot(change, change):
                steps = np.vstack([steps, step])[-self.history_size :]
                changes = np.vstack([changes, change])[-self.history_size :]
        state.update(w=here, gradient=g, steps=steps, changes=changes)


def _dot(a: DoubleArray, b: DoubleArray) -> float:
    return float(np.add.reduce(a * b))


def _at(closure: Closure, w: Array) -> tuple[float, DoubleArray]:
    loss, gradient = closure(w)
    return float(loss), np.array(gradient, np.float64)


def _direction(g: DoubleArray, steps: DoubleArray, changes: DoubleArray) -> DoubleArray:
    """-H g. Nocedal and Wright, algorithm 7.4, from H0 = s.y / y.y of the latest pair, eq. 7.20."""
    d, scaled = -g, np.empty_like(g)
    weights = (1 / np.add.reduce(steps * changes, axis=1)).tolist()
    pairs = list(zip(steps, changes, weights, strict=True))
    shares = []
    for s, y, weight in reversed(pairs):
        shares.append(weight * _dot(s, d))
        d -= np.multiply(y, shares[-1], out=scaled)
    if pairs:
        d /= pairs[-1][2] * _dot(pairs[-1][1], pairs[-1][1])
    for (s, y, weight), share in zip(pairs, reversed(shares), strict=True):
        d += np.multiply(s, share - weight * _dot(y, d), out=scaled)
    return d


class _Trial(NamedTuple):
    rate: float
    loss: float
    slope: float  # of the loss along the direction
    gradient: DoubleArray
    w: Array


class _Search:
    """A rate for which the strong Wolfe conditions hold, or the best one that was met."""

    def __init__(self, closure: Closure, start: _Trial, d: DoubleArray, tolerance: float, evaluations: int) -> None:
        self.closure, self.start, self.d = closure, start, d
        self.tolerance, self.left = tolerance, evaluations

    def run(self, rate: float) -> _Trial:
        """Nocedal and Wright, algorithm 3.5: larger and larger rates, until one is too large or good."""
        last, trial = self.start, self.finite(self.start, rate)
        first = True
        while not self.good(trial):
            if self.high(trial) or (trial.loss >= last.loss and not first) or trial.slope >= 0:
                return self.zoom(last, trial)
            if not self.left:
                break
            reach = trial.rate + 0.01 * (trial.rate - last.rate), 10 * trial.rate
            last, trial, first = trial, self.finite(trial, _lowest(last, trial, *reach)), False
        return min(self.start, trial, key=lambda point: point.loss)

    def zoom(self, one: _Trial, other: _Trial) -> _Trial:
        """Algorithm 3.6: a good rate lies between two, of which `low` has the lower loss; they close in on it.

        A trial next to an end of the interval, twice in a row or outside it, moves a tenth inwards (Schmidt's minFunc).
        """
        low, high = sorted((one, other), key=lambda point: point.loss)
        was_near = False
        while self.left and abs(high.rate - low.rate) >= self.tolerance:
            left, right = sorted((low.rate, high.rate))
            rate = _lowest(low, high, left, right)
            margin = 0.1 * (right - left)
            near = min(right - rate, rate - left) < margin
            if near and (was_near or rate in (left, right)):
                rate = right - margin if right - rate < rate - left else left + margin
                near = False
            was_near = near
            trial = self.at(rate)
            if self.high(trial) or trial.loss >= low.loss:
                low, high = sorted((low, trial), key=lambda point: point.loss)
                continue
            if self.good(trial):
                return trial
            if trial.slope * (high.rate - low.rate) >= 0:
                high = low
            low = trial
        return low

    def high(self, trial: _Trial) -> bool:
        """Whether the loss has not fallen enough (Armijo's condition)."""
        return not trial.loss <= self.start.loss + DECREASE * trial.rate * self.start.slope

    def good(self, trial: _Trial) -> bool:
        return not self.high(trial) and abs(trial.slope) <= -CURVATURE * self.start.slope

    def at(self, rate: float) -> _Trial:
        self.left -= 1
        w = (self.start.w + rate * self.d).astype(self.start.w.dtype)
        loss, gradient = _at(self.closure, w)
        return _Trial(rate, loss, _dot(gradient, self.d), gradient, w)

    def finite(self, last: _Trial, rate: float) -> _Trial:
        """The trial at `rate`; where the loss is not finite there, half way back, and again."""
        trial = self.at(rate)
        while self.left and not (np.isfinite(trial.loss) and np.isfinite(trial.slope)):
            rate = 0.5 * (last.rate + rate)
            trial = self.at(rate)
        return trial


def _lowest(a: _Trial, b: _Trial, low: float, high: float) -> float:
    """Where the cubic through two trials' losses and slopes is lowest, eq. 3.59; from low to high."""
    if a.rate > b.rate:
        a, b = b, a
    bend = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.rate - b.rate)
    square = bend**2 - a.slope * b.slope
    root = float(np.sqrt(max(square, 0.0)))
    width = b.slope - a.slope + 2 * root
    if not square >= 0 or width == 0:  # no lowest point, or a straight line
        return 0.5 * (low + high)
    return min(max(b.rate - (b.rate - a.rate) * (b.slope + root - bend) / width, low), high)
