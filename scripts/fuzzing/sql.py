"""Odd queries, parameters, keys, tables and values: through SQLDataset, predict_sql and the command."""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

import fastnn.layers as L
from fastnn import cli
from fastnn.data import SQLDataset
from fastnn.models import Model, Sequential
from fuzzing import models
from fuzzing.database import connect
from fuzzing.trial import FAILED, Trial
from fuzzing.values import NUMBERS, OBJECTS, TEXTS, odd

NAMES = [
    "a",
    "b",
    "y",
    "id",
    "A",
    "a b",
    'a"b',
    "é",
    "select",
    "",
    "prediction",
    "probability",
    "a;b",
    "1",
    "rowid",
    "\n",
    "'",
]
VALUES: list[Any] = [
    0,
    1,
    -1,
    2,
    0.5,
    1e30,
    1e39,
    float("inf"),
    2**24 + 1,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    None,
    "x",
    "1",
    "",
]
VALUES += [b"", b"x", "2020-01-01 00:00:00", "é\0", "nan", 1e-320, "a" * 5000]
DECLARED = [
    "",
    "INTEGER",
    "REAL",
    "TEXT",
    "BLOB",
    "TIMESTAMP",
    "date",
    "INTEGER PRIMARY KEY",
    "REAL UNIQUE",
    "int",
    "NUMERIC",
]
QUERIES = [
    "SELECT * FROM t",
    "SELECT id, a, b FROM t",
    "SELECT a, b, y FROM t",
    "SELECT id, a, b, y FROM t ORDER BY random()",
    "SELECT id, a, b FROM t WHERE a > ?",
    "SELECT id, a, b FROM t WHERE a > :p AND b < :q",
    "SELECT id, a, b FROM t LIMIT 3",
    "SELECT id, a, b FROM t LIMIT ? OFFSET ?2",
    "SELECT id, a, b FROM t -- behind",
    "SELECT id, a, b FROM t /* not closed",
    "SELECT id, a, b FROM t; DROP TABLE t",
    ";;SELECT id, a, b FROM t;;",
    "SELECT id, 'a;b' a, b FROM t;",
    "WITH w AS (SELECT * FROM t) SELECT id, a, b FROM w",
    "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n LIMIT 50) SELECT id, id * 2 a, 1 b FROM n",
    "VALUES (1, 2.0, 3.0), (2, 3.0, 4.0)",
    "SELECT id, a, b FROM t UNION SELECT id, b, a FROM t",
    "SELECT count(*) id, avg(a) a, max(b) b FROM t",
    "SELECT id, a, a FROM t",
    "SELECT id, a, b FROM nothing",
    "SELECT id, a, b FROM v",
    "SELECT id, a, b FROM predictions",
    "SELECT NULL id, 1 a, 2 b",
    "SELECT id, a, b FROM t WHERE 0",
    "SELECT id, a / 0 a, b FROM t",
    "SELECT id, json('x') a, b FROM t",
    "SELECT id, zeroblob(10) a, b FROM t",
    "SELECT id, abs(-9223372036854775808) a, b FROM t",
    "SELECT id, own(a) a, b FROM t",
    "INSERT INTO t VALUES (1, 2, 3, 4)",
    "DELETE FROM t",
    "DELETE FROM t RETURNING id, a, b",
    "WITH w AS (SELECT 1) DELETE FROM t",
    "PRAGMA user_version = 3",
    "ATTACH ':memory:' AS z",
    "COMMIT",
    "EXPLAIN SELECT 1",
    "",
    "SELECT",
    "SELECT\0 1",
    "SELECT '\0' a",
    "SELECT id, a, b FROM t WHERE a = 'é\udc80'",
    "SELECT " + "(" * 2000 + "1",
    "SELECT " + ", ".join(f"{i} c{i}" for i in range(1500)),
    "SELECT " + ", ".join(f"{i} c{i}" for i in range(2500)),
]


