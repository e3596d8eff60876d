"""Every unit of every table, in its default configuration and in each other one that is worth a test.

A new entry of a table is tested from the day it is there; a new field asks for a line here (test_tables.py sees to it).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn import optimizers as o
from fastnn._table import TABLES
from fastnn.activations import (
    ACTIVATIONS,
    CELU,
    ELU,
    GELU,
    Activation,
    HardShrink,
    LeakyReLU,
    ReLU,
    SoftShrink,
    Squareplus,
    Threshold,
)
from fastnn.constraints import CONSTRAINTS, MaxNorm, MinMaxNorm, UnitNorm
from fastnn.initializers import (
    INITIALIZERS,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from fastnn.losses import (
    LOSSES,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    Circle,
    GaussianNLL,
    Huber,
    Loss,
    Pinball,
    SparseCategoricalCrossentropy,
    Tversky,
)
from fastnn.metrics import METRICS, Metric
from fastnn.optimizers import OPTIMIZERS
from fastnn.regularizers import L1, L1L2, L2, REGULARIZERS, OrthogonalRegularizer
from support import metrics

OTHERS: dict[Any, list[Any]] = {
    ACTIVATIONS: [
        ReLU(max_value=1.5),
        ReLU(0.25, max_value=2.0, threshold=0.75),
        ReLU(-0.5),
        LeakyReLU(0.01),
        LeakyReLU(0.0),
        LeakyReLU(-0.5),
        ELU(0.3),
        ELU(-2.0),
        CELU(0.3),
        CELU(2.0),
        GELU(approximate=True),
        HardShrink(0.25),
        SoftShrink(0.25),
        Squareplus(0.5),
        Threshold(1.25, 0.3),
        Threshold(-0.5, -2.0),
    ],
    LOSSES: [
        Huber(0.25),
        BinaryCrossentropy(label_smoothing=0.2),
        BinaryCrossentropy(from_logits=True),
        BinaryCrossentropy(from_logits=True, label_smoothing=0.2),
        CategoricalCrossentropy(label_smoothing=0.2),
        CategoricalCrossentropy(from_logits=True),
        CategoricalCrossentropy(from_logits=True, label_smoothing=0.2),
        SparseCategoricalCrossentropy(from_logits=True),
        SparseCategoricalCrossentropy(ignore_class=1),
        SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.4, gamma=1.5, label_smoothing=0.2),
        BinaryFocalCrossentropy(from_logits=True, gamma=0.0),
        BinaryFocalCrossentropy(apply_class_balancing=True, from_logits=True, gamma=0.5, label_smoothing=0.2),
        CategoricalFocalCrossentropy(alpha=0.4, gamma=1.5, label_smoothing=0.2),
        CategoricalFocalCrossentropy(from_logits=True, alpha=0.8, gamma=0.0),
        CategoricalFocalCrossentropy(from_logits=True, gamma=0.5, label_smoothing=0.2),
        CategoricalGeneralizedCrossEntropy(0.7),
        Pinball(0.9),
        GaussianNLL(epsilon=0.1),
        Tversky(alpha=0.3, beta=0.9),
        Circle(gamma=2.0, margin=0.25),
        Circle(gamma=0.5, remove_diagonal=False),
    ],
    METRICS: metrics.OTHERS,
    OPTIMIZERS: [
        o.SGD(0.1, momentum=0.9),
        o.SGD(0.1, momentum=0.9, nesterov=True),
        o.DPSGD(0.1, momentum=0.9, nesterov=True, noise=0.5, clip=2.0),
        o.RMSprop(0.02, rho=0.8, epsilon=1e-3),
        o.RMSprop(momentum=0.5),
        o.RMSprop(centered=True),
        o.RMSprop(momentum=0.5, centered=True),
        o.Adam(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        o.Adam(0.02, beta_1=0.0, beta_2=0.5, amsgrad=True),
        o.AdamW(0.02, weight_decay=0.3, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        o.AdamW(0.02, weight_decay=0.0, amsgrad=True),
        o.Adamax(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        o.Nadam(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        o.ScheduleFreeAdamW(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3, warmup_steps=4),
        o.ScheduleFreeAdamW(0.02),
        o.Adagrad(0.02, initial_accumulator_value=0.5, epsilon=1e-3),
        o.Adadelta(0.5, rho=0.8, epsilon=1e-3),
        o.Lion(0.02, beta_1=0.8, beta_2=0.9),
        o.Ftrl(0.05, -0.3, 0.2, 0.1, 0.2, 0.3, 0.5),
        o.Ftrl(0.05, l1_regularization_strength=0.5),
        o.Rprop(0.02, etas=(0.3, 1.5), step_sizes=(1e-3, 0.1)),
        o.Lamb(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        o.Adafactor(0.3, -0.65, 1e-15, 1e-4, 0.9, False),
        o.Muon(0.02, 0.8, 0.9, None, 1e-3, weight_decay=None, exclude_embeddings=False, nesterov=False, rms_rate=None),
        o.Muon(0.03, exclude_layers=["output"], adam_lr_ratio=0.5, momentum=0.5, ns_steps=2),
        o.Muon(0.04, muon_a=2.0, muon_b=-1.5, muon_c=0.5),
        o.LBFGS(0.5, 3, None, 9, 1e-5, 1e-6),
        # What acts around the step of any of them.
        o.SGD(0.1, weight_decay=0.3, clipnorm=0.5, name="mine"),
        o.RMSprop(0.02, clipvalue=0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=2),
        o.Adam(0.02, global_clipnorm=0.5, gradient_accumulation_steps=3),
        o.Lamb(0.02, clipnorm=0.5, weight_decay=0.1, gradient_accumulation_steps=2),
        o.SGD(0.3, loss_scale_factor=8.0),
    ],
    INITIALIZERS: [
        *(unit(seed=3) for unit in (GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal)),
        Constant(-0.5),
        Identity(-2.0),
        RandomNormal(0.5, 2.0, seed=3),
        TruncatedNormal(0.5, 2.0, seed=3),
        RandomUniform(-1.0, 0.5, seed=3),
        VarianceScaling(0.5, "fan_out", "uniform", seed=3),
        VarianceScaling(2.0, "fan_avg", "untruncated_normal"),
        *(
            unit(input_axes=(0,), output_axes=(-1,))
            for unit in (GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, VarianceScaling)
        ),
        Orthogonal(0.5, seed=3),
    ],
    CONSTRAINTS: [
        MaxNorm(0.5),
        MaxNorm(axis=1),
        UnitNorm(axis=1),
        MinMaxNorm(0.5, 0.75, 0.5),
        MinMaxNorm(0.5, 0.75, 0.25, axis=1),
    ],
    REGULARIZERS: [L1(0.5), L2(0.5), L1L2(0.3, 0.7), L1L2(0.3), L1L2(l2=0.7), OrthogonalRegularizer(0.5, "columns")],
}


def units(table: Any) -> list[Any]:
    """Every unit of a table, in all its configurations."""
    return [metrics.made(cls) for _, cls in table] + OTHERS[table]


def unknown(family: str, name: str) -> str:
    """A pattern of what is said of a name that a table has not: perhaps which is meant, and all those that it has."""
    known = ", ".join(sorted(dict(TABLES[family])))
    return rf"unknown {family} {name!r}( \(did you mean '\w+'\?\))?(; for one of your own pass .*)?; known: {known}"


def label(unit: Any) -> str:
    """A unit's configuration as the name of a test: what differs from the default."""
    if dataclasses.is_dataclass(unit):
        fields = [(f.name, getattr(unit, f.name), f.default) for f in dataclasses.fields(unit) if not f.kw_only]
        return "-".join([unit.table_name, *(f"{name}={value}" for name, value, default in fields if value != default)])
    return unit.title if isinstance(unit, Way) else str(unit)


