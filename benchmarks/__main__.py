"""Measure all sides in turn and print the table: `python -m benchmarks --help`."""

import argparse
import datetime
import gc
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import benchmarks

if not benchmarks.prepare_blas():
    raise SystemExit(benchmarks.TOO_LATE)

import numpy as np

import fastnn
import fastnn.kernels
from benchmarks.cases import CASES, Fit, PredictRow, Side

README = Path(__file__).with_name("README.md")
MARKS = "<!-- figures -->\n", "<!-- end of figures -->\n"
TOLERANCE = 1e-3


def measure(case: Fit | PredictRow, repeats: int) -> dict[str, Any]:
    """Seconds of each side, run in turn after one warm-up each; AssertionError if results differ.

    A ratio is taken within each turn, so that a slow moment of the machine hits both parts.
    """
    difference = case.difference()
    assert difference < TOLERANCE, f"{case.name}: results differ by {difference:.1e}, so no race"
    sides = case.sides()
    for side in sides.values():
        timed(side)
    turns = [[timed(side) / case.calls for side in sides.values()] for _ in range(repeats)]
    seconds = dict(zip(sides, zip(*turns, strict=True), strict=True))
    return {
        "name": case.name,
        "what": case.what,
        "floor": case.floor,
        "difference": difference,
        "medians": {name: statistics.median(times) for name, times in seconds.items()},
        "ratios": {
            name: np.percentile(np.divide(seconds[name], seconds["fastnn"]), [25, 50, 75]).tolist()
            for name in ("numpy", "tape")
        },
        "seconds": seconds,
    }


def timed(side: Side) -> float:
    side.reset()
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        side.run()
        return time.perf_counter() - start
    finally:
        gc.enable()


def machine() -> dict[str, str]:
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "BLAS": blas(),
        "fastnn": f"{fastnn.__version__} ({fastnn.kernels.isa})",
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    name = fields.get("model name", platform.machine())
    # A virtual machine may hide the model, but not the family that decides about its kernels.
    return f"{name}, family {fields.get('cpu family', '?')} model {fields.get('model', '?')}"


def blas() -> str:
    """The library and which of its kernels run here, where threadpoolctl can tell."""
    config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    library = config["Build Dependencies"]["blas"]
    name = f"{library['name']} {library['version']}"
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return name
    for loaded in threadpool_info():
        if loaded["user_api"] == "blas":
            assert loaded["num_threads"] == 1, f"BLAS runs {loaded['num_threads']} threads"
            return f"{name} ({loaded.get('architecture', '?')} kernels)"
    return name


def duration(seconds: float) -> str:
    return f"{seconds * 1e3:,.3g} ms" if seconds > 1e-4 else f"{seconds * 1e6:,.3g} us"


def factor(low: float, median: float, high: float) -> str:
    return f"{median:.2f}x ({low:.2f}-{high:.2f})"


def report(results: list[dict[str, Any]]) -> str:
    """The table and the machine, in Markdown."""
    lines = [
        "| case | what | fastnn | NumPy | ratio | tape | ratio to tape | asked for | difference |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        medians = {name: duration(seconds) for name, seconds in result["medians"].items()}
        ratios = {name: factor(*values) for name, values in result["ratios"].items()}
        lines.append(
            f"| {result['name']} | {result['what']} | {medians['fastnn']} "
            f"| {medians['numpy']} | {ratios['numpy']} | {medians['tape']} | {ratios['tape']} "
            f"| {result['floor']} | {result['difference']:.0e} |"
        )
    lines += ["", ", ".join(f"{name} {value}" for name, value in machine().items())]
    return "\n".join(lines) + "\n"


def write_readme(text: str) -> None:
    begin, end = MARKS
    before, rest = README.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    README.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(names)}")
    parser.add_argument("--repeats", type=int, default=15, help="timed turns of all sides")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single time, too")
    parser.add_argument("--write-readme", action="store_true", help="put the table in README.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    if arguments.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {arguments.repeats}")
    chosen = [case for case in CASES if not arguments.names or case.name in arguments.names]
    results = [measure(case, arguments.repeats) for case in chosen]
    text = report(results)
    print(text)
    if arguments.json:
        content = {"machine": machine(), "environment": blas_environment(), "results": results}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.write_readme:
        write_readme(text)


def blas_environment() -> dict[str, str]:
    prefixes = ("OPENBLAS_", "MKL_", "OMP_", "FASTNN_")
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}


if __name__ == "__main__":
    main()
