# cython: binding=True
"""Kernels called from Python: activations, losses, metrics, constraints and matrix products, on NumPy arrays.

Arrays are float32 or float64. What is given comes back as it is where a kernel can work on it as it lies; else a copy
is made. The engine goes past these functions.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc

cdef object np
import numpy as np

cimport fastnn.kernels.types as types
from fastnn.kernels.buffers cimport address, take
from fastnn.kernels.mix cimport shuffle
from fastnn.kernels.kernel cimport (
    MOST_DOTS, READ_WORK, Kernel, Numbers, doubles, float32_of, float64_of, workspace_elements,
)
from fastnn.kernels.team cimport dismiss, recruit, run, share_begin

from cpython.buffer cimport PyBuffer_Release

import fastnn.kernels as _kernels
from fastnn._checks import check_count
from fastnn._numbers import as_numbers, refuse_masked
from fastnn.kernels.kernel import bindings as _bindings


cdef object np_ndarray = np.ndarray
cdef double WORK = 2e6                  # operations from which one more thread of the team pays
# Operations that take less than to let other Python threads run, and of which nothing goes in blocks (gemm.pxi): with
# AVX2 what has two tiles of rows and 16 KiB of B does.
cdef double SHORT_WORK = 9e4
cdef Py_ssize_t READ_SIZE = 262144      # numbers of matrices that no second cache holds
cdef int LARGEST = 1                    # a class is read as the place of the largest number (metrics.pxi)
cdef Py_ssize_t NUMBERS = 5             # that an accumulator reads, whatever it was given
cdef Py_ssize_t MOST_CLASSES = 2**20    # of a state of a double for each two of them: 8 TB
cdef enum:
    LINE = 64                           # bytes of a cache line
cdef Py_ssize_t ROW_DEPTH = 32          # steps of At by a column from which it is quicker as a row by A
cdef Py_ssize_t TILES = 48              # rows or columns that are whole tiles with any instruction set


cdef struct Matrix:
    char* at
    Py_ssize_t rows, columns, itemsize  # 4 float32, 8 float64


cdef bint _is_plain(array, bint writable, Matrix* matrix=NULL) noexcept:
    """Whether a kernel can work on an array as it lies; where a matrix is needed, says where that is."""
    cdef Py_buffer view
    cdef bint fits
    if type(array) is not np_ndarray or not take(array, writable, &view):   # a subclass may have a mask
        return False
    fits = view.ndim > 0 if matrix == NULL else view.ndim == 2
    if fits and matrix != NULL:
        matrix[0] = Matrix(<char*>view.buf, view.shape[0], view.shape[1], view.itemsize)
    PyBuffer_Release(&view)
    return fits


cpdef as_input(str name, array, like=None, shape=None):
    """A C-contiguous, aligned float32 or float64 array of this machine's byte order: `array` itself if it is one."""
    if _is_plain(array, False) and (like is None or array.dtype is like.dtype) \
            and (shape is None or array.shape == shape):
        return array
    array = as_numbers(array, name)
    dtype = like.dtype if like is not None else np.dtype(array.dtype.char if array.dtype.char in "fd" else "d")
    if array.dtype.char in "fd" and array.dtype.char != dtype.char:
        raise TypeError(f"{name} is {array.dtype} but the array before it is {dtype}; convert one of them")
    if array.ndim == 0:
        array = array.reshape(1)
    if shape is not None and array.shape != tuple(shape):
        raise ValueError(f"{name} has shape {array.shape}, expected {tuple(shape)}")
    return np.require(array, dtype, ["C", "A"])


cpdef in_place(str name, out, shape, dtype):
    """`out`, which must be an array that can be written in place."""
    if _is_plain(out, True) and out.dtype is dtype and out.shape == shape:
        return out
    refuse_masked(out, name)
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.shape != tuple(shape):
        came = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"{name} must be a {dtype} array of shape {tuple(shape)}, got {came}")
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ValueError(f"{name} must be C-contiguous, aligned and writeable; pass a new array or leave it out")
    return out


