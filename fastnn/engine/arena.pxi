"""What a network stands on: its ops and how they hang together, its memory, and the lock that a run holds.

All weights lie in one flat float32 vector; for each op there is a block of activations with room for the largest batch.
A step allocates nothing. Two networks may share the vector: two models that have layers in common.
"""

cdef extern from "denormals.h" nogil:
    unsigned long long flush_denormals()
    void restore_denormals(unsigned long long before)


cdef extern from "clock.h" nogil:
    double seconds_now()


cdef double TICK = 0.05                 # seconds between looks for Ctrl-C
cdef double HEAVY_ROW = 1e6             # operations of a row's way forward

cdef bint rounds_everywhere = False     # products of all networks that do not say it themselves, to bfloat16
cdef int precision_changes = 1


def round_everywhere(bint rounds):
    """Have the inputs of all products rounded to bfloat16, or not; networks with a `matmul_precision` go by that."""
    global rounds_everywhere, precision_changes
    rounds_everywhere = rounds
    precision_changes += 1


cdef enum:
    # Lines that go through a multiply together: they should stay in cache. Where a layer has this many parameters, and
    # these do not either, more lines should share each reading of them.
    CHUNK = 256
    LARGE_CHUNK = 1024
    LARGE_LAYER = 1048576
    # Bytes of a layer's input and output that stay in cache together.
    CACHED = 65536
    MOST_BYTES = 268435456              # of the rows that a thread takes through the ops together in a prediction
    READINGS = 4                        # of parameters, by rows that go through an op together
    GLANCE = 32768                      # multiplications between two looks at the clock: a microsecond or more
    # Sparse rows are made dense where more than one number in so many is there: then a product is faster so. Of a page
    # so many rows are looked at.
    FULL = 4
    LOOKED_AT = 64


cdef Py_ssize_t multiplied_lines(Op op) noexcept:
    """Lines that an op multiplies for a row of the network: those that it gives, or that it reads first."""
    return max(op.lines, op.reads.lines) * op.slices


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


