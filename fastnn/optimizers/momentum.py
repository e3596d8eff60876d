"""Optimizers whose step has the gradient's direction, or only its sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import kernels
from fastnn._checks import check_flag, check_number, shown
from fastnn.optimizers.base import OPTIMIZERS, Optimizer
from fastnn.typing import DoubleArray

__all__ = ["SGD", "Lion", "Rprop"]


@OPTIMIZERS.add("sgd")
@dataclass
class SGD(Optimizer):
    """v = momentum * v - learning_rate * g; w += v, or with nesterov w += momentum * v - learning_rate * g.

    momentum: 0 to 1. The momentum step that textbooks write dW = a dW + b dL/dW is this one, with a = momentum and
    b = -learning_rate. Source: Polyak 1964; Sutskever et al. 2013.
    """

    learning_rate: Any = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    kernel = kernels.sgd

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "momentum", 0, 1, also="`momentum` must be a float between [0, 1].")
        check_flag(self, "nesterov")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def numbers(self) -> tuple[float, ...]:
        return (self.momentum, self.nesterov)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        if not self.momentum:
            return np.asarray(w - self.learning_rate * g)
        slots[0][...] = self.momentum * slots[0] - self.learning_rate * g
        if self.nesterov:
            return np.asarray(w + self.momentum * slots[0] - self.learning_rate * g)
        return np.asarray(w + slots[0])


@OPTIMIZERS.add("lion")
@dataclass
class Lion(Optimizer):
    """w -= learning_rate * sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g.

    beta_1: above 0, at most 1. beta_2: 0 to 1. A step has the same size in every weight: take a learning rate 3 to 10
    times smaller than Adam's. Source: Chen et al. 2023.
    """

    beta_1: float = 0.9
    beta_2: float = 0.99
    kernel = kernels.lion
    slots = ("momentum",)

    def __post_init__(self) -> None:
        super().__post_init__()
        also = "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates to SignSGD. "
        check_number(self, "beta_1", 0, 1, open_low=True, also=f"{also}Received: beta_1={shown(self.beta_1)}.")
        check_number(self, "beta_2", 0, 1)

    def numbers(self) -> tuple[float, ...]:
        return (self.beta_1, self.beta_2)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        direction = np.sign(self.beta_1 * slots[0] + (1 - self.beta_1) * g)
        slots[0][...] = self.beta_2 * slots[0] + (1 - self.beta_2) * g
        return np.asarray(w - self.learning_rate * direction)


@OPTIMIZERS.add("rprop")
@dataclass
class Rprop(Optimizer):
    """w -= step * sign(g), with a step for each weight: times etas[1] where g keeps its sign, times etas[0] where not.

    Where g changed its sign the weight stays, and the next g counts as new. The steps start at learning_rate and stay
    within step_sizes; etas: (above 0 and below 1, above 1). It follows signs, so it wants whole gradients: a batch
    size of all rows. Names and defaults are PyTorch's. Source: Riedmiller and Braun 1993; Igel and Huesken 2000,
    "Rprop-" without weight backtracking.
    """

    learning_rate: Any = 0.01
    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50.0)
    kernel = kernels.rprop
    slots = ("gradient", "step")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.etas = shrink, grow = _pair(self.etas, "etas")
        self.step_sizes = least, most = _pair(self.step_sizes, "step_sizes")
        if not 0 < shrink < 1 < grow < np.inf:
            raise ValueError(f"Rprop: etas must be a number between 0 and 1 and one above 1, got {self.etas}")
        if not 0 <= least <= most < np.inf:
            raise ValueError(f"Rprop: step_sizes must be at least 0 and in order, got {self.step_sizes}")

    @property
    def slot_starts(self) -> tuple[float, ...]:
        rate = self.rates(0, 1)
        return (0.0, rate if isinstance(rate, float) else float(rate[0]))

    def numbers(self) -> tuple[float, ...]:
        return (*self.etas, *self.step_sizes)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        last, steps = slots
        turn = np.sign(g) * np.sign(last)
        steps[...] = np.clip(
            steps * np.where(turn > 0, self.etas[1], np.where(turn < 0, self.etas[0], 1)), *self.step_sizes
        )
        last[...] = np.where(turn < 0, 0, g)
        return np.asarray(w - np.sign(last) * steps)


def _pair(values: Any, name: str) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"Rprop: {name} must be two numbers, got {shown(values)}") from None
    return low, high
