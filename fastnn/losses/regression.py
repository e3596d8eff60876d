"""Losses of numbers: errors, counts, directions, quantiles and distributions. e = output - y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastnn import kernels
from fastnn._checks import check_count, check_number
from fastnn.losses.base import EPSILON, LOSSES, Loss
from fastnn.losses.targets import COUNTS
from fastnn.typing import DoubleArray

__all__ = [
    "CosineSimilarity",
    "GaussianNLL",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Pinball",
    "Poisson",
]


@LOSSES.add("mean_squared_error", "mse", "MSE")
class MeanSquaredError(Loss):
    """mean over units of e^2. (No factor 1/2.)"""

    kernel = kernels.mean_squared_error

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(((output - y) ** 2).mean(axis=-1))


@LOSSES.add("mean_absolute_error", "mae", "MAE")
class MeanAbsoluteError(Loss):
    """mean over units of |e|. Its slope where e is 0 is 0."""

    kernel = kernels.mean_absolute_error

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(np.abs(output - y).mean(axis=-1))


@LOSSES.add("mean_absolute_percentage_error", "mape", "MAPE")
class MeanAbsolutePercentageError(Loss):
    """100 times the mean over units of |e| / max(|y|, 1e-7). Its slope where e is 0 is 0."""

    kernel = kernels.mean_absolute_percentage_error

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(100 * (np.abs(output - y) / np.maximum(np.abs(y), EPSILON)).mean(axis=-1))


@LOSSES.add("mean_squared_logarithmic_error", "msle", "MSLE")
class MeanSquaredLogarithmicError(Loss):
    """mean over units of (log(1 + output) - log(1 + y))^2, both kept at least 1e-7; below, the slope is 0."""

    kernel = kernels.mean_squared_logarithmic_error
    takes = COUNTS

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        error = np.log1p(np.maximum(output, EPSILON)) - np.log1p(np.maximum(y, EPSILON))
        return np.asarray((error**2).mean(axis=-1))


@LOSSES.add("log_cosh", "logcosh")
class LogCosh(Loss):
    """mean over units of log(cosh(e)): near e^2 / 2 where e is small, |e| - log(2) where it is large."""

    kernel = kernels.log_cosh

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        size = np.abs(output - y)
        return np.asarray((size + np.log1p(np.exp(-2 * size)) - np.log(2)).mean(axis=-1))


@LOSSES.add("huber", "huber_loss")
@dataclass(frozen=True)
class Huber(Loss):
    """mean over units of e^2 / 2 if |e| <= delta else delta (|e| - delta / 2). Source: Huber 1964.

    delta: above 0.
    """

    delta: float = 1.0
    kernel = kernels.huber

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "delta", 0, open_low=True)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.delta),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        size = np.abs(output - y)
        return np.asarray(np.where(size <= self.delta, size**2 / 2, self.delta * (size - self.delta / 2)).mean(axis=-1))


@LOSSES.add("pinball", "quantile", "Quantile")
@dataclass(frozen=True)
class Pinball(Loss):
    """mean over units of quantile (y - output) if that is positive, else (1 - quantile) (output - y).

    The least expected value is at that quantile of y; at 0.5, the median, the loss is half the absolute error. Its
    slope where e is 0 is 0. quantile: above 0 and below 1. Source: Koenker and Bassett 1978.
    """

    quantile: float = 0.5
    kernel = kernels.pinball

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "quantile", 0, 1, open_low=True, open_high=True)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.quantile),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        short = y - output
        return np.asarray(np.maximum(self.quantile * short, (self.quantile - 1) * short).mean(axis=-1))


@LOSSES.add("poisson")
class Poisson(Loss):
    """mean over units of output - y log(output + 1e-7): a count y whose expectation is the output, at least 0."""

    kernel = kernels.poisson
    takes = COUNTS

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray((output - y * np.log(output + EPSILON)).mean(axis=-1))


@LOSSES.add("gaussian_nll", "GaussianNLLLoss")
@dataclass(frozen=True)
class GaussianNLL(Loss):
    """mean over targets of (log v + (y - m)^2 / v) / 2: a normal y of expectation m and variance v, learnt together.

    output (rows, 2 k) holds k expectations m, then k numbers s; v = e^s + epsilon, so a network's last layer is linear
    and s is the logarithm of the variance but for epsilon. y (rows, k). The constant log(2 pi) / 2 is left out.
    epsilon: above 0. ValueError for an odd number of outputs. Source: Nix and Weigend 1994. PyTorch's takes v itself,
    apart from m, and keeps it at least epsilon.
    """

    epsilon: float = 1e-6
    kernel = kernels.gaussian_nll

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "epsilon", 1e-30, 1)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.epsilon),)

    def targets(self, units: int) -> int:
        if units % 2:
            raise ValueError(
                f"GaussianNLL takes two outputs for each target, an expectation and a logarithm of a variance, got "
                f"{units} output(s); give the last layer 2 units for each column of y"
            )
        return units // 2

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        m, s = np.split(output, 2, axis=-1)
        v = np.exp(s) + self.epsilon
        return np.asarray((np.log(v) + (y - m) ** 2 / v).mean(axis=-1) / 2)


@LOSSES.add("cosine_similarity")
@dataclass(frozen=True)
class CosineSimilarity(Loss):
    """-y.output / (|y| |output|), from -1 (the same direction) to 1; a norm below 1e-7 counts as 1e-7.

    axis: that of the vectors; in training the last.
    """

    axis: int = -1
    kernel = kernels.cosine_similarity

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(f"{type(self).__name__}: axis", self.axis, -64, 63)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        norms = [np.maximum(np.sqrt((x**2).sum(axis=-1)), EPSILON) for x in (y, output)]
        return np.asarray(-(y * output).sum(axis=-1) / norms[0] / norms[1])
