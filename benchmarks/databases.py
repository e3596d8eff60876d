"""Rows out of SQLite and predictions into it, beside what else reads SQL: `python -m benchmarks.databases --help`.

A table of REAL columns is read whole into float32 by each reader that is installed, in turn, in a process of its own
(two copies of SQLite in one process drop each other's locks); then what fastnn makes of it: other columns, epochs from
the database, from memory and from disk, and predictions. Medians of the turns, the file in the page cache.
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import benchmarks

if __name__ == "__main__":
    if not benchmarks.prepare_blas():
        raise SystemExit(benchmarks.TOO_LATE)
    if "--threads" in sys.argv:  # of fastnn, where a child of this is asked for them
        os.environ["FASTNN_NUM_THREADS"] = sys.argv[sys.argv.index("--threads") + 1]

import numpy as np

from benchmarks.report import duration

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 20
NAMES = [f"c{i}" for i in range(COLUMNS)]
SQL = f"SELECT {', '.join(NAMES)} FROM t"


def make(path: Path, rows: int) -> None:
    """Tables of normal numbers: t of REAL, u with every tenth NULL, i of integers, s of texts of some 1,000 kinds."""
    random = np.random.default_rng(0)
    with sqlite3.connect(path) as con:
        for table in "tuis":
            con.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {', '.join(NAMES)}, y)")
        marks = ", ".join("?" * (COLUMNS + 1))
        for start in range(0, rows, 50_000):
            x = random.standard_normal((min(50_000, rows - start), COLUMNS + 1))
            forms: dict[str, list[list[Any]]] = {
                "t": x.tolist(),
                "u": [
                    [None if (i + j) % 10 == 0 else v for j, v in enumerate(row)] for i, row in enumerate(x.tolist())
                ],
                "i": (x * 1000).astype(int).tolist(),
                "s": [[f"text {int(v * 150)}" for v in row] for row in x.tolist()],
            }
            for table, values in forms.items():
                con.executemany(f"INSERT INTO {table} ({', '.join(NAMES)}, y) VALUES ({marks})", values)
    con.close()


def fetchmany(path: str) -> Any:
    cursor, parts = sqlite3.connect(path).execute(SQL), []
    while rows := cursor.fetchmany(10_000):
        parts.append(np.array(rows, np.float32))
    return np.concatenate(parts)


def fromiter(path: str) -> Any:
    from itertools import chain

    values = chain.from_iterable(sqlite3.connect(path).execute(SQL))
    return np.fromiter(values, np.float32).reshape(-1, COLUMNS)


def pandas(path: str) -> Any:
    import pandas

    return pandas.read_sql(SQL, sqlite3.connect(path)).to_numpy(np.float32)


def polars(path: str) -> Any:
    import polars

    return polars.read_database_uri(SQL, f"sqlite://{path}").to_numpy().astype(np.float32)


def connectorx(path: str) -> Any:
    import connectorx

    return connectorx.read_sql(f"sqlite://{path}", SQL, return_type="arrow").to_pandas().to_numpy(np.float32)


def adbc(path: str) -> Any:
    import adbc_driver_sqlite.dbapi as driver

    with driver.connect(path) as con, con.cursor() as cursor:
        cursor.execute(SQL)
        return cursor.fetch_arrow_table().to_pandas().to_numpy(np.float32)


def fastnn(path: str, sql: str = SQL, **how: Any) -> Any:
    from fastnn.data import SQLDataset

    data = SQLDataset(sql, path, **({"cache": False, "memory_limit": 2**32} | how))
    for _ in data.pages(1):
        pass
    return next(data.pages(1)).x


# Each with its package, and how many threads fastnn has.
READERS: dict[str, tuple[Callable[[str], Any], str, int]] = {
    "sqlite3, fetchmany": (fetchmany, "sqlite3", 1),
    "sqlite3, np.fromiter": (fromiter, "sqlite3", 1),
    "pandas.read_sql": (pandas, "pandas", 1),
    "polars (ConnectorX)": (polars, "polars", 1),
    "ConnectorX": (connectorx, "connectorx", 1),
    "ADBC": (adbc, "adbc_driver_sqlite", 1),
    "fastnn, one thread": (fastnn, "fastnn", 1),
    "fastnn, two threads": (fastnn, "fastnn", 2),
}


def timed_reader(name: str, path: str) -> float:
    """Seconds of a read in a process of its own, imports and start left out."""
    command = [sys.executable, "-m", "benchmarks.databases", "--read", name, "--file", path]
    command += ["--threads", str(READERS[name][2])]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def read(name: str, path: str) -> None:
    """Read twice, and print the seconds of the faster: the first imports and connects."""
    reader = READERS[name][0]
    begin = time.perf_counter()
    x = reader(path)
    seconds = time.perf_counter() - begin
    assert x.shape[1] == COLUMNS
    begin = time.perf_counter()
    reader(path)
    print(min(seconds, time.perf_counter() - begin))


def own(path: str, turns: int) -> dict[str, float]:
    """Medians of what fastnn does, in seconds."""
    import fastnn as library
    from fastnn.data import SQLDataset, clear_cache
    from fastnn.layers import Dense, Input
    from fastnn.models import Sequential

    def model() -> Sequential:
        library.set_random_seed(0)
        made = Sequential([Input((COLUMNS,)), Dense(32, activation="relu"), Dense(1)])
        made.compile("adam", "mse")
        return made

    def epochs(data: Any, count: int, *y: Any) -> float:
        net = model()
        begin = time.perf_counter()
        net.fit(data, *y, batch_size=256, epochs=count, verbose=0)
        return time.perf_counter() - begin

    sql = SQL.replace(" FROM", ", y FROM")
    pages = list(SQLDataset(sql, path, target="y", memory_limit=2**32).pages(1))
    x, y = (np.concatenate(parts) for parts in zip(*((page.x, page.y) for page in pages), strict=True))
    found: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(seconds)

    for _ in range(turns):
        for name, table, how in (
            ("read REAL", "t", {}),
            ("read REAL with NULL", "u", {"null": 0}),
            ("read INTEGER", "i", {}),
        ):
            begin = time.perf_counter()
            fastnn(path, SQL.replace("FROM t", f"FROM {table}"), **how)
            note(name, time.perf_counter() - begin)
        begin = time.perf_counter()
        for _ in SQLDataset(SQL.replace("FROM t", "FROM s"), path).blocks("string"):
            pass
        note("read TEXT, as Python's texts", time.perf_counter() - begin)
        note("epoch of arrays", epochs(x, 1, y))
        note("first epoch from SQL", epochs(SQLDataset(sql, path, target="y", cache=False), 1))
        clear_cache()
        data = SQLDataset(sql, path, target="y", cache=True)
        epochs(data, 1)
        note("4 epochs of arrays", epochs(x, 4, y))
        note("4 epochs from disk", epochs(data, 4))
        begin = time.perf_counter()
        model().predict_sql(SQL.replace("SELECT", "SELECT id,"), path, into="p", key="id", mode="replace")
        note("predict_sql", time.perf_counter() - begin)
    clear_cache()
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.databases", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--threads", help=argparse.SUPPRESS)
    parser.add_argument("--own", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--file", help="a file that an earlier run has made, or where to make it")
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read, arguments.file)
        return
    if arguments.own:
        print(json.dumps(own(arguments.file, arguments.turns)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file or str(Path(folder, "rows.db"))
        if not os.path.exists(path):
            make(Path(path), arguments.rows)
        here = [name for name, (_, module, _) in READERS.items() if find_spec(module)]
        seconds = {name: [] for name in here}  # type: dict[str, list[float]]
        for _ in range(arguments.turns):
            for name in here:
                seconds[name].append(timed_reader(name, path))
        print(f"| {arguments.rows:,} rows of {COLUMNS} REAL columns | seconds | Mrow/s |\n|---|--:|--:|")
        for name, values in seconds.items():
            median = statistics.median(values)
            print(f"| {name} | {duration(median)} | {arguments.rows / median / 1e6:.2f} |")
        environment = os.environ | {"FASTNN_CACHE": folder}
        command = [sys.executable, "-m", "benchmarks.databases", "--own", "--file", path]
        command += ["--turns", str(arguments.turns), "--threads", "2"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        print("\n| fastnn, two threads | seconds |\n|---|--:|")
        for name, value in json.loads(done.stdout).items():
            print(f"| {name} | {duration(value)} |")


if __name__ == "__main__":
    main()
