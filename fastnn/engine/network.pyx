"""A built network: an epoch, an evaluation or a prediction over rows, each in one call without the GIL."""

cimport cython
from libc.math cimport HUGE_VAL, isfinite, NAN, sqrt
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memmove, memset

from cpython.buffer cimport PyBuffer_Release
from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport PyThread_get_thread_ident

from fastnn.engine.lines cimport (
    Bounds, all_are_0, all_finite, count_of, lines_are_meant, note_present, row_of, sum_of,
)
from fastnn.engine.ops cimport (
    Activated, BEFORE_BACKWARD, BEFORE_FORWARD, BEFORE_GRADIENT, BLOCK_ROWS, BUCKETS, hash_of, LINE, MOST_SHARED, Op,
    padded, Shared, Step, STEP_WORK, Touched, touched_row,
)
from fastnn.kernels.mix cimport mix64, shuffle
from fastnn.engine.rows cimport FLOAT32, Input, Rows, find_rows, take_rows
from fastnn.engine.thread_tuner cimport ThreadTuner, tuner_begin, tuner_choose, tuner_note
from fastnn.kernels.buffers cimport address, floats_of, take
from fastnn.kernels.kernel cimport float32_of, float64_of, FORWARD, Kernel, Numbers, PACK_A_ROWS, penalty_workspace
from fastnn.kernels.team cimport barrier, begin_turn, dismiss, end_turn, forks, Job, recruit, run, share_begin
from fastnn.kernels.wide_step cimport FLOAT_MAX, take_step, WIDE_FROM
from fastnn.engine.rows cimport SPARSE, find_entries, take_sparse

from _thread import allocate_lock
from math import prod

# Of C, so that they are not looked up by their names.
cdef object np, kernels
import numpy as np

from fastnn import kernels
from fastnn._checks import shown
from fastnn.engine import machine
from fastnn.engine.description import RowError
from fastnn.kernels.bindings import state_size

include "lock.pxi"
include "checks.pxi"
include "arena.pxi"
include "objectives.pxi"
include "added_losses.pxi"
include "learning.pxi"
include "touched.pxi"
include "stepping.pxi"
include "python_units.pxi"
include "linking.pxi"
include "running.pxi"
include "passes.pxi"


cdef object ndarray = np.ndarray
cdef object empty = np.empty
cdef object float32 = np.dtype(np.float32)

# Work, in floating-point operations or what takes as long, from which one more thread pays: of a batch, since threads
# wait for one another in each, and of a run, since they may have to be woken for it.
cdef double BATCH_WORK = 5e5
cdef double RUN_WORK = 2e7


# Of a gradient without a step: bytes of activations and gradients that one slice of its rows may take, and rows that it
# has at least. In 4 MB, near the core, 100,000 rows of 20-64-64-1 take 0.63 of their time in one go, 60,000 of
# 784-128-10 take 0.88.
cdef Py_ssize_t SLICE_BYTES = 1 << 22, LEAST_ROWS = 1024


