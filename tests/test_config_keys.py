"""What describes a unit is a dict of arguments by their names: every family says what else it was given."""

from __future__ import annotations

import inspect
import math
from importlib import import_module
from typing import Any

import pytest

from fastnn._table import TABLES
from fastnn.saving import deserialize_keras_object

HOMES = (
    "activations",
    "constraints",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "optimizers.schedules",
    "regularizers",
    "utils",
)
ODD: list[dict[Any, Any]] = [{math.nan: math.nan}, {1: 2}, {None: 1}, {("a",): 1}, {b"name": "a"}, {"name": "a", 1: 2}]
WORDS = r"takes the dict that get_config gives, got|a field's name is text, got|describes no|derived from"


def classes() -> dict[str, Any]:
    """All that have a from_config, by their names."""
    found = {}
    for home in HOMES:
        module = import_module(f"fastnn.{home}")
        for name in dir(module):
            value = getattr(module, name)
            if inspect.isclass(value) and hasattr(value, "from_config"):
                found[f"{home}.{name}"] = value
    return found


@pytest.mark.parametrize("given", ODD, ids=str)
def test_classes(given: dict[Any, Any]) -> None:
    found = classes()
    assert len(found) > 300
    for name, cls in found.items():
        with pytest.raises((TypeError, ValueError), match=WORDS):
            raise AssertionError((name, cls.from_config(given)))


@pytest.mark.parametrize("given", ODD, ids=str)
@pytest.mark.parametrize("family", sorted(TABLES))
def test_tables(family: str, given: dict[Any, Any]) -> None:
    table = TABLES[family]
    name, _ = next(iter(table))
    with pytest.raises(ValueError, match=WORDS):
        table.from_config({"class": name, **given})


@pytest.mark.parametrize("given", ODD, ids=str)
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.layers", "Dense"),
        ("keras.layers", "LSTMCell"),
        ("keras.optimizers", "Adam"),
        ("keras.optimizers.schedules", "ExponentialDecay"),
        ("keras.losses", "MeanSquaredError"),
        ("keras.metrics", "AUC"),
        ("keras.regularizers", "L2"),
        ("keras.initializers", "GlorotUniform"),
        ("keras.constraints", "MaxNorm"),
        ("keras", "Sequential"),
    ],
)
def test_in_kerass_form(module: str, name: str, given: dict[Any, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=WORDS):
        deserialize_keras_object({"module": module, "class_name": name, "config": given, "registered_name": None})


def test_a_users_own_class() -> None:
    class Own:
        def __init__(self, **named: Any):
            self.named = named

    form = {"module": None, "class_name": "Own", "registered_name": None}
    with pytest.raises(TypeError, match=r"Own.from_config takes .*got \{1: 2\}, whose key 1 is no argument's name"):
        deserialize_keras_object({**form, "config": {1: 2}}, {"Own": Own})
    assert deserialize_keras_object({**form, "config": {"a": 2}}, {"Own": Own}).named == {"a": 2}
