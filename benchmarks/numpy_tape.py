"""The second opponent: the same arithmetic as a tape of pre-bound calls, as fast as NumPy lets us.

A step makes the same calls on the same buffers for every batch, so the calls are bound once
(`functools.partial`) and replayed: what remains is NumPy's own time, no allocation, and one
interpreter instruction for each call. The rules:

- one flat parameter vector; weights, biases and their gradients are views of flat vectors, so
  Adam is ten calls whatever the depth;
- constants are arrays of the net's dtype: nothing is cast to float64;
- operands have equal shapes or none, where the choice is ours: a ufunc then skips its iterator;
- the output layer is kept as (units, rows): reductions over units then run along whole vectors.

What was tried, and what each form cost, stands in README.md.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from benchmarks.numpy_net import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Array

Call = Callable[[], object]

SMALL_DATA = 2**16  # bytes of x that stay in the nearest caches beside everything else
SMALL_NET = 4096  # parameters; below, Adam's calls cost more than their arithmetic
PART = 2**16  # parameters that Adam takes through all its passes while they are in cache


class Layer(NamedTuple):
    """Views of one layer's parameters and their gradients; no bias where the input brings it."""

    w: Array
    b: Array | None
    dw: Array
    db: Array | None


class NumpyTape:
    """Dense layers of `sizes`, `hidden` ("relu" or "tanh") between them, one `loss` at the end.

    `loss` brings the output's activation: "mse" linear, "bce" sigmoid (both for one unit),
    "cce" softmax with integer labels.
    """

    def __init__(self, sizes: Sequence[int], hidden: str, loss: str, dtype: Any = np.float32):
        if loss != "cce" and sizes[-1] != 1:
            raise ValueError(f"{loss} is written for one output unit, got {sizes[-1]}")
        self.sizes, self.hidden, self.loss = tuple(sizes), hidden, loss
        self.dtype = np.dtype(dtype)
        count = sum((inputs + 1) * units for inputs, units in pairwise(sizes))
        self.parameters = np.zeros(count, dtype)
        # Gradient and its square one above the other, like Adam's two moments: see _adam.
        self.gradients = np.zeros((2, count), dtype)
        self.moments = np.zeros((2, count), dtype)
        self.step_size = np.zeros((), dtype)
        self.steps_done = 0
        self.pages: dict[tuple[int, int, bool], Page] = {}
        self.update = list(self._adam())

    def layers(self, ones_in_input: bool = False) -> list[Layer]:
        """The views; with a column of ones in the input, the first bias is a row of its kernel."""
        result, at = [], 0
        vectors = self.parameters, self.gradients[0]
        for inputs, units in pairwise(self.sizes):
            joined = ones_in_input and at == 0
            end = at + (inputs + joined) * units
            w, dw = (vector[at:end].reshape(-1, units) for vector in vectors)
            at += (inputs + 1) * units
            b, db = (None if joined else vector[end:at] for vector in vectors)
            result.append(Layer(w, b, dw, db))
        return result

    def set_weights(self, arrays: Iterable[Array]) -> None:
        """Kernel, bias, kernel, bias, ...: the order of Keras. Training starts anew."""
        self.moments[...] = 0
        self.steps_done = 0
        self.parameters[...] = np.concatenate([array.ravel() for array in arrays])

    def _adam(self) -> Iterator[Call]:
        """Adam with the moments kept as sums: m = beta_1 m + g is Keras's m over (1 - beta_1).

        The factors that this leaves out are constant, so they move into the step size and
        epsilon, and two passes are saved.
        """
        epsilon = self.constant(EPSILON / (1 - BETA_2) ** 0.5)
        beta_1, beta_2 = self.constant(BETA_1), self.constant(BETA_2)
        scratch = np.empty(min(PART, self.parameters.size), self.dtype)
        for start in range(0, self.parameters.size, PART):
            part = slice(start, start + PART)
            (m, v), (g, square) = self.moments[:, part], self.gradients[:, part]
            w = self.parameters[part]
            change = scratch[: w.size]
            if self.parameters.size < SMALL_NET:  # both moments in one call
                decay = np.repeat(np.array([[BETA_1], [BETA_2]], self.dtype), w.size, axis=1)
                yield partial(np.square, g, square)
                yield partial(np.multiply, self.moments, decay, self.moments)
                yield partial(np.add, self.moments, self.gradients, self.moments)
            else:
                yield partial(np.multiply, m, beta_1, m)
                yield partial(np.add, m, g, m)
                yield partial(np.multiply, v, beta_2, v)
                yield partial(np.square, g, change)
                yield partial(np.add, v, change, v)
            yield partial(np.sqrt, v, change)
            yield partial(np.add, change, epsilon, change)
            yield partial(np.divide, m, change, change)
            yield partial(np.multiply, change, self.step_size, change)
            yield partial(np.subtract, w, change, w)

    def step_sizes(self, count: int) -> Iterator[float]:
        """The next `count` step sizes, with bias correction and the factors of `_adam`."""
        t = np.arange(self.steps_done + 1, self.steps_done + 1 + count)
        self.steps_done += count
        corrected = LEARNING_RATE * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        return iter((corrected * ((1 - BETA_1) / (1 - BETA_2) ** 0.5)).tolist())

    def constant(self, value: float) -> Array:
        return np.array(value, self.dtype)

    def encode(self, y: Array) -> Array:
        """Targets in the form that the loss wants: (rows,)."""
        y = y.reshape(-1)
        if self.loss == "cce":
            return y.astype(np.intp)
        return (0.5 - y if self.loss == "bce" else y).astype(self.dtype)

    def fit(
        self,
        x: Array,
        y: Array,
        batch_size: int,
        epochs: int,
        seed: int | None = None,
    ) -> list[float]:
        """Train, and return each epoch's mean loss; rows in order when there is no seed."""
        rows, targets = len(x), self.encode(y)
        order = np.arange(rows)
        random = None if seed is None else np.random.default_rng(seed)
        # Little data is gathered once an epoch, and gets a column of ones that saves the first
        # bias two calls a step; with much data both would cost more than they save.
        small = x.nbytes <= SMALL_DATA
        per_page = rows if small else batch_size
        if small:
            x = np.column_stack([x, np.ones(rows, x.dtype)])
        history = []
        for _ in range(epochs):
            if random is not None:
                order = random.permutation(rows)
            step_sizes = self.step_sizes(-(-rows // batch_size))
            total = 0.0
            for start in range(0, rows, per_page):
                chosen = order[start : start + per_page]
                page = self.page(len(chosen), batch_size, small)
                total += page.train(x, targets, chosen, step_sizes)
            history.append(total / rows)
        return history

    def page(self, rows: int, batch_size: int, with_ones: bool) -> "Page":
        """Buffers and calls, made once: a second fit of the same shape finds them ready."""
        key = rows, batch_size, with_ones
        if key not in self.pages:
            self.pages[key] = Page(self, *key)
        return self.pages[key]

    def row_predictor(self) -> Callable[[Array], Array]:
        """A function (1, features) -> (1, units), fresh, for a net that ends in softmax."""
        *hidden, last = [
            (layer.w, layer.b[None], np.empty((1, layer.w.shape[1]), self.dtype))
            for layer in self.layers()
            if layer.b is not None
        ]
        steps = [(w, b, z, activate(self.hidden, z)) for w, b, z in hidden]
        w_last, b_last, z_last = last
        total, ones = np.empty((), self.dtype), np.ones(z_last.size, self.dtype)

        def predict(x: Array) -> Array:
            a = x
            for w, b, z, activation in steps:
                a.dot(w, z)
                np.add(z, b, z)
                activation()
                a = z
            a.dot(w_last, z_last)
            np.add(z_last, b_last, z_last)
            np.subtract(z_last, z_last.item(z_last.argmax()), z_last)
            np.exp(z_last, z_last)
            z_last[0].dot(ones, total)
            return np.divide(z_last, total)

        return predict


class Page:
    """The next rows of the shuffled order, gathered in one call, and the batches among them."""

    def __init__(self, net: NumpyTape, rows: int, batch_size: int, with_ones: bool):
        self.net = net
        self.x = np.empty((rows, net.sizes[0] + with_ones), net.dtype)
        self.targets = np.empty(rows, np.intp if net.loss == "cce" else net.dtype)
        self.steps = []
        for start in range(0, rows, batch_size):
            part = slice(start, start + batch_size)
            batch = Batch(net, self.x[part], self.targets[part])
            self.steps.append((batch.loss, batch.calls))

    def train(self, x: Array, targets: Array, chosen: Array, step_sizes: Iterator[float]) -> float:
        """One step for each batch; the sum of the losses of all rows."""
        x.take(chosen, 0, self.x, "clip")  # "raise" would go through a second buffer
        targets.take(chosen, 0, self.targets, "clip")
        total = 0.0
        for loss, calls in self.steps:
            for call in calls:
                call()
            self.net.step_size[()] = next(step_sizes)
            for call in self.net.update:
                call()
            total += loss.item()
        return total


class Batch:
    """The buffers of one batch and the calls of a step, up to the gradient."""

    def __init__(self, net: NumpyTape, x: Array, targets: Array):
        self.net, self.rows, self.targets = net, len(x), targets
        self.layers = net.layers(ones_in_input=x.shape[1] > net.sizes[0])
        self.activations = [x, *(self._empty(self.rows, units) for units in net.sizes[1:-1])]
        self.output = self._empty(net.sizes[-1], self.rows)  # becomes the loss's gradient
        self.loss = self._empty()  # summed over the rows
        self.ones = np.ones(self.rows, net.dtype)
        loss = {"mse": self._mse, "bce": self._bce, "cce": self._cce}[net.loss]
        self.calls = [*self._forward(), *loss(), *self._backward()]

    def _empty(self, *shape: int) -> Array:
        return np.empty(shape, self.net.dtype)

    def _forward(self) -> Iterator[Call]:
        for layer, a, z in zip(self.layers, self.activations, self.activations[1:], strict=False):
            yield partial(a.dot, layer.w, z)
            if layer.b is not None:
                yield partial(np.add, z, layer.b, z)
            yield activate(self.net.hidden, z)
        layer, z = self.layers[-1], self.output
        yield partial(layer.w.T.dot, self.activations[-1].T, z)
        if layer.b is not None and len(z) == 1:
            yield partial(np.add, z[0], layer.b.reshape(()), z[0])
        elif layer.b is not None:
            yield partial(np.add, z, layer.b[:, None], z)

    def _mse(self) -> Iterator[Call]:
        z = self.output[0]
        yield partial(np.subtract, z, self.targets, z)
        yield partial(z.dot, z, self.loss)
        yield partial(np.multiply, z, self.net.constant(2 / self.rows), z)

    def _bce(self) -> Iterator[Call]:
        """With targets h = 1/2 - y and u = h z, for y of 0 and 1:

        loss = log(1 + exp(2u)) = u + |u| + log1p(exp(-2|u|)), gradient = h (1 + tanh u).
        """
        z, h = self.output[0], self.targets
        u, size, e = self._empty(3, self.rows)
        yield partial(np.multiply, z, h, u)
        yield partial(np.absolute, u, size)
        yield partial(np.multiply, size, self.net.constant(-2), e)
        yield partial(np.exp, e, e)
        yield partial(np.log1p, e, e)
        yield partial(np.add, e, size, e)
        yield partial(np.add, e, u, e)
        yield partial(e.dot, self.ones, self.loss)
        yield partial(np.tanh, u, u)
        yield partial(np.add, u, self.net.constant(1), u)
        yield partial(np.multiply, u, h, u)
        yield partial(np.multiply, u, self.net.constant(1 / self.rows), z)

    def _cce(self) -> Iterator[Call]:
        """Softmax and cross-entropy on the raw output, shifted by each row's largest."""
        z = self.output
        flat = z.reshape(-1)
        index, columns = np.empty_like(self.targets), np.arange(self.rows)
        largest, sums, of_label = self._empty(3, self.rows)
        units = np.ones(len(z), self.net.dtype)
        yield partial(np.multiply, self.targets, np.array(self.rows), index)
        yield partial(np.add, index, columns, index)
        yield partial(np.maximum.reduce, z, 0, None, largest)
        yield partial(np.subtract, z, largest, z)
        yield partial(flat.take, index, 0, of_label, "clip")
        yield partial(np.exp, z, z)
        yield partial(units.dot, z, sums)
        yield partial(np.log, sums, largest)
        yield partial(np.subtract, largest, of_label, largest)
        yield partial(largest.dot, self.ones, self.loss)
        yield partial(np.multiply, sums, self.net.constant(self.rows), sums)
        yield partial(np.divide, z, sums, z)
        yield partial(flat.take, index, 0, of_label, "clip")
        yield partial(np.subtract, of_label, self.net.constant(1 / self.rows), of_label)
        yield partial(flat.__setitem__, index, of_label)

    def _backward(self) -> Iterator[Call]:
        """Gradients from the last layer to the first; none for the first layer's input."""
        d = self.output.T
        for layer, a in zip(reversed(self.layers), reversed(self.activations), strict=True):
            yield partial(a.T.dot, d, layer.dw)
            if layer.db is not None:
                yield partial(self.ones.dot, d, layer.db)
            if a is not self.activations[0]:
                below = np.empty_like(a)
                yield partial(d.dot, layer.w.T, below)
                yield from differentiate(self.net.hidden, a, below)
                d = below


def activate(name: str, z: Array) -> Call:
    """The activation, in place."""
    if name == "relu":
        return partial(np.maximum, z, np.zeros_like(z), out=z)
    return partial(np.tanh, z, z)


def differentiate(name: str, a: Array, d: Array) -> Iterator[Call]:
    """`d` times the derivative at the point where the activation is `a`, in place."""
    slope = np.empty_like(a)
    if name == "relu":
        yield partial(np.sign, a, slope)  # 0 or 1, because a is not negative
    else:
        yield partial(np.square, a, slope)
        yield partial(np.subtract, np.ones((), a.dtype), slope, slope)
    yield partial(np.multiply, d, slope, d)
