"""Every layer that has arithmetic of its own, in each configuration that is worth a test, inside a small model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

import fastnn.layers as L
from fastnn.models import Model

INPUTS = 5


@dataclass
class Case:
    """A layer, the shapes of the rows that it reads, and for one that reads whole numbers how many there are."""

    make: Callable[[], Any]
    shapes: list[tuple[int, ...]]
    choices: int = 0

    def rows(self, n: int, seed: int = 0) -> np.ndarray:
        """Rows for the model."""
        rng = np.random.default_rng(seed)
        if self.choices:
            return rng.integers(0, self.choices, (n, *self.shapes[0])).astype(np.float32)
        return rng.normal(size=(n, INPUTS)).astype(np.float32)

    def model(self, units: int | None = None, trainable: bool = True) -> tuple[Model, Any]:
        """A Dense layer for each row that the layer reads, the layer, and if `units` a Dense layer; and the layer."""
        layer = self.make()
        layer.trainable = trainable
        if self.choices:
            first = L.Input(self.shapes[0])
            before = [first]
        else:
            first = L.Input((INPUTS,))
            before = [L.Reshape(shape)(L.Dense(prod(shape))(first)) for shape in self.shapes]
        last = L.Flatten()(layer(before if len(before) > 1 else before[0]))
        model = Model(first, last if units is None else L.Dense(units)(last))
        rng = np.random.default_rng(5)
        model.set_weights([w if w.ndim == 0 else w + 0.3 * rng.random(w.shape) for w in model.get_weights()])
        model.compile("sgd", "mse")
        return model, layer

    def reference(self, layer: Any, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
        """What the model without a last Dense layer gives while training, in float64."""
        weights, read = list(weights), [x.astype(np.float64)]
        if not self.choices:
            read = []
            for shape in self.shapes:
                kernel, bias = weights.pop(0), weights.pop(0)
                read.append((x @ kernel + bias).reshape(len(x), *shape))
        names = [parameter.name for parameter in layer.parameters(*self.shapes)]
        own = {name: w for name, w in zip(names, weights, strict=True) if name in layer.reference.__code__.co_varnames}
        return np.asarray(layer.reference(*read, **own)).reshape(len(x), -1)


CASES: dict[str, Case] = {
    "batch": Case(L.BatchNormalization, [(7,)]),
    "batch of lines": Case(lambda: L.BatchNormalization(epsilon=0.1), [(3, 4)]),
    "batch of a wide row": Case(lambda: L.BatchNormalization(center=False), [(33,)]),
    "batch without a scale": Case(lambda: L.BatchNormalization(scale=False), [(1,)]),
    "layer": Case(L.LayerNormalization, [(7,)]),
    "layer of lines": Case(lambda: L.LayerNormalization(epsilon=0.1), [(3, 4)]),
    "layer of axes": Case(lambda: L.LayerNormalization(axis=(1, 2), center=False), [(3, 4)]),
    "layer of a wide row": Case(lambda: L.LayerNormalization(scale=False), [(33,)]),
    "rms": Case(L.RMSNormalization, [(17,)]),
    "prelu": Case(L.PReLU, [(19,)]),
    "prelu of lines": Case(lambda: L.PReLU(shared_axes=1), [(3, 4)]),
    "prelu of one slope": Case(lambda: L.PReLU(shared_axes=(1, 2)), [(3, 4)]),
    "rescaling": Case(lambda: L.Rescaling(0.5, (1.0, 2.0, 3.0, 4.0)), [(3, 4)]),
    "normalization": Case(L.Normalization, [(3, 4)]),
    "normalization of all": Case(lambda: L.Normalization(axis=None, invert=True), [(3, 4)]),
    "normalization by numbers": Case(lambda: L.Normalization(mean=0.5, variance=(4.0, 0.25, 1, 2)), [(4,)]),
    "embedding": Case(lambda: L.Embedding(9, 5), [(4,)], 9),
    "embedding of a line": Case(lambda: L.Embedding(3, 16), [(2, 2)], 3),
    "encoding": Case(lambda: L.CategoryEncoding(6), [(4,)], 6),
    "encoding by count": Case(lambda: L.CategoryEncoding(6, "count"), [(2, 4)], 6),
    "encoding one hot": Case(lambda: L.CategoryEncoding(6, "one_hot"), [(4,)], 6),
    "add": Case(L.Add, [(7,), (7,), (7,)]),
    "add of one": Case(L.Add, [(7,)]),
    "subtract": Case(L.Subtract, [(17,), (17,)]),
    "multiply": Case(L.Multiply, [(3, 4), (3, 4), (3, 4)]),
    "average": Case(L.Average, [(7,), (7,), (7,)]),
    "maximum": Case(L.Maximum, [(19,), (19,), (19,)]),
    "minimum": Case(L.Minimum, [(7,), (7,)]),
    "concatenate": Case(L.Concatenate, [(7,), (2,), (1,)]),
    "concatenate in front": Case(lambda: L.Concatenate(1), [(3, 4), (2, 4)]),
    "concatenate behind": Case(L.Concatenate, [(3, 4), (3, 1)]),
    "dot": Case(lambda: L.Dot(1), [(17,), (17,)]),
    "dot of unit vectors": Case(lambda: L.Dot(1, normalize=True), [(7,), (7,)]),
    "dot of lines": Case(lambda: L.Dot((1, 2)), [(4, 3), (2, 4)]),
    "dot of unit lines": Case(lambda: L.Dot((2, 1), normalize=True), [(2, 3), (3, 4)]),
}
