"""Epochs of an optimizer that asks for loss and gradient at points of its own choice, over all rows: L-BFGS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn.typing import Array, DoubleArray

if TYPE_CHECKING:
    from fastnn.data import Page
    from fastnn.optimizers.lbfgs import Point


class Seen(NamedTuple):
    """A point at which the network was evaluated, and what its outputs and metrics were there."""

    w: Array
    loss: float
    losses: list[float]
    states: list[DoubleArray]


class FullBatch:
    """Takes an optimizer's steps on a network, each over all rows of a page; an epoch is one of them."""

    def __init__(self) -> None:
        self.state: dict[str, DoubleArray] = {}
        self._known: Point | None = None
        self._end: Seen | None = None  # of the last step

    def step(self, optimizer: Any, network: Any, page: Page, rate: float) -> Seen:
        """One step; gives what was seen before it, which is what any optimizer's epoch reports.

        FloatingPointError, and no change, where the loss is not finite to begin with.
        """
        before = network.parameters.copy()
        seen: list[Seen] = []

        def closure(w: Array) -> tuple[float, Array]:
            network.parameters[...] = w
            try:
                loss = network.gradient(page.x, page.y, page.weight)
            except FloatingPointError:
                if not seen:
                    raise
                return float("inf"), np.full_like(network.gradients, np.nan)
            seen.append(Seen(w, loss, network.losses_of_outputs, [state.copy() for state in network.states]))
            return loss, network.gradients

        known = self._known
        if known is None or known.loss is None or self._end is None or not np.array_equal(known.w, before):
            known = None
        else:
            seen.append(self._end)
        end = before
        try:
            self._known = optimizer.minimize_step(closure, before, self.state, rate, known)
            end = self._known.w
        finally:
            network.parameters[...] = end
        network.iterations += 1
        self._end = next((point for point in seen if point.w is end), None)
        return seen[0]
