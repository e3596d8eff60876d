"""What a network stands on: its ops, its memory, what it is to be trained for, and the lock that one run holds.

All weights lie in one flat float32 vector, the gradient and the optimizer's slots beside it at the same offsets; for
each op there is a block of activations with room for the largest batch. A step allocates nothing.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_get_thread_ident,
    PyThread_release_lock, PyThread_type_lock,
)

import numpy as np

from fastnn.engine.ops cimport Activated, Op
from fastnn.kernels.buffers cimport address
from fastnn.kernels.kernel cimport LossKernel, Numbers, OptimizerKernel, PenaltyKernel, workspace_elements
from fastnn.kernels.team cimport dismiss, forks, recruit

from fastnn import kernels


cdef extern from "pythread.h" nogil:
    int PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds, int interruptible)


cdef extern from "denormals.h" nogil:
    unsigned long long flush_denormals()
    void restore_denormals(unsigned long long before)


cdef extern from "clock.h" nogil:
    double seconds_now()


cdef double TICK = 0.05                 # seconds between looks for Ctrl-C

cdef enum:
    NARROW_LAYER = 8                    # units below which the addresses of W's rows would be as large as W
    # Rows that go through all ops together: they should stay in cache. Where a layer has this many parameters, which do
    # not either, more rows should share each reading of them.
    CHUNK = 256
    LARGE_CHUNK = 1024
    LARGE_LAYER = 1048576
    PIECES = 64                         # that the parameters are cut into, about
    PIECE_ROWS = 12                     # and whole multiples of these rows of W, a tile's

# Work, in floating-point operations or what takes as long, from which one more member pays: of a batch, since members
# wait for one another twice in each, and of a run, since they may have to be woken for it.
cdef double BATCH_WORK = 5e5
cdef double RUN_WORK = 2e7
cdef double WORK_OF_A_UNIT = 64         # its activation and loss
cdef double WORK_OF_A_PARAMETER = 32    # its optimizer's step


def _aligned(Py_ssize_t n):
    """n float32 zeros that start on a cache line."""
    whole = np.zeros(n + LINE, np.float32)
    cdef size_t line = LINE * sizeof(float)
    cdef Py_ssize_t skip = <Py_ssize_t>((line - <size_t>address(whole) % line) % line // sizeof(float))
    return whole[skip:skip + n]


cdef Py_ssize_t _padded(Py_ssize_t n) noexcept:
    return (n + LINE - 1) // LINE * LINE


cdef Score _score(LossKernel kernel, numbers):
    cdef Score score
    cdef Numbers values = Numbers(numbers)
    score.rows = kernel.rows32
    memcpy(score.numbers, values.values, sizeof(score.numbers))
    return score


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


cdef class Arena:
    """Ops that follow one another, with their memory; `Network` runs them.

    `parameters`, `gradients` and each of `slots` are flat float32 arrays with the same offsets; an op's parameters
    begin at `op.start`.
    """

    def __cinit__(self, ops):
        cdef Op op
        cdef Py_ssize_t i, start = 0, space = 0
        self.ops = tuple(ops)
        self.count = len(self.ops)
        _check_chain(self.ops)
        self.op_list = <void**>malloc(max(1, self.count) * sizeof(void*))
        self.lock = PyThread_allocate_lock()
        self.forks = forks()
        if self.op_list == NULL or self.lock == NULL:
            raise MemoryError("no memory for a network's ops")
        for i in range(self.count):
            op = self.ops[i]
            op.number, op.start = i, start
            start += _padded(op.size)
            if op.size:                 # the others multiply no matrices
                space = max(space, workspace_elements(op.units, max(op.inputs, op.units)))
            self.op_list[i] = <void*>op
        self.last = self.ops[self.count - 1]
        self.inputs, self.units = (<Op>self.ops[0]).inputs, self.last.units
        self.parameter_count = start
        self.parameters, self.gradients = _aligned(start), _aligned(start)
        self.w = <float*>address(self.parameters, True)
        self.g = <float*>address(self.gradients, True)
        self.workspace_size, self.members, self.chunk = _padded(space), 1, CHUNK
        for op in self.ops:
            op.w, op.g = self.w + op.start, self.g + op.start
            self.width += op.units
            if op.size >= LARGE_LAYER:
                self.chunk = LARGE_CHUNK
        self.find_rows_of_weights()
        self.cut()
        self.penalty = (<PenaltyKernel>kernels.l1_l2).penalty32
        self.slots = []

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)
        free(self.op_list)
        free(self.w_rows)
        free(self.pieces)
        free(self.penalty_parts)
        free(self.parts)
        free(self.addresses)
        free(self.metrics)
        free(self.metric_sums)
        free(self.penalties)

    cdef int find_rows_of_weights(self) except -1:
        cdef Op op
        cdef Py_ssize_t row, count = 0
        for op in self.ops:
            count += op.size // op.granule if op.granule >= NARROW_LAYER else 0
        self.w_rows = <const float**>malloc(max(1, count) * sizeof(float*))
        if self.w_rows == NULL:
            raise MemoryError("no memory for a network's rows of weights")
        count = 0
        for op in self.ops:
            if op.granule >= NARROW_LAYER:
                op.w_rows = self.w_rows + count
                for row in range(op.size // op.granule):
                    op.w_rows[row] = op.w + row * op.granule
                count += op.size // op.granule
        return 0

    cdef int cut(self) except -1:
        """Cut the parameters into pieces that the members of a team can share out, the same for any number of them."""
        cdef Op op
        cdef Py_ssize_t step, p0, count = 0
        for op in self.ops:
            count += op.size // (PIECE_ROWS * op.granule) + 1 if op.size else 0
        self.pieces = <Piece*>malloc(max(1, count) * sizeof(Piece))
        self.penalty_parts = <double*>malloc(max(1, count) * sizeof(double))
        if self.pieces == NULL or self.penalty_parts == NULL:
            raise MemoryError("no memory for a network's pieces")
        for op in self.ops:
            p0 = 0
            while p0 < op.size:
                step = PIECE_ROWS * op.granule
                step *= max(1, self.parameter_count // (PIECES * step))
                self.pieces[self.piece_count] = Piece(op.number, p0, min(p0 + step, op.size), op.start + p0)
                self.piece_count += 1
                p0 += step
        return 0

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
        cdef double* parts
        if rows <= self.capacity:
            return 0
        cdef Py_ssize_t blocks = rows // GRAIN + 1
        total = _padded(rows * self.units) + _padded(rows * self.targets) + _padded(rows) + _padded(self.inputs)
        for op in self.ops:
            total += _padded(rows * op.keeps()) + 2 * _padded(rows * op.units)
        arena = _aligned(total)
        addresses = <const float**>malloc((1 + 2 * self.count) * rows * sizeof(float*))
        parts = <double*>malloc((1 + self.metric_count) * blocks * sizeof(double))
        if addresses == NULL or parts == NULL:
            free(addresses)
            free(parts)
            raise MemoryError(f"no memory for a batch of {rows} rows; make batch_size smaller")
        free(self.addresses)
        free(self.parts)
        self.addresses, self.arena, self.capacity = addresses, arena, rows
        self.parts, self.blocks = parts, blocks
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
        if self.forks != forks():       # whoever held the lock is not in this process
            self.lock, self.forks, self.owner, self.members = PyThread_allocate_lock(), forks(), 0, 1
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

    cdef int useful_members(self, Py_ssize_t rows, Py_ssize_t batch, bint training) noexcept:
        """Members that a run over `rows` rows keeps busy, in steps of `batch` rows, each between two barriers."""
        cdef double row = 2.0 * self.parameter_count + WORK_OF_A_UNIT * self.width
        cdef double work = 3 * batch * row + WORK_OF_A_PARAMETER * self.parameter_count if training else batch * row
        if work * rows / batch < RUN_WORK:
            return 1
        return <int>min(work / BATCH_WORK, <double>((batch + GRAIN - 1) // GRAIN), 1e6)

    cdef int prepare(self, Py_ssize_t rows, Py_ssize_t batch, bint training, bint loss_follows, progress) except -1:
        """Members for a run over `rows` rows, and room for a batch of them; sums at zero.

        Without training, a batch is what the members work on at a time: `chunk` rows each.
        """
        cdef Py_ssize_t i
        batch = max(1, min(batch, rows))
        self.members = recruit(self.useful_members(max(rows, 1), batch, training))
        self.reserve(batch if training else min(batch, self.members * self.chunk))
        if self.members > self.workspaces:
            self.workspace_array = _aligned(self.members * self.workspace_size)
            self.workspaces = self.members
            self.workspace = <float*>address(self.workspace_array, True)
        # The last op leaves its activation out where the loss applies it.
        if isinstance(self.last, Activated):
            (<Activated>self.last).raw = loss_follows and self.loss_is_fused
        for i in range(self.metric_count):
            self.metric_sums[i] = 0
        self.progress = progress
        self.next_tick = seconds_now() + TICK
        return 0

    cdef int leave(self) except -1:
        restore_denormals(self.float_state)
        dismiss(self.members)
        self.members = 1
        pending, self.pending = self.pending, None
        self.progress = None
        self.owner = 0
        PyThread_release_lock(self.lock)
        if pending is not None:
            raise pending
        return 0

    cdef bint tick(self, Py_ssize_t done) noexcept nogil:
        """Now and then: answer Ctrl-C, show progress. True when an exception waits."""
        if seconds_now() < self.next_tick:
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
