"""``fastnn train`` and ``fastnn evaluate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn.cli.output import result
from fastnn.cli.parser import Parser, add_config, add_rows, names, sizes, whole

if TYPE_CHECKING:
    from fastnn.data import Source, SQLDataset

TRAIN = """\
Trains a network on the rows of a query, and saves it.

What the target holds decides what is learnt: 0 and 1, one of two; whole numbers from 0
on, at most 100 of them, one of several; anything else, a number. Features are
standardised, as a part of the model, which so takes rows as they are. With --key a part
of the rows, drawn by a hash of it, is kept apart, and training ends when it is not
predicted better any more.
"""

TRAIN_EXAMPLE = """\
examples:
  fastnn train --data sqlite:///shop.db --query "SELECT id, age, visits, bought FROM customers" \\
      --target bought --key id --hidden 64,32 --epochs 20 --out model.fastnn
  fastnn train --config shop.toml     of which a line is: target = "bought"
"""

EVALUATE = """\
Prints the loss and the metrics of a saved model on the rows of a query, which have the
columns that it was trained on.
"""

CLASSES = 100  # of a target at most; more are numbers
HELD_BACK = 0.2  # of the rows, to see when training should end
PATIENCE = 10  # epochs without an improvement there


class Task(NamedTuple):
    """What a network is to say of a row."""

    what: str
    outputs: int
    activation: str
    loss: str
    metrics: tuple[str, ...]


def add_to(commands: Any) -> None:
    """Add the commands to the others."""
    train = commands.add_parser("train", description=TRAIN, epilog=TRAIN_EXAMPLE)
    train.set_defaults(run=run_train)
    add_rows(train)
    train.add_argument("--target", metavar="COLUMN", help="the column to predict")
    train.add_argument("--features", metavar="COLUMNS", type=names, help="to predict it from; by default all others")
    train.add_argument("--key", metavar="COLUMN", help="the column that names a row; it is no feature")
    train.add_argument("--null", metavar="NUMBER", type=float, help="what stands for NULL, by default an error")
    train.add_argument(
        "--hidden", metavar="SIZES", type=sizes, default=[64, 32], help="units of the hidden layers (default: 64,32)"
    )
    train.add_argument("--epochs", metavar="N", type=whole(1), default=20, help="at most (default: %(default)s)")
    train.add_argument("--batch-size", metavar="N", type=whole(1), default=256, help="rows a step (%(default)s)")
    train.add_argument("--seed", metavar="N", type=whole(0), default=0, help="where chance starts (%(default)s)")
    train.add_argument("--out", metavar="FILE", type=Path, help="where the model is saved")
    train.add_argument("--json", action="store_true", help="the result as a line of JSON")
    add_config(train)

    evaluate = commands.add_parser("evaluate", description=EVALUATE)
    evaluate.set_defaults(run=run_evaluate)
    evaluate.add_argument("model", metavar="MODEL", help="the file that train or model.save wrote")
    add_rows(evaluate)
    evaluate.add_argument("--target", metavar="COLUMN", help="the column with the answers, by default that of training")
    evaluate.add_argument("--json", action="store_true", help="the result as a line of JSON")
    add_config(evaluate)


def run_train(options: argparse.Namespace, parser: Parser) -> None:
    """Train, save, and print what came of it."""
    import fastnn
    from fastnn.callbacks import EarlyStopping
    from fastnn.data import SQLDataset
    from fastnn.layers import Dense, Input, Normalization
    from fastnn.models import Sequential

    parser.need(options, data="--data", query="--query", target="--target", out="--out")
    if not options.out.parent.is_dir():
        raise ValueError(f"there is no folder {str(options.out.parent)!r} for the model; make it, or check --out")
    fastnn.set_random_seed(options.seed)
    data = SQLDataset(
        options.query,
        options.data,
        target=options.target,
        features=options.features,
        params=options.param,
        key=options.key,
        null=options.null,
    )
    train: Source = data
    validation: Source | None = None
    callbacks = []
    if options.key is not None:
        train, validation = data.split(HELD_BACK)
        callbacks.append(EarlyStopping(patience=PATIENCE, restore_best_weights=True))
    scale = Normalization()
    scale.adapt(train)
    task = _task(train)
    model = Sequential([Input((len(data.columns),)), scale])
    for units in options.hidden:
        model.add(Dense(units, activation="relu"))
    model.add(Dense(task.outputs, activation=task.activation))
    model.compile(optimizer="adam", loss=task.loss, metrics=list(task.metrics))
    if sys.stderr is not None:
        print(f"{task.what}, from {', '.join(data.columns)}", file=sys.stderr, flush=True)
    history = model.fit(
        train, batch_size=options.batch_size, epochs=options.epochs, verbose=0, validation_data=validation,
        callbacks=[*callbacks, reporting()],
    )  # fmt: skip
    model.description.notes["trained"] = {
        "query": options.query, "target": options.target, "key": options.key or "", "task": task.what,
    }  # fmt: skip
    model.save(options.out)
    best = len(history.epoch) - 1
    if validation is not None:
        best = int(np.argmin(history.history["val_loss"]))
    values = {name: float(each[best]) for name, each in history.history.items()}
    result({"model": str(options.out), "rows": train.rows, "epochs": len(history.epoch), **values}, options.json)


def reporting() -> Any:
    """A callback that says on standard error how each epoch went."""
    from fastnn.callbacks import LambdaCallback

    def said(epoch: int, logs: Any) -> None:
        if sys.stderr is not None:
            figures = ", ".join(f"{name} {float(each):.5g}" for name, each in (logs or {}).items())
            print(f"epoch {epoch + 1}: {figures}", file=sys.stderr, flush=True)

    return LambdaCallback(on_epoch_end=said)


def _task(source: Source) -> Task:
    """What the target's values call for."""
    seen: set[float] = set()
    for page in source.pages(1024):
        assert page.y is not None
        if len(seen) <= CLASSES:
            seen.update(np.unique(page.y).tolist())
    if seen == {0.0, 1.0}:
        return Task("one of two classes", 1, "sigmoid", "binary_crossentropy", ("accuracy",))
    count = len(seen)
    if 2 < count <= CLASSES and seen == set(map(float, range(count))):
        return Task(f"one of {count} classes", count, "softmax", "sparse_categorical_crossentropy", ("accuracy",))
    return Task("a number", 1, "linear", "mean_squared_error", ("mae",))


def run_evaluate(options: argparse.Namespace, parser: Parser) -> None:
    """Print the loss and the metrics."""
    from fastnn.data import SQLDataset
    from fastnn.models import load_model

    model = load_model(options.model)
    trained = model.description.notes.get("trained", {})
    options.target = options.target or trained.get("target")
    parser.need(options, data="--data", query="--query", target="--target")
    features = list(model.description.columns) or None
    data: SQLDataset = SQLDataset(
        options.query, options.data, target=options.target, features=features, params=options.param
    )
    found = model.evaluate(data, verbose=0, return_dict=True)
    result({"rows": data.rows, **{name: float(each) for name, each in found.items()}}, options.json)
