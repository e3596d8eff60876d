"""Dense lines whose matrix counts as divided by its largest singular value, which power iteration finds."""


cdef double normalised(float* x, Py_ssize_t n) noexcept nogil:
    """Divide a vector by its length, unless that is 0; gives the length."""
    cdef Py_ssize_t i
    cdef double square = 0, length
    for i in range(n):
        square += <double>x[i] * x[i]
    length = sqrt(square)
    if length != 0:
        for i in range(n):
            x[i] = <float>(x[i] / length)
    return length


cdef class SpectralDenseOp(DenseOp):
    """z = x.(W / sigma) + b. Parameters: those of a dense op, then u, (units,), which does not learn.

    v = W.u and u = v.W, each brought to length 1, so many times; sigma = v.W.u. In training u begins with that of the
    step before; otherwise, and where the op is frozen, v alone is found. The gradient by W goes through sigma, with u
    and v as they are: (G - (sum of G * W / sigma) v u^T) / sigma, G that by W / sigma; the sum is that of d * (z - b)
    over all rows, added up by blocks. Each thread finds u, v and sigma for itself, by the same operations.
    """

    cdef readonly Py_ssize_t iterations
    cdef double* block_sums             # of d * (z - b)

    def __init__(self, Py_ssize_t inputs, Py_ssize_t units, bint use_bias=True, Py_ssize_t iterations=1,
                 Py_ssize_t lines=1):
        DenseOp.__init__(self, inputs, units, use_bias, lines=lines)
        self.iterations = iterations
        self.size += units
        self.whole_batch = self.commits = True

    cdef int take_products(self) except -1:
        self.rounds = False             # sigma is the matrix's own
        return DenseOp.take_products(self)

    def __dealloc__(self):
        free(self.block_sums)

    cdef int placed(self, Py_ssize_t rows) except -1:
        free(self.block_sums)
        self.block_sums = <double*>malloc((rows * self.slices // self.block_rows + 1) * sizeof(double))
        if self.block_sums == NULL:
            raise MemoryError("no memory for the sums of a batch")
        return 0

    cdef int shared(self, Before when, Shared* to) noexcept:
        if when != BEFORE_BACKWARD:
            return DenseOp.shared(self, when, to)
        to[0] = Shared(<float*>self.block_sums, 2, True)
        return 1

    cdef Py_ssize_t state_size(self) noexcept:
        """u, v, 1 / sigma, and the sum of d * (z - b) over it."""
        return self.width + self.reads.width + 2

    cdef float* state_of(self, const Step* step) noexcept nogil:
        return self.state + step.thread * self.state_stride

    cdef double find_v(self, const Step* step, float* u, float* v) noexcept nogil:
        """v = W.u, brought to length 1; gives the length it had."""
        cdef Py_ssize_t n, line = 0, inputs = self.reads.width, units = self.width
        cdef const float** addresses = <const float**>step.scratch
        while line < inputs:
            n = lines_of_block(self.w, units, line, inputs, addresses)
            self.matmul(addresses, 0, u, 1, NULL, v + line, 1, n, 1, units, step.scratch + ADDRESS_SPACE)
            line += n
        return normalised(v, inputs)

    cdef void measure(self, const Step* step) noexcept nogil:
        """Find u, v and 1 / sigma."""
        cdef Py_ssize_t left = self.iterations, inputs = self.reads.width, units = self.width
        cdef float* u = self.state_of(step)
        cdef float* v = u + units
        cdef const float* line = v
        cdef double sigma = 0
        memcpy(u, self.w + (inputs + self.use_bias) * units, units * sizeof(float))
        if step.training and not self.frozen:
            while left > 0:
                self.find_v(step, u, v)
                self.matmul(&line, 0, self.w, units, NULL, u, units, 1, units, inputs, step.scratch + ADDRESS_SPACE)
                sigma = normalised(u, units)
                left -= 1
            if sigma == 0:              # W is; u goes on when it is not any more
                memcpy(u, self.w + (inputs + self.use_bias) * units, units * sizeof(float))
        else:
            normalised(u, units)
            sigma = self.find_v(step, u, v)
        v[inputs] = <float>(1 / sigma if sigma != 0 else 1)

    cdef void whole_forward(self, const Step* step) noexcept nogil:
        self.measure(step)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t n, i, j, line = r0 * self.lines, end = r1 * self.lines
        cdef Py_ssize_t inputs = self.reads.width, units = self.width
        cdef const float* bias = self.w + inputs * units
        cdef const float* const* x
        cdef float* z
        cdef float inverse
        if not step.training:
            self.measure(step)
        inverse = self.state_of(step)[units + inputs]
        while line < end:
            n = lines_of(self.reads, line, end, <const float**>step.scratch, &x)
            z = self.z + line * units
            self.matmul(x, 0, self.w, units, NULL, z, units, n, units, inputs, step.scratch + ADDRESS_SPACE)
            for i in range(n):
                for j in range(units):
                    z[i * units + j] = z[i * units + j] * inverse + (bias[j] if self.use_bias else 0)
            line += n

    cdef void blocks_backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t line, j, end, units = self.width
        cdef const float* bias = self.w + self.reads.width * units
        cdef double total
        while r0 < r1:
            end, total = min(r1, r0 + self.block_rows), 0
            for line in range(r0 * self.lines, end * self.lines):
                for j in range(units):
                    total += self.d[line * units + j] * (
                        <double>self.z[line * units + j] - (bias[j] if self.use_bias else 0))
            self.block_sums[r0 // self.block_rows] = total
            r0 = end

    cdef void whole_backward(self, const Step* step) noexcept nogil:
        cdef Py_ssize_t block
        cdef float* after = self.state_of(step) + self.width + self.reads.width
        cdef double total = 0
        for block in range((step.rows * self.slices + self.block_rows - 1) // self.block_rows):
            total += self.block_sums[block]
        after[1] = <float>(total * after[0])

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t i, inputs = self.reads.width
        cdef float inverse = self.state_of(step)[self.width + inputs]
        DenseOp.backward(self, step, r0, r1)
        if self.reads.d != NULL:
            for i in range(r0 * self.lines * inputs, r1 * self.lines * inputs):
                self.reads.d[i] *= inverse

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        cdef Py_ssize_t p, units = self.width, inputs = self.reads.width
        cdef const float* u = self.state_of(step)
        cdef const float* v = u + units
        cdef float inverse = v[inputs], along = v[inputs + 1]
        DenseOp.gradient(self, step, p0, p1)
        for p in range(p0, min(p1, inputs * units)):
            self.g[p] = self.g[p] * inverse - along * v[p // units] * u[p % units]

    cdef void commit(self, const Step* step) noexcept nogil:
        if not self.frozen:
            memcpy(self.w + (self.reads.width + self.use_bias) * self.width, self.state_of(step),
                   self.width * sizeof(float))
