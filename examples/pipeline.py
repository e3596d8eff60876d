"""Train from a query, evaluate, register if better: one run of it, for cron or any other scheduler.

    python examples/pipeline.py --data sqlite:///shop.db --query "SELECT id, age, visits, bought FROM customers" \\
        --target bought --key id --registry sqlite:///shop.db --name bought

A fifth of the rows, by a hash of the key, is never trained on. The new model is registered, and the alias "production"
points to it, if it predicts these better than the one that was there, which "previous" points to from then on. What is
not given is that of the penguins that come with fastnn.

Exit codes: 0 a new version is in production; 10 the old one stays; 1 an error; 2 wrong options. With 1 and 2 the old
one stays too. It may be run again at any time, also after it was killed: the same rows give the same bits, which are
registered once.
"""

import argparse
import json
import sqlite3
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import fastnn
from fastnn.data import SQLDataset
from fastnn.datasets import penguins
from fastnn.layers import Dense
from fastnn.models import Sequential, load_model

PRODUCTION, PREVIOUS = "production", "previous"
NEW, STAYS, ERROR = 0, 10, 1


def rows(settings):
    """The rows to train on and those to judge by, which stay apart whatever rows come later."""
    data = SQLDataset(
        settings["query"], settings["data"], target=settings["target"], key=settings["key"], prepare="auto"
    )
    return data.split(0.2)


def train(settings, path):
    """A model that is trained on the rows as they are now, in a file."""
    fastnn.set_random_seed(settings["seed"])
    learnt, _ = rows(settings)
    model = Sequential([Dense(32, "relu"), Dense(settings["classes"], "softmax")], name=settings["name"])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(learnt, epochs=settings["epochs"], verbose=0)
    model.save(path)


def evaluate(settings, model):
    """What a model is worth on the rows that are never trained on."""
    _, judged = rows(settings)
    return {name: float(each) for name, each in model.evaluate(judged, verbose=0, return_dict=True).items()}


def decide(settings, path):
    """The metrics of the model in a file and of that in production, None where there is none, and why it is better."""
    candidate = evaluate(settings, load_model(path))
    with fastnn.registry.open(settings["registry"]) as registry:
        entries = registry.list(settings["name"])
        current = next((each for each in entries if PRODUCTION in each.aliases), None)
        if current is None:
            before, better = None, candidate["accuracy"] >= settings["least"]
        elif current.sha256 == sha256(Path(path).read_bytes()).hexdigest():
            before, better = candidate, False  # the rows are those of the last run
        else:
            before = evaluate(settings, registry.load(settings["name"], PRODUCTION))
            better = candidate["accuracy"] >= max(before["accuracy"] + settings["margin"], settings["least"])
    return {"candidate": candidate, "production": before, "better": better}


def register(settings, path, metrics):
    """Put a model into production; gives its version."""
    digest, name = sha256(Path(path).read_bytes()).hexdigest(), settings["name"]
    with fastnn.registry.open(settings["registry"]) as registry:
        entries = registry.list(name)
        # A run that was killed may have saved it already.
        version = next((each.version for each in entries if each.sha256 == digest), None)
        if version is None:
            version = registry.save(load_model(path), name, metrics=metrics, query=settings["query"])
        if any(PRODUCTION in each.aliases and each.version != version for each in entries):
            registry.alias(name, PREVIOUS, PRODUCTION)
        registry.alias(name, PRODUCTION, version)
    return version


def run(settings):
    """All of it; gives the exit code."""
    path = Path(settings["work"]) / f"{settings['name']}.fastnn"
    train(settings, path)
    found = decide(settings, path)
    version = register(settings, path, found["candidate"]) if found["better"] else None
    print(json.dumps({"name": settings["name"], "version": version, **found}), flush=True)
    print(f"accuracy {found['candidate']['accuracy']:.3f}:", "in production" if version else "the old version stays")
    return NEW if version else STAYS


def options(given=None):
    """The settings, as a dict that any scheduler can hand on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="sqlite:///pipeline.db", help="the database with the rows")
    parser.add_argument("--query", default="SELECT * FROM penguins", help="the rows, with target and key")
    parser.add_argument("--target", default="species")
    parser.add_argument("--key", default="id", help="what names a row, for good")
    parser.add_argument("--classes", type=int, default=3, help="of the target (%(default)s)")
    parser.add_argument("--registry", default="sqlite:///pipeline.db", help="as fastnn.registry.open takes it")
    parser.add_argument("--name", default="penguins", help="of the model")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--least", type=float, default=0.0, help="the accuracy below which nothing is registered")
    parser.add_argument("--margin", type=float, default=0.001, help="by which a new one must be more accurate")
    parser.add_argument("--work", default=".", help="the folder for the model that is tried")
    return vars(parser.parse_args(given))


def demo(path):
    """Make the table of penguins, where there is none."""
    columns = penguins.load_columns()
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    with closing(sqlite3.connect(path)) as con, con:
        con.execute(f"CREATE TABLE IF NOT EXISTS penguins (id INTEGER PRIMARY KEY, {', '.join(columns)})")
        if not con.execute("SELECT count(*) FROM penguins").fetchone()[0]:
            marks = ", ".join("?" * (1 + len(columns)))
            plain = ([None if each in ("", None) or each != each else each for each in row] for row in values)
            con.executemany(f"INSERT INTO penguins VALUES ({marks})", ([None, *row] for row in plain))


if __name__ == "__main__":
    settings = options()
    try:
        if settings["data"] == "sqlite:///pipeline.db":
            demo("pipeline.db")
        code = run(settings)
    except (OSError, ImportError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = ERROR
    sys.exit(code)
