"""What a network stands on: its ops and how they hang together, its memory, and the lock that one run holds.

All weights lie in one flat float32 vector; for each op there is a block of activations with room for the largest batch.
A step allocates nothing. Two networks may share the vector: two models that have layers in common.
"""

from libc.stdlib cimport free, malloc

from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_get_thread_ident,
    PyThread_release_lock, PyThread_type_lock,
)

import numpy as np

from fastnn.engine.ops cimport Op
from fastnn.kernels.buffers cimport address
from fastnn.kernels.kernel cimport float32_of, workspace_elements
from fastnn.kernels.team cimport dismiss, forks

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


cdef Py_ssize_t padded(Py_ssize_t n) noexcept:
    return (n + LINE - 1) // LINE * LINE


def aligned(Py_ssize_t n):
    """n float32 zeros that start on a cache line."""
    whole = np.zeros(n + LINE, np.float32)
    cdef size_t line = LINE * sizeof(float)
    cdef Py_ssize_t skip = <Py_ssize_t>((line - <size_t>address(whole) % line) % line // sizeof(float))
    return whole[skip:skip + n]


def starts_of(sizes):
    """Where parameters of these sizes begin in a flat vector, each on a cache line; and the vector's length."""
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += padded(size)
    return starts, end


cdef int _check_ops(tuple ops, tuple sources, tuple widths, tuple outputs) except -1:
    """Each op must read what is there before it, of the width that it expects, and belong to no other network."""
    cdef Op op
    if not ops:
        raise ValueError("a network needs at least one op")
    if len(sources) != len(ops):
        raise ValueError(f"{len(ops)} ops need as many tuples of sources, got {len(sources)}")
    for i, op in enumerate(ops):
        if op.widths is None or min(op.widths) < 1 or op.units < 1 or op.size < 0:
            raise ValueError(f"an op of {op.inputs} inputs and {op.units} units cannot be")
        if op.w != NULL or ops.count(op) > 1:
            raise ValueError("an op belongs to one network; make a new one")
        if len(sources[i]) != len(op.widths):
            raise ValueError(f"op {i} reads {len(op.widths)} sources, got {len(sources[i])}")
        for source, width in zip(sources[i], op.widths, strict=True):
            if not -len(widths) <= source < i:
                raise ValueError(f"op {i} reads source {source}, which is no input and no op before it")
            before = (<Op>ops[source]).units if source >= 0 else widths[-1 - source]
            if before != width:
                raise ValueError(f"an op of {width} inputs follows one of {before} units")
    if not outputs or not all(0 <= place < len(ops) for place in outputs):
        raise ValueError(f"outputs must be places of ops from 0 to {len(ops) - 1}, got {outputs}")
    unread = set(range(len(ops))) - {source for each in sources for source in each} - set(outputs)
    if unread:
        raise ValueError(f"nothing reads the output of op {min(unread)}")
    return 0


cdef class Arena:
    """Ops with their memory; `Network` runs them. An op's parameters begin at `op.start` of `parameters`."""

    def __cinit__(self, ops, sources=None, inputs=None, outputs=None, parameters=None, starts=None):
        cdef Op op
        cdef Py_ssize_t i, end = 0, space = 0
        self.ops = tuple(ops)
        self.count = len(self.ops)
        first = self.ops[0] if self.ops else None
        self.input_widths = tuple(inputs) if inputs is not None else ((<Op?>first).inputs,) if first is not None else ()
        self.sources = tuple(map(tuple, sources)) if sources is not None else tuple((i - 1,) for i in range(self.count))
        self.outputs = tuple(outputs) if outputs is not None else (self.count - 1,)
        _check_ops(self.ops, self.sources, self.input_widths, self.outputs)
        self.op_list = <void**>malloc(self.count * sizeof(void*))
        self.lock = PyThread_allocate_lock()
        self.forks = forks()
        if self.op_list == NULL or self.lock == NULL:
            raise MemoryError("no memory for a network's ops")
        if starts is None:
            starts, end = starts_of([op.size for op in self.ops])
        if parameters is None:
            parameters = aligned(max(LINE, end, max(start + padded(op.size) for start, op in zip(starts, self.ops))))
        self.parameters = parameters
        self.w = <float*>address(parameters, True)
        if <size_t>self.w % (LINE * sizeof(float)) or parameters.dtype != np.float32:
            raise ValueError("parameters must be a float32 vector that begins on a cache line; make it with `aligned`")
        self.members, self.chunk = 1, CHUNK
        for i in range(self.count):
            op = self.ops[i]
            op.number, op.start = i, starts[i]
            if op.start < 0 or op.start % LINE or op.start + op.size > parameters.size:
                raise ValueError(f"op {i} cannot have {op.size} parameters from {op.start} on, of {parameters.size}")
            op.w = self.w + op.start
            self.parameter_count += padded(op.size)
            self.width += op.units
            if op.size:                 # the others multiply no matrices
                space = max(space, workspace_elements(op.units, max(op.inputs, op.units)))
            if op.size >= LARGE_LAYER:
                self.chunk = LARGE_CHUNK
            self.takes_gil |= op.takes_gil
            self.op_list[i] = <void*>op
        self.workspace_size = padded(space)
        self.inputs = sum(self.input_widths)
        self.units = sum([(<Op>self.ops[place]).units for place in self.outputs])
        self.add = <types.vector32>float32_of(kernels.add, "vector")
        self.find_rows_of_weights()
        self.find_edges()
        self.find_cuts()
        self.ask_for_gradients(None)

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)
        free(self.op_list)
        free(self.w_rows)
        free(self.cuts)
        free(self.addresses)
        free(self.input_starts)
        free(self.edge_rows)
        free(self.edge_d)
        free(self.wanted)
        free(self.extra_d)
        free(self.extra_starts)
        free(self.output_d)
        free(self.output_places)

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

    cdef int find_edges(self) except -1:
        """Who reads whom, and room for what is said of it."""
        cdef Op op
        cdef Py_ssize_t i, first = 0, extras = 0
        self.edges = [(i, k) for i in range(self.count) for k in range(len(self.sources[i]))]
        self.readers = [[] for _ in range(self.count)]
        for edge, (i, k) in enumerate(self.edges):
            if self.sources[i][k] >= 0:
                self.readers[self.sources[i][k]].append(edge)
        for output, place in enumerate(self.outputs):
            self.readers[place].append(~output)
        self.input_count = len(self.input_widths)
        self.edge_rows = <const float***>malloc(len(self.edges) * sizeof(void*))
        self.edge_d = <float**>malloc(len(self.edges) * sizeof(void*))
        self.wanted = <bint*>malloc(self.count * sizeof(bint))
        self.extra_starts = <Py_ssize_t*>malloc((self.count + 1) * sizeof(Py_ssize_t))
        self.output_d = <float**>malloc(len(self.outputs) * sizeof(void*))
        self.output_count = len(self.outputs)
        self.output_places = <Py_ssize_t*>malloc(self.output_count * sizeof(Py_ssize_t))
        self.input_starts = <Py_ssize_t*>malloc(self.input_count * sizeof(Py_ssize_t))
        for i in range(self.count):
            extras += len(self.readers[i]) - 1
        self.extra_d = <float**>malloc(max(1, extras) * sizeof(void*))
        if (self.edge_rows == NULL or self.edge_d == NULL or self.wanted == NULL or self.extra_starts == NULL
                or self.output_d == NULL or self.output_places == NULL or self.input_starts == NULL
                or self.extra_d == NULL):
            raise MemoryError("no memory for a network's edges")
        for i in range(self.output_count):
            self.output_places[i] = self.outputs[i]
        for i in range(self.input_count):
            self.input_starts[i] = sum(self.input_widths[:i])
        extras = 0
        for i in range(self.count):
            op = self.ops[i]
            op.xs, op.d_xs = self.edge_rows + first, self.edge_d + first
            first += len(self.sources[i])
            self.extra_starts[i] = extras
            extras += len(self.readers[i]) - 1
        self.extra_starts[self.count] = extras
        return 0

    cdef int find_cuts(self) except -1:
        cdef Op op
        mixing = [i for i, op in enumerate(self.ops) if (<Op>op).shares]
        self.segments = len(mixing) + 1
        self.cuts = <Py_ssize_t*>malloc((self.segments + 1) * sizeof(Py_ssize_t))
        if self.cuts == NULL:
            raise MemoryError("no memory for a network's cuts")
        for i, place in enumerate([0, *mixing, self.count]):
            self.cuts[i] = place
        return 0

    cdef int ask_for_gradients(self, frozen) except -1:
        """Which ops need a gradient: those that learn, and all that come after one that learns."""
        cdef Op op
        self.wants = []
        for i, op in enumerate(self.ops):
            op.frozen = frozen is not None and bool(frozen[i])
            before = any([source >= 0 and self.wants[source] for source in self.sources[i]])
            self.wants.append(before or (op.size > 0 and not op.frozen))
            self.wanted[i] = self.wants[i]
        self.capacity = 0
        return 0

    # Memory.

    cdef Py_ssize_t extra_space(self, Py_ssize_t rows):
        """Floats that a subclass needs in the arena for a batch of `rows` rows."""
        return 0

    cdef float* take_extra(self, float* space, Py_ssize_t rows):
        """Let the subclass have them; gives where the rest begins."""
        return space

    cdef int reserve(self, Py_ssize_t rows) except -1:
        """Make room for a batch of `rows` rows."""
        cdef Op op
        cdef Py_ssize_t i, total
        cdef const float** addresses
        cdef float* space
        if rows <= self.capacity:
            return 0
        total = padded(self.inputs) + self.extra_space(rows)
        for i in range(self.count):
            op = self.ops[i]
            copies = 1 + (len(self.readers[i]) if self.wants[i] else 0)
            total += padded(rows * op.keeps()) + padded(op.holds()) + copies * padded(rows * op.units)
        arena = aligned(total)
        addresses = <const float**>malloc((self.input_count + 2 * self.count) * rows * sizeof(float*))
        if addresses == NULL:
            raise MemoryError(f"no memory for a batch of {rows} rows; make batch_size smaller")
        free(self.addresses)
        self.addresses, self.arena, self.capacity = addresses, arena, 0
        space = <float*>address(arena, True)
        self.zeros = space
        space += padded(self.inputs)
        for i in range(self.count):
            space = self.reserve_op(self.ops[i], space, rows)
        self.take_extra(space, rows)
        self.point_edges(rows)
        self.capacity = rows
        return 0

    cdef float* reserve_op(self, Op op, float* space, Py_ssize_t rows):
        cdef Py_ssize_t row, i = op.number, size = padded(rows * op.units)
        cdef const float** out = self.addresses + (self.input_count + i) * rows
        op.a = op.z = space
        space += size
        op.d, op.d_rows = NULL, out + self.count * rows
        if self.wants[i]:
            op.d = space
            space += size
            for extra in range(self.extra_starts[i], self.extra_starts[i + 1]):
                self.extra_d[extra] = space
                space += size
            for row in range(rows):
                op.d_rows[row] = op.d + row * op.units
        if op.keeps():
            op.z = space
            space += padded(rows * op.keeps())
        op.held = space
        for row in range(rows):
            out[row] = op.a + row * op.units
        return space + padded(op.holds())

    cdef int point_edges(self, Py_ssize_t rows) except -1:
        """Where each op finds the rows that it reads, and where it puts the gradient by them."""
        cdef Op op
        cdef Py_ssize_t edge, i, reader
        cdef float* d
        for edge in range(len(self.edges)):
            i, k = self.edges[edge]
            source = self.sources[i][k]
            place = self.input_count + source if source >= 0 else -1 - source
            self.edge_rows[edge] = self.addresses + <Py_ssize_t>place * rows
            self.edge_d[edge] = NULL
        for output in range(len(self.outputs)):
            self.output_d[output] = NULL
        for i in range(self.count):
            if self.wants[i]:
                op = self.ops[i]
                for number, reader in enumerate(self.readers[i]):
                    d = self.extra_d[self.extra_starts[i] + <Py_ssize_t>number - 1] if number else op.d
                    if reader >= 0:
                        self.edge_d[reader] = d
                    else:
                        self.output_d[~reader] = d
        for op in self.ops:
            op.x, op.d_x = op.xs[0], op.d_xs[0]
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
        self.trouble = 0
        self.next_tick = seconds_now() + TICK
        self.flushes = not self.takes_gil       # Python code expects denormals as they are
        if self.flushes:
            self.float_state = flush_denormals()
        return 0

    cdef int leave(self) except -1:
        if self.flushes:
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
        if self.flushes:
            restore_denormals(self.float_state)
        with gil:
            try:
                PyErr_CheckSignals()
                if self.progress is not None:
                    self.progress(done)
            except BaseException as error:
                self.pending = error
                return True
        if self.flushes:
            flush_denormals()
        self.next_tick = seconds_now() + TICK
        return False
