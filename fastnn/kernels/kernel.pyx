"""What a kernel is: for the engine, C functions on buffers; for Python, an object with a door to call them by.

The instruction-set modules make these objects; this module is compiled once and knows no arithmetic. The doors take
and give NumPy arrays, float32 or float64, and are for tests, benchmarks and curious users; the engine goes past them.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc

import numpy as np

cimport fastnn.kernels.types as types
from fastnn.kernels.buffers cimport address, take
from fastnn.kernels.team cimport dismiss, recruit, run, share_begin

from cpython.buffer cimport PyBuffer_Release


cdef object np_ndarray = np.ndarray
cdef double WORK = 2e6                  # operations from which one more member of the team pays
cdef double SHORT_WORK = 1e5            # operations that take less than to let other Python threads run

cdef enum:
    TILES = 48                          # rows or columns that are whole tiles with any instruction set


cdef class Numbers:
    """A unit's own numbers (a slope, a momentum) as the array of C doubles that its kernel reads."""

    def __cinit__(self, values=()):
        cdef int i
        values = tuple(values)
        if len(values) > MAX_NUMBERS:
            raise ValueError(f"a kernel takes at most {MAX_NUMBERS} numbers, got {len(values)}")
        for i in range(MAX_NUMBERS):
            self.values[i] = values[i] if i < len(values) else 0


cdef bint _is_plain(array, bint writable) noexcept:
    """Whether a kernel can work on an array as it lies."""
    cdef Py_buffer view
    if not isinstance(array, np_ndarray) or not take(array, writable, &view):
        return False
    PyBuffer_Release(&view)
    return view.ndim > 0


def _input(name, array, like=None, shape=None):
    """A C-contiguous, aligned float32 or float64 array of this machine's byte order: `array` itself if it is one."""
    if _is_plain(array, False) and (like is None or array.dtype is like.dtype) \
            and (shape is None or array.shape == shape):
        return array
    array = np.asarray(array)
    if like is not None:
        dtype = like.dtype
    else:
        dtype = np.dtype(array.dtype.char if array.dtype.char in "fd" else "d")
    if array.dtype.char in "fd" and array.dtype.char != dtype.char:
        raise TypeError(f"{name} is {array.dtype} but the array before it is {dtype}; convert one of them")
    if array.ndim == 0:
        array = array.reshape(1)
    if shape is not None and array.shape != tuple(shape):
        raise ValueError(f"{name} has shape {array.shape}, expected {tuple(shape)}")
    return np.require(array, dtype, ["C", "A"])


def _in_place(name, out, shape, dtype):
    """`out`, which must be an array that can be written in place."""
    if _is_plain(out, True) and out.dtype is dtype and out.shape == shape:
        return out
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.shape != tuple(shape):
        came = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"{name} must be a {dtype} array of shape {tuple(shape)}, got {came}")
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ValueError(f"{name} must be C-contiguous, aligned and writeable; pass a new array or leave it out")
    return out


def _output(name, out, shape, dtype):
    """`out` if it can be written in place, or where it is None a new array."""
    return np.empty(shape, dtype) if out is None else _in_place(name, out, shape, dtype)


def _rows_units(array):
    """(rows, units) of an array: its last axis, and all before it."""
    cdef Py_ssize_t rows = 1, i, axes = array.ndim - 1
    shape = array.shape
    for i in range(axes):
        rows *= shape[i]
    return rows, shape[axes]


cdef class Kernel:
    """A name, and the C functions that a family's class adds. Only the instruction-set modules make them."""

    def __init__(self):
        raise TypeError(f"a {type(self).__name__} cannot be made from Python; take one from fastnn.kernels")

    def __repr__(self):
        return f"<{type(self).__name__} {self.name}>"


cdef class MathKernel(Kernel):
    """An elementary function: called with x, it gives f of each element, shape of x."""

    @staticmethod
    cdef MathKernel make(str name, types.elementwise32 values32, types.elementwise64 values64):
        cdef MathKernel kernel = MathKernel.__new__(MathKernel)
        kernel.name, kernel.values32, kernel.values64 = name, values32, values64
        return kernel

    def __call__(self, x, out=None):
        """f(x)."""
        x = _input("x", x)
        a = _output("out", out, x.shape, x.dtype)
        if x.itemsize == 4:
            self.values32(<const float*>address(x), <float*>address(a, True), x.size)
        else:
            self.values64(<const double*>address(x), <double*>address(a, True), x.size)
        return a


