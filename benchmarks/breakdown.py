"""Where the time of a training step goes, on one thread: `python -m benchmarks.breakdown --help`.

Each kernel of a step runs by itself, at the shapes in which the engine calls it, through its Python binding; what
the binding costs is measured on arrays without rows and taken off. In the same turns run the engine alone
(`Network.fit_epoch`) and the whole `fit`. What is left over has a name, so that the rows add up to the step:

    engine and memory   fit_epoch less the kernels: finding rows, calls, and all that a kernel finds in cache when it
                        runs by itself, again and again on the same operands, and misses in a step
    Python              fit less fit_epoch and shuffling

The weight gradient runs in one call for each layer, where the engine cuts it into blocks of parameters.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import cpus

if __name__ == "__main__":
    cpus.prepare(1)

import numpy as np

from benchmarks import floor as processor
from benchmarks.cases import FITS, LOSSES, Fit
from benchmarks.kernels import calls_for, seconds
from benchmarks.report import duration, machine, write_readme
from fastnn import activations, kernels, losses, optimizers
from fastnn.data import ArraySource
from fastnn.engine.random import permutation
from support.bindings import bound

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
# As the engine has them: rows that go through all ops together, rows whose losses are added up together, parameters
# whose optimizer's step follows their gradient.
CHUNK, LARGE_CHUNK, LARGE_LAYER, GRAIN, BLOCK = 256, 1024, 1 << 20, 16, 16384
FORWARD, INPUT, WEIGHT = "x w", "d wT, input gradient", "xT d, weight gradient"
KINDS = (FORWARD, INPUT, WEIGHT, "bias gradient", "activations", "loss", "optimizer", "shuffling")


class Part(NamedTuple):
    """A kernel: a call of it, the same with nothing to do, and how many calls a step makes."""

    kind: str
    call: Callable[[], object]
    idle: Callable[[], object]
    calls: float
    flops: int = 0  # of the matrix products in one call


class Step(NamedTuple):
    """Seconds of a step: of each kind and of the rest, which add up to `whole`; flops by kind; the floor."""

    parts: dict[str, float]
    whole: float
    flops: dict[str, int]
    floor: float


def numbers(*shape: int) -> Any:
    """Normal ones, in memory that begins with a cache line, as the engine's does: AVX-512 wants it."""
    count = math.prod(shape)
    whole = np.empty(count + 16, np.float32)
    skip = -whole.ctypes.data % 64 // 4
    array = whole[skip : skip + count].reshape(shape)
    return np.random.default_rng(0).standard_normal(dtype=np.float32, out=array)


def product(kind: str, rows: int, inputs: int, units: int, calls: float) -> Part:
    """One of the three forms for a layer of `inputs` and `units`."""
    x, w, d = (rows, inputs), (inputs, units), (rows, units)
    kernel, a, b, out, nothing = {
        FORWARD: (kernels.matmul, x, w, d, (0, 1)),
        INPUT: (kernels.matmul_transposed_b, d, w, x, (0, 1)),
        WEIGHT: (kernels.matmul_transposed_a, x, d, w, (1, 0)),
    }[kind]
    call = partial(kernel, numbers(*a), numbers(*b), out=numbers(*out))
    idle = partial(kernel, numbers(*nothing), numbers(1, 1), out=numbers(0, 1))
    return Part(kind, call, idle, calls, 2 * rows * inputs * units)


def activation_parts(name: str, rows: int, units: int, calls: float) -> Iterator[Part]:
    """Forward, and backward in place: at 0, where the slope of tanh is 1, so that d does not shrink to denormals."""
    unit = activations.get(name)
    z, a, d, zeros = (numbers(rows, units) for _ in range(4))
    none, zeros[...] = numbers(0, 1), 0
    forward, backward = (
        partial(binding, numbers=unit.numbers()) for binding in (unit.kernel, bound(unit.kernel).backward)
    )
    yield Part("activations", partial(forward, z, out=a), partial(forward, none, out=none), calls)
    yield Part(
        "activations", partial(backward, zeros, zeros, d, out=d), partial(backward, *(none,) * 3, out=none), calls
    )


def loss_part(case: Fit, calls: float) -> Part:
    """The loss, with the output's activation where they are one kernel. Both calls copy the output first."""
    loss = losses.LOSSES.get(case.loss)
    kernel, _ = loss.kernel_for(LOSSES[case.loss][0])
    rows = min(GRAIN, case.batch_size)
    y = np.ascontiguousarray(case.data(rows)[1].reshape(rows, -1), np.float32)

    def run(y: Any, units: int) -> Callable[[], object]:
        z, a, d = (numbers(len(y), units) for _ in range(3))
        return partial(kernel, y, z, loss.numbers(), out=d, activated=a)

    return Part("loss", run(y, case.network.units), run(y[:0, :1], 1), calls)


def optimizer_part(case: Fit) -> Part:
    """Adam over all parameters, a block at a time with the same gradient, which the engine leaves in cache."""
    adam = optimizers.get("adam")
    step = bound(adam.kernel)
    w, m, v = (numbers(case.parameters) for _ in range(3))
    np.square(v, out=v)
    g, none = numbers(min(BLOCK, case.parameters)), numbers(0)
    blocks = [tuple(each[start : start + BLOCK] for each in (w, m, v)) for start in range(0, case.parameters, BLOCK)]

    def run(blocks: Sequence[tuple[Any, ...]]) -> None:
        for w, m, v in blocks:
            step(w, g[: w.size], [m, v], 0.001, 1, adam.numbers())

    return Part("optimizer", partial(run, blocks), partial(run, [(none, none, none)] * len(blocks)), 1)


