"""What a network is made of once it is built: each layer's arithmetic on rows and on parameters.

An op has three methods, all without the GIL and without memory of their own:

forward(rows r0:r1)          x -> a
backward(rows r0:r1)         d enters as dL/da, leaves as dL/dz; dL/dx goes to reads[k].d where somebody wants it
gradient(parameters p0:p1)   dL/dw over all rows of the batch, into g

A row is some lines of `width` numbers, (lines, width): the steps of a sequence, the pixels of a picture, or a single
line. An op that works on a line at a time (Dense) counts lines where others count rows.

Rows are independent in the first two, parameters in the third, so that threads can share either. A whole-batch op,
which must see all rows before any goes on (BatchNormalization), has four more, for training:

blocks_forward(rows r0:r1)      these rows of x are there: notes what the op needs of each block of `block_rows`
whole_forward()                 all are: each thread puts the blocks together, in their order, in a state of its own
blocks_backward(rows r0:r1)     the same of the rows of d
whole_backward()

An op of parameters may say how long their gradient by each row is, for an optimizer that clips it row by row:

row_squares(rows r0:r1)         adds to `squares` the squared norm of each row's gradient, once `backward` is done

and an op that changes something of its own at each step has `commit`, called once a batch is accepted: a batch whose
loss or gradient is not finite changes nothing. An op that cannot go on sets step.error; `explain` then gives the
exception.

What an op needs beside its parameters and its output, it asks for: numbers of a row that `backward` reads again
(`saved`), numbers of a batch (`state_size`), numbers of the thread that runs it (`scratch_size`), numbers of a block
of rows (`partials`). `placed` is called when all of these have their addresses. What `gradient` and a whole-batch op
read of rows that another process worked on, `shared` says.
"""

from libc.math cimport cos, floor, isfinite, NAN, sin, sqrt, sqrtf
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from math import prod

import numpy as np

cimport fastnn.kernels.types as types
from fastnn.kernels.buffers cimport address
from fastnn.kernels.kernel cimport (
    BACKWARD, float32_of, FORWARD, GRADIENT, Kernel, MOMENTS, Numbers, SUMS, workspace_elements,
)
from fastnn.kernels.types cimport (
    ADDED, affine32, Axes, batch_backward32, batch_sums32, BETA, combine_moments32, COLUMNS, dot_backward32,
    dot_forward32, FLOORED, FOUND, GAMMA, INVERSE, layer_backward32, layer_forward32, layer_gradient32, MEAN, Merge,
    merge_backward32, merge_forward32, moments32, noise32, prelu_backward32, prelu_forward32, prelu_gradient32, Root,
    SHIFT, SUBTRACT, sum32, VARIANCE, vector32,
)
from fastnn.kernels.mix cimport mix64
from fastnn.kernels.wide_step cimport finite

from fastnn import kernels
from fastnn._numbers import as_numbers
from fastnn.engine.description import RowError


cdef extern from "atomics.h" nogil:
    int atomic_swap(int* p, int value)


cdef Py_ssize_t LARGEST = 2**48          # parameters, or numbers in a row: far from overflow, beyond any memory

cdef enum:
    NARROW_LAYER = 8                    # units below which W.d for one row does not pay
    PANEL = 64                          # columns of int8 weights that lie together, and of those left over
    PIECE = 16


