"""PyTorch's `torch.compile`: a whole step in one graph (rows, gradient, Adam in place), called from generated C++.

Without the C++ wrapper a step of tiny takes 1.7 times as long; autotuned products change nothing.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import Case, Fit, Predict
from benchmarks.networks import GRU, LSTM, Array
from benchmarks.numpy_net import BETA_1, BETA_2, EPSILON, LEARNING_RATE
from benchmarks.rivals import Trainer, Unable, torch_eager
from benchmarks.rivals.torch_layers import layered, load, rows_of

OPTIONS = {"cpp_wrapper": True}


def check(case: Case) -> None:
    """nn.LSTM and nn.GRU are not traced: they stay calls of what eager PyTorch calls."""
    if any(isinstance(layer, (LSTM, GRU)) for layer in case.network.layers):
        raise Unable("torch.compile does not compile nn.LSTM and nn.GRU")


def fit(case: Fit) -> Trainer:
    check(case)
    torch.compiler.reset()  # there is a limit to the graphs of one function
    x, y = case.data(case.rows)
    x, y = torch.from_numpy(rows_of(case.network, x)), torch.from_numpy(y)
    model, loss_of = layered(case), torch_eager.MEAN_LOSSES[case.loss]
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    m, v = ({name: torch.zeros_like(weight) for name, weight in weights.items()} for _ in range(2))
    t, total = torch.zeros(()), torch.zeros(())
    torch.manual_seed(0)

    def reset() -> None:
        load(model, case)
        for tensor in (*m.values(), *v.values(), t):
            tensor.zero_()

    @partial(torch.compile, fullgraph=True, dynamic=False, options=OPTIONS)
    def step(chosen: Tensor, x: Tensor, y: Tensor, weights: Any, m: Any, v: Any, t: Tensor, total: Tensor) -> None:
        def batch_loss(weights: Any) -> Tensor:
            return loss_of(torch.func.functional_call(model, weights, (x[chosen],)), y[chosen])

        gradients, loss = torch.func.grad_and_value(batch_loss)(weights)
        total += loss * len(chosen)
        t += 1
        step_size = LEARNING_RATE * torch.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        for name, g in gradients.items():
            m[name] += (1 - BETA_1) * (g - m[name])
            v[name] += (1 - BETA_2) * (g * g - v[name])
            weights[name] -= step_size * m[name] / (v[name].sqrt() + EPSILON)

    @torch.no_grad()
    def run(shuffle: bool) -> float:
        for _ in range(case.epochs):
            total.zero_()
            for chosen in torch_eager.order_of(case.rows, shuffle).split(case.batch_size):
                step(chosen, x, y, weights, m, v, t, total)
            last = total.item() / case.rows
        return last

    return Trainer(reset, run)


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    check(case)
    torch.compiler.reset()

    def compiled(model: nn.Module) -> Any:
        return torch.compile(model, fullgraph=True, dynamic=False, options=OPTIONS | {"freezing": True})

    return torch_eager.predictor(case, x, compiled)
