"""Layers as formulas over another library's arrays: what ``predict`` does, one function for each kind.

Each is given the library's functions by NumPy's names (xp), the layer, the arrays that it reads, rows first, and its
weights by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from fastnn import layers as L
from fastnn.exchange.array_pictures import PICTURES
from fastnn.exchange.array_units import FUNCTIONS, activated, largest
from fastnn.layers._axes import row_axes, row_axis
from fastnn.layers.attention import TanhScores, Weighting
from fastnn.layers.preprocessing import EPSILON
from fastnn.layers.recurrent import GRUSteps, LSTMSteps, SimpleRNNSteps
from fastnn.layers.time_distributed import Step

Formula = Callable[..., Any]


def _row(x: Any) -> tuple[int, ...]:
    return tuple(x.shape[1:])


def _ended(xp: Any, layer: Any, z: Any, bias: Any) -> Any:
    """With the bias and the layer's activation."""
    return activated(xp, layer.activation, z if bias is None else z + bias)


# Axes.


def _own(layer: Any, axis: Any, x: Any) -> tuple[int, ...]:
    """The axes that a layer names, as those of an array."""
    return tuple(each + 1 for each in row_axes(layer, axis, _row(x)))


def _spread(w: Any, x: Any, axes: Sequence[int]) -> Any:
    """Weights of these axes, as an array that goes with x."""
    return w.reshape(tuple(size if axis in axes else 1 for axis, size in enumerate(x.shape)))


def _alike(xs: Sequence[Any]) -> list[Any]:
    """With as many axes as the one that has most, the new ones behind that of the rows."""
    axes = max(x.ndim for x in xs)
    return [x.reshape((len(x), *(1,) * (axes - x.ndim), *x.shape[1:])) for x in xs]


def _merge(function: Callable[[Any, Any, Any], Any]) -> Formula:
    return lambda xp, layer, *xs: reduce(lambda a, b: function(xp, a, b), _alike(xs))


def _dot(xp: Any, layer: Any, x: Any, y: Any) -> Any:
    axes = layer.axes if isinstance(layer.axes, (tuple, list)) else (layer.axes, layer.axes)
    pairs = zip((x, y), axes, strict=True)
    x, y = (xp.moveaxis(each, row_axis(layer, axis, _row(each)) + 1, -1) for each, axis in pairs)
    shape = (len(x), *x.shape[1:-1], *y.shape[1:-1])
    if layer.normalize:
        x, y = (_unit(xp, each, (-1,)) for each in (x, y))
    x, y = (each.reshape((len(each), -1, each.shape[-1])) for each in (x, y))
    return (x @ xp.swapaxes(y, 1, 2)).reshape(shape if len(shape) > 1 else (*shape, 1))


def _softmax(xp: Any, layer: Any, x: Any) -> Any:
    axes = _own(layer, layer.axis, x)
    e = xp.exp(x - xp.amax(x, axes, keepdims=True))
    return e / xp.sum(e, axes, keepdims=True)


def _operation(xp: Any, layer: Any, *xs: Any) -> Any:
    arguments = dict(layer.arguments or {})
    if layer.operation == "reduce":
        how = {"max": "amax", "min": "amin"}.get(arguments["how"], str(arguments["how"]))
        axes = tuple(axis + 1 for axis in arguments["axes"])
        return getattr(xp, how)(xs[0], axes, keepdims=arguments["keepdims"]) if axes else xs[0]
    if layer.operation == "slice":
        return _sliced(xp, xs[0], arguments["parts"])
    return FUNCTIONS[layer.operation](xp, *xs, **arguments)


def _sliced(xp: Any, x: Any, parts: Sequence[Any]) -> Any:
    """A part of each axis: [first, how many, step], one place, or "new" for a new axis."""
    axis = 1
    for part in parts:
        if isinstance(part, (list, tuple)):
            first, count, step = part
            x = xp.take(x, xp.constant(np.arange(first, first + count * step, step)[:count], None), axis)
        elif part == "new":
            x = x[(*(slice(None),) * axis, None)]
        else:
            x, axis = x[(*(slice(None),) * axis, part)], axis - 1
        axis += 1
    return x


