"""Sizes of pictures beside Keras's own, live; and a folder's order of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import _pictures, utils

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")

RNG = np.random.default_rng(9)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"])
@pytest.mark.parametrize("shape", ["", "crop_to_aspect_ratio", "pad_to_aspect_ratio"])
def test_sizes_are_keras(interpolation: str, shape: str) -> None:
    for _ in range(3):
        before, after = RNG.integers(1, 40, 2), tuple(RNG.integers(1, 40, 2).tolist())
        picture = RNG.integers(0, 256, (*before, 3)).astype(np.uint8)
        kept = {shape: True} if shape else {}
        expected = keras.ops.image.resize(
            picture.astype(np.float32), after, interpolation, data_format="channels_last", **kept
        )
        found = _pictures.resized(picture, after, interpolation, **kept)
        np.testing.assert_allclose(found, np.asarray(expected), atol=2e-2, err_msg=f"{before} {after}")


def test_a_folder_is_read_in_keras_order(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("grain")
    for name in "abc":
        (tmp_path / name).mkdir()
        for number in range(5):
            image.fromarray(RNG.integers(0, 256, (9 + number, 12, 3), dtype=np.uint8)).save(
                tmp_path / name / f"{number}.png"
            )
    shared: dict[str, Any] = {"image_size": (8, 10), "seed": 7, "batch_size": 15, "validation_split": 0.2}
    theirs = keras.utils.image_dataset_from_directory(tmp_path, subset="both", format="grain", **shared)
    ours = utils.image_dataset_from_directory(tmp_path, subset="both", **shared)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.file_paths == other.file_paths
        assert mine.class_names == other.class_names
    (x, y), (their_x, their_y) = next(iter(ours[1])), next(iter(theirs[1]))
    np.testing.assert_allclose(x, np.asarray(their_x), atol=2e-2)
    assert y.tolist() == np.asarray(their_y).tolist()
