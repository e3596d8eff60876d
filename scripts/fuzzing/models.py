"""Models of every layer and every unit, in memory and as the bytes of their files."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

import fastnn.layers as L
from fastnn.activations import ACTIVATIONS
from fastnn.constraints import CONSTRAINTS
from fastnn.initializers import INITIALIZERS
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS
from fastnn.models import Model, Sequential
from fastnn.optimizers import OPTIMIZERS, schedules
from fastnn.regularizers import REGULARIZERS
from support.layers import CASES, RANDOM
from support.units import units

ROWS = 4


def made() -> dict[str, Callable[[], Model]]:
    """By a title, what makes a compiled model: one for each layer's case, and one for each unit of each table."""
    found: dict[str, Callable[[], Model]] = {}
    for title, case in CASES.items():
        found[title] = lambda case=case: case.model(2)[0]
    for title, layer in RANDOM.items():
        found[title] = lambda layer=layer: _chain([layer(), L.Dense(2)])
    for unit in units(ACTIVATIONS):
        found[f"activation {unit!r:.90}"] = lambda unit=unit: _chain([L.Dense(4, unit), L.Activation(unit), L.Dense(2)])
    for name, table in {"initializer": INITIALIZERS, "constraint": CONSTRAINTS, "regularizer": REGULARIZERS}.items():
        for unit in units(table):
            fields = {f"kernel_{name}": unit}
            found[f"{name} {unit!r:.90}"] = lambda fields=fields: _chain([L.Dense(5, **fields), L.Dense(2)])
    for unit in units(OPTIMIZERS):
        found[f"optimizer {unit!r:.90}"] = lambda unit=unit: _chain([L.Dense(3, "tanh"), L.Dense(2)], unit)
    for unit in units(LOSSES):
        found[f"loss {unit!r:.90}"] = lambda unit=unit: _chain([L.Dense(2, "softmax")], "sgd", unit)
    for unit in units(METRICS):
        found[f"metric {unit!r:.90}"] = lambda unit=unit: _chain([L.Dense(2, "sigmoid")], "sgd", "mse", [unit])
    rates = [
        schedules.ExponentialDecay(0.1, 10, 0.5),
        schedules.CosineDecay(0.1, 10),
        schedules.PiecewiseConstantDecay([5, 9], [0.1, 0.01, 0.001]),
    ]
    for rate in rates:
        found[f"schedule {rate!r:.90}"] = lambda rate=rate: _chain([L.Dense(2)], OPTIMIZERS.find("sgd")(rate))
    found |= {"several": _several, "shared": _shared, "inside": _inside, "deep": _deep}
    return found


def _chain(layers: list[Any], optimizer: Any = "sgd", loss: Any = "mse", metrics: Any = None) -> Model:
    model = Sequential([L.Input((5,)), *layers])
    model.compile(optimizer, loss, metrics=metrics)
    return model


def _several() -> Model:
    a, b = L.Input((3,), name="a"), L.Input((2, 2), name="b")
    h = L.Concatenate()([L.Dense(3, "relu")(a), L.Flatten()(b)])
    model = Model({"a": a, "b": b}, {"y": L.Dense(1, name="y")(h), "z": L.Dense(2, "softmax", name="z")(h)})
    model.compile("adam", {"y": "mse", "z": "categorical_crossentropy"}, {"y": 1.0, "z": 0.5}, {"y": ["mae"]})
    return model


def _shared() -> Model:
    x, dense = L.Input((4,)), L.Dense(4, "tanh")
    model = Model([x], [dense(dense(x)), L.Add()([dense(x), x])])
    model.compile("rmsprop", ["mse", "mae"])
    return model


def _inside() -> Model:
    inner = Sequential([L.Dense(3, "relu"), L.BatchNormalization()], name="inner")
    x = L.Input((5,))
    model = Model(x, L.Dense(1, "sigmoid")(inner(x)))
    inner.layers[0].trainable = False
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def _deep() -> Model:
    return _chain([each for _ in range(12) for each in (L.Dense(3, "relu"), L.Dropout(0.2))] + [L.Dense(1)], "adam")


def rows(model: Model, count: int = ROWS, seed: int = 0) -> Any:
    """Rows that a model reads: 0, 1 and 2, which an Embedding takes too. None where they would be huge."""
    rng, shapes = np.random.default_rng(seed), [tensor.row for tensor in model.inputs]
    if sum(map(prod, shapes)) > 10**6:
        return None
    arrays = [rng.integers(0, 3, (count, *shape)).astype(np.float32) for shape in shapes]
    return model.description.takes.pack(arrays)


def targets(model: Model, count: int = ROWS, seed: int = 1) -> Any:
    """Targets for a model's losses; zeros and ones, which most take."""
    rng = np.random.default_rng(seed)
    shapes = [tensor.row for tensor in model.outputs]
    if model.description.trainer is not None:
        shapes, _ = model.description.trainer.wanted(model.output_names)
    if sum(map(prod, shapes)) > 10**6:
        return None
    return model.description.gives.pack([rng.integers(0, 2, (count, *shape)).astype(np.float32) for shape in shapes])


def file_of(model: Model, folder: str, train: bool = True) -> bytes:
    """A model's file, after a step where it can make one, so that its optimizer has a state."""
    if train:
        model.fit(rows(model), targets(model), verbose=0)
    path = os.path.join(folder, "model")
    model.save(path)
    with open(path, "rb") as file:
        return file.read()
