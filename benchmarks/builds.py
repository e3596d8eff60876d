"""Two builds of fastnn on the same work, turn by turn: `python -m benchmarks.builds --help`.

Each build is the Python of an environment that fastnn was installed in, by one compiler or another; it works in a
process of its own, on one processor. Every piece of work is run by both in turn, once for warmth and then some times;
what is printed is the second's time over the first's, turn by turn: the quartiles.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import benchmarks

if __name__ == "__main__" and not benchmarks.prepare_blas():
    raise SystemExit(benchmarks.TOO_LATE)

import numpy as np

from benchmarks import cpus
from benchmarks.cases import FITS, LAYERED_FITS, Side, timed
from benchmarks.kernels import FLOATS, FORMS, SHAPES, fastnn_functions, seconds
from benchmarks.numpy_net import Array
from benchmarks.report import duration
from fastnn import activations, kernels, losses, optimizers
from fastnn.layers import Dense, Input
from fastnn.models import Sequential

ROOT = Path(__file__).resolve().parent.parent
LEAST = 0.02  # seconds that a turn takes
WHOLE = "large"  # the workload that takes as long as all others together
ACTIVATIONS = [
    name for name in dir(activations) if name[0].islower() and name not in ("get", "serialize", "deserialize")
]
LOSSES = [name for name in dir(losses) if name[0].islower() and hasattr(losses, name.title().replace("_", ""))]
CLASSES = ("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy", "circle")  # targets: one a row
OPTIMIZERS = [
    name for name in dir(optimizers) if name[0].isupper() and name not in ("Optimizer", "LBFGS", "LossScaleOptimizer")
]
PARTS = ("workloads", "products", "functions", "activations", "losses", "optimizers")


class Piece(NamedTuple):
    """Something to do, and how often in a turn."""

    side: Side
    count: int

    def seconds(self) -> float:
        """Of once."""
        return timed(self.side)[0] / self.count


def repeated(call: Callable[[], object]) -> Piece:
    """As often as takes `LEAST` seconds."""
    count = 1
    while seconds(call, count) < LEAST:
        count *= 2
    return Piece(Side(lambda: None, partial(seconds, call, count)), count)


def aligned(values: Array) -> Array:
    """The same at a multiple of 4096 bytes: a place by chance decides on a tenth of the time."""
    held = np.empty(values.nbytes + 4096, np.uint8)
    start = -held.ctypes.data % 4096
    placed = held[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    placed[...] = values
    return placed


def small_fit(inputs: int, units: int, rows: int, **how: Any) -> Piece:
    """Steps of one layer on a batch, where what is asked for takes most of the time."""
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, inputs), np.float32)
    activation = how.pop("activation", "sigmoid")
    model = Sequential([Input((inputs,)), Dense(units, activation=activation)])
    compiled = {"optimizer": "sgd", "loss": "mse"} | how
    model.compile(**compiled)
    units = model.output_shape[-1]
    classes = compiled["loss"] in CLASSES
    y = random.integers(units, size=rows) if classes else random.integers(2, size=(rows, units)).astype(np.float32)
    return repeated(partial(model.train_on_batch, x, y))


def work() -> Iterator[tuple[str, Callable[[], Piece]]]:
    """Name and maker of each piece of work."""
    for fit in (*FITS, *LAYERED_FITS):
        if fit.name != WHOLE:
            yield f"workloads: {fit.name}", lambda fit=fit: Piece(fit.sides()["fastnn"], 1)  # type: ignore[misc]
    random = np.random.default_rng(0)
    for rows, terms, columns in SHAPES:
        for form, kernel in FORMS.items():
            shapes = {"x w": ((rows, terms), (terms, columns)), "xT d": ((terms, rows), (terms, columns))}
            left, right = shapes.get(form, ((rows, terms), (columns, terms)))
            a, b = (aligned(random.standard_normal(shape, np.float32)) for shape in (left, right))
            out = aligned(np.empty((rows, columns), np.float32))
            yield f"products: {rows}x{terms}x{columns} {form}", partial(repeated, partial(kernel, a, b, out=out))
    x = aligned(random.standard_normal(FLOATS, np.float32))
    for name, function in fastnn_functions(x, aligned(np.empty_like(x))).items():
        yield f"functions: {name}", partial(repeated, function)
    for name in ACTIVATIONS:
        yield f"activations: {name}", partial(small_fit, 2, 1024, 16, activation=name)
    for name in LOSSES:
        yield f"losses: {name}", partial(small_fit, 2, 1024, 16, loss=name)
    for name in OPTIMIZERS:
        yield f"optimizers: {name}", partial(small_fit, 256, 256, 4, optimizer=name.lower())


def serve() -> None:
    """The work of one build: a name from standard input is made and run once, a line without one runs it again."""
    pieces = dict(work())
    print(json.dumps([kernels.cpu.compiler(), list(pieces)]), flush=True)
    piece = None
    for line in sys.stdin:
        name = line.strip()
        if name:
            piece = pieces[name]()
        assert piece is not None
        print(json.dumps(piece.seconds()), flush=True)


class Build:
    """The process of one build."""

    def __init__(self, python: str):
        with cpus.pinned(1):
            self.process = subprocess.Popen(
                [python, "-W", "ignore", "-m", "benchmarks.builds", python, python, "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=cpus.environment(1),
            )
        self.compiler, self.names = self.answer()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args!r} ended with code {self.process.wait()}")
        return json.loads(line)

    def run(self, name: str = "") -> float:
        """Seconds of a turn of the piece of work of that name, or of the last one."""
        print(name, file=self.process.stdin, flush=True)
        return float(self.answer())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.builds", description=__doc__.splitlines()[0])
    parser.add_argument("first", metavar="PYTHON", help="of the environment of the first build")
    parser.add_argument("second", metavar="PYTHON", help="of the other's; its time over the first's is printed")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    first, second = Build(arguments.first), Build(arguments.second)
    print(f"{second.compiler} over {first.compiler}\n\n| work | first | second | ratio | quartiles |")
    print("|---|--:|--:|--:|--:|")
    medians: dict[str, list[float]] = {}
    for name in first.names:
        part = name.partition(":")[0]
        if part not in arguments.parts:
            continue
        first.run(name), second.run(name)
        turns = np.array([(first.run(), second.run()) for _ in range(arguments.turns)])
        low, ratio, high = np.percentile(turns[:, 1] / turns[:, 0], [25, 50, 75])
        times = [duration(turn) for turn in np.median(turns, axis=0)]
        print(f"| {name} | {times[0]} | {times[1]} | {ratio:.3f} | {low:.3f}-{high:.3f} |", flush=True)
        medians.setdefault(part, []).append(ratio)
    for part, ratios in medians.items():
        mean = np.exp(np.log(ratios).mean())
        print(f"| {part}: geometric mean, extremes |  |  | {mean:.3f} | {min(ratios):.3f}-{max(ratios):.3f} |")


if __name__ == "__main__":
    main()
