"""Which batches an epoch has: passes, steps, where they go on, and what a fit does with the numbers it is given."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import LambdaCallback
from fastnn.data import ArraySource
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.training.epochs import EpochIterator
from support.scripted import Batches, Pages, X, Y, model_of

SOURCES = {"arrays": lambda: ArraySource(X, Y), "pages": lambda: Pages(X, Y), "batches": lambda: Batches(X, Y)}


def taken(epochs: EpochIterator) -> list[list[int]]:
    """The rows of each batch of an epoch, by their place in X."""
    batches = []
    for page, start, stop, size, count, first in epochs.epoch():
        order = np.arange(len(page.x)) if page.order is None else page.order
        assert count == -(-(stop - start) // size)
        batches += [(order[at : min(at + size, stop)] + first).tolist() for at in range(start, stop, size)]
    return batches


def parts(*sizes: int) -> list[list[int]]:
    """The numbers from 0, in lists of such lengths."""
    ends = np.cumsum(sizes)
    return [list(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]


WHOLE = {"arrays": parts(6, 6, 6, 2), "pages": parts(6, 6, 6, 2), "batches": parts(1, 2, 3, 4, 5, 5)}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("at_once", [1, 2, 99])
def test_an_epoch_is_a_pass(name, at_once):
    epochs = EpochIterator(SOURCES[name](), 6)
    for at in (at_once, 2**62):
        epochs.at_once = at
        assert taken(epochs) == WHOLE[name]
    assert epochs.batches == (4 if name == "arrays" else None)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("at_once", [1, 2, 99])
def test_steps_go_on_where_they_ended(name, at_once):
    whole = WHOLE[name]
    epochs = EpochIterator(SOURCES[name](), 6, None, 2)
    epochs.at_once = at_once
    assert epochs.batches == 2
    for _ in range(2):  # passes
        for epoch in range(len(whole) // 2):
            assert taken(epochs) == whole[2 * epoch : 2 * epoch + 2]


@pytest.mark.parametrize("name", SOURCES)
def test_steps_that_the_data_does_not_have(name):
    """As in Keras: a warning, a shorter epoch, and the next begins again."""
    epochs = EpochIterator(SOURCES[name](), 6, None, 99)
    for _ in range(2):
        with pytest.warns(UserWarning, match=f"the data ended {99 - len(WHOLE[name])} batches before the 99 steps"):
            assert taken(epochs) == WHOLE[name]


@pytest.mark.parametrize("name", ["arrays", "pages"])
@pytest.mark.parametrize("steps", [None, 1, 2])
def test_a_pass_has_one_order(name, steps):
    epochs = EpochIterator(SOURCES[name](), 6, np.random.default_rng(3), steps)
    whole = EpochIterator(SOURCES[name](), 6, np.random.default_rng(3))
    for _ in range(2):
        expected = taken(whole)
        assert sorted(row for batch in expected for row in batch) == list(range(20))
        found: list = []
        while len(found) < len(expected):
            found += taken(epochs)
        assert found == expected


def test_a_source_is_let_go_of():
    source = Pages(X, Y)
    model_of().fit(source, batch_size=6, epochs=3, steps_per_epoch=1, verbose=0)
    assert (source.opened, source.closed) == (1, 1)
    model_of().evaluate(source, batch_size=3, steps=1, verbose=0)
    model_of().predict(source, batch_size=3, steps=1)
    assert (source.opened, source.closed) == (3, 3)


# Steps of a fit, an evaluation, a prediction


def test_steps_per_epoch_are_steps():
    model, whole = model_of(), model_of()
    history = model.fit(X, Y, 5, 6, 0, steps_per_epoch=2, shuffle=False)
    whole.fit(X, Y, 5, 3, 0, shuffle=False)
    assert history.epoch == list(range(6))
    np.testing.assert_array_equal(model.get_weights()[0], whole.get_weights()[0])
    pairs = np.reshape(history.history["loss"], (3, 2)).mean(axis=1)
    assert pairs == pytest.approx(whole.history.history["loss"], rel=1e-6)


def test_batches_without_an_end():
    model, whole = model_of(), model_of()
    model.fit(Batches(X, Y, endless=True), epochs=4, steps_per_epoch=3, verbose=0)
    whole.fit(Batches(X, Y), epochs=2, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], whole.get_weights()[0])


def test_data_that_can_be_read_once():
    class Once(Batches):
        def pages(self, batch_size, rng=None):
            return iter(()) if self.opened else super().pages(batch_size, rng)

    model = model_of()
    with pytest.raises(ValueError, match="the data gave no rows in epoch 2: an iterator that was read to its end"):
        model.fit(Once(X, Y), epochs=3, verbose=0)
    assert model.history.epoch == [0]
    with pytest.raises(ValueError, match="the data gave no rows"):
        model.evaluate(NoRows(X, Y), verbose=0)
    with pytest.raises(ValueError, match="the data gave no rows"):
        model.predict(NoRows(X))


class NoRows(Pages):
    """A source whose pages do not come."""

    def pages(self, batch_size, rng=None):
        return iter(())


@pytest.mark.parametrize("name", SOURCES)
def test_steps_of_an_evaluation_and_a_prediction(name):
    model = model_of(metrics=["mae"])
    count = sum(len(batch) for batch in WHOLE[name][:2])
    expected = model.evaluate(X[:count], Y[:count], verbose=0)
    assert model.evaluate(SOURCES[name](), batch_size=6, steps=2, verbose=0) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(model.predict(SOURCES[name](), 6, steps=2), model.predict(X[:count]))
    fit = {"validation_data": SOURCES[name](), "validation_batch_size": 6, "validation_steps": 2}
    history = model.fit(X, Y, 20, 2, 0, **fit).history
    assert len(history["val_loss"]) == 2
    assert history["val_loss"][1] == pytest.approx(model.evaluate(X[:count], Y[:count], verbose=0)[0], rel=1e-6)


def test_weights_of_the_rows_of_an_evaluation():
    model, weight = model_of(metrics=["mae"]), np.arange(20.0)
    expected = model.evaluate(X[:12], Y[:12], verbose=0, sample_weight=weight[:12])
    watch = LambdaCallback(on_test_batch_end=lambda batch, logs: None)
    found = model.evaluate(X, Y, 6, 0, weight, steps=2, callbacks=watch)
    assert found == pytest.approx(expected, rel=1e-6)


# Which epochs


def test_initial_epoch():
    model, whole = model_of(), model_of()
    seen: list = []
    history = model.fit(X, Y, 5, 2, 0, shuffle=False)
    see = LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    history = model.fit(X, Y, 5, 5, 0, see, shuffle=False, initial_epoch=2)
    whole.fit(X, Y, 5, 5, 0, shuffle=False)
    assert history.epoch == seen == [2, 3, 4]
    np.testing.assert_array_equal(model.get_weights()[0], whole.get_weights()[0])
    assert model.fit(X, Y, 5, 5, 0, initial_epoch=5).history == {}
    assert model.fit(X, Y, 5, 5, 0, initial_epoch=9).epoch == []


@pytest.mark.parametrize(
    ("frequency", "epochs"),
    [(1, [1, 2, 3, 4, 5]), (2, [2, 4]), (3, [3]), (9, []), ([1, 4], [1, 4]), ((5,), [5]), ({2, 3, 77}, [2, 3])],
)
def test_validation_freq(frequency, epochs):
    history = model_of().fit(X, Y, epochs=5, verbose=0, validation_data=(X, Y), validation_freq=frequency)
    assert history.values("val_loss")[0] == epochs
    assert len(history.history["loss"]) == 5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"initial_epoch": -1}, ValueError, "initial_epoch must be at least 0, got -1"),
        ({"initial_epoch": 1.0}, TypeError, "initial_epoch must be a whole number, got 1.0"),
        ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch must be at least 1, got 0"),
        ({"steps_per_epoch": "all"}, TypeError, "steps_per_epoch must be a whole number, got 'all'"),
        ({"validation_steps": 0}, ValueError, "validation_steps must be at least 1"),
        ({"validation_batch_size": 0}, ValueError, "validation_batch_size must be at least 1"),
        ({"validation_freq": 0}, ValueError, "validation_freq must be at least 1, got 0"),
        ({"validation_freq": [0]}, ValueError, "validation_freq must be at least 1, got 0"),
        ({"validation_freq": "2"}, TypeError, "validation_freq must be a whole number, got '2'"),
        ({"steps": 3}, TypeError, "unexpected keyword argument 'steps'"),
    ],
)
def test_numbers_that_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        model_of().fit(X, Y, verbose=0, validation_data=(X, Y), **arguments)


@pytest.mark.parametrize("steps", [0, -1, 1.5])
def test_steps_that_are_refused(steps):
    model = model_of()
    for action in (model.evaluate, model.predict):
        with pytest.raises((TypeError, ValueError), match="steps must be"):
            action(ArraySource(X, Y), steps=steps)


class Harmonic(LearningRateSchedule):
    def __call__(self, step):
        return 0.1 / (1.0 + step)


def test_a_learning_rate_for_each_step():
    model, by_hand, hooked = model_of(), model_of(), model_of()
    rates = 0.1 / np.arange(1.0, 100.0)
    model.optimizer.learning_rate = hooked.optimizer.learning_rate = Harmonic()
    history = model.fit(X, Y, 6, 2, 0, shuffle=False)
    for step in range(8):
        by_hand.optimizer.learning_rate = rates[step]
        part = slice(6 * (step % 4), 6 * (step % 4) + 6)
        by_hand.train_on_batch(X[part], Y[part])
    np.testing.assert_array_equal(model.get_weights()[0], by_hand.get_weights()[0])
    assert history.learning_rate == [rates[3], rates[7]]
    hooked.fit(X, Y, 6, 2, 0, LambdaCallback(on_train_batch_end=lambda batch, logs: None), shuffle=False)
    np.testing.assert_array_equal(model.get_weights()[0], hooked.get_weights()[0])


def test_bad_rows_are_counted_over_the_pages_of_a_pass():
    x = X.copy()
    x[17, 1] = np.nan
    fastnn.set_random_seed(0)
    for fit in ({}, {"steps_per_epoch": 4}, {"callbacks": LambdaCallback(on_train_batch_end=lambda batch, logs: None)}):
        with pytest.raises(ValueError, match="x has nan at row 17, column 1"):
            model_of().fit(Pages(x, Y), batch_size=3, epochs=9, verbose=0, **fit)
    with pytest.raises(ValueError, match="x has nan at row 17, column 1"):
        model_of().evaluate(Pages(x, Y), batch_size=3, verbose=0)
    with pytest.raises(ValueError, match="validation data: x has nan at row 17"):
        model_of().fit(X, Y, verbose=0, validation_data=Pages(x, Y), validation_batch_size=2)


def test_figures_do_not_depend_on_how_it_is_fed():
    results = [model_of(metrics=["mae"]).fit(*data, 6, 3, 0, shuffle=False) for data in ((X, Y), (Pages(X, Y), None))]
    for name, values in results[0].history.items():
        assert results[1].history[name] == pytest.approx(values, rel=1e-6)
