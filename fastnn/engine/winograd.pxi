"""Convolution by a kernel three pixels wide, with two thirds of the multiplications: Winograd's F(2, 3) along lines.

Two neighbouring places are a tile, whose four numbers (kernels/winograd.h) have a product each, of the channels that
the lines of the kernel meet. Some lines of a row's tiles, and their products, lie in the scratch of the thread: so many
as stay in cache. The gradients go through the same maps, turned, so there is nothing but whole tiles in them either.
"""


cdef enum:
    WINDOWS, GIVEN, FLOORED_LINES, SLOPES, SPREAD     # of winograd.h
    MOST_LINES = 16                             # of a kernel
    LEAST_CHANNELS = 8                          # with fewer, or fewer filters, the maps take longer than what they save
    LEAST_FILTERS = 16
    MOST_NUMBERS = 524288                       # of a line of the kernel, times lines: more of them leave the cache
    BACK_CHANNELS = 16                          # so many fill the vectors of the gradient by x
    NEAR = 65536                                # numbers of tiles and their products that stay in cache


cdef struct Winograd:
    const Patches* picture
    Py_ssize_t lines                            # of the kernel
    Py_ssize_t numbers                          # of a pixel of the kernel: channels times filters
    Py_ssize_t tiles                            # of a line
    Py_ssize_t tall                             # lines that are taken together
    Py_ssize_t wide                             # and tiles of each
    Py_ssize_t space                            # of the tiles of x
    types.winograd_tiles32 map
    types.winograd_kernel32 kernel
    types.segments32 matmul
    types.gemm32 matmul_transposed_a
    types.sum32 turn


