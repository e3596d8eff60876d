"""The careful NumPy of pictures and sequences computes what it claims to: a wrong program is easily a fast one."""

import numpy as np
import pytest

from benchmarks import networks, numpy_parts
from benchmarks.cases import LAYERED_FITS, LOSSES
from benchmarks.examples import examples
from benchmarks.networks import GRU, LSTM, Block, Conv, Dense, Embedding, Flatten, GlobalAverage, Network, Pool
from benchmarks.numpy_layers import NumpyLayers
from benchmarks.test_numpy_net import Float32

MSE, BCE, CCE = LOSSES
NETS = {
    "pictures": (
        Network("", (9, 8, 2), (Conv(3, 3), Pool(), Conv(4, 2), Flatten(), Dense(5, "relu"), Dense(3, "softmax"))),
        CCE,
    ),
    "pools of three": (Network("", (10, 7, 3), (Conv(4, 2), Pool(3), GlobalAverage(), Dense(3, "softmax"))), CCE),
    "series": (Network("", (11, 3), (Conv(4, 3), Pool(), Conv(3, 2), GlobalAverage(), Dense(3, "softmax"))), CCE),
    "lstm": (Network("", (5, 3), (LSTM(4), Dense(1))), MSE),
    "gru": (Network("", (6, 2), (GRU(5), Dense(1))), MSE),
    "lstm of words": (Network("", (7,), (Embedding(9, 3), LSTM(4), Dense(1, "sigmoid"))), BCE),
    "gru of words": (Network("", (7,), (Embedding(9, 3), GRU(4), Dense(1, "sigmoid"))), BCE),
    "blocks": (Network("", (4, 6), (Block(3, 2, 5), Block(2, 3, 7), GlobalAverage(), Dense(3, "softmax"))), CCE),
}
each_net = pytest.mark.parametrize("name", NETS)
each_fit = pytest.mark.parametrize("case", LAYERED_FITS, ids=lambda case: case.name)


def made(name, rows, dtype=np.float64):
    network, loss = NETS[name]
    net = NumpyLayers(network, LOSSES[loss][1], dtype)
    net.set_weights(network.initial_weights())
    x, y = examples(network, loss, rows)
    return net, x if network.ids else x.astype(dtype), y


def step(net, x, y):
    """The loss and its gradient."""
    buffers = net.buffers_for(len(x))
    buffers.values[0][...], buffers.targets[...] = x, net.encode(y)
    return net.loss_and_gradient(buffers), net.gradient.copy()


@each_net
@pytest.mark.parametrize("rows", [1, 5])
def test_gradient(name, rows):
    net, x, y = made(name, rows)
    net.parameters += 0.1 * np.random.default_rng(2).standard_normal(net.parameters.size)
    _, gradient = step(net, x, y)
    assert np.count_nonzero(gradient) > 0.5 * gradient.size
    differences = np.empty_like(gradient)
    for i, value in enumerate(net.parameters.copy()):
        net.parameters[i] = value + 1e-6
        above = step(net, x, y)[0]
        net.parameters[i] = value - 1e-6
        differences[i] = (above - step(net, x, y)[0]) / 2e-6
        net.parameters[i] = value
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["pictures", "series"])
def test_patches_of_a_row_at_a_time(name, monkeypatch):
    net, x, y = made(name, 5)
    loss, gradient = step(net, x, y)
    monkeypatch.setattr(numpy_parts, "TOGETHER", 1)
    net, x, y = made(name, 5)
    again, other = step(net, x, y)
    assert again == pytest.approx(loss, rel=1e-14)
    np.testing.assert_allclose(other, gradient, rtol=1e-10, atol=1e-14)


@each_net
def test_another_size_of_batch_leaves_nothing_behind(name):
    net, x, y = made(name, 5)
    loss, gradient = step(net, x, y)
    step(net, x[:2], y[:2])
    again, same = step(net, x, y)
    assert again == loss
    np.testing.assert_array_equal(same, gradient)


