"""Optimizers: how a step turns the gradient into new weights.

Formulas, names and defaults are Keras 3's. Each is one kernel that passes once over the flat parameter vector;
``reference`` is the same step in float64 NumPy. `learning_rate` may be changed between epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import kernels
from fastnn._table import Table, check_number
from fastnn.typing import DoubleArray


@dataclass
class Optimizer:
    """A rule for one step. `slots` names the vectors that it keeps beside the weights."""

    table_name: ClassVar[str]
    kernel: ClassVar[Any]
    learning_rate: float = 0.001

    def __post_init__(self) -> None:
        check_number(self, "learning_rate", 0)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the vectors, each as long as the weights, that it keeps."""
        return ()

    def numbers(self) -> tuple[float, ...]:
        """The optimizer's own numbers, as its kernel reads them."""
        return ()

    def rates(self, first_step: int, count: int) -> float | DoubleArray:
        """The learning rate of `count` steps from number `first_step` on, from 0: one for all, or one for each."""
        return float(self.learning_rate)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        """The weights after step number t (from 1), in float64; the slots are updated in place."""
        raise TypeError(f"{type(self).__name__} has no reference")


OPTIMIZERS: Table[Optimizer] = Table("optimizer", Optimizer)


@OPTIMIZERS.add("sgd")
@dataclass
class SGD(Optimizer):
    """v = momentum * v - learning_rate * g; w += v, or with nesterov w += momentum * v - learning_rate * g.

    momentum: 0 to 1. The momentum step that textbooks write dW = a dW + b dL/dW is this one, with a = momentum and
    b = -learning_rate. Source: Polyak 1964; Sutskever et al. 2013.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    kernel = kernels.sgd

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "momentum", 0, 1)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def numbers(self) -> tuple[float, ...]:
        return (self.momentum, self.nesterov)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        if not self.momentum:
            return w - self.learning_rate * g
        slots[0][...] = self.momentum * slots[0] - self.learning_rate * g
        if self.nesterov:
            return w + self.momentum * slots[0] - self.learning_rate * g
        return w + slots[0]


@OPTIMIZERS.add("rmsprop")
@dataclass
class RMSprop(Optimizer):
    """v = rho * v + (1 - rho) * g^2; w -= learning_rate * g / sqrt(v + epsilon).

    momentum > 0: the step is added to momentum * the last one. centered: the square of the average gradient is taken
    off v. rho, momentum: 0 to 1. epsilon stands inside the root, as in Keras. Source: Tieleman and Hinton 2012.
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False
    kernel = kernels.rmsprop

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "rho", 0, 1)
        check_number(self, "momentum", 0, 1)
        check_number(self, "epsilon", 0)

    @property
    def slots(self) -> tuple[str, ...]:
        momentum = ("momentum",) if self.momentum else ()
        return ("velocity", *momentum, "average_gradient") if self.centered else ("velocity", *momentum)

    def numbers(self) -> tuple[float, ...]:
        return (self.rho, self.momentum, self.epsilon, self.centered)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        slot = dict(zip(self.slots, slots, strict=True))
        slot["velocity"][...] = self.rho * slot["velocity"] + (1 - self.rho) * g**2
        spread = slot["velocity"]
        if self.centered:
            slot["average_gradient"][...] = self.rho * slot["average_gradient"] + (1 - self.rho) * g
            spread = np.maximum(spread - slot["average_gradient"] ** 2, 0)  # a variance, but for rounding
        step = self.learning_rate * g / np.sqrt(spread + self.epsilon)
        if self.momentum:
            slot["momentum"][...] = self.momentum * slot["momentum"] + step
            step = slot["momentum"]
        return w - step


@OPTIMIZERS.add("adam")
@dataclass
class Adam(Optimizer):
    """m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g^2; w -= rate m / (sqrt(v) + epsilon).

    rate = learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t). beta_1, beta_2: 0 to below 1. epsilon is the paper's
    "epsilon hat", as in Keras (PyTorch's stands beside the corrected root). amsgrad: the largest v so far in place of
    v. Source: Kingma and Ba 2015; Reddi et al. 2018.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    kernel = kernels.adam

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "beta_1", 0, 1, open_high=True)
        check_number(self, "beta_2", 0, 1, open_high=True)
        check_number(self, "epsilon", 0)

    @property
    def decay(self) -> float:
        """Share of the learning rate by which weights shrink at each step."""
        return 0.0

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity", "largest_velocity") if self.amsgrad else ("momentum", "velocity")

    def numbers(self) -> tuple[float, ...]:
        return (self.beta_1, self.beta_2, self.epsilon, self.decay, self.amsgrad)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        m, v = slots[:2]
        m[...] = self.beta_1 * m + (1 - self.beta_1) * g
        v[...] = self.beta_2 * v + (1 - self.beta_2) * g**2
        root = v
        if self.amsgrad:
            slots[2][...] = root = np.maximum(slots[2], v)
        rate = self.learning_rate * np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        w = w - self.learning_rate * self.decay * w
        return np.asarray(w - rate * m / (np.sqrt(root) + self.epsilon))


@OPTIMIZERS.add("adamw")
@dataclass
class AdamW(Adam):
    """Adam after w -= learning_rate * weight_decay * w. weight_decay: 0 or more. Source: Loshchilov and Hutter 2019."""

    weight_decay: float = 0.004

    def __init__(
        self,
        learning_rate: float = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
    ) -> None:
        # Keras puts weight_decay second.
        self.weight_decay = weight_decay
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "weight_decay", 0)

    @property
    def decay(self) -> float:
        return float(self.weight_decay)


def get(identifier: Any) -> Optimizer:
    """An optimizer from its name, class, instance or configuration. ValueError for an unknown name."""
    if isinstance(identifier, dict):
        return OPTIMIZERS.from_config(identifier)
    return OPTIMIZERS.get(identifier)
