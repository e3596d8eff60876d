"""Distillation, beside a step of gradient descent worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L, losses
from fastnn.compress import PruneLowMagnitude, distil, sparsity
from fastnn.models import Model, Sequential
from fastnn.optimizers import SGD
from fastnn.utils import split_dataset

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype("f4")
LABELS = RNG.integers(0, 4, 60)


def softmax(v: Any) -> Any:
    e = np.exp(v - v.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def model_of(last: Any, units: int = 4, hidden: int = 0, seed: int = 0) -> Sequential:
    layers = [L.Input((5,)), *([L.Dense(hidden, "tanh")] if hidden else []), L.Dense(units, last)]
    model = Sequential(layers)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def logits(model: Any) -> Any:
    """Of a model of a hidden layer and another."""
    w, b, v, c = (np.asarray(a, "f8") for a in model.get_weights())
    return np.tanh(X @ w + b) @ v + c


def step(student: Any, slope: Any, rate: float = 0.5) -> list[Any]:
    """The weights of a student of one layer after a step down the slope of the loss by its logits."""
    w, b = (np.asarray(a, "f8") for a in student.get_weights())
    return [w - rate * X.T @ slope / len(X), b - rate * slope.sum(0) / len(X)]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("whole", [False, True])
def test_a_step_of_soft_and_true_labels(alpha, temperature, whole):
    teacher, student = model_of("softmax", hidden=7), model_of("softmax", seed=1)
    student.compile(SGD(0.5), "sparse_categorical_crossentropy")
    z = X @ student.get_weights()[0] + student.get_weights()[1]
    y = np.eye(4)[LABELS]
    q = softmax(logits(teacher) / temperature)
    slope = alpha * (softmax(z) - y) + (1 - alpha) * temperature**2 * (softmax(z / temperature) - q) / temperature
    wanted = step(student, slope)
    given = distil(teacher, student, (X, y if whole else LABELS), temperature, alpha, epochs=1, batch_size=60)
    assert given is student
    for found, array in zip(student.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(found, array, atol=2e-6)


@pytest.mark.parametrize("units", [1, 4])
def test_a_step_of_sigmoids(units):
    teacher, student = model_of("sigmoid", units, hidden=7), model_of("sigmoid", units, seed=1)
    student.compile(SGD(0.5), "binary_crossentropy")
    y = (RNG.random((60, units)) > 0.5).astype("f4")
    z = X @ student.get_weights()[0] + student.get_weights()[1]

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    slope = 0.2 * (sigmoid(z) - y) + 0.8 * 2 * (sigmoid(z / 2) - sigmoid(logits(teacher) / 2))
    wanted = step(student, slope / units)
    distil(teacher, student, (X, y), 2, 0.2, epochs=1, batch_size=60)
    for found, array in zip(student.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(found, array, atol=2e-6)


def test_a_step_of_a_regression():
    teacher, student = model_of(None, 2, hidden=7), model_of(None, 2, seed=1)
    student.compile(SGD(0.5), "mse")
    y = RNG.normal(size=(60, 2))
    z = X @ student.get_weights()[0] + student.get_weights()[1]
    wanted = step(student, 0.25 * (z - y) + 0.75 * (z - logits(teacher)))
    distil(teacher, student, (X, y), temperature=7, alpha=0.25, epochs=1, batch_size=60)
    for found, array in zip(student.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(found, array, atol=2e-6)


def test_models_of_logits_and_layers_at_the_end():
    wanted = None
    q = [model_of("softmax", hidden=7), model_of(None, hidden=7)]
    ends = [
        lambda: model_of("softmax", seed=1),
        lambda: Sequential([L.Input((5,)), L.Dense(4), L.Softmax()]),
        lambda: Sequential([L.Input((5,)), L.Dense(4), L.Activation("softmax")]),
        lambda: Sequential([L.Input((5,)), Sequential([L.Input((5,)), L.Dense(4, "softmax")])]),
        lambda: model_of(None),
    ]
    for teacher in q:
        for make in ends:
            student = make()
            student.set_weights(model_of(None, seed=1).get_weights())
            student.compile(
                SGD(0.5), losses.SparseCategoricalCrossentropy(from_logits=student.layers[-1].name == "dense")
            )
            if make is ends[0]:
                student.compile(SGD(0.5), "sparse_categorical_crossentropy")
            distil(teacher, student, (X, LABELS), epochs=2, batch_size=60)
            wanted = student.get_weights() if wanted is None else wanted
            for found, array in zip(student.get_weights(), wanted, strict=True):
                np.testing.assert_allclose(found, array, atol=1e-6)


def test_a_teacher_that_is_no_model():
    class Mean:
        def __init__(self, *members):
            self.members = members

        def predict(self, x):
            return np.mean([member.predict(x, verbose=0) for member in self.members], axis=0)

    teacher = Mean(model_of("softmax", hidden=7), model_of("softmax", hidden=7, seed=5))
    student = model_of("softmax", seed=1)
    student.compile(SGD(0.5), "sparse_categorical_crossentropy")
    p = teacher.predict(X).astype("f8")
    q = softmax(np.log(p) / 2)
    z = X @ student.get_weights()[0] + student.get_weights()[1]
    wanted = step(student, 4 * (softmax(z / 2) - q) / 2)
    distil(teacher, student, X, 2, epochs=1, batch_size=60)
    for found, array in zip(student.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(found, array, atol=2e-6)


def test_a_student_learns_what_the_teacher_knows():
    fastnn.set_random_seed(1)
    x = RNG.normal(size=(1500, 5)).astype("f4")
    teacher = model_of("softmax", hidden=6)
    student = Sequential([L.Input((5,)), L.Dense(16, "tanh"), L.Dense(4, "softmax")])
    before = agreement(teacher, student, x)
    distil(teacher, student, x, epochs=40)
    assert not student.compiled
    assert agreement(teacher, student, x) > max(0.9, before)
    assert "loss" in student.history.history


def agreement(teacher: Any, student: Any, x: Any) -> float:
    return float((teacher.predict(x, verbose=0).argmax(1) == student.predict(x, verbose=0).argmax(1)).mean())


def test_data_in_other_forms():
    teacher, found = model_of("softmax", hidden=7), []
    for data in (
        (X, LABELS),
        [X, LABELS, np.ones(60)],
        split_dataset((X, LABELS), 59, 1)[0],
        split_dataset((X, LABELS), 59, 1)[0].batch(16),
        iter([(X[:30], LABELS[:30]), (X[30:59], LABELS[30:59])]),
    ):
        fastnn.set_random_seed(3)
        student = model_of("softmax", seed=1)
        student.compile(SGD(0.1), "sparse_categorical_crossentropy")
        distil(teacher, student, data, epochs=2, batch_size=60)
        found.append(student.get_weights())
    for a, b in ((0, 1), (2, 3), (2, 4)):
        assert all(np.allclose(x, y, atol=1e-6) for x, y in zip(found[a], found[b], strict=True))


def test_several_inputs():
    def make(seed):
        a, b = L.Input((5,), name="a"), L.Input((2,), name="b")
        return Model({"a": a, "b": b}, {"p": L.Dense(3, "softmax", name="p")(L.Concatenate()([a, b]))})

    teacher, student = make(0), make(1)
    x = {"a": X, "b": X[:, :2]}
    distil(teacher, student, x, epochs=3)
    distil(teacher, student, (x, {"p": LABELS % 3}), epochs=3)
    distil(teacher, student, iter([(x, LABELS % 3)]), epochs=3)


def test_sequences():
    teacher, student = (
        Sequential([L.Input((6, 3)), L.GRU(8, return_sequences=True), L.Dense(4, "softmax")]) for _ in "ab"
    )
    x = RNG.normal(size=(20, 6, 3))
    distil(teacher, student, (x, RNG.integers(0, 4, (20, 6))), epochs=2)
    wrapped = Sequential([L.Input((6, 3)), L.LSTM(4, return_sequences=True), L.TimeDistributed(L.Dense(4, "softmax"))])
    distil(teacher, wrapped, x, epochs=2)
    assert wrapped.predict(x, verbose=0).sum(-1) == pytest.approx(1, abs=1e-5)


def test_with_pruning():
    teacher, student = model_of("softmax", hidden=7), model_of("softmax", hidden=16)
    distil(teacher, student, (X, LABELS), epochs=10, callbacks=[PruneLowMagnitude(0.8, end_step=10)])
    assert sparsity(student, by_weight=True)["dense/kernel"] == 0.8


def test_the_student_keeps_what_it_was_compiled_with():
    student = model_of("softmax")
    student.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    optimizer = student.optimizer
    distil(model_of("softmax", hidden=7), student, (X, LABELS), epochs=1)
    assert student.optimizer is optimizer
    assert len(student.evaluate(X, LABELS, verbose=0)) == 2
    student.fit(X, LABELS, verbose=0)


def several():
    x = L.Input((5,))
    return Model(x, [L.Dense(4, "softmax")(x), L.Dense(1)(x)])


def again():
    x, d = L.Input((4,)), L.Dense(4, "softmax")
    return Model(x, d(d(x)))


def test_what_is_refused():
    teacher, student = model_of("softmax", hidden=7), model_of("softmax")
    for arguments, error, words in (
        ((teacher, student, None), TypeError, "data must be"),
        ((teacher, student, "x"), TypeError, "data must be"),
        ((teacher, student, 5), TypeError, "data must be"),
        ((teacher, student, ()), ValueError, "got 0 parts"),
        ((teacher, student, (X, X, X, X)), ValueError, "got 4 parts"),
        ((teacher, student, iter([])), ValueError, "no rows"),
        ((teacher, student, X, 0), ValueError, "temperature must be above 0"),
        ((teacher, student, X, float("inf")), ValueError, "temperature must be above 0"),
        ((teacher, student, X, "hot"), TypeError, "temperature must be a number"),
        ((teacher, student, X, 1, 1.5), ValueError, "alpha from 0 to 1"),
        ((teacher, student, X, 1, 0.5, 0), ValueError, "epochs must be at least 1"),
        ((5, student, X), TypeError, "teacher must be a model"),
        ((teacher, 5, X), TypeError, "must be a fastnn"),
        ((teacher, several(), X), ValueError, "the student must have one output, got 2"),
        ((several(), student, X), ValueError, "the teacher must have one output, got 2"),
        ((model_of("softmax", 3), student, X), ValueError, r"teacher gives rows of \(3,\), the student of \(4,\)"),
        ((model_of("sigmoid", 4), student, X), ValueError, "the teacher ends in sigmoid, the student in softmax"),
        ((again(), again(), X[:, :4]), ValueError, "no layer's of its own"),
        ((Sequential([L.Dense(3)]), student, X), RuntimeError, "no weights yet"),
    ):
        with pytest.raises(error, match=words):
            distil(*arguments)
    before = student.get_weights()
    with pytest.raises(ValueError, match="rows"):
        distil(teacher, student, (X, LABELS[:5]))
    assert all(np.array_equal(a, b) for a, b in zip(before, student.get_weights(), strict=True))
