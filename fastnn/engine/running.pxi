"""How a network runs: what each thread of the team does in an epoch, an evaluation or a prediction.

All of it is without the GIL. A batch has two phases. In the first a thread takes its share of the rows through the ops,
forward and back; in the second it has a share of the parameters (learning.pxi).
"""


cdef extern from "clock.h" nogil:
    void prefetch(const void* start, Py_ssize_t n)
    double seconds_now()


cdef extern from "atomics.h" nogil:
    int atomic_read(int* p)
    int atomic_swap(int* p, int value)


cdef enum:
    RESTARTS = 8
    CACHED_PAGE = 262144                # bytes of a page that need not be fetched before they are used


cdef void fit_thread(void* argument, int thread, int threads) noexcept nogil:
    (<Runner>(<Run*>argument).network).fit_rows(<Run*>argument, thread, threads)


cdef void forward_thread(void* argument, int thread, int threads) noexcept nogil:
    (<Runner>(<Run*>argument).network).forward_rows(<Run*>argument, thread, threads)


include "by_columns.pxi"


cdef class Runner(ColumnRunner):
    """A network that learns, and the runs of its threads. An op has `slices` rows for each of the network's."""

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
                self.meet(2 * i, thread, threads)
                (<Op>self.op_list[self.segments[i].first]).whole_forward(step)
            self.segment_phase(job, step, i, True, i == last and not whole, r0, stop, thread)
        if whole:
            self.meet(2 * last + 2, thread, threads)
            if self.goes_on(job):
                self.late_losses(step.rows, r0, stop)
                if thread == 0:
                    self.whole_losses(step.rows, job.rows.weight != NULL, True)
            if self.has_whole_losses:
                self.wait(SUMS, thread, threads)
            self.segment_phase(job, step, last, False, True, r0, stop, thread)
        for i in range(last - 1, first - 1, -1):
            if self.segments[i + 1].whole:
                self.meet(2 * i + 3, thread, threads)
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
                    self.losses(step.batch, r0, r1, job.rows.weight != NULL, True)
            if backwards:
                if follows != NULL and self.wanted[end]:
                    (<Op>follows).backward(step, r0 * (<Op>follows).slices, r1 * (<Op>follows).slices)
                self.backward(step, first + (begins != NULL), end, r0, r1)
                if begins != NULL and self.wanted[first]:
                    self.gather(first, r0, r1)
                    (<Op>begins).blocks_backward(step, r0 * (<Op>begins).slices, r1 * (<Op>begins).slices)
            r0 = r1
            if thread == 0 and r0 < stop and self.tick(job.rows.start, job.loss):
                atomic_swap(&job.outcome, STOPPED)

    cdef Step new_step(self, bint training, int thread) noexcept nogil:
        cdef Step step
        step.training, step.key, step.rows, step.number = training, 0, 0, self.iterations
        step.first = step.batch = step.late = 0
        step.thread, step.scratch = thread, self.scratch + thread * self.scratch_size
        step.error, step.penalty, step.linked = &self.error, 1, self.linked
        return step

    cdef void fit_rows(self, Run* job, int thread, int threads) noexcept nogil:
        """A thread's part of an epoch: for each batch its share of rows, a barrier, its share of parameters' gradients,
        another, and its share of steps. Where a batch goes by parts, all but the steps is done for each.

        What is added up over a batch is in `parts`, and each thread adds it in the same order; so all of them know
        whether the loss is finite, and by `not_finite` whether the gradients are, before any weight changes.
        """
        cdef Step step = self.new_step(True, thread)
        cdef Rows rows = job.rows
        cdef Py_ssize_t start = rows.start, r0 = 0, r1 = 0, i, first = 0, last = self.block_count, next_row
        cdef Py_ssize_t steps = self.first_block(0, thread, threads), end = self.first_block(0, thread + 1, threads)
        cdef bint weighted = rows.weight != NULL, well = True, done
        cdef bint straight = threads == 1 and self.segment_count == 1 and not self.segments[0].whole \
            and not self.loss_waits and job.part <= self.segments[0].rows
        cdef bint plain = self.is_plain(job, threads)
        cdef bint fetches = rows.order != NULL and rows.count * rows.row_bytes > CACHED_PAGE
        cdef double total, share, rate = job.learning_rate
        cdef int huge = self.huge
        while start < rows.stop:
            step.batch, total, done = min(job.batch, rows.stop - start), 0, False
            while True:
                if step.rows != min(job.part, step.batch - step.first):
                    step.rows = r1 = min(job.part, step.batch - step.first)
                    if threads > 1 or self.linked:
                        self.share_rows(step.rows, thread, threads, &r0, &r1)
                        first = self.first_block(step.rows, thread, threads)
                        last = self.first_block(step.rows, thread + 1, threads)
                if self.random:
                    step.key = mix64(self.seed ^ (<uint64_t>step.first + (
                        mix64(<uint64_t>step.number) if job.update else mix64(job.noise) + (start - job.first))))
                if thread == 0:
                    job.within = step.first
                self.collect(&rows, start + step.first, r0, r1)
                if self.linked:
                    self.collect_others(&rows, start + step.first, step.rows, thread, threads)
                if straight and self.goes_on(job):
                    self.forward(&step, 0, self.count, r0, r1)
                    self.losses(step.batch, r0, r1, weighted, True)
                    self.backward(&step, 0, self.count, r0, r1)
                else:
                    self.rows_phase(job, &step, r0, r1, thread, threads)
                if self.row_clip > 0 and job.update and not self.by_rows:
                    self.clip_rows(&step, r0, r1)
                next_row = start + step.first + step.rows
                if fetches:
                    for i in range(min(next_row + r0, rows.stop), min(next_row + r1, rows.stop)):
                        prefetch(rows.x + rows.order[i] * rows.row_bytes, rows.row_bytes)
                self.meet(2 * self.segment_count + 1, thread, threads)
                total += self.sum_of_losses(step.rows, weighted)
                well = self.goes_on(job) and isfinite(total)
                if not well:
                    break
                done = step.first + step.rows == step.batch
                if self.penalty_rows > 0:   # divided by what the loss is: by rows, or by their weights
                    share = self.share_of(&self.objectives[0], step.batch, weighted)
                    step.penalty = self.penalty_rows * share / step.batch
                if self.late_variable >= 0:
                    step.late = (<Op>self.op_list[self.late_op]).gradient_bound(&step) <= WIDE_FROM
                if self.by_rows:
                    self.clip_row(&step, first, last, thread, threads)
                if plain:
                    self.plain_gradients(&step)
                elif done or not self.by_rows:
                    self.find_gradients(&step, first, last, thread, threads)
                    if self.sparse:
                        self.find_touched(&step, thread, threads)
                if thread == 0 and not done:
                    if step.first == 0:
                        self.keep_logs(False)
                    self.add_logs(step.rows, weighted)
                self.wait(GRADIENTS, thread, threads)
                well = not atomic_read(&self.not_finite)
                if done or not well:
                    break
                step.first += step.rows
            if not well:
                break
            step.number += 1
            if thread == 0:
                self.add_logs(step.rows, weighted)
                if self.error:          # with Python at work there is one thread
                    break
                if job.commit:
                    self.commit(&step, False)
            if job.rates != NULL:
                rate = job.rates[(start - job.first) // job.batch]
            if plain:
                self.plain_steps(&step, rate)
            elif job.update:
                if self.row_noise > 0:
                    self.add_noise(&step, steps, end)
                self.take_steps(&step, rate, steps, end, thread, threads)
            elif job.mean != NULL:
                self.average_gradients(job, start, step.batch, first, last)
            self.wait(PARAMETERS, thread, threads)
            start += step.batch
            step.first = 0
            if thread == 0:
                if job.update:
                    self.iterations, huge = step.number, self.huge
                job.loss += total + step.batch * self.sum_of_penalties()
                job.rows.start = start
                if start < rows.stop:
                    self.look_up(job)
        if thread == 0:
            self.huge = huge            # of the batches that were accepted
            if step.first:
                self.keep_logs(True)
        if thread == 0 and atomic_read(&job.outcome) == DONE and start < rows.stop:
            atomic_swap(&job.outcome, FAILED if self.error else NOT_FINITE)

    # Steps of small networks with nothing around the optimizer's rule: by pieces, which are known before.

    @cython.final
    cdef bint is_plain(self, const Run* job, int threads) noexcept nogil:
        return self.pieces != NULL and job.update and threads == 1 and not (
            self.linked or self.apart or self.by_rows or self.has_penalties or self.has_constraints
            or self.decays_apart or job.part < job.batch or self.late_variable >= 0 or self.whole_step != NULL
            or self.accumulation > 1 or self.average != NULL or self.row_clip > 0 or self.row_noise > 0
            or self.weight_decay > 0 or self.clip_value > 0 or self.clip_norm > 0 or self.clip_global_norm > 0)

    @cython.final
    cdef void plain_gradients(self, const Step* step) noexcept nogil:
        """`find_gradients` of all blocks."""
        cdef Py_ssize_t i
        cdef const Piece* piece
        cdef double largest
        for i in range(self.piece_count):
            piece = &self.pieces[i]
            (<Op>piece.op).gradient(step, piece.p0, piece.p1)
            if piece.n:
                largest = self.largest(self.g + piece.start, NULL, piece.n, 0)
                if largest > WIDE_FROM:
                    self.huge = True
                if not isfinite(largest):
                    self.not_finite = True
                    return

    @cython.final
    cdef void plain_steps(self, const Step* step, double rate) noexcept nogil:
        """`take_steps` of all blocks."""
        cdef Py_ssize_t i
        for i in range(self.piece_count):
            if self.pieces[i].n:
                self.update(step, rate, self.pieces[i].start, self.pieces[i].n, self.g + self.pieces[i].start)

    @cython.final
    cdef void average_gradients(self, const Run* job, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t block,
                                Py_ssize_t stop) noexcept nogil:
        """Take a batch's gradients into the mean over all rows; with the last batch this takes their place."""
        cdef Py_ssize_t i, n, done = start - job.first
        cdef float* g
        cdef float* mean
        for i in range(block, stop):
            g, mean = self.g + self.blocks[i].start, job.mean + self.blocks[i].start
            n = self.blocks[i].p1 - self.blocks[i].p0
            self.take_average(mean, g, n, <double>done / (done + rows))
            if start + rows == job.rows.stop:
                memcpy(g, mean, n * sizeof(float))

    @cython.final
    cdef void commit(self, const Step* step, bint states_alone) noexcept nogil:
        """The batch is accepted: let the ops that follow something of their own, or its states, take note of it."""
        cdef Py_ssize_t i
        for i in range(self.count):
            if (<Op>self.op_list[i]).held_rows or ((<Op>self.op_list[i]).commits and not states_alone):
                (<Op>self.op_list[i]).commit(step)

    cdef void forward_rows(self, Run* job, int thread, int threads) noexcept nogil:
        """A thread's part of an evaluation or a prediction, `batch` rows at a time."""
        cdef Step step = self.new_step(job.in_training, thread)
        cdef Rows rows = job.rows
        cdef Py_ssize_t start = rows.start, r0, r1
        cdef bint weighted = rows.weight != NULL
        while start < rows.stop:
            step.rows = min(job.batch * threads if job.by_thread else job.batch, rows.stop - start)
            r0 = share_begin(step.rows, self.block_rows, thread, threads)
            r1 = share_begin(step.rows, self.block_rows, thread + 1, threads)
            if self.linked:
                self.share_rows(step.rows, thread, threads, &r0, &r1)
                self.collect_others(&rows, start, step.rows, thread, threads)
            self.collect(&rows, start, r0, r1)
            if job.noise:
                step.key, step.number = mix64(self.seed ^ mix64(mix64(job.noise))) + start, job.noise
            self.forward_segments(&step, r0, r1)
            if job.out == NULL:
                self.losses(step.rows, r0, r1, weighted, False)
            else:
                self.copy_out(job.out + start * self.units, r0, r1)
            self.meet(2 * self.segment_count + 1, thread, threads)
            if thread == 0:
                if self.error == 0 and job.out == NULL:
                    if self.loss_waits:
                        self.whole_losses(step.rows, weighted, False)
                    self.add_logs(step.rows, weighted)
                if self.error:
                    atomic_swap(&job.outcome, FAILED)
                else:
                    if job.in_training or self.fixed_rows:
                        self.commit(&step, not job.in_training)
                    job.rows.start = start + step.rows
                    if job.rows.start < rows.stop and not self.linked:
                        self.look_up(job)
            self.wait(PARAMETERS, thread, threads)
            if atomic_read(&job.outcome) != DONE:
                return
            start += step.rows

    @cython.final
    cdef void forward_segments(self, const Step* step, Py_ssize_t r0, Py_ssize_t stop) noexcept nogil:
        """Rows r0:stop through all ops, some at a time."""
        cdef Py_ssize_t i, r, rows
        if step.training:
            self.blocks_of(step, 0, r0, stop)
        for i in range(self.segment_count):
            r, rows = r0, self.segments[i].rows
            if step.training and self.segments[i].whole:
                (<Op>self.op_list[self.segments[i].first]).whole_forward(step)
            while r < stop:
                self.forward(step, self.segments[i].first, self.segments[i].last, r, min(stop, r + rows))
                r += rows
            if step.training:
                self.blocks_of(step, i + 1, r0, stop)

    @cython.final
    cdef void blocks_of(self, const Step* step, Py_ssize_t number, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """What the whole-batch op that a segment begins with, if it does, notes of the rows that it reads."""
        cdef void* op
        if number < self.segment_count and self.segments[number].whole:
            op = self.op_list[self.segments[number].first]
            (<Op>op).blocks_forward(step, r0 * (<Op>op).slices, r1 * (<Op>op).slices)

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
        if now >= self.next_tick and self.tick(job.rows.start, job.loss if job.trains else self.sum_of_totals()):
            atomic_swap(&job.outcome, STOPPED)
        elif now >= job.slice_end:
            atomic_swap(&job.outcome, PAUSED)

    cdef bint begins_anew(self, Run* job) noexcept nogil:
        """Whether a run was stopped because its weights are others now; then it is made ready to go on.

        A fit goes on with the batch that was under way. An evaluation or a prediction, which is all of one set of
        weights, begins with its first row. Not for ever: a handler may write more often than a run takes.
        """
        if not self.rewritten:
            return False
        self.rewritten, job.outcome = False, DONE
        job.restarts += 1
        if job.restarts > RESTARTS:
            return True
        if not job.trains and not self.fixed_rows:      # whose states have gone on
            job.rows.start = job.looked = 0
            with gil:
                self.begin_objectives(job.out == NULL)
        return True

    cdef void run_in_slices(self, Job work, Run* job, ThreadTuner* tuner) noexcept nogil:
        """The whole run, with the threads that were recruited while they help."""
        cdef Py_ssize_t start
        cdef double began, seconds
        cdef int threads
        job.slice_end = HUGE_VAL
        if self.threads == 1 or self.linked:
            run(work, job, self.threads)
            while not self.linked and self.begins_anew(job):
                run(work, job, 1)
            return
        tuner_begin(tuner, self.threads, job.batch)
        job.outcome = PAUSED
        while job.outcome == PAUSED:
            job.outcome, start, began = DONE, job.rows.start, seconds_now()
            threads = tuner_choose(tuner, &seconds)
            job.slice_end = began + seconds
            run(work, job, threads)
            if self.begins_anew(job):
                job.outcome = PAUSED
            else:
                tuner_note(tuner, seconds_now() - began, job.weight * (job.rows.start - start))
