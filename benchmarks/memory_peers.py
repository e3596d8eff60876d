"""The memory of a fit by each library: `python -m benchmarks.memory peers --help`.

Each figure is of a process of its own, on one thread. It imports the library and fits `tiny`, so that what runtimes and
compilers take for themselves is there; it makes the data; then it builds the workload's model and fits it. Linux only.
"""

import argparse
import datetime
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Fit
from benchmarks.cpus import environment, pinned
from benchmarks.memory import resident
from benchmarks.peers import ROOT, chosen_of, row
from benchmarks.report import processor, write_readme
from benchmarks.rivals import RIVALS, Unable

# By the name in the table: a library's forms, of which the first that can do a workload does it.
SIDES = {
    "fastnn": ("fastnn",),
    "NumPy": ("numpy",),
    "JAX": ("jax", "jax-step"),
    "PyTorch": ("torch",),
    "PyTorch, compiled": ("torch-compile",),
}
FITS = {case.name: case for case in CASES if isinstance(case, Fit)}
CLEAR_REFS = Path("/proc/self/clear_refs")
MEGA = 1e6


def trained(forms: Sequence[str], case: Fit) -> None:
    """By the first form that can; `Unable` where none can."""
    why = Unable("it only predicts")
    for form in forms:
        module = import_module(f"benchmarks.rivals.{RIVALS[form].module}")
        if not hasattr(module, "fit"):
            continue
        try:
            trainer = module.fit(case)
        except Unable as reason:
            why = reason
            continue
        trainer.reset()
        trainer.run(True)
        return
    raise why


def fitted(forms: Sequence[str], case: Fit) -> dict[str, int]:
    """Bytes of the data, of the fit at its highest above what was there before it, and of the whole process then."""
    trained(forms, FITS["tiny"])
    x, y = case.data(case.rows)
    ready = replace(case)
    object.__setattr__(ready, "data", lambda rows: (x, y))
    CLEAR_REFS.write_text("5", encoding="ascii")  # VmHWM begins anew
    before = resident()
    trained(forms, ready)
    most = resident("VmHWM")
    return {"data": x.nbytes + y.nbytes, "fit": most - before, "whole": most}


def measured(side: str, case: str) -> dict[str, Any]:
    """The same, in a process of its own; {"unable": why}, or {"failed": what it said last}."""
    command = [sys.executable, "-m", "benchmarks.memory_peers", side, case]
    with pinned(1):
        done = subprocess.run(command, cwd=ROOT, env=environment(1), capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def cell(found: Mapping[str, Any]) -> str:
    if "fit" not in found:
        return next(iter(found))
    return f"{found['fit'] / MEGA:,.1f} of {found['whole'] / MEGA:,.0f}"


def table(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """A line for each workload, of the sides that were measured."""
    sides = list(next(iter(results.values())))
    lines = [row("MB", "x and y", *sides), "|---" + "|--:" * (1 + len(sides)) + "|"]
    for name, found in results.items():
        data = next((each["data"] / MEGA for each in found.values() if "data" in each), 0.0)
        lines.append(row(name, f"{data:,.1f}", *(cell(found[side]) for side in sides)))
    failed = [
        f"- Failed: {side}, {name}: {each['failed']}"
        for name, found in results.items()
        for side, each in found.items()
        if "failed" in each
    ]
    return [*lines, "", *failed, *[""] * bool(failed)]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory peers", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="SIDE,...", help=f"of {', '.join(SIDES)}")
    parser.add_argument("--cases", metavar="CASE,...", help=f"dense, layers, or of {', '.join(FITS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the bytes")
    parser.add_argument("--write-readme", action="store_true", help="put the table in README.md")
    given = parser.parse_args(arguments)
    sides = [side for side in chosen_of(given.only, list(SIDES), "--only") if not RIVALS[SIDES[side][0]].missing()]
    wanted = chosen_of(given.cases, ["dense", "layers", *FITS], "--cases")
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for name, case in FITS.items():
        if {name, case.group} & set(wanted):
            results[name] = {side: measured(side, name) for side in sides}
            print(table({name: results[name]})[2], file=sys.stderr, flush=True)
    versions = [
        f"{name} {version(name)}" for side in sides for name in RIVALS[SIDES[side][0]].libraries if name != "fastnn"
    ]
    facts = [datetime.date.today().isoformat(), processor(), f"Python {platform.python_version()}", *versions]
    text = "\n".join([*table(results), ", ".join(dict.fromkeys(facts)), ""])
    print(text)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if given.write_readme:
        write_readme(text, "memory")


def of_one(side: str, case: str) -> None:
    """What a process of `measured` does."""
    try:
        print(json.dumps(fitted(SIDES[side], FITS[case])))
    except Unable as reason:
        print(json.dumps({"unable": str(reason)}))


if __name__ == "__main__":
    of_one(*sys.argv[1:])
