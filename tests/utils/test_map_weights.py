"""A model's weights in a memory map: what is in the file, and what takes memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn.models import Model, Sequential
from fastnn.utils import map_weights
from support.small import bits

X = np.random.default_rng(0).integers(0, 50, (40, 3)).astype(np.int32)
Y = np.ones((40, 1), np.float32)


def model_of(seed: int = 1, first: Any = "uniform", ids: int = 50) -> Sequential:
    fastnn.set_random_seed(seed)
    table = L.Embedding(ids, 4, first, sparse_updates=True)
    model = Sequential([L.Input((3,), dtype="int32"), table, L.Flatten(), L.Dense(1)])
    model.compile("adam", "mse")
    return model


def fitted(model: Any) -> Any:
    model.fit(X, Y, 8, verbose=0, shuffle=False)
    return model


def test_it_trains_as_ever_and_the_file_follows(tmp_path: Path) -> None:
    model, alone = fitted(model_of()), fitted(model_of())
    assert not map_weights(model, tmp_path / "w.npy")
    assert bits(model) == bits(alone)
    assert bits(fitted(model)) == bits(fitted(alone))  # Adam goes on
    other = model_of(2)
    assert map_weights(other, tmp_path / "w.npy", "c")
    assert bits(other) == bits(model)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_copied_on_write_the_file_stays(tmp_path: Path) -> None:
    model = model_of()
    map_weights(model, tmp_path / "w.npy", "c")
    before, first = (tmp_path / "w.npy").read_bytes(), bits(model)
    assert bits(fitted(model)) != first
    assert (tmp_path / "w.npy").read_bytes() == before
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy")[:200].reshape(50, 4).tobytes(), first[0])


def test_models_that_share_layers_go_with_it(tmp_path: Path) -> None:
    table, x = L.Embedding(50, 4), L.Input((3,), dtype="int32")
    one, other = (Model(x, L.Dense(1)(L.Flatten()(table(x)))) for _ in range(2))
    map_weights(one, tmp_path / "w.npy")
    one.compile("sgd", "mse")
    fitted(one)
    assert bits(one)[0] == bits(other)[0]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells")
def test_a_table_that_is_not_read_takes_no_memory(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    rows = 3_000_000
    with (tmp_path / "w.npy").open("wb") as file:  # with a hole in it
        size = model_of(ids=5).description.store.flat.size + 4 * rows - 16 * 2
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (size,)})
        file.truncate(file.tell() + 4 * size)
    before = resident()
    model = model_of(first="zeros", ids=rows)
    map_weights(model, tmp_path / "w.npy")
    fitted(model)
    model.predict(X)
    assert resident() - before < 4 * 4 * rows / 4


@pytest.mark.parametrize("cut", [3, 1000])
def test_a_file_of_something_else_is_refused(tmp_path: Path, cut: int) -> None:
    model = fitted(model_of())
    map_weights(model_of(ids=60), tmp_path / "other.npy")
    map_weights(model_of(), tmp_path / "short.npy")
    os.truncate(tmp_path / "short.npy", cut)
    np.save(tmp_path / "doubles.npy", np.zeros(model.description.store.flat.size))
    before = bits(model)
    for name in ("other.npy", "short.npy", "doubles.npy"):
        kept = (tmp_path / name).read_bytes()
        with pytest.raises(ValueError, match="map_weights: "):
            map_weights(model, tmp_path / name)
        assert (tmp_path / name).read_bytes() == kept
    with pytest.raises(ValueError, match="mode must be"):
        map_weights(model, tmp_path / "w.npy", "w+")
    with pytest.raises(ValueError, match="not built"):
        map_weights(Sequential([L.Dense(1)]), tmp_path / "w.npy")
    with pytest.raises(FileNotFoundError, match="create the folder"):
        map_weights(model, tmp_path / "none" / "w.npy")
    assert bits(model) == before
    fitted(model)
