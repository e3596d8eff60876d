"""PyTorch, eager: `nn.Sequential`, fused Adam, gradients set to None.

Its Adam adds epsilon to the corrected root, Keras to the uncorrected one: there epsilon counts for more in the first
steps. Where gradients are as small as epsilon (large) that moves the last loss by 0.2 %, hence a wider tolerance.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.cases import LOSSES, Fit, Predict
from benchmarks.networks import Array
from benchmarks.numpy_net import BETA_1, BETA_2, EPSILON, LEARNING_RATE
from benchmarks.rivals import Trainer
from benchmarks.rivals.torch_layers import layered, load, rows_of

MEAN_LOSSES = {
    "mean_squared_error": functional.mse_loss,
    "binary_crossentropy": functional.binary_cross_entropy_with_logits,
    "sparse_categorical_crossentropy": functional.cross_entropy,
}
SMALL_DATA = 2**26  # bytes of x; below, one shuffled copy an epoch is faster than rows gathered for each batch


def order_of(rows: int, shuffle: bool) -> Tensor:
    return torch.randperm(rows) if shuffle else torch.arange(rows)


def batches(x: Tensor, y: Tensor, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    if x.nbytes < SMALL_DATA:
        return zip(x[order].split(size), y[order].split(size), strict=True)
    return ((x[chosen], y[chosen]) for chosen in order.split(size))


def fit(case: Fit, channels_last: bool = False) -> Trainer:
    x, y = case.data(case.rows)
    x, y = torch.from_numpy(rows_of(case.network, x, channels_last)), torch.from_numpy(y)
    model, loss_of = layered(case, channels_last), MEAN_LOSSES[case.loss]
    optimizer: Any = None
    torch.manual_seed(0)

    def reset() -> None:
        nonlocal optimizer
        load(model, case)
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(trained, LEARNING_RATE, (BETA_1, BETA_2), EPSILON, fused=True)

    def run(shuffle: bool) -> float:
        for _ in range(case.epochs):
            total = torch.zeros(())
            for x_batch, y_batch in batches(x, y, order_of(case.rows, shuffle), case.batch_size):
                loss = loss_of(model(x_batch), y_batch)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(x_batch)
            last = total.item() / case.rows
        return last

    return Trainer(reset, run)


def predictor(
    case: Predict, x: Array, compiled: Callable[[nn.Module], Any] = lambda model: model, channels_last: bool = False
) -> Callable[[], Array]:
    model = compiled(layered(case, channels_last, LOSSES[case.loss][0]).eval())
    x = rows_of(case.network, x, channels_last)

    @torch.inference_mode()
    def predict() -> Array:
        return model(torch.from_numpy(x)).numpy()

    return predict
