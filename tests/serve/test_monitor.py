"""What predictions were worth once the truth is there: metrics beside scikit-learn's, on real databases."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.cli import main
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.serve import PredictionLog
from fastnn.serve.monitor import Quality, monitor
from support import servers
from support.database import connect

TRUTH = "SELECT id, y FROM truth"


def tables(path: Path, predictions: Any, truth: Any) -> str:
    """predictions: (predicted_at, version, key, prediction, probability). truth: (id, y)."""
    con = connect(path)
    con.execute("CREATE TABLE p (predicted_at, model, model_version, row_key, prediction, probability)")
    rows = [(at, "m", version, key, said, share) for at, version, key, said, share in predictions]
    con.executemany("INSERT INTO p VALUES (?, ?, ?, ?, ?, ?)", rows)
    con.execute("CREATE TABLE truth (id, y)")
    con.executemany("INSERT INTO truth VALUES (?, ?)", truth)
    con.commit()
    return str(path)


def watched(path: str, **options: Any) -> Any:
    return monitor("p", options.pop("truth", TRUTH), **{"key": "id", "database": path, **options})


def test_metrics_of_classes_are_scikit_learns(tmp_path: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    p = rng.random(400)
    y = (p + rng.normal(0, 0.3, 400) > 0.5).astype(int)
    said = (p > 0.5).astype(int)
    rows = [
        ("2026-11-29T10:00:00+00:00", "1", str(k), str(s), float(max(q, 1 - q)))
        for k, (s, q) in enumerate(zip(said, p, strict=True))
    ]
    [found] = watched(tables(tmp_path / "t.db", rows, list(enumerate(y.tolist())))).qualities
    assert (found.period, found.model, found.version, found.rows, found.waiting) == ("2026-11-29", "m", "1", 400, 0)
    assert found.metrics == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(y, said),
            "f1": metrics.f1_score(y, said, average="macro"),
            "auc": metrics.roc_auc_score(y, p),
        }
    )


def test_of_several_classes_there_is_no_auc(tmp_path: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    names = np.array(["bronze", "silver", "gold", "lead"])
    y, said = rng.choice(names[:3], 300).tolist(), rng.choice(names, 300).tolist()
    rows = [("2026-11-29T10:00:00+00:00", "1", k, each, 0.9) for k, each in enumerate(said)]
    [found] = watched(tables(tmp_path / "t.db", rows, list(enumerate(y)))).qualities
    assert found.metrics["auc"] is None
    assert found.metrics["accuracy"] == pytest.approx(metrics.accuracy_score(y, said))
    assert found.metrics["f1"] == pytest.approx(metrics.f1_score(y, said, average="macro", zero_division=0))


def test_metrics_of_numbers_are_scikit_learns(tmp_path: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    y = rng.normal(size=200)
    said = y + rng.normal(0.3, 1, 200)
    rows = [("2026-11-29T10:00:00+00:00", "1", k, f"{each:.17g}", None) for k, each in enumerate(said)]
    [found] = watched(tables(tmp_path / "t.db", rows, list(enumerate(y.tolist())))).qualities
    assert found.metrics == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(y, said),
            "rmse": metrics.root_mean_squared_error(y, said),
            "bias": np.mean(said - y),
            "r2": metrics.r2_score(y, said),
        }
    )


@pytest.mark.parametrize("wrong", ["unknown", float("inf"), b"x"])
def test_a_truth_that_is_no_number_beside_predictions_that_are(wrong: Any, tmp_path: Path) -> None:
    rows = [("2026-11-29T10:00:00+00:00", "1", k, f"{k}.5", None) for k in range(3)]
    with pytest.raises(ValueError, match=r"the truth .* is no finite number, as predictions are; leave it out"):
        watched(tables(tmp_path / "t.db", rows, [(0, 1.5), (1, wrong), (2, None)]))


DAYS = [
    ("2026-11-27T23:30:00+00:00", "1", 1, "a", None),
    ("2026-11-28T00:30:00+01:00", "1", 2, "a", None),  # in UTC the day before
    ("2026-11-28T12:00:00Z", "1", 3, "b", None),
    ("2026-11-28T12:00:00", "2", 3, "a", None),
    ("2026-11-30T09:00:00+00:00", "2", 4, "a", None),
]


def test_days_weeks_and_versions(tmp_path: Path) -> None:
    path = tables(tmp_path / "t.db", DAYS, [(1, "a"), (2, "b"), (3, "b"), (4, "a")])
    found = watched(path)
    assert [(each.period, each.version, each.rows, each.metrics["accuracy"]) for each in found.qualities] == [
        ("2026-11-27", "1", 2, 0.5),
        ("2026-11-28", "1", 1, 1.0),
        ("2026-11-28", "2", 1, 0.0),
        ("2026-11-30", "2", 1, 1.0),
    ]
    weeks = watched(path, by="week").qualities
    assert [(each.period, each.version, each.rows) for each in weeks] == [
        ("2026-W48", "1", 3),
        ("2026-W48", "2", 1),
        ("2026-W49", "2", 1),
    ]


def test_truth_comes_late_and_may_be_null(tmp_path: Path) -> None:
    path = tables(tmp_path / "t.db", DAYS, [(1, None), (2, "b")])
    found = watched(path, below=0.9)
    assert [(each.rows, each.waiting) for each in found.qualities] == [(1, 1), (0, 1), (0, 1), (0, 1)]
    assert [each.period for each in found.failing] == ["2026-11-27"]
    con = connect(path)
    con.execute("UPDATE truth SET y = 'a'")
    con.executemany("INSERT INTO truth VALUES (?, ?)", [(3, "b"), (4, "a")])
    con.commit()
    found = watched(path, below=0.9)
    assert sum(each.rows for each in found.qualities) == 5
    assert found.failing == []
    assert watched(path, truth="SELECT id, NULL AS y FROM truth").judged == []
    # A key whose truth is NULL in one row and known in another has one truth.
    both = "SELECT id, NULL AS y FROM truth UNION ALL SELECT id, y FROM truth UNION ALL SELECT id, NULL FROM truth"
    assert sum(each.rows for each in watched(path, truth=both).qualities) == 5


def test_keys_that_repeat(tmp_path: Path) -> None:
    """Each answer for a key counts; the same truth twice is one, and two are an error."""
    twice = [("2026-11-29T10:00:00+00:00", "1", 1, each, None) for each in ("a", "b", "a", "a")]
    path = tables(tmp_path / "t.db", twice, [(1, "a"), (1, "a"), ("1", "a")])
    [found] = watched(path).qualities
    assert (found.rows, found.metrics["accuracy"]) == (4, 0.75)
    connect(path).executescript("INSERT INTO truth VALUES (1, 'b')")
    with pytest.raises(ValueError, match="the key 1 has two truths, 'a' and 'b'; choose one"):
        watched(path)


@pytest.mark.parametrize("key", [7, 7.0, "7", b"7"])
@pytest.mark.parametrize("other", [7, 7.0, "7"])
def test_keys_are_compared_as_texts(key: Any, other: Any, tmp_path: Path) -> None:
    path = tables(tmp_path / "t.db", [("2026-11-29T10:00:00+00:00", "1", key, "1", 0.9)], [(other, 1.0)])
    [found] = watched(path).qualities
    assert (found.rows, found.metrics["accuracy"]) == (1, 1.0)


def test_what_is_unusable_is_counted(tmp_path: Path) -> None:
    at = "2026-11-29T10:00:00+00:00"
    path = tables(
        tmp_path / "t.db",
        [(at, "1", None, "a", None), (at, "1", 1, None, None), (at, None, 1, "a", None)],
        [(1, "a"), (None, "b")],
    )
    found = watched(path)
    assert found.unusable == 2
    assert [(each.version, each.rows) for each in found.qualities] == [("", 1)]


def test_only_the_last_period_is_judged(tmp_path: Path) -> None:
    path = tables(tmp_path / "t.db", DAYS, [(1, "b"), (2, "b"), (3, "b"), (4, "a")])
    found = watched(path, below=0.5)
    assert [each.period for each in found.judged] == ["2026-11-30"]
    assert found.failing == []
    assert [each.period for each in watched(path, below=0.5, rows=2).failing] == ["2026-11-27"]
    assert [each.version for each in watched(path, above=0.5).failing] == ["2"]
    assert watched(path, rows=3).judged == []
    assert found.metric == "accuracy"


def test_gauges_have_the_last_period_of_each_version(tmp_path: Path) -> None:
    found = watched(tables(tmp_path / "t.db", DAYS, [(1, "b"), (3, "b")]))
    gauges = [(name, labels["version"], labels.get("metric"), value) for name, labels, value in found.gauges()]
    assert gauges == [
        ("fastnn_quality_rows", "1", None, 1.0),
        ("fastnn_quality", "1", "accuracy", 1.0),
        ("fastnn_quality", "1", "f1", 1.0),
        ("fastnn_quality_rows", "2", None, 1.0),
        ("fastnn_quality", "2", "accuracy", 0.0),
        ("fastnn_quality", "2", "f1", 0.0),
    ]
    said = found.to_json()
    json.dumps(said, allow_nan=False)
    assert Quality(**said["qualities"][0]) == found.qualities[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"truth": "SELECT id, y FROM nowhere"}, "no such table: nowhere"),
        ({"truth": "SELECT y FROM truth"}, "the truth has no column 'id'; it has 'y'"),
        ({"truth": "SELECT id FROM truth"}, "say which one beside the key is the target"),
        ({"truth": "SELECT id, y, 1 AS z FROM truth"}, "the columns 'id', 'y', 'z'; say which one"),
        ({"target": "z"}, "the truth has no column 'z'"),
        ({"truth": "DROP TABLE truth"}, "SELECT"),
        ({"by": "month"}, "unknown by 'month'; known: 'day', 'week'"),
        ({"metric": "acuracy"}, "unknown metric 'acuracy' \\(did you mean 'accuracy'"),
        ({"metric": "mae"}, "have no mae; they have 'accuracy', 'auc', 'f1'"),
        ({"key": "place"}, "the truth has no column 'place'"),
    ],
)
def test_what_cannot_be_watched(options: Any, words: str, tmp_path: Path) -> None:
    path = tables(tmp_path / "t.db", DAYS, [(1, "a")])
    with pytest.raises(ValueError, match=words):
        watched(path, **options)


def test_tables_that_are_no_predictions(tmp_path: Path) -> None:
    path = tables(tmp_path / "t.db", [("yesterday", "1", 1, "a", None)], [(1, "a")])
    with pytest.raises(ValueError, match="no such table: q"):
        monitor("q", TRUTH, key="id", database=path)
    with pytest.raises(
        ValueError, match="the table 'truth' has no column 'prediction', 'predicted_at'; it has 'id', 'y'"
    ):
        monitor("truth", TRUTH, key="id", database=path)
    with pytest.raises(ValueError, match="predicted_at must be a date and a time, got 'yesterday'"):
        watched(path)


def test_no_predictions_yet(tmp_path: Path) -> None:
    found = watched(tables(tmp_path / "t.db", [], [(1, "a")]), below=0.5, metric="accuracy")
    assert (found.qualities, found.judged, found.failing, found.metric) == ([], [], [], "accuracy")


def test_a_target_beside_others_and_an_open_connection(tmp_path: Path) -> None:
    path = tables(tmp_path / "t.db", DAYS, [(1, "a")])
    found = watched(connect(path), truth="SELECT id, y, 5 AS z FROM truth", target="y")  # type: ignore[arg-type]
    assert sum(each.rows for each in found.qualities) == 1


# From a model to its quality, on every database.


@pytest.mark.parametrize("server", ["sqlite", "postgres", "mariadb"])
def test_a_log_and_its_truth(server: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if server == "sqlite":
        _log_and_truth(
            f"sqlite:///{tmp_path / 'log.db'}",
            lambda sql: connect(tmp_path / "log.db", isolation_level=None).execute(sql),
        )
    elif server == "postgres":
        psycopg = pytest.importorskip("psycopg")
        pytest.importorskip("adbc_driver_postgresql")
        with (
            servers.postgres_database(request.getfixturevalue("postgres_server")) as url,
            psycopg.connect(url, autocommit=True) as con,
        ):
            _log_and_truth(url, con.execute)
    else:
        pymysql = pytest.importorskip("pymysql")
        with (
            servers.mariadb_database(request.getfixturevalue("mariadb_server")) as options,
            pymysql.connect(**options, autocommit=True) as con,
        ):
            _log_and_truth(servers.mysql_url(options), con.cursor().execute)


def _log_and_truth(database: str, execute: Any) -> None:
    model = Sequential([Dense(1, "sigmoid")])
    model.build((None, 2))
    with PredictionLog(database, "log", key="id") as log:
        log.add(model, np.array([[0.9], [0.8], [0.3], [0.6]]), version=3, keys=[1, 2, 3, 4])
    execute("CREATE TABLE truth (id INTEGER, y INTEGER)")
    execute("INSERT INTO truth VALUES (1, 1), (2, 0), (3, 0), (4, NULL)")
    [found] = monitor("log", TRUTH, key="id", database=database).qualities
    assert (found.model, found.version, found.rows, found.waiting) == ("sequential", "3", 3, 1)
    assert found.metrics["accuracy"] == pytest.approx(2 / 3)
    assert found.metrics["auc"] == 1.0


# The command.


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["monitor", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tables(tmp_path / "t.db", DAYS, [(1, "a"), (2, "b"), (3, "b"), (4, "b")])
    given = ["--data", path, "--predictions", "p", "--key", "id", "--truth", TRUTH]
    status, out, err = ran(capsys, *given)
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["period", "model", "version", "rows", "waiting", "accuracy", "f1", "auc"]
    assert lines[1] == ["2026-11-27", "m", "1", "2", "0", "0.5", "0.333333"]
    status, out, err = ran(capsys, *given, "--below", "0.5", "--by", "week")
    assert status == 3
    assert err == "2026-W49: accuracy of 'm' 2 is 0, beyond the limit\n"
    status, out, _ = ran(capsys, *given, "--json", "--above", "0.5")
    assert status == 0
    assert json.loads(out)["metric"] == "accuracy"
    assert ran(capsys, *given, "--below", "0.1", "--rows", "9")[::2] == (
        4,
        "no truth is known yet that could be judged\n",
    )


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tables(tmp_path / "t.db", DAYS, [(1, "a")])
    given = ["--data", path, "--predictions", "p", "--key", "id", "--truth", TRUTH]
    status, _, err = ran(capsys, *given[2:])
    assert (status, "required: --data" in err) == (2, True)
    for more, words in (
        (["--predictions", "q"], "no such table: q"),
        (["--metric", "mae"], "these predictions have no mae"),
        (["--truth", "SELECT 1 AS id, y FROM truth UNION SELECT 1, 'z'"], "two truths"),
    ):
        status, out, err = ran(capsys, *given, *more)
        assert (status, out) == (1, "")
        assert words in err
        assert len(err.splitlines()) == 1
    assert ran(capsys, *given, "--by", "year")[0] == 2
    assert ran(capsys, *given, "--below", "much")[0] == 2


def test_the_command_takes_a_file_of_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tables(tmp_path / "t.db", DAYS, [(1, "a"), (2, "b")])
    config = tmp_path / "watch.toml"
    config.write_text(f'data = "{path}"\npredictions = "p"\nkey = "id"\ntruth = "{TRUTH}"\nbelow = 0.9\nrows = 2\n')
    assert ran(capsys, "--config", str(config))[0] == 3
    assert ran(capsys, "--config", str(config), "--below", "0.2")[0] == 0


def test_a_table_of_fastnn_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same key, prediction, probability, model and version as a service's."""
    con = connect(tmp_path / "t.db")
    con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b REAL, y INTEGER)")
    rng = np.random.default_rng(0)
    rows = [(k, *map(float, row), int(row[0] > 0)) for k, row in enumerate(rng.normal(size=(50, 2)))]
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    con.commit()
    model = Sequential([Dense(1, "sigmoid")])
    model.build((None, 2))
    model.set_weights([np.array([[5.0], [0.0]]), np.zeros(1)])
    model.predict_sql("SELECT id, a, b FROM t", tmp_path / "t.db", into="said", key="id", version="7")
    [found] = monitor("said", "SELECT id, y FROM t", key="id", database=tmp_path / "t.db").qualities
    assert (found.version, found.rows, found.metrics) == ("7", 50, {"accuracy": 1.0, "f1": 1.0, "auc": 1.0})
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found.period)
