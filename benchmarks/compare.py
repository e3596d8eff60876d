"""What changed between two result files: `python -m benchmarks.compare old.json new.json`.

Reads what `--json` of the benchmarks writes: {"results": [...]}, where a result has a name and any of

    medians       side -> seconds: shown, not judged, for they depend on the machine
    seconds       side -> every time, for the quartiles of those
    ratios        opponent -> [lower quartile, median, upper quartile] of its seconds over fastnn's: judged
    instructions  what callgrind counted: judged

or what `benchmarks.peers` writes: {"cases": [...]}, where the same is sorted by contender.

A ratio is worse when its new upper quartile lies more than the margin below its old lower one: neither noise nor the
margin explains it. A count has no noise, and a margin of its own.

Exit code 1 where anything is worse, 2 where the files cannot be compared.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

MARGIN = 0.25
COUNT_MARGIN = 0.03


class Figure(NamedTuple):
    """A figure with its quartiles; `sign` is 1 where more is better, -1 where less is, 0 where it is not judged."""

    low: float
    median: float
    high: float
    unit: str
    sign: int = 0


class Unusable(Exception):
    """The files cannot be compared."""


def figures(result: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """What a result holds, by name."""
    name = result["name"]
    for side, median in result.get("medians", {}).items():
        times = result.get("seconds", {}).get(side, [median])
        low, _, high = quantiles(times, n=4, method="inclusive") if len(times) > 1 else [median] * 3
        yield f"{name}: {side}", Figure(low, median, high, "s")
    for opponent, (low, median, high) in result.get("ratios", {}).items():
        yield f"{name}: {opponent} / fastnn", Figure(low, median, high, "x", 1)
    if "instructions" in result:
        count = result["instructions"]
        yield f"{name}: instructions", Figure(count, count, count, "", -1)


def of_race(case: Mapping[str, Any]) -> dict[str, Any]:
    """A case of `benchmarks.peers` in the form of the others; a library that could not run has no figures."""
    ran = {name: result for name, result in case["results"].items() if "ratios" in result}
    return {
        "name": case["name"],
        "medians": {name: result["quartiles"][1] for name, result in ran.items()},
        "seconds": {name: result["seconds"] for name, result in ran.items()},
        "ratios": {name: result["ratios"] for name, result in ran.items() if name != "fastnn"},
    }


def read(file: Path) -> dict[str, Figure]:
    """All figures of a file, by name. `Unusable` says why it has none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        results = map(of_race, content["cases"]) if "cases" in content else content["results"]
        found = dict(pair for result in results for pair in figures(result))
    except OSError as error:
        raise Unusable(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(
            f"{file} is not a file of results ({type(error).__name__}: {error}); "
            "write one with `python -m benchmarks --json FILE`"
        ) from None
    if not found:
        raise Unusable(f"{file} holds no figures; write it with `python -m benchmarks --json FILE`")
    return found


def is_worse(old: Figure, new: Figure, margin: float) -> bool:
    """Whether neither the quartiles nor the margin explain the change; for a count the margin is COUNT_MARGIN."""
    if new.sign < 0:
        return new.low > old.high * (1 + COUNT_MARGIN)
    return new.sign > 0 and new.high < old.low * (1 - margin)


def text(figure: Figure) -> str:
    """The median with its quartiles, or the count."""
    if not figure.unit:
        return f"{figure.median:,}"
    factor, unit = 1.0, figure.unit
    if unit == "s":
        factor, unit = (1e3, " ms") if figure.median > 1e-4 else (1e6, " us")
    low, median, high = (f"{value * factor:.4g}" for value in figure[:3])
    return f"{median}{unit}" + (f" ({low}-{high})" if low != high else "")


def compare(old: Mapping[str, Figure], new: Mapping[str, Figure], margin: float) -> tuple[list[str], list[str]]:
    """(a table in Markdown, what got worse). `Unusable` where one side has figures that the other lacks."""
    alone = {
        "old": [name for name in old if name not in new],
        "new": [name for name in new if name not in old],
    }
    if any(alone.values()):
        lists = "; ".join(f"only in the {file} file: {', '.join(names)}" for file, names in alone.items() if names)
        raise Unusable(f"both files need the same figures; run the same cases twice ({lists})")
    table = ["| figure | old | new | change | |", "|---|--:|--:|--:|---|"]
    worse = []
    for name, before in old.items():
        after = new[name]
        if is_worse(before, after, margin):
            worse.append(name)
        change = after.median / before.median - 1
        table.append(
            f"| {name} | {text(before)} | {text(after)} | {change:+.1%} | {'worse' if name in worse else ''} |"
        )
    return table, worse


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description="Compare two files of results.")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--margin", type=float, default=MARGIN, help=f"that a ratio may lose, {MARGIN}")
    given = parser.parse_args(arguments)
    if not 0 <= given.margin < 1:
        parser.error(f"--margin must be from 0 to below 1, got {given.margin}")
    try:
        table, worse = compare(read(given.old), read(given.new), given.margin)
    except Unusable as error:
        parser.error(str(error))
    print("\n".join(table))
    if worse:
        print(f"\nworse beyond the noise and the margin: {'; '.join(worse)}")
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(main())
