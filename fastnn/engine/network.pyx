"""A built network: an epoch, an evaluation or a prediction over rows, each in one call without the GIL."""

from libc.math cimport HUGE_VAL, isfinite
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from cpython.buffer cimport PyBuffer_Release

import numpy as np

from fastnn.engine.arena cimport Arena, GRAIN, MAX_SLOTS, Piece
from fastnn.engine.ops cimport Op, Step
from fastnn.engine.pace cimport Pace, pace_begin, pace_choose, pace_note
from fastnn.engine.random cimport mix64
from fastnn.kernels.buffers cimport address, take
from fastnn.kernels.kernel cimport PACK_A_ROWS
from fastnn.kernels.team cimport Job, barrier, run, share_begin


cdef extern from "clock.h" nogil:
    void prefetch(const void* start, Py_ssize_t n)
    double seconds_now()


cdef extern from "atomics.h" nogil:
    int atomic_read(int* p)
    int atomic_swap(int* p, int value)


cdef object ndarray = np.ndarray
cdef object empty = np.empty
cdef object float32 = np.dtype(np.float32)

cdef enum:
    BLOCK = 16384                       # parameters whose gradient and step go together, to stay in cache
    GLANCE = 32768                      # rows times parameters between two looks at the clock: a microsecond or more
    LARGE = 262144                      # numbers in the gradient of a layer's output that are more than L2 holds

# How a run ended.
cdef enum Outcome:
    DONE
    PAUSED                              # a slice of it is over
    STOPPED                             # an exception waits in self.pending
    NOT_FINITE                          # the loss of a batch is NaN or infinite
    BAD_ORDER                           # the order of the rows points outside them


cdef struct Rows:
    # A page of rows, and the batch of them that is being worked on.
    const float* x
    const float* all_y
    const float* all_weight             # or NULL
    const uint32_t* order               # or NULL
    Py_ssize_t count
    Py_ssize_t start                    # of the batch
    Py_ssize_t stop                     # of the run
    const float* y
    const float* weight                 # or NULL


cdef struct Run:
    # A job for the team: a page of rows to fit, to evaluate or to predict.
    void* network
    Rows rows
    Py_ssize_t batch
    double learning_rate
    const double* rates                 # a learning rate for each batch, or NULL
    Py_ssize_t first                    # row of the first batch
    float* out                          # of a prediction
    double loss                         # sum over the rows
    double slice_end                    # the time at which to pause
    Py_ssize_t glance                   # rows after which to look at the clock
    Py_ssize_t looked                   # the row at which it was looked at
    int outcome                         # an Outcome; a member may set it while others look


cdef void fit_member(void* argument, int member, int members) noexcept nogil:
    (<Network>(<Run*>argument).network).fit_rows(<Run*>argument, member, members)


cdef void forward_member(void* argument, int member, int members) noexcept nogil:
    (<Network>(<Run*>argument).network).forward_rows(<Run*>argument, member, members)