cdef class Arena:
    """Ops with their memory; `Network` runs them. An op's parameters begin at `op.start` of `parameters`.

    lock: of the parameters, where other networks have them too. added: what outputs of ops add to the loss. masks: of
    each output the place of the op that says which of its lines count, or None; () where all lines of all do.
    """

    def __cinit__(self, ops, sources=None, inputs=None, outputs=None, parameters=None, starts=None, Lock lock=None,
                  added=(), masks=()):
        cdef Op op
        cdef Py_ssize_t i
        self.ops = tuple(ops)
        self.count = len(self.ops)
        first = self.ops[0] if self.ops else None
        self.input_widths = tuple(inputs) if inputs is not None else ((<Op?>first).inputs,) if first is not None else ()
        self.sources = tuple(map(tuple, sources)) if sources is not None else tuple((i - 1,) for i in range(self.count))
        self.outputs = tuple(outputs) if outputs is not None else (self.count - 1,)
        self.added_places = tuple([each.op for each in added])
        self.masks = tuple(masks) or (None,) * len(self.outputs)
        _check_ops(self.ops, self.sources, self.input_widths, self.outputs, self.added_places,
                   tuple([place for place in self.masks if place is not None]))
        self.op_list = <void**>malloc(self.count * sizeof(void*))
        self.lock = Lock() if lock is None else lock
        if self.op_list == NULL:
            raise MemoryError("no memory for a network's ops")
        self.threads, self.lean = 1, True
        for i in range(self.count):
            op = self.ops[i]
            op.number = i
            self.row_work += op.work_of_row() * op.slices
            self.row_units += op.units * op.slices
            self.row_multiplies += op.size * multiplied_lines(op)
            self.takes_gil |= op.takes_gil
            self.random |= op.random
            self.draws |= op.random and op.training > 0
            self.fixed_rows = op.held_rows // op.slices if op.held_rows else self.fixed_rows
            self.op_list[i] = <void*>op
        self.inputs = sum(self.input_widths)
        self.units = sum([(<Op>self.ops[place]).units * (<Op>self.ops[place]).slices for place in self.outputs])
        self.add = <types.vector32>float32_of(kernels.add, "vector")
        self.find_parameters(parameters, starts)
        self.find_edges()
        self.find_block_rows()
        self.find_segments()
        self.ask_for_gradients(None)

    def __dealloc__(self):
        free(self.op_list)
        free(self.segments)
        free(self.addresses)
        free(self.given)
        free(self.entries)
        free(self.wanted)
        free(self.extra_d)
        free(self.extra_starts)
        free(self.output_d)
        free(self.output_places)

    @property
    def matmul_precision(self):
        """What the inputs of its products are rounded to, "float32" or "bfloat16"; None: what the process says."""
        return self.precision

    @matmul_precision.setter
    def matmul_precision(self, str precision):
        self.precision, self.precision_seen = precision, 0

    cdef int take_precision(self) except -1:
        """Have the ops' products rounded, or not, as the network or else the process says; needs memory anew then."""
        cdef Op op
        self.precision_seen = precision_changes
        rounds = rounds_everywhere if self.precision is None else self.precision == "bfloat16"
        if rounds != self.rounds:
            self.rounds, self.capacity, self.gradient_capacity, self.lean = rounds, 0, 0, True
            for op in self.ops:
                op.round_products(rounds)
        return 0

    cdef int find_parameters(self, parameters, starts) except -1:
        """Where each op's parameters begin in the flat vector, a new one where none is given."""
        cdef Op op
        cdef Py_ssize_t i
        end = 0
        if starts is None:
            starts, end = starts_of([op.size for op in self.ops])
        if parameters is None:
            parameters = aligned(max(LINE, end, max(start + padded(op.size) for start, op in zip(starts, self.ops))))
        self.parameters = parameters
        self.w = <float*>address(parameters, True)
        if <size_t>self.w % (LINE * sizeof(float)) or parameters.dtype != np.float32:
            raise ValueError("parameters must be a float32 vector that begins on a cache line; make it with `aligned`")
        for i in range(self.count):
            op = self.ops[i]
            op.start = starts[i]
            if op.start < 0 or op.start % LINE or op.start + op.size > parameters.size:
                raise ValueError(f"op {i} cannot have {op.size} parameters from {op.start} on, of {parameters.size}")
            op.w = self.w + op.start
        return 0

    cdef int find_edges(self) except -1:
        """Which op reads which, and room for what is said of it."""
        cdef Py_ssize_t i, extras = 0
        self.edges = [(i, k) for i in range(self.count) for k in range(len(self.sources[i]))]
        self.readers = [[] for _ in range(self.count)]
        for output, place in reversed(list(enumerate(self.outputs + self.added_places))):
            self.readers[place].insert(0, ~output)
        for edge in range(len(self.edges) - 1, -1, -1):     # no gradient comes from what is read for a mask alone
            i, k = self.edges[edge]
            if self.sources[i][k] >= 0 and self.readers[i] and not (<Op>self.ops[i]).steady:
                self.readers[self.sources[i][k]].insert(0, edge)
        self.input_count, self.output_count = len(self.input_widths), len(self.outputs)
        self.wanted = <bint*>malloc(self.count * sizeof(bint))
        self.extra_starts = <Py_ssize_t*>malloc((self.count + 1) * sizeof(Py_ssize_t))
        self.output_d = <float**>malloc((self.output_count + len(self.added_places)) * sizeof(void*))
        self.output_places = <Py_ssize_t*>malloc(self.output_count * sizeof(Py_ssize_t))
        self.given = <Input*>malloc(self.input_count * sizeof(Input))
        for i in range(self.count):
            extras += max(0, len(self.readers[i]) - 1)
        self.extra_d = <float**>malloc(max(1, extras) * sizeof(void*))
        if (self.wanted == NULL or self.extra_starts == NULL or self.output_d == NULL or self.output_places == NULL
                or self.given == NULL or self.extra_d == NULL):
            raise MemoryError("no memory for a network's edges")
        for i in range(self.output_count):
            self.output_places[i] = self.outputs[i]
        for i in range(self.input_count):
            self.given[i].start, self.given[i].width = sum(self.input_widths[:i]), self.input_widths[i]
            self.given[i].ids = all([
                (<Op>self.ops[op]).reads_ids for op, k in self.edges if self.sources[op][k] == -1 - i])
        self.all_ids = all([self.given[i].ids for i in range(self.input_count)])
        extras = 0
        for i in range(self.count):
            self.extra_starts[i] = extras
            extras += max(0, len(self.readers[i]) - 1)
        self.extra_starts[self.count] = extras
        return 0

    cdef int find_block_rows(self) except -1:
        """Fewer rows to a block where a row of several lines is so much work that a small batch should be shared."""
        cdef Op op
        self.block_shift = 4
        if any([multiplied_lines(op) > 1 for op in self.ops if (<Op>op).size]):
            self.block_shift = 4 if self.row_work < HEAVY_ROW else 2 if self.row_work < 8 * HEAVY_ROW else 0
        self.block_rows = 1 << self.block_shift
        for op in self.ops:
            op.block_rows = self.block_rows * op.slices
        return 0

    cdef int find_segments(self) except -1:
        """Cut the ops into segments. One begins with each whole-batch op; and where a row has fewer lines from an op on
        (behind a Flatten), so that few rows at a time go through the lines before, and more through what follows:
        unless it has fewer parameters to read than these rows have numbers, which would leave the cache till they are
        read on the way back.
        """
        cdef Op op
        cdef Py_ssize_t i, lines = 0, own, rows, target, row_bytes, numbers = 0
        cdef bint few
        cdef Segment* segment = NULL
        self.segments = <Segment*>malloc(self.count * sizeof(Segment))
        if self.segments == NULL:
            raise MemoryError("no memory for a network's segments")
        for i in range(self.count):
            op = self.ops[i]
            target = LARGE_CHUNK if op.size >= LARGE_LAYER else CHUNK
            row_bytes = (op.inputs + op.units) * op.slices * <Py_ssize_t>sizeof(float)
            own = multiplied_lines(op)
            rows = max(target // own, min(target, CACHED // row_bytes)) if own > 1 else target
            rows = max(rows // self.block_rows, 1) * self.block_rows
            few = segment != NULL and op.size and own < lines and rows > segment.rows
            if segment == NULL or op.whole_batch or (few and READINGS * op.size > segment.rows * numbers):
                segment = &self.segments[self.segment_count]
                self.segment_count += 1
                segment.first, segment.rows, segment.whole, lines, numbers = i, 0, op.whole_batch, 0, 0
                few = False
            segment.last, numbers = i + 1, numbers + op.units * op.slices
            if op.size and not few:
                segment.rows, lines = max(segment.rows, rows), own
        for i in range(self.segment_count):
            if self.segments[i].rows == 0:
                self.segments[i].rows = CHUNK
            self.most_rows = max(self.most_rows, self.segments[i].rows)
        rows = max(1, MOST_BYTES // (4 * self.row_units))
        if rows < self.most_rows:
            self.most_rows = max(1, rows // BLOCK_ROWS * BLOCK_ROWS)
        self.glance = GLANCE // max(1, self.row_multiplies)
        return 0

    cdef int ask_for_gradients(self, frozen) except -1:
        """Which ops need a gradient: those that learn or are tapped, and all that come after one of them."""
        cdef Op op
        frozen = [False] * self.count if frozen is None else [bool(each) for each in frozen]
        if len(frozen) != self.count:
            raise ValueError(f"{self.count} ops are frozen or not, got {len(frozen)} answers")
        self.wants = []
        for i, op in enumerate(self.ops):
            op.frozen = frozen[i]
            before = any([source >= 0 and self.wants[source] for source in self.sources[i]])
            self.wants.append(len(self.readers[i]) > 0 and not op.steady and (
                before or op.tapped or (op.size > 0 and not op.frozen)))
            self.wanted[i] = self.wants[i]
        self.capacity = self.gradient_capacity = 0
        return 0

    # Memory.

    cdef Py_ssize_t extra_space(self, Py_ssize_t rows):
        """Floats that a subclass needs in the arena for a batch of `rows` rows."""
        return 0

    cdef float* take_extra(self, float* space, Py_ssize_t rows):
        """Let the subclass have them; gives where the rest begins."""
        return space

    cdef object row_floats(self, bint gradients):
        """Numbers that a row takes in the arena, as a whole number of Python's: it may be a large one."""
        cdef Op op
        total = 0
        for i, op in enumerate(self.ops):
            if gradients and self.wants[i] and op.forward_only:
                raise ValueError("a quantised model has no gradients; ask the model that it was made of")
            copies = 1 + (len(self.readers[i]) if gradients and self.wants[i] else 0)
            total += (copies * op.units + op.saved() + 4) * op.slices      # two floats' room for an address
            if gradients and self.wants[i]:
                total += op.partials() // self.block_rows
        return total

    cdef int reserve(self, Py_ssize_t rows, bint gradients) except -1:
        """Make room for a batch of `rows` rows, and for its gradients where they are asked for.

        MemoryError where the machine has not as much memory.
        """
        cdef Op op
        cdef Py_ssize_t i, total, gradient_rows = self.gradient_capacity
        cdef const float** addresses
        cdef float* space
        cdef int threads = max(self.threads, self.thread_capacity)
        if rows <= self.capacity and self.threads <= self.thread_capacity and (not gradients or rows <= gradient_rows):
            return 0
        if gradients:
            gradient_rows = max(gradient_rows, rows)
        row = 4 * self.row_floats(gradients)
        if row * rows > machine.memory():
            raise MemoryError(
                f"{rows} rows at once take {machine.readable(row * rows)} ({machine.readable(row)} for each row), "
                f"more than the {machine.readable(machine.memory())} of this machine; make batch_size or the layers "
                "smaller")
        rows = max(rows, self.capacity)
        total = padded(self.inputs) + self.extra_space(rows)
        tables = self.input_count * rows
        for i in range(self.count):
            op = self.ops[i]
            tables += rows * op.slices * (1 + sum([
                (<Op>self.ops[source]).slices != op.slices for source in self.sources[i] if source >= 0]))
            op.state_stride = padded(op.state_size())
            total += padded(rows * op.slices * op.saved()) + padded(rows * op.slices * op.units)
            total += threads * op.state_stride
            if self.wants[i]:
                total += len(self.readers[i]) * padded(gradient_rows * op.slices * op.units)
                total += self.blocks_in(gradient_rows) * padded(op.partials())
        arena = aligned(total)
        addresses = <const float**>malloc(<Py_ssize_t>tables * sizeof(float*))
        if addresses == NULL:
            raise MemoryError(f"no memory for a batch of {rows} rows; make batch_size smaller")
        free(self.addresses)
        self.addresses, self.arena, self.capacity, self.gradient_capacity = addresses, arena, 0, 0
        space = <float*>address(arena, True)
        self.zeros = space
        space += padded(self.inputs)
        for i in range(self.count):
            op = self.ops[i]
            op.state = space
            space = self.reserve_op(op, space + threads * op.state_stride, rows, gradient_rows)
        self.take_extra(space, rows)
        self.place_rows(rows, addresses + self.input_count * rows)
        self.place_gradients()
        for op in self.ops:
            op.placed(rows)
        self.capacity, self.gradient_capacity, self.thread_capacity = rows, gradient_rows, threads
        return 0

    cdef int reserve_scratch(self, int threads) except -1:
        """Make room for what each thread of the team needs, which is less of ops that read sparse rows."""
        cdef Op op
        if self.lean:
            self.lean = False
            for op in self.ops:
                self.lean |= op.reads.sparse
                size = padded(op.scratch_size())
                if size > self.scratch_size:
                    self.scratch_size, self.scratches = size, 0
        if threads > self.scratches:
            self.scratch_array = aligned(threads * self.scratch_size)
            self.scratches = threads
            self.scratch = <float*>address(self.scratch_array, True)
        return 0

    cdef int reserve_rows(self, const Rows* rows) except -1:
        """Say which numbers are int32 in a run over such rows, and make room for those that it must convert."""
        cdef Op op
        cdef Py_ssize_t k
        cdef bint whole = rows.kind != FLOAT32 and rows.kind != SPARSE
        self.collected_width = self.inputs if whole else 0
        if rows.kind == SPARSE:
            self.reserve_sparse(rows)
        if self.collected_size < self.capacity * self.collected_width:
            self.collected_size = self.capacity * self.collected_width
            self.collected_array = aligned(self.collected_size)
            self.collected = <float*>address(self.collected_array, True)
        if whole != self.whole:
            for number, k in self.edges:
                op = self.ops[number]
                op.reads[k].whole = whole and self.sources[number][k] < 0 and op.reads_ids \
                    and self.given[-1 - <Py_ssize_t>self.sources[number][k]].ids
            self.whole = whole
        return 0

    cdef int reserve_sparse(self, const Rows* rows) except -1:
        """The same of a sparse page: which inputs are read as they are, and which are made dense, batch by batch.

        The latter are those that are read otherwise, or are full enough. No bit hangs on it.
        """
        cdef Op op
        cdef Py_ssize_t k, i, row, n, source, looked = min(rows.count, <Py_ssize_t>LOOKED_AT), there
        cdef Input* given
        self.sparse_page = True
        if self.entry_rows < self.capacity:
            free(self.entries)
            self.entries = <types.Entries*>malloc(self.capacity * self.input_count * sizeof(types.Entries))
            self.entry_rows = self.capacity if self.entries != NULL else 0
            if self.entries == NULL:
                raise MemoryError(f"no memory for a batch of {self.capacity} rows; make batch_size smaller")
        for k in range(self.input_count):
            self.given[k].sparse = not self.expands
        for i in range(self.count):
            op = <Op>self.op_list[i]
            for k in range(op.read_count):
                source = self.sources[i][k]
                if source < 0 and not op.reads_sparse:
                    self.given[-1 - source].sparse = False
        for k in range(self.input_count):
            given, there = &self.given[k], 0
            given.at = self.collected_width
            for i in range(looked if given.sparse else 0):
                row = i * rows.count // looked
                n = rows.ends[row + 1] - rows.ends[row]
                there += types.first_entry(rows.columns + rows.ends[row], n, given.start + given.width)
                there -= types.first_entry(rows.columns + rows.ends[row], n, given.start)
            given.sparse = given.sparse and there * FULL <= looked * given.width
            if not given.sparse:
                self.collected_width += given.width
        for i in range(self.count):
            op = <Op>self.op_list[i]
            source = self.sources[i][0]
            op.reads.sparse = source < 0 and self.given[-1 - source].sparse and op.reads_sparse     # which has one
        return 0

    cdef void end_sparse(self) noexcept:
        cdef Py_ssize_t i
        for i in range(self.count if self.sparse_page else 0):
            (<Op>self.op_list[i]).reads.sparse = False
        self.sparse_page = False

    cdef float* reserve_op(self, Op op, float* space, Py_ssize_t rows, Py_ssize_t gradient_rows):
        cdef Py_ssize_t i = op.number, extra, size = padded(gradient_rows * op.slices * op.units)
        op.a = op.z = space
        space += padded(rows * op.slices * op.units)
        op.d = op.parts = NULL
        if self.wants[i] and gradient_rows:
            op.d = space
            space += size
            for extra in range(self.extra_starts[i], self.extra_starts[i + 1]):
                self.extra_d[extra] = space
                space += size
            if op.partials() and not op.frozen:
                op.parts = space
                space += self.blocks_in(gradient_rows) * padded(op.partials())
        if op.saved():
            op.z = space
            space += padded(rows * op.slices * op.saved())
        return space

    cdef const float** place_rows(self, Py_ssize_t rows, const float** addresses) except NULL:
        """Write the addresses of all rows that ops give, and tell each op where it finds those that it reads."""
        cdef Op op, giver
        cdef Py_ssize_t i, k, source, row
        tables = {}                     # by source and slices: the index of the first address
        for i in range(self.count):
            op = self.ops[i]
            for k in range(op.read_count):
                source = self.sources[i][k]
                if source < 0:
                    op.reads[k].rows = self.addresses + (-1 - source) * rows
                    continue
                if (source, op.slices) not in tables:
                    giver = self.ops[source]
                    tables[source, op.slices] = addresses - self.addresses
                    for row in range(rows * op.slices):
                        addresses[row] = giver.a + row * (giver.units * giver.slices // op.slices)
                    addresses += rows * op.slices
                op.reads[k].rows = self.addresses + <Py_ssize_t>tables[source, op.slices]
        return addresses

    cdef int place_gradients(self) except -1:
        """Tell each op where the gradients by what it reads go, and the losses where theirs go."""
        cdef Op op, reading
        cdef Py_ssize_t i, reader, k
        cdef float* d
        for op in self.ops:
            for k in range(op.read_count):
                op.reads[k].d = NULL
        for i in range(self.output_count + len(self.added_places)):
            self.output_d[i] = NULL
        for i in range(self.count):
            op = self.ops[i]
            if op.d == NULL:
                continue
            for number, reader in enumerate(self.readers[i]):
                d = self.extra_d[self.extra_starts[i] + <Py_ssize_t>number - 1] if number else op.d
                if reader >= 0:
                    reading = self.ops[self.edges[reader][0]]
                    reading.reads[<Py_ssize_t>self.edges[reader][1]].d = d
                else:
                    self.output_d[~reader] = d
        return 0

    def slopes(self, Py_ssize_t place, Py_ssize_t rows):
        """The gradient by what an op gave for the first `rows` rows of the last batch: float32 (rows, units)."""
        cdef Op op = self.ops[place]
        if op.d == NULL or not 0 <= rows <= self.gradient_capacity:
            raise ValueError(f"op {place} has no gradient of {rows} rows")
        array = np.empty((rows, op.units * op.slices), np.float32)
        memcpy(address(array, True), op.d, array.size * sizeof(float))
        return array

    # One run at a time.

    cdef int enter(self) except -1:
        """Take the lock, for a run; one from inside another of this network, by a signal handler say, is an error."""
        self.lock.acquire()
        if self.lock.runs == 0:         # what ran before was in a thread that a fork left behind
            self.running, self.threads = False, 1
            self.end_sparse()
        if self.running:
            self.lock.release()
            raise RuntimeError(
                "this model is running already in this thread; call it again when fit, evaluate or predict is done")
        if self.precision_seen != precision_changes:
            self.take_precision()
        self.running = True
        self.lock.runs += 1
        self.error = self.rewritten = 0
        self.flushes = not self.takes_gil       # Python code expects denormals as they are
        if self.flushes:
            self.float_state = flush_denormals()
        return 0

    cdef int leave(self) except -1:
        if self.flushes:
            restore_denormals(self.float_state)
        dismiss(self.threads)
        self.threads = 1
        self.end_sparse()               # the next run's page may be another
        pending, self.pending = self.pending, None
        self.progress = None
        self.running = self.linked = False
        self.lock.runs -= 1
        self.lock.release()
        if pending is not None:
            raise pending
        return 0

    cdef bint tick(self, Py_ssize_t done, double loss) noexcept nogil:
        """Now and then: answer Ctrl-C, show progress. True when the run is to stop here.

        That is where an exception waits in `pending`, or where a signal's handler has written weights.
        """
        cdef long long writes
        if seconds_now() < self.next_tick:
            return False
        if self.flushes:
            restore_denormals(self.float_state)
        with gil:
            try:
                writes = self.lock.writes
                PyErr_CheckSignals()
                self.rewritten = self.lock.writes != writes
                if self.progress is not None:
                    self.progress(done, loss)
            except BaseException as error:
                self.pending, self.rewritten = error, False
                return True
        if self.flushes:
            flush_denormals()
        self.next_tick = seconds_now() + TICK
        return self.rewritten
