"""Estimators in the hands of scikit-learn's tools: each tool is a test."""

from __future__ import annotations

import copy
import pickle
from io import BytesIO
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn: pip install 'fastnn[sklearn]'")

import joblib
import sklearn
from scipy.sparse import csc_matrix, csr_array, csr_matrix
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier, StackingRegressor, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, scale

import fastnn
from fastnn import layers
from fastnn.sklearn import MLPClassifier, MLPRegressor
from fastnn.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
X = scale(X)
RX, RY = load_diabetes(return_X_y=True)
RX, RY = scale(RX), scale(RY)


def build(X: Any, y: Any, loss: str = "mse", last: str | None = None, units: int = 16) -> fastnn.Sequential:
    hidden = layers.Dense(units, "relu")
    model = fastnn.Sequential([layers.Input(X.shape[1:]), hidden, layers.Dense(y.shape[1], last)])
    model.compile(fastnn.optimizers.Adam(0.02), loss)
    return model


def classifiers() -> list[Any]:
    softmax = {"loss": "categorical_crossentropy", "last": "softmax"}
    return [
        MLPClassifier(learning_rate_init=0.02, max_iter=40, random_state=0),
        SKLearnClassifier(build, model_kwargs=softmax, fit_kwargs={"epochs": 20}, random_state=0),
    ]


def regressors() -> list[Any]:
    return [
        MLPRegressor(learning_rate_init=0.01, max_iter=40, random_state=0),
        SKLearnRegressor(build, fit_kwargs={"epochs": 20}, random_state=0),
    ]


def named(value: Any) -> str:
    return type(value).__name__


each_classifier = pytest.mark.parametrize("est", classifiers(), ids=named)
each_regressor = pytest.mark.parametrize("est", regressors(), ids=named)
each = pytest.mark.parametrize("est", [*classifiers(), *regressors()], ids=named)


def data_of(est: Any) -> tuple[Any, Any]:
    return (X, y) if sklearn.base.is_classifier(est) else (RX, RY)


@each
def test_clone(est: Any) -> None:
    rows, targets = data_of(est)
    est = clone(est).fit(rows, targets)
    other = clone(est)
    assert not [name for name in vars(other) if name.endswith("_")]
    assert {name: repr(value) for name, value in other.get_params().items()} == {
        name: repr(value) for name, value in est.get_params().items()
    }
    assert (other.fit(rows, targets).predict(rows) == est.predict(rows)).all()


@each
@pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy", "joblib"])
def test_pickle(est: Any, way: str) -> None:
    rows, targets = data_of(est)
    est = clone(est).fit(rows, targets)
    if way == "joblib":
        file = BytesIO()
        joblib.dump(est, file)
        file.seek(0)
        other = joblib.load(file)
    else:
        other = {
            "pickle": lambda e: pickle.loads(pickle.dumps(e)),
            "copy": copy.copy,
            "deepcopy": copy.deepcopy,
        }[way](est)
    assert (other.predict(rows) == est.predict(rows)).all()
    assert (other.predict(rows[:1]) == est.predict(rows[:1])).all()
    if not isinstance(est, SKLearnClassifier | SKLearnRegressor):
        assert other.partial_fit(rows, targets) is other  # as far as the first goes from here
        assert (other.predict(rows) == est.partial_fit(rows, targets).predict(rows)).all()
    else:
        assert other.history_.history == est.history_.history


@each
def test_a_pickle_is_small(est: Any) -> None:
    """The network, which is made anew, is not in it."""
    rows, targets = data_of(est)
    est = clone(est).fit(rows, targets)
    size = len(pickle.dumps(est))
    assert size < 6 * 4 * 3000 + 20_000
    est.predict(rows)
    assert abs(len(pickle.dumps(est)) - size) < 200


@pytest.mark.parametrize("est", [classifiers()[0], regressors()[0]], ids=named)
def test_skops(est: Any) -> None:
    io = pytest.importorskip("skops.io", reason="needs skops: pip install skops")
    rows, targets = data_of(est)
    est = clone(est).fit(rows, targets)
    data = io.dumps(est)
    unknown = io.get_untrusted_types(data=data)
    assert unknown == [f"fastnn.sklearn.{type(est).__module__.rpartition('.')[2]}.{type(est).__name__}"]
    other = io.loads(data, trusted=unknown)
    assert (other.predict(rows) == est.predict(rows)).all()
    assert (other.partial_fit(rows, targets).predict(rows) == est.partial_fit(rows, targets).predict(rows)).all()


