"""Where the time of a training step goes, on one thread: `python -m benchmarks.breakdown --help`.

Each kernel of a step runs by itself, at the shapes in which the engine calls it, through its Python binding; what
the binding costs is measured on arrays without rows and taken off. In the same turns run the engine alone
(`Network.fit_epoch`) and the whole `fit`. What is left over has a name, so that the rows add up to the step:

    engine and memory   fit_epoch less the kernels: finding rows, calls, and all that a kernel finds in cache when it
                        runs by itself, again and again on the same operands, and misses in a step
    Python              fit less fit_epoch and shuffling

The weight gradient runs in one call for each layer, where the engine cuts it into blocks of parameters. Of pictures and
sequences it knows the networks of COVERED in `breakdown_layers.py`, which says what is left to "engine and memory".
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import cpus

if __name__ == "__main__":
    cpus.prepare(1)

import numpy as np

from benchmarks import floor as processor
from benchmarks.breakdown_layers import COVERED, layer_parts
from benchmarks.breakdown_parts import KINDS, Part, dense_parts, last_parts
from benchmarks.cases import FITS, LAYERED_FITS, Fit
from benchmarks.kernels import calls_for, seconds
from benchmarks.report import duration, machine, write_readme
from fastnn.data import ArraySource

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
MARKS = {"dense": "breakdown", "layers": "breakdown of layers"}  # of tables in the document, by the group of a case
CASES = (*FITS, *(case for case in LAYERED_FITS if case.name in COVERED))


class Step(NamedTuple):
    """Seconds of a step: of each kind and of the rest, which add up to `whole`; flops by kind; the floor."""

    parts: dict[str, float]
    whole: float
    flops: dict[str, int]
    floor: float


def parts(case: Fit) -> Iterator[Part]:
    """All that a step does to numbers."""
    yield from dense_parts(case) if case.network.sizes else layer_parts(case)
    yield from last_parts(case)


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
    kinds = [kind for kind in found[0].parts if any(step.parts[kind] for step in found)]
    rows = {kind: [cell(step, kind) for step in found] for kind in kinds}
    rows["**the whole step**"] = [duration(step.whole) for step in found]
    rows["floor, and its share"] = [f"{duration(step.floor)} ({step.floor / step.whole:.0%})" for step in found]
    yield f"| in a step of | {' | '.join(steps)} |"
    yield "|---" + "|--:" * len(steps) + "|"
    for name, cells in rows.items():
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    cases = {case.name: case for case in CASES}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.breakdown", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="case", help=f"of {', '.join(cases)}")
    parser.add_argument("--seconds", type=float, default=20, help="for each workload, about")
    parser.add_argument("--write-doc", action="store_true", help="put the table in docs/performance.md")
    given = parser.parse_args()
    if unknown := set(given.names) - set(cases):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(cases)}")
    chosen = [case for case in CASES if not given.names or case.name in given.names]
    speeds = processor.measure(1)
    if speeds is None:
        raise SystemExit("no C compiler found for the floor: install one, or name it in CC")
    steps = {case.name: measure(case, given.seconds, speeds.of(case)) for case in chosen}
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    for group, mark in MARKS.items():
        found = {case.name: steps[case.name] for case in chosen if case.group == group}
        if not found:
            continue
        text = "\n".join([*table(found), "", f"{facts}; {speeds}", ""])
        print(text)
        if given.write_doc:
            write_readme(text, mark, DOCUMENT)


if __name__ == "__main__":
    main()
