"""Arguments of the data's classes that are of no use: each is refused by an error that names it and says what came."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fastnn.data import (
    ArraySource,
    BatchSource,
    ClassWeighted,
    PagedSource,
    SparseSource,
    SQLDataset,
    write_predictions,
)
from fastnn.data.convert import axes_of
from support.database import connect

HUGE = 10**5000  # whose digits Python refuses to write
HALF = "a\ud800"


def holds_itself() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def deep() -> Any:
    found: Any = 1.0
    for _ in range(3000):
        found = [found]
    return found


NOT_NAMES = [5, HUGE, b"a", bytearray(b"a"), memoryview(np.ones((2, 2))), np.array("a"), np.ones((4, 2)), int, object()]
NOT_NAMES += [[b"a"], [None], [["a"]], holds_itself(), deep(), np.broadcast_to(np.float32(1), (2**40, 5))]
NOT_TEXTS = [None, 5, HUGE, b"a", ["a"], {}, np.ones(2), deep()]
NOT_COUNTS = [None, True, 1.5, "1", [1], np.ones(2), -1, -HUGE, HUGE]


@pytest.fixture
def con() -> Iterator[sqlite3.Connection]:
    con = connect(":memory:")
    con.execute("CREATE TABLE t (id, a, b, y)")
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [(i, i / 2, -i, i % 2) for i in range(6)])
    con.commit()
    yield con
    con.close()


def predict(con: sqlite3.Connection, **given: Any) -> int:
    named = {"sql": "SELECT id, a, b FROM t", "into": "p", "key": "id", "kind": "values", **given}
    return write_predictions(lambda x: x[:, :1], con=con, **named)


CASES = [(name, value, (TypeError,)) for name in ("target", "features") for value in NOT_NAMES]
CASES += [("sql", value, (TypeError,)) for value in NOT_TEXTS]
CASES += [("sql", value, (ValueError,)) for value in (f"SELECT '{HALF}'", "SELECT '\0' a", "SELECT\0 1")]
CASES += [("memory_limit", value, (TypeError, ValueError)) for value in NOT_COUNTS]
CASES += [("null", value, (TypeError, ValueError)) for value in ("0", b"0", [0], np.ones(2), deep(), HUGE, 1j)]
CASES += [("params", value, (TypeError,)) for value in (HUGE, b"a", memoryview(np.ones((2, 2))), {1: 2}, {1, 2})]
CASES += [("param", [value], (TypeError, ValueError)) for value in (HUGE, HALF, deep(), np.array(HALF))]
CASES += [("param", {HALF: 1, "p": 1}, (ValueError,))]


@pytest.mark.parametrize(
    ("name", "value", "errors"), CASES, ids=lambda value: value if isinstance(value, str) else type(value).__name__
)
def test_a_dataset_names_the_argument(
    con: sqlite3.Connection, name: str, value: Any, errors: tuple[type[Exception], ...]
) -> None:
    given = {"sql": "SELECT a, b, y FROM t", "params" if name == "param" else name: value}
    with pytest.raises(errors, match=name) as caught:
        SQLDataset(con=con, **given)
    assert type(caught.value) in errors
    assert len(str(caught.value)) < 1000


PREDICTIONS = [(name, value, TypeError) for name in ("into", "key") for value in NOT_TEXTS]
PREDICTIONS += [(name, value, ValueError) for name in ("into", "key") for value in ("", "\0", HALF)]
PREDICTIONS += [(name, value, ValueError) for name in ("kind", "mode") for value in [*NOT_TEXTS, "x"]]
PREDICTIONS += [("names", value, TypeError) for value in NOT_NAMES]


@pytest.mark.parametrize(
    ("name", "value", "error"), PREDICTIONS, ids=lambda value: value if isinstance(value, str) else type(value).__name__
)
def test_predictions_name_the_argument_and_write_nothing(
    con: sqlite3.Connection, name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=name) as caught:
        predict(con, **{name: value})
    assert type(caught.value) is error
    assert con.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]


def test_names_may_be_of_any_sequence(con: sqlite3.Connection) -> None:
    for features in (["b", "a"], ("b", "a"), np.array(["b", "a"]), iter(["b", "a"])):
        dataset = SQLDataset("SELECT * FROM t", con, features=features, target=np.array(["y"]))  # type: ignore[arg-type]
        assert dataset.columns == ("b", "a")
        assert [type(name) for name in dataset.columns] == [str, str]
    assert predict(con, names=np.array(["a", "b"])) == 6


def test_a_null_character_and_any_whole_unicode_may_be_bound(con: sqlite3.Connection) -> None:
    for text in ("a\0b", "\U0001f600", np.str_("é")):
        dataset = SQLDataset("SELECT length(?) AS n, ? = ? AS same", con, params=[text.replace("\0", "")] + [text] * 2)
        assert next(iter(dataset.pages(1))).x.tolist() == [[len(text.replace("\0", "")), 1]]


SOURCES = [
    *((ClassWeighted, (value, {}), "source") for value in (None, 5, HUGE, [1], np.ones(2))),
    *((BatchSource, (value,), "batches") for value in (None, 5, HUGE, int, list, np.array(1.0), np.float32(1))),
    *((BatchSource, ([(np.ones((2, 2)), np.ones(2))], value), "inputs") for value in (5, HUGE, np.ones(2))),
    *((SparseSource, (value,), "x") for value in (None, 5, HUGE, b"x", np.ones((2, 2)))),
    *((PagedSource, (value,), "x") for value in (None, 5, HUGE, b"x", [np.ones((2, 2))] * 2)),
    *((PagedSource, (np.float64(1),), "x") for _ in range(1)),
]


@pytest.mark.parametrize(
    ("source", "given", "name"), SOURCES, ids=lambda value: value if isinstance(value, str) else type(value).__name__
)
def test_a_source_names_the_argument(source: type, given: tuple[Any, ...], name: str) -> None:
    with pytest.raises(TypeError, match=rf"\b{name} must be"):
        source(*given)


def test_axes_of_lists_in_lists() -> None:
    assert [axes_of(value) for value in (1.0, [], [1], [[1, 2]], [np.ones((2, 3))], ([],))] == [0, 1, 1, 2, 3, 2]
    for value in (holds_itself(), deep()):
        assert axes_of(value) > 64  # more than any array has


@pytest.mark.parametrize("outputs", [None, 1.5, "1", np.ones(2), HUGE, 0], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("source", [ArraySource, PagedSource])
def test_outputs_are_counted(source: Any, outputs: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="outputs must be"):
        source(np.ones((2, 3)), np.ones(2), np.ones(2), outputs=outputs)


def test_weights_without_a_number() -> None:
    with pytest.raises(ValueError, match=r"sample_weight must have the shape \(4,\)"):
        ArraySource(np.ones((4, 2)), np.ones((4, 1)), np.ones((4, 0)))