cdef class Op:
    """One step of a network: rows of `inputs` numbers in, rows of `units` numbers out, `size` parameters.

    slices: rows that the op has for each row of the network, 1 but within a TimeDistributed layer.
    """

    def __dealloc__(self):
        free(self.reads)

    cdef int shape(self, sources, Py_ssize_t lines, Py_ssize_t width) except -1:
        """Say what the op reads, (lines, width) of a row of each source, and what it gives."""
        cdef Py_ssize_t k
        sources = tuple(sources)
        for n, m in (*sources, (lines, width)):
            if n < 1 or m < 1 or n > LARGEST // m:
                raise ValueError(f"{type(self).__name__}: rows of {n} lines of {m} numbers cannot be")
        if not sources:
            raise ValueError(f"{type(self).__name__} must read at least one source")
        self.reads = <Read*>calloc(len(sources), sizeof(Read))
        if self.reads == NULL:
            raise MemoryError("no memory for what an op reads")
        self.read_count, self.inputs = len(sources), 0
        for k in range(self.read_count):
            self.reads[k].lines, self.reads[k].width = sources[k]
            self.inputs += self.reads[k].lines * self.reads[k].width
        self.lines, self.width, self.units = lines, width, lines * width
        self.slices = 1
        return 0

    @property
    def widths(self):
        """Numbers in a row of each source."""
        cdef Py_ssize_t k
        return tuple([self.reads[k].lines * self.reads[k].width for k in range(self.read_count)])

    cdef Py_ssize_t saved(self) noexcept:
        """Numbers of a row that the op saves in z for its way back, beside its output."""
        return 0

    cdef Py_ssize_t state_size(self) noexcept:
        """Numbers that the op has for a whole batch, whatever the rows, of each thread."""
        return 0

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Numbers that a thread needs while it works on this op."""
        return 0

    cdef Py_ssize_t partials(self) noexcept:
        """Numbers of a gradient that `backward` leaves in `parts` for each block of rows, for `gradient` to add up."""
        return 0

    cdef double work_of_row(self) noexcept:
        """Operations of a row's way forward; about twice as many on its way back."""
        return UNIT_WORK * self.units

    cdef double work_of_gradient(self) noexcept:
        """Operations that a parameter's gradient takes for a row."""
        return 0

    cdef int placed(self, Py_ssize_t rows) except -1:
        """Memory was reserved for batches of `rows` rows: what depends on its addresses can be noted."""
        return 0

    cdef int shared(self, Before when, Shared* to) noexcept:
        """Say what the op reads of all rows then, whichever process has them, up to MOST_SHARED; gives how many."""
        cdef int k, n = 0 if when != BEFORE_GRADIENT else 1
        to[0] = Shared(self.parts, padded(self.partials()), True)
        if self.parts == NULL:
            to[0] = Shared(self.d, self.units, False)
            for k in range(self.read_count if n else 0):
                to[n] = Shared(NULL, k, False)
                n += 1
        return n

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        pass

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        pass

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        pass

    cdef void blocks_forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        pass

    cdef void whole_forward(self, const Step* step) noexcept nogil:
        pass

    cdef void blocks_backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        pass

    cdef void whole_backward(self, const Step* step) noexcept nogil:
        pass

    def kernels(self):
        """(rows, columns) of each of its first parameters that can be quantised."""
        return ()

    def quantize(self, weights):
        """Go on with quantised weights in place of the first parameters, one for each of `kernels`."""
        raise TypeError(f"{type(self).__name__} cannot be quantised")

    cdef int know_rows(self) except -1:
        self.knows_rows = True
        self.dot = <vector32>float32_of(kernels.squares, "vector")
        return 0

    cdef void row_squares(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1, double* squares) noexcept nogil:
        pass

    cdef void commit(self, const Step* step) noexcept nogil:
        pass

    cdef object explain(self):
        return RuntimeError(f"op {self.number} could not go on")


