"""The opponent: a multi-layer perceptron trained by Adam, in careful NumPy.

What somebody writes who knows NumPy well and wants others to read it: float32 throughout, the
layers' matrices allocated once and written with `out=`, parameters and gradients as views of flat
vectors, so that Adam knows no layers, sigmoid and softmax fused with their losses. Between forms
that read equally well it has the faster one; README.md says how much that gave.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np

from benchmarks.networks import Array

LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.9, 0.999, 1e-7  # Keras's defaults


def activate(name: str, z: Array) -> None:
    if name == "relu":
        np.maximum(z, 0, out=z)
    else:
        np.tanh(z, out=z)


def activate_backward(name: str, a: Array, d: Array) -> None:
    """`d` times the derivative at the point where the activation was `a`, which is lost."""
    if name == "relu":
        d *= np.sign(a)  # 0 or 1, because a is not negative
    else:
        np.square(a, out=a)
        np.subtract(1, a, out=a)
        d *= a


def sigmoid(z: Array) -> None:
    """As a tanh, which cannot overflow."""
    z *= 0.5
    np.tanh(z, out=z)
    z += 1
    z *= 0.5


def softmax(z: Array) -> Array:
    """Also returns log(sum(exp(z))) of each row."""
    largest = z.max(axis=1, keepdims=True)
    z -= largest
    np.exp(z, out=z)
    total = z.sum(axis=1, keepdims=True)
    z /= total
    return largest + np.log(total)


# Losses, of raw outputs and targets (rows, units): z becomes the gradient of the rows' mean.


def squared_error(z: Array, y: Array) -> float:
    z -= y
    loss = np.vdot(z, z) / z.size
    z *= 2 / z.size
    return float(loss)


def binary_crossentropy(z: Array, y: Array) -> float:
    loss = (np.logaddexp(0, z).sum() - np.vdot(z, y)) / len(z)
    sigmoid(z)
    z -= y
    z /= len(z)
    return float(loss)


def crossentropy(z: Array, y: Array) -> float:
    """The targets are one-hot."""
    of_label = np.vdot(z, y)
    loss = (softmax(z).sum() - of_label) / len(z)
    z -= y
    z /= len(z)
    return float(loss)


LOSSES = {"mse": squared_error, "bce": binary_crossentropy, "cce": crossentropy}


def views(flat: Array, sizes: Sequence[int]) -> list[tuple[Array, Array]]:
    """Kernel (inputs, units) and bias (units,) of each layer, in a flat vector."""
    result, start = [], 0
    for inputs, units in pairwise(sizes):
        middle, end = start + inputs * units, start + (inputs + 1) * units
        result.append((flat[start:middle].reshape(inputs, units), flat[middle:end]))
        start = end
    return result


class Buffers:
    """What a step writes, for one batch size."""

    def __init__(self, rows: int, sizes: Sequence[int], dtype: Any):
        self.values = [np.empty((rows, units), dtype) for units in sizes]  # input, outputs
        self.targets = np.empty((rows, sizes[-1]), dtype)
        self.derivatives = [np.empty_like(value) for value in self.values[1:-1]]


class Trained:
    """What training needs and no kind of layer: the loss, Adam, and epochs of batches.

    A kind of network writes `loss_and_gradient`, `forward`, and `buffers_of`, what it writes for so many rows: at
    least `values`, whose first is the input, and `targets`.
    """

    def __init__(self, count: int, units: int, loss: str, dtype: Any = np.float32):
        self.units, self.loss, self.dtype = units, loss, np.dtype(dtype)
        self.parameters, self.gradient = np.zeros(count, dtype), np.zeros(count, dtype)
        self.m, self.v, self.scratch = (np.zeros(count, dtype) for _ in range(3))
        self.steps_done = 0
        # Arrays without dimensions are the scalars that NumPy computes with fastest.
        scalars = 1 - BETA_1, 1 - BETA_2, EPSILON
        self.rate_m, self.rate_v, self.epsilon = (np.array(value, dtype) for value in scalars)
        self.buffers: dict[int, Any] = {}

    def buffers_of(self, rows: int) -> Any:
        raise NotImplementedError

    def loss_and_gradient(self, buffers: Any) -> float:
        raise NotImplementedError

    def set_weights(self, arrays: Iterable[Array]) -> None:
        """Kernel, bias, kernel, bias, ...: the order of Keras. Training starts anew."""
        self.parameters[:] = np.concatenate([array.ravel() for array in arrays])
        self.m[:] = self.v[:] = 0
        self.steps_done = 0

    def fit(
        self,
        x: Array,
        y: Array,
        batch_size: int,
        epochs: int,
        seed: int | None = None,
    ) -> list[float]:
        """Train, and return each epoch's mean loss; rows in order when there is no seed."""
        targets, order = self.encode(y), np.arange(len(x))
        random = np.random.default_rng(seed)
        history = []
        for _ in range(epochs):
            if seed is not None:
                random.shuffle(order)
            total = 0.0
            for start in range(0, len(x), batch_size):
                rows = order[start : start + batch_size]
                buffers = self.buffers_for(len(rows))
                # "clip" because "raise" would go through a second buffer.
                x.take(rows, axis=0, out=buffers.values[0], mode="clip")
                targets.take(rows, axis=0, out=buffers.targets, mode="clip")
                total += self.loss_and_gradient(buffers) * len(rows)
                self.adam()
            history.append(total / len(x))
        return history

    def encode(self, y: Array) -> Array:
        """Targets (rows, units): labels become one-hot."""
        if self.loss == "cce":
            return np.eye(self.units, dtype=self.dtype)[y]
        return y.reshape(len(y), -1).astype(self.dtype, copy=False)

    def buffers_for(self, rows: int) -> Any:
        if rows not in self.buffers:
            self.buffers[rows] = self.buffers_of(rows)
        return self.buffers[rows]

    def adam(self) -> None:
        """Kingma and Ba 2015, with the bias correction in the step size."""
        self.steps_done += 1
        t = self.steps_done
        step_size = LEARNING_RATE * sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        g, m, v, change = self.gradient, self.m, self.v, self.scratch
        np.subtract(g, m, out=change)
        change *= self.rate_m
        m += change
        np.square(g, out=change)
        change -= v
        change *= self.rate_v
        v += change
        np.sqrt(v, out=change)
        change += self.epsilon
        np.divide(m, change, out=change)
        change *= step_size
        self.parameters -= change

    def activated(self, z: Array) -> Array:
        """Raw outputs, in place."""
        if self.loss == "bce":
            sigmoid(z)
        elif self.loss == "cce":
            softmax(z)
        return z


