"""``fastnn info``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fastnn.cli.models import ZOO, add_model, loaded
from fastnn.cli.output import figures, result
from fastnn.cli.parser import Parser

INFO = """\
Prints what a saved model is: what it reads and gives, its layers, and what it was
trained on.
"""


def add_to(commands: Any) -> None:
    """Add the command to the others."""
    info = commands.add_parser("info", description=INFO)
    info.set_defaults(run=run)
    add_model(info)
    info.add_argument("--json", action="store_true", help="as a line of JSON, without the layers' table")


def run(options: argparse.Namespace, parser: Parser) -> None:
    """Print it."""
    model = loaded(options, parser)
    of_zoo = options.registry is None and options.model.startswith(ZOO)
    about: dict[str, Any] = {
        "model": model.name,
        **({"bytes": Path(options.model).stat().st_size} if options.registry is None and not of_zoo else {}),
        "parameters": model.count_params(),
        "reads": ", ".join(model.feature_names) or f"rows of shape {model.input_shape}",
        "gives": f"rows of shape {model.output_shape}",
    }
    notes = model.description.notes.get("trained", {})
    trained = {f"trained: {name}": each for name, each in notes.items() if each not in ("", [])}
    if of_zoo:
        from fastnn import zoo

        about |= zoo.card(options.model.removeprefix(ZOO))._asdict()
        about["metrics"] = dict(about["metrics"]) if options.json else figures(about["metrics"])
    result(about | trained, options.json)
    if not options.json:
        model.summary()
