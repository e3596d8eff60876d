"""How small and how fast Fashion-MNIST's networks become: `python -m benchmarks.compression`.

Two networks: 784-512-512-10 with dropout 0.2, and LeNet-5 of 431,080 weights, which "Deep Compression" made 39 times
smaller; LeNet-5-1998, of 61,706, where it is named. Five of each, of five seeds, are trained on 55,000 pictures by
Adam, batches of 128; after how many epochs they are how good on the 10,000 of the test is what a smaller one is
compared with. Then the first, after 10 epochs, goes through `fastnn.compress.compress`, which trains on the same
pictures and judges by the 5,000 that are left: with its defaults for size, the whole call timed; for speed; and for
the curve once for each share of pruned weights: the file with codebooks of 4 bits, and how many of the test's pictures
the model in it has right, beside the mean of the five after as many epochs. What is no worse than that mean less 0.003
holds. Pictures are of Debian's dataset-fashion-mnist, or see fastnn.datasets.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

import fastnn
from fastnn.compress import Compressed, compress
from fastnn.datasets import fashion_mnist
from fastnn.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D
from fastnn.models import Sequential, load_model

LOSS = 0.003  # that is no loss
BITS = 4

# Of the curve: which units go first, and shares of the weights. Few filters are all needed.
HALF = (0.5,), (0.6, 0.7, 0.8, 0.85, 0.88, 0.9, 0.93)
WHOLE: tuple[Any, Any] = (), (0.9, 0.93, 0.95, 0.96, 0.97, 0.98)
BATCH = 128


def dense() -> Sequential:
    """784-512-512-10."""
    layers = [Input((784,)), Dense(512, "relu"), Dropout(0.2), Dense(512, "relu"), Dropout(0.2)]
    return Sequential([*layers, Dense(10, "softmax")])


def lenet() -> Sequential:
    """LeNet-5, as docs/tasks/clothes.md has it."""
    features = [Input((28, 28, 1)), Conv2D(6, 5, padding="same", activation="relu"), MaxPooling2D()]
    features += [Conv2D(16, 5, activation="relu"), MaxPooling2D(), Flatten(), Dropout(0.2)]
    return Sequential([*features, Dense(120, "relu"), Dense(84, "relu"), Dense(10, "softmax")])


def caffe() -> Sequential:
    """LeNet-5 as Caffe has it, and Han, Mao and Dally 2016 compressed it, on MNIST."""
    features = [Input((28, 28, 1)), Conv2D(20, 5), MaxPooling2D(), Conv2D(50, 5), MaxPooling2D(), Flatten()]
    return Sequential([*features, Dropout(0.2), Dense(500, "relu"), Dropout(0.2), Dense(10, "softmax")])


NETWORKS: dict[str, tuple[Callable[[], Sequential], tuple[int, ...], tuple[Any, Any]]] = {
    "784-512-512-10": (dense, (784,), HALF),
    "LeNet-5": (caffe, (28, 28, 1), WHOLE),
    "LeNet-5-1998": (lenet, (28, 28, 1), WHOLE),
}


class Data:
    """Pictures to train on, to judge by and to test on, in one shape."""

    def __init__(self, shape: tuple[int, ...], rows: int) -> None:
        (x, y), (x_test, y_test) = fashion_mnist.load_data()
        x, self.x_test = (each.reshape(-1, *shape).astype(np.float32) / 255 for each in (x, x_test))
        judging = rows // 12
        self.train = x[: rows - judging], y[: rows - judging]
        self.validation = x[rows - judging : rows], y[rows - judging : rows]
        self.y_test = y_test

    def accuracy(self, model: Any) -> float:
        """On the test."""
        return float((model.predict(self.x_test, verbose=0).argmax(axis=1) == self.y_test).mean())


def trained(make: Callable[[], Sequential], data: Data, seed: int, epochs: int, keep: int) -> tuple[Any, list[float]]:
    """The network after `keep` epochs, and its accuracy after each of all epochs."""
    fastnn.set_random_seed(seed)
    model, found, kept = make(), [], BytesIO()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    for epoch in range(epochs):
        model.fit(*data.train, batch_size=BATCH, epochs=1, verbose=0)
        found.append(data.accuracy(model))
        if epoch + 1 == keep:
            model.save(kept)
    kept.seek(0)
    return load_model(kept), found  # type: ignore[arg-type]


def curve(model: Any, data: Data, epochs: int, units: Any, sparsities: Any) -> Iterator[dict[str, Any]]:
    """For each share of pruned weights: how many times smaller the file is with codebooks, and how good on the test.

    epochs: those of a step, of which there are two at most: half of the units, and the weights.
    """
    plain = BytesIO()
    model.save(plain, include_optimizer=False)
    for sparsity in sparsities:
        points: list[dict[str, float]] = []

        def scoring(candidate: Any, x: Any, y: Any, points: list[dict[str, float]] = points) -> float:
            file = BytesIO()
            candidate.save(file, compression={"bits": BITS})
            size = len(file.getvalue())
            file.seek(0)
            accuracy = data.accuracy(load_model(file))  # type: ignore[arg-type]
            points.append({"bytes": size, "smaller": len(plain.getvalue()) / size, "accuracy": accuracy})
            return float((candidate.predict(x, verbose=0).argmax(axis=1) == y).mean())

        options = {"epochs": epochs, "batch_size": BATCH, "units": units, "sparsities": (sparsity,), "verbose": 0}
        found = compress(model, data.train, 0.5, validation_data=data.validation, scoring=scoring, **options)
        for number, (step, point) in enumerate(zip(found.steps, points, strict=True)):
            if step.name.endswith("of the weights"):
                yield {"step": step.name, "epochs": number * epochs, **point}


def steps(found: Compressed) -> list[dict[str, Any]]:
    """For a file."""
    return [step._asdict() for step in found.steps]


def main(arguments: list[str] | None = None) -> None:
    """The tables, to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS)[:2], help="of these: %(default)s")
    parser.add_argument("--seeds", type=int, default=5, help="of the networks beside, %(default)s")
    parser.add_argument("--epochs", type=int, default=10, help="before compress, %(default)s")
    parser.add_argument("--step-epochs", type=int, default=10, help="after each of its steps, %(default)s")
    parser.add_argument("--most", type=int, default=30, help="epochs of the networks beside, %(default)s")
    parser.add_argument("--quick", action="store_true", help="6,000 pictures, 2 seeds, few epochs: does it run?")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args(arguments)
    if given.quick:
        given.seeds, given.epochs, given.step_epochs, given.most = 2, 2, 1, 6
    figures = {}
    for name in given.networks:
        make, shape, ways = NETWORKS[name]
        figures[name] = one(name, make, Data(shape, 6000 if given.quick else 60000), ways, given)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def one(
    name: str, make: Callable[[], Sequential], data: Data, ways: tuple[Any, Any], given: argparse.Namespace
) -> dict[str, Any]:
    """All of one network, printed as it comes."""
    runs = [trained(make, data, seed, given.most, given.epochs) for seed in range(given.seeds)]
    means = [statistics.mean(each) for each in zip(*(accuracies for _, accuracies in runs), strict=True)]
    model, about = runs[0][0], {"data": data.train, "validation_data": data.validation}
    print(f"## {name}, {model.count_params():,} weights\n", flush=True)
    shown = sorted({given.epochs, *range(given.epochs, given.most + 1, 10)})
    print("| epochs | " + " | ".join(map(str, shown)) + " |\n|---|" + "--:|" * len(shown))
    print(
        f"| accuracy, mean of {given.seeds} | " + " | ".join(f"{means[k - 1]:.4f}" for k in shown) + " |\n", flush=True
    )
    result: dict[str, Any] = {"weights": model.count_params(), "means": means}
    for target in ("size", "speed"):
        begun = time.perf_counter()
        found = compress(model, **about, target=target, epochs=given.step_epochs, batch_size=BATCH, verbose=0)
        seconds = time.perf_counter() - begun
        accuracy = data.accuracy(found.model)
        before = runs[0][1][given.epochs - 1]
        print(f'compress(target="{target}"), {seconds:.0f} s; {accuracy:.4f} of the test, {before:.4f} before:\n')
        print(f"```text\n{found}\n```\n", flush=True)
        result[target] = {"seconds": seconds, "accuracy": accuracy, "steps": steps(found)}
    points = []
    print(f"| step | epochs | bytes, {BITS} bits | smaller | accuracy | mean of {given.seeds} | holds |")
    print("|---|--:|--:|--:|--:|--:|---|")
    for point in curve(model, data, given.step_epochs, *ways):
        point["epochs"] += given.epochs
        mean = means[min(int(point["epochs"]), given.most) - 1]
        holds = point["accuracy"] >= mean - LOSS
        cells = [f"{point['bytes']:,}", f"{point['smaller']:.1f}x", f"{point['accuracy']:.4f}", f"{mean:.4f}"]
        print(f"| {point['step']} | {point['epochs']} | {' | '.join(cells)} | {'yes' if holds else 'no'} |", flush=True)
        points.append(point | {"mean": mean, "holds": holds})
    print(flush=True)
    return result | {"curve": points}


if __name__ == "__main__":
    main()