cdef bint winograd_begin(Winograd* self, const Patches* p, const Py_ssize_t* kernel, const Py_ssize_t* dilation
                         ) except -1:
    """Whether it can be, and pays."""
    cdef Py_ssize_t line
    if (not kernels.winograd.variant or kernel[2] != 3 or kernel[1] > MOST_LINES or p.size[0] != 1 or p.groups != 1
            or product(p.stride) != 1 or product(dilation) != 1 or p.given[2] < 4
            or p.channels < LEAST_CHANNELS or p.filters < LEAST_FILTERS
            or <double>kernel[1] * p.channels * p.filters > MOST_NUMBERS):
        return False
    self.picture, self.lines, self.numbers = p, kernel[1], p.channels * p.filters
    self.tiles = (p.given[2] + 1) // 2
    self.wide = shared_out(self.tiles, max(min(<Py_ssize_t>ADDRESSES, NEAR // (4 * (p.channels + p.filters)))
                                           // self.lines, 1))
    line = 4 * self.wide * (p.channels + p.filters)
    self.tall = 1
    if self.wide == self.tiles:
        self.tall = shared_out(p.given[1], max(min(NEAR // line, ADDRESSES // self.wide - self.lines + 1), 1))
    self.space = padded(4 * (self.tall + self.lines - 1) * self.wide * p.channels)
    self.map = <types.winograd_tiles32>float32_of(kernels.winograd, "winograd", FORWARD)
    self.kernel = <types.winograd_kernel32>float32_of(kernels.winograd, "winograd", BACKWARD)
    self.matmul = <types.segments32>float32_of(kernels.gemm_segments, "segments")
    self.matmul_transposed_a = <types.gemm32>float32_of(kernels.gemm_transposed_a, "gemm")
    self.turn = <types.sum32>float32_of(kernels.turn, "sum")
    return True


cdef Py_ssize_t shared_out(Py_ssize_t n, Py_ssize_t most) noexcept:
    """The size of parts of n, none above `most`, and none much smaller than the others."""
    cdef Py_ssize_t parts = (n + most - 1) // most
    return (n + parts - 1) // parts


cdef Py_ssize_t winograd_scratch(const Winograd* self) noexcept nogil:
    """The kernel's planes, and turned; tiles of x, of their gradient, and of what is given."""
    return (padded(8 * self.lines * self.numbers) + 2 * self.space
            + 4 * self.tall * self.wide * self.picture.filters)


cdef void winograd_row(const Winograd* self, const float** addresses, float* scratch, float* workspace, const float* x,
                       const float* bias, bint floors, float* z) noexcept nogil:
    """The way forward of a row, by the kernel's planes at the beginning of `scratch`."""
    cdef const Patches* p = self.picture
    cdef float* v = scratch + padded(8 * self.lines * self.numbers)
    cdef float* m = v + 2 * self.space
    cdef Py_ssize_t firsts[MOST_LINES]
    cdef Py_ssize_t y = 0, t, tall, wide, i, k, plane, plane_m
    while y < p.given[1]:
        tall = min(self.tall, p.given[1] - y)
        t = 0
        while t < self.tiles:
            wide = min(self.wide, self.tiles - t)
            plane, plane_m = (tall + self.lines - 1) * wide * p.channels, tall * wide * p.filters
            self.map(WINDOWS, <float*>x + (y * p.size[2] + 2 * t) * p.channels, tall + self.lines - 1,
                     p.size[2] * p.channels, p.size[2] - 2 * t, p.channels, v, wide, plane, NULL)
            for i in range(tall * wide):
                addresses[i] = v + i * p.channels
            for k in range(4):
                for i in range(self.lines):
                    firsts[i] = k * plane + i * wide * p.channels
                self.matmul(addresses, firsts, self.lines, scratch + k * self.lines * self.numbers, p.filters, NULL,
                            m + k * plane_m, p.filters, tall * wide, p.filters, p.channels, workspace)
            self.map(FLOORED_LINES if floors else GIVEN, z + (y * p.given[2] + 2 * t) * p.filters, tall,
                     p.given[2] * p.filters, p.given[2] - 2 * t, p.filters, m, wide, plane_m, bias)
            t += wide
        y += tall


cdef void winograd_turn(const Winograd* self, float* scratch, const float* w) noexcept nogil:
    """The planes of the kernel turned, filters as rows: behind where its own lie, which are written over."""
    cdef Py_ssize_t k
    for k in range(3 * self.lines):
        self.turn(w + k * self.numbers, self.picture.filters, self.picture.channels, self.picture.filters,
                  scratch + k * self.numbers)
    self.kernel(False, scratch, self.lines, self.numbers, scratch + 4 * self.lines * self.numbers)


cdef void winograd_back(const Winograd* self, const float** addresses, float* scratch, float* workspace, const float* x,
                        const float* d, bint more, bint learns, float* d_x) noexcept nogil:
    """The way back of a row: the gradient by the kernel's planes, to where these were, `more`: added; that by x."""
    cdef const Patches* p = self.picture
    cdef float* v = scratch + padded(8 * self.lines * self.numbers)
    cdef float* slopes = v + self.space
    cdef float* e = slopes + self.space
    cdef float* to
    cdef Py_ssize_t y = 0, t, tall, wide, i, k, plane, plane_e
    if d_x != NULL:
        memset(d_x, 0, p.size[1] * p.size[2] * p.channels * sizeof(float))
    while y < p.given[1]:
        tall = min(self.tall, p.given[1] - y)
        t = 0
        while t < self.tiles:
            wide = min(self.wide, self.tiles - t)
            plane, plane_e = (tall + self.lines - 1) * wide * p.channels, tall * wide * p.filters
            self.map(SLOPES, <float*>d + (y * p.given[2] + 2 * t) * p.filters, tall, p.given[2] * p.filters,
                     p.given[2] - 2 * t, p.filters, e, wide, plane_e, NULL)
            if learns:
                self.map(WINDOWS, <float*>x + (y * p.size[2] + 2 * t) * p.channels, tall + self.lines - 1,
                         p.size[2] * p.channels, p.size[2] - 2 * t, p.channels, v, wide, plane, NULL)
                for i in range(tall * wide):
                    addresses[i] = v + i * p.channels
                for k in range(4 * self.lines):
                    to = scratch + k * self.numbers
                    self.matmul_transposed_a(
                        addresses, k // self.lines * plane + k % self.lines * wide * p.channels,
                        e + k // self.lines * plane_e, p.filters, to if more else NULL, to, p.filters, p.channels,
                        p.filters, tall * wide, workspace)
                more = True
            if d_x != NULL:
                winograd_slopes(self, addresses, scratch + 4 * self.lines * self.numbers, workspace, e, tall, wide,
                                slopes)
                self.map(SPREAD, d_x + (y * p.size[2] + 2 * t) * p.channels, tall + self.lines - 1,
                         p.size[2] * p.channels, p.size[2] - 2 * t, p.channels, slopes, wide, plane, NULL)
            t += wide
        y += tall


cdef void winograd_slopes(const Winograd* self, const float** addresses, const float* turned, float* workspace,
                          const float* e, Py_ssize_t tall, Py_ssize_t wide, float* slopes) noexcept nogil:
    """Products of tiles of d and the kernel turned. A line gets what those before it give by the lines of the kernel,
    all of them but at the ends.
    """
    cdef const Patches* p = self.picture
    cdef Py_ssize_t firsts[MOST_LINES]
    cdef Py_ssize_t i, k, y, end, first, last, lines = tall + self.lines - 1
    for i in range(lines * wide):
        addresses[i] = e + i * p.filters
    for k in range(4):
        for i in range(self.lines):
            firsts[i] = (k * tall - i) * wide * p.filters
        y = 0
        while y < lines:
            first, last = max(0, y - tall + 1), min(self.lines, y + 1)
            end = tall if first == 0 and last == self.lines else y + 1
            self.matmul(addresses + y * wide, firsts + first, last - first,
                        turned + (k * self.lines + first) * self.numbers, p.channels, NULL,
                        slopes + (k * lines + y) * wide * p.channels, p.channels, (end - y) * wide, p.channels,
                        p.filters, workspace)
            y = end
