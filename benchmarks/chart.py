"""The chart of a race: one panel for each case, one bar for each contender, from fastnn's time to its own.

`python -m benchmarks.chart times.json chart.svg` draws what `python -m benchmarks.peers --json times.json` measured.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.report import duration, times
from benchmarks.rivals import RIVALS

OURS, SLOWER, FASTER, TEXT, QUIET = "#d1495b", "#8a9ba8", "#e6a23c", "#222222", "#777777"
PANELS = 5  # side by side
ROOM = 0.5  # right of the longest bar, for its number; its length is 1


def draw(content: dict[str, Any], path: Path) -> None:
    """Rows of panels for training and for the prediction of a single row, where there are such cases."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    single = [case for case in content["cases"] if case["what"].startswith("predict of 1 row ")]
    fits = [case for case in content["cases"] if not case["what"].startswith("predict of ")]
    rows = [
        (title if not start else "", cases[start : start + PANELS])
        for title, cases in (("Training", fits), ("Predicting one row", single))
        for start in range(0, len(cases), PANELS)
    ]
    if not rows:
        raise SystemExit("a chart needs a case of training or of predicting one row")
    lines = [contenders(content["names"], cases) for _, cases in rows]
    with rc_context({"font.family": "sans-serif", "font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "fastnn"}):
        heights = [len(names) for names in lines]
        figure = Figure(
            figsize=(12, 0.27 * sum(heights) + 0.85 * len(rows) + 0.3), facecolor="white", layout="constrained"
        )
        figures = figure.subfigures(len(rows), 1, height_ratios=[height + 3.2 for height in heights], squeeze=False)
        for (title, cases), names, part in zip(rows, lines, figures[:, 0], strict=True):
            threads = "1 thread" if content["threads"] == 1 else f"{content['threads']} threads"
            if title:
                part.suptitle(
                    f"{title}: time relative to fastnn, {threads}; each panel has its own logarithmic scale",
                    x=0.005, ha="left", fontsize=11, color=TEXT,
                )  # fmt: skip
            found = part.subplots(1, max(len(row) for _, row in rows), squeeze=False, sharey=True)[0]
            for axes, case in zip(found, cases, strict=False):
                panel(axes, case, names)
            for axes in found[len(cases) :]:
                axes.remove()
        figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)


def contenders(names: list[str], cases: list[dict[str, Any]]) -> list[str]:
    """Those with a time in any of the cases."""
    return [name for name in names if any("ratios" in case["results"][name] for case in cases)]


def panel(axes: Any, case: dict[str, Any], names: list[str]) -> None:
    ratios = {name: case["results"][name]["ratios"][1] for name in names if "ratios" in case["results"][name]}
    least, most = min(0.95, *ratios.values()), max(1.1, *ratios.values())
    axes.set_xscale("log")
    axes.set_xlim(least, most * (most / least) ** ROOM)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), [RIVALS[name].title for name in names])
    axes.axvline(1, color=OURS, linewidth=0.8, zorder=0)
    for place, name in enumerate(names):
        label, style = "-", {"color": QUIET}
        if name == "fastnn" and name in ratios:
            axes.plot(1, place, "o", color=OURS, markersize=7, clip_on=False)
            label, style = f" {duration(case['results'][name]['quartiles'][1])}", {"color": OURS, "fontweight": "bold"}
        elif name in ratios:
            axes.barh(place, ratios[name] - 1, left=1, height=0.7, color=SLOWER if ratios[name] >= 1 else FASTER)
            label, style = f"{times(ratios[name])}x", {"color": TEXT}
        axes.text(max(1, ratios.get(name, 1)), place, f" {label}", va="center", **style)
    network = case["what"].split("through ")[-1].split(",")[0]
    axes.set_title(f"{case['name'].removesuffix('-1')}  {network}", fontsize=9, color=TEXT, loc="left")
    axes.tick_params(left=False, colors=TEXT)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chart", description=__doc__.splitlines()[0])
    parser.add_argument("json", type=Path)
    parser.add_argument("chart", type=Path)
    arguments = parser.parse_args()
    draw(json.loads(arguments.json.read_text(encoding="utf-8")), arguments.chart)


if __name__ == "__main__":
    main()
