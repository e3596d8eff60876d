"""Pictures that chance changes: only in training, the same for any number of threads, gradients the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn.models import Sequential, load_model
from support.pictures import CHANGED

RNG = np.random.default_rng(6)
ROW = (6, 5, 2)
EACH = pytest.mark.parametrize("name", CHANGED)


def pictures(rows: int, row: tuple[int, ...] = ROW) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(rows, *row)).astype(np.float32)


@EACH
def test_only_training_changes_them(name: str) -> None:
    x = pictures(70)
    layer = CHANGED[name]()
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(Sequential([L.Input(ROW), layer]).predict(x), x)
    changed = layer(x, training=True)
    assert (changed != x).any(axis=(1, 2, 3)).sum() > 20
    assert not np.array_equal(layer(x, training=True), changed)


def trained(layer: Any, threads: int, seed: int = 1) -> list[bytes]:
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    fastnn.set_random_seed(seed)
    model = Sequential([L.Input(ROW), L.PReLU(), layer, L.Flatten(), L.Dense(3)])
    model.compile("adam", "mse")
    model.fit(pictures(300), np.ones((300, 3)), epochs=2, batch_size=77, verbose=0)
    fastnn.set_num_threads(before)
    return [w.tobytes() for w in model.get_weights()]


@EACH
def test_threads_change_nothing(name: str) -> None:
    found = trained(CHANGED[name](), 1)
    for threads in (2, 3, 4):
        assert trained(CHANGED[name](), threads) == found
    assert trained(CHANGED[name](), 1, seed=2) != found


@EACH
def test_a_seed_of_its_own(name: str) -> None:
    x = pictures(40)
    found = []
    for seed, own in ((1, 7), (2, 7), (1, 8)):
        fastnn.set_random_seed(seed)
        model = Sequential([L.Input(ROW), CHANGED[name](seed=own)])
        found.append(model.predict_in_training(x, 3))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@EACH
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_gradients_are_differences(name: str, data_format: str) -> None:
    row = (2, 4, 3) if data_format == "channels_first" else (4, 3, 2)
    model = Sequential([L.Input(row), CHANGED[name](seed=5, data_format=data_format), L.Flatten()])
    model.compile("sgd", "mse")
    x = np.random.default_rng(2).uniform(-1.4, 1.4, (3, *row)).astype(np.float32)
    y = np.random.default_rng(3).normal(size=(3, 24)).astype(np.float32)
    _, slopes = model.gradient(x, y, inputs=True)
    step, differences = 1e-2, np.empty_like(slopes)
    for at in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            other = x.copy()
            other[at] += sign * step
            ends.append(model.gradient(other, y, return_loss=True)[0])
        differences[at] = (ends[0] - ends[1]) / (2 * step)
    apart = np.abs(slopes - differences) > 2e-2 * np.abs(slopes).max()
    assert apart.sum() <= (3 if name in ("contrast", "brightness") else 0)  # of the ends of value_range


@EACH
def test_a_layer_within_a_file(name: str, tmp_path: Path) -> None:
    layer = CHANGED[name](seed=9)
    model = Sequential([L.Input(ROW), layer, L.Flatten(), L.Dense(1)])
    model.compile("sgd", "mse")
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.layers[0].get_config() == layer.get_config()
    x = pictures(9)
    np.testing.assert_array_equal(again.predict_in_training(x, 4), model.predict_in_training(x, 4))


def test_half_of_them_are_mirrored() -> None:
    x = pictures(400)
    for mode, axes in (("horizontal", 2), ("vertical", 1), ("horizontal_and_vertical", (1, 2))):
        layer = L.RandomFlip(mode)
        found = layer(x, training=True)
        mirrored = (found == np.flip(x, axes)).all(axis=(1, 2, 3))
        assert 150 < mirrored.sum() < 250
        np.testing.assert_array_equal(found, layer.reference(x, mirrored))


def test_what_is_drawn_is_even() -> None:
    """The place of a bright column says how far each picture went."""
    x = np.zeros((2000, 1, 101, 1), np.float32)
    x[:, 0, 50] = 1
    found = L.RandomTranslation(0, 0.3, "constant", "nearest")(x, training=True)
    places = found[:, 0, :, 0].argmax(axis=1) - 50
    assert np.abs(places).max() == 30
    assert np.abs(places.mean()) < 1.5
    np.testing.assert_allclose(places.std(), 60.6 / 12**0.5, rtol=0.05)
    factors = L.RandomContrast((0.2, 0.4), (-9, 9))(
        np.tile(np.float32([-1, 1]), (2000, 1)).reshape(-1, 1, 2, 1), training=True
    )
    drawn = factors[:, 0, 1, 0]
    assert 0.8 <= drawn.min() < 0.81
    assert 1.39 < drawn.max() <= 1.4


def test_a_contrast_is_that_of_a_channel() -> None:
    x = np.random.default_rng(3).uniform(0, 255, (5, 4, 3, 2)).astype(np.float32)
    layer = L.RandomContrast(0.5, seed=3)
    found = layer(x, training=True)
    for picture, changed in zip(x, found, strict=True):
        inside = (changed > 0) & (changed < 255)
        mean = np.broadcast_to(picture.mean(axis=(0, 1)), picture.shape)
        factor = np.median(((changed - mean) / (picture - mean))[inside])
        np.testing.assert_allclose(layer.reference(picture[None], factor)[0], changed, atol=0.05)


def test_a_random_crop() -> None:
    x = pictures(600, (7, 6, 2))
    layer = L.RandomCrop(4, 3)
    np.testing.assert_array_equal(layer(x), x[:, 2:6, 2:5])
    found, places = layer(x, training=True), set()
    for picture, part in zip(x, found, strict=True):
        matches = [
            (top, left)
            for top in range(4)
            for left in range(4)
            if np.array_equal(picture[top : top + 4, left : left + 3], part)
        ]
        assert len(matches) == 1
        places.add(matches[0])
    assert len(places) == 16
    assert L.RandomCrop(7, 6)(x, training=True).tolist() == x.tolist()


def test_pictures_of_bytes() -> None:
    x = RNG.integers(0, 256, (2000, 28, 28, 1), dtype=np.uint8)
    fastnn.set_random_seed(1)
    model = Sequential(
        [L.Input((28, 28, 1)), L.RandomFlip(), L.RandomRotation(0.1), L.Rescaling(1 / 255), L.Flatten(), L.Dense(4)]
    )
    model.compile("adam", "mse")
    first = model.fit(x, np.ones((2000, 4)), epochs=1, verbose=0, shuffle=False).history["loss"]
    fastnn.set_random_seed(1)
    other = Sequential(
        [L.Input((28, 28, 1)), L.RandomFlip(), L.RandomRotation(0.1), L.Rescaling(1 / 255), L.Flatten(), L.Dense(4)]
    )
    other.compile("adam", "mse")
    assert (
        other.fit(x.astype(np.float32), np.ones((2000, 4)), epochs=1, verbose=0, shuffle=False).history["loss"] == first
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: L.RandomFlip("both"), "mode must be one of"),
        (lambda: L.RandomRotation(2), r"factor must be a number \(or a list of two numbers\) in the range \[-1, 1\]"),
        (lambda: L.RandomRotation((0.1, 0.2, 0.3)), "factor must be a number"),
        (lambda: L.RandomRotation(0.1, "mirror"), "fill_mode must be one of reflect, wrap, constant, nearest"),
        (lambda: L.RandomRotation(0.1, interpolation="bicubic"), "interpolation must be one of"),
        (lambda: L.RandomZoom(-1), "height_factor must be a number"),
        (lambda: L.RandomTranslation(0.1, 1.5), "width_factor must be a number"),
        (lambda: L.RandomContrast(-0.1), "factor must be a number"),
        (lambda: L.RandomBrightness(0.1, 255), "`value_range` argument should be a list of two numbers"),
        (lambda: L.Resizing(0, 3), "height must be at least 1"),
        (lambda: L.Resizing(3, 3, "bicubic"), "interpolation must be one of bilinear, nearest"),
        (lambda: L.Resizing(3, 3, antialias=True), "antialias must be False"),
        (lambda: L.Resizing(3, 3, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), "only one of"),
        (lambda: L.CenterCrop(3, 3)(L.Input((4, 4))), r"expects pictures, rows of 3 axes \(height, width, channels\)"),
        (lambda: L.RandomFlip(data_format="first"), "data_format must be one of"),
    ],
)
def test_what_they_refuse(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_not_a_number_stays_in_its_picture() -> None:
    x = pictures(6)
    x[3, 2, 2] = np.nan
    for make in CHANGED.values():
        found = make(seed=1)(x, training=True)
        assert np.isfinite(np.delete(found, 3, axis=0)).all()
