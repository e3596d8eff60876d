"""What ``fastnn demo`` does: a database, a network from it, predictions back into it."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import fastnn
from fastnn import Sequential, kernels, layers, random
from fastnn._process import fresh_process
from fastnn.data import Source, SQLDataset
from fastnn.data.digits import load_digits
from fastnn.models import load_model
from fastnn.typing import Array, FloatArray

DATA = "Data: Alpaydin & Kaynak 1998, UCI, https://doi.org/10.24432/C50P49, CC BY 4.0."
NAME = "fastnn_demo"  # of the model: a file that holds another is never replaced
MARK = 0x666E6E64  # of the database, likewise: SQLite's application_id
PIXELS = [f"p{number:02}" for number in range(64)]
# The pixels have mean 5 and deviation 6, so this gives inputs around 0, of size 1.
SCALED = [f"({pixel} - 5) / 6.0 AS {pixel}" for pixel in PIXELS]
# Not every fifth: most writers filled in 0 to 9 in turn, so that few digits would be tested.
SEEN, UNSEEN = "id % 7 <> 0", "id % 7 = 0"
HIDDEN, BATCH_SIZE, LOSS = 256, 32, "sparse_categorical_crossentropy"

ACCURACY = f"""\
SELECT avg(prediction = digit)
  FROM digits JOIN predictions USING (id) WHERE {UNSEEN}"""
TRAIN = """\
from fastnn.data import SQLDataset
from fastnn.layers import Dense
from fastnn.models import Sequential

