"""A built network: its ops, its arena, and an epoch over rows in one call.

The arena: all weights in one flat float32 vector, the gradient and the optimizer's slots beside it at the same
offsets, and for each op a block of activations with room for the largest batch. A step allocates nothing.
"""

from libc.math cimport isfinite
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_get_thread_ident,
    PyThread_release_lock, PyThread_type_lock,
)

import numpy as np

from fastnn.engine.ops cimport Activated, Op, Step
from fastnn.engine.random cimport mix64
cimport fastnn.kernels.types as types
from fastnn.kernels.buffers cimport address
from fastnn.kernels.kernel cimport LossKernel, MAX_NUMBERS, Numbers, OptimizerKernel, PenaltyKernel, panel_elements

from fastnn import kernels


cdef extern from "pythread.h" nogil:
    int PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds, int interruptible)


cdef extern from "denormals.h" nogil:
    unsigned long long flush_denormals()
    void restore_denormals(unsigned long long before)


cdef extern from "clock.h" nogil:
    double seconds_now()
    void prefetch(const void* start, Py_ssize_t n)


cdef enum:
    CHUNK = 256                         # rows that go through all ops together, to stay in cache
    BLOCK = 16384                       # parameters whose gradient and step go together, likewise
    LINE = 16                           # floats in a cache line
    MAX_SLOTS = 4

cdef double TICK = 0.05                 # seconds between looks for Ctrl-C

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


cdef struct Score:
    # A loss or a metric with its numbers.
    types.loss32 rows
    double numbers[MAX_NUMBERS]


cdef struct Penalty:
    # L1 and L2 on parameters start:stop.
    Py_ssize_t start
    Py_ssize_t stop
    double l1
    double l2


