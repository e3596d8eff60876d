"""Ops that make one row of several."""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastnn.engine.ops cimport Op, Step
from fastnn.kernels.kernel cimport BACKWARD, FORWARD, Kernel, float32_of
from fastnn.kernels.types cimport (
    Axes, dot_backward32, dot_forward32, Merge, merge_backward32, merge_forward32, SUBTRACT,
)

from fastnn import kernels


cdef class MergeOp(Op):
    """Element by element, of `count` rows of the same width: a sum, a product, the largest, ..."""

    cdef Merge which
    cdef int count
    cdef merge_forward32 rows
    cdef merge_backward32 slopes
    cdef const float*** xs              # what `reads` has, as the kernels take it
    cdef float** d_xs

    def __init__(self, Kernel kernel, Py_ssize_t units, int count):
        if count < 1 or kernel.variant == SUBTRACT and count != 2:
            raise ValueError(f"{kernel.name} cannot take {count} rows")
        self.shape([(1, units)] * count, 1, units)
        self.rows = <merge_forward32>float32_of(kernel, "merge", FORWARD)
        self.slopes = <merge_backward32>float32_of(kernel, "merge", BACKWARD)
        self.which, self.count = <Merge>kernel.variant, count
        self.xs = <const float***>malloc(count * sizeof(void*))
        self.d_xs = <float**>malloc(count * sizeof(void*))
        if self.xs == NULL or self.d_xs == NULL:
            raise MemoryError("no memory for the sources of a merge")

    def __dealloc__(self):
        free(self.xs)
        free(self.d_xs)

    cdef int placed(self, Py_ssize_t rows) except -1:
        cdef int k
        for k in range(self.count):
            self.xs[k], self.d_xs[k] = self.reads[k].rows, self.reads[k].d
        return 0

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        self.rows(self.which, self.xs, self.count, r0, r1, self.units, self.a)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        self.slopes(self.which, self.xs, self.count, r0, r1, self.units, self.d, self.d_xs)


cdef class ConcatenateOp(Op):
    """Rows side by side. A row of each is `outer` blocks, and the blocks of the same number are put together."""

    cdef Py_ssize_t outer
    cdef Py_ssize_t stride              # numbers in the blocks of the same number
    cdef Py_ssize_t* blocks             # numbers in a block of each
    cdef int count

    def __init__(self, widths, Py_ssize_t outer=1):
        widths = tuple(widths)
        if outer < 1 or any(width < 1 or width % outer for width in widths):
            raise ValueError(f"rows of {widths} numbers are no {outer} blocks each")
        self.shape([(outer, width // outer) for width in widths], outer, sum(widths) // outer)
        self.outer, self.stride, self.count = outer, self.units // outer, len(widths)
        self.blocks = <Py_ssize_t*>malloc(self.count * sizeof(Py_ssize_t))
        if self.blocks == NULL:
            raise MemoryError("no memory for the widths of rows")
        for k in range(self.count):
            self.blocks[k] = self.reads[k].width

    def __dealloc__(self):
        free(self.blocks)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, block, n, at = 0
        cdef int k
        for k in range(self.count):
            n = self.blocks[k]
            for row in range(r0, r1):
                for block in range(self.outer):
                    memcpy(self.a + row * self.units + block * self.stride + at, self.reads[k].rows[row] + block * n,
                           n * sizeof(float))
            at += n

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, block, n, at = 0
        cdef int k
        for k in range(self.count):
            n = self.blocks[k]
            if self.reads[k].d != NULL:
                for row in range(r0, r1):
                    for block in range(self.outer):
                        memcpy(self.reads[k].d + (row * self.outer + block) * n,
                               self.d + row * self.units + block * self.stride + at, n * sizeof(float))
            at += n


cdef class DotOp(Op):
    """Dot products of the vectors of two rows, (left, right) of them; normalize: of the unit vectors.

    A row of the one source is `left` vectors of `depth` numbers that lie `left_inner` apart; the other's likewise.
    """

    cdef Axes axes
    cdef dot_forward32 rows
    cdef dot_backward32 slopes

    def __init__(self, Py_ssize_t depth, Py_ssize_t left, Py_ssize_t left_inner, Py_ssize_t right,
                 Py_ssize_t right_inner, bint normalize=False):
        if min(depth, left, left_inner, right, right_inner) < 1 or left % left_inner or right % right_inner:
            raise ValueError(f"no dot products of {left} by {right} vectors of {depth} numbers")
        self.axes = Axes(depth, left, left_inner, right, right_inner, normalize)
        self.shape([(left, depth), (right, depth)], left, right)
        self.rows = <dot_forward32>float32_of(kernels.dot_rows, "dot", FORWARD)
        self.slopes = <dot_backward32>float32_of(kernels.dot_rows, "dot", BACKWARD)

    cdef Py_ssize_t saved(self) noexcept:
        """1 / the length of each vector."""
        return self.axes.left + self.axes.right

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        self.rows(self.reads[0].rows, self.reads[1].rows, r0, r1, &self.axes, self.z, self.a)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        self.slopes(self.reads[0].rows, self.reads[1].rows, r0, r1, &self.axes, self.z, self.a, self.d,
                    self.reads[0].d, self.reads[1].d)