cdef class ActivationKernel(Kernel):
    """An activation. `forward(z)` gives a; `backward(z, a, d)` turns dL/da into dL/dz. Rows are the last axis."""

    @staticmethod
    cdef ActivationKernel make(
            str name, types.activation_forward32 forward32, types.activation_backward32 backward32,
            types.activation_forward64 forward64, types.activation_backward64 backward64):
        cdef ActivationKernel kernel = ActivationKernel.__new__(ActivationKernel)
        kernel.name = name
        kernel.forward32, kernel.backward32 = forward32, backward32
        kernel.forward64, kernel.backward64 = forward64, backward64
        return kernel

    def forward(self, z, numbers=(), out=None):
        """a = f(z), shape of z. numbers: the activation's own, in the order of its fields."""
        cdef Numbers p = Numbers(numbers)
        cdef Py_ssize_t rows, units
        z = _input("z", z)
        a = _output("out", out, z.shape, z.dtype)
        rows, units = _rows_units(z)
        if z.itemsize == 4:
            self.forward32(<const float*>address(z), <float*>address(a, True), p.values, rows, units)
        else:
            self.forward64(<const double*>address(z), <double*>address(a, True), p.values, rows, units)
        return a

    def backward(self, z, a, d, numbers=(), out=None):
        """dL/dz from dL/da, all of one shape."""
        cdef Numbers p = Numbers(numbers)
        cdef Py_ssize_t rows, units
        z = _input("z", z)
        a = _input("a", a, z, z.shape)
        d = _input("d", d, z, z.shape)
        dz = _output("out", out, z.shape, z.dtype)
        dz[...] = d
        rows, units = _rows_units(z)
        if z.itemsize == 4:
            self.backward32(<const float*>address(z), <const float*>address(a), <float*>address(dz, True), p.values,
                            rows, units)
        else:
            self.backward64(<const double*>address(z), <const double*>address(a), <double*>address(dz, True), p.values,
                            rows, units)
        return dz


cdef class LossKernel(Kernel):
    """A loss or a metric. Called with (y, output), it gives the sum of the rows' values and the gradient by output.

    A fused loss takes the raw output before its activation and also gives the activated one. `labels` says that y
    holds one class number for each row, `pairs` that two outputs go with one target, `whole` that a value belongs to
    all rows of a batch together and a call must have them all.
    """

    @staticmethod
    cdef LossKernel make(
            str name, types.loss32 rows32, types.loss64 rows64, bint labels=False, bint pairs=False, bint whole=False):
        cdef LossKernel kernel = LossKernel.__new__(LossKernel)
        kernel.name, kernel.labels, kernel.pairs, kernel.whole = name, labels, pairs, whole
        kernel.rows32, kernel.rows64 = rows32, rows64
        return kernel

    cpdef Py_ssize_t targets(self, Py_ssize_t units) except -1:
        """Columns of y that go with `units` columns of output."""
        if self.pairs and units % 2:
            raise ValueError(f"{self.name} takes two outputs for each target, got {units} outputs")
        return 1 if self.labels else units // 2 if self.pairs else units

    cdef _targets_of(self, y, z, Py_ssize_t rows, Py_ssize_t units):
        cdef Py_ssize_t size = rows * self.targets(units)
        y = _input("y", y, z)
        if y.size != size:
            raise ValueError(f"y has shape {y.shape}, which does not go with an output of shape {z.shape}")
        return y

    def __call__(self, y, output, numbers=(), weight=None, double scale=1.0, out=None, activated=None):
        """(sum over rows of weight * value, scale * weight * d value / d output, activated output).

        y (rows, targets), or (rows,) class numbers; output (rows, units); weight (rows,). A loss that is not fused
        gives output itself as the activated output.
        """
        cdef Numbers p = Numbers(numbers)
        cdef double total
        cdef Py_ssize_t rows, units
        z = _input("output", output)
        rows, units = _rows_units(z)
        y = self._targets_of(y, z, rows, units)
        weight = None if weight is None else _input("weight", weight, z, (rows,))
        d = _output("out", out, z.shape, z.dtype)
        a = _output("activated", activated, z.shape, z.dtype)
        a[...] = z
        if z.itemsize == 4:
            total = self.rows32(
                <const float*>address(z), <float*>address(a, True), <const float*>address(y),
                <const float*>address(weight) if weight is not None else NULL, <float*>address(d, True), p.values,
                rows, units, scale)
        else:
            total = self.rows64(
                <const double*>address(z), <double*>address(a, True), <const double*>address(y),
                <const double*>address(weight) if weight is not None else NULL, <double*>address(d, True), p.values,
                rows, units, scale)
        return total, d, a

    def values(self, y, output, numbers=()):
        """Each row's value, (rows,) for y and output as in a call: what a call with that row alone would add up to."""
        cdef Numbers p = Numbers(numbers)
        cdef Py_ssize_t rows, units, targets, row
        z = _input("output", output)
        rows, units = _rows_units(z)
        y = self._targets_of(y, z, rows, units)
        targets = self.targets(units)
        activated, found = z.copy(), np.empty(rows, z.dtype)
        cdef char* at = <char*>address(z)
        cdef char* a = <char*>address(activated, True)
        cdef char* target = <char*>address(y)
        cdef char* value = <char*>address(found, True)
        for row in range(rows):
            if z.itemsize == 4:
                (<float*>value)[row] = <float>self.rows32(
                    <const float*>at + row * units, <float*>a + row * units, <const float*>target + row * targets,
                    NULL, NULL, p.values, 1, units, 0)
            else:
                (<double*>value)[row] = self.rows64(
                    <const double*>at + row * units, <double*>a + row * units, <const double*>target + row * targets,
                    NULL, NULL, p.values, 1, units, 0)
        return found


