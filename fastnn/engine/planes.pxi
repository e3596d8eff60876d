"""Convolution by few filters, whose pixels fill vectors better than they do.

A picture is laid out by planes, one of each channel, where a tap of the kernel meets pixels side by side. A row's
planes, those of what its places give, and a gradient's sums lie in the scratch of the thread. Additions come in the
order that patches have them.
"""


cdef struct Planes:
    const Patches* picture
    Py_ssize_t lanes                        # of a vector; 0 where there are no kernels for it
    Py_ssize_t numbers                      # of a plane that is given: lines as long as the picture's, whole tiles
    Py_ssize_t plane                        # of one of x
    Py_ssize_t depth
    Py_ssize_t* taps                        # where each row of W meets the first place; then a plane of ones
    types.planes_forward32 forward
    types.planes_gradient32 gradient
    types.planes_turn32 turn
    types.sum32 round                       # what is multiplied is rounded first, or NULL


cdef bint planes_begin(Planes* self, const Patches* p, const Py_ssize_t* kernel, const Py_ssize_t* dilation) except -1:
    """Whether it pays: vectors of pixels are fuller than those of filters, and the sums stay near."""
    cdef Py_ssize_t z, y, x, c, k = 0, tile
    self.lanes, self.picture = kernels.planes.variant, p
    if self.lanes == 0:
        return False
    tile = 3 * self.lanes
    self.numbers = ((p.given[0] - 1) * p.size[1] + p.given[1] - 1) * p.size[2] + p.given[2]
    self.numbers = (self.numbers + tile - 1) // tile * tile
    self.plane = <Py_ssize_t>product(p.size) // 32 * 32 + 48    # planes a power of two apart push one another out
    self.depth = <Py_ssize_t>product(kernel) * p.channels
    if (product(p.given) * ((p.filters + self.lanes - 1) // self.lanes * self.lanes)
            <= <double>p.filters * self.numbers or planes_sums(self) > 2**17):
        return False
    self.forward = <types.planes_forward32>float32_of(kernels.planes, "planes", FORWARD)
    self.gradient = <types.planes_gradient32>float32_of(kernels.planes, "planes", BACKWARD)
    self.turn = <types.planes_turn32>float32_of(kernels.planes, "planes", GRADIENT)
    self.taps = <Py_ssize_t*>calloc(self.depth + 1, sizeof(Py_ssize_t))
    if self.taps == NULL:
        raise MemoryError("no memory for the places of a kernel")
    for z in range(kernel[0]):
        for y in range(kernel[1]):
            for x in range(kernel[2]):
                for c in range(p.channels):
                    self.taps[k] = c * self.plane + (
                        z * dilation[0] * p.size[1] + y * dilation[1]) * p.size[2] + x * dilation[2]
                    k += 1
    self.taps[k] = planes_end(self)
    return True


cdef Py_ssize_t planes_end(const Planes* self) noexcept nogil:
    """What the planes of x take: behind them the last taps read over their end."""
    return padded(self.picture.channels * self.plane + self.numbers)


cdef Py_ssize_t planes_sums(const Planes* self) noexcept nogil:
    return (self.depth + 1) * self.picture.filters * self.lanes


cdef Py_ssize_t planes_scratch(const Planes* self) noexcept nogil:
    """Planes of x, of ones, of d or what is given; the sums."""
    return planes_end(self) + padded((self.picture.filters + 1) * self.numbers) + planes_sums(self)


cdef void planes_lay(const Planes* self, bint to_planes, float* x, float* planes) noexcept nogil:
    """What places give, and the planes of it: one from the other."""
    cdef const Patches* p = self.picture
    cdef Py_ssize_t z
    for z in range(p.given[0]):
        self.turn(to_planes, x + z * p.given[1] * p.given[2] * p.filters, p.filters, p.given[1], p.given[2],
                  planes + z * p.size[1] * p.size[2], p.size[2], self.numbers)


cdef void planes_row(const Planes* self, float* scratch, const float* x, const float* w, const float* bias,
                     bint floors, float* z) noexcept nogil:
    """The way forward of a row; floors: by relu, too."""
    cdef float* out = scratch + planes_end(self)
    self.turn(True, <float*>x, self.picture.channels, 1, <Py_ssize_t>product(self.picture.size), scratch, 0, self.plane)
    if self.round != NULL:
        self.round(scratch, planes_end(self), 1, planes_end(self), scratch)
        self.round(w, 0, 1, self.depth * self.picture.filters, out + padded((self.picture.filters + 1) * self.numbers))
        w = out + padded((self.picture.filters + 1) * self.numbers)
    self.forward(scratch, self.taps, self.depth, w, self.picture.filters, bias, floors, out, self.numbers)
    planes_lay(self, False, z, out)


cdef void planes_slopes(const Planes* self, float* scratch, const float* const* rows, const float* d, Py_ssize_t count,
                        bint use_bias, float* g) noexcept nogil:
    """The gradient from some rows. The bias is a tap more, of ones; what is no place's has no slope."""
    cdef const Patches* p = self.picture
    cdef float* ones = scratch + planes_end(self)
    cdef float* slopes = ones + self.numbers
    cdef float* sums = ones + padded((p.filters + 1) * self.numbers)
    cdef Py_ssize_t i, depth = self.depth + use_bias, given = <Py_ssize_t>product(p.given) * p.filters
    memset(scratch, 0, planes_scratch(self) * sizeof(float))
    for i in range(self.numbers):
        ones[i] = 1
    for i in range(count):
        self.turn(True, <float*>rows[i], p.channels, 1, <Py_ssize_t>product(p.size), scratch, 0, self.plane)
        planes_lay(self, True, <float*>d + i * given, slopes)
        if self.round != NULL:
            self.round(scratch, planes_end(self), 1, planes_end(self), scratch)
            self.round(slopes, 0, 1, p.filters * self.numbers, slopes)
        self.gradient(scratch, self.taps, depth, slopes, p.filters, sums, g, self.numbers)
    self.gradient(NULL, self.taps, depth, NULL, p.filters, sums, g, self.numbers)
