"""JAX: the layers of a network as functions, and a step of Adam, for `jax_scan` and `jax_step`.

Tried on a Zen 5: a pool by `maximum` of strided slices is as fast as `max` over reshaped windows or up to 1.4 times as
fast; `reduce_window`, whose way back scatters, takes 1.2 to 1.9 times as long. The steps of a recurrence are a
`lax.scan`, behind one product for the inputs of all of them.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import product
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.cases import LOSSES, Case
from benchmarks.networks import GRU, LSTM, Block, Conv, Dense, Embedding, Flatten, GlobalAverage, Pool
from benchmarks.numpy_net import BETA_1, BETA_2, EPSILON, LEARNING_RATE

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "linear": lambda z: z,
    "sigmoid": jax.nn.sigmoid,
    "softmax": jax.nn.softmax,
}
SGD_RATE = 0.01  # Keras's
NORM_EPSILON = 1e-3  # Keras's


def raw_output(case: Case, weights: Sequence[Any], x: Any) -> Any:
    """What comes before the last activation."""
    arrays = iter(weights)
    *layers, last = case.network.layers
    for layer in (*layers, last._replace(activation="linear")):
        x = given(layer, x, arrays)
    return x


def output(case: Case, weights: Sequence[Any], x: Any) -> Any:
    return ACTIVATIONS[LOSSES[case.loss][0]](raw_output(case, weights, x))


def given(layer: Any, x: Any, arrays: Iterator[Any]) -> Any:
    """Of a layer that takes its weights from `arrays`."""
    match layer:
        case Dense(_, activation):
            return ACTIVATIONS[activation](x @ next(arrays) + next(arrays))
        case Conv(_, _, activation):
            axes = "HW"[: x.ndim - 2]
            names = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
            z = lax.conv_general_dilated(x, next(arrays), [1] * len(axes), "VALID", dimension_numbers=names)
            return ACTIVATIONS[activation](z + next(arrays))
        case Pool(size):
            return pooled(x, size)
        case GlobalAverage():
            return x.mean(axis=tuple(range(1, x.ndim - 1)))
        case Flatten():
            return x.reshape(len(x), -1)
        case Embedding():
            return next(arrays)[x]
        case LSTM(units):
            return lstm(x, units, *(next(arrays) for _ in range(3)))
        case GRU(units):
            return gru(x, units, *(next(arrays) for _ in range(3)))
        case Block():
            return block(layer, x, [next(arrays) for _ in range(16)])
    raise TypeError(layer)


def pooled(x: Any, size: int) -> Any:
    """The largest of the first cells of all windows, their second ones and so on."""
    places = [n // size for n in x.shape[1:-1]]
    cells = (
        x[:, *(slice(k, size * n, size) for k, n in zip(cell, places, strict=True))]
        for cell in product(range(size), repeat=len(places))
    )
    return reduce(jnp.maximum, cells)


def recurrence(x: Any, kernel: Any, bias: Any, start: Any, step: Callable[[Any, Any], Any]) -> Any:
    """The state behind the last step; z of all steps is one product."""
    z = x.swapaxes(0, 1) @ kernel + bias
    return lax.scan(lambda state, z: (step(state, z), None), start, z)[0]


def lstm(x: Any, units: int, kernel: Any, recurrent: Any, bias: Any) -> Any:
    def step(state: Any, z: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(z + h @ recurrent, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    zeros = jnp.zeros((len(x), units))
    return recurrence(x, kernel, bias, (zeros, zeros), step)[0]


def gru(x: Any, units: int, kernel: Any, recurrent: Any, bias: Any) -> Any:
    def step(h: Any, z: Any) -> Any:
        u = h @ recurrent + bias[1]
        update, reset = jnp.split(jax.nn.sigmoid(z[:, : 2 * units] + u[:, : 2 * units]), 2, axis=1)
        new = jnp.tanh(z[:, 2 * units :] + reset * u[:, 2 * units :])
        return update * h + (1 - update) * new

    return recurrence(x, kernel, bias[0], jnp.zeros((len(x), units)), step)


def norm(x: Any, gamma: Any, beta: Any) -> Any:
    x = x - x.mean(axis=-1, keepdims=True)
    return x * lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + NORM_EPSILON) * gamma + beta


def block(layer: Block, x: Any, weights: Sequence[Any]) -> Any:
    query, key, value = (
        jnp.einsum("nte,ehk->nhtk", x, kernel) + bias[:, None]
        for kernel, bias in (weights[:2], weights[2:4], weights[4:6])
    )
    p = jax.nn.softmax(jnp.einsum("nhtk,nhsk->nhts", query * layer.key**-0.5, key))
    seen = jnp.einsum("nhts,nhsk->nthk", p, value).reshape(*x.shape[:2], -1)
    x = norm(x + seen @ weights[6].reshape(seen.shape[-1], -1) + weights[7], *weights[8:10])
    return norm(x + jax.nn.relu(x @ weights[10] + weights[11]) @ weights[12] + weights[13], *weights[14:])


def mean_loss(name: str, z: Any, y: Any) -> Any:
    """Of raw outputs."""
    if name == "mean_squared_error":
        return jnp.mean((z - y) ** 2)
    if name == "binary_crossentropy":
        return jnp.mean(jax.nn.softplus(z) - z * y)
    of_label = jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(z, axis=1) - of_label)


def adam(parameters: Any, gradient: Any, m: Any, v: Any, t: Any) -> tuple[Any, Any, Any]:
    step_size = LEARNING_RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
    m = jax.tree.map(lambda m, g: m + (1 - BETA_1) * (g - m), m, gradient)
    v = jax.tree.map(lambda v, g: v + (1 - BETA_2) * (g * g - v), v, gradient)
    new = jax.tree.map(lambda w, m, v: w - step_size * m / (jnp.sqrt(v) + EPSILON), parameters, m, v)
    return new, m, v


def start_of(weights: Any) -> Any:
    """Weights, Adam's two slots, steps done."""
    zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    return jax.block_until_ready((jax.tree.map(jnp.array, weights), *zeros, jnp.float32(0)))


def step_of(case: Case, unravel: Callable[[Any], Any]) -> Callable[..., Any]:
    """(state, chosen rows, x, y) -> (state, the sum of the rows' losses)."""

    def step(state: Any, chosen: Any, x: Any, y: Any) -> Any:
        parameters, m, v, t = state

        def loss_of(parameters: Any) -> Any:
            return mean_loss(case.loss, raw_output(case, unravel(parameters), x[chosen]), y[chosen])

        loss, gradient = jax.value_and_grad(loss_of)(parameters)
        if case.optimizer == "sgd":
            parameters = jax.tree.map(lambda w, g: w - SGD_RATE * g, parameters, gradient)
            return (parameters, m, v, t), loss * prod(chosen.shape)
        return (*adam(parameters, gradient, m, v, t + 1), t + 1), loss * prod(chosen.shape)

    return step
