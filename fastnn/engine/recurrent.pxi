"""Ops that go through the steps of a row: SimpleRNN, LSTM, GRU.

The products of x are one multiply for all steps; then the steps come one after the other, for some rows together. z
lies in `gates`, is overwritten by what the activations make of it, and on the way back by the gradient by z: so the
gradients by x and by the weights are products of all steps again. Steps are counted as they are worked out: with
`reverse` the first of them is the last of x.

A line of gates, by blocks of `hidden` numbers, and the columns of the kernels:

SimpleRNN   h                           h
LSTM        i, f, g, o                  i, f, g, o
GRU         z, r, u, n                  z, r, n     u: what the state alone gives for n, or r times the state
"""


cdef enum:
    MOST_ROWS = 64                      # that go through the steps together
    # Rows that go through the steps together: their gates of a step stay in cache. With large weights, which do not,
    # more rows share each reading of them.
    TOGETHER = 16
    LARGE = 262144
    # The weights of the state are copied into panels from so many products of several rows on.
    PACK_STEPS = 4
    TEMPORARY = 6                       # blocks of `hidden` numbers that a row's step may need


cdef struct Rows:
    # Some rows at one step.
    Py_ssize_t first
    Py_ssize_t n
    Py_ssize_t step
    const float* h[MOST_ROWS]           # their state before it
    const float* before[MOST_ROWS]      # and as the products have it: with what dropout leaves
    const float* lines[MOST_ROWS]       # their gates


