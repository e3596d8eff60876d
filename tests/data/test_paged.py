"""Arrays that stay in a file: every row once, pages of bounded size, and an order that mixes the file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import ArraySource, Page, PagedSource, RowSource, kinds, paged
from fastnn.data.given import source_of
from fastnn.layers import Dense
from fastnn.models import Sequential


class Chunked:
    """What h5py and zarr have in common: a shape, a dtype, chunks, and rows by slices. Notes what is read."""

    def __init__(self, values: np.ndarray, chunks: Any = None) -> None:
        self.values = values
        self.shape, self.dtype, self.chunks = values.shape, values.dtype, chunks
        self.reads: list[tuple[int, int]] = []

    def __getitem__(self, rows: slice) -> np.ndarray:
        self.reads.append((rows.start, rows.stop))
        return self.values[rows]


def mapped(path: Path, values: np.ndarray, order: str = "C") -> np.memmap:
    np.save(path / "x.npy", np.asarray(values, order=order))
    return np.load(path / "x.npy", mmap_mode="r")


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paged, "_CHUNK", 64)


def rows_in_order(page: Page) -> np.ndarray:
    return page.x if page.order is None else page.x[page.order]


ROWS = 103
X = np.arange(ROWS * 6).reshape(ROWS, 2, 3)


@pytest.mark.parametrize("dtype", ["f8", "f2", ">f4", "i8", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("memory_limit", [0, 500, 2000, 10**6])
@pytest.mark.usefixtures("short_chunks")
def test_the_pages_together_are_the_file(tmp_path: Path, dtype: str, order: str, memory_limit: int) -> None:
    given = mapped(tmp_path, (X % 251).astype(dtype), order)
    plain = np.ascontiguousarray(given, np.float32).reshape(ROWS, 6)
    y, weight = np.arange(ROWS), np.arange(ROWS) / 2
    source = PagedSource(given, y, weight, memory_limit=memory_limit)
    assert (source.rows, source.input_shape, source.targets) == (ROWS, (2, 3), 1)
    for rng in (None, np.random.default_rng(1)):
        pages = list(source.pages(4, rng))
        assert all(len(page.x) % 4 == 0 for page in pages[:-1])
        assert all(page.x.nbytes + page.y.nbytes <= max(memory_limit // 2, 4 * 28) for page in pages)
        numbers = np.concatenate([page.y[:, 0] for page in pages]).astype(int)
        np.testing.assert_array_equal(np.sort(numbers), np.arange(ROWS))
        assert (numbers == np.arange(ROWS)).all() == (rng is None or memory_limit == 10**6)
        for page in pages:
            at = page.y[:, 0].astype(int)
            np.testing.assert_array_equal(page.x, plain[at])
            np.testing.assert_array_equal(page.weight, weight[at])
            assert page.x.flags.c_contiguous
            assert (page.order is None) == (page.numbers is None) == (rng is None)
            if page.numbers is not None:
                np.testing.assert_array_equal(page.numbers, at)


@pytest.mark.usefixtures("short_chunks")
def test_the_order_is_the_seed_and_each_page_mixes_the_file() -> None:
    source = PagedSource(Chunked(np.arange(4000.0)), memory_limit=4000)
    first, again, other = (
        [rows_in_order(page)[:, 0] for page in source.pages(10, np.random.default_rng(seed))] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    assert not np.array_equal(np.concatenate(first), np.concatenate(other))
    assert len(first) == 8
    for page in first:
        assert np.histogram(page, 4, (0, 4000))[0].min() > 50


@pytest.mark.usefixtures("short_chunks")
def test_a_file_is_read_in_its_own_chunks_and_in_its_order() -> None:
    given = Chunked(np.arange(1000.0), chunks=(24, 1))
    list(PagedSource(given, memory_limit=8 * 240).pages(1, np.random.default_rng(0)))
    assert len(given.reads) <= 42 + 4  # a chunk is cut only where a page is full
    assert all(start // 24 == (stop - 1) // 24 for start, stop in given.reads)
    breaks = sum(b[0] < a[0] for a, b in zip(given.reads, given.reads[1:], strict=False))
    assert breaks == 4  # four pages after the first
    given.reads.clear()
    list(PagedSource(given).part(10, 100).pages(1))
    assert given.reads == [(10, 24), (24, 48), (48, 72), (72, 96), (96, 100)]


def test_only_a_page_is_held() -> None:
    class Zeros(Chunked):
        def __init__(self) -> None:
            self.shape, self.dtype, self.chunks = (2_000_000, 10), np.dtype("f8"), None

        def __getitem__(self, rows: slice) -> np.ndarray:
            return np.zeros((rows.stop - rows.start, 10))

    source = PagedSource(Zeros(), memory_limit=8 * 2**20)
    tracemalloc.start()
    total = sum(len(page.x) for page in source.pages(32, np.random.default_rng(0)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 2_000_000
    assert peak < 14 * 2**20


@pytest.mark.usefixtures("short_chunks")
@pytest.mark.parametrize("stored", [False, True])
def test_split(stored: bool) -> None:
    values = np.arange(100.0)
    source = PagedSource(Chunked(values), Chunked(values) if stored else values, values, memory_limit=200)
    first, last = source.split(0.3)
    for part, expected in ((first, values[:70]), (last, values[70:]), (last.part(5, 9), values[75:79])):
        for rng in (None, np.random.default_rng(0)):
            pages = list(part.pages(4, rng))
            assert part.rows == len(expected)
            for got in zip(*[(p.x[:, 0], p.y[:, 0], p.weight) for p in pages], strict=True):
                np.testing.assert_array_equal(np.sort(np.concatenate(got)), expected)
            if rng is not None:
                numbers = np.concatenate([page.numbers for page in pages])
                np.testing.assert_array_equal(np.concatenate([p.x[:, 0] for p in pages]), expected[numbers])


def bad(place: tuple[int, ...], value: float) -> np.ndarray:
    values = np.zeros((50, 2))
    values[place] = value
    return values


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((Chunked(bad((41, 1), 1e39)),), ValueError, "x holds 1e[+]39 at row 41, column 1"),
        ((Chunked(np.array(["a"] * 50)),), TypeError, "x must hold numbers"),
        ((Chunked(np.zeros((50, 2))), Chunked(np.full(50, 2**24 + 1))), ValueError, "y holds .* at row 0"),
        ((Chunked(np.zeros((50, 2))), Chunked(np.zeros(49))), ValueError, "x has 50 rows but y has 49"),
        ((Chunked(np.zeros((50, 2))), np.zeros(49)), ValueError, "x has 50 rows but y has 49"),
        ((Chunked(np.zeros((50, 2))), Chunked(np.zeros((50, 2, 0)))), ValueError, "y has no target columns"),
        ((Chunked(np.zeros((50, 2))), None, -np.ones(50)), ValueError, "sample_weight must be finite"),
        ((Chunked(np.zeros((0, 2))),), ValueError, "x has no rows"),
        ((Chunked(np.zeros((2, 0))),), ValueError, "x has no features"),
        ((Chunked(np.array(1.0)),), TypeError, "one entry for each row"),
    ],
)
@pytest.mark.usefixtures("short_chunks")
def test_what_is_refused(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        list(PagedSource(*arguments).pages(8))


def test_ids_stay_exact() -> None:
    given = Chunked(np.full((50, 1), 2**24 + 1))
    assert next(PagedSource(given).pages(8)).x[0, 0] == 2**24
    with pytest.raises(ValueError, match="x holds the whole number 16777217"):
        list(PagedSource(given, exact=True).pages(8))
    with pytest.raises(ValueError, match="memory_limit must be at least 0, got -1"):
        PagedSource(given, memory_limit=-1)


# Which source is made of what


@pytest.mark.parametrize(
    ("dtype", "limit", "kind"),
    [("f8", 47, PagedSource), ("f8", 48, ArraySource), ("f4", 0, ArraySource), (">f4", 0, PagedSource)],
)
def test_a_map_is_paged_where_its_float32_would_be_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, limit: int, kind: type[RowSource]
) -> None:
    monkeypatch.setattr(kinds, "MEMORY_LIMIT", limit)
    given = mapped(tmp_path, np.arange(12).reshape(4, 3).astype(dtype))
    source = source_of(given, np.zeros(4), None)
    assert type(source) is kind
    np.testing.assert_array_equal(next(source.pages(8)).x, given)
    assert np.shares_memory(next(source.pages(8)).x, given) == (dtype == "f4")


def test_a_fortran_map_of_float32_is_not_read_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "MEMORY_LIMIT", 0)
    given = mapped(tmp_path, np.arange(12, dtype=np.float32).reshape(4, 3), "F")
    assert type(source_of(given, None, None)) is PagedSource


@pytest.mark.parametrize("limit", [0, 10**6])
@pytest.mark.parametrize("library", ["h5py", "zarr"])
def test_arrays_of_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, limit: int) -> None:
    module = pytest.importorskip(library)
    monkeypatch.setattr(kinds, "MEMORY_LIMIT", limit)
    values = np.arange(300.0).reshape(100, 3)
    if library == "h5py":
        file = module.File(tmp_path / "x.h5", "w")
        x, y = file.create_dataset("x", data=values, chunks=(7, 3)), file.create_dataset("y", data=values[:, 0])
    else:
        x = module.create_array(str(tmp_path / "x"), data=values, chunks=(7, 3))
        y = module.create_array(str(tmp_path / "y"), data=values[:, 0])
    source = source_of(x, y, None)
    assert type(source) is (ArraySource if limit else PagedSource)
    page = next(source.pages(8, np.random.default_rng(0)))
    np.testing.assert_array_equal(page.x, values)
    np.testing.assert_array_equal(page.y, values[:, :1])
    assert page.order is not None
    if library == "h5py":
        file.close()


def test_a_model_fits_a_file_as_it_fits_the_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "MEMORY_LIMIT", 0)
    monkeypatch.setattr(
        paged.PagedSource.__init__, "__kwdefaults__", {"outputs": 1, "exact": False, "memory_limit": 99}
    )
    values = np.random.default_rng(0).random((60, 3))
    y = values.sum(axis=1)
    histories = []
    for x in (values, mapped(tmp_path, values)):
        model = Sequential([Dense(1, input_dim=3, kernel_initializer="ones")])
        model.compile("sgd", "mse")
        history = model.fit(x, y, epochs=3, batch_size=7, shuffle=False, verbose=0, validation_data=(x, y))
        histories.append([history.history["loss"], history.history["val_loss"], model.evaluate(x, y, verbose=0)])
    np.testing.assert_allclose(histories[1][0], histories[0][0], rtol=1e-6)
    np.testing.assert_allclose(histories[1][1], histories[0][1], rtol=1e-6)
