"""One source, several instruction sets: all give the same results, and the choice between them fails politely."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import kernels
from fastnn.activations import Activation
from fastnn.constraints import Constraint
from fastnn.kernels.kernel import Kernel
from fastnn.metrics import AccumulatedMetric, LossMetric, MeanMetric
from fastnn.optimizers import Optimizer
from support.bindings import bound
from support.guarded import close
from support.metrics import batch, fits
from support.units import Way, outputs_for, targets_for

SETS = kernels.cpu.supported()
OTHER_SETS = [isa for isa in SETS if isa != kernels.isa]


def python(code: str, isa: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with FASTNN_ISA set, that finds the package where this one did."""
    path = os.pathsep.join(filter(None, [str(Path(fastnn.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "FASTNN_ISA": isa, "PYTHONPATH": path, **more}
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(params=OTHER_SETS or [kernels.isa])
def other(request: pytest.FixtureRequest) -> dict[str, Kernel]:
    """The kernels of another instruction set, beside those in use."""
    return kernels.kernels_of(request.param)


def tolerance(dtype: str) -> float:
    """Fused multiply-add rounds once where the baseline rounds twice; sums differ by some ulp."""
    return 64 * 2.0 ** (-23 if dtype == "float32" else -52)


def test_same_kernels(other: dict[str, Kernel]) -> None:
    # But for those that the processor has instructions for in one set alone.
    here, other = (
        {name: kernel for name, kernel in each.items() if not name.startswith("bfloat16_")}
        for each in (kernels.kernels_of(kernels.isa), other)
    )
    assert len(here) > 80
    assert {name: kernel.signature for name, kernel in other.items()} == {
        name: kernel.signature for name, kernel in here.items()
    }
    for name, kernel in here.items():
        assert kernel.name == name
        assert kernel is getattr(kernels, name)
        assert kernel.addresses() != other[name].addresses() or other[name] is kernel
        assert kernel.addresses(double=True) == other[name].addresses(double=True)


def test_float64_is_compiled_once_and_imported_when_asked_for() -> None:
    code = (
        "import sys, numpy as np, fastnn\n"
        "from fastnn import kernels\n"
        "wide = [f'fastnn.kernels._baseline.{name}' for name in kernels.MODULES]\n"
        "kernels.relu(np.ones(3, np.float32)), fastnn.losses.get('mse')(np.ones(3, 'f4'), np.ones(3, 'f4'))\n"
        "print(*[name in sys.modules for name in wide], kernels.isa == 'baseline')\n"
        "kernels.relu(np.ones(3))\n"
        "print(*[name in sys.modules for name in wide])"
    )
    for isa in SETS:
        run = python(code, isa)
        assert run.returncode == 0, run.stderr
        early, late = run.stdout.splitlines()
        assert set(early.split()) == {str(isa == "baseline")}
        assert late == " ".join(["True"] * len(kernels.MODULES))


def test_activations_agree(activation: Activation, other: Any, dtype: str, rng: np.random.Generator) -> None:
    here, numbers = activation.kernel, activation.numbers()
    there = other[here.name]
    z, d = rng.normal(scale=3.0, size=(2, 7, 53)).astype(dtype)
    a = here(z, numbers)
    close(there(z, numbers), a, tolerance(dtype), tolerance(dtype) / 16)
    close(
        bound(there).backward(z, a, d, numbers),
        bound(here).backward(z, a, d, numbers),
        tolerance(dtype),
        tolerance(dtype) / 16,
    )


def test_losses_agree(every_way: Way, other: Any, dtype: str, rng: np.random.Generator) -> None:
    way = every_way
    z = rng.normal(size=(7, 54))
    z = (z if way.logits else outputs_for(way.loss, z)).astype(dtype)
    y, weight = targets_for(way.loss, 7, 54, rng).astype(dtype), rng.random(7).astype(dtype)
    both = (way.kernel, other[way.kernel.name])
    here, there = (kernel(y, z, way.loss.numbers(), weight=weight) for kernel in both)
    for one, another in zip(here, there, strict=True):
        close(another, one, tolerance(dtype), tolerance(dtype))


def test_metrics_agree(mean_metric: MeanMetric, other: Any, dtype: str, rng: np.random.Generator) -> None:
    if isinstance(mean_metric, LossMetric):
        return
    output, y = rng.integers(0, 9, (7, 53)).astype(dtype) / 8, targets_for(mean_metric, 7, 53, rng).astype(dtype)
    both = (mean_metric.kernel, other[mean_metric.kernel.name])
    here, there = (kernel(y, output, mean_metric.numbers())[0] for kernel in both)
    # Two doubles that are divided; one instruction set multiplies and adds in one rounding, another in two.
    assert here == (pytest.approx(there, rel=4e-16) if "correlation" in mean_metric.table_name else there)


def test_accumulators_agree(accumulated: AccumulatedMetric, other: Any, dtype: str, rng: np.random.Generator) -> None:
    count = next(
        units for units in (3, 1) if any(fits(accumulated, targets, units) for targets in accumulated.columns(units))
    )
    y, output = (array.astype(dtype) for array in batch(accumulated, 37, count, rng))
    states = []
    for kernel in (accumulated.kernel, other[accumulated.kernel.name]):
        states.append(np.zeros(accumulated.state_size(count, y.shape[1])))
        kernel(y, output, states[-1], accumulated.accumulator_numbers())
    close(states[1], states[0], 64 * 2.0**-52, 64 * 2.0**-52)


def test_optimizers_agree(optimizer: Optimizer, other: Any, dtype: str, rng: np.random.Generator) -> None:
    start, gradients = rng.normal(size=53).astype(dtype), rng.normal(size=(5, 53)).astype(dtype)
    ends = []
    for kernel in (optimizer.kernel, other[optimizer.kernel.name]):
        w, slots = start.copy(), [np.full(53, fill, dtype) for fill in optimizer.slot_starts]
        for t, g in enumerate(gradients, 1):
            bound(kernel)(w, g, slots, optimizer.learning_rate, t, optimizer.numbers())
        ends.append(w)
    close(ends[1], ends[0], tolerance(dtype), tolerance(dtype))


def test_constraints_agree(constraint: Constraint, other: Any, dtype: str, rng: np.random.Generator) -> None:
    ends = [rng.normal(size=(7, 53)).astype(dtype)]
    ends.append(ends[0].copy())
    for kernel, w in zip((constraint.kernel, other[constraint.kernel.name]), ends, strict=True):
        kernel(w, constraint.numbers())
    close(ends[1], ends[0], tolerance(dtype))


def test_matrix_penalties_agree(matrix_regularizer: Any, other: Any, dtype: str, rng: np.random.Generator) -> None:
    w, slopes = rng.normal(size=(7, 53)).astype(dtype), np.zeros((2, 7, 53), dtype)
    here = matrix_regularizer.kernel
    values = [
        bound(kernel)(w, slope, matrix_regularizer.numbers())
        for kernel, slope in zip((here, other[here.name]), slopes, strict=True)
    ]
    close(values[1], values[0], tolerance(dtype))
    close(slopes[1], slopes[0], tolerance(dtype), tolerance(dtype))


def test_multiplications_agree(other: Any, dtype: str, rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, 53, 53)).astype(dtype)
    for name in ("gemm", "gemm_transposed_a", "gemm_transposed_b"):
        one, another = (bound(kernel)(a, b) for kernel in (other[name], getattr(kernels, name)))
        close(one, another, tolerance(dtype), 8 * tolerance(dtype))


def test_dropout_is_the_same_to_the_bit(other: Any, dtype: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=1003).astype(dtype)
    one, another = (bound(kernel)(x, 0.3, 9, 5) for kernel in (other["dropout"], kernels.dropout))
    np.testing.assert_array_equal(one, another)


# A run of these tests that was told its instruction set does not start others.
@pytest.mark.skipif("FASTNN_ISA" in os.environ, reason="FASTNN_ISA names one instruction set")
@pytest.mark.parametrize("isa", OTHER_SETS)
def test_all_kernel_tests_pass_on_it(isa: str) -> None:
    here = Path(__file__).parent
    # The bindings are compiled once, and test_gradients.py puts together what the others have tested one by one.
    left_out = {"test_isa", "test_bindings", "test_gradients"}
    files = [str(file) for file in sorted(here.glob("test_*.py")) if file.stem not in left_out]
    options = ["-q", "-x", "-p", "no:cacheprovider", "--import-mode=importlib", f"--rootdir={here.parents[1]}"]
    code = f"import sys, pytest; sys.exit(pytest.main({options + files!r}))"
    run = python(code, isa, OPENBLAS_NUM_THREADS="1")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


@pytest.mark.parametrize("isa", SETS)
def test_named_set_is_used_and_shown(isa: str) -> None:
    code = "import fastnn; fastnn.show_config(); print(fastnn.kernels.isa, fastnn.kernels.relu([-1.0, 2]))"
    run = python(code, isa)
    assert run.returncode == 0, run.stderr
    assert f"{isa} [0. 2.]" in run.stdout
    shown = dict(line.split("  ", 1) for line in run.stdout.splitlines() if "  " in line)
    assert shown["instruction set"].strip() == isa
    assert shown["chosen by"].strip() == "FASTNN_ISA"
    assert shown["supported here"].strip() == ", ".join(SETS)


def test_best_set_is_chosen_where_none_is_named() -> None:
    run = python("import fastnn; print(fastnn.show_config('dicts')['chosen by'], fastnn.kernels.isa)", "")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == f"the processor {SETS[0]}"


@pytest.mark.parametrize("isa", ["pentium", "AVX2", " ", "neon", "_baseline", "../baseline", "baseline,avx2"])
def test_unknown_set_is_an_import_error_that_names_the_known(isa: str) -> None:
    run = python("import fastnn", isa)
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: FASTNN_ISA={isa!r}, but this processor runs {', '.join(SETS)}")


def test_set_that_the_processor_lacks_is_refused() -> None:
    """A processor of which only the baseline is known refuses the others, rather than crash in them."""
    code = (
        "import sys, types; cpu = types.ModuleType('fastnn.kernels.cpu'); cpu.supported = lambda: ('baseline',)\n"
        "sys.modules['fastnn.kernels.cpu'] = cpu\n"
        "import fastnn"
    )
    run = python(code, "avx2")
    assert run.returncode == 1
    assert "ImportError: FASTNN_ISA='avx2', but this processor runs baseline" in run.stderr
    assert python(code, "baseline").returncode == 0
    assert python(code, "").returncode == 0


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert fastnn.show_config() is None
    printed = capsys.readouterr().out
    config = fastnn.show_config("dicts")
    assert config["instruction set"] == kernels.isa
    assert kernels.isa in config["supported here"].split(", ")
    assert re.fullmatch(r"(gcc|clang|MSVC) \d\S*", config["compiled by"])
    assert capsys.readouterr().out == ""
    for name, value in config.items():
        assert any(line.startswith(name) and line.endswith(value) for line in printed.splitlines())
    with pytest.raises(ValueError, match="mode must be 'stdout' or 'dicts', got 5"):
        fastnn.show_config(5)
