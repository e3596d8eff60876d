"""``fastnn monitor``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from fastnn._output import aligned
from fastnn.cli.output import say, shown
from fastnn.cli.parser import Parser, add_config, whole

MONITOR = """\
Says how good the predictions of a service were, once the truth is known: joins a table of
predictions with it, and prints metrics by day or week (UTC), model and version.

With --below or --above, the status is 3 where the metric of a version is beyond that in
the last period with known truth, and 4 where no truth is known.
"""

EXAMPLE = """\
example:
  fastnn monitor --data sqlite:///shop.db --predictions fastnn_predictions --key id \\
      --truth "SELECT id, bought FROM customers" --metric accuracy --below 0.8
"""
NEEDED = ("predictions", "truth", "key", "data")


def add_to(commands: Any) -> None:
    """Add the command to the others."""
    monitor = commands.add_parser("monitor", description=MONITOR, epilog=EXAMPLE)
    monitor.set_defaults(run=run)
    add = monitor.add_argument
    add("--data", metavar="URL", help="the database: a file, or a URL such as sqlite:///shop.db")
    add("--predictions", metavar="TABLE", help="the table that a service, or fastnn predict, has written")
    add("--truth", metavar="SQL", help="a SELECT of the key and of what was to be predicted")
    add("--key", metavar="COLUMN", help="the column that names a row")
    add("--target", metavar="COLUMN", help="of the truth, where it has more columns")
    add("--by", choices=("day", "week"), default="day", help="(default: %(default)s)")
    add("--metric", metavar="NAME", help="accuracy, f1, auc, mae, rmse, bias or r2 (default: accuracy or mae)")
    for way in ("below", "above"):
        add(f"--{way}", metavar="NUMBER", type=float, help=f"status 3 if it is {way}")
    add("--rows", metavar="N", type=whole(1), default=1, help="of known truth, to be judged (%(default)s)")
    add("--json", action="store_true", help="the result as a line of JSON")
    add_config(monitor)


def run(options: argparse.Namespace, parser: Parser) -> None:
    """Print it; SystemExit with the status that says whether it is good enough."""
    from fastnn.serve.monitor import monitor

    parser.need(options, **{name: f"--{name}" for name in NEEDED})
    names = ("predictions", "truth", "key", "target", "by", "metric", "below", "above", "rows")
    found = monitor(database=options.data, **{name: getattr(options, name) for name in names})
    if options.json:
        print(json.dumps(found.to_json()), flush=True)
    else:
        metrics = list(dict.fromkeys(name for each in found.qualities for name in each.metrics))
        table = [["period", "model", "version", "rows", "waiting", *metrics]]
        for each in found.qualities:
            values = [each.metrics.get(name) for name in metrics]
            table.append([*map(str, each[:5]), *("" if value is None else shown(value) for value in values)])
        print(aligned([[text if text.isprintable() else repr(text) for text in row] for row in table]), flush=True)
        if found.unusable:
            say(f"{found.unusable:,} predictions have no key, or no single value")
    if options.below is None and options.above is None:
        return
    if not found.judged:
        say("no truth is known yet that could be judged")
        raise SystemExit(4)
    for each in found.failing:
        value = each.metrics[str(found.metric)]
        say(f"{each.period}: {found.metric} of {each.model!r} {each.version} is {shown(value)}, beyond the limit")
    if found.failing:
        raise SystemExit(3)
