"""``prepare=`` over each database: the same choices and the same rows as over SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import SQLDataset
from fastnn.layers import Dense
from fastnn.models import Sequential
from support.stores import KINDS, Store, store_of

RNG = np.random.default_rng(6)
ROWS = 200
COLUMNS: dict[str, list[Any]] = {
    "km": [None if i % 7 == 0 else float(x) for i, x in enumerate(RNG.normal(30, 4, ROWS))],
    "stops": RNG.integers(0, 9, ROWS).tolist(),
    "colour": [None if i % 11 == 0 else ["red", "it's green", "bleu é"][i % 3] for i in range(ROWS)],
    "taken": [str(date(2025, 1, 1) + timedelta(days=i)) for i in range(ROWS)],
    "kind": [["small", "large"][i % 2] for i in range(ROWS)],
}


@pytest.fixture(params=[kind for kind in KINDS if kind not in ("hashes", "stream")])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    made = store_of(request.param, request, tmp_path)
    made.fill(**COLUMNS)
    yield made
    made.close()


def prepared(data: Any) -> tuple[list[list[str]], np.ndarray, np.ndarray]:
    """The choices, and the engine's rows and targets."""
    fastnn.set_random_seed(1)
    model = Sequential([Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(data, epochs=1, verbose=0)
    pages = list(data.through(model.description.reads()).pages(64))
    x, y = (np.concatenate(each) for each in zip(*((page.x, page.y) for page in pages), strict=True))
    assert model.description.notes["classes"] == ["large", "small"]
    return model.description.notes["preparation"], x, y


def test_the_same_as_sqlite(store: Store, tmp_path: Path) -> None:
    names = [name for name in COLUMNS if name != "kind"]
    table, x, y = prepared(store.dataset(names, "kind", prepare="auto"))
    (tmp_path / "own").mkdir()
    own = store_of("sqlite", None, tmp_path / "own")  # type: ignore[arg-type]
    own.fill(**COLUMNS)
    expected = prepared(own.dataset(names, "kind", prepare="auto"))
    own.close()
    assert table == expected[0]
    assert [row[2] for row in table] == [
        "standardised",
        "standardised",
        "one-hot, 3 numbers",
        "time, month, day, weekday",
    ]
    np.testing.assert_allclose(x, expected[1], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(y, expected[2])
    np.testing.assert_array_equal(y.ravel(), [COLUMNS["kind"][i] == "small" for i in range(ROWS)])


def test_decimals_booleans_and_dates_of_duckdb() -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB: pip install duckdb")
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE t AS SELECT i AS id, (i * 1.5)::DECIMAL(9, 2) AS price, i % 2 = 0 AS even, "
        "DATE '2026-01-01' + i::INT AS day, TIMESTAMP '2026-01-01 06:00:00' + INTERVAL (i) HOUR AS at, "
        "(i % 2)::DOUBLE AS y FROM range(300) AS r (i)"
    )
    model = Sequential([Dense(1)])
    model.compile("adam", "mse")
    data = SQLDataset("SELECT * FROM t", con, target="y", key="id", prepare="auto")
    model.fit(data, epochs=1, verbose=0)
    found = {row[0]: row[1:3] for row in model.description.notes["preparation"]}
    assert found == {
        "price": ["numbers, 0 to 448.5", "standardised"],
        "even": ["numbers, 0 to 1", "standardised"],
        "day": ["dates, 2026-01-01 to 2026-10-27", "time, month, day, weekday"],
        "at": ["dates, 2026-01-01T06:00:00 to 2026-01-13T17:00:00", "time, day, weekday, hour"],
    }
    ((page,),) = [list(data.through(model.description.reads()).pages(300))]
    price = np.array([float(Decimal(i) * Decimal("1.5")) for i in range(300)])
    np.testing.assert_allclose(page.x[:, 0], (price - price.mean()) / price.std(), rtol=1e-5, atol=1e-6)
