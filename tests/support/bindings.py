"""Every kernel, called on NumPy arrays through the address of its C function: what only tests and benchmarks need.

`kernels.NAME` is `fastnn.kernels.NAME` as a `Bound`; `bound(kernel)` makes one of any kernel. Arrays are C-contiguous,
float32 or float64, and rows are (rows, columns) where nothing else is said.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from ctypes import c_double, c_int, c_ssize_t, c_uint32, c_uint64, c_void_p
from typing import Any

import numpy as np
import pytest

import fastnn.kernels
from fastnn.kernels.bindings import as_input, as_output, in_place, row_values, state_size, targets_of
from fastnn.kernels.kernel import Kernel
from support.guarded import left_out

# The C arguments of each function of a signature, in fastnn/kernels/types.pxd's words: p an address, n a Py_ssize_t,
# d a double, i an int, u a uint32_t, k a uint64_t; a d before the colon is what it returns.
ARGUMENTS = {
    "activation": (":pppnn", ":ppppnn"),
    "loss": ("d:ppppppnnd",),
    "accumulator": (":pppppnnn",),
    "optimizer": (":pppnddp",),
    "whole_optimizer": (":pppnnniddpp",),
    "penalty": ("d:ppndd",),
    "matrix_penalty": ("d:ppnnpp",),
    "constraint": (":pnnnnp",),
    "noise": (":ppnudk", ":ppnudk"),
    "gemm": (":pnpnppnnnnp",),
    "segments": (":ppnpnppnnnnp",),
    "cell": (":nnpnpppnpn", ":nnpnpppnpn"),
    "pool": (":ipnnpp", ":ipnnpppp"),
    "sum": (":pnnnp",),
    "vector": ("d:ppnd",),
    "affine": (":ipnnnnpdip",),
    "batch_normalization": (":pnnnnnppp", ":ppnnnnnpppp", ":ppnnnnnppp"),
    "prelu": (":pnnnnpp", ":ppnnnnpp", ":ppnnnnnp"),
    "layer_normalization": (":pnnnnppdipp", ":pnnnnpipp", ":pnnnpnnpp"),
    "merge": (":ipinnnp", ":ipinnnpp"),
    "dot": (":ppnnppp", ":ppnnpppppp"),
}
TYPES = {"p": c_void_p, "n": c_ssize_t, "d": c_double, "i": c_int, "u": c_uint32, "k": c_uint64}
FORWARD, BACKWARD, GRADIENT = MOMENTS, _, SUMS = range(3)
ROOTS = {"added": 0, "floored": 1, "inverse": 2}
COLUMN = ("mean", "variance", "shift", "gamma", "beta")
SUBTRACT = 1
PANEL, STRIPS = 32 * 512, 384 * 512 + 1024  # floats of workspace, at least: see workspace_elements


class Axes(ctypes.Structure):
    _fields_ = [*((name, c_ssize_t) for name in ("depth", "left", "left_inner", "right", "right_inner"))]
    _fields_ += [("normalize", c_int)]


def at(array: np.ndarray | None) -> int | None:
    """The address of an array's first element."""
    return None if array is None else int(array.ctypes.data)


def rows_of(array: np.ndarray) -> np.ndarray:
    """The addresses of its rows."""
    return np.arange(array.shape[0], dtype=np.uintp) * np.uintp(array.strides[0]) + np.uintp(array.ctypes.data)


def addresses(arrays: Iterable[np.ndarray | None]) -> np.ndarray:
    return np.array([at(array) or 0 for array in arrays], np.uintp)


def numbered(numbers: Iterable[float]) -> np.ndarray:
    numbers = tuple(numbers)
    if len(numbers) > 12:
        raise ValueError(f"a kernel takes at most 12 numbers, got {len(numbers)}")
    return np.array([*numbers, *[0.0] * (12 - len(numbers))])


def matrix(name: str, array: Any, like: Any = None, shape: Any = None) -> np.ndarray:
    array = as_input(name, array, like, shape)
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape (rows, columns), got {array.shape}")
    return array


def lines(x: np.ndarray, repeats: int) -> int:
    """Columns of a line, where a row is `repeats` lines."""
    if repeats < 1 or x.shape[1] < repeats or x.shape[1] % repeats:
        raise ValueError(f"rows of {x.shape[1]} numbers cannot be {repeats} equal parts")
    return x.shape[1] // repeats


