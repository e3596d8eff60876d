"""F-scores: precision and recall of each class in one number."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import kernels
from fastnn._checks import check_choice, check_number, written
from fastnn.losses.targets import SHARES
from fastnn.metrics.base import METRICS, AccumulatedMetric, declared, ratio, weights_of
from fastnn.metrics.weights import held
from fastnn.typing import Array, DoubleArray

__all__ = ["F1Score", "FBetaScore"]

PARTS = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")
AVERAGES = (None, "micro", "macro", "weighted")


class FScore(AccumulatedMetric):
    """(1 + beta^2) precision recall / (beta^2 precision + recall) of the classes."""

    kernel = kernels.class_counts
    takes = SHARES
    average: str | None
    beta: float
    threshold: float | None
    true_positives, false_positives = held(PARTS[0]), held(PARTS[1])
    false_negatives, intermediate_weights = held(PARTS[2]), held(PARTS[3])

    def __post_init__(self) -> None:
        super().__post_init__()
        values = "{None, 'micro', 'macro', 'weighted'}"
        check_choice(
            self,
            "average",
            *AVERAGES,
            also=f"Invalid `average` argument value. Expected one of: {values}. "
            f"Received: average={written(self.average)}",
        )
        also = f"Invalid `beta` argument value. It should be > 0. Received: beta={written(self.beta)}"
        check_number(self, "beta", 0, 1e100, open_low=True, also=also)  # its square is a number
        if self.threshold is not None:
            check_number(
                self,
                "threshold",
                0,
                1,
                open_low=True,
                also="Invalid `threshold` argument value. It should verify 0 < threshold <= 1. Received: "
                f"threshold={written(self.threshold)}",
            )

    def accumulator_numbers(self) -> tuple[float, ...]:
        return (0.0, 0.0) if self.threshold is None else (1.0, float(self.threshold))

    def reference(self, y: DoubleArray, output: DoubleArray, weight: DoubleArray | None = None) -> DoubleArray:
        w = weights_of(y, weight)[:, None]
        if self.threshold is None:
            top = np.where(np.isnan(output), -np.inf, output).max(axis=-1, keepdims=True, initial=-np.inf)
            taken = (output >= top) & (np.abs(output) > 1e-9)
        else:
            taken = output > self.threshold
        return np.concatenate([(w * y * taken).sum(axis=0), (w * taken).sum(axis=0), (w * y).sum(axis=0)])

    def parts_of(self, state: DoubleArray) -> dict[str, Array]:
        right, taken, true = state.reshape(3, -1)
        return dict(zip(PARTS, (right, taken - right, true - right, true), strict=True))

    def state_of(self, parts: dict[str, Array]) -> DoubleArray:
        given = [np.atleast_1d(parts[name]) for name in PARTS[:3]]
        # Zeros may be those of a metric that was reset after outputs of another width.
        width = next((len(part) for part in given if part.any()), len(given[0]))
        right, wrong, missed = (part if part.any() else np.zeros(width) for part in given)
        return np.concatenate([right, right + wrong, right + missed])

    def result_of(self, state: DoubleArray) -> Any:
        right, taken, true = state.reshape(3, -1)
        if self.average == "micro":
            right, taken, true = (np.array([sums.sum()]) for sums in (right, taken, true))
        precision, recall = ratio(right, taken), ratio(right, true)
        scores = (1 + self.beta**2) * ratio(precision * recall, self.beta**2 * precision + recall)
        if self.average is None:
            return scores
        if self.average == "weighted":
            return float(ratio((scores * true).sum(), true.sum()))
        return float(scores.mean())


@METRICS.add("fbeta_score", "f_beta_score")
@declared
class FBetaScore(FScore):
    """(1 + beta^2) precision recall / (beta^2 precision + recall) of each class, 0 where all of it is 0.

    y one-hot, several ones, or shares. average: None for an array of all classes, "macro" for their mean, "weighted"
    for the mean weighted by how often y has them, "micro" for the score of all classes' counts together. beta > 0.
    threshold: an output above it says that the row is of its class; None: the largest output does (all of equals, none
    if it is 0).
    """

    average: str | None = None
    beta: float = 1.0
    threshold: float | None = None
    name: str = "fbeta_score"


@METRICS.add("f1_score", "f1")
@declared
class F1Score(FScore):
    """2 precision recall / (precision + recall) of each class; average and threshold as FBetaScore's."""

    average: str | None = None
    threshold: float | None = None
    name: str = "f1_score"
    beta = 1.0
