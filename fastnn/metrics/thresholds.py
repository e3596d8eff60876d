"""What is made of the counts of right and wrong outputs above and below thresholds: precision, recall and others.

An output is positive if it is greater than the threshold, in the output's own float type; NaN is never positive. A
target, from 0 to 1, is positive unless it is 0. Every element of a row counts, with the row's weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn import kernels
from fastnn._checks import MOST, check_count, check_number, shown
from fastnn._numbers import tuple_of_numbers
from fastnn.losses.targets import PROBABILITIES
from fastnn.metrics.base import METRICS, AccumulatedMetric, declared, one_or_all, ratio, weights_of
from fastnn.metrics.weights import held
from fastnn.typing import Array, DoubleArray

__all__ = [
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
]

NOT_AMONG_TOP = -1e10  # Keras's: the output that stands for one that is not among the largest k of its row

Thresholds = float | Sequence[float] | None


class Counts(NamedTuple):
    """Weights of the elements of each kind, (columns, thresholds): true and false, positive and negative outputs."""

    true_positives: DoubleArray
    false_positives: DoubleArray
    true_negatives: DoubleArray
    false_negatives: DoubleArray

    @property
    def precision(self) -> DoubleArray:
        """Share of the positive outputs that are right."""
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> DoubleArray:
        """Share of the positive targets that are found; sensitivity."""
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> DoubleArray:
        """Share of the negative targets that are found."""
        return ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def fall_out(self) -> DoubleArray:
        """Share of the negative targets that are taken for positive."""
        return ratio(self.false_positives, self.true_negatives + self.false_positives)


def counts(state: DoubleArray, thresholds: Sequence[float]) -> Counts:
    """The counts at each threshold, in the order given, of a state by thresholds passed, in rising order."""
    passed = state.reshape(-1, 2, len(thresholds) + 1)
    below = passed.cumsum(axis=-1)[..., :-1]
    above = passed[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
    place = np.argsort(np.argsort(thresholds, kind="stable"), kind="stable")
    below, above = below[..., place], above[..., place]
    return Counts(above[:, 1], above[:, 0], below[:, 0], below[:, 1])


def passed_of(above: DoubleArray | None, below: DoubleArray | None) -> DoubleArray | float:
    """The state of one kind of target, (columns, thresholds + 1), that has these counts at rising thresholds."""
    if above is not None:
        first = np.zeros_like(above[:, :1]) if below is None else below[:, :1]
        return np.concatenate([first, -np.diff(above, append=0.0)], axis=1)
    if below is None:
        return 0.0
    return np.concatenate([np.diff(below, prepend=0.0), np.zeros_like(below[:, :1])], axis=1)


MOST_THRESHOLDS = 2**20  # each is a number in Python too


def shares(owner: object, given: Thresholds, default: float) -> tuple[float, ...]:
    """Thresholds as a tuple; ValueError unless each is a share, 0 to 1."""
    if given is None:
        return (default,)
    what = f"{type(owner).__name__}: thresholds"
    if isinstance(given, (list, tuple)) and any(each is None for each in given):
        came = "got a None (Threshold values must be in [0, 1]. Received: [None])"
        raise ValueError(f"{what} must be numbers from 0 to 1, {came}")
    found = tuple(map(float, tuple_of_numbers(given, what)))
    if not found or not all(0 <= t <= 1 for t in found):
        bad = [t for t in found if not 0 <= t <= 1]
        raise ValueError(
            f"{what} must be numbers from 0 to 1, got {shown(given)} (Threshold values must be in [0, 1]. Received: "
            f"{shown([int(t) if t.is_integer() else t for t in bad[:8]])})"
        )
    return found


class ThresholdMetric(AccumulatedMetric):
    """A value of the counts at some thresholds."""

    kernel = kernels.threshold_counts
    takes = PROBABILITIES
    class_id: int | None = None
    top_k: int | None = None
    by_column = False
    from_logits = False
    gathered: tuple[str, ...] = Counts._fields  # what Keras's metric has variables of

    @property
    def by_element(self) -> bool:  # type: ignore[override]
        return not self.by_column and self.class_id is None and self.top_k is None

    def counted(self, state: DoubleArray) -> Counts:
        """The counts at all thresholds, (columns, thresholds)."""
        return counts(state, self.cuts())

    def parts_of(self, state: DoubleArray) -> dict[str, Array]:
        found = {name: np.asarray(getattr(self.counted(state), name)) for name in self.gathered}
        return {name: part.T if self.by_column else part[0] for name, part in found.items()}

    def state_of(self, parts: dict[str, Array]) -> DoubleArray:
        order = np.argsort(self.cuts(), kind="stable")
        found = {name: np.atleast_2d(part.T if self.by_column else part)[:, order] for name, part in parts.items()}
        return self.passed(found).ravel()

    def passed(self, found: dict[str, DoubleArray]) -> DoubleArray:
        """The state, (columns, 2, thresholds + 1), with these counts, (columns, thresholds), at rising thresholds."""
        negatives = passed_of(found.get("false_positives"), found.get("true_negatives"))
        positives = passed_of(found.get("true_positives"), found.get("false_negatives"))
        return np.stack(np.broadcast_arrays(negatives, positives), axis=1)

    def cuts(self) -> tuple[float, ...]:
        """The thresholds."""
        raise TypeError(f"{type(self).__name__} has no cuts")

    def accumulator_numbers(self) -> tuple[float, ...]:
        only = -1 if self.class_id is None else self.class_id
        cuts = self.cuts()
        return (self.by_column, self.from_logits, only, self.top_k or 0, len(cuts), *sorted(cuts))

    def check(self, targets: int, units: int, whose: str = "y") -> None:
        super().check(targets, units, whose)
        if self.class_id is not None and self.class_id >= units:
            raise ValueError(
                f"metric {self.name!r} has class_id {self.class_id}, but there are {units} output(s) (When class_id is "
                "provided, y_pred must be a 2D array with shape (num_samples, num_classes), found shape: "
                f"(rows, {units}))"
            )

    def result_of(self, state: DoubleArray) -> Any:
        return one_or_all(self.figure(counts(state, self.cuts()))[0])

    def figure(self, counts: Counts) -> DoubleArray:
        """(columns, thresholds), or fewer."""
        raise TypeError(f"{type(self).__name__} has no figure")

    def reference(self, y: DoubleArray, output: DoubleArray, weight: DoubleArray | None = None) -> DoubleArray:
        if self.top_k is not None:
            rank = np.argsort(np.argsort(-output, axis=-1, kind="stable"), axis=-1)
            output = np.where((rank < self.top_k) & ~np.isnan(output), output, NOT_AMONG_TOP)
        output = 1 / (1 + np.exp(-output)) if self.from_logits else output
        passed = (output[:, :, None] > np.array(self.cuts())).sum(axis=-1)
        state = np.zeros((output.shape[1], 2, len(self.cuts()) + 1))
        for (row, j), place in np.ndenumerate(passed):
            if self.class_id in (None, j):
                state[j, int(y[row, j] != 0), place] += weights_of(y, weight)[row]
        return (state if self.by_column else state.sum(axis=0)).ravel()


def check_choice(owner: Any) -> None:
    """Raise unless class_id is None or a place from 0 and top_k None or a count from 1."""
    if owner.class_id is not None:
        check_count(f"{type(owner).__name__}: class_id", owner.class_id, 0, MOST)
    if owner.top_k is not None:
        check_count(f"{type(owner).__name__}: top_k", owner.top_k, most=MOST)


class CountMetric(ThresholdMetric):
    """One of the four counts, at the user's thresholds."""

    thresholds: Thresholds

    @property
    def accumulator(self) -> Any:
        """The count, as a variable."""
        return self.part(self.gathered[0])

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.thresholds is not None:
            found = shares(self, self.thresholds, 0.5)
            self.thresholds = list(found) if isinstance(self.thresholds, Iterable) else found[0]
        self.cuts()

    def cuts(self) -> tuple[float, ...]:
        return shares(self, self.thresholds, 0.5)


