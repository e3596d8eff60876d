"""Training in plain float64 NumPy: a model's slow counterpart, made from the formulas that its parts state.

Every value is a unit's own `reference`; every slope is a central difference of that, so that nothing here was derived
by the hand that wrote the kernels. What is by hand: the chain rule through the layers, and the penalties' slopes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import metrics
from fastnn.activations import RowActivation
from fastnn.layers import Activation, Dense, Dropout, Flatten
from support.bindings import kernels

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


def penalty_slope(regularizer: Any, w: Array) -> Array:
    """The slope of a penalty on a parameter: by hand, or where it takes a whole matrix a central difference."""
    if not regularizer.whole:
        l1, l2 = regularizer.numbers()
        return l1 * np.sign(w) + 2 * l2 * w
    result = np.empty_like(w)
    for place in np.ndindex(w.shape):
        forth, back = w.copy(), w.copy()
        forth[place] += 1e-6
        back[place] -= 1e-6
        result[place] = (regularizer.reference(forth) - regularizer.reference(back)) / 2e-6
    return result


def clipped(optimizer: Any, gradients: list[list[Array]]) -> list[list[Array]]:
    """The gradients as the optimizer wants them clipped."""
    if optimizer.clipvalue is not None:
        return [[np.clip(g, -optimizer.clipvalue, optimizer.clipvalue) for g in layer] for layer in gradients]
    if optimizer.clipnorm is not None:
        norms = [[np.sqrt((g**2).sum()) for g in layer] for layer in gradients]
        most = optimizer.clipnorm
    elif optimizer.global_clipnorm is not None:
        norm = np.sqrt(sum((g**2).sum() for layer in gradients for g in layer))
        norms = [[norm] * len(layer) for layer in gradients]
        most = optimizer.global_clipnorm
    else:
        return gradients
    return [
        [g * (most / max(norm, most)) for g, norm in zip(layer, row, strict=True)]
        for layer, row in zip(gradients, norms, strict=True)
    ]


class NumpyNetwork:
    """The layers, weights, loss, optimizer and seed of a compiled model, at the moment of the copy."""

    def __init__(self, model: Any) -> None:
        self.layers = [layer for layer in model.layers if not isinstance(layer, Flatten)]
        self.weights = [[w.astype(float) for w in layer.get_weights()] for layer in self.layers]
        self.loss, self.seed = model.description.trainer.loss, model.description.network.seed
        self.metrics = list(model.description.trainer.metrics)
        self.begin(model.optimizer)

    def begin(self, optimizer: Any) -> None:
        """Before the first step of an optimizer."""
        self.optimizer, self.steps = optimizer, 0
        starts = optimizer.slot_starts
        self.slots = [[[np.full_like(w, start) for start in starts] for w in weights] for weights in self.weights]
        self.sums = [[np.zeros_like(w) for w in weights] for weights in self.weights]
        self.averages: list[list[Array]] = []

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
                kernel += penalty_slope(layer.kernel_regularizer, weights[0])
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
        self.take(gradients)
        return {**self.values(output, y), "loss": loss}

    def take(self, gradients: list[list[Array]]) -> None:
        """What is done with a batch's gradients, in Keras's order: summed, clipped, decay, step, average, limits."""
        optimizer = self.optimizer
        every = optimizer.gradient_accumulation_steps or 1
        self.steps += 1
        self.sums = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(self.sums, gradients, strict=True)]
        if self.steps % every:
            return
        rate = float(np.ravel(optimizer.rates(self.steps - 1, 1))[0])
        rule = dataclasses.replace(optimizer, learning_rate=rate)
        means = clipped(optimizer, [[g / every for g in layer] for layer in self.sums])
        self.sums = [[np.zeros_like(w) for w in weights] for weights in self.weights]
        for weights, slots, g in zip(self.weights, self.slots, means, strict=True):
            for i in range(len(weights)):
                w = weights[i] * (1 - rate * (optimizer.weight_decay or 0.0))
                weights[i] = rule.reference(w, g[i], slots[i], self.steps // every)
        if optimizer.use_ema:
            self.average(self.steps // every)
        for layer, weights in zip(self.layers, self.weights, strict=True):
            limits = (getattr(layer, f"{name}_constraint", None) for name in ("kernel", "bias"))
            weights[:] = [w if limit is None else limit.reference(w) for w, limit in zip(weights, limits, strict=False)]

    def average(self, updates: int) -> None:
        """The running average of the weights, which starts at those after the first update."""
        keep = self.optimizer.ema_momentum if self.averages else 0.0
        before = self.averages or self.weights
        self.averages = [
            [keep * a + (1 - keep) * w for a, w in zip(*pair, strict=True)]
            for pair in zip(before, self.weights, strict=True)
        ]
        every = self.optimizer.ema_overwrite_frequency
        if every is not None and updates % every == 0:
            self.weights = [list(layer) for layer in self.averages]

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
        if self.averages:
            self.weights = [list(layer) for layer in self.averages]
        return logs

    def evaluate(self, x: Array, y: Array, weight: Array | None = None) -> dict[str, float]:
        x, y, weight = prepared(x, y, weight)
        output = self.predict(x)
        sums = self.values(output, y)
        logs = {name: value / len(x) for name, value in sums.items()}
        loss = (self.loss.reference(y, output) * weight).sum() / len(x)
        return {**logs, "loss": loss + self.penalty()}

    def flat_weights(self) -> list[Array]:
        return [w for weights in self.weights for w in weights]


def flat(x: Any) -> Array:
    x = np.asarray(x, float)
    return x.reshape(len(x), -1)


def prepared(x: Any, y: Any, weight: Any) -> tuple[Array, Array, Array]:
    return flat(x), flat(y), np.ones(len(x)) if weight is None else np.asarray(weight, float)
