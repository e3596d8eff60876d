"""``fastnn demo``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fastnn.cli.output import described
from fastnn.cli.parser import Parser, whole

DEMO = """\
Shows in a few seconds, on your computer, what fastnn does:

  1. makes an SQLite database with a table of 1,797 handwritten digits;
  2. trains a network from that table, and tests it on rows that it has not seen;
  3. trains the same network in plain NumPy, and times both;
  4. prints how often each was right and how fast it was;
  5. saves the model, loads it in another process, and has that process write its
     predictions into a new table of the database;
  6. shows the lines of Python that do the same with a table of your own.

Nothing is downloaded. The accuracy is the same in every run on the same computer;
the speed is measured anew.
"""

DEMO_FILES = """\
Two files are made in the folder: digits.db and digits.fastnn. A second run makes the
tables digits and predictions, and the model, anew. A file of either name that the
demo did not make is never touched: the demo stops and says so.
"""


def add_to(commands: Any) -> None:
    """Add the command to the others."""
    demo = commands.add_parser("demo", description=DEMO, epilog=DEMO_FILES)
    demo.set_defaults(run=run)
    demo.add_argument(
        "--folder",
        type=Path,
        default=Path("fastnn-demo"),
        help="where the two files go; made where it does not exist (default: %(default)s)",
    )
    demo.add_argument(
        "--epochs",
        metavar="N",
        type=whole(1),
        default=15,
        help="how often training goes through the rows (default: %(default)s)",
    )
    demo.add_argument(
        "--seed",
        metavar="N",
        type=whole(0),
        default=0,
        help="where chance starts: another number, other first weights (default: %(default)s)",
    )


def run(options: argparse.Namespace, parser: Parser) -> None:
    """Run it."""
    from fastnn.demo import run as show

    try:
        show(options.folder, options.epochs, options.seed)
    except OSError as error:
        if error.filename is None:  # the output, not a file
            raise
        raise ValueError(f"{described(error)}; try another place, with --folder") from error
