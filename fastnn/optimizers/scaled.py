"""Optimizers that divide each weight's step by the size of its past gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import kernels
from fastnn._checks import check_flag, check_number
from fastnn.optimizers.base import OPTIMIZERS, Optimizer
from fastnn.typing import DoubleArray

__all__ = ["Adadelta", "Adagrad", "Ftrl", "RMSprop"]


@OPTIMIZERS.add("rmsprop")
@dataclass
class RMSprop(Optimizer):
    """v = rho * v + (1 - rho) * g^2; w -= learning_rate * g / sqrt(v + epsilon).

    momentum > 0: the step is added to momentum * the last one. centered: the square of the average gradient is taken
    off v. rho, momentum: 0 to 1. epsilon stands inside the root, as in Keras. Source: Tieleman and Hinton 2012.
    """

    learning_rate: Any = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False
    kernel = kernels.rmsprop
    slots_together = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "rho", 0, 1)
        check_number(self, "momentum", 0, 1)
        check_flag(self, "centered")
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
        return np.asarray(w - step)


@OPTIMIZERS.add("adagrad")
@dataclass
class Adagrad(Optimizer):
    """total += g^2; w -= learning_rate * g / sqrt(total + epsilon).

    total starts at initial_accumulator_value, 0 or more. epsilon stands inside the root, as in Keras (PyTorch's
    stands beside it). Source: Duchi et al. 2011.
    """

    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7
    kernel = kernels.adagrad
    slots = ("accumulator",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "initial_accumulator_value", 0)
        check_number(self, "epsilon", 0)

    @property
    def slot_starts(self) -> tuple[float, ...]:
        return (float(self.initial_accumulator_value),)

    def numbers(self) -> tuple[float, ...]:
        return (self.epsilon,)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        slots[0][...] += g**2
        return np.asarray(w - self.learning_rate * g / np.sqrt(slots[0] + self.epsilon))


@OPTIMIZERS.add("adadelta")
@dataclass
class Adadelta(Optimizer):
    """v = rho v + (1 - rho) g^2; s = g sqrt(u + epsilon) / sqrt(v + epsilon); u = rho u + (1 - rho) s^2; w -= rate s.

    rate is learning_rate: 1 in the paper, 0.001 in Keras. rho: 0 to 1. Source: Zeiler 2012, algorithm 1.
    """

    rho: float = 0.95
    epsilon: float = 1e-7
    kernel = kernels.adadelta
    slots = ("average_gradient", "average_step")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "rho", 0, 1)
        check_number(self, "epsilon", 0)

    def numbers(self) -> tuple[float, ...]:
        return (self.rho, self.epsilon)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        gradients, steps = slots
        gradients[...] = self.rho * gradients + (1 - self.rho) * g**2
        step = np.sqrt(steps + self.epsilon) / np.sqrt(gradients + self.epsilon) * g
        steps[...] = self.rho * steps + (1 - self.rho) * step**2
        return np.asarray(w - self.learning_rate * step)


@OPTIMIZERS.add("ftrl")
@dataclass
class Ftrl(Optimizer):
    """Follow the regularised leader: weights that depend on the sums of the gradients alone, exactly 0 where l1 holds.

    n' = n + g^2; z += g + 2 l2_shrinkage w - (n'^-power - n^-power) / rate * w;
    w = (clip(z, -l1, l1) - z) / ((n'^-power + beta) / rate + 2 l2).

    rate is learning_rate, above 0; power is learning_rate_power, at most 0 (-0.5: Adagrad's rates; 0: a constant one).
    n starts at initial_accumulator_value, 0 or more, as are the strengths l1, l2, l2_shrinkage and beta. The first step
    forgets the initial weights wherever the gradient is small. Source: McMahan et al. 2013; the names are Keras's.
    """

    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0
    kernel = kernels.ftrl
    slots = ("accumulator", "linear")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self._scheduled:
            check_number(self, "learning_rate", 0, open_low=True)
        check_number(self, "learning_rate_power", float("-inf"), 0, open_low=True)
        check_number(self, "initial_accumulator_value", 0)
        check_number(self, "l1_regularization_strength", 0)
        check_number(self, "l2_regularization_strength", 0)
        check_number(self, "l2_shrinkage_regularization_strength", 0)
        check_number(self, "beta", 0)

    @property
    def slot_starts(self) -> tuple[float, ...]:
        return (float(self.initial_accumulator_value), 0.0)

    def numbers(self) -> tuple[float, ...]:
        return (
            self.learning_rate_power,
            self.l1_regularization_strength,
            self.l2_regularization_strength,
            self.l2_shrinkage_regularization_strength,
            self.beta,
        )

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        total, linear = slots
        rate, l1 = self.learning_rate, self.l1_regularization_strength
        before = total**-self.learning_rate_power
        total += g**2
        after = total**-self.learning_rate_power
        linear += g + 2 * self.l2_shrinkage_regularization_strength * w - (after - before) / rate * w
        left = np.clip(linear, -l1, l1) - linear
        quadratic = (after + self.beta) / rate + 2 * self.l2_regularization_strength
        return np.asarray(np.divide(left, quadratic, out=np.zeros_like(w), where=left != 0))