# Preparation and normalisation.


def _normalization(xp: Any, layer: Any, x: Any, mean: Any = None, variance: Any = None, **_: Any) -> Any:
    axes = () if layer.axis in (None, ()) else row_axes(layer, layer.axis, _row(x))
    own = [size if axis in axes else 1 for axis, size in enumerate(_row(x))]
    if layer.given is not None:
        sizes = [size for size in own if size > 1] or [1]
        mean, variance = (xp.constant(np.broadcast_to(np.asarray(each, float), sizes), x) for each in layer.given)
    mean, scale = mean.reshape(tuple(own)), xp.sqrt(variance).reshape(tuple(own))
    scale = xp.where(scale > EPSILON, scale, EPSILON)
    return x * scale + mean if layer.invert else (x - mean) / scale


def _rescaling(xp: Any, layer: Any, x: Any) -> Any:
    return x * xp.constant(np.asarray(layer.scale), x) + xp.constant(np.asarray(layer.offset), x)


def _encoded(xp: Any, layer: Any, x: Any) -> Any:
    rows = xp.take(xp.constant(np.eye(layer.num_tokens), x), xp.integers(x).reshape(-1), 0)
    rows = rows.reshape((*x.shape, layer.num_tokens))
    if layer.output_mode != "one_hot":
        rows = xp.sum(rows, -2) if layer.output_mode == "count" else xp.amax(rows, -2)
    return rows.reshape((len(x), *layer.output_shape(_row(x))))


def _embedding(xp: Any, layer: Any, x: Any, embeddings: Any) -> Any:
    return xp.take(embeddings, xp.integers(x).reshape(-1), 0).reshape((*x.shape, embeddings.shape[1]))


def _affine(x: Any, gamma: Any, beta: Any, axes: Sequence[int]) -> Any:
    x = x if gamma is None else x * _spread(gamma, x, axes)
    return x if beta is None else x + _spread(beta, x, axes)


def _normed(xp: Any, x: Any, axes: Any, epsilon: float) -> Any:
    x = x - xp.mean(x, axes, keepdims=True)
    return x / xp.sqrt(xp.mean(x * x, axes, keepdims=True) + epsilon)


def _batch(
    xp: Any, layer: Any, x: Any, moving_mean: Any, moving_variance: Any, gamma: Any = None, beta: Any = None
) -> Any:
    axes = _own(layer, layer.axis, x)
    scale = xp.sqrt(_spread(moving_variance, x, axes) + layer.epsilon)
    return _affine((x - _spread(moving_mean, x, axes)) / scale, gamma, beta, axes)


def _layer_norm(xp: Any, layer: Any, x: Any, gamma: Any = None, beta: Any = None) -> Any:
    axes = _own(layer, layer.axis, x)
    return _affine(_normed(xp, x, axes, layer.epsilon), gamma, beta, axes)


def _rms(xp: Any, layer: Any, x: Any, scale: Any) -> Any:
    axes = _own(layer, layer.axis, x)
    return x / xp.sqrt(xp.mean(x * x, axes, keepdims=True) + layer.epsilon) * _spread(scale, x, axes)


def _unit(xp: Any, x: Any, axes: Any) -> Any:
    squares = xp.sum(x * x, axes, keepdims=True)
    return x / xp.sqrt(xp.where(squares > 1e-24, squares, 1e-24))


def _group(xp: Any, layer: Any, x: Any, gamma: Any = None, beta: Any = None) -> Any:
    front = xp.moveaxis(x, row_axis(layer, layer.axis, _row(x)) + 1, 1)
    groups = front.shape[1] if layer.groups == -1 else layer.groups
    normed = _normed(xp, front.reshape((len(x), groups, -1)), (-1,), layer.epsilon).reshape(front.shape)
    return xp.moveaxis(_affine(normed, gamma, beta, (1,)), 1, row_axis(layer, layer.axis, _row(x)) + 1)


