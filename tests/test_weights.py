"""A model's weights: copies out, checked arrays in, first values from a seed."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn.initializers import HeNormal
from fastnn.layers import Dense, Flatten
from fastnn.models import Sequential


def small() -> Sequential:
    return Sequential([Dense(4, "relu", input_dim=3), Dense(2)])


def shapes(model: Sequential) -> list[tuple[int, ...]]:
    return [w.shape for w in model.get_weights()]


def test_get_weights_gives_copies_in_order():
    model = Sequential([Dense(4, input_dim=3), Dense(2, use_bias=False), Flatten(), Dense(1)])
    assert shapes(model) == [(3, 4), (4,), (4, 2), (2, 1), (1,)]
    weights = model.get_weights()
    weights[0][...] = 7
    assert not (model.get_weights()[0] == 7).any()
    assert all(w.dtype == np.float32 for w in weights)
    for number, array in enumerate(weights):
        array[...] = number
    model.set_weights(weights)
    weights[1][...] = 99
    assert [float(w.flat[0]) for w in model.get_weights()] == [0, 1, 2, 3, 4]
    first, second, flatten, third = model.layers
    assert [w.tolist() for w in second.get_weights()] == [[[2, 2]] * 4]
    assert flatten.get_weights() == []
    assert [layer.count_params() for layer in model.layers] == [16, 8, 0, 3]
    third.set_weights([[[5], [6]], [8.0]])
    assert model.get_weights()[3].tolist() == [[5], [6]]
    assert model.predict(np.zeros((1, 3))).tolist() == [[2 * 4 * (5 + 6) + 8]]
    first.set_weights(first.get_weights())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w[:-1], r"expected 4 arrays of weights, got 3"),
        (lambda w: [*w, w[0]], r"expected 4 arrays of weights, got 5"),
        (lambda w: [], r"expected 4 arrays of weights, got 0"),
        (lambda w: [*w[:3], w[3][:1]], r"weights\[3\] has shape \(1,\), expected \(2,\)"),
        (lambda w: [w[0].T, *w[1:]], r"weights\[0\] has shape \(4, 3\), expected \(3, 4\)"),
        (lambda w: [*w[:2], w[2].ravel(), w[3]], r"weights\[2\] has shape \(8,\)"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(spoil, message):
    model = small()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.set_weights(spoil([w + 1 for w in before]))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_initializers_fill_the_weights():
    fastnn.set_random_seed(0)
    own = HeNormal(seed=4)
    model = Sequential(
        [Dense(4, kernel_initializer=own, bias_initializer="ones", input_dim=3), Dense(2, kernel_initializer="zeros")]
    )
    kernel, bias, zeros, _ = model.get_weights()
    np.testing.assert_array_equal(kernel, own((3, 4)))
    assert bias.tolist() == [1] * 4
    assert not zeros.any()


def test_set_random_seed():
    def weights(seed: int) -> list[bytes]:
        fastnn.set_random_seed(seed)
        return [w.tobytes() for w in small().get_weights()]

    assert weights(1) == weights(1)
    assert weights(1) != weights(2)
