"""A fit on several ranks ends with the bits of a fit on one: layers, optimizers, losses, metrics, options."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import constraints, losses, optimizers, regularizers
from fastnn.layers import (
    LSTM,
    BatchNormalization,
    Concatenate,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Masking,
    Reshape,
    SpectralNormalization,
)
from fastnn.losses import LOSSES
from fastnn.models import Model, Sequential
from fastnn.optimizers import OPTIMIZERS
from support.layers import CASES, OF_COLUMNS, RANDOM
from support.ranks import numbers, same
from support.small import bits
from support.units import label, targets_for, units

ROWS = 106  # of which a batch of 50 leaves 6


def left_by(make: Callable[[], tuple[Model, Any, Any]], communicator: Any, **how: Any) -> Any:
    """What a fit leaves: history, weights, the optimizer's vectors, and what another fit from there leaves."""
    if communicator is None:  # ranks have chance of their own, of which that of rank 0 counts
        with fastnn.random.seeded(0):
            return _left_by(make, None, how)
    return _left_by(make, communicator, how)


def _left_by(make: Any, communicator: Any, how: dict[str, Any]) -> Any:
    model, x, y = make()
    more = {} if communicator is None else {"distribute": communicator}
    history = model.fit(x, y, **{"batch_size": 50, "epochs": 2, "verbose": 0, **how}, **more)
    steps, slots = model.description.trainer.state()
    assert np.isfinite(history.history["loss"]).all()
    return history.history, bits(model), steps, _learnt(model, slots)


def _learnt(model: Model, slots: dict[str, Any]) -> dict[str, list[bytes]]:
    """An optimizer's vectors where weights learn: the rest is nobody's."""
    places = [slice(v.start, v.start + v.rows * v.columns) for v in model.description.variables()]
    return {name: [slot[place].tobytes() for place in places] for name, slot in slots.items()}


def check(make: Any, *, sizes: tuple[int, ...] = (2, 3), **how: Any) -> Any:
    alone = left_by(make, None, **how)
    for size in sizes:
        assert same(size, lambda c: left_by(make, c, **how)) == alone, f"{size} ranks"
    return alone


def dense(optimizer: Any = "adam", loss: Any = "mse", metrics: Any = ("mae",), **of_kernel: Any) -> Any:
    model = Sequential([Input((5,)), Dense(33, "tanh", **of_kernel), Dropout(0.3), Dense(17, "relu"), Dense(3)])
    model.compile(optimizer, loss, metrics=list(metrics))
    return model, numbers(0, ROWS, 5), numbers(1, ROWS, 3)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7, 8])
def test_any_number_of_ranks(ranks: int) -> None:
    """Of 106 rows in blocks of 16 some ranks have none, and of a small last batch most."""
    check(dense, sizes=(ranks,))


def of_case(name: str) -> tuple[Model, Any, Any]:
    case = CASES[name]
    model, _ = case.model(units=3)
    model.compile("adam", "mse", metrics=["mae"])
    return model, case.rows(ROWS), numbers(1, ROWS, 3)


@pytest.mark.parametrize("name", CASES)
def test_every_layer(name: str) -> None:
    if of_case(name)[0].description.network.takes_gil:  # Python
        with pytest.raises(ValueError, match=r"runs compiled code alone, and .* is Python"):
            same(2, lambda c: left_by(lambda: of_case(name), c))
        return
    check(lambda: of_case(name), sizes=(2 + len(name) % 2,))


def of_chance(name: str) -> tuple[Model, Any, Any]:
    make, shape = OF_COLUMNS.get(name) or (RANDOM[name], (3, 4))
    first = Input((5,))
    last = Flatten()(make()(Reshape(shape)(Dense(prod(shape))(first))))
    model = Model(first, Dense(3)(last))
    model.compile("adam", "mse")
    return model, numbers(0, ROWS, 5), numbers(1, ROWS, 3)


@pytest.mark.parametrize("name", [*RANDOM, *OF_COLUMNS])
def test_every_layer_of_chance(name: str) -> None:
    check(lambda: of_chance(name), sizes=(2,))


