"""Additive nets: sums of curves that can be looked at, and that rise where they must."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import SQLDataset
from fastnn.datasets import diamonds
from fastnn.linear import AdditiveClassifier, AdditiveRegressor, LinearRegression
from support.database import connect


def curves(x: Any) -> Any:
    return np.stack([np.sin(2 * x[:, 0]), np.tanh(4 * x[:, 1]), np.abs(x[:, 2]), 0 * x[:, 3]], axis=1)


def data(rows: int = 3000) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (rows, 4)).astype(np.float32).astype(float)
    parts = curves(x)
    return x, parts.sum(axis=1) + 0.1 * rng.normal(size=rows) + 10, parts - parts.mean(axis=0)


def test_each_feature_has_its_curve() -> None:
    x, y, parts = data()
    model = AdditiveRegressor(random_state=0).fit(x, y)
    found = model.contributions(x)
    assert np.sqrt(((found - parts) ** 2).mean(axis=0)).max() < 0.08
    assert model.score(x, y) > 0.98
    grid = np.linspace(-3, 3, 41)
    known = curves(np.stack([grid] * 4, axis=1)) - curves(x).mean(axis=0)
    for place in range(4):
        np.testing.assert_allclose(model.shape_function(place, grid), known[:, place], atol=0.35)


def test_contributions_have_the_mean_0_and_add_up() -> None:
    x, y, _ = data()
    model = AdditiveRegressor(random_state=0).fit(x, y)
    found = model.contributions(x)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(model.intercept_ + found.sum(axis=1), model.predict(x), rtol=1e-6)
    assert model.intercept_ == pytest.approx(y.mean(), abs=0.02)
    np.testing.assert_array_equal(model.shape_function(2, x[:50, 2]), found[:50, 2])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("sizes", [(16,), (32, 16), (9, 7, 5)])
def test_a_monotone_curve_is_monotone_everywhere(sign: int, sizes: tuple[int, ...]) -> None:
    """To the bit, on a fine grid, within the rows of the fit and far beyond; whatever else there is in the row."""
    x, y, _ = data(800)
    model = AdditiveRegressor(sizes, monotone={1: sign, 3: sign}, random_state=0, max_iter=30).fit(x, sign * y)
    rng = np.random.default_rng(1)
    for reach in (3.0, 1e3, 1e30):
        grid = np.sort(np.concatenate([np.linspace(-reach, reach, 20001), rng.normal(size=5000)]).astype(np.float32))
        for feature in (1, 3):
            steps = sign * np.diff(model.shape_function(feature, grid))
            assert (steps >= 0).all()
            rows = np.repeat(x[:1], len(grid), axis=0)
            rows[:, feature] = grid
            assert (sign * np.diff(model.predict(rows)) >= 0).all()
    assert sign * (model.shape_function(1, [3.0]) - model.shape_function(1, [-3.0]))[0] > 1.5


def test_a_monotone_curve_takes_any_rising_form() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (3000, 1))
    for form in (np.tanh, np.sinh, lambda v: np.tanh(4 * v) + np.tanh(4 * (v - 2)), lambda v: np.log1p(np.exp(3 * v))):
        y = form(x[:, 0])
        y = (y - y.mean()) / y.std()
        model = AdditiveRegressor(monotone=[1], random_state=0).fit(x, y)
        assert model.score(x, y) > 0.995


def test_what_falls_is_flat_where_it_must_rise() -> None:
    x, y, _ = data()
    model = AdditiveRegressor(monotone={1: -1}, random_state=0).fit(x, y)
    assert np.abs(np.diff(model.shape_function(1, np.linspace(-3, 3, 50)))).sum() < 0.1


def test_a_classifier_of_two() -> None:
    x, y, parts = data()
    label = np.where(np.random.default_rng(1).uniform(size=len(y)) < 1 / (1 + np.exp(-3 * (y - 11))), "yes", "no")
    model = AdditiveClassifier(monotone={1: 1}, random_state=0).fit(x, label)
    assert list(model.classes_) == ["no", "yes"]
    assert model.score(x, label) > (((y > 11) == (label == "yes")).mean()) - 0.02
    found = model.decision_function(x)
    np.testing.assert_allclose(model.predict_proba(x)[:, 1], 1 / (1 + np.exp(-found)), atol=1e-6)
    np.testing.assert_allclose(model.contributions(x).mean(axis=0), 0, atol=1e-6)
    assert np.corrcoef(model.contributions(x)[:, 0], parts[:, 0])[0, 1] > 0.93
    assert (np.diff(model.shape_function(1, np.linspace(-9, 9, 5001))) >= 0).all()


def test_a_classifier_of_three() -> None:
    x, y, _ = data()
    label = np.digitize(y, [10.5, 12])
    model = AdditiveClassifier(random_state=0).fit(x, label)
    assert model.score(x, label) > 0.9
    assert model.shape_function(0, [0, 1.0]).shape == (2, 3)
    assert model.contributions(x).shape == (len(y), 4, 3)
    assert model.intercept_.shape == (3,)
    scores = np.exp(model.decision_function(x))
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), model.predict_proba(x), atol=1e-6)
    with pytest.raises(ValueError, match="monotone= is for two classes"):
        AdditiveClassifier(monotone={0: 1}).fit(x, label)


def test_diamonds_beside_a_line() -> None:
    (columns, y), (test, y_test) = diamonds.load_data()
    names = ["carat", "depth", "table", "x", "y", "z"]
    x, x_test = (np.stack([part[name] for name in names], axis=1) for part in (columns, test))
    line = LinearRegression().fit(x, y).score(x_test, y_test)
    model = AdditiveRegressor(monotone={0: 1}, random_state=0).fit(x, y)
    assert model.score(x_test, y_test) > line + 0.02


def test_the_same_seed_is_the_same_net_and_leaves_chance_alone() -> None:
    x, y, _ = data(500)
    fastnn.set_random_seed(7)
    before = fastnn.random.normal((3,))
    fastnn.set_random_seed(7)
    first = AdditiveRegressor((8,), random_state=3, max_iter=5).fit(x, y).predict(x)
    np.testing.assert_array_equal(fastnn.random.normal((3,)), before)
    second = AdditiveRegressor((8,), random_state=3, max_iter=5).fit(x, y).predict(x)
    np.testing.assert_array_equal(first, second)
    other = AdditiveRegressor((8,), random_state=4, max_iter=5).fit(x, y).predict(x)
    assert (first != other).any()


def test_a_model_goes_into_a_file_and_through_a_pickle(tmp_path: Path) -> None:
    x, y, _ = data(500)
    model = AdditiveRegressor((8,), monotone={1: 1}, random_state=0, max_iter=5).fit(x, y)
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(copied.predict(x), model.predict(x))
        np.testing.assert_array_equal(copied.contributions(x), model.contributions(x))
    model.model_.save(tmp_path / "model.fastnn")
    loaded = fastnn.models.load_model(tmp_path / "model.fastnn")
    np.testing.assert_array_equal(loaded.predict(x)[:, 0], model.predict(x))


def test_rows_of_a_query(tmp_path: Path) -> None:
    x, y, _ = data()
    con = connect(tmp_path / "rows.db")
    con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b REAL, c REAL, d REAL, y REAL)")
    con.executemany("INSERT INTO t (a, b, c, d, y) VALUES (?, ?, ?, ?, ?)", np.column_stack([x, y]).tolist())
    con.commit()
    dataset = SQLDataset("SELECT * FROM t", tmp_path / "rows.db", target="y", key="id")
    model = AdditiveRegressor(monotone={"b": 1}, random_state=0).fit(dataset)
    assert model.score(dataset) > 0.98
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    assert (np.diff(model.shape_function("b", np.linspace(-5, 5, 1001))) >= 0).all()
    without = SQLDataset("SELECT a, b, c, d, y FROM t", tmp_path / "rows.db", target="y")
    with pytest.raises(ValueError, match="pass key="):
        AdditiveRegressor().fit(without)


def test_one_feature_and_columns_that_never_change() -> None:
    x, y, _ = data(400)
    assert (
        AdditiveRegressor(random_state=0).fit(x[:, :1], np.sin(2 * x[:, 0])).score(x[:, :1], np.sin(2 * x[:, 0])) > 0.98
    )
    with_constant = np.column_stack([x, np.full(len(y), 3.0)])
    model = AdditiveRegressor(random_state=0).fit(with_constant, y)
    np.testing.assert_allclose(model.shape_function(4, [3.0]), 0, atol=1e-6)
    AdditiveRegressor(random_state=0, max_iter=3).fit(x, np.full(len(y), 2.0))


def test_what_is_refused_is_said() -> None:
    x, y, _ = data(50)
    model = AdditiveRegressor((4,), max_iter=1).fit(x, y)
    with pytest.raises(ValueError, match="no feature 'x9'"):
        model.shape_function("x9", [0.0])
    with pytest.raises(ValueError, match="grid must be"):
        model.shape_function(0, [[0.0]])
    with pytest.raises(ValueError, match="validation_fraction must lie between 0 and 1"):
        AdditiveRegressor(validation_fraction=1.0).fit(x, y)
    with pytest.raises(ValueError, match="1 sample"):
        AdditiveRegressor().fit(x[:1], y[:1])
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        AdditiveRegressor((0,)).fit(x, y)
