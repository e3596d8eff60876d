"""Models, weights, backups, checkpoints and kept rows at URLs: fsspec's own clients, unchanged, on files in memory and
on a stand-in for HDFS over HTTP (support/webhdfs.py says what that follows).
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import BackupAndRestore, LambdaCallback, ModelCheckpoint
from fastnn.data import SQLDataset
from fastnn.layers import Dense, Dropout, Input
from fastnn.models import Sequential, load_model
from support.webhdfs import WebHDFS, webhdfs

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("requests")

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
Y = X.sum(axis=1)


@pytest.fixture
def hdfs() -> Iterator[WebHDFS]:
    with webhdfs() as server:
        yield server
    for fs in list(fsspec.get_filesystem_class("webhdfs")._cache.values()):
        fs.session.close()
    fsspec.get_filesystem_class("webhdfs").clear_instance_cache()


@pytest.fixture(params=["memory", "webhdfs"])
def place(request: Any) -> str:
    """A folder's URL."""
    if request.param == "webhdfs":
        return f"{request.getfixturevalue('hdfs').url}/models"
    fsspec.filesystem("memory").store.clear()
    return "memory://models"


def compiled(units: int = 4) -> Any:
    model = Sequential([Input((3,)), Dense(units, "relu"), Dropout(0.2), Dense(1)])
    model.compile("adam", "mse")
    return model


def weights(model: Any) -> list[bytes]:
    return [array.tobytes() for array in model.get_weights()]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_model_is_saved_and_loaded(place: str, compression: Any) -> None:
    model = compiled()
    model.fit(X, Y, verbose=0)
    url = f"{place}/net.fastnn"
    model.save(url, compression=compression)
    assert weights(load_model(url)) == weights(model)
    with pytest.raises(FileExistsError, match=r"net\.fastnn exists"):
        model.save(url, overwrite=False)
    model.fit(X, Y, verbose=0)
    model.save(url)  # in the place of the old one
    assert weights(load_model(url)) == weights(model)
    other = compiled()
    model.save_weights(f"{place}/net.weights")
    other.load_weights(f"{place}/net.weights")
    assert weights(other) == weights(model)


