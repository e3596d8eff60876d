"""``fastnn models``, and where the other commands have their model from: a file, or a registry."""

from __future__ import annotations

import argparse
import json
from typing import Any

from fastnn._output import aligned
from fastnn.cli.output import say, shown
from fastnn.cli.parser import Parser

MODELS = """\
Lists the models that a registry has: each version, its aliases, when it
was saved, and its metrics; after --alias or --delete, of the version of one.
"""

ZOO = "zoo:"  # before the name of a model of fastnn.zoo


def add_to(commands: Any) -> None:
    """Add the command to the others."""
    models = commands.add_parser("models", description=MODELS)
    models.set_defaults(run=run)
    models.add_argument(
        "registry",
        metavar="URL",
        help="a database: a file, or a URL such as sqlite:///shop.db; a folder; mlflow:URI; hf:OWNER",
    )
    models.add_argument("name", metavar="NAME", nargs="?", help="the model, by default all")
    _add_version(models)
    models.add_argument("--alias", metavar="ALIAS", help="let it point to that version")
    models.add_argument("--delete", action="store_true", help="delete that version")
    models.add_argument("--json", action="store_true", help="the list as a line of JSON")


def add_model(parser: Parser) -> None:
    """Let the command take a model."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="the file that train or model.save wrote; zoo:NAME, which comes with fastnn; or, in a registry, a name",
    )
    add_registry(parser)
    _add_version(parser)


def add_registry(parser: Parser) -> None:
    """Let the command take a registry."""
    parser.add_argument(
        "--registry", metavar="URL", help="where the model is, by name, in no file: as for `fastnn models`"
    )


def registry_of(options: argparse.Namespace) -> Any:
    """The registry; None where models are files."""
    if options.registry is None:
        return None
    from fastnn import registry

    return registry.open(options.registry)


def loaded(options: argparse.Namespace, parser: Parser) -> Any:
    """The model."""
    from fastnn.models import load_model

    registry = registry_of(options)
    if registry is not None:
        return registry.load(options.model, options.version or "latest")
    if options.version is not None:
        parser.error("argument --version: it is of a model in a registry; add --registry URL")
    if options.model.startswith(ZOO):
        from fastnn import zoo

        return zoo.load(options.model.removeprefix(ZOO))
    return load_model(options.model)


def run(options: argparse.Namespace, parser: Parser) -> None:
    """Print the list."""
    registry = registry_of(options)
    if options.alias is not None or options.delete:
        parser.need(options, name="NAME", version="--version")
    if options.alias is not None:
        registry.alias(options.name, options.alias, options.version)
    if options.delete:
        registry.delete(options.name, options.version)
    entries = registry.list(options.name)
    if options.json:
        print(json.dumps([{**each._asdict(), "created": each.created.isoformat()} for each in entries]))
        return
    if not entries:
        say("there are no such models")
        return
    rows = [("name", "version", "aliases", "created", "metrics")]
    for each in entries:
        metrics = (f"{name} {shown(value)}" for name, value in each.metrics.items())
        when = f"{each.created:%Y-%m-%d %H:%M:%S}"
        rows.append((each.name, str(each.version), ", ".join(each.aliases), when, ", ".join(metrics)))
    # What others have written may hold line ends, and what a terminal takes for orders.
    print(aligned([[text if text.isprintable() else repr(text) for text in row] for row in rows]))


def _add_version(parser: Parser) -> None:
    parser.add_argument(
        "--version", metavar="V", help="of a model in a registry: a number, an alias, or latest, the default",
        type=lambda text: int(text) if text.isdecimal() else text,
    )  # fmt: skip
