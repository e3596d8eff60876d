"""Rows as a quantised layer has them, for a model that learns to be quantised."""


cdef class FakeQuantizeOp(Op):
    """Each line as the bytes stand for it that a quantised layer makes of it; its gradient goes through as it is.

    Source: Bengio, Leonard and Courville 2013 (straight-through); Jacob et al. 2018.
    """

    cdef types.quantize32 quantize_line
    cdef uint8_t shift                  # what a byte of 0 is kept as

    def __init__(self, Py_ssize_t units, Py_ssize_t lines=1):
        cdef float none = 0
        cdef float[2] ends = [0, 1]
        cdef types.Int8Row row
        self.shape([(lines, units)], lines, units)
        self.quantize_line = <types.quantize32>float32_of(kernels.int8, "int8", 0)
        self.quantize_line(&none, 1, ends, &self.shift, 1, &row)

    cdef Py_ssize_t scratch_size(self) noexcept:
        return self.width // sizeof(float) + 1

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef uint8_t* bytes = <uint8_t*>step.scratch
        cdef types.Int8Row about
        cdef Py_ssize_t row, line, j
        cdef float* a
        for row in range(r0, r1):
            for line in range(self.lines):
                a = self.a + row * self.units + line * self.width
                self.quantize_line(self.reads.rows[row] + line * self.width, self.width, NULL, bytes, self.width,
                                   &about)
                for j in range(self.width):
                    a[j] = ((bytes[j] ^ self.shift) - (about.zero + self.shift)) * about.scale

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        if self.reads.d != NULL:
            memcpy(self.reads.d + r0 * self.units, self.d + r0 * self.units, (r1 - r0) * self.units * sizeof(float))
