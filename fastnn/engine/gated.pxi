"""Steps of a SimpleRNN, of an LSTM and of a GRU.

With tanh and sigmoid by kernels of their own, with other activations by those of the table.
"""


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


cdef class LSTMOp(RecurrentOp):
    """c' = f c + i g, h' = o activation(c'); i, f, o with the recurrent activation, g with the activation."""

    cdef void arrange(self) noexcept:
        self.columns = self.line = self.split = self.joined = 4 * self.hidden
        self.arrays_of_state = 2
        self.cell_kernel = kernels.lstm_cell

    cdef void forward_step(self, const Step* step, Rows* rows, const float* packed) noexcept nogil:
        cdef Py_ssize_t i, n = self.hidden, pitch = self.steps * n, at = rows.first * pitch + rows.step * n
        cdef float* h = self.h + rows.first * self.h_row + rows.step * n
        self.times(step, rows, rows.before, 0, 0, self.columns, 0, packed)
        if not self.raw:
            self.cell(rows.n, n, <float*>rows.lines[0], self.steps * self.line, rows.c, self.c + at,
                      self.squashed + at, pitch, h, self.h_row)
            return
        for i in range(rows.n):
            self.one(<float*>rows.lines[i], self.z_raw + (rows.lines[i] - self.gates), rows.c[i],
                     self.c + at + i * pitch, self.squashed + at + i * pitch, h + i * self.h_row)

    cdef void one(self, float* z, float* raw, const float* before, float* c, float* squashed, float* h) noexcept nogil:
        cdef Py_ssize_t j, n = self.hidden
        memcpy(raw, z, 4 * n * sizeof(float))
        self.gate(raw, z, self.gate_numbers.values, 2, n)
        self.unit(raw + 2 * n, z + 2 * n, self.unit_numbers.values, 1, n)
        self.gate(raw + 3 * n, z + 3 * n, self.gate_numbers.values, 1, n)
        for j in range(n):
            c[j] = z[n + j] * before[j] + z[j] * z[2 * n + j]
        self.unit(c, squashed, self.unit_numbers.values, 1, n)
        for j in range(n):
            h[j] = z[3 * n + j] * squashed[j]

    cdef void backward_step(self, const Step* step, Rows* rows, const float* turned) noexcept nogil:
        cdef Py_ssize_t i, n = self.hidden, pitch = self.steps * n, at = rows.first * pitch + rows.step * n
        cdef float* d_h = self.d_h + rows.first * n
        cdef float* d_c = self.d_c + rows.first * n
        if not self.raw:
            self.cell_slopes(rows.n, n, <float*>rows.lines[0], self.steps * self.line, rows.c, d_c,
                             self.squashed + at, pitch, d_h, n)
        for i in range(rows.n if self.raw else 0):
            self.one_back(step, <float*>rows.lines[i], self.z_raw + (rows.lines[i] - self.gates), rows.c[i],
                          self.c + at + i * pitch, self.squashed + at + i * pitch, d_h + i * n, d_c + i * n)
        self.times_turned(step, rows, turned, False)

    cdef void one_back(self, const Step* step, float* z, float* raw, const float* before, const float* c,
                       const float* squashed, const float* d_h, float* d_c) noexcept nogil:
        cdef Py_ssize_t j, n = self.hidden
        cdef float* d = self.temporary(step) + MOST_ROWS * n
        cdef float* d_state = d + 4 * n
        for j in range(n):
            d[3 * n + j] = d_h[j] * squashed[j]
            d_state[j] = d_h[j] * z[3 * n + j]
        self.unit_slopes(c, squashed, d_state, self.unit_numbers.values, 1, n)
        for j in range(n):
            d_state[j] += d_c[j]
            d[j] = d_state[j] * z[2 * n + j]
            d[n + j] = d_state[j] * before[j]
            d[2 * n + j] = d_state[j] * z[j]
            d_c[j] = d_state[j] * z[n + j]
        self.gate_slopes(raw, z, d, self.gate_numbers.values, 2, n)
        self.unit_slopes(raw + 2 * n, z + 2 * n, d + 2 * n, self.unit_numbers.values, 1, n)
        self.gate_slopes(raw + 3 * n, z + 3 * n, d + 3 * n, self.gate_numbers.values, 1, n)
        memcpy(z, d, 4 * n * sizeof(float))


