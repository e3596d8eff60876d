"""A network's whole gradient, put together from the kernels as the engine puts it, against central differences.

Every activation with every loss that takes its output, and every activation inside a network with dropout that ends
in each loss: by weights, bias and input, with and without weights for the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fastnn.activations import ACTIVATIONS, Activation
from fastnn.losses import LOSSES, Loss
from support.bindings import bound, kernels
from support.guarded import close
from support.kinks import distance
from support.units import OUTPUT_OF, OUTPUTS, TARGETS, label, targets_for, units

STEP = 1e-5
KEY, RATE = 0x123456789ABCDEF, 0.3
ROWS = 5

Parameters = dict[str, np.ndarray]
Layers = list[Activation]


def accepts(loss: Loss, activation: Activation) -> bool:
    """Whether the activation's outputs are what the loss takes. Outside, a clip makes its slope 0 or undefined."""
    kind = "number" if loss.logits else OUTPUTS.get(loss.table_name, "number")
    a = activation.reference(np.random.default_rng(0).normal(scale=3.0, size=(50, 3)))
    return kind == "number" or bool((a > 0).all() and (kind == "positive" or (a < 1).all()))


PAIRS = [(a, b) for a in units(ACTIVATIONS) for b in units(LOSSES) if accepts(b, a)]


@dataclass
class Net:
    """Dense layers, each with its activation, dropout between them, and a loss at the end."""

    activations: Layers
    loss: Loss
    y: np.ndarray
    weight: np.ndarray | None
    dropout: bool = True
    saved: list[dict[str, np.ndarray]] = field(default_factory=list)

    def forward(self, p: Parameters) -> float:
        """The loss of the batch; what backward needs is saved."""
        self.saved, x = [], p["x"]
        for i, activation in enumerate(self.activations):
            z = kernels.matmul(x, p[f"w{i}"], p[f"b{i}"])
            a = activation.kernel(z, activation.numbers())
            self.saved.append({"x": x, "z": z, "a": a})
            x = kernels.dropout(a, RATE, KEY + i) if self.dropout else a
        last, rows = self.saved[-1], len(x)
        kernel, fused = self.loss.kernel_for(self.activations[-1].table_name)
        output = last["z" if fused else "a"]
        total, d, _ = kernel(self.y, output, self.loss.numbers(), weight=self.weight, scale=1 / rows)
        last["dz" if fused else "da"] = d
        return float(total) / rows

    def backward(self, p: Parameters) -> Parameters:
        """Its gradient by every parameter and by x, after `forward`."""
        found: Parameters = {}
        for i in reversed(range(len(self.activations))):
            at, activation = self.saved[i], self.activations[i]
            if "dz" not in at:
                at["dz"] = bound(activation.kernel).backward(at["z"], at["a"], at["da"], activation.numbers())
            found[f"w{i}"] = kernels.matmul_transposed_a(at["x"], at["dz"])
            found[f"b{i}"] = at["dz"].sum(axis=0)
            d = kernels.matmul_transposed_b(at["dz"], p[f"w{i}"])
            if i:
                self.saved[i - 1]["da"] = kernels.dropout(d, RATE, KEY + i - 1) if self.dropout else d
            else:
                found["x"] = d
        return found

    def margin(self) -> float:
        """How far the batch is from the nearest kink: of an activation, or of a clip (at 0 and 1)."""
        edge = min(distance(unit, at["z"]).min() for unit, at in zip(self.activations, self.saved, strict=True))
        if OUTPUTS.get(self.loss.table_name) and not self.loss.logits:
            a = self.saved[-1]["a"]
            edge = min(edge, a.min(), (1 - a).min() if OUTPUTS[self.loss.table_name] == "share" else edge)
        return float(edge)


def draw(sizes: list[int], rng: np.random.Generator, scale: float = 1.0) -> Parameters:
    p: Parameters = {"x": rng.normal(size=(ROWS, sizes[0]))}
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        p[f"w{i}"] = rng.normal(scale=scale / np.sqrt(fan_in), size=(fan_in, fan_out))
        p[f"b{i}"] = rng.normal(scale=0.3, size=fan_out)
    return p


