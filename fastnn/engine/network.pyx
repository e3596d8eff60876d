"""A built network: an epoch, an evaluation or a prediction over rows, each in one call without the GIL."""

from libc.math cimport isfinite
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer

import numpy as np

from fastnn.engine.arena cimport Arena, MAX_SLOTS
from fastnn.engine.ops cimport Op, Step
from fastnn.engine.random cimport mix64
from fastnn.kernels.buffers cimport address


cdef extern from "clock.h" nogil:
    void prefetch(const void* start, Py_ssize_t n)


cdef enum:
    CHUNK = 256                         # rows that go through all ops together, to stay in cache
    BLOCK = 16384                       # parameters whose gradient and step go together, likewise

# How a run ended.
cdef enum Outcome:
    DONE
    STOPPED                             # an exception waits in self.pending
    NOT_FINITE                          # the loss of a batch is NaN or infinite
    BAD_ORDER                           # the order of the rows points outside them


cdef struct Rows:
    # A page of rows, and the batch of them that is being worked on.
    const float* x
    const float* all_y
    const float* all_weight             # or NULL
    const Py_ssize_t* order             # or NULL
    Py_ssize_t count
    Py_ssize_t start                    # of the batch
    const float* y
    const float* weight                 # or NULL


cdef bint _all_finite(const float* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not isfinite(x[i]):
            return False
    return True


cdef const float* _floats(str name, array, Py_ssize_t rows, Py_ssize_t columns) except? NULL:
    """The numbers of a C-contiguous float32 array, (rows, columns), or (rows,) where columns is negative."""
    cdef Py_buffer view
    cdef bint fits
    try:
        PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (BufferError, TypeError, ValueError):
        fits = False
    else:
        fits = (view.ndim == (1 if columns < 0 else 2) and view.shape[0] == rows
                and (columns < 0 or view.shape[1] == columns)
                and view.format[0] == b"f" and view.format[1] == 0)
        PyBuffer_Release(&view)
    if not fits:
        shape = f"({rows}, {columns})" if columns >= 0 else f"({rows},)"
        came = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name} must be a C-contiguous float32 array of shape {shape}, got {came}")
    return <const float*>view.buf


