"""A page about a model: its structure, its history, what it is worth on some rows, the loss around its weights."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_count, check_path, shown
from fastnn.models import check_model
from fastnn.random import generator
from fastnn.store.replacing import replacing

from .page import document, plotly
from .rows import rows_of
from .sections import written

__all__ = ["write_report"]


def write_report(
    model: Any,
    filepath: str | PathLike[str],
    x: Any = None,
    y: Any = None,
    *,
    history: Any = None,
    surface: int = 21,
    random_state: int | None = None,
) -> None:
    """Write one HTML page about a model, which loads nothing from elsewhere, not even its scripts.

    It has the layers to unfold, with shapes, parameters, bytes and the time of each; the curves of a history; loss and
    metrics; for classes the confusion matrix, ROC, precision and recall, calibration; for numbers predictions against
    targets, and residuals; histograms of weights and of what layers give; the loss around the weights (Li et al. 2018)
    and the rows as the last hidden layer sees them, in three dimensions.

    x, y: as `evaluate` takes them, at most the first 10,000 rows of them; without x a page of the layers, weights and
    history alone. history: what fit gave, or a dict of lists; None for that of the last fit, or what ``fastnn train``
    has noted. surface: points along a side of the picture of the loss, 0 for none; it costs surface^2 evaluations of
    512 rows, fewer for a large model, on a copy of the weights. random_state: what its two directions hang on.
    ImportError where plotly is missing; ValueError for rows that do not fit, or are not finite.
    """
    check_model("write_report", model)
    path = check_path("write_report: filepath", filepath)
    points = check_count("write_report: surface", surface, 0)
    if not model.built:
        raise RuntimeError(f"write_report: model {model.name!r} is not built yet; build or fit it first")
    if any(getattr(layer, "stateful", False) for layer in model.description.layers()):
        raise ValueError("write_report: the model is stateful; make it again with stateful=False, with its weights")
    if random_state is not None:
        check_count("write_report: random_state", random_state, 0)
    curves = _history(model, history)
    plotly()
    source = None if x is None else rows_of(model, x, y)
    rng = generator() if random_state is None else np.random.default_rng(random_state)
    text = document(f"Model {model.name}", *written(model, source, curves, points, rng))
    with replacing(path) as file:
        file.write(text.encode())


def _history(model: Any, given: Any) -> Mapping[str, Any]:
    """Lists of numbers by name."""
    own = model.history if given is None else given
    found = getattr(own, "history", own)
    if found is None:
        found = model.description.notes.get("history", {})
    if not isinstance(found, Mapping):
        raise TypeError(f"write_report: history must be what fit gives, or a dict of lists, got {shown(given)}")
    curves = {}
    for name, each in found.items():
        try:
            values = np.asarray(each, np.float64)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"write_report: history[{shown(name)}] must be a list of numbers, got {shown(each)}"
            ) from None
        if values.ndim == 1 and len(values):
            curves[str(name)] = values
    return curves


_names.offer(globals())
