"""How well fastnn learns beside Keras: the same script, five times each, `python -m benchmarks.accuracy --help`.

Pictures, a series, texts and spoken words (accuracy_data.py), networks of convolutions and recurrences. A script is
written once, in Keras's words, and run with fastnn's modules and with Keras's, from seeds 0, 1, ...: scores on rows
that training never saw. fastnn's mean is to be no worse than Keras's by more than a standard error of the difference.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import benchmarks

if __name__ == "__main__" and not benchmarks.prepare_blas():
    raise SystemExit(benchmarks.TOO_LATE)

from benchmarks import accuracy_data
from benchmarks.accuracy_data import Data
from benchmarks.report import machine, write_readme


class Task(NamedTuple):
    """A network, by Keras's names in a module of layers, and how it is trained. Scores are accuracies, but for mae."""

    what: str
    data: Callable[[], Data]
    network: Callable[[Any], Sequence[Any]]
    loss: str
    batch_size: int
    epochs: int
    metric: str = "accuracy"


def convolutions(layers: Any) -> Sequence[Any]:
    return [
        layers.Input((8, 8, 1)),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.2),
        layers.Dense(10, activation="softmax"),
    ]


def lenet(layers: Any) -> Sequence[Any]:
    """LeNet-5 of LeCun et al. 1998, with what is usual today: ReLU, maxima, and dropout before the dense layers."""
    return [
        layers.Input((28, 28, 1)),
        layers.Conv2D(6, 5, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.2),
        layers.Dense(120, activation="relu"),
        layers.Dense(84, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]


def series(layers: Any) -> Sequence[Any]:
    return [layers.Input((14, 4)), layers.GRU(24), layers.Dense(1), layers.Rescaling(7.4, 16.4)]


def sentences(layers: Any) -> Sequence[Any]:
    return [
        layers.Input((40,)),
        layers.Embedding(5000, 32, mask_zero=True),
        layers.Bidirectional(layers.LSTM(24)),
        layers.Dropout(0.5),
        layers.Dense(1, activation="sigmoid"),
    ]


def words_by_recurrence(layers: Any) -> Sequence[Any]:
    return [layers.Input((80, 40)), layers.GRU(48), layers.Dropout(0.3), layers.Dense(10, activation="softmax")]


def words_by_convolution(layers: Any) -> Sequence[Any]:
    return [
        layers.Input((80, 40)),
        layers.Conv1D(32, 5, activation="relu"),
        layers.MaxPooling1D(2),
        layers.Conv1D(32, 5, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dropout(0.3),
        layers.Dense(10, activation="softmax"),
    ]


CROSS_ENTROPY = "sparse_categorical_crossentropy"
TASKS = {
    "digits": Task("digits of 8 x 8, two convolutions", accuracy_data.digits, convolutions, CROSS_ENTROPY, 32, 20),
    "fashion": Task("Fashion-MNIST, LeNet-5", accuracy_data.fashion, lenet, CROSS_ENTROPY, 64, 15),
    "weather": Task("the next day's warmth in Seattle, GRU", accuracy_data.weather, series, "mae", 32, 60, "mae"),
    "reviews": Task(
        "well-disposed or not, bidirectional LSTM", accuracy_data.reviews, sentences, "binary_crossentropy", 64, 3
    ),
    "speech-gru": Task("ten spoken words, GRU", accuracy_data.speech, words_by_recurrence, CROSS_ENTROPY, 32, 40),
    "speech-cnn": Task("ten spoken words, 1-D CNN", accuracy_data.speech, words_by_convolution, CROSS_ENTROPY, 32, 40),
}


def score(library: Any, task: Task, data: Data, seed: int) -> tuple[float, float]:
    """Of the test rows, after training from a seed; and the seconds that training took."""
    library.utils.set_random_seed(seed)
    model = library.Sequential(task.network(library.layers))
    model.compile("adam", task.loss, metrics=[task.metric])
    start = time.perf_counter()
    model.fit(data.x, data.y, batch_size=task.batch_size, epochs=task.epochs, verbose=0)
    seconds = time.perf_counter() - start
    return float(model.evaluate(data.x_test, data.y_test, verbose=0)[1]), seconds


def measure(name: str, libraries: dict[str, Any], seeds: int) -> dict[str, Any]:
    task = TASKS[name]
    try:
        data = task.data()
    except LookupError as missing:
        return {"name": name, "what": task.what, "missing": str(missing)}
    got = {side: [score(library, task, data, seed) for seed in range(seeds)] for side, library in libraries.items()}
    return {
        "name": name,
        "what": task.what,
        "metric": task.metric,
        "rows": [len(data.x), len(data.x_test)],
        "epochs": task.epochs,
        "scores": {side: [each for each, _ in runs] for side, runs in got.items()},
        "seconds": {side: statistics.median(each for _, each in runs) for side, runs in got.items()},
    }


def error(scores: Sequence[float]) -> float:
    """The standard error of their mean."""
    return statistics.stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else 0.0


def report(results: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| task | rows, test rows | epochs | score | fastnn | Keras |",
        "|---|--:|--:|---|--:|--:|",
    ]
    for result in results:
        if "missing" in result:
            lines.append(f"| {result['what']} | not here: {result['missing']} | | | | |")
            continue
        cells = []
        for side in ("fastnn", "keras"):
            scores = result["scores"].get(side)
            cells.append(f"{statistics.mean(scores):.4f} +- {error(scores):.4f}" if scores else "-")
        rows = ", ".join(f"{count:,}" for count in result["rows"])
        lines.append(f"| {result['what']} | {rows} | {result['epochs']} | {result['metric']} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", ", ".join(f"{name} {value}" for name, value in machine().items())]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="task", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--side", choices=["both", "fastnn", "keras"], default="both")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--write-readme", action="store_true", help="put the table in README.md")
    given = parser.parse_args()
    if unknown := set(given.names) - set(TASKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(TASKS)}")
    os.environ.setdefault("KERAS_BACKEND", "jax")
    sides = ["fastnn", "keras"] if given.side == "both" else [given.side]
    libraries = {side: import_module(side) for side in sides}
    results = []
    for name in given.names or TASKS:
        results.append(measure(name, libraries, given.seeds))
        print(json.dumps(results[-1]), flush=True)
    text = report(results)
    print(text)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if given.write_readme:
        write_readme(text, "accuracy")


if __name__ == "__main__":
    main()
