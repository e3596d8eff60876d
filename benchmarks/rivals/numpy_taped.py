"""NumPy as a tape of pre-bound calls (`benchmarks.numpy_tape`): the most that we could get out of it."""

from collections.abc import Callable

from benchmarks.cases import Fit, Predict
from benchmarks.networks import Array
from benchmarks.rivals import Trainer, Unable, numpy_careful, sizes_of


def fit(case: Fit) -> Trainer:
    sizes_of(case.network)
    if "tape" not in case.opponents():
        raise Unable("the tape is not written for several linear outputs")
    return numpy_careful.fit(case, "tape")


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    sizes_of(case.network)
    predictors = case.predictors()
    if "tape" not in predictors:
        raise Unable("the tape predicts one row that ends in softmax")
    return lambda: predictors["tape"](x)
