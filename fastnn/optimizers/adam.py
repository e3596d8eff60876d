"""Adam and its kin: running averages of the gradient and of its size, freed of the bias from their start at 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import kernels
from fastnn._checks import MOST, check_count, check_flag, check_number
from fastnn.optimizers.base import OPTIMIZERS, Optimizer
from fastnn.typing import DoubleArray

__all__ = ["Adam", "AdamW", "Adamax", "Nadam", "ScheduleFreeAdamW"]


@dataclass
class AdamLike(Optimizer):
    learning_rate: Any = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "beta_1", 0, 1, open_high=True)
        check_number(self, "beta_2", 0, 1, open_high=True)
        check_number(self, "epsilon", 0)

    def numbers(self) -> tuple[float, ...]:
        return (self.beta_1, self.beta_2, self.epsilon)


@OPTIMIZERS.add("adam")
@dataclass
class Adam(AdamLike):
    """m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g^2; w -= rate m / (sqrt(v) + epsilon).

    rate = learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t). beta_1, beta_2: 0 to below 1. epsilon is the paper's
    "epsilon hat", as in Keras (PyTorch's stands beside the corrected root). amsgrad: the largest v so far in place of
    v. Source: Kingma and Ba 2015; Reddi et al. 2018.
    """

    amsgrad: bool = False
    kernel = kernels.adam

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "amsgrad")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity", "largest_velocity") if self.amsgrad else ("momentum", "velocity")

    def numbers(self) -> tuple[float, ...]:
        return (*super().numbers(), self.amsgrad)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        m, v = slots[:2]
        m[...] = self.beta_1 * m + (1 - self.beta_1) * g
        v[...] = self.beta_2 * v + (1 - self.beta_2) * g**2
        root = v
        if self.amsgrad:
            slots[2][...] = root = np.maximum(slots[2], v)
        rate = self.learning_rate * np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        return np.asarray(w - rate * m / (np.sqrt(root) + self.epsilon))


@OPTIMIZERS.add("adamw")
@dataclass
class AdamW(Adam):
    """Adam, with weight_decay unless told otherwise. weight_decay: 0 or more. Source: Loshchilov and Hutter 2019."""

    weight_decay: float | None = 0.004  # no longer keyword only: Keras puts it second

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight_decay is None:
            raise ValueError(
                "AdamW: Argument `weight_decay` must be a float. Received: weight_decay=None; without one it is Adam"
            )


@OPTIMIZERS.add("adamax")
class Adamax(AdamLike):
    """m = beta_1 m + (1 - beta_1) g; u = max(beta_2 u, |g|); w -= learning_rate / (1 - beta_1^t) * m / (u + epsilon).

    beta_1, beta_2: 0 to below 1. Source: Kingma and Ba 2015, section 7.1; epsilon is Keras's.
    """

    kernel = kernels.adamax
    slots = ("momentum", "norm")

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        m, u = slots
        m[...] = self.beta_1 * m + (1 - self.beta_1) * g
        u[...] = np.maximum(self.beta_2 * u, np.abs(g))
        return np.asarray(w - self.learning_rate / (1 - self.beta_1**t) * m / (u + self.epsilon))


@OPTIMIZERS.add("nadam")
class Nadam(AdamLike):
    """Adam with Nesterov's momentum: w -= learning_rate * m_hat / (sqrt(v_hat) + epsilon).

    m and v as Adam's; mu_t = beta_1 (1 - 0.96^t / 2); v_hat = v / (1 - beta_2^t);
    m_hat = mu_(t+1) m / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) g / (1 - mu_1 ... mu_t).
    beta_1, beta_2: 0 to below 1. Source: Dozat 2016; m is averaged with beta_1, as in Keras, not with mu_t.
    """

    kernel = kernels.nadam
    slots = ("momentum", "velocity")

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        m, v = slots
        m[...] = self.beta_1 * m + (1 - self.beta_1) * g
        v[...] = self.beta_2 * v + (1 - self.beta_2) * g**2
        mu = self.beta_1 * (1 - 0.5 * 0.96 ** np.arange(1.0, t + 2))
        ahead = mu[-1] * m / (1 - mu.prod()) + (1 - mu[-2]) * g / (1 - mu[:-1].prod())
        return np.asarray(w - self.learning_rate * ahead / (np.sqrt(v / (1 - self.beta_2**t)) + self.epsilon))


@OPTIMIZERS.add("schedulefreeadamw")
@dataclass
class ScheduleFreeAdamW(AdamLike):
    """Adam whose weights lie between z, which the gradients move, and x, the mean of all z: no schedule is needed.

    z -= learning_rate * g / (sqrt(v / (1 - beta_2^t)) + epsilon), with Adam's v; x += (z - x) / t;
    w = (1 - beta_1) z + beta_1 x. beta_1, beta_2: 0 to below 1. warmup_steps: over so many steps the learning rate
    rises from 0. z is at first the weights. Source: Defazio et al. 2024.
    """

    learning_rate: Any = 0.0025
    epsilon: float = 1e-8
    warmup_steps: int = 0
    kernel = kernels.schedule_free_adamw
    slots = ("momentum", "velocity")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("ScheduleFreeAdamW: warmup_steps", self.warmup_steps, 0, MOST)

    def numbers(self) -> tuple[float, ...]:
        return (*super().numbers(), self.warmup_steps)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        z, v = slots
        if t == 1:
            z[...] = w
        v[...] = self.beta_2 * v + (1 - self.beta_2) * g**2
        pulled = w - (1 - self.beta_1) * z  # beta_1 x
        rate = self.learning_rate * (min(t / self.warmup_steps, 1.0) if self.warmup_steps else 1.0)
        z[...] = z - rate * g / (np.sqrt(v / (1 - self.beta_2**t)) + self.epsilon)
        return np.asarray((1 - self.beta_1) * z + (1 - 1 / t) * pulled + self.beta_1 / t * z)