cpdef as_output(str name, out, shape, dtype):
    """`out` if it can be written in place, or where it is None a new array."""
    return np.empty(shape, dtype) if out is None else in_place(name, out, shape, dtype)


cdef _rows_units(array):
    """(rows, units) of an array: its last axis, and all before it."""
    cdef Py_ssize_t rows = 1, i, axes = array.ndim - 1
    shape = array.shape
    for i in range(axes):
        rows *= shape[i]
    return rows, shape[axes]


cdef void* _function(Kernel kernel, str signature, Py_ssize_t itemsize) except NULL:
    """Its function for float32 or float64. Both are called as the float32 one: C hands all pointers over alike."""
    return float32_of(kernel, signature) if itemsize == 4 else float64_of(kernel, signature)


def activate(Kernel kernel, z, numbers=(), out=None):
    """a = f(z), shape of z. numbers: the activation's own, in the order of its fields."""
    cdef Numbers p = Numbers(numbers)
    cdef Matrix given, result
    if out is None or not (_is_plain(z, False, &given) and _is_plain(out, True, &result) and given.rows == result.rows
                           and given.columns == result.columns and given.itemsize == result.itemsize):
        z = as_input("z", z)
        out = as_output("out", out, z.shape, z.dtype)
        given.at, result.at, given.itemsize = <char*>address(z), <char*>address(out, True), z.itemsize
        given.rows, given.columns = _rows_units(z)
    (<types.activation_forward32>_function(kernel, "activation", given.itemsize))(
        <const float*>given.at, <float*>result.at, p.values, given.rows, given.columns)
    return out


cpdef Py_ssize_t targets_of(Kernel kernel, Py_ssize_t units) except -1:
    """Columns of y that go with `units` columns of output of a loss."""
    if kernel.pairs and units % 2:
        raise ValueError(f"{kernel.name} takes two outputs for each target, got {units} outputs")
    return 1 if kernel.labels else units // 2 if kernel.pairs else units


cdef _fitting(Kernel kernel, y, z, Py_ssize_t rows, Py_ssize_t units):
    y = as_input("y", y, z)
    if y.size != rows * targets_of(kernel, units):
        raise ValueError(f"y has shape {y.shape}, which does not go with an output of shape {z.shape}")
    return y


cdef double _number(str name, value) except? -1:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}") from None


def evaluate(Kernel kernel, y, output, numbers=(), weight=None, scale=1.0, out=None, activated=None):
    """(sum over rows of weight * value, scale * weight * d value / d output, activated output) of a loss.

    y (rows, targets), or (rows,) class numbers; output (rows, units), which for a fused loss is the raw output before
    its activation; weight (rows,). A loss that is not fused gives output itself as the activated output.
    """
    cdef Numbers p = Numbers(numbers)
    cdef double total, factor = _number("scale", scale)
    cdef Py_ssize_t rows, units
    z = as_input("output", output)
    rows, units = _rows_units(z)
    y = _fitting(kernel, y, z, rows, units)
    weight = None if weight is None else as_input("weight", weight, z, (rows,))
    d = as_output("out", out, z.shape, z.dtype)
    a = as_output("activated", activated, z.shape, z.dtype)
    a[...] = z
    cdef void* weights = address(weight) if weight is not None else NULL
    total = (<types.loss32>_function(kernel, "loss", z.itemsize))(
        <const float*>address(z), <float*>address(a, True), <const float*>address(y), <const float*>weights,
        <float*>address(d, True), p.values, rows, units, factor)
    return total, d, a


