"""What a fit takes: arrays, frames, sparse matrices, datasets; and what it refuses, with which words."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import ArraySource, SQLDataset
from fastnn.data.dataset import Dataset, Stored
from fastnn.linear import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegression,
    QuantileRegression,
    Ridge,
)
from support.database import connect

MODELS = [
    LinearRegression(cov_type="HC3"),
    Ridge(),
    Lasso(0.01),
    LogisticRegression(),
    PoissonRegression(),
    QuantileRegression(0.3),
]
ids = [type(model).__name__ for model in MODELS]


def data(rows: int = 5000) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(rows, 3)) * 64) / 64  # float32 holds these
    return x, rng.poisson(np.exp(0.5 * x[:, 0] - 0.25 * x[:, 1]).clip(max=3)).clip(max=2)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "rows.db"
    x, y = data()
    con = connect(path)
    con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b REAL, c REAL, y INTEGER)")
    con.executemany("INSERT INTO t (a, b, c, y) VALUES (?, ?, ?, ?)", np.column_stack([x, y]).tolist())
    con.commit()
    return path


@pytest.mark.parametrize("model", MODELS, ids=ids)
@pytest.mark.parametrize("memory", [2**28, 0])
def test_a_query_is_fitted_as_its_rows(model: Any, database: Path, memory: int) -> None:
    x, y = data()
    dataset = SQLDataset("SELECT a, b, c, y FROM t", database, target="y", memory_limit=memory)
    alone = type(model)(**model.get_params()).fit(x, y)
    found = type(model)(**model.get_params()).fit(dataset)
    np.testing.assert_allclose(found.coef_, alone.coef_, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(found.results_.bse, alone.results_.bse, rtol=1e-6)
    assert list(found.feature_names_in_) == ["a", "b", "c"]
    assert found.results_.target == "y"
    np.testing.assert_allclose(found.predict(dataset), alone.predict(x), rtol=1e-7)
    assert found.score(dataset) == pytest.approx(alone.score(x, y))
    again = type(model)(**model.get_params()).fit(
        SQLDataset("SELECT a, b, c, y FROM t", database, target="y", memory_limit=memory)
    )
    np.testing.assert_array_equal(again.coef_, found.coef_)


def test_rows_are_not_held(database: Path) -> None:
    """A dataset of more rows than its memory_limit gives them a window at a time, and no more is asked of it."""
    import tracemalloc

    dataset = SQLDataset(
        "SELECT a, b, c, y FROM t, (SELECT 1 FROM t LIMIT 80)", database, target="y", memory_limit=2**16
    )
    tracemalloc.start()
    found = LinearRegression().fit(dataset)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.results_.nobs == 400_000
    assert peak < 400_000 * 4 * 4


def test_a_model_predicts_in_the_database(database: Path, tmp_path: Path) -> None:
    x, _ = data()
    found = LinearRegression().fit(SQLDataset("SELECT a, b, c, y FROM t", database, target="y"))
    found.model_.predict_sql("SELECT id, a, b, c FROM t", database, into="predicted", key="id")
    given = np.array(connect(database).execute("SELECT prediction FROM predicted ORDER BY id").fetchall())[:, 0]
    alone = found.intercept_ + x @ found.coef_
    np.testing.assert_allclose(given, alone, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="columns"):
        found.model_.predict_sql("SELECT id, b, a, c FROM t", database, into="other", key="id")
    found.model_.save(tmp_path / "model.fastnn")
    loaded = fastnn.models.load_model(tmp_path / "model.fastnn")
    np.testing.assert_array_equal(loaded.predict(x), found.model_.predict(x))


@pytest.mark.parametrize("model", MODELS, ids=ids)
def test_containers_of_rows(model: Any) -> None:
    x, y = data()
    alone = model.fit(x, y).predict(x)
    for kind in ("pandas", "polars"):
        frames = pytest.importorskip(kind, reason=f"pip install {kind}")
        frame = frames.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
        np.testing.assert_array_equal(model.fit(frame, frame["a"] * 0 + y).predict(frame), alone)
        assert list(model.feature_names_in_) == ["a", "b", "c"]
    columns = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}
    np.testing.assert_array_equal(model.fit(columns, y).predict(columns), alone)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    np.testing.assert_array_equal(model.fit(x.tolist(), y.tolist()).predict(x.tolist()), alone)
    np.testing.assert_array_equal(model.fit(np.asfortranarray(x), y).predict(x), alone)
    np.testing.assert_array_equal(model.fit(x.astype(np.float32), y).predict(x.astype(np.float32)), alone)
    sparse = pytest.importorskip("scipy.sparse", reason="pip install scipy")
    for of in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array):
        np.testing.assert_array_equal(model.fit(of(x), y).predict(of(x)), alone)


@pytest.mark.parametrize("model", MODELS, ids=ids)
def test_a_pickled_model_is_the_same(model: Any) -> None:
    x, y = data()
    model.fit(x, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(x), model.predict(x))
    assert copy.get_params() == model.get_params()
    assert repr(copy) == repr(model)
    np.testing.assert_array_equal(copy.results_.bse, model.results_.bse)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_no_bit(threads: int) -> None:
    x, y = data()
    before = fastnn.get_num_threads()
    try:
        fastnn.set_num_threads(threads)
        found = LogisticRegression().fit(x, y).coef_
    finally:
        fastnn.set_num_threads(before)
    np.testing.assert_array_equal(found, LogisticRegression().fit(x, y).coef_)


def test_other_sources_of_rows() -> None:
    x, y = data()
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y)).astype(np.float32).astype(float)
    for source in (
        ArraySource(x, y, weight),
        Dataset(Stored((x, y, weight))),
        Dataset(Stored((x, y, weight))).batch(7),
    ):
        found = LinearRegression().fit(source)
        np.testing.assert_allclose(found.coef_, LinearRegression().fit(x, y, weight).coef_, rtol=1e-7)
        assert found.results_.model == "WLS"
        assert found.score(source) == pytest.approx(LinearRegression().fit(x, y, weight).score(x, y, weight))


def test_a_model_goes_into_a_registry(tmp_path: Path) -> None:
    x, y = data()
    found = PoissonRegression().fit({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}, y)
    with fastnn.registry.open(tmp_path / "models.db") as registry:
        registry.save(found.model_, "counts")
        loaded = registry.load("counts")
    assert loaded.feature_names == ("a", "b", "c")
    np.testing.assert_array_equal(loaded.predict(x), found.model_.predict(x))


def test_what_is_refused_is_said() -> None:
    x, y = data(20)
    model = LinearRegression()
    cases: list[tuple[Any, Any, Any, str]] = [
        (np.where(np.arange(60).reshape(20, 3) == 31, np.nan, x), y, None, "x contains NaN at row 10, column 1; fill"),
        (np.where(np.arange(60).reshape(20, 3) == 31, np.inf, x), y, None, r"infinity \(inf\) at row 10, column 1"),
        (x, np.where(np.arange(20) == 7, np.nan, y), None, "y contains NaN at row 7; leave"),
        (x, y[:-1], None, "x has 20 rows but y has 19"),
        (x[:, 0], y, None, r"Expected 2D array, got 1D array instead.*reshape\(-1, 1\) for one feature"),
        (x, None, None, "requires y to be passed"),
        (x, np.stack([y, y], axis=1), None, "y should be a 1d array"),
        (x, y, -np.ones(20), "must be finite and not negative, got -1 at row 0"),
        (x, y, np.zeros(20), "all weights are zero"),
        (x, y, np.ones(3), r"shape \(20,\), one number for each row"),
        (x * 1e200, y, None, "squares float64 cannot hold; scale the columns"),
        (x, y.astype(str), None, "y must hold numbers, got dtype"),
    ]
    for rows, targets, weight, words in cases:
        with pytest.raises(ValueError, match=words):
            model.fit(rows, targets, weight)
    with pytest.raises(TypeError, match="gives batches"):
        model.fit(iter([(x, y)]), y)
    with pytest.raises(ValueError, match=r"no.*'HC9'.*known: nonrobust|unknown cov_type 'HC9'"):
        LinearRegression(cov_type="HC9").fit(x, y)
    with pytest.raises(ValueError, match="groups belong together"):
        LinearRegression(cov_type="cluster").fit(x, y)
    for groups, words in (
        (np.zeros(20), "at least two"),
        (np.arange(19), "19 entries"),
        (np.arange(21), "21 entries for 20"),
    ):
        with pytest.raises(ValueError, match=words):
            LinearRegression(cov_type="cluster").fit(x, y, groups=groups)
    with pytest.raises(ValueError, match="not fitted yet"):
        LinearRegression().predict(x)
    with pytest.raises(ValueError, match="Invalid parameter 'alph'"):
        Ridge().set_params(alph=1)
    with pytest.raises(ValueError, match="Unknown label type"):
        LogisticRegression().fit(x, x[:, 0] + 0.123)


def test_what_a_dataset_must_be(database: Path) -> None:
    dataset = SQLDataset("SELECT a, b, c, y FROM t", database, target="y")
    with pytest.raises(ValueError, match="brings its own targets"):
        LinearRegression().fit(dataset, np.zeros(5000))
    with pytest.raises(ValueError, match="one target for each row, and the dataset has 0"):
        LinearRegression().fit(SQLDataset("SELECT a, b FROM t", database))
    with pytest.raises(ValueError, match="leave prepare= out"):
        LinearRegression().fit(SQLDataset("SELECT a, y FROM t", database, target="y", prepare="auto"))
    with pytest.raises(ValueError, match="must be 0, 1, 2"):
        LogisticRegression().fit(SQLDataset("SELECT a, y + 5 AS y FROM t", database, target="y"))
    with pytest.raises(ValueError, match="feature names should match"):
        LinearRegression().fit(dataset).predict(SQLDataset("SELECT a, c, b FROM t", database))


def test_the_package_is_imported_when_it_is_used() -> None:
    import subprocess
    import sys

    code = (
        "import sys, fastnn; assert 'fastnn.linear' not in sys.modules; import fastnn.linear; "
        "found = fastnn.linear.LinearRegression().fit([[1.0], [2], [4]], [1, 2, 3]).results_.bse; "
        "assert not {'scipy', 'sklearn', 'pandas', 'statsmodels'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
