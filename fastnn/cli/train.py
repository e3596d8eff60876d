"""``fastnn train`` and ``fastnn evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.cli.growing import LAST, noted, rows_since
from fastnn.cli.models import add_model, add_registry, loaded, registry_of
from fastnn.cli.network import network_of, schedule_of
from fastnn.cli.output import figures, result, say
from fastnn.cli.parser import Parser, add_config, add_rows, kinds, names, query_of, sizes, whole
from fastnn.cli.ranks import ranks, reading
from fastnn.databases.addresses import rows_with
from fastnn.databases.reader import NoRowsError

if TYPE_CHECKING:
    from fastnn.data import SQLDataset

TRAIN = """\
Trains a network on the rows of a table or a query, and saves it.

What the target holds decides what is learnt: texts, or whole numbers from 0 on, at most
100 of them, one of several; anything else, a number. What the other columns hold decides
what becomes of them: numbers are standardised, categories and dates made numbers, what is
missing is filled; a table says so. It is a part of the model, which takes rows as they
are. With --key, or the key that an SQLite table has, a part of the rows, drawn by a hash
of it, is kept apart, and training ends when it is not predicted better any more; and the
model remembers the last key. With --resume --since last it is trained on with the rows
that came later, and needs no other options than --data and --out.
"""

TRAIN_EXAMPLE = """\
examples:
  fastnn train --data sqlite:///shop.db --table customers --target bought --out model.fastnn
  fastnn train --data sqlite:///shop.db --query "SELECT id, age, visits, bought FROM customers" \\
      --target bought --key id --hidden 64,32 --epochs 20 --out model.fastnn
  fastnn train --data sqlite:///shop.db --out model.fastnn --resume --since last
  mpiexec -n 4 fastnn train --data sqlite:///shop.db --table customers --target bought \\
      --out model.fastnn              on four processes or machines: the same model
  fastnn train --config shop.toml     of which a line is: target = "bought"
