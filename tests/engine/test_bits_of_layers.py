"""fit, evaluate and predict give the same bits for 1, 2, 3, 4 and 8 threads: every layer, rows of every rank."""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import Dense, Flatten, Input, Reshape
from fastnn.models import Model
from support import layers
from support.layers import CASES, RANDOM
from support.small import bits

THREADS = (1, 2, 3, 4, 8)
ROWS = 512
SIZES = (171, 170, ROWS)  # of batches: a team is tried first for each
TAIL = (128, 96)  # Dense layers behind, for which a run of any of these models is worth a team
OUTPUTS = 3


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def with_tail(inputs: Any, h: Any) -> Model:
    for width in (64, *TAIL):
        h = Dense(width, "tanh")(h)
    model = Model(inputs, Dense(OUTPUTS)(h))
    model.compile("adam", "mse", metrics=["mae"])
    return model


def of_case(name: str) -> tuple[Model, np.ndarray]:
    case = CASES[name]
    before, _ = case.model()
    return with_tail(before.inputs, before.outputs[0]), case.rows(ROWS)


def of_chance(name: str, shape: tuple[int, ...]) -> tuple[Model, np.ndarray]:
    first = Input((5,))
    h = Flatten()(RANDOM[name]()(Reshape(shape)(Dense(prod(shape))(first))))
    return with_tail(first, h), np.random.default_rng(0).normal(size=(ROWS, 5)).astype(np.float32)


def left_by(make: Any, *args: Any, late: float = 0) -> tuple[list[Any], list[float]]:
    """All that three fits, an evaluation and a prediction leave, and how long each took."""
    fastnn.set_random_seed(3)
    model, x = make(*args)
    y = np.random.default_rng(1).normal(size=(ROWS, OUTPUTS)).astype(np.float32)
    weight = np.random.default_rng(2).random(ROWS)
    fresh, _ = make(*args)  # to predict: nobody has tried yet whether a team is faster
    for each in (model, fresh):
        each.description.network.delay_for_tests(0, 1, late)
    calls = [
        *(lambda size=size: model.fit(x, y, size, 1, 0, sample_weight=weight).history for size in SIZES),
        lambda: model.evaluate(x, y, verbose=0, sample_weight=weight),
        lambda: (fresh.set_weights(model.get_weights()), fresh.predict(x).tobytes())[1],
    ]
    found, took = [], []
    for call in calls:
        start = time.perf_counter()
        found.append(call())
        took.append(time.perf_counter() - start)
    return [*found, *bits(model)], took


def test_a_team_takes_part_in_all_of_them() -> None:
    """Its second thread is late, and so is every run: also with the layer that is least work."""
    fastnn.set_num_threads(2)
    _, took = left_by(of_case, "identity on (7,)", late=0.1)
    assert min(took) > 0.1


@pytest.mark.parametrize("name", CASES)
def test_every_layer(name: str) -> None:
    fastnn.set_num_threads(1)
    alone, _ = left_by(of_case, name)
    assert np.isfinite(alone[0]["loss"]).all()
    for threads in THREADS[1:]:
        fastnn.set_num_threads(threads)
        assert left_by(of_case, name)[0] == alone, f"{threads} threads"


@pytest.mark.parametrize("shape", layers.ROWS, ids=str)
@pytest.mark.parametrize("name", RANDOM)
def test_every_layer_of_chance(name: str, shape: tuple[int, ...]) -> None:
    fastnn.set_num_threads(1)
    alone, _ = left_by(of_chance, name, shape)
    for threads in THREADS[1:]:
        fastnn.set_num_threads(threads)
        assert left_by(of_chance, name, shape)[0] == alone, f"{threads} threads"
