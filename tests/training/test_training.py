"""Training through the Keras names: scripts as people write them, logs, weights of rows, and repeatability."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import metrics
from fastnn.data import ArraySource, SQLDataset
from fastnn.data.digits import load_digits
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam
from support.database import connect
from support.small import bits, model_of, rows


@pytest.fixture(autouse=True)
def _seed():
    fastnn.set_random_seed(0)


# Scripts


def test_digits_as_in_keras():
    pixels, labels = load_digits()
    x_train, y_train = pixels[:1500] / 16.0, labels[:1500]
    x_test, y_test = pixels[1500:] / 16.0, labels[1500:]
    model = Sequential()
    model.add(Dense(32, input_dim=64, activation="relu"))
    model.add(Dense(10, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=10, batch_size=32, verbose=0)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    assert accuracy > 0.8
    assert loss < 0.7
    assert (model.predict(x_test).argmax(axis=1) == y_test).mean() == pytest.approx(accuracy)


def test_linear_regression():
    x = np.linspace(-1, 1, 100)
    y = 2.5 * x - 0.75
    model = Sequential()
    model.add(Dense(units=1, input_dim=1, activation="linear"))
    model.compile(optimizer="sgd", loss="mean_squared_error")
    losses = model.fit(x, y, epochs=200, batch_size=10, verbose=0).history["loss"]
    slope, intercept = (float(w.item()) for w in model.get_weights())
    assert slope == pytest.approx(2.5, abs=1e-3)
    assert intercept == pytest.approx(-0.75, abs=1e-3)
    assert losses[-1] < 1e-6
    assert losses[:50] == sorted(losses[:50], reverse=True)


def test_logistic_regression():
    """The minimum is where the reference's gradient is 0."""
    x, _ = rows(200, 3)
    true = np.array([1.5, -2.0, 0.5])
    y = (np.random.default_rng(0).random(200) < 1 / (1 + np.exp(-x @ true))).astype(float)
    model = Sequential([Dense(1, activation="sigmoid", input_dim=3)])
    model.compile(SGD(0.5), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=400, batch_size=200, verbose=0)
    error = model.predict(x)[:, 0] - y
    assert np.abs(x.T @ error).max() / 200 < 1e-4
    assert abs(error.mean()) < 1e-4
    assert model.evaluate(x, y, verbose=0)[1] > 0.8


def test_eight_ten_eight_one():
    x, _ = rows(300, 8)
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    model = Sequential()
    model.add(Dense(10, input_dim=8, activation="relu"))
    model.add(Dense(8, activation="relu"))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.fit(x, y, epochs=150, batch_size=10, verbose=0)
    _, accuracy = model.evaluate(x, y, verbose=0)
    assert accuracy > 0.95


def test_xor():
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    model = Sequential([Dense(8, "tanh", input_shape=(2,)), Dense(1, "sigmoid")])
    model.compile(Adam(0.05), "binary_crossentropy")
    model.fit(x, y, epochs=300, verbose=0)
    assert (model.predict(x) > 0.5).ravel().tolist() == [False, True, True, False]


def test_a_momentum_step_as_textbooks_write_it():
    """dW = a dW + b dL/dW; W += dW, with a = momentum and b = -learning_rate."""
    x, y = rows(8, 3, 1)
    model = Sequential([Dense(1, input_dim=3)])
    a, b = 0.9, -0.1
    model.compile(SGD(-b, momentum=a), "mse")
    w, d_w = model.get_weights()[0].astype(float), np.zeros((3, 1))
    bias, d_bias = 0.0, 0.0
    for _ in range(5):
        error = x @ w + bias - y
        d_w = a * d_w + b * (2 * x.T @ error / len(x))
        d_bias = a * d_bias + b * 2 * error.mean()
        w, bias = w + d_w, bias + d_bias
        model.train_on_batch(x, y)
        np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-5, atol=1e-6)
        assert model.get_weights()[1].item() == pytest.approx(bias, abs=1e-6)


# Figures


def test_history():
    x, y = rows()
    model = model_of(metrics=["mae", "mean_squared_error", metrics.MeanAbsoluteError()])
    history = model.fit(x, y, epochs=3, verbose=0, validation_split=0.25)
    names = {"loss", "mae", "mean_squared_error", "mean_absolute_error"}
    assert set(history.history) == names | {f"val_{name}" for name in names}
    assert all(len(values) == 3 for values in history.history.values())
    assert all(type(value) is float for values in history.history.values() for value in values)
    assert history.epoch == [0, 1, 2]
    assert model.history is history
    assert history.history["val_mae"] == history.history["val_mean_absolute_error"]
    assert history.model is model
    assert history.params["epochs"] == 3
    assert set(model.fit(x, y, verbose=0).history) == names


