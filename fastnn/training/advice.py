"""Warnings of what is nearly always a mistake: an output that does not go with its loss, a metric that means nothing.

All of it trains, and some of it even learns; so it is said once, at the line that fits or evaluates first.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnn.training.objectives import Output

BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
CATEGORICAL = (
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy",
    "categorical_generalized_cross_entropy",
    "kl_divergence",
)
OVERLAP = ("dice", "tversky")
MARGIN = ("hinge", "squared_hinge")
REGRESSION = (
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "log_cosh",
    "huber",
    "pinball",
    "poisson",
    "gaussian_nll",
)
SHARES = ("sigmoid", "hard_sigmoid", "sparse_sigmoid", "softmax", "sparsemax")  # give numbers from 0 to 1
OF_ONE = ("softmax", "sparsemax")  # that sum to 1
POSITIVE = ("exponential", "softplus")  # which a loss of classes divides by their sum
ACCURACIES = ("accuracy", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")


def advise(outputs: Sequence[Output], activations: Sequence[str | None]) -> None:
    """One UserWarning of all that is likely not meant. activations: that each output ends in, None where unknown."""
    found = [
        f"output {output.objective.output!r}: {text}" if output.objective.output else text
        for output, activation in zip(outputs, activations, strict=True)
        if output.objective.trained and not output.objective.by_shape
        for text in _doubts(output, activation)
    ]
    if found:
        warnings.warn(f"likely not as meant: {'; also '.join(found)}", UserWarning, stacklevel=_level())


def _level() -> int:
    """How far up the caller of fastnn is, for a warning that is given by the caller of this function."""
    from inspect import currentframe  # which few need

    level, frame = 0, currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "fastnn":
        level, frame = level + 1, frame.f_back
    return level


def _doubts(output: Output, activation: str | None) -> Iterable[str]:
    loss: Any = output.objective.loss
    if not loss.compiled:
        return
    yield from filter(None, (_of_output(loss, output.shape[-1], activation), _of_metrics(output, loss, activation)))


def _of_output(loss: Any, units: int, activation: str | None) -> str | None:
    """What is wrong with the output's activation or width, if something is."""
    name, end = loss.table_name, f"the last layer ends in {activation!r}"
    if units == 1 and activation in OF_ONE:
        return (
            f"{activation} of one unit gives 1 for every row, whatever it reads; for two classes end in 1 unit with "
            "'sigmoid' and take binary_crossentropy, or in 2 units"
        )
    if units == 1 and name in CATEGORICAL:
        return (
            f"{name} of one output is the same for every row; for two classes take binary_crossentropy with 'sigmoid', "
            "or give the last layer a unit for each class"
        )
    if activation is None:
        return None
    if loss.logits:
        if activation in SHARES:
            return f"{name} has from_logits=True, but {end}, so its outputs are no logits; leave out one of the two"
        return None
    if name in BINARY and activation in OF_ONE:
        return (
            f"{name} takes each output by itself, but {end}, which makes them shares of 1; for one class of several "
            "take categorical_crossentropy, for several at once 'sigmoid'"
        )
    if name in CATEGORICAL and activation in ("sigmoid", "hard_sigmoid"):
        return (
            f"{name} is for shares of 1, but {end}, which takes each output by itself; for one class of several end in "
            "'softmax', for several at once take binary_crossentropy"
        )
    if name in (*BINARY, *CATEGORICAL, *OVERLAP) and activation not in SHARES:
        if name in CATEGORICAL and activation in POSITIVE:
            return None
        wanted = "softmax" if name in CATEGORICAL else "sigmoid"
        other = (
            ", or pass from_logits=True to the loss" if activation == "linear" and hasattr(loss, "from_logits") else ""
        )
        return f"{name} is for outputs from 0 to 1, but {end}; end in {wanted!r}{other}"
    if name == "poisson" and activation in ("linear", "tanh"):
        return f"{name} is for outputs above 0, but {end}, which may give others; end in 'exponential' or 'softplus'"
    if name in MARGIN and activation in (*SHARES, "relu"):
        return f"{name} is for outputs of either sign, but {end}, which gives none below 0; end in 'tanh' or 'linear'"
    return None


def _of_metrics(output: Output, loss: Any, activation: str | None) -> str | None:
    """What is wrong with a metric beside the loss, if something is."""
    for metric in output.measured:
        name = getattr(metric, "table_name", "")
        if loss.table_name in REGRESSION and name in ACCURACIES and activation not in (None, *SHARES, "tanh"):
            return (
                f"metric {metric.name!r} is for classes: it counts the outputs that meet y exactly, but "
                f"{loss.table_name} is a loss of numbers; take 'mae' or 'r2_score'"
            )
        if loss.table_name in BINARY and loss.logits and hasattr(metric, "compiled") and metric.compiled:
            threshold = getattr(metric, "threshold", None) if name == "binary_accuracy" else None
            if threshold == 0.5 or (hasattr(metric, "cuts") and not metric.from_logits and metric.top_k is None):
                how = "BinaryAccuracy(threshold=0)" if name == "binary_accuracy" else "it after a 'sigmoid' layer"
                return (
                    f"metric {metric.name!r} takes outputs from 0 to 1, but with from_logits=True they are logits; "
                    f"take {how}"
                )
    return None


def check_order(network: Any, shuffle: bool) -> None:
    """ValueError where rows of a network that keeps their states from batch to batch are to be shuffled."""
    if shuffle and network.fixed_rows:
        raise ValueError(
            "a stateful layer goes on where the rows of the batch before ended, so they must stay in their order: pass "
            "shuffle=False to fit"
        )
