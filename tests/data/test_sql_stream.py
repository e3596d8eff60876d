"""SQLDataset beyond memory_limit: pages, permutations, memory, and passes cut short."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fastnn.data import Page, SQLDataset
from support.database import connect

ROWS = 10_007
SQL = "SELECT id, v, label FROM t"
ROW_BYTES = 3 * 4


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sql") / "rows.db"
    connection = connect(file)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v REAL, label INTEGER)")
    rows = ((i, i / 7, i % 10) for i in range(ROWS))
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return file


def drawn(pages: Iterator[Page]) -> np.ndarray:
    """Return x and y together, in the order in which the pages are to be drawn."""
    parts = []
    for page in pages:
        assert page.y is not None
        assert page.x.flags.c_contiguous
        assert page.y.flags.c_contiguous
        both = np.concatenate([page.x, page.y], axis=1)
        parts.append(both if page.order is None else both[page.order])
    return np.concatenate(parts)


EXPECTED = np.column_stack([np.arange(ROWS), np.arange(ROWS) / 7, np.arange(ROWS) % 10])


@pytest.mark.parametrize("batch_size", [1, 32, 500, 513, ROWS - 1, ROWS, ROWS + 1, 10**12])
@pytest.mark.parametrize(
    "memory_limit",
    [0, 1000, 30_000, ROWS * ROW_BYTES // 2, ROWS * ROW_BYTES - 1, ROWS * ROW_BYTES, 2**28],
)
def test_the_same_rows_whatever_the_limit(path: Path, memory_limit: int, batch_size: int) -> None:
    dataset = SQLDataset(SQL, path, target="label", memory_limit=memory_limit)
    for _ in range(2):
        pages = list(dataset.pages(batch_size))
        assert all(len(page.x) % batch_size == 0 for page in pages[:-1])
        if memory_limit >= ROWS * ROW_BYTES:
            assert len(pages) == 1
        np.testing.assert_array_equal(drawn(iter(pages)), EXPECTED.astype(np.float32))
        assert dataset.rows == ROWS


@pytest.mark.parametrize("memory_limit", [0, 30_000, 2**28])
def test_shuffled_passes_are_complete_and_follow_the_seed(path: Path, memory_limit: int) -> None:
    passes = []
    for seed in (1, 1, 2):
        dataset = SQLDataset(SQL, path, target="label", memory_limit=memory_limit)
        rng = np.random.default_rng(seed)
        passes.append([drawn(dataset.pages(32, rng)) for _ in range(2)])
    for rows in (rows for pair in passes for rows in pair):
        np.testing.assert_array_equal(rows[rows[:, 0].argsort()], EXPECTED.astype(np.float32))
        assert (rows[:-1, 0] > rows[1:, 0]).mean() > 0.4
    np.testing.assert_array_equal(passes[0], passes[1])
    assert not np.array_equal(passes[0][0], passes[0][1])
    assert not np.array_equal(passes[0][0], passes[2][0])


def test_a_result_that_fits_is_shuffled_over_all_its_rows(path: Path) -> None:
    dataset = SQLDataset(SQL, path, target="label")
    first = drawn(dataset.pages(32, np.random.default_rng(0)))[:1000, 0]
    assert first.min() < ROWS * 0.05
    assert first.max() > ROWS * 0.95


def counted(statements: list[str]) -> int:
    return sum(SQL in statement and "LIMIT 0" not in statement for statement in statements)


def in_memory(path: Path) -> sqlite3.Connection:
    """The same database where only its own connection can read it."""
    connection = connect(":memory:")
    connect(path).backup(connection)
    return connection


@pytest.fixture
def traced(path: Path) -> Iterator[tuple[sqlite3.Connection, list[str]]]:
    connection = in_memory(path)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    yield connection, statements
    connection.close()


def test_a_result_that_fits_is_read_once(traced: tuple[sqlite3.Connection, list[str]]) -> None:
    connection, statements = traced
    dataset = SQLDataset(SQL, connection, target="label")
    assert counted(statements) == 0
    for _ in range(3):
        assert len(drawn(dataset.pages(32))) == ROWS
    assert counted(statements) == 1
    connection.execute("DELETE FROM t")
    assert len(drawn(dataset.pages(32))) == ROWS
    connection.rollback()


def test_a_result_that_does_not_fit_is_read_in_each_pass(
    traced: tuple[sqlite3.Connection, list[str]],
) -> None:
    connection, statements = traced
    dataset = SQLDataset(SQL, connection, target="label", memory_limit=30_000, cache=False)
    for passes in (1, 2, 3):
        assert len(drawn(dataset.pages(32))) == ROWS
        assert counted(statements) == passes
    connection.execute("DELETE FROM t WHERE id >= 100")
    assert len(drawn(dataset.pages(32))) == 100
    connection.rollback()


@pytest.mark.parametrize("memory_limit", [0, 30_000, 2**28])
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_pass_cut_short_leaves_nothing_half_read(path: Path, memory_limit: int, taken: int) -> None:
    dataset = SQLDataset(SQL, path, target="label", memory_limit=memory_limit)
    pages = dataset.pages(32)
    for _, _ in zip(range(taken), pages, strict=False):
        pass
    pages.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(drawn(dataset.pages(32)), EXPECTED.astype(np.float32))


@pytest.mark.parametrize("memory_limit", [0, 30_000, 2**28])
def test_a_pass_that_fails_can_be_repeated(path: Path, memory_limit: int) -> None:
    connection = connect(path)
    connection.execute("UPDATE t SET v = 'x' WHERE id = 9000")
    dataset = SQLDataset(SQL, connection, target="label", memory_limit=memory_limit)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"'v' holds text .* in row 9001 "):
            drawn(dataset.pages(32))
        assert dataset.rows is None
    connection.rollback()
    np.testing.assert_array_equal(drawn(dataset.pages(32)), EXPECTED.astype(np.float32))
    connection.close()


def test_two_passes_at_once(path: Path) -> None:
    for memory_limit in (0, 30_000, 2**28):
        dataset = SQLDataset(SQL, path, target="label", memory_limit=memory_limit)
        for one, other in zip(dataset.pages(32), dataset.pages(32), strict=True):
            np.testing.assert_array_equal(one.x, other.x)


def test_an_interrupt_is_passed_on_and_forgotten(path: Path) -> None:
    connection = in_memory(path)
    calls = 0

    def interrupt() -> int:
        nonlocal calls
        calls += 1
        return calls == 20

    dataset = SQLDataset(SQL, connection, target="label")
    connection.set_progress_handler(interrupt, 1000)
    with pytest.raises(ValueError, match=r"failed after [1-9].*interrupted"):
        drawn(dataset.pages(32))
    assert len(drawn(dataset.pages(32))) == ROWS
    connection.close()


GENERATED = """
    WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 200000)
    SELECT k, k * 0.5 AS a, k * 0.25 AS b, k % 3 AS label FROM n
"""


@pytest.mark.parametrize(("memory_limit", "bound"), [(2**18, 2**20), (2**28, 2 * 2**22)])
def test_memory_while_200_000_rows_are_read(memory_limit: int, bound: int) -> None:
    connection = connect(":memory:")
    dataset = SQLDataset(GENERATED, connection, target="label", memory_limit=memory_limit)
    tracemalloc.start()
    assert sum(len(page.x) for page in dataset.pages(64)) == 200_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    connection.close()
    assert peak < bound