cdef class RecurrentOp(Op):
    """What the three have in common. (steps, features) -> (steps, hidden), or (hidden,).

    Parameters: kernel (features, columns), recurrent_kernel (hidden, columns), bias. sequences: the state of each step
    is given, not the last one's alone. states: the last states follow it in the row. initial: the states to begin with
    are further sources. rate: of dropout on the state, one draw for all steps of a row.
    """

    cdef Py_ssize_t steps
    cdef Py_ssize_t features   # numbers in a step of x
    cdef Py_ssize_t hidden     # numbers of the state
    cdef Py_ssize_t columns    # of both kernels
    cdef bint use_bias
    cdef bint sequences
    cdef bint states
    cdef bint reverse
    cdef double rate           # of what dropout takes from the state
    cdef Py_ssize_t line                # numbers that a step has for its gates
    cdef Py_ssize_t split               # columns from here on stand at the end of a line, for x
    cdef Py_ssize_t joined              # columns that one product with the state gives; those behind have their own
    cdef Py_ssize_t biases              # rows of it
    cdef Py_ssize_t outputs             # numbers of a row before the states
    cdef bint raw                       # activations other than those of the fused kernel: z is saved too
    cdef int initial                    # states that come by edges
    cdef bint reset_after
    cdef Py_ssize_t arrays_of_state
    cdef Kernel unit_kernel
    cdef Kernel gate_kernel
    cdef Kernel cell_kernel             # of an LSTM or a GRU
    cdef Numbers unit_numbers
    cdef Numbers gate_numbers
    cdef types.activation_forward32 unit
    cdef types.activation_forward32 gate
    cdef types.activation_backward32 unit_slopes
    cdef types.activation_backward32 gate_slopes
    cdef uint64_t own_key
    cdef bint seeded
    cdef object arrays
    cdef const float* zeros
    cdef const float* ones

    cdef types.gemm32 matmul
    cdef types.gemm32 matmul_packed
    cdef types.gemm32 matmul_transposed_a
    cdef types.sum32 column_sums
    cdef types.sum32 pack
    cdef types.sum32 pack_turned
    cdef types.noise32 noise
    cdef types.cell32 cell
    cdef types.cell32 cell_slopes

    # Blocks of all rows, set by `placed`.
    cdef float* gates                   # (rows, steps, line)
    cdef float* z_raw                   # the same before the activations
    cdef float* c                       # (rows, steps, hidden), as the next two
    cdef float* squashed
    cdef float* masked                  # the state before each step, with what dropout leaves
    cdef float* mask                    # (rows, hidden)
    cdef float* h
    cdef Py_ssize_t h_row               # from a row's to the next one's
    cdef float* d_h                     # (rows, hidden)
    cdef float* d_c

    def __init__(self, sizes, unit, gate, bint use_bias, bint sequences, bint states, bint reverse, bint initial,
                 double rate, seed, bint reset_after):
        cdef Py_ssize_t n
        self.steps, self.features, self.hidden = sizes
        n = self.hidden
        if min(sizes) < 1 or max(sizes) > 2**31:
            raise ValueError(f"a recurrent op of {sizes} steps, numbers and units cannot be")
        self.use_bias, self.sequences, self.states, self.reverse = use_bias, sequences, states, reverse
        self.rate, self.random, self.seeded, self.reset_after = rate, rate > 0, seed is not None, reset_after
        self.own_key = mix64(mix64(<uint64_t>seed) + 1) if self.seeded else 0
        self.unit_kernel, numbers = unit
        self.unit_numbers = Numbers(numbers)
        self.gate_kernel, numbers = gate
        self.gate_numbers = Numbers(numbers)
        self.unit = <types.activation_forward32>float32_of(self.unit_kernel, "activation", FORWARD)
        self.unit_slopes = <types.activation_backward32>float32_of(self.unit_kernel, "activation", BACKWARD)
        self.gate = <types.activation_forward32>float32_of(self.gate_kernel, "activation", FORWARD)
        self.gate_slopes = <types.activation_backward32>float32_of(self.gate_kernel, "activation", BACKWARD)
        self.arrays = np.zeros(n, np.float32), np.ones(n, np.float32)
        self.zeros, self.ones = <const float*>address(self.arrays[0]), <const float*>address(self.arrays[1])
        self.matmul = <types.gemm32>float32_of(kernels.gemm, "gemm")
        self.matmul_packed = <types.gemm32>float32_of(kernels.gemm_packed, "gemm")
        self.matmul_transposed_a = <types.gemm32>float32_of(kernels.gemm_transposed_a, "gemm")
        self.column_sums = <types.sum32>float32_of(kernels.column_sums, "sum")
        self.pack = <types.sum32>float32_of(kernels.pack, "sum")
        self.pack_turned = <types.sum32>float32_of(kernels.pack_turned, "sum")
        self.noise = <types.noise32>float32_of(kernels.dropout, "noise", FORWARD)
        # A SimpleRNN.
        self.columns = self.line = self.split = self.joined = n
        self.biases = self.arrays_of_state = 1
        self.cell_kernel = None
        self.arrange()
        self.raw = self.cell_kernel is not None and (
            not reset_after or self.unit_kernel is not kernels.tanh or self.gate_kernel is not kernels.sigmoid)
        if self.cell_kernel is not None:
            self.cell = <types.cell32>float32_of(self.cell_kernel, "cell", FORWARD)
            self.cell_slopes = <types.cell32>float32_of(self.cell_kernel, "cell", BACKWARD)
        self.biases *= use_bias
        self.initial = self.arrays_of_state if initial else 0
        self.outputs = self.steps * n if sequences else n
        self.shape([(self.steps, self.features)] + [(1, n)] * self.initial,
                   self.steps if sequences and not states else 1,
                   self.outputs + self.arrays_of_state * n if states else n)
        self.size = (self.features + n + self.biases) * self.columns
        self.row_size = self.columns

    cdef void arrange(self) noexcept:
        """Say what is not as in a SimpleRNN."""
        pass

    cdef Py_ssize_t saved(self) noexcept:
        cdef Py_ssize_t kept = (not self.sequences) + 2 * (self.arrays_of_state - 1) + (self.rate > 0)
        return self.steps * ((1 + self.raw) * self.line + kept * self.hidden) + (2 + (self.rate > 0)) * self.hidden

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Addresses, the workspace of a multiply, both kernels in panels, a bias, and what some rows need at a step."""
        return (ADDRESS_SPACE + workspace_elements(self.columns, max(self.features, self.hidden))
                + (self.features + self.hidden + 1) * self.columns + (MOST_ROWS + TEMPORARY) * self.hidden)

    cdef double work_of_row(self) noexcept:
        return self.steps * (2.0 * self.size + UNIT_WORK * self.line)

    cdef double work_of_gradient(self) noexcept:
        return 2.0 * self.steps

    cdef int placed(self, Py_ssize_t rows) except -1:
        cdef Py_ssize_t n = rows * self.slices, states = n * self.steps * self.hidden
        self.gates = self.z_raw = self.z
        cdef float* at = self.z + n * self.steps * self.line
        if self.raw:
            self.z_raw = at
            at += n * self.steps * self.line
        self.h, self.h_row = self.a, self.units
        if not self.sequences:
            self.h, self.h_row = at, self.steps * self.hidden
            at += states
        if self.rate > 0:
            self.masked, self.mask = at, at + states
            at += states + n * self.hidden
        self.d_h, self.d_c = at, at + n * self.hidden
        at += 2 * n * self.hidden
        self.c, self.squashed = at, at + states         # of an LSTM
        return 0

    # What is where.

    cdef float* workspace(self, const Step* step) noexcept nogil:
        return step.scratch + ADDRESS_SPACE

    cdef float* panels(self, const Step* step) noexcept nogil:
        """Where the weights of the state lie in panels, then those of x, then a bias, then a step's numbers."""
        return step.scratch + ADDRESS_SPACE + workspace_elements(self.columns, max(self.features, self.hidden))

    cdef float* temporary(self, const Step* step) noexcept nogil:
        return self.panels(step) + (self.features + self.hidden + 1) * self.columns

    cdef float* bias(self, const Step* step) noexcept nogil:
        return self.panels(step) + (self.features + self.hidden) * self.columns

    cdef const float* state_weights(self) noexcept nogil:
        return self.w + self.features * self.columns

    cdef float* line_of(self, Py_ssize_t row, Py_ssize_t s) noexcept nogil:
        return self.gates + (row * self.steps + s) * self.line

    cdef bint drops(self, const Step* step) noexcept nogil:
        return self.rate > 0 and in_training(step, self.training)

    cdef const float* state_before(self, Py_ssize_t row, Py_ssize_t s) noexcept nogil:
        if s > 0:
            return self.h + row * self.h_row + (s - 1) * self.hidden
        return self.reads[1].rows[row] if self.initial else self.zeros

    cdef const float* cell_before(self, Py_ssize_t row, Py_ssize_t s) noexcept nogil:
        if s > 0:
            return self.c + (row * self.steps + s - 1) * self.hidden
        return self.reads[2].rows[row] if self.initial else self.zeros

    cdef Py_ssize_t lines_of_x(self, Py_ssize_t line, Py_ssize_t end, const float** space,
                               const float* const** addresses) noexcept nogil:
        """Addresses of steps of x, as they are worked out; see `lines_of`."""
        cdef Py_ssize_t n, row, s
        if not self.reverse:
            return lines_of(self.reads, line, end, space, addresses)
        n = min(end - line, <Py_ssize_t>ADDRESSES)
        addresses[0] = space
        for s in range(n):
            row = (line + s) // self.steps
            space[s] = self.reads.rows[row] + ((row + 1) * self.steps - 1 - line - s) * self.features
        return n

    cdef void find(self, const Step* step, Rows* rows, bint back) noexcept nogil:
        """Addresses of what the rows have at their step. On the way there, the mask of dropout is applied."""
        cdef Py_ssize_t i, j, row, n = self.hidden
        cdef float* masked
        cdef const float* mask
        for i in range(rows.n):
            row = rows.first + i
            rows.lines[i] = self.line_of(row, rows.step)
            rows.h[i] = rows.before[i] = self.state_before(row, rows.step)
            if self.drops(step):
                masked, mask = self.masked + (row * self.steps + rows.step) * n, self.mask + row * n
                rows.before[i] = masked
                for j in range(0 if back else n):
                    masked[j] = rows.h[i][j] * mask[j]

    # Forward.

    cdef void times(self, const Step* step, Rows* rows, const float* const* a, Py_ssize_t first, Py_ssize_t c0,
                    Py_ssize_t c1, Py_ssize_t at, const float* packed) noexcept nogil:
        """Add a . recurrent_kernel[:, c0:c1] to the gates, from number `at` of a line on."""
        cdef float* c = self.line_of(rows.first, rows.step) + at
        cdef Py_ssize_t pitch = self.steps * self.line
        if packed != NULL:
            self.matmul_packed(a, first, packed + c0 * self.hidden, 0, c, c, pitch, rows.n, c1 - c0, self.hidden, NULL)
        else:
            self.matmul(a, first, self.state_weights() + c0, self.columns, c, c, pitch, rows.n, c1 - c0, self.hidden,
                        self.workspace(step))

    cdef const float* bias_of_x(self, const Step* step) noexcept nogil:
        """What the products of x begin with: for a second bias, where it is added to the same number, the sum."""
        cdef const float* given = self.w + (self.features + self.hidden) * self.columns
        cdef float* bias = self.bias(step)
        cdef Py_ssize_t j
        if self.biases < 2:
            return given if self.use_bias else NULL
        memcpy(bias, given, self.columns * sizeof(float))
        for j in range(self.split):
            bias[j] += given[self.columns + j]
        return bias

    cdef void products_of_x(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t line = r0 * self.steps, end = r1 * self.steps, n, k, split = self.split
        cdef Py_ssize_t rest = self.columns - split, gap = self.line - self.columns
        cdef const float* bias = self.bias_of_x(step)
        cdef const float* own = NULL
        cdef const float* const* x
        cdef float* z
        if self.biases == 2:
            own = self.w + (self.features + self.hidden + 1) * self.columns + split
        while line < end:
            n = self.lines_of_x(line, end, <const float**>step.scratch, &x)
            z = self.gates + line * self.line
            self.matmul(x, 0, self.w, self.columns, bias, z, self.line, n, split, self.features, self.workspace(step))
            if rest:
                self.matmul(x, 0, self.w + split, self.columns, bias + split if bias != NULL else NULL,
                            z + split + gap, self.line, n, rest, self.features, self.workspace(step))
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
            key = mix64(self.own_key ^ mix64(<uint64_t>step.number))
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
        if r1 - r0 > 1 and self.steps >= PACK_STEPS:
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
                self.forward_step(step, &rows, packed)
            for row in range(r0, r0 + rows.n):
                if not self.sequences:
                    memcpy(self.a + row * self.units, self.h + row * self.h_row + last * n, n * sizeof(float))
                if self.states:
                    memcpy(self.a + row * self.units + self.outputs, self.h + row * self.h_row + last * n,
                           n * sizeof(float))
                if self.states and self.units > self.outputs + n:
                    memcpy(self.a + row * self.units + self.outputs + n, self.c + (row * self.steps + last) * n,
                           n * sizeof(float))
            r0 += rows.n

    cdef void forward_step(self, const Step* step, Rows* rows, const float* packed) noexcept nogil:
        pass

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
        if not self.drops(step):
            self.matmul_packed(rows.lines, 0, turned, 0, to if add else NULL, to, n, rows.n, n, self.joined, NULL)
            return
        self.matmul_packed(rows.lines, 0, turned, 0, NULL, given, n, rows.n, n, self.joined, NULL)
        for i in range(rows.n * n):
            to[i] = given[i] * mask[i] + (to[i] if add else 0)

    cdef void take_d(self, Rows* rows, bint last) noexcept nogil:
        """Add the gradient by what the step gave to that by its state."""
        cdef Py_ssize_t i, j, n = self.hidden
        cdef float* to
        cdef const float* d
        for i in range(rows.n):
            to = self.d_h + (rows.first + i) * n
            d = self.d + (rows.first + i) * self.units
            if self.sequences or last:
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
            self.matmul_packed(z, 0, turned, 0, NULL, to, self.features, n, self.features, self.split, NULL)
            if rest:
                self.matmul_packed(z, self.split + gap, turned + self.features * self.split, 0, to, to, self.features,
                                   n, self.features, rest, NULL)
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
        cdef Py_ssize_t n = min(end - line, <Py_ssize_t>ADDRESSES), i
        for i in range(n):
            space[i] = self.state_before((line + i) // self.steps, (line + i) % self.steps)
            if self.drops(step):
                space[i] = self.masked + (line + i) * self.hidden
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
                self.column_sums(self.gates, self.line, lines, columns, g)
            else:
                self.column_sums(self.gates, self.line, lines, split, g)
                if split < columns:
                    self.column_sums(self.gates + split + gap, self.line, lines, columns - split, g + split)


cdef class SimpleRNNOp(RecurrentOp):
    """h' = activation(x.kernel + bias + h.recurrent_kernel)."""

    cdef void forward_step(self, const Step* step, Rows* rows, const float* packed) noexcept nogil:
        cdef Py_ssize_t i
        self.times(step, rows, rows.before, 0, 0, self.columns, 0, packed)
        for i in range(rows.n):
            self.unit(rows.lines[i], self.h + (rows.first + i) * self.h_row + rows.step * self.hidden,
                      self.unit_numbers.values, 1, self.hidden)

    cdef void backward_step(self, const Step* step, Rows* rows, const float* turned) noexcept nogil:
        cdef Py_ssize_t i, n = self.hidden
        cdef float* d
        for i in range(rows.n):
            d = self.d_h + (rows.first + i) * n
            self.unit_slopes(rows.lines[i], self.h + (rows.first + i) * self.h_row + rows.step * n, d,
                             self.unit_numbers.values, 1, n)
            memcpy(<float*>rows.lines[i], d, n * sizeof(float))
        self.times_turned(step, rows, turned, False)
