"""Race fastnn against every peer that is installed, in turn: `python -m benchmarks.peers --help`.

Each contender works in a process of its own, all on the same processors and with the same number of threads. A case is
trained on the rows in order first: a contender whose last loss is not fastnn's is reported as a failure, not with a
time. Then one warm-up, which compiles what there is to compile, then the timed runs: one of each in every turn, begun
when the threads of the one before have gone to sleep.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import benchmarks

if __name__ == "__main__" and not benchmarks.prepare_blas():
    raise SystemExit(benchmarks.TOO_LATE)

import numpy as np

from benchmarks import chart, cpus, floor
from benchmarks.cases import CASES, ROWS, Fit, Predict
from benchmarks.report import duration, machine, times, write_readme
from benchmarks.rivals import RIVALS

ROOT = Path(__file__).resolve().parent.parent
PAUSE, PAUSES = 0.02, 100  # seconds between two looks at whether a thread still runs, and looks at most
MARKS = {"dense": "peers", "layers": "layers"}  # of tables in README.md, by the group of a case


class Failed(Exception):
    """A contender's process ended, or its results are wrong."""


class Contender:
    """The process of one rival; everything said to it and answered by it is a line of JSON."""

    def __init__(self, name: str, threads: int, log: Any):
        self.name, self.log = name, log
        with cpus.pinned(threads):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.rivals.worker", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env=cpus.environment(threads) | RIVALS[name].environment,
            )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            self.log.seek(0)
            said = self.log.read().strip().splitlines() or ["nothing"]
            raise Failed(f"process ended with code {self.process.wait()}; it said last: {said[-1]}") from None
        return answer

    def processor_time(self) -> int:
        """Nanoseconds that its threads have run (Linux; else 0, as if it slept)."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text(encoding="ascii").split()[0]) for each in tasks)

    def close(self) -> None:
        self.process.communicate()


def settle(racing: Iterable[Contender]) -> None:
    """Wait until nobody's idle threads look for work any more, which some do for a tenth of a second."""
    ran = -1
    for _ in range(PAUSES):
        before, ran = ran, sum(contender.processor_time() for contender in racing)
        if ran - before < PAUSE * 1e9 / 100 and before >= 0:
            return
        time.sleep(PAUSE)


@contextmanager
def contenders(names: Sequence[str], threads: int) -> Iterator[dict[str, Contender]]:
    with ExitStack() as stack:
        started = {}
        for name in names:
            log = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
            started[name] = Contender(name, threads, log)
            stack.callback(started[name].close)
        yield started


def race(case: Fit | Predict, racing: dict[str, Contender], repeats: int) -> dict[str, dict[str, Any]]:
    """What came of each: "seconds" and "ratios" to fastnn (quartiles), or why there are none."""
    results: dict[str, dict[str, Any]] = {}
    for name, contender in racing.items():
        results[name] = attempt(contender, load=case.name)
    judge(case, results)
    for _ in range(repeats):
        for name in [name for name, result in results.items() if result["status"] == "ok"]:
            settle(racing.values())
            answer = attempt(racing[name], run=True)
            if answer["status"] == "ok":
                results[name]["seconds"].append(answer["seconds"])
                results[name]["losses"].append(answer["loss"])
            else:
                results[name] = answer
    compare(case, results)
    return results


def attempt(contender: Contender, **request: Any) -> dict[str, Any]:
    try:
        answer = contender.ask(**request)
    except Failed as failure:
        return {"status": "failed", "why": str(failure)}
    for status in ("unable", "failed"):
        if status in answer:
            return {"status": status, "why": answer[status]}
    return {"status": "ok", "seconds": [], "losses": [], **answer}


