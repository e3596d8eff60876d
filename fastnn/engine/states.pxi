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
    # A row alone has them in panels of so many columns, where they do not stay in the nearest cache from step to step.
    WIDE = 128
    ALTERNATE = 8192
    # The weights of the state are copied into panels from so many products of several rows on.
    PACK_STEPS = 4
    TEMPORARY = 6                       # blocks of `hidden` numbers that a row's step may need


cdef struct Rows:
    # Some rows at one step.
    Py_ssize_t first
    Py_ssize_t n
    Py_ssize_t step
    const float* h[MOST_ROWS]           # their state before it
    const float* c[MOST_ROWS]           # and the other one that an LSTM has
    const float* dropped[MOST_ROWS]     # what dropout leaves of the state
    const float** before                # the state as the products have it: one of the two
    const float* lines[MOST_ROWS]       # their gates
    Py_ssize_t masked                   # how many of them a mask leaves out at the step
    bint masks[MOST_ROWS]               # whether it leaves out each


cdef list parts_at(Py_ssize_t split, Py_ssize_t columns):
    """Columns before and behind one."""
    return [split] + [columns - split] * (split < columns)


cdef class StatesOp(Op):
    """What an op of a recurrent layer has, and where. (steps, features) -> (steps, hidden), or (hidden,).

    Parameters: kernel (features, columns), recurrent_kernel (hidden, columns), bias. sequences: the state of each step
    is given, not the last one's alone. states: the last states follow it in the row. initial: the states to begin with
    are further sources. rate: of dropout on the state, one draw for all steps of a row. valid: the last source is a
    mask of the steps: one that it has 0 for leaves the state, and gives it again, or zeros with `zero`. held: an array
    (rows, states, hidden) of what rows begin with, which a batch leaves to the next.
    """

    cdef Py_ssize_t steps
    cdef Py_ssize_t features   # numbers in a step of x
    cdef Py_ssize_t hidden     # numbers of the state
    cdef Py_ssize_t columns    # of both kernels
    cdef bint use_bias
    cdef bint sequences
    cdef bint states
    cdef bint reverse
    cdef bint valid
    cdef bint zero
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
    cdef float* held           # NULL where rows begin anew in each batch
    cdef const float* zeros
    cdef const float* ones
    cdef FewBits few_x                  # quantised weights of x, to `split`, or None
    cdef FewBits few_x_rest             # and behind it, if there are any
    cdef FewBits few_h                  # of the state, to `joined`
    cdef FewBits few_h_rest

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
                 double rate, seed, bint reset_after, bint valid=False, bint zero=False, held=None):
        cdef Py_ssize_t n
        self.steps, self.features, self.hidden = sizes[0], sizes[1], sizes[2]
        n = self.hidden
        if min(self.steps, self.features, n) < 1 or max(self.steps, self.features, n) > 2**31:
            raise ValueError(f"a recurrent op of {sizes} steps, numbers and units cannot be")
        self.use_bias, self.sequences, self.states, self.reverse = use_bias, sequences, states, reverse
        self.rate, self.random, self.seeded, self.reset_after = rate, rate > 0, seed is not None, reset_after
        self.own_key = mix64(mix64(<uint64_t>seed) + 1) if self.seeded else 0
        self.unit_kernel, self.unit_numbers = unit[0], Numbers(unit[1])
        self.gate_kernel, self.gate_numbers = gate[0], Numbers(gate[1])
        self.unit = <types.activation_forward32>float32_of(self.unit_kernel, "activation", FORWARD)
        self.unit_slopes = <types.activation_backward32>float32_of(self.unit_kernel, "activation", BACKWARD)
        self.gate = <types.activation_forward32>float32_of(self.gate_kernel, "activation", FORWARD)
        self.gate_slopes = <types.activation_backward32>float32_of(self.gate_kernel, "activation", BACKWARD)
        self.valid, self.zero = valid, valid and zero and sequences
        self.arrays = np.zeros(n, np.float32), np.ones(n, np.float32), held
        self.zeros, self.ones = <const float*>address(self.arrays[0]), <const float*>address(self.arrays[1])
        self.take_products()
        self.column_sums = <types.sum32>float32_of(kernels.column_sums, "sum")
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
        self.shape([(self.steps, self.features)] + [(1, n)] * self.initial + [(1, self.steps)] * valid,
                   self.steps if sequences and not states else 1,
                   self.outputs + self.arrays_of_state * n if states else n)
        self.size = (self.features + n + self.biases) * self.columns
        self.row_size = self.columns
        if held is not None:
            self.commits, self.held_rows, self.held = True, len(held), <float*>address(held, True)

    cdef int take_products(self) except -1:
        self.matmul = <types.gemm32>self.product_kernel("gemm")
        self.matmul_packed = <types.gemm32>self.product_kernel("gemm_packed")
        self.matmul_transposed_a = <types.gemm32>self.product_kernel("gemm_transposed_a")
        self.pack = <types.sum32>self.product_kernel("pack", "sum")
        self.pack_turned = <types.sum32>self.product_kernel("pack_turned", "sum")
        return 0

    cdef void arrange(self) noexcept:
        """Say what is not as in a SimpleRNN."""
        pass

    def kernels(self):
        if max(self.features, self.hidden) > MOST_DEPTH:
            return ()
        return (self.features, self.columns), (self.hidden, self.columns)

    def quantize(self, weights):
        x = weights[0].parts(*parts_at(self.split, self.columns))
        h = weights[1].parts(*parts_at(self.joined, self.columns))
        self.few_x, self.few_x_rest, self.few_h, self.few_h_rest = x[0], x[len(x) - 1], h[0], h[len(h) - 1]
        self.size, self.forward_only = self.biases * self.columns, True

    cdef const float* biases_at(self) noexcept nogil:
        return self.w + ((self.features + self.hidden) * self.columns if self.few_x is None else 0)

    cdef Py_ssize_t saved(self) noexcept:
        cdef Py_ssize_t kept = (not self.sequences or self.zero) + 2 * (self.arrays_of_state - 1) + (self.rate > 0)
        return self.steps * ((1 + self.raw) * self.line + kept * self.hidden) + (2 + (self.rate > 0)) * self.hidden

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Addresses, the workspace of a multiply, both kernels in panels, a bias, and what some rows need at a step."""
        return (ADDRESS_SPACE + self.workspace_size()
                + (self.features + self.hidden + 1) * self.columns
                + ((1 + 2 * self.valid) * MOST_ROWS + TEMPORARY) * self.hidden)

    cdef Py_ssize_t workspace_size(self) noexcept nogil:
        if self.few_x is not None:
            return max(self.few_x.space(), self.few_h.space())
        return self.workspace_for(self.columns, max(self.features, self.hidden))

    cdef double work_of_row(self) noexcept:
        return self.steps * (2.0 * (self.features + self.hidden) * self.columns + UNIT_WORK * self.line)

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
        if not self.sequences or self.zero:
            self.h, self.h_row = at, self.steps * self.hidden
            at += states
        if self.rate > 0:
            self.masked, self.mask = at, at + states
            at += states + n * self.hidden
        self.d_h, self.d_c = at, at + n * self.hidden
        at += 2 * n * self.hidden
        self.c, self.squashed = at, at + states         # of an LSTM
        return 0

    cdef int shared(self, Before when, Shared* to) noexcept:
        cdef Py_ssize_t states = self.steps * self.hidden
        cdef int k, n = 2
        if when != BEFORE_GRADIENT:
            return 0
        to[0], to[1] = Shared(self.gates, self.steps * self.line, False), Shared(self.h, self.h_row, False)
        if self.rate > 0:
            to[n] = Shared(self.masked, states, False)
            n += 1
        if self.held_rows and self.arrays_of_state > 1:     # which `commit` keeps
            to[n] = Shared(self.c, states, False)
            n += 1
        for k in range(1 + self.initial):
            to[n] = Shared(NULL, k, False)
            n += 1
        return n

    # What is where.

    cdef float* workspace(self, const Step* step) noexcept nogil:
        return step.scratch + ADDRESS_SPACE

    cdef float* panels(self, const Step* step) noexcept nogil:
        """Where the weights of the state lie in panels, then those of x, then a bias, then a step's numbers."""
        return step.scratch + ADDRESS_SPACE + self.workspace_size()

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

    cdef const float* state_at_first(self, Py_ssize_t row, Py_ssize_t number) noexcept nogil:
        """What a row begins with: what it is given, what the batch before left, or zeros."""
        if self.initial:
            return self.reads[1 + number].rows[row]
        if self.held != NULL:
            return self.held + (row * self.arrays_of_state + number) * self.hidden
        return self.zeros

    cdef bint begins_with_zeros(self) noexcept nogil:
        return not self.initial and self.held == NULL

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
        cdef Py_ssize_t i, j, n = self.hidden, s = rows.step, pitch = self.steps * n, at = rows.first * pitch + s * n
        cdef float* masked
        cdef const float* mask
        lines_of_block(self.line_of(rows.first, s), self.steps * self.line, 0, rows.n, rows.lines)
        if s > 0:
            lines_of_block(self.h + rows.first * self.h_row + (s - 1) * n, self.h_row, 0, rows.n, rows.h)
            lines_of_block(self.c + at - n, pitch, 0, rows.n, rows.c)
        else:
            for i in range(rows.n):
                rows.h[i] = self.state_at_first(rows.first + i, 0)
                rows.c[i] = self.state_at_first(rows.first + i, self.arrays_of_state - 1)
        rows.before = rows.h
        if self.drops(step):
            lines_of_block(self.masked + at, pitch, 0, rows.n, rows.dropped)
            rows.before = rows.dropped
            for i in range(0 if back else rows.n):
                masked, mask = <float*>rows.dropped[i], self.mask + (rows.first + i) * n
                for j in range(n):
                    masked[j] = rows.h[i][j] * mask[j]
        rows.masked = 0
        for i in range(rows.n if self.valid else 0):
            rows.masks[i] = self.reads[self.read_count - 1].rows[rows.first + i][
                self.steps - 1 - s if self.reverse else s] == 0
            rows.masked += rows.masks[i]

    # Masked steps, which are worked out with the others and then forgotten.

    cdef void keep_states(self, Rows* rows) noexcept nogil:
        """The states after a step that is masked are those before it."""
        cdef Py_ssize_t i, row, n = self.hidden
        for i in range(rows.n):
            row = rows.first + i
            if rows.masks[i]:
                memcpy(self.h + row * self.h_row + rows.step * n, rows.h[i], n * sizeof(float))
                if self.arrays_of_state > 1:
                    memcpy(self.c + (row * self.steps + rows.step) * n, rows.c[i], n * sizeof(float))

    cdef void give_valid(self, Py_ssize_t row) noexcept nogil:
        """The states of all steps as they are given: zeros for those that are masked."""
        cdef Py_ssize_t s, n = self.hidden, last = self.steps - 1
        cdef const float* mask = self.reads[self.read_count - 1].rows[row]
        cdef float* a = self.a + row * self.units
        for s in range(self.steps):
            if mask[last - s if self.reverse else s] != 0:
                memcpy(a + s * n, self.h + row * self.h_row + s * n, n * sizeof(float))
            else:
                memset(a + s * n, 0, n * sizeof(float))

    cdef void commit(self, const Step* step) noexcept nogil:
        """The next batch's rows go on from here."""
        cdef Py_ssize_t row, n = self.hidden, last = self.steps - 1
        cdef float* held = self.held
        for row in range(step.rows * self.slices if held != NULL else 0):
            memcpy(held, self.h + row * self.h_row + last * n, n * sizeof(float))
            if self.arrays_of_state > 1:
                memcpy(held + n, self.c + (row * self.steps + last) * n, n * sizeof(float))
            held += self.arrays_of_state * n