cdef bint _all_finite(const float* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not isfinite(x[i]):
            return False
    return True


cdef const float* _floats(str name, array, Py_ssize_t rows, Py_ssize_t columns) except? NULL:
    """The numbers of a C-contiguous float32 array, (rows, columns), or (rows,) where columns is negative."""
    cdef Py_buffer view
    cdef bint fits = take(array, False, &view)
    if fits:
        fits = (view.itemsize == sizeof(float) and view.ndim == (1 if columns < 0 else 2) and view.shape[0] == rows
                and (columns < 0 or view.shape[1] == columns))
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

    cdef void losses(self, const Rows* rows, Py_ssize_t r0, Py_ssize_t r1, double scale, bint slopes) noexcept nogil:
        """The rows' losses and metrics, a sum for each GRAIN of them; the loss's gradient goes to the last op's d."""
        cdef Py_ssize_t block, first, last, start, i
        cdef float* a
        cdef const float* z
        cdef const float* y
        cdef const float* weight
        for block in range(r0 // GRAIN, (r1 + GRAIN - 1) // GRAIN):
            first, last = block * GRAIN, min(r1, (block + 1) * GRAIN)
            start = first * self.units
            a = self.last.a + start
            z = self.last.z + start if self.loss_is_fused else a
            y = rows.y + first * self.targets
            weight = rows.weight + first if rows.weight != NULL else NULL
            self.parts[block] = self.loss.rows(
                z, self.probabilities + start if self.loss_keeps_output else a, y, weight,
                self.last.d + start if slopes else NULL, self.loss.numbers, last - first, self.units, scale)
            for i in range(self.metric_count):
                self.parts[(1 + i) * self.blocks + block] = self.metrics[i].rows(
                    a, a, y, NULL, NULL, self.metrics[i].numbers, last - first, self.units, 1)

    cdef double sum_of_losses(self, Py_ssize_t rows, double total) noexcept nogil:
        """`total` and the losses of a batch, added in the order of its rows."""
        cdef Py_ssize_t block
        for block in range((rows + GRAIN - 1) // GRAIN):
            total += self.parts[block]
        return total

    cdef void add_metrics(self, Py_ssize_t rows) noexcept nogil:
        cdef Py_ssize_t block, i
        for i in range(self.metric_count):
            for block in range((rows + GRAIN - 1) // GRAIN):
                self.metric_sums[i] += self.parts[(1 + i) * self.blocks + block]

    cdef void rows_phase(self, Run* job, const Step* step, const Rows* rows, Py_ssize_t r0, Py_ssize_t stop,
                         int member) noexcept nogil:
        """Every op forward, the loss, every op backward; for a chunk of rows at a time."""
        cdef Py_ssize_t r1, i
        while r0 < stop and atomic_read(&job.outcome) == DONE:
            r1 = min(stop, r0 + self.chunk)
            self.forward(step, r0, r1)
            self.losses(rows, r0, r1, 1.0 / step.rows, True)
            for i in range(self.count - 1, -1, -1):
                (<Op>self.op_list[i]).backward(step, r0, r1)
            r0 = r1
            if member == 0 and r0 < stop and self.tick(rows.start):
                atomic_swap(&job.outcome, STOPPED)

    cdef Py_ssize_t first_piece(self, int member, int members) noexcept nogil:
        """Of a member's share of the parameters; the next member's is its end."""
        cdef Py_ssize_t low = 0, high = self.piece_count, middle
        cdef Py_ssize_t start = self.parameter_count * member // members
        while low < high:
            middle = (low + high) // 2
            if self.pieces[middle].start < start:
                low = middle + 1
            else:
                high = middle
        return low if member < members else self.piece_count

    cdef Py_ssize_t block_size(self, Py_ssize_t op, Py_ssize_t rows) noexcept nogil:
        """Parameters whose gradient is made in one go. Rows of d that do not stay in cache are better read seldom."""
        cdef Py_ssize_t units = (<Op>self.op_list[op]).units
        return BLOCK if rows * units < LARGE else max(<Py_ssize_t>BLOCK, PACK_A_ROWS * units)

    cdef void parameters_phase(
            self, const Step* step, double learning_rate, Py_ssize_t piece, Py_ssize_t stop) noexcept nogil:
        """The gradient and the optimizer's step for some pieces, a block of parameters at a time.

        Small ops share a block, and a large one has several: a block's step follows while its gradient is in cache.
        """
        cdef Py_ssize_t i, end, block, reached, done = self.pieces[piece].start if piece < stop else 0
        cdef Piece* first
        while piece < stop:
            first = &self.pieces[piece]
            block = self.block_size(first.op, step.rows)
            end = piece + 1
            while end < stop and self.pieces[end].op == first.op and self.pieces[end].p1 - first.p0 <= block:
                end += 1
            (<Op>self.op_list[first.op]).gradient(step, first.p0, self.pieces[end - 1].p1)
            if self.penalty_count:
                for i in range(piece, end):
                    self.penalty_parts[i] = self.penalise(
                        self.pieces[i].start, self.pieces[i].start + self.pieces[i].p1 - self.pieces[i].p0)
            piece = end
            reached = self.pieces[piece].start if piece < self.piece_count else self.parameter_count
            if piece == stop or reached - done >= BLOCK:
                self.update(step, done, reached - done, learning_rate)
                done = reached

    cdef double sum_of_penalties(self) noexcept nogil:
        cdef Py_ssize_t i
        cdef double total = 0
        if self.penalty_count:
            for i in range(self.piece_count):
                total += self.penalty_parts[i]
        return total

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

    cdef void update(self, const Step* step, Py_ssize_t start, Py_ssize_t n, double learning_rate) noexcept nogil:
        cdef float* slots[MAX_SLOTS]
        cdef int i
        for i in range(MAX_SLOTS):
            slots[i] = self.slot_list[i] + start if self.slot_list[i] != NULL else NULL
        self.optimizer(self.w + start, self.g + start, slots, n, learning_rate, <double>step.number,
                       self.optimizer_numbers.values)

    cdef bint collect(self, Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """Find rows r0:r1 of the batch that begins at `start`; False where the order points outside."""
        cdef Py_ssize_t i, j, row
        for i in range(r0, r1):
            row = start + i
            if rows.order != NULL:
                row = rows.order[row]
                if row >= rows.count:
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

    cdef Step new_step(self, bint training, int member) noexcept nogil:
        cdef Step step
        step.training, step.key, step.rows, step.number = training, 0, 0, self.iterations
        step.workspace = self.workspace + member * self.workspace_size
        return step

    cdef void fit_rows(self, Run* job, int member, int members) noexcept nogil:
        """A member's part of an epoch: for each batch its share of rows, a barrier, its share of parameters, another.

        What is added up over a batch is in `parts`, and each member adds it in the same order; so all of them know
        whether the loss is finite before anybody changes a weight.
        """
        cdef Step step = self.new_step(True, member)
        cdef Rows rows = job.rows
        cdef Py_ssize_t start = rows.start, r0, r1, i, first, last
        cdef double total, rate = job.learning_rate
        first, last = self.first_piece(member, members), self.first_piece(member + 1, members)
        while start < rows.stop:
            step.rows = min(job.batch, rows.stop - start)
            step.key = mix64(self.seed ^ mix64(<uint64_t>step.number))
            r0 = share_begin(step.rows, GRAIN, member, members)
            r1 = share_begin(step.rows, GRAIN, member + 1, members)
            if self.collect(&rows, start, r0, r1):
                self.rows_phase(job, &step, &rows, r0, r1, member)
            else:
                atomic_swap(&job.outcome, BAD_ORDER)
            if rows.order != NULL:
                for i in range(min(start + step.rows + r0, rows.stop), min(start + step.rows + r1, rows.stop)):
                    prefetch(rows.x + rows.order[i] * self.inputs, self.inputs * 4)
            barrier(member, members)
            total = self.sum_of_losses(step.rows, 0)
            if atomic_read(&job.outcome) != DONE or not isfinite(total):
                break
            if member == 0:
                self.add_metrics(step.rows)
            step.number += 1
            if job.rates != NULL:
                rate = job.rates[(start - job.first) // job.batch]
            self.parameters_phase(&step, rate, first, last)
            barrier(member, members)
            start += step.rows
            if member == 0:
                self.iterations = step.number
                job.loss += total + step.rows * self.sum_of_penalties()
                job.rows.start = start
                if start < rows.stop:
                    self.look_up(job)
        if member == 0 and atomic_read(&job.outcome) == DONE and start < rows.stop:
            atomic_swap(&job.outcome, NOT_FINITE)

    cdef void forward_rows(self, Run* job, int member, int members) noexcept nogil:
        """A member's part of an evaluation or a prediction: up to `chunk` rows at a time."""
        cdef Step step = self.new_step(False, member)
        cdef Rows rows = job.rows
        cdef Py_ssize_t start = rows.start, r0, r1
        while start < rows.stop:
            step.rows = min(members * self.chunk, rows.stop - start)
            r0 = share_begin(step.rows, GRAIN, member, members)
            r1 = share_begin(step.rows, GRAIN, member + 1, members)
            self.collect(&rows, start, r0, r1)
            self.forward(&step, r0, r1)
            if job.out == NULL:
                self.losses(&rows, r0, r1, 0, False)
            else:
                memcpy(job.out + (start + r0) * self.units, self.last.a + r0 * self.units,
                       (r1 - r0) * self.units * sizeof(float))
            barrier(member, members)
            if member == 0:
                if job.out == NULL:
                    job.loss = self.sum_of_losses(step.rows, job.loss)
                    self.add_metrics(step.rows)
                job.rows.start = start + step.rows
                if job.rows.start < rows.stop:
                    self.look_up(job)
            barrier(member, members)
            if atomic_read(&job.outcome) != DONE:
                return
            start += step.rows

    cdef void look_up(self, Run* job) noexcept nogil:
        """Member 0, between two batches: is there something else to do?"""
        if job.rows.start - job.looked < job.glance:
            return
        job.looked = job.rows.start
        cdef double now = seconds_now()
        if now >= self.next_tick and self.tick(job.rows.start):
            atomic_swap(&job.outcome, STOPPED)
        elif now >= job.slice_end:
            atomic_swap(&job.outcome, PAUSED)

    cdef void run_in_slices(self, Job work, Run* job, Pace* pace) noexcept nogil:
        """The whole run, with the members that were recruited while they help."""
        cdef Py_ssize_t start
        cdef double began, seconds
        cdef int members
        job.slice_end = HUGE_VAL
        if self.members == 1:
            run(work, job, 1)
            return
        pace_begin(pace, self.members, job.batch)
        job.outcome = PAUSED
        while job.outcome == PAUSED:
            job.outcome, start, began = DONE, job.rows.start, seconds_now()
            members = pace_choose(pace, &seconds)
            job.slice_end = began + seconds
            run(work, job, members)
            pace_note(pace, seconds_now() - began, job.rows.start - start)

    # What Python calls.

    cdef int page(self, Rows* rows, x, y, weight, order) except -1:
        """A page of rows, its arrays checked. The lock is held, so that what they are checked against stays."""
        if self.loss.rows == NULL:
            raise RuntimeError("this network has no loss yet; call set_loss first")
        rows.count = rows.start = rows.stop = 0
        rows.x = _floats("x", x, len(x), self.inputs)
        rows.count = rows.stop = len(x)
        rows.all_y = _floats("y", y, rows.count, self.targets)
        rows.all_weight = _floats("weight", weight, rows.count, -1) if weight is not None else NULL
        rows.order = NULL
        if order is not None:
            if not isinstance(order, np.ndarray) or order.dtype != np.uint32 or order.shape != (rows.count,) \
                    or not (order.flags.c_contiguous and order.flags.aligned):
                raise ValueError(f"order must be a C-contiguous uint32 array of {rows.count} row numbers")
            rows.order = <const uint32_t*>address(order)
        return 0

    cdef Run new_run(self):
        cdef Run job
        memset(&job, 0, sizeof(job))
        job.network, job.outcome = <void*>self, DONE
        job.glance = GLANCE // max(1, self.parameter_count)
        return job

    cdef list sums(self):
        cdef Py_ssize_t i
        return [self.metric_sums[i] for i in range(self.metric_count)]

    def fit_epoch(self, x, y, weight, order, Py_ssize_t batch_size, learning_rate, progress=None, Py_ssize_t start=0,
                  stop=None):
        """One pass over the rows of x in `order`, from number `start` to `stop`, a step for each batch.

        x (rows, inputs), y (rows, targets) and weight (rows,) or None: float32, C-contiguous. order: uint32 (rows,) or
        None. learning_rate: a number, or a float64 array with one for each step. progress(rows_done) is called every
        50 ms or so. Gives (number of the row after the last one done, sum of the rows' losses with
        penalties, the metrics' sums, whether all went well). A batch whose loss is not finite ends the pass and
        changes nothing; rows done then says where it starts. KeyboardInterrupt, or what progress raises, comes out
        between two batches.
        """
        cdef Run job = self.new_run()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if self.optimizer == NULL:
            raise RuntimeError("this network has no optimizer yet; call set_optimizer first")
        self.enter()
        try:
            self.page(&job.rows, x, y, weight, order)
            job.batch, job.first, job.rows.start = batch_size, start, start
            if stop is not None:
                job.rows.stop = stop
            if not 0 <= start <= job.rows.stop <= job.rows.count:
                raise ValueError(f"start and stop must be row numbers from 0 to {job.rows.count}, got {start} and {stop}")
            if isinstance(learning_rate, ndarray):
                steps = (job.rows.stop - start + batch_size - 1) // batch_size
                rates = np.require(learning_rate, np.float64, ["C", "A"])
                if rates.shape != (steps,):
                    raise ValueError(f"learning_rate must have one number for each of {steps} steps, got {rates.shape}")
                job.rates = <const double*>address(rates)
            else:
                job.learning_rate = learning_rate
            self.prepare(job.rows.stop - start, batch_size, True, True, progress)
            with nogil:
                self.run_in_slices(fit_member, &job, &self.fit_pace)
            sums = self.sums()
        finally:
            self.leave()
        if job.outcome == BAD_ORDER:
            raise ValueError(f"order must hold row numbers from 0 to {job.rows.count - 1}")
        return job.rows.start, job.loss, sums, job.outcome == DONE

    def evaluate(self, x, y, weight, progress=None):
        """(sum of the rows' losses, the metrics' sums) of the network as it predicts; x, y, weight as in fit_epoch.

        Penalties are not in it; `penalty_value` gives them.
        """
        cdef Run job = self.new_run()
        self.enter()
        try:
            self.page(&job.rows, x, y, weight, None)
            self.prepare(job.rows.count, job.rows.count, False, True, progress)
            with nogil:
                self.run_in_slices(forward_member, &job, &self.forward_pace)
            sums = self.sums()
        finally:
            self.leave()
        return job.loss, sums

    def predict(self, x, progress=None):
        """The network's output for each row: float32 (rows, units). x float32 (rows, inputs), C-contiguous."""
        return self.outputs(_floats("x", x, len(x), self.inputs), len(x), progress)

    def predict_as_it_lies(self, x):
        """`predict`, or None where x is not an array that it takes."""
        cdef Py_buffer view
        cdef bint fits
        if not isinstance(x, ndarray) or not take(x, False, &view):
            return None
        fits = (view.itemsize == sizeof(float) and view.ndim == 2 and view.shape[0] > 0
                and view.shape[1] == self.inputs)
        PyBuffer_Release(&view)
        return self.outputs(<const float*>view.buf, view.len // (self.inputs * 4), None) if fits else None

    cdef object outputs(self, const float* x, Py_ssize_t rows, progress):
        cdef Run job = self.new_run()
        out = empty((rows, self.units), float32)
        job.rows.x, job.rows.count, job.rows.stop = x, rows, rows
        job.out = <float*>address(out, True)
        self.enter()
        try:
            self.prepare(rows, rows, False, False, progress)
            if rows * self.parameter_count < GLANCE:        # shorter than letting other Python threads run takes
                self.run_in_slices(forward_member, &job, &self.forward_pace)
            else:
                with nogil:
                    self.run_in_slices(forward_member, &job, &self.forward_pace)
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
