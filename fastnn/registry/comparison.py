"""Two versions of a model on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn._checks import shown
from fastnn._output import aligned

__all__ = ["Comparison"]


class Comparison(NamedTuple):
    """Two versions of a model on the same rows; ``print`` shows it as a table.

    metrics: for each name the two values, None where a version has no such metric; {} where there were no targets.
    agreement: the share of rows for which both answer the same: one class, or each sigmoid on the same side of 0.5;
    None where they estimate numbers. mean_difference, largest_difference: of the absolute differences of all outputs.
    """

    name: str
    versions: tuple[int, int]
    rows: int
    metrics: dict[str, tuple[float | None, float | None]]
    agreement: float | None
    mean_difference: float
    largest_difference: float

    def __str__(self) -> str:
        head = (self.name, *(f"version {each}" for each in self.versions))
        lines = [(each, *("" if v is None else f"{v:.4g}" for v in pair)) for each, pair in self.metrics.items()]
        same = "" if self.agreement is None else f"they agree on {self.agreement:.1%} of {self.rows:,} rows; "
        differ = f"outputs differ by {self.mean_difference:.3g} in the mean, {self.largest_difference:.3g} at most"
        return f"{aligned([head, *lines])}\n{same}{differ}"


def check_rows(x: Any) -> None:
    """TypeError for what is no rows, or can be read only once."""
    if x is None or hasattr(x, "__next__"):
        raise TypeError(f"compare: x must be rows as evaluate takes them, to be read several times, got {shown(x)}")


def compared(name: str, versions: Sequence[int], models: Sequence[Any], x: Any, y: Any, weight: Any) -> Comparison:
    """See ``Registry.compare``."""
    found: list[dict[str, float]] = []
    outputs: list[list[Any]] = []
    targets = getattr(x, "targets", None)  # of a dataset: how many columns they are
    judged = y is not None or (isinstance(targets, int) and targets > 0)
    for version, model in zip(versions, models, strict=True):
        try:
            given = model.predict(x)
            several = given.values() if isinstance(given, dict) else given if isinstance(given, list) else [given]
            outputs.append([np.asarray(each, np.float64) for each in several])
            if judged:
                found.append(model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True))
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"compare: version {version} of {name!r}: {error}") from error
    a, b = outputs
    if [each.shape for each in a] != [each.shape for each in b]:
        shapes = " and ".join(str([each.shape for each in several]) for several in outputs)
        raise ValueError(f"compare: versions {versions[0]} and {versions[1]} of {name!r} give other shapes: {shapes}")
    differences = [np.abs(one - other) for one, other in zip(a, b, strict=True)]
    count = sum(each.size for each in differences)
    names = dict.fromkeys(each for logs in found for each in logs)
    pairs = {each: tuple(float(logs[each]) if each in logs else None for logs in found) for each in names}
    return Comparison(
        name,
        (versions[0], versions[1]),
        len(a[0]),
        pairs,  # type: ignore[arg-type]
        _agreement(models, a, b),
        sum(float(each.sum()) for each in differences) / count,
        max(float(each.max()) for each in differences),
    )


def _agreement(models: Sequence[Any], a: Sequence[Any], b: Sequence[Any]) -> float | None:
    same = np.ones(len(a[0]), bool)
    for output, pair in enumerate(zip(a, b, strict=True)):
        endings = {model.description.ending(output) for model in models}
        if endings <= {"softmax"} and pair[0].shape[-1] > 1:
            one, other = (each.argmax(axis=-1) for each in pair)
        elif endings <= {"sigmoid"}:
            one, other = (each > 0.5 for each in pair)
        else:
            return None
        same &= (one == other).reshape(len(same), -1).all(axis=1)
    return float(same.mean())
