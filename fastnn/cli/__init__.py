"""The command ``fastnn``: networks trained on the rows of a database, predictions put back, and a demonstration.

Nothing else imports this package, so ``import fastnn`` does not pay for argparse.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper

import fastnn
from fastnn.cli import compress, demo, info, models, monitor, predict, report, serve, train
from fastnn.cli.output import described, forget_output
from fastnn.cli.parser import Parser, failed

DESCRIPTION = """\
Neural networks on ordinary computers, from Python and from databases.

fastnn demo       trains a network from a database in a few seconds, and shows how
fastnn train      trains a network on the rows of a table or a query
fastnn evaluate   says how good a saved model is on such rows
fastnn predict    writes a saved model's predictions into a table of a database
fastnn compress   makes a saved model small, or fast, while it stays as good
fastnn report     writes a page with pictures about a saved model
fastnn serve      answers over the network with saved models
fastnn info       says what a saved model is
fastnn models     lists the models that a database has
fastnn monitor    says how good the predictions of a service were
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with its arguments, by default those of the process; give the exit status.

    0 done; 1 something failed, said in one line; 2 the command was not understood, said in one
    line; 3, 4 what ``fastnn monitor`` found; 130 interrupted; 141 nobody reads the output any more.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold any character
    try:
        status = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a failure can still be said in one line
    except KeyboardInterrupt:
        return failed("interrupted", 130)
    except BrokenPipeError:
        forget_output()
        return 141  # what a shell reports for a program that a closed pipe ends
    except MemoryError:
        return failed("there is not enough memory", 1)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            forget_output()  # the output itself has failed: its disk is full, say
        return failed(described(error), 1)
    return status


def _run(arguments: Sequence[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser, commands = _parsers()
    try:
        options, surplus = parser.parse_known_args(given)
        if surplus:
            commands.get(options.command, parser).error(f"unexpected: {' '.join(surplus)}")
        if options.command is None:
            parser.print_help(sys.stderr)
            return 2
        command = commands[options.command]
        if getattr(options, "config", None) is not None:
            command.take_config(options.config)
            options = parser.parse_args(given)
            for name, value in command.from_file.items():
                setattr(options, name, getattr(options, name) or value)
        run: Callable[[argparse.Namespace, Parser], None] = options.run
        run(options, command)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the whole command line, and that of each command."""
    parser = Parser(prog="fastnn", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    commands = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        help="demo, train, evaluate, predict, compress, report, serve, info, models or monitor",
    )
    for command in (demo, train, predict, compress, report, serve, info, models, monitor):
        command.add_to(commands)
    return parser, dict(commands.choices)