cdef class GRUOp(RecurrentOp):
    """h' = z h + (1 - z) n, n = activation(x + r u); u = h.recurrent_kernel + bias, or before: n = activation(x + u).

    reset_after: whether the gate r multiplies the product, which has a bias of its own then, or the state before it.
    """

    cdef void arrange(self) noexcept:
        self.columns, self.line, self.split = 3 * self.hidden, 4 * self.hidden, 2 * self.hidden
        self.joined = self.columns if self.reset_after else self.split
        self.biases = 2 if self.reset_after else 1
        self.cell_kernel = kernels.gru_cell

    cdef void forward_step(self, const Step* step, Rows* rows, const float* packed) noexcept nogil:
        cdef Py_ssize_t i, j, n = self.hidden
        cdef float* h = self.h + rows.first * self.h_row + rows.step * n
        cdef float* z
        cdef float* raw
        self.times(step, rows, rows.before, 0, 0, self.joined, 0, packed)
        if not self.raw:
            self.cell(rows.n, n, <float*>rows.lines[0], self.steps * self.line, rows.h, NULL, NULL, 0, h, self.h_row)
            return
        for i in range(rows.n):
            z = <float*>rows.lines[i]
            raw = self.z_raw + (rows.lines[i] - self.gates)
            memcpy(raw, z, 2 * n * sizeof(float))
            self.gate(raw, z, self.gate_numbers.values, 2, n)
            for j in range(n):
                if self.reset_after:
                    z[3 * n + j] += z[n + j] * z[2 * n + j]
                else:
                    z[2 * n + j] = z[n + j] * rows.before[i][j]
        if not self.reset_after:
            self.times(step, rows, rows.lines, 2 * n, 2 * n, 3 * n, 3 * n, packed)
        for i in range(rows.n):
            z = <float*>rows.lines[i]
            raw = self.z_raw + (rows.lines[i] - self.gates)
            memcpy(raw + 3 * n, z + 3 * n, n * sizeof(float))
            self.unit(raw + 3 * n, z + 3 * n, self.unit_numbers.values, 1, n)
            for j in range(n):
                h[i * self.h_row + j] = z[j] * rows.h[i][j] + (1 - z[j]) * z[3 * n + j]

    cdef void backward_step(self, const Step* step, Rows* rows, const float* turned) noexcept nogil:
        cdef Py_ssize_t i, n = self.hidden
        cdef float* d_h = self.d_h + rows.first * n
        if not self.raw:
            self.cell_slopes(rows.n, n, <float*>rows.lines[0], self.steps * self.line, rows.h, NULL, NULL, 0, d_h, n)
            self.times_turned(step, rows, turned, True)
            return
        for i in range(rows.n):
            self.one_back(step, <float*>rows.lines[i], self.z_raw + (rows.lines[i] - self.gates), rows.h[i],
                          d_h + i * n)
        if self.reset_after:
            self.times_turned(step, rows, turned, True)
            return
        self.reset_back(step, rows, turned)

    cdef void one_back(self, const Step* step, float* z, const float* raw, const float* before, float* d_h
                       ) noexcept nogil:
        """z and n become their gradients, and with reset_after r and u."""
        cdef Py_ssize_t j, n = self.hidden
        cdef float* d = self.temporary(step) + MOST_ROWS * n
        for j in range(n):
            d[j] = d_h[j] * (before[j] - z[3 * n + j])
            d[2 * n + j] = d_h[j] * (1 - z[j])
            d_h[j] *= z[j]
        self.unit_slopes(raw + 3 * n, z + 3 * n, d + 2 * n, self.unit_numbers.values, 1, n)
        self.gate_slopes(raw, z, d, self.gate_numbers.values, 1, n)
        memcpy(z, d, n * sizeof(float))
        memcpy(z + 3 * n, d + 2 * n, n * sizeof(float))
        if self.reset_after:
            for j in range(n):
                d[n + j] = d[2 * n + j] * z[2 * n + j]
                z[2 * n + j] = d[2 * n + j] * z[n + j]
            self.gate_slopes(raw + n, z + n, d + n, self.gate_numbers.values, 1, n)
            memcpy(z + n, d + n, n * sizeof(float))

    cdef void reset_back(self, const Step* step, Rows* rows, const float* turned) noexcept nogil:
        """The rest of it where the state was multiplied with r before the product; u keeps what was multiplied."""
        cdef Py_ssize_t i, j, n = self.hidden
        cdef float* given = self.temporary(step)
        cdef float* d = given + MOST_ROWS * n
        cdef float* d_h = self.d_h + rows.first * n
        cdef const float* mask = self.mask + rows.first * n
        cdef float* r
        self.matmul_packed(rows.lines, 3 * n, turned + 2 * n * n, 0, NULL, given, n, rows.n, n, n,
                           self.workspace(step))
        for i in range(rows.n):
            r = <float*>rows.lines[i] + n
            for j in range(n):
                d[j] = given[i * n + j] * rows.before[i][j]
                given[i * n + j] *= r[j]
            self.gate_slopes(self.z_raw + (r - self.gates), r, d, self.gate_numbers.values, 1, n)
            memcpy(r, d, n * sizeof(float))
        self.matmul_packed(rows.lines, 0, turned, 0, given, given, n, rows.n, n, 2 * n,
                           self.workspace(step))
        for i in range(rows.n * n):
            d_h[i] += given[i] * mask[i] if self.drops(step) else given[i]
