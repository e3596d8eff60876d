"""Predictions in a table of a real database, whatever becomes of it meanwhile."""

from __future__ import annotations

import functools
import json
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.databases.addresses import reader_of
from fastnn.databases.reader import Wanted
from fastnn.layers import Dense, Input
from fastnn.models import Model, Sequential
from fastnn.serve import Observer, PredictionLog, drift, observe
from support import servers
from support.database import connect, read

COLUMNS = ["predicted_at", "model", "model_version", "request", "place", "row_key"]
COLUMNS += ["prediction", "probability", "outputs", "inputs"]


def made(units: int, activation: str, inputs: int = 2) -> Any:
    model = Sequential([Dense(units, activation)], name="churn")
    model.build((None, inputs))
    return model


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'log.db'}"
    elif request.param == "postgres":
        for needed in ("psycopg", "adbc_driver_postgresql"):
            pytest.importorskip(needed)
        with servers.postgres_database(request.getfixturevalue("postgres_server")) as url:
            yield url
    else:
        with servers.mariadb_database(request.getfixturevalue("mariadb_server")) as options:
            yield servers.mysql_url(options)


def rows_of(database: str, table: str = "fastnn_predictions") -> list[dict[str, Any]]:
    reader = reader_of(f"SELECT * FROM {table}", database)
    names = reader.columns
    return [
        dict(zip(names, row, strict=True))
        for block in reader.blocks(Wanted((), (), names))
        for row in zip(*(each.tolist() for each in block.others), strict=True)
    ]


def test_what_is_kept(database: str) -> None:
    model = made(3, "softmax")
    model.description.notes["classes"] = ["bronze", "silver", "gold"]
    x = np.array([[1, 2], [3, 4], [5, np.nan]], np.float32)
    out = np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [np.nan] * 3], np.float32)
    before = datetime.now(UTC)
    with PredictionLog(database, inputs=True) as log:
        assert log.add(model, out, version=2, request="r1", keys=[7, 8.0, "o'clock ?%s"], inputs=x)
        assert log.add(
            made(1, "sigmoid"), np.array([[0.9], [0.2]]), name="other", inputs={"a": [1, 2], "b": ["x", None]}
        )
        assert log.add(made(1, "linear"), np.array([[1.5]], np.float32), keys=[np.int64(5)])
        assert log.add(made(2, "linear"), np.array([[1.5, 2]], np.float32))
    assert (log.written, log.dropped, log.waiting, log.error) == (7, 0, 0, None)
    found = rows_of(database)
    assert list(found[0]) == COLUMNS
    assert all(before <= datetime.fromisoformat(each["predicted_at"]) <= datetime.now(UTC) for each in found)
    assert [each["model"] for each in found] == ["churn"] * 3 + ["other"] * 2 + ["churn"] * 2
    assert [each["model_version"] for each in found] == ["2"] * 3 + [None] * 4
    assert [each["request"] for each in found] == ["r1"] * 3 + [None] * 4
    assert [each["place"] for each in found] == [0, 1, 2, 0, 1, 0, 0]
    assert [each["row_key"] for each in found] == ["7", "8", "o'clock ?%s", None, None, "5", None]
    # NULL for what is not finite, and for two numbers that are no probabilities.
    assert [each["prediction"] for each in found] == ["silver", "bronze", None, "1", "0", "1.5", None]
    assert [json.loads(each["outputs"]) for each in found][2:4] == [[None] * 3, [0.9]]
    assert json.loads(found[0]["inputs"]) == [1, 2]
    assert json.loads(found[2]["inputs"]) == [5, None]
    assert json.loads(found[4]["inputs"]) == {"a": 2, "b": None}
    assert found[5]["inputs"] is None
    assert found[3]["probability"] == pytest.approx(0.9)
    assert found[4]["probability"] == pytest.approx(0.8)


def test_inputs_are_not_kept_unasked(tmp_path: Path) -> None:
    with PredictionLog(tmp_path / "log.db") as log:
        log.add(made(1, "linear"), np.zeros((1, 1)), inputs=np.ones((1, 2)))
    assert read(tmp_path / "log.db", "SELECT inputs FROM fastnn_predictions") == [(None,)]


