"""What is wrong is said: what, where, and what to do. And the model is as it was before the call."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import data
from fastnn.callbacks import EarlyStopping
from fastnn.layers import Activation, Dense, Dropout, Input, Reshape, Softmax
from fastnn.models import Sequential
from fastnn.optimizers import SGD
from fastnn.training import Trainer
from support.database import connect
from support.units import unknown

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 4)).astype(np.float32)
LABELS = np.arange(20) % 3
ONE_HOT = np.eye(3)[LABELS]


def classifier(**compiled: object) -> Sequential:
    fastnn.set_random_seed(1)
    model = Sequential([Dense(5, "relu", input_dim=4), Dense(3, "softmax")])
    model.compile(**{"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", **compiled})
    return model


def spoilt(array: np.ndarray, place: object, value: float) -> np.ndarray:
    array = np.array(array, float)
    array[place] = value
    return array


def unharmed(model: Sequential, before: list[np.ndarray]) -> None:
    """Assert that the weights are those before, and that the model learns."""
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(model.fit(X, LABELS, verbose=0).history["loss"]).all()
    assert model.predict(X).shape == (20, 3)


# Arguments of fit; the error; words that its text must have

FIT = [
    # Rows
    ({"x": X[:, :3]}, ValueError, r"Dense 'dense' expects 4 features, got 3 features in data; check"),
    ({"x": X[0]}, ValueError, r"x has 4 rows but y has 20"),
    ({"x": X[0], "y": LABELS[:4]}, ValueError, r"expects 4 features, got 1 feature"),
    ({"x": X.reshape(20, 2, 2)}, ValueError, r"expects 4 features, got rows of shape \(2, 2\)"),
    ({"x": X[:0], "y": LABELS[:0]}, ValueError, r"x has no rows: its shape is \(0, 4\)"),
    ({"x": X[:, :0]}, ValueError, r"x has no features"),
    ({"x": None}, ValueError, r"x is missing; pass arrays x and y, or a source"),
    ({"x": 5}, TypeError, r"x must be an array with one entry for each row, got int"),
    ({"x": "rows.csv"}, TypeError, r"x must be an array"),
    ({"x": [[1, 2, 3, 4], [1, 2]], "y": [0, 1]}, ValueError, r"x is no array with rows of one length"),
    ({"x": X.astype(str)}, TypeError, r"x must hold numbers"),
    ({"x": X + 1j}, TypeError, r"x must hold numbers"),
    ({"x": spoilt(X, (3, 2), 1e39)}, ValueError, r"x holds 1e\+39 at row 3, column 2, beyond float32"),
    ({"x": X[:19]}, ValueError, r"x has 19 rows but y has 20"),
    ({"x": spoilt(X, (7, 2), np.nan)}, ValueError, r"x has nan at row 7, column 2; remove that row or fill it in"),
    ({"x": spoilt(X, (0, 0), np.inf)}, ValueError, r"x has inf at row 0, column 0"),
    ({"x": spoilt(X, (19, 3), -np.inf)}, ValueError, r"x has -inf at row 19, column 3"),
    # Targets
    ({"y": None}, ValueError, r"data without targets: pass y, or name the target column"),
    ({"y": LABELS[:7]}, ValueError, r"x has 20 rows but y has 7"),
    ({"y": ONE_HOT}, ValueError, r"y has 3 column\(s\).*expects 1; for one-hot targets use categorical_crossentropy"),
    ({"y": np.zeros((20, 2))}, ValueError, r"y has 2 column\(s\), but SparseCategoricalCrossentropy with 3 output"),
    (
        {"y": np.zeros((20, 1, 1))},
        ValueError,
        r"y has rows of shape \(1, 1\), but Sparse.* of shape \(3,\) expects \(1,\)",
    ),
    ({"y": spoilt(LABELS, 11, 3)}, ValueError, r"y has 3 at row 11, .* 3 outputs takes whole numbers from 0 to 2;"),
    ({"y": spoilt(LABELS, 0, -1)}, ValueError, r"y has -1 at row 0"),
    ({"y": spoilt(LABELS, 19, 1.5)}, ValueError, r"y has 1.5 at row 19"),
    ({"y": spoilt(LABELS, 5, np.nan)}, ValueError, r"y has nan at row 5"),
    ({"y": spoilt(LABELS, 5, np.inf)}, ValueError, r"y has inf at row 5"),
    ({"y": spoilt(LABELS, 5, 1e30)}, ValueError, r"y has 1e\+30 at row 5"),
    ({"y": [2**24 + 1] * 20}, ValueError, r"y holds the whole number 16777217 at row 0"),
    ({"y": ["cat"] * 20}, TypeError, r"y must hold numbers.*np.unique"),
    ({"y": [None] * 20}, TypeError, r"y must hold numbers, got NoneType None at row 0"),
    # Weights
    ({"sample_weight": np.ones(19)}, ValueError, r"sample_weight must have the shape \(20,\).*got \(19,\)"),
    ({"sample_weight": np.ones((20, 1))}, ValueError, r"sample_weight must have the shape \(20,\)"),
    ({"sample_weight": -np.ones(20)}, ValueError, r"sample_weight must be finite and not negative, got -1 at row 0"),
    ({"sample_weight": [np.nan] * 20}, ValueError, r"sample_weight must be finite"),
    ({"class_weight": {0: -1}}, ValueError, r"class_weight of class 0"),
    ({"class_weight": {"a": 1}}, ValueError, r"class_weight expects whole numbers as labels, got 'a'"),
    ({"class_weight": [1, 2]}, ValueError, r"class_weight must be a dict"),
    # Numbers
    ({"epochs": 0}, ValueError, r"epochs must be at least 1, got 0"),
    ({"epochs": -3}, ValueError, r"epochs must be at least 1, got -3"),
    ({"epochs": 2.0}, TypeError, r"epochs must be a whole number, got 2.0"),
    ({"epochs": True}, TypeError, r"epochs must be a whole number, got True"),
    ({"epochs": "2"}, TypeError, r"epochs must be a whole number, got '2'"),
    ({"epochs": None}, TypeError, r"epochs must be a whole number, got None"),
    ({"batch_size": 0}, ValueError, r"batch_size must be at least 1, got 0"),
    ({"batch_size": -32}, ValueError, r"batch_size must be at least 1, got -32"),
    ({"batch_size": 32.5}, TypeError, r"batch_size must be a whole number, got 32.5"),
    ({"batch_size": True}, TypeError, r"batch_size must be a whole number, got True"),
    ({"verbose": 3}, ValueError, r"verbose must be 0, 1, 2 or 'auto', got 3"),
    ({"verbose": "loud"}, ValueError, r"verbose must be 0, 1, 2 or 'auto', got 'loud'"),
    ({"verbose": None}, ValueError, r"verbose must be"),
    # Validation
    ({"validation_split": 1.0}, ValueError, r"between 0 and 1, got 1.0"),
    ({"validation_split": -0.2}, ValueError, r"between 0 and 1, got -0.2"),
    ({"validation_split": 0.99}, ValueError, r"leaves 0 for training and 20 for validation"),
    ({"validation_split": "0.2"}, TypeError, r"must be a number, got '0.2'"),
    ({"validation_split": True}, TypeError, r"must be a number, got True"),
    ({"validation_data": X}, ValueError, r"validation_data must be \(x, y\), \(x, y, sample_weight\) or a source"),
    ({"validation_data": (X,)}, ValueError, r"validation_data must be"),
    ({"validation_data": (X, LABELS[:3])}, ValueError, r"validation_data: x has 20 rows but y has 3"),
    ({"validation_data": (X.astype(str), LABELS)}, TypeError, r"validation_data: x must hold numbers"),
    ({"validation_data": (X, LABELS, np.ones(3))}, ValueError, r"validation_data: sample_weight must have"),
    ({"validation_data": (X[:, :2], LABELS)}, ValueError, r"expects 4 features, got 2 features in validation data"),
    ({"validation_data": (X, ONE_HOT)}, ValueError, r"validation data: y has 3 column\(s\)"),
    ({"validation_data": (X, None)}, ValueError, r"validation data without targets"),
    # Sources
    ({"x": data.ArraySource(X, LABELS)}, ValueError, r"a source brings its own targets and weights"),
    ({"x": data.ArraySource(X), "y": None}, ValueError, r"data without targets"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), FIT, ids=[message for _, _, message in FIT])
def test_fit(arguments, error, message):
    model = classifier()
    before = model.get_weights()
    with pytest.raises(error, match=message):
        model.fit(**{"x": X, "y": LABELS, "verbose": 0, "batch_size": 20, **arguments})
    unharmed(model, before)


EVALUATE = [row for row in FIT if set(row[0]) <= {"x", "y", "sample_weight", "batch_size", "verbose"}]


@pytest.mark.parametrize(("arguments", "error", "message"), EVALUATE, ids=[message for _, _, message in EVALUATE])
def test_evaluate(arguments, error, message):
    model = classifier()
    before = model.get_weights()
    with pytest.raises(error, match=message):
        model.evaluate(**{"x": X, "y": LABELS, "verbose": 0, **arguments})
    unharmed(model, before)


PREDICT = [
    ({"x": X[:, :3]}, ValueError, r"Dense 'dense' expects 4 features, got 3 features in x"),
    ({"x": X.astype(np.float64)[:, :3]}, ValueError, r"expects 4 features, got 3 features in x"),
    ({"x": X[0]}, ValueError, r"expects 4 features, got 1 feature"),
    ({"x": X[:0]}, ValueError, r"x has no rows"),
    ({"x": X.reshape(20, 4, 1, 1)}, ValueError, r"expects 4 features, got rows of shape \(4, 1, 1\)"),
    ({"x": [["a"] * 4]}, TypeError, r"x must hold numbers"),
    ({"x": None}, ValueError, r"x is missing; pass arrays"),
    ({"x": data.ArraySource(X[:, :2])}, ValueError, r"expects 4 features, got 2 features"),
    ({"x": X, "batch_size": 0}, ValueError, r"batch_size must be at least 1, got 0"),
    ({"x": X, "batch_size": 1.5}, TypeError, r"batch_size must be a whole number"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), PREDICT, ids=[message for _, _, message in PREDICT])
def test_predict(arguments, error, message):
    model = classifier()
    before = model.get_weights()
    with pytest.raises(error, match=message):
        model.predict(**arguments)
    unharmed(model, before)


def test_rows_that_are_not_finite_are_predicted_as_such():
    output = classifier().predict(spoilt(X, (3, 1), np.nan))
    assert np.isnan(output[3]).all()
    assert np.isfinite(output[np.arange(20) != 3]).all()


# In the middle


@pytest.mark.parametrize("shuffle", [False, True])
def test_bad_rows_in_the_middle_are_named_and_the_steps_before_stand(shuffle):
    x = spoilt(np.tile(X, (20, 1)), (333, 1), np.nan)
    y = np.tile(LABELS, 20)
    model = classifier()
    before = model.get_weights()
    fastnn.set_random_seed(3)
    with pytest.raises(ValueError, match=r"x has nan at row 333, column 1"):
        model.fit(x, y, 8, 5, 0, shuffle=shuffle)
    steps = model.description.network.iterations
    if not shuffle:
        assert steps == 333 // 8
        other = classifier()
        other.fit(x[: 8 * steps], y[: 8 * steps], 8, 1, 0, shuffle=False)
        before = other.get_weights()
        unharmed(model, before)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    with pytest.raises(ValueError, match=r"y has 7 at row 200"):
        model.fit(x, spoilt(y, 200, 7), 8, 1, 0, shuffle=False)


def test_bad_rows_of_a_database_are_counted_over_its_pages(tmp_path):
    from contextlib import closing

    path = tmp_path / "rows.db"
    y = np.arange(4000) % 3
    y[3210] = 9
    with closing(connect(path)) as con, con:
        con.execute("CREATE TABLE rows (a REAL, b REAL, c REAL, d REAL, y INT)")
        values = [(*row, int(label)) for row, label in zip(np.tile(X, (200, 1)).tolist(), y, strict=True)]
        con.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", values)
    source = data.SQLDataset("SELECT * FROM rows", path, target="y", memory_limit=40_000)
    model = classifier()
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"y has 9 at row 3210,"):
            call(source, verbose=0)


def test_bad_rows_of_the_validation_data():
    model = classifier()
    with pytest.raises(ValueError, match=r"validation data: y has 5 at row 2"):
        model.fit(X, LABELS, verbose=0, validation_data=(X, spoilt(LABELS, 2, 5)))
    unharmed(model, model.get_weights())


def test_a_regression_target_that_is_not_finite():
    model = Sequential([Dense(2, input_dim=4)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"y has nan at row 4, column 1; remove that row"):
        model.fit(X, spoilt(np.zeros((20, 2)), (4, 1), np.nan), verbose=0)


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_training_that_diverges(rate):
    model = Sequential([Dense(5, "relu", input_dim=4), Dense(1)])
    model.compile(SGD(rate), "mse")
    with pytest.raises(FloatingPointError, match=r"not finite after \d+ steps.*lower learning_rate"):
        model.fit(X, X[:, 0], 5, 1000, 0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    fresh = Sequential([Dense(5, "relu", input_dim=4), Dense(1)])
    model.set_weights(fresh.get_weights())
    model.optimizer.learning_rate = 0.01
    assert np.isfinite(model.fit(X, X[:, 0], verbose=0).history["loss"]).all()


# Before there is anything


def test_not_compiled():
    model = Sequential([Dense(3, input_dim=4)])
    for name in ("fit", "evaluate", "train_on_batch"):
        with pytest.raises(RuntimeError, match=rf"{name} needs a compiled model; call compile\("):
            getattr(model, name)(X, LABELS)
    assert model.predict(X).shape == (20, 3)


def test_not_built():
    model = Sequential([Dense(3)])
    actions = {
        "predict": lambda: model.predict(iter([X])),
        "get_weights": model.get_weights,
        "save": lambda: model.save("never.fastnn"),
        "output_shape": lambda: model.output_shape,
        "input_shape": lambda: model.input_shape,
        "count": model.count_params,
        "set": lambda: model.set_weights([]),
    }
    for action in actions.values():
        with pytest.raises(RuntimeError, match=r"needs the model's weights.*input_shape"):
            action()
    with pytest.raises(ValueError, match=r"input shape is unknown"):
        model.build()
    with pytest.raises(RuntimeError, match=r"layer 'dense' has no weights yet; build it, or add it to a model"):
        Dense(3).get_weights()
    for empty in (Sequential(), Sequential([Input((4,))])):
        empty.compile("sgd", "mse")
        with pytest.raises(ValueError, match=r"no layer that computes"):
            empty.fit(X, X, verbose=0)
        with pytest.raises(ValueError, match=r"no layer that computes"):
            empty.build((4,))


@pytest.mark.parametrize("shape", [(), (None,), (0,), (-1,), (2.5,), ("a",), (None, None), (2, None), (True,)])
def test_shapes_to_build_for(shape):
    with pytest.raises((TypeError, ValueError), match="shape"):
        Sequential([Dense(3)]).build(shape)


# compile

COMPILE = [
    ({"optimizer": "adma"}, ValueError, unknown("optimizer", "adma")),
    ({"optimizer": None}, TypeError, r"optimizer must be a name or a fastnn.optimizers object, got None"),
    ({"optimizer": 0.01}, TypeError, r"optimizer must be a name"),
    ({"loss": "mean_square"}, ValueError, unknown("loss", "mean_square")),
    ({"loss": ["mse", "mse"]}, TypeError, r"loss must be a name or a fastnn.losses object"),
    ({"metrics": ["auuc"]}, ValueError, unknown("metric", "auuc")),
    ({"metrics": "accuracy"}, TypeError, r"metrics must be a list .*write \['accuracy'\]"),
    ({"metrics": [None]}, TypeError, r"metric must be a name"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), COMPILE, ids=[message for _, _, message in COMPILE])
def test_compile(arguments, error, message):
    model = classifier()
    trainer, before = model.description.trainer, model.get_weights()
    with pytest.raises(error, match=message):
        model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    assert model.description.trainer is trainer
    unharmed(model, before)


def test_a_metric_that_does_not_go_with_the_loss():
    model = classifier(metrics=["mae"])
    with pytest.raises(ValueError, match=r"metric 'mae' takes 3 target column\(s\).*this loss has 1; choose"):
        model.fit(X, LABELS, verbose=0)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    unharmed(model, model.get_weights())
    model = classifier(loss="categorical_crossentropy", metrics=["sparse_categorical_accuracy"])
    with pytest.raises(ValueError, match=r"takes 1 target column\(s\) for 3 output\(s\), but this loss has 3"):
        model.evaluate(X, ONE_HOT, verbose=0)
    with pytest.raises(ValueError, match=r"y has 1 column.*for class numbers use sparse_categorical_crossentropy"):
        classifier(loss="categorical_crossentropy").fit(X, LABELS, verbose=0)


# Layers

LAYERS = [
    (lambda: Dense(0), ValueError, r"Dense: units must be at least 1, got 0"),
    (lambda: Dense(-3), ValueError, r"Dense: units must be at least 1, got -3"),
    (lambda: Dense(2.0), ValueError, r"Dense: units must be a whole number, got 2.0"),
    (lambda: Dense(True), ValueError, r"Dense: units must be a whole number, got True"),
    (lambda: Dense("3"), ValueError, r"Dense: units must be a whole number"),
    (lambda: Dense(3, "rleu"), ValueError, unknown("activation", "rleu")),
    (lambda: Dense(3, 5), TypeError, r"activation must be a name"),
    (
        lambda: Dense(3, kernel_initializer="he"),
        ValueError,
        unknown("initializer", "he"),
    ),
    (lambda: Dense(3, bias_initializer=0), TypeError, r"initializer must be a name"),
    (lambda: Dense(3, kernel_regularizer="l3"), ValueError, unknown("regularizer", "l3")),
    (lambda: Dense(3, input_dim=0), ValueError, r"Dense: input_dim must be at least 1"),
    (lambda: Dense(3, input_shape=()), ValueError, r"input_shape must have at least one axis"),
    (lambda: Dense(3, input_shape=(None,)), TypeError, r"input_shape must be a whole number, got None"),
    (lambda: Dense(3, input_dim=2, input_shape=(3,)), ValueError, r"input_dim 2 and input_shape \(3,\) disagree"),
    (lambda: Dropout(1.0), ValueError, r"Dropout: rate must be at least 0 and below 1, got 1.0"),
    (lambda: Dropout(-0.1), ValueError, r"Dropout: rate must be"),
    (lambda: Dropout(float("nan")), ValueError, r"Dropout: rate must be"),
    (lambda: Dropout("half"), TypeError, r"Dropout: rate must be a number"),
    (lambda: Activation("softsign2"), ValueError, r"unknown activation"),
    (lambda: Input(0), ValueError, r"shape must be at least 1"),
    (lambda: SGD(-0.1), ValueError, r"SGD: learning_rate must be at least 0"),
    (lambda: SGD("fast"), TypeError, r"SGD: learning_rate must be a number"),
    (lambda: SGD(momentum=1.1), ValueError, r"SGD: momentum must be at least 0 and at most 1"),
    (lambda: Sequential([Dense(3, input_dim=2), "relu"]), TypeError, r"a layer must be a fastnn.layers.Layer object"),
    (lambda: Sequential([Dense]), TypeError, r"a layer must be"),
    (lambda: Sequential([Dense(3, name="a"), Dense(3, name="a")]), ValueError, r"a layer called 'a' already"),
    (lambda: Dense(3, name=5), TypeError, r"Dense: name must be a text, got 5"),
    (lambda: Sequential([Dense(3, name="a/b")]), ValueError, r"name must be a text without '/', got 'a/b'"),
    (lambda: Sequential([Dense(3), Input((3,))]), ValueError, r"Input must be the first layer"),
    (lambda: Sequential([Dense(3, input_dim=2), Dense(3, input_dim=2)]), ValueError, r"leave input_shape out"),
    (lambda: Sequential([Reshape(3, input_shape=(2, 2))]), ValueError, r"'reshape': Reshape cannot make rows of shape"),
    (lambda: Sequential([Softmax(3, input_shape=(2, 2))]), ValueError, r"'softmax': Softmax: .* have axes 1 to 2"),
    (lambda: Trainer(classifier(), "sgd", "mse", callbacks=[1]), TypeError, r"Callback objects, got 1"),
    (lambda: EarlyStopping(mode="least"), ValueError, r"mode must be"),
]


@pytest.mark.parametrize(("make", "error", "message"), LAYERS, ids=[message for _, _, message in LAYERS])
def test_declarations(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_layer_twice_in_one_model():
    layer = Dense(3)
    model = Sequential([layer])
    with pytest.raises(ValueError, match=r"this Dense is in the model already; make a second one"):
        model.add(layer)
    assert model.layers == [layer]


def test_too_many_layers():
    model = Sequential([Dropout(0.1) for _ in range(1000)])
    with pytest.raises(ValueError, match=r"at most 1000 layers"):
        model.add(Dropout(0.1))


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError)])
def test_seeds(seed, error):
    with pytest.raises(error, match="seed must be"):
        fastnn.set_random_seed(seed)


def test_train_on_batch():
    model = classifier()
    before = model.get_weights()
    with pytest.raises(TypeError, match="x must be an array"):
        model.train_on_batch(data.ArraySource(X, LABELS))
    with pytest.raises(ValueError, match=r"y has 3 at row 0"):
        model.train_on_batch(X, LABELS + 3)
    with pytest.raises(ValueError, match=r"class_weight must be a dict"):
        model.train_on_batch(X, LABELS, class_weight=5)
    unharmed(model, before)


def test_an_error_says_the_same_each_time() -> None:
    """Where an object lies in memory is no part of it."""
    with pytest.raises((TypeError, ValueError), match="<object object>") as told:
        Dense([object(), test_an_error_says_the_same_each_time])  # type: ignore[arg-type]
    assert "0x" not in str(told.value)
