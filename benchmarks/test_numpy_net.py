"""The opponent must compute what it claims to: a wrong program is easily a fast one."""

import numpy as np
import pytest

from benchmarks import numpy_net
from benchmarks.numpy_net import Batch, NumpyNet

NETS = [
    ((5, 7, 1), "relu", "mse"),
    ((5, 7, 6, 1), "tanh", "bce"),
    ((5, 7, 6, 4), "relu", "cce"),
    ((5, 4), "relu", "cce"),
    ((5, 3, 1), "relu", "bce"),
]


def make(sizes, hidden, loss, rows, dtype=np.float64, seed=0):
    random = np.random.default_rng(seed)
    net = NumpyNet(sizes, hidden, loss, dtype)
    net.flat[...] = random.standard_normal(net.flat.size)
    x = random.standard_normal((rows, sizes[0])).astype(dtype)
    y = {
        "mse": random.standard_normal((rows, 1)),
        "bce": random.integers(0, 2, (rows, 1)).astype(dtype),
        "cce": random.integers(0, sizes[-1], rows),
    }[loss]
    return net, x, y


def plain_output(net, x):
    """The raw output, in the words of a textbook."""
    *hidden, last = net.layers()
    for w, b, *_ in hidden:
        z = x @ w + b
        x = np.maximum(z, 0) if net.hidden == "relu" else np.tanh(z)
    return x @ last.w + last.b


def plain_loss(net, x, y):
    z = plain_output(net, x)
    if net.loss == "mse":
        return np.mean((z - y) ** 2)
    if net.loss == "bce":
        p = 1 / (1 + np.exp(-z))
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return -np.mean(np.log(p[np.arange(len(x)), y]))


def loss_and_gradient(net, x, y, with_ones=False):
    batch = Batch(net, np.column_stack([x, np.ones(len(x))]) if with_ones else x, net.encode(y))
    for call in batch.calls:
        call()
    return batch.loss.item() / len(x), net.gradients[0].copy()


@pytest.mark.parametrize("with_ones", [False, True])
@pytest.mark.parametrize("spec", NETS)
@pytest.mark.parametrize("rows", [1, 9])
def test_loss_and_gradient(spec, rows, with_ones):
    net, x, y = make(*spec, rows)
    loss, gradient = loss_and_gradient(net, x, y, with_ones)
    assert loss == pytest.approx(plain_loss(net, x, y), rel=1e-12)
    differences = np.empty_like(gradient)
    for i, value in enumerate(net.flat.copy()):
        net.flat[i] = value + 1e-6
        above = plain_loss(net, x, y)
        net.flat[i] = value - 1e-6
        differences[i] = (above - plain_loss(net, x, y)) / 2e-6
        net.flat[i] = value
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("loss", ["bce", "cce"])
def test_losses_are_stable(loss):
    net, x, y = make((5, 1 if loss == "bce" else 4), "relu", loss, 9, np.float32)
    net.flat *= 1e4
    value, gradient = loss_and_gradient(net, x, y)
    assert np.isfinite(value)
    assert value > 100
    assert np.isfinite(gradient).all()


def plain_adam(net, x, y, batch_size, epochs):
    """Kingma and Ba 2015, algorithm 1, with Keras's place for epsilon; rows in order."""
    m, v, t, history = 0.0, 0.0, 0, []
    for _ in range(epochs):
        total = 0.0
        for start in range(0, len(x), batch_size):
            part = slice(start, start + batch_size)
            loss, g = loss_and_gradient(net, x[part], y[part])
            total += loss * len(x[part])
            t += 1
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g**2
            rate = 0.001 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            net.flat -= rate * m / (np.sqrt(v) + 1e-7)
        history.append(total / len(x))
    return history


@pytest.mark.parametrize("small_net", [0, 10**9])
@pytest.mark.parametrize("small_data", [0, 10**9])
@pytest.mark.parametrize("spec", NETS)
@pytest.mark.parametrize("rows", [3, 24, 27])
def test_fit_is_adam(spec, rows, small_data, small_net, monkeypatch):
    plain, x, y = make(*spec, rows)
    history = plain_adam(plain, x, y, 8, 3)
    monkeypatch.setattr(numpy_net, "SMALL_DATA", small_data)
    monkeypatch.setattr(numpy_net, "SMALL_NET", small_net)
    monkeypatch.setattr(numpy_net, "PART", 10**9 if small_net else 11)
    net, x, y = make(*spec, rows)
    start = net.flat.copy()
    for _ in range(2):  # the second time on buffers that were used
        net.set_weights([start])
        assert net.fit(x, y, 8, 3) == pytest.approx(history, rel=1e-9)
        np.testing.assert_allclose(net.flat, plain.flat, rtol=1e-9, atol=1e-12)


def test_seed_shuffles():
    results = []
    for seed in [None, 1, 1, 2]:
        net, x, y = make(*NETS[0], 27)
        net.fit(x, y, 8, 3, seed)
        results.append(net.flat.tolist())
    assert results[1] == results[2]
    assert results[0] != results[1] != results[3]


@pytest.mark.parametrize("spec", NETS)
@pytest.mark.parametrize("small", [0, 10**9])
def test_nothing_is_float64(spec, small, monkeypatch):
    monkeypatch.setattr(numpy_net, "SMALL_NET", small)
    net, x, y = make(*spec, 9, np.float32)
    batch = Batch(net, x, net.encode(y))
    for call in [*batch.calls, *net.update]:
        operands = [*call.args, *call.keywords.values(), getattr(call.func, "__self__", None)]
        dtypes = {array.dtype for array in operands if isinstance(array, np.ndarray)}
        assert dtypes <= {np.dtype("f4"), np.dtype(np.intp)}, call
        assert not any(isinstance(operand, float) for operand in operands), call


def test_row_predictor():
    net, x, _ = make((5, 7, 6, 4), "relu", "cce", 1, np.float32)
    z = plain_output(net, x)
    predict = net.row_predictor()
    first, second = predict(x), predict(x)
    np.testing.assert_allclose(first, np.exp(z) / np.exp(z).sum(), rtol=1e-5)
    assert first.shape == (1, 4)
    assert first is not second
