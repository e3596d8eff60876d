"""Ops that make one row of several; turn, repeat, cut and sum up the axes of one; or give the same for each row."""


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


cdef enum:
    AXES = 32                           # that a row may have


cdef class StridedCopyOp(Op):
    """A strided view of a row, copied: a[i, j, ...] = x[first + i * strides[0] + j * strides[1] + ...].

    So axes change places, a stride of 0 repeats, a negative one turns round, and a view of a part cuts. The gradient by
    a number of x is the sum of those by its copies.
    """

    cdef int axes
    cdef Py_ssize_t first
    cdef Py_ssize_t sizes[AXES]
    cdef Py_ssize_t strides[AXES]

    def __init__(self, Py_ssize_t inputs, shape, strides, Py_ssize_t first=0):
        cdef Py_ssize_t n, stride
        cdef double least = first, last = first, units = 1      # which no number of the arguments overflows
        cdef int axis = 0
        self.sizes[0] = self.strides[0] = 1
        for view in zip(shape, strides, strict=True):
            n, stride = view[0], view[1]
            least, last, units = least + (n - 1.0) * min(stride, 0), last + (n - 1.0) * max(stride, 0), units * n
            if n < 1 or units > LARGEST:
                least = -1
                break
            if n == 1:
                continue
            if self.strides[axis] == <double>n * stride:        # one axis of both
                self.sizes[axis] *= n
            elif self.sizes[axis] == 1:
                self.sizes[axis] = n
            elif axis < AXES - 1:
                axis += 1
                self.sizes[axis] = n
            else:
                least = -1
            self.strides[axis] = stride
        if least < 0 or last >= inputs:
            raise ValueError(f"rows of {inputs} numbers have no view {shape} by {strides} from {first} on")
        self.shape([(1, inputs)], 1, <Py_ssize_t>units)
        self.first, self.axes = first, axis + 1

    cdef bint next_line(self, Py_ssize_t* at, Py_ssize_t* place) noexcept nogil:
        """Go on to the next numbers of the last axis; False behind the last of them."""
        cdef int axis = self.axes - 2
        while axis >= 0:
            at[axis] += 1
            place[0] += self.strides[axis]
            if at[axis] < self.sizes[axis]:
                return True
            place[0] -= self.strides[axis] * self.sizes[axis]
            at[axis] = 0
            axis -= 1
        return False

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, k, place, n = self.sizes[self.axes - 1], stride = self.strides[self.axes - 1]
        cdef Py_ssize_t at[AXES]
        cdef const float* x
        cdef float* a
        memset(at, 0, sizeof(at))
        for row in range(r0, r1):
            place, a = self.first, self.a + row * self.units
            while True:
                x = self.reads.rows[row] + place
                if stride == 1:
                    memcpy(a, x, n * sizeof(float))
                else:
                    for k in range(n):
                        a[k] = x[k * stride]
                a += n
                if not self.next_line(at, &place):
                    break

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, k, place, n = self.sizes[self.axes - 1], stride = self.strides[self.axes - 1]
        cdef Py_ssize_t at[AXES]
        cdef const float* d
        cdef float* d_x
        if self.reads.d == NULL:
            return
        memset(at, 0, sizeof(at))
        memset(self.reads.d + r0 * self.inputs, 0, (r1 - r0) * self.inputs * sizeof(float))
        for row in range(r0, r1):
            place, d = self.first, self.d + row * self.units
            while True:
                d_x = self.reads.d + row * self.inputs + place
                for k in range(n):
                    d_x[k * stride] += d[k]
                d += n
                if not self.next_line(at, &place):
                    break


cdef enum Reduction:
    BY_SUM, BY_MEAN, BY_MAX, BY_MIN

REDUCTIONS = ("sum", "mean", "max", "min")


