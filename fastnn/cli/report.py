"""``fastnn report``."""

from __future__ import annotations

import argparse
import csv
import zipfile
from pathlib import Path
from typing import Any

from fastnn.cli.models import add_model, loaded
from fastnn.cli.output import result
from fastnn.cli.parser import Parser, add_config, add_rows, whole
from fastnn.cli.train import rows_for

REPORT = """\
Writes one page of HTML about a saved model, which loads nothing from elsewhere: its
layers to unfold with sizes and times, the curves of its training, and for the rows of
a table, a query or a file of arrays loss and metrics, confusion matrix, ROC, precision
and recall, calibration, or predictions against targets and residuals; the loss around
its weights and the rows as its last hidden layer sees them in three dimensions.
Without --data, a page of the layers, the weights and the training alone.

It needs plotly: pip install "fastnn[report]"
"""

REPORT_EXAMPLE = """\
examples:
  fastnn report model.fastnn --data shop.db --table customers -o report.html
  fastnn report model.fastnn --data test.npz --history log.csv -o report.html
"""


def add_to(commands: Any) -> None:
    """Add the command to the others."""
    report = commands.add_parser("report", description=REPORT, epilog=REPORT_EXAMPLE)
    report.set_defaults(run=run)
    add_model(report)
    add_rows(report, "; or a file of arrays x and y, .npz")
    report.add_argument("--target", metavar="COLUMN", help="the column with the answers, by default that of training")
    report.add_argument("-o", "--out", metavar="FILE", help="where the page is written")
    report.add_argument("--history", metavar="FILE", help="a table of epochs that CSVLogger wrote")
    report.add_argument(
        "--surface", metavar="N", type=whole(0), default=21, help="points a side of the loss; 0 for none (%(default)s)"
    )
    report.add_argument("--seed", metavar="N", type=whole(0), default=0, help="where chance starts (%(default)s)")
    report.add_argument("--json", action="store_true", help="the result as a line of JSON")
    add_config(report)


def run(options: argparse.Namespace, parser: Parser) -> None:
    """Write it."""
    from fastnn.report import write_report

    parser.need(options, out="--out")
    if not (folder := Path(options.out).parent).is_dir():
        raise ValueError(f"there is no folder {str(folder)!r} for the page; make it, or check --out")
    history = None if options.history is None else _history(options.history)
    model = loaded(options, parser)
    x, y = None, None
    if options.data is not None and options.data.endswith(".npz"):
        x, y = arrays_of(options.data, model, parser, options)
    elif any(each is not None for each in (options.data, options.table, options.query)):
        x = rows_for(model, options, parser)
    write_report(model, options.out, x, y, history=history, surface=options.surface, random_state=options.seed)
    result({"report": options.out, "bytes": Path(options.out).stat().st_size}, options.json)


def arrays_of(path: str, model: Any, parser: Parser, options: argparse.Namespace) -> tuple[Any, Any]:
    """x, or a dict of the arrays that the model's inputs are called by, and y where it is there, likewise.

    An error where options say something of a database.
    """
    import numpy as np

    for name in ("table", "query", "target", "key"):
        if getattr(options, name, None) is not None:
            parser.error(f"argument --{name}: it is of a database, and {path} has arrays; leave it out")
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = dict(file)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no file of arrays that numpy.savez wrote: {error}") from None

    def taken(name: str, names: list[str]) -> Any:
        return arrays.get(name, {each: arrays[each] for each in names if each in arrays} or None)

    x = taken("x", model.input_names)
    if x is None:
        raise ValueError(f"{path} has no array 'x'; it has {', '.join(map(repr, arrays)) or 'none'}")
    return x, taken("y", model.output_names)


def _history(path: str) -> dict[str, list[float]]:
    with open(path, newline="", encoding="utf-8") as file:
        try:
            rows = list(csv.DictReader(file))
            names = [name for name in (rows[0] if rows else ()) if name != "epoch"]
            return {name: [float("nan" if row[name] == "NA" else row[name]) for row in rows] for name in names}
        except (csv.Error, TypeError, ValueError, KeyError) as error:
            raise ValueError(f"{path} is no table of epochs that CSVLogger wrote: {error}") from None
