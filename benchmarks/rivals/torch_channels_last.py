"""PyTorch, eager, with pictures and kernels in `torch.channels_last`: the pixels' channels lie side by side."""

from collections.abc import Callable

from benchmarks.cases import Case, Fit, Predict
from benchmarks.networks import Array
from benchmarks.rivals import Trainer, Unable, torch_eager


def check(case: Case) -> None:
    if len(case.network.inputs) != 3:
        raise Unable("it is for pictures")


def fit(case: Fit) -> Trainer:
    check(case)
    return torch_eager.fit(case, channels_last=True)


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    check(case)
    return torch_eager.predictor(case, x, channels_last=True)
