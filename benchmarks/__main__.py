"""Measure all sides in turn and print the table: `python -m benchmarks --help`."""

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

import benchmarks

if not benchmarks.prepare_blas():
    raise SystemExit(benchmarks.TOO_LATE)

import numpy as np

from benchmarks.cases import CASES, Fit, Predict, timed
from benchmarks.report import duration, factor, machine, write_readme

TOLERANCE = 1e-3
MARKS = {"dense": "figures", "layers": "figures of layers"}  # of tables in README.md, by the group of a case


def measure(case: Fit | Predict, repeats: int) -> dict[str, Any]:
    """Seconds of each side, run in turn after one warm-up each; AssertionError if results differ.

    A ratio is taken within each turn, so that a slow moment of the machine hits both parts.
    """
    difference = case.difference()
    assert difference < TOLERANCE, f"{case.name}: results differ by {difference:.1e}, so no race"
    sides = case.sides()
    for side in sides.values():
        timed(side)
    turns = [[timed(side)[0] / case.calls for side in sides.values()] for _ in range(repeats)]
    seconds = dict(zip(sides, zip(*turns, strict=True), strict=True))
    return {
        "name": case.name,
        "what": case.what,
        "asked": case.asked.get("numpy"),
        "difference": difference,
        "medians": {name: statistics.median(times) for name, times in seconds.items()},
        "ratios": {
            name: np.percentile(np.divide(seconds[name], seconds["fastnn"]), [25, 50, 75]).tolist()
            for name in sides
            if name != "fastnn"
        },
        "seconds": seconds,
    }


def report(results: list[dict[str, Any]]) -> str:
    """The table and the machine, in Markdown; columns for the tape where it takes part."""
    taped = any("tape" in result["ratios"] for result in results)
    columns = ["case", "what", "fastnn", "NumPy", "ratio", *["tape", "ratio to tape"][: 2 * taped]]
    columns += ["asked for", "difference"]
    lines = [f"| {' | '.join(columns)} |", "|---|---|" + "--:|" * (len(columns) - 2)]
    for result in results:
        medians = {name: duration(seconds) for name, seconds in result["medians"].items()}
        ratios = {name: factor(*values) for name, values in result["ratios"].items()}
        asked = f"{result['asked']}x" if result["asked"] else "-"
        lines.append(
            f"| {result['name']} | {result['what']} | {medians['fastnn']} | {medians['numpy']} | {ratios['numpy']} "
            + f"| {medians.get('tape', '-')} | {ratios.get('tape', '-')} " * taped
            + f"| {asked} | {result['difference']:.0e} |"
        )
    lines += ["", ", ".join(f"{name} {value}" for name, value in machine().items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"dense, layers, or of {', '.join(names)}")
    parser.add_argument("--repeats", type=int, default=15, help="timed turns of all sides")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single time, too")
    parser.add_argument("--write-readme", action="store_true", help="put the table in README.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {*names, *MARKS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    if arguments.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {arguments.repeats}")
    chosen = [case for case in CASES if not arguments.names or {case.name, case.group} & set(arguments.names)]
    results = [measure(case, arguments.repeats) for case in chosen]
    groups = {case.name: case.group for case in chosen}
    texts = {
        mark: report([result for result in results if groups[result["name"]] == group])
        for group, mark in MARKS.items()
        if group in groups.values()
    }
    print(*texts.values(), sep="\n")
    if arguments.json:
        content = {"machine": machine(), "environment": blas_environment(), "results": results}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.write_readme:
        for mark, text in texts.items():
            write_readme(text, mark)


def blas_environment() -> dict[str, str]:
    prefixes = ("OPENBLAS_", "MKL_", "OMP_", "FASTNN_")
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}


if __name__ == "__main__":
    main()
