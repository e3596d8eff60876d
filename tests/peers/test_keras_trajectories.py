"""Twenty steps of whole networks beside Keras's: every optimizer with every loss and every activation, and options."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")
pytest.importorskip("jax", reason="Keras's networks are differentiated by JAX")

from fastnn import activations, losses, optimizers  # noqa: E402
from fastnn.activations import ACTIVATIONS  # noqa: E402
from fastnn.losses import LOSSES  # noqa: E402
from fastnn.optimizers import SGD, Adam, schedules  # noqa: E402
from support.keras_paths import paths  # noqa: E402
from support.peers import assert_together  # noqa: E402
from support.units import label, units  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # theirs
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras runs on another backend than JAX"),
]

# Learning rates with which 20 steps go far, and nothing runs away.
EVERY_OPTIMIZER = [
    SGD(0.003, momentum=0.9),
    optimizers.RMSprop(0.01),
    Adam(0.01),
    optimizers.AdamW(0.01),
    optimizers.Adamax(0.01),
    optimizers.Nadam(0.01),
    optimizers.Adagrad(0.05),
    optimizers.Adadelta(1.0),
    optimizers.Lion(0.01),
    optimizers.Ftrl(0.1),
]
EVERY_LOSS = [cls() for _, cls in LOSSES if hasattr(keras.losses, cls.__name__)]
# Sparsemax is not there: Keras issue 23425, test_keras_activations.py.
EVERY_ACTIVATION = [activations.get(name) for name, _ in ACTIVATIONS if name != "sparsemax"]


class Product:
    """Keras's paths for all choices of three lists, worked out when the first of them is asked for."""

    def __init__(self, *lists: Any) -> None:
        self.optimizers, self.losses, self.activations = lists
        self.theirs: np.ndarray | None = None

    def check(self, optimizer: Any, loss: Any) -> None:
        if self.theirs is None:
            self.theirs = paths(self.optimizers, self.losses, self.activations)
        theirs = self.theirs[self.optimizers.index(optimizer), self.losses.index(loss)]
        assert_together(optimizer, loss, self.activations, theirs)


ALL = Product(EVERY_OPTIMIZER, EVERY_LOSS, EVERY_ACTIVATION)


@pytest.mark.parametrize("loss", ALL.losses, ids=label)
@pytest.mark.parametrize("optimizer", ALL.optimizers, ids=label)
def test_every_activation_with(optimizer: Any, loss: Any) -> None:
    ALL.check(optimizer, loss)


