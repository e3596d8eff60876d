"""SQLDataset: what a value must be, and how a column may be named."""

from __future__ import annotations

import sqlite3
from typing import Any

import numpy as np
import pytest

from fastnn.data import SQLDataset
from support.database import connect

HOSTILE = [
    'a"; DROP TABLE t; --',
    "it's",
    "two words",
    "Größe λ 数",
    "select",
    "[x]",
    "a:1",
    "x?y%20#z",
    ";",
    "",
]


def whole(dataset: SQLDataset, batch_size: int = 8) -> tuple[np.ndarray, np.ndarray | None]:
    pages = list(dataset.pages(batch_size))
    assert all(page.order is None and page.weight is None for page in pages)
    ys = [page.y for page in pages if page.y is not None]
    return np.concatenate([page.x for page in pages]), np.concatenate(ys) if ys else None


def table(rows: list[tuple[Any, ...]], *columns: str) -> sqlite3.Connection:
    """Make a table t without declared types, so that it holds what it is given."""
    connection = connect(":memory:")
    connection.execute(f"CREATE TABLE t ({', '.join(columns)})")
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", rows)
    return connection


def error_of(connection: sqlite3.Connection, **options: Any) -> str:
    try:
        with pytest.raises(ValueError, match=r".") as caught:
            whole(SQLDataset("SELECT * FROM t", connection, **options))
        return str(caught.value)
    finally:
        connection.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_column_names(name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    connection = table([(1, 2), (3, 4)], quoted, "other")
    dataset = SQLDataset("SELECT * FROM t", connection, target=name)
    x, y = whole(dataset)
    assert (x.tolist(), y.tolist()) == ([[2], [4]], [[1], [3]])  # type: ignore[union-attr]
    assert dataset.columns == ("other",)
    chosen = SQLDataset("SELECT * FROM t", connection, features=[name])
    assert whole(chosen)[0].tolist() == [[1], [3]]
    connection.close()


BAD_ROW = 700
GOOD = [(float(i), i) for i in range(1, 1001)]


def with_bad(value: Any, column: int) -> sqlite3.Connection:
    rows = [list(row) for row in GOOD]
    rows[BAD_ROW - 1][column] = value
    rows[BAD_ROW + 1][column] = value
    return table([tuple(row) for row in rows], "v", "label")


@pytest.mark.parametrize("memory_limit", [0, 2**20])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ["is NULL", "null=<number>", "WHERE"]),
        ("12.5", ["text ('12.5')", "CAST"]),
        ("", ["text ('')"]),
        ("nan", ["text ('nan')"]),
        ("x" * 1000, ["text ('" + "x" * 32 + "'..."]),
        (b"\0\1", ["a blob (b'\\x00\\x01')", "CAST"]),
        (1e39, ["1e+39", "float32's range", "scale"]),
        (-1e300, ["-1e+300", "float32's range"]),
    ],
)
@pytest.mark.parametrize("text_factory", [str, bytes])
def test_bad_value_names_column_and_row(value: Any, words: list[str], memory_limit: int, text_factory: Any) -> None:
    for column, name in enumerate(["v", "label"]):
        connection = with_bad(value, column)
        connection.text_factory = text_factory
        message = error_of(connection, target="label", memory_limit=memory_limit)
        assert f"column {name!r}" in message
        assert f"in row {BAD_ROW} of the query" in message
        expected = ["is NULL", "IS NOT NULL"] if value is None and column else words
        for word in expected:
            assert word in message


@pytest.mark.parametrize("value", [2**24 + 1, -(2**24) - 1, 2**53 + 1, 2**63 - 1])
def test_a_whole_number_that_float32_would_round(value: int) -> None:
    message = error_of(with_bad(value, 1), target="label")
    assert f"target 'label' holds the whole number {value} in row {BAD_ROW}" in message
    assert "from 0" in message
    connection = with_bad(value, 0)
    x, _ = whole(SQLDataset("SELECT * FROM t", connection, target="label"))
    assert x[BAD_ROW - 1, 0] == np.float32(value)
    connection.close()


@pytest.mark.parametrize("value", [2**24, 2**24 + 2, 2**40, -(2**62), float(2**24 + 1), 3e38])
def test_what_float32_holds_is_a_target(value: float) -> None:
    connection = with_bad(value, 1)
    _, y = whole(SQLDataset("SELECT * FROM t", connection, target="label"))
    assert y is not None
    assert y[BAD_ROW - 1, 0] == np.float32(value)
    connection.close()


@pytest.mark.parametrize("null", [float("nan"), 0, -1.5, np.float32(2)])
def test_null_is_replaced_in_features(null: float) -> None:
    rows = [(1, None, None), (None, 2, None), (3, 4, None), (None, None, 5)]
    connection = table(rows, "a", "b", "c")
    x, _ = whole(SQLDataset("SELECT * FROM t", connection, null=null))
    expected = [[null if value is None else value for value in row] for row in rows]
    np.testing.assert_array_equal(x, np.array(expected, np.float32))
    with pytest.raises(ValueError, match=r"'c' is NULL in row 1 .* IS NOT NULL"):
        whole(SQLDataset("SELECT * FROM t", connection, null=null, target="c"))
    connection.close()


def test_null_does_not_hide_text() -> None:
    message = error_of(table([(None, 1), (1, "x")], "a", "b"), null=0)
    assert "column 'b' holds text ('x') in row 2" in message


def test_infinity_is_a_number() -> None:
    connection = table([(float("inf"), -float("inf"))], "a", "b")
    assert whole(SQLDataset("SELECT * FROM t", connection))[0].tolist() == [[np.inf, -np.inf]]
    connection.close()


def test_text_in_a_column_that_is_not_used() -> None:
    connection = table([("ann", 1, None), ("bob", 2, b"x")], "name", "v", "photo")
    assert whole(SQLDataset("SELECT * FROM t", connection, features=["v"]))[0].tolist() == [
        [1],
        [2],
    ]
    connection.close()


def test_text_that_is_no_utf8() -> None:
    connection = connect(":memory:")
    with pytest.raises(ValueError, match=r"column 'v' holds text \('.*xff'\) in row 1 of the query"):
        whole(SQLDataset("SELECT CAST(x'ff' AS TEXT) AS v", connection))
    connection.close()