cdef class Network(Arena):
    """Ops that follow one another, and what is done with them.

    Methods that run the ops hold the network's lock, so that two Python threads take turns.
    """

    # Without the GIL.

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(self.count):
            (<Op>self.op_list[i]).forward(step, r0, r1)

    cdef double losses(self, const Rows* rows, Py_ssize_t r0, Py_ssize_t r1, double scale, bint slopes) noexcept nogil:
        """Sum of the rows' losses; their gradient goes to the last op's d. Metrics are added up on the way."""
        cdef Py_ssize_t start = r0 * self.units, i
        cdef float* a = self.last.a + start
        cdef const float* z = self.last.z + start if self.loss_is_fused else a
        cdef float* given = self.probabilities + start if self.loss_keeps_output else a
        cdef const float* y = rows.y + r0 * self.targets
        cdef const float* weight = rows.weight + r0 if rows.weight != NULL else NULL
        cdef double total = self.loss.rows(
            z, given, y, weight, self.last.d + start if slopes else NULL, self.loss.numbers,
            r1 - r0, self.units, scale)
        for i in range(self.metric_count):
            self.metric_sums[i] += self.metrics[i].rows(
                a, a, y, NULL, NULL, self.metrics[i].numbers, r1 - r0, self.units, 1)
        return total

    cdef Outcome rows_phase(self, const Step* step, const Rows* rows, double* loss) noexcept nogil:
        """Every op forward, the loss, every op backward; for a chunk of rows at a time."""
        cdef Py_ssize_t r0 = 0, r1, i
        cdef double total = 0
        while r0 < step.rows:
            r1 = min(step.rows, r0 + CHUNK)
            self.forward(step, r0, r1)
            total += self.losses(rows, r0, r1, 1.0 / step.rows, True)
            if not isfinite(total):
                return NOT_FINITE
            for i in range(self.count - 1, -1, -1):
                (<Op>self.op_list[i]).backward(step, r0, r1)
            r0 = r1
            if r0 < step.rows and self.tick(rows.start):
                return STOPPED
        loss[0] += total
        return DONE

    cdef double parameters_phase(self, const Step* step, double learning_rate) noexcept nogil:
        """The gradient and the optimizer's step, a block of parameters at a time; gives the penalties' value.

        Small ops share a block, and a large one has several: a block's step follows while its gradient is in cache.
        """
        cdef Py_ssize_t i, p0, p1, block, size, start, done = 0
        cdef double penalty = 0
        for i in range(self.count):
            size = (<Op>self.op_list[i]).size
            start = (<Op>self.op_list[i]).start
            block = (<Op>self.op_list[i]).granule
            block = max(BLOCK // block, 1) * block if size else 1
            p0 = 0
            while p0 < size:
                p1 = min(p0 + block, size)
                (<Op>self.op_list[i]).gradient(step, p0, p1)
                penalty += self.penalise(start + p0, start + p1)
                if start + p1 - done >= BLOCK:
                    self.update(done, start + p1 - done, learning_rate)
                    done = start + p1
                p0 = p1
        if done < self.parameter_count:
            self.update(done, self.parameter_count - done, learning_rate)
        return penalty

    cdef double penalise(self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        """Add the penalties' gradient for parameters start:stop; gives their value."""
        cdef Py_ssize_t i, first, last
        cdef double value = 0
        for i in range(self.penalty_count):
            first = max(start, self.penalties[i].start)
            last = min(stop, self.penalties[i].stop)
            if first < last:
                value += self.penalty(
                    self.w + first, self.g + first, last - first, self.penalties[i].l1, self.penalties[i].l2)
        return value

    cdef void update(self, Py_ssize_t start, Py_ssize_t n, double learning_rate) noexcept nogil:
        cdef float* slots[MAX_SLOTS]
        cdef int i
        for i in range(MAX_SLOTS):
            slots[i] = self.slot_list[i] + start if self.slot_list[i] != NULL else NULL
        self.optimizer(self.w + start, self.g + start, slots, n, learning_rate, <double>self.iterations,
                       self.optimizer_numbers.values)

    cdef bint collect(self, Rows* rows, Py_ssize_t start, Py_ssize_t count) noexcept nogil:
        """Find the batch's rows through the order; False where the order points outside."""
        cdef Py_ssize_t i, j, row
        for i in range(count):
            row = start + i
            if rows.order != NULL:
                row = rows.order[row]
                if row < 0 or row >= rows.count:
                    return False
                for j in range(self.targets):
                    self.batch_y[i * self.targets + j] = rows.all_y[row * self.targets + j]
                if rows.all_weight != NULL:
                    self.batch_weight[i] = rows.all_weight[row]
            self.addresses[i] = rows.x + row * self.inputs
            # 0 * NaN is NaN: a row of weight 0 must not reach a gradient with one.
            if rows.all_weight != NULL and rows.all_weight[row] == 0:
                if not _all_finite(self.addresses[i], self.inputs):
                    self.addresses[i] = self.zeros
        if rows.order != NULL:
            rows.y = self.batch_y
            rows.weight = self.batch_weight if rows.all_weight != NULL else NULL
        elif rows.all_y != NULL:
            rows.y = rows.all_y + start * self.targets
            rows.weight = rows.all_weight + start if rows.all_weight != NULL else NULL
        rows.start = start
        return True

    cdef Outcome epoch(self, Rows* rows, Py_ssize_t batch, double learning_rate, double* loss) noexcept nogil:
        cdef Step step
        cdef Py_ssize_t start = 0, i
        cdef Outcome outcome
        step.training = True
        step.workspace = self.workspace
        while start < rows.count:
            step.rows = min(batch, rows.count - start)
            step.key = mix64(self.seed ^ mix64(<uint64_t>self.iterations))
            if not self.collect(rows, start, step.rows):
                return BAD_ORDER
            outcome = self.rows_phase(&step, rows, loss)
            if outcome != DONE:
                return outcome
            if rows.order != NULL:
                for i in range(start + step.rows, min(start + step.rows + batch, rows.count)):
                    prefetch(rows.x + rows.order[i] * self.inputs, self.inputs * 4)
            self.iterations += 1
            loss[0] += step.rows * self.parameters_phase(&step, learning_rate)
            start += step.rows
            if self.tick(start):
                rows.start = start
                return STOPPED
        rows.start = start
        return DONE

    # What Python calls.

    cdef int page(self, Rows* rows, x, y, weight, order) except -1:
        """A page of rows, its arrays checked. The lock is held, so that what they are checked against stays."""
        if self.loss.rows == NULL:
            raise RuntimeError("this network has no loss yet; call set_loss first")
        rows.count = rows.start = 0
        rows.x = _floats("x", x, len(x), self.inputs)
        rows.count = len(x)
        rows.all_y = _floats("y", y, rows.count, self.targets)
        rows.all_weight = _floats("weight", weight, rows.count, -1) if weight is not None else NULL
        rows.order = NULL
        if order is not None:
            if not isinstance(order, np.ndarray) or order.dtype != np.intp or order.shape != (rows.count,) \
                    or not (order.flags.c_contiguous and order.flags.aligned):
                raise ValueError(f"order must be a C-contiguous intp array of {rows.count} row numbers")
            rows.order = <const Py_ssize_t*>address(order)
        return 0

    cdef list sums(self):
        cdef Py_ssize_t i
        return [self.metric_sums[i] for i in range(self.metric_count)]

    def fit_epoch(self, x, y, weight, order, Py_ssize_t batch_size, double learning_rate, progress=None):
        """One pass over the rows of x in `order`, a step for each batch.

        x (rows, inputs), y (rows, targets) and weight (rows,) or None: float32, C-contiguous. order: intp (rows,) or
        None. progress(rows_done) is called every 50 ms or so. Gives (rows done, sum of the rows' losses with
        penalties, the metrics' sums, whether all went well). A batch whose loss is not finite ends the pass and
        changes nothing; rows done then says where it starts. KeyboardInterrupt, or what progress raises, comes out
        between two batches.
        """
        cdef Rows rows
        cdef double loss = 0
        cdef Outcome outcome
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if self.optimizer == NULL:
            raise RuntimeError("this network has no optimizer yet; call set_optimizer first")
        self.enter()
        try:
            self.page(&rows, x, y, weight, order)
            self.prepare(min(batch_size, rows.count), True, progress)
            with nogil:
                outcome = self.epoch(&rows, batch_size, learning_rate, &loss)
            sums = self.sums()
        finally:
            self.leave()
        if outcome == BAD_ORDER:
            raise ValueError(f"order must hold row numbers from 0 to {rows.count - 1}")
        return rows.start, loss, sums, outcome == DONE

    def evaluate(self, x, y, weight, progress=None):
        """(sum of the rows' losses, the metrics' sums) of the network as it predicts; x, y, weight as in fit_epoch.

        Penalties are not in it; `penalty_value` gives them.
        """
        cdef Rows rows
        cdef double loss = 0
        cdef Step step
        cdef Py_ssize_t start = 0
        self.enter()
        try:
            self.page(&rows, x, y, weight, None)
            self.prepare(min(<Py_ssize_t>CHUNK, rows.count), True, progress)
            step.training, step.workspace, step.key = False, self.workspace, 0
            with nogil:
                while start < rows.count:
                    step.rows = min(<Py_ssize_t>CHUNK, rows.count - start)
                    self.collect(&rows, start, step.rows)
                    self.forward(&step, 0, step.rows)
                    loss += self.losses(&rows, 0, step.rows, 0, False)
                    start += step.rows
                    if self.tick(start):
                        break
            sums = self.sums()
        finally:
            self.leave()
        return loss, sums

    def predict(self, x, progress=None):
        """The network's output for each row: float32 (rows, units). x float32 (rows, inputs), C-contiguous."""
        cdef Rows rows
        cdef Step step
        cdef Py_ssize_t start = 0
        rows.x, rows.count = _floats("x", x, len(x), self.inputs), len(x)
        rows.order, rows.all_y, rows.all_weight = NULL, NULL, NULL
        out = np.empty((rows.count, self.units), np.float32)
        cdef float* to = <float*>address(out, True)
        self.enter()
        try:
            self.prepare(min(<Py_ssize_t>CHUNK, rows.count), False, progress)
            step.training, step.workspace, step.key = False, self.workspace, 0
            with nogil:
                while start < rows.count:
                    step.rows = min(<Py_ssize_t>CHUNK, rows.count - start)
                    self.collect(&rows, start, step.rows)
                    self.forward(&step, 0, step.rows)
                    memcpy(to + start * self.units, self.last.a, step.rows * self.units * sizeof(float))
                    start += step.rows
                    if self.tick(start):
                        break
        finally:
            self.leave()
        return out

    def penalty_value(self):
        """The penalties' value for the weights as they are."""
        self.enter()
        try:
            return self.penalise(0, self.parameters.size)
        finally:
            self.leave()
