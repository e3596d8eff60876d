"""Twenty steps of whole networks beside PyTorch's: every optimizer, loss and activation whose formulas are shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")

from torch.nn import functional as F  # noqa: E402

from fastnn import activations, losses, optimizers  # noqa: E402
from support.peers import BATCH, EPOCHS, START, WEIGHT, X, assert_together, targets  # noqa: E402
from support.units import label  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

# PyTorch puts epsilon beside the root where Keras and fastnn put it inside, or beside the corrected root instead of the
# bare one: so small an epsilon counts nowhere.
TINY = 1e-24
# Ours, and theirs of a list of parameters.
OPTIMIZERS: list[tuple[Any, Callable[[Any], Any]]] = [
    (optimizers.SGD(0.05), lambda w: torch.optim.SGD(w, 0.05)),
    (optimizers.SGD(0.005, 0.9), lambda w: torch.optim.SGD(w, 0.005, 0.9)),
    (optimizers.SGD(0.005, 0.9, nesterov=True), lambda w: torch.optim.SGD(w, 0.005, 0.9, nesterov=True)),
    (optimizers.RMSprop(0.01, epsilon=TINY), lambda w: torch.optim.RMSprop(w, 0.01, 0.9, TINY**0.5)),
    (
        optimizers.RMSprop(0.01, 0.8, 0.5, TINY),
        lambda w: torch.optim.RMSprop(w, 0.01, 0.8, TINY**0.5, momentum=0.5),
    ),
    (optimizers.Adam(0.01, epsilon=TINY), lambda w: torch.optim.Adam(w, 0.01, eps=TINY)),
    (
        optimizers.Adam(0.01, 0.8, 0.9, TINY, amsgrad=True),
        lambda w: torch.optim.Adam(w, 0.01, (0.8, 0.9), TINY, amsgrad=True),
    ),
    (optimizers.AdamW(0.01, 0.1, epsilon=TINY), lambda w: torch.optim.AdamW(w, 0.01, eps=TINY, weight_decay=0.1)),
    (optimizers.Adamax(0.01, epsilon=TINY), lambda w: torch.optim.Adamax(w, 0.01, eps=TINY)),
    # The momentum's factor is made smaller by 0.96^(t momentum_decay), and by 0.96^t in Keras.
    (optimizers.Nadam(0.01), lambda w: torch.optim.NAdam(w, 0.01, eps=1e-7, momentum_decay=1.0)),
    (optimizers.Adagrad(0.05, 0.1, TINY), lambda w: torch.optim.Adagrad(w, 0.05, 0, 0, 0.1, TINY)),
    (optimizers.Adadelta(1.0, 0.9, 1e-6), lambda w: torch.optim.Adadelta(w, 1.0, 0.9, 1e-6)),
    (optimizers.Rprop(0.003), lambda w: torch.optim.Rprop(w, 0.003)),
]


def entropy(z: Any, y: Any, **options: Any) -> Any:
    """cross_entropy, whose classes are on axis 1."""
    return F.cross_entropy(z.movedim(-1, 1), y if y.ndim < z.ndim else y.movedim(-1, 1), reduction="none", **options)


def labels(z: Any, y: Any) -> Any:
    return y[..., 0].long().expand(z.shape[:-1])


def normal(z: Any, y: Any) -> Any:
    half = z.shape[-1] // 2
    return F.gaussian_nll_loss(z[..., :half], y, z[..., half:].exp() + 1e-6, reduction="none", eps=TINY).mean(-1)


# Ours, and theirs of the last layer's bare output z (networks, rows, units) and targets: (networks, rows).
LOSSES: list[tuple[Any, Callable[[Any, Any], Any]]] = [
    (losses.MeanSquaredError(), lambda z, y: F.mse_loss(z, y, reduction="none").mean(-1)),
    (losses.MeanAbsoluteError(), lambda z, y: F.l1_loss(z, y, reduction="none").mean(-1)),
    (losses.Pinball(0.5), lambda z, y: F.l1_loss(z, y, reduction="none").mean(-1) / 2),
    (losses.Huber(), lambda z, y: F.smooth_l1_loss(z, y, reduction="none").mean(-1)),
    (losses.Huber(0.3), lambda z, y: F.huber_loss(z, y, reduction="none", delta=0.3).mean(-1)),
    (losses.GaussianNLL(), normal),
    (losses.CosineSimilarity(), lambda z, y: -F.cosine_similarity(z, y, -1)),
    (
        losses.Poisson(),
        lambda z, y: F.poisson_nll_loss(F.softplus(z), y, log_input=False, eps=1e-7, reduction="none").mean(-1),
    ),
    (losses.KLDivergence(), lambda z, y: F.kl_div(F.log_softmax(z, -1), y, reduction="none").sum(-1)),
    (losses.BinaryCrossentropy(), lambda z, y: F.binary_cross_entropy(z.sigmoid(), y, reduction="none").mean(-1)),
    (
        losses.BinaryCrossentropy(from_logits=True),
        lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none").mean(-1),
    ),
    (losses.CategoricalCrossentropy(), entropy),
    (losses.CategoricalCrossentropy(True, 0.2), lambda z, y: entropy(z, y, label_smoothing=0.2)),
    (losses.SparseCategoricalCrossentropy(), lambda z, y: entropy(z, labels(z, y))),
    (
        losses.SparseCategoricalCrossentropy(True, 1, reduction="sum"),
        lambda z, y: BATCH * entropy(z, labels(z, y), ignore_index=1),
    ),
]
ACTIVATIONS: list[tuple[Any, Callable[[Any], Any]]] = [
    (activations.linear, lambda z: z),
    (activations.relu, F.relu),
    (activations.LeakyReLU(0.01), F.leaky_relu),
    (activations.relu6, F.relu6),
    (activations.hard_tanh, F.hardtanh),
    (activations.hard_sigmoid, F.hardsigmoid),
    (activations.hard_silu, F.hardswish),
    (activations.hard_shrink, F.hardshrink),
    (activations.soft_shrink, F.softshrink),
    (activations.Threshold(0.1, 0.3), lambda z: F.threshold(z, 0.1, 0.3)),
    (activations.softmax, lambda z: F.softmax(z, -1)),
    (activations.log_softmax, lambda z: F.log_softmax(z, -1)),
    (activations.elu, F.elu),
    (activations.selu, F.selu),
    (activations.CELU(0.5), lambda z: F.celu(z, 0.5)),
    (activations.exponential, torch.exp),
    (activations.gelu, F.gelu),
    (activations.GELU(approximate=True), lambda z: F.gelu(z, approximate="tanh")),
    (activations.silu, F.silu),
    (activations.mish, F.mish),
    (activations.softplus, F.softplus),
    (activations.log_sigmoid, F.logsigmoid),
    (activations.softsign, F.softsign),
    (activations.tanh, torch.tanh),
    (activations.tanh_shrink, F.tanhshrink),
    (activations.sigmoid, torch.sigmoid),
]


def paths(
    optimizer: Callable[[Any], Any], chosen: list[Any], functions: list[Any], batch: int = BATCH, epochs: int = EPOCHS
) -> np.ndarray:
    """PyTorch's weights at the end of each epoch, for every choice: (losses, activations, epochs, all weights)."""
    shape = (len(chosen), len(functions))
    w = [torch.tensor(start.astype(float)).expand(*shape, *start.shape).clone().requires_grad_() for start in START]
    rule = optimizer(w)
    marks = [torch.tensor(targets(ours).astype(float).reshape(len(X), -1)) for ours, _ in chosen]
    x, row_weight = (torch.tensor(array.astype(float)) for array in (X, WEIGHT))
    path = []
    for _ in range(epochs):
        for start in range(0, len(X), batch):
            rows = slice(start, start + batch)

            def total(rows: slice = rows) -> Any:
                rule.zero_grad()
                z = x[rows] @ w[0] + w[1][:, :, None]
                hidden = torch.stack([theirs(z[:, a]) for a, (_, theirs) in enumerate(functions)], 1)
                z = hidden @ w[2] + w[3][:, :, None]
                values = [theirs(z[n], marks[n][rows].expand(shape[1], -1, -1)) for n, (_, theirs) in enumerate(chosen)]
                value = (torch.stack(values) * row_weight[rows]).sum() / batch
                value.backward()
                return value

            rule.step(total)
        path.append(np.concatenate([each.detach().numpy().reshape(*shape, -1) for each in w], axis=-1))
    return np.stack(path, axis=2)


