# Ops that read whole numbers: rows of a table, and rows of zeros and ones.

cdef enum:
    EXACT = 16777216                    # float32 holds each whole number below


cdef class IndexOp(Op):
    """An op that reads whole numbers from 0 to `choices` - 1, as float32 or int32. Another one stops the run."""

    cdef readonly Py_ssize_t choices
    cdef float most                     # above the largest that float32 is trusted with
    cdef readonly str title             # of the layer, for its error
    cdef int found                      # 1 once a wrong number is noted; the first to set it says where
    cdef Py_ssize_t wrong_row
    cdef Py_ssize_t wrong_column
    cdef double wrong

    def __cinit__(self, *args, **kwargs):
        self.reads_ids = True

    cdef Py_ssize_t index_at(self, const float* x, Py_ssize_t j) noexcept nogil:
        """Number j of a row as an index, -1 where it is none: NaN fails each comparison.

        From 2^24 on a float32 may be another number that was rounded.
        """
        cdef int32_t id
        if self.reads.whole:
            id = (<const int32_t*>x)[j]
            return id if 0 <= id < self.choices else -1
        return <Py_ssize_t>x[j] if 0 <= x[j] < self.most and <float><Py_ssize_t>x[j] == x[j] else -1

    cdef void refuse(self, const Step* step, Py_ssize_t row, Py_ssize_t column) noexcept nogil:
        if not atomic_swap(&self.found, 1):
            self.wrong_row, self.wrong_column = row, column
            if self.reads.whole:
                self.wrong = (<const int32_t*>self.reads.rows[row])[column]
            else:
                self.wrong = self.reads.rows[row][column]
        if step.error != NULL:
            atomic_swap(step.error, <int>(self.number + 1))

    cdef object explain(self):
        atomic_swap(&self.found, 0)
        more = "; check the data, or make the layer larger"
        if not self.reads.whole and EXACT <= self.wrong < self.choices:
            more = ", as float32, which rounds from 2**24 on; give ids alone, as an int32 or int64 array"
        return RowError(
            f"{self.title} expects whole numbers from 0 to {self.choices - 1}, got {self.wrong:.10g} in column "
            f"{self.wrong_column} of", more, self.wrong_row)


cdef class EmbeddingOp(IndexOp):
    """A row of the table for each number of x, side by side. Parameters: the table, (choices, depth)."""

    cdef readonly Py_ssize_t depth
    cdef types.vector32 add

    def __init__(self, Py_ssize_t inputs, Py_ssize_t choices, Py_ssize_t depth, str title="Embedding"):
        if inputs < 1 or choices < 1 or depth < 1 or choices >= 2**31 or depth > 2**24:
            raise ValueError(f"an embedding of {choices} rows of {depth} numbers cannot be")
        self.shape([(1, inputs)], inputs, depth)
        self.choices, self.depth, self.title, self.most = choices, depth, title, min(choices, EXACT)
        self.size, self.row_size, self.scatters = choices * depth, 1, True
        self.add = <types.vector32>float32_of(kernels.add, "vector")
        self.know_rows()

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, j, index, n = self.depth
        cdef float* to
        for row in range(r0, r1):
            for j in range(self.inputs):
                index = self.index_at(self.reads.rows[row], j)
                to = self.a + row * self.units + j * n
                if index >= 0:
                    memcpy(to, self.w + index * n, n * sizeof(float))
                else:
                    memset(to, 0, n * sizeof(float))
                    self.refuse(step, row, j)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        if self.reads.d != NULL:
            memset(self.reads.d + r0 * self.inputs, 0, (r1 - r0) * self.inputs * sizeof(float))

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        # Numbers of the table that several rows read are added up in the order of the batch, whatever the thread.
        cdef Py_ssize_t row, j, index, n = self.depth, inputs = self.inputs, start, end
        cdef Py_ssize_t first = p0 // n, last = (p1 - 1) // n
        cdef bint whole = self.reads.whole
        cdef const float* x
        memset(self.g + p0, 0, (p1 - p0) * sizeof(float))
        for row in range(step.rows * self.slices):
            x = self.reads.rows[row]
            for j in range(inputs):
                index = (<const int32_t*>x)[j] if whole else self.index_at(x, j)
                if first <= index <= last:
                    start, end = max(index * n, p0), min(index * n + n, p1)
                    self.add(self.g + start, self.d + row * self.units + j * n + start - index * n, end - start, 0)

    cdef void touch(self, const Step* step, Touched* to) noexcept nogil:
        # A place whose gradient is 0, of a row without weight or behind a mask, touches nothing.
        cdef Py_ssize_t row, j, i, index, n = self.depth, inputs = self.inputs
        cdef const float* x
        cdef float* d = self.d
        cdef uint32_t bucket
        for row in range(step.rows * self.slices):
            x = self.reads.rows[row]
            for j in range(inputs):
                index = self.index_at(x, j)
                bucket = hash_of(index) // (1 << 26)
                if index >= 0 and to.first <= bucket < to.last:
                    i = 0
                    while i < n and d[i] == 0:
                        i += 1
                    if i < n:
                        self.add(touched_row(to, index, n), d, n, 0)
                d += n

    cdef void row_squares(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1, double* squares) noexcept nogil:
        # Places with the same index add up to one row of the table.
        cdef Py_ssize_t row, i, j, index, inputs = self.inputs, n = self.slices * inputs, depth = self.depth
        for row in range(r0, r1):
            for i in range(row * n, row * n + n):
                index = self.index_at(self.reads.rows[i // inputs], i % inputs)
                for j in range(row * n, i + 1):
                    if self.index_at(self.reads.rows[j // inputs], j % inputs) == index:
                        squares[row - r0] += (1 + (j < i)) * self.dot(
                            self.d + i * depth, self.d + j * depth, depth, 0)


cdef class EncodeOp(IndexOp):
    """Zeros, and for each number of x a 1 at its place, or if `counts` 1 more.

    Every `line` numbers have a row of `choices` between them.
    """

    cdef readonly bint counts
    cdef Py_ssize_t line                # numbers that share a row of `choices`

    def __init__(self, Py_ssize_t inputs, Py_ssize_t choices, Py_ssize_t line=1, bint counts=False,
                 str title="CategoryEncoding"):
        if inputs < 1 or choices < 1 or line < 1 or inputs % line or choices >= 2**31:
            raise ValueError(f"an encoding of {inputs} numbers of {choices} kinds cannot be")
        self.shape([(1, inputs)], inputs // line, choices)
        self.choices, self.line, self.counts, self.title = choices, line, counts, title
        self.most = min(choices, EXACT)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, j, index
        cdef float* to
        memset(self.a + r0 * self.units, 0, (r1 - r0) * self.units * sizeof(float))
        for row in range(r0, r1):
            for j in range(self.inputs):
                index = self.index_at(self.reads.rows[row], j)
                if index >= 0:
                    to = self.a + row * self.units + j // self.line * self.choices + index
                    to[0] = to[0] + 1 if self.counts else 1
                else:
                    self.refuse(step, row, j)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        if self.reads.d != NULL:
            memset(self.reads.d + r0 * self.inputs, 0, (r1 - r0) * self.inputs * sizeof(float))
