"""Dense: a multiply for each line."""

cdef enum:
    # From so many columns and parameters on threads may share a layer's columns.
    WIDE_ENOUGH = 128
    SHARED = 65536


cdef class DenseOp(Activated):
    """z = x.W + b, a = f(z), for each line. Parameters: W row by row, (inputs, units), then b, (units,).

    inputs, units: numbers in a line of x and of a; lines: how many a row has.
    """

    def __init__(self, Py_ssize_t inputs, Py_ssize_t units, bint use_bias=True, activation=None, numbers=(),
                 Py_ssize_t lines=1):
        if inputs < 1 or units < 1 or units > LARGEST // (inputs + 1):
            raise ValueError(f"a dense op of {inputs} inputs and {units} units cannot be")
        self.shape([(lines, inputs)], lines, units)
        self.use_bias = use_bias
        self.size = (inputs + use_bias) * units
        self.row_size = units
        self.column_sums = <types.sum32>float32_of(kernels.column_sums, "sum")
        self.know_rows()
        self.largest = <types.vector32>float32_of(kernels.largest, "vector")
        self.multiply_sparse = <types.sparse_forward32>float32_of(kernels.sparse, "sparse", FORWARD)
        self.gradient_of_sparse = <types.sparse_gradient32>float32_of(kernels.sparse, "sparse", BACKWARD)
        self.gradient_of_items = <types.sparse_items32>float32_of(kernels.sparse, "sparse", GRADIENT)
        self.take_products()

    cdef int take_products(self) except -1:
        self.matmul = <types.gemm32>self.product_kernel("gemm")
        self.matmul_transposed_a = <types.gemm32>self.product_kernel("gemm_transposed_a")
        self.matmul_transposed_b = <types.gemm32>self.product_kernel("gemm_transposed_b")
        self.reads_sparse = type(self) is DenseOp and self.lines == 1 and not self.rounds
        self.shares_columns = type(self) is DenseOp and self.width >= WIDE_ENOUGH and self.size >= SHARED \
            and not self.rounds
        return 0

    def kernels(self):
        return () if type(self) is not DenseOp or self.reads.width > MOST_DEPTH else ((self.reads.width, self.width),)

    def quantize(self, weights):
        self.quantized, = weights[0].parts(self.width)
        self.size = self.use_bias * self.width
        self.knows_rows = self.reads_sparse = self.shares_columns = False
        self.only_forward()

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Addresses of lines, then the workspace of a multiply; of sparse rows, a part of the gradient."""
        if self.reads.sparse:
            return self.width << self.part_shift()
        if self.quantized is not None:
            return ADDRESS_SPACE + self.quantized.space()
        return ADDRESS_SPACE + self.workspace_for(self.width, max(self.reads.width, self.width))

    cdef double work_of_row(self) noexcept:
        return 2.0 * self.lines * self.reads.width * self.width + UNIT_WORK * self.units

    cdef double work_of_gradient(self) noexcept:
        return 2.0 * self.lines

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t n, line = r0 * self.lines, end = r1 * self.lines, inputs = self.reads.width, units = self.width
        cdef const float* bias = self.w + inputs * units if self.use_bias else NULL
        cdef const float* const* x
        if self.quantized is not None:
            bias = self.w if self.use_bias else NULL
        if self.reads.sparse:
            self.multiply_sparse(<const types.Entries* const*>(self.reads.rows + line), end - line, inputs, self.w,
                                 units, bias, self.z + line * units)
            line = end
        while line < end:
            n = lines_of(self.reads, line, end, <const float**>step.scratch, &x)
            if self.quantized is not None:
                self.quantized.multiply(x, 0, n, bias, self.z + line * units, units, step.scratch + ADDRESS_SPACE)
                line += n
                continue
            self.matmul(x, 0, self.w, units, bias, self.z + line * units, units, n, units, inputs,
                        step.scratch + ADDRESS_SPACE)
            line += n
        self.activate(step, r0, r1)

    cdef void forward_columns(self, const Step* step, Py_ssize_t rows, Py_ssize_t c0, Py_ssize_t c1) noexcept nogil:
        cdef Py_ssize_t n, line = 0, end = rows * self.lines, units = self.width
        cdef const float* bias = self.w + self.reads.width * units + c0 if self.use_bias else NULL
        cdef const float* const* x
        while line < end and c0 < c1:
            n = lines_of(self.reads, line, end, <const float**>step.scratch, &x)
            self.matmul(x, 0, self.w + c0, units, bias, self.z + line * units + c0, units, n, c1 - c0,
                        self.reads.width, step.scratch + ADDRESS_SPACE)
            line += n
        if not (self.of_lines or self.raw) and (self.a != self.z or self.in_place) and c0 < c1:
            for line in range(end):
                self.activation_forward(self.z + line * units + c0, self.a + line * units + c0, self.numbers.values, 1,
                                        c1 - c0)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t n, line = r0 * self.lines, end = r1 * self.lines, inputs = self.reads.width, units = self.width
        cdef const float** addresses = <const float**>step.scratch
        cdef float* workspace = step.scratch + ADDRESS_SPACE
        self.deactivate(step, r0, r1)
        if self.reads.d == NULL:
            return
        if step.rows * self.slices * self.lines == 1 and units >= NARROW_LAYER:
            # W.d for the only line: turning W would cost more than the rest.
            line = 0
            while line < inputs:
                n = lines_of_block(self.w, units, line, inputs, addresses)
                self.matmul(addresses, 0, self.d, 1, NULL, self.reads.d + line, 1, n, 1, units, workspace)
                line += n
            return
        while line < end:
            n = lines_of_block(self.d, units, line, end, addresses)
            self.matmul_transposed_b(addresses, 0, self.w, units, NULL, self.reads.d + line * inputs, inputs, n, inputs,
                                     units, workspace)
            line += n

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        # The bias is row number `inputs` of the parameters.
        cdef Py_ssize_t inputs = self.reads.width, units = self.width, lines = step.rows * self.slices * self.lines
        cdef Py_ssize_t first = p0 // units if p0 else 0, line = 0, n
        cdef Py_ssize_t last = p1 // units if p1 < self.size else inputs + self.use_bias, end = min(last, inputs)
        cdef float* g = self.g + first * units
        cdef const float* const* x
        if self.reads.sparse and first < end:
            self.gradient_of_sparse(<const types.Entries* const*>self.reads.rows, lines, first, end, self.d, units, g)
            line = lines
        while first < end and line < lines:
            n = lines_of(self.reads, line, lines, <const float**>step.scratch, &x)
            self.matmul_transposed_a(x, first, self.d + line * units, units, g if line else NULL, g, units, end - first,
                                     units, n, step.scratch + ADDRESS_SPACE)
            line += n
        if last > inputs:
            self.column_sums(self.d, units, lines, units, self.g + inputs * units)

    # Of sparse rows: a number of the gradient for each of W, though most are 0, would be as much to write and to read
    # again as all else in a step. Where it is certain that all are finite, each part of it is made as it is needed.

    def __dealloc__(self):
        free(self.items)
        free(self.item_ends)

    cdef double gradient_bound(self, const Step* step) noexcept nogil:
        cdef Py_ssize_t row, items = 0
        cdef const types.Entries* entries
        cdef double total = 0
        for row in range(step.rows):
            entries = <const types.Entries*>self.reads.rows[row]
            items += entries.count
            if entries.count:
                total += (self.largest(<float*>entries.values, NULL, entries.count, 0)
                          * self.largest(self.d + row * self.width, NULL, self.width, 0))
        return total if items <= self.most_items else HUGE_VAL

    cdef int reserve_late(self, int threads, Py_ssize_t items) except -1:
        if threads > self.most_threads or items > self.most_items:
            free(self.items)
            free(self.item_ends)
            self.most_threads, self.most_items = threads, items
            self.items = <types.Item*>malloc(threads * (items + 1) * sizeof(types.Item))
            self.item_ends = <Py_ssize_t*>malloc(threads * self.ends_of_thread() * sizeof(Py_ssize_t))
            if self.items == NULL or self.item_ends == NULL:
                self.most_threads = 0
                raise MemoryError(f"no memory for a batch of {items} numbers; make batch_size smaller")
        return 0

    cdef int part_shift(self) noexcept nogil:
        """Rows of W in a part, as a power of two: whole cache lines, and a gradient that stays near."""
        cdef int shift = 4
        while (2 << shift) * self.width <= LATE_PART:
            shift += 1
        return shift

    cdef Py_ssize_t ends_of_thread(self) noexcept nogil:
        return (self.reads.width >> self.part_shift()) + 3

    cdef Py_ssize_t begin_late(self, const Step* step, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        # Counted, then put where they belong: in each part they keep the order of the rows.
        cdef int shift = self.part_shift()
        cdef Py_ssize_t n = self.ends_of_thread(), row, i, begin, way
        cdef Py_ssize_t* ends = self.item_ends + step.thread * n
        cdef types.Item* items = self.items + step.thread * self.most_items
        cdef types.Item* to
        cdef const types.Entries* entries
        memset(ends, 0, n * sizeof(Py_ssize_t))
        for way in range(2):
            for row in range(step.rows):
                entries = <const types.Entries*>self.reads.rows[row]
                i, begin = 0, entries.start + first
                if first:
                    i = types.first_entry(entries.columns, entries.count, begin)
                while i < entries.count and entries.columns[i] < entries.start + last:
                    if way == 0:
                        ends[((entries.columns[i] - begin) >> shift) + 2] += 1
                    else:
                        to = items + ends[((entries.columns[i] - begin) >> shift) + 1]
                        ends[((entries.columns[i] - begin) >> shift) + 1] += 1
                        to.row, to.value = <int32_t>row, entries.values[i]
                        to.column = <int32_t>((entries.columns[i] - begin) & ((1 << shift) - 1))
                    i += 1
            if way == 0:
                for i in range(2, n):
                    ends[i] += ends[i - 1]
        return 1 << shift

    cdef void late_gradient(self, const Step* step, Py_ssize_t part, Py_ssize_t rows, float* g) noexcept nogil:
        cdef Py_ssize_t* ends = self.item_ends + step.thread * self.ends_of_thread() + part
        memset(g, 0, rows * self.width * sizeof(float))
        self.gradient_of_items(self.items + step.thread * self.most_items + ends[0], ends[1] - ends[0], self.d,
                               self.width, g)

    cdef void row_squares(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1, double* squares) noexcept nogil:
        # |sum of x d^T|^2 over a row's lines is the sum over pairs of them of (x.x') (d.d'); the bias has an x of 1.
        cdef Py_ssize_t row, i, j, lines = self.lines, n = self.slices * lines, inputs = self.reads.width
        cdef float* d
        cdef float* x
        cdef float* other
        cdef double pairs
        for row in range(r0, r1):
            for i in range(row * n, row * n + n):
                pairs, d = 0, self.d + i * self.width
                x = <float*>self.reads.rows[i // lines] + i % lines * inputs
                for j in range(row * n, i + 1):
                    other = <float*>self.reads.rows[j // lines] + j % lines * inputs
                    pairs += ((1 + (j < i)) * (self.use_bias + self.dot(x, other, inputs, 0))
                              * self.dot(d, self.d + j * self.width, self.width, 0))
                squares[row - r0] += pairs
