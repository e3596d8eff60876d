"""What ``compile`` is given, sorted by the model's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from fastnn import losses
from fastnn.losses import Loss


class Goal(NamedTuple):
    """What one output is trained for, and what is measured of it."""

    output: str  # its name, "" where the model has one output alone
    loss: Loss
    importance: float  # what its loss counts in the sum
    metrics: tuple[Any, ...]  # names or objects
    weighted_metrics: tuple[Any, ...]  # the same, by the sample weights


def goals_of(
    names: Sequence[str], loss: Any, loss_weights: Any = None, metrics: Any = None, weighted_metrics: Any = None
) -> list[Goal]:
    """The goal of each output, of which `names` gives the names.

    loss: one for all outputs, or a list or dict of one for each. loss_weights: a number, or a list or dict of them.
    metrics, weighted_metrics: a list; for several outputs a list with a metric, a list of them or None for each, or a
    dict, which may leave outputs out. ValueError, TypeError for what does not go with the outputs.
    """
    if loss is None:
        raise ValueError("a loss is needed to train; name one, such as 'mean_squared_error'")
    one = len(names) == 1
    chosen = _each(names, loss, "loss")
    missing = [name for name, each in zip(names, chosen, strict=True) if each is None]
    if missing:
        raise ValueError(
            f"output {missing[0]!r} has no loss; name one, with the weight 0 in loss_weights if it is not to count"
        )
    found = [losses.get(each) for each in chosen]
    if loss_weights is not None and not one and not isinstance(loss_weights, (list, tuple, Mapping)):
        raise TypeError(
            f"loss_weights must be a list or dict with a number for each of {len(names)} outputs, got {loss_weights!r}"
        )
    importance = [_weight(each) for each in _each(names, loss_weights, "loss_weights")]
    plain, weighted = (
        [_checked(each) for each in _metrics_of(names, given, what)]
        for given, what in ((metrics, "metrics"), (weighted_metrics, "weighted_metrics"))
    )
    outputs = [""] if one else list(names)
    return [Goal(*parts) for parts in zip(outputs, found, importance, plain, weighted, strict=True)]


def figure_names(goals: Sequence[Goal], resolved: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[str]:
    """What the metrics are called in logs, goal by goal, those by weight last in each.

    resolved: for each goal the names of its metrics and of its weighted metrics. As in Keras an output's name stands
    before them where there are several, a second "mae" is "mae_1", and one by weight beside it "weighted_mae".
    """
    taken: list[str] = []
    for goal, (plain, weighted) in zip(goals, resolved, strict=True):
        before = f"{goal.output}_" if goal.output else ""
        own = [before + name for name in plain]
        own += [f"{before}weighted_{name}" if name in plain else before + name for name in weighted]
        taken += own
    return [name + (f"_{i}" if (i := taken[:place].count(name)) else "") for place, name in enumerate(taken)]


def loss_names(goals: Sequence[Goal]) -> list[str]:
    """What the outputs' own losses are called in logs; none where there is one output."""
    return [f"{goal.output}_loss" for goal in goals if goal.output]


def _each(names: Sequence[str], given: Any, what: str) -> list[Any]:
    """One for each output, from one for all, a list or a dict."""
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"{what}: there is no output {unknown[0]!r}; there are {', '.join(map(repr, names))}")
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)) and len(names) > 1:
        if len(given) != len(names):
            raise ValueError(
                f"{what} must have one entry for each of {len(names)} outputs ({', '.join(names)}), got {len(given)}"
            )
        return list(given)
    return [given] * len(names)


def _metrics_of(names: Sequence[str], given: Any, what: str) -> list[Any]:
    if isinstance(given, str):
        raise TypeError(f"{what} must be a list of names or objects, got {given!r}; write [{given!r}]")
    if given is None:
        return [None] * len(names)
    if len(names) == 1 and not isinstance(given, Mapping):
        return [list(given)]
    return _each(names, given, what)


def _checked(given: Any) -> tuple[Any, ...]:
    """The metrics of one output, each known."""
    metrics = tuple(given) if isinstance(given, (list, tuple)) else () if given is None else (given,)
    for metric in metrics:
        if not (isinstance(metric, str) and metric.lower() in ("accuracy", "acc", "crossentropy", "ce")):
            from fastnn.metrics import get  # with them, `import fastnn` would take half as long again

            get(metric)
    return metrics


def _weight(value: Any) -> float:
    if value is None:
        return 1.0
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"a weight in loss_weights must be a number, got {value!r}")
    if not isfinite(value):
        raise ValueError(f"a weight in loss_weights must be finite, got {value!r}")
    return float(value)
