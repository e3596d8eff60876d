"""Layers of `numpy_layers` that work on steps: LSTM, GRU, and a transformer's block.

A recurrence multiplies the inputs of all steps at once, and finds the gradient of each of its weights by one product.
"""

import numpy as np

from benchmarks import networks
from benchmarks.networks import Array, Row
from benchmarks.numpy_parts import Dense, Layer

NORM_EPSILON = 1e-3  # Keras's


def gates(z: Array, scale: Array, shift: Array) -> None:
    """tanh, and sigmoid as a tanh of half, where `scale` is a half: all gates of a step by one call."""
    z *= scale
    np.tanh(z, out=z)
    z *= scale
    z += shift


class Recurrent(Layer):
    """Steps lie before rows: what belongs to a step lies together."""

    def begin(self, x: Array, biases: Array, columns: int) -> Array:
        """x . kernel + bias of all steps."""
        n, steps, features = x.shape
        w = self.weights[0]
        self.x = self.empty("x", steps, n, features, like=w)
        self.x[...] = x.swapaxes(0, 1)
        z = self.empty("z", steps, n, columns, like=w)
        self.x.reshape(-1, features).dot(w, out=z.reshape(-1, columns))
        z += biases
        return z

    def end(self, d: Array, wanted: bool) -> Array:
        """From the gradient by what `begin` gave: that by kernel, and by x."""
        steps, n, features = self.x.shape
        flat = d.reshape(steps * n, -1)
        self.x.reshape(-1, features).T.dot(flat, out=self.gradients[0])
        if not wanted:
            return d
        dx = flat.dot(self.weights[0].T, out=self.empty("dx", steps * n, features, like=d))
        return dx.reshape(steps, n, features).swapaxes(0, 1)


class LSTM(Recurrent):
    def forward(self, x: Array) -> Array:
        _, recurrent, b = self.weights
        n, steps, units = len(x), x.shape[1], self.spec.units
        scale, shift = (np.repeat(np.array(each, b.dtype), units) for each in ([0.5, 0.5, 1, 0.5], [0.5, 0.5, 0, 0.5]))
        z = self.z = self.begin(x, b, 4 * units)
        h = self.h = self.empty("h", steps + 1, n, units, like=b)  # the first ones stay zero
        c, squashed = (self.empty(name, steps + 1, n, units, like=b) for name in ("c", "squashed"))
        self.c, self.squashed = c, squashed
        scratch = self.empty("scratch", n, 4 * units, like=b)
        for t in range(steps):
            z[t] += h[t].dot(recurrent, out=scratch)
            gates(z[t], scale, shift)
            i, f, g, o = np.split(z[t], 4, axis=1)
            np.multiply(f, c[t], out=c[t + 1])
            c[t + 1] += np.multiply(i, g, out=squashed[t + 1])
            np.tanh(c[t + 1], out=squashed[t + 1])
            np.multiply(o, squashed[t + 1], out=h[t + 1])
        return h[-1]

    def backward(self, d: Array, wanted: bool = True) -> Array:
        """`d` becomes the gradient by h of each step in turn, z the one by z."""
        _, recurrent, _ = self.weights
        _, d_recurrent, db = self.gradients
        z, c, squashed = self.z, self.c, self.squashed
        steps, n, units = len(z), len(d), self.spec.units
        dh, dc, du, slope = (self.empty(name, n, units, like=d) for name in ("dh", "dc", "du", "slope"))
        dh[...], dc[...] = d, 0
        for t in reversed(range(steps)):
            i, f, g, o = np.split(z[t], 4, axis=1)
            np.multiply(dh, squashed[t + 1], out=du)  # by o
            np.square(squashed[t + 1], out=slope)
            np.subtract(1, slope, out=slope)
            slope *= o
            slope *= dh
            dc += slope
            sigmoid_slope(o, du, slope)
            np.multiply(dc, g, out=du)  # by i, before g is written over
            np.square(g, out=g)
            np.subtract(1, g, out=g)
            g *= i
            g *= dc
            sigmoid_slope(i, du, slope)
            np.multiply(dc, c[t], out=du)
            dc *= f
            sigmoid_slope(f, du, slope)
            z[t].dot(recurrent.T, out=dh)
        flat = z.reshape(steps * n, -1)
        self.h[:-1].reshape(steps * n, units).T.dot(flat, out=d_recurrent)
        flat.sum(axis=0, out=db)
        return self.end(z, wanted)


