"""Training in plain float64 NumPy: the slow twin of a model, made from the formulas that its parts state.

Every value is a unit's own `reference`; every slope is a central difference of that, so that nothing here was derived
by the hand that wrote the kernels. What is by hand: the chain rule through the layers, and the penalties' slopes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import kernels, metrics
from fastnn.activations import RowActivation
from fastnn.layers import Activation, Dense, Dropout, Flatten

Array = np.ndarray

MASK64 = 2**64 - 1


def mix64(x: int) -> int:
    """The mixer that dropout's keys come from: SplitMix64's output function."""
    x = (x + 0x9E3779B97F4A7C15) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def dropout_mask(shape: tuple[int, ...], rate: float, seed: int, step: int, op: int) -> Array:
    """What dropout multiplies a batch by: op number `op`, after `step` optimizer steps."""
    key = mix64((mix64(seed ^ mix64(step)) + op) & MASK64)
    return kernels.dropout(np.ones(shape), rate, key)


def slopes(function: Callable[[Array], Array], at: Array, rows_only: bool = False) -> Array:
    """Central differences. Elementwise: those of each element. rows_only: of each row's value by each column."""
    # Small enough to fall beside the kink of a relu or an absolute value nearly always, and large
    # enough that what float64 rounds off is a hundred times below float32's rounding.
    h = 1e-6 * np.maximum(np.abs(at), 0.1)
    if not rows_only:
        return (function(at + h) - function(at - h)) / (2 * h)
    result = np.empty_like(at)
    for column in range(at.shape[1]):
        one = np.zeros_like(at)
        one[:, column] = h[:, column]
        result[:, column] = (function(at + one) - function(at - one)) / (2 * h[:, column])
    return result


class NumpyNetwork:
    """The layers, weights, loss, optimizer and seed of a compiled model, at the moment of the copy."""

    def __init__(self, model: Any) -> None:
        self.layers = [layer for layer in model.layers if not isinstance(layer, Flatten)]
        self.weights = [[w.astype(float) for w in layer.get_weights()] for layer in self.layers]
        self.loss, self.optimizer = model.loss, model.optimizer
        self.seed, self.steps = model._network.seed, 0
        self.slots = [[[np.zeros_like(w) for _ in self.optimizer.slots] for w in weights] for weights in self.weights]
        self.metrics = list(model._trainer.metrics)

    def forward(self, x: Array, training: bool = False) -> list[tuple[Array, Array, Array]]:
        """(input, input of the activation or mask, output) of each layer."""
        passes = []
        for number, (layer, weights) in enumerate(zip(self.layers, self.weights, strict=True)):
            if isinstance(layer, Dense):
                z = x @ weights[0] + (weights[1] if layer.use_bias else 0.0)
                a = layer.activation.reference(z)
            elif isinstance(layer, Activation):
                z, a = x, layer.activation.reference(x)
            else:
                assert isinstance(layer, Dropout)
                z = dropout_mask(x.shape, layer.rate, self.seed, self.steps, number) if training else 1.0
                a = x * z
            passes.append((x, z, a))
            x = a
        return passes

    def predict(self, x: Array) -> Array:
        return self.forward(flat(x))[-1][2]

    def values(self, output: Array, y: Array) -> dict[str, float]:
        """The metrics of a batch, summed over its rows."""
        found = {}
        for metric in self.metrics:
            name, unit = metrics.resolve(metric, y.shape[1], output.shape[1])
            found[name] = unit.reference(y, output).sum()
        return found

    def penalty(self) -> float:
        return sum(
            layer.kernel_regularizer.reference(weights[0])
            for layer, weights in zip(self.layers, self.weights, strict=True)
            if getattr(layer, "kernel_regularizer", None) is not None
        )

    def gradients(self, passes: list[tuple[Array, Array, Array]], y: Array, weight: Array) -> list[list[Array]]:
        output = passes[-1][2]
        slope = slopes(lambda o: self.loss.reference(y, o), output, rows_only=True)
        d = slope * (weight / len(y))[:, None]
        result: list[list[Array]] = []
        for layer, weights, (x, z, _) in zip(self.layers[::-1], self.weights[::-1], passes[::-1], strict=True):
            if isinstance(layer, Dropout):
                d = d * z
                result.insert(0, [])
                continue
            if isinstance(layer.activation, RowActivation):
                # The sum over outputs k of d_k * da_k / dz_j.
                d = slopes(lambda z, d=d, f=layer.activation: (d * f.reference(z)).sum(axis=1), z, rows_only=True)
            else:
                d = d * slopes(layer.activation.reference, z)
            if isinstance(layer, Activation):
                result.insert(0, [])
                continue
            kernel = x.T @ d
            if layer.kernel_regularizer is not None:
                l1, l2 = layer.kernel_regularizer.numbers()
                kernel += l1 * np.sign(weights[0]) + 2 * l2 * weights[0]
            result.insert(0, [kernel, d.sum(axis=0)][: len(weights)])
            d = d @ weights[0].T
        return result

    def step(self, x: Array, y: Array, weight: Array) -> dict[str, float]:
        """One step on a batch: loss and metrics before it, summed over the rows."""
        passes = self.forward(x, training=True)
        output = passes[-1][2]
        values = self.loss.reference(y, output)
        loss = (values * weight).sum() + len(x) * self.penalty()
        gradients = self.gradients(passes, y, weight)
        self.steps += 1
        for weights, slots, g in zip(self.weights, self.slots, gradients, strict=True):
            for i in range(len(weights)):
                weights[i] = self.optimizer.reference(weights[i], g[i], slots[i], self.steps)
        return {**self.values(output, y), "loss": loss}

    def fit(
        self, x: Array, y: Array, batch_size: int, epochs: int, weight: Array | None = None
    ) -> list[dict[str, float]]:
        """Epochs over the rows as they lie: what each epoch's log must say."""
        x, y, weight = prepared(x, y, weight)
        logs = []
        for _ in range(epochs):
            sums: dict[str, float] = {}
            for start in range(0, len(x), batch_size):
                batch = slice(start, start + batch_size)
                for name, value in self.step(x[batch], y[batch], weight[batch]).items():
                    sums[name] = sums.get(name, 0.0) + value
            logs.append({name: value / len(x) for name, value in sums.items()})
        return logs

    def evaluate(self, x: Array, y: Array, weight: Array | None = None) -> dict[str, float]:
        x, y, weight = prepared(x, y, weight)
        output = self.predict(x)
        sums = self.values(output, y)
        figures = {name: value / len(x) for name, value in sums.items()}
        loss = (self.loss.reference(y, output) * weight).sum() / len(x)
        return {**figures, "loss": loss + self.penalty()}

    def flat_weights(self) -> list[Array]:
        return [w for weights in self.weights for w in weights]


def flat(x: Any) -> Array:
    x = np.asarray(x, float)
    return x.reshape(len(x), -1)


def prepared(x: Any, y: Any, weight: Any) -> tuple[Array, Array, Array]:
    return flat(x), flat(y), np.ones(len(x)) if weight is None else np.asarray(weight, float)
