"""What a network is made of: one list of layers that every side reads in its own words.

A layer says what a row becomes, how its weights begin, in Keras's order, and how many multiplications a row takes. Rows
are (features,), (steps, features), (height, width, channels) or, of ids, (steps,). Biases of a perceptron begin with
zeros; those of other networks with small numbers, since zeros would hide a wrong order of gates.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Row = tuple[int, ...]
FORGET = 1.0  # what the bias of an LSTM's second gate begins with, as in Keras


class Dense(NamedTuple):
    """activation(x . kernel + bias)"""

    units: int
    activation: str = "linear"

    def given(self, row: Row) -> Row:
        return (self.units,)

    def weights(self, row: Row, random: np.random.Generator) -> Iterator[Array]:
        yield glorot(random, (row[0], self.units))
        yield bias(random, self.units)

    def products(self, row: Row) -> int:
        return row[0] * self.units


class Conv(NamedTuple):
    """A kernel of `size` along each axis, moved by one, without a border."""

    filters: int
    size: int
    activation: str = "relu"

    def given(self, row: Row) -> Row:
        return (*(n - self.size + 1 for n in row[:-1]), self.filters)

    def weights(self, row: Row, random: np.random.Generator) -> Iterator[Array]:
        yield glorot(random, (*[self.size] * len(row[:-1]), row[-1], self.filters))
        yield bias(random, self.filters)

    def products(self, row: Row) -> int:
        return prod(self.given(row)) * self.size ** len(row[:-1]) * row[-1]


class Pool(NamedTuple):
    """The largest of each window of `size` along each axis; what fills none is left out."""

    size: int = 2

    def given(self, row: Row) -> Row:
        return (*(n // self.size for n in row[:-1]), row[-1])

    def weights(self, row: Row, random: np.random.Generator) -> Iterator[Array]:
        yield from ()

    def products(self, row: Row) -> int:
        return 0


class GlobalAverage(NamedTuple):
    """The mean over all axes but the last."""

    def given(self, row: Row) -> Row:
        return row[-1:]

    def weights(self, row: Row, random: np.random.Generator) -> Iterator[Array]:
        yield from ()

    def products(self, row: Row) -> int:
        return 0


class Flatten(NamedTuple):
    """One axis, the last of the old ones changing fastest."""

    def given(self, row: Row) -> Row:
        return (prod(row),)

    def weights(self, row: Row, random: np.random.Generator) -> Iterator[Array]:
        yield from ()

    def products(self, row: Row) -> int:
        return 0


class Embedding(NamedTuple):
    """A row of `features` numbers for each of `words` ids."""

    words: int
    features: int

    def given(self, row: Row) -> Row:
        return (*row, self.features)

    def weights(self, row: Row, random: np.random.Generator) -> Iterator[Array]:
        yield random.uniform(-0.05, 0.05, (self.words, self.features)).astype(np.float32)

    def products(self, row: Row) -> int:
        return 0


class LSTM(NamedTuple):
    """The last h; gates i, f, c, o."""

    units: int

    def given(self, row: Row) -> Row:
        return (self.units,)

    def weights(self, row: Row, random: np.random.Generator) -> Iterator[Array]:
        yield glorot(random, (row[1], 4 * self.units))
        yield orthogonal(random, self.units, 4 * self.units)
        begin = bias(random, 4 * self.units)
        begin[self.units : 2 * self.units] += FORGET
        yield begin

    def products(self, row: Row) -> int:
        return row[0] * (row[1] + self.units) * 4 * self.units


class GRU(NamedTuple):
    """The last h; gates z, r, h, reset after the product, so that there are two biases."""

    units: int

    def given(self, row: Row) -> Row:
        return (self.units,)

    def weights(self, row: Row, random: np.random.Generator) -> Iterator[Array]:
        yield glorot(random, (row[1], 3 * self.units))
        yield orthogonal(random, self.units, 3 * self.units)
        yield bias(random, 2, 3 * self.units)

    def products(self, row: Row) -> int:
        return row[0] * (row[1] + self.units) * 3 * self.units


class Block(NamedTuple):
    """Attention of `heads` that look at the row itself, and two dense layers; after each the row is added, then each
    step normalised. The first kernel's columns are `heads` times `key`, as many as the features of a step.
    """

    heads: int
    key: int
    feed_forward: int

    def given(self, row: Row) -> Row:
        return row

    def weights(self, row: Row, random: np.random.Generator) -> Iterator[Array]:
        features, (heads, key) = row[1], self[:2]
        for _ in "query", "key", "value":
            yield glorot(random, (features, heads * key)).reshape(features, heads, key)
            yield bias(random, heads, key)
        yield glorot(random, (heads * key, features)).reshape(heads, key, features)
        yield bias(random, features)
        yield from (np.ones(features, np.float32), bias(random, features))
        for inputs, units in ((features, self.feed_forward), (self.feed_forward, features)):
            yield glorot(random, (inputs, units))
            yield bias(random, units)
        yield from (np.ones(features, np.float32), bias(random, features))

    def products(self, row: Row) -> int:
        steps, features = row
        inner = self.heads * self.key
        return steps * (4 * features * inner + 2 * steps * inner + 2 * features * self.feed_forward)


Layer = Dense | Conv | Pool | GlobalAverage | Flatten | Embedding | LSTM | GRU | Block


def of_input(layer: Layer, row: Row) -> int:
    """The products whose gradient by the layer's input nobody needs where that is the data."""
    if isinstance(layer, (LSTM, GRU)):
        return layer.products(row) * row[1] // (row[1] + layer.units)
    if isinstance(layer, Block):
        return 3 * row[0] * row[1] * layer.heads * layer.key
    return layer.products(row)


