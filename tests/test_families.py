"""Units of one family where another's are wanted: refused when the unit, or the model, is made.

Many can be called with arrays, and all are true, so each would pass for a function or a flag.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import activations, constraints, initializers, layers, losses, metrics, optimizers, regularizers
from fastnn._table import TABLES, plain
from fastnn.optimizers import schedules
from fastnn.store import safetensors
from support.layers import CASES
from support.units import OTHERS, units

MODEL = fastnn.Sequential([layers.Dense(1, input_dim=1)])
UNITS: dict[str, Any] = {family: units(table)[0] for family, table in TABLES.items() if table in OTHERS}
UNITS |= {"schedule": schedules.CosineDecay(0.1, 10), "layer": layers.Dense(2), "model": MODEL}
GETS: dict[str, Callable[[Any], Any]] = {
    "activation": activations.get,
    "loss": losses.get,
    "metric": metrics.get,
    "optimizer": optimizers.get,
    "schedule": schedules.get,
    "initializer": initializers.get,
    "regularizer": regularizers.get,
    "constraint": constraints.get,
}
FORMS = {"loss": losses.mean_squared_error, "metric": metrics.binary_accuracy}


def fits(unit: str, where: str) -> bool:
    return unit == where or (unit, where) == ("loss", "metric")  # any loss can be measured


def others(where: str) -> list[Any]:
    """Units, classes and function forms of all other families."""
    found = [form for family, form in FORMS.items() if not fits(family, where)]
    for family, unit in UNITS.items():
        if not fits(family, where):
            found += [unit] if family == "model" else [unit, type(unit)]
    return found


def test_all_families_are_here() -> None:
    assert {*GETS, "layer", "model"} == UNITS.keys() == {*TABLES, "model"}


@pytest.mark.parametrize("family", GETS)
def test_by_get(family: str) -> None:
    for other in others(family):
        with pytest.raises(TypeError, match=f"^{family} "):
            GETS[family](other)
    assert GETS[family](UNITS[family]) is not None


@pytest.mark.parametrize("family", ["activation", "loss", "metric"])
def test_wrapped(family: str) -> None:
    """Where a Python function is made a unit."""
    wrap: Any = {"activation": activations.Custom, "loss": losses.Custom, "metric": metrics.MeanMetricWrapper}[family]
    for other in others(family):
        if callable(other) and not isinstance(other, type):
            with pytest.raises(TypeError, match=f"^{family} must be"):
                wrap(other)


def made() -> list[Any]:
    """A unit of each class of each table."""
    found = [unit for table in OTHERS for unit in units(table)] + [case.make() for case in CASES.values()]
    found += [schedules.WarmUp(0.1, 10), schedules.OneCycle(0.1, 100), schedules.ExponentialDecay(0.1, 10, 0.5)]
    return list({type(unit): unit for unit in found if dataclasses.is_dataclass(unit)}.values())


@pytest.mark.parametrize("unit", made(), ids=lambda unit: type(unit).__name__)
def test_in_any_field(unit: Any) -> None:
    """No field of any unit takes a unit, its class or a function form of another family than its own."""
    fields = [field for field in dataclasses.fields(unit) if field.init]
    given = {field.name: getattr(unit, field.name) for field in fields}
    for field in fields:
        last = field.name.rpartition("_")[2]
        own = {"rate": "schedule", "layer": "layer"}.get(last, last)
        if field.name == "input_length":  # of Keras's older versions; it is not looked at
            continue
        for other in others(own):
            if own == "layer" and other is MODEL:
                continue
            if other in FORMS.values() and own not in ("activation", "loss") and field.type not in ("bool", "str"):
                continue  # to a field of any kind a function is what it is to Python
            with pytest.raises((TypeError, ValueError)):
                type(unit)(**{**given, field.name: other})


@pytest.mark.parametrize("argument", ["optimizer", "loss", "metrics", "weighted_metrics"])
def test_in_compile(argument: str) -> None:
    family = {"metrics": "metric", "weighted_metrics": "metric"}.get(argument, argument)
    for other in others(family):
        given = {"optimizer": "sgd", "loss": "mse", argument: [other] if family == "metric" else other}
        with pytest.raises(TypeError, match=family):
            MODEL.compile(**given)


@pytest.mark.parametrize("family", [family for family in UNITS if family != "layer"])
def test_in_files(family: str, tmp_path: Any) -> None:
    """A file that has one where another stood: a ValueError with the file's name."""

    model = fastnn.Sequential(
        [layers.Dense(2, "relu", kernel_regularizer="l2", kernel_constraint="non_neg", input_dim=3)]
    )
    model.compile(optimizers.Adam(schedules.CosineDecay(0.1, 10)), "mse", metrics=["mae"])
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    path = tmp_path / "model.fastnn"
    model.save(path)
    arrays, metadata = safetensors.read(path)
    wrong = plain(UNITS[family])
    places: list[tuple[tuple[Any, ...], str]] = [
        (("layers", 1 if len(json.loads(metadata["model"])["layers"]) > 1 else 0, field), field.rpartition("_")[2])
        for field in ("activation", "kernel_initializer", "kernel_regularizer", "kernel_constraint", "use_bias", "name")
    ]
    places += [(("training", "optimizer", "learning_rate"), "schedule"), (("training", "loss"), "loss")]
    places += [(("training", "optimizer"), "optimizer"), (("training", "metrics", 0), "metric")]
    for place, own in places:
        if fits(family, own):
            continue
        described = json.loads(metadata["model"])
        at = described
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = wrong
        safetensors.write(path, arrays, {**metadata, "model": json.dumps(described)})
        with pytest.raises(ValueError, match=r"model\.fastnn"):
            fastnn.models.load_model(path)