def _spectral(xp: Any, layer: Any, x: Any, kernel: Any, vector_u: Any, bias: Any = None) -> Any:
    u = _unit(xp, vector_u[0], (-1,))
    v = xp.stop_gradient(_unit(xp, kernel @ u, (-1,)))
    sigma = v @ kernel @ u
    return _ended(xp, layer.layer, x @ kernel / xp.where(sigma == 0, 1.0, sigma), bias)


# Sequences.


def _recurrent(xp: Any, layer: Any, x: Any, *states: Any, kernel: Any, recurrent_kernel: Any, bias: Any = None) -> Any:
    unit, gate = layer.activation, getattr(layer, "recurrent_activation", None)
    x = x[:, None] if x.ndim == 2 else x  # of a cell
    own = bias if bias is None or bias.ndim == 1 else bias[0]
    z, u = x @ kernel if own is None else x @ kernel + own, layer.units
    other = bias[1] if bias is not None and bias.ndim == 2 else xp.zeros_like(recurrent_kernel[0])
    z = xp.flip(z, (1,)) if layer.go_backwards else z
    states = states or (xp.zeros_like(z[:, 0, :u]),) * layer.states_kept

    def simple(now: Any, z: Any) -> Any:
        return (activated(xp, unit, z + now[0] @ recurrent_kernel),)

    def lstm(now: Any, z: Any) -> Any:
        z = z + now[0] @ recurrent_kernel
        i, f, o = (activated(xp, gate, z[:, k * u : (k + 1) * u]) for k in (0, 1, 3))
        c = f * now[1] + i * activated(xp, unit, z[:, 2 * u : 3 * u])
        return o * activated(xp, unit, c), c

    def gru(now: Any, z: Any) -> Any:
        h, n = now[0], 2 * u
        gates = z[:, :n] + h @ recurrent_kernel[:, :n] + other[:n]
        update, reset = (activated(xp, gate, gates[:, part]) for part in (slice(0, u), slice(u, n)))
        last = recurrent_kernel[:, n:]
        inner = reset * (h @ last + other[n:]) if layer.reset_after else (reset * h) @ last
        return (update * h + (1 - update) * activated(xp, unit, z[:, n:] + inner),)

    step = lstm if isinstance(layer, LSTMSteps) else gru if isinstance(layer, GRUSteps) else simple
    now, given = xp.scan(step, tuple(states), z)
    out = given if layer.return_sequences else now[0]
    return (out, *now) if layer.return_state else out


def _weighting(xp: Any, layer: Any, *given: Any) -> Any:
    count = 2 if layer.scored else 3
    values, masks, n = given[count - 1], given[count:], len(given[0])
    apart = layer.apart or layer.scored

    def parted(x: Any) -> Any:
        x = x.reshape((n, -1, *x.shape[-2:]))
        return x if layer.apart else xp.swapaxes(x, 1, 2)

    v = parted(values)
    if layer.scored:
        scores = given[0].reshape((n, -1, *given[0].shape[-2:]))
    else:
        q = parted(given[0])
        k, v = (_shared(xp, each, q.shape[1]) for each in (parted(given[1]), v))
        scores = layer.scale * (q @ xp.swapaxes(k, 2, 3))
    v = _shared(xp, v, scores.shape[1])
    distance = np.arange(scores.shape[2])[:, None] - np.arange(scores.shape[3])
    seen = xp.constant((distance >= 0) | (not layer.causal), scores) * xp.constant(
        abs(distance) < (layer.window or distance.size + 1), scores
    )
    seen = reduce(lambda a, b: a * b.reshape((n, *(1,) * (4 - b.ndim), *b.shape[1:])), masks, seen[None, None])
    weights = xp.softmax(xp.where(seen != 0, scores, -1e30), -1) * xp.where(seen != 0, 1.0, 0.0)
    out = weights @ v
    out = (out if apart else xp.swapaxes(out, 1, 2)).reshape((n, *layer.output_shape(*map(_row, given))))
    if not layer.return_scores:
        return out
    row = layer.rows_given(_row(out))[1]
    return out, weights.reshape((n, *row))


