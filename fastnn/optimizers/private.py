"""Differentially private steps: the gradient of each row is clipped, the sum gets noise; and what that promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn._checks import as_number, check_count, check_number
from fastnn.optimizers.base import OPTIMIZERS
from fastnn.optimizers.momentum import SGD
from fastnn.typing import DoubleArray

__all__ = ["DPSGD", "dp_epsilon"]

# Orders of the divergence, of which the best one counts: those of the libraries, in tenths near 1.
_ORDERS = [*(1 + np.arange(1, 100) / 10), *range(11, 65), 96, 128, 192, 256, 384, 512]
# Below this noise a sample of the rows is hardly better protected than all of them: a bound, 1 % above at most.
_LEAST = 0.02


@OPTIMIZERS.add("dpsgd")
@dataclass
class DPSGD(SGD):
    """SGD on g = (sum over the batch's rows of g_i min(1, clip / |g_i|) + noise * clip * N(0, 1)) / rows of the batch.

    g_i: the gradient of a row's loss, its sample weight in it, by all weights that learn. clip: above 0. noise: at
    least 0; with 0 nothing is private. momentum, nesterov: as in ``SGD``. Slopes of L1 and L2 penalties are added to g
    unclipped; gradients clipped, averaged or accumulated further are no less private. A batch never has a gradient for
    each row in memory: where all that learns is Dense, EinsumDense, Embedding, LayerNormalization, RMSNormalization or
    made of these (MultiHeadAttention), norms are found from the rows and their slopes (Goodfellow 2015; along sequences
    Li et al. 2022); else, and where calls share weights, one row after the other goes through the network, which takes
    some times as long. ``fit`` refuses with ValueError layers that look at the whole batch, layers of one's own, and a
    loss that is no mean over rows. Gradients that are given are of no known rows: ``apply`` raises TypeError.

    The noise is a function of the model's seed and the step, so that a fit goes on to the bit from a backup, which has
    to be kept secret; files and pickles of the model leave the seed out. The operating system chooses it; one of
    ``fastnn.set_random_seed`` has to be kept secret too. Source: Abadi et al. 2016, algorithm 1. ``dp_epsilon`` says
    what it promises.
    """

    noise: float = 1.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "noise", 0)
        check_number(self, "clip", 0, open_low=True)

    @property
    def row_clipping(self) -> tuple[float, float]:
        return self.clip, self.noise

    def _apply(self, steps: Any, grads: Sequence[Any], places: Sequence[Any]) -> None:
        raise TypeError("DPSGD clips the gradient of each row, which a gradient that is given has not; use fit, or SGD")

    def epsilon(self, delta: float, *, rows: int, batch_size: int) -> float:
        """``dp_epsilon`` of the steps taken so far, on batches of `batch_size` of `rows` rows, with this noise."""
        return _epsilon(rows, batch_size, int(self._iterations), self.noise, delta)


def dp_epsilon(*, rows: int, batch_size: int, epochs: int, noise: float, delta: float) -> float:
    """The epsilon for which DPSGD's weights are (epsilon, delta)-differentially private, as to adding or taking a row.

    rows: that are trained on. noise: as in ``DPSGD``; 0 gives infinity. delta: above 0 and below 1; below 1 / rows is
    usual. Steps are counted as if each drew every row by itself with the chance batch_size / rows (Poisson sampling);
    batches of shuffled epochs, which ``fit`` takes, are accounted in the same way by Opacus and TensorFlow Privacy, and
    promise less than the figure in the worst case (Chua et al. 2024). TypeError, ValueError for what is out of range.

    Source: Renyi divergences of the sampled Gaussian mechanism (Mironov, Talwar and Zhang 2019, eq. 6, integrated
    numerically), brought to epsilon by Canonne, Kamath and Steinke 2020, proposition 12.
    """
    steps = check_count("epochs", epochs, 0) * -(-check_count("rows", rows) // check_count("batch_size", batch_size))
    return _epsilon(rows, batch_size, steps, noise, delta)


def _epsilon(rows: int, batch_size: int, steps: int, noise: float, delta: float) -> float:
    noise, delta = as_number("noise", noise), as_number("delta", delta)
    if check_count("batch_size", batch_size) > check_count("rows", rows):
        raise ValueError(f"batch_size must be at most the number of rows, {rows}, got {batch_size}")
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise must be finite and at least 0, got {noise}")
    if not 0 < delta < 1:
        raise ValueError(f"delta must be above 0 and below 1, got {delta}; take less than 1 / rows")
    if steps == 0 or noise == 0:
        return 0.0 if steps == 0 else float("inf")
    orders = np.array([order for order in _ORDERS if order <= 64 or noise > 0.5])
    divergences = steps * np.array([_divergence(batch_size / rows, noise, order) for order in orders])
    found = divergences + np.log1p(-1 / orders) - (np.log(delta) + np.log(orders)) / (orders - 1)
    return max(0.0, float(found.min()))


def _divergence(share: float, noise: float, order: float) -> float:
    """The Renyi divergence of a step: ln E[(1 - share + share e^((2z - 1) / 2 noise^2))^order] / (order - 1), z normal.

    The trapezoid rule is exact to rounding for such an integrand.
    """
    if share == 1 or noise < _LEAST:
        return order / (2 * noise**2)
    step = min(noise, noise**2) / 2
    z: DoubleArray = np.arange(-14 * noise, order + 14 * noise, step)
    ratio = np.logaddexp(np.log1p(-share), np.log(share) + (2 * z - 1) / (2 * noise**2))
    terms = order * ratio - z**2 / (2 * noise**2)
    most = terms.max()
    total = most + np.log(np.exp(terms - most).sum() * step / (noise * np.sqrt(2 * np.pi)))
    return float(max(total, 0.0) / (order - 1))