def test_what_is_not_there_is_said(place: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.fastnn"):
        load_model(f"{place}/none.fastnn")


def test_a_damaged_file_is_named(place: str) -> None:
    fs, path = fsspec.core.url_to_fs(f"{place}/odd.fastnn")
    fs.pipe_file(path, b"no model at all")
    with pytest.raises(ValueError, match=rf"cannot read '{place}/odd.fastnn'"):
        load_model(f"{place}/odd.fastnn")


def test_keras_files(place: str) -> None:
    pytest.importorskip("h5py")
    model = compiled()
    model.fit(X, Y, verbose=0)
    model.save(f"{place}/net.keras")
    assert weights(load_model(f"{place}/net.keras")) == weights(model)
    model.save_weights(f"{place}/net.weights.h5")
    other = compiled()
    other.load_weights(f"{place}/net.weights.h5")
    assert weights(other) == weights(model)


@pytest.mark.parametrize("double", [False, True])
def test_a_fit_that_ends_early_goes_on(place: str, double: bool) -> None:
    def run(*callbacks: Any, folder: str) -> Any:
        fastnn.set_random_seed(3)
        model = compiled()
        backup = BackupAndRestore(folder, double_checkpoint=double)
        model.fit(X, Y, batch_size=16, epochs=6, verbose=0, callbacks=[*callbacks, backup])
        return model

    def end(epoch: int, logs: Any) -> None:
        if epoch == 3:
            raise OSError("the power went")

    whole = run(folder=f"{place}/whole")
    with pytest.raises(OSError, match="the power went"):
        run(LambdaCallback(on_epoch_end=end), folder=f"{place}/part")
    fs, path = fsspec.core.url_to_fs(f"{place}/part")
    there = {name.rpartition("/")[2] for name in fs.ls(path, detail=False)}
    assert there == ({"latest.fastnn", "previous.fastnn"} if double else {"latest.fastnn"})
    assert weights(run(folder=f"{place}/part")) == weights(whole)
    assert not fs.exists(f"{path}/latest.fastnn")


def test_checkpoints_and_those_that_go(place: str) -> None:
    model = compiled()
    model.fit(X, Y, epochs=4, verbose=0, callbacks=[ModelCheckpoint(f"{place}/run/{{epoch}}.fastnn", keep=2)])
    fs, path = fsspec.core.url_to_fs(f"{place}/run")
    assert sorted(name.rpartition("/")[2] for name in fs.ls(path, detail=False)) == ["3.fastnn", "4.fastnn"]
    assert weights(load_model(f"{place}/run/4.fastnn")) == weights(model)


# Of HDFS.


def test_the_calls_are_hadoops(hdfs: WebHDFS) -> None:
    model = compiled()
    model.save(f"{hdfs.url}/a/net.fastnn")
    writes = [op for method, op, _ in hdfs.calls if method != "GET"]
    assert writes == ["CREATE", "CREATE", "APPEND", "APPEND", "RENAME"]
    assert set(hdfs.files) == {"/a/net.fastnn"}
    model.save(f"{hdfs.url}/a/net.fastnn")
    assert set(hdfs.files) == {"/a/net.fastnn"}


@pytest.mark.parametrize("op", ["CREATE", "APPEND", "RENAME"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_file_is_replaced_whole_or_not_at_all(hdfs: WebHDFS, op: str, after: int) -> None:
    """Whichever call fails, the old file is there, and nothing beside it."""
    model, url = compiled(), f"{hdfs.url}/net.fastnn"
    model.save(url)
    before = dict(hdfs.files)
    model.fit(X, Y, verbose=0)
    if after and op == "RENAME":  # the second, when the old one is set aside
        real = fsspec.filesystem("webhdfs", host="127.0.0.1", port=int(hdfs.url.rpartition(":")[2]))
        mv, count = real.mv, [0]

        def failing(old: str, new: str, **options: Any) -> None:
            count[0] += 1
            if count[0] == 2:
                hdfs.failing[op] = 1
            mv(old, new, **options)

        real.mv = failing
    else:
        hdfs.failing[op] = 1 + after
    with pytest.raises(PermissionError, match=r"net\.fastnn: .*Permission denied"):
        model.save(url)
    assert hdfs.files == before


def test_a_rename_that_hdfs_refuses_in_silence_is_an_error(hdfs: WebHDFS) -> None:
    """RENAME says false, with status 200, which the client does not look at."""
    model = compiled()
    real = fsspec.filesystem("webhdfs", host="127.0.0.1", port=int(hdfs.url.rpartition(":")[2]))
    real.mv = lambda old, new, **options: None
    with pytest.raises(FileNotFoundError):
        model.save(f"{hdfs.url}/net.fastnn")
    assert hdfs.files == {}


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(OSError, match=r"webhdfs://me:\*\*\*@127\.0\.0\.1:9/net\.fastnn") as error:
        compiled().save("webhdfs://me:secret@127.0.0.1:9/net.fastnn", overwrite=False)
    assert "secret" not in str(error.value)


def test_an_unknown_scheme_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        load_model("nowhere://a/b")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[files\]"'):
        load_model("memory://a/b")


# Rows that are kept for all machines.


def test_rows_are_read_once_for_all_machines(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: Any
) -> None:
    path = tmp_path / "rows.db"
    with closing(sqlite3.connect(path)) as con, con:  # noqa: TID251
        con.execute("CREATE TABLE t (a REAL, b REAL, y REAL)")
        con.executemany("INSERT INTO t VALUES (?, ?, ?)", [(i, i + 1, i % 2) for i in range(500)])
    monkeypatch.setenv("FASTNN_CACHE", f"{place}/rows")

    def rows(machine: str) -> list[bytes]:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        found = SQLDataset("SELECT a, b, y FROM t", str(path), target="y", cache=True)
        pages = [page for _ in range(2) for page in found.pages(32)]
        return [page.x.tobytes() for page in pages]

    first = rows("one")
    fs, folder = fsspec.core.url_to_fs(f"{place}/rows")
    (entry,) = fs.ls(folder, detail=False)
    assert {name.rpartition("/")[2] for name in fs.ls(entry, detail=False)} == {"about.json", "x", "y"}
    reads = []
    with monkeypatch.context() as patch:
        patch.setattr("fastnn.databases.sqlite.SQLiteReader.blocks", lambda *a: reads.append(a))
        assert b"".join(rows("two")) == b"".join(first)
    assert reads == []  # of the database
    with closing(sqlite3.connect(path)) as con, con:  # noqa: TID251
        con.execute("UPDATE t SET a = a + 1")
    shutil.rmtree(tmp_path / "two")
    assert b"".join(rows("two")) != b"".join(first)  # of another state
    assert not recwarn.list
