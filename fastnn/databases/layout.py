"""Which columns a table of predictions has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BASE", "BECAUSE", "RUN", "Layout", "Run", "are_predictions", "columns_of"]

# What each row says of the run that it is from.
RUN = ("model", "model_version", "predicted_at")
# What an explanation has beside the prediction.
BASE, BECAUSE = "base_value", "because_"


class Run(NamedTuple):
    """Which model predicts, and when that began: ISO 8601, UTC. None where it has no name or version."""

    model: str | None
    version: str | None
    at: str


class Layout(NamedTuple):
    """The columns: the key's, those of what is predicted with their types, and `RUN`.

    whole_key: the keys are whole numbers, which a database may order its rows by.
    """

    key: str
    predicted: tuple[tuple[str, str], ...]  # INTEGER, REAL or TEXT
    whole_key: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (self.key, *(name for name, _ in self.predicted), *RUN)


def columns_of(kind: str, outputs: Sequence[str], classes: Sequence[Any] = ()) -> tuple[tuple[str, str], ...]:
    """What is predicted, of a kind. outputs: the names of the columns of "values". classes: what the numbers of classes
    stand for, where they do.
    """
    if kind == "values":
        return tuple((name, "REAL") for name in outputs)
    is_text = any(isinstance(each, str) for each in classes)
    return ("prediction", "TEXT" if is_text else "INTEGER"), ("probability", "REAL")


def are_predictions(names: Sequence[str]) -> bool:
    """Whether a table with these columns is one of predictions, of whatever version of fastnn."""
    if tuple(names[-len(RUN) :]) == RUN:
        names = names[: -len(RUN)]
    predicted = [name for name in names[1:] if name != BASE and not name.startswith(BECAUSE)]
    if predicted in (["prediction"], ["prediction", "probability"]):
        return True
    return bool(predicted) and all(name.startswith("prediction_") for name in predicted)
