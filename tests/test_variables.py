"""Variables: of one's own, and a layer's weights, which are read and set where they lie."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import Input, Model, Sequential, Variable
from fastnn.layers import BatchNormalization, Dense, Embedding, PReLU


def dense() -> Dense:
    layer = Dense(3)
    Sequential([Input((2,)), layer])
    return layer


def test_a_variable_of_ones_own():
    v = Variable([[1.0, 2.0], [3.0, 4.0]], name="v")
    assert (v.name, v.path, v.shape, v.ndim, v.dtype, v.trainable) == ("v", "v", (2, 2), 2, np.float32, True)
    v.assign(np.eye(2))
    v.assign_add(1)
    assert v.assign_sub([[1, 0], [0, 1]]).tolist() == [[1, 1], [1, 1]]
    assert v.numpy().tolist() == v.value.tolist() == [[1, 1], [1, 1]]
    v.trainable = False
    assert not v.trainable
    assert Variable(3).dtype.kind == "i"
    assert Variable(fastnn.initializers.Ones(), shape=(2,), dtype="float64").numpy().tolist() == [1, 1]
    assert float(Variable(2.5)) == 2.5
    assert int(Variable(2)) == 2
    assert (
        f"{Variable(0.125):.1e} {Variable(1.0)}"
        == "1.2e-01 <Variable path=variable, shape=(), dtype=float32, value=1.0>"
    )


def test_arithmetic_is_that_of_the_array():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 3, 3)).astype(np.float32)
    v, w = Variable(a), Variable(b)
    for made, expected in (
        (v + w, a + b), (1 - v, 1 - a), (v * 2, a * 2), (v / w, a / b), (v @ w, a @ b), (b @ v, b @ a), (-v, -a),
        (v > w, a > b), (abs(v), abs(a)), (v[1], a[1]), (v.mean(axis=0), a.mean(axis=0)), (v.T, a.T),
        (np.exp(v), np.exp(a)), (np.stack([v, w]), np.stack([a, b])), (np.asarray(v, float), a.astype(float)),
    ):  # fmt: skip
        assert isinstance(made, np.ndarray)
        np.testing.assert_array_equal(made, expected)
    other = v
    other += 1
    np.testing.assert_array_equal(v, a)  # as in Keras, += makes an array
    np.testing.assert_array_equal(other, a + 1)
    assert len(v) == 3
    assert [row.tolist() for row in v] == a.tolist()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda v: v.assign([1.0, 2.0]),
            ValueError,
            r"must match. variable.shape=\(2, 3\), Received: value.shape=\(2,\)",
        ),
        (lambda v: v.assign(0), ValueError, "must match"),
        (lambda v: v.assign_add(np.ones((5, 2, 3))), ValueError, "must match"),
        (lambda v: v.assign("a"), TypeError, "kernel.assign: value must hold numbers"),
        (lambda v: np.add(v, 1, out=v), TypeError, "use assign"),
        (lambda v: np.asarray(v, copy=False), ValueError, "as a copy"),
        (lambda v: v.nothing, AttributeError, "nothing"),
    ],
)
def test_what_cannot_be_says_so(call, error, message):
    if "copy" in message and np.lib.NumpyVersion(np.__version__) < "2.0.0":
        pytest.skip("asarray has no copy before NumPy 2")
    kernel = dense().kernel
    before = kernel.numpy()
    with pytest.raises(error, match=message):
        call(kernel)
    np.testing.assert_array_equal(kernel, before)


def test_arguments_of_a_variable():
    Variable(1.0, aggregation="mean", synchronization="on_read", autocast=False)
    for given, message in (
        ({"aggregation": "median"}, "aggregation"),
        ({"synchronization": "never"}, "synchronization"),
        ({"dtype": "string"}, "dtype"),
        ({"shape": (2,)}, "shape"),
    ):
        with pytest.raises(ValueError, match=message):
            Variable(1.0, **given)
    with pytest.raises(ValueError, match="shape goes with an initializer"):
        Variable(fastnn.initializers.Ones())


def test_a_weight_is_live():
    layer = dense()
    kernel = layer.kernel
    assert kernel is layer.kernel is layer.weights[0]
    assert (kernel.name, kernel.path) == ("kernel", "dense/kernel")
    model = Model(x := Input((2,)), Dense(1)(layer(x)))  # which brings the layer into another store
    kernel.assign(np.full((2, 3), 2.0))
    assert model.get_weights()[0].tolist() == [[2, 2, 2], [2, 2, 2]]
    layer.set_weights([np.zeros((2, 3)), np.ones(3)])
    assert kernel.numpy().tolist() == [[0, 0, 0], [0, 0, 0]]
    model.compile(fastnn.optimizers.SGD(1.0), "mse")
    model.fit(np.ones((4, 2)), np.ones(4), epochs=1, verbose=0)
    np.testing.assert_array_equal(kernel, layer.get_weights()[0])
    assert kernel.numpy().any()


def test_weights_by_their_names():
    model = Sequential([Input((3,)), Embedding(4, 2), PReLU(), BatchNormalization(center=False)])
    embedding, prelu, norm = model.layers
    assert embedding.embeddings.shape == (4, 2)
    assert prelu.alpha.shape == (3, 2)
    assert norm.beta is None
    assert [v.path for v in norm.trainable_variables] == ["batch_normalization/gamma"]
    assert [v.name for v in norm.non_trainable_variables] == ["moving_mean", "moving_variance"]
    assert not norm.moving_mean.trainable
    norm.trainable = False
    assert not norm.gamma.trainable
    assert len(model.variables) == len(model.weights) == 5
    assert len(model.trainable_variables) == 2
    with pytest.raises(AttributeError, match="set trainable of the layer"):
        norm.gamma.trainable = True
    fresh = Dense(2)
    assert fresh.weights == fresh.trainable_variables == []
    with pytest.raises(AttributeError, match="'dense' has no kernel yet: build it first"):
        _ = fresh.kernel
    with pytest.raises(AttributeError, match="'Dense' has no attribute 'kernal'"):
        _ = fresh.kernal


def test_regularizer_and_constraint_of_a_weight():
    layer = Dense(2, kernel_regularizer="l2", kernel_constraint="non_neg")
    Sequential([Input((2,)), layer])
    assert type(layer.kernel.regularizer).__name__ == "L2"
    assert type(layer.kernel.constraint).__name__ == "NonNeg"
    assert layer.bias.regularizer is layer.bias.constraint is None


def test_weights_do_not_keep_a_layer():
    layer = dense()
    kernel = layer.kernel
    gone = weakref.ref(layer)
    del kernel
    gc.disable()
    try:
        del layer
        assert gone() is None
    finally:
        gc.enable()


def test_set_beside_a_fit():
    """Who sets a weight waits for the batches that run: no step is lost, and none is of two states."""
    model = Sequential([Input((2,)), Dense(1, use_bias=False)])
    model.compile(fastnn.optimizers.SGD(0.0), "mse")
    kernel, seen = model.layers[0].kernel, set()

    def set_and_read() -> None:
        for number in range(200):
            kernel.assign(np.full((2, 1), float(number)))
            seen.add(tuple(kernel.numpy().ravel()))

    thread = threading.Thread(target=set_and_read)
    thread.start()
    model.fit(np.ones((64, 2)), np.ones(64), epochs=20, verbose=0)
    thread.join()
    assert all(a == b for a, b in seen)
    assert len(seen) == 200
