"""scikit-learn's perceptrons as models, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import layers as L
from fastnn.exchange import from_sklearn, to_sklearn
from fastnn.models import Sequential

pytest.importorskip("sklearn")

from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")

RNG = np.random.default_rng(0)
X = RNG.normal(30, 5, (60, 4)) * (1, 10, 0.1, 1)
X[:, 3] = 2.0  # a constant column
SCALERS: dict[str, list[Any]] = {
    "none": [],
    "standard": [StandardScaler()],
    "all": ["passthrough", MinMaxScaler((-1, 2)), RobustScaler(), MaxAbsScaler(), StandardScaler(with_mean=False)],
    "half": [RobustScaler(with_centering=False), StandardScaler(with_std=False), RobustScaler(with_scaling=False)],
}
TARGETS: dict[str, Any] = {
    "three": np.array(["red", "green", "blue"])[RNG.integers(0, 3, 60)],
    "two": np.array([-1, 1])[RNG.integers(0, 2, 60)],
    "labels": RNG.integers(0, 2, (60, 3)),
}


@pytest.mark.parametrize("scalers", SCALERS)
@pytest.mark.parametrize("target", TARGETS)
def test_classifier(scalers: str, target: str) -> None:
    y = TARGETS[target]
    activation = ("identity", "logistic", "tanh", "relu")[([*SCALERS].index(scalers) + [*TARGETS].index(target)) % 4]
    made = make_pipeline(*SCALERS[scalers], MLPClassifier((8, 5), activation=activation, max_iter=5)).fit(X, y)
    model = from_sklearn(made)
    expected = made.predict_proba(X)
    given = model.predict(X, verbose=0)
    np.testing.assert_allclose(given, expected[:, 1:] if target == "two" else expected, rtol=0, atol=1e-5)
    if target == "labels":
        assert "classes" not in model.description.notes
        return
    assert model.description.notes["classes"] == sorted(set(y.tolist()))
    back = to_sklearn(model)
    np.testing.assert_allclose(back.predict_proba(X), expected, rtol=0, atol=1e-5)
    assert (back.predict(X) == made.predict(X)).all()
    network = back if scalers == "none" else back[-1]
    before = network.coefs_[0].copy()
    network.partial_fit(X, y)
    assert (network.coefs_[0] != before).any()


@pytest.mark.parametrize("outputs", [1, 3])
def test_regressor(outputs: int) -> None:
    y = X[:, 0] if outputs == 1 else X[:, :3]
    made = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(6,), max_iter=30, random_state=0)).fit(X, y)
    model = from_sklearn(made)
    expected = made.predict(X).reshape(60, -1)
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-5)
    back = to_sklearn(model)
    np.testing.assert_allclose(back.predict(X).reshape(60, -1), expected, rtol=1e-5, atol=1e-5)
    assert back.score(X, y) == pytest.approx(made.score(X, y), abs=1e-5)
    back[-1].partial_fit(X, y)


def test_a_network_of_fastnns_own_as_scikit_learns() -> None:
    layers = [L.Input((4,)), L.Rescaling(0.5, (1.0, 2.0, 3.0, 4.0)), L.Dense(5), L.Activation("tanh"), L.Dropout(0.2)]
    model = Sequential([*layers, L.Dense(4, "tanh", use_bias=False), L.Dense(3, "softmax")])
    back = to_sklearn(model)
    np.testing.assert_allclose(back.predict_proba(X), model.predict(X, verbose=0), rtol=0, atol=1e-5)
    assert list(back[-1].classes_) == [0, 1, 2]
    inverted = L.Normalization(mean=0.5, variance=(4.0, 0.25, 1, 2), invert=True)
    model = Sequential([L.Input((4,)), inverted, L.Dense(1)])
    np.testing.assert_allclose(to_sklearn(model).predict(X), model.predict(X, verbose=0)[:, 0], rtol=1e-5, atol=1e-4)


def test_what_is_not_read() -> None:
    y = TARGETS["two"]
    with pytest.raises(ValueError, match="MLPClassifier is not fitted"):
        from_sklearn(MLPClassifier())
    with pytest.raises(TypeError, match=r"LogisticRegression.*skl2onnx"):
        from_sklearn(LogisticRegression().fit(X, y))
    with pytest.raises(TypeError, match="a Pipeline that ends in one"):
        from_sklearn(None)
    odd = make_pipeline(PolynomialFeatures(), MLPClassifier((3,), max_iter=2)).fit(X, y)
    with pytest.raises(ValueError, match="'polynomialfeatures' is a PolynomialFeatures"):
        from_sklearn(odd)
    clipped = make_pipeline(MinMaxScaler(clip=True), MLPClassifier((3,), max_iter=2)).fit(X, y)
    with pytest.raises(ValueError, match="clip=True"):
        from_sklearn(clipped)


def test_fastnns_own_estimators_say_where_their_model_is() -> None:
    from fastnn.sklearn import MLPClassifier as Own

    with pytest.raises(TypeError, match="its model is the attribute model_"):
        from_sklearn(Own((3,), max_iter=2).fit(X, TARGETS["two"]))


REFUSED = [
    ([L.Dense(3, "relu"), L.Dense(3, "tanh"), L.Dense(1)], "one activation"),
    ([L.Dense(3, "gelu"), L.Dense(1)], "must be relu, tanh, sigmoid or none"),
    ([L.Dense(3, L.LeakyReLU()), L.Dense(1)], "must be relu, tanh, sigmoid or none"),
    ([L.Dense(2, "softmax")], "must end in softmax"),
    ([L.Dense(3, "sigmoid")], "must end in softmax"),
    ([L.Dense(3), L.BatchNormalization(), L.Dense(1)], r"\(BatchNormalization\) has no place"),
    ([L.Rescaling(0.0), L.Dense(1)], "a scale of 0"),
    ([L.Reshape((2, 2)), L.Dense(1)], "no place"),
    ([L.Dropout(0.2)], "no Dense layer"),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_what_scikit_learn_has_not(case: int) -> None:
    layers, says = REFUSED[case]
    with pytest.raises(ValueError, match=says):
        to_sklearn(Sequential([L.Input((4,)), *layers]))


def test_classes_must_ascend() -> None:
    model = Sequential([L.Input((4,)), L.Dense(3, "softmax")])
    model.description.notes["classes"] = ["b", "a", "c"]
    with pytest.raises(ValueError, match="ascending"):
        to_sklearn(model)