def of_rows() -> tuple[Model, Any, Any]:
    """Each row of a batch by itself, as no op of it knows how long the gradient of a row is."""
    model = Sequential([Input((6, 4)), Conv1D(5, 3), LSTM(3), Dense(3)])
    model.compile(optimizers.DPSGD(0.1, noise=0.5, clip=0.2, momentum=0.9), "mse")
    return model, numbers(0, ROWS, 6, 4), numbers(1, ROWS, 3)


def test_rows_that_are_clipped_one_by_one() -> None:
    check(of_rows)


@pytest.mark.parametrize("optimizer", units(OPTIMIZERS), ids=label)
def test_every_optimizer(optimizer: Any) -> None:
    how = {"batch_size": ROWS, "shuffle": False} if optimizer.full_batch else {}
    check(lambda: dense(optimizers.get(type(optimizer).from_config(optimizer.get_config()))), sizes=(3,), **how)


@pytest.mark.parametrize(
    "options",
    [
        {"clipnorm": 0.01},
        {"global_clipnorm": 0.01},
        {"clipvalue": 0.001},
        {"weight_decay": 0.1},
        {"use_ema": True},
        {"use_ema": True, "ema_overwrite_frequency": 2},
        {"gradient_accumulation_steps": 2},
        {"gradient_accumulation_steps": 3, "global_clipnorm": 0.01, "use_ema": True},
        {"learning_rate": optimizers.schedules.ExponentialDecay(0.01, 2, 0.5)},
    ],
    ids=str,
)
def test_every_option_of_an_optimizer(options: dict[str, Any]) -> None:
    check(lambda: dense(optimizers.Adam(**options)))


@pytest.mark.parametrize("loss", units(LOSSES), ids=label)
def test_every_loss(loss: Any) -> None:
    def make() -> tuple[Model, Any, Any]:
        model = Sequential([Input((5,)), Dense(9, "tanh"), Dense(4, "softmax")])
        model.compile("adam", loss)
        return model, numbers(0, ROWS, 5), targets_for(loss, ROWS, 4, np.random.default_rng(2))

    check(make, sizes=(2,))


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight", "sum_over_batch_size"])
def test_every_reduction(reduction: str) -> None:
    weight = np.random.default_rng(3).random(ROWS)
    check(lambda: dense(loss=losses.MeanSquaredError(reduction=reduction)), sample_weight=weight)


def test_metrics_that_gather_whole_batches() -> None:
    def make() -> tuple[Model, Any, Any]:
        model = Sequential([Input((5,)), Dense(9, "tanh"), Dense(1, "sigmoid")])
        names = ["auc", "precision", "accuracy"]
        model.compile("adam", "binary_crossentropy", metrics=names, weighted_metrics=["mse"])
        return model, numbers(0, ROWS, 5), (numbers(1, ROWS, 1) > 0).astype("f4")

    weight = np.arange(ROWS) % 3
    check(make, validation_split=0.2)
    check(make, sample_weight=weight, class_weight=None)
    check(make, class_weight={0: 1.0, 1: 3.0})


def test_validation_is_shared_out() -> None:
    """Each rank takes a part of the rows, of losses that hang on the whole batch too, and masks."""
    check(dense, validation_split=0.3)
    check(dense, validation_split=0.3, validation_batch_size=7, validation_steps=2)
    check(spectral, validation_split=0.3)
    check(masked, validation_split=0.4)
    check(stateful, batch_size=48, shuffle=False, validation_split=0.5)

    def messages(communicator: Any, **how: Any) -> int:
        model, x, y = dense()
        model.fit(x, y, verbose=0, distribute=communicator, validation_data=(x, y), **how)
        return len(communicator.calls)

    assert (
        same(2, lambda c: messages(c, epochs=4, validation_freq=2))
        == same(2, lambda c: messages(c, epochs=4, validation_freq=4)) + 1
    )  # of one evaluation


def masked() -> tuple[Model, Any, Any]:
    first = Input((6,))
    h = LSTM(8, return_sequences=True, dropout=0.2)(Embedding(11, 4, mask_zero=True)(first))
    model = Model(first, Dense(2)(h))
    model.compile("adam", "mse", metrics=["mae"], weighted_metrics=["mse"])
    return model, np.random.default_rng(4).integers(0, 11, (ROWS, 6)), numbers(1, ROWS, 6, 2)


