"""Keras's side of the trajectories: its own optimizers, losses and activations, for many networks at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from fastnn.activations import Activation, get
from fastnn.losses import Loss
from fastnn.optimizers import Optimizer
from fastnn.optimizers.schedules import LearningRateSchedule
from support.peers import BATCH, BATCHES, EPOCHS, HIDDEN, START, WEIGHT, X, after, targets


@contextmanager
def float64() -> Iterator[None]:
    """Keras in float64 on JAX. With any backend but TensorFlow its operations make float32 of float64 by this table."""
    import jax
    import keras
    from keras.src.backend.common import dtypes

    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        with jax.enable_x64(True), mock.patch.dict(dtypes.BIT64_TO_BIT32_DTYPE, {"float64": "float64"}):
            yield
    finally:
        keras.config.set_floatx(before)


def their_optimizer(optimizer: Optimizer) -> Any:
    """Keras's optimizer of the same arguments."""
    import keras

    given = {name: value for name, value in vars(optimizer).items() if value is not None}
    rate = optimizer.learning_rate
    if isinstance(rate, LearningRateSchedule):
        given["learning_rate"] = getattr(keras.optimizers.schedules, type(rate).__name__)(**rate.get_config())
    return getattr(keras.optimizers, type(optimizer).__name__)(**given)


def their_loss(loss: Loss) -> Any:
    import keras

    given = {field.name: getattr(loss, field.name) for field in dataclasses.fields(loss)}
    return getattr(keras.losses, type(loss).__name__)(**given)


def their_activation(activation: Activation) -> Callable[[Any], Any]:
    import keras

    function = keras.src.activations.ALL_OBJECTS_DICT[activation.table_name]
    given = dataclasses.asdict(activation) if dataclasses.is_dataclass(activation) else {}
    return lambda z: function(z, **given)


def paths(optimizers: Sequence[Optimizer], losses: Sequence[Loss], activations: Sequence[Activation]) -> np.ndarray:
    """Keras's weights at the end of each epoch, as `peers.trained` gives ours, for every choice of the three.

    (optimizers, losses, activations, epochs, all weights).
    """
    with float64():
        networks = Networks(optimizers, losses, activations)
        path = []
        for _ in range(EPOCHS):
            for batch in range(BATCHES):
                networks.differentiate(slice(batch * BATCH, (batch + 1) * BATCH))
                networks.step()
            path.append(networks.flat())
        networks.average()
        return np.stack([*path[:-1], networks.flat()], axis=3)


class Networks:
    """The networks of all choices. Arrays start with the axes (optimizers, losses, activations).

    All networks of one activation go through it at once, and all of one loss, and all of one optimizer: each of the
    three is compiled by itself, not each choice of them.
    """

    def __init__(self, optimizers: Sequence[Any], losses: Sequence[Loss], activations: Sequence[Activation]) -> None:
        self.shape = (len(optimizers), len(losses), len(activations))
        self.weights = [np.broadcast_to(w.astype(float), (*self.shape, *w.shape)).copy() for w in START]
        self.gradients = [np.empty_like(w) for w in self.weights]
        self.hidden = np.empty((*self.shape, BATCH, HIDDEN))
        self.targets = [targets(loss).astype(float) for loss in losses]
        self.layers = [_layer(their_activation(activation)) for activation in activations]
        self.ends = [_end(their_loss(loss), their_activation(get(after(loss)))) for loss in losses]
        self.rules = [_Rule(their_optimizer(optimizer), self.shape[1:]) for optimizer in optimizers]

    def differentiate(self, rows: slice) -> None:
        """The gradients of all on a batch."""
        x, row_weight = X[rows].astype(float), WEIGHT[rows].astype(float)
        (kernel, bias, *last), (d_kernel, d_bias, *d_last) = self.weights, self.gradients
        for a, (forward, _) in enumerate(self.layers):
            self.hidden[:, :, a] = forward(kernel[:, :, a], bias[:, :, a], x)
        for n, end in enumerate(self.ends):
            found = end(self.hidden[:, n], *(w[:, n] for w in last), self.targets[n][rows], row_weight)
            self.hidden[:, n], d_last[0][:, n], d_last[1][:, n] = found
        for a, (_, backward) in enumerate(self.layers):
            d_kernel[:, :, a], d_bias[:, :, a] = backward(kernel[:, :, a], bias[:, :, a], self.hidden[:, :, a], x)

    def step(self) -> None:
        for o, rule in enumerate(self.rules):
            self._set(o, rule.step([g[o] for g in self.gradients], [w[o] for w in self.weights]))

    def average(self) -> None:
        """What the end of training does: averages take the weights' place."""
        for o, rule in enumerate(self.rules):
            self._set(o, rule.averages())

    def _set(self, o: int, values: Sequence[Any]) -> None:
        for w, value in zip(self.weights, values, strict=False):
            w[o] = value

    def flat(self) -> np.ndarray:
        return np.concatenate([w.reshape(*self.shape, -1) for w in self.weights], axis=-1)


class _Rule:
    """An optimizer of Keras, with a state for each network."""

    def __init__(self, optimizer: Any, shape: tuple[int, int]) -> None:
        import keras

        optimizer.build([keras.Variable(w.astype(float)) for w in START])
        self.optimizer = optimizer
        self.state = [np.broadcast_to(v, (*shape, *v.shape)) for v in map(np.asarray, optimizer.variables)]
        self.apply = _over_networks(optimizer.stateless_apply, 3)

    def step(self, gradients: Sequence[Any], weights: Sequence[Any]) -> Sequence[Any]:
        new, self.state = self.apply(self.state, gradients, weights)
        return new

    def averages(self) -> Sequence[Any]:
        """The running averages of the weights; nothing if the optimizer keeps none."""
        kept = {id(v) for v in self.optimizer._model_variables_moving_average} if self.optimizer.use_ema else set()
        return [value for v, value in zip(self.optimizer.variables, self.state, strict=True) if id(v) in kept]


def _layer(activation: Callable[[Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(kernel, bias, x) -> output; and (kernel, bias, slope by the output, x) -> slopes by kernel and bias."""
    import jax

    def forward(kernel: Any, bias: Any, x: Any) -> Any:
        return activation(x @ kernel + bias)

    def backward(kernel: Any, bias: Any, slope: Any, x: Any) -> Any:
        return jax.vjp(lambda k, b: forward(k, b, x), kernel, bias)[1](slope)

    return _over_networks(forward, 2, 1), _over_networks(backward, 3, 1)


def _end(loss: Any, activation: Callable[[Any], Any]) -> Callable[..., Any]:
    """(hidden, kernel, bias, y, sample_weight) -> the loss's slopes by the first three."""
    import jax

    def value(hidden: Any, kernel: Any, bias: Any, y: Any, weight: Any) -> Any:
        return loss(y, activation(hidden @ kernel + bias), weight)

    return _over_networks(jax.grad(value, argnums=(0, 1, 2)), 3, 2)


def _over_networks(function: Callable[..., Any], own: int, shared: int = 0) -> Callable[..., Any]:
    """The function compiled for many networks: `own` arguments with an entry for each, and `shared` ones after them."""
    import jax

    axes = (0,) * own + (None,) * shared
    return jax.jit(jax.vmap(jax.vmap(function, axes), axes))
