"""What a model is worth on rows that it has not seen, how fast it predicts them, and how large its file is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import as_number, shown
from fastnn.data.stored import StoredSource
from fastnn.model_selection.folds import Rows, folds_of
from fastnn.report.rows import Output, outputs_of, rows_of
from fastnn.report.tasks import classes_of

MANY = 256  # rows of a batch whose time is taken
PARTS = 5  # one of which the rows are that judge
LONGEST, CALLS = 0.1, 100  # seconds and calls, at most, that a time is taken of


class Judge:
    """Scores models that give what a first one does, more is better: the share of rows that are right, or R squared.

    Of several outputs it is the mean. scoring: a function (model, x, y) in its place.
    """

    def __init__(self, model: Any, test: Rows, scoring: Callable[..., float] | None) -> None:
        self._test, self._scoring = test, scoring
        self._source = rows_of(model, test.x, test.y)
        if not len(self._source.x):
            raise ValueError("compress: there are no rows to validate on; pass more data")
        self._outputs = [each for each in outputs_of(model, self._source) if each.truth is not None]
        if not self._outputs and scoring is None:
            raise ValueError("compress: data must have targets, y, that the model's answers are compared with")
        self._are_classes = [classes_of(each) is not None for each in self._outputs]
        self.measure = "score" if scoring is not None else "accuracy" if all(self._are_classes) else "R2"

    def score(self, model: Any) -> float:
        """What the model is worth."""
        if self._scoring is not None:
            return as_number("compress: what scoring gives", self._scoring(model, self._test.x, self._test.y))
        given = outputs_of(model, self._source)
        found = []
        for first, is_classes in zip(self._outputs, self._are_classes, strict=True):
            output = next(each for each in given if each.name == first.name)._replace(loss=first.loss)
            found.append(_right(output) if is_classes else _r_squared(output))
        return float(np.mean(found))

    def times(self, model: Any) -> tuple[float, float]:
        """Seconds that a row takes alone, and that `MANY` take together: the least of some calls."""
        network, x = model.description.network, self._source.x
        many = x[np.arange(MANY) % len(x)]
        return _least(lambda: network.predict(x[:1])), _least(lambda: network.predict(many))


def parts_of(data: Any, validation_data: Any, seed: int) -> tuple[Rows, Rows]:
    """The rows to train on, and those that judge."""

    def rows(given: Any, what: str) -> Rows:
        if isinstance(given, tuple):
            if len(given) not in (2, 3):
                raise ValueError(f"compress: {what} must be (x, y) or (x, y, sample_weight), got {len(given)} parts")
            return Rows(*given)
        return Rows(given)

    found = rows(data, "data")
    if validation_data is not None:
        return found, rows(validation_data, "validation_data")
    if found.y is None and not isinstance(found.x, StoredSource):
        raise ValueError(
            f"compress: data must be (x, y), or a dataset of a database with a key, got {shown(data)}; with any other "
            "dataset pass validation_data"
        )
    fold = folds_of(found, PARTS, None, seed)[0]
    return fold.train, fold.test


def check_scoring(scoring: Any) -> None:
    """TypeError unless it is a function, or None."""
    if scoring is not None and not callable(scoring):
        raise TypeError(f"compress: scoring must be a function of (model, x, y), got {shown(scoring)}")


def _right(output: Output) -> float:
    read = classes_of(output)
    assert read is not None
    truth, scores, _ = read
    if (truth.sum(axis=1) == 1).all():
        return float((truth.argmax(axis=1) == scores.argmax(axis=1)).mean())
    return float(((scores > 0.5) == (truth > 0.5)).mean())  # a row may be of several classes, or of none


def _r_squared(output: Output) -> float:
    truth, given = output.truth, output.given
    assert truth is not None
    if prod(truth.shape) != prod(given.shape):
        raise ValueError(
            f"compress: how far {given.shape[1]} numbers are from {truth.shape[1]} targets has no measure here; pass "
            "scoring=, a function of (model, x, y)"
        )
    spread = ((truth - truth.mean(axis=0)) ** 2).sum()
    wrong = ((truth - given) ** 2).sum()
    return float(1 - wrong / spread) if spread > 0 else float(-wrong)


def _least(call: Callable[[], object]) -> float:
    least, end = math.inf, time.perf_counter() + LONGEST
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - start)
        if time.perf_counter() > end:
            break
    return least
