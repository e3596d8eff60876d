"""Train the models of fastnn.zoo and write their files.

    python scripts/zoo.py [digits iris ...] [--to FOLDER] [--rows FILE]

By default all of them, into fastnn/zoo. Each has a function here, which gives the trained model, the rows that it was
not trained on, and what its card says; `write` makes the file. The kernels are those that every x86-64 processor has,
so that the bytes are the same on each of them; FASTNN_ISA=avx2 is faster, for a try. iris, wine and breast_cancer need
scikit-learn, for its data; fashion_mnist what ``fastnn.datasets.fashion_mnist`` finds, and some minutes.

--rows keeps some of these rows, and what the models predict for them, in an archive: tests/zoo/rows.npz.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":  # before fastnn is imported; not of who imports this
    os.environ.setdefault("FASTNN_ISA", "baseline")

import numpy as np

import fastnn
from fastnn import Input, Model, Sequential, applications
from fastnn.compress import PruneLowMagnitude, strip
from fastnn.datasets import (
    diamonds as of_diamonds,
    digits as of_digits,
    fashion_mnist as of_clothes,
    penguins as of_penguins,
)
from fastnn.layers import (
    Activation,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    MaxPooling2D,
    Normalization,
    Rescaling,
    Reshape,
    Scaler,
    StringLookup,
)
from fastnn.models import load_model
from fastnn.optimizers import Adam
from fastnn.optimizers.schedules import CosineDecay

ZOO = Path(__file__).resolve().parents[1] / "fastnn" / "zoo"
SCRIPT = "scripts/zoo.py"


class Trained(NamedTuple):
    """A model, the rows to judge it by, and what its card says of it. bits: of the weights in its file."""

    model: Model
    x: Any
    y: Any
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    card: dict[str, Any]
    bits: int = 5


def digits() -> Trained:
    """A small convolutional network on 8 x 8 pixels."""
    (x, y), (x_test, y_test) = of_digits.load_data()
    model = Sequential(
        [
            Input((64,)),
            Rescaling(1 / 16),
            Reshape((8, 8, 1)),
            Conv2D(16, 3, padding="same", activation="relu"),
            Conv2D(24, 3, activation="relu"),
            MaxPooling2D(),
            Flatten(),
            Dropout(0.4),
            Dense(10, "softmax"),
        ],
        name="digits",
    )
    model.compile(Adam(CosineDecay(0.003, 45 * 60)), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=60, verbose=0)
    card = {
        "task": "which digit a small picture of handwriting shows",
        "inputs": "64 numbers: the pixels of 8 x 8, row by row, 0 to 16, as fastnn.datasets.digits has them",
        "outputs": "the probability of each class",
        "architecture": "two convolutions of 3 x 3, pooling, Dense",
        "data": "1,797 digits, Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49",
        "licence": "CC BY 4.0",
    }
    return Trained(model, x_test, y_test, tuple("0123456789"), (), card)


def _of_sklearn(name: str, units: int, hidden: int, decay: float, epochs: int, card: dict[str, Any]) -> Trained:
    """A network of one hidden layer on a table of scikit-learn's."""
    from sklearn import datasets

    table = getattr(datasets, f"load_{name}")()
    order = np.random.RandomState(113).permutation(len(table.target))
    x, y = table.data[order].astype(np.float32), table.target[order].astype(np.uint8)
    end = len(y) * 4 // 5
    scale = Normalization()
    scale.adapt(x[:end])
    last = Dense(1, "sigmoid") if units == 1 else Dense(units, "softmax")
    model = Sequential([Input((x.shape[1],)), scale, Dense(hidden, "relu"), last], name=name)
    loss = "binary_crossentropy" if units == 1 else "sparse_categorical_crossentropy"
    model.compile(fastnn.optimizers.AdamW(0.01, weight_decay=decay), loss, metrics=["accuracy"])
    model.fit(x[:end], y[:end], batch_size=16, epochs=epochs, verbose=0)
    columns = tuple(map(str, table.feature_names))
    card["architecture"] = f"a hidden layer of {hidden} units behind a normalisation"
    card["inputs"] = f"{len(columns)} numbers, in the order of the data: {', '.join(columns)}"
    return Trained(model, x[end:], y[end:], tuple(map(str, table.target_names)), columns, card)


def iris() -> Trained:
    """Three species by four measures."""
    card = {
        "task": "which species an iris is of",
        "outputs": "the probability of each class",
        "data": "150 flowers, Fisher 1936, https://doi.org/10.24432/C56C76, as scikit-learn has them",
        "licence": "CC BY 4.0",
    }
    return _of_sklearn("iris", 3, 16, 0.01, 100, card)


def wine() -> Trained:
    """Three cultivars by thirteen measures."""
    card = {
        "task": "which of three cultivars an Italian wine is made of",
        "outputs": "the probability of each class",
        "data": "178 wines, Aeberhard and Forina 1991, https://doi.org/10.24432/C5PC7J, as scikit-learn has them",
        "licence": "CC BY 4.0",
    }
    return _of_sklearn("wine", 3, 16, 0.01, 60, card)


