"""Kernels of a training step, each as a call from Python at the shapes in which the engine calls it."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cases import LOSSES, Fit
from fastnn import activations, kernels, losses, optimizers
from fastnn.kernels.bindings import permutation
from support.bindings import bound

# As the engine has them: rows that go through all ops together, rows whose losses are added up together, parameters
# whose optimizer's step follows their gradient.
CHUNK, LARGE_CHUNK, LARGE_LAYER, GRAIN, BLOCK = 256, 1024, 1 << 20, 16, 16384
FORWARD, INPUT, WEIGHT, BIAS = "x w", "d wT, input gradient", "xT d, weight gradient", "bias gradient"
CELLS, POOLING = "gates and states", "pooling"
KINDS = (FORWARD, INPUT, WEIGHT, BIAS, CELLS, POOLING, "activations", "loss", "optimizer", "shuffling")


class Part(NamedTuple):
    """A kernel: a call of it, the same with nothing to do, and how many calls a step makes."""

    kind: str
    call: Callable[[], object]
    idle: Callable[[], object]
    calls: float
    flops: int = 0  # of the matrix products in one call


def numbers(*shape: int) -> Any:
    """Normal ones, in memory that begins with a cache line, as the engine's does: AVX-512 wants it."""
    count = math.prod(shape)
    whole = np.empty(count + 16, np.float32)
    skip = -whole.ctypes.data % 64 // 4
    array = whole[skip : skip + count].reshape(shape)
    return np.random.default_rng(0).standard_normal(dtype=np.float32, out=array)


def product(kind: str, rows: int, inputs: int, units: int, calls: float) -> Part:
    """One of the three forms for a layer of `inputs` and `units`."""
    x, w, d = (rows, inputs), (inputs, units), (rows, units)
    kernel, a, b, out, nothing = {
        FORWARD: (kernels.matmul, x, w, d, (0, 1)),
        INPUT: (kernels.matmul_transposed_b, d, w, x, (0, 1)),
        WEIGHT: (kernels.matmul_transposed_a, x, d, w, (1, 0)),
    }[kind]
    call = partial(kernel, numbers(*a), numbers(*b), out=numbers(*out))
    idle = partial(kernel, numbers(*nothing), numbers(1, 1), out=numbers(0, 1))
    return Part(kind, call, idle, calls, 2 * rows * inputs * units)


def activation_parts(name: str, rows: int, units: int, calls: float) -> Iterator[Part]:
    """Forward, and backward in place: at 0, where the slope of tanh is 1, so that d does not shrink to denormals."""
    unit = activations.get(name)
    z, a, d, zeros = (numbers(rows, units) for _ in range(4))
    none, zeros[...] = numbers(0, 1), 0
    forward, backward = (
        partial(binding, numbers=unit.numbers()) for binding in (unit.kernel, bound(unit.kernel).backward)
    )
    yield Part("activations", partial(forward, z, out=a), partial(forward, none, out=none), calls)
    yield Part(
        "activations", partial(backward, zeros, zeros, d, out=d), partial(backward, *(none,) * 3, out=none), calls
    )


def loss_part(case: Fit, calls: float) -> Part:
    """The loss, with the output's activation where they are one kernel. Both calls copy the output first."""
    loss = losses.LOSSES.get(case.loss)
    kernel, _ = loss.kernel_for(LOSSES[case.loss][0])
    rows = min(GRAIN, case.batch_size)
    y = np.ascontiguousarray(case.data(rows)[1].reshape(rows, -1), np.float32)

    def run(y: Any, units: int) -> Callable[[], object]:
        z, a, d = (numbers(len(y), units) for _ in range(3))
        return partial(kernel, y, z, loss.numbers(), out=d, activated=a)

    return Part("loss", run(y, case.network.units), run(y[:0, :1], 1), calls)


def optimizer_part(case: Fit) -> Part:
    """Adam over all parameters, a block at a time with the same gradient, which the engine leaves in cache."""
    adam = optimizers.get("adam")
    step = bound(adam.kernel)
    w, m, v = (numbers(case.parameters) for _ in range(3))
    np.square(v, out=v)
    g, none = numbers(min(BLOCK, case.parameters)), numbers(0)
    blocks = [tuple(each[start : start + BLOCK] for each in (w, m, v)) for start in range(0, case.parameters, BLOCK)]

    def run(blocks: Sequence[tuple[Any, ...]]) -> None:
        for w, m, v in blocks:
            step(w, g[: w.size], [m, v], 0.001, 1, adam.numbers())

    return Part("optimizer", partial(run, blocks), partial(run, [(none, none, none)] * len(blocks)), 1)


def bias_part(rows: int, units: int) -> Part:
    d, total = numbers(rows, units), numbers(units)
    sums = [partial(bound(kernels.column_sums), each, out=total) for each in (d, d[:0])]
    return Part(BIAS, *sums, 1)


def dense_parts(case: Fit) -> Iterator[Part]:
    """Of the layers of a perceptron."""
    layers, sizes = case.network.layers, case.network.sizes or ()
    large = any((inputs + 1) * units >= LARGE_LAYER for inputs, units in pairwise(sizes))
    rows = min(LARGE_CHUNK if large else CHUNK, case.batch_size)
    chunks = case.batch_size / rows
    for layer, (inputs, units) in enumerate(pairwise(sizes)):
        yield product(FORWARD, rows, inputs, units, chunks)
        if layer:
            yield product(INPUT, rows, inputs, units, chunks)
        yield product(WEIGHT, case.batch_size, inputs, units, 1)
        yield bias_part(case.batch_size, units)
        if layer < len(sizes) - 2:
            yield from activation_parts(layers[layer].activation, rows, units, chunks)


def last_parts(case: Fit) -> Iterator[Part]:
    """What every network has."""
    yield loss_part(case, case.batch_size / min(GRAIN, case.batch_size))
    yield optimizer_part(case)
    steps = case.rows / case.batch_size
    yield Part("shuffling", partial(permutation, case.rows, 0), partial(permutation, 0, 0), 1 / steps)