@each_classifier
def test_skops_in_a_pipeline(est: Any) -> None:
    io = pytest.importorskip("skops.io", reason="needs skops: pip install skops")
    pipe = make_pipeline(StandardScaler(), clone(est)).fit(X, y)
    data = io.dumps(pipe)
    other = io.loads(data, trusted=io.get_untrusted_types(data=data))
    assert (other.predict(X) == pipe.predict(X)).all()


@each
def test_pipeline(est: Any) -> None:
    rows, targets = data_of(est)
    pipe = make_pipeline(StandardScaler(), clone(est))
    assert pipe.fit(rows, targets).score(rows, targets) > (0.9 if sklearn.base.is_classifier(est) else 0.4)
    assert pipe.predict(rows[:1]).shape == (1,)


@each_classifier
def test_columns(est: Any) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(kind=np.where(y == 0, "small", "large"))
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["a", "b"]), ("words", OneHotEncoder(), ["kind"])], remainder="drop"
    )
    for output in ("default", "pandas"):
        columns.set_output(transform=output) if output == "default" else columns
        pipe = make_pipeline(clone(columns), clone(est)).fit(frame, y)
        assert pipe.score(frame, y) > 0.7


@each
def test_names_of_columns(est: Any) -> None:
    pd = pytest.importorskip("pandas")
    rows, targets = data_of(est)
    frame = pd.DataFrame(rows, columns=[f"c{i}" for i in range(rows.shape[1])])
    est = clone(est).fit(frame, targets)
    assert list(est.feature_names_in_) == list(frame.columns)
    assert (est.predict(frame) == clone(est).fit(rows, targets).predict(rows)).all()
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        est.predict(rows)
    with pytest.raises(ValueError, match="feature names should match"):
        est.predict(frame[frame.columns[::-1]])


def test_set_output() -> None:
    pd = pytest.importorskip("pandas")
    est = SKLearnTransformer(build, fit_kwargs={"epochs": 2}, random_state=0).set_output(transform="pandas")
    found = est.fit_transform(X, y)
    assert isinstance(found, pd.DataFrame)
    assert list(found.columns) == list(est.get_feature_names_out()) == ["sklearntransformer0"]
    pipe = make_pipeline(StandardScaler(), SKLearnTransformer(build, random_state=0), LogisticRegression())
    pipe.set_output(transform="pandas").fit(X, y)
    assert pipe.predict(X).shape == (150,)