def test_the_same_metric_twice():
    x, y = rows()
    y = (y > 0).astype(int)
    model = model_of(
        loss="bce", metrics=[metrics.BinaryAccuracy(threshold=0.1), metrics.BinaryAccuracy(threshold=0.9), "mae", "mae"]
    )
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert list(logs) == ["binary_accuracy", "binary_accuracy_1", "mae", "mae_1", "loss"]
    assert logs["binary_accuracy"] == ((model.predict(x) > 0.1) == y).mean()
    assert logs["binary_accuracy_1"] == ((model.predict(x) > 0.9) == y).mean()
    assert len(model.evaluate(x, y, verbose=0)) == 5


def test_what_evaluate_gives():
    x, y = rows()
    model = model_of()
    loss = model.evaluate(x, y, verbose=0)
    assert type(loss) is float
    assert loss == pytest.approx(((model.predict(x) - y) ** 2).mean(), rel=1e-6)
    assert model.evaluate(x, y, verbose=0, return_dict=True) == {"loss": loss}
    model = model_of(metrics=["mae"])
    loss, mae = model.evaluate(x, y, verbose=0)
    assert mae == pytest.approx(np.abs(model.predict(x) - y).mean(), rel=1e-6)
    assert model.evaluate(x, y, verbose=0, return_dict=True) == {"loss": loss, "mae": mae}


def test_what_train_on_batch_gives():
    x, y = rows()
    model = model_of(metrics=["mae"], dropout=0.0)
    model.fit(x, y, verbose=0)
    history = model.history
    expected = model.evaluate(x, y, verbose=0)
    assert model.train_on_batch(x, y) == pytest.approx(expected, rel=1e-6)
    assert set(model.train_on_batch(x, y, return_dict=True)) == {"loss", "mae"}
    assert model.history is history
    assert type(model_of().train_on_batch(x, y)) is float
    weight = np.zeros(40)
    before = bits(model)
    assert model.train_on_batch(x, y, sample_weight=weight)[0] == 0
    model.compile("sgd", "mse")
    assert model.train_on_batch(x, y, weight) == 0
    assert bits(model) != before  # Adam's momentum went on
    before = bits(model)
    assert model.train_on_batch(x, y, weight) == 0
    assert bits(model) == before


ACCURACIES = [
    # Loss, units, activation, y, the metric that "accuracy" stands for.
    ("binary_crossentropy", 1, "sigmoid", lambda n: np.arange(n) % 2, "binary_accuracy"),
    ("mse", 1, "linear", lambda n: np.arange(n) % 2, "binary_accuracy"),
    ("sparse_categorical_crossentropy", 3, "softmax", lambda n: np.arange(n) % 3, "sparse_categorical_accuracy"),
    ("categorical_crossentropy", 3, "softmax", lambda n: np.eye(3)[np.arange(n) % 3], "categorical_accuracy"),
    ("binary_crossentropy", 3, "sigmoid", lambda n: np.eye(3)[np.arange(n) % 3], "categorical_accuracy"),
]


@pytest.mark.parametrize("word", ["accuracy", "acc"])
@pytest.mark.parametrize(("loss", "units", "after", "labels", "name"), ACCURACIES)
def test_accuracy_goes_by_the_shapes(loss, units, after, labels, name, word):
    x, _ = rows(30)
    y = labels(30)
    model = Sequential([Dense(units, after, input_dim=5)])
    model.compile("sgd", loss, metrics=[word, name])
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert logs[word] == logs[name]
    model.fit(x, y, verbose=0)
    assert word in model.history.history


# Validation


def test_validation_split_takes_the_last_rows():
    x, y = rows(50)
    split, given = model_of(), model_of()
    a = split.fit(x, y, epochs=2, verbose=0, validation_split=0.3).history
    fastnn.set_random_seed(2)
    given.set_weights(model_of().get_weights())
    b = given.fit(x[:35], y[:35], epochs=2, verbose=0, validation_data=(x[35:], y[35:])).history
    assert a == b
    assert bits(split) == bits(given)
    assert a["val_loss"][-1] == split.evaluate(x[35:], y[35:], verbose=0)