class Way(NamedTuple):
    """One way in which a loss is worked out: on the network's output, or fused with the activation before it."""

    loss: Loss
    kernel: Any
    after: str  # the activation that the kernel undoes, or ""

    def reference(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Each row's value, in float64, from what the kernel is given. Fused, a probability is not clipped."""
        loss = dataclasses.replace(self.loss, from_logits=True) if self.after else self.loss
        return loss.reference(y.astype(np.float64), z.astype(np.float64))

    @property
    def title(self) -> str:
        return f"{label(self.loss)}{'-after-' + self.after if self.after else ''}"

    @property
    def logits(self) -> bool:
        """Whether the kernel is given raw outputs, of any size and sign."""
        return bool(self.after) or self.loss.logits


def ways(loss: Loss) -> list[Way]:
    """The ways in which a network may work a loss out."""
    found = [Way(loss, loss.kernel_for("linear")[0], "")]
    return found + [Way(loss, kernel, name) for name, kernel in loss.fused.items() if not loss.logits]


# What a loss or a metric may be given, where that is not "any number".
OUTPUTS = {
    "binary_crossentropy": "share",
    "categorical_crossentropy": "positive",
    "sparse_categorical_crossentropy": "positive",
    "binary_focal_crossentropy": "share",
    "categorical_focal_crossentropy": "positive",
    "categorical_generalized_cross_entropy": "positive",
    "kl_divergence": "share",
    "mean_squared_logarithmic_error": "positive",
    "poisson": "positive",
    "dice": "share",
    "tversky": "share",
}
TARGETS = {
    "binary_crossentropy": "share",
    "binary_accuracy": "bit",
    "categorical_crossentropy": "distribution",
    "accuracy": "bit",
    "categorical_accuracy": "one-hot",
    "top_k_categorical_accuracy": "one-hot",
    "binary_focal_crossentropy": "share",
    "categorical_focal_crossentropy": "distribution",
    "kl_divergence": "distribution",
    "mean_absolute_percentage_error": "far from 0",
    "mean_squared_logarithmic_error": "positive",
    "poisson": "positive",
    "hinge": "sign",
    "squared_hinge": "sign",
    "categorical_hinge": "one-hot",
    "gaussian_nll": "any",
    "dice": "share",
    "tversky": "share",
}


# The activation before each loss, where a network usually has one.
OUTPUT_OF = {
    "binary_crossentropy": "sigmoid",
    "binary_focal_crossentropy": "sigmoid",
    "categorical_crossentropy": "softmax",
    "categorical_focal_crossentropy": "softmax",
    "sparse_categorical_crossentropy": "softmax",
    "categorical_generalized_cross_entropy": "softmax",
    "kl_divergence": "softmax",
    "mean_squared_logarithmic_error": "softplus",
    "poisson": "softplus",
    "dice": "sigmoid",
    "tversky": "sigmoid",
}


def outputs_for(loss: Loss | Metric, z: np.ndarray) -> np.ndarray:
    """Outputs that the loss takes, made of any numbers z. Shares stay clear of 0 and 1, where the clip begins."""
    kind = OUTPUTS.get(loss.table_name, "number")
    if kind == "number" or getattr(loss, "from_logits", False):
        return z
    share = 0.02 + 0.96 / (1 + np.exp(-z))
    return share if kind == "share" else 3 * share


def targets_for(loss: Loss | Metric, rows: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Targets that the loss takes with `count` outputs: (rows, targets), or (rows,) class numbers."""
    if loss.kernel.labels:
        return rng.integers(0, max(1, count), rows).astype(float)
    kind, count = TARGETS.get(loss.table_name, "number"), loss.targets(count) if isinstance(loss, Loss) else count
    if kind == "sign":
        return rng.integers(-1, 2, (rows, count)).astype(float)
    if kind == "far from 0":
        return rng.choice([-1, 1], (rows, count)) * rng.uniform(0.5, 3.0, (rows, count))
    if kind == "positive":
        return rng.exponential(1.0, (rows, count)).round(1)
    if kind == "bit":
        return rng.integers(0, 2, (rows, count)).astype(float)
    if kind == "share":
        return np.where(rng.random((rows, count)) < 0.7, rng.integers(0, 2, (rows, count)), rng.random((rows, count)))
    if kind in ("number", "any"):
        return rng.normal(size=(rows, count))
    hot = np.eye(max(1, count))[rng.integers(0, max(1, count), rows)]
    if kind == "one-hot":
        return hot
    soft = rng.random((rows, count))
    return np.where(rng.random((rows, 1)) < 0.5, hot, soft / soft.sum(axis=-1, keepdims=True))


def gradient(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences of f, (rows, columns) -> (rows,), where row i of f depends on row i of x alone.

    In float64 the two errors, step^2 / 6 of the third derivative and 1e-16 / step of the value, meet near 1e-11.
    """
    found = np.empty_like(x)
    for j in range(x.shape[1]):
        forth, back = x.copy(), x.copy()
        forth[:, j] += step
        back[:, j] -= step
        found[:, j] = (f(forth) - f(back)) / (2 * step)
    return found


def elementwise(activation: Activation) -> bool:
    """Whether each output depends on one input alone."""
    z = np.linspace(-2.0, 2.0, 7)
    return np.array_equal(activation.reference(z[None, :]).ravel(), activation.reference(z[:, None]).ravel())