cdef class Network(PassRunner):
    """Ops that follow one another, and what is done with them.

    Methods that run the ops hold the network's lock, so that two Python threads take turns.
    """

    cdef void begin_run(self, Run* job) noexcept:
        memset(job, 0, sizeof(Run))
        job.network, job.outcome = <void*>self, DONE
        job.glance, job.weight = self.glance, 1

    cdef int useful_threads(self, Py_ssize_t rows, Py_ssize_t batch, bint training) noexcept:
        """Threads that a run over `rows` rows keeps busy, in steps of `batch` rows, each between two barriers."""
        cdef double work = batch * self.row_work
        if training:
            work = 3 * work + STEP_WORK * (self.learnt + (batch * self.touches if self.sparse else 0))
        if work * rows / batch < RUN_WORK or self.takes_gil:
            return 1
        return <int>min(work / BATCH_WORK, <double>((batch + self.block_rows - 1) // self.block_rows), 1e6)

    cdef int prepare(self, Run* job, bint training, bint loss_follows, progress) except -1:
        """Threads for a run, and room for a batch of its rows."""
        cdef Py_ssize_t rows = max(1, job.rows.stop - job.rows.start)
        cdef int threads
        cdef double work
        self.next_tick = seconds_now() + TICK
        if self.draws and not job.in_training and not job.trains:   # no bit of it depends on threads
            self.drawn += 1
            job.noise, job.batch = self.drawn, job.batch or self.most_rows
        if self.table_count:
            self.choose_blocks(job.update)
            if self.sparse and (self.whole_step != NULL or self.accumulation > 1 or self.average != NULL
                                or self.row_clip > 0):
                raise ValueError("rows of a table cannot step alone with this optimizer")
        if self.fixed_rows:
            self.check_batches(job, training or job.in_training)
        if loss_follows and self.link is not None:
            job.batch = job.batch or self.most_rows * self.ranks
        self.expands = job.update and self.row_clip > 0
        job.by_thread = job.batch == 0
        if job.by_thread:
            job.batch = self.most_rows
            # Losses are added up by whole blocks; where not even one goes through the ops together, by one thread.
            work = self.work_in_columns(rows) if job.out != NULL and job.rows.kind != SPARSE else 0
            threads = self.useful_threads(rows, rows, False)
            if work >= 2 * COLUMN_WORK:
                job.by_columns, job.weight, threads = True, work / rows, <int>min(work / COLUMN_WORK, 1e6)
            self.threads = recruit(1 if loss_follows and job.batch < self.block_rows else threads)
            self.reserve(min(rows, self.threads * job.batch), False)
        else:
            job.batch = job.part = min(job.batch, rows)
            if training and self.part_rows and not (self.loss_waits or self.takes_gil or self.hangs_on_batches()):
                job.part = min(job.batch, self.part_rows)
                if job.part < job.batch:
                    self.set_gradients_apart()
            self.by_rows = job.update and self.row_clip > 0 and not self.knows_rows()
            if self.by_rows:
                job.part = 1
                self.set_gradients_apart()
            self.threads = recruit(1 if job.in_training else self.useful_threads(rows, job.part, training))
            self.reserve(job.part, training)
        if self.sparse:
            self.reserve_lists(job.batch, self.threads)
        self.reserve_rows(&job.rows)
        self.reserve_scratch(self.threads)
        self.late_variable = -1
        if job.update and self.sparse_page and self.link is None:
            self.find_late(&job.rows, job.batch)
        self.begin_objectives(loss_follows)
        self.progress = progress
        self.not_finite = 0
        if loss_follows and self.link is not None:
            self.make_lists(job)
            self.linked = True
        return 0

    cdef int check_batches(self, Run* job, bint as_given) except -1:
        """ValueError unless all batches have as many rows as there are states; a prediction is cut into such."""
        cdef Py_ssize_t rows = job.rows.stop - job.rows.start, batch = min(job.batch, rows), fixed = self.fixed_rows
        if not as_given:
            job.batch = batch = fixed
        if rows and (batch != fixed or rows % fixed):
            raise ValueError(
                f"a stateful layer keeps the states of {fixed} row(s), so each batch must have {fixed}, got "
                f"{rows % fixed if batch == fixed else batch}; give batch_size={fixed} and a multiple of as many rows, "
                f"or make the layer for another batch size: Input(batch_shape=({batch}, ...))")
        return 0

    @property
    def op_not_finite(self):
        """The number of the first op whose gradient was not finite in the batch that ended the last run, or None.

        All gradients before that are there, whichever thread saw one first.
        """
        cdef Py_ssize_t i
        cdef Block* block
        for i in range(self.block_count if self.not_finite else 0):
            block = &self.blocks[i]
            if not isfinite(self.largest(self.g + block.start, NULL, block.p1 - block.p0, 0)):
                return block.op
        return self.table_not_finite() if self.sparse and self.not_finite else None

    def fit_epoch(self, x, y, weight, order, Py_ssize_t batch_size, learning_rate, progress=None, Py_ssize_t start=0,
                  stop=None):
        """One pass over the rows of x in `order`, from number `start` to `stop`, a step for each batch.

        x (rows, inputs), y (rows, targets), weight (rows,), (rows, lines) or None: float32, C-contiguous. order:
        uint32, of any of the rows, or None. learning_rate: a number, or a float64 array with one for each step.
        progress(row, loss) is called every 50 ms or so, with the sum of the rows' losses until then. Gives (number of
        the row after the last one done, sum of the rows' losses with penalties, whether all went well); `states` has
        what the metrics gathered. A batch whose loss is not finite ends the pass and changes nothing; the row then
        says where it starts. KeyboardInterrupt, or what progress or an op raises, comes out between two batches.
        """
        if not self.has_optimizer:
            raise RuntimeError("this network has no optimizer yet; call set_optimizer first")
        return self.fit(x, y, weight, order, batch_size, learning_rate, progress, start, stop, True, True)

    def fit_epochs(self, x, y, weight, Py_ssize_t batch_size, learning_rate, Py_ssize_t epochs, draws=None):
        """So many passes over all rows of x, each as `fit_epoch` makes one; gives what the last of them gives.

        Fewer where another thread waits for the lock, which is then the last whole one's.
        draws: for each pass the number that its order is drawn from, as ``kernels.bindings.permutation`` draws it;
        uint64, or None for rows in their order. learning_rate: an array has a number for each step of all passes.
        `epochs_done` then says how many are whole, whatever ended the last, and `epoch_logs` has a row for each of
        them: seconds, the sum of the rows' losses with penalties, that of each output's, and the metrics' states.
        """
        if not self.has_optimizer:
            raise RuntimeError("this network has no optimizer yet; call set_optimizer first")
        self.epochs_done = 0
        return self.fit(x, y, weight, None, batch_size, learning_rate, None, 0, None, True, True, 0, epochs, draws)

    def gradient(self, x, y, weight=None, *, commit=False, noise=0):
        """The loss of the rows of x as one batch, penalties included; `gradients` then has its gradient by the weights.

        x, y, weight as in `fit_epoch`. Many heavy rows go by slices, whose number does not depend on threads, so that
        memory for all their activations is not needed at once. The weights stay as they are, but with `commit` for
        moving averages of the rows. noise: which of dropout's and noise's random numbers; the same in each call with
        the same number. FloatingPointError where the loss or the gradient is not finite.
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
        if not self.has_optimizer:
            raise RuntimeError("this network has no optimizer yet; call set_optimizer first")
        self.enter()
        try:
            given = floats_of("gradients", gradients, self.parameters.size, -1)
            largest = self.largest(<float*>given, NULL, self.parameters.size, 0)
            if not isfinite(largest):
                raise FloatingPointError("a gradient is not finite")
            self.huge |= largest > WIDE_FROM
            memmove(self.g, given, self.parameters.size * sizeof(float))
            self.reserve_scratch(1)
            self.choose_blocks(False)
            step = self.new_step(True, 0)
            step.number += 1
            self.take_steps(&step, learning_rate, 0, self.block_count, 0, 1)
            self.iterations = step.number
        finally:
            self.leave()

    cdef object fit(self, x, y, weight, order, Py_ssize_t batch_size, learning_rate, progress, Py_ssize_t start, stop,
                    bint update, bint commit, uint64_t noise=0, Py_ssize_t epochs=0, draws=None):
        cdef Run job
        cdef Py_ssize_t last, steps
        cdef Passes passes
        cdef bint had_turn
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.begin_run(&job)
        self.enter()
        try:
            self.page(&job.rows, x, y, weight, order)
            last = job.rows.stop
            job.batch, job.first, job.rows.start, job.update, job.commit = batch_size, start, start, update, commit
            job.noise, job.trains = noise, True
            if stop is not None:
                job.rows.stop = stop
            if not 0 <= start <= job.rows.stop <= last:
                raise ValueError(f"start and stop must be row numbers from 0 to {last}, got {start} and {stop}")
            self.check_order(&job.rows)
            if not update:
                job.batch = self.rows_at_once(job.batch)
                if job.batch < job.rows.stop:
                    mean = aligned(self.parameters.size)
                    job.mean = <float*>address(mean, True)
            if isinstance(learning_rate, ndarray):
                steps = (job.rows.stop - start - 1) // batch_size + 1 if job.rows.stop > start else 0
                rates = np.require(learning_rate, np.float64, ["C", "A"])
                steps *= max(1, epochs)
                if rates.shape != (steps,):
                    raise ValueError(f"learning_rate must have one number for each of {steps} steps, got {rates.shape}")
                job.rates = <const double*>address(rates)
            else:
                job.learning_rate = learning_rate
            self.prepare(&job, True, True, progress)
            job.commit = commit and self.commits()
            if update and self.row_clip > 0 and (self.loss_waits or self.hangs_on_batches()):
                raise ValueError(
                    "the gradient of a row is clipped by itself, but this loss, its mask or its reduction depends on "
                    "the whole batch; take a loss that is a mean over the rows, reduction='sum_over_batch_size'")
            if epochs:
                _order = self.begin_passes(&passes, &job, epochs, draws)     # what is drawn lives as long as the run
                with nogil:
                    had_turn = end_turn()
                    self.run_passes(&passes, &job)
                    if had_turn:
                        begin_turn()
            else:
                with nogil:
                    end_turn()          # which is not taken again, as there may be many such calls
                    self.run_in_slices(fit_thread, &job, &self.fit_tuner)
            self.explain_failure(&job)
        finally:
            self.leave()
        return job.rows.start, job.loss, job.outcome == DONE

    cdef int check_order(self, const Rows* rows) except -1:
        """Raise unless the rows of a run are rows of the page."""
        cdef Py_ssize_t i
        cdef uint32_t last = 0
        if rows.order != NULL:
            for i in range(rows.start, rows.stop):
                last = rows.order[i] if rows.order[i] > last else last
            if last >= rows.count and rows.start < rows.stop:
                raise ValueError(f"order must hold row numbers from 0 to {rows.count - 1}, got {last}")
        return 0

    cdef bint commits(self) noexcept:
        """Whether some op takes note of batches that are accepted."""
        cdef Py_ssize_t i
        for i in range(self.count):
            if (<Op>self.op_list[i]).held_rows or (<Op>self.op_list[i]).commits:
                return True
        return False

    cdef Py_ssize_t rows_at_once(self, Py_ssize_t rows):
        """Rows of a batch whose gradient is made in one go; where all of them are heavy, it is the mean of slices'.

        In one go where rows see one another, in an op or in the loss.
        """
        cdef Py_ssize_t i, most = max(LEAST_ROWS, int(SLICE_BYTES // (4 * self.row_floats(True))))
        for i in range(self.segment_count):
            if self.segments[i].whole:
                return rows
        if self.fixed_rows or self.hangs_on_batches():
            return rows
        return rows if self.takes_gil else min(rows, most // self.block_rows * self.block_rows)

    cdef bint hangs_on_batches(self) noexcept:
        """Whether the loss hangs on how rows are cut into batches: it is no mean over them."""
        cdef Py_ssize_t i
        for i in range(self.objective_count):
            if self.objectives[i].whole or self.objectives[i].reduction != OVER_BATCH_SIZE:
                return True
        return self.adds_by_batch

    cdef int explain_failure(self, Run* job) except -1:
        """Have `leave` raise what an op says of its failure; it knows the row by its place in the batch."""
        cdef Py_ssize_t row
        cdef Op op
        if job.outcome == FAILED and self.error > 0:
            op = <Op>self.ops[self.error - 1]
            self.pending = op.explain()
            if isinstance(self.pending, RowError):
                row = job.rows.start + job.within + self.pending.row // op.slices
                self.pending = self.pending.named(row if job.rows.order == NULL else job.rows.order[row])
        if self.linked and job.outcome != DONE and not self.cut:
            if self.rewritten:
                self.pending = RuntimeError("weights were written in the midst of a fit of several processes")
            self.pending = self.link.agreed(self.pending)
        return 0

    def evaluate(self, x, y, weight, progress=None, Py_ssize_t batch_size=0):
        """The sum of the rows' losses of the network as it predicts; x, y, weight as in fit_epoch.

        batch_size matters for losses that are not a mean over the rows. Penalties are not in the sum; `penalty_value`
        gives them. `states` has what the metrics gathered.
        """
        cdef Run job
        self.begin_run(&job)
        self.enter()
        try:
            self.page(&job.rows, x, y, weight, None)
            if self.hangs_on_batches():
                job.batch = batch_size if batch_size > 0 else max(1, job.rows.count)
            self.prepare(&job, False, True, progress)
            if job.rows.count <= self.glance:
                self.run_in_slices(forward_thread, &job, &self.forward_tuner)
            else:
                with nogil:
                    end_turn()
                    self.run_in_slices(forward_thread, &job, &self.forward_tuner)
            self.explain_failure(&job)
        finally:
            self.leave()
        return self.sum_of_totals()

    def predict(self, x, progress=None):
        """The network's outputs for each row, side by side: float32 (rows, units). x float32 (rows, inputs)."""
        cdef Rows rows
        self.take_x(&rows, x)
        return self.predicted(&rows, progress)

    def predict_as_it_lies(self, x):
        """`predict`, or None where x is not an array that it takes."""
        return self.predicted_in_shape(x, None)

    def predict_in_shape(self, x, tuple shape):
        """The same of rows of this shape, where they have several axes."""
        return self.predicted_in_shape(x, shape)

    cdef object predicted_in_shape(self, x, tuple shape):
        cdef Rows rows
        if type(x) is not ndarray or not take_rows(&rows, x, self.inputs, self.all_ids, shape) or rows.count == 0:
            return None                             # a subclass may have a mask
        return self.predicted(&rows, None)

    def predictor(self, tuple shape, tuple gives):
        """A function of (x, out=None) as ``Model.predict_function`` gives it, for rows of a shape, and outputs'."""
        return Predictor(self, shape, gives).predict

    def freeze(self, frozen):
        """Have ops not learn, or learn, in what follows but for a fit: for each op whether it does not."""
        cdef Op op
        for op, each in zip(self.ops, frozen, strict=True):
            op.frozen = each

    def predict_in_training(self, x, uint64_t number=0):
        """What the network gives in training for the rows of x as one batch: with noise, and by the batch's moments.

        Their moving averages follow. number: which of dropout's and noise's random numbers; 0: others in each call.
        """
        if number == 0:
            self.drawn += 1
            number = self.drawn
        cdef Rows rows
        self.take_x(&rows, x)
        return self.predicted(&rows, None, number)

    cdef object predicted(self, const Rows* given, progress, uint64_t training=0):
        out = empty((given.count, self.units), float32)
        self.predict_into(given, <float*>address(out, True), progress, training)
        return out

    cdef int predict_into(self, const Rows* given, float* out, progress, uint64_t training) except -1:
        cdef Run job
        cdef Py_ssize_t rows = given.count
        cdef Job work = forward_thread
        cdef ThreadTuner* tuner = &self.forward_tuner
        if 0 < rows <= self.glance and not training and self.predicts_at_once(given, out):
            return 0
        self.begin_run(&job)
        job.rows.x, job.rows.kind, job.rows.row_bytes = given.x, given.kind, given.row_bytes
        job.rows.columns, job.rows.ends = given.columns, given.ends
        job.rows.count = job.rows.stop = rows
        job.out = out
        self.enter()
        try:
            if training:
                job.noise, job.in_training, job.batch = training, True, max(1, rows)
            self.prepare(&job, False, False, progress)
            if job.by_columns:
                work, tuner = columns_thread, &self.column_tuner
            if rows <= self.glance:                         # shorter than letting other Python threads run takes
                self.run_in_slices(work, &job, tuner)
            else:
                with nogil:
                    self.run_in_slices(work, &job, tuner)
            if job.outcome != DONE:
                self.explain_failure(&job)
        finally:
            self.leave()
        return 0

    cdef bint predicts_at_once(self, const Rows* given, float* out) except -1:
        """Whether these few rows were predicted: where all that they need is there from a run before."""
        cdef Step step
        cdef Rows rows
        if given.kind != FLOAT32 or self.draws or self.fixed_rows:
            return False
        self.enter()
        try:
            if given.count > self.capacity or self.whole or self.lean or self.scratches < 1:
                return False
            memset(&rows, 0, sizeof(Rows))
            rows.x, rows.row_bytes, rows.count = given.x, given.row_bytes, given.count
            self.begin_objectives(False)
            step = self.new_step(False, 0)
            step.rows = rows.count
            self.collect(&rows, 0, 0, rows.count)
            self.forward_segments(&step, 0, rows.count)
            if self.error:              # the longer way says it
                return False
            self.copy_out(out, 0, rows.count)
        finally:
            self.leave()
        return True

    @property
    def losses_of_outputs(self):
        """The sum of the rows' losses of each output, in the last run."""
        cdef Py_ssize_t k
        return [self.objectives[k].of_a_line * self.objectives[k].total for k in range(self.objective_count)]

    def penalty_value(self):
        """The penalties' value for the weights as they are."""
        cdef Py_ssize_t i
        self.enter()
        try:
            self.penalise_matrices(0, 1)
            for i in range(self.block_count):
                self.penalty_parts[i] = self.penalise(i, 1)
            return self.sum_of_penalties()
        finally:
            self.leave()


include "predictor.pxi"
