"""The area under the curve of a classifier, by sums over thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._checks import check_choice, check_count, written
from fastnn._numbers import tuple_of_numbers
from fastnn._table import field_values
from fastnn.metrics.base import METRICS, declared, ratio
from fastnn.metrics.thresholds import MOST_THRESHOLDS, Counts, ThresholdMetric, counts, shares
from fastnn.metrics.weights import held
from fastnn.typing import Array, DoubleArray

__all__ = ["AUC"]

CURVES = ("ROC", "PR", "PRGAIN")
METHODS = ("interpolation", "minoring", "majoring")
END = 1e-7  # how far the first threshold is below 0, and the last above 1


@METRICS.add("auc", "AUC")
@declared
class AUC(ThresholdMetric):
    """Area under the ROC or the precision-recall curve through the points of `num_thresholds` thresholds.

    curve: "ROC", "PR", or "PRGAIN" (precision-recall gain, Flach & Kull 2015). summation_method: "interpolation"
    (trapezes; for PR Davis & Goadrich 2006), "minoring" or "majoring". num_thresholds: at least 2, evenly spaced from
    below 0 to above 1; the area is as exact as they are dense. thresholds: those between 0 and 1, instead; as an
    attribute it has all of them, both ends too.
    multi_label: an area for each column, and the mean of these, weighted by label_weights; else all elements make one
    curve, and label_weights weigh those of a column. from_logits: the output is before its sigmoid.
    """

    num_thresholds: int = 200
    curve: str = "ROC"
    summation_method: str = "interpolation"
    name: str = "auc"
    thresholds: Sequence[float] | None = None
    multi_label: bool = False
    num_labels: int | None = None
    label_weights: Sequence[float] | None = None
    from_logits: bool = False
    true_positives, false_positives = held("true_positives"), held("false_positives")
    true_negatives, false_negatives = held("true_negatives"), held("false_negatives")

    def __post_init__(self) -> None:
        super().__post_init__()
        # Keras takes "roc" and "ROC" alike.
        also = f'Invalid AUC curve value: "{written(self.curve)}".'
        self.curve = self.curve.upper() if isinstance(self.curve, str) else self.curve
        method = self.summation_method
        self.summation_method = method.lower() if isinstance(method, str) else method
        check_choice(self, "curve", *CURVES, also=also)
        check_choice(
            self, "summation_method", *METHODS, also=f'Invalid AUC summation method value: "{written(method)}".'
        )
        self._given = None if self.thresholds is None else sorted(shares(self, self.thresholds, 0.5))
        if self._given is not None:
            self.num_thresholds = len(self._given) + 2  # one that all outputs are above, and one that none is
        also = "Argument `num_thresholds` must be an integer > 1"
        check_count("AUC: num_thresholds", self.num_thresholds, 2, MOST_THRESHOLDS, also)
        if self.num_labels is not None and not self.multi_label:
            raise ValueError("AUC: num_labels goes with multi_label=True; leave it out")
        if self.label_weights is not None:
            self.label_weights = tuple(map(float, tuple_of_numbers(self.label_weights, "AUC: label_weights")))
        self.thresholds = [-END, *self.cuts(), 1 + END]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same metric again, by name, as JSON."""
        return super().get_config() | {"thresholds": self._given}

    def own_config(self) -> dict[str, Any] | None:
        """What a file holds: thresholds as they were given."""
        own = super().own_config()
        return {**field_values(self), "thresholds": self._given} if own is None else own

    @property
    def by_column(self) -> bool:  # type: ignore[override]
        """Whether the state keeps the columns apart."""
        return self.multi_label or self.label_weights is not None

    @property
    def width(self) -> int:
        return self.num_labels or (len(self.label_weights) if self.label_weights else 1)

    def cuts(self) -> tuple[float, ...]:
        """The thresholds between the first, that all outputs are above, and the last, that none is."""
        if self._given is not None:
            return tuple(self._given)
        return tuple((i + 1) / (self.num_thresholds - 1) for i in range(self.num_thresholds - 2))

    def check(self, targets: int, units: int, whose: str = "y") -> None:
        super().check(targets, units, whose)
        if (self.num_labels or self.label_weights) and units != self.width:
            raise ValueError(f"metric {self.name!r} is for {self.width} output(s), but there are {units}")

    def result_of(self, state: DoubleArray) -> float:
        passed = self.by_class(state)
        weights = np.ones(len(passed)) if self.label_weights is None else np.array(self.label_weights)
        if not self.multi_label:
            passed = np.tensordot(weights, passed, 1)[None]
        areas = self.areas(self.curve_counts(passed))
        if not self.multi_label:
            return float(areas[0])
        return float(ratio((areas * weights).sum(), weights.sum()))

    def by_class(self, state: DoubleArray) -> DoubleArray:
        """The state as (columns, kinds of target, thresholds passed)."""
        return state.reshape(-1, 2, len(self.cuts()) + 1)

    def counted(self, state: DoubleArray) -> Counts:
        return self.curve_counts(self.by_class(state))

    def state_of(self, parts: dict[str, Array]) -> DoubleArray:
        found = {name: np.atleast_2d(part.T if self.by_column else part) for name, part in parts.items()}
        # All outputs are above the first threshold and none is above the last.
        return self.passed(found)[:, :, 1:-1].ravel()

    def curve_counts(self, passed: DoubleArray) -> Counts:
        """The counts from the threshold that all outputs are above to the one that none is."""
        inner = counts(passed, self.cuts())
        everything, nothing = passed.sum(axis=-1), np.zeros((len(passed), 1))
        negatives, positives = everything[:, :1], everything[:, 1:]
        return Counts(
            np.concatenate([positives, inner.true_positives, nothing], axis=1),
            np.concatenate([negatives, inner.false_positives, nothing], axis=1),
            np.concatenate([nothing, inner.true_negatives, negatives], axis=1),
            np.concatenate([nothing, inner.false_negatives, positives], axis=1),
        )

    def areas(self, counts: Counts) -> DoubleArray:
        """The area of each column's curve."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            return interpolated_areas(counts)
        if self.curve == "ROC":
            x, y = counts.fall_out, counts.recall
        elif self.curve == "PR":
            x, y = counts.recall, counts.precision
        else:
            x, y = gains(counts)
        if self.summation_method == "interpolation":
            heights = (y[:, :-1] + y[:, 1:]) / 2
        elif self.summation_method == "minoring":
            heights = np.minimum(y[:, :-1], y[:, 1:])
        else:
            heights = np.maximum(y[:, :-1], y[:, 1:])
        return np.asarray(((x[:, :-1] - x[:, 1:]) * heights).sum(axis=-1))


def gains(counts: Counts) -> tuple[DoubleArray, DoubleArray]:
    """(recall gain, precision gain). Source: Flach & Kull 2015."""
    odds = ratio(counts.true_positives + counts.false_negatives, counts.true_negatives + counts.false_positives)
    found = counts.true_positives != 0
    recall = np.where(found, 1 - odds * ratio(counts.false_negatives, counts.true_positives), 0.0)
    precision = 1 - odds * ratio(counts.false_positives, counts.true_positives)
    return np.maximum(recall, 0.0), precision


def interpolated_areas(counts: Counts) -> DoubleArray:
    """Areas under precision-recall curves whose true and false positives go straight from one point to the next.

    Source: Davis & Goadrich 2006.
    """
    true, predicted = counts.true_positives, counts.true_positives + counts.false_positives
    low, high = predicted[:, 1:], predicted[:, :-1]
    gained = true[:, :-1] - true[:, 1:]
    slope = ratio(gained, np.maximum(high - low, 0))
    intercept = true[:, 1:] - slope * low
    growth = np.where((low > 0) & (high > 0), ratio(high, np.maximum(low, 0)), 1.0)
    parts = slope * (gained + intercept * np.log(growth))
    return np.asarray(ratio(parts, true[:, 1:] + counts.false_negatives[:, 1:]).sum(axis=-1))