def breast_cancer() -> Trained:
    """Benign or malignant, by thirty measures."""
    card = {
        "task": "whether a breast mass is benign, by measures of its cells; to learn from, not for a diagnosis",
        "outputs": "the probability that it is benign",
        "data": "569 masses, Wolberg, Mangasarian, Street and Street 1993, https://doi.org/10.24432/C5DW2B, as "
        "scikit-learn has them",
        "licence": "CC BY 4.0",
    }
    return _of_sklearn("breast_cancer", 1, 16, 0.03, 60, card)


def penguins() -> Trained:
    """Three species by measures and texts, of which some are missing."""
    (x, y), (x_test, y_test) = of_penguins.load_data()
    inputs, parts = {}, []
    for name in ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"):
        inputs[name] = Input((1,), name=name)
        scale = Scaler(missing="mean")
        scale.adapt(x[name])
        parts.append(scale(inputs[name]))
    for name in ("island", "sex"):
        inputs[name] = Input((1,), name=name, dtype="string")
        code = StringLookup(output_mode="one_hot")
        code.adapt(x[name])
        parts.append(code(inputs[name]))
    model = Model(inputs, Dense(3, "softmax")(Dense(16, "relu")(Concatenate()(parts))), name="penguins")
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, x_test = ({name: rows[name] for name in inputs} for rows in (x, x_test))
    model.fit(x, y, batch_size=16, epochs=40, verbose=0)
    card = {
        "task": "which species a penguin is of",
        "inputs": "a dict or frame of columns: island and sex, texts, and bill_length_mm, bill_depth_mm, "
        'flipper_length_mm, body_mass_g; NaN or "" where one is missing',
        "outputs": "the probability of each class",
        "architecture": "columns scaled and coded, a hidden layer of 16 units",
        "data": "344 penguins, Gorman, Williams and Fraser 2014, https://doi.org/10.1371/journal.pone.0090081",
        "licence": "CC0 1.0",
    }
    return Trained(model, x_test, y_test, of_penguins.get_label_names(), (), card)


def diamonds() -> Trained:
    """The price in dollars, by measures and grades. It learns the logarithm, and gives the price."""
    (x, y), (x_test, y_test) = of_diamonds.load_data()
    inputs, parts = {}, []
    for name in ("carat", "depth", "table", "x", "y", "z"):
        inputs[name] = Input((1,), name=name)
        scale = Scaler()
        scale.adapt(x[name])
        parts.append(scale(inputs[name]))
    for name in ("cut", "color", "clarity"):
        inputs[name] = Input((1,), name=name, dtype="string")
        code = StringLookup()
        code.adapt(x[name])
        parts.append(Flatten()(Embedding(code.vocabulary_size(), 2)(code(inputs[name]))))
    h = Dense(32, "relu")(Dense(32, "relu")(Concatenate()(parts)))
    log_price = Dense(1, bias_initializer=fastnn.initializers.Constant(8.0))(h)
    learner = Model(inputs, log_price)
    learner.compile(Adam(CosineDecay(0.003, 65 * 100)), "mae")
    x, x_test = ({name: rows[name] for name in inputs} for rows in (x, x_test))
    log_y = np.log(y).round(6)  # the same on all processors, whose logarithms differ in the last bit
    learner.fit(x, log_y, batch_size=32, epochs=100, verbose=0)
    model = Model(inputs, Activation("exponential")(log_price), name="diamonds")
    model.compile(Adam(), "mape", metrics=["mape"])
    card = {
        "task": "what a round cut diamond costs",
        "inputs": "a dict or frame of columns: carat, depth, table, x, y, z, numbers, and cut, color, clarity, texts",
        "outputs": "the price in US dollars of 2008",
        "architecture": "numbers scaled, texts embedded, two hidden layers of 32 units",
        "data": "2,569 diamonds, every 21st row of ggplot2's table",
        "licence": "MIT",
    }
    return Trained(model, x_test, y_test, (), (), card, bits=6)


def mackey_glass_series(steps: int) -> Any:
    """x' = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x, by Euler's steps of 0.1, each tenth from 200 on.

    Chaos: the power is made of products, which are the same everywhere. Source: Mackey and Glass 1977.
    """
    x = [1.2] * 171
    for _ in range(10 * (steps + 200)):
        late = x[-171]
        square = late * late
        fourth = square * square
        x.append(x[-1] + 0.1 * (0.2 * late / (1 + fourth * fourth * square) - 0.1 * x[-1]))
    return np.array(x[-10 * steps :: 10], np.float32)


