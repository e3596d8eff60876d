"""Fashion-MNIST: 70,000 pictures of clothes, 28 x 28 pixels, of ten kinds."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np

from fastnn.datasets._files import KERAS, DataFile, found
from fastnn.typing import Array

# Where Debian's package dataset-fashion-mnist puts it.
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def load_data(
    path: str | os.PathLike[str] | None = None, *, download: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Give (x_train, y_train), (x_test, y_test): x uint8 (60000, 28, 28) and (10000, 28, 28), y uint8, 0 .. 9.

    path: the folder with the four files *-ubyte.gz; by default fashion-mnist in FASTNN_DATASETS, ~/.fastnn/datasets or
    Keras's cache, or that of Debian's package dataset-fashion-mnist. download: fetch the files that are in none of
    them. FileNotFoundError, which says where to get them, unless it is asked for. Licence: MIT, Zalando SE.
    """
    return _part("train", path, download), _part("t10k", path, download)


def get_label_names() -> tuple[str, ...]:
    """What the classes 0 .. 9 are."""
    return NAMES


def _part(part: str, path: str | os.PathLike[str] | None, download: bool) -> tuple[Array, Array]:
    y = _bytes(f"{part}-labels-idx1-ubyte.gz", 8, path, download)
    x = _bytes(f"{part}-images-idx3-ubyte.gz", 16, path, download)
    if x.size != len(y) * 28 * 28:
        raise ValueError(f"the files {part}-* do not belong together: {len(y)} labels, {x.size / 784:g} pictures")
    return x.reshape(len(y), 28, 28), y


def _bytes(name: str, head: int, path: str | os.PathLike[str] | None, download: bool) -> Array:
    given = None if path is None else Path(path).absolute() / name
    place = found(DataFile(name, KERAS + name), given, download, more=[DEBIAN], below="fashion-mnist")
    with gzip.open(place) as file:
        return np.frombuffer(file.read(), np.uint8, offset=head)
