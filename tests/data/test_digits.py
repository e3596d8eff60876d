"""The digits: their values, their form, and what a reader must find beside them."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np

from fastnn.data.digits import load_digits


def test_values() -> None:
    x, y = load_digits()
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((1797, 64), np.uint8, (1797,), np.uint8)
    assert (x.min(), x.max()) == (0, 16)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert x[0, :8].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    digest = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
    assert digest == "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def test_small_and_attributed() -> None:
    folder = files("fastnn.data")
    assert len(folder.joinpath("digits.npz").read_bytes()) <= 60_000
    text = folder.joinpath("DIGITS.md").read_text(encoding="utf-8")
    for word in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"):
        assert word in text
