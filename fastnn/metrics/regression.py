"""Errors of regression: the losses of this kind as metrics, the root of the squared error, R^2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn import kernels, losses
from fastnn._checks import as_list, check_choice, check_count, check_number, shown
from fastnn.metrics.base import METRICS, AccumulatedMetric, LossMetric, declared, ratio, weights_of
from fastnn.typing import DoubleArray

__all__ = [
    "CosineSimilarity",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "R2Score",
    "RootMeanSquaredError",
]


@METRICS.add("mean_squared_error", "mse", "MSE")
@declared
class MeanSquaredError(LossMetric):
    """mean over units of (output - y)^2."""

    name: str = "mean_squared_error"
    loss = losses.MeanSquaredError()


@METRICS.add("root_mean_squared_error", "rmse")
@declared
class RootMeanSquaredError(LossMetric):
    """Square root of the mean over rows and units of (output - y)^2."""

    name: str = "root_mean_squared_error"
    loss = losses.MeanSquaredError()

    def result_of(self, total: float, weight: float) -> float:
        return float(np.sqrt(super().result_of(total, weight)))


@METRICS.add("mean_absolute_error", "mae", "MAE")
@declared
class MeanAbsoluteError(LossMetric):
    """mean over units of |output - y|."""

    name: str = "mean_absolute_error"
    loss = losses.MeanAbsoluteError()


@METRICS.add("mean_absolute_percentage_error", "mape", "MAPE")
@declared
class MeanAbsolutePercentageError(LossMetric):
    """100 times the mean over units of |output - y| / max(|y|, 1e-7)."""

    name: str = "mean_absolute_percentage_error"
    loss = losses.MeanAbsolutePercentageError()


@METRICS.add("mean_squared_logarithmic_error", "msle", "MSLE")
@declared
class MeanSquaredLogarithmicError(LossMetric):
    """mean over units of (log(1 + output) - log(1 + y))^2, both kept at least 1e-7."""

    name: str = "mean_squared_logarithmic_error"
    loss = losses.MeanSquaredLogarithmicError()


@METRICS.add("log_cosh_error", "logcosh")
@declared
class LogCoshError(LossMetric):
    """mean over units of log(cosh(output - y))."""

    name: str = "logcosh"
    loss = losses.LogCosh()


@METRICS.add("cosine_similarity")
@declared
class CosineSimilarity(LossMetric):
    """y.output / (|y| |output|), from -1 to 1 (the same direction); the loss of this name with the other sign.

    axis: that of the vectors.
    """

    name: str = "cosine_similarity"
    axis: int = -1
    loss = losses.CosineSimilarity()
    by_row = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(f"{type(self).__name__}: axis", self.axis, -64, 63)

    def result_of(self, total: float, weight: float) -> float:
        return -super().result_of(total, weight)


@METRICS.add("r2_score", "r2")
@declared
class R2Score(AccumulatedMetric):
    """1 - sum of (y - output)^2 / sum of (y - mean of y)^2, of each unit; a constant y gives 1 if met exactly, else 0.

    class_aggregation: "uniform_average" of the units, "variance_weighted_average", or None for an array of all.
    num_regressors p >= 0: unless 0, the result is 1 - (1 - R^2) (n - 1) / (n - p - 1), where n counts rows * units;
    p >= n - 1 leaves R^2 as it is.
    """

    class_aggregation: str | None = "uniform_average"
    num_regressors: int = 0
    name: str = "r2_score"
    kernel = kernels.column_moments

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(
            self,
            "class_aggregation",
            "uniform_average",
            "variance_weighted_average",
            None,
            also="Invalid value for argument `class_aggregation`",
        )
        check_number(self, "num_regressors", 0, also="Invalid value for argument `num_regressors`")

    def accumulator_numbers(self) -> tuple[float, ...]:
        return ()

    def reference(self, y: DoubleArray, output: DoubleArray, weight: DoubleArray | None = None) -> DoubleArray:
        w = weights_of(y, weight)[:, None]
        total = np.broadcast_to(w.sum(axis=0), y.shape[1:])
        mean = ratio((w * y).sum(axis=0), total)
        moments = [total, mean, (w * (y - mean) ** 2).sum(axis=0), (w * (y - output) ** 2).sum(axis=0)]
        return np.concatenate([*moments, [len(y)]])

    def merge_state(self, metrics: Iterable[Any]) -> None:
        for other in as_list("metrics", metrics, "metrics"):
            if type(other) is not type(self):
                raise TypeError(f"merge_state takes metrics of the class R2Score, got {shown(other)}")
            if not self.state.any():
                self.take_parts(other.parts())
                continue
            (n, mean, spread, residual), (m, of_other, its, more) = (
                metric.state[:-1].reshape(4, -1) for metric in (self, other)
            )
            total = n + m
            apart = (of_other - mean) * ratio(m, total)
            moments = [total, mean + apart, spread + its + n * (of_other - mean) * apart, residual + more]
            self.take_parts({"state": np.concatenate([*moments, self.state[-1:] + other.state[-1:]])})

    def result_of(self, state: DoubleArray) -> Any:
        weight, _, spread, residual = state[:-1].reshape(4, -1)
        count = state[-1] * len(spread)
        constant = np.where((residual == 0) & (weight > 0), 1.0, 0.0)
        scores = np.where(spread == 0, constant, 1 - ratio(residual, spread))
        if self.class_aggregation == "uniform_average":
            scores = scores.mean()
        elif self.class_aggregation is not None:
            scores = (scores * spread).sum() / spread.sum() if spread.sum() else scores.mean()
        if 0 < self.num_regressors < count - 1:
            scores = 1 - (1 - scores) * (count - 1) / (count - self.num_regressors - 1)
        return scores if self.class_aggregation is None else float(scores)
