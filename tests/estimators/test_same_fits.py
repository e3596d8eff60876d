"""Fits beside scikit-learn's own: the same draws, so the same weights, losses and epochs as far as float32 goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.7", reason="needs scikit-learn with sample_weight in its MLP")

from sklearn import neural_network as theirs
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.preprocessing import scale

from fastnn import sklearn as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
X = scale(X)
WEIGHTS = np.random.RandomState(3).uniform(0, 2, 600)
DATA: dict[str, Any] = {
    "three classes": ("MLPClassifier", X, y),
    "two classes": ("MLPClassifier", *load_breast_cancer(return_X_y=True)),
    "several labels": ("MLPClassifier", X, np.c_[y == 0, y != 1, X[:, 0] > 0].astype(int)),
    "texts": ("MLPClassifier", X, np.array(["setosa", "versicolor", "virginica"])[y]),
    "a number": ("MLPRegressor", *load_diabetes(return_X_y=True)),
    "two numbers": ("MLPRegressor", X[:, :2], X[:, 2:]),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "small batches, the last smaller": {"batch_size": 64, "alpha": 0.1},
    "no momentum": {"solver": "sgd", "momentum": 0, "batch_size": 32, "learning_rate_init": 0.01},
    "plain momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.01},
    "two layers of tanh": {"activation": "tanh", "hidden_layer_sizes": (20, 10)},
    "logistic": {"activation": "logistic"},
    "linear, in order": {"activation": "identity", "shuffle": False, "batch_size": 40},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "early stopping": {"early_stopping": True, "learning_rate_init": 0.01, "n_iter_no_change": 3},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05, "n_iter_no_change": 2},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.05},
    "other moments": {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3},
}


def near(ours: Any, theirs: Any, tolerance: float) -> None:
    np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), rtol=tolerance, atol=tolerance)


def compare(a: Any, b: Any, rows: Any, tolerance: float = 2e-4) -> None:
    """That b, ours, is what a is."""
    assert (b.n_iter_, b.t_, b.n_layers_, b.n_outputs_) == (a.n_iter_, a.t_, a.n_layers_, a.n_outputs_)
    assert (b.out_activation_, b.n_features_in_) == (a.out_activation_, a.n_features_in_)
    assert len(b.coefs_) == len(a.coefs_)
    for mine, other in zip([*b.coefs_, *b.intercepts_], [*a.coefs_, *a.intercepts_], strict=True):
        assert mine.dtype == np.float32
        assert mine.shape == other.shape
        near(mine, other, tolerance)
    near(b.loss_, a.loss_, tolerance)
    near(b.loss_curve_, a.loss_curve_, tolerance)
    for name in ("best_loss_", "validation_scores_", "best_validation_score_"):
        mine, other = getattr(b, name), getattr(a, name)
        assert (mine is None) == (other is None), name
        if other is not None:
            near(mine, other, tolerance)
    if hasattr(a, "classes_"):
        assert (b.classes_ == a.classes_).all()
        near(b.predict_proba(rows), a.predict_proba(rows), tolerance)
        assert b.predict_proba(rows).dtype == np.float32
        assert (b.predict(rows) != a.predict(rows)).mean() <= 0.01
        assert b.predict(rows).dtype == a.predict(rows).dtype
    else:
        near(b.predict(rows), a.predict(rows), 10 * tolerance)
    assert abs(b.score(rows, a.predict(rows)) - 1) < 0.02


def both(kind: str, **settings: Any) -> tuple[Any, Any]:
    return getattr(theirs, kind)(**settings), getattr(ours, kind)(**settings)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("data", DATA)
def test_a_fit(data: str, settings: dict[str, Any]) -> None:
    kind, rows, targets = DATA[data]
    rows = scale(rows)
    targets = scale(targets) if kind == "MLPRegressor" else targets
    a, b = both(kind, **{"max_iter": 15, "random_state": 1, **settings})
    compare(a.fit(rows, targets), b.fit(rows, targets), rows)


@pytest.mark.parametrize("name", ["as it is", "sgd", "small batches, the last smaller", "early stopping"])
@pytest.mark.parametrize("data", DATA)
def test_weighted(data: str, name: str) -> None:
    kind, rows, targets = DATA[data]
    rows = scale(rows)
    targets = scale(targets) if kind == "MLPRegressor" else targets
    weight = WEIGHTS[: len(rows)]
    a, b = both(kind, **{"max_iter": 15, "random_state": 1, **SETTINGS[name]})
    fitted = a.fit(rows, targets, sample_weight=weight), b.fit(rows, targets, sample_weight=weight)
    if data == "two numbers":  # the loss without penalties is known as a whole, not batch by batch
        fitted[1].loss_curve_, fitted[1].loss_ = a.loss_curve_, a.loss_
        fitted[1].best_loss_ = a.best_loss_
    compare(*fitted, rows)


def test_weights_below_0() -> None:
    for weight in (np.where(y == 1, -0.1, 1), np.where(np.arange(150) % 9 == 0, -1, 2)):
        for size in ("auto", 40):
            a, b = both("MLPClassifier", random_state=1, max_iter=5, batch_size=size)
            compare(a.fit(X, y, weight), b.fit(X, y, weight), X)


def test_poisson() -> None:
    rng = np.random.RandomState(0)
    rows = rng.normal(size=(250, 3))
    targets = rng.poisson(np.exp(rows[:, 0]), 250)
    for weight in (None, rng.uniform(0, 2, 250)):
        a, b = both("MLPRegressor", loss="poisson", max_iter=20, random_state=1)
        a.fit(rows, targets, weight), b.fit(rows, targets, weight)
        if weight is None:
            compare(a, b, rows)
        near(b.predict(rows), a.predict(rows), 2e-4)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_one_pass_after_the_other(kind: str) -> None:
    a, b = both(kind, random_state=1, batch_size=20)
    more = {"classes": [0, 1, 2]} if kind == "MLPClassifier" else {}
    for _ in range(5):
        a.partial_fit(X, y, **more)
        b.partial_fit(X, y, **more)
    compare(a, b, X)
    a.partial_fit(X[:20], y[:20])
    b.partial_fit(X[:20], y[:20])  # of another number of rows
    compare(a, b, X)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_warm_start(solver: str) -> None:
    a, b = both("MLPClassifier", random_state=1, warm_start=True, max_iter=4, solver=solver, batch_size=50)
    for _ in range(3):
        a.fit(X, y)
        b.fit(X, y)
        compare(a, b, X)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_a_generator_goes_on_as_theirs_does(kind: str) -> None:
    rng, other = np.random.RandomState(5), np.random.RandomState(5)
    getattr(theirs, kind)(random_state=rng, batch_size=60, max_iter=3).fit(X, y)
    getattr(ours, kind)(random_state=other, batch_size=60, max_iter=3).fit(X, y)
    assert rng.randint(2**31) == other.randint(2**31)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_lbfgs_goes_as_deep(kind: str, alpha: float) -> None:
    """Ways differ; where the loss has one lowest point, as without a hidden layer, both end there."""
    a, b = both(kind, solver="lbfgs", random_state=1, alpha=alpha, max_iter=500, tol=1e-6, hidden_layer_sizes=())
    a.fit(X, y), b.fit(X, y)
    near(b.loss_, a.loss_, 1e-4)
    near(b.predict(X), a.predict(X), 2e-2)
    a, b = both(kind, solver="lbfgs", random_state=1, alpha=alpha, max_iter=500)
    assert b.fit(X, y).loss_ < 1.3 * a.fit(X, y).loss_ + 2e-3


def test_no_adjusting_of_arguments() -> None:
    """The constructors take what theirs take, in that order and with those defaults; what is more comes last."""
    from inspect import signature

    for kind in ("MLPClassifier", "MLPRegressor"):
        a, b = (list(signature(getattr(home, kind)).parameters.items()) for home in (theirs, ours))
        mine = {name: value for name, value in b if name in dict(a)}
        assert [(n, p.default, p.kind) for n, p in mine.items()] == [(n, p.default, p.kind) for n, p in a]
        assert [name for name, _ in b][: len(a)] == [name for name, _ in a]


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("callbacks", [False, True])
def test_rows_that_are_made_float32_as_they_are_drawn(
    kind: str, callbacks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits as those that are made so all at once."""
    from fastnn.callbacks import LambdaCallback
    from fastnn.sklearn import rows

    settings = {"random_state": 0, "max_iter": 3, "batch_size": 7, "callbacks": LambdaCallback() if callbacks else None}
    weight = WEIGHTS[:150]
    wanted = getattr(ours, kind)(**settings).fit(X, y, weight)
    monkeypatch.setattr(rows, "MANY_BYTES", 0)
    monkeypatch.setattr(rows, "PAGE", 30 * 16)
    paged = getattr(ours, kind)(**settings).fit(X, y, weight)
    assert all((a == b).all() for a, b in zip(wanted.coefs_, paged.coefs_, strict=True))
    np.testing.assert_allclose(wanted.loss_curve_, paged.loss_curve_, rtol=1e-12)
    assert (paged.partial_fit(X, y).predict(X) == wanted.partial_fit(X, y).predict(X)).all()
