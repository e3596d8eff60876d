"""CIFAR-100: 60,000 colour pictures, 32 x 32 pixels, of 100 kinds."""

from __future__ import annotations

import os

from fastnn.datasets._cifar import batches
from fastnn.datasets._files import DataFile
from fastnn.typing import Array

FOLDER = "cifar-100-python"
FILE = DataFile(
    "cifar-100-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
)


def load_data(
    label_mode: str = "fine", path: str | os.PathLike[str] | None = None, *, download: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Give (x_train, y_train), (x_test, y_test): x uint8 (50000, 32, 32, 3) and (10000, 32, 32, 3), y uint8 (rows, 1).

    label_mode: "fine" for the 100 kinds, "coarse" for the 20 that they belong to. path: the archive
    cifar-100-python.tar.gz, or the folder it was unpacked to; by default they are looked for as ``mnist.load_data``
    does. download: as there. Source: Krizhevsky 2009.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f"label_mode must be 'fine' or 'coarse', got {label_mode!r}")
    label = f"{label_mode}_labels"
    train = batches(FILE, FOLDER, ["train"], label, path, download)
    return train, batches(FILE, FOLDER, ["test"], label, path, download)
