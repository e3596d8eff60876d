"""A warning names the likely intent, once, at the line that trains; what is usual is not warned of."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import activations, losses, metrics
from fastnn.initializers import Constant
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Input, ReLU, Softmax
from fastnn.models import Model, Sequential
from fastnn.optimizers import SGD

ROWS = 8
X = np.random.default_rng(0).normal(size=(ROWS, 3))


def y_for(loss: Any, units: int) -> np.ndarray:
    targets = 1 if "sparse" in str(loss).lower() else units // 2 if loss == "gaussian_nll" else units
    return np.zeros((ROWS, targets))


def fitted(units: int, activation: Any, loss: Any, *more: Any, **options: Any) -> Sequential:
    net = Sequential([Dense(units, activation, input_dim=3), *more])
    net.compile("sgd", loss, **options)
    net.fit(X, y_for(loss, units), verbose=0)
    return net


MISTAKES: list[tuple[Any, str]] = [
    ((1, "softmax", "bce"), "softmax of one unit gives 1 for every row.*'sigmoid'"),
    ((1, "softmax", "mse"), "softmax of one unit gives 1 for every row"),
    ((1, "linear", "mse", Softmax()), "softmax of one unit"),
    ((1, None, losses.SparseCategoricalCrossentropy(from_logits=True)), "of one output is the same for every row"),
    (
        (1, "sigmoid", "sparse_categorical_crossentropy"),
        "of one output is the same .*binary_crossentropy with 'sigmoid'",
    ),
    ((1, "sigmoid", "categorical_crossentropy"), "of one output is the same"),
    ((3, "softmax", losses.CategoricalCrossentropy(from_logits=True)), "from_logits=True, but .* ends in 'softmax'"),
    ((3, "softmax", losses.SparseCategoricalCrossentropy(from_logits=True)), "leave out one of the two"),
    ((1, "sigmoid", losses.BinaryCrossentropy(from_logits=True)), "from_logits=True, but .* ends in 'sigmoid'"),
    ((2, "softmax", losses.BinaryFocalCrossentropy(from_logits=True)), "from_logits=True, but .* ends in 'softmax'"),
    ((1, None, "binary_crossentropy"), "ends in 'linear'; end in 'sigmoid', or pass from_logits=True"),
    ((3, None, "categorical_crossentropy"), "ends in 'linear'; end in 'softmax', or pass from_logits=True"),
    ((3, None, "sparse_categorical_crossentropy"), "ends in 'linear'; end in 'softmax', or pass"),
    ((3, None, "kl_divergence"), "ends in 'linear'; end in 'softmax'$"),
    ((1, None, "dice"), "ends in 'linear'; end in 'sigmoid'$"),
    ((1, "relu", "bce"), "ends in 'relu'; end in 'sigmoid'$"),
    ((1, "tanh", "bce"), "ends in 'tanh'; end in 'sigmoid'$"),
    ((3, "relu", "categorical_crossentropy"), "ends in 'relu'; end in 'softmax'$"),
    ((3, None, "categorical_crossentropy", ReLU()), "ends in 'relu'; end in 'softmax'$"),
    ((3, None, "categorical_crossentropy", Activation("tanh")), "ends in 'tanh'; end in 'softmax'$"),
    ((2, "softmax", "binary_crossentropy"), "takes each output by itself, .*categorical_crossentropy"),
    ((3, "sigmoid", "categorical_crossentropy"), "is for shares of 1, but .*'sigmoid'.*binary_crossentropy"),
    ((3, "sigmoid", "sparse_categorical_crossentropy"), "is for shares of 1"),
    ((1, None, "poisson"), "for outputs above 0, but .* ends in 'linear'.*; end in 'exponential' or 'softplus'"),
    ((1, "sigmoid", "hinge"), "outputs of either sign, but .* ends in 'sigmoid', .*; end in 'tanh' or 'linear'"),
    ((1, "relu", "squared_hinge"), "outputs of either sign"),
]


@pytest.mark.parametrize(("case", "words"), MISTAKES, ids=str)
def test_mistakes(case: Any, words: str) -> None:
    """Once, at this file's line; the training goes on."""
    units, activation, loss, *more = case
    net = Sequential([Dense(units, activation, input_dim=3, bias_initializer=Constant(9.0)), *more])
    net.compile(SGD(0.0), loss)
    with pytest.warns(UserWarning, match=words) as seen:
        net.fit(X, y_for(loss, units), verbose=0)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    net.fit(X, y_for(loss, units), verbose=0)
    net.evaluate(X, y_for(loss, units), verbose=0)


