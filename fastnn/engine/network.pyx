"""A built network: an epoch, an evaluation or a prediction over rows, each in one call without the GIL."""

cimport cython
from libc.math cimport HUGE_VAL, isfinite
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from cpython.buffer cimport PyBuffer_Release

import numpy as np

from fastnn.engine.arena import aligned
from fastnn.engine.objectives cimport OVER_BATCH_SIZE, Rows, floats_of
from fastnn.engine.learning cimport GRADIENTS, Learning, PARAMETERS, ROWS, SUMS
from fastnn.engine.ops cimport GRAIN, Op, Step, STEP_WORK
from fastnn.engine.random cimport mix64
from fastnn.engine.thread_tuner cimport ThreadTuner, tuner_begin, tuner_choose, tuner_note
from fastnn.kernels.buffers cimport address, take
from fastnn.kernels.team cimport Job, recruit, run, share_begin
from fastnn.kernels.wide_step cimport WIDE_FROM


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
    GLANCE = 32768                      # multiplications between two looks at the clock: a microsecond or more
    CACHED = 262144                     # bytes of a page that need not be fetched before they are used
    MOST_ROWS_BYTES = 268435456         # of rows that a prediction takes through the ops together, where one is large

# Work, in floating-point operations or what takes as long, from which one more thread pays: of a batch, since threads
# wait for one another in each, and of a run, since they may have to be woken for it.
cdef double BATCH_WORK = 5e5
cdef double RUN_WORK = 2e7

# How a run ended.
cdef enum Outcome:
    DONE
    PAUSED                              # a slice of it is over
    STOPPED                             # an exception waits in self.pending
    NOT_FINITE                          # the loss of a batch, or its gradient, is NaN or infinite
    FAILED                              # an op could not go on


cdef struct Run:
    # A job for the team: a page of rows to fit, to evaluate or to predict.
    void* network
    Rows rows
    Py_ssize_t batch                    # rows of a batch; 0: as many as go through the ops together
    bint by_thread                      # `batch` are rows of each thread
    double learning_rate
    const double* rates                 # a learning rate for each batch, or NULL
    bint update                         # new weights, not the gradient alone
    bint commit                         # the ops that follow something take note of each batch
    uint64_t noise                      # number of the noise of a run without updates
    Py_ssize_t first                    # row of the first batch
    float* out                          # of a prediction
    double loss                         # sum over the rows
    double slice_end                    # the time at which to pause
    Py_ssize_t glance                   # rows after which to look at the clock
    Py_ssize_t looked                   # the row at which it was looked at
    int outcome                         # an Outcome; a thread may set it while others look


cdef void fit_thread(void* argument, int thread, int threads) noexcept nogil:
    (<Network>(<Run*>argument).network).fit_rows(<Run*>argument, thread, threads)


cdef void forward_thread(void* argument, int thread, int threads) noexcept nogil:
    (<Network>(<Run*>argument).network).forward_rows(<Run*>argument, thread, threads)