"""

EVALUATE = """\
Prints the loss and the metrics of a saved model on the rows of a table or a query,
which have the columns that it was trained on.
"""

HELD_BACK = 0.2  # of the rows, to see when training should end
# Options that --resume takes from the model.
REMEMBERED = ("table", "query", "param", "target", "features", "key", "null", "hidden")


def add_to(commands: Any) -> None:
    """Add the commands to the others."""
    train = commands.add_parser("train", description=TRAIN, epilog=TRAIN_EXAMPLE)
    train.set_defaults(run=run_train)
    add_rows(train)
    train.add_argument("--target", metavar="COLUMN", help="the column to predict")
    train.add_argument("--features", metavar="COLUMNS", type=names, help="to predict it from; by default all others")
    train.add_argument("--key", metavar="COLUMN", help="the column that names a row; it is no feature")
    train.add_argument(
        "--columns",
        metavar="NAME=KIND",
        type=kinds,
        help="what columns hold: photo=image[28,28,1],taken=date",
    )
    train.add_argument("--null", metavar="NUMBER", type=float, help="what stands for NULL, by default an error")
    train.add_argument(
        "--hidden", metavar="SIZES", type=sizes, help="units of the hidden layers (default: by the number of rows)"
    )
    train.add_argument("--epochs", metavar="N", type=whole(1), help="at most (default: by the number of rows)")
    train.add_argument("--batch-size", metavar="N", type=whole(1), help="rows a step (default: by the number of rows)")
    train.add_argument("--seed", metavar="N", type=whole(0), default=0, help="where chance starts (%(default)s)")
    train.add_argument("--out", metavar="FILE", help="where the model is saved; in a registry, its name")
    add_registry(train)
    train.add_argument("--resume", action="store_true", help="train the model that is there on, as it was trained")
    train.add_argument(
        "--since", metavar="VALUE", help="only with rows whose key is greater; last: than in all training so far"
    )
    train.add_argument("--json", action="store_true", help="the result as a line of JSON")
    add_config(train)

    evaluate = commands.add_parser("evaluate", description=EVALUATE)
    evaluate.set_defaults(run=run_evaluate)
    add_model(evaluate)
    add_rows(evaluate)
    evaluate.add_argument("--target", metavar="COLUMN", help="the column with the answers, by default that of training")
    evaluate.add_argument("--json", action="store_true", help="the result as a line of JSON")
    add_config(evaluate)


def run_train(options: argparse.Namespace, parser: Parser) -> None:
    """Train, save, and print what came of it."""
    with ranks() as communicator:
        _train(options, parser, communicator)


def _train(options: argparse.Namespace, parser: Parser, communicator: Any) -> None:
    import fastnn
    from fastnn.models import load_model
    from fastnn.serve.drift import reference

    registry = registry_of(options)
    model: Any = None
    known: dict[str, Any] = {}
    if options.resume:
        parser.need(options, out="--out")
        model = load_model(options.out) if registry is None else registry.load(options.out)
        known = {"features": list(model.feature_names) or None, **model.description.notes.get("trained", {})}
        _take_known(options, parser, known)
    elif options.since == LAST:
        parser.error("argument --since: the last key is what a model remembers; add --resume")
    query = query_of(options, parser, target="--target", out="--out")
    if options.table is not None:
        query, key = rows_with(options.table, options.data, options.target)
        options.key = options.key or key
    if registry is None and not (folder := Path(options.out).parent).is_dir():
        raise ValueError(f"there is no folder {str(folder)!r} for the model; make it, or check --out")
    if options.since is not None and options.key is None:
        parser.error("argument --since: it is a value of the key; add --key")
    fastnn.set_random_seed(options.seed)
    columns = options.columns if model is None else model.description.notes.get("columns")
    data = rows_since(_source(query, options, "auto" if model is None else None, columns), options, known)
    train, validation = (data, None) if options.key is None else data.split(HELD_BACK)
    try:
        with reading(communicator, data):
            if model is None:
                model, what, rows = network_of(data, options.hidden)
            else:
                what, rows = known.get("task", "a model that was trained"), 0
                say(f"{what}, from {', '.join(model.feature_names or data.columns)}")
            found = _trained(model, train, validation, options, rows, communicator)
    except NoRowsError:
        if not options.resume or options.since is None:
            raise
        say(f"there are no new rows to train on; {options.out} stays as it is")
        result({"model": options.out, "rows": 0, "epochs": 0}, options.json)
        return
    if communicator is not None and communicator.rank:
        return
    notes = {name: getattr(options, name) for name in REMEMBERED} | {"features": list(data.columns), "task": what}
    model.description.notes["trained"] = {
        name: each for name, each in notes.items() if each is not None
    } | noted(data.last)  # fmt: skip
    try:
        reference(model, train, add=options.resume)
    except (TypeError, ValueError) as error:  # the model is worth more
        say(f"no statistics of the columns are kept: {error}")
    saved: dict[str, Any] = {"model": options.out}
    if registry is None:
        model.save(options.out)
    else:
        saved["version"] = registry.save(model, options.out, metrics=found, query=query)
    result({**saved, "rows": train.rows, **found}, options.json)


def _take_known(options: argparse.Namespace, parser: Parser, known: dict[str, Any]) -> None:
    """Let a model say what the options do not; an error where they say something else."""
    for name in REMEMBERED:
        given, before = getattr(options, name), known.get(name)
        other = {"table": "query", "query": "table"}.get(name)
        if given is not None and other in known:
            before = f"--{other} {known[other]}"
        if before is None:
            continue
        if given is None or (name == "param" and not given):
            setattr(options, name, before)
        elif repr(given) != repr(before):  # as texts, in which NaN is itself
            parser.error(
                f"argument --{name}: {options.out} was trained with {before!r}, got {given!r}; leave the option out, "
                "or train a new model, without --resume"
            )


def _source(query: str, options: argparse.Namespace, prepare: Any = None, columns: Any = None) -> SQLDataset:
    from fastnn.data import SQLDataset

    return SQLDataset(
        query,
        options.data,
        target=options.target,
        features=options.features,
        params=options.param,
        key=options.key,
        null=options.null,
        columns=columns,
        prepare=prepare,
    )


def _trained(
    model: Any, train: Any, validation: Any, options: argparse.Namespace, rows: int, communicator: Any
) -> dict[str, Any]:
    """Train, until rows that are kept apart, if there are any, are not predicted better; what came of it.

    NoRowsError, before the model is changed, where there is nothing to train on.
    """
    from fastnn.callbacks import EarlyStopping

    callbacks, schedule = [reporting()], schedule_of(rows)
    if validation is not None:
        try:
            before = model.evaluate(validation, verbose=0, return_dict=True)
        except NoRowsError:
            validation = None
        else:
            if options.resume:
                say(f"before: {figures({f'val_{name}': each for name, each in before.items()})}")
            schedule = schedule_of(rows or int(validation.rows / HELD_BACK))
            callbacks.append(EarlyStopping(patience=schedule.patience, restore_best_weights=True))
    batch_size = options.batch_size or schedule.batch_size
    epochs = options.epochs or (schedule.alone if validation is None else schedule.epochs)
    until = "" if validation is None else f", or until {schedule.patience} bring nothing better for rows kept apart"
    say(f"batches of {batch_size} rows, {epochs} epochs{until}")
    history = model.fit(
        train,
        batch_size=batch_size,
        epochs=epochs,
        verbose=0,
        validation_data=validation,
        callbacks=callbacks,
        distribute=communicator,
    )  # fmt: skip
    best = len(history.epoch) - 1 if validation is None else int(np.argmin(history.history["val_loss"]))
    values = {name: float(each[best]) for name, each in history.history.items()}
    notes = model.description.notes
    before = notes.get("history", {}) if options.resume else {}
    notes["history"] = {name: [*before.get(name, []), *map(float, each)] for name, each in history.history.items()}
    return {"epochs": len(history.epoch), **values}


def reporting() -> Any:
    """A callback that says on standard error how each epoch went."""
    from fastnn.callbacks import LambdaCallback

    return LambdaCallback(on_epoch_end=lambda epoch, logs: say(f"epoch {epoch + 1}: {figures(logs or {})}"))


def rows_for(
    model: Any, options: argparse.Namespace, parser: Parser, key: str | None = None, **needed: str
) -> SQLDataset:
    """The rows of the table or the query, with the columns that the model was trained on. key: what names a row."""
    known = model.description.notes.get("trained", {})
    options.target = options.target or known.get("target")
    query = query_of(options, parser, target="--target", **needed)
    options.features, options.key, options.null = list(model.feature_names) or None, key, known.get("null")
    return _source(query, options, columns=model.description.notes.get("columns"))


def run_evaluate(options: argparse.Namespace, parser: Parser) -> None:
    """Print the loss and the metrics."""
    model = loaded(options, parser)
    data = rows_for(model, options, parser)
    with ranks() as communicator:
        found = model.evaluate(data, verbose=0, return_dict=True, distribute=communicator)
        result({"rows": data.rows, **{name: float(each) for name, each in found.items()}}, options.json)