def test_several_outputs_are_side_by_side(tmp_path: Path) -> None:
    x = Input((2,))
    model = Model(x, {"a": Dense(1)(x), "b": Dense(2)(x)})
    out = model.predict(np.ones((3, 2)))
    with PredictionLog(tmp_path / "log.db") as log:
        log.add(model, out)
        log.add(model, [out["a"], out["b"]])
    rows = read(tmp_path / "log.db", "SELECT outputs, prediction FROM fastnn_predictions")
    assert len(rows) == 6
    for text, prediction in rows:
        np.testing.assert_allclose(json.loads(text), [*out["a"][0], *out["b"][0]], rtol=1e-6)
        assert prediction is None


def test_a_locked_database_costs_rows_and_never_an_answer(tmp_path: Path) -> None:
    """What does not find room is counted; what waits is written when the lock is gone."""
    log = PredictionLog(tmp_path / "log.db", most=100, seconds=0.01)
    con = connect(tmp_path / "log.db", isolation_level=None)
    con.execute("BEGIN EXCLUSIVE")
    model, one = made(1, "linear"), np.zeros((1, 1))
    taken = sum(log.add(model, one) for _ in range(1000))
    assert taken == 100
    assert log.dropped == 900
    assert log.waiting == 100
    con.execute("COMMIT")
    log.close()
    assert (log.written, log.dropped, log.waiting) == (100, 900, 0)
    assert read(tmp_path / "log.db", "SELECT count(*) FROM fastnn_predictions") == [(100,)]
    assert not log.add(model, one)  # it is closed
    log.close()
    assert (log.written, log.dropped) == (100, 901)


def test_what_cannot_be_written_in_time_is_given_up_once(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log.db", seconds=0.01)
    con = connect(tmp_path / "log.db", isolation_level=None)
    con.execute("BEGIN EXCLUSIVE")
    log.add(made(1, "linear"), np.zeros((3, 1)))
    log.close(timeout=0.2)
    assert (log.written, log.dropped, log.waiting) == (0, 3, 0)
    con.execute("COMMIT")
    log._thread.join(20)  # the batch that it was at
    assert not log._thread.is_alive()
    assert (log.written, log.dropped, log.waiting) == (0, 3, 0)


def test_a_request_larger_than_the_room_is_dropped_whole(tmp_path: Path) -> None:
    with PredictionLog(tmp_path / "log.db", most=10) as log:
        assert not log.add(made(1, "linear"), np.zeros((11, 1)))
        assert log.add(made(1, "linear"), np.zeros((10, 1)))
    assert (log.written, log.dropped) == (10, 11)


def test_many_rows_and_many_threads(tmp_path: Path) -> None:
    model = made(1, "linear")
    with PredictionLog(tmp_path / "log.db", most=10**6, seconds=0.005) as log:

        def work(first: int) -> None:
            for k in range(200):
                log.add(model, np.full((2, 1), k), keys=[first + 2 * k, first + 2 * k + 1])

        threads = [threading.Thread(target=work, args=(1000 * k,)) for k in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        log.add(model, np.zeros((5000, 1)), keys=range(10_000, 15_000))
    assert (log.written, log.dropped, log.error) == (6600, 0, None)
    found = read(tmp_path / "log.db", "SELECT count(DISTINCT row_key), count(*) FROM fastnn_predictions")
    assert found == [(6600, 6600)]


def test_a_table_that_is_dropped_is_made_again(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log.db")
    con = connect(tmp_path / "log.db", isolation_level=None)
    con.execute("DROP TABLE fastnn_predictions")
    log.add(made(1, "linear"), np.zeros((3, 1)))
    log.close()
    assert read(tmp_path / "log.db", "SELECT count(*) FROM fastnn_predictions") == [(3,)]


def test_a_database_that_refuses_keeps_what_waits(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log.db", seconds=0.01)
    con = connect(tmp_path / "log.db", isolation_level=None)
    con.execute("DROP TABLE fastnn_predictions")
    con.execute("CREATE TABLE fastnn_predictions (x)")
    log.add(made(1, "linear"), np.zeros((3, 1)))
    while log.error is None:
        time.sleep(0.01)
    assert "predictions cannot be written into 'fastnn_predictions'; SQLite says" in log.error
    assert log.waiting == 3
    con.execute("DROP TABLE fastnn_predictions")
    log.close()
    assert (log.written, log.dropped) == (3, 0)


def test_an_answer_whose_parts_do_not_go_together(tmp_path: Path) -> None:
    with PredictionLog(tmp_path / "log.db", inputs=True) as log:
        model = made(1, "linear")
        log.add(model, np.zeros((3, 1)), keys=[1])
        log.add(model, np.zeros((2, 1)), inputs=np.ones((5, 2)))
        log.add(model, np.zeros((4, 1)), keys=[1, 2, 3, 4])
    assert (log.written, log.dropped) == (4, 5)
    assert log.error is not None
    assert "an answer of 2 rows cannot be kept" in log.error


def test_odd_texts(database: str) -> None:
    with PredictionLog(database) as log:
        log.add(made(1, "linear"), np.zeros((3, 1)), request="a\0b" + "c" * 999, keys=["\0", "\ud800", "é" * 1000])
    assert log.error is None
    first, second, third = rows_of(database)
    assert first["request"] == "ab" + "c" * 253
    assert (first["row_key"], second["row_key"], third["row_key"]) == ("", "?", "é" * 1000)


def test_another_table_of_that_name(database: str) -> None:
    PredictionLog(database, "log", key="id").close()
    PredictionLog(database, "log", key="id").close()
    with pytest.raises(ValueError, match=r"the table 'log' of .* is no log of predictions: it has no row_key; choose"):
        PredictionLog(database, "log")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"table": "a b"}, ValueError, "names of letters, digits and _, got 'a b'"),
        ({"table": "x; DROP TABLE y"}, ValueError, "names of letters"),
        ({"table": 3}, ValueError, "names of letters, digits and _, got 3"),
        ({"key": "Model"}, ValueError, "key 'Model' is another column"),
        ({"most": 0}, ValueError, "most must be at least 1"),
        ({"seconds": "soon"}, TypeError, "seconds must be a number"),
        ({"seconds": 0}, ValueError, "seconds must be above 0, got 0"),
        ({"seconds": float("nan")}, ValueError, "seconds must be above 0, got nan"),
        ({"database": "/no/such/folder/x.db"}, FileNotFoundError, "create its folder first"),
        ({"database": "oracle://x/y"}, ValueError, "scheme 'oracle'"),
        ({"database": 7}, TypeError, "is opened by a path"),
    ],
)
def test_what_it_cannot_be_made_with(given: Any, error: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=words):
        PredictionLog(**{"database": tmp_path / "log.db", **given})


