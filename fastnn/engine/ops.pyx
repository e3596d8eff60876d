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

from libc.math cimport cos, floor, HUGE_VAL, isfinite, NAN, sin, sqrt, sqrtf
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

# Of C, so that they are not looked up by their names.
cdef object np, kernels
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
    LATE_PART = 4096                    # numbers of a gradient that are made as their step needs them
    NARROW_LAYER = 8                    # units below which W.d for one row does not pay
    PANEL = 64                          # columns of int8 weights that lie together, and of those left over
    PIECE = 16


cdef Py_ssize_t numbers_in(Op op, Py_ssize_t lines, Py_ssize_t width) except -1:
    """How many numbers a row of an op has; ValueError where that cannot be."""
    if lines < 1 or width < 1 or lines > LARGEST // width:
        raise ValueError(f"{type(op).__name__}: rows of {lines} lines of {width} numbers cannot be")
    return lines * width


cdef class Op:
    """One step of a network: rows of `inputs` numbers in, rows of `units` numbers out, `size` parameters.

    slices: rows that the op has for each row of the network, 1 but within a TimeDistributed layer.
    """

    def __dealloc__(self):
        free(self.reads)

    cdef int shape(self, sources, Py_ssize_t lines, Py_ssize_t width) except -1:
        """Say what the op reads, (lines, width) of a row of each source, and what it gives."""
        cdef Py_ssize_t n, m
        sources = tuple(sources)
        if not sources:
            raise ValueError(f"{type(self).__name__} must read at least one source")
        self.reads = <Read*>calloc(len(sources), sizeof(Read))
        if self.reads == NULL:
            raise MemoryError("no memory for what an op reads")
        self.read_count = self.inputs = 0
        for source in sources:
            n, m = source[0], source[1]
            self.inputs += numbers_in(self, n, m)
            self.reads[self.read_count].lines, self.reads[self.read_count].width = n, m
            self.read_count += 1
        self.lines, self.width, self.units = lines, width, numbers_in(self, lines, width)
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

    cdef void forward_columns(self, const Step* step, Py_ssize_t rows, Py_ssize_t c0, Py_ssize_t c1) noexcept nogil:
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

    cdef double gradient_bound(self, const Step* step) noexcept nogil:
        """What no number of W's gradient is beyond, if the op can make it as the steps are taken; else infinity."""
        return HUGE_VAL

    cdef int reserve_late(self, int threads, Py_ssize_t items) except -1:
        """Make room for what `begin_late` notes, of so many numbers of a batch."""
        return 0

    cdef Py_ssize_t begin_late(self, const Step* step, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        """The gradient by rows first:last of W is about to be made, by parts; gives the rows of each."""
        return 0

    cdef void late_gradient(self, const Step* step, Py_ssize_t part, Py_ssize_t rows, float* g) noexcept nogil:
        """The gradient by a part, which has so many rows."""

    cdef void touch(self, const Step* step, Touched* to) noexcept nogil:
        """Add the gradients of rows of a table, of those that `scatters`."""

    cdef void* product_kernel(self, str name, str signature="gemm") except NULL:
        """A kernel of products, of numbers as they are or rounded."""
        return float32_of(getattr(kernels, (kernels.bfloat16 if self.rounds else "") + name), signature)

    cdef Py_ssize_t workspace_for(self, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
        return max(workspace_elements(n, k), <Py_ssize_t>(ROUNDED_SPACE if self.rounds else 0))

    cdef int take_products(self) except -1:
        """Note the kernels of its products; again once `rounds` is another."""
        return 0

    cdef int round_products(self, bint rounds) except -1:
        """Have the inputs of its products rounded to bfloat16, or not."""
        self.rounds = rounds
        return self.take_products()


cdef class Activated(Op):
    """An op that ends in an activation, a = f(z), line by line. A linear one writes z straight into a."""

    def __cinit__(self, *args, Kernel activation=None, numbers=(), **kwargs):
        self.kernel = kernels.linear if activation is None else activation
        self.numbers = Numbers(numbers)
        self.of_lines = self.kernel in (kernels.softmax, kernels.log_softmax, kernels.sparsemax)
        self.activation_forward = <types.activation_forward32>float32_of(self.kernel, "activation", FORWARD)
        self.activation_backward = <types.activation_backward32>float32_of(self.kernel, "activation", BACKWARD)
        self.find_place()

    cdef Py_ssize_t saved(self) noexcept:
        return 0 if self.kernel is kernels.linear or self.in_place or self.forward_only else self.units

    cdef int only_forward(self) except -1:
        self.forward_only = True
        self.find_place()
        return 0

    cdef void find_place(self) noexcept:
        """Whether the activation works where z lies: neither what goes back nor a loss reads z."""
        self.in_place = (self.kernel is not kernels.linear if self.forward_only
                         else self.kernel.variant != 0 and not self.fused)
        self.by_number = self.in_place and self.kernel.variant != 0

    cdef Py_ssize_t numbers_in(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """How many an activation takes that works on each by itself. Behind the last row there is room for whole
        vectors, with numbers of nobody: they leave a loop no rest to do one by one."""
        return (padded(r1 * self.units) if r1 == step.rows * self.slices else r1 * self.units) - r0 * self.units

    cdef void activate(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units
        if (self.a != self.z or self.in_place) and not self.raw:
            if self.by_number:
                self.activation_forward(self.z + start, self.a + start, self.numbers.values, 1,
                                        self.numbers_in(step, r0, r1))
            else:
                self.activation_forward(
                    self.z + start, self.a + start, self.numbers.values, (r1 - r0) * self.lines, self.width)

    cdef void deactivate(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units
        if (self.a != self.z or self.in_place) and not self.raw:
            if self.by_number:
                self.activation_backward(self.z + start, self.a + start, self.d + start, self.numbers.values, 1,
                                         self.numbers_in(step, r0, r1))
            else:
                self.activation_backward(self.z + start, self.a + start, self.d + start, self.numbers.values,
                                         (r1 - r0) * self.lines, self.width)


cdef class ActivationOp(Activated):
    """a = f(x), an activation as a layer of its own, for rows of `lines` lines of `units` numbers."""

    def __init__(self, Py_ssize_t units, activation=None, numbers=(), Py_ssize_t lines=1):
        self.shape([(lines, units)], lines, units)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row
        for row in range(r0, r1):
            memcpy(self.z + row * self.units, self.reads.rows[row], self.units * sizeof(float))
        self.activate(step, r0, r1)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units
        self.deactivate(step, r0, r1)
        if self.reads.d != NULL:
            memcpy(self.reads.d + start, self.d + start, (r1 - r0) * self.units * sizeof(float))


include "dense.pxi"
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
