"""End processes at random moments while they write, and see that nothing is lost.

    python scripts/kill.py save|checkpoint|backup|sql|lbfgs|search|predict_sql N [--seed S]

save         a model is saved over and over: the file is then the old one or the new one, whole
checkpoint   a fit with ModelCheckpoint: each of its files is whole, and of the epoch that its name says
backup       a fit with BackupAndRestore: started again, it ends with the same bits as one that was not ended
sql          the same of a fit on the rows of a query, in the middle of an epoch, more than memory may hold
lbfgs        the same of a fit by L-BFGS
search       a search with backup_dir: started again, it finds what one found that was not ended
predict_sql  predictions are written over and over: the table is then the old one or the new one, whole

Each of the N processes is forked from one that has imported all, and ended by kill -9 or, every second one, by SIGINT
(Ctrl-C). What it wrote is looked at, then written once more: no temporary file is there then. Counts are printed; the
exit status is 1 where something was lost. The moments are chosen by the seed, but what a process does at a moment is
not: no run is like another.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: its threads do not live through a fork

import numpy as np

import fastnn
from fastnn.callbacks import BackupAndRestore, LambdaCallback, ModelCheckpoint
from fastnn.data import SQLDataset
from fastnn.layers import Dense
from fastnn.model_selection import search
from fastnn.models import Model, Sequential, load_model

ENDS = (signal.SIGKILL, signal.SIGINT)
LONGEST = 60  # seconds that a process may take to end


class Lost(Exception):
    """Something is neither as it was nor as it should become."""


class Kind(ABC):
    """What is written in a folder, by a process that may end at any moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def write(self, done: Callable[[], None]) -> None:
        """Write for ever, or to the end; `done` is called after each part."""

    @abstractmethod
    def check(self, done: int) -> str:
        """In which state the folder is, after `done` parts and an end; Lost where it is in none."""

    @abstractmethod
    def write_once(self) -> None:
        """Write once more, to the end."""

    def temporary(self) -> list[str]:
        """The names of files that should not be there."""
        return [path.name for path in self.folder.rglob("*") if path.name.startswith(".fastnn")]