def column(name: str, array: Any, like: Any, channels: int) -> np.ndarray | None:
    return None if array is None else as_input(name, array, like, (channels,))


def floats(name: str, array: Any) -> np.ndarray:
    if getattr(array, "dtype", None) not in (np.float32, np.float64):
        raise TypeError(
            f"{name} must be a float32 or float64 array, got {getattr(array, 'dtype', type(array).__name__)}"
        )
    return in_place(name, array, array.shape, array.dtype)


class Bound:
    """A kernel and the functions that call it; which of them there are depends on its signature."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.name = kernel, kernel.name
        self.functions: dict[Any, Callable[..., Any]] = {}

    def __repr__(self) -> str:
        return f"<Bound {self.name}>"

    def __getattr__(self, name: str) -> Any:
        table = METHODS[self.kernel.signature]
        if name not in table:
            raise AttributeError(f"a kernel of signature {self.kernel.signature} has no {name}")
        return lambda *args, **more: table[name](self, *args, **more)

    def __call__(self, *args: Any, **more: Any) -> Any:
        return METHODS[self.kernel.signature]["call"](self, *args, **more)

    def c(self, like: np.ndarray, place: int, *args: Any) -> Any:
        """Call the C function at `place`, for the type of `like`."""
        double = like.itemsize == 8
        if (double, place) not in self.functions:
            result, arguments = ARGUMENTS[self.kernel.signature][place].split(":")
            kind = ctypes.CFUNCTYPE(TYPES[result] if result else None, *(TYPES[letter] for letter in arguments))
            address = self.kernel.addresses(double)[place]
            if not address:
                left_out.append(self.name)
                pytest.skip(f"{self.name} of float64 is compiled in place alone (FASTNN_CHECKED in setup.py)")
            self.functions[double, place] = kind(address)
        return self.functions[double, place](*(at(value) if isinstance(value, np.ndarray) else value for value in args))


_BOUND: dict[Kernel, Bound] = {}


def bound(kernel: Kernel) -> Bound:
    return _BOUND.setdefault(kernel, Bound(kernel))


class _Kernels:
    """`fastnn.kernels`, each kernel bound."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(fastnn.kernels, name)
        return bound(found) if isinstance(found, Kernel) else found


kernels: Any = _Kernels()


# Activations and losses, which Python also calls without this module


def activation_backward(b: Bound, z: Any, a: Any, d: Any, numbers: Iterable[float] = (), out: Any = None) -> np.ndarray:
    """dL/dz from dL/da, all of one shape."""
    p = numbered(numbers)
    z = as_input("z", z)
    a, d = as_input("a", a, z, z.shape), as_input("d", d, z, z.shape)
    dz = as_output("out", out, z.shape, z.dtype)
    dz[...] = d
    units = z.shape[-1]
    b.c(z, BACKWARD, z, a, dz, p, int(np.prod(z.shape[:-1])), units)
    return dz


# What the engine alone calls


def step(b: Bound, w: Any, g: Any, slots: Any, learning_rate: float, t: float, numbers: Iterable[float] = ()) -> None:
    """w, g and each of slots (n,); t counts steps from 1."""
    p = numbered(numbers)
    w = floats("w", w)
    g = as_input("g", g, w, w.shape)
    wanted = ctypes.CFUNCTYPE(c_int, c_void_p)(b.kernel.size_address)(at(p))
    if len(slots) != wanted:
        raise ValueError(f"{b.name} with these numbers keeps {wanted} slots, got {len(slots)}")
    slots = [in_place(f"slots[{i}]", slot, w.shape, w.dtype) for i, slot in enumerate(slots)]
    b.c(w, FORWARD, w, g, addresses(slots), w.size, learning_rate, t, p)


def whole_step(
    b: Bound,
    w: Any,
    g: Any,
    slots: Any,
    learning_rate: float,
    t: float,
    numbers: Iterable[float] = (),
    *,
    matrix: bool = True,
    wide: bool = False,
) -> None:
    """w, g and each of slots of one shape, float32; t counts steps from 1. wide: reckoned in float64."""
    p = numbered(numbers)
    w = in_place("w", w, w.shape, np.float32)
    g = as_input("g", g, w, w.shape)
    slots = [in_place(f"slots[{i}]", slot, w.shape, w.dtype) for i, slot in enumerate(slots)]
    matrices, rows, columns = (int(np.prod(w.shape[:-2])), *w.shape[-2:]) if w.ndim > 1 else (1, 1, w.size)
    size = ctypes.CFUNCTYPE(c_ssize_t, c_void_p, c_ssize_t, c_ssize_t)(b.kernel.size_address)(at(p), rows, columns)
    dtype = np.dtype(np.float64 if wide else np.float32)
    space = np.full(size + 64, np.nan, dtype)
    start = -space.ctypes.data % 64 // dtype.itemsize
    before = space[start + size :].tobytes()
    b.c(space, FORWARD, w, g, addresses(slots), matrices, rows, columns, matrix, learning_rate, t, p, space[start:])
    assert space[start + size :].tobytes() == before, "the kernel wrote beyond its workspace"


