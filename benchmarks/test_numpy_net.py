"""The opponents must compute what they claim to: a wrong program is easily a fast one."""

import numpy as np
import pytest

from benchmarks import numpy_tape
from benchmarks.numpy_net import Buffers, NumpyNet, views
from benchmarks.numpy_tape import Batch, NumpyTape

NETS = [
    ((5, 7, 1), "relu", "mse"),
    ((5, 7, 6, 1), "tanh", "bce"),
    ((5, 7, 6, 4), "relu", "cce"),
    ((5, 4), "relu", "cce"),
    ((5, 3, 1), "relu", "bce"),
]
each_net = pytest.mark.parametrize("spec", NETS)
each_opponent = pytest.mark.parametrize("kind", [NumpyNet, NumpyTape])


def make(kind, sizes, hidden, loss, rows, dtype=np.float64):
    random = np.random.default_rng(0)
    net = kind(sizes, hidden, loss, dtype)
    net.parameters[:] = random.standard_normal(net.parameters.size)
    x = random.standard_normal((rows, sizes[0])).astype(dtype)
    y = {
        "mse": random.standard_normal((rows, 1)),
        "bce": random.integers(0, 2, (rows, 1)).astype(dtype),
        "cce": random.integers(0, sizes[-1], rows),
    }[loss]
    return net, x, y


def plain_output(net, x):
    """The raw output, in the words of a textbook."""
    *hidden, (w_last, b_last) = views(net.parameters, net.sizes)
    for w, b in hidden:
        z = x @ w + b
        x = np.maximum(z, 0) if net.hidden == "relu" else np.tanh(z)
    return x @ w_last + b_last


def plain_predict(net, x):
    z = plain_output(net, x)
    if net.loss == "mse":
        return z
    if net.loss == "bce":
        return 1 / (1 + np.exp(-z))
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def plain_loss(net, x, y):
    p = plain_predict(net, x)
    if net.loss == "mse":
        return np.mean((p - y) ** 2)
    if net.loss == "bce":
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    return -np.mean(np.log(p[np.arange(len(x)), y]))


def loss_and_gradient(net, x, y, with_ones=False):
    if isinstance(net, NumpyTape):
        x = np.column_stack([x, np.ones(len(x), x.dtype)]) if with_ones else x
        batch = Batch(net, x, net.encode(y))
        for call in batch.calls:
            call()
        return batch.loss.item() / len(x), net.gradients[0].copy()
    buffers = Buffers(len(x), net.sizes, net.dtype)
    buffers.values[0][:], buffers.targets[:] = x, net.encode(y)
    return net.loss_and_gradient(buffers), net.gradient.copy()


@pytest.mark.parametrize(
    ("kind", "with_ones"),
    [(NumpyNet, False), (NumpyTape, False), (NumpyTape, True)],
)
@each_net
@pytest.mark.parametrize("rows", [1, 9])
def test_loss_and_gradient(kind, with_ones, spec, rows):
    net, x, y = make(kind, *spec, rows)
    loss, gradient = loss_and_gradient(net, x, y, with_ones)
    assert loss == pytest.approx(plain_loss(net, x, y), rel=1e-12)
    differences = np.empty_like(gradient)
    for i, value in enumerate(net.parameters.copy()):
        net.parameters[i] = value + 1e-6
        above = plain_loss(net, x, y)
        net.parameters[i] = value - 1e-6
        differences[i] = (above - plain_loss(net, x, y)) / 2e-6
        net.parameters[i] = value
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-8)


@each_opponent
@pytest.mark.parametrize("loss", ["bce", "cce"])
def test_losses_are_stable(kind, loss):
    net, x, y = make(kind, (5, 1 if loss == "bce" else 4), "relu", loss, 9, np.float32)
    net.parameters *= 1e4
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
            net.parameters -= rate * m / (np.sqrt(v) + 1e-7)
        history.append(total / len(x))
    return history