def masked_batch() -> tuple[Model, Any, Any]:
    model = Sequential([Input((6, 3)), Masking(), BatchNormalization(), LSTM(5), Dense(3)])
    model.compile("adam", "mse")
    x = numbers(0, ROWS, 6, 3)
    x[::3, 4:] = 0
    return model, x, numbers(1, ROWS, 3)


def touched(optimizer: Any, sparse: bool) -> tuple[Model, Any, Any]:
    """One table, read by two calls, of which the rows alone step that a batch touches."""
    table, first = Embedding(200, 5, sparse_updates=sparse), Input((4,), dtype="int32")
    both = Concatenate()([Flatten()(table(first)), Dense(20, "tanh")(Flatten()(table(first)))])
    model = Model(first, Dense(2)(both))
    model.compile(optimizer, "mse")
    return model, np.random.default_rng(4).integers(0, 200, (ROWS, 4)), numbers(1, ROWS, 2)


def test_rows_that_step_alone() -> None:
    check(lambda: touched(optimizers.Adam(0.01, global_clipnorm=0.1), True))
    check(lambda: touched(optimizers.Ftrl(0.1, clipnorm=0.1), True))
    check(lambda: touched(optimizers.SGD(0.1), False))


def stateful() -> tuple[Model, Any, Any]:
    model = Sequential([Input(batch_shape=(48, 4, 3)), LSTM(5, stateful=True), Dense(3)])
    model.compile("adam", "mse")
    return model, numbers(0, 96, 4, 3), numbers(1, 96, 3)


def test_masks() -> None:
    check(masked)
    check(masked, sample_weight=np.random.default_rng(3).random((ROWS, 6)))
    check(masked_batch)


def test_states_go_on() -> None:
    check(stateful, batch_size=48, shuffle=False)


def spectral() -> tuple[Model, Any, Any]:
    model = Sequential([Input((5,)), SpectralNormalization(Dense(9)), BatchNormalization(), Dense(3)])
    model.compile("adam", losses.Dice())
    return model, numbers(0, ROWS, 5), (numbers(1, ROWS, 3) > 0).astype("f4")


def test_whole_batches() -> None:
    check(spectral)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_regularizer": regularizers.L1L2(0.01, 0.02)},
        {"kernel_regularizer": regularizers.OrthogonalRegularizer(0.01)},
        {"activity_regularizer": regularizers.L2(0.01)},
        {"kernel_constraint": constraints.MaxNorm(0.4)},
        {"bias_constraint": constraints.NonNeg(), "kernel_regularizer": regularizers.L2(0.1)},
        {"trainable": False},
    ],
    ids=str,
)
def test_regularizers_and_constraints(options: dict[str, Any]) -> None:
    check(lambda: dense(optimizers.Adam(clipnorm=0.5, use_ema=True), **options))


def test_a_batch_by_parts() -> None:
    """Rows of a batch that do not stay in cache together go on their way by parts."""
    model, x, y = pictures()
    model.fit(x[:1], y[:1], verbose=0)
    assert 0 < model.description.network.part_rows < 128
    check(pictures, batch_size=128, epochs=1, sizes=(2,))


def pictures() -> tuple[Model, Any, Any]:
    from fastnn.layers import Conv2D, MaxPooling2D

    layers = [Input((32, 32, 3)), Conv2D(32, 3, activation="relu"), Conv2D(32, 3), MaxPooling2D(4), Flatten(), Dense(3)]
    model = Sequential(layers)
    model.compile("sgd", "mse")
    return model, np.random.default_rng(0).integers(0, 256, (130, 32, 32, 3), dtype=np.uint8), numbers(1, 130, 3)


def test_several_inputs_and_outputs() -> None:
    def make() -> tuple[Model, Any, Any]:
        a, b = Input((3,), name="a"), Input((4,), name="b")
        shared = Dense(6, "tanh")
        h = fastnn.layers.Concatenate()([shared(Dense(5)(a)), shared(Dense(5)(b))])
        model = Model([a, b], [Dense(2, name="one")(h), Dense(1, "sigmoid", name="two")(h)])
        model.compile("adam", ["mse", "binary_crossentropy"], loss_weights=[1.0, 0.3])
        return model, [numbers(0, ROWS, 3), numbers(1, ROWS, 4)], [numbers(2, ROWS, 2), numbers(3, ROWS, 1) > 0]

    check(make)
