"""The same over MPI: processes that ``mpiexec`` starts."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from support.database import connect

pytest.importorskip("mpi4py")
MPIEXEC = next(
    (
        path
        for folder in (Path(sys.executable).parent, Path(sys.prefix) / "bin", *os.get_exec_path())
        if os.access(path := Path(folder) / "mpiexec", os.X_OK)
    ),
    None,
)
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec")

BEGIN = """
import hashlib, os, signal, sys
import numpy as np
import fastnn
from fastnn.callbacks import BackupAndRestore, Callback
from fastnn.distributed import MPICommunicator
from fastnn.layers import BatchNormalization, Dense, Dropout, Input
from fastnn.models import Sequential

x = np.random.default_rng(0).normal(size=(500, 20)).astype("f4")
y = np.random.default_rng(1).normal(size=(500, 3)).astype("f4")
comm = MPICommunicator()
fastnn.set_random_seed(comm.rank)
model = Sequential([Input((20,)), Dense(64, "relu"), Dropout(0.3), BatchNormalization(), Dense(200, "tanh"), Dense(3)])
model.compile("adam", "mse", metrics=["mae"])

def digest():
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()
"""


def mpiexec(ranks: int, *command: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "FASTNN_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [str(MPIEXEC), "-n", str(ranks), *command],
        capture_output=True, text=True, timeout=timeout, env=variables, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def script(ranks: int, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return mpiexec(ranks, sys.executable, "-P", "-c", BEGIN + textwrap.dedent(text), **environment)


FIT = """
history = model.fit(x, y, batch_size=100, epochs=3, verbose=0, validation_split=0.1, distribute=comm)
print(f"{digest()} {history.history['val_mae'][-1]}\\n", end="", flush=True)
"""


def test_any_number_of_ranks_and_threads() -> None:
    found = set()
    for ranks, threads in ((1, 1), (2, 1), (3, 1), (4, 1), (2, 2)):
        result = script(ranks, FIT, FASTNN_NUM_THREADS=str(threads))
        assert result.returncode == 0, result.stderr
        lines = result.stdout.split("\n")[:-1]
        assert len(lines) == ranks
        found |= set(lines)
    assert len(found) == 1


def test_rank_0_alone_talks() -> None:
    result = script(2, "model.fit(x, y, epochs=2, verbose=2, distribute=comm)")
    assert result.stdout.count("Epoch 2/2") == 1


KILL = """
class Kill(Callback):
    left = {at}
    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

