"""A surrogate of what is itself simple agrees with it; of what is not, it says how far."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn._process import fresh_process
from fastnn.models import Model, Sequential

pytest.importorskip("sklearn", reason="scikit-learn is not here: pip install scikit-learn")

from fastnn.explain import permutation_importance, surrogate

RNG = np.random.default_rng(6)
X = (RNG.normal(size=(400, 3)) * [1, 20, 0.1]).astype(np.float32)


def line(units: int, activation: str, scale: float = 1.0) -> Sequential:
    model = Sequential([L.Input((3,)), L.Dense(units, activation)])
    weights = RNG.normal(size=(3, units)) / np.array([[1], [20], [0.1]])
    model.set_weights([scale * weights, RNG.normal(size=units)])
    return model


def test_a_line_is_found_again() -> None:
    model = line(1, "linear")
    found = surrogate(model, X, "linear", random_state=0, alpha=1e-6)
    assert found.agreement == {"r2": pytest.approx(1, abs=1e-6)}
    np.testing.assert_allclose(found.model.coef_, model.get_weights()[0][:, 0], rtol=1e-3)
    np.testing.assert_allclose(found.model.predict(X), model.predict(X)[:, 0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("units", [1, 3])
def test_a_logistic_model_is_found_again(units: int) -> None:
    model = line(units, "sigmoid" if units == 1 else "softmax", 3)
    found = surrogate(model, X, "logistic", random_state=0, C=1e4)
    assert found.agreement["accuracy"] > 0.97
    assert found.agreement["kappa"] > 0.94
    said = model.predict(X)
    classes = said.argmax(axis=1) if units > 1 else (said[:, 0] > 0.5)
    assert (found.model.predict(X) == classes).mean() > 0.97  # of rows as they are, whatever it was fitted to
    assert found.class_names == (("0", "1", "2") if units > 1 else ("0", "1"))


def test_agreement_is_counted_on_rows_that_it_has_not_seen() -> None:
    """What is random cannot be told: a tree without bounds knows the rows by heart, and none of the others."""
    noise = np.random.default_rng(0).random(400)
    table = {tuple(row): value for row, value in zip(X, noise, strict=True)}

    def at_random(a: np.ndarray) -> np.ndarray:
        share = np.array([table[tuple(row)] for row in a])
        return np.stack([1 - share, share], axis=1)

    found = surrogate(at_random, X, "tree", random_state=0, max_depth=None, held_out=0.5)
    assert (found.model.predict(X) == (noise > 0.5)).mean() > 0.7
    assert 0.35 < found.agreement["accuracy"] < 0.65
    assert abs(found.agreement["kappa"]) < 0.25


def test_kappa_is_agreement_beyond_chance() -> None:
    """(p - chance) / (1 - chance); of a model that nearly always says one thing p alone says little."""
    model = Sequential([L.Input((3,)), L.Dense(1, "sigmoid")])
    model.set_weights([np.array([[3.0], [0], [0]]), np.array([-5.0])])
    found = surrogate(model, X, "naive_bayes", random_state=1)
    order = np.random.default_rng(1).permutation(400)[:100]
    ours, theirs = model.predict(X[order])[:, 0] > 0.5, found.model.predict(X[order])
    p = (ours == theirs).mean()
    chance = ours.mean() * theirs.mean() + (1 - ours.mean()) * (1 - theirs.mean())
    assert found.agreement == {"accuracy": pytest.approx(p), "kappa": pytest.approx((p - chance) / (1 - chance))}


def test_texts() -> None:
    tree = surrogate(line(1, "sigmoid"), X, random_state=0, max_depth=1)
    assert "|--- x" in tree.text()
    assert "class: 1" in tree.text()
    numbers = surrogate(line(1, "linear"), X, "tree", random_state=0, max_depth=2)
    assert "value: [" in numbers.text()
    assert list(numbers.agreement) == ["r2"]
    lines = surrogate(line(1, "linear"), X, "linear", random_state=0).text().splitlines()
    assert [each.split()[0] for each in lines] == ["coefficient", "x1", "x2", "x3", "intercept"]
    logistic = surrogate(line(3, "softmax"), X, "logistic", random_state=0).text().splitlines()
    assert logistic[0].split() == ["0", "1", "2"]
    bayes = surrogate(line(1, "sigmoid"), X, "naive_bayes", random_state=0)
    assert bayes.text().splitlines()[0].split() == ["0", "1"]
    np.testing.assert_allclose(float(bayes.text().split()[3]), bayes.model.theta_[0, 0], rtol=1e-3)


def test_outputs_and_classes() -> None:
    x = L.Input((3,))
    model = Model(x, [L.Dense(1, "sigmoid", name="yes")(x), L.Dense(2, name="how_much")(x)])
    assert list(surrogate(model, X, output="yes", random_state=0).agreement) == ["accuracy", "kappa"]
    assert list(surrogate(model, X, output=("how_much", 1), random_state=0).agreement) == ["r2"]
    fastnn.set_random_seed(0)
    again = [surrogate(line(1, "sigmoid"), X, random_state=seed).agreement for seed in (1, 1)]
    assert set(again[0]) == set(again[1])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"kind": "forest"}, ValueError, "kind must be one of tree"),
        ({"held_out": 1}, ValueError, "held_out must be above 0 and below 1"),
        ({"x": X[:1]}, ValueError, "at least 10, got 1"),
        ({"x": X * np.nan}, ValueError, "finite"),
        ({"kind": "logistic", "model": line(1, "linear", 9)}, ValueError, "needs a model of classes"),
        ({"model": line(2, "linear", 9)}, ValueError, "takes probabilities; choose one"),
        ({"kind": "linear", "model": line(2, "softmax")}, ValueError, "choose one by output="),
        ({"model": lambda a: np.tile([0.25, 0.75], (len(a), 1))}, ValueError, "class 1 of all rows"),
        ({"output": 3}, ValueError, "no unit 3"),
        ({"model": lambda a: a[:, 0, 0], "x": X[:, None]}, ValueError, "flat rows"),
        ({"depth": 3}, TypeError, "depth"),
    ],
)
def test_errors(change: dict[str, Any], error: type[Exception], said: str) -> None:
    given = {"model": line(1, "sigmoid"), "x": X, **change}
    with pytest.raises(error, match=said):
        surrogate(given.pop("model"), given.pop("x"), **given)


def test_plots() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not here: pip install matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    tree = surrogate(line(1, "sigmoid"), X, random_state=0, max_depth=1)
    assert len(tree.plot().texts) >= 3
    _, axes = pyplot.subplots()
    linear = surrogate(line(1, "linear"), X, "linear", random_state=0)
    assert linear.plot(axes) is axes
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], linear.model.coef_)
    assert [each.get_text() for each in axes.get_yticklabels()] == ["x1", "x2", "x3"]
    bayes = surrogate(line(1, "sigmoid"), X, "naive_bayes", random_state=0).plot()
    assert len(bayes.patches) == 6
    pyplot.close("all")


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = surrogate(line(1, "linear"), X, "linear", random_state=0)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for drawn in (linear, permutation_importance(lambda a: a[:, 0], X, X[:, 0], metric=lambda y, said: 1.0)):
        with pytest.raises(ImportError, match=r"fastnn\[plot\]"):
            drawn.plot()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"fastnn\[sklearn\]"):
        surrogate(line(1, "linear"), X)


def test_nothing_is_imported_before_it_is_used() -> None:
    packages = {"matplotlib", "sklearn", "pandas", "shap", "lime"}
    code = f"import sys, fastnn.explain; print(sorted({packages} & set(sys.modules)))"
    assert fresh_process(code).strip() == "[]"
