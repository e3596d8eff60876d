"""A built network: an epoch, an evaluation or a prediction over rows, each in one call without the GIL."""

cimport cython
from libc.math cimport HUGE_VAL, isfinite
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from cpython.buffer cimport PyBuffer_Release

import numpy as np

from fastnn.engine.arena cimport GRAIN
from fastnn.engine.arena import aligned
from fastnn.engine.objectives cimport OVER_BATCH_SIZE, Rows, floats_of
from fastnn.engine.learning cimport Learning
from fastnn.engine.ops cimport Op, Step
from fastnn.engine.pace cimport Pace, pace_begin, pace_choose, pace_note
from fastnn.engine.random cimport mix64
from fastnn.kernels.buffers cimport address, take
from fastnn.kernels.team cimport Job, barrier, recruit, run, share_begin


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
    GLANCE = 32768                      # rows times parameters between two looks at the clock: a microsecond or more

# Work, in floating-point operations or what takes as long, from which one more member pays: of a batch, since members
# wait for one another twice in each, and of a run, since they may have to be woken for it.
cdef double BATCH_WORK = 5e5
cdef double RUN_WORK = 2e7
cdef double WORK_OF_A_UNIT = 64         # its activation and loss
cdef double WORK_OF_A_PARAMETER = 32    # its optimizer's step

# How a run ended.
cdef enum Outcome:
    DONE
    PAUSED                              # a slice of it is over
    STOPPED                             # an exception waits in self.pending
    NOT_FINITE                          # the loss of a batch is NaN or infinite
    BAD_ORDER                           # the order of the rows points outside them
    TROUBLE                             # an op could not go on


cdef struct Run:
    # A job for the team: a page of rows to fit, to evaluate or to predict.
    void* network
    Rows rows
    Py_ssize_t batch
    double learning_rate
    const double* rates                 # a learning rate for each batch, or NULL
    bint update                         # new weights, not the gradient alone
    bint settle                         # the ops that follow something take note of each batch
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


