"""Small trained models that come with fastnn: ``fastnn.zoo.load("digits").predict(rows)``.

They take rows as the data has them; what scales and codes them is in the model. ``scripts/zoo.py`` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from io import BytesIO
from typing import Any, NamedTuple

from fastnn import _names
from fastnn._checks import shown
from fastnn._output import aligned
from fastnn.models import Model, load_model

__all__ = ["Card", "card", "list", "load"]


class Card(NamedTuple):
    """What there is to know of a model; as a text, a line for each.

    metrics: on rows that it was not trained on, whose number is `rows`, of the model as its file has it. classes: the
    names of its outputs, or of 0 and 1 where it has one; () of a model that gives a number, whose unit `outputs` says.
    licence: of the data. bytes: of its file.
    """

    name: str
    task: str
    inputs: str
    outputs: str
    classes: tuple[str, ...]
    architecture: str
    data: str
    licence: str
    script: str
    metrics: Mapping[str, float]
    rows: int
    parameters: int
    bytes: int

    def __str__(self) -> str:
        parts = self._asdict() | {"classes": ", ".join(self.classes), "bytes": f"{self.bytes:,}"}
        parts["metrics"] = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        parts["metrics"] += f", on {parts.pop('rows'):,} rows that it was not trained on"
        parts["parameters"] = f"{self.parameters:,}"
        return aligned([(name, each) for name, each in parts.items() if each])


def list() -> tuple[str, ...]:
    """The names of the models."""
    names = (each.name for each in files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(".fastnn") for name in names if name.endswith(".fastnn")))


def load(name: str) -> Model:
    """A model of the zoo, a new one each time: compiled, so that it can be evaluated, and trained further.

    ValueError for a name that it has not.
    """
    return _model(_data(name))


def card(name: str) -> Card:
    """The card of a model of the zoo. ValueError for a name that it has not."""
    data = _data(name)
    model = _model(data)
    kept: dict[str, Any] = model.description.notes["card"]
    classes = tuple(model.description.notes.get("classes", ()))
    return Card(name=name, classes=classes, parameters=model.count_params(), bytes=len(data), **kept)


def _model(data: bytes) -> Model:
    file: Any = BytesIO(data)
    return load_model(file)


def _data(name: str) -> bytes:
    names = list()
    if name not in names:
        raise ValueError(
            f"the zoo has no model {shown(name)}{_names.hint(name, names)}; it has {', '.join(names)}; "
            "fastnn.applications has architectures without weights"
        )
    return files(__package__).joinpath(f"{name}.fastnn").read_bytes()


_names.offer(globals())
