# Ops that have numbers for each column, or normalise.
#
# A row is some lines of `width` columns, one after the other: a column's numbers are in each line.

cdef double SMALLEST = 1.1754944e-38    # that a float32 is and no denormal


cdef class ColumnOp(Op):
    """An op that has numbers for each column: what it reads and gives has lines of that many."""

    cdef int line_by_line(self, Py_ssize_t units, Py_ssize_t channels, bint masked=False) except -1:
        if units < 1 or channels < 1 or units % channels:
            raise ValueError(f"rows of {units} numbers are no lines of {channels} columns")
        lines = units // channels
        return self.shape([(lines, channels), (1, lines)][:1 + masked], lines, channels)

    cdef Py_ssize_t scratch_size(self) noexcept:
        return ADDRESS_SPACE

    cdef double work_of_gradient(self) noexcept:
        return 2.0 * self.lines

    cdef void slope(self, const Step* step, affine32 affine, Root root, const float** numbers, double epsilon,
                    Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """The gradient by x of an affine map of the columns: d times their factors."""
        cdef const float** rows = <const float**>step.scratch
        cdef Py_ssize_t n
        while r0 < r1:
            n = lines_of_block(self.d, self.units, r0, r1, rows)
            affine(root, rows, 0, n, self.lines, self.width, numbers, epsilon, True, self.reads.d + r0 * self.units)
            r0 += n


cdef class LayerNormalizationOp(ColumnOp):
    """a = (x - mean) / sqrt(variance + epsilon) * gamma + beta, over each line of each row by itself.

    centred=False leaves the mean out of both. Parameters: gamma if scale, beta if center, (channels,) each.
    """

    cdef readonly double epsilon
    cdef readonly bint center
    cdef readonly bint scale
    cdef readonly bint centred
    cdef layer_forward32 rows
    cdef layer_backward32 slopes
    cdef layer_gradient32 sums

    def __init__(self, Py_ssize_t units, Py_ssize_t channels, double epsilon=1e-3, bint center=True, bint scale=True,
                 bint centred=True):
        self.line_by_line(units, channels)
        self.epsilon, self.center, self.scale, self.centred = epsilon, center, scale, centred
        self.size, self.row_size = (center + scale) * channels, 1
        self.rows = <layer_forward32>float32_of(kernels.layer_normalization, "layer_normalization", FORWARD)
        self.slopes = <layer_backward32>float32_of(kernels.layer_normalization, "layer_normalization", BACKWARD)
        self.sums = <layer_gradient32>float32_of(kernels.layer_normalization, "layer_normalization", GRADIENT)
        self.know_rows()

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Addresses of lines, or a row's gradient."""
        return max(<Py_ssize_t>ADDRESS_SPACE, 2 * self.width)

    cdef Py_ssize_t saved(self) noexcept:
        """The normalised row, and 1 / the deviation of each line."""
        return self.units + self.lines

    cdef int shared(self, Before when, Shared* to) noexcept:
        to[0], to[1] = Shared(self.d, self.units, False), Shared(self.z, self.units + self.lines, False)
        return 2 if when == BEFORE_GRADIENT else 0

    cdef const float* gamma(self) noexcept nogil:
        return self.w if self.scale else NULL

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* beta = self.w + self.scale * self.width if self.center else NULL
        self.rows(self.reads.rows, r0, r1, self.lines, self.width, self.gamma(), beta, self.epsilon, self.centred,
                  self.z, self.a)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        if self.reads.d != NULL:
            self.slopes(self.d, r0, r1, self.lines, self.width, self.gamma(), self.centred, self.z, self.reads.d)

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        cdef Py_ssize_t n = self.width, end = self.scale * n, rows = step.rows * self.slices
        if p0 < end:
            self.sums(self.d, rows, self.lines, n, self.z, p0, min(p1, end), self.g, NULL)
        if p1 > end:
            self.sums(self.d, rows, self.lines, n, self.z, max(p0 - end, 0), p1 - end, NULL, self.g + end)

    cdef void row_squares(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1, double* squares) noexcept nogil:
        cdef Py_ssize_t row, n = self.width, rows = self.slices
        cdef float* g = step.scratch
        for row in range(r0, r1):
            self.sums(self.d + row * rows * self.units, rows, self.lines, n,
                      self.z + row * rows * (self.units + self.lines), 0, n, g, g + n)
            squares[row - r0] += self.dot(g + (not self.scale) * n, NULL, (self.scale + self.center) * n, 0)


cdef class UnitNormalizationOp(LayerNormalizationOp):
    """a = x / |x| for each line of each row: its root mean square is made 1, then the numbers are shared out."""

    cdef const float* shares            # 1 / sqrt(channels) for each number
    cdef object array                   # that they are in

    def __init__(self, Py_ssize_t units, Py_ssize_t channels, double epsilon):
        LayerNormalizationOp.__init__(self, units, channels, epsilon * epsilon / channels, False, False, False)
        self.array = np.full(channels, 1 / sqrt(channels), np.float32)
        self.shares = <const float*>address(self.array)

    cdef const float* gamma(self) noexcept nogil:
        return self.shares


cdef class ScaleShiftOp(ColumnOp):
    """a = x * gamma + beta for each column. Parameters: gamma if scale, beta if center, (channels,) each."""

    cdef readonly bint center
    cdef readonly bint scale
    cdef affine32 affine
    cdef batch_sums32 sums

    def __init__(self, Py_ssize_t units, Py_ssize_t channels, bint center=True, bint scale=True):
        self.line_by_line(units, channels)
        self.center, self.scale = center, scale
        self.size, self.row_size = (center + scale) * channels, 1
        self.affine = <affine32>float32_of(kernels.affine, "affine")
        self.sums = <batch_sums32>float32_of(kernels.batch_normalization, "batch_normalization", SUMS)

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Addresses of lines; or a mean of 0, and the sums that are not asked for."""
        return max(<Py_ssize_t>ADDRESS_SPACE, 2 * self.width)

    cdef void find(self, const float** numbers) noexcept nogil:
        memset(numbers, 0, COLUMNS * sizeof(void*))
        if self.scale:
            numbers[GAMMA] = self.w
        if self.center:
            numbers[BETA] = self.w + self.scale * self.width

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        self.find(numbers)
        self.affine(ADDED, self.reads.rows, r0, r1, self.lines, self.width, numbers, 0, False, self.a)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        if self.reads.d != NULL:
            self.find(numbers)
            self.slope(step, self.affine, ADDED, numbers, 0, r0, r1)

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        cdef Py_ssize_t n = self.width, end = self.scale * n, rows = step.rows * self.slices
        memset(step.scratch, 0, n * sizeof(float))
        memset(numbers, 0, sizeof(numbers))
        numbers[MEAN] = numbers[SHIFT] = step.scratch
        if p0 < end:
            self.sums(self.reads.rows, self.d, rows, self.lines, n, p0, min(p1, end), numbers, step.scratch + n, self.g)
        if p1 > end:
            self.sums(self.reads.rows, self.d, rows, self.lines, n, max(p0 - end, 0), p1 - end, numbers, self.g + end,
                      step.scratch + n)


cdef class AffineOp(ColumnOp):
    """a = x * scale + offset for each column, with fixed numbers."""

    cdef Root root
    cdef double epsilon
    cdef affine32 affine
    cdef const float* numbers[COLUMNS]
    cdef tuple arrays                   # that the numbers are in

    def __init__(self, Py_ssize_t units, scale, offset):
        self.arrange(units, len(scale))
        self.arrays = np.array(scale, np.float32), np.array(offset, np.float32)
        self.numbers[GAMMA] = <const float*>address(self.arrays[0])
        self.numbers[BETA] = <const float*>address(self.arrays[1])

    cdef int arrange(self, Py_ssize_t units, Py_ssize_t channels) except -1:
        self.line_by_line(units, channels)
        self.affine = <affine32>float32_of(kernels.affine, "affine")
        return 0

    cdef void find(self, const float** numbers) noexcept nogil:
        memcpy(numbers, self.numbers, sizeof(self.numbers))

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        self.find(numbers)
        self.affine(self.root, self.reads.rows, r0, r1, self.lines, self.width, numbers, self.epsilon, False, self.a)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        if self.reads.d != NULL:
            self.find(numbers)
            self.slope(step, self.affine, self.root, numbers, self.epsilon, r0, r1)


cdef class StandardizeOp(AffineOp):
    """a = (x - mean) / max(sqrt(variance), epsilon) for each column; inverse: a = x * max(...) + mean.

    mean and variance are fixed where they are given; else they are the first parameters, (channels,) each, and `more`
    parameters follow that the op does not read. None of them learns.
    """

    cdef readonly bint inverse

    def __init__(self, Py_ssize_t units, Py_ssize_t channels, double epsilon, bint inverse=False, mean=None,
                 variance=None, Py_ssize_t more=0):
        self.arrange(units, channels)
        self.inverse, self.epsilon, self.root = inverse, epsilon, INVERSE if inverse else FLOORED
        if mean is None:
            self.size, self.row_size = 2 * channels + more, 1
        else:
            self.arrays = np.array(mean, np.float32), np.array(variance, np.float32)
            self.numbers[MEAN] = <const float*>address(self.arrays[0])
            self.numbers[VARIANCE] = <const float*>address(self.arrays[1])

    cdef void find(self, const float** numbers) noexcept nogil:
        cdef const float* mean
        cdef const float* variance
        if self.size:
            mean, variance = self.w, self.w + self.width
        else:
            mean, variance = self.numbers[MEAN], self.numbers[VARIANCE]
        memset(numbers, 0, sizeof(self.numbers))
        numbers[BETA if self.inverse else MEAN] = mean
        numbers[VARIANCE] = variance


cdef class PReLUOp(ColumnOp):
    """a = x where x > 0, else alpha * x. Parameters: alpha, (channels,)."""

    cdef prelu_forward32 rows
    cdef prelu_backward32 slopes
    cdef prelu_gradient32 sums

    def __init__(self, Py_ssize_t units, Py_ssize_t channels):
        self.line_by_line(units, channels)
        self.size, self.row_size = channels, 1
        self.rows = <prelu_forward32>float32_of(kernels.prelu, "prelu", FORWARD)
        self.slopes = <prelu_backward32>float32_of(kernels.prelu, "prelu", BACKWARD)
        self.sums = <prelu_gradient32>float32_of(kernels.prelu, "prelu", GRADIENT)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        self.rows(self.reads.rows, r0, r1, self.lines, self.width, self.w, self.a)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        if self.reads.d != NULL:
            self.slopes(self.reads.rows, self.d, r0, r1, self.lines, self.width, self.w, self.reads.d)

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        self.sums(self.reads.rows, self.d, step.rows * self.slices, self.lines, self.width, p0, p1, self.g)
