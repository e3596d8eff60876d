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
    SGD(0.005, momentum=0.9),
    optimizers.RMSprop(0.01),
    Adam(0.01),
    optimizers.AdamW(0.01),
    optimizers.Adamax(0.01),
    optimizers.Nadam(0.01),
    optimizers.ScheduleFreeAdamW(0.01),
    optimizers.Adagrad(0.05),
    optimizers.Adadelta(1.0),
    optimizers.Lion(0.01),
    optimizers.Ftrl(0.1),
]
EVERY_LOSS = [cls() for _, cls in LOSSES if hasattr(keras.losses, cls.__name__) and cls is not losses.Circle]
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


def shared(table: Any, theirs: Any) -> list[Any]:
    """Every configuration of a table whose class they have."""
    return [unit for unit in units(table) if hasattr(theirs, type(unit).__name__)]


def ignores(loss: Any) -> bool:
    """Whether it leaves rows out. An average over a batch counts them in fastnn, and not in Keras."""
    return getattr(loss, "ignore_class", None) is not None or isinstance(loss, losses.Circle)


# Each configuration of a loss, and each reduction, after an activation of its own and with two kinds of step.
LOSS_OPTIONS = Product(
    [SGD(0.005, momentum=0.9), Adam(0.01)],
    [
        *[unit for unit in shared(LOSSES, keras.losses) if unit not in EVERY_LOSS and not ignores(unit)],
        *[losses.SparseCategoricalCrossentropy(logits, 1, reduction="sum") for logits in (False, True)],
        *[
            cls(reduction=reduction)
            for cls in (losses.MeanSquaredError, losses.BinaryCrossentropy, losses.SparseCategoricalCrossentropy)
            for reduction in ("sum", "mean", "mean_with_sample_weight")
        ],
    ],
    [activations.tanh, activations.gelu],
)


@pytest.mark.parametrize("loss", LOSS_OPTIONS.losses, ids=str)
@pytest.mark.parametrize("optimizer", LOSS_OPTIONS.optimizers, ids=label)
def test_options_of_losses(optimizer: Any, loss: Any) -> None:
    LOSS_OPTIONS.check(optimizer, loss)


ACTIVATION_OPTIONS = Product(
    [SGD(0.01, momentum=0.9)],
    [losses.MeanSquaredError(), losses.CategoricalCrossentropy()],
    [unit for unit in units(ACTIVATIONS) if unit.table_name != "sparsemax" and unit not in EVERY_ACTIVATION],
)


@pytest.mark.parametrize("loss", ACTIVATION_OPTIONS.losses, ids=label)
def test_options_of_activations(loss: Any) -> None:
    ACTIVATION_OPTIONS.check(ACTIVATION_OPTIONS.optimizers[0], loss)


OPTIMIZER_OPTIONS = Product(
    [
        SGD(0.05),
        SGD(0.05, momentum=0.9, nesterov=True),
        optimizers.RMSprop(0.01, rho=0.8, momentum=0.5, epsilon=1e-3),
        optimizers.RMSprop(0.01, centered=True, epsilon=1e-3),
        Adam(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        Adam(0.02, amsgrad=True),
        optimizers.AdamW(0.02, weight_decay=0.3),
        optimizers.Adamax(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        optimizers.Nadam(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        optimizers.ScheduleFreeAdamW(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3, warmup_steps=5),
        optimizers.Adagrad(0.05, initial_accumulator_value=0.5, epsilon=1e-3),
        optimizers.Adadelta(1.0, rho=0.8, epsilon=1e-3),
        optimizers.Lion(0.01, beta_1=0.8, beta_2=0.9),
        optimizers.Ftrl(0.1, -0.3, 0.2, 0.01, 0.02, 0.03, 0.5),
        # What acts around the step. Not use_ema with gradient_accumulation_steps: Keras averages after each batch then,
        # the same weights over and over, and fastnn after each step.
        SGD(0.05, 0.9, weight_decay=0.3),
        SGD(0.1, 0.9, clipvalue=0.02),
        SGD(0.1, 0.9, clipnorm=0.05),
        SGD(0.1, 0.9, global_clipnorm=0.1),
        Adam(0.02, global_clipnorm=0.1, weight_decay=0.1),
        SGD(0.05, 0.9, use_ema=True, ema_momentum=0.8),
        Adam(0.02, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=3),
        SGD(0.2, 0.5, gradient_accumulation_steps=4),
        Adam(0.05, gradient_accumulation_steps=3, clipnorm=0.1, weight_decay=0.1),
        # Schedules.
        *[
            SGD(rate, momentum=0.5)
            for rate in (
                schedules.ExponentialDecay(0.1, 5, 0.5),
                schedules.ExponentialDecay(0.1, 5, 0.5, staircase=True),
                schedules.PiecewiseConstantDecay([3, 9], [0.1, 0.05, 0.01]),
                schedules.PolynomialDecay(0.1, 8, 0.01, 2.0),
                schedules.PolynomialDecay(0.1, 8, 0.01, cycle=True),
                schedules.InverseTimeDecay(0.1, 4, 0.5),
                schedules.InverseTimeDecay(0.1, 4, 0.5, staircase=True),
                schedules.CosineDecay(0.01, 10, 0.1, warmup_target=0.1, warmup_steps=5),
                schedules.CosineDecayRestarts(0.1, 4, 1.5, 0.8, 0.1),
            )
        ],
        Adam(schedules.ExponentialDecay(0.1, 5, 0.5), weight_decay=0.1),
        Adam(schedules.InverseTimeDecay(0.1, 2, 0.5), gradient_accumulation_steps=2),
    ],
    [losses.MeanSquaredError(), losses.SparseCategoricalCrossentropy()],
    [activations.tanh, activations.silu],
)


@pytest.mark.parametrize("loss", OPTIMIZER_OPTIONS.losses, ids=label)
@pytest.mark.parametrize("optimizer", OPTIMIZER_OPTIONS.optimizers, ids=str)
def test_options_of_optimizers(optimizer: Any, loss: Any) -> None:
    OPTIMIZER_OPTIONS.check(optimizer, loss)
