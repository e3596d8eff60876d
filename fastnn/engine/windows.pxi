"""Pictures met window by window, and with zeros around them."""


cdef class PoolOp(Op):
    """The largest or the mean of each window over a picture. kernel: max_pool or average_pool. All sizes have 3 axes.

    before, after: cells that the windows reach beyond the picture; they do not count.
    """

    cdef types.Window window
    cdef bint largest
    cdef types.pool_forward32 rows
    cdef types.pool_backward32 slopes

    def __init__(self, Kernel kernel, size, pool, stride, Py_ssize_t channels, before=(0, 0, 0), after=(0, 0, 0)):
        cdef Py_ssize_t behind[3]
        cdef Py_ssize_t whole[3]
        cdef Py_ssize_t* ones = [1, 1, 1]
        cdef types.Window* w = &self.window
        cdef int axis
        take(size, 1, w.size)
        take(pool, 1, w.pool)
        take(stride, 1, w.stride)
        take(before, 0, w.before)
        take(after, 0, behind)
        for axis in range(3):
            whole[axis] = w.size[axis] + w.before[axis] + behind[axis]
            if w.before[axis] >= w.pool[axis] or behind[axis] >= w.pool[axis]:
                raise ValueError(f"windows {pool} have no cell of a picture {size} with {before} and {after} around it")
        find_places(whole, w.pool, w.stride, ones, w.given)
        if product(w.size) * channels > LARGEST_PICTURE:
            raise ValueError(f"a picture {size} of {channels} channels is too large")
        self.shape([(<Py_ssize_t>product(w.size), channels)], <Py_ssize_t>product(w.given), channels)
        self.window.channels = channels
        self.largest = kernel.variant != 0
        self.rows = <types.pool_forward32>float32_of(kernel, "pool", FORWARD)
        self.slopes = <types.pool_backward32>float32_of(kernel, "pool", BACKWARD)

    cdef double work_of_row(self) noexcept:
        return UNIT_WORK * self.units + 4.0 * self.units * (
            self.window.pool[0] * self.window.pool[1] * self.window.pool[2])

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        self.rows(self.largest, self.reads.rows, r0, r1, &self.window, self.a)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        if self.reads.d != NULL:
            self.slopes(self.largest, self.reads.rows, r0, r1, &self.window, self.a, self.d, self.reads.d)


cdef class PadOp(Op):
    """A picture with zeros around it: `before` and `after` of its 3 axes."""

    cdef Py_ssize_t size[3]
    cdef Py_ssize_t given[3]
    cdef Py_ssize_t before[3]

    def __init__(self, size, Py_ssize_t channels, before, after):
        cdef Py_ssize_t behind[3]
        cdef int axis
        take(size, 1, self.size)
        take(before, 0, self.before)
        take(after, 0, behind)
        for axis in range(3):
            self.given[axis] = self.size[axis] + self.before[axis] + behind[axis]
        if product(self.given) * channels > LARGEST_PICTURE:
            raise ValueError(f"a picture {size} with {before} and {after} around it is too large")
        self.shape([(<Py_ssize_t>product(self.size), channels)], <Py_ssize_t>product(self.given), channels)

    cdef Py_ssize_t place(self, Py_ssize_t z, Py_ssize_t y) noexcept nogil:
        """Where a line of the picture's pixels begins in a row that is given."""
        return (((z + self.before[0]) * self.given[1] + y + self.before[1]) * self.given[2] + self.before[2]) \
            * self.width

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, z, y, n = self.size[2] * self.width
        cdef const float* x
        memset(self.a + r0 * self.units, 0, (r1 - r0) * self.units * sizeof(float))
        for row in range(r0, r1):
            x = self.reads.rows[row]
            for z in range(self.size[0]):
                for y in range(self.size[1]):
                    memcpy(self.a + row * self.units + self.place(z, y), x, n * sizeof(float))
                    x += n

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, z, y, n = self.size[2] * self.width
        cdef float* d_x
        if self.reads.d == NULL:
            return
        for row in range(r0, r1):
            d_x = self.reads.d + row * self.inputs
            for z in range(self.size[0]):
                for y in range(self.size[1]):
                    memcpy(d_x, self.d + row * self.units + self.place(z, y), n * sizeof(float))
                    d_x += n
