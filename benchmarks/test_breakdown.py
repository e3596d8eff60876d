"""The breakdown of a step covers all of its work, and its rows add up."""

import pytest

from benchmarks import breakdown
from benchmarks.breakdown import CASES, Part, Step
from benchmarks.breakdown_parts import CELLS, KINDS, POOLING
from benchmarks.cases import FITS

each_fit = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def nothing():
    pass


@each_fit
def test_every_product_of_a_step_is_there(case):
    flops = sum(part.calls * part.flops for part in breakdown.parts(case))
    assert flops * case.rows * case.epochs == case.flops() * case.batch_size


@each_fit
def test_every_kernel_runs(case):
    kinds = set()
    for part in breakdown.parts(case):
        part.call()
        part.idle()
        kinds.add(part.kind)
    without = {"cnn": {CELLS}, "cnn1d": {CELLS}}.get(case.name, {POOLING, "activations"})
    assert kinds == set(KINDS) - ({CELLS, POOLING} if case.group == "dense" else without)


def test_rows_add_up_to_the_step():
    found = [
        Part("x w", nothing, nothing, 2, 100),
        Part("x w", nothing, nothing, 1, 50),
        Part("optimizer", nothing, nothing, 1),
        Part("shuffling", nothing, nothing, 0.5),
    ]
    step = breakdown.add_up(found, [3.0, 1.0, 2.0, 8.0], engine=11.0, whole=21.0, floor=7.0)
    shown = {kind: seconds for kind, seconds in step.parts.items() if seconds}
    assert shown == {"x w": 7.0, "optimizer": 2.0, "shuffling": 4.0, "engine and memory": 2.0, "Python": 6.0}
    assert sum(step.parts.values()) == step.whole == 21.0
    assert step.flops["x w"] == 250
    assert step.floor == 7.0


def test_a_measured_step_adds_up():
    step = breakdown.measure(FITS[0], 0, 0.5)
    assert sum(step.parts.values()) == pytest.approx(step.whole)
    assert step.whole > 0
    assert step.floor == 0.5 / (FITS[0].epochs * 10)  # ten batches


def test_table():
    step = Step({"x w": 3e-6, "Python": 1e-6}, 4e-6, {"x w": 600_000}, 2e-6)
    assert list(breakdown.table({"a": step, "b": step}))[2:] == [
        "| x w | 3 us (75%, 200 GFLOP/s) | 3 us (75%, 200 GFLOP/s) |",
        "| Python | 1 us (25%) | 1 us (25%) |",
        "| **the whole step** | 4 us | 4 us |",
        "| floor, and its share | 2 us (50%) | 2 us (50%) |",
    ]
