"""Layers and activations written in Python: the same as compiled ones, and errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import initializers
from fastnn.activations import Custom
from fastnn.layers import Activation, Dense, Input, Layer, Parameter
from fastnn.models import Model, Sequential, load_model


class PlainDense(Layer):
    """Dense without an activation."""

    def __init__(self, units: int) -> None:
        object.__setattr__(self, "units", units)

    def output_shape(self, input_shape: Any) -> Any:
        return (self.units,)

    def parameters(self, input_shape: Any) -> Any:
        kernel = Parameter("kernel", (input_shape[0], self.units), initializers.GlorotUniform())
        return (kernel, Parameter("bias", (self.units,), initializers.Zeros()))

    def forward(self, x: Any, weights: Any, training: bool) -> Any:
        return x @ weights[0] + weights[1]

    def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
        return d @ weights[0].T, [x.T @ d, d.sum(axis=0)]


class Product(Layer):
    """Of two inputs; it knows whether it trains."""

    seen: list[tuple[bool, int]]

    def __init__(self) -> None:
        object.__setattr__(self, "seen", [])

    def output_shape(self, left: Any, right: Any) -> Any:
        return left

    def forward(self, x: Any, weights: Any, training: bool) -> Any:
        self.seen.append((training, len(x[0])))
        return x[0] * x[1]

    def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
        return (d * x[1], d * x[0]), []


X = np.random.default_rng(0).normal(size=(700, 5)).astype(np.float32)
Y = X[:, :2] ** 2


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("batch", [32, 700])
def test_it_learns_as_a_compiled_one(threads: int, batch: int) -> None:
    """Batches of one chunk and of several: the gradients by the weights are added up."""
    before, ends = fastnn.get_num_threads(), []
    fastnn.set_num_threads(threads)
    for middle in (Dense(7), PlainDense(7)):
        fastnn.set_random_seed(1)
        model = Sequential([Input((5,)), Dense(6, "tanh"), middle, Dense(2)])
        model.compile("adam", "mse")
        history = model.fit(X, Y, batch_size=batch, epochs=3, verbose=0).history["loss"]
        ends.append((model.get_weights(), history, model.predict(X)))
    fastnn.set_num_threads(before)
    for one, other in zip(ends[0][0], ends[1][0], strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(ends[0][1], ends[1][1], rtol=1e-5)
    np.testing.assert_allclose(ends[0][2], ends[1][2], rtol=1e-3, atol=1e-5)


def test_two_inputs() -> None:
    first = Input((5,))
    layer = Product()
    model = Model(first, layer([Dense(3)(first), Dense(3)(first)]))
    kernels = model.get_weights()
    expected = (X @ kernels[0] + kernels[1]) * (X @ kernels[2] + kernels[3])
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-5)
    model.compile("adam", "mse")
    losses = model.fit(X, np.ones((700, 3)), epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert {training for training, _ in layer.seen} == {True, False}


def test_arrays_are_its_own() -> None:
    """It may keep them and write to them: they are copies."""
    kept: list[np.ndarray] = []

    class Keeper(Layer):
        def forward(self, x: Any, weights: Any, training: bool) -> Any:
            kept.append(x)
            x += 1
            return x

        def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
            d *= 2
            return d / 2, []

    model = Sequential([Input((5,)), Keeper()])
    np.testing.assert_array_equal(model.predict(X), X + 1)
    model.compile("sgd", "mse")
    model.fit(X, X, epochs=2, verbose=0)
    del model
    assert all(np.isfinite(array).all() for array in kept)


class Failure(Exception):
    pass


class Broken(Layer):
    """Fails as it is told to."""

    def __init__(self, forward: Any = None, backward: Any = None) -> None:
        object.__setattr__(self, "ways", (forward, backward))

    def forward(self, x: Any, weights: Any, training: bool) -> Any:
        way = self.ways[0]
        return x if way is None else way(x)

    def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
        way = self.ways[1]
        return (d, []) if way is None else way(d)


def fail(_: Any) -> Any:
    raise Failure("as told")


def interrupt(_: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("way", "error"), [(fail, Failure), (interrupt, KeyboardInterrupt)])
def test_what_it_raises_comes_out_unchanged(way: Any, error: Any) -> None:
    model = Sequential([Input((5,)), Dense(4), Broken(forward=way), Dense(2)])
    model.compile("sgd", "mse")
    for call in (
        lambda: model.predict(X),
        lambda: model.fit(X, Y, verbose=0),
        lambda: model.evaluate(X, Y, verbose=0),
    ):
        with pytest.raises(error):
            call()


@pytest.mark.parametrize(("way", "error"), [(fail, Failure), (interrupt, KeyboardInterrupt)])
def test_a_failed_step_changes_nothing(way: Any, error: Any) -> None:
    model = Sequential([Input((5,)), Dense(4), Broken(backward=way), Dense(2)])
    model.compile("sgd", "mse")
    before = [w.tobytes() for w in model.get_weights()]
    with pytest.raises(error):
        model.fit(X, Y, verbose=0)
    assert [w.tobytes() for w in model.get_weights()] == before
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(
    ("forward", "backward", "error", "message"),
    [
        (
            lambda x: x[:, 1:],
            None,
            ValueError,
            r"Broken.forward: the rows given must have shape \(32, 4\), got \(32, 3\)",
        ),
        (lambda x: x[1:], None, ValueError, r"must have shape \(32, 4\), got \(31, 4\)"),
        (lambda x: "rows", None, TypeError, r"Broken.forward: the rows given must be an array of numbers"),
        (lambda x: None, None, TypeError, r"must be an array of numbers"),
        (
            None,
            lambda d: d,
            TypeError,
            r"Broken.backward must give \(gradient by x, \[gradient by each weight\]\), got nd",
        ),
        (None, lambda d: (d, [d]), ValueError, r"must give 1 gradients by x and 0 by weights, got 1 and 1"),
        (None, lambda d: (d[:, 1:], []), ValueError, r"the gradient by x must have shape \(32, 4\), got \(32, 3\)"),
    ],
)
def test_wrong_results_are_told(forward: Any, backward: Any, error: Any, message: str) -> None:
    model = Sequential([Input((5,)), Dense(4), Broken(forward, backward), Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(error, match=message):
        model.fit(X, Y, batch_size=32, verbose=0)


def test_no_gradient_by_x() -> None:
    model = Sequential([Input((5,)), Dense(4), Broken(backward=lambda d: (None, [])), Dense(2)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert (model.get_weights()[2] != before[2]).any()


def test_without_backward() -> None:
    class Half(Layer):
        def forward(self, x: Any, weights: Any, training: bool) -> Any:
            return x

    with pytest.raises(TypeError, match="Half has forward but no backward; write backward"):
        Sequential([Input((5,)), Half()])


def test_it_may_not_run_its_own_model() -> None:
    layers: list[Any] = [Input((5,)), Broken(forward=lambda x: model.predict(x))]
    model = Sequential(layers)
    with pytest.raises(RuntimeError, match="running already in this thread"):
        model.predict(X)


def test_activations() -> None:
    """As a Dense layer's, and as a layer."""
    cube = Custom(lambda z: z**3)
    fastnn.set_random_seed(0)
    model = Sequential([Input((5,)), Dense(4, cube), Activation(Custom(np.tanh)), Dense(2)])
    w = model.get_weights()
    expected = np.tanh((X @ w[0] + w[1]) ** 3) @ w[2] + w[3]
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-5)
    model.compile("adam", "mse")
    losses = model.fit(X, Y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_a_file_names_the_class(tmp_path: Path) -> None:
    class Double(Layer):
        def forward(self, x: Any, weights: Any, training: bool) -> Any:
            return 2 * x

        def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
            return 2 * d, []

    model = Sequential([Input((5,)), Double()])
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="Double"):
        load_model(tmp_path / "model")
    loaded = load_model(tmp_path / "model", custom_objects={"Double": Double})
    np.testing.assert_array_equal(loaded.predict(X), 2 * X)


def test_a_layer_without_arithmetic_is_told_what_to_write() -> None:
    class Nothing(Layer):
        pass

    with pytest.raises(TypeError, match=r"Nothing has no forward.*write forward\(x, weights, training\)"):
        Sequential([Input((5,)), Nothing()])
