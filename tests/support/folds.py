"""Rows of three classes, a small network of them, and its cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnn
from fastnn.layers import Dense, Dropout, Input
from fastnn.model_selection import cross_validate
from fastnn.models import Sequential

RNG = np.random.default_rng(4)
X = RNG.normal(size=(120, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 120)


def build(units: int = 8, rate: float = 0.01) -> Any:
    model = Sequential([Input((5,)), Dense(units, "relu"), Dropout(0.2), Dense(3, "softmax")])
    model.compile(fastnn.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def validated(*rows: Any, **named: Any) -> Any:
    return cross_validate(named.pop("build", build), *rows, **{"epochs": 3, "random_state": 5, "verbose": 0, **named})