cdef class PenaltyKernel(Kernel):
    """A penalty on weights: called with (w, g), it adds its gradient to g and gives its value."""

    @staticmethod
    cdef PenaltyKernel make(str name, types.penalty32 penalty32, types.penalty64 penalty64):
        cdef PenaltyKernel kernel = PenaltyKernel.__new__(PenaltyKernel)
        kernel.name, kernel.penalty32, kernel.penalty64 = name, penalty32, penalty64
        return kernel

    def __call__(self, w, g, double l1, double l2):
        """Value of the penalty; g, shaped as w, is added to in place."""
        w = _input("w", w)
        g = _in_place("g", g, w.shape, w.dtype)
        if w.itemsize == 4:
            return self.penalty32(<const float*>address(w), <float*>address(g, True), w.size, l1, l2)
        return self.penalty64(<const double*>address(w), <double*>address(g, True), w.size, l1, l2)


cdef class OptimizerKernel(Kernel):
    """One step of an optimizer over a flat vector: w and the slots are updated in place."""

    @staticmethod
    cdef OptimizerKernel make(str name, types.step32 step32, types.step64 step64, types.slot_count slots):
        cdef OptimizerKernel kernel = OptimizerKernel.__new__(OptimizerKernel)
        kernel.name, kernel.step32, kernel.step64, kernel.slots = name, step32, step64, slots
        return kernel

    def __call__(self, w, g, slots, double learning_rate, double t, numbers=()):
        """w, g and each of slots (n,); t counts steps from 1."""
        cdef Numbers p = Numbers(numbers)
        cdef void* addresses[MAX_NUMBERS]
        cdef int i
        if getattr(w, "dtype", None) not in (np.float32, np.float64):
            raise TypeError(f"w must be a float32 or float64 array, got {getattr(w, 'dtype', type(w).__name__)}")
        w = _in_place("w", w, w.shape, w.dtype)
        g = _input("g", g, w, w.shape)
        if len(slots) != self.slots(p.values):
            raise ValueError(f"{self.name} with these numbers keeps {self.slots(p.values)} slots, got {len(slots)}")
        for i in range(len(slots)):
            addresses[i] = address(_in_place(f"slots[{i}]", slots[i], w.shape, w.dtype), True)
        if w.itemsize == 4:
            self.step32(<float*>address(w, True), <const float*>address(g), <float* const*>addresses, w.size,
                        learning_rate, t, p.values)
        else:
            self.step64(<double*>address(w, True), <const double*>address(g), <double* const*>addresses, w.size,
                        learning_rate, t, p.values)


cdef class DropoutKernel(Kernel):
    """Dropout by a counter-based random number for each element."""

    @staticmethod
    cdef DropoutKernel make(str name, types.dropout32 apply32, types.dropout64 apply64):
        cdef DropoutKernel kernel = DropoutKernel.__new__(DropoutKernel)
        kernel.name, kernel.apply32, kernel.apply64 = name, apply32, apply64
        return kernel

    def __call__(self, x, double rate, uint64_t key, unsigned int first=0, out=None):
        """x / (1 - rate) where element first + i is kept under `key`, else 0. 0 <= rate < 1."""
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be at least 0 and below 1, got {rate}")
        x = _input("x", x)
        a = _output("out", out, x.shape, x.dtype)
        if x.itemsize == 4:
            self.apply32(<const float*>address(x), <float*>address(a, True), x.size, first, rate, key)
        else:
            self.apply64(<const double*>address(x), <double*>address(a, True), x.size, first, rate, key)
        return a


