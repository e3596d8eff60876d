"""Pictures of bytes and ids of 4 or 8 bytes stay what they are until a batch is collected, and no bit hangs on that."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import data
from fastnn.data import ArraySource, PagedSource, convert, kinds
from fastnn.data.dataset import Dataset, Stored
from fastnn.engine.network import Network
from fastnn.engine.ops import DenseOp, EmbeddingOp
from fastnn.layers import Concatenate, Dense, Embedding, Flatten, Input, Rescaling
from fastnn.models import Model, Sequential

RNG = np.random.default_rng(5)
SMALL = ["bool", "int8", "uint8", "int16", "uint16"]
LARGE = 2**24 + 5


@pytest.fixture(autouse=True)
def keeps_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "KEPT_FROM", 0)


def numbers(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if dtype == "bool":
        return RNG.integers(0, 2, shape).astype(bool)
    ends = np.iinfo(dtype)
    x = RNG.integers(ends.min, ends.max, shape, endpoint=True).astype(dtype)
    x.flat[:2] = ends.min, ends.max
    return x


def pictures(seed: int = 2) -> Sequential:
    fastnn.set_random_seed(seed)
    model = Sequential([Input((5, 7)), Flatten(), Rescaling(1 / 256), Dense(9, "relu"), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def trained(x: Any, y: Any, threads: int = 1, **options: Any) -> list[Any]:
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    try:
        model = pictures()
        history = model.fit(x, y, epochs=3, batch_size=29, verbose=0, **options)
        given = [model.predict(x), model.predict(x[3:8]), model.predict_on_batch(x[:11]), model(x[:5], training=True)]
        given += [model.evaluate(x, y, verbose=0), *model.get_weights(), history.history["loss"]]
        return [np.asarray(each).tobytes() for each in given]
    finally:
        fastnn.set_num_threads(before)


@pytest.mark.parametrize("dtype", SMALL)
def test_a_fit_has_the_bits_of_float32(dtype: str) -> None:
    x, y = numbers(dtype, (331, 5, 7)), RNG.integers(0, 3, 331)
    expected = trained(x.astype(np.float32), y)
    for threads in (1, 2, 3):
        assert trained(x, y, threads) == expected


def test_weights_and_shares_change_nothing_about_that() -> None:
    x, y = numbers("uint8", (200, 5, 7)), RNG.integers(0, 3, 200)
    weight = RNG.integers(0, 2, 200)
    for options in (
        {"sample_weight": weight},
        {"validation_split": 0.3},
        {"class_weight": {0: 2.0}},
        {"shuffle": False},
    ):
        assert trained(x, y, **options) == trained(x.astype(float), y, **options)


@pytest.mark.parametrize("dtype", SMALL)
def test_no_copy_is_made(dtype: str) -> None:
    x = numbers(dtype, (50, 5, 7))
    source = ArraySource(x)
    assert source.x.dtype == dtype
    assert np.shares_memory(source.x, x)
    first, last = source.split(0.5)
    assert np.shares_memory(first.x, x)
    assert np.shares_memory(last.x, x)


def test_a_fit_takes_no_memory_for_its_rows() -> None:
    x, y = np.zeros((20_000, 5, 7), np.uint8), np.zeros(20_000)
    model = pictures()
    model.fit(x[:100], y[:100], verbose=0)
    tracemalloc.start()
    model.fit(x, y, verbose=0)
    model.predict(x)
    model.evaluate(x, y, verbose=0)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < x.nbytes


def test_few_numbers_become_float32_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "KEPT_FROM", 2**20)
    assert ArraySource(np.zeros((10, 3), np.uint8)).x.dtype == np.float32
    assert ArraySource(np.zeros((2**18, 1), np.uint8)).x.dtype == np.uint8
    assert ArraySource(np.zeros((2**18, 1), np.int32)).x.dtype == np.float32


@pytest.mark.parametrize("change", ["reversed", "columns", "fortran", "swapped", "read-only", "torch", "list"])
def test_any_layout(change: str) -> None:
    x = numbers("int16", (40, 5, 7))
    y = RNG.integers(0, 3, 40)
    given: Any = {
        "reversed": lambda: x[::-1],
        "columns": lambda: np.repeat(x, 2, axis=2)[:, :, ::2],
        "fortran": lambda: np.asfortranarray(x),
        "swapped": lambda: x.astype(">i2"),
        "read-only": lambda: np.frombuffer(x.tobytes(), "i2").reshape(x.shape),
        "torch": lambda: pytest.importorskip("torch").from_numpy(x),
        "list": x.tolist,
    }[change]()
    same = np.array(x[::-1] if change == "reversed" else x, np.float32)
    model, other = pictures(), pictures()
    model.fit(given, y, verbose=0, shuffle=False)
    other.fit(same, y, verbose=0, shuffle=False)
    np.testing.assert_array_equal(model.predict(given), other.predict(same))


def test_pages_datasets_and_batches_keep_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = numbers("uint8", (90, 5, 7)), RNG.integers(0, 3, 90)
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr(kinds, "MEMORY_LIMIT", 1000)
    stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(next(data.given.source_of(stored, y, None).pages(8)).x, stored)
    assert next(PagedSource(stored, y).pages(8)).x.dtype == np.uint8
    assert next(Dataset(Stored((x, y)), 8).source().pages(8)).x.dtype == np.uint8
    expected = pictures()
    expected.fit(x.astype(np.float32), y, batch_size=30, shuffle=False, verbose=0)
    for given in (
        Dataset(Stored((x, y)), 30),
        [(x[i : i + 30], y[i : i + 30]) for i in (0, 30, 60)],
        PagedSource(stored, y),
    ):
        model = pictures()
        model.fit(given, batch_size=None if isinstance(given, (list, Dataset)) else 30, shuffle=False, verbose=0)
        np.testing.assert_array_equal(model.predict(x), expected.predict(x))


def test_several_inputs_stay_bytes_where_all_are() -> None:
    a, b = Input((2, 2), name="a"), Input((3,), name="b")
    model = Model([a, b], Dense(2)(Concatenate()([Flatten()(a), b])))
    model.compile("adam", "mse")
    xa, xb, y = numbers("uint8", (60, 2, 2)), numbers("int8", (60, 3)), np.ones((60, 2))
    expected = model.predict([xa.astype(float), xb.astype(float)])
    source = data.given.source_of({"a": xa, "b": xa.reshape(60, 4)[:, :3]}, None, None, model.description.reads())
    assert next(source.pages(8)).x.dtype == np.uint8
    for second in (xb, xb.astype(float), xb.astype(np.int64)):
        np.testing.assert_array_equal(model.predict([xa, second]), expected)
        assert np.isfinite(model.fit([xa, second], y, verbose=0).history["loss"][0])
        expected = model.predict([xa.astype(float), xb.astype(float)])


def test_a_bad_label_is_named_among_bytes() -> None:
    x, y = numbers("uint8", (30, 5, 7)), np.zeros(30)
    y[11] = 7
    with pytest.raises(ValueError, match="row 11"):
        pictures().fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"expects rows of shape \(5, 7\)"):
        pictures().predict(x[:, :, :6])


# Ids


def looked_up() -> Sequential:
    fastnn.set_random_seed(1)
    model = Sequential([Embedding(LARGE + 1, 1), Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_ids_above_what_float32_holds_are_their_own_rows() -> None:
    model = looked_up()
    ids = np.array([[LARGE, 3], [2**24 + 1, 2**24], [2**24 + 3, 2**24 + 4]])
    for dtype in (np.int64, np.int32, np.uint32, np.uint64, ">i8"):
        given = ids.astype(dtype)
        model.fit(given, np.ones(3), verbose=0)  # the first of a model that is not built yet
        table, kernel, bias = model.get_weights()
        np.testing.assert_allclose(model.predict(given), table[ids][..., 0] @ kernel + bias, rtol=1e-6)
    before = model.get_weights()[0]
    model.fit(ids[:1], np.full(1, 9.0), verbose=0)
    changed = np.flatnonzero(model.get_weights()[0][:, 0] != before[:, 0])
    assert changed.tolist() == [3, LARGE]
    with pytest.raises(ValueError, match="as float32, which rounds from 2\\*\\*24 on; give ids alone"):
        model.predict(ids.astype(np.float32))
    with pytest.raises(ValueError, match=f"got {LARGE + 1} in column 1 of row 2"):
        model.predict(np.array([[0, 0], [1, 1], [0, LARGE + 1]]))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint16", "int32", "uint32", "int64", "uint64", "float32"])
def test_ids_of_any_type_look_up_the_same(dtype: str) -> None:
    fastnn.set_random_seed(1)
    model = Sequential([Input((4,)), Embedding(100, 3), Flatten(), Dense(1)])
    model.compile("adam", "mse")
    ids = RNG.integers(0, 100, (50, 4))
    given = ids.astype(dtype)
    kept = given.dtype.newbyteorder("=") if dtype[-1] in "6482" and "float" not in dtype else np.float32
    kept = {"uint32": np.int64, "uint64": np.int64}.get(dtype, kept)
    source = data.given.source_of(given, None, None, *model._sides())
    assert next(source.pages(8)).x.dtype == kept
    table, kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.predict(given), table[ids].reshape(50, 12) @ kernel + bias, rtol=1e-4, atol=1e-6)
    model.fit(given, np.ones(50), verbose=0)
    if dtype.startswith("i"):
        given[7, 2] = -1
        with pytest.raises(ValueError, match="got -1 in column 2 of row 7"):
            model.predict(given)


@pytest.mark.parametrize("far", [100, 2**31, 2**40, -(2**40), 2**62])
def test_an_id_beyond_the_table_is_named(far: int) -> None:
    model = Sequential([Input((1,)), Embedding(100, 3), Flatten(), Dense(1)])
    ids = np.zeros((5, 1), np.int64)
    ids[4] = far
    with pytest.raises(ValueError, match=r"expects whole numbers from 0 to 99, got .* in column 0 of row 4"):
        model.predict(ids)
    if far > 0:
        with pytest.raises(ValueError, match=r"from 0 to 99|do not fit|beyond|exactly"):
            model.predict(np.array([[0], [2**64 - 1]], np.uint64))


def test_ids_beside_other_numbers_are_float32() -> None:
    a, b = Input((2,), name="a"), Input((3,), name="b")
    model = Model([a, b], Dense(2)(Concatenate()([Flatten()(Embedding(50, 2)(a)), b])))
    model.compile("adam", "mse")
    ids, x = RNG.integers(0, 50, (20, 2)), RNG.normal(size=(20, 3))
    table, kernel, bias = model.get_weights()
    rows = np.concatenate([table[ids].reshape(20, 4), x], axis=1)
    np.testing.assert_allclose(model.predict([ids, x]), rows @ kernel + bias, rtol=1e-4, atol=1e-5)
    model.fit([ids, x], np.ones((20, 2)), verbose=0)


def test_gradients_by_what_is_kept() -> None:
    x = numbers("uint8", (12, 5, 7))
    model = pictures()
    found = model.gradient(x, np.zeros(12))
    expected = model.gradient(x.astype(np.float32), np.zeros(12))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    ids = Sequential([Input((1,)), Embedding(9, 2), Flatten(), Dense(1)])
    ids.compile("sgd", "mse")
    _, slopes = ids.gradient(np.arange(9)[:, None], np.zeros(9), inputs=True)
    np.testing.assert_array_equal(slopes, np.zeros((9, 1)))


def test_what_the_engine_takes() -> None:
    network = Network([DenseOp(3, 1)])
    assert not network.all_ids
    for dtype in SMALL:
        assert network.predict(np.zeros((2, 3), dtype)).shape == (2, 1)
    for bad in (
        np.zeros((2, 3), np.int32),
        np.zeros((2, 3), ">i2"),
        np.zeros((2, 3), complex),
        np.zeros((2, 4), np.uint8),
    ):
        with pytest.raises(ValueError, match="C-contiguous float32"):
            network.predict(bad)
    table = Network([EmbeddingOp(3, 10, 2)])
    assert table.all_ids
    for dtype in ("int32", "int64", "uint8", "float32"):
        np.testing.assert_array_equal(table.predict(np.full((2, 3), 4, dtype)), np.tile(table.parameters[8:10], (2, 3)))
    with pytest.raises(ValueError, match="C-contiguous float32"):
        table.predict(np.zeros((2, 3), np.uint32))