def targets(net: Net, rng: np.random.Generator) -> np.ndarray:
    """Targets for the outputs that `net` holds; for mae and huber with errors far from 0 and from delta."""
    a = net.saved[-1]["a"]
    if net.loss.kernel.labels or net.loss.table_name in TARGETS:
        return targets_for(net.loss, len(a), a.shape[1], rng)
    delta = getattr(net.loss, "delta", 1.0)
    size = np.where(rng.random(a.shape) < 0.5, rng.uniform(0.2, 0.8, a.shape), rng.uniform(1.2, 3.0, a.shape))
    return a + delta * size * rng.choice([-1.0, 1.0], a.shape)


def network(activations: Layers, loss: Loss, sizes: list[int], weighted: bool, dropout: bool) -> tuple[Net, Parameters]:
    """A network and a batch on which nothing stands within 100 steps of a kink, and no exponential runs away."""
    rng = np.random.default_rng(11)
    sizes = [*sizes[:-1], 2 * sizes[-1] if loss.kernel.pairs else sizes[-1]]
    weight = rng.uniform(0.2, 2.0, ROWS) if weighted else None
    for attempt in range(100):
        p = draw(sizes, rng, 0.98**attempt)
        blank = np.zeros((ROWS, loss.targets(sizes[-1])))
        net = Net(activations, loss, blank, weight, dropout)
        net.forward(p)
        net.y = targets(net, rng)
        if net.margin() > 100 * STEP and max(np.abs(at["a"]).max() for at in net.saved) < 100:
            return net, p
    raise AssertionError("every batch stood at a kink or ran away")


def assert_gradient(net: Net, p: Parameters) -> None:
    """Central differences along two random directions of each parameter: an error in any one element shows in both.

    The differences' own error is near 1e-10 (tests/units.py), and grows with the third derivative: that of e^(80 d^2)
    in Circle is some thousands.
    """
    relative = 5e-5 if net.loss.table_name == "circle" else 1e-6
    net.forward(p)
    found = net.backward(p)
    assert found.keys() == p.keys()
    rng = np.random.default_rng(5)
    for name, values in p.items():
        for direction in rng.normal(size=(2, *values.shape)):
            ends = [net.forward({**p, name: values + sign * STEP * direction}) for sign in (1, -1)]
            numeric = (ends[0] - ends[1]) / (2 * STEP)
            close((found[name] * direction).sum(), numeric, relative, 1e-7)


def assert_float32_follows(net: Net, p: Parameters) -> None:
    """The same in float32: some tens of roundings of 6e-8, each multiplied by a slope of the next layer."""
    value = net.forward(p)
    truth = net.backward(p)
    net.y = net.y.astype(np.float32)
    net.weight = None if net.weight is None else net.weight.astype(np.float32)
    single = {name: values.astype(np.float32) for name, values in p.items()}
    close(net.forward(single), value, 1e-5, 1e-5)
    # Circle's slopes are powers of e of gamma times a distance, so that gamma multiplies what that is rounded by.
    steep = max(1.0, getattr(net.loss, "gamma", 0.0) / 20)
    for name, found in net.backward(single).items():
        assert found.dtype == np.float32
        close(found, truth[name], 0, 2e-5 * steep * max(1.0, np.abs(truth[name]).max()))


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(map(label, pair)))
def test_dense_activation_loss(pair: tuple[Activation, Loss], weighted: bool) -> None:
    activation, loss = pair
    net, p = network([activation], loss, [4, 3], weighted, dropout=False)
    assert_gradient(net, p)
    assert_float32_follows(net, p)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_network_with_dropout(activation: Activation, loss: Loss, weighted: bool) -> None:
    last: Any = ACTIVATIONS.get("linear" if loss.logits else OUTPUT_OF.get(loss.table_name, "linear"))
    net, p = network([activation, activation, last], loss, [4, 6, 5, 3], weighted, dropout=True)
    assert_gradient(net, p)
    assert_float32_follows(net, p)


def test_every_loss_has_its_pairs() -> None:
    """All activations where a loss takes any number; for probabilities at least sigmoid and softmax."""
    for loss in units(LOSSES):
        names = {activation.table_name for activation, other in PAIRS if other == loss and type(other) is type(loss)}
        any_number = loss.logits or loss.table_name not in OUTPUTS
        assert names == {name for name, _ in ACTIVATIONS} if any_number else names >= {"sigmoid", "softmax"}
