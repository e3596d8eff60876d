"""Fixtures that run a test once for each unit of a table, and the guarded buffers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fastnn.activations import ACTIVATIONS
from fastnn.constraints import CONSTRAINTS
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS, AccumulatedMetric, MeanMetric
from fastnn.optimizers import OPTIMIZERS
from fastnn.regularizers import REGULARIZERS
from support.guarded import DTYPES, Guard, guards
from support.units import label, units, ways

EVERY_WAY = [way for loss in units(LOSSES) for way in ways(loss)]
WAYS = [way for way in EVERY_WAY if not way.kernel.whole]
STEPPING = [optimizer for optimizer in units(OPTIMIZERS) if not optimizer.full_batch]
FAMILIES = {
    "activation": units(ACTIVATIONS),
    "loss": units(LOSSES),
    "way": WAYS,
    "every_way": EVERY_WAY,
    "whole_way": [way for way in EVERY_WAY if way.kernel.whole and not way.kernel.labels],  # not of pairs of rows
    "logit_way": [way for way in WAYS if way.logits],
    "probability_way": [way for way in WAYS if not way.logits and way.loss.fused],
    "label_way": [way for way in WAYS if way.kernel.labels],
    "mean_metric": [metric for metric in units(METRICS) if isinstance(metric, MeanMetric)],
    "accumulated": [metric for metric in units(METRICS) if isinstance(metric, AccumulatedMetric)],
    "optimizer": [each for each in STEPPING if each.kernel.signature == "optimizer"],
    "whole_optimizer": [each for each in STEPPING if each.kernel.signature == "whole_optimizer"],
    "regularizer": [regularizer for regularizer in units(REGULARIZERS) if not regularizer.whole],
    "matrix_regularizer": [regularizer for regularizer in units(REGULARIZERS) if regularizer.whole],
    "constraint": units(CONSTRAINTS),
    "dtype": DTYPES,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for family, entries in FAMILIES.items():
        if family in metafunc.fixturenames:
            metafunc.parametrize(family, entries, ids=label)


@pytest.fixture
def guard() -> Iterator[Guard]:
    """`guard(array, dtype=None)`: a copy in a guarded buffer, which is checked when the test ends."""
    with guards() as made:
        yield made


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)