class Network(NamedTuple):
    """`text` is what the tables call it."""

    text: str
    inputs: Row
    layers: tuple[Layer, ...]

    @property
    def rows(self) -> list[tuple[Layer, Row]]:
        """Each layer, and the row that it reads."""
        found, row = [], self.inputs
        for layer in self.layers:
            found.append((layer, row))
            row = layer.given(row)
        return found

    @property
    def units(self) -> int:
        """Of the last layer, which is dense."""
        return self.layers[-1].given(())[0]

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """Of a perceptron: inputs, and units of each layer."""
        dense = all(isinstance(layer, Dense) for layer in self.layers) and len(self.inputs) == 1
        return (*self.inputs, *(layer.given(())[0] for layer in self.layers)) if dense else None

    @property
    def ids(self) -> int:
        """How many ids there are, where the rows are ids."""
        first = self.layers[0]
        return first.words if isinstance(first, Embedding) else 0

    @property
    def products(self) -> int:
        """Multiplications in one row's way forward; as many additions go with them."""
        return sum(layer.products(row) for layer, row in self.rows)

    @property
    def without_gradient(self) -> int:
        """Those of the gradient by the data, which are left out; an embedding's is that of its weights."""
        layer, row = self.rows[0]
        return of_input(layer, row)

    def initial_weights(self) -> list[Array]:
        """Keras's, in its order; the same each time."""
        if self.sizes:
            return initial_weights(self.sizes)
        random = np.random.default_rng(1)
        return [array for layer, row in self.rows for array in layer.weights(row, random)]


def perceptron(sizes: Sequence[int], hidden: str, output: str) -> Network:
    layers = (*(Dense(units, hidden) for units in sizes[1:-1]), Dense(sizes[-1], output))
    return Network("-".join(map(str, sizes)), (sizes[0],), layers)


def glorot(random: np.random.Generator, shape: Sequence[int]) -> Array:
    """Glorot's uniform numbers, of which a kernel has as many as an output's or an input's sum has terms."""
    cells = prod(shape[:-2])
    limit = (6 / (cells * (shape[-2] + shape[-1]))) ** 0.5
    return random.uniform(-limit, limit, tuple(shape)).astype(np.float32)


def orthogonal(random: np.random.Generator, rows: int, columns: int) -> Array:
    """Rows of length one, at right angles to each other."""
    q, r = np.linalg.qr(random.standard_normal((columns, rows)))
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T, np.float32)


