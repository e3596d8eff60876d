"""Files of ONNX that are almost right: each is read, or refused with an error that says where, and takes no memory."""

from __future__ import annotations

import random
import sys
import warnings

import pytest

from fastnn.exchange import from_onnx
from support.onnx_mutate import NAMES, altered_bytes, altered_fields

pytest.importorskip("onnx")

MOST = 2**30  # bytes that all of them may take together, far below what the sizes in them ask for


def memory() -> int:
    """The most bytes that the process has had."""
    resource = pytest.importorskip("resource")
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("seed", range(6))
def test_almost_right(seed: int) -> None:
    from support.onnx_cases import graphs

    rng, bases, before, read = random.Random(seed), graphs(), memory(), 0
    for number in range(100):
        base = rng.choice(bases)
        given = altered_fields(base, rng) if number % 3 else altered_bytes(base.SerializeToString(), rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = from_onnx(given)
        except (ValueError, TypeError) as error:
            if not str(error).startswith("from_onnx"):
                raise
        else:
            assert model.outputs
            read += 1
    assert 5 < read < 95
    assert memory() - before < MOST


def test_names_are_known() -> None:
    from fastnn.exchange.onnx_import import OPS

    assert set(OPS) <= set(NAMES)
