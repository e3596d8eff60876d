"""How well classes are told apart, as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]


def counts(positive: Any, scores: Any) -> tuple[Doubles, Doubles]:
    """(Positive rows, all rows) with at least each of the scores that there are, from none to all. positive: 0 or 1."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    return np.append(0.0, np.cumsum(positive[order])[ends]), np.append(0.0, ends + 1.0)


def roc(positive: Any, scores: Any) -> tuple[Doubles, Doubles, float]:
    """(share of the others taken for positive, share of the positive found, area), by a falling threshold."""
    found, taken = counts(positive, scores)
    x, y = (taken - found) / (taken[-1] - found[-1]), found / found[-1]
    return x, y, float(np.trapezoid(y, x))


def precision_recall(positive: Any, scores: Any) -> tuple[Doubles, Doubles, float]:
    """(recall, precision, average precision: the sum of precision times the step in recall), by a falling threshold."""
    found, taken = counts(positive, scores)
    recall, precision = found / found[-1], found[1:] / taken[1:]
    return recall[1:], precision, float((np.diff(recall) * precision).sum())


def confusion(truth: Any, guesses: Any, count: int) -> NDArray[np.intp]:
    """Rows of each of `count` classes by what they were taken for, (true, predicted)."""
    return np.bincount(truth * count + guesses, minlength=count**2).reshape(count, count)


def calibration(positive: Any, probabilities: Any, bins: int) -> tuple[Doubles, Doubles, NDArray[np.intp]]:
    """(mean probability, share of positive rows, rows) of those bins of equal width, (a, b], that have rows."""
    places = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probabilities)
    rows, found, given = (np.bincount(places, each, bins) for each in (None, positive, probabilities))
    there = rows > 0
    return given[there] / rows[there], found[there] / rows[there], rows[there]