cdef class Activated(Op):
    """An op that ends in an activation, a = f(z), line by line. A linear one writes z straight into a."""

    def __cinit__(self, *args, Kernel activation=None, numbers=(), **kwargs):
        self.kernel = kernels.linear if activation is None else activation
        self.numbers = Numbers(numbers)
        self.activation_forward = <types.activation_forward32>float32_of(self.kernel, "activation", FORWARD)
        self.activation_backward = <types.activation_backward32>float32_of(self.kernel, "activation", BACKWARD)

    cdef Py_ssize_t saved(self) noexcept:
        return 0 if self.kernel is kernels.linear or self.forward_only else self.units

    cdef int only_forward(self) except -1:
        self.forward_only, self.in_place = True, self.kernel is not kernels.linear
        return 0

    cdef void activate(self, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units
        if (self.a != self.z or self.in_place) and not self.raw:
            self.activation_forward(
                self.z + start, self.a + start, self.numbers.values, (r1 - r0) * self.lines, self.width)

    cdef void deactivate(self, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units
        if self.a != self.z and not self.raw:
            self.activation_backward(self.z + start, self.a + start, self.d + start, self.numbers.values,
                                     (r1 - r0) * self.lines, self.width)


cdef class DenseOp(Activated):
    """z = x.W + b, a = f(z), for each line. Parameters: W row by row, (inputs, units), then b, (units,).

    inputs, units: numbers in a line of x and of a; lines: how many a row has.
    """

    def __init__(self, Py_ssize_t inputs, Py_ssize_t units, bint use_bias=True, activation=None, numbers=(),
                 Py_ssize_t lines=1):
        if inputs < 1 or units < 1 or units > LARGEST // (inputs + 1):
            raise ValueError(f"a dense op of {inputs} inputs and {units} units cannot be")
        self.shape([(lines, inputs)], lines, units)
        self.use_bias = use_bias
        self.size = (inputs + use_bias) * units
        self.row_size = units
        self.matmul = <types.gemm32>float32_of(kernels.gemm, "gemm")
        self.matmul_transposed_a = <types.gemm32>float32_of(kernels.gemm_transposed_a, "gemm")
        self.matmul_transposed_b = <types.gemm32>float32_of(kernels.gemm_transposed_b, "gemm")
        self.column_sums = <types.sum32>float32_of(kernels.column_sums, "sum")
        self.know_rows()

    def kernels(self):
        return () if type(self) is not DenseOp or self.reads.width > MOST_DEPTH else ((self.reads.width, self.width),)

    def quantize(self, weights):
        self.quantized, = weights[0].parts(self.width)
        self.size, self.knows_rows = self.use_bias * self.width, False
        self.only_forward()

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Addresses of lines, then the workspace of a multiply."""
        if self.quantized is not None:
            return ADDRESS_SPACE + self.quantized.space()
        return ADDRESS_SPACE + workspace_elements(self.width, max(self.reads.width, self.width))

    cdef double work_of_row(self) noexcept:
        return 2.0 * self.lines * self.reads.width * self.width + UNIT_WORK * self.units

    cdef double work_of_gradient(self) noexcept:
        return 2.0 * self.lines

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t n, line = r0 * self.lines, end = r1 * self.lines, inputs = self.reads.width, units = self.width
        cdef const float* bias = self.w + inputs * units if self.use_bias else NULL
        cdef const float* const* x
        if self.quantized is not None:
            bias = self.w if self.use_bias else NULL
        while line < end:
            n = lines_of(self.reads, line, end, <const float**>step.scratch, &x)
            if self.quantized is not None:
                self.quantized.multiply(x, 0, n, bias, self.z + line * units, units, step.scratch + ADDRESS_SPACE)
                line += n
                continue
            self.matmul(x, 0, self.w, units, bias, self.z + line * units, units, n, units, inputs,
                        step.scratch + ADDRESS_SPACE)
            line += n
        self.activate(r0, r1)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t n, line = r0 * self.lines, end = r1 * self.lines, inputs = self.reads.width, units = self.width
        cdef const float** addresses = <const float**>step.scratch
        cdef float* workspace = step.scratch + ADDRESS_SPACE
        self.deactivate(r0, r1)
        if self.reads.d == NULL:
            return
        if step.rows * self.slices * self.lines == 1 and units >= NARROW_LAYER:
            # W.d for the only line: turning W would cost more than the rest.
            line = 0
            while line < inputs:
                n = lines_of_block(self.w, units, line, inputs, addresses)
                self.matmul(addresses, 0, self.d, 1, NULL, self.reads.d + line, 1, n, 1, units, workspace)
                line += n
            return
        while line < end:
            n = lines_of_block(self.d, units, line, end, addresses)
            self.matmul_transposed_b(addresses, 0, self.w, units, NULL, self.reads.d + line * inputs, inputs, n, inputs,
                                     units, workspace)
            line += n

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        # The bias is row number `inputs` of the parameters.
        cdef Py_ssize_t inputs = self.reads.width, units = self.width, lines = step.rows * self.slices * self.lines
        cdef Py_ssize_t first = p0 // units if p0 else 0, line = 0, n
        cdef Py_ssize_t last = p1 // units if p1 < self.size else inputs + self.use_bias, end = min(last, inputs)
        cdef float* g = self.g + first * units
        cdef const float* const* x
        while first < end and line < lines:
            n = lines_of(self.reads, line, lines, <const float**>step.scratch, &x)
            self.matmul_transposed_a(x, first, self.d + line * units, units, g if line else NULL, g, units, end - first,
                                     units, n, step.scratch + ADDRESS_SPACE)
            line += n
        if last > inputs:
            self.column_sums(self.d, units, lines, units, self.g + inputs * units)

    cdef void row_squares(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1, double* squares) noexcept nogil:
        # |sum of x d^T|^2 over a row's lines is the sum over pairs of them of (x.x') (d.d'); the bias has an x of 1.
        cdef Py_ssize_t row, i, j, lines = self.lines, n = self.slices * lines, inputs = self.reads.width
        cdef float* d
        cdef float* x
        cdef float* other
        cdef double pairs
        for row in range(r0, r1):
            for i in range(row * n, row * n + n):
                pairs, d = 0, self.d + i * self.width
                x = <float*>self.reads.rows[i // lines] + i % lines * inputs
                for j in range(row * n, i + 1):
                    other = <float*>self.reads.rows[j // lines] + j % lines * inputs
                    pairs += ((1 + (j < i)) * (self.use_bias + self.dot(x, other, inputs, 0))
                              * self.dot(d, self.d + j * self.width, self.width, 0))
                squares[row - r0] += pairs


cdef class ActivationOp(Activated):
    """a = f(x), an activation as a layer of its own, for rows of `lines` lines of `units` numbers."""

    def __init__(self, Py_ssize_t units, activation=None, numbers=(), Py_ssize_t lines=1):
        self.shape([(lines, units)], lines, units)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row
        for row in range(r0, r1):
            memcpy(self.z + row * self.units, self.reads.rows[row], self.units * sizeof(float))
        self.activate(r0, r1)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units
        self.deactivate(r0, r1)
        if self.reads.d != NULL:
            memcpy(self.reads.d + start, self.d + start, (r1 - r0) * self.units * sizeof(float))


include "quantized.pxi"
include "normalization.pxi"
include "batch_normalization.pxi"
include "embedding.pxi"
include "merging.pxi"
include "patches.pxi"
include "planes.pxi"
include "winograd.pxi"
include "convolution.pxi"
include "windows.pxi"
include "noise.pxi"
include "masks.pxi"
include "pictures.pxi"
include "states.pxi"
include "recurrent.pxi"
include "gated.pxi"
include "spectral.pxi"
include "attention.pxi"
include "fake_quantized.pxi"
include "python_ops.pxi"
