"""What the estimators have beyond scikit-learn's: dropout, any activation, loss, optimizer, callback, class weights."""

from __future__ import annotations

import pickle
from io import BytesIO
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn: pip install 'fastnn[sklearn]'")

from scipy.sparse import csr_matrix, issparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale
from sklearn.utils.class_weight import compute_sample_weight

import fastnn
from fastnn import callbacks, losses, optimizers
from fastnn.sklearn import MLPClassifier, MLPRegressor
from support.signals import ctrl_c

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
X = scale(X)
RX, RY = load_diabetes(return_X_y=True)
RX, RY = scale(RX), scale(RY)


def test_importing_fastnn_imports_none_of_it() -> None:
    import subprocess
    import sys

    code = "import fastnn, sys; assert not {'sklearn', 'scipy', 'fastnn.sklearn', 'fastnn.wrappers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
    code = "import fastnn; fastnn.sklearn.MLPClassifier; fastnn.wrappers.SKLearnClassifier"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


@pytest.mark.parametrize("names", ["fastnn.sklearn", "fastnn.wrappers import SKLearnClassifier"])
def test_without_scikit_learn(names: str) -> None:
    import subprocess
    import sys

    code = f"""if True:
        import sys
        sys.modules["sklearn"] = None
        try:
            {"from" if " import " in names else "import"} {names}
        except ImportError as error:
            assert 'pip install "fastnn[sklearn]"' in str(error), error
        else:
            raise SystemExit("imported")
        """
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


# The model.


def test_the_model_is_a_sequential() -> None:
    est = MLPClassifier(max_iter=5, random_state=0, dropout=0.1).fit(X, y)
    assert isinstance(est.model_, fastnn.Sequential)
    assert (est.model_.predict(X.astype(np.float32)) == est.predict_proba(X)).all()
    file = BytesIO()
    est.model_.save(file)
    file.seek(0)
    loaded = fastnn.models.load_model(file)
    assert (loaded.predict(X.astype(np.float32)) == est.predict_proba(X)).all()


def test_weights_that_are_set_are_those_that_predict() -> None:
    est = MLPRegressor(max_iter=5, random_state=0).fit(RX, RY)
    before = est.predict(RX)
    est.coefs_[1][...] = 0  # in place
    assert (est.predict(RX) == est.intercepts_[1][0]).all()
    est.coefs_ = [np.zeros(coef.shape) for coef in est.coefs_]  # in place of the list
    est.intercepts_[1] = np.array([2.5])  # of one of its arrays
    assert (est.predict(RX) == 2.5).all()
    assert est.predict(RX[:1]) == 2.5
    assert (before != 2.5).all()
    est.coefs_ = est.coefs_[:1]
    with pytest.raises(ValueError, match="must have the shapes"):
        est.predict(RX)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_bits(threads: int) -> None:
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    try:
        est = MLPRegressor("squared_error", (64, 64), max_iter=5, random_state=0, batch_size=100, dropout=0.2).fit(
            RX, RY
        )
        alone = np.array([est.predict(RX[i : i + 1])[0] for i in range(50)])
    finally:
        fastnn.set_num_threads(before)
    again = MLPRegressor("squared_error", (64, 64), max_iter=5, random_state=0, batch_size=100, dropout=0.2).fit(RX, RY)
    assert (est.predict(RX) == again.predict(RX)).all()
    assert (alone == est.predict(RX)[:50]).all()


def test_the_generator_of_all_is_left_alone() -> None:
    fastnn.set_random_seed(4)
    wanted = fastnn.random.uniform((3,))
    fastnn.set_random_seed(4)
    MLPClassifier(max_iter=2, dropout=0.3).fit(X, y)
    assert (fastnn.random.uniform((3,)) == wanted).all()


def test_a_fit_of_one_batch_hangs_on_no_order() -> None:
    order = np.random.RandomState(0).permutation(150)
    weight = np.random.RandomState(1).randint(0, 3, 150)
    for est in (MLPClassifier(random_state=0, max_iter=30), MLPClassifier(random_state=0, solver="lbfgs")):
        a, b = clone(est).fit(X, y), clone(est).fit(X[order], y[order])
        assert (a.predict_proba(X) == b.predict_proba(X)).all()
        a = clone(est).fit(X, y, sample_weight=weight)
        b = clone(est).fit(X[weight > 0], y[weight > 0], sample_weight=weight[weight > 0])
        c = clone(est).fit(X.repeat(weight, axis=0), y.repeat(weight))
        assert (a.predict_proba(X) == b.predict_proba(X)).all()
        assert (a.predict_proba(X) == c.predict_proba(X)).all()


