"""Labels of a classifier: which kinds there are, as what the engine takes them, and back again."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import type_of_target, unique_labels

from fastnn.typing import Array, FloatArray


def classes_in(y: Any) -> Array:
    """The labels that there are, in order."""
    return np.unique(y) if type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "iub" else unique_labels(y)


def kind_of(y: Any) -> tuple[str, Array]:
    """("one", "binary", "multiclass" or "multilabel", the classes in order). ValueError for what is no labels."""
    if not (type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "iub"):
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind == "multilabel-indicator":
            return "multilabel", unique_labels(y)
        if "multioutput" in kind:
            raise ValueError(
                "Multioutput target data is not supported with label binarization: y has several columns, and a "
                "classifier takes one label for each row, or columns of 0 and 1 alone; fit an estimator for each "
                "column (sklearn.multioutput.MultiOutputClassifier)"
            )
        if kind not in ("binary", "multiclass"):
            raise ValueError(
                f"Unknown label type: {kind}. Maybe you are trying to fit a classifier, which expects discrete classes "
                "on a regression target with continuous values."
            )
    classes = classes_in(y)
    return ("one" if len(classes) == 1 else "binary" if len(classes) == 2 else "multiclass"), classes


def encoded(y: Any, kind: str, classes: Array) -> FloatArray:
    """Class numbers (rows, 1), or of several labels in a row a 0 or 1 for each (rows, labels)."""
    if kind == "multilabel":
        dense = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
        return np.ascontiguousarray(dense != 0, np.float32)
    y = np.asarray(y)
    if kind == "binary" and y.dtype == classes.dtype:
        numbers: Array = np.asarray(y == classes[1])
    else:
        numbers = np.searchsorted(classes, y)
    return numbers.astype(np.float32).reshape(-1, 1)


def one_hot(numbers: FloatArray, classes: int) -> FloatArray:
    """Class numbers (rows, 1) as (rows, classes), for a loss that takes those."""
    return np.eye(classes, dtype=np.float32)[numbers[:, 0].astype(np.intp)]


def decoded(outputs: FloatArray, kind: str, classes: Array) -> Any:
    """The labels that outputs stand for."""
    if kind == "multiclass":
        return classes.take(outputs.argmax(axis=1))
    if kind == "binary":
        return classes.take(outputs[:, 0] > 0.5)
    if kind == "one":
        return classes.repeat(len(outputs))
    return (outputs > 0.5).astype(int)
