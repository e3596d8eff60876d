"""Weights that are kept in fewer bits, which ops of several kinds multiply by: int8, or floats of 16 bits."""


cdef class FewBits:
    """x.W for rows of floats, W of `depth` rows and `columns`.

    packed: W in panels (fastnn.layers.quantized). With scales and sums of the columns, up to whole panels, it is int8,
    and a row becomes bytes by its own range, or by `range`, (least, most); one that is not finite gives NaN. Without
    them it is uint16, the bits of float16, or with `brain` those of bfloat16, widened as they are multiplied.
    """

    def __init__(self, packed, Py_ssize_t depth, Py_ssize_t columns, scales=None, sums=None, range=(),
                 bint brain=False):
        if not 0 < depth <= MOST_DEPTH:
            raise ValueError(f"quantised weights have 1 to {MOST_DEPTH} rows, got {depth}")
        self.packed, self.arrays, self.depth, self.columns, self.brain = packed, (scales, sums), depth, columns, brain
        self.is_int8 = scales is not None
        if self.is_int8:
            self.w.panels, self.w.depth, self.w.columns = <const int8_t*>address(packed), (depth + 3) // 4 * 4, columns
            self.w.scales, self.w.sums = <const float*>address(scales), <const int32_t*>address(sums)
            self.stride, self.item, self.fixed = self.w.depth, 1, len(range) > 0
            if self.fixed:
                self.range[0], self.range[1] = range
        else:
            self.halves = <const uint16_t*>address(packed)
            self.stride, self.item = depth * sizeof(float), sizeof(float)
            self.workspace = PANEL * depth + workspace_elements(PANEL, depth)
        self.quantize = <types.quantize32>float32_of(kernels.int8, "int8", 0)
        self.multiply_rows = <types.int8_multiply32>float32_of(kernels.int8, "int8", 1)
        self.widen = <types.widen32>float32_of(kernels.half, "half", 0)
        self.one_row = <types.half_row32>float32_of(kernels.half, "half", 1)
        self.matmul = <types.gemm32>float32_of(kernels.gemm, "gemm")

    cdef Py_ssize_t space(self) noexcept nogil:
        """Floats that `multiply` works in: what rows are, these as the product takes them, and its workspace."""
        return TOGETHER_AS_BYTES * (2 + self.stride // sizeof(float)) + self.workspace

    cdef void prepare(self, const float* x, Py_ssize_t n, void* out, Py_ssize_t size, types.Int8Row* row
                      ) noexcept nogil:
        """n numbers as the product takes them, filled up to `size`."""
        if self.is_int8:
            self.quantize(x, n, <const float*>self.range if self.fixed else NULL, <uint8_t*>out, size, row)
        else:
            memcpy(out, x, n * sizeof(float))

    cdef void product(self, const void* x, const types.Int8Row* rows, Py_ssize_t m, const float* init, float* c,
                      Py_ssize_t c_stride, float* workspace) noexcept nogil:
        """c = init + x.W for m rows that are prepared, one behind the other. init: NULL, C, or a bias."""
        cdef const uint16_t* panel = self.halves
        cdef const float* row[TOGETHER_AS_BYTES]
        cdef const float* begin = NULL
        cdef Py_ssize_t first = 0, width, n, i
        if self.is_int8:
            self.multiply_rows(<const uint8_t*>x, self.stride, rows, m, &self.w, init, c_stride if init == c else 0, c,
                               c_stride)
            return
        for i in range(m):
            row[i] = <const float*>x + i * self.depth
            # Added to C, sums are chains in the order of k, as those of a lone row: a narrow product has another order.
            if m > 1 and init == NULL:
                memset(c + i * c_stride, 0, self.columns * sizeof(float))
            elif m > 1 and init != c:
                memcpy(c + i * c_stride, init, self.columns * sizeof(float))
        while first < self.columns:
            width = PANEL if self.columns - first > PANEL - PIECE else PIECE
            n = min(width, self.columns - first)
            if init != NULL:
                begin = init + first
            if m == 1:
                self.one_row(self.brain, row[0], panel, self.depth, width, n, begin, c + first)
            else:
                self.widen(self.brain, panel, self.depth * width, workspace)
                self.matmul(row, 0, workspace, width, c + first, c + first, c_stride, m, n, self.depth,
                            workspace + PANEL * self.depth)
            panel += self.depth * width
            first += width

    cdef void multiply(self, const float* const* x, Py_ssize_t first, Py_ssize_t m, const float* init, float* c,
                       Py_ssize_t c_stride, float* space) noexcept nogil:
        """The same for m rows of floats, from number `first` of each on."""
        cdef types.Int8Row* rows = <types.Int8Row*>space
        cdef char* prepared = <char*>(space + 2 * TOGETHER_AS_BYTES)
        cdef float* workspace = <float*>(prepared + TOGETHER_AS_BYTES * self.stride)
        cdef Py_ssize_t start = 0, some, i
        cdef const float* begin = init
        while start < m:
            if init == c:
                begin = c + start * c_stride
            some = min(m - start, <Py_ssize_t>TOGETHER_AS_BYTES)
            for i in range(some):
                self.prepare(x[start + i] + first, self.depth, prepared + i * self.stride, self.stride // self.item,
                             rows + i)
            self.product(prepared, rows, some, begin, c + start * c_stride, c_stride, workspace)
            start += some
