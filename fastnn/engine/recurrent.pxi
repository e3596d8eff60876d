"""The way through the steps and back, which SimpleRNN, LSTM and GRU have in common; see states.pxi."""


cdef class RecurrentOp(StatesOp):
    """A layer's steps, of which each layer has its own."""

    # Forward.

    cdef void times(self, const Step* step, Rows* rows, const float* const* a, Py_ssize_t first, Py_ssize_t c0,
                    Py_ssize_t c1, Py_ssize_t at, const float* packed) noexcept nogil:
        """Add a . recurrent_kernel[:, c0:c1] to the gates, from number `at` of a line on."""
        cdef float* c = <float*>rows.lines[0] + at
        cdef Py_ssize_t pitch = self.steps * self.line, columns = c1 - c0, j, i = 0
        if rows.step == 0 and self.begins_with_zeros():
            return
        if self.few_h is not None:
            if c0 == 0:
                self.few_h.multiply(a, first, rows.n, c, c, pitch, self.workspace(step))
            else:
                self.few_h_rest.multiply(a, first, rows.n, c, c, pitch, self.workspace(step))
            return
        if packed == NULL:
            self.matmul(a, first, self.state_weights() + c0, self.columns, c, c, pitch, rows.n, columns, self.hidden,
                        self.workspace(step))
        elif rows.n > 1 or self.rounds:
            self.matmul_packed(a, first, packed + c0 * self.hidden, 0, c, c, pitch, rows.n, columns, self.hidden,
                               self.workspace(step))
        # There and back: what was read last is near.
        while packed != NULL and rows.n == 1 and not self.rounds and i < columns:
            j = (columns - 1) // WIDE * WIDE - i if rows.step % 2 else i
            self.matmul(a, first, packed + (c0 + j) * self.hidden, min(columns - j, WIDE), c + j, c + j, pitch, 1,
                        min(columns - j, WIDE), self.hidden, self.workspace(step))
            i += WIDE

    cdef void pack_wide(self, Py_ssize_t c0, Py_ssize_t c1, float* out) noexcept nogil:
        """Columns of the state's weights in panels for a row alone, whose products take as many at a time."""
        cdef Py_ssize_t k, width
        while c0 < c1:
            width = min(c1 - c0, WIDE)
            for k in range(self.hidden):
                memcpy(out, self.state_weights() + k * self.columns + c0, width * sizeof(float))
                out += width
            c0 += width

    cdef const float* bias_of_x(self, const Step* step) noexcept nogil:
        """What the products of x begin with: for a second bias, where it is added to the same number, the sum."""
        cdef const float* given = self.biases_at()
        cdef float* bias = self.bias(step)
        cdef Py_ssize_t j
        if self.biases < 2:
            return given if self.use_bias else NULL
        memcpy(bias, given, self.columns * sizeof(float))
        for j in range(self.split):
            bias[j] += given[self.columns + j]
        return bias

    cdef void floats_of_x(self, const Step* step, const float* const* x, Py_ssize_t n, const float* bias, float* z
                          ) noexcept nogil:
        cdef Py_ssize_t split = self.split, rest = self.columns - split
        self.matmul(x, 0, self.w, self.columns, bias, z, self.line, n, split, self.features, self.workspace(step))
        if rest:
            self.matmul(x, 0, self.w + split, self.columns, bias + split if bias != NULL else NULL,
                        z + self.line - rest, self.line, n, rest, self.features, self.workspace(step))

    cdef void products_of_x(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t line = r0 * self.steps, end = r1 * self.steps, n, k, split = self.split
        cdef Py_ssize_t rest = self.columns - split, gap = self.line - self.columns
        cdef const float* bias = self.bias_of_x(step)
        cdef const float* own = NULL
        cdef const float* const* x
        cdef float* z
        if self.biases == 2:
            own = self.biases_at() + self.columns + split
        while line < end:
            n = self.lines_of_x(line, end, <const float**>step.scratch, &x)
            z = self.gates + line * self.line
            if self.few_x is not None:
                self.few_x.multiply(x, 0, n, bias, z, self.line, self.workspace(step))
                if rest:
                    self.few_x_rest.multiply(x, 0, n, bias + split if bias != NULL else NULL, z + split + gap,
                                             self.line, self.workspace(step))
            else:
                self.floats_of_x(step, x, n, bias, z)
            for k in range(n if gap else 0):
                if own != NULL:
                    memcpy(z + k * self.line + split, own, gap * sizeof(float))
                else:
                    memset(z + k * self.line + split, 0, gap * sizeof(float))
            line += n

    cdef void draw(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, n = self.hidden
        cdef uint64_t key = mix64(step.key + <uint64_t>self.number)
        if self.seeded:
            key = mix64(self.own_key ^ (mix64(<uint64_t>step.number) + <uint64_t>step.first))
        for row in range(r0, r1):
            self.noise(self.ones, self.mask + row * n, n, <uint32_t>(row * n), self.rate, key)

    cdef Py_ssize_t rows_together(self, Py_ssize_t left) noexcept nogil:
        """Of so many rows, how many go through the steps next: shared out evenly."""
        cdef Py_ssize_t most = MOST_ROWS if self.size >= LARGE else TOGETHER, times = (left + most - 1) // most
        return (left + times - 1) // times

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Rows rows
        cdef Py_ssize_t row, s, n = self.hidden, last = self.steps - 1
        cdef float* packed = NULL
        if self.few_h is not None:
            pass
        elif r1 - r0 == 1 and self.steps >= PACK_STEPS and n * self.joined >= ALTERNATE and not self.rounds:
            packed = self.panels(step)
            self.pack_wide(0, self.joined, packed)
            self.pack_wide(self.joined, self.columns, packed + self.joined * n)
        elif (r1 - r0 > 1 or self.rounds) and self.steps >= PACK_STEPS:
            packed = self.panels(step)
            self.pack(self.state_weights(), self.columns, n, self.joined, packed)
            self.pack(self.state_weights() + self.joined, self.columns, n, self.columns - self.joined,
                      packed + self.joined * n)
        if self.drops(step):
            self.draw(step, r0, r1)
        while r0 < r1:
            rows.first, rows.n = r0, self.rows_together(r1 - r0)
            self.products_of_x(step, r0, r0 + rows.n)
            for s in range(self.steps):
                rows.step = s
                self.find(step, &rows, False)
                if rows.masked < rows.n:
                    self.forward_step(step, &rows, packed)
                if rows.masked:
                    self.keep_states(&rows)
            for row in range(r0, r0 + rows.n):
                if not self.sequences:
                    memcpy(self.a + row * self.units, self.h + row * self.h_row + last * n, n * sizeof(float))
                if self.zero:
                    self.give_valid(row)
                if self.states:
                    memcpy(self.a + row * self.units + self.outputs, self.h + row * self.h_row + last * n,
                           n * sizeof(float))
                if self.states and self.units > self.outputs + n:
                    memcpy(self.a + row * self.units + self.outputs + n, self.c + (row * self.steps + last) * n,
                           n * sizeof(float))
            r0 += rows.n

    cdef void forward_step(self, const Step* step, Rows* rows, const float* packed) noexcept nogil:
        pass

    cdef void pass_slopes(self, const Step* step, Rows* rows, const float* turned) noexcept nogil:
        """The way back through a step that is masked for some rows: theirs go through as they are."""
        cdef Py_ssize_t i, n = self.hidden, size = n * sizeof(float)
        cdef float* kept = self.temporary(step) + (MOST_ROWS + TEMPORARY) * n
        cdef float* d_h = self.d_h + rows.first * n
        cdef float* d_c = self.d_c + rows.first * n
        if rows.masked < rows.n:
            memcpy(kept, d_h, rows.n * size)
            memcpy(kept + MOST_ROWS * n, d_c, rows.n * size)
            self.backward_step(step, rows, turned)
        for i in range(rows.n):
            if rows.masks[i]:
                memset(<float*>rows.lines[i], 0, self.line * sizeof(float))
                if rows.masked < rows.n:
                    memcpy(d_h + i * n, kept + i * n, size)
                    memcpy(d_c + i * n, kept + (MOST_ROWS + i) * n, size)

    # Backward.

    cdef void turn(self, const float* w, Py_ssize_t rows, Py_ssize_t split, float* out) noexcept nogil:
        """A kernel turned, in panels: of its columns before `split`, then of the others."""
        self.pack_turned(w, self.columns, rows, split, out)
        self.pack_turned(w + split, self.columns, rows, self.columns - split, out + rows * split)

    cdef void times_turned(self, const Step* step, Rows* rows, const float* turned, bint add) noexcept nogil:
        """The gradient by the state before, of the joined columns: into d_h, or added to what is there."""
        cdef Py_ssize_t i, n = self.hidden
        cdef float* to = self.d_h + rows.first * n
        cdef float* given = self.temporary(step)
        cdef const float* mask = self.mask + rows.first * n
        if rows.step == 0 and not self.initial:     # nobody asks for it
            return
        if not self.drops(step):
            self.matmul_packed(rows.lines, 0, turned, 0, to if add else NULL, to, n, rows.n, n, self.joined,
                               self.workspace(step))
            return
        self.matmul_packed(rows.lines, 0, turned, 0, NULL, given, n, rows.n, n, self.joined,
                           self.workspace(step))
        for i in range(rows.n * n):
            to[i] = given[i] * mask[i] + (to[i] if add else 0)

    cdef void take_d(self, Rows* rows, bint last) noexcept nogil:
        """Add the gradient by what the step gave to that by its state."""
        cdef Py_ssize_t i, j, n = self.hidden
        cdef float* to
        cdef const float* d
        for i in range(rows.n if self.sequences or last else 0):
            to = self.d_h + (rows.first + i) * n
            d = self.d + (rows.first + i) * self.units
            if not (self.zero and rows.masks[i]):
                d += rows.step * n if self.sequences else 0
                for j in range(n):
                    to[j] += d[j]

    cdef void begin_backward(self, Py_ssize_t row) noexcept nogil:
        cdef Py_ssize_t n = self.hidden
        cdef const float* d = self.d + row * self.units + self.outputs
        memset(self.d_h + row * n, 0, n * sizeof(float))
        memset(self.d_c + row * n, 0, n * sizeof(float))
        if self.states:
            memcpy(self.d_h + row * n, d, n * sizeof(float))
        if self.states and self.units > self.outputs + n:
            memcpy(self.d_c + row * n, d + n, n * sizeof(float))

    cdef void give_d_x(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1, const float* turned) noexcept nogil:
        cdef Py_ssize_t line = r0 * self.steps, end = r1 * self.steps, n, k, row
        cdef Py_ssize_t rest = self.columns - self.split, gap = self.line - self.columns
        cdef const float** z = <const float**>step.scratch
        cdef float* to
        while line < end:
            n = lines_of_block(self.gates, self.line, line, end, z)
            if self.reverse:            # as x lies
                for k in range(n):
                    row = (line + k) // self.steps
                    z[k] = self.gates + ((2 * row + 1) * self.steps - 1 - line - k) * self.line
            to = self.reads.d + line * self.features
            self.matmul_packed(z, 0, turned, 0, NULL, to, self.features, n, self.features, self.split,
                               self.workspace(step))
            if rest:
                self.matmul_packed(z, self.split + gap, turned + self.features * self.split, 0, to, to, self.features,
                                   n, self.features, rest, self.workspace(step))
            line += n

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Rows rows
        cdef Py_ssize_t row, n = self.hidden, s
        cdef float* turned = self.panels(step)
        cdef float* turned_x = turned + n * self.columns
        self.turn(self.state_weights(), n, self.joined, turned)
        if self.reads.d != NULL:
            self.turn(self.w, self.features, self.split, turned_x)
        while r0 < r1:
            rows.first, rows.n = r0, self.rows_together(r1 - r0)
            for row in range(r0, r0 + rows.n):
                self.begin_backward(row)
            for s in range(self.steps):
                rows.step = self.steps - 1 - s
                self.find(step, &rows, True)
                self.take_d(&rows, s == 0)
                if rows.masked:
                    self.pass_slopes(step, &rows, turned)
                else:
                    self.backward_step(step, &rows, turned)
            for row in range(r0, r0 + rows.n):
                if self.initial and self.reads[1].d != NULL:
                    memcpy(self.reads[1].d + row * n, self.d_h + row * n, n * sizeof(float))
                if self.initial > 1 and self.reads[2].d != NULL:
                    memcpy(self.reads[2].d + row * n, self.d_c + row * n, n * sizeof(float))
            if self.reads.d != NULL:
                self.give_d_x(step, r0, r0 + rows.n, turned_x)
            r0 += rows.n

    cdef void backward_step(self, const Step* step, Rows* rows, const float* turned) noexcept nogil:
        pass

    # Gradient.

    cdef Py_ssize_t states_before(self, const Step* step, Py_ssize_t line, Py_ssize_t end, const float** space
                                  ) noexcept nogil:
        """Addresses of the states that the products of these lines had."""
        cdef Py_ssize_t n = min(end - line, <Py_ssize_t>ADDRESSES), i, row = line // self.steps, s = line % self.steps
        if self.drops(step):
            return lines_of_block(self.masked, self.hidden, line, end, space)
        for i in range(n):
            space[i] = self.state_at_first(row, 0)
            if s > 0:
                space[i] = self.h + row * self.h_row + (s - 1) * self.hidden
            s += 1
            if s == self.steps:
                row, s = row + 1, 0
        return n

    cdef void add_product(self, const Step* step, const float* const* a, Py_ssize_t first, Py_ssize_t at,
                          Py_ssize_t line, float* g, Py_ssize_t m, Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
        """n lines of `a` by `columns` numbers of the gates, from number `at` on, to the gradient of m rows."""
        if columns:
            self.matmul_transposed_a(a, first, self.gates + line * self.line + at, self.line, g if line else NULL, g,
                                     self.columns, m, columns, n, self.workspace(step))

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        cdef Py_ssize_t columns = self.columns, split = self.split, gap = self.line - columns, n, line = 0
        cdef Py_ssize_t lines = step.rows * self.slices * self.steps, first = p0 // columns, last = p1 // columns
        cdef Py_ssize_t x1 = min(last, self.features), h0 = max(first, self.features)
        cdef Py_ssize_t h1 = min(last, self.features + self.hidden), row
        cdef const float** space = <const float**>step.scratch
        cdef float* g = self.g + first * columns
        cdef const float* const* x
        while first < x1 and line < lines:
            n = self.lines_of_x(line, lines, space, &x)
            self.add_product(step, x, first, 0, line, g, x1 - first, split, n)
            self.add_product(step, x, first, split + gap, line, g + split, x1 - first, columns - split, n)
            line += n
        line, g = 0, self.g + h0 * columns
        while h0 < h1 and line < lines:
            n = self.states_before(step, line, lines, space)
            self.add_product(step, space, h0 - self.features, 0, line, g, h1 - h0, self.joined, n)
            if self.joined < columns:   # what was multiplied is u itself
                lines_of_block(self.gates + self.joined, self.line, line, lines, space)
                self.add_product(step, space, h0 - self.features, self.joined + gap, line, g + self.joined, h1 - h0,
                                 columns - self.joined, n)
            line += n
        for row in range(max(first, self.features + self.hidden), last):
            g = self.g + row * columns
            if row > self.features + self.hidden:       # the second bias, beside the state
                if row > first:
                    memcpy(g, g - columns, split * sizeof(float))
                else:
                    self.column_sums(self.gates, self.line, lines, split, g)
                self.column_sums(self.gates + split, self.line, lines, columns - split, g + split)
            else:
                self.column_sums(self.gates, self.line, lines, split, g)
                if split < columns:
                    self.column_sums(self.gates + split + gap, self.line, lines, columns - split, g + split)
