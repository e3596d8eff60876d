"""The same table under pytest-benchmark: `python -m pytest benchmarks/test_speed.py`."""

import pytest

import benchmarks

pytest.importorskip("pytest_benchmark")
if not benchmarks.prepare_blas():
    pytest.skip(f"{benchmarks.TOO_LATE}; run this file alone", allow_module_level=True)

from benchmarks.cases import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_results(case):
    assert case.difference() < 1e-3


@pytest.mark.parametrize("side", ["fastnn", "numpy", "tape"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_speed(benchmark, case, side):
    sides = case.sides()
    if side not in sides:
        pytest.skip(f"{side} does not take part")
    contender = sides[side]
    benchmark.group = case.name
    benchmark.extra_info["calls"] = case.calls
    benchmark.pedantic(contender.run, setup=contender.reset, rounds=5, warmup_rounds=1)
