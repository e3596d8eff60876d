"""Convolution and pooling: numbers that are known, what has gone wrong elsewhere, threads, a model of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.layers as L
from fastnn.datasets import digits
from fastnn.models import Sequential, load_model

STEPS = [1, 2, 3, 4, 5]


def given(layer: Any, x: Any, *weights: Any) -> Any:
    """What a layer gives for one row of one channel, by axis."""
    x = np.asarray(x, np.float32)
    model = Sequential([L.Input((*x.shape, 1)), layer])
    if weights:
        model.set_weights(
            [np.asarray(w, np.float32).reshape(v.shape) for w, v in zip(weights, layer.weights, strict=True)]
        )
    return model.predict(x[None, ..., None], verbose=0)[0, ..., 0].tolist()


def conv(size: int, **fields: Any) -> Any:
    return L.Conv1D(1, size, use_bias=False, **fields)


@pytest.mark.parametrize(
    ("layer", "x", "kernel", "expected"),
    [
        (conv(3), STEPS, [1, 2, 3], [14, 20, 26]),
        (conv(3, padding="same"), STEPS, [1, 2, 3], [8, 14, 20, 26, 14]),
        (conv(3, padding="same", strides=2), [*STEPS, 6], [1, 2, 3], [14, 26, 17]),
        (conv(4, padding="same"), STEPS, [1, 2, 3, 4], [20, 30, 40, 26, 14]),
        (conv(3, padding="causal", dilation_rate=2), [*STEPS, 6], [1, 2, 3], [3, 6, 11, 16, 22, 28]),
        (conv(3, padding="causal", strides=2), STEPS, [1, 2, 3], [3, 14, 26]),
    ],
)
def test_known_places(layer: Any, x: Any, kernel: Any, expected: Any) -> None:
    assert given(layer, x, kernel) == expected


@pytest.mark.parametrize(
    ("size", "fields", "expected"),
    [
        (3, {"strides": 2}, [1, 2, 5, 4, 9, 6, 9]),
        (3, {"strides": 2, "padding": "same"}, [1, 2, 5, 4, 9, 6]),
        (4, {"strides": 2, "padding": "same"}, [2, 5, 8, 9, 14, 9]),
        (3, {"padding": "same"}, [4, 10, 12]),
        (3, {"strides": 2, "padding": "same", "output_padding": 0}, [2, 5, 4, 9, 6]),
        (3, {"strides": 2, "padding": "same", "output_padding": 1}, [1, 2, 5, 4, 9, 6]),
        (3, {"strides": 2, "output_padding": 1}, [1, 2, 5, 4, 9, 6, 9, 0]),
        (2, {"strides": 3}, [1, 2, 0, 2, 4, 0, 3, 6, 0]),
    ],
)
def test_known_places_of_what_is_transposed(size: int, fields: Any, expected: Any) -> None:
    layer = L.Conv1DTranspose(1, size, use_bias=False, **fields)
    assert given(layer, [1, 2, 3], np.arange(1, size + 1)) == expected


def test_the_slope_of_what_is_transposed_reads_the_right_places() -> None:
    assert slope_of_input(L.Conv1DTranspose(1, 1, 2, use_bias=False), [1, 2], [1.5, 0, 0.7, 0]) == pytest.approx(
        [1.5, 0.7]
    )


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        (L.AveragePooling1D(3, 1, "same"), [1, 2, 3, 4], [1.5, 2, 3, 3.5]),
        (L.AveragePooling1D(3, 2, "same"), [10, 20], [15]),
        (L.MaxPooling1D(3, 2, "same"), [-1, -2, -3, -4, -5, -6], [-1, -3, -5]),
        (L.MaxPooling1D(2), STEPS, [2, 4]),
        (L.AveragePooling1D(2), STEPS, [1.5, 3.5]),
        (L.UpSampling1D(2), [1, 2], [1, 1, 2, 2]),
        (L.ZeroPadding1D((1, 2)), [1, 2], [0, 1, 2, 0, 0]),
        (L.ZeroPadding1D(0), [1, 2], [1, 2]),
        (L.Cropping1D((1, 2)), STEPS, [2, 3]),
        (L.MaxPooling1D(2), [-np.inf, -np.inf, 3, -np.inf], [-np.inf, 3]),
    ],
)
def test_known_windows(layer: Any, x: Any, expected: Any) -> None:
    assert given(layer, x) == expected


@pytest.mark.parametrize("pooling", [L.MaxPooling1D, L.AveragePooling1D])
def test_a_nan_in_a_window_is_what_it_gives(pooling: Any) -> None:
    for x in ([np.nan, 1, 2, 3], [1, np.nan, 2, 3]):
        a = given(pooling(2), x)
        assert np.isnan(a[0])
        assert a[1] in (3, 2.5)
    assert np.isnan(given(pooling(4), [1, np.nan, -np.inf, 5])).all()


def slope_of_input(layer: Any, x: Any, d: Any) -> list[float]:
    """The gradient by x of the sum of d times what a layer gives for x, a series of one channel."""
    n = len(x)
    last = L.Dense(1, use_bias=False)
    model = Sequential([L.Input((1,)), L.Dense(n), L.Reshape((n, 1)), layer, L.Flatten(), last])
    weights = [np.zeros((1, n), np.float32), np.asarray(x, np.float32)]
    weights += [np.ones((1, 1, 1), np.float32)] * len(layer.weights) + [np.asarray(d, np.float32)[:, None]]
    model.set_weights(weights)
    model.compile(fastnn.optimizers.SGD(1.0), "mse")
    output = float(model.predict(np.zeros((1, 1)), verbose=0)[0, 0])
    model.train_on_batch(np.zeros((1, 1)), np.array([[output - 0.5]]))  # whose slope is 1
    return (np.asarray(x, np.float32) - model.layers[0].get_weights()[1]).tolist()


def test_ties_have_their_slope_at_the_first() -> None:
    assert slope_of_input(L.MaxPooling1D(2), [0, 0, 0, 0], [1, 1]) == [1, 0, 1, 0]
    assert slope_of_input(L.MaxPooling1D(3, 1), [0, 0, 0, 0], [1, 2]) == [1, 2, 0, 0]
    assert slope_of_input(L.GlobalMaxPooling1D(), [1, 2, 2], [3]) == [0, 3, 0]
    assert slope_of_input(L.AveragePooling1D(2, 2, "same"), [1, 2, 3], [2, 4]) == [1, 1, 4]


def test_steps_that_a_stride_leaves_out_have_no_slope() -> None:
    assert slope_of_input(conv(1, strides=3), [1, 2, 3, 4, 5], [1, 2]) == [1, 0, 0, 2, 0]


@pytest.mark.parametrize("size", [5, 6, 7, 8, 9])
@pytest.mark.parametrize("channels", [1, 2, 6, 17])
@pytest.mark.parametrize("groups", [1, 2])
def test_remainders_of_strides(size: int, channels: int, groups: int) -> None:
    """Where a stride leaves a remainder, at channels that fill no vector, and in groups; against differences."""
    rng = np.random.default_rng(size)
    filters = channels * groups
    layer = L.Conv2D(filters, (3, 2), strides=(3, 2), groups=groups)
    shape = (size, 5, channels * groups)
    before = L.Dense(int(np.prod(shape)), use_bias=False)
    model = Sequential([L.Input((2,)), before, L.Reshape(shape), layer, L.Flatten()])
    x = rng.normal(size=(3, 2)).astype(np.float32)
    d = rng.normal(size=(3, model.output_shape[1]))
    first, kernel, bias = (w.astype(float) for w in model.get_weights())
    found = gradients(model, x, d)

    def total() -> float:
        rows = layer.reference((x @ first).reshape(3, *shape), kernel, bias)
        return float((rows.reshape(3, -1) * d).sum())

    for array, slopes in zip((first, kernel, bias), found, strict=True):
        for at in rng.permutation(array.size)[:40]:
            kept = array.flat[at]
            array.flat[at] = kept + 1e-4
            high = total()
            array.flat[at] = kept - 1e-4
            low = total()
            array.flat[at] = kept
            np.testing.assert_allclose(slopes.flat[at], (high - low) / 2e-4, rtol=1e-3, atol=1e-3)


def gradients(model: Any, x: Any, d: Any) -> list[Any]:
    """The weights' gradients of sum(d * output): one step of SGD by a loss whose slope is d."""
    model.compile(fastnn.optimizers.SGD(1.0), "mse")
    y = model.predict(x, verbose=0) - d.astype(np.float32) * d.size / 2
    before = model.get_weights()
    model.train_on_batch(x, y)
    return [b - a for b, a in zip(before, model.get_weights(), strict=True)]


