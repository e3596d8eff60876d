"""Rows of a query or of files, which the ranks of a fit read together: each is asked for once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import BackupAndRestore, Callback
from fastnn.data import SQLDataset
from fastnn.databases.sqlite import SQLiteReader
from fastnn.layers import Dense, Input
from fastnn.models import Sequential
from support.database import connect
from support.ranks import Kill, KilledError, run, same
from support.small import bits

ROWS = 20_000


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    rng = np.random.default_rng(0)
    with connect(path) as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b REAL, y REAL, label TEXT)")
        rows = zip(
            range(1, 3 * ROWS, 3), *rng.normal(size=(3, ROWS)).tolist(), ["yes", "no"] * (ROWS // 2), strict=True
        )
        database.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
        database.commit()
    return path


class Counted:
    """How many rows each of some readers has given, by the communicator's thread or one that reads for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
        self.rows: list[int] = []
        plain = kind.blocks

        def blocks(reader: Any, wanted: Any) -> Any:
            place = len(self.rows)
            self.rows.append(0)
            for block in plain(reader, wanted):
                self.rows[place] += len(block.numbers)
                yield block

        monkeypatch.setattr(kind, "blocks", blocks)


def dense(units: int = 2) -> Any:
    model = Sequential([Input((units,)), Dense(7, "tanh"), Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def fitted(communicator: Any, dataset: Any, make: Any = dense, **how: Any) -> Any:
    model = make()
    how = {"batch_size": 500, "epochs": 2, "verbose": 0, **how}
    history = model.fit(dataset(), distribute=communicator, **how)
    return history.history, bits(model)


def alone(dataset: Any, **how: Any) -> Any:
    with fastnn.random.seeded(0):
        return fitted(None, dataset, **how)


def of(shop: Path, sql: str = "SELECT a, b, y FROM t", **how: Any) -> Any:
    return lambda: SQLDataset(sql, shop, **{"target": "y", "cache": False, **how})


@pytest.mark.parametrize("size", [2, 3])
def test_each_rank_reads_a_part_of_a_table(size: int, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone(of(shop))
    counted = Counted(monkeypatch, SQLiteReader)
    assert same(size, lambda c: fitted(c, of(shop))) == expected
    assert sum(counted.rows) == ROWS
    assert len(counted.rows) == 8 * size
    assert max(counted.rows) < 1.1 * ROWS / len(counted.rows)


ORDERED = "SELECT id, a, b, y FROM t WHERE a < 1.5 ORDER BY id"


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize("params", [None, {"least": 0.1}])
def test_each_rank_reads_a_range_of_the_key(
    kind: str, params: Any, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql, con, reader = ORDERED, str(shop), SQLiteReader
    if kind == "duckdb":
        duckdb = pytest.importorskip("duckdb")
        from fastnn.databases.duckdb import DuckDBReader as reader

        con = f"duckdb:///{tmp_path / 'shop.duckdb'}"
        with connect(shop) as database, duckdb.connect(str(tmp_path / "shop.duckdb")) as other:
            rows = np.array(database.execute("SELECT id, a, b, y FROM t").fetchall())
            other.execute("CREATE TABLE t (id INTEGER, a DOUBLE, b DOUBLE, y DOUBLE)")
            path = tmp_path / "t.csv"
            np.savetxt(path, rows, delimiter=",", fmt=["%d", *["%.17g"] * 3])
            other.execute(f"COPY t FROM '{path}' (HEADER false)")
    if params is not None:
        sql = sql.replace("1.5", "$least" if kind == "duckdb" else ":least")

    def dataset() -> Any:
        return SQLDataset(sql, con, target="y", key="id", features=["a", "b"], params=params, cache=False)

    expected = alone(dataset)
    counted = Counted(monkeypatch, reader)
    counts = []
    for size in (2, 3):
        counted.rows.clear()
        assert same(size, lambda c: fitted(c, dataset)) == expected
        ends, *parts = counted.rows
        assert ends == 1
        assert len(parts) == 8 * size
        assert max(parts) < 1.2 * sum(parts) / len(parts)
        counts.append(sum(parts))
    assert counts[0] == counts[1] < ROWS


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, a, b, y FROM t ORDER BY id DESC",
        "SELECT id, a, b, y FROM t ORDER BY id LIMIT 7000",
        "SELECT id, a, b, y FROM t ORDER BY b, id",
        "SELECT id / 2.0 AS id, a, b, y FROM t ORDER BY id",
        "SELECT nullif(id, 1) AS id, a, b, y FROM t ORDER BY id",
        "SELECT CAST(id AS TEXT) AS id, a, b, y FROM t ORDER BY id",
        "SELECT b AS id, a, b + 0 AS b, y FROM t ORDER BY t.id",
    ],
)
def test_orders_that_are_not_cut(sql: str, shop: Path) -> None:
    dataset = of(shop, sql, key="id", features=["a", "b"])
    assert dataset().reader.cuts(16, "id") == ()
    assert same(2, lambda c: fitted(c, dataset, epochs=1)) == alone(dataset, epochs=1)


@pytest.mark.parametrize(
    "how",
    [
        {"sql": "SELECT a, b, y FROM t WHERE id > 7 ORDER BY b"},
        {"sql": "SELECT a, b, y FROM t WHERE a < :most", "params": {"most": 0.5}},
        {"memory_limit": 100_000},
        {"sql": "SELECT id, a, y FROM t", "sequence": ("id", "a", 1), "features": ["a"]},
    ],
    ids=str,
)
def test_what_cannot_be_cut_is_read_by_rank_0(how: dict[str, Any], shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> Any:
        model = dense()
        if "sequence" in how:
            model = Sequential([Input((1, 1)), fastnn.layers.Flatten(), Dense(1)])
            model.compile("adam", "mse")
        return model

    expected = alone(of(shop, **how), make=make)
    counted = Counted(monkeypatch, SQLiteReader)
    assert same(3, lambda c: fitted(c, of(shop, **how), make=make)) == expected
    passes = 2 if "memory_limit" in how else 1
    assert sum(counted.rows) % passes == 0
    assert len(counted.rows) == (24 * passes if passes == 2 else 1)


def test_validation_too(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"validation_split": 0.25}
    expected = alone(of(shop, key="id", features=["a", "b"], sql="SELECT id, a, b, y FROM t"), **how)
    counted = Counted(monkeypatch, SQLiteReader)
    dataset = of(shop, key="id", features=["a", "b"], sql="SELECT id, a, b, y FROM t")
    assert same(2, lambda c: fitted(c, dataset, **how)) == expected
    assert sum(counted.rows) == 2 * ROWS  # of training, and of validation
    assert len(expected[0]["val_loss"]) == 2


def test_validation_data_of_another_query(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = of(shop, "SELECT a, b, y FROM t WHERE id % 10 = 1")
    expected = alone(of(shop), validation_data=other(), epochs=3)
    counted = Counted(monkeypatch, SQLiteReader)

    def work(communicator: Any) -> Any:
        return fitted(communicator, of(shop), validation_data=other(), epochs=3)

    assert same(3, work) == expected
    assert sum(counted.rows) == ROWS + len(range(1, 3 * ROWS, 30))


def test_the_pass_that_prepares_columns(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> Any:
        model = Sequential([Dense(5, "relu"), Dense(1)])
        model.compile("adam", "mse")
        return model

    dataset = of(shop, "SELECT a, label, y FROM t", prepare="auto")
    counted = Counted(monkeypatch, SQLiteReader)
    expected = alone(dataset, make=make)
    of_one = sum(counted.rows)
    counted.rows.clear()
    assert same(2, lambda c: fitted(c, dataset, make=make)) == expected
    assert sum(counted.rows) == of_one
    assert len(counted.rows) > 16  # a look at the first rows, a pass to prepare, and one by parts


def test_class_weights_of_all_rows(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> Any:
        model = Sequential([Input((2,)), Dense(1, "sigmoid")])
        model.compile("adam", "binary_crossentropy")
        return model

    dataset = of(shop, "SELECT a, b, y > 0.5 AS y FROM t")
    expected = alone(dataset, make=make, class_weight="balanced")
    assert same(2, lambda c: fitted(c, dataset, make=make, class_weight="balanced")) == expected


def test_rows_on_disk(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    fastnn.data.clear_cache()
    expected = alone(of(shop, cache=True))
    fastnn.data.clear_cache()
    counted = Counted(monkeypatch, SQLiteReader)
    assert same(2, lambda c: fitted(c, of(shop, cache=True))) == expected
    assert sum(counted.rows) == ROWS
    assert same(2, lambda c: fitted(c, of(shop, cache=True))) == expected
    assert sum(counted.rows) == ROWS


def test_one_rank_has_the_rows_already(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone(of(shop))
    counted = Counted(monkeypatch, SQLiteReader)

    def work(communicator: Any) -> Any:
        dataset = of(shop)()
        if communicator.rank == 1:
            assert sum(page.rows for page in dataset.pages(100)) == ROWS
        return fitted(communicator, lambda: dataset)

    assert same(3, work) == expected
    assert sum(counted.rows) == 2 * ROWS


def test_a_bad_row_has_its_number(shop: Path) -> None:
    with connect(shop) as database:
        database.execute("UPDATE t SET b = NULL WHERE id = ?", (3 * 15_000 + 1,))
        database.commit()
    for each in run(2, lambda c: fitted(c, of(shop))):
        with pytest.raises(ValueError, match="column 'b' is NULL in row 15001 of the query"):
            raise each


def test_steps_that_end_within_the_query(shop: Path) -> None:
    how = {"steps_per_epoch": 7, "epochs": 3, "batch_size": 100}
    assert same(2, lambda c: fitted(c, of(shop), **how)) == alone(of(shop), **how)


def test_queries_that_differ(shop: Path) -> None:
    for each in run(2, lambda c: fitted(c, of(shop, "SELECT a, b, y FROM t" + " ORDER BY a" * c.rank))):
        with pytest.raises(ValueError, match="the data of rank 1 is not that of rank 0"):
            raise each
    for each in run(2, lambda c: fitted(c, of(shop, cache=c.rank == 0))):
        with pytest.raises(ValueError, match="the data of rank 1"):
            raise each


def test_a_rank_that_does_something_else(shop: Path) -> None:
    def make() -> Any:
        model = Sequential([Dense(1)])
        model.compile("adam", "mse")
        return model

    def work(communicator: Any) -> Any:
        if communicator.rank:
            return fitted(communicator, of(shop))
        return fitted(communicator, of(shop, "SELECT a, label, y FROM t", prepare="auto"), make=make)

    for each in run(2, work):
        with pytest.raises(ValueError, match="same, but rank 1 is about to begin where rank 0 reads rows"):
            raise each


def test_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow
    from pyarrow import parquet

    from fastnn.data import ParquetDataset
    from fastnn.data.parquet import ParquetReader

    rng = np.random.default_rng(0)
    table = pyarrow.table({name: rng.normal(size=ROWS).astype("f4") for name in ("a", "b", "y")})
    parquet.write_table(table[:12_000], tmp_path / "0.parquet", row_group_size=1000)
    parquet.write_table(table[12_000:], tmp_path / "1.parquet", row_group_size=700)

    def dataset() -> Any:
        return ParquetDataset(tmp_path, target="y", cache=False)

    expected = alone(dataset)
    counted = Counted(monkeypatch, ParquetReader)
    for size, parts in ((2, 16), (3, 24)):
        counted.rows.clear()
        assert same(size, lambda c: fitted(c, dataset)) == expected
        assert sum(counted.rows) == ROWS
        assert len(counted.rows) == min(parts, 24)
        assert max(counted.rows) <= 2000


@pytest.mark.parametrize(("first", "then", "killed"), [(2, 3, 7), (3, 2, 47), (1, 2, 30), (2, 1, 30)])
def test_a_backup_within_the_query_and_after_it(first: int, then: int, killed: int, shop: Path, tmp_path: Path) -> None:
    def hooks(last: int) -> Any:
        return [BackupAndRestore(tmp_path / "backup", save_freq=2), Kill(last)]

    expected = alone(of(shop), callbacks=[Kill(999)])
    with pytest.raises(KilledError):
        same(first, lambda c: fitted(c, of(shop), callbacks=hooks(killed)))
    assert same(then, lambda c: fitted(c, of(shop), callbacks=hooks(999)))[1] == expected[1]


def test_what_a_callback_reads_is_its_own(shop: Path) -> None:
    """And the same dataset."""

    def work(communicator: Any) -> Any:
        dataset = of(shop)()

        class Reads(Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                logs["rows"] = sum(page.rows for page in dataset.pages(100))
                logs["loss of all"] = self.model.evaluate(dataset, verbose=0)[0]

        return fitted(communicator, lambda: dataset, callbacks=[Reads()])

    with fastnn.random.seeded(0):
        expected = work(None)
    assert expected[0]["rows"] == [ROWS, ROWS]
    assert same(2, work) == expected
