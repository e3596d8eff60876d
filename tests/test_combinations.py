"""Models made by lot out of all tables: each trains, is saved, and goes on with the same bits as the one that was not.

A failing seed says which; ``print(drawn(seed))`` shows its model.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.layers as L
from fastnn.activations import ACTIVATIONS
from fastnn.constraints import CONSTRAINTS
from fastnn.initializers import INITIALIZERS
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS
from fastnn.models import Model, load_model
from fastnn.optimizers import OPTIMIZERS
from fastnn.optimizers.schedules import SCHEDULES
from fastnn.regularizers import REGULARIZERS
from support.metrics import fits
from support.units import OUTPUT_OF, targets_for, units

INPUTS = 5
TABLES = {
    table: units(table) for table in (ACTIVATIONS, CONSTRAINTS, INITIALIZERS, LOSSES, METRICS, OPTIMIZERS, REGULARIZERS)
}
TABLES[OPTIMIZERS] = [each for each in TABLES[OPTIMIZERS] if not each.row_clipping[0]]  # which few models take
SCHEDULE_NUMBERS: dict[str, dict[str, Any]] = {
    "exponential_decay": {"initial_learning_rate": 1e-3, "decay_steps": 3, "decay_rate": 0.9},
    "inverse_time_decay": {"initial_learning_rate": 1e-3, "decay_steps": 3, "decay_rate": 0.9},
    "polynomial_decay": {"initial_learning_rate": 1e-3, "decay_steps": 9},
    "piecewise_constant_decay": {"boundaries": [3, 5], "values": [1e-3, 3e-3, 1e-4]},
    "cosine_decay": {"initial_learning_rate": 0.0, "decay_steps": 9, "warmup_target": 1e-3, "warmup_steps": 3},
    "cosine_decay_restarts": {"initial_learning_rate": 1e-3, "first_decay_steps": 3},
    "one_cycle": {"max_learning_rate": 1e-3, "total_steps": 50},
    "warm_up": {"learning_rate": 1e-3, "warmup_steps": 3},
}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


@dataclass
class Drawn:
    """A compiled model with rows for it, and how it is fitted."""

    model: Model
    x: np.ndarray
    y: np.ndarray
    fit: dict[str, Any]
    threads: int


def drawn(seed: int) -> Drawn:
    """The model of this seed."""
    fastnn.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    large = rng.random() < 0.1  # enough work for two threads
    rows, width = (1024, 64) if large else (37, int(rng.integers(1, 20)))
    loss = one_of(rng, LOSSES)
    outputs = 2 * int(rng.integers(1, 4)) if loss.table_name == "gaussian_nll" else int(rng.integers(1, 5))
    first = L.Input((INPUTS,))
    rows_of = first
    if rng.random() < 0.2:
        category = L.Flatten()(L.Embedding(3, 4)(L.Rescaling(0.0, 1.0)(first)))
        rows_of = L.Concatenate()([first, category])
    for _ in range(rng.integers(1, 4)):
        rows_of = hidden(rng, width)(rows_of)
    last = None if loss.logits or rng.random() < 0.3 else OUTPUT_OF.get(loss.table_name)
    model = Model(first, L.Dense(outputs, last)(rows_of))
    optimizer = optimizer_of(rng)
    y = targets_for(loss, rows, outputs, rng).astype(np.float32)
    targets = 1 if y.ndim == 1 else y.shape[1]
    metrics = [copy.deepcopy(each) for each in rng.permutation(TABLES[METRICS])[:12] if fits(each, targets, outputs)]
    metrics = [each for each in metrics if not each.takes.limited or not each.takes.outside(y, outputs).any()]
    model.compile(optimizer, loss, metrics=metrics[:2], weighted_metrics=metrics[2:3])
    fit: dict[str, Any] = {"batch_size": rows if optimizer.full_batch else int(rng.choice([7, 500]))}
    if rng.random() < 0.3:
        fit["sample_weight"] = rng.integers(0, 3, rows).astype(np.float32)
    elif y.ndim == 1 and rng.random() < 0.5:
        fit["class_weight"] = {label: 0.5 + label for label in range(outputs)}
    if rng.random() < 0.3:
        fit["validation_split"] = 0.25
    return Drawn(model, rng.normal(size=(rows, INPUTS)).astype(np.float32), y, fit, 1 + seed % 2)


def one_of(rng: np.random.Generator, table: Any) -> Any:
    return TABLES[table][rng.integers(len(TABLES[table]))]


def optimizer_of(rng: np.random.Generator) -> Any:
    """Any optimizer, slow enough for any loss, with something around its step or a schedule."""
    optimizer = copy.deepcopy(one_of(rng, OPTIMIZERS))
    if optimizer.full_batch:
        return optimizer
    optimizer.learning_rate = 1e-3
    if rng.random() < 0.4:
        more: dict[str, Any] = {
            "weight_decay": 0.1,
            "use_ema": True,
            "gradient_accumulation_steps": 2,
            str(rng.choice(["clipnorm", "clipvalue", "global_clipnorm"])): 0.1,
        }
        clips = dict.fromkeys(("clipnorm", "clipvalue", "global_clipnorm"))
        optimizer = replace(optimizer, **clips | {name: more[name] for name in more if rng.random() < 0.5})
    if rng.random() < 0.4:
        name = str(rng.choice(list(SCHEDULE_NUMBERS)))
        optimizer.learning_rate = SCHEDULES.find(name)(**SCHEDULE_NUMBERS[name])
    return optimizer


def hidden(rng: np.random.Generator, width: int) -> Any:
    """What makes of a symbolic tensor of one axis another."""

    def dense(units: int = width) -> L.Dense:
        more = {
            "kernel_regularizer": REGULARIZERS,
            "kernel_constraint": CONSTRAINTS,
            "kernel_initializer": INITIALIZERS,
        }
        given = {name: one_of(rng, table) for name, table in more.items() if rng.random() < 0.2}
        if rng.random() < 0.1:
            penalty = one_of(rng, REGULARIZERS)  # one of a whole batch finds its slopes by differences, of few numbers
            given["activity_regularizer"] = None if penalty.whole else penalty
        return L.Dense(units, one_of(rng, ACTIVATIONS), use_bias=bool(rng.random() < 0.8), **given)

    def shared(x: Any) -> Any:
        layer = dense(x.row[0])
        return layer(layer(x))

    def merged(x: Any) -> Any:
        merge = rng.choice([L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate])
        return merge()([dense()(x), dense()(x)])

    def model(x: Any) -> Any:
        first = L.Input(x.row)
        return Model(first, dense()(first))(x)

    def around(x: Any) -> Any:
        return L.Add()([x, dense(x.row[0])(x)])

    def frozen(x: Any) -> Any:
        layer = dense()
        layer.trainable = False
        return layer(x)

    layers = [
        L.BatchNormalization(),
        L.LayerNormalization(),
        L.RMSNormalization(),
        L.PReLU(),
        L.UnitNormalization(),
        L.GroupNormalization(-1, epsilon=1.0),
        L.ActivityRegularization(0.01, 0.01),
        L.EinsumDense("ab,bc->ac", 6, one_of(rng, ACTIVATIONS), "c", activity_regularizer="l2"),
        L.Dropout(0.3),
        L.GaussianNoise(0.1),
        L.GaussianDropout(0.2),
        L.AlphaDropout(0.2),
        L.Normalization(mean=0.5, variance=4.0),
        L.Activation(one_of(rng, ACTIVATIONS)),
    ]
    ways = [dense(), dense(), dense(), shared, merged, model, around, frozen, *layers]
    return ways[rng.integers(len(ways))]


def fitted(model: Model, case: Drawn, seed: int) -> tuple[dict[str, list[Any]], list[bytes]]:
    fastnn.set_random_seed(seed)
    history = model.fit(case.x, case.y, epochs=2, verbose=0, **case.fit).history
    return history, [w.tobytes() for w in model.get_weights()]


@pytest.mark.parametrize("seed", range(300))
def test_trains_saves_loads_and_goes_on(seed: int, tmp_path: Any) -> None:
    case = drawn(seed)
    fastnn.set_num_threads(case.threads)
    model = case.model
    with contextlib.suppress(FloatingPointError):
        fitted(model, case, 1)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.predict(case.x).tobytes() == model.predict(case.x).tobytes()
    ends: list[Any] = []
    for each in (model, loaded):
        try:
            end = fitted(each, case, 2)
            ends.append((*end, each.evaluate(case.x, case.y, verbose=0)))
        except FloatingPointError as error:
            ends.append(str(error))
        fastnn.set_num_threads(3 - case.threads)
    np.testing.assert_equal(ends[1], ends[0])