def test_rows_that_weigh_nothing_may_hold_anything() -> None:
    wild, weight = np.r_[X, np.full((50, 4), 1e30)], np.r_[np.ones(150), np.zeros(50)]
    est = MLPClassifier(random_state=0, batch_size=40, max_iter=5, learning_rate_init=0.01)
    a = clone(est).fit(wild, np.r_[y, np.zeros(50, int)], sample_weight=weight)
    assert np.isfinite(a.coefs_[0]).all()
    assert a.score(X, y) > 0.7


# Dropout, activations.


def test_dropout() -> None:
    plain = MLPClassifier(random_state=0, max_iter=30).fit(X, y)
    dropped = MLPClassifier(random_state=0, max_iter=30, dropout=0.5).fit(X, y)
    assert dropped.loss_ > plain.loss_ * 1.02
    assert (dropped.predict_proba(X) == dropped.predict_proba(X)).all()
    assert [type(layer).__name__ for layer in dropped.model_.layers] == ["Dense", "Dropout", "Dense"]
    again = MLPClassifier(random_state=0, max_iter=30, dropout=0.5).fit(X, y)
    other = MLPClassifier(random_state=1, max_iter=30, dropout=0.5).fit(X, y)
    assert (again.coefs_[0] == dropped.coefs_[0]).all()
    assert (other.coefs_[0] != dropped.coefs_[0]).any()
    each = MLPClassifier((10, 10), dropout=[0.0, 0.5], max_iter=2).fit(X, y)
    assert [type(layer).__name__ for layer in each.model_.layers] == ["Dense", "Dense", "Dropout", "Dense"]


def test_an_activation_for_each_layer() -> None:
    with pytest.raises(ValueError, match="'loss' parameter of MLPRegressor must be"):
        MLPRegressor((8, 6, 4), ["tanh", "gelu", "relu"]).fit(RX, RY)  # as theirs: the loss comes first
    est = MLPRegressor("squared_error", (8, 6, 4), ["tanh", "gelu", fastnn.activations.LeakyReLU(0.3)], max_iter=3)
    est.fit(RX, RY)
    assert [layer.activation.table_name for layer in est.model_.layers] == ["tanh", "gelu", "leaky_relu", "linear"]
    assert (pickle.loads(pickle.dumps(est)).predict(RX) == est.predict(RX)).all()
    same = MLPClassifier((8, 6), ["tanh", "tanh"], max_iter=3, random_state=0).fit(X, y)
    assert (same.coefs_[0] == MLPClassifier((8, 6), "tanh", max_iter=3, random_state=0).fit(X, y).coefs_[0]).all()


# Losses, optimizers.


@pytest.mark.parametrize("loss", ["mae", "huber", losses.Pinball(0.9), "log_cosh", "mean_squared_logarithmic_error"])
def test_losses_of_a_regressor(loss: Any) -> None:
    targets = RY - RY.min() + 1
    est = MLPRegressor(loss, random_state=0, max_iter=100, learning_rate_init=0.01).fit(RX, targets)
    assert est.loss_curve_[-1] < 0.5 * est.loss_curve_[0]
    if loss == "mae":  # without penalties it is what it is
        alone = MLPRegressor("mae", random_state=0, max_iter=50, alpha=0).fit(RX, targets)
        after = MLPRegressor("mae", random_state=0, max_iter=51, alpha=0, batch_size=442, shuffle=False)
        after.coefs_, after.intercepts_ = alone.coefs_, alone.intercepts_
        assert alone.best_loss_ >= 0


