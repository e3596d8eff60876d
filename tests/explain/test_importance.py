"""Permutation importance and partial dependence beside scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn.explain import partial_dependence, permutation_importance
from fastnn.models import Model, Sequential

RNG = np.random.default_rng(2)
X = RNG.normal(size=(240, 5)).astype(np.float32)
X[:, 4] = X[:, 4].round()
Y = X[:, 0] * X[:, 1] + np.sin(X[:, 2]) + 2 * X[:, 3]


@pytest.fixture(scope="module")
def model() -> Sequential:
    fastnn.set_random_seed(0)
    model = Sequential([L.Input((5,)), L.Dense(24, "relu"), L.Dense(1)])
    model.compile(fastnn.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.fit(X, Y, epochs=40, verbose=0)
    return model


def r2(y: Any, said: Any) -> float:
    return float(1 - ((y - np.ravel(said)) ** 2).sum() / ((y - y.mean()) ** 2).sum())


# Importance.


def test_a_line_has_known_importances() -> None:
    """Shuffling x_i of w x adds 2 w_i^2 var(x_i) to the squared error, in expectation."""
    weights = np.array([2.0, 0, -1, 0.5, 0])
    line = Sequential([L.Input((5,)), L.Dense(1)])
    line.set_weights([weights[:, None], np.zeros(1)])
    line.compile("sgd", "mse")
    found = permutation_importance(line, X, X @ weights, repeats=60, random_state=0)
    np.testing.assert_allclose(found.importances_mean, 2 * weights**2 * X.var(axis=0), rtol=0.1, atol=1e-6)
    assert found.importances.shape == (5, 60)
    np.testing.assert_allclose(found.importances.mean(axis=1), found.importances_mean)
    np.testing.assert_allclose(found.importances.std(axis=1), found.importances_std)
    assert found.feature_names == ("x1", "x2", "x3", "x4", "x5")


def test_beside_scikit_learn(model: Sequential) -> None:
    inspection = pytest.importorskip("sklearn.inspection", reason="scikit-learn: pip install scikit-learn")
    from sklearn.base import BaseEstimator, RegressorMixin

    class Estimator(RegressorMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Estimator:
            self.fitted_ = True
            return self

        def predict(self, x: Any) -> Any:
            return model.predict(x)[:, 0]

    expected = inspection.permutation_importance(Estimator().fit(X, Y), X, Y, n_repeats=50, random_state=0)
    for given in (model, model.predict):
        found = permutation_importance(given, X, Y, metric=r2, repeats=50, random_state=1)
        error = np.hypot(expected.importances_std, found.importances_std) / np.sqrt(50)
        assert (np.abs(found.importances_mean - expected.importances_mean) < 4 * error + 1e-6).all()
        np.testing.assert_allclose(found.importances_std, expected.importances_std, rtol=0.4, atol=1e-3)


def test_the_loss_is_what_was_compiled(model: Sequential) -> None:
    by_loss = permutation_importance(model, X, Y, random_state=3)
    by_metric = permutation_importance(
        model, X, Y, metric=lambda y, said: -((y - said[:, 0]) ** 2).mean(), random_state=3
    )
    np.testing.assert_allclose(by_loss.importances, by_metric.importances, atol=1e-4)
    again = permutation_importance(model, X, Y, random_state=3)
    np.testing.assert_array_equal(again.importances, by_loss.importances)
    assert (permutation_importance(model, X, Y, random_state=4).importances != by_loss.importances).any()


def test_several_inputs_steps_and_patches() -> None:
    a, b = L.Input((2,), name="a"), L.Input((1,), name="b")
    added = Model([a, b], [L.Dense(1, name="p")(L.Concatenate()([a, b])), L.Dense(1, name="q")(b)])
    added.compile("sgd", ["mse", "mse"])
    x = [X[:, :2], X[:, 2:3]]
    found = permutation_importance(added, x, [Y, Y], random_state=0)
    assert found.feature_names == ("a[0]", "a[1]", "b")
    steps = Sequential([L.Input((4, 2)), L.Flatten(), L.Dense(1)])
    steps.set_weights([np.array([[0, 0, 5, 5, 0, 0, 0, 0.0]]).T, np.zeros(1)])
    steps.compile("sgd", "mse")
    rows = RNG.normal(size=(50, 4, 2)).astype(np.float32)
    found = permutation_importance(steps, rows, steps.predict(rows), random_state=0)
    assert found.feature_names == ("step 1", "step 2", "step 3", "step 4")
    assert found.importances_mean[1] > 10
    assert not found.importances[[0, 2, 3]].any()
    groups = permutation_importance(steps, rows, steps.predict(rows), groups=["x", "y", "y", "x"], random_state=0)
    assert groups.feature_names == ("x", "y")
    assert groups.importances_mean[1] > 10
    picture = RNG.normal(size=(30, 4, 4, 1)).astype(np.float32)
    found = permutation_importance(
        lambda p: p[:, :2, :2].sum(axis=(1, 2, 3)),
        picture,
        picture[:, :2, :2].sum(axis=(1, 2, 3)),
        metric=r2,
        patch=2,
        random_state=0,
    )
    assert (found.importances_mean > 0).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"x": X[:1], "y": Y[:1]}, ValueError, "one row cannot be shuffled"),
        ({"metric": "r2"}, TypeError, "metric must be a function"),
        ({"repeats": 0}, ValueError, "repeats must be at least 1"),
        ({"model": lambda a: a[:, 0]}, RuntimeError, "call compile first, or pass metric"),
        ({"model": Sequential([L.Input((5,)), L.Dense(1)])}, RuntimeError, "call compile first"),
        ({"x": X * np.nan}, ValueError, "finite"),
    ],
)
def test_errors_of_importance(model: Sequential, change: dict[str, Any], error: type[Exception], said: str) -> None:
    given = {"model": model, "x": X, "y": Y, **change}
    with pytest.raises(error, match=said):
        permutation_importance(given.pop("model"), given.pop("x"), given.pop("y"), **given)


# Partial dependence.


@pytest.mark.filterwarnings("ignore")
def test_partial_dependence_beside_scikit_learn() -> None:
    inspection = pytest.importorskip("sklearn.inspection", reason="scikit-learn: pip install scikit-learn")
    from fastnn.sklearn import MLPClassifier, MLPRegressor

    numbers = MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0).fit(X, Y)
    classes = MLPClassifier(hidden_layer_sizes=(8,), max_iter=30, random_state=0).fit(X, np.digitize(Y, [-1, 1]))
    for estimator, function, outputs in ((numbers, numbers.predict, 1), (classes, classes.predict_proba, 3)):
        for features, resolution in (([2], 20), ([4], 20), ([0, 4], 7)):
            kind = "both" if len(features) == 1 else "average"
            theirs = inspection.partial_dependence(estimator, X, features, kind=kind, grid_resolution=resolution)
            grid = theirs["grid_values"] if len(features) == 2 else theirs["grid_values"][0]
            ours = partial_dependence(function, X, features, kind="both", grid=grid)
            np.testing.assert_allclose(ours.average, theirs["average"], atol=1e-6)
            assert ours.average.shape[0] == outputs
            if kind == "both":
                np.testing.assert_allclose(ours.individual, theirs["individual"], atol=1e-6)
    own = partial_dependence(numbers.predict, X, 4)
    np.testing.assert_array_equal(own.grid_values[0], np.unique(X[:, 4]))
    own = partial_dependence(numbers.predict, X, "x1", grid=11)
    np.testing.assert_allclose(own.grid_values[0], np.linspace(*np.quantile(X[:, 0], [0.05, 0.95]), 11), rtol=1e-6)
    assert (own.feature_names, own.individual) == (("x1",), None)


def test_partial_dependence_of_a_model(model: Sequential) -> None:
    found = partial_dependence(model, X, 3, kind="individual", grid=[-1.0, 2.0])
    assert found.average is None
    assert found.individual.shape == (1, 240, 2)
    for place, value in enumerate([-1.0, 2.0]):
        changed = X.copy()
        changed[:, 3] = value
        np.testing.assert_allclose(found.individual[0, :, place], model.predict(changed)[:, 0], atol=1e-6)
    before = X.copy()
    np.testing.assert_array_equal(X, before)


def test_categories_and_several_inputs() -> None:
    town, size = L.Input((1,), dtype="string", name="town"), L.Input((1,), name="size")
    code = L.StringLookup(vocabulary=["Bern", "Graz"], output_mode="one_hot")(town)
    model = Model({"town": town, "size": size}, L.Dense(2, "softmax", name="out")(L.Concatenate()([code, size])))
    towns = np.array([["Bern"], ["Graz"], ["Graz"]], object)
    x = {"town": towns, "size": X[:3, :1]}
    found = partial_dependence(model, x, "town")
    assert found.grid_values[0].tolist() == ["Bern", "Graz"]
    for place, name in enumerate(["Bern", "Graz"]):
        said = model.predict({"town": np.full((3, 1), name, object), "size": x["size"]})
        np.testing.assert_allclose(found.average[:, place], said.mean(axis=0), atol=1e-6)
    pair = partial_dependence(model, x, ("size", "town"), output=1)
    assert pair.average.shape == (1, 3, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": "x9"}, "no feature 'x9'"),
        ({"features": 5}, "no feature 5"),
        ({"features": [0, 1, 2]}, "one feature or two"),
        ({"kind": "all"}, "kind must be"),
        ({"grid": 1}, "grid must be at least 2"),
        ({"grid": []}, "grid must be a number or values"),
        ({"features": [0, 1], "grid": [1.0, 2.0]}, "grid must be a number or values"),
        ({"output": 1}, "no unit 1"),
        ({"x": X * np.nan}, "finite"),
    ],
)
def test_errors_of_partial_dependence(model: Sequential, change: dict[str, Any], said: str) -> None:
    given = {"x": X, "features": 0, **change}
    with pytest.raises(ValueError, match=said):
        partial_dependence(model, given.pop("x"), given.pop("features"), **given)
    with pytest.raises(ValueError, match="flat rows"):
        partial_dependence(lambda a: a[:, 0, 0], X[:, :, None], 0)


# Pictures.


def test_plots(model: Sequential) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not here: pip install matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    found = permutation_importance(model, X, Y, random_state=0)
    axes = found.plot(top=3)
    assert [patch.get_width() for patch in axes.patches] == sorted(found.importances_mean)[-3:]
    assert axes.get_xlabel() == "worse when shuffled"
    _, given = pyplot.subplots()
    one = partial_dependence(model, X, 2, kind="both", grid=9)
    assert one.plot(given) is given
    np.testing.assert_allclose(given.lines[-1].get_ydata(), one.average[0])
    assert len(given.lines) == 81  # every third row's, and the average
    both = partial_dependence(model, X, [0, 1], grid=5)
    axes = both.plot()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x1", "x2")
    np.testing.assert_allclose(axes.collections[0].get_array(), both.average[0].T)
    with pytest.raises(ValueError, match="of their average"):
        partial_dependence(model, X, [0, 1], grid=3, kind="individual").plot()
    names = np.array([["a"], ["b"]], object)
    bars = partial_dependence(lambda rows: (rows[:, 0] == "a") * 1.0, names, 0)
    axes = bars.plot()
    assert [patch.get_height() for patch in axes.patches] == [1.0, 0.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    pyplot.close("all")