def penalty(b: Bound, w: Any, g: Any, l1: float, l2: float) -> float:
    """Value of the penalty; g, shaped as w, is added to in place."""
    w = as_input("w", w)
    g = in_place("g", g, w.shape, w.dtype)
    return float(b.c(w, FORWARD, w, g, w.size, l1, l2))


def matrix_penalty(b: Bound, w: Any, g: Any, numbers: Iterable[float] = ()) -> float:
    """Value of the penalty on w (rows, columns); g, shaped as w, is added to in place."""
    p = numbered(numbers)
    w = as_input("w", w)
    if w.ndim != 2:
        raise ValueError(f"{b.name} takes a matrix, got shape {w.shape}")
    g = in_place("g", g, w.shape, w.dtype)
    rows, columns = w.shape
    return float(b.c(w, FORWARD, w, g, rows, columns, p, np.empty(2 * rows * columns + max(rows, columns), w.dtype)))


def noise(place: int) -> Callable[..., np.ndarray]:
    def apply(b: Bound, x: Any, number: float, key: int, first: int = 0, out: Any = None) -> np.ndarray:
        """x with noise, or the gradient by x. number: the rate or deviation; element i is first + i of the batch."""
        if b.name == "dropout" and not 0 <= number < 1:
            raise ValueError(f"rate must be at least 0 and below 1, got {number}")
        if not (0 <= key < 1 << 64 and 0 <= first < 1 << 32):
            raise OverflowError(f"key {key} or first {first} out of range")
        x = as_input("x", x)
        a = as_output("out", out, x.shape, x.dtype)
        b.c(x, place, x, a, x.size, first, number, key)
        return a

    return apply


def gemm(b: Bound, a: Any, other: Any, bias: Any = None, out: Any = None) -> np.ndarray:
    """C = A.B + bias, At.B or A.Bt, as the kernel's name says, on one thread."""
    a = matrix("a", a)
    other = matrix("b", other, a)
    turned_a, turned_b = (b.name.endswith(f"transposed_{letter}") for letter in "ab")
    k, m = a.shape if turned_a else a.shape[::-1]
    n, depth = other.shape if turned_b else other.shape[::-1]
    if k != depth:
        raise ValueError(f"{b.name}: shapes {a.shape} and {other.shape} do not fit together")
    bias = None if bias is None else as_input("bias", bias, a, (n,))
    out = as_output("out", out, (m, n), a.dtype)
    workspace = np.empty(max(32 * k, PANEL) + STRIPS, a.dtype)
    b.c(a, FORWARD, rows_of(a), 0, other, other.shape[1], bias, out, n, m, n, k, workspace)
    return out


def column_sums(b: Bound, d: Any, out: Any = None) -> np.ndarray:
    """Sums over the rows, in their order: d (rows, columns) gives (columns,)."""
    d = as_input("d", d)
    columns = d.shape[-1]
    total = as_output("out", out, (columns,), d.dtype)
    b.c(d, FORWARD, d, columns, int(np.prod(d.shape[:-1])), columns, total)
    return total


def vector(b: Bound, a: Any, other: Any = None, x: float = 0.0) -> float:
    """a (n,) and b (n,), updated in place; gives the kernel's result, 0 where it has none."""
    a = floats("a", a)
    other = a if other is None else in_place("b", other, a.shape, a.dtype)
    return float(b.c(a, FORWARD, a, other, a.size, x))


def affine(
    b: Bound,
    x: Any,
    *numbers: Any,
    root: str = "added",
    epsilon: float = 0,
    repeats: int = 1,
    slope: bool = False,
    out: Any = None,
    **named: Any,
) -> np.ndarray:
    """((x - shift) - mean) * gamma * root(variance) + beta for each column; each number may be left out.

    slope: x is a gradient by the result, and the gradient by x is given.
    """
    x = matrix("x", x)
    channels = lines(x, repeats)
    given = dict(zip(COLUMN, numbers, strict=False)) | named
    assert given.keys() <= set(COLUMN)
    arrays = [column(name, given.get(name), x, channels) for name in COLUMN]
    a = as_output("out", out, x.shape, x.dtype)
    table = addresses(arrays)
    b.c(x, FORWARD, ROOTS[root], rows_of(x), 0, len(x), repeats, channels, table, epsilon, slope, a)
    return a


