"""``fastnn predict``."""

from __future__ import annotations

import argparse
from typing import Any

from fastnn.cli.output import described, forget_output
from fastnn.cli.parser import Parser, add_config, add_rows

PREDICT = """\
Loads a saved model and writes its prediction for each row of a query into a table of
the same database, all or none.

The table has the column named by --key and, for a network that tells classes
apart, prediction and probability; for one that estimates a number, prediction alone.
"""

PREDICT_EXAMPLE = """\
example:
  fastnn predict model.fastnn shop.db "SELECT id, age, visits FROM customers" \\
      --into predictions --key id
"""


def add_to(commands: Any) -> None:
    """Add the command to the others."""
    predict = commands.add_parser("predict", description=PREDICT, epilog=PREDICT_EXAMPLE)
    predict.set_defaults(run=run)
    predict.add_argument("model", metavar="MODEL", help="the file that model.save wrote")
    predict.add_argument("database", metavar="DATABASE", nargs="?", help="the database: a file or a URL; or --data")
    predict.add_argument(
        "sql", metavar="SQL", nargs="?", help="a SELECT of the key column and the model's inputs; or --query"
    )
    add_rows(predict)
    predict.add_argument("--into", metavar="TABLE", help="the table; by default a new one")
    predict.add_argument("--key", metavar="COLUMN", help="the column of the query that names a row")
    predict.add_argument(
        "--replace", action="store_true", help="put it in place of the table that an earlier run has written"
    )
    predict.add_argument(
        "--upsert", action="store_true", help="add it to that table: rows whose key is there are written anew"
    )
    add_config(predict)


def run(options: argparse.Namespace, parser: Parser) -> None:
    """Run it."""
    from fastnn.models import load_model

    for positional, named, shown in (("database", "data", "--data"), ("sql", "query", "--query")):
        if getattr(options, positional) is not None and getattr(options, named) is not None:
            parser.error(f"{positional.upper()} and {shown} are the same; leave one out")
        setattr(options, positional, getattr(options, positional) or getattr(options, named))
    parser.need(options, database="DATABASE", sql="SQL", into="--into", key="--key")
    model = load_model(options.model)
    if options.replace and options.upsert:
        parser.error("--replace and --upsert are two ways; leave one out")
    mode: Any = "replace" if options.replace else "upsert" if options.upsert else "create"
    try:
        count = model.predict_sql(
            options.sql, options.database, into=options.into, key=options.key, params=options.param, mode=mode
        )
    except ValueError as error:
        words = str(error).replace('mode="replace" or "upsert"', "--replace or --upsert")
        raise ValueError(words.replace('mode="replace"', "--replace")) from error
    said = f"{count:,} predictions are in the table {options.into} of {options.database}"
    try:
        print(said, flush=True)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        forget_output()
        raise ValueError(f"{said}, but the output cannot be written: {described(error)}") from error
