"""Ops on pictures, made of numbers that no layer would give them: they refuse, or are what they say."""

from __future__ import annotations

import random

import pytest

from fastnn import kernels
from fastnn.engine.ops import ConvolutionOp, PadOp, PoolOp

SIZES = [-1, 0, 1, 2, 3, 5, 2**31, 2**40, 2**62]


def sizes(rng: random.Random) -> tuple[int, ...]:
    count = rng.choice([*[3] * 20, 2, 4])
    return tuple(rng.choice(SIZES) if rng.random() < 0.05 else rng.randint(1, 4) for _ in range(count))


@pytest.mark.parametrize("seed", range(20))
def test_odd_sizes(seed: int) -> None:
    rng = random.Random(seed)
    made = 0
    for _ in range(300):
        before, after = ([rng.randint(-1, 2) for _ in range(3)] for _ in range(2))
        try:
            kind = rng.choice(["convolution", "pool", "pad"])
            if kind == "convolution":
                channels, filters, groups = (rng.choice([0, 1, 1, 2, 3, 2**40]) for _ in range(3))
                transposed = rng.random() < 0.3
                ConvolutionOp(*(sizes(rng) for _ in range(2)), channels, filters, sizes(rng), sizes(rng), groups,
                              transposed=transposed)  # fmt: skip
            elif kind == "pool":
                PoolOp(kernels.max_pool, sizes(rng), sizes(rng), sizes(rng), rng.choice(SIZES), before, after)
            else:
                PadOp(sizes(rng), rng.choice(SIZES), before, after)
            made += 1
        except (ValueError, OverflowError):
            pass
    assert made
