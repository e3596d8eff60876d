"""Correlations: how the outputs of a row go along with its targets."""

from __future__ import annotations

import numpy as np

from fastnn import kernels
from fastnn._checks import check_count, shown
from fastnn.losses.base import EPSILON
from fastnn.metrics.base import METRICS, MeanMetric, declared, ratio
from fastnn.typing import DoubleArray

__all__ = ["ConcordanceCorrelation", "PearsonCorrelation"]

ROUNDING = 1e-28  # a row whose variance is so small a share of its squared mean is constant


class Correlation(MeanMetric):
    """A coefficient of each row."""

    by_row = True
    axis: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if check_count(f"{type(self).__name__}: axis", self.axis, -64, 63) != -1:
            raise ValueError(
                f"{type(self).__name__}: axis must be -1, the outputs of a row, got {shown(self.axis)}; the function "
                "of this name takes any axis of arrays"
            )

    def check(self, targets: int, units: int, whose: str = "y") -> None:
        super().check(targets, units, whose)
        if units == 1:
            raise ValueError(
                f"metric {self.name!r} is of the outputs of a row, of which one alone has none; for rows of one output "
                "take R2Score"
            )


def moments(y: DoubleArray, output: DoubleArray) -> tuple[DoubleArray, ...]:
    """(covariance, variance of y, variance of the output, mean of y, mean of the output) of each row."""
    mean_y, mean = y.mean(axis=-1), output.mean(axis=-1)
    apart_y, apart = y - mean_y[..., None], output - mean[..., None]
    return (apart_y * apart).mean(axis=-1), (apart_y**2).mean(axis=-1), (apart**2).mean(axis=-1), mean_y, mean


@METRICS.add("pearson_correlation")
@declared
class PearsonCorrelation(Correlation):
    """Covariance of a row's outputs and targets / the root of their variances; 0 where either are all the same.

    From -1 to 1, the mean over rows; each row has several outputs. axis: -1.
    """

    name: str = "pearson_correlation"
    axis: int = -1
    kernel = kernels.pearson_correlation

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        both, of_y, of_output, mean_y, mean = moments(y, output)
        constant = (of_y <= ROUNDING * mean_y**2) | (of_output <= ROUNDING * mean**2)
        return ratio(both, np.where(constant, 0, np.sqrt(of_y) * np.sqrt(of_output)))


@METRICS.add("concordance_correlation")
@declared
class ConcordanceCorrelation(Correlation):
    """2 * covariance of a row's outputs and targets / (the sum of their variances + the square of how far their means
    are apart + 1e-7): 1 where they are the same.

    From -1 to 1, the mean over rows; each row has several outputs. axis: -1. Source: Lin 1989.
    """

    name: str = "concordance_correlation"
    axis: int = -1
    kernel = kernels.concordance_correlation

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        both, of_y, of_output, mean_y, mean = moments(y, output)
        return np.asarray(2 * both / (of_y + of_output + (mean_y - mean) ** 2 + EPSILON))