def mackey_glass() -> Trained:
    """A series, six steps on, by a temporal convolutional network."""
    steps, ahead, end = 32, 6, 3000
    series = mackey_glass_series(4000)
    x = np.lib.stride_tricks.sliding_window_view(series, steps)[:-ahead, :, None].copy()
    y = series[steps + ahead - 1 :, None]
    tcn = applications.TCN(
        input_shape=(steps, 1), classes=1, classifier_activation=None, filters=12, kernel_size=3, num_blocks=3
    )
    scale = Normalization(mean=[0.93], variance=[0.05])  # as its are, nearly
    model = Sequential([Input((steps, 1)), scale, tcn], name="mackey_glass")
    model.compile(Adam(CosineDecay(0.005, 93 * 60)), "mse", metrics=["mae"])
    cut = end - steps - ahead + 1
    model.fit(x[:cut], y[:cut], batch_size=32, epochs=60, verbose=0)
    card = {
        "task": "a chaotic series, six steps on; its standard deviation is 0.22",
        "inputs": "(32, 1): the last 32 values of the series, a step of time apart",
        "outputs": "the value six steps behind the last, in the unit of the series",
        "architecture": "fastnn.applications.TCN: 3 blocks of two causal convolutions with 12 filters",
        "data": "made by the equation of Mackey and Glass 1977, with a delay of 17",
        "licence": "none: numbers of an equation",
    }
    return Trained(model, x[end:], y[end:], (), (), card, bits=7)


def fashion_mnist() -> Trained:
    """LeNet-5, of whose weights three quarters are pruned."""
    (x, y), (x_test, y_test) = of_clothes.load_data()
    lenet = applications.LeNet5(input_shape=(28, 28, 1), activation="relu")
    model = Sequential([Input((28, 28)), Reshape((28, 28, 1)), Rescaling(1 / 255), lenet], name="fashion_mnist")
    epochs, steps = 24, 469
    model.compile(Adam(CosineDecay(0.002, epochs * steps)), "sparse_categorical_crossentropy", metrics=["accuracy"])
    pruning = PruneLowMagnitude(0.75, begin_step=2 * steps, end_step=12 * steps)
    model.fit(x, y, batch_size=128, epochs=epochs, callbacks=[pruning], verbose=0)
    model = strip(model)
    model.compile(Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    card = {
        "task": "which kind of clothes a picture shows",
        "inputs": "(28, 28): grey pixels, 0 to 255, as fastnn.datasets.fashion_mnist has them",
        "outputs": "the probability of each class",
        "architecture": "fastnn.applications.LeNet5 with ReLU, three quarters of its weights pruned",
        "data": "70,000 pictures, Xiao, Rasul and Vollgraf 2017, https://arxiv.org/abs/1708.07747",
        "licence": "MIT",
    }
    return Trained(model, x_test, y_test, of_clothes.get_label_names(), (), card, bits=4)


RECIPES: dict[str, Callable[[], Trained]] = {
    each.__name__: each for each in (breast_cancer, diamonds, digits, fashion_mnist, iris, mackey_glass, penguins, wine)
}


def train(name: str) -> Trained:
    """The model, from the same seed always."""
    fastnn.set_random_seed(18)
    return RECIPES[name]()


def write(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Train a model and write its file. What its card says is measured on the weights as the file has them.

    The path, and rows to test the file by: at most 120, of large ones 20.
    """
    trained = train(name)
    path = folder / f"{name}.fastnn"
    how = {"bits": trained.bits, "method": "xz"}
    built = trained.model.description
    built.columns = trained.columns
    if trained.classes:
        built.notes["classes"] = [*trained.classes]
    trained.model.save(path, compression=how)
    model = load_model(path)
    figures = model.evaluate(trained.x, trained.y, verbose=0, return_dict=True)
    metrics = {each: round(value, 4) for each, value in figures.items() if each != "loss"}
    model.description.notes["card"] = trained.card | {"script": SCRIPT, "metrics": metrics, "rows": len(trained.y)}
    model.save(path, compression=how)  # what was rounded stays as it is
    if isinstance(trained.x, dict):
        return path, {}  # the tests draw these rows themselves
    most = 120 if trained.x[0].size < 100 else 20
    x, y = trained.x[:most], np.asarray(trained.y)[:most]
    return path, {f"{name}/x": x, f"{name}/y": y, f"{name}/predicted": model.predict(x, verbose=0)}


def main(arguments: list[str] | None = None) -> int:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--to", type=Path, default=ZOO, metavar="FOLDER", help="where the files go")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="an archive of rows for the tests")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(RECIPES):
        parser.error(f"there is no recipe {', '.join(sorted(unknown))}; there is {', '.join(RECIPES)}")
    kept: dict[str, Any] = {}
    if options.rows is not None and options.rows.exists():
        with np.load(options.rows) as arrays:
            kept = {each: arrays[each] for each in arrays.files}
    for name in options.names or RECIPES:
        path, rows = write(name, options.to)
        kept |= rows
        card = load_model(path).description.notes["card"]
        print(f"{name}: {path.stat().st_size:,} bytes, {card['metrics']}", flush=True)
    if options.rows is not None:
        np.savez_compressed(options.rows, **kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
