"""``fastnn monitor``."""

from __future__ import annotations

import argparse
import json
from datetime import date
from typing import Any

from fastnn._output import aligned
from fastnn.cli.output import say, shown
from fastnn.cli.parser import Parser, add_config, whole

MONITOR = """\
Says how good the predictions of a service were, once what was to be predicted is known:
joins a table of predictions with the truth by a key, and prints metrics by day or week,
model and version. Predictions whose truth is not known yet wait.

With --below or --above the status is 3 where the metric of a version is beyond it in the
last day or week whose truths are known, and 4 where none is known; 1 and 2 mean, as
always, that something failed, or that the command was not understood.
"""

EXAMPLE = """\
example:
  fastnn monitor --database shop.db --predictions fastnn_predictions --key id \\
      --truth "SELECT id, bought FROM customers" --metric accuracy --below 0.8
"""
BEYOND, UNKNOWN = 3, 4


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a day as 2026-11-29, got {text!r}") from None


def add_to(commands: Any) -> None:
    """Add the command to the others."""
    monitor = commands.add_parser("monitor", description=MONITOR, epilog=EXAMPLE)
    monitor.set_defaults(run=run)
    add = monitor.add_argument
    add("--database", metavar="URL", help="the database: a file, or a URL such as sqlite:///shop.db")
    add("--predictions", metavar="TABLE", help="the table that a service, or fastnn predict, has written")
    add("--truth", metavar="SQL", help="a SELECT of the key and of what was to be predicted")
    add("--truth-database", metavar="URL", help="where that is, if it is another database")
    add("--key", metavar="COLUMN", help="the column that names a row")
    add("--target", metavar="COLUMN", help="of the truth, where it has more columns")
    add("--by", choices=("day", "week"), default="day", help="in UTC (default: %(default)s)")
    add("--since", metavar="DAY", type=_day, help="predictions from that day on")
    add("--metric", metavar="NAME", help="accuracy, f1, auc, mae, rmse, bias or r2 (default: accuracy or mae)")
    add("--below", metavar="NUMBER", type=float, help="status 3 if it is below")
    add("--above", metavar="NUMBER", type=float, help="status 3 if it is above")
    add("--rows", metavar="N", type=whole(1), default=1, help="with known truth that a version must have (%(default)s)")
    add("--json", action="store_true", help="the result as a line of JSON")
    add_config(monitor)


def run(options: argparse.Namespace, parser: Parser) -> None:
    """Print it; the status of the process says whether it is good enough."""
    from fastnn.serve.monitor import monitor

    needed = ("predictions", "truth", "key", "database")
    parser.need(options, **{name: f"--{name}" for name in needed})
    names = ("key", "database", "truth_database", "target", "by", "since", "metric", "below", "above", "rows")
    found = monitor(options.predictions, options.truth, **{name: getattr(options, name) for name in names})
    if options.json:
        print(json.dumps(found.to_json()), flush=True)
    else:
        _print(found)
    limits = [
        f"{way} {limit:g}" for way, limit in (("below", options.below), ("above", options.above)) if limit is not None
    ]
    if not limits:
        return
    if not found.judged:
        say("no truth is known that could be judged")
        raise SystemExit(UNKNOWN)
    for each in found.failing:
        said = f"{each.model or 'the model'} {each.version}".strip()
        say(f"{each.period}: {found.metric} of {said} is {shown(each.metrics[found.metric])}, {' or '.join(limits)}")
    if found.failing:
        raise SystemExit(BEYOND)


def _print(found: Any) -> None:
    if not found.qualities:
        say("there are no such predictions")
    else:
        metrics = list(dict.fromkeys(name for each in found.qualities for name in each.metrics))
        rows = [["period", "model", "version", "rows", "waiting", *metrics]]
        for each in found.qualities:
            figures = (each.metrics.get(name) for name in metrics)
            cells = [*each[:3], f"{each.rows:,}", f"{each.waiting:,}"]
            rows.append(cells + ["" if figure is None else f"{figure:.4g}" for figure in figures])
        print(aligned([[text if text.isprintable() else repr(text) for text in row] for row in rows]), flush=True)
    if found.unusable:
        say(f"{found.unusable:,} predictions have no key, or no single value")
