"""Optimizers whose step looks at a whole variable: its length, the means of its rows and columns, its directions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from fastnn import kernels
from fastnn._checks import MOST, check_count, check_flag, check_number, check_text, shown
from fastnn._numbers import as_numbers
from fastnn.engine.description import Variable
from fastnn.optimizers.adam import AdamLike
from fastnn.optimizers.base import OPTIMIZERS, Optimizer
from fastnn.optimizers.steps import path_of
from fastnn.typing import DoubleArray

__all__ = ["Adafactor", "Lamb", "Muon"]


@OPTIMIZERS.add("lamb")
@dataclass
class Lamb(AdamLike):
    """u = m_hat / (sqrt(v_hat) + epsilon); w -= learning_rate * |w| / |u| * u, with the length of each variable.

    m_hat, v_hat: Adam's averages, freed of their bias. |w| / |u| is 1 where one of the two is 0. beta_1, beta_2: 0 to
    below 1. For large batches. Source: You et al. 2020, algorithm 2; names and defaults are Keras's.
    """

    kernel = kernels.lamb
    slots = ("momentum", "velocity")

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        m, v = slots
        m[...] = self.beta_1 * m + (1 - self.beta_1) * g
        v[...] = self.beta_2 * v + (1 - self.beta_2) * g**2
        u = m / (1 - self.beta_1**t) / (np.sqrt(v / (1 - self.beta_2**t)) + self.epsilon)
        length, size = np.sqrt((w**2).sum()), np.sqrt((u**2).sum())
        ratio = length / size if length > 0 and size > 0 else 1.0
        return np.asarray(w - self.learning_rate * ratio * u)


@OPTIMIZERS.add("adafactor")
@dataclass
class Adafactor(Optimizer):
    """u = g / sqrt(v); w -= rate * max(epsilon_2, rms(w)) * u / max(1, rms(u) / clip_threshold), variable by variable.

    v averages g^2 + epsilon_1, the average's share being 1 - t^beta_2_decay; of a matrix only the means of its rows and
    of its columns are kept, and v is their product by the mean of all (of more axes, of each matrix of the last two).
    rate = min(learning_rate, 1 / sqrt(t)); rms: the root of the mean of squares. beta_2_decay: below 0. epsilon_1,
    clip_threshold: above 0; epsilon_2: at least 0. relative_step: changes nothing, as in Keras, whose rate is at most
    1 / sqrt(t) anyway. Source: Shazeer and Stern 2018.
    """

    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True
    kernel = kernels.adafactor
    slots = ("velocity",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "beta_2_decay", float("-inf"), 0, open_low=True, open_high=True)
        check_number(self, "epsilon_1", 1e-37)
        check_number(self, "epsilon_2", 0)
        check_number(self, "clip_threshold", 0, open_low=True)
        check_flag(self, "relative_step")

    def numbers(self) -> tuple[float, ...]:
        return (self.beta_2_decay, self.epsilon_1, self.epsilon_2, self.clip_threshold)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        """As the base says; of a matrix the slot begins with its rows' means, then come its columns'."""
        old, square = 1 - float(t) ** self.beta_2_decay, g**2 + self.epsilon_1
        rows, columns = g.shape[-2:] if g.ndim > 1 else (1, 1)
        if rows > 1 and columns > 1:
            means = slots[0].reshape(*g.shape[:-2], -1)
            r, c = means[..., :rows], means[..., rows : rows + columns]
            r[...] = old * r + (1 - old) * square.mean(axis=-1)
            c[...] = old * c + (1 - old) * square.mean(axis=-2)
            v = (r / r.mean(axis=-1, keepdims=True))[..., None] * c[..., None, :]
        else:
            slots[0][...] = v = old * slots[0] + (1 - old) * square
        u = g / np.sqrt(v)
        rate = min(self.learning_rate, 1 / np.sqrt(t)) * max(self.epsilon_2, _rms(w))
        return np.asarray(w - rate * u / max(1.0, _rms(u) / self.clip_threshold))


def _rms(x: DoubleArray) -> float:
    return float(np.sqrt((x**2).mean()))


@OPTIMIZERS.add("muon")
@dataclass
class Muon(Optimizer):
    """m = momentum * m + g; w -= learning_rate * rms_rate * sqrt(max(rows, columns)) * X, for matrices.

    X is nearly the orthogonal matrix that is nearest to g + momentum * m (to m, where nesterov is False), by ns_steps
    rounds of X = a X + (b A + c A^2) X, A = X Xt, from X / |X| on; a, b, c are muon_a, muon_b, muon_c. All that is no
    matrix, with exclude_embeddings what has "embedding" in its path, and what one of exclude_layers (regular
    expressions, as "output") is found in, steps by AdamW instead: its rate is learning_rate * adam_lr_ratio, its weight
    decay adam_weight_decay. rms_rate: above 0, or None, where the factor with the root is left out. momentum: 0 to 1;
    adam_beta_1, adam_beta_2: 0 to below 1; ns_steps: 0 to 100. Source: Jordan et al. 2024; rms_rate: Liu et al. 2025.
    Names and defaults are Keras's.
    """

    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    adam_weight_decay: float | None = 0.004
    epsilon: float = 1e-7
    _: KW_ONLY
    weight_decay: float | None = 0.004
    exclude_layers: Any = None
    exclude_embeddings: bool = True
    muon_a: float = 3.4445
    muon_b: float = -4.7750
    muon_c: float = 2.0315
    adam_lr_ratio: float = 1.0
    momentum: float = 0.95
    ns_steps: int = 5
    nesterov: bool = True
    rms_rate: float | None = 0.2
    kernel = kernels.muon
    slots = ("momentum", "velocity")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "adam_beta_1", 0, 1, open_high=True)
        check_number(self, "adam_beta_2", 0, 1, open_high=True)
        if self.adam_weight_decay is not None:
            check_number(self, "adam_weight_decay", 0)
        check_number(self, "epsilon", 0)
        names = [] if self.exclude_layers is None else self.exclude_layers
        if not isinstance(names, (list, tuple)):
            raise TypeError(f"Muon: exclude_layers must be a list of texts, got {shown(names)}")
        vars(self)["exclude_layers"] = [check_text("Muon: exclude_layers", each) for each in names]
        _pattern(self.exclude_layers)
        check_flag(self, "exclude_embeddings")
        for name in ("muon_a", "muon_b", "muon_c"):
            check_number(self, name, float("-inf"), open_low=True, open_high=True)
        check_number(self, "adam_lr_ratio", 0)
        check_number(self, "momentum", 0, 1)
        vars(self)["ns_steps"] = check_count("Muon: ns_steps", self.ns_steps, 0, 100)
        check_flag(self, "nesterov")
        if self.rms_rate is not None:
            check_number(self, "rms_rate", 0, open_low=True)

    def numbers(self) -> tuple[float, ...]:
        return (
            self.momentum,
            self.nesterov,
            self.muon_a,
            self.muon_b,
            self.muon_c,
            self.ns_steps,
            0.0 if self.rms_rate is None else self.rms_rate,
            self.adam_lr_ratio,
            self.adam_beta_1,
            self.adam_beta_2,
            self.epsilon,
        )

    def told(self, variables: Sequence[Variable], given: Sequence[Any] = ()) -> list[Variable]:
        found = []
        for variable in super().told(variables, given):
            matrix = not self._by_adam(variable.path, len(variable.shape))
            decay = self.weight_decay if matrix else self.adam_weight_decay
            found.append(variable._replace(matrix=matrix, decay=decay or 0.0))
        return found

    def _by_adam(self, path: str, axes: int) -> bool:
        excluded = self.exclude_embeddings and "embedding" in path.lower()
        pattern = _pattern(self.exclude_layers)
        return axes != 2 or excluded or (pattern is not None and pattern.search(path) is not None)

    def _should_use_adamw(self, variable: Any) -> bool:
        return self._by_adam(path_of(variable), len(variable.shape))

    def lr_adjust(self, x: Any) -> DoubleArray:
        """A step of a matrix, made as long as Adam's would be: x * rms_rate * sqrt(max(rows, columns))."""
        x = as_numbers(x, "x").astype(float)
        if not x.ndim:
            raise ValueError(f"x must be a matrix, got {shown(x)}")
        return np.asarray(x if self.rms_rate is None else x * np.sqrt(max(x.shape)) * self.rms_rate)

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> DoubleArray:
        """Nearly the orthogonal matrix that is nearest to x, by so many rounds; in float64 NumPy."""
        x = as_numbers(x, "x").astype(float)
        steps = check_count("steps", steps, 0, MOST)
        if x.ndim != 2:
            raise ValueError(f"x must be a matrix, got an array of shape {x.shape}")
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (np.sqrt((x**2).sum()) + 1e-7)
        for _ in range(steps):
            gram = x @ x.T
            x = self.muon_a * x + (self.muon_b * gram + self.muon_c * gram @ gram) @ x
        return np.asarray(x.T if tall else x)

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        """As the base says: of a matrix its own step, of anything else AdamW's."""
        m, v = slots
        if w.ndim != 2:
            m[...] = self.adam_beta_1 * m + (1 - self.adam_beta_1) * g
            v[...] = self.adam_beta_2 * v + (1 - self.adam_beta_2) * g**2
            rate = self.learning_rate * self.adam_lr_ratio
            rate *= np.sqrt(1 - self.adam_beta_2**t) / (1 - self.adam_beta_1**t)
            return np.asarray(w - rate * m / (np.sqrt(v) + self.epsilon))
        m[...] = self.momentum * m + g
        x = self.zeropower_via_newtonschulz5(g + self.momentum * m if self.nesterov else m, self.ns_steps)
        return np.asarray(w - self.learning_rate * self.lr_adjust(x))


def _pattern(names: list[str]) -> Any:
    """What finds one of the names in a path; None for no names. ValueError where one is no regular expression."""
    try:
        return re.compile("|".join(names)) if names else None
    except re.error as error:
        raise ValueError(f"Muon: exclude_layers must be regular expressions, got {shown(names)}: {error}") from None
