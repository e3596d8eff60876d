"""Convolution: pictures of up to three axes, each pixel some channels, met by a kernel at each of its places.

A patch, the pixels under the kernel, is the row of A of a multiply by the kernel, and is read where it lies: it is
some segments of a row, each a row of the kernel where its pixels are neighbours. Nothing is copied (no im2col). The
gradient by the picture is what each place gives, by the kernel turned, added to its patch; that by the kernel a product
of patches and d. It is found on the way back for each block of rows, whose patches and d are in cache then, and
`gradient` adds the blocks in their order: so no bit depends on threads. Few filters go by planes (planes.pxi), kernels
three pixels wide by tiles (winograd.pxi).
"""


cdef enum:
    ENOUGH = 6                              # rows of a multiply
    SLACK = 4                               # floats that copies of patches may read and write behind what there is


# picture, bytes of a number, where patches begin, where the picture does in them, patches, firsts, segments, bytes of
# each, out, bytes from one patch to the next
ctypedef void (*gather32)(
    const char*, Py_ssize_t, const float* const*, const float*, Py_ssize_t, const Py_ssize_t*, Py_ssize_t, Py_ssize_t,
    char*, Py_ssize_t) noexcept nogil


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
    cdef Py_ssize_t workspace
    cdef Patches ahead                      # of the picture
    cdef Planes planes
    cdef bint by_planes
    cdef Winograd winograd
    cdef bint has_tiles
    cdef bint by_winograd
    cdef bint floors                        # relu, as z is written: it is a
    cdef bint by_channel                    # some filters of its own for each channel
    cdef Py_ssize_t copies                  # so many
    cdef types.Window window                # of which
    cdef types.depthwise32 depthwise
    cdef types.segments32 matmul
    cdef types.gemm32 multiply
    cdef types.gemm32 multiply_packed
    cdef types.sum32 pack_turned
    cdef types.gemm32 matmul_transposed_a
    cdef types.sum32 column_sums
    cdef types.vector32 add
    cdef types.sum32 turned
    cdef list quantized                     # weights of each group, in place of W, or None
    cdef void** few                         # them
    cdef gather32 gather

    def __init__(self, size, kernel, Py_ssize_t channels, Py_ssize_t filters, stride=(1, 1, 1), dilation=(1, 1, 1),
                 Py_ssize_t groups=1, bint use_bias=True, activation=None, numbers=(), bint transposed=False):
        cdef Py_ssize_t taps[3]
        cdef Py_ssize_t gaps[3]
        cdef Patches* ahead = &self.ahead
        cdef int axis
        take(size, 1, ahead.size)
        take(kernel, 1, taps)
        take(stride, 1, ahead.stride)
        take(dilation, 1, gaps)
        if channels < 1 or filters < 1 or groups < 1 or channels % groups or filters % groups:
            raise ValueError(f"{groups} groups of {channels} channels and {filters} filters cannot be")
        find_places(ahead.size, taps, ahead.stride, gaps, ahead.given)
        if (product(ahead.size) * max(channels, filters) > LARGEST_PICTURE
                or product(taps) * channels * filters > LARGEST_PICTURE):
            raise ValueError(f"a kernel {kernel} of {channels} channels and {filters} filters is too large for {size}")
        ahead.channels, ahead.filters, ahead.groups = channels, filters, groups
        find_segments(ahead, taps, gaps)
        self.pixels, self.places = <Py_ssize_t>product(ahead.size), <Py_ssize_t>product(ahead.given)
        self.transposed, self.use_bias = transposed, use_bias
        if transposed:
            self.shape([(self.places, filters)], self.pixels, channels)
        else:
            self.shape([(self.pixels, channels)], self.places, filters)
        self.taps = <Py_ssize_t>product(taps)
        self.kernel_rows = self.taps * (channels // groups)
        self.kernel_size = self.kernel_rows * filters
        self.size = self.kernel_size + use_bias * self.width
        self.row_size = divisor(filters, self.width) if transposed else filters
        self.by_channel = groups == channels and channels > 1
        self.by_planes = (not transposed and groups == 1 and product(ahead.stride) == 1
                          and planes_begin(&self.planes, ahead, taps, gaps))
        self.has_tiles = not transposed and not self.by_planes and winograd_begin(&self.winograd, ahead, taps, gaps)
        self.take_products()
        self.copies = filters // channels if self.by_channel else 1
        for axis in range(3):
            self.window.size[axis], self.window.given[axis] = ahead.size[axis], ahead.given[axis]
            self.window.stride[axis], self.window.gap[axis] = ahead.stride[axis], gaps[axis]
            self.window.pool[axis] = taps[axis]
        self.window.channels = filters
        self.depthwise = <types.depthwise32>float32_of(kernels.depthwise, "depthwise")
        self.column_sums = <types.sum32>float32_of(kernels.column_sums, "sum")
        self.add = <types.vector32>float32_of(kernels.add, "vector")
        self.turned = <types.sum32>float32_of(kernels.turn, "sum")

    cdef int take_products(self) except -1:
        """Rounded there are no tiles: numbers that are sums would be rounded. Depthwise products stay as they are."""
        self.rounds &= not self.by_channel
        cdef Py_ssize_t depth = max(self.kernel_rows, self.taps * (self.ahead.filters // self.ahead.groups))
        self.workspace = padded(self.workspace_for(max(self.ahead.channels, self.ahead.filters), depth))
        self.by_winograd = self.has_tiles and not self.rounds and self.quantized is None
        self.floors = (self.by_planes or self.by_winograd) and self.kernel is kernels.relu
        self.find_place()
        self.matmul = <types.segments32>self.product_kernel("gemm_segments", "segments")
        self.multiply = <types.gemm32>self.product_kernel("gemm")
        self.multiply_packed = <types.gemm32>self.product_kernel("gemm_packed")
        self.pack_turned = <types.sum32>self.product_kernel("pack_turned", "sum")
        self.matmul_transposed_a = <types.gemm32>self.product_kernel("gemm_transposed_a")
        self.planes.round = <types.sum32>self.product_kernel("round", "sum") if self.rounds else NULL
        return 0

    cdef void find_place(self) noexcept:
        Activated.find_place(self)
        self.in_place = self.in_place and not self.floors

    def __dealloc__(self):
        free(self.ahead.firsts)
        free(self.planes.taps)
        free(self.few)

    def kernels(self):
        if type(self) is not ConvolutionOp or self.transposed or self.by_channel or self.kernel_rows > MOST_DEPTH:
            return ()
        return ((self.kernel_rows, self.ahead.filters),)

    def quantize(self, weights):
        cdef Py_ssize_t group
        self.quantized = weights[0].parts(*[self.ahead.filters // self.ahead.groups] * self.ahead.groups)
        self.gather = <gather32>float32_of(kernels.gather, "gather")
        free(self.few)
        self.few = <void**>malloc(self.ahead.groups * sizeof(void*))
        if self.few == NULL:
            raise MemoryError("no memory for a kernel's groups")
        for group, each in enumerate(self.quantized):
            self.few[group] = <void*>each
        self.by_planes = self.by_winograd = self.floors = False
        self.size = self.use_bias * self.width
        self.only_forward()

    cdef Py_ssize_t saved(self) noexcept:
        return 0 if self.floors else Activated.saved(self)

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Addresses of patches, the workspace of a multiply, the kernel turned; or planes; or wide rows.

        Quantised: addresses, what a picture is, it as the product takes it, and what this works in.
        """
        if self.quantized is not None:
            return ADDRESS_SPACE + 2 + self.inputs + 2 * SLACK + (<FewBits>self.few[0]).space()
        if self.copies > 1:
            return max(ADDRESS_SPACE + self.workspace, self.pixels * self.ahead.filters)
        return max(ADDRESS_SPACE + self.workspace + (
            winograd_scratch(&self.winograd) if self.by_winograd else padded(self.kernel_size)),
                   planes_scratch(&self.planes) if self.by_planes else 0)

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
        cdef float* scratch = step.scratch + ADDRESS_SPACE + self.workspace
        cdef Py_ssize_t row
        if self.few != NULL:
            self.few_bits(step, r0, r1)
        elif self.by_winograd:
            self.winograd.kernel(False, self.w, self.winograd.lines, self.winograd.numbers, scratch)
            for row in range(r0, r1):
                winograd_row(&self.winograd, <const float**>step.scratch, scratch, step.scratch + ADDRESS_SPACE,
                             self.reads.rows[row], bias, self.floors and not self.raw, self.z + row * self.units)
        elif self.by_planes:
            for row in range(r0, r1):
                planes_row(&self.planes, step.scratch, self.reads.rows[row], self.w, bias,
                           self.floors and not self.raw, self.z + row * self.units)
        elif self.by_channel:
            for row in range(r0, r1):
                self.depthwise(0, self.widened(step, self.reads.rows[row]), &self.window, self.w, bias,
                               self.z + row * self.units)
        elif self.transposed:
            self.turn(step)
            self.go_back(step, self.reads.rows + r0, r1 - r0, bias, self.z + r0 * self.units)
        else:
            self.correlate(step, &self.ahead, self.reads.rows, r0 * self.lines, r1 * self.lines, self.w, bias, self.z)
        self.activate(step, r0, r1)

    cdef void few_bits(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """Each picture as the product takes it, as bytes by its own range say; then copies of some places' patches."""
        cdef const Patches* p = &self.ahead
        cdef const float** places = <const float**>step.scratch
        cdef types.Int8Row* picture = <types.Int8Row*>(step.scratch + ADDRESS_SPACE)
        cdef char* prepared = <char*>(picture + 1)
        cdef types.Int8Row* rows = <types.Int8Row*>(step.scratch + ADDRESS_SPACE + 2 + self.inputs + SLACK)
        cdef char* patches = <char*>(rows + TOGETHER_AS_BYTES)
        cdef Py_ssize_t stride = (<FewBits>self.few[0]).stride, item = (<FewBits>self.few[0]).item
        cdef Py_ssize_t row, line, n, i, group, filters = p.filters // p.groups
        cdef const float* x
        cdef float* to
        memset(patches, 0, TOGETHER_AS_BYTES * stride)
        for row in range(r0, r1):
            x, line = self.reads.rows[row], 0
            (<FewBits>self.few[0]).prepare(x, self.inputs, prepared, self.inputs, picture)
            for i in range(TOGETHER_AS_BYTES):
                rows[i] = picture[0]
            while line < self.places:
                n = patches_of(p, &x, line, min(self.places, line + TOGETHER_AS_BYTES), places)
                for group in range(p.groups):
                    self.gather(prepared, item, places, x, n, p.firsts + group * p.segments, p.segments,
                                p.depth * item, patches, stride)
                    to = self.z + row * self.units + line * filters * p.groups + group * filters
                    (<FewBits>self.few[group]).product(
                        patches, rows, n, self.w + group * filters if self.use_bias else NULL, to, p.filters,
                        <float*>(patches + TOGETHER_AS_BYTES * stride) + SLACK)
                line += n

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row = r0, end
        cdef const float* d
        cdef float* part
        cdef float* d_x = NULL              # by tiles
        cdef float* scratch = step.scratch + ADDRESS_SPACE + self.workspace
        if self.floors and not self.raw:
            self.activation_backward(self.a + r0 * self.units, self.a + r0 * self.units, self.d + r0 * self.units,
                                     self.numbers.values, (r1 - r0) * self.lines, self.width)
        self.deactivate(step, r0, r1)
        if self.by_winograd and self.reads.d != NULL and self.ahead.channels >= BACK_CHANNELS:
            winograd_turn(&self.winograd, scratch, self.w)
            d_x = self.reads.d
        while self.parts != NULL and row < r1:
            end = min(row + self.block_rows, r1)
            part = self.parts + row // self.block_rows * padded(self.size)
            if self.by_winograd:
                self.tiles_back(step, row, end, d_x, part)
                self.bias_sums(row, end, 0, self.size - self.kernel_size, part)
            elif self.by_planes:
                planes_slopes(&self.planes, step.scratch, self.reads.rows + row, self.d + row * self.units, end - row,
                              self.use_bias and not self.rounds, part)
                if self.rounds:             # whose sums are of d as it is
                    self.bias_sums(row, end, 0, self.size - self.kernel_size, part)
            else:
                self.sums(step, row, end, 0, self.kernel_size, part)
                self.bias_sums(row, end, 0, self.size - self.kernel_size, part)
            row = end
        if self.reads.d == NULL:
            return
        if d_x != NULL:
            self.tiles_back(step, row, r1, d_x, NULL)
            return
        if not self.by_channel and not self.transposed:
            self.turn(step)
        for row in range(r0, r1):
            d = self.d + row * self.units
            if self.by_channel:
                self.slopes_by_channel(step, d, self.reads.d + row * self.inputs)
            elif self.transposed:
                self.correlate(step, &self.ahead, &d, 0, self.places, self.w, NULL, self.reads.d + row * self.inputs)
            else:
                self.go_back(step, &d, 1, NULL, self.reads.d + row * self.inputs)

    cdef void tiles_back(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1, float* d_x, float* part) noexcept nogil:
        """The way back of some rows, by tiles: the gradient by x, and that by the kernel; NULL: not wanted."""
        cdef float* scratch = step.scratch + ADDRESS_SPACE + self.workspace
        cdef Py_ssize_t row
        for row in range(r0, r1):
            winograd_back(&self.winograd, <const float**>step.scratch, scratch, step.scratch + ADDRESS_SPACE,
                          self.reads.rows[row], self.d + row * self.units, row > r0, part != NULL,
                          d_x + row * self.inputs if d_x != NULL else NULL)
        if part != NULL:
            self.winograd.kernel(True, part, self.winograd.lines, self.winograd.numbers, scratch)

    cdef const float* widened(self, const Step* step, const float* x) noexcept nogil:
        """A picture where each channel stands as often as it has filters."""
        cdef float* wide = step.scratch
        cdef Py_ssize_t i, k
        if self.copies == 1:
            return x
        for i in range(self.pixels * self.ahead.channels):
            for k in range(self.copies):
                wide[k] = x[i]
            wide += self.copies
        return step.scratch

    cdef void slopes_by_channel(self, const Step* step, const float* d, float* d_x) noexcept nogil:
        cdef float* wide = d_x if self.copies == 1 else step.scratch
        cdef Py_ssize_t i, k
        memset(wide, 0, self.pixels * self.ahead.filters * sizeof(float))
        self.depthwise(1, d, &self.window, self.w, d, wide)
        for i in range(self.inputs if self.copies > 1 else 0):
            d_x[i] = 0
            for k in range(self.copies):
                d_x[i] += wide[k]
            wide += self.copies

    cdef void turn(self, const Step* step) noexcept nogil:
        """The kernel with its filters as rows; in panels for each segment where it is rounded."""
        cdef Py_ssize_t group, k, depth = self.ahead.depth, filters = self.ahead.filters // self.ahead.groups
        cdef float* out = step.scratch + ADDRESS_SPACE + self.workspace
        if self.rounds:
            for group in range(self.ahead.groups):
                for k in range(self.ahead.segments):
                    self.pack_turned(self.w + k * depth * self.ahead.filters + group * filters, self.ahead.filters,
                                     depth, filters, out)
                    out += depth * filters
            return
        self.turned(self.w, self.ahead.filters, self.kernel_rows, self.ahead.filters,
                    step.scratch + ADDRESS_SPACE + self.workspace)

    cdef void go_back(self, const Step* step, const float* const* rows, Py_ssize_t count, const float* bias,
                      float* out) noexcept nogil:
        """Pictures of what places give: the gradient by them, of rows of d.

        A segment of a place's patch gets the product of the place's filters and the kernel turned. Those of places
        that lie so far apart that no two segments have a pixel in common are one multiply: places below one another,
        or where these are fewer, one in so many of a line.
        """
        cdef const Patches* p = &self.ahead
        cdef Py_ssize_t line = p.size[2] * p.channels, z, y, x, row
        cdef Py_ssize_t apart = (p.depth // (p.channels // p.groups) + p.stride[2] - 1) // p.stride[2]
        cdef Py_ssize_t across = p.given[2] // apart
        cdef bint down = across < ENOUGH and across < p.given[1]
        cdef Py_ssize_t lines = 1 if down else p.given[1], columns = p.given[2] if down else min(apart, p.given[2])
        cdef float* to
        for row in range(count):
            if bias == NULL:
                memset(out, 0, self.pixels * p.channels * sizeof(float))
            else:
                for x in range(self.pixels):
                    memcpy(out + x * p.channels, bias, p.channels * sizeof(float))
            for z in range(p.given[0]):
                for y in range(lines):
                    to = out + (z * p.stride[0] * p.size[1] + y * p.stride[1]) * line
                    for x in range(columns):
                        self.spread(step, rows[row] + (((z * p.given[1]) + y) * p.given[2] + x) * p.filters,
                                    p.given[2] if down else apart,
                                    p.given[1] if down else (p.given[2] - x + apart - 1) // apart,
                                    to + x * p.stride[2] * p.channels,
                                    p.stride[1] * line if down else apart * p.stride[2] * p.channels)
            out += self.pixels * p.channels

    cdef void spread(self, const Step* step, const float* d, Py_ssize_t apart, Py_ssize_t n, float* to,
                     Py_ssize_t pitch) noexcept nogil:
        """Add what n places give, so many lines of d apart, to their patches, which begin so many numbers apart."""
        cdef const Patches* p = &self.ahead
        cdef const float** addresses = <const float**>step.scratch
        cdef const float* turned = step.scratch + ADDRESS_SPACE + self.workspace
        cdef Py_ssize_t some, i, group, k, filters = p.filters // p.groups
        cdef float* c
        while n > 0:
            some = min(n, <Py_ssize_t>ADDRESSES)
            for i in range(some):
                addresses[i] = d
                d += apart * p.filters
            for group in range(p.groups):
                for k in range(p.segments):
                    c = to + p.firsts[group * p.segments + k]
                    if self.rounds:
                        self.multiply_packed(addresses, group * filters,
                                             turned + (group * p.segments + k) * p.depth * filters, 0, c, c, pitch,
                                             some, p.depth, filters, step.scratch + ADDRESS_SPACE)
                        continue
                    self.multiply(addresses, group * filters, turned + group * filters * self.kernel_rows + k * p.depth,
                                  self.kernel_rows, c, c, pitch, some, p.depth, filters, step.scratch + ADDRESS_SPACE)
            to += some * pitch
            n -= some

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
                self.depthwise(2, self.widened(step, self.reads.rows[row]), &self.window, self.w,
                               self.d + row * self.units, g)
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
