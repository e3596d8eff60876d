"""Rows on disk: whole, of the database's state, bounded; the order of an epoch wherever the rows come from; splits."""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.callbacks import BackupAndRestore, LambdaCallback
from fastnn.data import SQLDataset, clear_cache
from fastnn.databases import cache
from fastnn.layers import Dense
from fastnn.models import Sequential
from support.database import connect

ROWS = 20_011
SQL = "SELECT id, v, label FROM t"
SMALL = 40_000  # bytes of memory: a sixth of the rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "rows.db"
    connection = connect(file)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v REAL, label INTEGER)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", ((i, i / 7, i % 10) for i in range(ROWS)))
    connection.commit()
    return file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each time that a query runs."""
    from fastnn.databases.sqlite import SQLiteReader

    seen: list[int] = []
    blocks = SQLiteReader.blocks

    def counted(self: Any, wanted: Any) -> Any:
        seen.append(1)
        return blocks(self, wanted)

    monkeypatch.setattr(SQLiteReader, "blocks", counted)
    return seen


def drawn(dataset: SQLDataset, seed: int | None = None, epoch: int = 0, batch_size: int = 32) -> np.ndarray:
    """Rows of x and y side by side, as an epoch draws them."""
    rng = None if seed is None else np.random.default_rng(seed)
    parts = []
    for page in dataset.pages(batch_size, rng, epoch):
        assert page.y is not None
        both = np.concatenate([page.x, page.y], axis=1)
        parts.append(both if page.order is None else both[page.order])
    return np.concatenate(parts)


EXPECTED = np.column_stack([np.arange(ROWS), np.arange(ROWS) / 7, np.arange(ROWS) % 10]).astype(np.float32)


def dataset_of(path: Any, **how: Any) -> SQLDataset:
    return SQLDataset(SQL, path, target="label", **({"memory_limit": SMALL} | how))


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_what_does_not_fit_is_read_once_by_all_who_ask_the_same(path: Path, folder: Path, queries: list[int]) -> None:
    for _ in range(2):
        dataset = dataset_of(path)
        for _ in range(3):
            np.testing.assert_array_equal(drawn(dataset), EXPECTED)
        assert dataset.rows == ROWS
    assert len(queries) == 1
    assert len(entries(folder)) == 1
    for other in ({"features": ["v"]}, {"null": 0.5}, {"params": ()}):
        drawn(dataset_of(path, **other))
    assert len(queries) == 3  # of which params=() asks the same
    assert clear_cache() > 0
    assert entries(folder) == []
    np.testing.assert_array_equal(drawn(dataset), EXPECTED)  # goes on


def test_what_fits_stays_in_memory_unless_the_disk_is_asked_for(path: Path, folder: Path, queries: list[int]) -> None:
    for how in ({"memory_limit": 2**20}, {"memory_limit": 2**20, "cache": False}, {"cache": False}):
        dataset = dataset_of(path, **how)
        drawn(dataset), drawn(dataset)
        assert entries(folder) == []
    assert len(queries) == 4
    drawn(dataset_of(path, memory_limit=2**20, cache=True))
    assert len(entries(folder)) == 1
    drawn(dataset_of(path, memory_limit=2**20))
    assert len(queries) == 5


@pytest.mark.parametrize("wal", [False, True])
def test_a_database_that_has_changed_is_read_again(path: Path, queries: list[int], wal: bool) -> None:
    writer = connect(path)
    writer.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
    drawn(dataset_of(path))
    old = dataset_of(path)
    drawn(old)
    assert len(queries) == 1
    writer.execute("UPDATE t SET v = -1 WHERE id = 5")
    writer.commit()
    new = drawn(dataset_of(path))
    assert len(queries) == 2
    assert new[5, 1] == -1
    np.testing.assert_array_equal(drawn(old), EXPECTED)  # the rows that it began with


def test_a_change_while_the_rows_are_read(path: Path, folder: Path) -> None:
    dataset = dataset_of(path)
    pages = dataset.pages(32)
    next(pages)
    os.utime(path)
    rest = sum(len(page.x) for page in pages)
    assert rest < ROWS
    assert len(drawn(dataset)) == ROWS
    assert len(entries(folder)) == 1
    del dataset, pages
    gc.collect()
    assert entries(folder) == []  # nobody else may take it


def test_a_lent_connection_keeps_its_rows_for_itself(path: Path, folder: Path) -> None:
    memory = connect(":memory:")
    connect(path).backup(memory)
    dataset = dataset_of(memory)
    for _ in range(2):
        np.testing.assert_array_equal(drawn(dataset), EXPECTED)
    assert len(entries(folder)) == 1
    del dataset
    assert entries(folder) == []


@pytest.mark.parametrize("file", ["x", "y", "about.json"])
@pytest.mark.parametrize("damage", ["byte", "short", "long", "gone", "empty"])
def test_damage_is_seen_and_mended(path: Path, folder: Path, queries: list[int], file: str, damage: str) -> None:
    drawn(dataset_of(path))
    [entry] = entries(folder)
    content = bytearray((entry / file).read_bytes())
    at = len(content) // 3
    content[at] ^= 0x10
    changed = {"byte": content, "short": content[:-4], "long": content + b"0000", "empty": b"", "gone": None}[damage]
    if changed is None:
        (entry / file).unlink()
    else:
        (entry / file).write_bytes(changed)
    if damage == "gone" or (file == "about.json" and damage == "byte"):
        found = drawn(dataset_of(path)) if damage == "gone" else None
    else:
        with pytest.warns(UserWarning, match="are damaged"):
            found = drawn(dataset_of(path))
    if found is not None:
        np.testing.assert_array_equal(found, EXPECTED)
        assert len(queries) == 2
        drawn(dataset_of(path))
        assert len(queries) == 2


def test_a_full_disk_is_said_once_and_training_goes_on(
    path: Path, folder: Path, queries: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    class Full:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, content: Any) -> None:
            nonlocal written
            written += len(content)
            if written > 60_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._file.write(content)

        def close(self) -> None:
            self._file.close()

    monkeypatch.setattr(
        cache,
        "open",
        lambda *how: Full(open(*how)),  # noqa: SIM115
        raising=False,
    )
    dataset = dataset_of(path)
    with pytest.warns(UserWarning, match="cannot be kept on disk.*No space left"):
        np.testing.assert_array_equal(drawn(dataset), EXPECTED)
    assert entries(folder) == []
    monkeypatch.undo()


def test_a_folder_that_cannot_be_made(path: Path, folder: Path) -> None:
    folder.write_text("a file")
    with pytest.warns(UserWarning, match="cannot be kept on disk"):
        np.testing.assert_array_equal(drawn(dataset_of(path)), EXPECTED)


def test_least_recently_used_entries_go_first(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = ROWS * 12
    monkeypatch.setenv("FASTNN_CACHE_LIMIT", str(2.5 * size))
    found = []
    for name, used in (("a", 300), ("b", 100), ("c", 200)):
        before = entries(folder)
        drawn(SQLDataset(f"SELECT id, v AS {name}, label FROM t", path, target="label", memory_limit=SMALL))
        [entry] = [each for each in entries(folder) if each not in before]
        os.utime(entry, (time.time() - used, time.time() - used))
        found.append(entry)
    assert sorted(entries(folder)) == sorted(found[1:])
    assert clear_cache(older_than=150) > 0
    assert entries(folder) == [found[1]]
    monkeypatch.setenv("FASTNN_CACHE_LIMIT", "much")
    with pytest.raises(ValueError, match="FASTNN_CACHE_LIMIT must be a number of bytes, got 'much'"):
        drawn(SQLDataset("SELECT v, label FROM t", path, target="label", memory_limit=SMALL))


SCRIPT = """
import sys
from fastnn.data import SQLDataset
dataset = SQLDataset({sql!r}, {path!r}, target="label", memory_limit={small})
print("reading", flush=True)
rows = sum(len(page.x) for page in dataset.pages(32))
assert rows == {rows}, rows
print("done", flush=True)
"""


def other_process(path: Path) -> subprocess.Popen[str]:
    script = SCRIPT.format(sql=SQL, path=str(path), small=SMALL, rows=ROWS)
    return subprocess.Popen([sys.executable, "-P", "-c", script], stdout=subprocess.PIPE, text=True)


def test_two_processes_that_make_one_entry(path: Path, folder: Path, queries: list[int]) -> None:
    both = [other_process(path) for _ in range(2)]
    for process in both:
        assert process.communicate()[0].split() == ["reading", "done"]
        assert process.returncode == 0
    assert len(entries(folder)) == 1
    np.testing.assert_array_equal(drawn(dataset_of(path)), EXPECTED)
    assert queries == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_process_that_is_killed_leaves_nothing_that_is_taken(path: Path, folder: Path) -> None:
    for wait in np.linspace(0, 0.03, 8):
        process = other_process(path)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        np.testing.assert_array_equal(drawn(dataset_of(path)), EXPECTED)
        assert [entry.suffix for entry in entries(folder)] in ([""], ["", ".part"])
        clear_cache()
        assert entries(folder) == []


def test_an_age_stands_for_a_state_that_cannot_be_known(
    path: Path, queries: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastnn.databases.sqlite import SQLiteReader

    monkeypatch.setattr(SQLiteReader, "state", lambda self: None)
    drawn(dataset_of(path))
    drawn(dataset_of(path))
    assert len(queries) == 2
    drawn(dataset_of(path, cache=100))
    drawn(dataset_of(path, cache=100))
    assert len(queries) == 3
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 101)
    drawn(dataset_of(path, cache=100))
    assert len(queries) == 4


@pytest.mark.parametrize("batch_size", [32, 1000, ROWS])
def test_the_order_is_one_whatever_the_rows_come_from(path: Path, batch_size: int) -> None:
    first = {seed: drawn(dataset_of(path, cache=False), seed, 0, batch_size) for seed in (1, 2)}
    assert not np.array_equal(first[1], first[2])
    on_disk = dataset_of(path)
    drawn(on_disk)
    kept = dataset_of(path, memory_limit=2**30)
    for seed, expected in first.items():
        np.testing.assert_array_equal(drawn(on_disk, seed, 0, batch_size), expected)
    for seed in (1, 2):  # of a larger memory_limit, so other windows
        one = drawn(dataset_of(path, memory_limit=2**30), seed, 0, batch_size)
        np.testing.assert_array_equal(drawn(kept, seed, 0, batch_size), one)
        np.testing.assert_array_equal(drawn(kept, seed, 0, batch_size), one)
    for epoch in (1, 2):
        later = drawn(on_disk, 1, epoch, batch_size)
        np.testing.assert_array_equal(later, drawn(dataset_of(path), 1, epoch, batch_size))
        np.testing.assert_array_equal(later[later[:, 0].argsort()], EXPECTED)
        assert not np.array_equal(later, first[1])


def test_windows_on_disk_are_of_many_places(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnn.data import stored

    monkeypatch.setattr(stored, "_BLOCK", 600)
    dataset = dataset_of(path)
    drawn(dataset)
    pages = list(dataset.pages(32, np.random.default_rng(0), 1))
    for page in pages[:-1]:
        assert page.rows % 32 == 0
        assert page.order is not None
        ids = page.x[page.order, 0]
        assert ids.max() - ids.min() > ROWS / 2
        assert np.abs(np.diff(ids)).mean() > ROWS / 10
    assert sum(page.rows for page in pages) == ROWS


def fitted(dataset: Any, folder: Path, stop: int | None = None, epochs: int = 3) -> list[np.ndarray]:
    """Weights after a fit of some epochs, which is cut short after so many batches."""
    from fastnn import set_random_seed

    set_random_seed(5)
    model = Sequential([Dense(4, activation="tanh"), Dense(1)])
    model.compile("adam", "mse")
    seen = 0

    def count(batch: int, logs: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == stop:
            raise KeyboardInterrupt

    callbacks = [BackupAndRestore(folder, save_freq=7, delete_checkpoint=False)]
    if stop is not None:
        callbacks.append(LambdaCallback(on_train_batch_end=count))
    try:
        model.fit(dataset, epochs=epochs, batch_size=500, verbose=0, callbacks=callbacks)
    except KeyboardInterrupt:
        assert stop is not None
    return model.get_weights()


@pytest.mark.parametrize("stop", [5, 30, 55, 100])
@pytest.mark.parametrize("memory_limit", [SMALL, 2**28])
def test_a_fit_goes_on_in_the_middle_of_an_epoch_to_the_bit(
    path: Path, tmp_path: Path, stop: int, memory_limit: int
) -> None:
    how = {"memory_limit": memory_limit}
    whole = fitted(dataset_of(path, features=["v"], **how), tmp_path / "a")
    clear_cache()
    fitted(dataset_of(path, features=["v"], **how), tmp_path / "b", stop)
    resumed = fitted(dataset_of(path, features=["v"], **how), tmp_path / "b")
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_bits_of_a_fit_do_not_depend_on_where_the_rows_are(path: Path, tmp_path: Path) -> None:
    found = []
    for number, how in enumerate(({"cache": False}, {}, {}, {"cache": True})):
        found.append(fitted(dataset_of(path, features=["v"], **how), tmp_path / f"{number}", epochs=1))
    for weights in found[1:]:
        for one, other in zip(found[0], weights, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_split_by_key_moves_no_row_when_others_come(path: Path) -> None:
    def ids(part: Any) -> set[int]:
        return set(drawn(part)[:, 0].astype(int).tolist())

    def parts(share: float) -> tuple[set[int], set[int]]:
        train, validation = dataset_of(path, key="id", features=["id", "v"]).split(share)
        return ids(train), ids(validation)

    train, validation = parts(0.2)
    assert train | validation == set(range(ROWS))
    assert not train & validation
    assert 0.18 < len(validation) / ROWS < 0.22
    assert validation < parts(0.5)[1]
    connection = connect(path)
    connection.execute("DELETE FROM t WHERE id % 3 = 0")
    connection.executemany("INSERT INTO t VALUES (?, 0, 0)", ((i,) for i in range(ROWS, 2 * ROWS)))
    connection.commit()
    later_train, later_validation = parts(0.2)
    kept = set(connection.execute("SELECT id FROM t WHERE id < ?", [ROWS]).fetchall())
    assert {i for i in later_train if i < ROWS} == {i for (i,) in kept} & train
    assert {i for i in later_validation if i < ROWS} == {i for (i,) in kept} & validation


def test_a_split_needs_a_key_and_a_share(path: Path) -> None:
    with pytest.raises(ValueError, match="pass key="):
        dataset_of(path).split(0.2)
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        dataset_of(path, key="id").split(1)
    with pytest.raises(ValueError, match=r"unknown key 'ids' .*'id'"):
        dataset_of(path, key="ids")
    connection = connect(path)
    connection.execute("CREATE TABLE u AS SELECT id, v, label FROM t WHERE id < 9 UNION ALL SELECT NULL, 1, 2")
    connection.commit()
    train, _ = SQLDataset("SELECT * FROM u", path, target="label", key="id").split(0.5)
    with pytest.raises(ValueError, match="the key 'id' is NULL in row 10 of"):
        list(train.pages(8))


def test_validation_split_of_fit_is_by_key(path: Path) -> None:
    model = Sequential([Dense(1)])
    model.compile("adam", "mse")
    history = model.fit(dataset_of(path, key="id"), validation_split=0.25, epochs=2, verbose=0)
    assert len(history.history["val_loss"]) == 2


def test_about_says_no_password_and_no_value(path: Path, folder: Path) -> None:
    SQLDataset("SELECT v, label FROM t WHERE v < ?", path, target="label", params=[123456789], memory_limit=0)
    list(SQLDataset("SELECT v, label FROM t WHERE v < ?", path, params=[123456789], memory_limit=0).pages(8))
    [entry] = entries(folder)
    assert "123456789" not in (entry / "about.json").read_text()
    assert json.loads((entry / "about.json").read_text())["rows"] == ROWS


@pytest.fixture(autouse=True)
def _gone(folder: Path) -> Iterator[None]:
    yield
    clear_cache()


def test_a_connection_that_is_lost_in_the_middle(path: Path) -> None:
    memory = connect(":memory:")
    connect(path).backup(memory)
    dataset = dataset_of(memory)
    pages = dataset.pages(32)
    next(pages)
    memory.close()
    with pytest.raises(ValueError, match=r"the query failed after \d+ rows; SQLite says: .*closed"):
        list(pages)


@pytest.mark.parametrize("params", [[7], {"n": 7}])
def test_a_table_that_grows(tmp_path: Path, params: Any) -> None:
    file = tmp_path / "grows.db"
    connection = connect(file)
    connection.execute('CREATE TABLE "t{0}" ("k{}" INTEGER PRIMARY KEY, v)')

    def add(*keys: int) -> None:
        connection.executemany('INSERT INTO "t{0}" VALUES (?, ?)', ((key, key * 2) for key in keys))
        connection.commit()

    mark = "?" if isinstance(params, list) else ":n"
    data = SQLDataset(f'SELECT * FROM "t{{0}}" WHERE v <> {mark} * 2', file, key="k{}", params=params)
    add(*range(1, 11))
    first = data.since(None)
    add(11)  # after the first look: it is for the next
    assert first.last == 10
    assert [float(v) for page in first.pages(4) for v in page.x[:, 0]] == [2.0 * k for k in range(1, 11) if k != 7]
    second = data.since(first.last)
    assert second.last == 11
    assert [float(v) for page in second.pages(4) for v in page.x[:, 0]] == [22]
    third = data.since(second.last)
    assert third.last == 11
    with pytest.raises(ValueError, match="the query gives no rows"):
        list(third.pages(4))
    with pytest.raises(ValueError, match="pass key="):
        SQLDataset('SELECT * FROM "t{0}"', file).since(3)
