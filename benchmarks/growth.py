"""How the cost of training grows, beside careful NumPy: `python -m benchmarks.growth --help`.

Time and memory over the batch, the width, the depth, the rows and the threads. Each point is a fit of one epoch that
both sides run in turn for a few seconds, after their losses were compared; the memory is that of a new process, which
only Linux tells.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import benchmarks

if not benchmarks.prepare_blas() and __name__ == "__main__":
    raise SystemExit(benchmarks.TOO_LATE)

import numpy as np

import fastnn
from benchmarks.cases import MSE, Fit, Side, dense_fit, timed
from benchmarks.memory import Memory, measured

REST = 0.3  # OpenBLAS's threads spin for a tenth of a second after their work
SECONDS = 2.0  # that a point's turns take, about
LEAST = 3  # turns, however long one takes
CHECKED = 4  # steps whose losses are compared
TOLERANCE = 1e-3
CURVES = {
    "batch": "rows in a batch",
    "width": "units in each of two hidden layers",
    "depth": "hidden layers of 64 units",
    "rows": "rows",
    "threads": "threads",
}
COLORS = {"fastnn": "tab:blue", "numpy": "tab:orange"}


class Point(NamedTuple):
    curve: str
    at: int
    case: Fit
    threads: int


def points(curve: str, cores: int) -> Iterator[Point]:
    """A curve from left to right; its large points have few steps."""

    def point(at: int, sizes: Sequence[int], rows: int, batch_size: int = 64, threads: int = 1) -> Point:
        return Point(curve, at, dense_fit(f"{curve} {at}", tuple(sizes), "relu", MSE, {}, rows, batch_size, 1), threads)

    if curve == "batch":
        for batch_size in powers(1, 8192):
            yield point(batch_size, (64, 128, 128, 10), max(2048, 2 * batch_size), batch_size)
    elif curve == "width":
        for width in powers(4, 4096):
            yield point(width, (64, width, width, 10), min(2048, max(128, 2**17 // width)))
    elif curve == "depth":
        for depth in powers(1, 32):
            yield point(depth, (64, *[64] * depth, 10), 4096)
    elif curve == "rows":
        for rows in (100, 1000, 10_000, 100_000, 1_000_000):
            yield point(rows, (32, 64, 10), rows)
    else:
        for threads in sorted({*powers(1, cores), cores, 2 * cores}):
            yield point(threads, (784, 512, 512, 10), 2560, 128, threads)


def powers(first: int, last: int) -> list[int]:
    """first, twice that, and so on, up to `last`."""
    return [first << i for i in range((last // first).bit_length())]


def in_turn(sides: Mapping[str, Side], rest: float = 0.0) -> dict[str, list[float]]:
    """Seconds of each side's runs, one after the other, until the time for them is over; a warm-up goes before.

    rest: seconds before each run, so that the threads of the side before are asleep.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        timed(side)
    end = time.perf_counter() + SECONDS
    while len(seconds["fastnn"]) < LEAST or time.perf_counter() < end:
        for name, side in sides.items():
            time.sleep(rest)
            seconds[name].append(timed(side)[0])
    return seconds


def run(point: Point) -> dict[str, Any]:
    """Both sides' times a row and memory. AssertionError if their losses differ."""
    from threadpoolctl import threadpool_limits

    case, threads = point.case, point.threads
    fastnn.set_num_threads(threads)
    with threadpool_limits(threads, user_api="blas"):
        # Of a few steps: rounding alone drives two deep networks apart in the long run.
        difference = replace(case, rows=min(case.rows, CHECKED * case.batch_size)).difference()
        assert difference < TOLERANCE, f"{case.name}: losses differ by {difference:.1e}, so no race"
        seconds = in_turn(case.sides(), REST if threads > 1 else 0.0)
    assert case.network.sizes
    memory = {side: measured(side, case.network.sizes, case.rows, case.batch_size, threads=threads) for side in seconds}
    return result(point, difference, seconds, memory)


