"""The network of an estimator: a fastnn model on whose weights ``coefs_`` and ``intercepts_`` are views."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from fastnn import layers, losses, optimizers, regularizers
from fastnn.models import Sequential
from fastnn.optimizers import OPTIMIZERS, Optimizer
from fastnn.sklearn.rows import Rows
from fastnn.typing import Array, FloatArray

ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}  # scikit-learn's names, where others


class Plan(NamedTuple):
    """What a network is made of. units: of the rows and of each layer. activations: of all layers.

    dropout: after each hidden layer. alpha: the penalty alpha / 2 * sum w^2 on the kernels, which is divided by the
    rows of a batch, or their weights, as the loss is; `rows`: how many a batch mostly has. importance: what the loss
    counts.
    """

    units: tuple[int, ...]
    activations: tuple[Any, ...]
    dropout: tuple[float, ...]
    alpha: float
    rows: float
    loss: Any
    importance: float
    seed: int = 0


class Net:
    """A model of dense layers with its optimizer, and its weights as views: `coefs`, `intercepts`."""

    def __init__(self, plan: Plan, optimizer: Optimizer) -> None:
        self.plan = plan
        *hidden, last = plan.units[1:]
        penalty = regularizers.L2(plan.alpha / 2 / plan.rows) if plan.alpha else None
        given: dict[str, Any] = {"kernel_initializer": "zeros", "kernel_regularizer": penalty}
        members: list[Any] = []
        for units, activation, rate in zip(hidden, plan.activations, plan.dropout, strict=False):
            members.append(layers.Dense(units, _called(activation), **given))
            if rate:
                members.append(layers.Dropout(rate))
        members.append(layers.Dense(last, _called(plan.activations[-1]), **given))
        self.model = Sequential(members)
        self.model.description.seed = plan.seed  # or one would be drawn from the generator of all
        self.model.build((None, plan.units[0]))
        self.model.compile(optimizer, plan.loss, plan.importance)
        self.trainer = self.model.description.trainer
        self.optimizer: Any = self.model.optimizer
        self.network = self.trainer.configured()
        self.network.penalty_rows = plan.rows
        views = self.model.description.views()
        self.coefs, self.intercepts = views[0::2], views[1::2]

    # Weights.

    def runs_on(self, coefs: Sequence[Array], intercepts: Sequence[Array]) -> bool:
        """Whether these are the network's own arrays, none of them replaced."""
        return (
            len(coefs) == len(intercepts) == len(self.coefs)
            and all(map(is_, coefs, self.coefs))
            and all(map(is_, intercepts, self.intercepts))
        )

    def take(self, coefs: Sequence[Any], intercepts: Sequence[Any]) -> None:
        """Take these weights. ValueError where one has another shape."""
        own = [*self.coefs, *self.intercepts]
        given = [np.asarray(array) for array in (*coefs, *intercepts)]
        shapes = [view.shape for view in own]
        if [array.shape for array in given] != shapes:
            raise ValueError(
                f"coefs_ and intercepts_ must have the shapes {shapes}, as the parameters say, got "
                f"{[array.shape for array in given]}; fit the estimator anew after hidden_layer_sizes has changed"
            )
        for view, array in zip(own, given, strict=True):
            view[...] = array

    def kept(self) -> list[FloatArray]:
        """Copies of all weights."""
        return [view.copy() for view in (*self.coefs, *self.intercepts)]

    def restore(self, kept: Sequence[Array]) -> None:
        """Take back what ``kept`` gave."""
        for view, array in zip((*self.coefs, *self.intercepts), kept, strict=True):
            view[...] = array

    # The optimizer's state.

    def state(self) -> dict[str, Any]:
        """What a pickle holds of the optimizer, beside its weights: numbers and arrays."""
        steps, slots = self.trainer.state()
        rate = self.optimizer.learning_rate
        found = {"steps": steps, "slots": slots, "huge": self.trainer.huge_gradient}
        return found | ({"rate": float(rate)} if isinstance(rate, float) else {})

    def go_on(self, state: dict[str, Any]) -> None:
        """Take up what ``state`` gave; where another optimizer has come in between, that begins afresh."""
        if state["steps"] and state["slots"].keys() != set(self.trainer.slot_names()):
            return
        if "rate" in state:
            self.optimizer.learning_rate = state["rate"]
        self.trainer.go_on(state["steps"], state["slots"], state["huge"])
        self.network.penalty_rows = self.plan.rows

    # Runs.

    def epoch(self, rows: Rows, batch_size: int) -> tuple[float, float]:
        """One pass: the means over the rows of the loss with penalties, and of the loss alone.

        FloatingPointError where a batch was not finite; the weights are those before it.
        """
        network, optimizer, total, alone = self.network, self.optimizer, 0.0, 0.0
        rates: Any = optimizer.learning_rate
        rate = float(rates) if isinstance(rates, float) else None
        rows.shuffle()
        for x, y, weight, order, _, _ in rows.in_order(batch_size):
            if rate is None:
                rates = optimizer.rates(network.iterations, -(-len(x if order is None else order) // batch_size))
            _, loss, well = network.fit_epoch(x, y, weight, order, batch_size, rates if rate is None else rate)
            if not well:
                raise FloatingPointError("the loss or a gradient is not finite")
            total += loss
            alone += network.losses_of_outputs[0]
        return total / rows.rows, alone / rows.rows

    def outputs(self, x: Any) -> FloatArray:
        """What the network gives for rows, dense or sparse."""
        found: FloatArray = self.network.predict(x)
        return found


def _called(activation: Any) -> Any:
    """An activation by the name that fastnn has for it."""
    return ACTIVATIONS.get(activation, activation) if isinstance(activation, str) else activation


def optimizer_of(solver: Any, given: Any) -> Optimizer:
    """The optimizer that `solver` names, with the arguments that scikit-learn has for it among those of `given`."""
    if isinstance(solver, Optimizer):
        return deepcopy(solver)
    rate = float(given.learning_rate_init)
    if solver == "adam":
        return optimizers.Adam(rate, beta_1=given.beta_1, beta_2=given.beta_2, epsilon=given.epsilon)
    if solver == "sgd":
        return optimizers.SGD(rate, momentum=given.momentum, nesterov=given.nesterovs_momentum)
    if solver == "lbfgs":
        return optimizers.LBFGS(tolerance_grad=given.tol)
    return OPTIMIZERS.find(solver)(rate)


def loss_of(given: Any) -> Any:
    """A loss; one by name divides by the weights of a batch's rows, as scikit-learn does, an object as it says."""
    return _by_weights(given) if isinstance(given, str) else losses.as_loss(given)


@cache
def _by_weights(name: str) -> Any:
    return replace(losses.as_loss(name), reduction="mean_with_sample_weight")
