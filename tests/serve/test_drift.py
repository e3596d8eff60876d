"""What comes in beside what a model was trained on: the measures beside scipy's and sums by hand."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import SQLDataset
from fastnn.layers import Dense, Input
from fastnn.models import Model, Sequential, load_model
from fastnn.serve import drift
from fastnn.serve.drift import Drift, kolmogorov_smirnov, population_stability_index, reference
from support.database import connect


def model_of(x: Any) -> Any:
    model = Sequential([Dense(1)])
    model.build((None, np.asarray(x).shape[1]))
    reference(model, x)
    return model


def compared(x: Any, new: Any, **settings: Any) -> list[dict[str, Any]]:
    watched = Drift(model_of(x), **settings)
    watched.add(new)
    found: list[dict[str, Any]] = watched.report()["features"]
    return found


def by_hand(expected: Any, observed: Any) -> float:
    e, o = (np.maximum(np.array(each) / np.sum(each), 1e-4) for each in (expected, observed))
    return float(np.sum((o - e) * np.log(o / e)))


def test_the_index_is_what_it_is_by_hand() -> None:
    # 0.3 ln(2.5) twice: shares 0.5, 0.3, 0.2 and 0.2, 0.3, 0.5.
    assert population_stability_index([50, 30, 20], [2, 3, 5]) == pytest.approx(2 * 0.3 * np.log(2.5))
    assert population_stability_index([1, 1], [1, 0]) == pytest.approx(
        0.5 * np.log(2) + (0.0001 - 0.5) * np.log(0.0001 / 0.5)
    )
    assert kolmogorov_smirnov([50, 30, 20], [2, 3, 5]) == pytest.approx(0.3)
    assert kolmogorov_smirnov([1, 0], [0, 1]) == 1


@pytest.mark.parametrize("counts", [([1, 2], [1, 2, 3]), ([0, 0], [1, 1]), ([-1, 2], [1, 1]), (3, 4), ([np.nan], [1])])
def test_counts_that_are_none(counts: Any) -> None:
    for measure in (population_stability_index, kolmogorov_smirnov):
        with pytest.raises(ValueError, match=r"counts of the same bins|inhomogeneous"):
            measure(*counts)


SHAPES = {
    "moved": (lambda rng: rng.normal(size=3000), lambda rng: rng.normal(0.4, 1, 1700)),
    "wider": (lambda rng: rng.normal(size=3000), lambda rng: rng.normal(0, 2, 1700)),
    "skewed": (lambda rng: rng.exponential(size=2500), lambda rng: rng.exponential(1.3, size=2000)),
    "a tie": (
        lambda rng: np.where(rng.random(3000) < 0.6, 0, rng.normal(5, 1, 3000)),
        lambda rng: np.where(rng.random(1500) < 0.4, 0, rng.normal(5, 1, 1500)),
    ),
    "far away": (lambda rng: rng.normal(1e6, 1, 3000), lambda rng: rng.normal(1e6 + 1, 1, 1500)),
    "the same": (lambda rng: rng.normal(size=3000), lambda rng: rng.normal(size=3000)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_of_many_numbers_the_statistic_is_scipys_but_for_a_bin(name: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    old, new = (make(rng).astype(np.float32)[:, None] for make in SHAPES[name])
    [found] = compared(old, new)
    exact = stats.ks_2samp(old[:, 0], new[:, 0]).statistic
    assert exact - 1 / 30 - 1 / len(old) <= found["ks"] <= exact + 1e-12


@pytest.mark.parametrize("values", [(0, 1), (1, 2, 3, 4, 5), (-1.5, 0.25, 7)])
def test_of_few_numbers_the_statistic_is_scipys(values: Any) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(2)
    old = rng.choice(values, 900).astype(np.float32)[:, None]
    new = rng.choice(values, 500, p=np.arange(1, len(values) + 1) / sum(range(len(values) + 1)))
    [found] = compared(old, new.astype(np.float32)[:, None])
    assert found["ks"] == pytest.approx(stats.ks_2samp(old[:, 0], new.astype(np.float32)).statistic)
    counts = [[np.sum(each == np.float32(value)) for value in values] for each in (old[:, 0], new)]
    assert found["psi"] == pytest.approx(by_hand(*counts))


def test_the_index_of_many_numbers_goes_by_tenths() -> None:
    rng = np.random.default_rng(3)
    old, new = rng.normal(size=3000).astype(np.float32), rng.normal(0.3, 1.2, 2000).astype(np.float32)
    edges = np.quantile(old.astype(float), np.arange(1, 10) / 10)
    counts = [np.bincount(np.searchsorted(edges, each), minlength=10) for each in (old, new)]
    [found] = compared(old[:, None], new[:, None])
    assert found["psi"] == pytest.approx(by_hand(*counts), rel=1e-6)


def test_the_rows_of_training_have_not_drifted() -> None:
    rng = np.random.default_rng(4)
    x = np.stack([rng.normal(size=5000), rng.integers(0, 3, 5000), np.full(5000, 7.0)], axis=1)
    x[::7, 0] = np.nan
    for found in compared(x, x):
        assert found["psi"] == found["ks"] == 0
        assert found["missing"] == found["missing_before"]
        assert not found["drifted"]


def test_what_is_missing_is_a_bin() -> None:
    rng = np.random.default_rng(5)
    old, new = rng.normal(size=(2000, 1)), rng.normal(size=(2000, 1))
    new[: 2000 // 2] = np.nan
    [found] = compared(old, new)
    assert found["missing"] == 0.5
    assert found["missing_before"] == 0
    assert found["drifted"]
    assert found["ks"] < 0.05  # of those that are there
    [found] = compared(old, np.full((500, 1), np.nan))
    assert (found["missing"], found["ks"], found["drifted"]) == (1, None, True)
    [found] = compared(np.full((500, 1), np.nan), old)
    assert (found["missing_before"], found["ks"], found["drifted"]) == (1, None, True)


def test_a_constant_that_moves_and_infinities() -> None:
    [found] = compared(np.full((300, 1), 7.0), np.full((300, 1), 8.0))
    assert found["ks"] == 1
    assert found["drifted"]
    [found] = compared(np.random.default_rng(0).normal(size=(300, 1)), np.full((300, 1), np.inf))
    assert found["ks"] > 0.9


@pytest.mark.parametrize("rows", [30, 50, 100, 300])
def test_few_rows_drift_by_chance_and_are_not_called_so(rows: int) -> None:
    """In small windows the index is above 0.25 often; by its distribution, one in a thousand is called drifted."""
    rng = np.random.default_rng(6)
    model = model_of(rng.normal(size=(20000, 1)))
    found = []
    for _ in range(200):
        watched = Drift(model, limit=0.01)
        watched.add(rng.normal(size=(rows, 1)))
        found += watched.report()["features"]
    assert np.mean([each["psi"] > 0.01 for each in found]) > 0.9
    assert np.mean([each["drifted"] for each in found]) <= 0.015


def table(path: Path, ages: Any, plans: Any) -> None:
    con = connect(path)
    con.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, age REAL, plan TEXT, joined TEXT, bought TEXT)")
    rows = [
        (k, None if np.isnan(age) else age, plan, f"2026-0{1 + k % 9}-11", "yes" if age > 40 else "no")
        for k, (age, plan) in enumerate(zip(ages.tolist(), plans, strict=True))
    ]
    con.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?)", rows)
    con.commit()


def test_a_model_of_a_table_in_a_file(tmp_path: Path) -> None:
    """Numbers, categories and what is missing in them; dates are no feature."""
    rng = np.random.default_rng(7)
    ages = np.where(rng.random(2000) < 0.1, np.nan, rng.normal(40, 10, 2000))
    plans = rng.choice(["basic", "plus", "pro", None], 2000, p=[0.5, 0.3, 0.1, 0.1]).tolist()
    table(tmp_path / "shop.db", ages, plans)
    data = SQLDataset("SELECT * FROM people", tmp_path / "shop.db", target="bought", key="id", prepare="auto")
    model = Sequential([Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(data, epochs=1, verbose=0)
    reference(model, data)
    model.save(tmp_path / "m.fastnn")
    watched = Drift(load_model(tmp_path / "m.fastnn"))
    new = ["basic"] * 100 + ["plus"] * 300 + ["gold"] * 500 + [None] * 100
    watched.add({"age": np.where(np.isnan(ages), 0, ages)[:1000], "plan": new, "joined": ["2026-05-05"] * 1000})
    age, plan = watched.report()["features"]
    assert (age["name"], plan["name"]) == ("age", "plan")
    assert age["missing_before"] == np.isnan(ages).mean()
    assert age["missing"] == 0
    counts = [plans.count(each) for each in ("basic", "plus", "pro", None)]
    assert plan["psi"] == pytest.approx(by_hand([*counts[:3], 0, counts[3]], [100, 300, 0, 500, 100]))
    assert plan["ks"] is None
    assert plan["drifted"]
    assert plan["missing"] == 0.1
    one = {"age": np.array([np.nan]), "plan": np.array([""], object), "joined": np.array(["2026-05-05"], object)}
    watched.add(one)  # a single row, as a service has it
    assert watched.report()["rows"] == 1001
    json.dumps(watched.report(), allow_nan=False)


def test_columns_of_a_plain_model_go_by_their_names(tmp_path: Path) -> None:
    con = connect(tmp_path / "t.db")
    con.execute("CREATE TABLE t (a REAL, b REAL, y REAL)")
    con.executemany("INSERT INTO t VALUES (?, ?, ?)", np.random.default_rng(0).normal(size=(500, 3)).tolist())
    con.commit()
    data = SQLDataset("SELECT * FROM t", tmp_path / "t.db", target="y")
    model = Sequential([Dense(1)])
    model.compile("adam", "mse")
    model.fit(data, epochs=1, verbose=0)
    reference(model, data)
    watched = Drift(model)
    watched.add({"b": np.zeros(10), "a": np.ones(10)})
    watched.add({model.input_names[0]: np.zeros((10, 2))})
    watched.add(np.zeros((10, 2)))
    assert [each["name"] for each in watched.report()["features"]] == ["a", "b"]
    assert watched.report()["compared"] == 30


def test_several_inputs_and_large_ones() -> None:
    a, b = Input((2,), name="a"), Input((1,), name="b")
    model = Model([a, b], Dense(1)(fastnn.layers.Concatenate()([a, b])))
    rng = np.random.default_rng(0)
    rows = {"a": rng.normal(size=(400, 2)), "b": rng.normal(size=(400, 1))}
    reference(model, rows)
    watched = Drift(model)
    watched.add({"a": rows["a"], "b": rows["b"] + 3})
    assert [(each["name"], each["drifted"]) for each in watched.report()["features"]] == [
        ("a[0]", False),
        ("a[1]", False),
        ("b", True),
    ]
    large = Sequential([Input((20, 20, 1)), fastnn.layers.Flatten(), Dense(1)])
    x = rng.random((600, 20, 20, 1)).astype(np.float32)
    reference(large, x)
    assert len(json.dumps(large.description.notes)) < 2000
    watched = Drift(large)
    watched.add(x[:300] * 0.8)
    found = {each["name"]: each["ks"] for each in watched.report()["features"]}
    assert min(found.values()) > 0.9


def test_ids_and_free_text() -> None:
    inputs = {"id": Input((1,), dtype="int64", name="id"), "text": Input((), dtype="string", name="text")}
    lookup = fastnn.layers.IntegerLookup(vocabulary=[1, 2, 3], output_mode="one_hot")
    hashed = fastnn.layers.Hashing(8, output_mode="one_hot")
    model = Model(inputs, Dense(1)(fastnn.layers.Concatenate()([lookup(inputs["id"]), hashed(inputs["text"])])))
    rng = np.random.default_rng(0)
    rows = {"id": rng.integers(1, 4, (3000, 1)), "text": np.array([f"text {k}" for k in range(3000)], object)}
    reference(model, rows)
    assert "text 7" not in json.dumps(model.description.notes)  # nothing that names one person is kept
    watched = Drift(model)
    watched.add({"id": np.full((500, 1), 9), "text": np.array([f"other {k}" for k in range(500)], object)})
    ids, text = watched.report()["features"]
    assert ids["drifted"]
    assert text["psi"] == 0


def test_what_is_compared_is_a_window() -> None:
    rng = np.random.default_rng(8)
    watched = Drift(model_of(rng.normal(size=(3000, 1))), window=1000)
    for _ in range(10):
        watched.add(rng.normal(9, 1, size=(300, 1)))
    assert watched.report()["features"][0]["drifted"]
    for _ in range(10):
        watched.add(rng.normal(size=(300, 1)))
    found = watched.report()
    assert found["rows"] == 6000
    assert 1000 <= found["compared"] <= 2 * 1000 + 2 * 300
    assert not found["features"][0]["drifted"]


def test_many_threads_lose_no_row_and_memory_stays() -> None:
    watched = Drift(model_of(np.random.default_rng(9).normal(size=(500, 3))), window=10**6)

    def work() -> None:
        for k in range(300):
            watched.add(np.full((1 + k % 3, 3), 0.5, np.float32))
            if k % 50 == 0:
                watched.report()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert watched.report()["compared"] == watched.rows == 6 * 600
    assert len(watched._waiting) == 0


def test_a_buffer_that_is_used_again_is_copied() -> None:
    watched = Drift(model_of(np.random.default_rng(0).normal(size=(500, 1))))
    row = np.zeros((1, 1), np.float32)
    watched.add(row)
    row[:] = 99
    assert watched.report()["features"][0]["ks"] < 0.6


def test_rows_that_do_not_fit_count_for_nothing() -> None:
    watched = Drift(model_of(np.random.default_rng(0).normal(size=(500, 2))))
    for wrong in (np.zeros((3, 5)), [["a", "b"]], {"c": [1.0]}, None):
        with pytest.raises((TypeError, ValueError)):
            watched.add(wrong)
    watched.add(np.empty((0, 2)))
    assert watched.report() == {
        "rows": 0,
        "compared": 0,
        "features": [
            {"name": name, "psi": None, "ks": None, "missing": None, "missing_before": 0.0, "drifted": False}
            for name in ("input_layer[0]", "input_layer[1]")
        ],
    }
    assert list(watched.gauges()) == [
        ("fastnn_drift_drifted", {"feature": name}, 0.0) for name in ("input_layer[0]", "input_layer[1]")
    ]


def test_statistics_can_be_added_to() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 1))
    model = model_of(x)
    before = model.description.notes["reference"]["features"][0]
    reference(model, x[:100], add=True)
    after = model.description.notes["reference"]["features"][0]
    assert after["edges"] == before["edges"]
    assert sum(after["counts"]) == 1100


def test_more_rows_than_are_read_at_once() -> None:
    x = np.random.default_rng(0).normal(size=(70_000, 1)).astype(np.float32)
    edges = model_of(x).description.notes["reference"]["features"][0]["edges"]
    ranks = np.searchsorted(np.sort(x[:, 0]), edges) / len(x)
    assert np.abs(ranks - np.arange(1, 30) / 30).max() < 0.003


def test_a_model_without_statistics_says_what_to_do() -> None:
    model = Sequential([Dense(1)])
    with pytest.raises(RuntimeError, match="is not built yet"):
        reference(model, [[1.0]])
    model.build((None, 2))
    with pytest.raises(ValueError, match=r"no statistics of its inputs; call fastnn\.serve\.drift\.reference"):
        Drift(model)
    with pytest.raises(ValueError, match="no rows"):
        reference(model, np.empty((0, 2)))
    with pytest.raises(TypeError, match="must be a fastnn"):
        Drift("model")
    reference(model, np.zeros((5, 2)))
    with pytest.raises(ValueError, match="window must be at least 1"):
        Drift(model, window=0)


@pytest.mark.parametrize(
    "change",
    [
        {"counts": [1, 2]},
        {"counts": [-1] * 32},
        {"counts": [0] * 31},
        {"counts": [10**30] * 31},
        {"edges": [3, 2, 1]},
        {"edges": None},
        {"edges": "abc"},
        {"edges": {"a": 1}},
        {"edges": [[k] for k in range(29)]},
        {"name": "other"},
    ],
)
def test_statistics_that_were_altered(change: Any, tmp_path: Path) -> None:
    model = model_of(np.random.default_rng(0).normal(size=(500, 1)))
    model.description.notes["reference"]["features"][0].update(change)
    with pytest.raises(ValueError, match="are not of what it reads"):
        Drift(model)


def test_a_file_whose_statistics_are_none_is_refused(tmp_path: Path) -> None:
    model = model_of(np.zeros((5, 1)))
    model.description.notes["reference"] = {"features": [{"name": 3, "counts": "x"}]}
    model.save(tmp_path / "m.fastnn")
    with pytest.raises(ValueError, match=r"\.reference\.features"):
        load_model(tmp_path / "m.fastnn")


def test_gauges() -> None:
    rng = np.random.default_rng(0)
    watched = Drift(model_of(rng.normal(size=(500, 1))))
    watched.add(rng.normal(2, 1, size=(500, 1)))
    [found] = watched.report()["features"]
    assert [(name, value) for name, _, value in watched.gauges()] == [
        (f"fastnn_drift_{name}", float(found[name])) for name in ("psi", "ks", "missing", "drifted")
    ]
    assert drift.__all__ == ["Drift", "kolmogorov_smirnov", "population_stability_index", "reference", "typical"]