def test_an_open_connection_is_of_one_thread(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must be a path or a URL: an open connection"):
        PredictionLog(connect(tmp_path / "log.db"))


# In a service.


class Served:
    def __init__(self, model: Any, version: str) -> None:
        self.model, self.name, self.version = model, "churn", version


class Models:
    """What `Observer` asks of a service's models."""

    def __init__(self, *served: Served) -> None:
        self.listeners: list[Any] = []
        self._served = served

    def served(self) -> Any:
        return self._served


class Said:
    """An answer, as a hook is told of it."""

    def __init__(self, version: str, x: Any, out: Any) -> None:
        self.model, self.version, self.request_id = "churn", version, "id"
        self.parameters: dict[str, Any] = {}
        self.inputs, self.outputs = {"input_layer": x}, {"dense": out}


def test_a_service_is_observed(tmp_path: Path) -> None:
    prometheus = pytest.importorskip("prometheus_client")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 2)).astype(np.float32)
    known, plain = Served(made(1, "linear"), "1"), Served(made(1, "linear"), "2")
    drift.reference(known.model, x)
    models = Models(known, plain)
    observer = Observer(models, PredictionLog(tmp_path / "log.db"), window=500)
    name = known.model.input_names[0]
    for version in ("1", "2", "3"):  # the last is unknown
        said = Said(version, x[:600] + 2, np.zeros((600, 1)))
        said.inputs = {name: said.inputs["input_layer"]}
        observer(said)
    [found] = observer.report()["drift"]
    assert (found["model"], found["version"], found["compared"]) == ("churn", "1", 200)  # every third row of 600
    assert [each["drifted"] for each in found["features"]] == [True, True]
    registry = prometheus.CollectorRegistry()
    registry.register(observer)
    labels = {"model": "churn", "version": "1", "feature": f"{name}[0]"}
    assert registry.get_sample_value("fastnn_drift_psi", labels) == found["features"][0]["psi"]
    assert registry.get_sample_value("fastnn_drift_drifted", labels) == 1
    models.listeners[0]("unloaded", known)
    assert observer.report()["drift"] == []
    models.listeners[0]("loaded", known)
    assert observer.report()["drift"][0]["compared"] == 0
    plain.model.description.notes["reference"] = {"features": []}
    models.listeners[0]("loaded", plain)  # which is served all the same
    assert "are not of what it reads" in observer.report()["error"]
    observer.close()
    assert observer.report()["log"] == {"written": 1200, "dropped": 0, "waiting": 0, "error": None}
    counted = read(tmp_path / "log.db", "SELECT model_version, count(*) FROM fastnn_predictions GROUP BY 1 ORDER BY 1")
    assert counted == [("1", 600), ("2", 600)]


