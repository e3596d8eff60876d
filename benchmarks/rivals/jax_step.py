"""JAX: a jitted step that Python calls for each batch. It is JAX's form for convolutions, which are slow inside a scan.

A perceptron's scan is faster, and a prediction is the same program: `jax_scan` has both.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Fit
from benchmarks.rivals import Trainer, Unable
from benchmarks.rivals.jax_layers import start_of, step_of


def fit(case: Fit) -> Trainer:
    if case.network.sizes:
        raise Unable("a scan over all steps is faster for perceptrons")
    x, y = map(jnp.asarray, case.data(case.rows))
    step = jax.jit(step_of(case, lambda parameters: parameters), donate_argnums=0)
    random = np.random.default_rng(0)
    state: Any = None

    def reset() -> None:
        nonlocal state
        state = start_of(case.weights)

    def run(shuffle: bool) -> float:
        nonlocal state
        one = random.permutation if shuffle else np.arange
        for _ in range(case.epochs):
            order, losses = one(case.rows).astype(np.int32), []
            for start in range(0, case.rows, case.batch_size):
                state, loss = step(state, order[start : start + case.batch_size], x, y)
                losses.append(loss)
        return sum(map(float, losses)) / case.rows

    return Trainer(reset, run)
