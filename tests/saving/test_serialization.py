"""serialize_keras_object and deserialize_keras_object: each unit of each table, and what else JSON has to hold."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, optimizers, saving
from fastnn._table import TABLES
from support.units import units


def round_trip(given: Any, **options: Any) -> Any:
    return saving.deserialize_keras_object(json.loads(json.dumps(saving.serialize_keras_object(given))), **options)


FAMILIES = ("activation", "constraint", "initializer", "loss", "metric", "optimizer", "regularizer")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_unit_comes_back(family: str) -> None:
    count = 0
    for unit in units(TABLES[family]):
        if callable(getattr(unit, "function", getattr(unit, "fn", None))):
            continue
        again = round_trip(unit)
        assert type(again) is type(unit)
        assert TABLES[family].config(again) == TABLES[family].config(unit)
        count += 1
    assert count > 3


def test_layers_and_models_come_back() -> None:
    layer = layers.Dense(3, "elu", kernel_regularizer="l2", name="mine")
    described = saving.serialize_keras_object(layer)
    assert (described["module"], described["class_name"], described["registered_name"]) == (
        "fastnn.layers",
        "Dense",
        None,
    )
    assert TABLES["layer"].config(round_trip(layer)) == TABLES["layer"].config(layer)
    a = fastnn.Input((2,))
    for model in (
        fastnn.Model(a, layers.Add()([layers.Dense(2)(a), a])),
        fastnn.Sequential([fastnn.Input((2,)), layers.Dense(2)]),
    ):
        again = round_trip(model)
        assert type(again) is type(model)
        assert again.get_config() == model.get_config()


def test_an_optimizer_around_another_comes_back() -> None:
    given = optimizers.LossScaleOptimizer(optimizers.Adam(0.01), initial_scale=8.0)
    config = saving.serialize_keras_object(given)
    for module in (config["module"], "keras.optimizers"):
        found = saving.deserialize_keras_object({**config, "module": module})
        assert found == given
        assert isinstance(found.inner_optimizer, optimizers.Adam)
    with pytest.raises(TypeError, match="inner_optimizer must be an optimizer, got 3"):
        saving.deserialize_keras_object({**config, "config": {"inner_optimizer": 3}})


def test_keras_names_are_read() -> None:
    for config, expected in (
        ({"class_name": "Adam", "config": {"learning_rate": 0.5}}, optimizers.Adam(0.5)),
        ({"module": "keras.losses", "class_name": "Huber", "config": {"delta": 2.0}}, losses.Huber(2.0)),
        (
            {"module": "keras.optimizers.schedules", "class_name": "ExponentialDecay", "config": {
                "initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5}},
            optimizers.schedules.ExponentialDecay(0.1, 3, 0.5),
        ),
    ):  # fmt: skip
        assert saving.deserialize_keras_object(config) == expected


@pytest.mark.parametrize(
    "given",
    [
        None,
        True,
        3,
        0.5,
        "text",
        b"\x00\xff",
        [1, [2]],
        (1, (2, "x")),
        {"a": (1,), "b": [None]},
        slice(None, 20, 2),
        ...,
    ],
)
def test_plain_values_come_back(given: Any) -> None:
    assert round_trip(given) == given
    assert type(round_trip(given)) is type(given)


def test_arrays_come_back() -> None:
    for array in (np.arange(6, dtype=np.int16).reshape(2, 3), np.float32([0.1, np.inf]), np.array(["a", "bc"])):
        again = saving.deserialize_keras_object(saving.serialize_keras_object(array))
        assert again.dtype == array.dtype
        assert np.array_equal(again, array)
    assert round_trip(np.float32(0.5)) == 0.5


@dataclasses.dataclass
class Mine:
    size: int
    parts: Any = ()

    def get_config(self) -> dict[str, Any]:
        return {"size": self.size, "parts": self.parts}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Mine:
        return cls(**config)


def named(x: Any) -> Any:
    return x


def test_objects_and_functions_of_ones_own() -> None:
    own = {"Mine": Mine, "named": named}
    again = round_trip(Mine(3, (losses.Huber(2.0), named, Mine(1))), custom_objects=own)
    assert again == Mine(3, (losses.Huber(2.0), named, Mine(1)))
    with saving.custom_object_scope(own):
        assert round_trip(named) is named
        assert round_trip(Mine) is Mine
    assert round_trip(losses.mean_squared_error) is losses.mean_squared_error


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        ({"class_name": "Dense", "config": [1]}, TypeError, "Expected 'config' to be a dict"),
        ({"class_name": "__tuple__", "config": "x"}, TypeError, "Expected 'config' to be a list or a tuple"),
        ({"class_name": "function", "config": ["x"]}, TypeError, "Expected 'config' to be a non-null str"),
        ({"class_name": "function", "config": "nobody"}, TypeError, "Could not locate function 'nobody'"),
        ({"module": "fastnn.losses", "class_name": "function", "config": "_names"}, TypeError, "Could not locate"),
        ({"module": "os", "class_name": "function", "config": "system"}, TypeError, "Could not locate function"),
        ({"module": "os", "class_name": "system", "config": {}}, TypeError, "Could not locate class 'system'"),
        ({"class_name": "__lambda__", "config": {}}, ValueError, "arbitrary code execution"),
        ({"class_name": 3, "config": {}}, TypeError, "class_name must be a text"),
        ({1, 2}, TypeError, "expected what serialize_keras_object gives"),
        ({"class_name": "Adam", "config": {"speed": 1}}, ValueError, "no field speed"),
    ],
)
def test_what_describes_nothing_is_named(config: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        saving.deserialize_keras_object(config)


def test_what_cannot_be_described_is_named() -> None:
    with pytest.raises(ValueError, match="a lambda has no name"):
        saving.serialize_keras_object(lambda x: x)
    with pytest.raises(TypeError, match="give its class get_config"):
        saving.serialize_keras_object(object())