hooks = [BackupAndRestore({folder!r}, save_freq=1), Kill()]
model.fit(x, y, batch_size=100, epochs=3, verbose=0, callbacks=hooks, distribute=comm)
print(digest() + "\\n", end="", flush=True)
"""


@pytest.mark.parametrize(("first", "then", "at"), [(2, 1, 3), (2, 1, 12), (3, 2, 8)])
def test_a_job_that_was_killed_goes_on_with_fewer_ranks(first: int, then: int, at: int, tmp_path: Path) -> None:
    plain = script(1, KILL.format(at=99, folder=str(tmp_path / "plain"))).stdout.split()
    began = time.monotonic()
    result = script(first, KILL.format(at=at, folder=str(tmp_path / "backup")))
    assert result.returncode != 0
    assert "signal 9" in result.stdout + result.stderr
    assert time.monotonic() - began < 30  # the others do not wait for it
    found = script(then, KILL.format(at=99, folder=str(tmp_path / "backup")))
    assert found.stdout.split() == plain * then, found.stderr


def test_a_rank_that_fails_alone_ends_the_job_with_a_line() -> None:
    result = script(
        3,
        """
        def rows():
            for i in range(0, 500, 50):
                if comm.rank == 2 and i == 200:
                    raise OSError("the disk is gone")
                yield x[i:i + 50], y[i:i + 50]

        model.fit(rows(), steps_per_epoch=10, epochs=1, verbose=0, distribute=comm)
        """,
    )
    assert result.returncode != 0
    assert "fastnn: rank 2 of 3: OSError: the disk is gone" in result.stderr


def test_a_rank_that_hangs_ends_the_job() -> None:
    result = script(
        2,
        """
        import time
        comm.timeout = 2.0
        if comm.rank == 1:
            time.sleep(60)
        model.fit(x, y, verbose=0, distribute=comm)
        """,
    )
    assert result.returncode != 0
    assert "fastnn: rank 0 of 2: has waited 2 s for another rank" in result.stderr


def test_ctrl_c_of_one_rank_stops_all() -> None:
    """At the same batch; or it ends the job, where it comes while the rank waits for a message."""
    result = script(
        2,
        """
        import threading
        if comm.rank == 1:
            threading.Timer(0.7, signal.raise_signal, [signal.SIGINT]).start()
        try:
            model.fit(x, y, batch_size=100, epochs=1000000, verbose=0, distribute=comm)
        except KeyboardInterrupt:
            print(f"stopped {digest()}\\n", end="", flush=True)
        """,
    )
    lines = result.stdout.split("\n")[:2]
    together = lines[0].startswith("stopped") and lines[0] == lines[1]
    assert together or "fastnn: rank 1 of 2: KeyboardInterrupt" in result.stderr, result.stdout + result.stderr


def test_ranks_that_differ_are_named() -> None:
    result = script(2, "model.fit(x + comm.rank, y, verbose=0, distribute=comm)")
    assert result.returncode != 0
    assert "ValueError: all ranks must run the same, but the data of rank 1 is not that of rank 0" in result.stderr


def test_instruction_sets_that_differ() -> None:
    from fastnn.kernels import cpu

    if cpu.supported() == ["baseline"]:
        pytest.skip("this processor has one instruction set")
    begin = "import os\nif os.environ.get('PMI_RANK') == '1': os.environ['FASTNN_ISA'] = 'baseline'\n"
    text = begin + BEGIN + "model.fit(x, y, verbose=0, distribute=comm)"
    result = mpiexec(2, sys.executable, "-P", "-c", text)
    assert "the instruction set (FASTNN_ISA) of rank 1 is not that of rank 0: 'baseline'" in result.stderr


def test_ranks_share_the_processors_of_a_machine() -> None:
    text = """
    class Look(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            print(f"within {fastnn.get_num_threads()}\\n", end="", flush=True)

    model.fit(x, y, verbose=0, callbacks=[Look()], distribute=comm)
    assert fastnn.get_num_threads() == len(os.sched_getaffinity(0))
    """
    most = len(os.sched_getaffinity(0))
    for named, within in (("", max(1, most // 2)), (str(most), most)):
        result = script(2, text, FASTNN_NUM_THREADS=named)
        assert result.stdout.split() == ["within", str(within)], result.stderr


def test_what_a_communicator_does() -> None:
    result = script(
        3,
        """
        everyone = np.zeros(6)
        own = everyone[comm.rank * (comm.rank + 1) // 2:][:comm.rank + 1]
        own[:] = comm.rank + 1
        comm.allgatherv(own, everyone, [1, 2, 3])
        assert everyone.tolist() == [1, 2, 2, 3, 3, 3]
        other = np.zeros(6)
        comm.allgatherv(own.copy(), other, [1, 2, 3])
        assert (other == everyone).all()
        array = np.full(3, comm.rank)
        comm.bcast(array, 2)
        assert (array == 2).all()
        assert comm.bcast_object({"a": [comm.rank]}, 1) == {"a": [1]}
        comm.barrier()
        print("well\\n", end="", flush=True)
        """,
    )
    assert result.stdout.split() == ["well"] * 3, result.stderr


# The command.


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with connect(path) as database:
        _fill(database)
    return path


def _fill(database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, age REAL, visits REAL, bought TEXT)")
    rows = [(i, 20 + i % 50, i % 7, "yes" if i % 50 + 3 * (i % 7) > 30 else "no") for i in range(600)]
    database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)
    database.commit()


def train(shop: Path, out: Path, ranks: int) -> Any:
    command = ["-P", "-m", "fastnn", "train", "--data", f"sqlite:///{shop}", "--table", "customers"]
    return mpiexec(ranks, sys.executable, *command, "--target", "bought", "--epochs", "3", "--out", str(out))


def test_the_command(shop: Path, tmp_path: Path) -> None:
    from fastnn.models import load_model

    one, two = tmp_path / "one.fastnn", tmp_path / "two.fastnn"
    first, second = train(shop, one, 1), train(shop, two, 2)
    assert first.returncode == second.returncode == 0, second.stderr
    assert second.stdout.replace("two.fastnn", "one.fastnn") == first.stdout
    assert second.stderr == first.stderr
    a, b = (load_model(path).get_weights() for path in (one, two))
    assert [w.tobytes() for w in a] == [w.tobytes() for w in b]


def test_the_other_commands(shop: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.fastnn"
    assert train(shop, path, 1).returncode == 0
    rows = ["--data", f"sqlite:///{shop}", "--table", "customers"]
    command = [sys.executable, "-P", "-m", "fastnn"]
    one, two = (mpiexec(n, *command, "evaluate", str(path), *rows) for n in (1, 2))
    assert one.returncode == two.returncode == 0, two.stderr
    assert one.stdout == two.stdout
    assert "accuracy" in one.stdout
    into = ["--into", "answers", "--key", "id"]
    two = mpiexec(2, *command, "predict", str(path), *rows, *into)
    assert two.returncode == 0, two.stderr
    assert two.stdout.startswith("600 predictions")
    again = mpiexec(2, *command, "predict", str(path), *rows, *into)
    assert again.returncode != 0
    assert again.stderr.count("answers") == 1


def test_an_error_of_the_command_is_said_once(shop: Path, tmp_path: Path) -> None:
    result = train(shop, tmp_path / "nowhere" / "model.fastnn", 2)
    assert result.returncode != 0
    assert result.stderr.count("there is no folder") == 1
