"""The same every time: what a seed fixes, what one fit hands to the next, and two ways to the same training."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn.data import ArraySource
from fastnn.optimizers import SGD, Adam
from fastnn.training import Trainer
from support.small import bits, model_of, rows

PROCESS = """
import sys
import numpy as np
import fastnn
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential

fastnn.set_random_seed(12)
model = Sequential([Dense(16, "gelu", input_dim=5), Dropout(0.3), Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
x = np.random.default_rng(0).standard_normal((90, 5))
history = model.fit(x, np.arange(90) % 3, epochs=3, batch_size=16, verbose=0)
sys.stdout.write(repr((history.history, [w.tobytes().hex() for w in model.get_weights()])))
"""


def test_a_seed_repeats_all_to_the_bit(capsys):
    texts = []
    for _ in range(2):
        exec(PROCESS, {})
        texts.append(capsys.readouterr().out)
    run = subprocess.run([sys.executable, "-P", "-c", PROCESS], capture_output=True, text=True, check=True)
    assert texts == [run.stdout] * 2


def test_epochs_are_shuffled_each_in_its_own_way():
    x, y = rows(100)
    orders = []
    for shuffle in (True, True, False, False):
        model = model_of("sgd", dropout=0.0)
        fastnn.set_random_seed(9)
        orders.append((model.fit(x, y, 3, 4, 0, shuffle=shuffle).history["loss"], bits(model)))
    assert orders[0] == orders[1]
    assert orders[2] == orders[3]
    assert orders[0] != orders[2]


@pytest.mark.parametrize("optimizer", ["sgd", SGD(0.1, 0.9), "rmsprop", Adam(amsgrad=True), "adamw"], ids=str)
def test_a_fit_continues_the_one_before(optimizer):
    x, y = rows()
    halves, whole = model_of(optimizer), model_of(optimizer)
    losses = [halves.fit(x, y, 7, 5, 0, shuffle=False).history["loss"] for _ in range(2)]
    assert losses[0] + losses[1] == whole.fit(x, y, 7, 10, 0, shuffle=False).history["loss"]
    assert bits(halves) == bits(whole)


def test_compiling_again_starts_the_optimizer_afresh():
    x, y = rows()
    again, fresh = model_of(dropout=0.0), model_of(dropout=0.0)
    again.fit(x, y, verbose=0)
    fresh.set_weights(again.get_weights())
    again.compile("adam", "mse")
    for model in (again, fresh):
        model.fit(x, y, 7, 2, 0, shuffle=False)
    assert bits(again) == bits(fresh)


def test_numbers_of_the_optimizer_may_change():
    x, y = rows()
    changed, steps = model_of(Adam(0.01)), model_of(Adam(0.01))
    changed.fit(x, y, 7, 2, 0, shuffle=False)
    changed.optimizer.learning_rate = np.float32(0.002)
    changed.optimizer.beta_1 = 0.5
    changed.fit(x, y, 7, 2, 0, shuffle=False)
    steps.fit(x, y, 7, 2, 0, shuffle=False)
    before = bits(steps)
    steps.fit(x, y, 7, 2, 0, shuffle=False)
    assert bits(steps) != bits(changed)
    assert bits(changed) != before
    # A vector that the optimizer did not keep before starts at 0.
    model = model_of(SGD(0.01), dropout=0.0)
    model.fit(x, y, 7, 2, 0, shuffle=False)
    model.optimizer.momentum = 0.9
    other = model_of(SGD(0.01, 0.9), dropout=0.0)
    other.set_weights(model.get_weights())
    for each in (model, other):
        each.fit(x, y, 7, 2, 0, shuffle=False)
    assert bits(model) == bits(other)


def test_a_trainer_spelled_out_is_what_fit_does():
    x, y = rows(50)
    short, long = model_of(metrics=["mae"]), model_of(metrics=["mae"])
    fastnn.set_random_seed(6)
    history = short.fit(x, y, 7, 3, 0, validation_split=0.2, class_weight=None).history
    fastnn.set_random_seed(6)
    training, validation = ArraySource(x, y).split(0.2)
    trainer = Trainer(long, Adam(), "mse", ["mae"])
    again = trainer.fit(training, epochs=3, batch_size=7, validation=validation).history
    assert again == history
    assert bits(short) == bits(long)
    assert [trainer.evaluate(validation)[name] for name in ("loss", "mae")] == short.evaluate(x[40:], y[40:], verbose=0)


def test_one_optimizer_for_two_models():
    x, y = rows()
    shared = Adam(0.01)
    models = [model_of(shared), model_of(shared), model_of(Adam(0.01))]
    for _ in range(2):
        for model in models:
            model.fit(x, y, 7, 1, 0, shuffle=False)
    assert bits(models[0]) == bits(models[1]) == bits(models[2])
