"""The same training by others: networks of one shape, from the same weights, fastnn in float32, a peer in float64.

In float64, because 20 steps of a peer's own in float32 are up to 1e-3 from where float64 goes, so that there would be
nothing to compare with to 1e-5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.activations import Activation
from fastnn.callbacks import LambdaCallback
from fastnn.layers import Dense
from fastnn.losses import Loss
from fastnn.models import Sequential
from fastnn.optimizers import Optimizer
from support.units import OUTPUT_OF, label, targets_for

INPUTS, HIDDEN, UNITS = 5, 8, 4
BATCH, BATCHES, EPOCHS = 8, 5, 4  # 20 steps

# A draw in which no gradient happens to be a millionth of its terms and no input of a relu to lie in its corner: in
# four draws of nine all choices go together with Keras, in the others 1 to 10 of 5,600 do not.
_RNG = np.random.default_rng(1)
X = _RNG.uniform(-1.2, 1.2, size=(BATCH * BATCHES, INPUTS)).astype("f4")
# No two alike: else the slopes of hinge or mean_absolute_error, 1 or -1 for each row, now and then add up to 0 but for
# rounding, of which an optimizer that divides by the gradient's size makes a whole step.
WEIGHT = _RNG.uniform(0.5, 1.5, len(X)).astype("f4")
WEIGHT[[3, 17, 30]] = 0
# Biases apart from 0, where relu has no slope.
START = [
    _RNG.normal(0, scale, shape).astype("f4")
    for scale, shape in ((0.4, (INPUTS, HIDDEN)), (0.3, HIDDEN), (0.5, (HIDDEN, UNITS)), (0.3, UNITS))
]
ENDS = np.cumsum([w.size for w in START])


def after(loss: Loss) -> str:
    """The activation before a loss: its own where it has one."""
    return "linear" if loss.logits else OUTPUT_OF.get(loss.table_name, "linear")


def targets(loss: Loss) -> np.ndarray:
    y = targets_for(loss, len(X), UNITS, np.random.default_rng(2)).astype("f4")
    # A 0 in place of -1 is Keras's only in a batch of nothing but 0 and 1.
    return np.where(y == 0, -1, y) if loss.table_name in ("hinge", "squared_hinge") else y


def trained(
    optimizer: Optimizer, loss: Loss, activation: Activation, batch_size: int = BATCH, epochs: int = EPOCHS
) -> np.ndarray:
    """fastnn's weights at the end of each epoch, the last of them as the fit leaves them: (epochs, all weights)."""
    model = Sequential([Dense(HIDDEN, activation, input_dim=INPUTS), Dense(UNITS, after(loss))])
    model.compile(dataclasses.replace(optimizer), loss)
    model.set_weights(START)
    path: list[np.ndarray] = []
    record = LambdaCallback(on_epoch_end=lambda epoch, logs: path.append(flat(model.get_weights())))
    model.fit(X, targets(loss), batch_size, epochs, 0, [record], shuffle=False, sample_weight=WEIGHT)
    return np.array([*path[:-1], flat(model.get_weights())])


def flat(weights: Sequence[Any]) -> np.ndarray:
    return np.concatenate([np.asarray(w, float).ravel() for w in weights])


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of two paths in any parameter (kernel or bias), relative to its largest weight."""
    parts = zip(np.split(ours, ENDS[:-1], axis=-1), np.split(theirs, ENDS[:-1], axis=-1), strict=True)
    return max((np.abs(a - b).max(axis=-1) / np.abs(b).max(axis=-1)).max() for a, b in parts)


def assert_together(
    optimizer: Optimizer, loss: Loss, activations: Sequence[Activation], theirs: np.ndarray, **fit: int
) -> None:
    """Assert that fastnn, with each activation, goes where theirs (activations, epochs, all weights) goes."""
    wrong = {}
    for activation, path in zip(activations, theirs, strict=True):
        assert apart(path[-1], flat(START)) > 0.01, f"{label(activation)}: hardly a step to compare"
        difference = apart(trained(optimizer, loss, activation, **fit), path)
        if not difference <= 1e-5:
            wrong[label(activation)] = difference
    assert not wrong, f"relative differences {wrong}"