def judge(case: Fit | Predict, results: dict[str, dict[str, Any]]) -> None:
    """Nobody skips work: a fit's loss has to be fastnn's, and a prediction NumPy's."""
    ours = results["fastnn"].get("check")
    for name, result in results.items():
        if result["status"] != "ok":
            continue
        check = result["check"]
        if ours is None:
            result.update(status="failed", why="fastnn failed, so there is nothing to compare with")
            continue
        result["difference"] = abs(check - ours) / abs(ours) if isinstance(case, Fit) else check
        if not result["difference"] < RIVALS[name].tolerance:
            what = (
                f"loss is {check:.6g}, fastnn's {ours:.6g}" if isinstance(case, Fit) else "outputs differ from NumPy's"
            )
            result.update(status="failed", why=f"{what}: relative difference {result['difference']:.1e}")


def compare(case: Fit | Predict, results: dict[str, dict[str, Any]]) -> None:
    """Medians, quartiles, and ratios within each turn, so that a slow moment of the machine hits both parts."""
    ours = results["fastnn"]
    for result in [result for result in results.values() if result["status"] == "ok"]:
        fit = isinstance(case, Fit)
        losses = [np.median(one["losses"]) for one in (result, ours)] if fit else [1.0, 1.0]
        if ours["status"] != "ok" or not abs(losses[0] / losses[1] - 1) < (case.spread if fit else 1):
            result.update(status="failed", why=f"loss with shuffled rows is {losses[0]:.6g}, fastnn's {losses[1]:.6g}")
            continue
        result["quartiles"] = np.percentile(result["seconds"], [25, 50, 75]).tolist()
        result["ratios"] = np.percentile(np.divide(result["seconds"], ours["seconds"]), [25, 50, 75]).tolist()


def summary(case: Fit | Predict, results: dict[str, dict[str, Any]], speeds: floor.Speeds | None) -> dict[str, Any]:
    """One case for the table and for JSON."""
    others = {name: result for name, result in results.items() if "ratios" in result and name != "fastnn"}
    best = min(others, key=lambda name: others[name]["ratios"][1], default=None)
    known: dict[str, Any] = {"name": case.name, "what": case.what, "best": best, "results": results}
    known |= {"asked": case.asked, "flops": case.flops(), "traffic": [part._asdict() for part in case.traffic()]}
    if speeds:
        known |= {"arithmetic": speeds.arithmetic(case), "bytes": speeds.memory(case), "floor": speeds.of(case)}
    return known