def test_a_quantile() -> None:
    est = MLPRegressor(losses.Pinball(0.9), random_state=0, max_iter=300, learning_rate_init=0.01).fit(RX, RY)
    assert 0.8 < (est.predict(RX) > RY).mean() < 0.97


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "categorical_focal_crossentropy", "mse", losses.Dice()])
def test_losses_of_a_classifier(loss: Any) -> None:
    est = MLPClassifier(loss=loss, random_state=0, max_iter=100, learning_rate_init=0.02).fit(X, y)
    assert est.score(X, y) > 0.9
    two = MLPClassifier(loss="binary_focal_crossentropy", random_state=0, learning_rate_init=0.02).fit(X, y > 0)
    assert two.score(X, y > 0) > 0.95


def test_a_loss_of_ones_own() -> None:
    def fourth(y_true: Any, y_pred: Any) -> Any:
        return ((y_true - y_pred) ** 4).mean(axis=-1)

    est = MLPRegressor(fourth, random_state=0, max_iter=60, learning_rate_init=0.01).fit(RX, RY)
    assert est.loss_curve_[-1] < 0.5 * est.loss_curve_[0]


@pytest.mark.parametrize("solver", ["adamw", "rmsprop", "nadam", optimizers.SGD(0.1, clipnorm=1.0)])
def test_optimizers(solver: Any) -> None:
    est = MLPClassifier(solver=solver, random_state=0, learning_rate_init=0.01).fit(X, y)
    assert est.score(X, y) > 0.9
    assert est.partial_fit(X, y).score(X, y) > 0.9
    other = pickle.loads(pickle.dumps(est))
    assert (other.partial_fit(X, y).coefs_[0] == est.partial_fit(X, y).coefs_[0]).all()


def test_a_schedule() -> None:
    rate = optimizers.schedules.ExponentialDecay(0.1, 20, 0.5)
    solver = optimizers.Adam(rate)
    est = MLPClassifier(solver=solver, random_state=0, batch_size=30, max_iter=40).fit(X, y)
    assert est.score(X, y) > 0.9
    assert solver.learning_rate is rate  # a copy has been trained
    wanted = MLPClassifier(solver=optimizers.Adam(0.1), random_state=0, batch_size=30, max_iter=40).fit(X, y)
    assert (est.coefs_[0] != wanted.coefs_[0]).any()


# Callbacks.


class Seen(callbacks.Callback):
    def __init__(self) -> None:
        self.epochs: list[float] = []
        self.batches = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(logs["loss"])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches += 1


def test_callbacks_change_nothing() -> None:
    for more in ({}, {"early_stopping": True, "n_iter_no_change": 3}, {"solver": "sgd", "learning_rate": "adaptive"}):
        settings = {"random_state": 0, "batch_size": 40, "learning_rate_init": 0.02, "max_iter": 60, **more}
        seen = Seen()
        a, b = MLPClassifier(**settings).fit(X, y), MLPClassifier(callbacks=seen, **settings).fit(X, y)
        assert (a.predict_proba(X) == b.predict_proba(X)).all()
        assert a.loss_curve_ == b.loss_curve_ == seen.epochs
        assert a.n_iter_ == b.n_iter_
        assert seen.batches == b.n_iter_ * 4
        assert a.validation_scores_ == b.validation_scores_


def test_callbacks_may_end_it_and_set_the_rate() -> None:
    stop = callbacks.EarlyStopping("loss", min_delta=1.0, patience=2)
    est = MLPClassifier(random_state=0, callbacks=[stop]).fit(X, y)
    assert est.n_iter_ == 3
    rate = callbacks.LearningRateScheduler(lambda epoch: 0.0)
    still = MLPClassifier(random_state=0, callbacks=[rate], max_iter=3).fit(X, y)
    begun = MLPClassifier(random_state=0, learning_rate_init=1e-30, max_iter=1).fit(X, y)
    assert (still.coefs_[0] == begun.coefs_[0]).all()


def test_the_loss_of_what_is_held_out_is_measured_for_callbacks() -> None:
    found: list[Any] = []
    note = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: found.append(sorted(logs)))
    MLPRegressor(early_stopping=True, max_iter=2, callbacks=note).fit(RX, RY)
    assert found == [["loss", "val_loss"]] * 2


def test_ctrl_c_keeps_what_was_learnt() -> None:
    def interrupt(epoch: int, logs: Any) -> None:
        if epoch == 4:
            raise KeyboardInterrupt

    est = MLPClassifier(callbacks=callbacks.LambdaCallback(on_epoch_end=interrupt))
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        est.fit(X, y)
    assert est.n_iter_ in (4, 5)
    assert est.predict(X).shape == (150,)


