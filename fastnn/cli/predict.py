"""``fastnn predict``."""

from __future__ import annotations

import argparse
from typing import Any

from fastnn.cli.models import add_model, loaded
from fastnn.cli.output import described, forget_output, hidden
from fastnn.cli.parser import Parser, add_config, add_rows, query_of
from fastnn.cli.ranks import ranks

PREDICT = """\
Loads a saved model and writes its prediction for each row of a table or a query into
a table of the same database, all or none.

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
    add_model(predict)
    predict.add_argument("database", metavar="DATABASE", nargs="?", help="the database: a file or a URL; or --data")
    predict.add_argument(
        "sql", metavar="SQL", nargs="?", help="a SELECT of the key column and the model's inputs; or --query or --table"
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
    """Run it; of several processes the first one does, as one writes the table."""
    with ranks() as communicator:
        if communicator is None or communicator.rank == 0:
            _run(options, parser)


def _run(options: argparse.Namespace, parser: Parser) -> None:
    from fastnn.databases.declared import roots

    for positional, named in (("database", "data"), ("sql", "query")):
        given = getattr(options, positional)
        if given is not None and getattr(options, named) is not None:
            parser.error(f"{positional.upper()} and --{named} are the same; leave one out")
        setattr(options, named, getattr(options, named) if given is None else given)
    query_of(options, parser, into="--into", key="--key")  # what is missing is said before a large model is loaded
    model = loaded(options, parser)
    inputs = model.description.takes.names
    columns = model.feature_names or (inputs if len(inputs) > 1 else ())
    columns = roots(columns, model.description.notes.get("columns", {}))
    order = model.description.notes.get("sequence", ())[:2]
    query = query_of(options, parser, dict.fromkeys([options.key, *order, *columns]) if columns else ())
    if options.replace and options.upsert:
        parser.error("--replace and --upsert are two ways; leave one out")
    mode: Any = "replace" if options.replace else "upsert" if options.upsert else "create"
    try:
        count = model.predict_sql(
            query, options.data, into=options.into, key=options.key, params=options.param, mode=mode
        )
    except ValueError as error:
        words = str(error).replace('mode="replace" or "upsert"', "--replace or --upsert")
        raise ValueError(words.replace('mode="replace"', "--replace")) from error
    said = f"{count:,} predictions are in the table {options.into} of {hidden(options.data)}"
    try:
        print(said, flush=True)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        forget_output()
        raise ValueError(f"{said}, but the output cannot be written: {described(error)}") from error
