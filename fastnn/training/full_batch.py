"""Epochs of an optimizer that asks for loss and gradient at points of its own choice, over all rows: L-BFGS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn.typing import Array, DoubleArray

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from fastnn.data import Page
    from fastnn.engine.description import Variable
    from fastnn.optimizers.lbfgs import Point


class Seen(NamedTuple):
    """A point at which the network was evaluated, and what its outputs and metrics were there."""

    w: Array
    loss: float
    losses: list[float]
    states: list[DoubleArray]


class FullBatch:
    """Takes an optimizer's steps on a network, each over all rows of a page; an epoch is one of them.

    It sees those numbers of the network's flat vector that learn; all others change without it.
    """

    def __init__(self, variables: Iterable[Variable] = ()) -> None:
        ranges = [np.arange(v.start, v.start + v.rows * v.columns) for v in variables]
        self._places = np.concatenate([np.arange(0), *ranges])
        self.state: dict[str, DoubleArray] = {}
        self.evaluations = 0  # of loss and gradient, in all steps
        self._known: Point | None = None
        self._end: Seen | None = None  # of the last step

    def step(self, optimizer: Any, network: Any, page: Page, rate: float) -> Seen:
        """One step; gives what was seen before it, which is what any optimizer's epoch reports.

        FloatingPointError, and no change, where the loss is not finite to begin with.
        """
        places = self._places
        before = network.parameters[places]
        seen: list[Seen] = []

        def closure(w: Array) -> tuple[float, Array]:
            self.evaluations += 1
            network.parameters[places] = w
            try:
                loss = network.gradient(page.x, page.y, page.weight, commit=not seen, noise=network.iterations)
            except FloatingPointError:
                if not seen:
                    raise
                return float("inf"), np.full_like(w, np.nan)
            seen.append(Seen(w, loss, network.losses_of_outputs, [state.copy() for state in network.states]))
            return loss, network.gradients[places]

        known = self._known
        changes = any(op.commits or op.random for op in network.ops)  # from one step to the next, whatever the weights
        if known is None or known.loss is None or self._end is None or changes or not np.array_equal(known.w, before):
            known = None
        else:
            seen.append(self._end)
        end = before
        try:
            self._known = optimizer.minimize_step(closure, before, self.state, rate, known)
            end = self._known.w
        finally:
            network.parameters[places] = end
        network.apply_constraints()
        network.iterations += 1
        self._end = next((point for point in seen if point.w is end), None)
        return seen[0]

    @property
    def point(self) -> Point | None:
        """Where the last step ended."""
        return self._known

    def forget(self) -> None:
        """The rows may be others from now on: what was seen at the last step's end holds no more."""
        self._known = self._end = None

    def slots(self, size: int) -> dict[str, DoubleArray]:
        """The optimizer's state as flat vectors of `size` numbers; step_0 and change_0 are its oldest pair."""
        own: dict[str, DoubleArray] = {}
        for name, value in self.state.items():
            own |= {name: value} if value.ndim == 1 else {f"{name[:-1]}_{i}": row for i, row in enumerate(value)}
        found = {name: np.zeros(size) for name in own}
        for name, value in own.items():
            found[name][self._places] = value
        return found

    def check_names(self, slots: Collection[str]) -> None:
        """ValueError where the names of a state's vectors are not those that `slots` gives them."""
        pairs = range(len(slots) // 2 - 1)
        if set(slots) != {"w", "gradient", *(f"{name}_{i}" for name in ("step", "change") for i in pairs)}:
            raise ValueError(f"L-BFGS keeps w, gradient, step_0, change_0, ..., not {', '.join(slots):.200}")

    def go_on(self, slots: Mapping[str, Array]) -> None:
        """Take up a state that `slots` gave. ValueError for vectors of other names."""
        self.forget()
        self.state = {}
        if not slots:
            return
        self.check_names(slots)
        pairs = range(len(slots) // 2 - 1)
        steps, changes = ([f"{name}_{i}" for i in pairs] for name in ("step", "change"))
        own = {name: np.asarray(flat[self._places], np.float64) for name, flat in slots.items()}
        self.state = {"w": own["w"], "gradient": own["gradient"]}
        for name, rows in (("steps", steps), ("changes", changes)):
            self.state[name] = np.array([own[row] for row in rows]).reshape(len(rows), self._places.size)
