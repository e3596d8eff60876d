"""What the kernels' Python bindings take, and how they refuse the rest: an error that says what came, never a crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn.kernels
from fastnn.engine.network import Network
from fastnn.engine.ops import DenseOp, MergeOp, NoiseOp
from fastnn.kernels.bindings import evaluate, row_values, state_size
from fastnn.kernels.kernel import Kernel
from support.bindings import kernels

Z = np.linspace(-2, 2, 15).reshape(3, 5)
Y, LABELS = np.eye(5)[:3], np.arange(3.0)


def misaligned(array: np.ndarray) -> np.ndarray:
    """A copy whose elements start one byte off."""
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
    copy = raw.view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def strided(array: np.ndarray) -> np.ndarray:
    """A copy with gaps between its elements."""
    copy = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2]
    copy[...] = array
    return copy


def read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def swapped(array: np.ndarray) -> np.ndarray:
    """A copy in the other byte order."""
    return array.astype(array.dtype.newbyteorder("S"))


# Each binding with arrays that it takes, as {name: array}, those given by place first.
BINDINGS: dict[str, tuple[Callable[..., Any], dict[str, np.ndarray]]] = {
    "forward": (lambda z, **more: kernels.tanh(z, **more), {"z": Z}),
    "backward": (lambda z, a, d, **more: kernels.tanh.backward(z, a, d, **more), {"z": Z, "a": Z / 2, "d": Z + 1}),
    "loss": (
        lambda y, output, weight, **more: kernels.mean_squared_error(y, output, weight=weight, **more)[1],
        {"y": Y, "output": Z, "weight": LABELS + 1},
    ),
    "labels": (
        lambda y, output, weight, **more: kernels.softmax_sparse_categorical_crossentropy(
            y, output, weight=weight, **more
        )[1],
        {"y": LABELS, "output": Z, "weight": LABELS + 1},
    ),
    "dropout": (lambda x, **more: kernels.dropout(x, 0.5, 3, **more), {"x": Z}),
    "column_sums": (lambda d, **more: kernels.column_sums(d, **more), {"d": Z}),
    "matmul": (lambda a, b, bias, **more: kernels.matmul(a, b, bias, **more), {"a": Z, "b": Z.T, "bias": LABELS}),
    "matmul_transposed_a": (lambda a, b, **more: kernels.matmul_transposed_a(a, b, **more), {"a": Z, "b": Z}),
    "matmul_transposed_b": (lambda a, b, **more: kernels.matmul_transposed_b(a, b, **more), {"a": Z, "b": Z}),
}


@pytest.fixture(params=BINDINGS)
def binding(request: pytest.FixtureRequest) -> tuple[Callable[..., Any], dict[str, np.ndarray]]:
    return BINDINGS[request.param]


@pytest.mark.parametrize("layout", [misaligned, strided, read_only, swapped, np.asfortranarray])
def test_inputs_of_any_layout(binding: Any, layout: Any, dtype: str) -> None:
    call, arrays = binding
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    expected = call(**arrays)
    np.testing.assert_array_equal(call(**{name: layout(array) for name, array in arrays.items()}), expected)
    assert expected.dtype == dtype
    assert expected.dtype.isnative


def test_numbers_of_other_types_are_taken_as_float64(binding: Any) -> None:
    call, arrays = binding
    for kind in (np.int64, np.uint8, np.float16, np.bool_, object, list):
        given = {n: np.abs(a).round().astype(float if kind is list else kind) for n, a in arrays.items()}
        found = call(**{n: a.tolist() if kind is list else a for n, a in given.items()})
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, call(**{n: a.astype(float) for n, a in given.items()}))


def test_two_types_of_float_are_refused(binding: Any) -> None:
    call, arrays = binding
    for name in list(arrays)[1:]:
        mixed = {n: a.astype("f4" if n == name else "f8") for n, a in arrays.items()}
        with pytest.raises(TypeError, match=r"is float(32|64) but the array before it is float(32|64)"):
            call(**mixed)


def test_wrong_shapes_are_refused(binding: Any) -> None:
    call, arrays = binding
    for name in list(arrays)[1:]:
        for wrong in (np.zeros((7, 7)), np.zeros((0, 7)), np.zeros((2, 3, 4)), np.zeros(1)):
            with pytest.raises(ValueError, match="shape"):
                call(**{**arrays, name: wrong})


WRONG_OUT: dict[str, Callable[[np.ndarray], Any]] = {
    "shape": lambda good: np.zeros((*good.shape, 2)),
    "fewer": lambda good: good[:-1],
    "deeper": lambda good: good[None],
    "float32": lambda good: good.astype("f4"),
    "int64": lambda good: good.astype("i8"),
    "list": lambda good: good.tolist(),
    "swapped": swapped,
    "strided": strided,
    "reversed": lambda good: good[::-1],
    "misaligned": misaligned,
    "read-only": read_only,
}


@pytest.mark.parametrize("wrong", WRONG_OUT)
def test_wrong_out_is_refused_and_left_alone(binding: Any, wrong: str) -> None:
    call, arrays = binding
    out = WRONG_OUT[wrong](np.full_like(call(**arrays), 7.0))
    before = np.array(out)
    with pytest.raises(ValueError, match=r"out must be (a float64 array of shape .*, got|C-contiguous, aligned and)"):
        call(**arrays, out=out)
    np.testing.assert_array_equal(np.array(out), before)


@pytest.mark.parametrize("wrong", WRONG_OUT)
def test_wrong_activated_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="activated must be"):
        kernels.mean_squared_error(Y, Z, activated=WRONG_OUT[wrong](np.zeros_like(Z)))


@pytest.mark.parametrize("wrong", [*WRONG_OUT, "None"])
def test_optimizer_works_on_nothing_but_fitting_arrays(wrong: str) -> None:
    spoil = WRONG_OUT.get(wrong, lambda good: None)
    fitting = np.zeros((3, 5))
    for place in ("w", "slots"):
        given = {"w": fitting.copy(), "slots": [fitting.copy()]}
        given[place] = spoil(fitting) if place == "w" else [spoil(fitting)]
        with pytest.raises((TypeError, ValueError), match=r"must be|shape|but the array before"):
            kernels.sgd(given["w"], fitting, given["slots"], 0.1, 1, (0.9, 0))


@pytest.mark.parametrize("wrong", [*WRONG_OUT, "None"])
def test_penalty_adds_to_nothing_but_a_fitting_array(wrong: str) -> None:
    with pytest.raises(ValueError, match="g must be"):
        kernels.l1_l2(Z, WRONG_OUT.get(wrong, lambda good: None)(np.zeros_like(Z)), 0.1, 0.1)


def test_optimizer_takes_a_gradient_of_the_shape_and_type_of_the_weights() -> None:
    with pytest.raises(ValueError, match=r"g has shape \(3,\), expected \(4,\)"):
        kernels.sgd(np.zeros(4), np.zeros(3), [], 0.1, 1)
    with pytest.raises(TypeError, match="g is float32"):
        kernels.sgd(np.zeros(4), np.zeros(4, np.float32), [], 0.1, 1)
    for w in ([1.0], np.zeros(3, int), np.zeros(3, np.float16), None, 1.0):
        with pytest.raises(TypeError, match="w must be a float32 or float64 array, got"):
            kernels.sgd(w, [1.0], [], 0.1, 1)


def test_thirteen_numbers_are_too_many() -> None:
    for call in (
        lambda numbers: kernels.elu(Z, numbers),
        lambda numbers: kernels.elu.backward(Z, Z, Z, numbers),
        lambda numbers: kernels.huber(Y, Z, numbers),
        lambda numbers: kernels.sgd(np.zeros(2), np.zeros(2), [], 0.1, 1, numbers),
    ):
        with pytest.raises(ValueError, match="at most 12 numbers, got 13"):
            call(range(13))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, np.nan, np.inf, -np.inf])
def test_dropout_rate_outside_0_to_1(rate: float) -> None:
    with pytest.raises(ValueError, match="rate must be at least 0 and below 1, got"):
        kernels.dropout(Z, rate, 1)


@pytest.mark.parametrize(("key", "first"), [(-1, 0), (1 << 64, 0), (0, -1), (0, 1 << 32)])
def test_dropout_key_and_first_are_unsigned(key: int, first: int) -> None:
    with pytest.raises(OverflowError):
        kernels.dropout(Z, 0.5, key, first)


def test_matmul_of_what_is_no_pair_of_matrices() -> None:
    for a, b in ((Z, Z), (Z[0], Z.T), (Z, Z[0]), (Z[None], Z.T), (1.0, Z)):
        with pytest.raises(ValueError, match="shape"):
            kernels.matmul(a, b)
    for form in (kernels.matmul_transposed_a, kernels.matmul_transposed_b):
        with pytest.raises(TypeError, match="bias"):
            form(Z, Z, bias=np.zeros(5))
        with pytest.raises(ValueError, match=f"{form.__name__}: shapes"):
            form(Z, np.zeros((4, 6)))


def test_text_is_refused(binding: Any) -> None:
    call, arrays = binding
    with pytest.raises((TypeError, ValueError)):
        call(**{name: np.array(["a"]) for name in arrays})


def test_kernels_are_not_made_from_python() -> None:
    """One without its C functions would crash when called."""
    assert type(fastnn.kernels.relu) is Kernel
    with pytest.raises(TypeError, match="a Kernel cannot be made from Python"):
        Kernel()


def test_representation_tells_name_and_signature() -> None:
    assert repr(fastnn.kernels.relu) == "<Kernel relu: activation>"
    assert repr(fastnn.kernels.adam) == "<Kernel adam: optimizer>"


def test_what_only_the_engine_calls_says_so() -> None:
    for name in ("adam", "dropout", "gemm", "affine", "add_rows", "orthogonal", "l1_l2"):
        with pytest.raises(TypeError, match=f"<Kernel {name}: .*> has no binding for Python: the engine calls it"):
            getattr(fastnn.kernels, name)(Z)


def test_a_kernel_of_another_signature_is_refused() -> None:
    """By the engine, where a class is compiled against a kernel's functions: to call the wrong one would crash."""
    for make, wanted in (
        (lambda: DenseOp(2, 3, activation=fastnn.kernels.mean_squared_error), "activation"),
        (lambda: NoiseOp(2, fastnn.kernels.relu, 0.1), "noise"),
        (lambda: MergeOp(fastnn.kernels.dot_rows, 2, 2), "merge"),
        (lambda: Network([DenseOp(2, 3)]).set_optimizer(fastnn.kernels.huber, ()), "optimizer"),
        (lambda: row_values(fastnn.kernels.relu, Y, Z), "loss"),
        (lambda: evaluate(fastnn.kernels.relu, Y.astype("f4"), Z.astype("f4")), "loss"),
        (lambda: state_size(fastnn.kernels.relu, 1, 1, ()), "accumulator"),
    ):
        with pytest.raises(TypeError, match=f"a kernel of signature {wanted} is needed here, got <Kernel "):
            make()