class Sql:
    """A database of odd tables, and calls that read from it and write to it."""

    name = "sql"

    def prepare(self, folder: str) -> None:
        self.models = {units: _model(units, last) for units, last in ((1, "sigmoid"), (2, "softmax"), (3, None))}
        os.makedirs(folder)
        self.saved = {}
        for units, model in self.models.items():
            self.saved[units] = models.file_of(model, folder)

    def play(self, trial: Trial) -> None:
        rng = trial.rng
        for name in os.listdir("."):
            os.unlink(name)
        path = "data.db"
        _fill(path, rng, trial)
        way = rng.choice(["dataset", "dataset", "predict", "predict", "command"])
        model = self.models[rng.choice(sorted(self.models))]
        if way == "command":
            self._command(trial, path)
            return
        connection = None if rng.random() < 0.2 else _connected(path, rng, trial)
        con = path if connection is None else connection
        if rng.random() < 0.08:
            title, con = odd(rng, rng.choice([TEXTS, OBJECTS, NUMBERS]))
            trial.note(f"con is {title}")
        try:
            (_dataset if way == "dataset" else _predict)(trial, model, con)
        finally:
            if connection is not None:
                connection.close()

    def _command(self, trial: Trial, path: str) -> None:
        rng = trial.rng
        Path("model.fastnn").write_bytes(self.saved[rng.choice(sorted(self.saved))])
        words = [
            "predict",
            "model.fastnn",
            path,
            _query(rng),
            "--into",
            rng.choice(["p", *NAMES]),
            "--key",
            rng.choice(NAMES),
        ]
        for _ in range(rng.choice([0, 0, 1, 2])):
            odd_word = rng.choice(
                ["", "--key", "--into", "--x", "\0", "é\udc80", "/nonexistent", "demo", "-h", "--version"]
            )
            words[rng.randrange(len(words))] = odd_word
        if words[0] == "demo":
            return
        status = trial.attempt(f"fastnn {words!r:.300}", cli.main, words)
        trial.check(status is FAILED or status in (0, 1, 2), f"the command's status is {status}")


def _model(units: int, last: str | None) -> Model:
    model = Sequential([L.Input((2,)), L.Dense(units, last)])
    model.compile("sgd", "mse")
    return model


def _fill(path: str, rng: random.Random, trial: Trial) -> None:
    """A table t of a few rows, most of them of numbers, and a view."""
    columns = ["id", "a", "b", "y"]
    if rng.random() < 0.15:
        columns[rng.randrange(4)] = rng.choice(NAMES)
    declared = [rng.choice(DECLARED) if rng.random() < 0.3 else "" for _ in columns]
    connection = connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    if rng.random() < 0.2:
        connection.execute("PRAGMA journal_mode = WAL")
    quoted = ['"' + name.replace('"', '""') + '"' for name in columns]
    try:
        connection.execute(f"CREATE TABLE t ({', '.join(map(' '.join, zip(quoted, declared, strict=True)))})")
        connection.execute(f"CREATE VIEW v AS SELECT {', '.join(quoted)} FROM t")
    except sqlite3.Error:
        connection.execute("CREATE TABLE t (id, a, b, y)")
    odds = rng.choice([0.0, 0.0, 0.05, 0.3])
    connection.execute("BEGIN")
    for i in range(rng.choice([0, 1, 8, 8, 40])):
        row = [rng.choice(VALUES) if rng.random() < odds else value for value in (i, i / 2, -i, i % 2)]
        try:
            connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", row)
        except (sqlite3.Error, UnicodeError):
            continue
    connection.execute("COMMIT")
    trial.note(f"table t of {columns} {declared}")
    connection.close()


def _connected(path: str, rng: random.Random, trial: Trial) -> sqlite3.Connection:
    types = rng.choice([0, 0, sqlite3.PARSE_DECLTYPES, sqlite3.PARSE_COLNAMES, 3])
    level = rng.choice(["", None, "IMMEDIATE", "EXCLUSIVE"])
    connection = connect(path, detect_types=types, isolation_level=level, timeout=0)
    state = rng.choice(
        ["plain", "plain", "plain", "rows", "bytes", "factory", "function", "open", "closed", "attached", "only"]
    )
    trial.note(f"a connection: detect_types={types}, isolation_level={level!r}, {state}")
    connection.create_function("own", 1, lambda value: 1 / 0)
    if state == "rows":
        connection.row_factory = sqlite3.Row
    elif state == "bytes":
        connection.text_factory = bytes
    elif state == "factory":
        connection.row_factory = lambda cursor, row: {"x": row}
    elif state == "function":
        connection.create_function("own", 1, lambda value: b"x")
    elif state == "open":
        connection.execute("DELETE FROM t WHERE rowid = 1")
    elif state == "attached":
        connection.execute("ATTACH ':memory:' AS other")
        connection.execute("CREATE TABLE other.p (x)")
    elif state == "only":
        connection.execute("PRAGMA query_only = 1")
    elif state == "closed":
        connection.close()
        return connect(":memory:") if rng.random() < 0.5 else connection
    return connection


def _query(rng: random.Random) -> Any:
    query = rng.choice(QUERIES[:24]) if rng.random() < 0.6 else rng.choice(QUERIES)
    if rng.random() < 0.15:
        at = rng.randrange(len(query) + 1)
        query = rng.choice([query[:at], query[:at] + rng.choice(["'", '"', ";", "\0", "--", "(", "?"]) + query[at:]])
    return query