def row_values(Kernel kernel, y, output, numbers=()):
    """Each row's value of a loss, (rows,): what `evaluate` of that row alone would add up to."""
    cdef Numbers p = Numbers(numbers)
    cdef Py_ssize_t rows, units, targets, row
    z = as_input("output", output)
    rows, units = _rows_units(z)
    y = _fitting(kernel, y, z, rows, units)
    targets = targets_of(kernel, units)
    activated, found = z.copy(), np.empty(rows)
    cdef Py_ssize_t size = z.itemsize
    cdef char* at = <char*>address(z)
    cdef char* a = <char*>address(activated, True)
    cdef char* target = <char*>address(y)
    cdef double* values = <double*>address(found, True)
    function = <types.loss32>_function(kernel, "loss", size)
    for row in range(rows):
        values[row] = function(
            <const float*>(at + row * units * size), <float*>(a + row * units * size),
            <const float*>(target + row * targets * size), NULL, NULL, p.values, 1, units, 0)
    return found.astype(z.dtype)


cdef _accumulator_numbers(Kernel kernel, numbers):
    """An accumulator's own numbers, as the array that it reads. ValueError where a state could not be of their size.

    What is not given is 0. An accumulator goes through as many thresholds as its fifth number says.
    """
    float32_of(kernel, "accumulator")
    given = doubles(numbers)
    if not np.isfinite(given).all():
        raise ValueError(f"{kernel.name} takes finite numbers, got {given}")
    if kernel.name == "threshold_counts" and (len(given) < 5 or given[4] != len(given) - 5):
        raise ValueError(f"{kernel.name} takes 4 numbers, how many thresholds there are, and these; got {len(given)}")
    if kernel.name == "confusion_counts" and given and not 0 <= given[0] <= MOST_CLASSES:
        raise ValueError(f"{kernel.name} takes from 0 to {MOST_CLASSES:,} classes, got {given[0]:.0f}")
    return np.array(given + [0.0] * max(0, NUMBERS - len(given)))


def state_size(Kernel kernel, Py_ssize_t units, Py_ssize_t targets, numbers):
    """Doubles of an accumulator's state for outputs of `units` columns and targets of `targets`."""
    p = _accumulator_numbers(kernel, numbers)
    return (<types.state_size>kernel.size)(<const double*>address(p), units, targets)


def accumulate(Kernel kernel, y, output, state, numbers, weight=None):
    """Add a batch to a metric's state (float64), in place: y (rows, targets), output (rows, units), weight (rows,)."""
    a = as_input("output", output)
    y = as_input("y", y, a)
    if a.ndim != 2 or y.ndim != 2 or len(y) != len(a):
        raise ValueError(f"{kernel.name} takes y and output of as many rows, got shapes {y.shape} and {a.shape}")
    cdef Py_ssize_t rows = a.shape[0], units = a.shape[1], targets = y.shape[1]
    p = _accumulator_numbers(kernel, numbers)
    # A row of y is read place by place beside a row of the output, or where either says one class, once.
    if kernel.name == "confusion_counts" and (p[0] == 0 or LARGEST in (p[1], p[2])):
        read = 1
    else:
        read = units
    if units == 0 or targets < read:
        raise ValueError(f"{kernel.name} reads {max(read, 1)} target(s) of a row, got shapes {y.shape} and {a.shape}")
    size = (<types.state_size>kernel.size)(<const double*>address(p), units, targets)
    in_place("state", state, (size,), np.dtype(float))
    weight = None if weight is None else as_input("weight", weight, a, (rows,))
    cdef void* weights = address(weight) if weight is not None else NULL
    (<types.accumulator32>_function(kernel, "accumulator", a.itemsize))(
        <const float*>address(a), <const float*>address(y), <const float*>weights, <double*>address(state, True),
        <const double*>address(p), rows, units, targets)


