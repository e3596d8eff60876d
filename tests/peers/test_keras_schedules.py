"""Every schedule that Keras has too, at every step."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")

from fastnn.optimizers.schedules import (  # noqa: E402
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

SCHEDULES = [
    ExponentialDecay(0.1, 10, 0.5),
    ExponentialDecay(0.1, 10, 0.5, staircase=True),
    PiecewiseConstantDecay([3, 9], [0.1, 0.05, 0.01]),
    PolynomialDecay(0.1, 10),
    PolynomialDecay(0.1, 10, 0.02, 2.0),
    PolynomialDecay(0.1, 7, 0.02, 0.5, cycle=True),
    InverseTimeDecay(0.1, 10, 0.5),
    InverseTimeDecay(0.1, 10, 0.5, staircase=True),
    CosineDecay(0.1, 20),
    CosineDecay(0.1, 20, 0.2),
    CosineDecay(0.01, 20, 0.2, warmup_target=0.1, warmup_steps=7),
    CosineDecay(0.0, 20, warmup_target=0.1, warmup_steps=7),
    CosineDecayRestarts(0.1, 6.5),
    CosineDecayRestarts(0.1, 6.5, 1.5, 0.8, 0.1),
    CosineDecayRestarts(0.1, 7, 1.0, 0.5),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: type(one).__name__)
def test_same_rates(schedule: LearningRateSchedule) -> None:
    other = getattr(keras.optimizers.schedules, type(schedule).__name__)(**schedule.get_config())
    steps = np.array([0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 19, 20, 21, 26, 27, 28, 45, 60])
    np.testing.assert_allclose(schedule(steps), [float(other(int(step))) for step in steps], rtol=2e-5, atol=1e-8)
    assert other.get_config() == schedule.get_config()


def test_all_of_them() -> None:
    names = {name for name in dir(keras.optimizers.schedules) if name[0].isupper()} - {"LearningRateSchedule"}
    assert names == {type(schedule).__name__ for schedule in SCHEDULES}