ROWS = np.full((4, 2), 0.5)


@pytest.mark.parametrize(
    ("name", "y", "output", "size", "numbers", "words"),
    [
        ("threshold_counts", ROWS, ROWS, 4, (), "takes 4 numbers, how many thresholds there are, and these"),
        ("threshold_counts", ROWS, ROWS, 4, (0, 0, -1, 0, 1e9), "takes 4 numbers"),
        ("threshold_counts", ROWS, ROWS, 4, (0, 0, -1, 0, -1), "takes 4 numbers"),
        ("threshold_counts", ROWS, ROWS, 4, (0, 0, np.nan, 0, 1, 0.5), "takes finite numbers"),
        ("threshold_counts", ROWS[:, :1], ROWS, 4, (0, 0, -1, 0, 1, 0.5), r"reads 2 target\(s\) of a row"),
        ("confusion_counts", ROWS, ROWS, 4, (2.0**64, 0, 0, 0.5, -1), "takes from 0 to 1,048,576 classes"),
        ("confusion_counts", ROWS, ROWS, 4, (-2, 0, 0, 0.5, -1), "takes from 0 to"),
        ("confusion_counts", ROWS, ROWS, 4, (np.inf, 0, 0, 0.5, -1), "takes finite numbers"),
        ("confusion_counts", ROWS[:, :1], ROWS, 4, (2, 0, 0, 0.5, -1), "reads 2 target"),
        ("confusion_counts", ROWS[:, :0], ROWS, 4, (), "reads 1 target"),
        ("confusion_counts", ROWS, ROWS[:, :0], 4, (2, 0, 1, 0.5, -1), "reads 1 target"),
        ("class_counts", ROWS[:, :1], ROWS, 6, (0, 0), "reads 2 target"),
        ("class_counts", ROWS, ROWS[:, :0], 0, (0, 0), "reads 1 target"),
        ("column_moments", ROWS[:, :1], ROWS, 9, (), "reads 2 target"),
        ("column_moments", ROWS, ROWS, 8, (), "state must be a float64 array of shape"),
        ("column_moments", ROWS[:3], ROWS, 9, (), "as many rows"),
    ],
)
def test_an_accumulator_stays_in_its_state(
    name: str, y: np.ndarray, output: np.ndarray, size: int, numbers: Any, words: str
) -> None:
    """Whatever numbers it is given: they say where it reads and writes."""
    state = np.zeros(size)
    with pytest.raises(ValueError, match=words):
        getattr(fastnn.kernels, name)(y, output, state, numbers)
    assert not state.any()


@pytest.mark.parametrize("numbers", [5, ["a"], [10**400], [None], {"a": 1}, [[1]], memoryview(np.ones((2, 2)))])
@pytest.mark.parametrize(("name", "arguments"), [("leaky_relu", (Z,)), ("huber", (Y, Z)), ("class_counts", (Z, Z, Z))])
def test_a_kernels_numbers_are_numbers(name: str, arguments: Any, numbers: Any) -> None:
    with pytest.raises(TypeError, match="a kernel's numbers must be a sequence of numbers, got"):
        getattr(fastnn.kernels, name)(*arguments, numbers)


def test_a_scale_is_a_number() -> None:
    with pytest.raises(TypeError, match="scale must be a number, got str"):
        fastnn.kernels.huber(Y, Z, (1,), scale="a")
