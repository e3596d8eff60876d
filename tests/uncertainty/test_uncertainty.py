"""Coverage on rows that no fit saw; the likeliest temperature; ensembles and dropout beside what they are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Input, Rescaling
from fastnn.model_selection import cross_validate
from fastnn.models import Model, Sequential, load_model
from fastnn.uncertainty import (
    ConformalClassifier,
    ConformalRegressor,
    Ensemble,
    MonteCarloDropout,
    TemperatureScaling,
    expected_calibration_error,
)

RNG = np.random.default_rng(7)
X = RNG.normal(size=(200, 4)).astype(np.float32)


def same(units: int, activation: str = "linear", scale: float = 1.0) -> Sequential:
    """A network that gives its inputs, or their probabilities."""
    model = Sequential([Input((units,)), Dense(units, activation, name="last")])
    model.set_weights([np.eye(units, dtype=np.float32) * scale, np.zeros(units, np.float32)])
    return model


def softmax(z: np.ndarray) -> np.ndarray:
    grown = np.exp(z - z.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def drawn_classes(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A class of each row by its probabilities softmax(z)."""
    return (softmax(z).cumsum(axis=1) < rng.random((len(z), 1))).sum(axis=1)


# Conformal prediction.


@pytest.mark.parametrize("method", ["absolute", "scaled", "quantiles"])
@pytest.mark.parametrize(("rows", "coverage"), [(19, 0.9), (60, 0.5), (300, 0.95)])
def test_intervals_hold_as_often_as_was_asked(method: Any, rows: int, coverage: float) -> None:
    """Over many draws: at least `coverage`, and at most 1 / (rows + 1) more."""
    rng = np.random.default_rng(rows)
    quantiles = method == "quantiles"
    model = same(2 if quantiles else 1)
    scale = (lambda x: 0.5 + np.abs(x)) if method == "scaled" else None

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(count, 1)).astype(np.float32)
        y = x[:, 0] + (0.5 + np.abs(x[:, 0])) * rng.standard_t(3, count)
        return (np.concatenate([x - 1, x + 0.5], axis=1) if quantiles else x), y

    draws, held = 300, []
    for _ in range(draws):
        found = ConformalRegressor(model, method, scale).fit(*draw(rows))
        x, y = draw(200)
        _, low, high = found.predict(x, coverage)
        held.append(((low[:, 0] <= y) & (y <= high[:, 0])).mean())
    error = np.std(held) / draws**0.5
    assert coverage - 4 * error < np.mean(held) < coverage + 1 / (rows + 1) + 4 * error


@pytest.mark.parametrize("method", ["lac", "aps"])
@pytest.mark.parametrize(("rows", "coverage"), [(19, 0.9), (300, 0.8)])
def test_sets_hold_as_often_as_was_asked(method: Any, rows: int, coverage: float) -> None:
    rng = np.random.default_rng(rows)
    model = same(4, "softmax", 0.5)  # which is not as sure as it should be
    draws, held, sizes = 300, [], []
    for _ in range(draws):
        z = 2 * rng.normal(size=(rows, 4)).astype(np.float32)
        found = ConformalClassifier(model, method).fit(z, drawn_classes(z, rng))
        z = 2 * rng.normal(size=(200, 4)).astype(np.float32)
        sets = found.predict(z, coverage)
        assert sets.shape == (200, 4)
        held.append(sets[np.arange(200), drawn_classes(z, rng)].mean())
        sizes.append(sets.sum(axis=1).mean())
    error = np.std(held) / draws**0.5
    assert coverage - 4 * error < np.mean(held) < coverage + 1 / (rows + 1) + 4 * error
    assert 1 < np.mean(sizes) < 3.7


def test_intervals_by_hand() -> None:
    x = np.zeros((9, 1), np.float32)
    y = np.arange(1, 10) / 10
    found = ConformalRegressor(same(1)).fit(x, y)
    for coverage, width in ((0.1, 0.1), (0.5, 0.5), (0.85, 0.9), (0.9, 0.9), (0.91, np.inf)):
        prediction, low, high = found.predict([[2.0]], coverage)
        np.testing.assert_allclose([prediction[0, 0], low[0, 0], high[0, 0]], [2, 2 - width, 2 + width])
    narrow = ConformalRegressor(same(2), "quantiles").fit(np.tile([-9.0, 9.0], (9, 1)), np.zeros(9))
    prediction, low, high = narrow.predict([[1.0, 2.0]], 0.5)
    assert (prediction[0, 0], low[0, 0], high[0, 0]) == (1.5, 1.5, 1.5)
    several = ConformalRegressor(same(3)).fit(np.zeros((9, 3)), np.arange(1, 10)[:, None] * [1, 2, 3])
    np.testing.assert_allclose(several.predict(np.zeros((1, 3)), 0.5).high[0], [5, 10, 15])