cdef class SumKernel(Kernel):
    """The sum of each column of a matrix: called with d (rows, columns), it gives (columns,)."""

    @staticmethod
    cdef SumKernel make(str name, types.sum32 sum32, types.sum64 sum64):
        cdef SumKernel kernel = SumKernel.__new__(SumKernel)
        kernel.name, kernel.sum32, kernel.sum64 = name, sum32, sum64
        return kernel

    def __call__(self, d, out=None):
        """Sums over the rows, in their order."""
        cdef Py_ssize_t rows, columns
        d = _input("d", d)
        rows, columns = _rows_units(d)
        total = _output("out", out, (columns,), d.dtype)
        if d.itemsize == 4:
            self.sum32(<const float*>address(d), columns, rows, columns, <float*>address(total, True))
        else:
            self.sum64(<const double*>address(d), columns, rows, columns, <double*>address(total, True))
        return total


cdef class VectorKernel(Kernel):
    """What happens to a slice of the flat vectors beside the optimizer's step: called with a, b and a number x."""

    @staticmethod
    cdef VectorKernel make(str name, types.vector32 vector32, types.vector64 vector64, bint pairs=False):
        cdef VectorKernel kernel = VectorKernel.__new__(VectorKernel)
        kernel.name, kernel.vector32, kernel.vector64, kernel.pairs = name, vector32, vector64, pairs
        return kernel

    def __call__(self, a, b=None, double x=0.0):
        """a (n,) and b (n,), updated in place; gives the kernel's result, 0 where it has none."""
        if getattr(a, "dtype", None) not in (np.float32, np.float64):
            raise TypeError(f"a must be a float32 or float64 array, got {getattr(a, 'dtype', type(a).__name__)}")
        if self.pairs == (b is None):
            raise ValueError(f"{self.name} takes {'a and b' if self.pairs else 'a alone'}")
        a = _in_place("a", a, a.shape, a.dtype)
        b = a if b is None else _in_place("b", b, a.shape, a.dtype)
        if a.itemsize == 4:
            return self.vector32(<float*>address(a, True), <float*>address(b, True), a.size, x)
        return self.vector64(<double*>address(a, True), <double*>address(b, True), a.size, x)


