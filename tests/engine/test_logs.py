"""What a network says of rows: predictions, losses and metrics, in whatever company and order the rows come."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import losses
from fastnn.layers import Dense, Dropout, Flatten
from fastnn.models import Sequential
from support.cases import LOSSES, data, ident, model_of
from support.numpy_network import NumpyNetwork

MSE = losses.MeanSquaredError()


@pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 700])
@pytest.mark.parametrize(("loss", "after"), LOSSES, ids=ident)
def test_evaluate_and_predict(loss, after, rows):
    x, y = data(loss, rows, 7, 3)
    model = model_of(7, 17, 3, loss=loss, after=after)
    metrics = ["accuracy"] if loss.kernel.labels else ["accuracy", "mse"]
    model.compile("sgd", loss, metrics=metrics)
    reference = NumpyNetwork(model)
    np.testing.assert_allclose(model.predict(x), reference.predict(x), rtol=2e-5, atol=2e-6)
    weight = np.random.default_rng(0).integers(0, 3, rows).astype(np.float32)
    for weights in (None, weight):
        got = model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
        assert got == pytest.approx(reference.evaluate(x, y, weights), rel=1e-5, abs=1e-6)
        assert got == model.evaluate(x, y, 7, 0, weights, return_dict=True)


def test_dropout_and_losses_from_logits_leave_predictions_alone():
    x, y = data(losses.SparseCategoricalCrossentropy(), 300, 6, 3)
    fastnn.set_random_seed(0)
    model = Sequential([Flatten(input_shape=(2, 3)), Dense(9, "tanh"), Dropout(0.5), Dense(3)])
    logits = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", logits, metrics=["accuracy"])
    x = x.reshape(-1, 2, 3)
    want = NumpyNetwork(model).predict(x)
    for _ in range(2):
        np.testing.assert_allclose(model.predict(x), want, rtol=1e-5, atol=1e-6)
        model.evaluate(x, y, verbose=0)
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(model.predict(x), NumpyNetwork(model).predict(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sizes", [(7, 17, 3), (64, 33, 1), (300, 31, 16), (5, 1), (3, 64, 130)], ids=ident)
def test_a_row_predicts_the_same_in_any_company(sizes):
    model = model_of(*sizes, after="softmax" if sizes[-1] > 1 else "sigmoid")
    x = np.random.default_rng(0).standard_normal((600, sizes[0])).astype(np.float32)
    alone = model.predict(x[:1])
    whole = model.predict(x)
    np.testing.assert_array_equal(whole[:1], alone)
    for rows in range(1, 301):
        start = rows % 7
        np.testing.assert_array_equal(model.predict(x[start : start + rows]), whole[start : start + rows])


def test_evaluating_between_epochs_changes_nothing():
    x, y = data(MSE, 30, 5, 2)
    models = [model_of(5, 16, 2, optimizer="adam") for _ in range(2)]
    for _ in range(4):
        models[0].evaluate(x, y, verbose=0)
        models[0].predict(x)
        for model in models:
            model.fit(x, y, 7, shuffle=False, verbose=0)
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("batch_size", [5000, 2**31, 2**62])
def test_a_batch_larger_than_the_data_is_all_of_it(batch_size):
    x, y = data(MSE, 3000, 5, 2)
    models = [model_of(5, 7, 2) for _ in range(2)]
    models[0].fit(x, y, 3000, shuffle=False, verbose=0)
    models[1].fit(x, y, batch_size, shuffle=False, verbose=0)
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 300, 1000])
def test_an_order_takes_rows_targets_and_weights_along(batch_size, weighted):
    x, y = data(MSE, 600, 5, 2)
    rng = np.random.default_rng(0)
    weight = rng.random(600).astype(np.float32) if weighted else None
    order = rng.permutation(600).astype(np.uint32)
    results = []
    for rows in (
        (x, y, weight, order),
        (x[order], y[order], weight if weight is None else weight[order], None),
    ):
        model = model_of(5, 9, 2, optimizer="adam")
        model.compile("adam", MSE, metrics=["mae"])
        model.evaluate(x, y, verbose=0)
        logs = model.description.network.fit_epoch(*rows, batch_size, 0.01)
        states = [state.tolist() for state in model.description.network.states]
        results.append((logs, states, [w.tobytes() for w in model.get_weights()]))
    assert results[0] == results[1]


# A row of weight 0


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_of_weight_0_may_hold_anything(bad, shuffle):
    x, y = data(losses.SparseCategoricalCrossentropy(), 40, 5, 3)
    weight = np.ones(40, np.float32)
    weight[[3, 17, 39]] = 0
    models = [model_of(5, 9, 3, loss=losses.SparseCategoricalCrossentropy(), after="softmax") for _ in range(2)]
    for model in models:
        fastnn.set_random_seed(8)
        model.fit(x, y, 6, 3, 0, shuffle=shuffle, sample_weight=weight)
        x[[3, 17], 2], x[39], y[17], y[39] = bad, bad, 77, np.nan
    assert np.isfinite(models[1].get_weights()[0]).all()
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(models[1].evaluate(x, y, sample_weight=weight, verbose=0))
