"""scikit-learn's checks of estimators: all of them, on all of ours, with no failure expected."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn: pip install 'fastnn[sklearn]'")

from sklearn.utils.estimator_checks import parametrize_with_checks

import fastnn
from fastnn import layers
from fastnn.sklearn import MLPClassifier, MLPRegressor
from fastnn.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

pytestmark = pytest.mark.filterwarnings("ignore")


def build(X: Any, y: Any, loss: str = "mse", last: str | None = None) -> fastnn.Sequential:
    hidden = [layers.Dense(20, "relu") for _ in range(2)]
    model = fastnn.Sequential([layers.Input(X.shape[1:]), *hidden, layers.Dense(y.shape[1], last)])
    model.compile(fastnn.optimizers.Adam(0.01), loss)
    return model


SOFTMAX = {"loss": "categorical_crossentropy", "last": "softmax"}


@parametrize_with_checks(
    [
        MLPClassifier(max_iter=100),
        MLPClassifier(solver="lbfgs", alpha=0.1),
        MLPClassifier(solver="sgd", dropout=0.2, class_weight="balanced", random_state=0),
        MLPRegressor(max_iter=100),
        MLPRegressor(solver="lbfgs"),
        MLPRegressor(loss="huber", activation="gelu", solver="rmsprop", max_iter=100),
        SKLearnClassifier(build, model_kwargs=SOFTMAX, fit_kwargs={"epochs": 50}, random_state=0),
        SKLearnRegressor(build, fit_kwargs={"epochs": 20}, random_state=0),
        SKLearnTransformer(build, random_state=0),
    ]
)
def test_a_check(estimator: Any, check: Any) -> None:
    check(estimator)