@each_classifier
def test_grid_search(est: Any) -> None:
    grid = {"random_state": [1, 2], "warm_start": [False, True]}
    search = GridSearchCV(clone(est), grid, cv=3, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.9
    alone = GridSearchCV(clone(est), grid, cv=3).fit(X, y)
    assert (search.cv_results_["mean_test_score"] == alone.cv_results_["mean_test_score"]).all()


def test_grid_search_over_what_the_engine_has() -> None:
    grid = {
        "activation": ["gelu", ["relu", "tanh"]],
        "dropout": [0.0, [0.1, 0.2]],
        "solver": ["adamw", fastnn.optimizers.Lion(0.003)],
        "hidden_layer_sizes": [(8, 8)],
    }
    search = GridSearchCV(MLPClassifier(random_state=0, learning_rate_init=0.02, max_iter=30), grid, cv=3).fit(X, y)
    assert search.best_score_ > 0.9


@each_classifier
def test_halving_grid_search(est: Any) -> None:
    search = HalvingGridSearchCV(clone(est), {"random_state": [1, 2, 3, 4]}, cv=3, random_state=0).fit(X, y)
    assert search.best_score_ > 0.7


@each
def test_cross_validate(est: Any) -> None:
    rows, targets = data_of(est)
    found = cross_validate(clone(est), rows, targets, cv=3, return_estimator=True, return_train_score=True)
    for fitted, score in zip(found["estimator"], found["train_score"], strict=True):
        assert fitted.predict(rows).shape == (len(rows),)
        assert score > (0.9 if sklearn.base.is_classifier(est) else 0.3)
    assert cross_val_predict(clone(est), rows, targets, cv=3).shape == targets.shape
    assert len(learning_curve(clone(est), rows, targets, cv=3, train_sizes=[0.5, 1.0], shuffle=True)[1]) == 2


@each
def test_permutation_importance(est: Any) -> None:
    rows, targets = data_of(est)
    found = permutation_importance(clone(est).fit(rows, targets), rows, targets, n_repeats=3, random_state=0)
    assert found.importances_mean.max() > 0.01
    assert partial_dependence(clone(est).fit(rows, targets), rows, [0])["average"].shape[-1] > 5


@each_classifier
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated(est: Any, method: str) -> None:
    found = CalibratedClassifierCV(clone(est), method=method, cv=3).fit(X, y)
    assert found.score(X, y) > 0.9
    np.testing.assert_allclose(found.predict_proba(X).sum(axis=1), 1, atol=1e-5)


@each_classifier
def test_stacking_voting_bagging(est: Any) -> None:
    names = [("net", clone(est)), ("line", LogisticRegression())]
    assert StackingClassifier(names, cv=3).fit(X, y).score(X, y) > 0.9
    assert VotingClassifier(names, voting="soft").fit(X, y).score(X, y) > 0.9
    assert BaggingClassifier(clone(est), 3, random_state=0).fit(X, y).score(X, y) > 0.9
    several = MultiOutputClassifier(clone(est)).fit(X, np.c_[y, y == 1])
    assert several.predict(X).shape == (150, 2)


@each_regressor
def test_stacking_of_regressors(est: Any) -> None:
    assert StackingRegressor([("net", clone(est)), ("line", Ridge())], cv=3).fit(RX, RY).score(RX, RY) > 0.4
    scaled = TransformedTargetRegressor(clone(est), transformer=StandardScaler())
    assert scaled.fit(RX, RY * 100 + 5).score(RX, RY * 100 + 5) > 0.4


@pytest.mark.parametrize("container", [csr_matrix, csc_matrix, csr_array])
@pytest.mark.parametrize("least", [0.5, 2.0], ids=["half full", "almost empty"])
@pytest.mark.parametrize("est", [*classifiers(), *regressors()], ids=named)
def test_sparse_rows(est: Any, least: float, container: Any) -> None:
    rows, targets = data_of(est)
    rows = np.where(np.abs(rows) > least, rows, 0)
    dense, sparse = clone(est).fit(rows, targets), clone(est).fit(container(rows), targets)
    for x in (rows, container(rows)):
        np.testing.assert_array_equal(sparse.predict(x), dense.predict(rows))


def test_pipelines_of_words_and_kinds() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 60)
    texts = [" ".join(f"{label}{n}" for n in rng.integers(0, 300, 9)) for label in labels]
    pipe = make_pipeline(TfidfVectorizer(), MLPClassifier(max_iter=300, random_state=0)).fit(texts, labels)
    assert pipe.score(texts, labels) == 1
    kinds = np.array([[text.split()[0], text.split()[1]] for text in texts])
    encoder = OneHotEncoder(handle_unknown="ignore")
    pipe = make_pipeline(encoder, MLPClassifier(max_iter=30, solver="lbfgs", random_state=0)).fit(kinds, labels)
    assert pipe.score(kinds, labels) == 1
    plain = MLPClassifier(max_iter=30, solver="lbfgs", random_state=0).fit(encoder.transform(kinds).toarray(), labels)
    np.testing.assert_array_equal(pipe.predict_proba(kinds), plain.predict_proba(encoder.transform(kinds).toarray()))