def _shared(xp: Any, x: Any, heads: int) -> Any:
    """Groups of keys or values, each for as many heads."""
    n, groups, *rest = x.shape
    if groups == heads:
        return x
    x = xp.broadcast_to(x[:, :, None], (n, groups, heads // groups, *rest))
    return x.reshape((n, heads, *rest))


def _tanh_scores(xp: Any, layer: Any, q: Any, k: Any, w: Any) -> Any:
    w = w.reshape((len(w), *(1,) * (q.ndim - 1), w.shape[-1]))
    return xp.sum(w * xp.tanh(q[..., :, None, :] + k[..., None, :, :]), -1)


def _einsum(xp: Any, layer: Any, x: Any, kernel: Any, bias: Any = None) -> Any:
    return _ended(xp, layer, xp.einsum(layer.equation.replace(" ", ""), x, kernel), bias)


FORMULAS: dict[type, Formula] = {
    **PICTURES,
    L.Dense: lambda xp, f, x, kernel, bias=None: _ended(xp, f, x @ kernel, bias),
    L.Softmax: _softmax,
    L.Flatten: lambda xp, f, x: x.reshape((len(x), -1)),
    L.Add: _merge(lambda xp, a, b: a + b),
    L.Subtract: _merge(lambda xp, a, b: a - b),
    L.Multiply: _merge(lambda xp, a, b: a * b),
    L.Average: lambda xp, f, *xs: reduce(lambda a, b: a + b, _alike(xs)) / len(xs),
    L.Maximum: _merge(largest),
    L.Minimum: _merge(lambda xp, a, b: xp.where(b < a, b, a)),
    L.Concatenate: lambda xp, f, *xs: xp.concatenate(xs, f.axis),
    L.Dot: _dot,
    L.Operation: _operation,
    L.Reshape: lambda xp, f, x: x.reshape((len(x), *f.output_shape(_row(x)))),
    L.Permute: lambda xp, f, x: xp.transpose(x, (0, *f.dims)),
    L.RepeatVector: lambda xp, f, x: xp.broadcast_to(x[:, None], (len(x), f.n, x.shape[1])),
    L.Normalization: _normalization,
    L.Rescaling: _rescaling,
    L.CategoryEncoding: _encoded,
    L.Embedding: _embedding,
    L.BatchNormalization: _batch,
    L.LayerNormalization: _layer_norm,
    L.RMSNormalization: _rms,
    L.UnitNormalization: lambda xp, f, x: _unit(xp, x, _own(f, f.axis, x)),
    L.GroupNormalization: _group,
    L.SpectralNormalization: _spectral,
    L.PReLU: lambda xp, f, x, alpha: xp.where(x > 0, x, alpha * x),
    L.Masking: lambda xp, f, x: x * xp.where(xp.amax(xp.abs(x - f.mask_value), (-1,), keepdims=True) > 0, 1.0, 0.0),
    Step: lambda xp, f, x: x[:, f.number],
    L.EinsumDense: _einsum,
    Weighting: _weighting,
    TanhScores: _tanh_scores,
    SimpleRNNSteps: _recurrent,
    LSTMSteps: _recurrent,
    GRUSteps: _recurrent,
}
# What predict leaves as it is.
SAME = ["Identity", "Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization"]
SAME += [f"SpatialDropout{n}D" for n in (1, 2, 3)]
SAME += [f"Random{what}" for what in ("Flip", "Rotation", "Zoom", "Translation", "Contrast", "Brightness")]
FORMULAS |= dict.fromkeys((getattr(L, name) for name in SAME), lambda xp, f, x: x)
FORMULAS |= dict.fromkeys((L.Activation, L.ReLU, L.LeakyReLU, L.ELU), lambda xp, f, x: activated(xp, f.activation, x))