def bias(random: np.random.Generator, *shape: int) -> Array:
    return 0.1 * random.standard_normal(shape, np.float32)


def initial_weights(sizes: Sequence[int]) -> list[Array]:
    """A perceptron's. Keras's default: Glorot's uniform kernels, zero biases."""
    random = np.random.default_rng(1)
    weights = []
    for inputs, units in pairwise(sizes):
        weights += [glorot(random, (inputs, units)), np.zeros(units, np.float32)]
    return weights


def model_of(network: Network, layers: Any, models: Any) -> Any:
    """The network in Keras's words; `layers` and `models` are Keras's modules, or fastnn's."""
    parts: list[Any] = [layers.Input(shape=network.inputs, **({"dtype": "int32"} if network.ids else {}))]
    parts += [part for layer, row in network.rows for part in keras_layers(layer, len(row), layers)]
    if not any(isinstance(layer, Block) for layer in network.layers):
        return models.Sequential(parts)
    value = parts[0]
    for part in parts[1:]:
        value = part(value)
    return models.Model(parts[0], value)


def keras_layers(layer: Layer, axes: int, layers: Any) -> Iterator[Any]:
    """Keras's layers, or a function of a tensor."""
    kind = f"{axes - 1}D"
    match layer:
        case Dense(units, activation):
            yield layers.Dense(units, activation=activation)
        case Conv(filters, size, activation):
            yield getattr(layers, f"Conv{kind}")(filters, size, activation=activation)
        case Pool(size):
            yield getattr(layers, f"MaxPooling{kind}")(size)
        case GlobalAverage():
            yield getattr(layers, f"GlobalAveragePooling{kind}")()
        case Flatten():
            yield layers.Flatten()
        case Embedding(words, features):
            yield layers.Embedding(words, features)
        case LSTM(units):
            yield layers.LSTM(units)
        case GRU(units):
            yield layers.GRU(units)
        case Block():
            yield lambda value: block_of(layer, value, layers)


def block_of(block: Block, value: Any, layers: Any) -> Any:
    attention = layers.MultiHeadAttention(block.heads, block.key)
    value = layers.LayerNormalization()(layers.Add()([value, attention(value, value)]))
    inner = layers.Dense(block.feed_forward, activation="relu")(value)
    given = layers.Dense(value.shape[-1])(inner)
    return layers.LayerNormalization()(layers.Add()([value, given]))


LENET = Network(
    "LeNet-5 of 28x28x1",
    (28, 28, 1),
    (Conv(6, 5), Pool(), Conv(16, 5), Pool(), Flatten(), Dense(120, "relu"), Dense(84, "relu"), Dense(10, "softmax")),
)
CNN = Network(
    "CNN of 32x32x3, 32 and 64 filters of 3x3, pool, 128-10",
    (32, 32, 3),
    (Conv(32, 3), Conv(64, 3), Pool(), Flatten(), Dense(128, "relu"), Dense(10, "softmax")),
)
LSTM_64 = Network("LSTM 64 of 50x8, 1", (50, 8), (LSTM(64), Dense(1)))
GRU_32 = Network("GRU 32 of 100x1, 1", (100, 1), (GRU(32), Dense(1)))
CNN_1D = Network(
    "CNN of 128x9, 64, 64, pool, 64 filters of 3, mean, 6",
    (128, 9),
    (Conv(64, 3), Conv(64, 3), Pool(), Conv(64, 3), GlobalAverage(), Dense(6, "softmax")),
)
TRANSFORMER = Network(
    "2 blocks of 64x64, 4 heads, 128, mean, 10",
    (64, 64),
    (Block(4, 16, 128), Block(4, 16, 128), GlobalAverage(), Dense(10, "softmax")),
)
LSTM_8 = Network("LSTM 8 of 10x4, 1", (10, 4), (LSTM(8), Dense(1)))
WORDS = Network(
    "LSTM 32 of 80 words, each of 10,000 by 32 numbers, 1",
    (80,),
    (Embedding(10_000, 32), LSTM(32), Dense(1, "sigmoid")),
)