def moments(b: Bound, x: Any, repeats: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean of x - shift, biased variance, shift) of each column, over all lines of all rows; at least one row."""
    x = matrix("x", x)
    channels = lines(x, repeats)
    if not len(x):
        raise ValueError("no rows have no mean")
    found = tuple(np.empty(channels, x.dtype) for _ in range(3))
    b.c(x, MOMENTS, rows_of(x), len(x), repeats, channels, 0, channels, *found)
    return found


def batch_backward(
    b: Bound, x: Any, d: Any, gamma: Any = None, epsilon: float = 1e-3, repeats: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(gradient by x, by gamma, by beta), from that by the normalised rows."""
    mean, variance, shift = moments(b, x, repeats)
    x = matrix("x", x)
    d = matrix("d", d, x, x.shape)
    channels = lines(x, repeats)
    inverse = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    table = addresses([mean, inverse, shift, column("gamma", gamma, x, channels), None])
    d_gamma, d_beta, d_x = np.empty_like(mean), np.empty_like(mean), np.empty_like(x)
    rows, n = rows_of(x), len(x)
    b.c(x, SUMS, rows, d, n, repeats, channels, 0, channels, table, d_beta, d_gamma)
    d_gamma *= inverse
    b.c(x, BACKWARD, rows, d, n, 0, n, repeats, channels, table, d_beta, d_gamma, d_x)
    return d_x, d_gamma, d_beta


def prelu_forward(b: Bound, x: Any, alpha: Any, repeats: int = 1, out: Any = None) -> np.ndarray:
    """x where it is above 0, else alpha * x."""
    x = matrix("x", x)
    alpha = as_input("alpha", alpha, x, (lines(x, repeats),))
    a = as_output("out", out, x.shape, x.dtype)
    b.c(x, FORWARD, rows_of(x), 0, len(x), repeats, alpha.size, alpha, a)
    return a


