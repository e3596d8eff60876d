"""An optimizer's state as Keras numbers it: the count of steps, the learning rate, then vectors of each variable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastnn._checks import shown
from fastnn.exchange.keras_layout import Group
from fastnn.layers.places import placed
from fastnn.optimizers import Adafactor, Muon, Nadam
from fastnn.typing import Array

WHERE, INNER = "optimizer", "optimizer/inner_optimizer"  # the second of one that scales the loss
LEAST = 2**31 - 1  # Keras counts steps in four bytes


def groups_of(model: Any, known: Sequence[Group]) -> list[tuple[str, str, list[Array]]]:
    """The groups of a compiled and built model's optimizer: path, name and arrays, as Keras has them."""
    given, state = model.optimizer, _state_of(model, known)
    if not hasattr(given, "inner_optimizer"):
        return [(WHERE, given.name, state)]
    own = [np.zeros((), np.int32), np.zeros((), np.float32), given.step_counter.numpy(), given.dynamic_scale.numpy()]
    return [(WHERE, given.name, own + state), (INNER, given.inner_optimizer.name, state)]


def _state_of(model: Any, known: Sequence[Group]) -> list[Array]:
    optimizer = model.description.trainer.optimizer
    count, *rest = optimizer.variables
    found = [np.int32(min(int(count), LEAST)), *(each.numpy() for each in _head(optimizer, rest))]
    for variable, kept in _vectors(model, optimizer, known):
        found += _split(variable.numpy()) if isinstance(optimizer, Adafactor) else [variable.numpy()] if kept else []
    if isinstance(optimizer, Nadam):
        found.append(np.float32(_product(optimizer.beta_1, int(count))))
    return found


def take_state(model: Any, weights: Any, known: Sequence[Group]) -> bool:
    """Go on from the state that a file has for the optimizer; False, and no change, where it has none.

    ValueError where it is another optimizer's.
    """
    outer = model.optimizer
    path = INNER if hasattr(outer, "inner_optimizer") else WHERE
    optimizer = model.description.trainer.optimizer
    count, *rest = optimizer.variables
    head, given = _head(optimizer, rest), weights.count(path)
    if not given:
        return False
    values: list[tuple[Any, Array]] = [(each, weights.array(path, 1 + at, ())) for at, each in enumerate(head)]
    steps = weights.array(path, 0, ())
    at = 1 + len(head)
    if given > at:  # else it was compiled and never trained
        for variable, kept in _vectors(model, optimizer, known):
            if not kept:
                continue
            if isinstance(optimizer, Adafactor):
                values.append((variable, _joined(variable.shape, weights, path, at)))
                at += 3
            else:
                values.append((variable, weights.array(path, at, variable.shape)))
                at += 1
        at += isinstance(optimizer, Nadam)
    if at != given:
        raise ValueError(f"{type(optimizer).__name__} keeps {at} arrays for this model, and the file has {given}")
    if not 0 <= steps < 2**62:
        raise ValueError(f"the optimizer's count of steps must be at least 0, got {shown(steps)}")
    if path == INNER and weights.count(WHERE) > 3:
        values += [
            (outer.step_counter, weights.array(WHERE, 2, ())),
            (outer.dynamic_scale, weights.array(WHERE, 3, ())),
        ]
    for variable, value in values:
        variable.assign(value)
    count.assign(np.int64(steps))
    return True


def _head(optimizer: Any, rest: Any) -> Any:
    """The learning rate, where it is a number."""
    return rest[:1] if isinstance(optimizer.learning_rate, float) else []


def _vectors(model: Any, optimizer: Any, known: Sequence[Group]) -> Iterator[tuple[Any, bool]]:
    """The vectors of each variable in Keras's order, and whether Keras keeps them."""
    vectors = optimizer.variables[1:][len(_head(optimizer, optimizer.variables[1:])) :]
    order = _order(model, known)
    together = len(optimizer.slots[: optimizer.slots_together])
    blocks = [1] * (bool(optimizer.use_ema) + bool(optimizer.gradient_accumulation_steps)) + [together] * bool(together)
    blocks += [1] * (len(optimizer.slots) - together)
    told = optimizer.told(model.description.variables()) if isinstance(optimizer, Muon) else ()
    for width in blocks:
        for place in order:
            for at in range(width):  # of a matrix Muon keeps no velocity
                yield vectors[place * width + at], not (told and width == together and at == 1 and told[place].matrix)
        vectors = vectors[width * len(order) :]


def _order(model: Any, known: Sequence[Group]) -> list[int]:
    """The numbers of the variables that learn, in Keras's order of their layers."""
    rank = {layer: at for at, layer in enumerate(layer for group in known for layer in group.layers)}
    description = model.description
    layers = [
        layer
        for layer in description.plan.parameters
        for parameter in placed(layer).parameters
        if parameter.trainable and layer not in description.frozen
    ]
    return sorted(range(len(layers)), key=lambda at: rank[layers[at]])


def _product(beta: float, steps: int) -> float:
    """What Nadam multiplies from step to step."""
    return float(np.prod(beta * (1 - 0.5 * 0.96 ** np.arange(1.0, min(steps, 10_000) + 1))))


def _split(kept: Array) -> list[Array]:
    """Adafactor's means of rows and of columns, and their product; of what is no matrix, 0, 0 and the means."""
    if kept.ndim < 2:
        return [np.zeros((), np.float32), np.zeros((), np.float32), kept]
    *first, rows, columns = kept.shape
    if rows == 1 or columns == 1:
        return [kept.mean(axis=-1), kept.mean(axis=-2), kept]
    means = kept.reshape(*first, -1)
    r, c = means[..., :rows], means[..., rows : rows + columns]
    mean = r.mean(axis=-1, keepdims=True)
    v = (r / np.where(mean == 0, 1, mean))[..., None] * c[..., None, :]
    return [r, c, v]


def _joined(shape: tuple[int, ...], weights: Any, path: str, at: int) -> Array:
    """What `_split` was given, of a file."""
    if len(shape) < 2:
        return weights.array(path, at + 2, shape)  # type: ignore[no-any-return]
    *first, rows, columns = shape
    r, c = weights.array(path, at, (*first, rows)), weights.array(path, at + 1, (*first, columns))
    if rows == 1 or columns == 1:
        return weights.array(path, at + 2, shape)  # type: ignore[no-any-return]
    found = np.zeros((*first, rows * columns), np.float32)
    found[..., :rows], found[..., rows : rows + columns] = r, c
    return found.reshape(shape)
