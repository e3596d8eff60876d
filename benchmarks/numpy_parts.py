"""Layers of `numpy_layers` in careful NumPy, but for those of `numpy_steps`.

A convolution is a product of its patches, which are one view, copied; its way back adds each cell of the kernel, at all
places, to the pixels that it met.
"""

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.networks import Array, Row
from benchmarks.numpy_net import activate, activate_backward

TOGETHER = 2**20  # numbers in the patches of some rows: more of them leave the cache before they are read


class Layer:
    """`forward` gives what `backward` may read again; of `backward`, the gradient by what was read, where wanted."""

    def __init__(self, spec: Any, row: Row, weights: list[Array], gradients: list[Array]):
        self.spec, self.row, self.weights, self.gradients = spec, row, weights, gradients
        self.held: dict[tuple[Any, ...], Array] = {}
        self.x = self.a = np.empty(0)

    def empty(self, name: str, *shape: int, like: Array) -> Array:
        """The same memory each time for a name and a shape; it begins with zeros."""
        if (name, shape) not in self.held:
            self.held[name, shape] = np.zeros(shape, like.dtype)
        return self.held[name, shape]

    def forward(self, x: Array) -> Array:
        raise NotImplementedError

    def backward(self, d: Array, wanted: bool = True) -> Array:
        raise NotImplementedError


class Dense(Layer):
    def forward(self, x: Array) -> Array:
        w, b = self.weights
        self.x, self.a = x, self.empty("a", len(x), w.shape[1], like=w)
        x.dot(w, out=self.a)
        self.a += b
        if self.spec.activation != "linear":
            activate(self.spec.activation, self.a)
        return self.a

    def backward(self, d: Array, wanted: bool = True) -> Array:
        if self.spec.activation != "linear":
            activate_backward(self.spec.activation, self.a, d)
        dw, db = self.gradients
        self.x.T.dot(d, out=dw)
        d.sum(axis=0, out=db)
        return d.dot(self.weights[0].T, out=self.empty("dx", *self.x.shape, like=d)) if wanted else d


class Conv(Layer):
    def patches(self, rows: slice) -> Array:
        """(places of some rows, cells of the kernel and channels of each), copied."""
        axes = tuple(range(1, self.x.ndim - 1))
        windows = sliding_window_view(self.x[rows], [self.spec.size] * len(axes), axes)
        windows = np.moveaxis(windows, self.x.ndim - 1, -1)
        copied = self.empty("patches", *windows.shape, like=self.x)
        copied[...] = windows
        return copied.reshape(-1, self.spec.size ** len(axes) * self.x.shape[-1])

    def forward(self, x: Array) -> Array:
        w, b = self.weights
        self.x, self.a = x, self.empty("a", len(x), *self.spec.given(x.shape[1:]), like=w)
        together = max(1, TOGETHER // (self.a[0].size // len(b) * (w.size // len(b))))
        self.groups = [slice(start, start + together) for start in range(0, len(x), together)]
        for rows in self.groups:
            z = self.a[rows].reshape(-1, len(b))
            self.flat = self.patches(rows)
            self.flat.dot(w.reshape(-1, len(b)), out=z)
            z += b
            activate(self.spec.activation, z)
        return self.a

    def backward(self, d: Array, wanted: bool = True) -> Array:
        activate_backward(self.spec.activation, self.a, d)
        w, dw = (each[0].reshape(-1, d.shape[-1]) for each in (self.weights, self.gradients))
        d.reshape(-1, d.shape[-1]).sum(axis=0, out=self.gradients[1])
        dw[...] = 0
        dx = self.empty("dx", *self.x.shape, like=d)
        if wanted:
            dx[...] = 0
        for rows in self.groups:
            flat = self.flat if len(self.groups) == 1 else self.patches(rows)
            flat_d = d[rows].reshape(-1, d.shape[-1])
            dw += flat.T.dot(flat_d)
            if wanted:
                d_patches = flat_d.dot(w.T, out=flat)  # the patches have been read
                self.add_up(d_patches.reshape(*d[rows].shape[:-1], -1, dx.shape[-1]), dx[rows])
        return dx

    def add_up(self, d_patches: Array, dx: Array) -> None:
        """Add each cell of the kernel, at all places, to the pixels that it met."""
        places = d_patches.shape[1:-2]
        for k, cell in enumerate(product(range(self.spec.size), repeat=len(places))):
            at = tuple(slice(first, first + n) for first, n in zip(cell, places, strict=True))
            dx[:, *at] += d_patches[..., k, :]


class Pool(Layer):
    """Equal largest numbers all get the slope: behind a relu these are zeros, where it has none."""

    def cells(self, x: Array) -> Iterator[Array]:
        """Of all windows: their first cells, their second ones and so on."""
        size, places = self.spec.size, self.a.shape[1:-1]
        for cell in product(range(size), repeat=len(places)):
            yield x[:, *(slice(k, size * n, size) for k, n in zip(cell, places, strict=True))]

    def forward(self, x: Array) -> Array:
        self.x, self.a = x, self.empty("a", len(x), *self.spec.given(x.shape[1:]), like=x)
        first, *others = self.cells(x)
        self.a[...] = first
        for cell in others:
            np.maximum(self.a, cell, out=self.a)
        return self.a

    def backward(self, d: Array, wanted: bool = True) -> Array:
        dx = self.empty("dx", *self.x.shape, like=d)  # what fills no window stays zero
        for cell, slope in zip(self.cells(self.x), self.cells(dx), strict=True):
            np.multiply(cell == self.a, d, out=slope)
        return dx


class GlobalAverage(Layer):
    def forward(self, x: Array) -> Array:
        self.x, self.a = x, self.empty("a", len(x), x.shape[-1], like=x)
        x.sum(axis=tuple(range(1, x.ndim - 1)), out=self.a)
        self.a /= prod(x.shape[1:-1])
        return self.a

    def backward(self, d: Array, wanted: bool = True) -> Array:
        dx = self.empty("dx", *self.x.shape, like=d)
        d /= prod(self.x.shape[1:-1])
        dx[...] = np.expand_dims(d, tuple(range(1, dx.ndim - 1)))
        return dx


class Flatten(Layer):
    def forward(self, x: Array) -> Array:
        self.x = x
        return x.reshape(len(x), -1)

    def backward(self, d: Array, wanted: bool = True) -> Array:
        return d.reshape(self.x.shape)


class Embedding(Layer):
    def forward(self, x: Array) -> Array:
        (w,) = self.weights
        self.x, self.a = x, self.empty("a", *x.shape, w.shape[1], like=w)
        return w.take(x, axis=0, out=self.a, mode="clip")

    def backward(self, d: Array, wanted: bool = True) -> Array:
        (dw,) = self.gradients
        dw[...] = 0
        np.add.at(dw, self.x, d)
        return d
