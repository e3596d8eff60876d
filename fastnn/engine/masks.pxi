"""Ops of masks: rows of zeros and ones, a number for each step of what is masked. There is no gradient by one."""


cdef class MaskOp(Op):
    """1 for a line that has a number other than `value`, else 0. (lines, width) -> (lines,)."""

    cdef float value

    def __init__(self, Py_ssize_t lines, Py_ssize_t width, double value=0):
        self.shape([(lines, width)], lines, 1)
        self.value = <float>value
        self.steady = self.reads_ids = True

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, line, j, n = self.reads.width
        cdef const float* x
        cdef bint valid
        for row in range(r0, r1):
            x = self.reads.rows[row]
            for line in range(self.lines):
                valid = False
                for j in range(line * n, (line + 1) * n):
                    valid |= (<float>(<const int32_t*>x)[j] if self.reads.whole else x[j]) != self.value
                self.a[row * self.lines + line] = valid


cdef class MaskedOp(Op):
    """The lines that a mask leaves, zeros for the others; or their mean, which is 0 where it leaves none."""

    cdef bint mean

    def __init__(self, Py_ssize_t lines, Py_ssize_t width, bint mean=False):
        self.shape([(lines, width), (1, lines)], 1 if mean else lines, width)
        self.mean = mean

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, line, j, n = self.width, lines = self.reads.lines
        cdef const float* x
        cdef float* a
        cdef float share
        memset(self.a + r0 * self.units, 0, (r1 - r0) * self.units * sizeof(float))
        for row in range(r0, r1):
            x, a, share = self.reads.rows[row], self.a + row * self.units, self.share_of(row)
            for line in range(lines):
                if self.reads[1].rows[row][line] != 0:
                    for j in range(n):
                        a[j] += x[line * n + j]
                a += 0 if self.mean else n
            for j in range(n if self.mean else 0):
                a[j] *= share

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, line, j, n = self.width, lines = self.reads.lines
        cdef const float* d
        cdef float* to
        cdef float share
        for row in range(r0, r1 if self.reads.d != NULL else r0):
            to, d, share = self.reads.d + row * lines * n, self.d + row * self.units, self.share_of(row)
            for line in range(lines):
                for j in range(n):
                    to[line * n + j] = d[j] * share if self.reads[1].rows[row][line] != 0 else 0
                d += 0 if self.mean else n

    cdef float share_of(self, Py_ssize_t row) noexcept nogil:
        """What a line counts in what is given."""
        cdef Py_ssize_t line, count = 0
        for line in range(self.reads.lines):
            count += self.reads[1].rows[row][line] != 0
        return 1 / <float>count if self.mean and count else 1