# Weights of classes.


@pytest.mark.parametrize("given", ["balanced", {"a": 3.0, "b": 0.5}, {"c": 0}])
def test_class_weight(given: Any) -> None:
    labels = np.array(["a", "b", "c"])[np.r_[y[:70], y[120:]]]
    rows = np.r_[X[:70], X[120:]]
    weighted = MLPClassifier(random_state=0, class_weight=given, max_iter=20).fit(rows, labels)
    by_hand = MLPClassifier(random_state=0, max_iter=20).fit(rows, labels, compute_sample_weight(given, labels))
    np.testing.assert_allclose(weighted.predict_proba(rows), by_hand.predict_proba(rows), atol=1e-5)
    if given == {"c": 0}:
        assert "c" not in weighted.predict(rows)
    own = np.random.RandomState(0).uniform(0, 2, len(rows))
    both = MLPClassifier(random_state=0, class_weight=given, max_iter=20).fit(rows, labels, own)
    assert (both.predict_proba(rows) != weighted.predict_proba(rows)).any()


def test_class_weight_of_several_labels_and_two_classes() -> None:
    rows, targets = make_multilabel_classification(60, random_state=0)
    given = [{0: 1, 1: 2}] * targets.shape[1]
    a = MLPClassifier(random_state=0, class_weight=given, max_iter=5).fit(rows, targets)
    b = MLPClassifier(random_state=0, max_iter=5).fit(rows, targets, compute_sample_weight(given, targets))
    np.testing.assert_allclose(a.predict_proba(rows), b.predict_proba(rows), atol=1e-5)
    rare = (np.arange(150) < 20).astype(int)
    plain = MLPClassifier(random_state=0, max_iter=60).fit(X, rare)
    balanced = MLPClassifier(random_state=0, max_iter=60, class_weight="balanced").fit(X, rare)
    assert balanced.predict(X).sum() > plain.predict(X).sum()


def test_balanced_in_passes_is_by_all_rows_that_were_seen() -> None:
    est = MLPClassifier(random_state=0, class_weight="balanced", batch_size=10)
    for part in (slice(0, 60), slice(60, 120), slice(120, 150)):
        est.partial_fit(X[part], y[part], classes=[0, 1, 2])
    assert est.predict(X).shape == (150,)
    by_hand = MLPClassifier(random_state=0, batch_size=10)
    weight = np.array([60 / (2 * 50), 60 / (2 * 10)])[y[:60]]
    by_hand.partial_fit(X[:60], y[:60], weight, classes=[0, 1, 2])
    again = MLPClassifier(random_state=0, batch_size=10, class_weight="balanced")
    again.partial_fit(X[:60], y[:60], classes=[0, 1, 2])
    np.testing.assert_allclose(by_hand.coefs_[0], again.coefs_[0], atol=1e-6)


# Early stopping in passes.


@pytest.mark.parametrize("est", [MLPClassifier, MLPRegressor])
def test_patience_is_counted_across_calls(est: Any) -> None:
    est = est(early_stopping=True, n_iter_no_change=3, random_state=0, learning_rate_init=0.02)
    rows, targets, more = (X, y, {"classes": [0, 1, 2]}) if isinstance(est, MLPClassifier) else (RX, RY, {})
    calls = 0
    while not getattr(est, "stopped_", False):
        est.partial_fit(rows, targets, **more)
        calls += 1
        assert calls < 200
    assert calls == len(est.validation_scores_) > 4
    assert est.best_validation_score_ == max(est.validation_scores_)
    kept = [coef.copy() for coef in est.coefs_]
    est.partial_fit(rows, targets)
    assert all((a == b).all() for a, b in zip(kept, est.coefs_, strict=True))
    assert len(est.validation_scores_) == calls
    other = pickle.loads(pickle.dumps(est)).partial_fit(rows, targets)
    assert (other.coefs_[0] == kept[0]).all()
    est.fit(rows, targets)  # begins anew
    assert not est.stopped_
    est.partial_fit(rows, targets)