def sigmoid_slope(a: Array, d: Array, scratch: Array) -> None:
    """a becomes d * a * (1 - a)."""
    np.subtract(1, a, out=scratch)
    a *= scratch
    a *= d


class GRU(Recurrent):
    def forward(self, x: Array) -> Array:
        _, recurrent, b = self.weights
        n, steps, units = len(x), x.shape[1], self.spec.units
        z = self.z = self.begin(x, b[0], 3 * units)
        h = self.h = self.empty("h", steps + 1, n, units, like=b)  # the first one stays zero
        u = self.u = self.empty("u", steps, n, 3 * units, like=b)  # h . recurrent_kernel + its bias
        scratch = self.empty("scratch", n, units, like=b)
        half = np.array(0.5, b.dtype)
        for t in range(steps):
            h[t].dot(recurrent, out=u[t])
            u[t] += b[1]
            both, new = z[t, :, : 2 * units], z[t, :, 2 * units :]
            both += u[t, :, : 2 * units]
            gates(both, half, half)
            new += np.multiply(both[:, units:], u[t, :, 2 * units :], out=scratch)
            np.tanh(new, out=new)
            np.subtract(h[t], new, out=scratch)
            scratch *= both[:, :units]
            np.add(new, scratch, out=h[t + 1])
        return h[-1]

    def backward(self, d: Array, wanted: bool = True) -> Array:
        """z becomes the gradient by x . kernel, u that by h . recurrent_kernel."""
        _, recurrent, _ = self.weights
        _, d_recurrent, db = self.gradients
        z, u, h = self.z, self.u, self.h
        steps, n, units = len(z), len(d), self.spec.units
        dh, dn, slope, through = (self.empty(name, n, units, like=d) for name in ("dh", "dn", "slope", "through"))
        dh[...] = d
        for t in reversed(range(steps)):
            (update, reset, new), inner = np.split(z[t], 3, axis=1), u[t, :, 2 * units :]
            np.subtract(1, update, out=dn)
            dn *= dh
            np.square(new, out=slope)
            np.subtract(1, slope, out=slope)
            dn *= slope  # by what is in the tanh
            np.subtract(h[t], new, out=through)
            through *= dh
            dh *= update
            sigmoid_slope(update, through, slope)
            np.multiply(dn, inner, out=through)
            np.multiply(dn, reset, out=inner)
            sigmoid_slope(reset, through, slope)
            new[...] = dn
            u[t, :, : 2 * units] = z[t, :, : 2 * units]
            dh += u[t].dot(recurrent.T, out=self.empty("back", n, units, like=d))
        flat = u.reshape(steps * n, -1)
        h[:-1].reshape(steps * n, units).T.dot(flat, out=d_recurrent)
        z.reshape(steps * n, -1).sum(axis=0, out=db[0])
        flat.sum(axis=0, out=db[1])
        return self.end(z, wanted)


