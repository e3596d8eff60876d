"""MNIST: 70,000 pictures of handwritten digits, 28 x 28 pixels."""

from __future__ import annotations

import os

import numpy as np

from fastnn.datasets._files import KERAS, DataFile, found
from fastnn.typing import Array

FILE = DataFile("mnist.npz", KERAS + "mnist.npz", "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1")


def load_data(
    path: str | os.PathLike[str] = "mnist.npz", *, download: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Give (x_train, y_train), (x_test, y_test): x uint8 (60000, 28, 28) and (10000, 28, 28), y uint8, 0 .. 9.

    path: the file, or its name in FASTNN_DATASETS, ~/.fastnn/datasets or Keras's cache. download: fetch it where it is
    in none of them. FileNotFoundError, which says where to get it, unless it is asked for. Licence: CC BY-SA 3.0,
    Yann LeCun and Corinna Cortes.
    """
    with np.load(found(FILE, path, download), allow_pickle=False) as arrays:
        return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
