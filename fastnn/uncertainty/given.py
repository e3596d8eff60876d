"""What the measures of uncertainty are given: probabilities, classes and targets of rows that no fit has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import as_number, shown
from fastnn.model_selection.folds import is_one_hot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]


def probabilities_of(what: str, model: Any, x: Any) -> Doubles:
    """(rows, classes), float64, from a model's output; of one sigmoid output both classes. ValueError for others."""
    found = np.asarray(model.predict(x), np.float64)
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2:
        raise ValueError(
            f"{what}: a model of one output with a row of classes is expected, got the shape {found.shape}"
        )
    if found.shape[1] == 1:
        found = np.concatenate([1 - found, found], axis=1)
    if not (found >= 0).all() or not np.allclose(found.sum(axis=1), 1, atol=1e-3):
        raise ValueError(
            f"{what}: the model must give probabilities of classes; end it with a softmax, or one unit with a sigmoid"
        )
    return np.asarray(found / found.sum(axis=1, keepdims=True), np.float64)


def classes_of(what: str, y: Any, rows: int, classes: int) -> NDArray[np.intp]:
    """The class of each row, from numbers of classes or one-hot rows. ValueError for what is none."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == classes and classes > 1:
        if not is_one_hot(labels):
            raise ValueError(f"{what}: y must be numbers of classes, or one-hot rows")
        labels = labels.argmax(axis=1)
    labels = labels.reshape(-1) if labels.size == len(labels) else labels
    if labels.shape != (rows,):
        raise ValueError(f"{what}: y must have a class for each of the {rows} rows, got the shape {np.shape(y)}")
    if labels.dtype.kind not in "biuf" or (labels != np.floor(labels)).any():
        raise ValueError(f"{what}: y must be numbers of classes, got {shown(y)}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"{what}: y must be classes from 0 to {classes - 1}, got {int(labels.min())} to {int(labels.max())}"
        )
    return labels.astype(np.intp)


def targets_of(what: str, y: Any, shape: tuple[int, ...]) -> Doubles:
    """Targets as the model gives them, float64 (rows, units). ValueError for another number."""
    targets = np.asarray(y, np.float64)
    if targets.size != np.prod(shape) or not len(targets):
        raise ValueError(f"{what}: y must have as many numbers as the model gives, {shape}, got {targets.shape}")
    if not np.isfinite(targets).all():
        raise ValueError(f"{what}: y must be finite")
    return targets.reshape(shape)


def checked_coverage(what: str, coverage: Any) -> float:
    """A share above 0 and below 1. ValueError for another."""
    share = as_number(f"{what}: coverage", coverage)
    if not 0 < share < 1:
        raise ValueError(f"{what}: coverage must be above 0 and below 1, got {shown(coverage)}")
    return share


def bound(scores: Doubles, coverage: float) -> Any:
    """The ceil((n + 1) coverage)-th smallest of n scores, along the first axis; infinity where there are too few.

    A new score is at most as large with a probability of at least `coverage`, if all are exchangeable. Source: Vovk,
    Gammerman and Shafer 2005; Lei et al. 2018.
    """
    place = int(np.ceil((len(scores) + 1) * coverage * (1 - 1e-12)))
    if place > len(scores):
        return np.full(scores.shape[1:], np.inf)
    return np.partition(scores, place - 1, axis=0)[place - 1]