def check_fit(kind, spec, rows):
    plain, x, y = make(kind, *spec, rows)
    history = plain_adam(plain, x, y, 8, 3)
    net, x, y = make(kind, *spec, rows)
    start = net.parameters.copy()
    for _ in range(2):  # the second time on buffers that were used
        net.set_weights([start])
        assert net.fit(x, y, 8, 3) == pytest.approx(history, rel=1e-9)
        np.testing.assert_allclose(net.parameters, plain.parameters, rtol=1e-9, atol=1e-12)


@each_opponent
@each_net
@pytest.mark.parametrize("rows", [3, 24, 27])
def test_fit_is_adam(kind, spec, rows):
    check_fit(kind, spec, rows)


@pytest.mark.parametrize("small_net", [0, 10**9])
@pytest.mark.parametrize("small_data", [0, 10**9])
@each_net
@pytest.mark.parametrize("rows", [3, 24, 27])
def test_ways_of_the_tape(spec, rows, small_data, small_net, monkeypatch):
    monkeypatch.setattr(numpy_tape, "SMALL_DATA", small_data)
    monkeypatch.setattr(numpy_tape, "SMALL_NET", small_net)
    monkeypatch.setattr(numpy_tape, "PART", 10**9 if small_net else 11)
    check_fit(NumpyTape, spec, rows)


@each_opponent
def test_seed_shuffles(kind):
    results = []
    for seed in [None, 1, 1, 2]:
        net, x, y = make(kind, *NETS[0], 27)
        net.fit(x, y, 8, 3, seed)
        results.append(net.parameters.tolist())
    assert results[1] == results[2]
    assert results[0] != results[1] != results[3]


class Float32(np.ndarray):
    """Refuses whatever NumPy would compute in another type, even where it writes float32."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        assert np.result_type(*inputs) == np.float32 or method == "at", ufunc
        plain = [a.view(np.ndarray) if isinstance(a, Float32) else a for a in (*inputs, *out)]
        if out:
            options["out"] = tuple(plain[len(inputs) :])
        result = getattr(ufunc, method)(*plain[: len(inputs)], **options)
        return out[0] if out else np.asarray(result).view(Float32)


@each_net
def test_net_is_float32(spec):
    net, x, y = make(NumpyNet, *spec, 9, np.float32)
    buffers = net.buffers_for(9)
    for owner in (net, buffers):
        for name, value in vars(owner).items():
            if isinstance(value, np.ndarray):
                setattr(owner, name, value.view(Float32))
    buffers.values = [value.view(Float32) for value in buffers.values]
    buffers.derivatives = [value.view(Float32) for value in buffers.derivatives]
    net.fit(x, y, 9, 2)
    assert net.parameters.dtype == np.float32
    with pytest.raises(AssertionError):
        net.m *= np.float64(1)


@each_net
@pytest.mark.parametrize("small", [0, 10**9])
def test_tape_is_float32(spec, small, monkeypatch):
    monkeypatch.setattr(numpy_tape, "SMALL_NET", small)
    net, x, y = make(NumpyTape, *spec, 9, np.float32)
    batch = Batch(net, x, net.encode(y))
    for call in [*batch.calls, *net.update]:
        operands = [*call.args, *call.keywords.values(), getattr(call.func, "__self__", None)]
        dtypes = {array.dtype for array in operands if isinstance(array, np.ndarray)}
        assert dtypes <= {np.dtype("f4"), np.dtype(np.intp)}, call
        assert not any(isinstance(operand, float) for operand in operands), call


@each_net
def test_predict(spec):
    net, x, _ = make(NumpyNet, *spec, 9)
    first, second = net.predict(x), net.predict(x)
    np.testing.assert_allclose(first, plain_predict(net, x), rtol=1e-12)
    assert first is not second


def test_row_predictor():
    net, x, _ = make(NumpyTape, (5, 7, 6, 4), "relu", "cce", 1, np.float32)
    predict = net.row_predictor()
    first, second = predict(x), predict(x)
    np.testing.assert_allclose(first, plain_predict(net, x), rtol=1e-5)
    assert first is not second