def test_sets_by_hand() -> None:
    logs = np.log([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]]).astype(np.float32)
    found = ConformalClassifier(same(3, "softmax")).fit(logs, [0, 1, 2])  # scores .3, .6 and .2
    assert found.predict(logs, 0.5).tolist() == [[True, False, False], [False, False, False], [False, False, True]]
    assert found.predict(logs, 0.7).tolist() == [[True, False, False], [True, True, False], [False, False, True]]
    assert found.predict(logs, 0.76).all()  # of three rows nobody knows
    binary = Sequential([Input((1,)), Dense(1, "sigmoid")])
    assert ConformalClassifier(binary).fit(X[:, :1], X[:, 1] > 0).predict(X[:, :1]).shape == (200, 2)


@pytest.mark.parametrize(
    ("work", "error", "says"),
    [
        (lambda: ConformalRegressor("x"), TypeError, "model must be"),
        (lambda: ConformalRegressor(same(1), "cv"), ValueError, "method must be 'absolute', 'scaled' or 'quantiles'"),
        (lambda: ConformalRegressor(same(1), "scaled"), ValueError, "scale= goes with method='scaled'"),
        (lambda: ConformalRegressor(same(1), scale=abs), ValueError, "scale= goes with method='scaled'"),
        (lambda: ConformalRegressor(same(1), "scaled", 3), TypeError, "scale must be a model or a function"),
        (lambda: ConformalRegressor(same(1)).predict(X[:, :1]), RuntimeError, "no scores yet"),
        (lambda: ConformalRegressor(same(1)).fit(X[:, :1], X), ValueError, "as many numbers as the model gives"),
        (lambda: ConformalRegressor(same(1)).fit(X[:, :1], X[:, 0] * np.nan), ValueError, "y must be finite"),
        (lambda: ConformalRegressor(same(3), "quantiles").fit(X[:, :3], X[:, 0]), ValueError, "two units"),
        (
            lambda: ConformalRegressor(same(1), "scaled", lambda x: 0 * x).fit(X[:, :1], X[:, 0]),
            ValueError,
            "positive number for each prediction",
        ),
        (
            lambda: ConformalRegressor(same(1)).fit(X[:, :1], X[:, 0]).predict(X[:, :1], 1.0),
            ValueError,
            "coverage must be above 0 and below 1",
        ),
        (lambda: ConformalClassifier(same(3)).fit(X[:, :3], X[:, 0]), ValueError, "must give probabilities"),
        (lambda: ConformalClassifier(same(3, "softmax"), "raps"), ValueError, "method must be 'lac' or 'aps'"),
        (lambda: ConformalClassifier(same(3, "softmax")).predict(X[:, :3]), RuntimeError, "no scores yet"),
        (
            lambda: ConformalClassifier(same(3, "softmax")).fit(X[:, :3], np.full(200, 3)),
            ValueError,
            "classes from 0 to 2, got 3 to 3",
        ),
        (
            lambda: ConformalClassifier(same(3, "softmax")).fit(X[:, :3], X[:, 0]),
            ValueError,
            "y must be numbers of classes",
        ),
        (
            lambda: ConformalClassifier(same(3, "softmax")).fit(X[:, :3], np.zeros(5)),
            ValueError,
            "a class for each of the 200 rows",
        ),
        (lambda: TemperatureScaling(same(3)).fit(X[:, :3], np.zeros(200)), ValueError, "must give probabilities"),
        (lambda: TemperatureScaling(same(3, "softmax")).predict(X[:, :3]), RuntimeError, "no temperature yet"),
        (lambda: Ensemble(same, 0), ValueError, "count must be at least 1"),
        (lambda: Ensemble(same).predict(X), RuntimeError, "no networks yet"),
        (
            lambda: Ensemble(same, bootstrap=True).fit(fastnn.data.ArraySource(X, X)),
            TypeError,
            "bootstrap draws rows by their numbers",
        ),
        (lambda: MonteCarloDropout(3), TypeError, "model must be"),
        (lambda: MonteCarloDropout(same(4)).predict(X), ValueError, "no dropout or noise at work"),
        (lambda: MonteCarloDropout(same(4)).predict(X[:0]), ValueError, "x has no rows"),
        (lambda: MonteCarloDropout(same(4)).predict(X, 0), ValueError, "count must be at least 1"),
    ],
)
def test_what_is_refused(work: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        work()


# Temperature.


@pytest.mark.parametrize("wrong", [0.2, 1.0, 3.0])
def test_the_temperature_undoes_what_is_wrong(wrong: float) -> None:
    """Classes drawn by softmax(z), of a model that gives softmax(wrong * z): T is `wrong`."""
    rng = np.random.default_rng(1)
    z = 2 * rng.normal(size=(20_000, 5)).astype(np.float32)
    y = drawn_classes(z, rng)
    model = same(5, "softmax", wrong)
    found = TemperatureScaling(model).fit(z[:10_000], y[:10_000])
    assert found.temperature_ == pytest.approx(wrong, rel=0.06)
    after = expected_calibration_error(found.predict(z[10_000:]), y[10_000:])
    assert after < 0.02
    assert wrong == 1 or expected_calibration_error(model.predict(z[10_000:]), y[10_000:]) > 5 * after
    assert (found.predict(z).argmax(axis=1) == model.predict(z).argmax(axis=1)).all()
    np.testing.assert_allclose(found.model_.predict(z), found.predict(z), atol=2e-6)
    losses = []
    for temperature in (0.97, 1, 1.03):  # of the least loss
        logits = np.log(model.predict(z[:10_000]).astype(float)) / (found.temperature_ * temperature)
        losses.append(-np.log(softmax(logits))[np.arange(10_000), y[:10_000]].mean())
    assert losses[1] < min(losses[0], losses[2])


def test_the_temperature_of_one_sigmoid(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    z = 2 * rng.normal(size=(20_000, 1)).astype(np.float32)
    y = rng.random(20_000) < 1 / (1 + np.exp(-z[:, 0]))
    model = same(1, "sigmoid", 4)
    found = TemperatureScaling(model).fit(z, y)
    assert found.temperature_ == pytest.approx(4, rel=0.05)
    assert found.predict(z).shape == (20_000, 1)
    np.testing.assert_allclose(found.predict(z)[:, 0], 1 / (1 + np.exp(-z[:, 0] * 4 / found.temperature_)), atol=1e-5)
    found.model_.save(tmp_path / "m.fastnn")
    np.testing.assert_allclose(load_model(tmp_path / "m.fastnn").predict(z), found.predict(z), atol=2e-6)


def test_where_the_weights_hold_the_temperature() -> None:
    z = X[:, :3]
    y = X[:, 3] > 0
    apart = Sequential([Input((3,)), Dense(3), Activation("softmax")])
    inside = Sequential([Input((3,)), Dense(3, "softmax"), Rescaling(1.0)])
    functional = Model(inputs := Input((3,)), Dense(3, "softmax")(Dense(4, "relu")(inputs)))
    for model, there in ((apart, True), (inside, False), (functional, True)):
        found = TemperatureScaling(model).fit(z, y)
        assert (found.model_ is not None) == there
        if there:
            np.testing.assert_allclose(found.model_.predict(z), found.predict(z), atol=2e-6)


def test_rows_that_are_all_right_or_all_wrong() -> None:
    """The likeliest temperature has no least, or no largest, value: it stops at a thousandth and a thousand."""
    z = np.array([[2, 0], [0, 2]], np.float32)
    assert TemperatureScaling(same(2, "softmax")).fit(z, [0, 1]).temperature_ == 1e-3
    assert TemperatureScaling(same(2, "softmax")).fit(z, [1, 0]).temperature_ == 1e3


def test_calibration_error_by_hand() -> None:
    found = expected_calibration_error([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], [0, 1, 1], bins=2)
    assert found == pytest.approx(abs(2 / 3 - 0.8))
    assert expected_calibration_error([0.1, 0.8, 0.7], [0, 1, 1], bins=10) == pytest.approx((0.1 + 0.2 + 0.3) / 3)
    assert expected_calibration_error([1.0, 0.0], [1, 0]) == 0
    assert expected_calibration_error([1.0, 0.0], [0, 1]) == 1


# Ensembles.


def build() -> Sequential:
    model = Sequential([Input((4,)), Dense(8, "relu"), BatchNormalization(), Dropout(0.3), Dense(1)])
    model.compile("adam", "mse")
    return model


Y = X[:, 0] + X[:, 1] ** 2


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_an_ensemble_is_its_networks(n_jobs: int, tmp_path: Path) -> None:
    found = Ensemble(build, 4, n_jobs=n_jobs, random_state=3).fit(X, Y, epochs=2)
    alone = Ensemble(build, 4, n_jobs=1, random_state=3).fit(X, Y, epochs=2)
    members = found.members(X)
    np.testing.assert_array_equal(members, alone.members(X))
    assert members.shape == (4, 200, 1)
    assert len({one.tobytes() for one in members}) == 4
    mean, spread = found.predict(X)
    np.testing.assert_allclose(mean, members.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(spread, members.std(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.model_.predict(X), mean, atol=1e-5)
    found.model_.save(tmp_path / "e.fastnn")
    np.testing.assert_array_equal(load_model(tmp_path / "e.fastnn").predict(X), found.model_.predict(X))


def test_a_network_of_an_ensemble_is_one_alone() -> None:
    found = Ensemble(build, 3, random_state=5).fit(X, Y, epochs=2)
    rows = np.arange(200)
    folds = cross_validate(
        build, X, Y, cv=[(rows, rows)] * 3, random_state=5, epochs=2, return_estimator=True, verbose=0
    )
    for one, other in zip(found.models_, folds["estimator"], strict=True):
        for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_more_networks_leave_the_first_as_they_are() -> None:
    few, many = (Ensemble(build, count, random_state=1).fit(X, Y, epochs=1).members(X) for count in (2, 5))
    np.testing.assert_array_equal(few, many[:2])


def test_bootstrap() -> None:
    seen: list[np.ndarray] = []

    def watching(x: Any) -> Sequential:
        seen.append(x.copy())
        return build()

    Ensemble(watching, 3, bootstrap=True, n_jobs=1, random_state=1).fit(X, Y)
    for rows in seen:
        assert len(rows) == 200
        assert 0.5 < len(np.unique(rows, axis=0)) / 200 < 0.75  # 1 - 1/e is expected
    assert len({rows.tobytes() for rows in seen}) == 3
    assert Ensemble(build, 1).fit(X, Y).predict(X)[1].max() == 0


# Dropout.


def test_samples_of_dropout() -> None:
    """The mean of y = w . dropout(x) is w . x, and its variance sum (w x)^2 rate / (1 - rate)."""
    model = Sequential([Input((4,)), Dropout(0.25), Dense(1)])
    model.set_weights([np.array([[1], [2], [-1], [0.5]], np.float32), np.zeros(1, np.float32)])
    found = MonteCarloDropout(model)
    samples = found.samples(X, 4000, random_state=1)
    assert samples.shape == (4000, 200, 1)
    parts = X * [1, 2, -1, 0.5]
    spread = (parts**2).sum(axis=1) * 0.25 / 0.75
    error = np.abs(samples.mean(axis=0)[:, 0] - parts.sum(axis=1)) / np.sqrt(spread / 4000)
    assert error.max() < 4.5
    np.testing.assert_allclose(samples.var(axis=0)[:, 0], spread, rtol=0.15)
    mean, deviation = found.predict(X, 4000, random_state=1)
    np.testing.assert_allclose(mean, samples.mean(axis=0))
    np.testing.assert_allclose(deviation, samples.std(axis=0))
    other = found.samples(X, 2, random_state=2)
    assert not (other[0] == samples[0]).all()
    fastnn.set_random_seed(0)
    first = found.samples(X, 2)
    fastnn.set_random_seed(0)
    np.testing.assert_array_equal(first, found.samples(X, 2))


def test_the_model_is_as_before() -> None:
    """BatchNormalization goes by its moving averages, of any rows, and keeps them; what is learnt later counts."""
    model = build()
    model.fit(X, Y, epochs=3, verbose=0)
    before = [weights.copy() for weights in model.get_weights()]
    found = MonteCarloDropout(model)
    whole = found.samples(X, 3, random_state=4)
    np.testing.assert_array_equal(whole[:, :7], found.samples(X[:7], 3, random_state=4))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    model.fit(X, Y, verbose=0)
    assert not (found.samples(X, 3, random_state=4) == whole).all()


def test_many_rows_are_drawn_apart() -> None:
    model = Sequential([Input((1,)), Dropout(0.5)])
    drawn = MonteCarloDropout(model).samples(np.ones((3000, 1)), 2, random_state=0)[0, :, 0]
    assert set(drawn.tolist()) == {0.0, 2.0}
    assert 0.45 < (drawn == 0).mean() < 0.55
    assert not (drawn[:1000] == drawn[1024:2024]).all()
