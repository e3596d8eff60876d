"""Pictures of odd sizes, of few channels and filters or in tiles: convolution and pooling against sums over windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import fastnn
import fastnn.layers as L
from fastnn.models import Sequential


def patches(x: Any, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), gap: tuple[int, int] = (1, 1)) -> Any:
    """Views of the pixels that a kernel meets: (rows, places, places, channels, *kernel)."""
    over = [(k - 1) * g + 1 for k, g in zip(kernel, gap, strict=True)]
    found = sliding_window_view(x, over, axis=(1, 2), writeable=True)
    return found[:, :: stride[0], :: stride[1], :, :: gap[0], :: gap[1]]


def slopes(layer: Any, x: Any, weights: list[Any], d: Any) -> tuple[Any, list[Any]]:
    """What a layer gives for pictures, and the gradients by them and by its weights of the sum of d times that."""
    rows, before = len(x), L.Dense(x[0].size, use_bias=False)
    model = Sequential([L.Input((rows,)), before, L.Reshape(x.shape[1:]), layer])
    model.set_weights([x.reshape(rows, -1), *weights])
    model.compile(fastnn.optimizers.SGD(1.0), "mse")
    ones = np.eye(rows, dtype=np.float32)
    given = model.predict(ones, verbose=0)
    model.train_on_batch(ones, given - d * np.float32(d.size / 2))
    first, *others = [b - a for b, a in zip([x.reshape(rows, -1), *weights], model.get_weights(), strict=True)]
    return given, [first.reshape(x.shape), *others]


SHAPES = [
    # picture, kernel, channels, filters, dilation, rows
    ((12, 11), (5, 5), 1, 6, (1, 1), 1),
    ((28, 28), (5, 5), 1, 6, (1, 1), 3),
    ((9, 17), (3, 2), 3, 1, (1, 1), 33),
    ((16, 16), (3, 3), 8, 8, (1, 1), 5),
    ((1, 101), (1, 7), 2, 3, (1, 3), 17),
    ((40, 2), (3, 1), 5, 4, (2, 1), 16),
    ((10, 13), (2, 3), 17, 5, (3, 2), 2),
    ((11, 10), (1, 1), 4, 2, (1, 1), 20),
    ((33, 16), (4, 5), 2, 9, (1, 1), 4),
    ((15, 14), (3, 3), 6, 13, (1, 1), 18),
    ((7, 7), (7, 7), 3, 2, (1, 1), 3),
    ((1, 1), (1, 1), 1, 1, (1, 1), 19),
    # by tiles of two places: a line and a half, several parts of a picture and of a line, few and odd channels
    ((1, 6), (1, 3), 16, 16, (1, 1), 3),
    ((6, 9), (3, 3), 9, 17, (1, 1), 18),
    ((3, 12), (3, 3), 8, 40, (1, 1), 2),
    ((1, 400), (1, 3), 17, 64, (1, 1), 5),
    ((90, 7), (4, 3), 33, 19, (1, 1), 2),
    ((2, 1100), (2, 3), 16, 16, (1, 1), 1),
]


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=3e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("size", "kernel", "channels", "filters", "gap", "rows"), SHAPES)
def test_convolution(size: Any, kernel: Any, channels: int, filters: int, gap: Any, rows: int, use_bias: bool) -> None:
    rng = np.random.default_rng(rows)
    layer = L.Conv2D(filters, kernel, dilation_rate=gap, use_bias=use_bias)
    x = rng.normal(size=(rows, *size, channels)).astype(np.float32)
    w = rng.normal(size=(*kernel, channels, filters)).astype(np.float32)
    bias = [rng.normal(size=filters).astype(np.float32)] if use_bias else []
    seen = patches(x, kernel, gap=gap)
    d = rng.normal(size=(*seen.shape[:3], filters)).astype(np.float32)
    given, (by_x, by_w, *by_bias) = slopes(layer, x, [w, *bias], d)
    close(given, np.einsum("nyxcab,abcf->nyxf", seen, w, dtype=float, optimize=True) + sum(bias))
    close(by_w, np.einsum("nyxcab,nyxf->abcf", seen, d, dtype=float, optimize=True))
    for found in by_bias:
        close(found, d.sum((0, 1, 2), dtype=float))
    expected = np.zeros(x.shape)
    at = patches(expected, kernel, gap=gap)
    for y in range(kernel[0]):
        for z in range(kernel[1]):
            at[..., y, z] += np.einsum("nyxf,cf->nyxc", d, w[y, z], dtype=float)
    close(by_x, expected)


@pytest.mark.parametrize("size", [(5, 9), (1, 8), (40, 30)])
def test_tiles_round_nothing(size: tuple[int, int]) -> None:
    """Whole numbers, and their halves, are exact in between: two places of a line share four products."""
    rng = np.random.default_rng(0)
    kernel = (min(3, size[0]), 3)
    x = rng.integers(-9, 10, (3, *size, 21)).astype(np.float32)
    w = rng.integers(-9, 10, (*kernel, 21, 18)).astype(np.float32)
    model = Sequential([L.Input(x.shape[1:]), L.Conv2D(18, kernel, use_bias=False)])
    model.set_weights([w])
    expected = np.einsum("nyxcab,abcf->nyxf", patches(x, kernel), w, dtype=float, optimize=True)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("channels", [9, 16])
def test_tiles_of_a_frozen_layer_go_back_alike(channels: int, activation: str) -> None:
    rng = np.random.default_rng(channels)
    x = rng.normal(size=(7, 6, 11, channels)).astype(np.float32)
    w = [rng.normal(0, 0.1, (3, 3, channels, 16)).astype(np.float32), rng.normal(size=16).astype(np.float32)]
    d = rng.normal(size=(7, 4, 9, 16)).astype(np.float32)
    learns, frozen = (slopes(L.Conv2D(16, 3, activation=activation, trainable=t), x, w, d)[1] for t in (True, False))
    np.testing.assert_array_equal(learns[0], frozen[0])
    assert np.abs(learns[1]).max() > 0.1
    assert not np.any(frozen[1])


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3), (4, 2)])
@pytest.mark.parametrize("channels", [1, 3, 16, 17])
def test_the_slope_of_pictures_under_strides(stride: tuple[int, int], channels: int) -> None:
    """Whichever way more of d's places have no pixel in common: below one another, or along a line."""
    for size, kernel in (((13, 6), (3, 3)), ((5, 30), (2, 4)), ((1, 40), (1, 3)), ((9, 9), (1, 1))):
        rng = np.random.default_rng(channels)
        x = rng.normal(size=(3, *size, channels)).astype(np.float32)
        w = rng.normal(size=(*kernel, channels, 7)).astype(np.float32)
        seen = patches(x, kernel, stride)
        d = rng.normal(size=(*seen.shape[:3], 7)).astype(np.float32)
        _, (by_x, by_w) = slopes(L.Conv2D(7, kernel, strides=stride, use_bias=False), x, [w], d)
        close(by_w, np.einsum("nyxcab,nyxf->abcf", seen, d, dtype=float, optimize=True))
        expected = np.zeros(x.shape)
        at = patches(expected, kernel, stride)
        for y in range(kernel[0]):
            for z in range(kernel[1]):
                at[..., y, z] += np.einsum("nyxf,cf->nyxc", d, w[y, z], dtype=float)
        close(by_x, expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 6, 8, 9, 16, 17, 40])