@pytest.mark.parametrize("est", [*classifiers(), *regressors()], ids=named)
def test_weights_are_routed(est: Any) -> None:
    rows, targets = data_of(est)
    weight = np.random.RandomState(0).uniform(0, 2, len(rows))
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            cross_validate(clone(est), rows, targets, cv=3, params={"sample_weight": weight})
        asked = clone(est).set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        found = cross_validate(asked, rows, targets, cv=3, params={"sample_weight": weight}, return_estimator=True)
        plain = cross_validate(asked, rows, targets, cv=3, params={}, return_estimator=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = make_pipeline(scaler, asked).fit(rows, targets, sample_weight=weight)
        assert pipe.predict(rows).shape == (len(rows),)
    for one, other in zip(found["estimator"], plain["estimator"], strict=True):
        assert one.predict(rows).shape == other.predict(rows).shape
    known = found["estimator"][0], plain["estimator"][0]
    proba = [k.predict_proba(rows) if hasattr(k, "predict_proba") else k.predict(rows) for k in known]
    assert (proba[0] != proba[1]).any()


def test_threads_share_an_estimator() -> None:
    est = pickle.loads(pickle.dumps(MLPClassifier(random_state=0, max_iter=20).fit(X, y)))
    wanted = MLPClassifier(random_state=0, max_iter=20).fit(X, y).predict_proba(X)
    found = joblib.Parallel(4, "threading")(joblib.delayed(est.predict_proba)(X) for _ in range(40))
    assert all((one == wanted).all() for one in found)


# The wrappers beside Keras's.


def test_a_model_in_place_of_a_function() -> None:
    model = build(X, np.eye(3)[y], "categorical_crossentropy", "softmax")
    before = model.get_weights()
    est = SKLearnClassifier(model, fit_kwargs={"epochs": 20}, random_state=0).fit(X, y)
    assert est.score(X, y) > 0.9
    assert all((a == b).all() for a, b in zip(model.get_weights(), before, strict=True))
    assert est.model_ is not model
    assert len(est.history_.history["loss"]) == 20
    assert clone(est).fit(X, y).score(X, y) == est.score(X, y)


def test_warm_start_of_a_wrapper_goes_on() -> None:
    est = SKLearnRegressor(build, warm_start=True, fit_kwargs={"epochs": 5}, random_state=0).fit(RX, RY)
    first, model = est.history_.history["loss"], est.model_
    est.fit(RX, RY)
    assert est.model_ is model
    assert est.history_.history["loss"][0] < first[0]
    again = SKLearnRegressor(build, fit_kwargs={"epochs": 5}, random_state=0).fit(RX, RY)
    assert again.fit(RX, RY).history_.history["loss"] == first


def test_arguments_of_a_fit() -> None:
    est = SKLearnRegressor(build, fit_kwargs={"epochs": 5, "batch_size": 64}, random_state=0)
    assert len(est.fit(RX, RY, epochs=2).history_.epoch) == 2
    assert est.fit_kwargs == {"epochs": 5, "batch_size": 64}
    held = est.fit(RX, RY, validation_split=0.2).history_.history
    assert len(held["val_loss"]) == 5
    with pytest.raises(TypeError, match="epoch"):
        est.fit(RX, RY, epoch=3)


def test_decisions_are_scikit_learns() -> None:
    two = SKLearnClassifier(build, model_kwargs={"loss": "categorical_crossentropy", "last": "softmax"}, random_state=0)
    assert two.fit(X, y > 0, epochs=20).decision_function(X).shape == (150,)
    assert ((two.decision_function(X) > 0) == two.predict(X)).all()
    np.testing.assert_allclose(two.predict_proba(X).sum(axis=1), 1, atol=1e-6)
    linear = SKLearnClassifier(build, random_state=0).fit(X, y)
    assert linear.decision_function(X).shape == (150, 3)
    assert not hasattr(linear, "predict_proba")
    with pytest.raises(AttributeError, match="has no attribute 'predict_proba'"):
        linear.predict_proba(X)


def test_one_output_in_a_list() -> None:
    def listed(X: Any, y: Any, count: int = 1) -> fastnn.Model:
        x = layers.Input((X.shape[1],))
        model = fastnn.Model(x, [layers.Dense(y.shape[1])(x) for _ in range(count)])
        model.compile("adam", ["mse"] * count)
        return model

    est = SKLearnRegressor(listed, random_state=0).fit(RX, RY)
    assert est.predict(RX).shape == (442,)
    two = SKLearnRegressor(listed, model_kwargs={"count": 2})
    with pytest.raises(ValueError, match="y must be a list of 2 arrays"):
        two.fit(RX, RY)


def test_pictures_and_several_targets() -> None:
    def pictures(X: Any, y: Any) -> fastnn.Sequential:
        model = fastnn.Sequential([layers.Input(X.shape[1:]), layers.Flatten(), layers.Dense(y.shape[1])])
        model.compile("adam", "mse")
        return model

    rows = RX[:, :9].reshape(-1, 3, 3)
    est = SKLearnRegressor(pictures, random_state=0).fit(rows, RX[:, :2])
    assert est.predict(rows).shape == (442, 2)
    assert est.fit(rows, RY).predict(rows).shape == (442,)
    assert SKLearnTransformer(pictures, random_state=0).fit_transform(rows, RX[:, :2]).shape == (442, 2)