def cell(result: dict[str, Any]) -> str:
    if "ratios" not in result:
        return str(result["status"])
    low, median, high = map(times, result["ratios"])
    return f"{duration(result['quartiles'][1])}, {median}x ({low}-{high})"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def table_of_peers(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """One line for each contender, one column for each case; ratios are to fastnn."""
    lines = ["", row("", *(case["name"] for case in rows)), "|---" + "|--:" * len(rows) + "|"]
    for name in names:
        cells = [case["results"][name] for case in rows]
        if any(result["status"] != "unable" for result in cells):
            lines.append(row(RIVALS[name].title, *map(cell, cells)))
    return lines


def table_of_floors(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        row(
            "case",
            "fastnn",
            "arithmetic",
            "bytes",
            "of the floor reached",
            "fastest peer",
            "fastnn ahead",
            "asked for: got",
        ),
        "|---|--:|--:|--:|--:|---|--:|--:|",
    ]
    for case in rows:
        ours, best = case["results"]["fastnn"], case["best"]
        parts = [duration(case[name]) if name in case else "-" for name in ("arithmetic", "bytes")]
        took = "quartiles" in ours
        reached = f"{100 * case['floor'] / ours['quartiles'][1]:.2g}%" if took and "floor" in case else "-"
        ahead = {name: result["ratios"][1] for name, result in case["results"].items() if "ratios" in result}
        ahead["best"] = ahead.get(best)
        got = {name: f"{times(ahead[name])}x" if ahead.get(name) else "-" for name in ("best", *case["asked"])}
        asked = ", ".join(f"{name} {factor:g}x: {got[name]}" for name, factor in case["asked"].items())
        fastest = RIVALS[best].title if best else "-"
        time = duration(ours["quartiles"][1]) if took else ours["status"]
        lines.append(row(case["name"], time, *parts, reached, fastest, got["best"], asked))
    return lines


def report(content: dict[str, Any]) -> str:
    """All tables of the cases, in Markdown."""
    rows, names = content["cases"], content["names"]
    groups = [[case for case in rows if case["name"] in {fit.name for fit in CASES if isinstance(fit, Fit)}]]
    groups += [[case for case in rows if case["name"].endswith(f"-{count}")] for count in ROWS]
    lines = table_of_floors(rows)
    for group in groups:
        lines += table_of_peers(group, names) if group else []
    reasons = {
        f"{RIVALS[name].title}, {case['name']}: {result['why']}"
        for case in rows
        for name, result in case["results"].items()
        if result["status"] == "failed"
    }
    lines += ["", *(f"- Failed: {reason}" for reason in sorted(reasons)), *[""] * bool(reasons)]
    missing = [f"not installed: {', '.join(content['missing'])}"] if content["missing"] else []
    facts = [f"{name} {value}" for name, value in (content["machine"] | content["libraries"]).items()]
    lines.append("; ".join([", ".join(facts), content["speeds"], f"{content['repeats']} turns", *missing]))
    return "\n".join(lines) + "\n"


def by_group(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same for perceptrons and for other networks, each with the cases of its own."""
    groups = {case.name: case.group for case in CASES}
    found = dict.fromkeys(groups[case["name"]] for case in content["cases"])
    return {
        group: content | {"cases": [case for case in content["cases"] if groups[case["name"]] == group]}
        for group in found
    }


def measure(names: Sequence[str], chosen: Sequence[Fit | Predict], threads: int, repeats: int) -> dict[str, Any]:
    """Floors and races of one run; what the tables and the chart are made from."""
    speeds = floor.measure(threads)
    missing = [name for name in names if RIVALS[name].missing()]
    present = [name for name in names if name not in missing]
    cases = []
    with contenders(present, threads) as racing:
        for case in chosen:
            cases.append(summary(case, race(case, racing, repeats), speeds))
            print("\n".join(table_of_peers(cases[-1:], present)), file=sys.stderr, flush=True)
    versions = [result.get("libraries", {}) for case in cases for result in case["results"].values()]
    return {
        "machine": {name: value for name, value in machine().items() if name != "NumPy"},
        "libraries": {name: version for one in versions for name, version in one.items() if name != "fastnn"},
        "threads": threads,
        "repeats": repeats,
        "names": present,
        "missing": [RIVALS[name].title for name in missing],
        "speeds": str(speeds) if speeds else "floors not measured: no C compiler",
        "measured": asdict(speeds) if speeds else None,
        "cases": cases,
    }


def chosen_of(text: str | None, known: Sequence[str], option: str) -> list[str]:
    """The names in a list with commas, in their usual order; all of them without one."""
    names = text.split(",") if text else list(known)
    if unknown := set(names) - set(known):
        raise SystemExit(f"{option}: unknown {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    return [name for name in known if name in names]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=11, help="timed turns of all contenders")
    parser.add_argument("--only", metavar="PEER,...", help=f"of {', '.join(RIVALS)}; fastnn always takes part")
    parser.add_argument("--cases", metavar="CASE,...", help=f"dense, layers, or of {', '.join(c.name for c in CASES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single time, too")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="drawn by matplotlib: .svg or .png")
    parser.add_argument("--write-readme", action="store_true", help="put the tables in README.md")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {arguments.repeats}")
    names = chosen_of(arguments.only and f"fastnn,{arguments.only}", list(RIVALS), "--only")
    wanted = chosen_of(arguments.cases, [*MARKS, *(case.name for case in CASES)], "--cases")
    chosen = [case for case in CASES if {case.name, case.group} & set(wanted)]
    content = measure(names, chosen, arguments.threads, arguments.repeats)
    texts = {group: report(part) for group, part in by_group(content).items()}
    print(*texts.values(), sep="\n")
    for path in (arguments.json, arguments.chart):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.chart:
        chart.draw(content, arguments.chart)
    if arguments.write_readme:
        for group, text in texts.items():
            write_readme(text, f"{MARKS[group]} on {arguments.threads}")


if __name__ == "__main__":
    main()