@METRICS.add("true_positives")
@declared
class TruePositives(CountMetric):
    """Weight of the positive targets whose output is above the threshold. thresholds: 0.5, or one or more, 0 to 1."""

    thresholds: Thresholds = None
    name: str = "true_positives"
    gathered = ("true_positives",)

    def figure(self, counts: Counts) -> DoubleArray:
        return counts.true_positives


@METRICS.add("false_positives")
@declared
class FalsePositives(CountMetric):
    """Weight of the negative targets whose output is above the threshold. thresholds: 0.5, or one or more, 0 to 1."""

    thresholds: Thresholds = None
    name: str = "false_positives"
    gathered = ("false_positives",)

    def figure(self, counts: Counts) -> DoubleArray:
        return counts.false_positives


@METRICS.add("true_negatives")
@declared
class TrueNegatives(CountMetric):
    """Weight of the negative targets whose output is not above it. thresholds: 0.5, or one or more, 0 to 1."""

    thresholds: Thresholds = None
    name: str = "true_negatives"
    gathered = ("true_negatives",)

    def figure(self, counts: Counts) -> DoubleArray:
        return counts.true_negatives


@METRICS.add("false_negatives")
@declared
class FalseNegatives(CountMetric):
    """Weight of the positive targets whose output is not above it. thresholds: 0.5, or one or more, 0 to 1."""

    thresholds: Thresholds = None
    name: str = "false_negatives"
    gathered = ("false_negatives",)

    def figure(self, counts: Counts) -> DoubleArray:
        return counts.false_negatives


