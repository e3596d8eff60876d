"""cross_validate: each fold beside the same network alone; rows, settings, callbacks and scores of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import EarlyStopping
from fastnn.layers import Concatenate, Dense, Input, Normalization
from fastnn.models import Model, Sequential
from support.folds import X, Y, build, validated

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("n_jobs", [1, 2, 3, -1])
def test_each_fold_is_the_network_alone(n_jobs: int) -> None:
    found = validated(X, Y, cv=4, n_jobs=n_jobs, return_indices=True, return_train_score=True, return_estimator=True)
    for fold in range(4):
        train, test = (found["indices"][part][fold] for part in ("train", "test"))
        fastnn.set_random_seed(int(found["seed"][fold]))
        model = build()
        history = model.fit(X[train], Y[train], epochs=3, verbose=0).history
        assert history == found["history"][fold]
        for part, rows in (("test", test), ("train", train)):
            loss, accuracy = model.evaluate(X[rows], Y[rows], verbose=0)
            assert (found[f"{part}_loss"][fold], found[f"{part}_accuracy"][fold]) == (loss, accuracy)
        for one, other in zip(model.get_weights(), found["estimator"][fold].get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_seeds() -> None:
    first, again, other = (validated(X, Y, random_state=seed) for seed in (1, 1, 2))
    assert first["test_loss"].tolist() == again["test_loss"].tolist() != other["test_loss"].tolist()
    fastnn.set_random_seed(3)
    one, two = (validated(X, Y, random_state=None)["test_loss"].tolist() for _ in range(2))
    fastnn.set_random_seed(3)
    assert validated(X, Y, random_state=None)["test_loss"].tolist() == one != two


def test_a_seed_that_build_sets_is_its_own() -> None:
    def seeded() -> Any:
        fastnn.set_random_seed(0)
        return build()

    fastnn.set_random_seed(9)
    found = validated(X, Y, build=seeded, n_jobs=2, return_indices=True, epochs=1)
    assert fastnn.random.generator().integers(2**32) == np.random.default_rng(9).integers(2**32)
    for fold, train in enumerate(found["indices"]["train"]):
        model = seeded()
        model.fit(X[train], Y[train], epochs=1, verbose=0)
        assert model.evaluate(X[found["indices"]["test"][fold]], Y[found["indices"]["test"][fold]], verbose=0) == [
            found["test_loss"][fold],
            found["test_accuracy"][fold],
        ]


def test_rows_of_every_kind() -> None:
    expected = validated(X, Y)["test_loss"].tolist()
    assert validated(X.tolist(), Y.tolist())["test_loss"].tolist() == expected
    pandas = pytest.importorskip("pandas", reason="frames: pip install pandas")
    frame = pandas.DataFrame(X, columns=list("abcde"), index=RNG.permutation(120))
    assert validated(frame, pandas.Series(Y))["test_loss"].tolist() == expected
    scipy = pytest.importorskip("scipy.sparse", reason="sparse matrices: pip install scipy")
    assert validated(scipy.csr_matrix(X), Y)["test_loss"].tolist() == expected


def test_several_inputs() -> None:
    def two() -> Any:
        inputs = [Input((2,), name="a"), Input((3,), name="b")]
        model = Model(inputs, Dense(3, "softmax")(Concatenate()(inputs)))
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    by_list = validated([X[:, :2], X[:, 2:]], Y, build=two)["test_loss"].tolist()
    by_name = validated({"a": X[:, :2], "b": X[:, 2:]}, Y, build=two)["test_loss"].tolist()
    assert by_list == by_name


def test_weights_of_rows_go_with_them() -> None:
    weights = RNG.uniform(0.1, 2, 120)
    found = validated(X, Y, sample_weight=weights, cv=3, return_indices=True)
    train, test = (found["indices"][part][1] for part in ("train", "test"))
    fastnn.set_random_seed(int(found["seed"][1]))
    model = build()
    model.fit(X[train], Y[train], epochs=3, sample_weight=weights[train], verbose=0)
    expected = model.evaluate(X[test], Y[test], sample_weight=weights[test], verbose=0)
    assert [found["test_loss"][1], found["test_accuracy"][1]] == expected


def test_build_may_see_what_is_learnt_from() -> None:
    seen = []

    def adapted(x: Any, y: Any) -> Any:
        seen.append((len(x), len(y)))
        first = Normalization()
        first.adapt(x)
        model = Sequential([first, Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    validated(X, Y, build=adapted, cv=4)
    assert seen == [(90, 90)] * 4


def test_settings_go_to_build_and_to_fit() -> None:
    found = validated(X, Y, settings={"units": 3, "epochs": 2, "batch_size": 60}, return_estimator=True)
    assert found["estimator"][0].get_weights()[0].shape == (5, 3)
    assert all(len(history["loss"]) == 2 for history in found["history"])
    assert int(found["estimator"][0].optimizer.iterations) == 4


def test_callbacks_are_fresh() -> None:
    stopping = EarlyStopping("loss", patience=1, min_delta=10)
    for given in ([stopping], stopping, lambda: [EarlyStopping("loss", patience=1, min_delta=10)]):
        found = validated(X, Y, epochs=9, callbacks=given)
        assert [len(history["loss"]) for history in found["history"]] == [2] * 5
    assert stopping.best is None


def test_scoring() -> None:
    def misses(model: Any, x: Any, y: Any) -> float:
        return float((model.predict(x).argmax(axis=1) != y).sum())

    found = validated(X, Y, scoring=misses)
    np.testing.assert_allclose(found["test_misses"], (1 - found["test_accuracy"]) * 24, atol=1e-4)
    assert validated(X, Y, scoring={"wrong": misses})["test_wrong"].tolist() == found["test_misses"].tolist()
    with pytest.raises(TypeError, match="scoring must be a function"):
        validated(X, Y, scoring="accuracy")


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: None, TypeError, "build must give a compiled model, got None"),
        (lambda: Sequential([Dense(1)]), RuntimeError, "call model.compile in it"),
        ("adam", TypeError, "build must be a function"),
        (Sequential([Dense(1)]), TypeError, "build must be a function that gives a new compiled model, got"),
    ],
)
def test_what_build_may_be(build: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        validated(X, Y, build=build)


def test_a_model_is_new_for_each_fold() -> None:
    one = build()
    with pytest.raises(ValueError, match="has been fitted already; make a new one at each call"):
        validated(X, Y, build=lambda: one, n_jobs=1)


@pytest.mark.parametrize(
    ("rows", "error", "says"),
    [
        ((iter([1]), Y), TypeError, "a generator has no rows to choose"),
        ((X, Y[:50]), ValueError, "as many rows as one another"),
        ((None, None), TypeError, "x must be rows"),
    ],
)
def test_what_rows_may_be(rows: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        validated(*rows)


def test_a_frame_of_scores() -> None:
    pandas = pytest.importorskip("pandas", reason="frames: pip install pandas")
    found = validated(X, Y)
    frame = found.frame()
    assert isinstance(frame, pandas.DataFrame)
    assert {"fit_time", "score_time", "seed", "test_loss", "test_accuracy"} <= set(frame.columns)
    assert found.mean("test_accuracy") == frame["test_accuracy"].mean()
