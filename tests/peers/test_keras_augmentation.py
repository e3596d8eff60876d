"""Layers on pictures beside Keras's, live: with ranges of one number, so that chance decides nothing; and resizing."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from fastnn import layers

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own

RNG = np.random.default_rng(3)
MODES = ["reflect", "wrap", "constant", "nearest"]


def pictures(*shape: int) -> np.ndarray:
    return RNG.uniform(0, 255, (3, *shape)).astype(np.float32)


def compare(name: str, x: np.ndarray, *args: Any, training: bool = True, atol: float = 0.05, **fields: Any) -> None:
    ours = getattr(layers, name)(*args, **fields)(x, training=training)
    theirs = getattr(keras.layers, name)(*args, **fields)(x, training=training)
    np.testing.assert_allclose(ours, np.asarray(theirs), atol=atol, err_msg=f"{name} {args} {fields} {x.shape}")


@pytest.mark.parametrize("fill_mode", MODES)
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_turned_moved_and_zoomed(fill_mode: str, interpolation: str) -> None:
    shared = {"fill_mode": fill_mode, "interpolation": interpolation, "fill_value": 7.0}
    for shape in ((9, 6, 3), (1, 5, 1), (4, 1, 2)):
        x = pictures(*shape)
        for part in (0.1, -0.37, 0.5):
            compare("RandomRotation", x, (part, part), **shared)
            compare("RandomZoom", x, (part, part), **shared)
            compare("RandomZoom", x, (part, part), (-part / 2, -part / 2), **shared)
            compare("RandomTranslation", x, (part, part), (-part / 3, -part / 3), **shared)


def test_turned_by_a_whole_number_of_quarters() -> None:
    x = pictures(5, 5, 2)
    for quarters in (1, 2, 3):
        found = layers.RandomRotation((quarters / 4, quarters / 4), interpolation="nearest")(x, training=True)
        np.testing.assert_array_equal(found, np.rot90(x, quarters, (1, 2)))


def test_contrast_and_brightness() -> None:
    x = pictures(7, 4, 3)
    for factor in ((0.3, 0.3), (1, 1)):
        ours = layers.RandomContrast(factor, (20, 200))
        op = ours.ops((7, 4, 3))
        assert op
    for part in (0.2, -0.9, 1.0):
        compare("RandomBrightness", x, (part, part))
        compare("RandomBrightness", x / 255, (part, part), value_range=(0, 1), atol=1e-5)


def test_resizing_and_crops() -> None:
    for _ in range(4):
        x = pictures(*RNG.integers(1, 20, 2).tolist(), 3)
        height, width = RNG.integers(1, 20, 2).tolist()
        for interpolation in ("bilinear", "nearest"):
            for kept in ({}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True, "fill_value": 3.0}):
                compare("Resizing", x, height, width, interpolation, **kept)
        compare("CenterCrop", x, height, width)
    x = pictures(9, 6, 2)
    compare("CenterCrop", x, 4, 5)
    first = np.moveaxis(x, -1, 1).copy()
    for name, args in (
        ("Resizing", (5, 4)),
        ("CenterCrop", (4, 5)),
        ("RandomRotation", ((0.1, 0.1),)),
        ("RandomTranslation", ((0.1, 0.1), (0.2, 0.2))),
        ("RandomZoom", ((0.1, 0.1),)),
    ):
        compare(name, first, *args, data_format="channels_first")
