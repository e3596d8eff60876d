"""What scikit-learn refuses is refused, and the words say what came and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn: pip install 'fastnn[sklearn]'")

from sklearn import neural_network as theirs
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import scale

import fastnn
from fastnn import sklearn as ours
from fastnn.wrappers import SKLearnClassifier, SKLearnRegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Got `batch_size`:UserWarning"
)

X, y = load_iris(return_X_y=True)
X = scale(X)
NAN, INF = X.copy(), X.copy()
NAN[3, 1], INF[3, 1] = np.nan, np.inf


def texts(rows: Any) -> Any:
    return np.array([["a", "b"]] * 150)


# A name, and what is done with an estimator's class and its own settings.
SETTINGS: dict[str, dict[str, Any]] = {
    "no units": {"hidden_layer_sizes": 0},
    "minus one unit": {"hidden_layer_sizes": (10, -1)},
    "half a unit": {"hidden_layer_sizes": (1.5,)},
    "units as a text": {"hidden_layer_sizes": "100"},
    "an activation that is none": {"activation": "ghost"},
    "no activation": {"activation": None},
    "a solver that is none": {"solver": "hello"},
    "a solver as a number": {"solver": 3},
    "alpha below 0": {"alpha": -1},
    "alpha as a text": {"alpha": "1"},
    "batches of nothing": {"batch_size": 0},
    "batches by a word": {"batch_size": "large"},
    "a schedule that is none": {"learning_rate": "ghost"},
    "a rate of 0": {"learning_rate_init": 0.0},
    "a rate below 0": {"learning_rate_init": -1.0},
    "a rate that is a list": {"learning_rate_init": [0.1]},
    "power below 0": {"power_t": -0.1},
    "no iteration": {"max_iter": 0},
    "half an iteration": {"max_iter": 1.5},
    "shuffle by a word": {"shuffle": "true"},
    "a seed that is none": {"random_state": -3},
    "a seed as a text": {"random_state": "1"},
    "tol below 0": {"tol": -1.0},
    "momentum of 2": {"momentum": 2},
    "momentum below 0": {"momentum": -0.5},
    "nesterovs_momentum by a word": {"nesterovs_momentum": "yes"},
    "early_stopping by a word": {"early_stopping": "yes"},
    "all of it for validation": {"validation_fraction": 1.0},
    "less than nothing for validation": {"validation_fraction": -0.1},
    "beta_1 of 1": {"beta_1": 1.0},
    "beta_2 below 0": {"beta_2": -0.5},
    "epsilon of 0": {"epsilon": 0.0},
    "no patience": {"n_iter_no_change": 0},
    "patience as a text": {"n_iter_no_change": "10"},
    "no evaluations": {"solver": "lbfgs", "max_fun": 0},
    "warm_start by a word": {"warm_start": "yes"},
    "verbose below 0": {"verbose": -1},
    "a validation set of one row": {"early_stopping": True, "validation_fraction": 0.005},
}
ROWS: dict[str, tuple[Any, Any]] = {
    "one axis": (X[:, 0], y),
    "three axes": (X.reshape(150, 2, 2), y),
    "no rows": (X[:0], y[:0]),
    "no columns": (X[:, :0], y),
    "fewer labels": (X, y[:-1]),
    "more labels": (X[:-1], y),
    "NaN": (NAN, y),
    "infinity": (INF, y),
    "texts": (texts(X), y),
    "complex numbers": (X + 1j, y),
    "objects": (np.array([[object()] * 4] * 150, object), y),
    "no y": (X, None),
    "y of NaN": (X, np.where(y == 0, np.nan, y)),
    "y of infinity": (X, np.where(y == 0, np.inf, y)),
    "a number as X": (3, y),
    "a text as X": ("abc", y),
    "y of three axes": (X, np.zeros((150, 2, 2))),
    "ragged rows": ([[1, 2], [3]], [0, 1]),
}
LABELS: dict[str, Any] = {
    "numbers that are no classes": np.linspace(0, 1, 150),
    "several columns of classes": np.c_[y, y + 1],
    "texts and numbers": np.array(["a", 1, 2], object)[y],
}


def outcome(function: Any, *arguments: Any, **named: Any) -> Any:
    """What came of it: an exception, or None."""
    try:
        function(*arguments, **named)
    except Exception as error:
        return error
    return None


def refused(home: Any, kind: str, settings: dict[str, Any], rows: Any, targets: Any, **more: Any) -> Any:
    return outcome(lambda: getattr(home, kind)(**{"max_iter": 2, **settings}).fit(rows, targets, **more))


def check(mine: Any, other: Any, name: str) -> None:
    assert isinstance(other, Exception), f"{name}: theirs takes it"
    assert isinstance(mine, Exception), f"{name}: theirs raises {other!r}, ours takes it"
    assert isinstance(mine, type(other)) or isinstance(other, type(mine)) or isinstance(mine, ValueError), (mine, other)
    assert len(str(mine)) > 20, repr(mine)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings(kind: str, name: str) -> None:
    found = [refused(home, kind, SETTINGS[name], X, y) for home in (ours, theirs)]
    check(*found, name)
    if found[1] is not None and "parameter of" in str(found[1]):
        assert "Got" in str(found[0])


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("name", ROWS)
def test_rows(kind: str, name: str) -> None:
    rows, targets = ROWS[name]
    check(*[refused(home, kind, {}, rows, targets) for home in (ours, theirs)], name)
    mine = outcome(lambda: getattr(ours, kind)().partial_fit(rows, targets))
    assert isinstance(mine, Exception)


@pytest.mark.parametrize("name", LABELS)
def test_labels(name: str) -> None:
    check(*[refused(home, "MLPClassifier", {}, X, LABELS[name]) for home in (ours, theirs)], name)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize(
    "weight", [np.ones(149), np.ones((150, 2)), np.full(150, np.nan), ["a"] * 150, np.zeros(150)], ids=range(5)
)
def test_weights(kind: str, weight: Any) -> None:
    check(*[refused(home, kind, {}, X, y, sample_weight=weight) for home in (ours, theirs)], "weight")


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize(
    "rows", [X[:, :3], X[0], NAN, INF, texts(X), X[:0], [[None] * 4], "abc", X.reshape(150, 2, 2)], ids=range(9)
)
def test_rows_to_predict_for(kind: str, rows: Any) -> None:
    mine, other = (getattr(home, kind)(max_iter=2).fit(X, y) for home in (ours, theirs))
    check(outcome(mine.predict, rows), outcome(other.predict, rows), "predict")
    if kind == "MLPClassifier":
        check(outcome(mine.predict_proba, rows), outcome(other.predict_proba, rows), "predict_proba")


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_before_a_fit(kind: str) -> None:
    est = getattr(ours, kind)()
    for function in (est.predict, getattr(est, "predict_proba", est.predict), lambda rows: est.model_):
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            function(X)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_beyond_float32(kind: str) -> None:
    """theirs computes in float64; what float32 does not hold is said."""
    est = getattr(ours, kind)(max_iter=2)
    with pytest.raises(ValueError, match="non-finite"):
        est.fit(np.where(X > 1, 1e200, X), y)
    with pytest.raises(ValueError, match=r"too large for float32.*scale the columns"):
        est.fit(X, y).predict(X * 1e200)
    if kind == "MLPRegressor":
        with pytest.raises(ValueError, match="y has a value too large for float32"):
            est.fit(X, y * 1e200)


def test_of_ours_alone() -> None:
    with pytest.raises(ValueError, match="activation has 1 entries for 2 hidden layers"):
        ours.MLPClassifier((3, 3), ["relu"]).fit(X, y)
    for rate in (1.0, -0.1, [0.1], ["a"], "a"):
        with pytest.raises(ValueError, match="dropout"):
            ours.MLPClassifier((3, 3), dropout=rate).fit(X, y)
    with pytest.raises(ValueError, match=r"class_weight has \['z'\], but y has the classes"):
        ours.MLPClassifier(class_weight={"z": 1}).fit(X, y)
    with pytest.raises(ValueError, match="'class_weight' parameter of MLPClassifier must be"):
        ours.MLPClassifier(class_weight="even").fit(X, y)
    with pytest.raises(ValueError, match="'callbacks' parameter of MLPClassifier must be"):
        ours.MLPClassifier(callbacks=3).fit(X, y)
    with pytest.raises(TypeError, match="callbacks must be"):
        ours.MLPClassifier(callbacks=[3]).fit(X, y)
    with pytest.raises(ValueError, match="'poisson' takes y of at least 0"):
        ours.MLPRegressor("poisson").fit(X, y - 1)
    with pytest.raises(ValueError, match="y has 1 column"):
        ours.MLPRegressor().fit(X, X[:, :2]).partial_fit(X, y)
    with pytest.raises(ValueError, match="takes the output as logits"):
        ours.MLPClassifier(loss=fastnn.losses.CategoricalCrossentropy(from_logits=True)).fit(X, y)


def test_around_models() -> None:
    def nothing(X: Any, y: Any) -> Any:
        return None

    def uncompiled(X: Any, y: Any) -> Any:
        return fastnn.Sequential([fastnn.layers.Dense(3)])

    with pytest.raises(TypeError, match="the function must give a fastnn model, got None"):
        SKLearnClassifier(nothing).fit(X, y)
    with pytest.raises(RuntimeError, match="needs to be compiled"):
        SKLearnRegressor(uncompiled).fit(X, y)
    with pytest.raises(TypeError, match="model must be a function"):
        SKLearnRegressor("model").fit(X, y)
    with pytest.raises(ValueError, match="Only binary and multiclass"):
        SKLearnClassifier(uncompiled).fit(X, np.c_[y == 0, y == 1])
    with pytest.raises(ValueError, match="only one class"):
        SKLearnClassifier(uncompiled).fit(X, np.zeros(150))
    with pytest.raises(NotFittedError):
        SKLearnClassifier(uncompiled).predict(X)