def constrain(Kernel kernel, w, numbers=(), first=0, last=None):
    """Constrain w (rows, columns), in place: columns from first to before last, or rows where numbers name axis 1."""
    cdef Numbers p = Numbers(numbers)
    cdef Py_ssize_t rows, columns, vectors, start, stop
    if getattr(w, "dtype", None) not in (np.float32, np.float64):
        raise TypeError(f"w must be a float32 or float64 array, got {getattr(w, 'dtype', type(w).__name__)}")
    in_place("w", w, w.shape, w.dtype)
    if w.ndim != 2:
        raise ValueError(f"{kernel.name} takes a matrix, got shape {w.shape}")
    rows, columns = w.shape
    vectors = columns if p.values[0] == 0 else rows
    start = check_count(f"{kernel.name}: first", first, 0, vectors)
    stop = vectors if last is None else check_count(f"{kernel.name}: last", last, start, vectors)
    (<types.constraint32>_function(kernel, "constraint", w.itemsize))(
        <float*>address(w, True), rows, columns, start, stop, p.values)


_bindings.update(activation=activate, loss=evaluate, accumulator=accumulate, constraint=constrain)


cdef struct Multiply:
    # A multiply for the team: its threads share the rows of C, or where it is flat its columns.
    types.gemm32 function
    bint a_turned, b_turned
    char** a
    char* bias                          # or NULL
    Matrix b, c
    Py_ssize_t k, grain, workspace_bytes    # columns that are not shared out; of each thread
    char* workspace


cdef void multiply_share(void* argument, int thread, int threads) noexcept nogil:
    cdef Multiply* work = <Multiply*>argument
    cdef Py_ssize_t size = work.c.itemsize, i0 = 0, i1 = work.c.rows, j0 = 0, j1 = work.c.columns
    if i1 >= j1:
        i0, i1 = share_begin(i1, TILES, thread, threads), share_begin(i1, TILES, thread + 1, threads)
    else:
        j0, j1 = share_begin(j1, work.grain, thread, threads), share_begin(j1, work.grain, thread + 1, threads)
    cdef void** a = <void**>(work.a if work.a_turned else work.a + i0)
    cdef Py_ssize_t first = i0 if work.a_turned else 0
    cdef char* b = work.b.at + j0 * (work.b.columns if work.b_turned else 1) * size
    cdef char* c = work.c.at + (i0 * work.c.columns + j0) * size
    cdef char* bias = work.bias + j0 * size if work.bias != NULL else NULL
    cdef char* workspace = work.workspace + thread * work.workspace_bytes
    if i0 != i1 and j0 != j1:
        work.function(
            <const float* const*>a, first, <const float*>b, work.b.columns, <const float*>bias, <float*>c,
            work.c.columns, i1 - i0, j1 - j0, work.k, <float*>workspace)


cdef char near[131072]                  # the workspace of one short product at a time, which has the GIL