@each_net
def test_predict(name):
    net, x, _ = made(name, 5)
    first, second = net.predict(x), net.predict(x)
    assert first is not second
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, np.concatenate([net.predict(row[None]) for row in x]), rtol=1e-12)
    if net.loss == "cce":
        np.testing.assert_allclose(first.sum(axis=1), 1)


@each_net
def test_float32(name):
    """Nothing is computed in float64: the losses' totals alone are."""
    net, x, _ = made(name, 6, np.float32)
    for flat in ("parameters", "gradient", "m", "v", "scratch"):
        setattr(net, flat, getattr(net, flat).view(Float32))
    for layer in net.layers:
        layer.empty = lambda name, *shape, like, empty=layer.empty: empty(name, *shape, like=like).view(Float32)
    x = x if net.network.ids else x.view(Float32)
    assert net.predict(x).dtype == np.float32
    d = np.ones((6, net.units), np.float32).view(Float32)
    for layer in reversed(net.layers):
        d = layer.backward(d, layer is not net.layers[0])
        assert d.dtype == np.float32
    net.adam()


def test_the_numbers_of_keras():
    """Its values for weights of sin(0, 1, 2, ...) / 2 through kernel, recurrent kernel and bias."""
    x = np.array([[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]])
    for layer, expected in ((LSTM(2), [-0.43707, -0.313743]), (GRU(2), [0.008635, -0.595807])):
        net = NumpyLayers(Network("", (3, 2), (layer, Dense(1))), "mse", np.float64)
        count = net.parameters.size - 3
        net.parameters[:count] = np.sin(np.arange(count)) / 2
        np.testing.assert_allclose(net.layers[0].forward(x)[0], expected, atol=1e-6)


def test_a_convolution_by_hand():
    net = NumpyLayers(Network("", (5, 1), (Conv(1, 3), Flatten(), Dense(1))), "mse", np.float64)
    net.parameters[:4] = [1, 2, 3, 0]
    np.testing.assert_array_equal(net.layers[0].forward(np.arange(1.0, 6).reshape(1, 5, 1)).ravel(), [14, 20, 26])


def test_products_by_hand():
    """Of a row; the gradient of the data is left out, which of a recurrence is that of x . kernel alone."""
    first, second = 24 * 24 * 25 * 6, 8 * 8 * 150 * 16
    assert networks.LENET.products == first + second + 256 * 120 + 120 * 84 + 840
    assert networks.LENET.without_gradient == first
    assert networks.LSTM_64.products == 50 * (8 + 64) * 256 + 64
    assert networks.LSTM_64.without_gradient == 50 * 8 * 256
    assert networks.GRU_32.products == 100 * 33 * 96 + 32
    assert networks.WORDS.products == 80 * 64 * 128 + 32
    assert networks.WORDS.without_gradient == 0
    assert networks.TRANSFORMER.products == 2 * (64 * 4 * 64 * 64 + 2 * 64 * 64 * 64 + 64 * 2 * 64 * 128) + 640
    assert networks.TRANSFORMER.without_gradient == 3 * 64 * 64 * 64


def test_bytes_by_hand():
    """A prediction of one text meets 80 rows of the embedding."""
    (case,) = (case for case in LAYERED_FITS if case.name == "words")
    arena, data = case.traffic()
    parameters = 320_000 + 64 * 128 + 128 + 33
    assert (arena.moved, arena.held) == (32 * 2 * 4 * 4 * parameters, 4 * 4 * parameters)
    assert data.moved == 4 * 1024 * 81


@each_fit
def test_there_is_something_to_learn(case):
    """The loss falls, and not to nothing: another program's must agree with it."""
    x, y = case.data(case.rows)
    losses = case.careful().fit(x, y, case.batch_size, 2)
    assert losses[1] < 0.97 * losses[0]
    assert losses[1] > 1e-3
