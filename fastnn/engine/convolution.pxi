"""Convolution: pictures of up to three axes, each pixel some channels, met by a kernel at each of its places.

A patch, the pixels under the kernel, is the row of A of a multiply by the kernel, and is read where it lies: it is
some segments of a row, each a row of the kernel where its pixels are neighbours. Nothing is copied (no im2col). The
gradient by the picture is a convolution of d, spread and with zeros around it, by the kernel turned round; that by the
kernel a product of patches and d. It is found on the way back for each block of rows, whose patches and d are in cache
then, and `gradient` adds the blocks in their order: so no bit depends on threads.
"""


cdef Py_ssize_t LARGEST = 2**31          # numbers in a picture, in a kernel


cdef struct Patches:
    # What a kernel meets: at each of `given` places, segments of `depth` numbers, of each group of channels.
    Py_ssize_t size[3]                  # of the picture
    Py_ssize_t given[3]
    Py_ssize_t stride[3]
    Py_ssize_t channels
    Py_ssize_t filters
    Py_ssize_t groups
    Py_ssize_t segments
    Py_ssize_t depth
    Py_ssize_t* firsts                  # where each segment begins, behind where the patch does; of each group


cdef int take(values, Py_ssize_t least, Py_ssize_t* out) except -1:
    """Three whole numbers of at least `least`, one for each axis."""
    cdef int axis
    out[0], out[1], out[2] = values
    for axis in range(3):
        if not least <= out[axis] < LARGEST:
            raise ValueError(f"{values} cannot be sizes of three axes")
    return 0


cdef Py_ssize_t divisor(Py_ssize_t a, Py_ssize_t b) noexcept:
    """The greatest of both."""
    while b:
        a, b = b, a % b
    return a


cdef double product(const Py_ssize_t* sizes) noexcept:
    return <double>sizes[0] * sizes[1] * sizes[2]


cdef int find_places(const Py_ssize_t* size, const Py_ssize_t* kernel, const Py_ssize_t* stride,
                     const Py_ssize_t* dilation, Py_ssize_t* given) except -1:
    """Places of a kernel along each axis of a picture."""
    cdef Py_ssize_t rest
    cdef int axis
    for axis in range(3):
        rest = size[axis] - 1 - (kernel[axis] - 1) * dilation[axis]
        if rest < 0:
            raise ValueError(f"a kernel of {kernel[axis]} has no place along an axis of {size[axis]}")
        given[axis] = rest // stride[axis] + 1
    return 0