@pytest.mark.parametrize(("optimizer", "theirs"), OPTIMIZERS, ids=[label(ours) for ours, _ in OPTIMIZERS])
def test_every_loss_and_activation_with(optimizer: Any, theirs: Any) -> None:
    ours = [activation for activation, _ in ACTIVATIONS]
    for (loss, _), found in zip(LOSSES, paths(theirs, LOSSES, ACTIVATIONS), strict=True):
        assert_together(optimizer, loss, ours, found)


# Each direction is made of differences of gradients, and so is what they were rounded by: after 20 steps up to 1e-3.
# The rule itself follows theirs for 20 steps in float64, in test_torch_optimizers.py.
LBFGS_STEPS = 6
SMOOTH = ("linear", "gelu", "tanh", "softplus", "silu", "sigmoid")  # across a corner there is no curvature


@pytest.mark.parametrize("line_search", ["strong_wolfe", None])
@pytest.mark.parametrize("loss", ["mean_squared_error", "sparse_categorical_crossentropy", "gaussian_nll", "poisson"])
def test_lbfgs(loss: str, line_search: str | None) -> None:
    """Our step is one of theirs with max_iter=1, over all rows."""
    rate = 1.0 if line_search else 0.3
    ours, rows = optimizers.LBFGS(rate, line_search=line_search), len(X)
    chosen = [pair for pair in LOSSES if pair[0] == losses.as_loss(loss)]
    for pair in (pair for pair in ACTIVATIONS if pair[0].table_name in SMOOTH):
        found = paths(
            lambda w: torch.optim.LBFGS(w, rate, 1, 26, 1e-7, 1e-9, 10, line_search),
            chosen,
            [pair],
            rows,
            LBFGS_STEPS,
        )
        assert_together(ours, chosen[0][0], [pair[0]], found[0], batch_size=rows, epochs=LBFGS_STEPS)
