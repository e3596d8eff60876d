"""The same table under pytest-benchmark: `python -m pytest benchmarks/test_speed.py`."""

import pytest

import benchmarks
from benchmarks.cases import CASES

pytest.importorskip("pytest_benchmark")
pytestmark = pytest.mark.skipif(
    not benchmarks.READY, reason="NumPy was imported before its BLAS could be set to one thread"
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_results(case):
    assert case.difference() < 1e-3


@pytest.mark.parametrize("side", ["fastnn", "numpy"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_speed(benchmark, case, side):
    contender = dict(zip(["fastnn", "numpy"], case.sides(), strict=True))[side]
    benchmark.group = case.name
    benchmark.extra_info["calls"] = case.calls
    benchmark.pedantic(contender.run, setup=contender.reset, rounds=5, warmup_rounds=1)
