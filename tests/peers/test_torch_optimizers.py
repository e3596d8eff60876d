"""What is PyTorch's rather than Keras's: Rprop, L-BFGS, OneCycleLR; and the rules that both have in one form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")

from fastnn.optimizers import LBFGS, SGD, Optimizer, Rprop, schedules  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

RULES = [
    (Rprop(), lambda w: torch.optim.Rprop([w])),
    (Rprop(0.1, (0.3, 1.5), (0.05, 0.2)), lambda w: torch.optim.Rprop([w], 0.1, (0.3, 1.5), (0.05, 0.2))),
    (SGD(0.1), lambda w: torch.optim.SGD([w], 0.1)),
]


@pytest.mark.parametrize(("optimizer", "make"), RULES, ids=["rprop", "rprop-other", "sgd"])
def test_twenty_steps(optimizer: Optimizer, make: Any) -> None:
    rng = np.random.default_rng(1)
    start = rng.normal(size=50)
    parameter = torch.nn.Parameter(torch.tensor(start))
    other = make(parameter)
    w, slots = start.copy(), [np.full(50, fill) for fill in optimizer.slot_starts]
    for t in range(1, 21):
        g = rng.normal(size=50) * (rng.random(50) < 0.9)
        parameter.grad = torch.tensor(g)
        other.step()
        w = optimizer.reference(w, g, slots, t)
        np.testing.assert_allclose(w, parameter.detach().numpy(), rtol=1e-12, atol=1e-14)


def rosenbrock(w: Any) -> Any:
    return (100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum()


def quadratic(w: Any) -> Any:
    half = torch.tensor(np.random.default_rng(2).normal(size=(20, 20)))
    return 0.5 * ((half @ w) ** 2).sum() + 0.5 * (w**2).sum() - (torch.arange(20.0) * w).sum()


def logistic(w: Any) -> Any:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, 6))
    sides = torch.tensor(np.where(x @ np.arange(6.0) + rng.normal(size=50) > 0, 1.0, -1.0))
    return torch.nn.functional.softplus(-sides * (torch.tensor(x) @ w)).sum() + 0.05 * (w**2).sum()


PROBLEMS = [(rosenbrock, [-1.2, 1.0, -1.2, 1.0], 1e-3), (quadratic, [0.0] * 20, 0.5), (logistic, [0.0] * 6, 0.3)]


@pytest.mark.parametrize("line_search", ["strong_wolfe", None])
@pytest.mark.parametrize(("function", "start", "rate"), PROBLEMS, ids=["rosenbrock", "quadratic", "logistic"])
def test_lbfgs(function: Any, start: list[float], rate: float, line_search: str | None) -> None:
    """One step of ours is PyTorch's with max_iter=1."""
    rate = 1.0 if line_search else rate
    parameter = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    tolerances = {"tolerance_grad": 0, "tolerance_change": 0}
    other = torch.optim.LBFGS([parameter], rate, 1, 26, history_size=10, line_search_fn=line_search, **tolerances)
    ours = LBFGS(rate, line_search=line_search, **tolerances)

    def loss() -> Any:
        other.zero_grad()
        value = function(parameter)
        value.backward()
        return value

    def closure(w: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.tensor(w, requires_grad=True)
        value = function(at)
        value.backward()
        return float(value), at.grad.numpy()

    w, state = np.array(start), {}
    for _ in range(20):
        w = ours.minimize_step(closure, w, state, rate).w
        other.step(loss)
        np.testing.assert_allclose(w, parameter.detach().numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize(("total", "share"), [(100, 0.3), (57, 0.25), (10, 0.5), (20, 0.0)])
def test_one_cycle(total: int, share: float, strategy: str, three_phase: bool) -> None:
    if three_phase and share == 0:
        pytest.skip("PyTorch's three phases want a first one")
    w = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    other = torch.optim.lr_scheduler.OneCycleLR(
        w, 0.5, total, None, None, share, strategy, False, 0.85, 0.95, 10.0, 100.0, three_phase
    )
    rates = []
    for _ in range(total):
        rates.append(w.param_groups[0]["lr"])
        other.step()
    ours = schedules.OneCycle(0.5, total, share, strategy, 10.0, 100.0, three_phase)
    np.testing.assert_allclose(ours(np.arange(total)), rates, rtol=1e-10)