def test_validation_data_of_every_kind():
    x, y = rows(50)
    weight = np.arange(15.0)
    other = x[35:], y[35:]
    kinds = {
        "pair": (other, {}),
        "list": (list(other), {}),
        "weights": ((*other, weight), {"sample_weight": weight}),
        "source": (ArraySource(*other), {}),
        "both": (other, {}),
    }
    for kind, (data, extra) in kinds.items():
        model = model_of()
        split = 0.5 if kind == "both" else 0.0
        history = model.fit(x[:35], y[:35], verbose=0, validation_data=data, validation_split=split).history
        assert history["val_loss"] == [model.evaluate(*other, verbose=0, **extra)]


# Weights of rows and classes


def test_sample_weight_counts_a_row_so_often():
    x, y = rows(6)
    times = np.array([1, 2, 0, 3, 0, 1])
    weighted, repeated = model_of("sgd", dropout=0.0), model_of("sgd", dropout=0.0)
    scale = times.sum() / 6
    loss = weighted.train_on_batch(x, y, sample_weight=times / scale)
    assert loss == pytest.approx(repeated.train_on_batch(x.repeat(times, 0), y.repeat(times, 0)), rel=1e-6)
    for a, b in zip(weighted.get_weights(), repeated.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_class_weight_is_a_sample_weight():
    x, _ = rows(60)
    y = np.arange(60) % 3
    for labels, loss in ((y, "sparse_categorical_crossentropy"), (np.eye(3)[y], "categorical_crossentropy")):
        histories = []
        for how in ({"class_weight": {0: 2.0, 2: 0.5}}, {"sample_weight": np.array([2.0, 1.0, 0.5])[y]}):
            fastnn.set_random_seed(3)
            model = Sequential([Dense(3, "softmax", input_dim=5)])
            model.compile("sgd", loss, metrics=["accuracy"])
            histories.append((model.fit(x, labels, epochs=2, verbose=0, **how).history, bits(model)))
        assert histories[0] == histories[1]


def test_balanced_classes_weigh_the_same():
    """scikit-learn's "balanced": rows / (classes * rows of the class)."""
    x, _ = rows(60)
    y = np.repeat([0, 1, 5], [40, 15, 5])
    by_hand = {0: 60 / (3 * 40), 1: 60 / (3 * 15), 5: 60 / (3 * 5)}
    results = []
    for weight in ("balanced", by_hand):
        fastnn.set_random_seed(3)
        model = Sequential([Dense(6, "softmax", input_dim=5)])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=2, verbose=0, class_weight=weight)
        results.append((bits(model), model.train_on_batch(x, y, class_weight=weight)))
    assert results[0] == results[1]


def test_test_on_batch_is_an_evaluation():
    x, y = rows()
    model = model_of(metrics=["mae"])
    before = bits(model)
    weight = np.arange(40.0)
    expected = model.evaluate(x, y, verbose=0, sample_weight=weight)
    assert model.test_on_batch(x, y, weight) == expected
    logs = model.test_on_batch(x, y, weight, return_dict=True)
    assert (logs["loss"], logs["mae"]) == tuple(expected)
    assert type(model_of().test_on_batch(x, y)) is float
    assert bits(model) == before


# Sources


def test_a_database_trains_as_its_rows_do(tmp_path):
    from contextlib import closing

    x, y = rows(30, 5, 1)
    path = tmp_path / "rows.db"
    with closing(connect(path)) as con, con:
        con.execute("CREATE TABLE rows (a REAL, b REAL, c REAL, d REAL, e REAL, y REAL)")
        con.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", np.hstack([x, y]).tolist())
    source = SQLDataset("SELECT * FROM rows", path, target="y")
    models = []
    for data in ((source,), (x, y)):
        fastnn.set_random_seed(4)
        model = Sequential([Dense(3, "relu", input_dim=5), Dense(1)])
        model.compile("adam", "mse", metrics=["mae"])
        model.fit(*data, epochs=2, batch_size=7, verbose=0)
        models.append((bits(model), model.evaluate(*data, verbose=0)))
    assert models[0] == models[1]


@pytest.mark.parametrize("fit", [{"initial_epoch": 1}, {"batch_size": 32}], ids=["no epoch", "too few batches"])
def test_an_average_of_no_steps_replaces_nothing(fit):
    model = model_of(Adam(use_ema=True, gradient_accumulation_steps=8))
    before = bits(model)
    model.fit(*rows(40), verbose=0, **fit)
    assert bits(model) == before