def prelu_backward(b: Bound, x: Any, alpha: Any, d: Any, repeats: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(gradient by x, by alpha)."""
    x = matrix("x", x)
    alpha = as_input("alpha", alpha, x, (lines(x, repeats),))
    d = matrix("d", d, x, x.shape)
    d_x, d_alpha, rows = np.empty_like(x), np.empty_like(alpha), rows_of(x)
    b.c(x, BACKWARD, rows, d, 0, len(x), repeats, alpha.size, alpha, d_x)
    b.c(x, GRADIENT, rows, d, len(x), repeats, alpha.size, 0, alpha.size, d_alpha)
    return d_x, d_alpha


def _layer(
    b: Bound, x: Any, gamma: Any, beta: Any, epsilon: float, centred: bool, groups: int, out: Any
) -> tuple[np.ndarray, np.ndarray]:
    n = lines(x, groups)
    gamma, beta = column("gamma", gamma, x, n), column("beta", beta, x, n)
    a = as_output("out", out, x.shape, x.dtype)
    kept = np.empty((x.shape[0], x.shape[1] + groups), x.dtype)
    b.c(x, FORWARD, rows_of(x), 0, len(x), groups, n, gamma, beta, epsilon, centred, kept, a)
    return a, kept


def layer_forward(
    b: Bound,
    x: Any,
    gamma: Any = None,
    beta: Any = None,
    epsilon: float = 1e-3,
    centred: bool = True,
    groups: int = 1,
    out: Any = None,
) -> np.ndarray:
    """The normalised rows, or of each row the `groups` equal parts."""
    return _layer(b, matrix("x", x), gamma, beta, epsilon, centred, groups, out)[0]


def layer_backward(
    b: Bound, x: Any, d: Any, gamma: Any = None, epsilon: float = 1e-3, centred: bool = True, groups: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(gradient by x, by gamma, by beta)."""
    x = matrix("x", x)
    d = matrix("d", d, x, x.shape)
    n = lines(x, groups)
    gamma = column("gamma", gamma, x, n)
    kept = _layer(b, x, gamma, None, epsilon, centred, groups, None)[1]
    d_x, d_gamma, d_beta = np.empty_like(x), np.empty(n, x.dtype), np.empty(n, x.dtype)
    b.c(x, BACKWARD, d, 0, len(x), groups, n, gamma, centred, kept, d_x)
    b.c(x, GRADIENT, d, len(x), groups, n, kept, 0, n, d_gamma, d_beta)
    return d_x, d_gamma, d_beta


def _sources(b: Bound, xs: Sequence[Any]) -> list[np.ndarray]:
    if not xs or (b.kernel.variant == SUBTRACT and len(xs) != 2):
        raise ValueError(f"{b.name} cannot take {len(xs)} arrays")
    first = matrix("xs[0]", xs[0])
    return [first, *(matrix(f"xs[{k}]", x, first, first.shape) for k, x in enumerate(xs[1:], 1))]


def merge_forward(b: Bound, xs: Sequence[Any], out: Any = None) -> np.ndarray:
    """The merged rows of arrays of one shape."""
    xs = _sources(b, xs)
    a = as_output("out", out, xs[0].shape, xs[0].dtype)
    tables = [rows_of(x) for x in xs]
    b.c(a, FORWARD, b.kernel.variant, addresses(tables), len(xs), 0, *a.shape, a)
    return a


def merge_backward(b: Bound, xs: Sequence[Any], d: Any) -> list[np.ndarray]:
    """The gradients by each of the arrays."""
    xs = _sources(b, xs)
    d = matrix("d", d, xs[0], xs[0].shape)
    tables, d_xs = [rows_of(x) for x in xs], [np.empty_like(x) for x in xs]
    b.c(d, BACKWARD, b.kernel.variant, addresses(tables), len(xs), 0, *d.shape, d, addresses(d_xs))
    return d_xs


def dot(
    b: Bound, x: Any, y: Any, axes: tuple[int, int] = (1, 1), normalize: bool = False, d: Any = None
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """The products, (rows, left, right); where d of that shape is given, the gradients by x and by y."""
    x = as_input("x", x)
    y = as_input("y", y, x)
    depth = x.shape[axes[0]]
    if len(x) != len(y) or depth != y.shape[axes[1]]:
        raise ValueError(f"dot: shapes {x.shape} and {y.shape} do not fit along axes {axes}")
    left, right = x[:1].size // depth, y[:1].size // depth
    inner = [int(np.prod(array.shape[axis + 1 :])) for array, axis in zip((x, y), axes, strict=True)]
    sizes = ctypes.addressof(held := Axes(depth, left, inner[0], right, inner[1], normalize))
    a, kept = np.empty((len(x), left, right), x.dtype), np.empty((len(x), left + right), x.dtype)
    rows = [rows_of(array) for array in (x, y)]
    b.c(x, FORWARD, *rows, 0, len(x), sizes, kept, a)
    if d is None:
        return a
    d = as_input("d", d, x, a.shape)
    d_x, d_y = np.empty_like(x), np.empty_like(y)
    b.c(x, BACKWARD, *rows, 0, len(x), sizes, kept, a, d, d_x, d_y)
    del held
    return d_x, d_y


def _kernel_call(b: Bound, *args: Any, **more: Any) -> Any:
    return b.kernel(*args, **more)


METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    "activation": {"call": _kernel_call, "forward": _kernel_call, "backward": activation_backward},
    "loss": {
        "call": _kernel_call,
        "values": lambda b, *args: row_values(b.kernel, *args),
        "targets": lambda b, units: targets_of(b.kernel, units),
    },
    "accumulator": {"call": _kernel_call, "size": lambda b, *args: state_size(b.kernel, *args)},
    "constraint": {"call": _kernel_call},
    "optimizer": {"call": step},
    "whole_optimizer": {"call": whole_step},
    "penalty": {"call": penalty},
    "matrix_penalty": {"call": matrix_penalty},
    "noise": {"call": noise(FORWARD), "forward": noise(FORWARD), "backward": noise(BACKWARD)},
    "gemm": {"call": gemm},
    "sum": {"call": column_sums},
    "vector": {"call": vector},
    "affine": {"call": affine},
    "batch_normalization": {"moments": moments, "backward": batch_backward},
    "prelu": {"forward": prelu_forward, "backward": prelu_backward},
    "layer_normalization": {"forward": layer_forward, "backward": layer_backward},
    "merge": {"forward": merge_forward, "backward": merge_backward},
    "dot": {"call": dot},
}