def test_quality_is_looked_at_in_a_thread() -> None:
    from fastnn.serve.monitor import Monitored, Quality

    calls: list[int] = []

    def judge() -> Monitored:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no such table")
        return Monitored([Quality("2026-11-29", "churn", "1", 5, 2, {"accuracy": 0.8, "auc": None})], None, [], [], 0)

    observer = Observer(Models(), judge=judge, every=0.01)
    while observer.quality is None:
        time.sleep(0.005)
    observer.close()
    labels = {"model": "churn", "version": "1"}
    assert list(observer.gauges()) == [
        ("fastnn_quality_rows", labels, 5.0),
        ("fastnn_quality", {**labels, "metric": "accuracy"}, 0.8),
    ]
    assert observer.report()["quality"]["qualities"][0]["rows"] == 5


def test_an_observer_is_a_hook_only_while_there_is_something_to_compare() -> None:
    known, plain = Served(made(1, "linear"), "1"), Served(made(1, "linear"), "2")
    drift.reference(known.model, np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32))
    other = print
    models, hooks = Models(plain), [other]
    observer = Observer(models, hooks=hooks)
    assert hooks == [other]
    for _ in range(2):
        for _ in range(2):
            models.listeners[0]("loaded", known)
            assert hooks == [other, observer]
        models.listeners[0]("unloaded", plain)
        assert hooks == [other, observer]
        models.listeners[0]("unloaded", known)
        assert hooks == [other]


def test_an_application_is_observed_in_one_call(tmp_path: Path) -> None:
    """What it is given: a hook, a collector, a log, and a truth that is looked up; it can be pickled until then."""

    class Application:
        models, hooks, closing = Models(Served(made(1, "sigmoid"), "1")), [], []
        meter = None

    con = connect(tmp_path / "log.db", isolation_level=None)
    con.execute("CREATE TABLE truth (id INTEGER, y INTEGER)")
    con.execute("INSERT INTO truth VALUES (7, 1), (8, 1)")
    call = functools.partial(
        observe, database=str(tmp_path / "log.db"), key="id", truth="SELECT id, y FROM truth", every=0.02
    )
    observer = pickle.loads(pickle.dumps(call))(Application())
    said = Said("1", np.ones((2, 2), np.float32), np.array([[0.9], [0.2]]))
    said.parameters = {"keys": [7, 8]}
    [hook] = Application.hooks
    assert hook is observer
    assert Application.closing == [observer.close]
    hook(said)
    while not (observer.quality and observer.quality.qualities):
        time.sleep(0.01)
    observer.close()
    [found] = observer.quality.qualities
    assert (found.model, found.version, found.rows, found.metrics["accuracy"]) == ("churn", "1", 2, 0.5)
    assert observer.error is None


def test_the_end_of_a_process_writes_what_waits(tmp_path: Path) -> None:
    code = f"""
import numpy as np
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.serve import PredictionLog
model = Sequential([Dense(1)])
model.build((None, 2))
PredictionLog({str(tmp_path / "log.db")!r}, seconds=1000).add(model, np.zeros((5, 1)))
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)
    assert read(tmp_path / "log.db", "SELECT count(*) FROM fastnn_predictions") == [(5,)]
