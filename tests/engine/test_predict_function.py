"""`model.predict_function()`: the outputs of `predict`, with the least around them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Model, Sequential
from fastnn.layers import LSTM, Add, BatchNormalization, Dense, Dropout, Embedding, Flatten, Input

RNG = np.random.default_rng(5)


def floats(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def perceptron(*sizes: int) -> Sequential:
    fastnn.set_random_seed(1)
    return Sequential([Input((sizes[0],)), *(Dense(n, "tanh") for n in sizes[1:])])


MODELS = {
    "10-10-1": lambda: perceptron(10, 10, 1),
    "softmax": lambda: Sequential([Input((4,)), Dense(300, "relu"), BatchNormalization(), Dense(7, "softmax")]),
    "dropout": lambda: Sequential([Input((4,)), Dense(30, "relu"), Dropout(0.4), Dense(7)]),
    "steps": lambda: Sequential([Input((5, 3)), LSTM(6, return_sequences=True)]),
    "flat": lambda: Sequential([Input((5, 3)), Flatten(), Dense(2)]),
    "wide": lambda: perceptron(300, 400, 3),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rows", [1, 2, 3, 17, 1000])
def test_it_gives_what_predict_gives(name: str, rows: int) -> None:
    model = MODELS[name]()
    predict, x = model.predict_function(), floats(rows, *model.input_shape[1:])
    expected = model.predict(x)
    for _ in range(2):  # the first makes room
        assert predict(x).tobytes() == expected.tobytes()
        assert predict(x).shape == expected.shape
    out = np.full_like(expected, np.nan)
    assert predict(x, out=out) is out
    assert out.tobytes() == expected.tobytes()
    one = np.concatenate([predict(x[i : i + 1]) for i in range(min(rows, 20))])
    assert one.tobytes() == expected[:20].tobytes()


def test_it_follows_the_weights_and_fits_between() -> None:
    model, x, y = perceptron(10, 10, 1), floats(20, 10), floats(20, 1)
    model.compile("adam", "mse")
    predict = model.predict_function()
    for _ in range(3):
        before = predict(x[:1])
        model.fit(x, y, 5, 2, verbose=0)
        assert predict(x[:1]).tobytes() == model.predict(x[:1]).tobytes()
        assert predict(x[:1]) != before
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    assert not predict(x).any()


def test_a_fused_loss_leaves_predictions_whole() -> None:
    """A fit leaves the sigmoid to its loss; a prediction after it does not."""
    model = Sequential([Input((3,)), Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    predict, x = model.predict_function(), floats(4, 3)
    predict(x)
    model.fit(x, np.ones((4, 1)), verbose=0)
    by_hand = 1 / (1 + np.exp(-(x.astype(float) @ model.get_weights()[0] + model.get_weights()[1])))
    np.testing.assert_allclose(predict(x), by_hand, rtol=1e-6)


def test_ids_and_whole_numbers() -> None:
    model = Sequential([Input((3,)), Embedding(20, 4), Flatten(), Dense(2)])
    predict, ids = model.predict_function(), np.array([[1, 2, 19]], np.int32)
    expected = model.predict(ids)
    for x in (ids, ids.astype(np.float32), ids.astype(np.int64), ids):
        assert predict(x).tobytes() == expected.tobytes()
    with pytest.raises(ValueError, match="20"):
        predict(np.array([[1, 2, 20]], np.float32))
    assert predict(ids).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (floats(3), r"shape \('rows', 10\), got float32 \(3,\)"),
        (floats(2, 9), "float32"),
        (floats(2, 10).astype(np.float64), "float64"),
        (floats(2, 20)[:, ::2], "contiguous"),
        (floats(10, 2).T, "contiguous"),
        ([[0.0] * 10], "got"),
        (None, "None"),
        (np.zeros((1, 10), object), "object"),
    ],
)
def test_other_arrays_are_refused(x: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        perceptron(10, 10, 1).predict_function()(x)


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((2, 2), np.float64),
        np.zeros((2, 3), np.float32),
        np.zeros((4, 1), np.float32),
        np.zeros(4, np.float32),
        np.zeros((2, 4), np.float32)[:, ::2],
        np.broadcast_to(np.float32(0), (2, 2)),
        [[0.0, 0.0]] * 2,
    ],
)
def test_other_outputs_are_refused(out: Any) -> None:
    predict = perceptron(10, 2).predict_function()
    with pytest.raises(ValueError, match=r"out must be a C-contiguous float32 array of shape \(2, 2\)"):
        predict(floats(2, 10), out)


def test_no_rows_give_none() -> None:
    assert perceptron(10, 2).predict_function()(floats(0, 10)).shape == (0, 2)


def test_models_that_have_none() -> None:
    a, b = Input((3,)), Input((3,))
    with pytest.raises(ValueError, match="one input and one output"):
        Model([a, b], Add()([a, b])).predict_function()
    with pytest.raises(RuntimeError, match="not built"):
        Sequential([Dense(2)]).predict_function()


def test_of_other_layers_it_says_so() -> None:
    model = perceptron(4, 3)
    predict, x = model.predict_function(), floats(1, 4)
    predict(x)
    model.add(Dense(2))
    with pytest.raises(RuntimeError, match="predict_function again"):
        predict(x)
    assert model.predict_function()(x).tobytes() == model.predict(x).tobytes()


def test_beside_a_fit_in_another_thread() -> None:
    model, x, y = perceptron(10, 10, 1), floats(100, 10), floats(100, 1)
    model.compile("sgd", "mse")
    predict, left = model.predict_function(), [1]
    model.optimizer.learning_rate = 0.0
    expected = predict(x[:1])

    def fit() -> None:
        model.fit(x, y, 10, 2000, verbose=0)
        left.clear()

    thread = threading.Thread(target=fit)
    thread.start()
    try:
        while left:
            assert predict(x[:1]).tobytes() == expected.tobytes()
    finally:
        thread.join()