class NumpyNet(Trained):
    """Dense layers of `sizes`, `hidden` ("relu" or "tanh") between them, one `loss` at the end.

    `loss` brings the output's activation: "mse" linear, "bce" sigmoid, "cce" softmax with integer
    labels.
    """

    def __init__(self, sizes: Sequence[int], hidden: str, loss: str, dtype: Any = np.float32):
        self.sizes, self.hidden = tuple(sizes), hidden
        count = sum((inputs + 1) * units for inputs, units in pairwise(sizes))
        super().__init__(count, self.sizes[-1], loss, dtype)
        self.weights, self.gradients = views(self.parameters, sizes), views(self.gradient, sizes)

    def buffers_of(self, rows: int) -> Buffers:
        return Buffers(rows, self.sizes, self.dtype)

    def forward(self, values: Sequence[Array]) -> Array:
        """From `values[0]`, the input, to the raw output."""
        for (w, b), a, z in zip(self.weights, values, values[1:], strict=False):
            a.dot(w, out=z)
            z += b
            if z is not values[-1]:
                activate(self.hidden, z)
        return values[-1]

    def loss_and_gradient(self, buffers: Buffers) -> float:
        """The mean loss of the rows in `buffers`; its derivatives go to `gradients`."""
        d = self.forward(buffers.values)
        loss = LOSSES[self.loss](d, buffers.targets)
        for layer in reversed(range(len(self.weights))):
            (w, _), (dw, db), a = self.weights[layer], self.gradients[layer], buffers.values[layer]
            a.T.dot(d, out=dw)
            d.sum(axis=0, out=db)
            if layer > 0:
                d = d.dot(w.T, out=buffers.derivatives[layer - 1])
                activate_backward(self.hidden, a, d)
        return loss

    def predict(self, x: Array) -> Array:
        """(rows, units), a new array."""
        return self.activated(self.forward([x, *self.buffers_for(len(x)).values[1:]]).copy())