def net(number: float, units: int = 300) -> Model:
    """A model all whose weights, and the optimizer's vectors, are one number."""
    model = Sequential([Dense(units, input_dim=units), Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.zeros((1, units)), np.zeros((1, 1)), verbose=0)
    fill(model, number)
    return model


def fill(model: Model, number: float) -> None:
    """Make all weights one number."""
    model.set_weights([np.full_like(array, number) for array in model.get_weights()])


def number_of(path: Path) -> int:
    """The one number of the weights of a model's file."""
    found = {float(number) for array in load_model(path).get_weights() for number in np.unique(array)}
    if len(found) != 1:
        raise Lost(f"{path.name} has the weights {sorted(found)[:5]}")
    return int(found.pop())


class Save(Kind):
    """A file that is saved again and again, with the number of the time in it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "model.fastnn"
        self.model = net(0)
        self.model.save(self.path)

    def write(self, done: Callable[[], None]) -> None:
        for number in range(1, 10**6):
            fill(self.model, number)
            self.model.save(self.path)
            done()

    def check(self, done: int) -> str:
        found = number_of(self.path)
        if found not in (done, done + 1):
            raise Lost(f"the file is of time {found}, and {done} were done")
        return "old" if found == done else "new"

    def write_once(self) -> None:
        self.model.save(self.path)
        if number_of(self.path) != 0:
            raise Lost("what was saved afterwards is not in the file")


class Checkpoint(Kind):
    """The files of a ModelCheckpoint, of which each has the number of its epoch in it."""

    def _fit(self, epochs: int, done: Callable[[], None]) -> None:
        model = net(0)
        number = LambdaCallback(on_epoch_end=lambda epoch, logs: fill(model, epoch + 1))
        files = ModelCheckpoint(self.folder / "{epoch:06d}.fastnn", keep=3)
        told = LambdaCallback(on_epoch_end=lambda epoch, logs: done())
        model.fit(np.zeros((1, 300)), np.zeros((1, 1)), epochs=epochs, verbose=0, callbacks=[number, files, told])

    def write(self, done: Callable[[], None]) -> None:
        self._fit(10**6, done)

    def check(self, done: int) -> str:
        found = sorted(self.folder.glob("[0-9]*"))
        for path in found:
            if number_of(path) != int(path.stem):
                raise Lost(f"{path.name} is of epoch {number_of(path)}")
        last = int(found[-1].stem) if found else 0
        if last not in (done, done + 1) or len(found) not in (min(last, 3), 4):
            raise Lost(f"after {done} epochs there is {[path.name for path in found]}")
        for path in found:
            path.unlink()
        return "old" if last == done else "new"

    def write_once(self) -> None:
        self._fit(1, lambda: None)
        self.check(1)


class Backup(Kind):
    """A fit that is to end with the same bits, whenever it was ended and started again."""

    EPOCHS = 6
    save_freq: int | str = 3

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.prepare()
        self.end = self._fit([])

    def prepare(self) -> None:
        """Make what the fit reads."""
        rng = np.random.default_rng(0)
        self.x, self.y = rng.normal(size=(200, 30)), rng.normal(size=(200, 1))

    def _fit(self, callbacks: list[fastnn.callbacks.Callback]) -> bytes:
        fastnn.set_random_seed(1)
        model = Sequential([Dense(40, "relu", input_dim=30), fastnn.layers.Dropout(0.2), Dense(1)])
        self.fit(model, callbacks)
        return b"".join(array.tobytes() for array in model.get_weights())

    def fit(self, model: Model, callbacks: list[fastnn.callbacks.Callback]) -> None:
        """Fit a network of 30 inputs."""
        model.compile("adam", "mse")
        model.fit(self.x, self.y, 16, self.EPOCHS, 0, callbacks)

    def _backed_up(self, done: Callable[[], None]) -> bytes:
        backup = BackupAndRestore(self.folder / "backup", save_freq=self.save_freq, double_checkpoint=True)
        return self._fit([backup, LambdaCallback(on_epoch_end=lambda epoch, logs: done())])

    def write(self, done: Callable[[], None]) -> None:
        if self._backed_up(done) != self.end:
            raise Lost("a fit that was not ended has other weights")

    def check(self, done: int) -> str:
        left = (self.folder / "backup").exists()
        if self._backed_up(lambda: None) != self.end:
            raise Lost("the fit went on to other weights")
        if (self.folder / "backup").exists() and not self.temporary():
            raise Lost("the files of a fit that has ended are still there")
        return "resumed" if left else "from the beginning"

    def write_once(self) -> None:
        self.check(0)


class FromSQL(Backup):
    """The same, on rows of a query that are drawn from disk, as memory holds few of them."""

    def prepare(self) -> None:
        rng = np.random.default_rng(0)
        names = ", ".join(f"x{i}" for i in range(30))
        self.database = self.folder / "data.db"
        with contextlib.closing(sqlite3.connect(self.database)) as con:
            con.execute(f"CREATE TABLE data ({names}, y)")
            con.executemany(f"INSERT INTO data VALUES (?{', ?' * 30})", rng.normal(size=(400, 31)).tolist())
            con.commit()

    def fit(self, model: Model, callbacks: list[fastnn.callbacks.Callback]) -> None:
        model.compile("adam", "mse")
        rows = SQLDataset("SELECT * FROM data", self.database, target="y", memory_limit=4000)
        model.fit(rows, batch_size=16, epochs=self.EPOCHS, verbose=0, callbacks=callbacks)

    def temporary(self) -> list[str]:
        return [name for name in super().temporary() if "data.db" not in name]


class ByLBFGS(Backup):
    """The same, by L-BFGS, whose steps are epochs."""

    EPOCHS = 12
    save_freq = "epoch"

    def fit(self, model: Model, callbacks: list[fastnn.callbacks.Callback]) -> None:
        model.compile("lbfgs", "mse")
        model.fit(self.x, self.y, len(self.x), self.EPOCHS, 0, callbacks)


class Searched(Kind):
    """A search that is to find the same, whenever it was ended and started again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        rng = np.random.default_rng(0)
        self.x, self.y = rng.normal(size=(200, 30)), rng.normal(size=(200, 1))
        self.end = self._search(None, lambda: None)

    def _search(self, folder: Path | None, done: Callable[[], None]) -> object:
        def build(units: int) -> Model:
            model = Sequential([Dense(units, "relu", input_dim=30), fastnn.layers.Dropout(0.2), Dense(1)])
            model.compile("adam", "mse")
            done()
            return model

        found = search(
            build,
            {"units": [3, 40, 5]},
            self.x,
            self.y,
            cv=3,
            epochs=20,
            n_jobs=2,
            random_state=0,
            verbose=0,
            backup_dir=folder,
        )
        weights = b"".join(array.tobytes() for array in found.best_estimator_.get_weights())
        return found.best_params_, found.cv_results_["mean_test_loss"].tolist(), weights

    def write(self, done: Callable[[], None]) -> None:
        if self._search(self.folder / "backup", done) != self.end:
            raise Lost("a search that was not ended found something else")

    def check(self, done: int) -> str:
        left = len(list((self.folder / "backup").glob("*")))
        if self._search(self.folder / "backup", lambda: None) != self.end:
            raise Lost("the search went on to something else")
        shutil.rmtree(self.folder / "backup")
        return "resumed" if left else "from the beginning"

    def write_once(self) -> None:
        self._search(self.folder / "backup", lambda: None)
        shutil.rmtree(self.folder / "backup")


class PredictSQL(Kind):
    """A table of predictions, all of which are the number of the time."""

    ROWS = 3000

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.database = folder / "data.db"
        self.model = net(0, 4)
        with contextlib.closing(sqlite3.connect(self.database)) as con:
            con.execute("CREATE TABLE data (id INTEGER PRIMARY KEY, a, b, c, d)")
            con.executemany("INSERT INTO data VALUES (?, 0, 0, 0, 0)", [(i,) for i in range(self.ROWS)])
            con.commit()
        self._predict(0)

    def _predict(self, number: int) -> None:
        """Write a table in which each prediction is `number`: the rows are 0, so it is the last bias."""
        weights = [np.zeros_like(array) for array in self.model.get_weights()]
        weights[-1][:] = number
        self.model.set_weights(weights)
        self.model.predict_sql(
            "SELECT * FROM data", self.database, into="predicted", key="id", kind="values", mode="replace"
        )

    def write(self, done: Callable[[], None]) -> None:
        for number in range(1, 10**6):
            self._predict(number)
            done()

    def check(self, done: int) -> str:
        with contextlib.closing(sqlite3.connect(self.database)) as con:
            if con.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                raise Lost("the database is damaged")
            tables = sorted(name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
            if tables != ["data", "predicted"]:
                raise Lost(f"the tables are {tables}")
            found = con.execute("SELECT prediction, count(*) FROM predicted GROUP BY 1").fetchall()
        if len(found) != 1 or found[0][1] != self.ROWS or found[0][0] not in (done, done + 1):
            raise Lost(f"after {done} times the predictions and their numbers are {found[:5]}")
        return "old" if found[0][0] == done else "new"

    def write_once(self) -> None:
        self._predict(0)
        self.check(0)

    def temporary(self) -> list[str]:
        names = {path.name for path in self.folder.iterdir()} - {"data.db", "data.db-wal", "data.db-shm"}
        return sorted(names)


KINDS: dict[str, type[Kind]] = {
    "save": Save,
    "checkpoint": Checkpoint,
    "backup": Backup,
    "sql": FromSQL,
    "lbfgs": ByLBFGS,
    "search": Searched,
    "predict_sql": PredictSQL,
}


def started(kind: Kind) -> tuple[int, int]:
    """A process that writes, and where it tells of each part that is done."""
    told, tells = os.pipe()
    process = os.fork()
    if process:
        os.close(tells)
        return process, told
    try:
        os.close(told)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be inherited as ignored
        os.write(tells, b".")
        kind.write(lambda: os.write(tells, b".") and None)
        os._exit(0)
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def ended(process: int, told: int, after: float, how: signal.Signals) -> tuple[int, int]:
    """End a process some seconds after it begins; gives its status and how many parts it has done."""
    begun = os.read(told, 1)
    time.sleep(after)
    os.kill(process, how)
    limit = time.monotonic() + LONGEST
    while True:
        gone, status = os.waitpid(process, os.WNOHANG)
        if gone:
            break
        if time.monotonic() > limit:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise Lost(f"the process did not end {LONGEST} s after {how.name}")
        time.sleep(0.001)
    done = len(begun) - 1
    while part := os.read(told, 2**16):
        done += len(part)
    os.close(told)
    return os.waitstatus_to_exitcode(status), done


def usual_time(kind: Kind) -> float:
    """Seconds in which a process has done some parts."""
    process, told = started(kind)
    os.read(told, 1)
    begun, done = time.monotonic(), 0
    while done < 4 and (part := os.read(told, 1)):
        done += len(part)
    seconds = time.monotonic() - begun
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    while part := os.read(told, 2**16):
        done += len(part)
    os.close(told)
    kind.check(done)
    kind.write_once()
    return seconds


def play(name: str, count: int, seed: int, folder: Path) -> Counter[str]:
    """End so many processes; gives how often what was found."""
    choose = random.Random(seed)
    kind = KINDS[name](folder)
    longest = usual_time(kind)
    counts: Counter[str] = Counter()
    while counts["SIGKILL"] + counts["SIGINT"] < count:
        how = ENDS[(counts["SIGKILL"] + counts["SIGINT"]) % len(ENDS)]
        try:
            status, done = ended(*started(kind), choose.uniform(0, longest), how)
            if status == 0:
                counts["at its end before"] += 1
                longest /= 2
                continue
            if status not in (-how, 130):
                raise Lost(f"the process ended with status {status}")
            counts[how.name] += 1
            left = kind.temporary()
            counts["left a temporary file"] += bool(left)
            counts[kind.check(done)] += 1
            kind.write_once()
            if kind.temporary():
                raise Lost(f"{kind.temporary()} are there after the next write too")
        except (Lost, ValueError, OSError, sqlite3.Error) as error:
            counts["LOST"] += 1
            print(f"{name}, process {sum(counts[each.name] for each in ENDS)}: {type(error).__name__}: {error}")
            if counts["LOST"] == 10:
                break
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """End processes as the command line says; 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("n", metavar="N", type=int, help="how many processes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FASTNN_CACHE"] = str(Path(folder, "cache"))
        counts = play(options.kind, options.n, options.seed, Path(folder))
    lost = counts.pop("LOST", 0)
    found = ", ".join(f"{count} {what}" for what, count in counts.items())
    print(f"{options.kind}, seed {options.seed}: {found}, {lost} lost; {time.monotonic() - begun:.0f} s")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