cdef int find_segments(Patches* p, const Py_ssize_t* kernel, const Py_ssize_t* dilation) except -1:
    """Where the segments of a patch begin."""
    cdef Py_ssize_t group, z, y, x, k = 0, channels = p.channels // p.groups
    cdef Py_ssize_t pixels = kernel[2] if p.groups == 1 and dilation[2] == 1 else 1     # of a segment
    p.segments, p.depth = kernel[0] * kernel[1] * (kernel[2] // pixels), pixels * channels
    p.firsts = <Py_ssize_t*>calloc(p.groups * p.segments, sizeof(Py_ssize_t))
    if p.firsts == NULL:
        raise MemoryError("no memory for the places of a kernel")
    for group in range(p.groups):
        for z in range(kernel[0]):
            for y in range(kernel[1]):
                for x in range(kernel[2] // pixels):
                    p.firsts[k] = ((z * dilation[0] * p.size[1] + y * dilation[1]) * p.size[2] + x * dilation[2]) \
                        * p.channels + group * channels
                    k += 1
    return 0


cdef Py_ssize_t patches_of(const Patches* p, const float* const* rows, Py_ssize_t line, Py_ssize_t end,
                           const float** addresses) noexcept nogil:
    """Addresses of the patches from number `line` on, up to `end` or ADDRESSES of them; gives how many they are."""
    cdef Py_ssize_t n = min(end - line, <Py_ssize_t>ADDRESSES), i
    cdef Py_ssize_t x = line % p.given[2], y = line // p.given[2]
    cdef Py_ssize_t z = y // p.given[1], row = z // p.given[0]
    y, z = y % p.given[1], z % p.given[0]
    for i in range(n):
        addresses[i] = rows[row] + (
            (z * p.stride[0] * p.size[1] + y * p.stride[1]) * p.size[2] + x * p.stride[2]) * p.channels
        x += 1
        if x == p.given[2]:
            x, y = 0, y + 1
            if y == p.given[1]:
                y, z = 0, z + 1
                if z == p.given[0]:
                    z, row = 0, row + 1
    return n


cdef class ConvolutionOp(Activated):
    """z = patches . W + b, a = f(z), for each place of the kernel. size, kernel, stride and dilation have 3 axes.

    Parameters: W, (*kernel, channels / groups, filters), then b. A group of filters sees a group of channels.
    transposed: z is what the gradient by the picture of that convolution would be, of x in place of d; `size` and
    `channels` are those of z then.
    """

    cdef readonly bint use_bias
    cdef readonly bint transposed
    cdef readonly Py_ssize_t kernel_rows    # of W, as a matrix of `filters` columns
    cdef Py_ssize_t kernel_size
    cdef Py_ssize_t taps
    cdef Py_ssize_t pixels                  # of the picture
    cdef Py_ssize_t places
    cdef Py_ssize_t room                    # numbers of that, as it is spread
    cdef Py_ssize_t workspace
    cdef bint spreads                       # it is not met as it lies
    cdef Patches ahead                      # of the picture
    cdef Patches back                       # of what its places give, spread
    cdef Py_ssize_t border[3]
    cdef bint by_channel                    # a filter for each channel
    cdef types.Window window                # of which
    cdef types.depthwise32 depthwise
    cdef types.segments32 matmul
    cdef types.gemm32 matmul_transposed_a
    cdef types.sum32 column_sums
    cdef types.vector32 add

    def __init__(self, size, kernel, Py_ssize_t channels, Py_ssize_t filters, stride=(1, 1, 1), dilation=(1, 1, 1),
                 Py_ssize_t groups=1, bint use_bias=True, activation=None, numbers=(), bint transposed=False):
        cdef Py_ssize_t taps[3]
        cdef Py_ssize_t gaps[3]
        cdef Patches* ahead = &self.ahead
        cdef Patches* back = &self.back
        cdef int axis
        take(size, 1, ahead.size)
        take(kernel, 1, taps)
        take(stride, 1, ahead.stride)
        take(dilation, 1, gaps)
        if channels < 1 or filters < 1 or groups < 1 or channels % groups or filters % groups:
            raise ValueError(f"{groups} groups of {channels} channels and {filters} filters cannot be")
        find_places(ahead.size, taps, ahead.stride, gaps, ahead.given)
        for axis in range(3):
            self.border[axis] = (taps[axis] - 1) * gaps[axis]
            back.size[axis], back.given[axis] = ahead.size[axis] + self.border[axis], ahead.size[axis]
            back.stride[axis] = 1
            self.spreads |= back.size[axis] != ahead.given[axis]
        if (product(back.size) * max(channels, filters) > LARGEST
                or product(taps) * channels * filters > LARGEST):
            raise ValueError(f"a kernel {kernel} of {channels} channels and {filters} filters is too large for {size}")
        ahead.channels = back.filters = channels
        ahead.filters = back.channels = filters
        ahead.groups = back.groups = groups
        find_segments(ahead, taps, gaps)
        find_segments(back, taps, gaps)
        self.pixels, self.places = <Py_ssize_t>product(ahead.size), <Py_ssize_t>product(ahead.given)
        self.transposed, self.use_bias = transposed, use_bias
        if transposed:
            self.shape([(self.places, filters)], self.pixels, channels)
        else:
            self.shape([(self.pixels, channels)], self.places, filters)
        self.room = <Py_ssize_t>product(back.size) * filters if self.spreads else 0
        self.taps = <Py_ssize_t>product(taps)
        self.kernel_rows = self.taps * (channels // groups)
        self.kernel_size = self.kernel_rows * filters
        self.size = self.kernel_size + use_bias * self.width
        self.row_size = divisor(filters, self.width) if transposed else filters
        self.workspace = padded(workspace_elements(max(channels, filters),
                                                   max(self.kernel_rows, self.taps * (filters // groups))))
        self.by_channel = groups == channels == filters and channels > 1
        for axis in range(3):
            self.window.size[axis], self.window.given[axis] = ahead.size[axis], ahead.given[axis]
            self.window.stride[axis], self.window.gap[axis] = ahead.stride[axis], gaps[axis]
            self.window.pool[axis] = taps[axis]
        self.window.channels = channels
        self.depthwise = <types.depthwise32>float32_of(kernels.depthwise, "depthwise")
        self.matmul = <types.segments32>float32_of(kernels.gemm_segments, "segments")
        self.matmul_transposed_a = <types.gemm32>float32_of(kernels.gemm_transposed_a, "gemm")
        self.column_sums = <types.sum32>float32_of(kernels.column_sums, "sum")
        self.add = <types.vector32>float32_of(kernels.add, "vector")

    def __dealloc__(self):
        free(self.ahead.firsts)
        free(self.back.firsts)

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Addresses of patches, the workspace of a multiply, the kernel turned round, d as it is spread."""
        return ADDRESS_SPACE + self.workspace + padded(self.kernel_size) + self.room

    cdef Py_ssize_t partials(self) noexcept:
        """A gradient for each block of rows, where that takes no more than the rows themselves."""
        return self.size if self.size <= self.block_rows * (self.inputs + self.units) else 0

    cdef double work_of_row(self) noexcept:
        return 2.0 * self.places * self.kernel_size + UNIT_WORK * self.units

    cdef double work_of_gradient(self) noexcept:
        return 1.0 / self.block_rows if self.partials() else 2.0 * self.places

    cdef void correlate(self, const Step* step, const Patches* p, const float* const* rows, Py_ssize_t line,
                        Py_ssize_t end, const float* w, const float* bias, float* out) noexcept nogil:
        """The kernel's products with patches line:end; `out` is where the first row's begin."""
        cdef const float** addresses = <const float**>step.scratch
        cdef Py_ssize_t n, group, first, filters = p.filters // p.groups
        while line < end:
            n = patches_of(p, rows, line, end, addresses)
            for group in range(p.groups):
                first = group * filters
                self.matmul(addresses, p.firsts + group * p.segments, p.segments, w + first, p.filters,
                            bias + first if bias != NULL else NULL, out + line * p.filters + first, p.filters, n,
                            filters, p.depth, step.scratch + ADDRESS_SPACE)
            line += n

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* bias = self.w + self.kernel_size if self.use_bias else NULL
        cdef Py_ssize_t row
        if self.by_channel:
            for row in range(r0, r1):
                self.depthwise(0, self.reads.rows[row], &self.window, self.w, bias, self.z + row * self.units)
        elif self.transposed:
            self.turn(step)
            self.go_back(step, self.reads.rows + r0, r1 - r0, bias, self.z + r0 * self.units)
        else:
            self.correlate(step, &self.ahead, self.reads.rows, r0 * self.lines, r1 * self.lines, self.w, bias, self.z)
        self.activate(r0, r1)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row = r0, end
        cdef const float* d
        cdef float* part
        self.deactivate(r0, r1)
        while self.parts != NULL and row < r1:
            end = min(row + self.block_rows, r1)
            part = self.parts + row // self.block_rows * padded(self.size)
            self.sums(step, row, end, 0, self.kernel_size, part)
            self.bias_sums(row, end, 0, self.size - self.kernel_size, part)
            row = end
        if self.reads.d == NULL:
            return
        if self.by_channel:
            memset(self.reads.d + r0 * self.inputs, 0, (r1 - r0) * self.inputs * sizeof(float))
        elif not self.transposed:
            self.turn(step)
        for row in range(r0, r1):
            d = self.d + row * self.units
            if self.by_channel:
                self.depthwise(1, d, &self.window, self.w, d, self.reads.d + row * self.inputs)
            elif self.transposed:
                self.correlate(step, &self.ahead, &d, 0, self.places, self.w, NULL, self.reads.d + row * self.inputs)
            else:
                self.go_back(step, &d, 1, NULL, self.reads.d + row * self.inputs)

    cdef void turn(self, const Step* step) noexcept nogil:
        """The kernel as the way back meets it: its places from the last to the first, filters and channels exchanged;
        and zeros where numbers will be spread."""
        cdef Py_ssize_t tap, c, f, group, filters = self.ahead.filters // self.ahead.groups
        cdef Py_ssize_t channels = self.ahead.channels // self.ahead.groups, width = self.ahead.filters
        cdef float* turned = step.scratch + ADDRESS_SPACE + self.workspace
        cdef const float* w
        cdef float* to
        memset(turned + padded(self.kernel_size), 0, self.room * sizeof(float))
        for tap in range(self.taps):
            w = self.w + tap * channels * width
            for group in range(self.ahead.groups):
                for f in range(filters):
                    to = turned + ((self.taps - 1 - tap) * filters + f) * self.ahead.channels + group * channels
                    for c in range(channels):
                        to[c] = w[c * width + group * filters + f]

    cdef void go_back(self, const Step* step, const float* const* rows, Py_ssize_t count, const float* bias,
                      float* out) noexcept nogil:
        """Pictures of what places give: the gradient by them, of rows of d."""
        cdef float* turned = step.scratch + ADDRESS_SPACE + self.workspace
        cdef float* room = turned + padded(self.kernel_size)
        cdef const float* row
        cdef Py_ssize_t i
        for i in range(count):
            row = rows[i]
            if self.spreads:
                self.spread(row, room)
                row = room
            self.correlate(step, &self.back, &row, 0, self.pixels, turned, bias, out)
            out += self.pixels * self.ahead.channels

    cdef void spread(self, const float* d, float* room) noexcept nogil:
        """Put a row where its numbers have zeros around them, and between them those that a stride skips."""
        cdef Py_ssize_t z, y, _x, f, n = self.ahead.filters
        cdef float* to
        for z in range(self.ahead.given[0]):
            for y in range(self.ahead.given[1]):
                to = room + (((z * self.ahead.stride[0] + self.border[0]) * self.back.size[1]
                              + y * self.ahead.stride[1] + self.border[1]) * self.back.size[2] + self.border[2]) * n
                if self.ahead.stride[2] == 1:
                    memcpy(to, d, self.ahead.given[2] * n * sizeof(float))
                    d += self.ahead.given[2] * n
                    continue
                for _x in range(self.ahead.given[2]):
                    for f in range(n):
                        to[f] = d[f]
                    to += self.ahead.stride[2] * n
                    d += n

    cdef void bias_sums(self, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t first, Py_ssize_t last,
                        float* g) noexcept nogil:
        """Numbers first:last of the bias's gradient, from rows r0:r1."""
        if first < last:
            self.column_sums(self.d + r0 * self.units + first, self.width, (r1 - r0) * self.lines, last - first,
                             g + self.kernel_size + first)

    cdef void sums(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t p0, Py_ssize_t p1,
                   float* g) noexcept nogil:
        """Numbers p0:p1 of the kernel's gradient, from rows r0:r1: whole rows of the kernel, or a part of one."""
        cdef Py_ssize_t row, first, last, start, stop, width = self.ahead.filters
        cdef const float* picture
        if self.by_channel and p1 - p0 == self.kernel_size:
            memset(g, 0, self.kernel_size * sizeof(float))
            for row in range(r0, r1):
                self.depthwise(2, self.reads.rows[row], &self.window, self.w, self.d + row * self.units, g)
            return
        while p0 < p1:
            first, start = p0 // width, p0 % width
            last, stop = (p1 // width, width) if start == 0 and p1 // width > first else (
                first + 1, min(width, p1 - first * width))
            if not self.transposed:
                self.products(step, self.reads.rows, self.d, r0 * self.places, r1 * self.places, first, last, start,
                              stop, False, g)
            else:
                for row in range(r0, r1):
                    picture = self.d + row * self.units
                    self.products(step, &picture, self.reads.rows[row], 0, self.places, first, last, start, stop,
                                  row > r0, g)
            p0 = last * width if stop == width else first * width + stop

    cdef void products(self, const Step* step, const float* const* rows, const float* given, Py_ssize_t line,
                       Py_ssize_t end, Py_ssize_t first, Py_ssize_t last, Py_ssize_t start, Py_ssize_t stop, bint more,
                       float* g) noexcept nogil:
        """Of patches line:end with what is given at their places; `more`: added to what is there.

        For rows first:last of the kernel and columns start:stop of them.
        """
        cdef const Patches* p = &self.ahead
        cdef const float** addresses = <const float**>step.scratch
        cdef Py_ssize_t n, group, k, row, behind, width = p.filters, columns = min(stop - start, width // p.groups)
        cdef float* to
        while line < end:
            n = patches_of(p, rows, line, end, addresses)
            row = first
            while row < last:
                k = row // p.depth
                behind = min(last, (k + 1) * p.depth)
                for group in range(p.groups):
                    to = g + row * width + start + group * columns
                    self.matmul_transposed_a(
                        addresses, p.firsts[group * p.segments + k] + row - k * p.depth,
                        given + line * width + start + group * columns, width, to if more else NULL, to, width,
                        behind - row, columns, n, step.scratch + ADDRESS_SPACE)
                row = behind
            line += n
            more = True

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        cdef Py_ssize_t block, rows = step.rows * self.slices, end = self.kernel_size
        cdef const float* part = self.parts + p0
        if self.parts == NULL:
            self.sums(step, 0, rows, p0, min(p1, end), self.g)
            self.bias_sums(0, rows, max(p0 - end, 0), p1 - end, self.g)
            return
        memcpy(self.g + p0, part, (p1 - p0) * sizeof(float))
        for block in range(1, (rows + self.block_rows - 1) // self.block_rows):
            self.add(self.g + p0, <float*>part + block * padded(self.size), p1 - p0, 0)


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
        if product(w.size) * channels > LARGEST:
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
        if product(self.given) * channels > LARGEST:
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