cdef class Network(Learning):
    """Ops that follow one another, and what is done with them.

    Methods that run the ops hold the network's lock, so that two Python threads take turns.
    """

    # Without the GIL.

    @cython.final
    cdef void forward(self, const Step* step, Py_ssize_t first, Py_ssize_t last, Py_ssize_t r0,
                      Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(first, last):
            (<Op>self.op_list[i]).forward(step, r0, r1)

    @cython.final
    cdef void gather(self, Py_ssize_t i, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """Add up the gradients that an op's readers have left it."""
        cdef Py_ssize_t extra, units = (<Op>self.op_list[i]).units
        for extra in range(self.extra_starts[i], self.extra_starts[i + 1]):
            self.add((<Op>self.op_list[i]).d + r0 * units, self.extra_d[extra] + r0 * units, (r1 - r0) * units, 0)

    @cython.final
    cdef void backward(self, const Step* step, Py_ssize_t first, Py_ssize_t last, Py_ssize_t r0,
                       Py_ssize_t r1) noexcept nogil:
        """Backward through ops last - 1 .. first, and what is left to do for the one before them, if its rows mix."""
        cdef Py_ssize_t i
        for i in range(last - 1, first - 1, -1):
            if self.wanted[i]:
                # One whose rows mix has been gathered already: it needed the whole batch.
                if self.extra_starts[i] < self.extra_starts[i + 1] and (i == 0 or not (<Op>self.op_list[i]).shares):
                    self.gather(i, r0, r1)
                (<Op>self.op_list[i]).backward(step, r0, r1)
        if first > 0 and self.wanted[first - 1]:
            self.gather(first - 1, r0, r1)

    @cython.final
    cdef void mix(self, Run* job, const Step* step, Py_ssize_t i, bint forwards, int member,
                  int members) noexcept nogil:
        """A member's share of what an op does with the whole batch, between two barriers."""
        cdef Py_ssize_t shares = (<Op>self.op_list[i]).shares
        cdef Py_ssize_t s0 = shares * member // members, s1 = shares * (member + 1) // members
        barrier(member, members)
        if self.goes_on(job):
            if forwards:
                (<Op>self.op_list[i]).before_forward(step, s0, s1)
            elif self.wanted[i]:
                (<Op>self.op_list[i]).before_backward(step, s0, s1)
        barrier(member, members)

    @cython.final
    cdef bint goes_on(self, Run* job) noexcept nogil:
        return atomic_read(&job.outcome) == DONE and atomic_read(&self.trouble) == 0

    @cython.final
    cdef void rows_phase(self, Run* job, const Step* step, Py_ssize_t r0, Py_ssize_t stop, int member,
                         int members) noexcept nogil:
        """Every op forward, the losses, every op backward; in segments between which the batch must be whole."""
        cdef Py_ssize_t segment, last = self.segments - 1
        cdef bint whole = self.loss_waits
        if last == 0 and not whole:
            self.segment_phase(job, step, 0, True, True, r0, stop, member)
            return
        for segment in range(self.segments):
            if segment:
                self.mix(job, step, self.cuts[segment], True, member, members)
            self.segment_phase(job, step, segment, True, segment == last and not whole, r0, stop, member)
        if whole:
            barrier(member, members)
            if self.goes_on(job):
                self.late_losses(step.rows, r0, stop)
                if member == 0:
                    self.whole_losses(step.rows, job.rows.weight != NULL, True)
            if self.has_whole_losses:
                barrier(member, members)
            self.segment_phase(job, step, last, False, True, r0, stop, member)
        for segment in range(last, 0, -1):
            self.mix(job, step, self.cuts[segment], False, member, members)
            self.segment_phase(job, step, segment - 1, False, True, r0, stop, member)

    @cython.final
    cdef void segment_phase(self, Run* job, const Step* step, Py_ssize_t segment, bint forwards, bint backwards,
                            Py_ssize_t r0, Py_ssize_t stop, int member) noexcept nogil:
        """A segment's ops forward, backward or both, for a chunk of rows at a time.

        An op whose rows mix begins its segment on the way forward, and ends the one before on the way back.
        """
        cdef Py_ssize_t r1, first = self.cuts[segment], end = self.cuts[segment + 1]
        cdef Py_ssize_t low = first + 1 if segment else 0, high = end + 1 if segment + 1 < self.segments else end
        while r0 < stop and self.goes_on(job):
            r1 = min(stop, r0 + self.chunk)
            if forwards:
                self.forward(step, first, end, r0, r1)
                if segment + 1 == self.segments:
                    self.losses(step.rows, r0, r1, job.rows.weight != NULL, True)
            if backwards:
                self.backward(step, low, high, r0, r1)
            r0 = r1
            if member == 0 and r0 < stop and self.tick(job.rows.start):
                atomic_swap(&job.outcome, STOPPED)

    @cython.final
    cdef Step new_step(self, bint training, int member) noexcept nogil:
        cdef Step step
        step.training, step.key, step.rows, step.number = training, 0, 0, self.iterations
        step.workspace = self.workspace + member * self.workspace_size
        step.trouble = &self.trouble
        return step

    cdef void fit_rows(self, Run* job, int member, int members) noexcept nogil:
        """A member's part of an epoch: for each batch its share of rows, a barrier, its share of parameters, another.

        What is added up over a batch is in `parts`, and each member adds it in the same order; so all of them know
        whether the loss is finite before anybody changes a weight.
        """
        cdef Step step = self.new_step(True, member)
        cdef Rows rows = job.rows
        cdef Py_ssize_t start = rows.start, r0, r1, i
        cdef Py_ssize_t first = self.first_piece(member, members), last = self.first_piece(member + 1, members)
        cdef bint weighted = rows.weight != NULL
        cdef double total, rate = job.learning_rate
        while start < rows.stop:
            step.rows = min(job.batch, rows.stop - start)
            step.key = mix64(self.seed ^ mix64(<uint64_t>(step.number if job.update else 0)))
            r0 = share_begin(step.rows, GRAIN, member, members)
            r1 = share_begin(step.rows, GRAIN, member + 1, members)
            if not self.collect(&rows, start, r0, r1):
                atomic_swap(&job.outcome, BAD_ORDER)
            self.rows_phase(job, &step, r0, r1, member, members)
            if rows.order != NULL:
                for i in range(min(start + step.rows + r0, rows.stop), min(start + step.rows + r1, rows.stop)):
                    prefetch(rows.x + rows.order[i] * self.inputs, self.inputs * 4)
            barrier(member, members)
            total = self.sum_of_losses(step.rows, weighted)
            if not self.goes_on(job) or not isfinite(total):
                break
            if member == 0:
                self.add_logs(step.rows, weighted)
                if self.trouble:        # with Python at work there is one member
                    break
            step.number += 1
            if job.rates != NULL:
                rate = job.rates[(start - job.first) // job.batch]
            if member == 0 and job.settle:
                self.settle(&step)
            self.learn(&step, rate, job.update, first, last, member, members)
            barrier(member, members)
            start += step.rows
            if member == 0:
                if job.update:
                    self.iterations = step.number
                job.loss += total + step.rows * self.sum_of_penalties()
                job.rows.start = start
                if start < rows.stop:
                    self.look_up(job)
        if member == 0 and atomic_read(&job.outcome) == DONE and start < rows.stop:
            atomic_swap(&job.outcome, TROUBLE if self.trouble else NOT_FINITE)

    @cython.final
    cdef void settle(self, const Step* step) noexcept nogil:
        """The batch is accepted: let the ops that follow something of their own take note of it."""
        cdef Py_ssize_t i
        for i in range(self.count):
            if (<Op>self.op_list[i]).settles:
                (<Op>self.op_list[i]).settle(step)

    cdef void forward_rows(self, Run* job, int member, int members) noexcept nogil:
        """A member's part of an evaluation or a prediction: `batch` rows at a time; 0 stands for a chunk each."""
        cdef Step step = self.new_step(False, member)
        cdef Rows rows = job.rows
        cdef Py_ssize_t start = rows.start, r0, r1, batch = job.batch if job.batch else members * self.chunk
        cdef bint weighted = rows.weight != NULL
        while start < rows.stop:
            step.rows = min(batch, rows.stop - start)
            r0 = share_begin(step.rows, GRAIN, member, members)
            r1 = share_begin(step.rows, GRAIN, member + 1, members)
            self.collect(&rows, start, r0, r1)
            self.forward(&step, 0, self.count, r0, r1)
            if job.out == NULL:
                self.losses(step.rows, r0, r1, weighted, False)
            else:
                self.copy_out(job.out + start * self.units, r0, r1)
            barrier(member, members)
            if member == 0:
                if self.trouble == 0 and job.out == NULL:
                    if self.loss_waits:
                        self.whole_losses(step.rows, weighted, False)
                    self.add_logs(step.rows, weighted)
                if self.trouble:
                    atomic_swap(&job.outcome, TROUBLE)
                else:
                    job.rows.start = start + step.rows
                    if job.rows.start < rows.stop:
                        self.look_up(job)
            barrier(member, members)
            if atomic_read(&job.outcome) != DONE:
                return
            start += step.rows

    @cython.final
    cdef void copy_out(self, float* out, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """The outputs of rows r0:r1, side by side."""
        cdef Py_ssize_t row, k, place, units, column = 0
        for k in range(self.output_count):
            place = self.output_places[k]
            units = (<Op>self.op_list[place]).units
            if units == self.units:
                memcpy(out + r0 * units, (<Op>self.op_list[place]).a + r0 * units, (r1 - r0) * units * sizeof(float))
                return
            for row in range(r0, r1):
                memcpy(out + row * self.units + column, (<Op>self.op_list[place]).a + row * units,
                       units * sizeof(float))
            column += units

    @cython.final
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

    cdef Run new_run(self):
        cdef Run job
        memset(&job, 0, sizeof(job))
        job.network, job.outcome = <void*>self, DONE
        job.glance = GLANCE // max(1, self.parameter_count)
        return job

    cdef int useful_members(self, Py_ssize_t rows, Py_ssize_t batch, bint training) noexcept:
        """Members that a run over `rows` rows keeps busy, in steps of `batch` rows, each between two barriers."""
        cdef double row = 2.0 * self.parameter_count + WORK_OF_A_UNIT * self.width
        cdef double work = 3 * batch * row + WORK_OF_A_PARAMETER * self.learnt if training else batch * row
        if work * rows / batch < RUN_WORK or self.takes_gil:
            return 1
        return <int>min(work / BATCH_WORK, <double>((batch + GRAIN - 1) // GRAIN), 1e6)

    cdef int prepare(self, Py_ssize_t rows, Py_ssize_t batch, bint training, bint loss_follows, progress) except -1:
        """Members for a run over `rows` rows, and room for a batch of them; 0 stands for a chunk each."""
        cdef Py_ssize_t size = max(1, min(batch, rows) if batch else rows)
        self.members = recruit(self.useful_members(max(rows, 1), size, training))
        self.reserve(size if batch else min(size, self.members * self.chunk))
        if self.members > self.workspaces:
            self.workspace_array = aligned(self.members * self.workspace_size)
            self.workspaces = self.members
            self.workspace = <float*>address(self.workspace_array, True)
        self.begin_objectives(loss_follows)
        self.progress = progress
        return 0

    def fit_epoch(self, x, y, weight, order, Py_ssize_t batch_size, learning_rate, progress=None, Py_ssize_t start=0,
                  stop=None):
        """One pass over the rows of x in `order`, from number `start` to `stop`, a step for each batch.

        x (rows, inputs), y (rows, targets), weight (rows,), (rows, outputs) or None: float32, C-contiguous. order:
        uint32 (rows,) or None. learning_rate: a number, or a float64 array with one for each step. progress(row) is
        called every 50 ms or so. Gives (number of the row after the last one done, sum of the rows' losses with
        penalties, whether all went well); `states` has what the metrics gathered. A batch whose loss is not finite ends
        the pass and changes nothing; the row then says where it starts. KeyboardInterrupt, or what progress or an op
        raises, comes out between two batches.
        """
        if self.optimizer == NULL:
            raise RuntimeError("this network has no optimizer yet; call set_optimizer first")
        return self.fit(x, y, weight, order, batch_size, learning_rate, progress, start, stop, True, True)

    def gradient(self, x, y, weight=None, *, settle=False):
        """The loss of the rows of x as one batch, penalties included; `gradients` then has its gradient by the weights.

        x, y, weight as in `fit_epoch`. The weights stay as they are, but with `settle` for moving averages of the rows;
        dropout and noise are the same in each call. FloatingPointError where the loss is not finite.
        """
        _, loss, well = self.fit(x, y, weight, None, max(1, len(x)), 0.0, None, 0, None, False, settle)
        if not well:
            raise FloatingPointError("the loss is not finite")
        return loss / max(1, len(x))

    cdef object fit(self, x, y, weight, order, Py_ssize_t batch_size, learning_rate, progress, Py_ssize_t start, stop,
                    bint update, bint settle):
        cdef Run job = self.new_run()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.enter()
        try:
            self.page(&job.rows, x, y, weight, order)
            job.batch, job.first, job.rows.start, job.update, job.settle = batch_size, start, start, update, settle
            if stop is not None:
                job.rows.stop = stop
            if not 0 <= start <= job.rows.stop <= job.rows.count:
                raise ValueError(
                    f"start and stop must be row numbers from 0 to {job.rows.count}, got {start} and {stop}")
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
            self.explain_trouble(&job)
        finally:
            self.leave()
        if job.outcome == BAD_ORDER:
            raise ValueError(f"order must hold row numbers from 0 to {job.rows.count - 1}")
        return job.rows.start, job.loss, job.outcome == DONE

    cdef int explain_trouble(self, Run* job) except -1:
        """Have `leave` raise what an op says of its trouble."""
        if job.outcome == TROUBLE and self.trouble > 0:
            self.pending = (<Op>self.ops[self.trouble - 1]).explain()
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
            self.prepare(job.rows.count, job.batch, False, True, progress)
            with nogil:
                self.run_in_slices(forward_member, &job, &self.forward_pace)
            self.explain_trouble(&job)
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
            self.prepare(rows, 0, False, False, progress)
            if rows * self.parameter_count < GLANCE:        # shorter than letting other Python threads run takes
                self.run_in_slices(forward_member, &job, &self.forward_pace)
            else:
                with nogil:
                    self.run_in_slices(forward_member, &job, &self.forward_pace)
            if job.outcome != DONE:
                self.explain_trouble(&job)
        finally:
            self.leave()
        return out

    def penalty_value(self):
        """The penalties' value for the weights as they are."""
        cdef Py_ssize_t i
        self.enter()
        try:
            self.penalise_matrices(0, 1)
            for i in range(self.piece_count):
                self.penalty_parts[i] = self.penalise(i)
            return self.sum_of_penalties()
        finally:
            self.leave()
