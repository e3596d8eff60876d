"""The command ``fastnn``: a demonstration, and predictions for the rows of a database.

Nothing else imports this module, so ``import fastnn`` does not pay for argparse.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import fastnn

DESCRIPTION = """\
Neural networks on ordinary computers, from Python and from databases.

fastnn demo       trains a network from a database in a few seconds, and shows how
fastnn predict    writes a saved model's predictions into a new table of a database
"""

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

PREDICT = """\
Loads a saved model and writes its prediction for each row of a query into a table of
the same SQLite database, all or none.

The table has the column named by --key and, for a network that tells classes
apart, prediction and probability; for one that estimates a number, prediction alone.
"""

PREDICT_EXAMPLE = """\
example:
  fastnn predict model.fastnn shop.db "SELECT id, age, visits FROM customers" \\
      --into predictions --key id
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with its arguments, by default those of the process; give the exit status.

    0 done; 1 something failed, said in one line; 2 the command was not understood, said in one
    line; 130 interrupted; 141 nobody reads the output any more.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold any character
    try:
        status = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a failure can still be said in one line
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    except BrokenPipeError:
        _forget_output()
        return 141  # what a shell reports for a program that a closed pipe ends
    except MemoryError:
        return _failed("there is not enough memory", 1)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            _forget_output()  # the output itself has failed: its disk is full, say
        return _failed(_described(error), 1)
    return status


def _run(arguments: Sequence[str] | None) -> int:
    parser, commands = _parsers()
    try:
        options, surplus = parser.parse_known_args(arguments)
        if surplus:
            commands.get(options.command, parser).error(f"unexpected: {' '.join(surplus)}")
        if options.command is None:
            parser.print_help(sys.stderr)
            return 2
    except SystemExit as end:
        return int(end.code or 0)
    run: Callable[[argparse.Namespace], None] = options.run
    run(options)
    return 0


def _demo(options: argparse.Namespace) -> None:
    from fastnn.demo import run

    try:
        run(options.folder, options.epochs, options.seed)
    except OSError as error:
        if error.filename is None:  # the output, not a file
            raise
        raise ValueError(f"{_described(error)}; try another place, with --folder") from error


def _predict(options: argparse.Namespace) -> None:
    from fastnn.models import load_model

    model = load_model(options.model)
    mode: Any = "replace" if options.replace else "create"
    try:
        count = model.predict_sql(
            options.sql, options.database, into=options.into, key=options.key, params=options.param, mode=mode
        )
    except ValueError as error:
        raise ValueError(str(error).replace('mode="replace"', "--replace")) from error
    try:
        print(f"{count:,} predictions are in the table {options.into} of {options.database}", flush=True)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        _forget_output()
        raise ValueError(
            f"{count:,} predictions are in the table {options.into} of {options.database}, but the output cannot be "
            f"written: {_described(error)}"
        ) from error


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        # No abbreviations: an option that is added later must not change what --e means.
        super().__init__(allow_abbrev=False, **options)
        self.color = False  # Python 3.14 would put escape codes into the usage

    def error(self, message: str) -> NoReturn:
        if not message.startswith("argument "):  # which says by itself what was expected
            usage = " ".join(self.format_usage().removeprefix("usage: ").split())
            message = f"{message}; expected: {usage}"
        _failed(f"{message}; see {self.prog} --help", 2, self.prog)
        raise SystemExit(2)


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """The parser of the whole command line, and that of each command."""
    parser = _Parser(prog="fastnn", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help="demo or predict")

    demo = commands.add_parser("demo", description=DEMO, epilog=DEMO_FILES)
    demo.set_defaults(run=_demo)
    demo.add_argument(
        "--folder",
        type=Path,
        default=Path("fastnn-demo"),
        help="where the two files go; made where it does not exist (default: %(default)s)",
    )
    demo.add_argument(
        "--epochs",
        metavar="N",
        type=_whole(1),
        default=15,
        help="how often training goes through the rows (default: %(default)s)",
    )
    demo.add_argument(
        "--seed",
        metavar="N",
        type=_whole(0),
        default=0,
        help="where chance starts: another number, other first weights (default: %(default)s)",
    )

    predict = commands.add_parser("predict", description=PREDICT, epilog=PREDICT_EXAMPLE)
    predict.set_defaults(run=_predict)
    predict.add_argument("model", metavar="MODEL", help="the file that model.save wrote")
    predict.add_argument("database", metavar="DATABASE", help="the SQLite file")
    predict.add_argument("sql", metavar="SQL", help="a SELECT of the key column and the model's inputs, in order")
    predict.add_argument("--into", metavar="TABLE", required=True, help="the table; without --replace, a new one")
    predict.add_argument("--key", metavar="COLUMN", required=True, help="the column of the query that names a row")
    predict.add_argument(
        "--replace", action="store_true", help="put it in place of the table that an earlier run has written"
    )
    predict.add_argument(
        "--param",
        metavar="VALUE",
        action="append",
        type=_value,
        default=[],
        help="for a question mark of the query, in their order: a number, or a text; a number in quotes is a text",
    )
    return parser, {"demo": demo, "predict": predict}


def _value(text: str) -> int | float | str:
    """What SQL would read there: a whole number, a number, or a text, with or without quotes."""
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        return int(text)
    number = re.fullmatch(r"[+-]?(\d+\.\d*|\.?\d+)([eE][+-]?\d+)?", text, re.ASCII)
    return float(text) if number else text


def _whole(least: int) -> Callable[[str], int]:
    """A reader of whole numbers of at least `least`."""

    def read(text: str) -> int:
        with suppress(ValueError):
            if int(text) >= least:
                return int(text)
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")

    return read


def _failed(message: str, status: int, name: str = "fastnn") -> int:
    """Say why in one line, whatever the message holds; give the status."""
    if sys.stderr is not None:
        with suppress(OSError):
            line = f"{name}: {' '.join(message.split())}"
            # In a terminal, the cursor may stand behind half a progress bar.
            start = "\n" if status == 130 and sys.stderr.isatty() else ""
            print(f"{start}{line}", file=sys.stderr, flush=True)
    return status


def _described(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def _forget_output() -> None:
    """Let Python's own flush at the end of the process succeed, where there is nobody to read."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