def test_rows_of_any_batch_and_threads_give_the_same_bits() -> None:
    x = np.random.default_rng(2).normal(size=(70, 9, 8, 3)).astype(np.float32)
    y = np.random.default_rng(3).normal(size=(70, 2)).astype(np.float32)
    found, before = [], fastnn.get_num_threads()
    for threads in (1, 2, 3, 4, 8):
        fastnn.utils.set_random_seed(4)
        model = Sequential(
            [
                L.Input((9, 8, 3)),
                L.Conv2D(17, 3, activation="relu", padding="same"),
                L.MaxPooling2D(3, 2, "same"),
                L.Conv2D(8, 2, groups=1, strides=2),
                L.AveragePooling2D(2, 1),
                L.Flatten(),
                L.Dense(2),
            ]
        )
        model.compile("adam", "mse")
        fastnn.set_num_threads(threads)
        try:
            model.fit(x, y, batch_size=33, epochs=3, verbose=0, shuffle=False)
            found.append([*model.get_weights(), model.predict(x, batch_size=64 // threads, verbose=0)])
        finally:
            fastnn.set_num_threads(before)
    for each in found[1:]:
        for one, other in zip(found[0], each, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_large_kernel_of_few_pixels_has_its_gradient_at_once() -> None:
    """Blocks of rows would take more memory than the rows: the same numbers without them."""
    rng = np.random.default_rng(5)
    layer = L.Conv2D(40, 2)
    model = Sequential([L.Input((2, 2, 40)), layer, L.Flatten()])
    x, d = rng.normal(size=(37, 2, 2, 40)).astype(np.float32), rng.normal(size=(37, 40))
    kernel, bias = gradients(model, x, d)
    np.testing.assert_allclose(bias, d.sum(0), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(kernel, np.einsum("nyxc,nf->yxcf", x, d), rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize(("channels", "filters"), [(40, 40), (39, 41), (8, 100)])
def test_a_large_transposed_kernel_too(channels: int, filters: int) -> None:
    rng = np.random.default_rng(6)
    model = Sequential([L.Input((1, 1, channels)), L.Conv2DTranspose(filters, 3), L.Flatten()])
    x, d = rng.normal(size=(37, 1, 1, channels)).astype(np.float32), rng.normal(size=(37, 9 * filters))
    kernel, bias = gradients(model, x, d)
    places = d.reshape(37, 3, 3, filters)
    np.testing.assert_allclose(bias, places.sum((0, 1, 2)), rtol=1e-2, atol=4e-3)
    np.testing.assert_allclose(kernel, np.einsum("nc,nyxf->yxfc", x[:, 0, 0], places), rtol=1e-2, atol=4e-3)


def test_shared_and_frozen() -> None:
    x = np.random.default_rng(6).normal(size=(20, 6, 1)).astype(np.float32)
    first = L.Input((6, 1))
    shared = L.Conv1D(1, 3, padding="same", use_bias=False)
    model = fastnn.Model(first, L.Flatten()(shared(shared(first))))
    d = np.random.default_rng(7).normal(size=(20, 6))
    kernel = shared.get_weights()[0].astype(float)
    (found,) = gradients(model, x, d)
    for at in range(3):
        ends = []
        for step in (1e-4, -1e-4):
            moved = kernel.copy()
            moved[at] += step
            ends.append((shared.reference(shared.reference(x.astype(float), moved), moved)[..., 0] * d).sum())
        np.testing.assert_allclose(found[at, 0, 0], (ends[0] - ends[1]) / 2e-4, rtol=1e-3, atol=1e-3)
    shared.trainable = False
    assert np.all(gradients(model, x, d)[0] == 0)


def picture_model() -> Any:
    model = Sequential(
        [
            L.Input((8, 8, 1)),
            L.Conv2D(12, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_digits(tmp_path: Path) -> None:
    (x, y), (x_test, y_test) = digits.load_data()
    x, x_test = (each.reshape(-1, 8, 8, 1) / np.float32(16) for each in (x, x_test))
    fastnn.utils.set_random_seed(0)
    model = picture_model()
    model.fit(x, y, epochs=20, batch_size=32, verbose=0)
    assert model.evaluate(x_test, y_test, verbose=0)[1] > 0.94
    expected = model.predict(x_test, verbose=0)
    model.save(tmp_path / "digits.fastnn")
    again = load_model(tmp_path / "digits.fastnn")
    np.testing.assert_array_equal(again.predict(x_test, verbose=0), expected)
    again.fit(x, y, epochs=1, verbose=0)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: L.Conv2D(0, 3), "filters .*Expected a strictly positive value"),
        (lambda: L.Conv2D(4, 0), "kernel_size must be a whole number of at least 1, or 2 of them"),
        (lambda: L.Conv2D(4, (3,)), "kernel_size .*tuple of 2 integers"),
        (lambda: L.Conv2D(4, 3, strides=0), "strides must be"),
        (lambda: L.Conv2D(4, 3, strides=-1), "strides must be"),
        (lambda: L.Conv2D(4, 2.5), "kernel_size must be"),
        (lambda: L.Conv2D(4, 3, strides=2, dilation_rate=2), "cannot both be more than 1; leave one"),
        (lambda: L.Conv2D(4, 3, padding="causal"), "padding must be one of valid, same"),
        (lambda: L.Conv2D(4, 3, groups=3), "filters must be a multiple of groups"),
        (lambda: L.Conv2D(4, 3, groups=0), "groups"),
        (lambda: L.Conv2D(4, 3, data_format="x"), "data_format must be one of"),
        (lambda: L.Conv2DTranspose(4, 3, 2, output_padding=2), "output_padding must be less than strides"),
        (lambda: L.Conv2DTranspose(4, 3, 2, output_padding=-1), "output_padding must be a whole number of at least 0"),
        (lambda: L.Conv1DTranspose(4, 3, 2, dilation_rate=2), "cannot both be more than 1"),
        (lambda: L.Conv1DTranspose(4, 3, padding="causal"), "padding must be one of valid, same"),
        (lambda: L.MaxPooling2D(0), "pool_size must be"),
        (lambda: L.MaxPooling2D(2, 0), "strides must be"),
        (lambda: L.MaxPooling2D(2, padding="causal"), "padding must be one of"),
        (lambda: L.ZeroPadding2D(-1), "padding must be"),
        (lambda: L.ZeroPadding2D((1, 2, 3)), "should have two elements"),
        (lambda: L.ZeroPadding1D((1, 2, 3)), "pair"),
        (lambda: L.Cropping2D("a"), "cropping must be"),
        (lambda: L.UpSampling2D(0), "size must be"),
        (lambda: L.UpSampling1D(0), "size must be at least 1"),
        (lambda: L.UpSampling2D(2, interpolation="x"), "interpolation must be one of"),
        (lambda: L.Conv2D(4, 9)(L.Input((5, 6, 2))), r"layer 'conv2d.*has no place in a picture of \(5, 6\); make it"),
        (lambda: L.Conv2D(4, 3, groups=2)(L.Input((5, 5, 3))), "3 channels are no 2 equal groups"),
        (lambda: L.Conv2D(4, 3)(L.Input((5, 5))), r"expects rows of 3 axes, \(height, width, channels\)"),
        (lambda: L.Conv1D(4, 3, data_format="channels_first")(L.Input((5,))), r"\(channels, steps\)"),
        (lambda: L.MaxPooling2D(9)(L.Input((5, 5, 2))), "has no place in a picture"),
        (lambda: L.Cropping2D(3)(L.Input((5, 5, 2))), "leaves nothing of a picture"),
        (lambda: L.GlobalAveragePooling2D()(L.Input((5, 2))), "expects rows of 3 axes"),
    ],
)
def test_what_cannot_be(make: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        make()