cdef class ReduceOp(Op):
    """Of a row (outer, n, inner) the sum, mean, largest or least along its n: a row (outer, inner).

    Sums are added up in float64. Of equal largest ones each has its share of the slope, as in JAX and PyTorch.
    """

    cdef Reduction which
    cdef Py_ssize_t outer
    cdef Py_ssize_t n
    cdef Py_ssize_t inner

    def __init__(self, which, Py_ssize_t outer, Py_ssize_t n, Py_ssize_t inner):
        self.which = <Reduction><int>REDUCTIONS.index(which)
        self.outer, self.n, self.inner = outer, n, inner
        self.shape([(outer, n * inner)], outer, inner)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, o, i, k
        cdef const float* x
        cdef float best
        cdef double total
        for row in range(r0, r1):
            for o in range(self.outer):
                for i in range(self.inner):
                    x = self.reads.rows[row] + o * self.n * self.inner + i
                    total, best = 0, x[0]
                    if self.which <= BY_MEAN:
                        for k in range(self.n):
                            total += x[k * self.inner]
                        best = <float>(total / self.n if self.which == BY_MEAN else total)
                    else:
                        for k in range(1, self.n):
                            if self.before(x[k * self.inner], best):
                                best = x[k * self.inner]
                    self.a[row * self.units + o * self.inner + i] = best

    cdef inline bint before(self, float x, float best) noexcept nogil:
        """Whether x is larger, or less, than the best so far; a NaN stays."""
        return (x > best if self.which == BY_MAX else x < best) or (x != x and best == best)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, o, i, k, at, same
        cdef const float* x
        cdef float* d_x
        cdef float d, best
        if self.reads.d == NULL:
            return
        for row in range(r0, r1):
            for o in range(self.outer):
                for i in range(self.inner):
                    at = row * self.units + o * self.inner + i
                    x = self.reads.rows[row] + o * self.n * self.inner + i
                    d_x = self.reads.d + row * self.inputs + o * self.n * self.inner + i
                    d, best, same = self.d[at], self.a[at], 0
                    if self.which <= BY_MEAN:
                        d = d / self.n if self.which == BY_MEAN else d
                        for k in range(self.n):
                            d_x[k * self.inner] = d
                        continue
                    for k in range(self.n):
                        same += x[k * self.inner] == best
                    for k in range(self.n):
                        d_x[k * self.inner] = d / same if x[k * self.inner] == best else 0


cdef class _SameOp(Op):
    """The same numbers for each row. What it reads says no more than how many rows there are."""

    cdef const float* given(self) noexcept nogil:
        return NULL

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row
        for row in range(r0, r1):
            memcpy(self.a + row * self.units, self.given(), self.units * sizeof(float))

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        if self.reads.d != NULL:
            memset(self.reads.d + r0 * self.inputs, 0, (r1 - r0) * self.inputs * sizeof(float))


cdef class ConstantOp(_SameOp):
    """Numbers that are known beforehand."""

    cdef object array
    cdef const float* numbers

    def __init__(self, Py_ssize_t inputs, numbers):
        self.array = np.array(numbers, np.float32).ravel()
        self.numbers = <const float*>address(self.array)
        self.shape([(1, inputs)], 1, self.array.size)

    cdef const float* given(self) noexcept nogil:
        return self.numbers


cdef class ParameterOp(_SameOp):
    """Its parameters, `units` of them, as each row's numbers."""

    cdef sum32 column_sums

    def __init__(self, Py_ssize_t inputs, Py_ssize_t units):
        self.shape([(1, inputs)], 1, units)
        self.size, self.row_size = units, 1
        self.column_sums = <sum32>float32_of(kernels.column_sums, "sum")

    cdef const float* given(self) noexcept nogil:
        return self.w

    cdef double work_of_gradient(self) noexcept:
        return 1

    cdef int shared(self, Before when, Shared* to) noexcept:
        return min(1, Op.shared(self, when, to))    # what it reads says nothing

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        self.column_sums(self.d + p0, self.units, step.rows * self.slices, p1 - p0, self.g + p0)


cdef class PhaseOp(Op):
    """The first of two rows while training, else the second."""

    def __init__(self, Py_ssize_t units):
        self.shape([(1, units)] * 2, 1, units)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row
        cdef int k = 0 if in_training(step, self.training) else 1
        for row in range(r0, r1):
            memcpy(self.a + row * self.units, self.reads[k].rows[row], self.units * sizeof(float))

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units, n = (r1 - r0) * self.units * sizeof(float)
        cdef int k = 0 if in_training(step, self.training) else 1
        if self.reads[k].d != NULL:
            memcpy(self.reads[k].d + start, self.d + start, n)
        if self.reads[1 - k].d != NULL:
            memset(self.reads[1 - k].d + start, 0, n)
