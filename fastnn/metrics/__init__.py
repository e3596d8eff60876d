"""Metrics: what is measured of a network's output beside its loss.

Three kinds, by what adds a batch. A mean metric has a kernel with a loss's signature and is the mean over the lines. An
accumulated metric has a kernel that adds to a state, of which the value is made. The others are Python. All are used
alone as in Keras: `update_state(y_true, y_pred, sample_weight)`, `result()`, `reset_state()`. Sums are in float64, what
weighs 0 counts for nothing, and what would be 0 / 0 is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn import _names, object_registration
from fastnn._checks import check_count as _check_count, check_name as _check_name
from fastnn._config import serialize as _serialize
from fastnn._table import check_family as _check_family
from fastnn.losses import (
    Loss as _Loss,
    binary_crossentropy as binary_crossentropy,
    binary_focal_crossentropy as binary_focal_crossentropy,
    categorical_crossentropy as categorical_crossentropy,
    categorical_focal_crossentropy as categorical_focal_crossentropy,
    categorical_hinge as categorical_hinge,
    hinge as hinge,
    huber as huber,
    kl_divergence as kl_divergence,
    log_cosh as log_cosh,
    mean_absolute_error as mean_absolute_error,
    mean_absolute_percentage_error as mean_absolute_percentage_error,
    mean_squared_error as mean_squared_error,
    mean_squared_logarithmic_error as mean_squared_logarithmic_error,
    poisson as poisson,
    sparse_categorical_crossentropy as sparse_categorical_crossentropy,
    squared_hinge as squared_hinge,
)
from fastnn.metrics.accuracy import *
from fastnn.metrics.auc import *
from fastnn.metrics.base import *
from fastnn.metrics.confusion import *
from fastnn.metrics.correlation import *
from fastnn.metrics.fscore import *
from fastnn.metrics.functions import *
from fastnn.metrics.probabilistic import *
from fastnn.metrics.reduction import *
from fastnn.metrics.regression import *
from fastnn.metrics.thresholds import *

_NAMED = {"mean": Mean, "Mean": Mean, "sum": Sum, "Sum": Sum}  # of values, not of y; so a model takes none of them


def get(identifier: Any) -> Any:
    """A metric from its name, class, instance or configuration; a function and None stay as they are, as in Keras.

    ValueError for an unknown name, TypeError for what is none of these. `compile` takes all but None.
    """
    identifier = object_registration.own_function(identifier, METRICS.aliases)
    _check_family(identifier, METRICS.family, _Loss.table_family)  # type: ignore[attr-defined]
    if identifier is None or (callable(identifier) and not isinstance(identifier, (type, Metric, _Loss))):
        return identifier
    return _NAMED[identifier]() if isinstance(identifier, str) and identifier in _NAMED else as_metric(identifier)


def serialize(metric: Any) -> Any:
    """A metric as Keras writes it down: its class, its configuration; a function by its name."""
    return _serialize(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The metric that ``serialize`` wrote down, or that a name stands for; custom_objects has others by name."""
    return get(config) if isinstance(config, str) else METRICS.deserialize(config, custom_objects)


def as_metric(identifier: Any) -> Metric:
    """The metric that a name, class, instance or configuration, a loss, or a function of (y_true, y_pred) means.

    ValueError for an unknown name, TypeError for what is none of these.
    """
    if isinstance(identifier, dict):
        return METRICS.from_config(identifier)
    identifier = object_registration.own_function(identifier, METRICS.aliases)
    _check_family(identifier, METRICS.family, _Loss.table_family)  # type: ignore[attr-defined]
    if isinstance(identifier, type) and issubclass(identifier, _Loss):
        identifier = identifier()
    if (identifier if isinstance(identifier, type) else type(identifier)) in (Mean, Sum):
        raise TypeError(
            "Mean and Sum gather numbers, not targets and outputs; a model takes metrics of (y_true, y_pred), which "
            "MeanMetricWrapper makes of a function"
        )
    if isinstance(identifier, (str, type, Metric)) or not callable(identifier):
        return METRICS.get(identifier)
    loss = identifier if isinstance(identifier, _Loss) else getattr(identifier, "loss", None)
    loss = loss() if isinstance(loss, type) else loss
    if isinstance(loss, _Loss) and not loss.whole:
        return LossMetric(loss) if loss.compiled else MeanMetricWrapper(loss.call, loss.name)
    return MeanMetricWrapper(identifier)


def resolve(identifier: Any, targets: int, units: int, loss: _Loss | None = None) -> tuple[str, Metric]:
    """(the name in logs, the metric) for outputs of `units` columns and targets of `targets` columns.

    "accuracy" (or "acc") and "crossentropy" ("ce") are binary, sparse categorical or categorical by these shapes; a
    cross-entropy takes the output as the loss does. ValueError for an unknown name, and for a metric that does not go
    with the shapes; TypeError for a name that is no text.
    """
    targets, units = _check_count("targets", targets, 0), _check_count("units", units, 0)
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc", "crossentropy", "ce"):
        kind = "binary" if units == 1 else "sparse_categorical" if targets == 1 else "categorical"
        accuracy = identifier.lower() in ("accuracy", "acc")
        cls = METRICS.find(f"{kind}_{'accuracy' if accuracy else 'crossentropy'}")
        metric = cls() if accuracy else METRICS.get(cls(from_logits=loss is not None and loss.logits))  # type: ignore[call-arg]
        metric.name = identifier
        if accuracy and loss is not None and not loss.takes.limited:
            metric.takes = loss.takes  # type: ignore[misc]  # of numbers it says how many are met; a warning tells so
        return identifier, metric
    metric = as_metric(identifier)
    if isinstance(identifier, str):
        metric.name = identifier
    _check_name(metric, metric.name)
    if metric.name is None:
        metric.name = getattr(metric, "table_name", type(metric).__name__)
    metric.check(targets, units, "this loss")
    return metric.name, metric


__all__ = _names.offer(globals())
