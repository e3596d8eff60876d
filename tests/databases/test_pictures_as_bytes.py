"""Pictures of a database stay bytes until a batch is collected: a quarter of the memory and the disk, the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import Image, SQLDataset
from fastnn.layers import Conv2D, Dense, Flatten, Rescaling
from fastnn.models import Sequential
from support.database import connect

RNG = np.random.default_rng(5)
ROWS, SHAPE = 700, (5, 4, 3)
PIXELS = RNG.integers(0, 256, (ROWS, *SHAPE), dtype=np.uint8)
Y = RNG.integers(0, 3, ROWS)
QUERY = "SELECT photo, y FROM t ORDER BY id"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    with connect(tmp_path / "p.db") as con:
        con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, photo BLOB, y INT, size REAL)")
        rows = [(i, PIXELS[i].tobytes(), int(Y[i]), i / 2) for i in range(ROWS)]
        con.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        con.commit()
    return tmp_path / "p.db"


def dataset(path: Path, query: str = QUERY, resize: bool = False, **named: Any) -> SQLDataset:
    """resize: the same pixels, as float32."""
    return SQLDataset(query, path, target="y", columns={"photo": Image(SHAPE, resize)}, **named)


def rows_of(data: Any) -> np.ndarray:
    return np.concatenate([page.x for page in data.pages(64)])


def learnt(data: Any) -> tuple[list[np.ndarray], float]:
    fastnn.set_random_seed(1)
    model = Sequential([Rescaling(1 / 255), Conv2D(3, 2, activation="relu"), Flatten(), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data, epochs=3, verbose=0)
    return model.get_weights(), model.evaluate(data, verbose=0)


@pytest.mark.parametrize("where", [{}, {"cache": True}, {"memory_limit": 0}, {"memory_limit": 0, "cache": False}])
def test_bytes_teach_what_their_floats_do(path: Path, where: dict[str, Any]) -> None:
    """Wherever they are kept, and in the same order."""
    data = dataset(path, **where)
    for _ in range(2):
        found = rows_of(data)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, PIXELS.reshape(ROWS, -1))
    weights, loss = learnt(dataset(path, **where))
    others, of_floats = learnt(dataset(path, resize=True, **where))
    assert loss == of_floats
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_quarter_of_the_disk(path: Path, tmp_path: Path) -> None:
    sizes = []
    for resize in (False, True):
        for _ in range(2):  # the second one finds the first's
            found = rows_of(dataset(path, resize=resize, cache=True))
            assert found.dtype == (np.float32 if resize else np.uint8)
        sizes.append(sorted(file.stat().st_size for file in (tmp_path / "cache").rglob("x"))[-1])
    assert sizes == [ROWS * 60, ROWS * 240]


def test_memory_counts_bytes(path: Path) -> None:
    """What fits as bytes is not written to disk: of float32 it would be."""
    for resize in (False, True):
        data = dataset(path, resize=resize, memory_limit=ROWS * 70)
        rows_of(data)
        assert not list(path.parent.glob("cache/*")) or resize
    assert list(path.parent.glob("cache/*"))


@pytest.mark.parametrize(
    ("named", "dtype"),
    [
        ({"null": 7}, np.uint8),
        ({"null": 0.5}, np.float32),
        ({"null": -1}, np.float32),
        ({"null": 256}, np.float32),
        ({"null": float("nan")}, np.float32),
        ({"sequence": ("y", "id", 3)}, np.uint8),
        ({"sequence": ("y", "id", 3, 255)}, np.uint8),
        ({"sequence": ("y", "id", 3, -1)}, np.float32),
    ],
)
def test_numbers_beside_the_pictures(path: Path, named: dict[str, Any], dtype: Any) -> None:
    """What stands for NULL, and what fills a window, are kept as they were said."""
    query = "SELECT CASE WHEN id % 3 THEN photo END AS photo, y, id FROM t ORDER BY y, id"
    if "sequence" in named:
        query = "SELECT photo, y, id FROM t ORDER BY y, id"
    data = dataset(path, query, features=["photo"], **named)
    found = rows_of(data)
    assert found.dtype == dtype
    order = np.lexsort((np.arange(ROWS), Y))
    expected = PIXELS.reshape(ROWS, -1)[order].astype(np.float32)
    if "null" in named:
        expected[order % 3 == 0] = named["null"]
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_array_equal(found[:, -60:], expected)
        filler = (*named["sequence"], 0)[3]
        np.testing.assert_array_equal(found[0, :120], np.full(120, filler))


def test_a_picture_beside_a_number_is_of_floats(path: Path) -> None:
    data = dataset(path, "SELECT photo, size, y FROM t ORDER BY id")
    found = rows_of(data)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, -1], np.arange(ROWS) / 2)


def test_a_vector_of_bytes_may_be_a_list_of_any_numbers(tmp_path: Path) -> None:
    with connect(tmp_path / "v.db") as con:
        con.execute("CREATE TABLE t (v, y INT)")
        con.execute("INSERT INTO t VALUES ('[0.5, 300]', 1)")
        con.commit()
    data = SQLDataset("SELECT * FROM t", tmp_path / "v.db", target="y", columns={"v": "uint8[2]"})
    assert rows_of(data).tolist() == [[0.5, 300]]