cdef _multiply(Kernel kernel, str name, bint a_turned, bint b_turned, a, b, bias, out):
    cdef Matrix left, right
    cdef Multiply work
    cdef Py_ssize_t m, n, k, i, size, step
    cdef double work_of_all
    cdef int threads
    cdef bint short
    if not (_is_plain(a, False, &left) and _is_plain(b, False, &right) and left.itemsize == right.itemsize):
        a = as_input("a", a)
        b = as_input("b", b, a)
        if not (_is_plain(a, False, &left) and _is_plain(b, False, &right)):
            raise ValueError(f"{name} takes two matrices, got shapes {a.shape} and {b.shape}")
    k, m = (left.rows, left.columns) if a_turned else (left.columns, left.rows)
    n = right.rows if b_turned else right.columns
    if k != (right.columns if b_turned else right.rows):
        raise ValueError(f"{name}: shapes {a.shape} and {b.shape} do not fit together")
    if a_turned and m == 1:             # a column, which lies as a row does
        kernel, a_turned, left.rows, left.columns = _gemm, False, 1, k
    work.bias = NULL
    if bias is not None:
        bias = as_input("bias", bias, a, (n,))
        work.bias = <char*>address(bias)
    if out is None:
        out = np.empty((m, n), a.dtype)
    if not _is_plain(out, True, &work.c) or work.c.itemsize != left.itemsize or work.c.rows != m \
            or work.c.columns != n:
        in_place("out", out, (m, n), a.dtype)
    if a_turned and n == 1 and k >= ROW_DEPTH:      # the column as a row, by A
        kernel, a_turned, m, n = _gemm, False, 1, m
        left, right = Matrix(right.at, 1, k, left.itemsize), left
        work.c.rows, work.c.columns = 1, n
    if b_turned and m == 1:             # B by a column: there is nothing to turn
        kernel, b_turned, m, n = _gemm, False, n, 1
        left, right = right, Matrix(left.at, k, 1, left.itemsize)
        work.c.rows, work.c.columns = m, 1
    work.function = <types.gemm32>_function(kernel, "gemm", left.itemsize)
    work.a_turned, work.b_turned, work.b, work.k = a_turned, b_turned, right, k
    # A share of Bt's columns is more than those whose sums have an order of their own.
    work.grain = 2 * MOST_DOTS if b_turned else TILES
    work_of_all = 2.0 * m * n * k
    size = m * k + k * n
    if size >= READ_SIZE:
        work_of_all += READ_WORK * size
    threads = recruit(<int>min(work_of_all / WORK, 1e6, <double>max(m, n) / (TILES if m >= n else work.grain)))
    short = work_of_all < SHORT_WORK
    work.workspace_bytes = workspace_elements(1 if short else n, k) * left.itemsize     # what is short has no strips
    size = left.rows * sizeof(char*) + threads * work.workspace_bytes + LINE
    work.a = <char**>near
    if not short or size > <Py_ssize_t>sizeof(near):
        work.a = <char**>malloc(size)
    if work.a == NULL:
        dismiss(threads)
        raise MemoryError(f"{name}: no memory for a workspace of depth {k}")
    work.workspace = <char*>((<size_t>(work.a + left.rows) + LINE) & ~<size_t>(LINE - 1))
    step = left.columns * left.itemsize
    for i in range(0, left.rows - 3, 4):    # four in a turn: of many short rows this is half of the time
        work.a[i], work.a[i + 1] = left.at, left.at + step
        work.a[i + 2], work.a[i + 3] = left.at + 2 * step, left.at + 3 * step
        left.at += 4 * step
    for i in range(left.rows & ~<Py_ssize_t>3, left.rows):
        work.a[i] = left.at
        left.at += step
    if short:
        run(multiply_share, &work, 1)
    else:
        with nogil:
            run(multiply_share, &work, threads)
    if work.a != <char**>near:
        free(work.a)
    dismiss(threads)
    return out


cdef Kernel _gemm = _kernels.gemm
cdef Kernel _gemm_transposed_a = _kernels.gemm_transposed_a
cdef Kernel _gemm_transposed_b = _kernels.gemm_transposed_b


def matmul(a, b, bias=None, out=None):
    """C (m, n) = A.B + bias, of A (m, k), B (k, n) and bias (n,): row-major, float32 or float64, both the same.

    Raises ValueError where the shapes do not fit, TypeError where the types differ.
    """
    return _multiply(_gemm, "matmul", False, False, a, b, bias, out)


def matmul_transposed_a(a, b, out=None):
    """C (m, n) = At.B, of A (k, m) and B (k, n), as `matmul`."""
    return _multiply(_gemm_transposed_a, "matmul_transposed_a", True, False, a, b, None, out)


def matmul_transposed_b(a, b, out=None):
    """C (m, n) = A.Bt, of A (m, k) and B (n, k), as `matmul`."""
    return _multiply(_gemm_transposed_b, "matmul_transposed_b", False, True, a, b, None, out)


def permutation(Py_ssize_t n, uint64_t seed):
    """The numbers 0 to n - 1 in random order, as uint32: a function of `seed` alone. n below 2**32."""
    if n >= 2**32:
        raise ValueError(f"at most {2**32 - 1} rows can be shuffled at once, got {n}; pass shuffle=False")
    order = np.empty(n, np.uint32)
    cdef uint32_t* rows = <uint32_t*>address(order, True)
    with nogil:
        shuffle(rows, n, seed)
    return order