def _named(trial: Trial, good: dict[str, Any], odds: float, never: tuple[str, ...] = ()) -> tuple[dict[str, Any], str]:
    """Arguments by name, of which some are odd."""
    rng, named, texts = trial.rng, {}, []
    for name, value in good.items():
        title = _shown(value)
        if name not in never and rng.random() < odds:
            title, value = odd(rng)
        named[name] = value
        texts.append(f"{name}={title}")
    return named, ", ".join(texts)


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.60}"
    except (ValueError, RecursionError):  # an int of too many digits, or what holds itself
        return f"{type(value).__name__} that cannot be shown"


def _params(rng: random.Random) -> Any:
    _, value = odd(rng, NUMBERS)
    choices = [
        None,
        None,
        [0],
        (1, 2),
        {"p": 0, "q": 9},
        [value],
        {"p": value, "q": value},
        [np.int64(3), np.float32(2)],
        [value] * 3,
    ]
    return rng.choice(choices)


def _rules(rng: random.Random) -> dict[str, Any]:
    """Rules of prepare= for some columns."""
    words = ["standard", "log", "one_hot", "embedding", "hashing", "date", "skip", "robust"]
    rules: list[Any] = [
        *words,
        {"missing": "mean"},
        {"as": "hashing", "bins": 3},
        {"optional": True},
        {"unknown": "other"},
    ]
    options = ["as", "missing", "indicator", "unknown", "bins", "size", "components", "optional"]
    rules += [{rng.choice(options): odd(rng, OBJECTS)[1]}, {rng.choice(options): odd(rng)[1]}, odd(rng)[1]]
    return {rng.choice(NAMES[:3]): rng.choice(rules) for _ in range(rng.randrange(3))}


def _dataset(trial: Trial, model: Model, con: Any) -> None:
    rng = trial.rng
    good = {
        "target": rng.choice([None, "y", ["y"], "b", *NAMES]),
        "features": rng.choice([None, None, ["a", "b"], ["a"], NAMES[:3]]),
        "params": _params(rng),
        "null": rng.choice([None, 0, -1.0, float("nan")]),
        "memory_limit": rng.choice([2**28, 0, 64]),
        "prepare": rng.choice(["auto", "auto", None, _rules(rng)]),
        "columns": rng.choice([None, None, {rng.choice(NAMES): rng.choice(["float32[1]", "datetime", "date"])}]),
    }
    good = {name: value for name, value in good.items() if rng.random() < 0.6}
    named, text = _named(trial, good, 0.1)
    query = _query(rng) if rng.random() < 0.95 else odd(rng, OBJECTS)[1]
    dataset = trial.attempt(f"SQLDataset({query!r:.200}, {text})", SQLDataset, query, con, **named)
    if dataset is FAILED:
        return
    if rng.random() < 0.5:
        fitted = Sequential([L.Dense(max(1, dataset.targets))])
        fitted.compile("sgd", "mse")
        trial.attempt("fit", fitted.fit, dataset, verbose=0, epochs=2, batch_size=rng.choice([None, 1, 4]))
    else:
        trial.attempt("pages", lambda: [page.x.sum() for page in dataset.pages(rng.choice([1, 4, 64]))])
        trial.attempt("predict", model.predict, dataset)


def _predict(trial: Trial, model: Model, con: Any) -> None:
    rng = trial.rng
    good = {"into": rng.choice(["p", "p", "predictions", *NAMES]), "key": rng.choice(["id", "id", "id", *NAMES])}
    if rng.random() < 0.5:
        good["params"] = _params(rng)
    if rng.random() < 0.4:
        good["kind"] = rng.choice(["classes", "binary", "values"])
    named, text = _named(trial, good, 0.08)
    query = _query(rng)
    before = _state(con)
    count = trial.attempt(f"predict_sql({query!r:.200}, {text})", model.predict_sql, query, con, **named)
    after = _state(con)
    if count is FAILED:
        trial.check(before == after, f"predict_sql failed and left something: {before} before, {after} after")
    elif after is not None and before is not None:
        trial.check(
            after[1] == before[1] or named["into"] in before[0],
            "predict_sql has ended the caller's transaction, or begun one",
        )


def _state(con: Any) -> Any:
    """The tables, and whether there is an open transaction."""
    own = isinstance(con, sqlite3.Connection)
    try:
        connection = con if own else connect("data.db", timeout=0)
        names = sorted(
            str(row) for row in sqlite3.Cursor(connection).execute("SELECT name FROM sqlite_master").fetchall()
        )
        found = names, connection.in_transaction
    except (sqlite3.Error, TypeError):
        return None
    if not own:
        connection.close()
    return found
