"""Every constraint, by its kernel and by its call: against its reference, in parts, and where it must not break."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import constraints, kernels
from fastnn.constraints import CONSTRAINTS, Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from support.guarded import SHAPES, Guard, close
from support.units import label, units, unknown

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def constrained(constraint: Constraint, w: np.ndarray) -> np.ndarray:
    constraint.kernel(w, constraint.numbers())
    return w


def test_follows_its_formula(constraint: Constraint, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    for shape in [*SHAPES, (1000, 2), (33, 40), (0, 0)]:
        w = guard(rng.normal(size=shape), dtype)
        expected = constraint.reference(w.astype(float))
        close(constrained(constraint, w), expected, 4 * EPS[dtype])


def test_in_pieces_is_the_same(constraint: Constraint, dtype: str, rng: np.random.Generator) -> None:
    """Threads share the vectors: the bits must not depend on where they are cut."""
    w = rng.normal(size=(37, 53)).astype(dtype)
    whole, parts = constrained(constraint, w.copy()), w.copy()
    last = 37 if constraint.numbers()[0] else 53
    for start, stop in ((0, 1), (1, 18), (18, 35), (35, 35), (35, last)):
        constraint.kernel(parts, constraint.numbers(), start, stop)
    np.testing.assert_array_equal(parts, whole)
    untouched = w.copy()
    constraint.kernel(untouched, constraint.numbers(), 20, 20)
    np.testing.assert_array_equal(untouched, w)


def test_again_changes_nothing_more(constraint: Constraint, dtype: str, rng: np.random.Generator) -> None:
    """A projection, but for Keras's 1e-7 beside the length; a rate below 1 comes nearer at each step."""
    w = rng.normal(size=(9, 9)).astype(dtype)
    for _ in range(60):
        constrained(constraint, w)
    close(constrained(constraint, w.copy()), w, 1e-6)


def test_nan_stays_in_its_vector(constraint: Constraint, dtype: str) -> None:
    w = np.ones((19, 19), dtype)
    w[3, 5] = np.nan
    found = np.isnan(constrained(constraint, w))
    expected = np.zeros((19, 19), bool)
    if isinstance(constraint, NonNeg):
        expected[3, 5] = True
    elif constraint.numbers()[0]:
        expected[3] = True
    else:
        expected[:, 5] = True
    np.testing.assert_array_equal(found, expected)


def test_zeros_stay_zeros(constraint: Constraint, dtype: str) -> None:
    np.testing.assert_array_equal(constrained(constraint, np.zeros((3, 4), dtype)), np.zeros((3, 4)))


def test_lengths_whose_squares_are_no_floats() -> None:
    w = np.array([[3e30, 3e-30], [4e30, 4e-30]], np.float32)
    close(MaxNorm(1.0)(w), [[0.6, 3e-30 * 5e-23], [0.8, 4e-30 * 5e-23]], 1e-6, 1e-45)


def test_known_values() -> None:
    w = np.array([[3.0, 0.3], [-4.0, 0.4]])
    close(NonNeg()(w), [[3.0, 0.3], [0.0, 0.4]], 0)
    close(MaxNorm(2.0)(w), [[1.2, 0.3], [-1.6, 0.4]], 1e-6)
    close(MaxNorm(2.0, axis=1)(np.array([[3.0, 4.0], [0.0, 1.0]])), [[1.2, 1.6], [0.0, 1.0]], 1e-6)
    close(UnitNorm()(w), [[0.6, 0.6], [-0.8, 0.8]], 1e-6)
    close(MinMaxNorm(1.0, 2.0, rate=0.5)(w), [[2.1, 0.45], [-2.8, 0.6]], 1e-6)


def test_a_call_gives_a_copy(constraint: Constraint, dtype: str, rng: np.random.Generator) -> None:
    w = rng.normal(size=(5, 4)).astype(dtype)
    before = w.copy()
    found = constraint(w)
    np.testing.assert_array_equal(w, before)
    np.testing.assert_array_equal(found, constrained(constraint, w))
    assert found.dtype == dtype
    close(constraint(np.asfortranarray(before)), found, 0)
    assert constraint(before.round().astype(int)).dtype == np.float32


def test_a_vector_is_one_column(constraint: Constraint) -> None:
    w = np.linspace(-2.0, 3.0, 7)
    if constraint.numbers()[0]:
        with pytest.raises(ValueError, match=r"along axis 1 takes a matrix, got shape \(7,\)"):
            constraint(w)
    else:
        close(constraint(w), constraint.reference(w), 1e-15)


@pytest.mark.parametrize("shape", [(), (2, 3, 4)], ids=str)
def test_other_shapes_are_refused(constraint: Constraint, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="got shape"):
        constraint(np.ones(shape))


@pytest.mark.parametrize("one", units(CONSTRAINTS), ids=label)
def test_from_name_and_from_configuration(one: Constraint) -> None:
    assert constraints.get(CONSTRAINTS.config(one)) == one
    assert constraints.get(one.table_name) == type(one)()
    assert constraints.get(type(one).__name__) == type(one)()
    assert constraints.get(one) is one
    assert getattr(constraints, one.table_name) is type(one)


def test_none_and_unknown() -> None:
    assert constraints.get(None) is None
    with pytest.raises(ValueError, match=unknown("constraint", "round")):
        constraints.get("round")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaxNorm(-1), "max_value must be at least 0"),
        (lambda: MaxNorm(float("nan")), "max_value must be at least 0"),
        (lambda: MaxNorm(axis=2), r"axis must be 0 \(columns\) or 1 \(rows\), got 2"),
        (lambda: UnitNorm(axis=-1), "axis must be 0"),
        (lambda: MinMaxNorm(-0.5), "min_value must be at least 0"),
        (lambda: MinMaxNorm(2.0, 1.0), "max_value must be at least 2"),
        (lambda: MinMaxNorm(rate=1.5), "rate must be at least 0 and at most 1"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_door_refuses_what_a_kernel_cannot_take() -> None:
    for w in ([[1.0]], np.ones((2, 2), int), None):
        with pytest.raises(TypeError, match="w must be a float32 or float64 array, got"):
            kernels.non_neg(w)
    with pytest.raises(ValueError, match="non_neg takes a matrix, got shape"):
        kernels.non_neg(np.ones(3))
    with pytest.raises(ValueError, match="C-contiguous"):
        kernels.non_neg(np.ones((4, 4))[::2])
    for first, last in ((-1, 2), (2, 1), (0, 4)):
        with pytest.raises(ValueError, match=r"non_neg: (first|last) must be at (least|most)"):
            kernels.non_neg(np.ones((2, 3)), (0,), first, last)


def test_kernels_are_not_made_from_python() -> None:
    with pytest.raises(TypeError, match="a Kernel cannot be made from Python"):
        type(kernels.non_neg)()


def test_every_kernel_serves_a_constraint() -> None:
    known = {name for name, kernel in vars(kernels).items() if getattr(kernel, "signature", "") == "constraint"}
    assert known == {constraint.kernel.name for constraint in units(CONSTRAINTS)}


def test_the_base_class_alone_changes_nothing() -> None:
    """As Keras's; a subclass that does not say what it does is a mistake."""
    w = np.array([[1.0, -2.0]])
    np.testing.assert_array_equal(Constraint()(w), w)

    class Forgotten(Constraint):
        pass

    with pytest.raises(TypeError, match="Forgotten has no __call__"):
        Forgotten()(w)