@pytest.mark.parametrize(
    ("size", "pool", "stride"),
    [
        ((8, 6), (2, 2), (2, 2)),
        ((9, 7), (2, 2), (2, 2)),
        ((6, 9), (2, 3), (2, 3)),
        ((7, 7), (2, 2), (3, 3)),
        ((7, 6), (2, 2), (1, 1)),
        ((9, 8), (3, 3), (2, 1)),
        ((1, 10), (1, 2), (1, 2)),
    ],
)
def test_the_largest_of_windows(size: Any, pool: Any, stride: Any, channels: int) -> None:
    """Of few different numbers, so that there are ties, zeros of both signs among them: the first has the slope."""
    rng = np.random.default_rng(channels)
    x = rng.choice(np.array([0.0, -0.0, 1, -1, 2], np.float32), (2, *size, channels))
    seen = patches(x, pool, stride)
    cells = seen.reshape(*seen.shape[:4], -1)
    d = rng.normal(size=seen.shape[:4]).astype(np.float32)
    given, (by_x,) = slopes(L.MaxPooling2D(pool, stride), x, [], d)
    np.testing.assert_array_equal(given, cells.max(-1))
    expected, which = np.zeros(x.shape), cells.argmax(-1)
    at = patches(expected, pool, stride)
    for cell in range(cells.shape[-1]):
        at[..., cell // pool[1], cell % pool[1]] += d * (which == cell)
    close(by_x, expected)
