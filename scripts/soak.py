"""Use fastnn for a long time, and see that memory and open files stay where they were.

    python scripts/soak.py [--predicts 1000000] [--fits 10000] [--saves 10000] [--threads 1000] [--scale 1.0]

Each kind of use runs in parts of equal size; after each part memory (RSS), open files and threads are printed. The
first parts fill caches and pools. What counts is the growth from a quarter of the way to the end: exit status 1 where
memory grew by more than 2 MB and 1 %, or where there are more open files or threads than before. --scale makes all of
it smaller: 0.001 takes seconds.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import fastnn
from fastnn import Sequential
from fastnn.callbacks import ModelCheckpoint
from fastnn.layers import BatchNormalization, Dense, Dropout, Input
from fastnn.models import load_model

PARTS = 20
SETTLED = PARTS // 4
GROWTH = 2.0  # MB
RATE = 0.01
MB = 2**20


def memory() -> float:
    """Megabytes of memory that this process holds."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MB
    except OSError:  # no Linux: the most that it ever held, which grows where that does
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (MB if sys.platform == "darwin" else 1024)


def open_files() -> int:
    """How many files this process has open."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return len(os.listdir(folder))
    return 0


def model_of(inputs: int = 20, width: int = 32) -> Sequential:
    """One that has what keeps a state of its own."""
    layers = [Dense(width, "relu"), BatchNormalization(), Dropout(0.1), Dense(width, "tanh"), Dense(1)]
    model = Sequential([Input((inputs,)), *layers])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def rows(count: int = 320, inputs: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """x and y for the model."""
    x = np.random.default_rng(0).standard_normal((count, inputs)).astype(np.float32)
    return x, x[:, :1] - x[:, 1:2]


def predicts(folder: Path) -> Callable[[int], None]:
    """Predictions of one row to 64, and now and then of all."""
    model, (x, _) = model_of(), rows()

    def work(count: int) -> None:
        for number in range(count):
            model.predict(x[: 1 + number % 64] if number % 50 else x)

    return work


def fits(folder: Path) -> Callable[[int], None]:
    """Fits of a new model and of an old one, with validation; each tenth with a checkpoint, or one that fails."""
    old, (x, y) = model_of(), rows()
    bad = x.copy()
    bad[7, 3] = np.nan

    def work(count: int) -> None:
        for number in range(count):
            model = old if number % 2 else model_of(width=16 + number % 32)
            callbacks = [ModelCheckpoint(folder / "best", monitor="loss")] if number % 10 == 0 else []
            model.fit(x, y, 64, 2, 0, validation_split=0.2, callbacks=callbacks)
            if number % 10 == 5:
                try:
                    model.fit(bad, y, 64, 1, 0)
                except ValueError:
                    continue
                raise AssertionError("a NaN was taken for a number")

    return work


def saves(folder: Path) -> Callable[[int], None]:
    """Files written and read, and damaged ones that are refused."""
    model, (x, y) = model_of(), rows()
    model.fit(x, y, verbose=0)
    path, broken = folder / "model", folder / "broken"

    def work(count: int) -> None:
        for number in range(count):
            model.save(path)
            if number % 4 == 0:
                load_model(path)
            elif number % 4 == 1:
                model.load_weights(path)
            elif number % 4 == 2:
                whole = path.read_bytes()
                broken.write_bytes(whole[: number * 7919 % len(whole)])
                try:
                    load_model(broken)
                except ValueError:
                    continue
                raise AssertionError("half a file was taken for a model")

    return work


def threads(folder: Path) -> Callable[[int], None]:
    """Threads that begin and end, eight at a time, and all use one model: reading, predicting, training."""
    model, (x, y) = model_of(), rows()
    model.fit(x, y, verbose=0)

    def use(number: int) -> None:
        for _ in range(5):
            if number % 4 == 0:
                model.fit(x, y, 64, 1, 0)
            elif number % 4 == 1:
                model.set_weights(model.get_weights())
            elif number % 4 == 2:
                model.save(folder / f"model{number % 8}")
            model.predict(x)

    def work(count: int) -> None:
        for first in range(0, count, 8):
            running = [threading.Thread(target=use, args=(number,)) for number in range(first, min(first + 8, count))]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()

    return work


KINDS = {
    "predicts": (predicts, 1_000_000),
    "fits": (fits, 10_000),
    "saves": (saves, 10_000),
    "threads": (threads, 1000),
}


def soak(name: str, count: int) -> list[str]:
    """Run a kind of use, print what it held after each part, and give what has grown."""
    with tempfile.TemporaryDirectory() as folder:
        work = KINDS[name][0](Path(folder))
        held: list[tuple[float, int, int]] = []
        began = time.monotonic()
        for part in range(PARTS):
            work(count * (part + 1) // PARTS - count * part // PARTS)
            gc.collect()
            held.append((memory(), open_files(), threading.active_count()))
            print(
                f"{name} {count * (part + 1) // PARTS:>9,}  {held[-1][0]:8.1f} MB  {held[-1][1]:3} files  "
                f"{held[-1][2]:2} threads  {time.monotonic() - began:7.1f} s",
                flush=True,
            )
        del work
    before, after = held[SETTLED], held[-1]
    grown = []
    if after[0] - before[0] > max(GROWTH, RATE * before[0]):
        grown.append(f"{name}: memory grew from {before[0]:.1f} to {after[0]:.1f} MB")
    grown += [
        f"{name}: {what} grew from {before[place]} to {after[place]}"
        for place, what in ((1, "open files"), (2, "threads"))
        if after[place] > before[place]
    ]
    return grown


def main() -> int:
    """Run what the command asks for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (_, count) in KINDS.items():
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"how many; {count:,}")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of each of these")
    given = parser.parse_args()
    print(f"fastnn {fastnn.__version__}, {fastnn.get_num_threads()} threads")
    grown = []
    for name in KINDS:
        count = int(getattr(given, name) * given.scale)
        if count:
            grown += soak(name, count)
    print("\n".join(grown) if grown else "nothing grew")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
