"""Every barrier matters to nobody's bits: whichever thread is late behind whichever, all is as on one thread.

What reads a sum, a weight or a row too early is right as long as threads keep step, which they do on a quiet machine.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import losses, optimizers
from fastnn.constraints import MaxNorm, UnitNorm
from fastnn.layers import (
    Add,
    AlphaDropout,
    Average,
    BatchNormalization,
    Concatenate,
    Dense,
    Dot,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Input,
    LayerNormalization,
    Maximum,
    Multiply,
    PReLU,
    Reshape,
    RMSNormalization,
    Subtract,
    TimeDistributed,
)
from fastnn.models import Model, Sequential
from fastnn.regularizers import L1L2, OrthogonalRegularizer
from support.cases import LOSSES, data, ident
from support.small import bits

# engine/network.pxd
BARRIERS = {"rows": 0, "sums": 1, "penalties": 2, "gradients": 3, "squares": 4}
BARRIERS |= {"steps": 5, "weights": 6, "parameters": 7}
ALWAYS = ("rows", "gradients", "parameters")
ROWS, INPUTS, OUTPUTS = 256, 64, 3
SIZES = (96, 80, 256)  # of batches: a team is tried first for each
DELAY = 0.0006  # seconds


@dataclass
class Case:
    """What stands between input and outputs, and how it learns. more: the barriers that it has beside ALWAYS."""

    between: Callable[[Any], Any]
    optimizer: Callable[[], Any] = lambda: optimizers.SGD(0.05)
    loss: Any = "mse"
    more: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[int, ...] = (INPUTS,)
    choices: int = 0  # for rows of whole numbers below it
    epochs: int = 1
    sizes: tuple[int, ...] = SIZES

    def model(self) -> Model:
        fastnn.set_random_seed(4)
        first = Input(self.inputs)
        model = Model(first, self.between(first))
        loss = [self.loss] * len(model.outputs) if len(model.outputs) > 1 else self.loss
        model.compile(self.optimizer(), loss, **self.options)
        return model


def dense(*before: Any, after: str = "sigmoid", **fields: Any) -> Callable[[Any], Any]:
    """Dense layers, with these layers before, between and behind the two that are wide."""

    def between(x: Any) -> Any:
        made = [each() for each in before] + [None] * (3 - len(before))
        h = x
        for layer, width in zip(made, (128, 128, None), strict=True):
            h = layer(h) if layer is not None else h
            if width:
                h = Dense(width, "tanh", **fields)(h)
        return Dense(OUTPUTS, after, **fields)(h)

    return between


def several_readers(x: Any) -> Any:
    """A shared BatchNormalization, whose two outputs several layers read; and one that an output reads."""
    shared, again = BatchNormalization(), Dense(128, "tanh")
    one, two = shared(Dense(128)(x)), shared(Dense(128)(x))
    both = Add()([again(one), again(two), one])
    return Dense(OUTPUTS, "sigmoid")(BatchNormalization()(both))


def two_outputs(x: Any) -> Any:
    h = BatchNormalization()(Dense(128, "tanh")(x))
    return [Dense(OUTPUTS, "sigmoid")(Dense(128, "tanh")(h)), Dense(OUTPUTS, "sigmoid")(h)]


def lines(x: Any) -> Any:
    """Many lines of few numbers, and behind a Flatten one of many: rows go through in portions of other sizes."""
    h = BatchNormalization()(Dense(32, "tanh")(x))
    return Dense(OUTPUTS, "sigmoid")(Dense(96, "tanh")(Flatten()(h)))


def steps(x: Any) -> Any:
    h = TimeDistributed(BatchNormalization())(TimeDistributed(Dense(32, "tanh"))(x))
    return Dense(OUTPUTS, "sigmoid")(Flatten()(TimeDistributed(LayerNormalization())(h)))


def other_axes(x: Any) -> Any:
    """Columns that are no columns: the steps of rows of several axes."""
    h = BatchNormalization(axis=1)(Dense(24, "tanh")(BatchNormalization(axis=1)(x)))
    return Dense(OUTPUTS, "sigmoid")(RMSNormalization()(Flatten()(LayerNormalization(axis=[1, 2])(h))))


def words(x: Any) -> Any:
    h = BatchNormalization()(Embedding(40, 24, embeddings_constraint=MaxNorm(0.05))(x))
    return Dense(OUTPUTS, "sigmoid")(Dense(96, "tanh")(Flatten()(h)))


def touched(x: Any) -> Any:
    """Of a table the rows alone step that a batch touches."""
    h = BatchNormalization()(Embedding(400, 24, sparse_updates=True)(x))
    return Dense(OUTPUTS, "sigmoid")(Dense(96, "tanh", kernel_constraint=MaxNorm(0.5))(Flatten()(h)))


def frozen(x: Any) -> Any:
    h = BatchNormalization(trainable=False)(Dense(128, "tanh")(x))
    h = Dense(128, "tanh", trainable=False)(BatchNormalization()(h))
    return Dense(OUTPUTS, "sigmoid")(BatchNormalization(center=False, scale=False)(h))


def merged(x: Any) -> Any:
    """Ways that meet: each merge reads what a whole-batch op gives."""
    one, two = BatchNormalization()(Dense(96, "tanh")(x)), Dense(96, "tanh")(x)
    both = [Multiply()([one, two]), Maximum()([one, two]), Subtract()([two, one]), Average()([one, one, two])]
    return Dense(OUTPUTS, "sigmoid")(BatchNormalization()(Concatenate()([*both, Dot(1)([one, two])])))


def noise(x: Any) -> Any:
    h = GaussianNoise(0.2)(Dropout(0.3)(Dense(128, "tanh")(x)))
    h = AlphaDropout(0.1)(GaussianDropout(0.1)(h))
    return Dense(OUTPUTS, "sigmoid")(Dropout(0.2)(PReLU()(Dense(128)(Reshape((128,))(h)))))


BY_WEIGHTS = losses.MeanSquaredError(reduction="mean_with_sample_weight")
NORMS = {"more": ("squares",)}
CASES = {
    "batch first": Case(dense(BatchNormalization)),
    "batch between": Case(dense(lambda: None, BatchNormalization, BatchNormalization)),
    "several readers": Case(several_readers),
    "dice": Case(dense(), loss=losses.Dice(), more=("sums",)),
    "tversky by weights": Case(
        dense(BatchNormalization), loss=losses.Tversky(reduction="mean_with_sample_weight"), more=("sums",)
    ),
    "mean by weights": Case(dense(), loss=BY_WEIGHTS),
    "two outputs": Case(two_outputs, loss=BY_WEIGHTS),
    "an orthogonal penalty": Case(
        dense(kernel_regularizer=OrthogonalRegularizer(0.1), bias_regularizer=L1L2(0.01, 0.01)), more=("penalties",)
    ),
    "clipnorm": Case(dense(BatchNormalization), lambda: optimizers.Adam(0.01, clipnorm=0.01), **NORMS),
    "global_clipnorm": Case(dense(), lambda: optimizers.SGD(0.1, global_clipnorm=0.02, weight_decay=0.1), **NORMS),
    "constraints": Case(
        dense(kernel_constraint=MaxNorm(0.5), bias_constraint="non_neg"),
        more=("weights",),
        loss=losses.MeanSquaredError(),
    ),
    "constraints of rows": Case(dense(kernel_constraint=UnitNorm(axis=1)), more=("weights",)),
    "accumulation": Case(
        dense(BatchNormalization),
        lambda: optimizers.SGD(0.1, 0.9, gradient_accumulation_steps=2, global_clipnorm=0.1),
        **NORMS,
    ),
    "whole variables": Case(
        dense(kernel_constraint=MaxNorm(0.5)),
        lambda: optimizers.Muon(0.01, clipnorm=0.1, use_ema=True, ema_overwrite_frequency=2),
        more=("squares", "steps", "weights"),
    ),
    "means of rows and columns": Case(dense(), lambda: optimizers.Adafactor(0.01), more=("steps",)),
    "average": Case(dense(), lambda: optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)),
    "lbfgs": Case(dense(BatchNormalization, kernel_regularizer="l2"), optimizers.LBFGS, epochs=2, sizes=(ROWS,)),
    "noise": Case(noise),
    "lines": Case(lines, inputs=(16, 8)),
    "steps": Case(steps, inputs=(8, 8)),
    "other axes": Case(other_axes, inputs=(8, 12)),
    "words": Case(words, inputs=(8,), choices=40, more=("weights",)),
    "touched rows": Case(
        touched,
        lambda: optimizers.Adam(0.01, global_clipnorm=0.05),
        inputs=(8,),
        choices=400,
        more=("squares", "weights"),
    ),
    "frozen": Case(frozen),
    "merged": Case(merged),
    "two divisors": Case(
        two_outputs,
        loss=losses.Dice(reduction="mean_with_sample_weight"),
        more=("sums",),
        options={"loss_weights": [0.5, 2.0]},
    ),
    "a sum": Case(dense(BatchNormalization), loss=losses.MeanSquaredError(reduction="sum")),
    "lbfgs by weights": Case(
        dense(kernel_regularizer=OrthogonalRegularizer(0.1), kernel_constraint=MaxNorm(2.0)),
        optimizers.LBFGS,
        loss=BY_WEIGHTS,
        more=("penalties",),
        epochs=2,
        sizes=(ROWS,),
    ),
    "all at once": Case(
        dense(
            BatchNormalization,
            lambda: Dropout(0.2),
            BatchNormalization,
            kernel_regularizer=OrthogonalRegularizer(0.1),
            kernel_constraint=MaxNorm(0.5),
        ),
        lambda: optimizers.Adam(0.01, clipnorm=0.1),
        loss=losses.Dice(),
        more=("sums", "penalties", "squares", "weights"),
        options={"metrics": ["mae"], "weighted_metrics": ["mse"]},
    ),
}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def left_by(name: str, threads: int, *late: Any, met: list[int] | None = None) -> list[Any]:
    """All that a few fits, an evaluation and a prediction leave.

    late: a barrier, a thread, for how long. met: is given how often the thread was late.
    """
    case = CASES[name]
    fastnn.set_num_threads(threads)
    model = case.model()
    rng = np.random.default_rng(1)
    x = rng.standard_normal((ROWS, *case.inputs)).astype(np.float32)
    if case.choices:
        x = rng.integers(0, case.choices, x.shape).astype(np.float32)
    y = (rng.random((ROWS, OUTPUTS)) < 0.5).astype(np.float32)
    weight = rng.uniform(0, 5, ROWS)
    weight[::3] = 0
    count = len(model.outputs)
    given: dict[str, Any] = {"y": y, "sample_weight": weight}
    if count > 1:
        given = {"y": [y] * count, "sample_weight": [weight, weight[::-1].copy()]}
    if late:
        model.description.network.delay_for_tests(BARRIERS[late[0]], *late[1:])
    found: list[Any] = [
        model.fit(x, **given, batch_size=size, epochs=case.epochs, verbose=0, shuffle=size % 3 == 0).history
        for size in case.sizes
    ]
    found.append(model.evaluate(x, **given, batch_size=ROWS // 2, verbose=0))
    outputs = model.predict(np.concatenate([x, x]))
    found += [output.tobytes() for output in (outputs if count > 1 else [outputs])]
    steps_done, slots = model.description.trainer.state()
    if met is not None:
        met.append(model.description.network.delays)
    return [*found, *bits(model), steps_done, {slot: vector.tobytes() for slot, vector in slots.items()}]


alone = functools.lru_cache(None)(functools.partial(left_by, threads=1))


@pytest.mark.parametrize("name", CASES)
def test_they_are_finite_and_the_team_meets_the_barriers(name: str) -> None:
    """Else nothing would be late."""
    assert all(np.isfinite(list(history.values())).all() for history in alone(name)[: len(CASES[name].sizes)])
    for barrier in (*ALWAYS, *CASES[name].more):
        met: list[int] = []
        left_by(name, 2, barrier, 1, 0.02, met=met)
        assert met[0] >= 1, barrier


@pytest.mark.parametrize(
    ("name", "barrier"), [(name, barrier) for name, case in CASES.items() for barrier in (*ALWAYS, *case.more)]
)
def test_a_late_thread_changes_nothing(name: str, barrier: str) -> None:
    for threads, each in {2: (0, 1), 3: (0, 1, 2), 4: (0, 3), 8: (0, 5, 7)}.items():
        for late in each:
            assert left_by(name, threads, barrier, late, DELAY) == alone(name), (threads, late)


@pytest.mark.parametrize("pair", LOSSES, ids=ident)
@pytest.mark.parametrize("lines", [1, 4])
def test_a_loss_that_divides_by_the_weights_of_the_batch_waits_for_them(pair: Any, lines: int) -> None:
    """Each loss, by the weight of each row or of each line."""
    if pair[0].kernel is None:
        pytest.skip("a network with Python in it runs on one thread")
    loss = dataclasses.replace(pair[0], reduction="mean_with_sample_weight")
    x, y = data(loss, ROWS * lines, INPUTS, OUTPUTS + OUTPUTS % 2)
    x, y = x.reshape(ROWS, lines, INPUTS), y.reshape(ROWS, lines, -1)
    weight = np.random.default_rng(2).uniform(0, 5, (ROWS, lines))
    weight[::3] = 0
    if lines == 1:
        x, y, weight = x[:, 0], y[:, 0], weight[:, 0]

    def left(threads: int, *late: Any) -> list[Any]:
        fastnn.set_num_threads(threads)
        fastnn.set_random_seed(4)
        layers = [Dense(128, "tanh"), Dense(128, "tanh"), Dense(OUTPUTS + OUTPUTS % 2, pair[1])]
        model = Sequential([Input(x.shape[1:]), *layers])
        model.compile(optimizers.SGD(0.01), loss)
        model.predict(x)
        if late:
            model.description.network.delay_for_tests(BARRIERS["rows"], *late)
        history = model.fit(x, y, 96, 1, 0, sample_weight=weight, shuffle=False).history
        figures = model.evaluate(x, y, 128, 0, sample_weight=weight)
        return [history, figures, *bits(model)]

    alone = left(1)
    for threads, late in ((2, 0), (2, 1), (3, 1), (4, 3), (6, 2)):
        assert left(threads, late, DELAY) == alone, (threads, late)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("column", [0, INPUTS // 2, INPUTS - 1])
def test_no_thread_steps_before_all_have_seen_that_their_gradients_are_finite(column: int, threads: int) -> None:
    """Only the gradients of one row of the first weights are not: those of one thread, whichever is late."""
    fastnn.set_num_threads(threads)
    x = np.random.default_rng(1).standard_normal((ROWS, INPUTS)).astype(np.float32)
    y = np.zeros((ROWS, OUTPUTS), np.float32)
    bad = x.copy()
    bad[200, column] = np.inf
    for late in range(threads):
        fastnn.set_random_seed(4)
        model = Sequential([Input((INPUTS,)), Dense(256, "sigmoid"), Dense(128, "tanh"), Dense(OUTPUTS)])
        model.compile(optimizers.Adam(), "mse")
        model.fit(x, y, ROWS, verbose=0)
        steps_done, slots = model.description.trainer.state()
        before = [*bits(model), *(slot.tobytes() for slot in slots.values())]
        model.description.network.delay_for_tests(BARRIERS["rows"], late, 0.005)
        with pytest.raises(ValueError, match=f"x has inf at row 200, column {column}"):
            model.fit(bad, y, ROWS - 1, verbose=0, shuffle=False)
        after, slots = model.description.trainer.state()
        assert after == steps_done
        assert [*bits(model), *(slot.tobytes() for slot in slots.values())] == before