query = "SELECT a, b, label FROM my_table"
model = Sequential([Dense(64, "relu"), Dense(10, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(SQLDataset(query, "my.db", target="label"), epochs=30)"""
PREDICT = """\
query = "SELECT id, a, b FROM my_table"
model.predict_sql(query, "my.db", into="predictions", key="id")"""
NEXT = """\
next: cd {folder}, and README's "From a SQL query"
next: the same network from arrays, README's "Keras code"
next: docs/README.md, a page for each task"""


def run(folder: Path, epochs: int, seed: int) -> None:
    """Make digits.db and digits.fastnn in `folder`; print what happens and what comes out.

    ValueError for a file that the demo did not make, for a database that cannot be written, and
    where two ways to the same figure disagree; OSError for a folder that cannot be made.
    """
    database, model_file = folder / "digits.db", folder / "digits.fastnn"
    ours = not model_file.exists()
    with suppress(ValueError):  # for what is no model at all
        ours = ours or load_model(model_file).name == NAME
    _check_ours(model_file, ours)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"fastnn {fastnn.__version__} ({kernels.isa}), NumPy {np.__version__}")

    _heading("1. A table in a database")
    count = _make_table(database)
    print(f"{database}: table digits, {count:,} handwritten digits")
    print("Columns: id, p00 to p63 (8 x 8 pixels, each from 0 to 16), digit (0 to 9)")
    print(DATA)

    _heading("2. A network, trained from that table")
    seen, unseen = _rows(database)
    print(_select(SEEN, SCALED[0], "..."))
    print("The rows left out, one in seven, are for the test.")
    print(
        f"Network: 64 inputs, {HIDDEN} relu, 10 softmax; Adam, batches of {BATCH_SIZE}\n",
        flush=True,
    )
    model = _network(seed)
    model.compile("adam", LOSS, metrics=["accuracy"])
    model.fit(seen, batch_size=BATCH_SIZE, epochs=epochs)
    accuracies = _accuracies(model, seen, unseen)

    _heading("3. The same training in plain NumPy")
    code = "from fastnn.demo import race; race(sys.argv[1], *map(int, sys.argv[2:]))"
    race = json.loads(fresh_process(code, str(database), str(epochs), str(seed), threads=1))
    ours, theirs = race["losses"]
    print("Same first weights, same batches, float32; one thread each (NumPy's BLAS could")
    print(f"use more; it is held to one). Medians of {race['runs']}, timed in turn.")
    print(f"Loss of the last epoch: fastnn {ours:.6f}, NumPy {theirs:.6f}")
    if not math.isclose(ours, theirs, rel_tol=0.01, abs_tol=0.001):
        raise ValueError("fastnn and NumPy did not reach the same loss, so no times are compared")

    _heading("4. Figures")
    (fast, plain), pairs = race["speeds"], zip(accuracies, race["accuracies"], strict=True)
    print(f"{'':<17}{'fastnn':>12}{'NumPy':>12}")
    for name, (mine, other) in zip(("train accuracy", "test accuracy"), pairs, strict=True):
        print(f"{name:<17}{mine:>12.4f}{other:>12.4f}")
    print(f"{'rows per second':<17}{round(fast, -3):>12,.0f}{round(plain, -3):>12,.0f}")
    print(f"{'ratio':<17}{fast / plain:>12.1f}{1:>12.1f}")

    _heading("5. The model saved, and at work in another process")
    model.save(model_file)
    print(f"{model_file}: {model_file.stat().st_size:,} bytes; now a new process runs\n")
    _predict(model_file, database)
    _check_predictions(database, accuracies[1])

    _heading("6. With a table of your own")
    print("Say that my_table in my.db has the columns id, a, b and label (0 to 9). This")
    print(f"trains on it:\n\n{TRAIN}\n")
    print(f"This writes the predictions into a new table beside it:\n\n{PREDICT}\n")
    print(f"The database and the model are in {folder.absolute()}\n\n{NEXT.format(folder=folder)}")


def _heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def _select(where: str, *columns: str) -> str:
    return f"SELECT {', '.join(columns)}, digit FROM digits WHERE {where}"


def _rows(database: str | Path) -> list[SQLDataset]:
    """The rows to train on and those to test with."""
    queries = [_select(where, *SCALED) for where in (SEEN, UNSEEN)]
    return [SQLDataset(query, database, target="digit") for query in queries]


def _network(seed: int) -> Sequential:
    fastnn.set_random_seed(seed)
    hidden = layers.Dense(HIDDEN, "relu", input_dim=len(PIXELS))
    model = Sequential([hidden, layers.Dense(10, "softmax")], name=NAME)
    model.build()
    fastnn.set_random_seed(seed)  # the order of the rows, too, is the same each time
    return model


def _accuracies(model: Sequential, *sources: Source) -> list[float]:
    return [float(model.evaluate(source, verbose=0)[1]) for source in sources]


def _check_ours(path: Path, ours: bool) -> None:
    if not ours:
        raise ValueError(f"{path} was not made by the demo; try another place, with --folder")


@contextmanager
def _connection(database: Path) -> Iterator[sqlite3.Connection]:
    """The database, in one transaction, committed unless something fails."""
    try:
        with closing(sqlite3.connect(database)) as connection, connection:
            yield connection
    except sqlite3.Error as error:
        raise ValueError(f"{database}: SQLite says: {error}; try another place, with --folder") from error


def _make_table(database: Path) -> int:
    """Make the table digits anew, if need be in a database of an earlier demo; give its rows."""
    x, y = load_digits()
    rows = zip(range(1, len(y) + 1), *x.T.tolist(), y.tolist(), strict=True)
    old = database.exists() and database.stat().st_size > 0
    with _connection(database) as connection:
        mark = connection.execute("PRAGMA application_id").fetchone()[0]
        _check_ours(database, mark == MARK or not old)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DROP TABLE IF EXISTS predictions")
        connection.execute("DROP TABLE IF EXISTS digits")
        columns = [f"{name} INTEGER NOT NULL" for name in [*PIXELS, "digit"]]
        connection.execute(f"CREATE TABLE digits (id INTEGER PRIMARY KEY, {', '.join(columns)})")
        connection.executemany(f"INSERT INTO digits VALUES (?{', ?' * len(columns)})", rows)
        connection.execute(f"PRAGMA application_id = {MARK}")
    return len(y)


def _predict(model_file: Path, database: Path) -> None:
    """Have another process predict all rows, by the command that anybody may use."""
    command = f"fastnn predict {model_file} {database}"
    query, options = "SELECT id, {} FROM digits", "--into predictions --key id"
    print(f'{command} \\\n    "{query.format(SCALED[0] + ", ...")}" \\\n    {options}\n')
    arguments = ["predict", str(model_file), str(database), query.format(", ".join(SCALED))]
    code = "from fastnn.cli import main; sys.exit(main())"
    print(fresh_process(code, *arguments, *options.split()))


def _check_predictions(database: Path, accuracy: float) -> None:
    """Print a few of the predictions, and compare SQL's count of the right ones with ours."""
    with _connection(database) as connection:
        some = connection.execute(
            "SELECT id, digit, prediction, probability FROM digits JOIN predictions USING (id) "
            f"WHERE {UNSEEN} ORDER BY id LIMIT 5"
        ).fetchall()
        ((counted,),) = connection.execute(ACCURACY).fetchall()
    print("   id   digit   prediction   probability")
    for key, digit, prediction, probability in some:
        print(f"{key:>5}   {digit:>5}   {prediction:>10}   {probability:>11.4f}")
    print(f"\n{ACCURACY}")
    if not math.isclose(counted, accuracy, abs_tol=1e-9):
        raise ValueError(f"SQL counts an accuracy of {counted:.4f}, but it was {accuracy:.4f}")
    print(f"gives {counted:.4f}: the test accuracy of the model before it was saved.")


def race(database: str, epochs: int, seed: int) -> None:
    """Train with fastnn and NumPy in turn; print runs, losses, NumPy's accuracies, and speeds."""
    seen, unseen = _rows(database)
    runs = max(1, min(7, 150 // epochs))
    seconds: tuple[list[float], list[float]] = [], []
    for _ in range(runs + 1):
        model = _network(seed)
        weights = model.get_weights()
        model.compile("adam", LOSS)
        start = time.perf_counter()
        history = model.fit(seen, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
        seconds[0].append(time.perf_counter() - start)
        fastnn.set_random_seed(seed)
        plain = NumpyNet(weights)
        start = time.perf_counter()
        loss = plain.fit(seen, epochs, random.generator())
        seconds[1].append(time.perf_counter() - start)
    model.compile("adam", LOSS, metrics=["accuracy"])
    model.set_weights([plain.w1, plain.b1, plain.w2, plain.b2])
    # The first run of each was to warm up: rows are read, buffers made, caches filled.
    speeds = [(seen.rows or 0) * epochs / median(times[1:]) for times in seconds]
    losses, accuracies = [history.history["loss"][-1], loss], _accuracies(model, seen, unseen)
    print(json.dumps({"runs": runs, "losses": losses, "accuracies": accuracies, "speeds": speeds}))


class NumpyNet:
    """The same network in NumPy, as fast as readable code gets: it makes no large array twice."""

    def __init__(self, weights: list[FloatArray]) -> None:
        self.flat = np.concatenate([array.ravel() for array in weights])
        self.gradient, self.m, self.v, self.change = np.zeros((4, self.flat.size), np.float32)
        ends = np.cumsum([array.size for array in weights])[:-1]
        (self.w1, self.b1, self.w2, self.b2), (self.dw1, self.db1, self.dw2, self.db2) = (
            [part.reshape(w.shape) for part, w in zip(np.split(flat, ends), weights, strict=True)]
            for flat in (self.flat, self.gradient)
        )
        self.steps = 0
        self.buffers: dict[int, list[Array]] = {}  # by the rows of a batch: the last has fewer

    def fit(self, source: Source, epochs: int, rng: np.random.Generator) -> float:
        """Train; give the mean loss of the last epoch."""
        for _ in range(epochs):
            loss, rows = 0.0, 0
            page: Any  # which has y and order here
            for page in source.pages(BATCH_SIZE, rng):
                labels, order = page.y[:, 0].astype(np.intp), page.order.astype(np.intp)
                for start in range(0, len(labels), BATCH_SIZE):
                    loss += self.step(page.x, labels, order[start : start + BATCH_SIZE])
                rows += len(labels)
        return loss / rows

    def step(self, all_x: FloatArray, all_labels: Array, chosen: Array) -> float:
        """One batch; give the sum of its rows' losses."""
        n = len(chosen)
        if n not in self.buffers:
            sizes = (all_x.shape[1], HIDDEN, HIDDEN, HIDDEN, 10, 1)
            self.buffers[n] = [np.zeros((n, size), np.float32) for size in sizes]
            self.buffers[n] += [np.ones(n, np.float32), np.arange(n)]
        x, a, d, zeros, z, column, ones, rows = self.buffers[n]
        all_x.take(chosen, 0, x, "clip")
        labels = all_labels.take(chosen)
        # Forward: relu, then the raw output, shifted by each row's largest.
        x.dot(self.w1, a)
        a += self.b1
        np.maximum(a, zeros, out=a)  # with a scalar for the zeros it takes four times as long
        a.dot(self.w2, z)
        z += self.b2
        z -= np.maximum.reduce(z, 1, out=column, keepdims=True)
        # The loss is log(sum(exp(z))) - z[label]; its gradient is softmax(z) - one hot.
        loss = -z[rows, labels].sum()
        np.exp(z, z)
        z /= np.add.reduce(z, 1, out=column, keepdims=True)
        loss += np.log(column, column).sum()
        z[rows, labels] -= 1
        z /= n
        # Backward; the input needs no gradient.
        a.T.dot(z, self.dw2)
        ones.dot(z, self.db2)
        z.dot(self.w2.T, d)
        d *= a > 0
        x.T.dot(d, self.dw1)
        ones.dot(d, self.db1)
        self.adam()
        return float(loss)

    def adam(self) -> None:
        """Keras's Adam; m and v are kept as sums, over 1 - beta, which saves two passes."""
        self.steps += 1
        m, v, change = self.m, self.v, self.change
        m *= 0.9
        m += self.gradient
        v *= 0.999
        v += np.square(self.gradient, self.gradient)
        np.sqrt(v, change)
        change += 1e-7 / 0.001**0.5
        np.divide(m, change, change)
        rate = 0.001 * (1 - 0.999**self.steps) ** 0.5 / (1 - 0.9**self.steps)
        change *= rate * 0.1 / 0.001**0.5
        self.flat -= change
