"""The opponent for pictures and sequences, in careful NumPy: `numpy_net` with every kind of layer.

As there: float32 throughout, arrays that are written once and again with `out=`, parameters and gradients as views of
flat vectors. README.md says what else was tried.
"""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from benchmarks import networks
from benchmarks.networks import Array, Network, Row
from benchmarks.numpy_net import LOSSES, Trained
from benchmarks.numpy_parts import Conv, Dense, Embedding, Flatten, GlobalAverage, Layer, Pool
from benchmarks.numpy_steps import GRU, LSTM, Block

KINDS: dict[type, Callable[..., Layer]] = {
    getattr(networks, kind.__name__): kind
    for kind in (Dense, Conv, Pool, GlobalAverage, Flatten, Embedding, LSTM, GRU, Block)
}


class Buffers(NamedTuple):
    """What a batch is copied to."""

    values: list[Array]
    targets: Array


class NumpyLayers(Trained):
    """The layers of `network`; `loss` brings the output's activation, as in NumpyNet."""

    def __init__(self, network: Network, loss: str, dtype: Any = np.float32):
        shapes = [[array.shape for array in layer.weights(row, np.random.default_rng())] for layer, row in network.rows]
        super().__init__(sum(prod(shape) for each in shapes for shape in each), network.units, loss, dtype)
        self.network = network
        self.inputs_dtype = np.dtype(np.int32) if network.ids else self.dtype
        weights, gradients = (iter(views(flat, shapes)) for flat in (self.parameters, self.gradient))
        self.layers = [KINDS[type(spec)](spec, row, next(weights), next(gradients)) for spec, row in network.rows]
        last = self.layers[-1]
        last.spec = last.spec._replace(activation="linear")

    def buffers_of(self, rows: int) -> Buffers:
        x = np.empty((rows, *self.network.inputs), self.inputs_dtype)
        return Buffers([x], np.empty((rows, self.units), self.dtype))

    def forward(self, x: Array) -> Array:
        """The raw output."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def loss_and_gradient(self, buffers: Buffers) -> float:
        """The mean loss of the rows in `buffers`; its derivatives go to `gradient`."""
        d = self.forward(buffers.values[0])
        loss = LOSSES[self.loss](d, buffers.targets)
        for layer in reversed(self.layers):
            d = layer.backward(d, layer is not self.layers[0])
        return loss

    def predict(self, x: Array) -> Array:
        """(rows, units), a new array."""
        return self.activated(self.forward(x).copy())


def views(flat: Array, shapes: Sequence[Sequence[Row]]) -> Iterator[list[Array]]:
    """Of each layer its arrays, one behind the other in a flat vector."""
    start = 0
    for each in shapes:
        found = []
        for shape in each:
            found.append(flat[start : start + prod(shape)].reshape(shape))
            start += prod(shape)
        yield found