def _aligned(Py_ssize_t n):
    """n float32 zeros that start on a cache line."""
    whole = np.zeros(n + LINE, np.float32)
    cdef size_t line = LINE * sizeof(float)
    cdef Py_ssize_t skip = <Py_ssize_t>((line - <size_t>address(whole) % line) % line // sizeof(float))
    return whole[skip:skip + n]


cdef bint _all_finite(const float* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not isfinite(x[i]):
            return False
    return True


cdef Py_ssize_t _padded(Py_ssize_t n) noexcept:
    return (n + LINE - 1) // LINE * LINE


cdef Score _score(LossKernel kernel, numbers):
    cdef Score score
    cdef Numbers values = Numbers(numbers)
    score.rows = kernel.rows32
    memcpy(score.numbers, values.values, sizeof(score.numbers))
    return score


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


cdef int _check_chain(tuple ops) except -1:
    """Each op must read what the one before it gives, and belong to no other network."""
    cdef Op op, before = None
    if not ops:
        raise ValueError("a network needs at least one op")
    for op in ops:
        if op.inputs < 1 or op.units < 1 or op.size < 0:
            raise ValueError(f"an op of {op.inputs} inputs and {op.units} units cannot be")
        if op.w != NULL or ops.count(op) > 1:
            raise ValueError("an op belongs to one network; make a new one")
        if before is not None and op.inputs != before.units:
            raise ValueError(f"an op of {op.inputs} inputs follows one of {before.units} units")
        before = op
    return 0


cdef class Network:
    """Ops that follow one another, with their memory.

    `parameters`, `gradients` and each of `slots` are flat float32 arrays with the same offsets; an op's parameters
    begin at `op.start`. Methods that run the ops hold the network's lock, so that two Python threads take turns.
    """

    cdef readonly tuple ops
    cdef readonly object parameters
    cdef readonly object gradients
    cdef readonly list slots
    cdef readonly Py_ssize_t inputs
    cdef readonly Py_ssize_t units
    cdef public long long iterations    # optimizer steps done
    cdef public uint64_t seed           # of dropout's random numbers
    cdef public object owned_by         # whoever set the loss and the optimizer last

    cdef Py_ssize_t count
    cdef void** op_list                 # the ops again, for code without the GIL
    cdef Op last
    cdef Py_ssize_t parameter_count     # in the flat vector, padding included
    cdef float* w
    cdef float* g
    cdef object workspace_array
    cdef float* workspace

    cdef object arena                   # the activations
    cdef Py_ssize_t capacity            # rows that it has room for
    cdef const float** addresses        # of rows: the batch's input, each op's output, each op's gradient
    cdef float* probabilities           # what a loss from logits makes of them
    cdef float* batch_y                 # the batch's targets and weights, in the batch's order
    cdef float* batch_weight
    cdef const float* zeros             # a row of them

    cdef Score loss
    cdef bint loss_is_fused             # it takes the last op's place in applying the activation
    cdef bint loss_keeps_output         # it reads logits: its probabilities are not the network's output
    cdef Py_ssize_t targets             # numbers in a row of y
    cdef Score* metrics
    cdef double* metric_sums
    cdef Py_ssize_t metric_count
    cdef Penalty* penalties
    cdef Py_ssize_t penalty_count
    cdef types.penalty32 penalty

    cdef types.step32 optimizer
    cdef Numbers optimizer_numbers
    cdef float* slot_list[MAX_SLOTS]

    cdef PyThread_type_lock lock
    cdef unsigned long owner            # the thread that holds it, 0 for none
    cdef unsigned long long float_state  # of that thread, from before
    cdef object pending
    cdef object progress
    cdef double next_tick

    def __cinit__(self, ops):
        cdef Op op
        cdef Py_ssize_t i, start = 0, depth = 0
        self.ops = tuple(ops)
        self.count = len(self.ops)
        _check_chain(self.ops)
        self.op_list = <void**>malloc(max(1, self.count) * sizeof(void*))
        self.lock = PyThread_allocate_lock()
        if self.op_list == NULL or self.lock == NULL:
            raise MemoryError("no memory for a network's ops")
        for i in range(self.count):
            op = self.ops[i]
            op.number, op.start = i, start
            start += _padded(op.size)
            if op.size:                 # the others multiply no matrices
                depth = max(depth, op.inputs, op.units)
            self.op_list[i] = <void*>op
        self.last = self.ops[self.count - 1]
        self.inputs, self.units = (<Op>self.ops[0]).inputs, self.last.units
        self.parameter_count = start
        self.parameters, self.gradients = _aligned(start), _aligned(start)
        self.w = <float*>address(self.parameters, True)
        self.g = <float*>address(self.gradients, True)
        for op in self.ops:
            op.w, op.g = self.w + op.start, self.g + op.start
        self.workspace_array = _aligned(panel_elements(depth))
        self.workspace = <float*>address(self.workspace_array, True)
        self.penalty = (<PenaltyKernel>kernels.l1_l2).penalty32
        self.slots = []

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)
        free(self.op_list)
        free(self.addresses)
        free(self.metrics)
        free(self.metric_sums)
        free(self.penalties)

    # What to train for.

    def set_loss(self, LossKernel kernel, numbers, Py_ssize_t targets, bint fused=False, bint from_logits=False,
                 metrics=(), penalties=()):
        """The loss, the metrics as (kernel, numbers), the penalties as (start, stop, l1, l2).

        fused: the loss reads the last op's output before its activation and applies that itself.
        from_logits: the loss reads the network's output as logits.
        """
        self.enter()
        try:
            self._set_loss(kernel, numbers, targets, fused, from_logits, metrics, penalties)
        finally:
            self.leave()

    cdef int _set_loss(self, LossKernel kernel, numbers, Py_ssize_t targets, bint fused, bint from_logits,
                       metrics, penalties) except -1:
        cdef Py_ssize_t i
        self.metric_count = self.penalty_count = 0
        free(self.metrics)
        free(self.metric_sums)
        free(self.penalties)
        self.metrics = <Score*>malloc(max(1, len(metrics)) * sizeof(Score))
        self.metric_sums = <double*>malloc(max(1, len(metrics)) * sizeof(double))
        self.penalties = <Penalty*>malloc(max(1, len(penalties)) * sizeof(Penalty))
        if self.metrics == NULL or self.metric_sums == NULL or self.penalties == NULL:
            raise MemoryError("no memory for metrics and penalties")
        self.loss = _score(kernel, numbers)
        for i in range(len(metrics)):
            self.metrics[i] = _score(metrics[i][0], metrics[i][1])
        for i in range(len(penalties)):
            self.penalties[i].start, self.penalties[i].stop = penalties[i][0], penalties[i][1]
            self.penalties[i].l1, self.penalties[i].l2 = penalties[i][2], penalties[i][3]
        self.metric_count, self.penalty_count = len(metrics), len(penalties)
        self.loss_is_fused, self.loss_keeps_output = fused, from_logits
        self.targets = targets
        self.capacity = 0
        return 0

    def set_optimizer(self, OptimizerKernel kernel, numbers, Py_ssize_t slots):
        """The optimizer, with `slots` fresh vectors of zeros; the count of steps starts again."""
        cdef Py_ssize_t i
        if slots > MAX_SLOTS:
            raise ValueError(f"an optimizer has at most {MAX_SLOTS} slots, got {slots}")
        cdef Numbers values = Numbers(numbers)
        fresh = [_aligned(self.parameters.size) for _ in range(slots)]
        self.enter()
        try:
            self.optimizer, self.optimizer_numbers, self.slots = kernel.step32, values, fresh
            for i in range(MAX_SLOTS):
                self.slot_list[i] = <float*>address(fresh[i], True) if i < slots else NULL
            self.iterations = 0
        finally:
            self.leave()

    def set_numbers(self, numbers):
        """New numbers for the optimizer (its momentum, say); slots and steps stay."""
        cdef Numbers values = Numbers(numbers)
        self.enter()
        self.optimizer_numbers = values
        self.leave()

    # Memory.

    cdef int reserve(self, Py_ssize_t rows) except -1:
        """Make room for a batch of `rows` rows."""
        cdef Op op
        cdef Py_ssize_t i, row, total
        cdef const float** addresses
        cdef float* space
        if rows <= self.capacity:
            return 0
        total = _padded(rows * self.units) + _padded(rows * self.targets) + _padded(rows) + _padded(self.inputs)
        for op in self.ops:
            total += _padded(rows * op.keeps()) + 2 * _padded(rows * op.units)
        arena = _aligned(total)
        addresses = <const float**>malloc((1 + 2 * self.count) * rows * sizeof(float*))
        if addresses == NULL:
            raise MemoryError(f"no memory for a batch of {rows} rows; make batch_size smaller")
        free(self.addresses)
        self.addresses, self.arena, self.capacity = addresses, arena, rows
        space = <float*>address(arena, True)
        for i in range(self.count):
            op = self.ops[i]
            op.a = op.z = space
            space += _padded(rows * op.units)
            op.d = space
            space += _padded(rows * op.units)
            if op.keeps():
                op.z = space
                space += _padded(rows * op.keeps())
            op.d_x = (<Op>self.ops[i - 1]).d if i else NULL
            op.x = addresses + i * rows
            op.d_rows = addresses + (1 + self.count + i) * rows
            for row in range(rows):
                addresses[(1 + i) * rows + row] = op.a + row * op.units
                op.d_rows[row] = op.d + row * op.units
        self.probabilities = space
        self.batch_y = self.probabilities + _padded(rows * self.units)
        self.batch_weight = self.batch_y + _padded(rows * self.targets)
        self.zeros = self.batch_weight + _padded(rows)
        return 0

    # One run at a time.

    cdef int enter(self) except -1:
        """Take the network's lock; a call from inside a running one, by a signal handler say, is an error."""
        cdef unsigned long me = PyThread_get_thread_ident()
        cdef int taken = PyThread_acquire_lock(self.lock, NOWAIT_LOCK)
        while not taken:
            if self.owner == me:
                raise RuntimeError(
                    "this model is running already in this thread; call it again when fit, evaluate or predict is done")
            with nogil:
                taken = PyThread_acquire_lock_timed(self.lock, <long long>(TICK * 1e6), 0)
            if not taken:
                PyErr_CheckSignals()
        self.owner = me
        self.float_state = flush_denormals()
        return 0

    cdef int prepare(self, Py_ssize_t rows, bint loss_follows, progress) except -1:
        """Room, sums at zero, and the last op told whether the loss applies its activation."""
        cdef Py_ssize_t i
        self.reserve(rows)
        if isinstance(self.last, Activated):
            (<Activated>self.last).raw = loss_follows and self.loss_is_fused
        for i in range(self.metric_count):
            self.metric_sums[i] = 0
        self.progress = progress
        self.next_tick = seconds_now() + TICK
        return 0

    cdef int leave(self) except -1:
        restore_denormals(self.float_state)
        pending, self.pending = self.pending, None
        self.progress = None
        self.owner = 0
        PyThread_release_lock(self.lock)
        if pending is not None:
            raise pending
        return 0

    cdef bint tick(self, Py_ssize_t done) noexcept nogil:
        """Now and then: answer Ctrl-C, show progress. True when an exception waits."""
        cdef double now = seconds_now()
        if now < self.next_tick:
            return False
        restore_denormals(self.float_state)
        with gil:
            try:
                PyErr_CheckSignals()
                if self.progress is not None:
                    self.progress(done)
            except BaseException as error:
                self.pending = error
                return True
        flush_denormals()
        self.next_tick = seconds_now() + TICK
        return False

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
