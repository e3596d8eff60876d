"""Low-rank factorisation: a dense layer as two thin ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._checks import as_number, check_count, shown
from fastnn.compress import masks
from fastnn.compress.copies import alike, array_of, rebuilt, take_weights
from fastnn.layers import Dense, Layer
from fastnn.layers.tensor import called
from fastnn.typing import DoubleArray

__all__ = ["factorize"]


def factorize(model: Any, rank: int | None = None, energy: float | None = None, layers: Any = None) -> Any:
    """A new model in which Dense layers are two, of fewer weights: kernel (in, out) becomes (in, rank) . (rank, out).

    The factors are U sqrt(S) and sqrt(S) V of the singular value decomposition, cut after `rank` values: of all kernels
    of that rank the nearest by the Frobenius norm (Eckart and Young 1936). energy: in place of a rank, the share of the
    sum of squared singular values that stays, above 0 and at most 1, 0.95 where neither is given; the norm of what is
    lost is then at most sqrt(1 - energy) that of the kernel. layers: names or layers, all Dense layers without it.

    A layer is left as it is where rank (in + out) >= in out, which would save nothing, and where it is within another
    layer. "dense" becomes "dense_in", without bias and activation, and "dense", which keep its kernel_regularizer and
    not its kernel_constraint. Compiled as the model is, with a new optimizer; some epochs of ``fit`` bring back what
    was lost. Source: Denton et al. 2014.

    RuntimeError for a model without weights; ValueError for layers that are not Dense.
    """
    masks.check_built("factorize", model)
    if rank is not None and energy is not None:
        raise ValueError(f"factorize: give rank or energy, not both, got {shown(rank)} and {shown(energy)}")
    rank = None if rank is None else check_count("factorize: rank", rank)
    share = as_number("factorize: energy", 0.95 if energy is None else energy)
    if not 0 < share <= 1:
        raise ValueError(f"factorize: energy must be above 0 and at most 1, got {shown(energy)}")
    chosen = masks.chosen_layers("factorize", model, layers)
    other = next((layer for layer in chosen if type(layer) is not Dense), None) if layers is not None else None
    if other is not None:
        raise ValueError(
            f"factorize: layer {called(other)!r} is no Dense layer but {type(other).__name__}; name others"
        )
    halves: dict[Layer, tuple[Layer, Layer, DoubleArray, DoubleArray]] = {}

    def change(layer: Layer) -> list[Layer]:
        if layer in chosen and type(layer) is Dense:
            with model.description.locked():
                factors = _factors(np.array(array_of(layer, "kernel"), np.float64), rank, share)
            if factors is not None:
                halves[layer] = (*_halves(layer, factors[0].shape[1]), *factors)
                return list(halves[layer][:2])
        return [alike(layer, {})]

    made, pairs = rebuilt(model, change)
    take_weights(made, pairs)
    with model.description.locked(), made.description.locked() as held:
        for layer, (first, second, u, v) in halves.items():
            views = [array_of(first, "kernel"), array_of(second, "kernel")]
            values = [u.astype(np.float32), v.astype(np.float32)]
            if layer.use_bias:
                views.append(array_of(second, "bias"))
                values.append(array_of(layer, "bias"))
            held.assign(views, values)
    return made


def _factors(w: DoubleArray, rank: int | None, share: float) -> tuple[DoubleArray, DoubleArray] | None:
    """The two factors; None where they would be no fewer numbers."""
    if not np.isfinite(w).all():
        return None
    u, s, v = np.linalg.svd(w, full_matrices=False)
    if rank is None:
        energies = np.cumsum(s**2)
        rank = 1 + int((energies < share * energies[-1] * (1 - 1e-12)).sum())
    if rank * sum(w.shape) >= w.size:
        return None
    root = np.sqrt(s[:rank])
    return u[:, :rank] * root, root[:, None] * v[:rank]


def _halves(layer: Any, rank: int) -> tuple[Layer, Layer]:
    same = {"kernel_initializer": layer.kernel_initializer, "kernel_regularizer": layer.kernel_regularizer}
    first = Dense(rank, use_bias=False, name=f"{called(layer)}_in", trainable=layer.trainable, **same)
    return first, alike(layer, {layer: {"kernel_constraint": None, "input_shape": None, "input_dim": None}})
