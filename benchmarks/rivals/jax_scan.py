"""JAX: all epochs in one jitted `lax.scan` over epochs and steps, its buffers donated.

Tried on a Zen 5: rows gathered per step are as fast as or twice as fast as rows gathered per epoch; one flat vector of
parameters saves a fifth of a small network's step and costs two fifths of mnist's; unrolled steps gain nothing.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from benchmarks.cases import Fit, Predict
from benchmarks.networks import Array, Conv
from benchmarks.rivals import Trainer, Unable
from benchmarks.rivals.jax_layers import output, start_of, step_of

SMALL = 4096  # parameters


def fit(case: Fit) -> Trainer:
    if any(isinstance(layer, Conv) for layer in case.network.layers):
        raise Unable("XLA's convolutions inside a loop take 5 to 28 times as long: see jax_step")
    x, y = map(jnp.asarray, case.data(case.rows))
    weights, unravel = case.weights, lambda parameters: parameters
    if case.parameters < SMALL:
        weights, unravel = ravel_pytree(weights)
    step = step_of(case, unravel)
    whole = case.rows // case.batch_size * case.batch_size
    random = np.random.default_rng(0)
    state: Any = None

    def epoch(state: Any, order: Any, x: Any, y: Any) -> Any:
        state, losses = lax.scan(lambda s, c: step(s, c, x, y), state, order[:whole].reshape(-1, case.batch_size))
        total = losses.sum()
        if whole < case.rows:
            state, loss = step(state, order[whole:], x, y)
            total += loss
        return state, total / case.rows

    @partial(jax.jit, donate_argnums=0)
    def train(state: Any, orders: Any, x: Any, y: Any) -> Any:
        return lax.scan(lambda s, order: epoch(s, order, x, y), state, orders)

    def reset() -> None:
        nonlocal state
        state = start_of(weights)

    def run(shuffle: bool) -> float:
        nonlocal state
        one = random.permutation if shuffle else np.arange
        orders = np.stack([one(case.rows).astype(np.int32) for _ in range(case.epochs)])
        state, losses = train(state, orders, x, y)
        return float(losses[-1])

    return Trainer(reset, run)


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    weights = jax.tree.map(jnp.asarray, case.weights)
    predict = jax.jit(partial(output, case))
    return lambda: np.asarray(predict(weights, x))