def test_parameters_that_change_between_passes() -> None:
    theirs = pytest.importorskip("sklearn.neural_network")
    both = [home(random_state=0, batch_size=50) for home in (theirs.MLPClassifier, MLPClassifier)]
    for est in both:
        est.partial_fit(X, y, classes=[0, 1, 2]).set_params(alpha=0.5).partial_fit(X, y)
        est.set_params(learning_rate_init=0.1, batch_size=30).partial_fit(X, y)  # the optimizer has its rate
    np.testing.assert_allclose(both[1].coefs_[0], both[0].coefs_[0], atol=1e-5)
    both[1].set_params(solver="sgd", alpha=0.1).partial_fit(X, y)
    both[1].set_params(dropout=0.5).partial_fit(X, y)
    assert pickle.loads(pickle.dumps(both[1])).set_params(solver="adam").partial_fit(X, y).predict(X).shape == (150,)
    for wrong in ({"hidden_layer_sizes": (7,)}, {"hidden_layer_sizes": (100, 100)}):
        with pytest.raises(ValueError, match="fit the estimator anew"):
            clone(both[1]).fit(X, y).set_params(**wrong).partial_fit(X, y)
        with pytest.raises(ValueError, match="fit the estimator anew"):
            clone(both[1]).set_params(warm_start=True).fit(X, y).set_params(**wrong).fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features"):
        both[1].partial_fit(X[:, :3], y)
    assert not hasattr(both[1].set_params(solver="lbfgs"), "partial_fit")
    assert both[1].predict(X).shape == (150,)


def test_ctrl_c_in_an_epoch() -> None:
    rng = np.random.default_rng(0)
    est = MLPRegressor("squared_error", (256, 256), max_iter=10_000, n_iter_no_change=np.inf)
    x, y = rng.normal(size=(5000, 20)), rng.normal(size=5000)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        ctrl_c(lambda: est.fit(x, y), 0.5, raises=False)
    assert 0 < est.n_iter_ < 10_000
    assert np.isfinite(est.predict(rng.normal(size=(5, 20)))).all()


def test_what_diverges_says_so() -> None:
    wild = MLPRegressor(activation="identity", solver="sgd", learning_rate_init=1.0, random_state=0)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        wild.fit(X * 100, y)
    held = clone(wild).set_params(early_stopping=True)
    with pytest.warns(ConvergenceWarning, match="smaller learning_rate_init"):
        held.fit(X * 100, y)
    assert np.isnan(held.validation_scores_[-1])
    assert np.isfinite(held.predict(X)).all()


# Labels.


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["x", "yy", "z"]),
        np.array(["x", "yy", "z"], object),
        np.array([-5, 0, 7]),
        np.array([1.0, 2.0, 30.0]),
        np.array([b"a", b"b", b"c"]),
    ],
    ids=lambda labels: labels.dtype.str,
)
def test_labels_of_any_type(labels: Any) -> None:
    for classes in (2, 3):
        rows, targets = X[y < classes], labels[y[y < classes]]
        if targets.dtype.kind == "S":
            with pytest.raises((ValueError, TypeError), match="bytes"):
                MLPClassifier(max_iter=1).fit(rows, targets)
            continue
        est = MLPClassifier(random_state=0, learning_rate_init=0.02, max_iter=60).fit(rows, targets)
        assert est.predict(rows).dtype == (targets.dtype if targets.dtype != object else est.classes_.dtype)
        assert est.score(rows, targets) > 0.95
        assert (est.predict(rows[:1]) == targets[:1]).all()
        assert list(est.classes_) == list(np.unique(targets))


def test_one_class_alone() -> None:
    est = MLPClassifier(max_iter=3).fit(X, ["only"] * 150)
    assert (est.predict(X) == "only").all()


def test_several_labels_as_a_sparse_matrix() -> None:
    rows, targets = make_multilabel_classification(60, random_state=0)
    dense = MLPClassifier(random_state=0).fit(rows, targets)
    sparse = MLPClassifier(random_state=0).fit(rows, csr_matrix(targets))
    assert issparse(sparse.predict(rows))
    assert (sparse.predict(rows).toarray() == dense.predict(rows)).all()
    assert dense.predict(rows).dtype.kind == "i"
    assert dense.predict_proba(rows).shape == targets.shape