def result(
    point: Point, difference: float, seconds: Mapping[str, Sequence[float]], memory: Mapping[str, Memory]
) -> dict[str, Any]:
    """A point of the JSON file; `medians` are seconds a row, `memory` bytes."""
    ratios = np.divide(seconds["numpy"], seconds["fastnn"])
    return {
        "name": point.case.name,
        "curve": point.curve,
        "at": point.at,
        "what": point.case.what,
        "difference": difference,
        "medians": {side: statistics.median(times) / point.case.rows for side, times in seconds.items()},
        "ratios": {"numpy": np.percentile(ratios, [25, 50, 75]).tolist()},
        "memory": {side: memory[side]._asdict() for side in memory},
    }


def line(result: Mapping[str, Any]) -> str:
    """What is printed of a point."""
    low, ratio, high = result["ratios"]["numpy"]
    times = [f"{side} {seconds * 1e6:9.3f} us" for side, seconds in result["medians"].items()]
    above = Memory(**result["memory"]["fastnn"]).above / 1e6
    memory = [f"{side} {memory['used'] / 1e6:6.1f} MB" for side, memory in result["memory"].items()]
    return (
        f"{result['name']:14} a row: {', '.join(times)}, {ratio:5.2f}x ({low:.2f}-{high:.2f}); "
        f"memory: {', '.join(memory)}; above data and arena {above:5.1f} MB"
    )


def chart(results: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Two rows of small pictures, time above and memory below."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "growth", "svg.fonttype": "none", "font.size": 9})
    import matplotlib.pyplot as plt

    names = [name for name in CURVES if any(result["curve"] == name for result in results)]
    figure, axes = plt.subplots(2, len(names), figsize=(3 * len(names), 5.6), squeeze=False, layout="constrained")
    for (above, below), name in zip(axes.T, names, strict=True):
        points = [result for result in results if result["curve"] == name]
        at = [point["at"] for point in points]
        least = [point["memory"]["fastnn"]["data"] + point["memory"]["fastnn"]["arena"] for point in points]
        for side, color in COLORS.items():
            times = [point["medians"][side] * 1e6 for point in points]
            used = [point["memory"][side]["used"] / 1e6 for point in points]
            above.plot(at, times, "o-", markersize=3, color=color, label=side)
            below.plot(at, used, "o-", markersize=3, color=color, label=side)
        below.plot(at, np.divide(least, 1e6), "k:", label="data and arena")
        above.set_title(name)
        below.set_xlabel(CURVES[name])
        for each in (above, below):
            logarithmic(each)
    axes[0, 0].set_ylabel("microseconds a row")
    axes[1, 0].set_ylabel("MB, the most during fit")
    axes[1, 0].legend(frameon=False)
    figure.savefig(file, dpi=130, metadata={"Date": None} if file.suffix == ".svg" else None)


def logarithmic(axes: Any) -> None:
    """Both axes by powers of ten, the upright one by whole ones, with numbers to read at them."""
    from matplotlib.ticker import EngFormatter, LogLocator

    drawn = np.concatenate([line.get_ydata() for line in axes.lines])
    axes.set(
        xscale="log",
        yscale="log",
        ylim=10 ** np.array([np.floor(np.log10(drawn.min())), np.ceil(np.log10(drawn.max()))]),
    )
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter("{x:,.9g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.grid(alpha=0.3)
    at = axes.lines[0].get_xdata()
    if max(at) <= 64:
        axes.set_xticks(at, labels=map(str, at))
        axes.set_xticks([], minor=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", default=",".join(CURVES), help=f"of {','.join(CURVES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the points")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="a picture, .svg or .png; needs matplotlib")
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := set(names) - set(CURVES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(CURVES)}")
    from benchmarks.report import machine

    results = []
    for name in names:
        for point in points(name, len(os.sched_getaffinity(0))):
            results.append(run(point))
            print(line(results[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n", encoding="utf-8")
    if given.chart:
        chart(results, given.chart)


if __name__ == "__main__":
    main()
