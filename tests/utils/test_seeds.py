"""set_random_seed of utils: fastnn's, Python's and NumPy's numbers begin again."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, utils


def drawn() -> list[Any]:
    net = fastnn.Sequential([fastnn.Input((3,)), layers.Dense(2)])
    return [random.random(), np.random.rand(), net.get_weights()[0].tolist()]  # noqa: NPY002


@pytest.fixture(autouse=True)
def as_it_was() -> Any:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


def test_all_begin_again() -> None:
    utils.set_random_seed(7)
    first, second = drawn(), drawn()
    utils.set_random_seed(np.int64(7))
    assert drawn() == first
    utils.set_random_seed(8)
    others = drawn()
    for one, two, other in zip(first, second, others, strict=True):
        assert one != two
        assert one != other
    utils.set_random_seed(2**70)


def test_fastnn_alone_begins_again() -> None:
    utils.set_random_seed(7)
    fastnn.set_random_seed(3)
    one = drawn()
    fastnn.set_random_seed(3)
    other = drawn()
    assert [a == b for a, b in zip(one, other, strict=True)] == [False, False, True]


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_what_is_no_seed_changes_nothing(seed: Any, error: type[Exception]) -> None:
    utils.set_random_seed(7)
    first = drawn()
    utils.set_random_seed(7)
    with pytest.raises(error, match="seed must be"):
        utils.set_random_seed(seed)
    assert drawn() == first
