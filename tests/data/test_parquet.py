"""Rows of Parquet files: on this machine, in memory, and over HDFS's HTTP; whole and a part for each rank."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import ParquetDataset
from fastnn.layers import Dense, Input
from fastnn.models import Sequential
from support.webhdfs import webhdfs

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

RNG = np.random.default_rng(1)
X = RNG.normal(size=(1000, 3)).astype(np.float32)
Y = X.sum(axis=1)
TABLE = pa.table({"a": X[:, 0], "b": X[:, 1].astype(np.float64), "c": X[:, 2], "y": Y, "name": ["n"] * 1000})


def written(folder: Path, table: Any = TABLE, files: int = 1) -> Path:
    each = len(table) // files
    for number in range(files):
        part = table.slice(number * each, each)
        pq.write_table(part, folder / f"part-{number}.parquet", row_group_size=100)
    return folder / "part-0.parquet"


def rows(dataset: Any) -> tuple[Any, Any]:
    pages = list(dataset.pages(32))
    return np.concatenate([page.x for page in pages]), np.concatenate([page.y for page in pages])[:, 0]


def wanted(path: Any, **options: Any) -> Any:
    return ParquetDataset(path, target="y", features=["a", "b", "c"], **options)


def test_a_file_a_folder_and_a_list(tmp_path: Path) -> None:
    one = written(tmp_path)
    (tmp_path / "several").mkdir()
    written(tmp_path / "several", files=2)
    listed = [tmp_path / "several" / f"part-{number}.parquet" for number in range(2)]
    for path in (one, str(one), tmp_path / "several", listed):
        x, y = rows(wanted(path))
        assert np.array_equal(x, X)
        assert np.array_equal(y, Y)


def test_a_fit_is_that_on_arrays(tmp_path: Path) -> None:
    losses = []
    for source in ((wanted(written(tmp_path)),), (X, Y)):
        model = Sequential([Input((3,)), Dense(1, kernel_initializer="zeros")])
        model.compile("sgd", "mse")
        losses.append(model.fit(*source, epochs=2, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_are_all_rows_once(tmp_path: Path, parts: int) -> None:
    path = written(tmp_path)
    found = [rows(wanted(path, part=(number, parts)))[0] for number in range(parts)]
    assert sum(map(len, found)) == 1000
    assert sorted(map(tuple, np.concatenate(found).tolist())) == sorted(map(tuple, X.tolist()))
    if parts == 2:
        assert np.array_equal(found[0][:100], X[:100])
        assert np.array_equal(found[1][:100], X[100:200])


def test_at_urls(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("requests")
    data = written(tmp_path).read_bytes()
    with webhdfs() as hdfs:
        for place in ("memory://rows", f"{hdfs.url}/rows"):
            fs, path = fsspec.core.url_to_fs(f"{place}/part-0.parquet")
            fs.pipe_file(path, data)
            for url in (f"{place}/part-0.parquet", place, [f"{place}/part-0.parquet"]):
                assert np.array_equal(rows(wanted(url))[0], X), url
            copy = pickle.loads(pickle.dumps(wanted(f"{place}/part-0.parquet", part=(1, 2))))
            assert len(rows(copy)[0]) == 500
        fs.session.close()
        fs.clear_instance_cache()


def test_a_key_splits_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path, TABLE.append_column("key", pa.array(range(1000))))
    train, test = wanted(path, key="key").split(0.25)
    assert 200 < len(rows(test)[0]) < 300
    assert len(rows(train)[0]) + len(rows(test)[0]) == 1000
    kept = wanted(path, cache=True)
    assert np.array_equal(rows(kept)[0], X)
    written(tmp_path, TABLE.slice(0, 500))
    assert len(rows(wanted(path, cache=True))[0]) == 500


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(ValueError, match=r"unknown.*'d'"):
        ParquetDataset(path, features=["d"])
    with pytest.raises(ValueError, match="column 'name' holds text"):
        rows(ParquetDataset(path, target="y"))
    nulls = TABLE.set_column(0, "a", pa.array([None, *X[1:, 0].tolist()]))
    written(tmp_path, nulls)
    with pytest.raises(ValueError, match="column 'a' is NULL in row 1"):
        rows(wanted(path))
    assert rows(wanted(path, null=-1))[0][0, 0] == -1
    (tmp_path / "odd.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match=r"odd\.parquet cannot be read; pyarrow says"):
        ParquetDataset(tmp_path / "odd.parquet")
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        ParquetDataset(tmp_path / "none.parquet")
    with pytest.raises(ValueError, match="fewer row groups than there are parts"):
        rows(wanted(written(tmp_path), part=(10, 11)))
    for part, error in (((2, 2), ValueError), ((0,), TypeError), ("01", TypeError), ((0, 0), ValueError)):
        with pytest.raises(error, match="part"):
            wanted(path, part=part)
    with pytest.raises(ValueError, match="empty list"):
        ParquetDataset([])
    with pytest.raises(TypeError, match="path must be a path"):
        ParquetDataset(3)
