"""``fastnn compress``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fastnn.cli.models import add_model, loaded
from fastnn.cli.output import result
from fastnn.cli.parser import Parser, add_config, add_rows, share, whole
from fastnn.cli.report import arrays_of
from fastnn.cli.train import rows_for

COMPRESS = """\
Makes a saved model small, or fast, and saves that: units and weights that do little are
pruned, with training between, the rest is rounded to few values, and the file is
compressed. What costs more than --max-loss, of the rows of the table, the query or the
file of arrays that are kept apart to judge, is taken back. A table says what each step
gave: bytes, the time of a prediction, and the share of rows that are right, or R squared.
"""

COMPRESS_EXAMPLE = """\
examples:
  fastnn compress model.fastnn --data shop.db --table customers -o small.fastnn
  fastnn compress model.fastnn --data rows.npz --for speed --max-loss 0.01 -o fast.fastnn
"""


def add_to(commands: Any) -> None:
    """Add the command to the others."""
    compress = commands.add_parser("compress", description=COMPRESS, epilog=COMPRESS_EXAMPLE)
    compress.set_defaults(run=run)
    add_model(compress)
    add_rows(compress, "; or a file of arrays x and y, .npz")
    compress.add_argument("--target", metavar="COLUMN", help="the column with the answers, by default that of training")
    compress.add_argument(
        "--key", metavar="COLUMN", help="the column that names a row, by which some are kept apart; that of training"
    )
    compress.add_argument(
        "--validation", metavar="FILE", help="with arrays: others that judge, x and y, that it was not trained on; .npz"
    )
    compress.add_argument("-o", "--out", metavar="FILE", help="where the small model is saved")
    compress.add_argument("--for", choices=("size", "speed"), default="size", help="(default: %(default)s)")
    compress.add_argument(
        "--max-loss", metavar="SHARE", type=share, default=0.005, help="that it may be worse by (%(default)s)"
    )
    compress.add_argument("--epochs", metavar="N", type=whole(1), default=10, help="after each step (%(default)s)")
    compress.add_argument("--batch-size", metavar="N", type=whole(1), default=128, help="rows a step (%(default)s)")
    compress.add_argument("--seed", metavar="N", type=whole(0), default=0, help="where chance starts (%(default)s)")
    compress.add_argument("--json", action="store_true", help="the result as a line of JSON, without the table")
    add_config(compress)


def run(options: argparse.Namespace, parser: Parser) -> None:
    """Compress, save, and print the table."""
    import fastnn
    from fastnn.compress import compress

    parser.need(options, data="--data", out="--out")
    if not (folder := Path(options.out).parent).is_dir():
        raise ValueError(f"there is no folder {str(folder)!r} for the model; make it, or check --out")
    model, judging = loaded(options, parser), None
    if options.data.endswith(".npz"):
        data: Any = arrays_of(options.data, model, parser, options)
        if options.validation is not None:
            judging = arrays_of(options.validation, model, parser, options)
    else:
        if options.validation is not None:
            parser.error("argument --validation: it is of arrays; rows of a database are kept apart by their key")
        key = options.key or model.description.notes.get("trained", {}).get("key")
        if key is None:
            parser.error("argument --key: say which column names a row; some rows are kept apart by it, to judge")
        data = rows_for(model, options, parser, key)
    fastnn.set_random_seed(options.seed)
    found = compress(
        model,
        data,
        options.max_loss,
        getattr(options, "for"),  # a word of Python's
        validation_data=judging,
        epochs=options.epochs,
        batch_size=options.batch_size,
        random_state=options.seed,
        verbose=not options.json,
    )
    found.save(options.out)
    first, last = found.steps[0], found.last
    result(
        {
            "model": options.out,
            "bytes": Path(options.out).stat().st_size,
            "smaller": first.bytes / last.bytes,
            "faster": first.row / last.row,
            f"{found.measure} before": first.score,
            found.measure: last.score,
        },
        options.json,
    )
