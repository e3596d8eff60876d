"""CIFAR-10: 60,000 colour pictures, 32 x 32 pixels, of 10 kinds."""

from __future__ import annotations

import os

from fastnn.datasets._cifar import batches
from fastnn.datasets._files import DataFile
from fastnn.typing import Array

FOLDER = "cifar-10-batches-py"
FILE = DataFile(
    "cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)


def load_data(
    path: str | os.PathLike[str] | None = None, *, download: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Give (x_train, y_train), (x_test, y_test): x uint8 (50000, 32, 32, 3) and (10000, 32, 32, 3), y uint8 (rows, 1).

    path: the archive cifar-10-python.tar.gz, or the folder it was unpacked to; by default they are looked for as
    ``mnist.load_data`` does. download: as there. Source: Krizhevsky 2009.
    """
    train = batches(FILE, FOLDER, [f"data_batch_{number}" for number in range(1, 6)], "labels", path, download)
    return train, batches(FILE, FOLDER, ["test_batch"], "labels", path, download)
