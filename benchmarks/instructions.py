"""Instructions of a step, an epoch and a prediction, against a budget: `python -m benchmarks.instructions --help`.

callgrind counts them, so a loaded machine gives the same figures as an idle one. It does not know AVX-512: counted are
the kernels for AVX2 and for the baseline. In one process each workload runs n times and then 2n times; the difference
is n times the workload alone. A count depends on the compiler that made fastnn and on the Python, so budgets.json has
budgets for each pair of them; a pair that is not there cannot be checked, which is then said.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import fastnn
from benchmarks.cases import CASES
from benchmarks.cpus import environment
from fastnn import kernels

BUDGETS = Path(__file__).with_name("budgets.json")
LIMIT = 0.03  # growth that needs a new budget
ISAS = ("avx2", "baseline")
WRITE = "python -m benchmarks.instructions --write"

Run = Callable[[int], object]
Counts = dict[str, int]  # by "instruction set: workload"


def steps(case: Any, n: int) -> Run:
    """A fit of one epoch; how many steps is asked each time, 2n at most."""
    model = case.model()
    x, y = case.data(2 * n * case.batch_size)

    def run(n: int) -> object:
        rows = n * case.batch_size
        return model.fit(x[:rows], y[:rows], case.batch_size, verbose=0)

    return run


def epochs(case: Any, n: int) -> Run:
    """A fit of several epochs of one step."""
    model = case.model()
    x, y = case.data(case.batch_size)
    return lambda n: model.fit(x, y, case.batch_size, n, verbose=0)


def predictions(case: Any, n: int) -> Run:
    predict = case.model().predict
    x, _ = case.data(case.rows)

    def run(n: int) -> None:
        for _ in range(n):
            predict(x)

    return run


class Workload(NamedTuple):
    make: Callable[[Any, int], Run]
    case: str
    n: int  # about ten million instructions


WORKLOADS = {
    "step of tiny": Workload(steps, "tiny", 1000),
    "step of mnist": Workload(steps, "mnist", 20),
    "epoch of one step of tiny": Workload(epochs, "tiny", 200),
    "predict of one row of mnist": Workload(predictions, "mnist-1", 500),
    "step of lenet": Workload(steps, "lenet", 1),
    "step of lstm-small": Workload(steps, "lstm-small", 100),
}


def child() -> None:
    """What runs under callgrind, which begins a new part of its count whenever getppid is called."""
    fastnn.set_random_seed(0)
    cases = {case.name: case for case in CASES}
    for make, case, n in WORKLOADS.values():
        run = make(cases[case], n)
        run(2 * n)
        for times in (n, 2 * n):
            os.getppid()
            run(times)
        os.getppid()


def count(isa: str) -> Counts:
    """Instructions of each workload with the kernels for an instruction set."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SystemExit("counting instructions needs valgrind, which is not installed; apt-get install valgrind")
    variables = environment(1) | {"FASTNN_ISA": isa, "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        options = ["--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={folder}/part"]
        command = [valgrind, *options, sys.executable, "-c", "from benchmarks.instructions import child; child()"]
        root = Path(__file__).parent.parent
        done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        parts = sorted(Path(folder).glob("part.*"), key=lambda part: int(part.suffix[1:]))
        return from_parts(isa, [part.read_text(encoding="utf-8", errors="replace") for part in parts])


def from_parts(isa: str, parts: list[str]) -> Counts:
    """Of each workload there are three parts: what goes before, n times, 2n times."""
    if len(parts) != 3 * len(WORKLOADS):
        raise SystemExit(f"callgrind wrote {len(parts)} parts where {3 * len(WORKLOADS)} calls of getppid were made")
    totals = [int(total) for part in parts for total in re.findall(r"^totals: (\d+)$", part, re.MULTILINE)]
    once, twice = totals[1::3], totals[2::3]
    return {
        f"{isa}: {name}": round((twice[i] - once[i]) / workload.n)
        for i, (name, workload) in enumerate(WORKLOADS.items())
    }


def tools() -> str:
    """What counts depend on beside the sources: the compiler of fastnn's modules and the Python."""
    compiler = re.sub(r"^(\w+ \d+).*", r"\1", kernels.cpu.compiler())
    return f"{platform.machine()}, {compiler}, Python {platform.python_version()}"


def over_budget(counts: Mapping[str, int], budgets: Mapping[str, int]) -> list[str]:
    """What is wrong, a line each: more than LIMIT above the budget, or no budget."""
    lines = []
    for name, count in counts.items():
        if name not in budgets:
            lines.append(f"{name}: {count:,} instructions, and no budget")
        elif count > budgets[name] * (1 + LIMIT):
            growth = count / budgets[name] - 1
            lines.append(f"{name}: {count:,} instructions, {growth:.1%} above the budget of {budgets[name]:,}")
    return lines


def table(counts: Mapping[str, int], budgets: Mapping[str, int]) -> str:
    lines = ["| workload | instructions | budget | change |", "|---|--:|--:|--:|"]
    for name, count in counts.items():
        budget = budgets.get(name)
        change = f"{budget:,} | {count / budget - 1:+.2%}" if budget else "- | -"
        lines.append(f"| {name} | {count:,} | {change} |")
    return "\n".join(lines)


def check(counts: Mapping[str, int]) -> bool:
    """Print the counts and what is wrong with them; whether they are within the budgets of these tools."""
    budgets = json.loads(BUDGETS.read_text(encoding="utf-8"))
    here = budgets.get(tools())
    print(f"{tools()}\n\n{table(counts, here or {})}\n")
    if here is None:
        print(
            f"NOT CHECKED: {BUDGETS.name} has no budget for {tools()}, only for:\n  "
            + "\n  ".join(budgets)
            + f"\nRun `{WRITE}` here on sources that are known to be good, and commit the file."
        )
        return True
    problems = over_budget(counts, here)
    if problems:
        print(
            f"More than {LIMIT:.0%} above the budget:\n  "
            + "\n  ".join(problems)
            + f"\nMake it cheaper. If it is worth its price, run `{WRITE}`, and commit {BUDGETS.name} with the reason."
        )
    return not problems


def write(counts: Mapping[str, int]) -> None:
    """Make these counts the budgets of these tools; those of others stay."""
    budgets = json.loads(BUDGETS.read_text(encoding="utf-8")) if BUDGETS.exists() else {}
    budgets[tools()] = counts
    BUDGETS.write_text(json.dumps(budgets, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def count_all() -> Counts:
    """Of every instruction set that valgrind and this processor know; all at once, for the clock does not matter."""
    with ThreadPoolExecutor() as pool:
        counted = pool.map(count, [isa for isa in ISAS if isa in kernels.cpu.supported()])
        return {name: total for counts in counted for name, total in counts.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make these counts the budgets")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the counts, for benchmarks.compare")
    given = parser.parse_args()
    counts = count_all()
    if given.json:
        results = [{"name": name, "instructions": total} for name, total in counts.items()]
        content = {"machine": {"tools": tools()}, "results": results}
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if given.write:
        write(counts)
    return 0 if check(counts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