class Norm(Layer):
    """Each line less its mean, over its deviation, by gamma, and beta."""

    def forward(self, x: Array) -> Array:
        gamma, beta = self.weights
        self.x, self.a = (self.empty(name, *x.shape, like=x) for name in "xa")
        np.subtract(x, x.sum(axis=1, keepdims=True) / x.shape[1], out=self.x)
        variance = np.einsum("ij,ij->i", self.x, self.x)[:, None] / x.shape[1]
        self.inverse = 1 / np.sqrt(variance + NORM_EPSILON)
        self.x *= self.inverse
        np.multiply(self.x, gamma, out=self.a)
        self.a += beta
        return self.a

    def backward(self, d: Array, wanted: bool = True) -> Array:
        """`d` becomes the gradient by x."""
        d_gamma, d_beta = self.gradients
        d.sum(axis=0, out=d_beta)
        np.einsum("ij,ij->j", d, self.x, out=d_gamma)
        d *= self.weights[0]
        along = np.einsum("ij,ij->i", d, self.x)[:, None] / d.shape[1]
        d -= d.sum(axis=1, keepdims=True) / d.shape[1]
        self.x *= along
        d -= self.x
        d *= self.inverse
        return d


class Block(Layer):
    def __init__(self, spec: networks.Block, row: Row, weights: list[Array], gradients: list[Array]):
        super().__init__(spec, row, weights, gradients)
        features, inner, linear = row[1], spec.heads * spec.key, networks.Dense(0)
        widths = [inner, inner, inner, features, features, spec.feed_forward, features, features]
        parts: list[Layer] = []
        for k, units in enumerate(widths):
            pairs = []
            for kernel, b in (weights[2 * k : 2 * k + 2], gradients[2 * k : 2 * k + 2]):
                pairs.append([kernel.reshape(-1, units) if kernel.ndim > 1 else kernel, b.reshape(-1)])
            kind = Norm if k in (4, 7) else Dense
            parts.append(kind(linear._replace(activation="relu") if k == 5 else linear, (units,), *pairs))
        self.query, self.key, self.value, self.output, self.norm, self.inner, self.outer, self.last = parts

    def by_head(self, flat: Array) -> Array:
        """(rows, heads, steps, key), of (rows * steps, heads * key)."""
        return flat.reshape(-1, self.row[0], self.spec.heads, self.spec.key).swapaxes(1, 2)

    def forward(self, x: Array) -> Array:
        n, steps, features = x.shape
        lines = x.reshape(-1, features)
        query, key, value = (self.by_head(part.forward(lines)) for part in (self.query, self.key, self.value))
        query *= self.spec.key**-0.5
        p = self.p = self.empty("p", n, self.spec.heads, steps, steps, like=x)
        np.matmul(query, key.swapaxes(2, 3), out=p)
        p -= p.max(axis=3, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=3, keepdims=True)
        context = self.empty("context", n * steps, self.spec.heads * self.spec.key, like=x)
        np.matmul(p, value, out=self.by_head(context))
        self.operands = query, key, value
        seen = self.output.forward(context)
        seen += lines
        middle = self.norm.forward(seen)
        given = self.outer.forward(self.inner.forward(middle))
        given += middle
        return self.last.forward(given).reshape(x.shape)

    def backward(self, d: Array, wanted: bool = True) -> Array:
        query, key, value = self.operands
        d = self.last.backward(d.reshape(-1, d.shape[-1]))
        d_middle = self.inner.backward(self.outer.backward(d))
        d_middle += d
        d = self.norm.backward(d_middle)
        d_context = self.by_head(self.output.backward(d))
        dp = self.empty("dp", *self.p.shape, like=d)
        flat = [self.empty(f"d{k}", len(d), self.spec.heads * self.spec.key, like=d) for k in range(3)]
        d_query, d_key, d_value = map(self.by_head, flat)
        np.matmul(self.p.swapaxes(2, 3), d_context, out=d_value)
        np.matmul(d_context, value.swapaxes(2, 3), out=dp)
        dp *= self.p
        self.p *= dp.sum(axis=3, keepdims=True)
        dp -= self.p
        np.matmul(dp.swapaxes(2, 3), query, out=d_key)
        np.matmul(dp, key, out=d_query)
        d_query *= self.spec.key**-0.5
        for part, each in zip((self.query, self.key, self.value), flat, strict=True):
            dx = part.backward(each, wanted)
            if wanted:
                d += dx
        return d.reshape(-1, *self.row)