cdef Py_ssize_t workspace_elements(Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """Elements of workspace that a multiply of n columns and depth k may use, with any instruction set."""
    cdef Py_ssize_t panel = 32 * max(k, <Py_ssize_t>PACK_DEPTH)
    cdef Py_ssize_t strips = PACK_A_ROWS * PACK_DEPTH + PACK_DEPTH * sizeof(void*) // sizeof(float)
    return panel + strips if n >= PACK_A_COLUMNS else panel


cdef struct Matrix:
    char* at
    Py_ssize_t rows
    Py_ssize_t columns
    Py_ssize_t itemsize                 # 4 float32, 8 float64


cdef bint _is_matrix(array, Matrix* matrix, bint writable) noexcept:
    """Whether an array is a matrix that a kernel can work on as it lies; says where it is if so."""
    cdef Py_buffer view
    cdef bint fits
    if not isinstance(array, np_ndarray) or not take(array, writable, &view):
        return False
    fits = view.ndim == 2
    if fits:
        matrix.at, matrix.itemsize = <char*>view.buf, view.itemsize
        matrix.rows, matrix.columns = view.shape[0], view.shape[1]
    PyBuffer_Release(&view)
    return fits


cdef struct Multiply:
    # A multiply for the team: the members share the rows of C, or where it is flat its columns.
    types.matmul32 rows32
    types.matmul64 rows64
    bint a_turned
    bint b_turned
    char** a
    Matrix b
    char* bias                          # or NULL
    Matrix c
    Py_ssize_t k
    char* workspace
    Py_ssize_t workspace_bytes          # of each member


cdef void multiply_member(void* argument, int member, int members) noexcept nogil:
    cdef Multiply* work = <Multiply*>argument
    cdef Py_ssize_t size = work.c.itemsize, i0 = 0, i1 = work.c.rows, j0 = 0, j1 = work.c.columns
    if i1 >= j1:
        i0, i1 = share_begin(i1, TILES, member, members), share_begin(i1, TILES, member + 1, members)
    else:
        j0, j1 = share_begin(j1, TILES, member, members), share_begin(j1, TILES, member + 1, members)
    cdef void** a = <void**>(work.a if work.a_turned else work.a + i0)
    cdef Py_ssize_t first = i0 if work.a_turned else 0
    cdef char* b = work.b.at + j0 * (work.b.columns if work.b_turned else 1) * size
    cdef char* c = work.c.at + (i0 * work.c.columns + j0) * size
    cdef char* bias = work.bias + j0 * size if work.bias != NULL else NULL
    cdef char* workspace = work.workspace + member * work.workspace_bytes
    if i0 == i1 or j0 == j1:
        return
    if size == 4:
        work.rows32(<const float* const*>a, first, <const float*>b, work.b.columns, <const float*>bias, <float*>c,
                    work.c.columns, i1 - i0, j1 - j0, work.k, <float*>workspace)
    else:
        work.rows64(<const double* const*>a, first, <const double*>b, work.b.columns, <const double*>bias, <double*>c,
                    work.c.columns, i1 - i0, j1 - j0, work.k, <double*>workspace)


cdef class MatmulKernel(Kernel):
    """A matrix multiply of row-major matrices: `matmul(a, b, bias=None, out=None)`."""

    @staticmethod
    cdef MatmulKernel make(
            str name, types.matmul32 rows32, types.matmul64 rows64, bint a_turned, bint b_turned):
        cdef MatmulKernel kernel = MatmulKernel.__new__(MatmulKernel)
        kernel.name, kernel.a_turned, kernel.b_turned = name, a_turned, b_turned
        kernel.rows32, kernel.rows64 = rows32, rows64
        return kernel

    def __call__(self, a, b, bias=None, out=None):
        """C (m, n) = A.B + bias, At.B or A.Bt, as the kernel's name says; float32 or float64, both the same.

        Raises ValueError where the shapes do not fit, TypeError where the types differ.
        """
        cdef Matrix left, right
        cdef Multiply work
        cdef Py_ssize_t m, n, k, i
        cdef int members
        if not (_is_matrix(a, &left, False) and _is_matrix(b, &right, False) and left.itemsize == right.itemsize):
            a = _input("a", a)
            b = _input("b", b, a)
            if not (_is_matrix(a, &left, False) and _is_matrix(b, &right, False)):
                raise ValueError(f"{self.name} takes two matrices, got shapes {a.shape} and {b.shape}")
        k, m = (left.rows, left.columns) if self.a_turned else (left.columns, left.rows)
        n = right.rows if self.b_turned else right.columns
        if k != (right.columns if self.b_turned else right.rows):
            raise ValueError(f"{self.name}: shapes {a.shape} and {b.shape} do not fit together")
        work.bias = NULL
        if bias is not None:
            if self.a_turned or self.b_turned:
                raise ValueError(f"{self.name} takes no bias; only matmul does")
            bias = _input("bias", bias, a, (n,))
            work.bias = <char*>address(bias)
        if out is None:
            out = np.empty((m, n), a.dtype)
        if not _is_matrix(out, &work.c, True) or work.c.itemsize != left.itemsize or work.c.rows != m \
                or work.c.columns != n:
            _in_place("out", out, (m, n), a.dtype)
        work.rows32, work.rows64, work.a_turned, work.b_turned = self.rows32, self.rows64, self.a_turned, self.b_turned
        work.b, work.k = right, k
        members = recruit(<int>min(2.0 * m * n * k / WORK, 1e6, <double>max(m, n) / TILES))
        work.workspace_bytes = workspace_elements(n, k) * left.itemsize
        work.a = <char**>malloc(left.rows * sizeof(char*) + members * work.workspace_bytes)
        if work.a == NULL:
            dismiss(members)
            raise MemoryError(f"{self.name}: no memory for a workspace of depth {k}")
        work.workspace = <char*>(work.a + left.rows)
        for i in range(left.rows):
            work.a[i] = left.at + i * left.columns * left.itemsize
        if 2.0 * m * n * k < SHORT_WORK:
            run(multiply_member, &work, 1)
        else:
            with nogil:
                run(multiply_member, &work, members)
        free(work.a)
        dismiss(members)
        return out