cdef class Network(Learning):
    """Ops that follow one another, and what is done with them.

    Methods that run the ops hold the network's lock, so that two Python threads take turns.
    """

    # Without the GIL. An op has `slices` rows for each of the network's.

    @cython.final
    cdef void forward(self, const Step* step, Py_ssize_t first, Py_ssize_t last, Py_ssize_t r0,
                      Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t i, slices
        for i in range(first, last):
            slices = (<Op>self.op_list[i]).slices
            (<Op>self.op_list[i]).forward(step, r0 * slices, r1 * slices)

    @cython.final
    cdef void gather(self, Py_ssize_t i, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """Add up the gradients that an op's readers have left it."""
        cdef Py_ssize_t extra, units = (<Op>self.op_list[i]).units * (<Op>self.op_list[i]).slices
        for extra in range(self.extra_starts[i], self.extra_starts[i + 1]):
            self.add((<Op>self.op_list[i]).d + r0 * units, self.extra_d[extra] + r0 * units, (r1 - r0) * units, 0)

    @cython.final
    cdef void backward(self, const Step* step, Py_ssize_t first, Py_ssize_t last, Py_ssize_t r0,
                       Py_ssize_t r1) noexcept nogil:
        """Backward through ops last - 1 .. first."""
        cdef Py_ssize_t i, slices
        for i in range(last - 1, first - 1, -1):
            if self.wanted[i]:
                if self.extra_starts[i] < self.extra_starts[i + 1]:
                    self.gather(i, r0, r1)
                slices = (<Op>self.op_list[i]).slices
                (<Op>self.op_list[i]).backward(step, r0 * slices, r1 * slices)

    @cython.final
    cdef bint goes_on(self, Run* job) noexcept nogil:
        return atomic_read(&job.outcome) == DONE and atomic_read(&self.error) == 0

    @cython.final
    cdef void rows_phase(self, Run* job, const Step* step, Py_ssize_t r0, Py_ssize_t stop, int thread,
                         int threads) noexcept nogil:
        """Every op forward, the losses, every op backward, segment by segment; -1 is what comes before the first."""
        cdef Py_ssize_t i, last = self.segment_count - 1, first = -1 if self.segments[0].whole else 0
        cdef bint whole = self.loss_waits
        for i in range(first, last + 1):
            if i >= 0 and self.segments[i].whole:
                self.wait(ROWS, thread, threads)
                (<Op>self.op_list[self.segments[i].first]).whole_forward(step)
            self.segment_phase(job, step, i, True, i == last and not whole, r0, stop, thread)
        if whole:
            self.wait(ROWS, thread, threads)
            if self.goes_on(job):
                self.late_losses(step.rows, r0, stop)
                if thread == 0:
                    self.whole_losses(step.rows, job.rows.weight != NULL, True)
            if self.has_whole_losses:
                self.wait(SUMS, thread, threads)
            self.segment_phase(job, step, last, False, True, r0, stop, thread)
        for i in range(last - 1, first - 1, -1):
            if self.segments[i + 1].whole:
                self.wait(ROWS, thread, threads)
                (<Op>self.op_list[self.segments[i + 1].first]).whole_backward(step)
            self.segment_phase(job, step, i, False, True, r0, stop, thread)

    @cython.final
    cdef void segment_phase(self, Run* job, const Step* step, Py_ssize_t number, bint forwards, bint backwards,
                            Py_ssize_t r0, Py_ssize_t stop, int thread) noexcept nogil:
        """A segment's ops forward, backward or both, for some rows at a time.

        A whole-batch op begins its segment on the way forward, and ends the one before on the way back.
        """
        cdef Py_ssize_t r1, first = 0, end = 0, rows = self.segments[max(number, 0)].rows
        cdef bint last = number + 1 == self.segment_count
        cdef void* begins = NULL        # the whole-batch op that this segment begins with, and that the next one does
        cdef void* follows = NULL
        if number >= 0:
            first, end = self.segments[number].first, self.segments[number].last
            if self.segments[number].whole:
                begins = self.op_list[first]
        if not last and self.segments[number + 1].whole:
            follows = self.op_list[end]
        while r0 < stop and self.goes_on(job):
            r1 = min(stop, r0 + rows)
            if forwards:
                self.forward(step, first, end, r0, r1)
                if follows != NULL:
                    (<Op>follows).blocks_forward(step, r0 * (<Op>follows).slices, r1 * (<Op>follows).slices)
                if last:
                    self.losses(step.rows, r0, r1, job.rows.weight != NULL, True)
            if backwards:
                if follows != NULL and self.wanted[end]:
                    (<Op>follows).backward(step, r0 * (<Op>follows).slices, r1 * (<Op>follows).slices)
                self.backward(step, first + (begins != NULL), end, r0, r1)
                if begins != NULL and self.wanted[first]:
                    self.gather(first, r0, r1)
                    (<Op>begins).blocks_backward(step, r0 * (<Op>begins).slices, r1 * (<Op>begins).slices)
            r0 = r1
            if thread == 0 and r0 < stop and self.tick(job.rows.start):
                atomic_swap(&job.outcome, STOPPED)

    @cython.final
    cdef Step new_step(self, bint training, int thread) noexcept nogil:
        cdef Step step
        step.training, step.key, step.rows, step.number = training, 0, 0, self.iterations
        step.thread, step.scratch = thread, self.scratch + thread * self.scratch_size
        step.error = &self.error
        return step

    cdef void fit_rows(self, Run* job, int thread, int threads) noexcept nogil:
        """A thread's part of an epoch: for each batch its share of rows, a barrier, its share of parameters' gradients,
        another, and its share of steps.

        What is added up over a batch is in `parts`, and each thread adds it in the same order; so all of them know
        whether the loss is finite, and by `not_finite` whether the gradients are, before any weight changes.
        """
        cdef Step step = self.new_step(True, thread)
        cdef Rows rows = job.rows
        cdef Py_ssize_t start = rows.start, r0 = 0, r1 = 0, i, first = 0, last = self.block_count
        cdef bint weighted = rows.weight != NULL
        cdef bint fetches = rows.order != NULL and rows.count * self.inputs * <Py_ssize_t>sizeof(float) > CACHED
        cdef double total, rate = job.learning_rate
        while start < rows.stop:
            if step.rows != min(job.batch, rows.stop - start):
                step.rows = r1 = min(job.batch, rows.stop - start)
                if threads > 1:
                    r0 = share_begin(step.rows, GRAIN, thread, threads)
                    r1 = share_begin(step.rows, GRAIN, thread + 1, threads)
                    first = self.first_block(step.rows, thread, threads)
                    last = self.first_block(step.rows, thread + 1, threads)
            if self.random:
                step.key = mix64(self.seed ^ mix64(<uint64_t>step.number if job.update else job.noise))
            self.collect(&rows, start, r0, r1)
            self.rows_phase(job, &step, r0, r1, thread, threads)
            if fetches:
                for i in range(min(start + step.rows + r0, rows.stop), min(start + step.rows + r1, rows.stop)):
                    prefetch(rows.x + rows.order[i] * self.inputs, self.inputs * 4)
            self.wait(ROWS, thread, threads)
            total = self.sum_of_losses(step.rows, weighted)
            if not self.goes_on(job) or not isfinite(total):
                break
            step.number += 1
            self.find_gradients(&step, first, last, thread, threads)
            self.wait(GRADIENTS, thread, threads)
            if atomic_read(&self.not_finite):
                break
            if thread == 0:
                self.add_logs(step.rows, weighted)
                if self.error:          # with Python at work there is one thread
                    break
                if job.commit:
                    self.commit(&step)
            if job.rates != NULL:
                rate = job.rates[(start - job.first) // job.batch]
            if job.update:
                self.take_steps(&step, rate, first, last, thread, threads)
            self.wait(PARAMETERS, thread, threads)
            start += step.rows
            if thread == 0:
                if job.update:
                    self.iterations = step.number
                job.loss += total + step.rows * self.sum_of_penalties()
                job.rows.start = start
                if start < rows.stop:
                    self.look_up(job)
        if thread == 0 and atomic_read(&job.outcome) == DONE and start < rows.stop:
            atomic_swap(&job.outcome, FAILED if self.error else NOT_FINITE)

    @cython.final
    cdef void commit(self, const Step* step) noexcept nogil:
        """The batch is accepted: let the ops that follow something of their own take note of it."""
        cdef Py_ssize_t i
        for i in range(self.count):
            if (<Op>self.op_list[i]).commits:
                (<Op>self.op_list[i]).commit(step)

    cdef void forward_rows(self, Run* job, int thread, int threads) noexcept nogil:
        """A thread's part of an evaluation or a prediction, `batch` rows at a time."""
        cdef Step step = self.new_step(False, thread)
        cdef Rows rows = job.rows
        cdef Py_ssize_t start = rows.start, r0, r1
        cdef bint weighted = rows.weight != NULL
        while start < rows.stop:
            step.rows = min(job.batch * threads if job.by_thread else job.batch, rows.stop - start)
            r0 = share_begin(step.rows, GRAIN, thread, threads)
            r1 = share_begin(step.rows, GRAIN, thread + 1, threads)
            self.collect(&rows, start, r0, r1)
            self.forward_segments(&step, r0, r1)
            if job.out == NULL:
                self.losses(step.rows, r0, r1, weighted, False)
            else:
                self.copy_out(job.out + start * self.units, r0, r1)
            self.wait(ROWS, thread, threads)
            if thread == 0:
                if self.error == 0 and job.out == NULL:
                    if self.loss_waits:
                        self.whole_losses(step.rows, weighted, False)
                    self.add_logs(step.rows, weighted)
                if self.error:
                    atomic_swap(&job.outcome, FAILED)
                else:
                    job.rows.start = start + step.rows
                    if job.rows.start < rows.stop:
                        self.look_up(job)
            self.wait(PARAMETERS, thread, threads)
            if atomic_read(&job.outcome) != DONE:
                return
            start += step.rows

    @cython.final
    cdef void forward_segments(self, const Step* step, Py_ssize_t r0, Py_ssize_t stop) noexcept nogil:
        """Rows r0:stop through all ops, some at a time."""
        cdef Py_ssize_t i, r, rows
        for i in range(self.segment_count):
            r, rows = r0, self.segments[i].rows
            while r < stop:
                self.forward(step, self.segments[i].first, self.segments[i].last, r, min(stop, r + rows))
                r += rows

    @cython.final
    cdef void copy_out(self, float* out, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """The outputs of rows r0:r1, side by side."""
        cdef Py_ssize_t row, k, place, units, column = 0
        for k in range(self.output_count):
            place = self.output_places[k]
            units = (<Op>self.op_list[place]).units * (<Op>self.op_list[place]).slices
            if units == self.units:
                memcpy(out + r0 * units, (<Op>self.op_list[place]).a + r0 * units, (r1 - r0) * units * sizeof(float))
                return
            for row in range(r0, r1):
                memcpy(out + row * self.units + column, (<Op>self.op_list[place]).a + row * units,
                       units * sizeof(float))
            column += units

    @cython.final
    cdef void look_up(self, Run* job) noexcept nogil:
        """The calling thread, between two batches: is there something else to do?"""
        if job.rows.start - job.looked < job.glance:
            return
        job.looked = job.rows.start
        cdef double now = seconds_now()
        if now >= self.next_tick and self.tick(job.rows.start):
            atomic_swap(&job.outcome, STOPPED)
        elif now >= job.slice_end:
            atomic_swap(&job.outcome, PAUSED)

    cdef void run_in_slices(self, Job work, Run* job, ThreadTuner* tuner) noexcept nogil:
        """The whole run, with the threads that were recruited while they help."""
        cdef Py_ssize_t start
        cdef double began, seconds
        cdef int threads
        job.slice_end = HUGE_VAL
        if self.threads == 1:
            run(work, job, 1)
            return
        tuner_begin(tuner, self.threads, job.batch)
        job.outcome = PAUSED
        while job.outcome == PAUSED:
            job.outcome, start, began = DONE, job.rows.start, seconds_now()
            threads = tuner_choose(tuner, &seconds)
            job.slice_end = began + seconds
            run(work, job, threads)
            tuner_note(tuner, seconds_now() - began, job.rows.start - start)

    # What Python calls.

    cdef Run new_run(self):
        cdef Run job
        memset(&job, 0, sizeof(job))
        job.network, job.outcome = <void*>self, DONE
        job.glance = GLANCE // max(1, self.row_multiplies)
        return job

    cdef int useful_threads(self, Py_ssize_t rows, Py_ssize_t batch, bint training) noexcept:
        """Threads that a run over `rows` rows keeps busy, in steps of `batch` rows, each between two barriers."""
        cdef double work = batch * self.row_work
        if training:
            work = 3 * work + STEP_WORK * self.learnt
        if work * rows / batch < RUN_WORK or self.takes_gil:
            return 1
        return <int>min(work / BATCH_WORK, <double>((batch + GRAIN - 1) // GRAIN), 1e6)

    cdef int prepare(self, Run* job, bint training, bint loss_follows, progress) except -1:
        """Threads for a run, and room for a batch of its rows."""
        cdef Py_ssize_t rows = max(1, job.rows.stop - job.rows.start), most
        job.by_thread = job.batch == 0
        if job.by_thread:
            job.batch = self.most_rows
            if self.row_units > MOST_ROWS_BYTES // (4 * self.most_rows):
                most = max(1, MOST_ROWS_BYTES // (4 * self.row_units))
                job.batch = most // GRAIN * GRAIN if most > GRAIN else most
            self.threads = recruit(self.useful_threads(rows, rows, False))
            self.reserve(min(rows, self.threads * job.batch), False)
        else:
            job.batch = min(job.batch, rows)
            self.threads = recruit(self.useful_threads(rows, job.batch, training))
            self.reserve(job.batch, training)
        self.reserve_scratch(self.threads)
        self.begin_objectives(loss_follows)
        self.progress = progress
        self.not_finite = 0
        return 0

    @property
    def op_not_finite(self):
        """The number of an op whose gradient was not finite in the batch that ended the last run, or None."""
        return self.not_finite - 1 if self.not_finite else None

    def fit_epoch(self, x, y, weight, order, Py_ssize_t batch_size, learning_rate, progress=None, Py_ssize_t start=0,
                  stop=None):
        """One pass over the rows of x in `order`, from number `start` to `stop`, a step for each batch.

        x (rows, inputs), y (rows, targets), weight (rows,), (rows, lines) or None: float32, C-contiguous. order:
        uint32 (rows,) or None. learning_rate: a number, or a float64 array with one for each step. progress(row) is
        called every 50 ms or so. Gives (number of the row after the last one done, sum of the rows' losses with
        penalties, whether all went well); `states` has what the metrics gathered. A batch whose loss is not finite ends
        the pass and changes nothing; the row then says where it starts. KeyboardInterrupt, or what progress or an op
        raises, comes out between two batches.
        """
        if self.optimizer == NULL:
            raise RuntimeError("this network has no optimizer yet; call set_optimizer first")
        return self.fit(x, y, weight, order, batch_size, learning_rate, progress, start, stop, True, True)

    def gradient(self, x, y, weight=None, *, commit=False, noise=0):
        """The loss of the rows of x as one batch, penalties included; `gradients` then has its gradient by the weights.

        x, y, weight as in `fit_epoch`. The weights stay as they are, but with `commit` for moving averages of the rows.
        noise: which of dropout's and noise's random numbers; the same in each call with the same number.
        FloatingPointError where the loss or the gradient is not finite.
        """
        _, loss, well = self.fit(x, y, weight, None, max(1, len(x)), 0.0, None, 0, None, False, commit, noise)
        if not well:
            raise FloatingPointError("the loss or its gradient is not finite")
        return loss / max(1, len(x))

    def step_on_gradients(self, gradients, double learning_rate):
        """A step of the optimizer on given gradients, float32 with the offsets of `parameters`.

        FloatingPointError, and no change, where one is not finite.
        """
        cdef double largest
        cdef Step step
        if self.optimizer == NULL:
            raise RuntimeError("this network has no optimizer yet; call set_optimizer first")
        self.enter()
        try:
            given = floats_of("gradients", gradients, self.parameters.size, -1)
            largest = self.largest(<float*>given, NULL, self.parameters.size, 0)
            if not isfinite(largest):
                raise FloatingPointError("a gradient is not finite")
            self.huge |= largest > WIDE_FROM
            memcpy(self.g, given, self.parameters.size * sizeof(float))
            step = self.new_step(True, 0)
            step.number += 1
            self.take_steps(&step, learning_rate, 0, self.block_count, 0, 1)
            self.iterations = step.number
        finally:
            self.leave()

    cdef object fit(self, x, y, weight, order, Py_ssize_t batch_size, learning_rate, progress, Py_ssize_t start, stop,
                    bint update, bint commit, uint64_t noise=0):
        cdef Run job = self.new_run()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.enter()
        try:
            self.page(&job.rows, x, y, weight, order)
            job.batch, job.first, job.rows.start, job.update, job.commit = batch_size, start, start, update, commit
            job.noise = noise
            if stop is not None:
                job.rows.stop = stop
            if not 0 <= start <= job.rows.stop <= job.rows.count:
                raise ValueError(
                    f"start and stop must be row numbers from 0 to {job.rows.count}, got {start} and {stop}")
            self.check_order(&job.rows)
            if isinstance(learning_rate, ndarray):
                steps = (job.rows.stop - start + batch_size - 1) // batch_size
                rates = np.require(learning_rate, np.float64, ["C", "A"])
                if rates.shape != (steps,):
                    raise ValueError(f"learning_rate must have one number for each of {steps} steps, got {rates.shape}")
                job.rates = <const double*>address(rates)
            else:
                job.learning_rate = learning_rate
            self.prepare(&job, True, True, progress)
            with nogil:
                self.run_in_slices(fit_thread, &job, &self.fit_tuner)
            self.explain_failure(&job)
        finally:
            self.leave()
        return job.rows.start, job.loss, job.outcome == DONE

    cdef int explain_failure(self, Run* job) except -1:
        """Have `leave` raise what an op says of its failure."""
        if job.outcome == FAILED and self.error > 0:
            self.pending = (<Op>self.ops[self.error - 1]).explain()
        return 0

    def evaluate(self, x, y, weight, progress=None, Py_ssize_t batch_size=0):
        """The sum of the rows' losses of the network as it predicts; x, y, weight as in fit_epoch.

        batch_size matters for losses that are not a mean over the rows. Penalties are not in the sum; `penalty_value`
        gives them. `states` has what the metrics gathered.
        """
        cdef Run job = self.new_run()
        cdef Py_ssize_t i
        self.enter()
        try:
            self.page(&job.rows, x, y, weight, None)
            for i in range(self.objective_count):
                if self.objectives[i].whole or self.objectives[i].reduction != OVER_BATCH_SIZE:
                    job.batch = batch_size if batch_size > 0 else max(1, job.rows.count)
            self.prepare(&job, False, True, progress)
            with nogil:
                self.run_in_slices(forward_thread, &job, &self.forward_tuner)
            self.explain_failure(&job)
        finally:
            self.leave()
        return self.sum_of_totals()

    def predict(self, x, progress=None):
        """The network's outputs for each row, side by side: float32 (rows, units). x float32 (rows, inputs)."""
        return self.predicted(floats_of("x", x, len(x), self.inputs), len(x), progress)

    def predict_as_it_lies(self, x):
        """`predict`, or None where x is not an array that it takes."""
        cdef Py_buffer view
        cdef bint fits
        if not isinstance(x, ndarray) or not take(x, False, &view):
            return None
        fits = (view.itemsize == sizeof(float) and view.ndim == 2 and view.shape[0] > 0
                and view.shape[1] == self.inputs)
        PyBuffer_Release(&view)
        return self.predicted(<const float*>view.buf, view.len // (self.inputs * 4), None) if fits else None

    cdef object predicted(self, const float* x, Py_ssize_t rows, progress):
        cdef Run job = self.new_run()
        out = empty((rows, self.units), float32)
        job.rows.x, job.rows.count, job.rows.stop = x, rows, rows
        job.out = <float*>address(out, True)
        self.enter()
        try:
            self.prepare(&job, False, False, progress)
            if rows * self.row_multiplies < GLANCE:         # shorter than letting other Python threads run takes
                self.run_in_slices(forward_thread, &job, &self.forward_tuner)
            else:
                with nogil:
                    self.run_in_slices(forward_thread, &job, &self.forward_tuner)
            if job.outcome != DONE:
                self.explain_failure(&job)
        finally:
            self.leave()
        return out

    def penalty_value(self):
        """The penalties' value for the weights as they are."""
        cdef Py_ssize_t i
        self.enter()
        try:
            self.penalise_matrices(0, 1)
            for i in range(self.block_count):
                self.penalty_parts[i] = self.penalise(i)
            return self.sum_of_penalties()
        finally:
            self.leave()