def parts(case: Fit) -> Iterator[Part]:
    """All that a step does to numbers."""
    layers, sizes = case.network.layers, case.network.sizes or ()
    large = any((inputs + 1) * units >= LARGE_LAYER for inputs, units in pairwise(sizes))
    rows = min(LARGE_CHUNK if large else CHUNK, case.batch_size)
    chunks = case.batch_size / rows
    for layer, (inputs, units) in enumerate(pairwise(sizes)):
        yield product(FORWARD, rows, inputs, units, chunks)
        if layer:
            yield product(INPUT, rows, inputs, units, chunks)
        yield product(WEIGHT, case.batch_size, inputs, units, 1)
        d, total = numbers(case.batch_size, units), numbers(units)
        sums = [partial(bound(kernels.column_sums), each, out=total) for each in (d, d[:0])]
        yield Part("bias gradient", *sums, 1)
        if layer < len(sizes) - 2:
            yield from activation_parts(layers[layer].activation, rows, units, chunks)
    yield loss_part(case, case.batch_size / min(GRAIN, case.batch_size))
    yield optimizer_part(case)
    steps = case.rows / case.batch_size
    yield Part("shuffling", partial(permutation, case.rows, 0), partial(permutation, 0, 0), 1 / steps)


def measure(case: Fit, limit: float, floor: float) -> Step:
    """The least time of each part, of the engine and of a whole fit, whose floor is given; takes `limit` seconds."""
    x, y = case.data(case.rows)
    model = case.model()
    fit = partial(model.fit, x, y, case.batch_size, case.epochs, verbose=0)
    fit()
    (page,) = ArraySource(x, y).pages(case.batch_size, np.random.default_rng(0))
    epoch = partial(model.description.network.fit_epoch, page.x, page.y, None, page.order, case.batch_size, 0.001)
    found = list(parts(case))
    whole, engine, *times = least([fit, epoch, *(part.call for part in found), *(part.idle for part in found)], limit)
    steps = case.rows / case.batch_size
    calls = [max(0.0, call - idle) for call, idle in zip(times, times[len(found) :], strict=False)]
    return add_up(found, calls, engine / steps, whole / steps / case.epochs, floor / steps / case.epochs)


def least(sides: Sequence[Callable[[], object]], limit: float) -> list[float]:
    """The least seconds of a call of each side, run in turn; a call before brings its operands back into cache."""
    counts = [calls_for(side) for side in sides]
    best = [math.inf] * len(sides)
    end = time.perf_counter() + limit
    while math.isinf(best[-1]) or time.perf_counter() < end:
        for i, (side, count) in enumerate(zip(sides, counts, strict=True)):
            side()
            best[i] = min(best[i], seconds(side, count) / count)
    return best


def add_up(found: Sequence[Part], calls: Sequence[float], engine: float, whole: float, floor: float) -> Step:
    """From seconds of one call of each part, and of a step in the engine, in all, and at least."""
    parts, flops = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0)
    for part, call in zip(found, calls, strict=True):
        parts[part.kind] += part.calls * call
        flops[part.kind] += round(part.calls * part.flops)
    shuffling = parts["shuffling"]
    rest = {"engine and memory": engine - sum(parts.values()) + shuffling, "Python": whole - engine - shuffling}
    return Step(parts | rest, whole, flops, floor)


def table(steps: dict[str, Step]) -> Iterator[str]:
    """A column for each workload: the time in a step, its share, and the speed of products."""

    def cell(step: Step, kind: str) -> str:
        took, flops = step.parts[kind], step.flops.get(kind, 0)
        speed = f", {flops / took / 1e9:.0f} GFLOP/s" if flops and took > 1e-6 else ""
        return f"{duration(took)} ({took / step.whole:.0%}{speed})"

    found = list(steps.values())
    rows = {kind: [cell(step, kind) for step in found] for kind in found[0].parts}
    rows["**the whole step**"] = [duration(step.whole) for step in found]
    rows["floor, and its share"] = [f"{duration(step.floor)} ({step.floor / step.whole:.0%})" for step in found]
    yield f"| in a step of | {' | '.join(steps)} |"
    yield "|---" + "|--:" * len(steps) + "|"
    for name, cells in rows.items():
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    cases = {case.name: case for case in FITS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.breakdown", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="case", help=f"of {', '.join(cases)}")
    parser.add_argument("--seconds", type=float, default=20, help="for each workload, about")
    parser.add_argument("--write-doc", action="store_true", help="put the table in docs/performance.md")
    given = parser.parse_args()
    if unknown := set(given.names) - set(cases):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(cases)}")
    chosen = [case for case in FITS if not given.names or case.name in given.names]
    speeds = processor.measure(1)
    if speeds is None:
        raise SystemExit("no C compiler found for the floor: install one, or name it in CC")
    steps = {case.name: measure(case, given.seconds, speeds.of(case)) for case in chosen}
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    text = "\n".join([*table(steps), "", f"{facts}; {speeds}", ""])
    print(text)
    if given.write_doc:
        write_readme(text, "breakdown", DOCUMENT)


if __name__ == "__main__":
    main()
