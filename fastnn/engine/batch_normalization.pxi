# Normalisation over a batch: moments of all of its rows, for each column.


cdef class BatchNormalizationOp(ColumnOp):
    """a = (x - mean) / sqrt(variance + epsilon) * gamma + beta, for each column.

    In training the moments are those of the batch; otherwise, and where the op is frozen or never works as in training,
    the moving averages of them.
    Parameters: gamma if scale, beta if center, moving mean, moving variance, (channels,) each.

    The batch's moments, and the two sums that the way back needs, are first those of each block of rows, found
    while these are in cache; then each thread puts them together for itself, in the order of the blocks.

    masked: a second source is a number for each line of a row. Those that have a 0 are normalised, but do not count in
    the moments; where no line does, these are 0.
    """

    cdef readonly double momentum
    cdef readonly double epsilon
    cdef readonly bint center
    cdef readonly bint scale
    cdef affine32 affine
    cdef moments32 moments
    cdef combine_moments32 combine
    cdef batch_sums32 sums
    cdef batch_backward32 slopes
    cdef vector32 add
    # Mean, variance and shift of each block of rows, and the two sums of the way back. They lie apart: a thread may be
    # on its way back before another has put the moments together.
    cdef float* block_moments
    cdef float* block_sums
    cdef bint masked
    cdef const float** seen             # addresses of the lines that count, those of a block one behind the other

    def __init__(self, Py_ssize_t units, Py_ssize_t channels, double momentum=0.99, double epsilon=1e-3,
                 bint center=True, bint scale=True, bint masked=False):
        self.line_by_line(units, channels, masked)
        self.masked = masked
        self.momentum, self.epsilon, self.center, self.scale = momentum, epsilon, center, scale
        self.size, self.row_size = (2 + center + scale) * channels, 1
        self.whole_batch = self.commits = True
        self.affine = <affine32>float32_of(kernels.affine, "affine")
        self.moments = <moments32>float32_of(kernels.batch_normalization, "batch_normalization", MOMENTS)
        self.combine = <combine_moments32>float32_of(kernels.combine_moments, "combine_moments")
        self.slopes = <batch_backward32>float32_of(kernels.batch_normalization, "batch_normalization", BACKWARD)
        self.sums = <batch_sums32>float32_of(kernels.batch_normalization, "batch_normalization", SUMS)
        self.add = <vector32>float32_of(kernels.add, "vector")

    def __dealloc__(self):
        free(self.block_moments)
        free(self.seen)

    cdef int placed(self, Py_ssize_t rows) except -1:
        cdef Py_ssize_t blocks = rows * self.slices // self.block_rows + 1
        free(self.block_moments)
        self.block_moments = <float*>malloc(blocks * 5 * self.width * sizeof(float))
        if self.masked:
            free(self.seen)
            self.seen = <const float**>malloc(rows * self.slices * self.lines * sizeof(void*))
        if self.block_moments == NULL or (self.masked and self.seen == NULL):
            raise MemoryError("no memory for the moments of a batch")
        self.block_sums = self.block_moments + blocks * 3 * self.width
        return 0

    cdef int shared(self, Before when, Shared* to) noexcept:
        to[0] = Shared(self.block_moments, 3 * self.width, True)
        to[1] = Shared(NULL, 1, False)              # which lines count
        if when == BEFORE_BACKWARD:
            to[0] = Shared(self.block_sums, 2 * self.width, True)
        return 0 if when == BEFORE_GRADIENT else 1 + (when == BEFORE_FORWARD and self.masked)

    cdef Py_ssize_t state_size(self) noexcept:
        """The batch's mean, variance and shift; the sums of d and of d times normalised x; 1 / the deviation.

        Then, of one with a mask, how many lines count.
        """
        return 6 * self.width + self.masked

    cdef void find(self, const Step* step, const float** numbers) noexcept nogil:
        """Where the numbers of the columns are, in this step."""
        cdef Py_ssize_t n = self.width
        cdef float* moving = self.w + (self.scale + self.center) * n
        cdef float* state = self.state + step.thread * self.state_stride
        cdef bint batch = step.training and not self.frozen
        numbers[MEAN] = state if batch else moving
        numbers[VARIANCE] = state + 5 * n if batch else moving + n      # 1 / the deviation of the batch
        numbers[SHIFT] = state + 2 * n if batch else NULL
        numbers[GAMMA] = self.w if self.scale else NULL
        numbers[BETA] = self.w + self.scale * n if self.center else NULL

    cdef void blocks_forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t n = self.width, block = self.block_rows, count
        cdef const float** seen
        cdef float* part = self.block_moments + r0 // block * 3 * n
        while r0 < r1 and not self.frozen and self.training >= 0:
            if self.masked:
                seen = self.seen + r0 * self.lines
                count = self.find_seen(r0, min(r1, r0 + block), seen)
                if count:
                    self.moments(seen, count, 1, n, 0, n, part, part + n, part + 2 * n)
            else:
                self.moments(self.reads.rows + r0, min(block, r1 - r0), self.lines, n, 0, n, part, part + n,
                             part + 2 * n)
            part += 3 * n
            r0 += block

    cdef Py_ssize_t find_seen(self, Py_ssize_t r0, Py_ssize_t r1, const float** seen) noexcept nogil:
        """How many lines of some rows count, and, unless that is NULL, their addresses."""
        cdef Py_ssize_t row, line, count = 0
        for row in range(r0, r1):
            for line in range(self.lines):
                if self.reads[1].rows[row][line] != 0:
                    if seen != NULL:
                        seen[count] = self.reads.rows[row] + line * self.width
                    count += 1
        return count

    cdef void combine_seen(self, Py_ssize_t rows, float* state) noexcept nogil:
        """Put the moments of blocks together of which not as many lines count; the next block's lie behind them."""
        cdef Py_ssize_t n = self.width, row = 0, stop, done = 0, count
        memset(state, 0, 3 * n * sizeof(float))
        while row < rows:
            stop = min(rows, row + self.block_rows)
            count = self.find_seen(row, stop, NULL)
            if count:
                memcpy(state + 3 * n if done else state, self.block_moments + row // self.block_rows * 3 * n,
                       3 * n * sizeof(float))
                if done:
                    self.combine(state, 2, done, count, n, state, state + n, state + 2 * n)
                done += count
            row = stop
        state[6 * n] = <float>done

    cdef void whole_forward(self, const Step* step) noexcept nogil:
        cdef Py_ssize_t n = self.width, rows = step.rows * self.slices, block = self.block_rows
        cdef Py_ssize_t blocks = (rows + block - 1) // block
        cdef Py_ssize_t j
        cdef float spread
        cdef float* state = self.state + step.thread * self.state_stride
        if self.training < 0:
            self.take_moving(state)
        elif not self.frozen:
            if self.masked:
                self.combine_seen(rows, state)
            else:
                self.combine(self.block_moments, blocks, block * self.lines, (rows - (blocks - 1) * block) * self.lines,
                             n, state, state + n, state + 2 * n)
            for j in range(n):
                spread = state[n + j] + <float>self.epsilon
                if 1e-25 < spread < 1e30:
                    state[5 * n + j] = 1 / sqrtf(spread)
                elif step.linked:       # most rows are elsewhere: the loss will not be finite
                    state[5 * n + j] = <float>NAN
                else:
                    self.wide_moments(step, j, state)

    cdef void take_moving(self, float* state) noexcept nogil:
        """The moving averages, in the place of the batch's moments."""
        cdef Py_ssize_t n = self.width, j
        cdef const float* moving = self.w + (self.scale + self.center) * n
        for j in range(n):
            state[j], state[n + j], state[2 * n + j] = moving[j], moving[n + j], 0
            state[5 * n + j] = <float>(1 / sqrt(moving[n + j] + self.epsilon))

    cdef void wide_moments(self, const Step* step, Py_ssize_t j, float* state) noexcept nogil:
        """The moments of a column whose squares float32 does not hold, over all rows in double."""
        cdef Py_ssize_t n = self.width, rows = step.rows * self.slices, row, line, count = 0
        cdef double mean = 0, square = 0, apart
        for row in range(rows):
            for line in range(self.lines):
                if not self.masked or self.reads[1].rows[row][line] != 0:
                    mean += self.reads.rows[row][line * n + j]
                    count += 1
        mean /= max(1, count)
        for row in range(rows):
            for line in range(self.lines):
                if not self.masked or self.reads[1].rows[row][line] != 0:
                    apart = self.reads.rows[row][line * n + j] - mean
                    square += apart * apart
        square /= max(1, count)
        state[2 * n + j] = <float>mean
        state[j] = <float>(mean - state[2 * n + j])
        state[n + j] = finite(square)
        state[5 * n + j] = <float>max(1 / sqrt(square + self.epsilon), SMALLEST)

    cdef double wide_along(self, const Step* step, Py_ssize_t j, const float* state) noexcept nogil:
        """The sum of d times normalised x of a column over all rows, in double."""
        cdef Py_ssize_t n = self.width, row, line
        cdef double mean = <double>state[j] + state[2 * n + j], total = 0
        for row in range(step.rows * self.slices):
            for line in range(self.lines):
                total += self.d[row * self.units + line * n + j] * (
                    (self.reads.rows[row][line * n + j] - mean) * state[5 * n + j])
        return total

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        self.find(step, numbers)
        self.affine(FOUND if step.training and not self.frozen else ADDED, self.reads.rows, r0, r1, self.lines,
                    self.width, numbers, self.epsilon, False, self.a)

    cdef void blocks_backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        cdef Py_ssize_t n = self.width, block = self.block_rows
        cdef float* part = self.block_sums + r0 // block * 2 * n
        self.find(step, numbers)
        while r0 < r1 and not self.frozen:
            self.sums(self.reads.rows + r0, self.d + r0 * self.units, min(block, r1 - r0), self.lines, n, 0, n,
                      numbers, part, part + n)
            part += 2 * n
            r0 += block

    cdef void whole_backward(self, const Step* step) noexcept nogil:
        cdef Py_ssize_t n = self.width, block, rows = step.rows * self.slices
        cdef Py_ssize_t blocks = (rows + self.block_rows - 1) // self.block_rows
        cdef Py_ssize_t j
        cdef float* state = self.state + step.thread * self.state_stride
        cdef float* sums = state + 3 * n
        if not self.frozen:
            memcpy(sums, self.block_sums, 2 * n * sizeof(float))
            for block in range(1, blocks):
                self.add(sums, self.block_sums + block * 2 * n, 2 * n, 0)
            for j in range(n):
                sums[n + j] *= state[5 * n + j]
                if not isfinite(sums[n + j]) and not step.linked:
                    sums[n + j] = <float>self.wide_along(step, j, state)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        cdef Py_ssize_t n = self.width
        cdef float* sums = self.state + step.thread * self.state_stride + 3 * n
        if self.masked and self.reads[1].d != NULL:
            memset(self.reads[1].d + r0 * self.lines, 0, (r1 - r0) * self.lines * sizeof(float))
        if self.reads.d == NULL:
            return
        self.find(step, numbers)
        if self.frozen or self.training < 0 or self.masked:
            self.slope(step, self.affine, ADDED if self.frozen else FOUND, numbers, self.epsilon, r0, r1)
            if not self.frozen and self.training >= 0:
                self.slopes_of_seen(step, numbers, r0, r1)
        else:
            self.slopes(self.reads.rows, self.d, step.rows * self.slices, r0, r1, self.lines, n, numbers, sums,
                        sums + n, self.reads.d)

    cdef void slopes_of_seen(self, const Step* step, const float** numbers, Py_ssize_t r0, Py_ssize_t r1
                             ) noexcept nogil:
        """The gradient by the lines that count, which hang together by the moments: runs of them."""
        cdef const float** lines = <const float**>step.scratch
        cdef float* state = self.state + step.thread * self.state_stride
        cdef Py_ssize_t n = self.width, count = <Py_ssize_t>state[6 * n], row, line, run = 0, start
        for row in range(r0, r1):
            for line in range(self.lines):
                if self.reads[1].rows[row][line] != 0:
                    lines[run] = self.reads.rows[row] + line * n
                    run += 1
                if run and (run == ADDRESSES or line + 1 == self.lines or self.reads[1].rows[row][line + 1] == 0):
                    start = (row * self.lines + line + 1 - run) * n
                    self.slopes(lines, self.d + start, count, 0, run, 1, n, numbers, state + 3 * n, state + 4 * n,
                                self.reads.d + start)
                    run = 0

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        # gamma's is the second sum, beta's the first.
        cdef Py_ssize_t n = self.width, p
        cdef float* sums = self.state + step.thread * self.state_stride + 3 * n
        for p in range(p0, p1):
            self.g[p] = sums[n + p] if p < self.scale * n else sums[p - self.scale * n]

    cdef void commit(self, const Step* step) noexcept nogil:
        cdef Py_ssize_t n = self.width, j
        cdef float* moving = self.w + (self.scale + self.center) * n
        cdef float* state = self.state + step.thread * self.state_stride
        cdef float old = <float>self.momentum, new = <float>(1 - self.momentum)
        if self.frozen or self.training < 0:
            return
        for j in range(n):
            moving[j] = moving[j] * old + (state[j] + state[2 * n + j]) * new
            moving[n + j] = moving[n + j] * old + state[n + j] * new