METRICS: list[tuple[Any, list[Any], str]] = [
    ((1, None, "mse"), ["accuracy"], "'accuracy' is for classes.*mean_squared_error is a loss of numbers; take 'mae'"),
    ((1, None, "mae"), ["acc"], "'acc' is for classes"),
    ((1, "relu", "huber"), [metrics.BinaryAccuracy()], "'binary_accuracy' is for classes"),
    ((3, None, "mse"), ["mae", "accuracy"], "'accuracy' is for classes"),
    (
        (1, None, losses.BinaryCrossentropy(from_logits=True)),
        ["accuracy"],
        r"'accuracy' takes outputs from 0 to 1, but with from_logits=True .*BinaryAccuracy\(threshold=0\)",
    ),
    ((1, None, losses.BinaryCrossentropy(from_logits=True)), [metrics.AUC()], "'auc' takes outputs from 0 to 1"),
    ((1, None, losses.BinaryCrossentropy(from_logits=True)), ["precision"], "'precision' takes outputs from 0"),
]


@pytest.mark.parametrize(("case", "measured", "words"), METRICS, ids=str)
def test_metrics(case: Any, measured: list[Any], words: str) -> None:
    with pytest.warns(UserWarning, match=words) as seen:
        fitted(*case, metrics=measured)
    assert len(seen) == 1


USUAL: list[tuple[Any, list[Any]]] = [
    ((1, "sigmoid", "bce"), ["accuracy", "auc", "precision"]),
    ((3, "sigmoid", "bce"), ["accuracy"]),
    ((3, "softmax", "categorical_crossentropy"), ["accuracy"]),
    ((3, "softmax", "sparse_categorical_crossentropy"), ["accuracy"]),
    ((3, None, losses.SparseCategoricalCrossentropy(from_logits=True)), ["accuracy"]),
    ((3, None, losses.CategoricalCrossentropy(from_logits=True)), ["accuracy"]),
    ((1, None, losses.BinaryCrossentropy(from_logits=True)), [metrics.BinaryAccuracy(threshold=0.0)]),
    ((1, None, losses.BinaryCrossentropy(from_logits=True)), [metrics.AUC(from_logits=True)]),
    ((1, None, "mse"), ["mae", "r2_score"]),
    ((1, "relu", "mse"), []),
    ((3, "softmax", "mse"), ["accuracy"]),
    ((1, "sigmoid", "mse"), ["accuracy"]),
    ((1, "tanh", "mse"), ["accuracy"]),
    ((1, "tanh", "hinge"), []),
    ((1, None, "hinge"), []),
    ((3, "softmax", "categorical_hinge"), []),
    ((1, "exponential", "poisson"), []),
    ((3, "exponential", "categorical_crossentropy"), []),
    ((2, None, "gaussian_nll"), []),
    ((1, "hard_sigmoid", "bce"), []),
    ((1, None, "bce", Dropout(0.5), Activation("sigmoid")), []),
    ((1, None, losses.BinaryCrossentropy(from_logits=True), BatchNormalization()), []),
    ((1, "sigmoid", "bce", BatchNormalization()), []),  # what it gives is not known
    ((1, activations.Custom(lambda z: 1 / (1 + np.exp(-z))), "bce"), []),
]


@pytest.mark.parametrize(("case", "measured"), USUAL, ids=str)
def test_what_is_usual(case: Any, measured: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(*case, metrics=measured)


def test_each_output_is_named_and_all_is_said_at_once() -> None:
    x = Input((3,))
    net = Model(x, [Dense(1, "softmax", name="a")(x), Dense(1, name="b")(x)])
    net.compile("sgd", ["mse", "mse"], metrics=[[], ["accuracy"]])
    with pytest.warns(
        UserWarning,
        match=r"^likely not as meant: output 'a': softmax of one unit .*; also output 'b': metric 'accuracy'",
    ) as seen:
        net.evaluate(X, [np.zeros((ROWS, 1))] * 2, verbose=0)
    assert len(seen) == 1
    assert seen[0].filename == __file__


def test_a_subclass_with_a_call_of_its_own_is_not_warned_of() -> None:
    class Own(losses.BinaryCrossentropy):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return super().call(y_true, 1 / (1 + np.exp(-y_pred)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(1, None, Own())


def test_train_on_batch_says_it_too() -> None:
    fastnn.set_random_seed(0)
    net = Sequential([Dense(1, input_dim=3)])
    net.compile("sgd", "bce")
    with pytest.warns(UserWarning, match="pass from_logits=True") as seen:
        net.train_on_batch(X, np.zeros(ROWS))
    assert seen[0].filename == __file__