class ChoiceMetric(CountMetric):
    """A share at thresholds, of one class or of the largest outputs of each row."""

    def __post_init__(self) -> None:
        check_choice(self)
        super().__post_init__()

    def cuts(self) -> tuple[float, ...]:
        return shares(self, self.thresholds, 0.5 if self.top_k is None else NOT_AMONG_TOP)


@METRICS.add("precision")
@declared
class Precision(ChoiceMetric):
    """true positives / (true positives + false positives), 0 where there are none; an array for several thresholds.

    thresholds: 0.5, or one or more, 0 to 1. top_k: only the k largest outputs of a row may be positive, and without
    thresholds all of them are. class_id: only this column counts.
    """

    thresholds: Thresholds = None
    top_k: int | None = None
    class_id: int | None = None
    name: str = "precision"
    gathered = ("true_positives", "false_positives")
    true_positives, false_positives = held("true_positives"), held("false_positives")

    def figure(self, counts: Counts) -> DoubleArray:
        return counts.precision


@METRICS.add("recall")
@declared
class Recall(ChoiceMetric):
    """true positives / (true positives + false negatives), 0 where there are none; an array for several thresholds.

    thresholds, top_k, class_id: as Precision's.
    """

    thresholds: Thresholds = None
    top_k: int | None = None
    class_id: int | None = None
    name: str = "recall"
    gathered = ("true_positives", "false_negatives")
    true_positives, false_negatives = held("true_positives"), held("false_negatives")

    def figure(self, counts: Counts) -> DoubleArray:
        return counts.recall


class TradeOff(ThresholdMetric):
    """The best of one share where another is at least a bound, over evenly spaced thresholds from 0 to 1."""

    num_thresholds: int
    bound: str
    true_positives, false_positives = held("true_positives"), held("false_positives")
    true_negatives, false_negatives = held("true_negatives"), held("false_negatives")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, self.bound, 0, 1, also=f"`{self.bound}` must be in the range [0, 1].")
        what, also = f"{type(self).__name__}: num_thresholds", "Argument `num_thresholds` must be an integer > 0"
        check_count(what, self.num_thresholds, most=MOST_THRESHOLDS, also=also)
        check_choice(self)

    def cuts(self) -> tuple[float, ...]:
        if self.num_thresholds == 1:
            return (0.5,)
        return tuple(i / (self.num_thresholds - 1) for i in range(self.num_thresholds))

    def figure(self, counts: Counts) -> DoubleArray:
        kept, wanted = self.pair(counts)
        return np.asarray(np.where(kept >= getattr(self, self.bound), wanted, 0.0).max(axis=-1, keepdims=True))

    def pair(self, counts: Counts) -> tuple[DoubleArray, DoubleArray]:
        """(the share that is held, the share that is wanted)."""
        raise TypeError(f"{type(self).__name__} has no pair")


@METRICS.add("sensitivity_at_specificity")
@declared
class SensitivityAtSpecificity(TradeOff):
    """The best sensitivity where specificity is at least `specificity`, 0 to 1; 0 where it is nowhere."""

    specificity: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str = "sensitivity_at_specificity"
    bound = "specificity"

    def pair(self, counts: Counts) -> tuple[DoubleArray, DoubleArray]:
        return counts.specificity, counts.recall


@METRICS.add("specificity_at_sensitivity")
@declared
class SpecificityAtSensitivity(TradeOff):
    """The best specificity where sensitivity is at least `sensitivity`, 0 to 1; 0 where it is nowhere."""

    sensitivity: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str = "specificity_at_sensitivity"
    bound = "sensitivity"

    def pair(self, counts: Counts) -> tuple[DoubleArray, DoubleArray]:
        return counts.recall, counts.specificity


@METRICS.add("precision_at_recall")
@declared
class PrecisionAtRecall(TradeOff):
    """The best precision where recall is at least `recall`, 0 to 1; 0 where it is nowhere."""

    recall: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str = "precision_at_recall"
    bound = "recall"

    def pair(self, counts: Counts) -> tuple[DoubleArray, DoubleArray]:
        return counts.recall, counts.precision


@METRICS.add("recall_at_precision")
@declared
class RecallAtPrecision(TradeOff):
    """The best recall where precision is at least `precision`, 0 to 1; 0 where it is nowhere."""

    precision: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str = "recall_at_precision"
    bound = "precision"

    def pair(self, counts: Counts) -> tuple[DoubleArray, DoubleArray]:
        return counts.precision, counts.recall
