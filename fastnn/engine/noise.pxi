"""What chance does while training: it comes from a key of the step and a place in the batch, and from nothing else.

Noise, number by number; and what becomes of pictures, in pictures.pxi.
"""

cdef double TURN = 6.283185307179586, OF_BITS = 1.0 / 9007199254740992.0


cdef class DrawingOp(Op):
    """An op with random numbers. seed: numbers of its own, whatever the network's seed; None takes the network's."""

    cdef readonly object seed
    cdef bint seeded
    cdef uint64_t own_key

    cdef int seeds(self, seed) except -1:
        self.seed, self.seeded, self.random = seed, seed is not None, True
        self.own_key = mix64(<uint64_t>seed) if self.seeded else 0
        return 0

    cdef uint64_t key(self, const Step* step) noexcept nogil:
        if self.seeded:
            return mix64(self.own_key ^ (mix64(<uint64_t>step.number) + <uint64_t>step.first))
        return mix64(step.key + <uint64_t>self.number)

    cdef void draw(self, const Step* step, Py_ssize_t row, double* first, double* second) noexcept nogil:
        """Two numbers of a row, even from 0 to 1."""
        cdef uint64_t bits = mix64(self.key(step) ^ mix64(<uint64_t>row))
        first[0] = <double>(bits >> 11) * OF_BITS
        second[0] = <double>(mix64(bits) >> 11) * OF_BITS


cdef class NoiseOp(DrawingOp):
    """a = x with a kernel's noise while training; a = x otherwise.

    strength: the kernel's number, a rate or a standard deviation.
    """

    cdef readonly double strength
    cdef noise32 noise
    cdef noise32 slopes

    def __init__(self, Py_ssize_t units, Kernel kernel, double strength, seed=None):
        self.take_noise(kernel, strength, seed)
        self.shape([(1, units)], 1, units)

    cdef int take_noise(self, Kernel kernel, double strength, seed) except -1:
        self.noise = <noise32>float32_of(kernel, "noise", FORWARD)
        self.slopes = <noise32>float32_of(kernel, "noise", BACKWARD)
        self.strength = strength
        return self.seeds(seed)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, n = self.units
        cdef uint64_t key = self.key(step)
        for row in range(r0, r1):
            if in_training(step, self.training):
                self.noise(self.reads.rows[row], self.a + row * n, n, <uint32_t>(row * n), self.strength, key)
            else:
                memcpy(self.a + row * n, self.reads.rows[row], n * sizeof(float))

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units
        if self.reads.d != NULL and not in_training(step, self.training):
            memcpy(self.reads.d + start, self.d + start, (r1 - r0) * self.units * sizeof(float))
        elif self.reads.d != NULL:
            self.slopes(self.d + start, self.reads.d + start, (r1 - r0) * self.units, <uint32_t>start, self.strength,
                        self.key(step))


cdef class DropoutOp(NoiseOp):
    """a = x / (1 - rate) with probability 1 - rate, else 0, while training; its slopes go the same way."""

    def __init__(self, Py_ssize_t units, double rate, seed=None):
        NoiseOp.__init__(self, units, kernels.dropout, rate, seed)


cdef class SharedDropoutOp(DropoutOp):
    """Dropout that keeps or drops several numbers of a row, or of all rows, together.

    places: for each number of a row the number of its draw, from 0 on; by_row: each row has draws of its own.
    """

    cdef Py_ssize_t draws               # of a row
    cdef bint by_row
    cdef object array
    cdef const int32_t* places
    cdef object ones_array              # what is drawn for
    cdef const float* ones

    def __init__(self, places, bint by_row, double rate, seed=None):
        self.array = np.array(places, np.int32)
        DropoutOp.__init__(self, self.array.size, rate, seed)
        if self.array.min() < 0:
            raise ValueError("the numbers of draws begin at 0")
        self.draws, self.by_row = int(self.array.max()) + 1, by_row
        self.ones_array = np.ones(self.draws, np.float32)
        self.places = <const int32_t*>address(self.array)
        self.ones = <const float*>address(self.ones_array)

    cdef Py_ssize_t saved(self) noexcept:
        """What each draw multiplies with: 0 or 1 / (1 - rate)."""
        return self.draws

    cdef void spread(self, const float* x, const float* draws, float* a) noexcept nogil:
        cdef Py_ssize_t j
        cdef float factor
        for j in range(self.units):
            factor = draws[self.places[j]]
            a[j] = x[j] * factor if factor != 0 else 0      # a number that is dropped may be infinite

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, n = self.units
        cdef uint64_t key = self.key(step)
        cdef float* draws
        for row in range(r0, r1):
            if in_training(step, self.training):
                draws = self.z + row * self.draws
                self.noise(self.ones, draws, self.draws, <uint32_t>(row * self.draws if self.by_row else 0),
                           self.strength, key)
                self.spread(self.reads.rows[row], draws, self.a + row * n)
            else:
                memcpy(self.a + row * n, self.reads.rows[row], n * sizeof(float))

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, n = self.units
        if not in_training(step, self.training):
            NoiseOp.backward(self, step, r0, r1)
        elif self.reads.d != NULL:
            for row in range(r0, r1):
                self.spread(self.d + row * n, self.z + row * self.draws, self.reads.d + row * n)


cdef class SharedAlphaDropoutOp(SharedDropoutOp):
    """Alpha dropout that keeps or drops several numbers of a row, or of all rows, together."""

    cdef float scale
    cdef float level                    # added to what is kept
    cdef float dropped                  # what comes of the rest

    def __init__(self, places, bint by_row, double rate, double limit, seed=None):
        """limit: what the activation before comes to far below 0."""
        SharedDropoutOp.__init__(self, places, by_row, rate, seed)
        scale = ((1 - rate) * (1 + rate * limit * limit)) ** -0.5
        self.scale, self.level, self.dropped = scale, -scale * limit * rate, scale * limit * (1 - rate)

    cdef void spread(self, const float* x, const float* draws, float* a) noexcept nogil:
        cdef Py_ssize_t j
        for j in range(self.units):
            a[j] = x[j] * self.scale + self.level if draws[self.places[j]] != 0 else self.dropped

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, j, n = self.units
        cdef const float* draws
        if not in_training(step, self.training):
            NoiseOp.backward(self, step, r0, r1)
        elif self.reads.d != NULL:
            for row in range(r0, r1):
                draws = self.z + row * self.draws
                for j in range(row * n, (row + 1) * n):
                    self.reads.d[j] = self.d[j] * self.scale if draws[self.places[j - row * n]] != 0 else 0
