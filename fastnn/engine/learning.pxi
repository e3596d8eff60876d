"""How a network learns: from the rows' gradients to new weights.

The flat vector's variables are cut into blocks, the same for any number of threads; each thread of the team has a share
of them, by the work that they are. For its blocks it works out the gradient over all rows, adds the penalties' slopes,
and looks whether all of it is finite. Only when every thread has found that does the first weight change: a batch is
accepted, or it changes nothing. Then come the optimizer's steps (stepping.pxi).
"""


cdef extern from "atomics.h" nogil:
    int atomic_read(int* p)
    int atomic_swap(int* p, int value)


cdef extern from "bits.h" nogil:
    int32_t bits_of(float x)
    float float_of(int32_t i)


cdef extern from "clock.h" nogil:
    double seconds_now()


cdef enum:
    BLOCKS = 64                         # that the parameters are cut into, about
    TILE_ROWS = 12                      # and whole multiples of these rows of W, a tile's,
    FEW_ROWS = 4                        # or of these, where a tile's are work that threads should share
    HEAVY_TILE = 1000000
    BLOCK_BATCH = 32                    # rows of the batch for which they are cut
    # Of a batch that goes by parts: rows that one has at least, and is a multiple of; or bytes of activations and
    # gradients, if that is more. Lines that a large gradient sums up at least, and what adding a number of a gradient
    # counts in operations.
    LEAST_PART = 4
    NEAR_BYTES = 10485760
    LEAST_LINES = 256
    PART_WORK = 64
    LATE_FROM = 65536                   # parameters from which on a gradient is not written where that can be
    LARGE = 262144                      # numbers in the gradient of a layer's output that are more than L2 holds


cdef types.vector32 vector_of(Kernel kernel) except NULL:
    return <types.vector32>float32_of(kernel, "vector")


cdef void keep(float* w, const uint8_t* mask, Py_ssize_t n) noexcept nogil:
    """0 where the mask is 0, of what is not finite too; without a branch, which would often be guessed wrong."""
    cdef Py_ssize_t i
    for i in range(n):
        w[i] = float_of(bits_of(w[i]) & -<int32_t>mask[i])


cdef class Learning(AddedLosses):
    """A network's memory and objectives, with its gradients, flat and with the offsets of `parameters`."""

    def __cinit__(self, *args, **kwargs):
        self.penalty = <types.penalty32>float32_of(kernels.l1_l2, "penalty")
        self.largest = vector_of(kernels.largest)
        self.shared_gradients, self.kept_matrices = [], []
        self.next_shared = <void**>calloc(self.count, sizeof(void*))
        if self.next_shared == NULL:
            raise MemoryError("no memory for a network's ops")

    def __dealloc__(self):
        free(self.next_shared)
        free(self.variables)
        free(self.given_order)
        free(self.blocks)
        free(self.pieces)
        free(self.penalty_parts)
        free(self.squares)

    # What learns.

    def set_variables(self, variables, frozen=None):
        """The parameters that learn, as ``fastnn.engine.description.Variable`` says it, each within one op's.

        frozen: for each op whether it does not learn at all. Sums over variables have the order in which they come,
        wherever they lie.
        """
        cdef Py_ssize_t i
        given = list(variables)
        order = sorted(range(len(given)), key=lambda number: given[number].start)
        variables = [given[number] for number in order]
        self.enter()
        try:
            self.clear_variables()
            self.ask_for_gradients(frozen)
            self.gradients = aligned(self.parameters.size)
            self.g = <float*>address(self.gradients, True)
            self.find_shared()
            self.variables = <Variable*>calloc(max(1, len(variables)), sizeof(Variable))
            self.given_order = <Py_ssize_t*>calloc(max(1, len(variables)), sizeof(Py_ssize_t))
            if self.variables == NULL or self.given_order == NULL:
                raise MemoryError("no memory for a network's variables")
            for i in range(len(variables)):
                self.add_variable(&self.variables[i], variables[i])
                self.given_order[<Py_ssize_t>order[i]] = i
                if i and self.variables[i].start < self.variables[i - 1].stop:
                    raise ValueError(f"variables {variables[i - 1]} and {variables[i]} overlap")
            self.variable_count = len(variables)
            self.cut_into_blocks(variables)
        except BaseException:
            self.clear_variables()
            raise
        finally:
            self.leave()

    cdef int add_variable(self, Variable* variable, description) except -1:
        cdef Numbers numbers
        cdef Py_ssize_t rows = description.rows, columns = description.columns
        if min(rows, columns) < 1:
            raise ValueError(f"a variable of shape ({rows}, {columns}) cannot be")
        variable.start, variable.stop, variable.columns = description.start, description.start + rows * columns, columns
        variable.l1, variable.l2 = description.l1, description.l2
        variable.decays = description.decays
        variable.sparse = description.sparse is True
        self.table_count += variable.sparse
        self.has_penalties |= variable.l1 != 0 or variable.l2 != 0
        if description.penalty is not None:
            kernel, values = description.penalty
            numbers = Numbers(values)
            gradient = aligned(rows * columns + penalty_workspace(rows, columns))
            self.kept_matrices.append(gradient)
            variable.penalty = <types.matrix_penalty32>float32_of(kernel, "matrix_penalty")
            variable.slopes = <float*>address(gradient, True)
            memcpy(variable.penalty_numbers, numbers.values, sizeof(variable.penalty_numbers))
            self.has_penalties = self.has_matrix_penalties = True
        if description.constraint is not None:
            kernel, values = description.constraint
            numbers = Numbers(values)
            variable.constraint = <types.constraint32>float32_of(kernel, "constraint")
            memcpy(variable.constraint_numbers, numbers.values, sizeof(variable.constraint_numbers))
            self.has_constraints = True
        if description.mask is not None:
            if description.mask.dtype != np.uint8 or description.mask.size != rows * columns:
                raise ValueError(f"a mask must be {rows * columns} uint8 numbers, got {description.mask.dtype} "
                                 f"{description.mask.shape}")
            self.kept_matrices.append(description.mask)
            variable.mask = <const uint8_t*>address(description.mask)
            self.has_constraints = True
        return 0

    cdef int clear_variables(self) except -1:
        free(self.variables)
        free(self.given_order)
        free(self.blocks)
        free(self.pieces)
        free(self.penalty_parts)
        free(self.squares)
        self.variables, self.given_order, self.blocks, self.pieces = NULL, NULL, NULL, NULL
        self.penalty_parts, self.squares = NULL, NULL
        self.variable_count = self.block_count = self.piece_count = self.learnt = self.table_count = 0
        self.gradient_work = 0
        self.has_penalties = self.has_matrix_penalties = self.has_constraints = False
        self.kept_matrices = []
        return 0

    cdef int find_part_rows(self) except -1:
        """Rows of a batch that go forward, back and into the gradients before others do, so that all of it stays near.

        0: all, where rows see one another, or where the gradients of a part are as much work as its rows.
        """
        cdef Op op
        cdef Py_ssize_t i, rows = NEAR_BYTES // (4 * <Py_ssize_t>self.row_floats(True)), size = 0
        rows = max(<Py_ssize_t>LEAST_PART, rows // LEAST_PART * LEAST_PART)
        self.part_rows = 0 if self.fixed_rows else rows
        for op in self.ops:
            size += 0 if op.frozen else op.size
            if op.size > GROUP and multiplied_lines(op) * rows < LEAST_LINES and not op.frozen:
                self.part_rows = 0
        if size * PART_WORK > rows * self.row_work:
            self.part_rows = 0
        for i in range(self.segment_count):
            if self.segments[i].whole:
                self.part_rows = 0
        return 0

    cdef int find_shared(self) except -1:
        """Chain the ops that share their parameters; each but the first has a gradient of its own, to be added."""
        cdef Op op
        last = {}
        self.shared_gradients, self.apart = [], False
        self.find_part_rows()
        for i, op in enumerate(self.ops):
            self.next_shared[<Py_ssize_t>i] = NULL
            op.g = self.g + op.start
            if op.size and not op.frozen:
                if op.start in last:
                    gradient = aligned(op.size)
                    op.g = <float*>address(gradient, True)
                    self.shared_gradients.append(gradient)
                    self.next_shared[<Py_ssize_t>last[op.start]] = <void*>op
                last[op.start] = i
        return 0

    cdef int set_gradients_apart(self) except -1:
        """Have each op leave its gradient in a vector of its own, to be added to those of parts of the batch before."""
        cdef Op op
        cdef float* g
        if not self.apart:
            gradient = aligned(self.parameters.size)
            g = <float*>address(gradient, True)
            self.shared_gradients.append(gradient)
            for op in self.ops:
                if op.g == self.g + op.start:
                    op.g = g + op.start
            self.apart = True
        return 0

    cdef double work_of(self, Op op) noexcept:
        """Operations that a parameter's gradient takes for a row of the network, in all ops that share it."""
        cdef double work = op.work_of_gradient() * op.slices
        if self.next_shared[op.number] != NULL:
            work += self.work_of(<Op>self.next_shared[op.number])
        return work

    cdef int cut_into_blocks(self, variables) except -1:
        """Tables of which only some rows step come last: most runs have no use for their blocks."""
        cdef Op op
        cdef Variable* variable
        cdef Block* before
        cdef Py_ssize_t i, k, step, p0, end, number, count = BUCKETS * self.table_count
        cdef double total[2]
        cdef double work
        owners = {}
        total[0] = total[1] = 0
        for op in self.ops:
            if op.size and not op.frozen:
                owners.setdefault(op.start, op)
        places = []
        for i in range(self.variable_count):
            variable = &self.variables[i]
            op = next(
                (o for o in owners.values() if o.start <= variable.start and variable.stop <= o.start + o.size), None)
            if op is None or variable.stop <= variable.start or (variable.stop - variable.start) % op.row_size:
                raise ValueError(f"variable {variables[i]} is not part of an op that learns")
            places.append(op)
            total[variable.sparse] += (variable.stop - variable.start) * (BLOCK_BATCH * self.work_of(op) + STEP_WORK)
        for i in range(self.variable_count):
            variable, op = &self.variables[i], places[i]
            work = self.work_of(op)
            step = TILE_ROWS * op.row_size
            if step * BLOCK_BATCH * work > HEAVY_TILE:
                step = FEW_ROWS * op.row_size
            step *= max(1, <Py_ssize_t>(total[variable.sparse] / (BLOCKS * step * (BLOCK_BATCH * work + STEP_WORK))))
            if variable.sparse:         # whole rows
                step += variable.columns - 1 - (step - 1) % variable.columns
            variable.block_stop = step
            count += (variable.stop - variable.start) // step + 1
        self.blocks = <Block*>calloc(max(1, count), sizeof(Block))
        self.penalty_parts = <double*>calloc(max(1, count), sizeof(double))
        self.squares = <double*>calloc(max(1, count), sizeof(double))
        if self.blocks == NULL or self.penalty_parts == NULL or self.squares == NULL:
            raise MemoryError("no memory for a network's blocks of parameters")
        for k in range(2 * self.variable_count):
            i = k % self.variable_count
            variable, op, step = &self.variables[i], places[i], self.variables[i].block_stop
            if variable.sparse != (k >= self.variable_count):
                continue
            variable.first_block = number = self.block_count
            work = self.work_of(op)
            p0, end = variable.start - op.start, variable.stop - op.start
            while p0 < end:
                self.blocks[number] = Block(op.number, p0, min(p0 + step, end), op.start + p0, self.learnt,
                                            self.gradient_work, i, False, 0)
                if number and (number > variable.first_block or not variable.sparse):
                    before = &self.blocks[number - 1]
                    self.blocks[number].joined = op.start + p0 - (before.start + before.p1 - before.p0) < LINE
                self.learnt += min(step, end - p0)
                self.gradient_work += min(step, end - p0) * work
                p0 += step
                number += 1
            if end == op.size:
                self.blocks[number - 1].padding = padded(op.size) - op.size
            self.block_count = variable.block_stop = number
        self.own_first, self.own_stop = 0, self.block_count
        return self.find_pieces()

    cdef int find_pieces(self) except -1:
        """Of a small network: what its blocks are in the end, for one thread that has all of them."""
        cdef Py_ssize_t i = 0, end, first = 0
        cdef Block* block
        cdef Block* last
        if self.learnt > GROUP or self.table_count:
            return 0
        for i in range(self.block_count):
            block = &self.blocks[i]
            if (<Op>self.op_list[block.op]).g + block.p0 != self.g + block.start or not self.wanted[block.op] \
                    or self.next_shared[block.op] != NULL:
                return 0
        self.pieces = <Piece*>calloc(max(1, self.block_count), sizeof(Piece))
        if self.pieces == NULL:
            raise MemoryError("no memory for a network's blocks of parameters")
        i = 0
        while i < self.block_count:
            block, end = &self.blocks[i], i + 1
            while end < self.block_count and self.blocks[end].op == block.op \
                    and self.blocks[end].p0 == self.blocks[end - 1].p1:
                end += 1
            last = &self.blocks[end - 1]
            self.pieces[self.piece_count] = Piece(self.op_list[block.op], block.p0, last.p1, 0, 0)
            if end == self.block_count or not self.blocks[end].joined:
                self.pieces[self.piece_count].start = self.blocks[first].start
                self.pieces[self.piece_count].n = (
                    last.start + last.p1 - last.p0 + last.padding - self.blocks[first].start)
                first = end
            self.piece_count += 1
            i = end
        return 0

    # How.

    def apply_constraints(self):
        """Bring the weights to where their constraints let them be, as a step does."""
        self.enter()
        try:
            self.constrain(0, 1)
        finally:
            self.leave()

    def delay_for_tests(self, int number, int thread, double seconds):
        """Have a thread begin late, by so many seconds, what comes after a barrier of that number; 0: no more."""
        self.delayed_barrier, self.delayed_thread, self.delay, self.delays = <Barrier>number, thread, seconds, 0

    # Without the GIL.

    cdef void wait_for_all(self, Barrier number, int thread, int threads) noexcept nogil:
        cdef double until
        barrier(thread, threads)
        if self.delay > 0 and self.delayed_barrier == number and self.delayed_thread == thread:
            self.delays += 1
            until = seconds_now() + self.delay
            while seconds_now() < until:
                pass

    cdef Py_ssize_t first_block(self, Py_ssize_t rows, int thread, int threads) noexcept nogil:
        """Of a thread's share of this process's parameters, in a batch of `rows` rows; the next thread's is its end.

        With no rows, of its share of the steps alone.
        """
        cdef Py_ssize_t low = self.own_first, high = self.own_stop, middle
        cdef double before = self.work_before(low, rows)
        cdef double start = before + (self.work_before(high, rows) - before) * thread / threads
        if thread == 0 or start == before:
            return low
        if thread == threads:
            return high
        while low < high:
            middle = (low + high) // 2
            if self.work_before(middle, rows) < start:
                low = middle + 1
            else:
                high = middle
        # The nearer end of the block that the share would end in.
        return low - (2 * start < self.work_before(low - 1, rows) + self.work_before(low, rows))

    cdef double work_before(self, Py_ssize_t block, Py_ssize_t rows) noexcept nogil:
        """Operations of all blocks before this one, in a batch of `rows` rows."""
        if block == self.block_count:
            return self.gradient_work * rows + STEP_WORK * self.learnt
        return self.blocks[block].work_before * rows + STEP_WORK * self.blocks[block].before

    cdef Py_ssize_t group_size(self, Py_ssize_t op, Py_ssize_t rows) noexcept nogil:
        """Parameters whose gradient is made in one go. Rows of d that do not stay in cache are better read seldom."""
        cdef Py_ssize_t units = (<Op>self.op_list[op]).width
        if (<Op>self.op_list[op]).scatters:
            return SCATTERED
        if (<Op>self.op_list[op]).reads.sparse:
            return SCATTERED // 8       # still near
        return GROUP if rows * (<Op>self.op_list[op]).units < LARGE else max(<Py_ssize_t>GROUP, PACK_A_ROWS * units)

    cdef void find_gradients(self, const Step* step, Py_ssize_t block, Py_ssize_t stop, int thread,
                             int threads) noexcept nogil:
        """The gradients of blocks block:stop, up to the first that is not finite; in `not_finite` whether one is."""
        cdef Py_ssize_t n, first = block
        cdef double largest
        cdef Block* last
        if self.has_matrix_penalties and step.first + step.rows == step.batch:
            self.penalise_matrices(thread, threads)
            self.wait(PENALTIES, thread, threads)
        while block < stop:
            if self.is_late(step, block):
                first = block = block + 1
                continue
            block = self.find_gradient(step, block, stop)
            # Small ops are looked at together, and a large one while it is in cache. Padding is 0.
            last = &self.blocks[block - 1]
            if block == stop or not self.blocks[block].joined or last.start - self.blocks[first].start >= GROUP \
                    or self.is_late(step, block):
                n = last.start + last.p1 - last.p0 + last.padding - self.blocks[first].start
                largest = self.largest(self.g + self.blocks[first].start, NULL, n, 0)
                if largest > WIDE_FROM:
                    atomic_swap(&self.huge, True)
                if not isfinite(largest):
                    atomic_swap(&self.not_finite, True)
                    return
                first = block

    cdef Py_ssize_t find_gradient(self, const Step* step, Py_ssize_t block, Py_ssize_t stop) noexcept nogil:
        """The gradient of some blocks of one op, penalties included; gives the first block that is left."""
        cdef Block* first = &self.blocks[block]
        cdef Py_ssize_t i, p1, n, end = block + 1, most = GROUP
        cdef float* g = self.g + first.start
        cdef float* own = (<Op>self.op_list[first.op]).g + first.p0
        if self.learnt > GROUP:
            most = self.group_size(first.op, step.rows)
        while end < stop and self.blocks[end].op == first.op and self.blocks[end].p0 == self.blocks[end - 1].p1 \
                and self.blocks[end].p1 - first.p0 <= most:
            end += 1
        p1 = self.blocks[end - 1].p1
        if not self.by_rows:
            self.own_gradient(step, first.op, first.p0, p1)
            if step.first:
                self.add(g, own, p1 - first.p0, 0)
            elif g != own:
                memcpy(g, own, (p1 - first.p0) * sizeof(float))
            if self.next_shared[first.op] != NULL:
                self.add_shared_gradients(step, first.op, first.p0, p1, g)
        if self.has_penalties and step.first + step.rows == step.batch:
            for i in range(block, end):
                self.penalty_parts[i] = self.penalise(i, step.penalty)
        return end

    cdef void own_gradient(self, const Step* step, Py_ssize_t n, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        """An op's gradient by its parameters p0:p1."""
        if self.wanted[n]:
            (<Op>self.op_list[n]).gradient(step, p0, p1)
        else:                           # a mask alone hangs on it
            memset((<Op>self.op_list[n]).g + p0, 0, (p1 - p0) * sizeof(float))

    cdef void add_shared_gradients(self, const Step* step, Py_ssize_t n, Py_ssize_t p0, Py_ssize_t p1,
                                   float* g) noexcept nogil:
        """Add the gradients by parameters p0:p1 of the ops that share them with op n."""
        while self.next_shared[n] != NULL:
            n = (<Op>self.next_shared[n]).number
            if self.wanted[n]:
                (<Op>self.op_list[n]).gradient(step, p0, p1)
                self.add(g, (<Op>self.op_list[n]).g + p0, p1 - p0, 0)

    cdef double penalise(self, Py_ssize_t block, double scale) noexcept nogil:
        """Add the penalties' slopes to a block's gradient; gives their value. Those of whole matrices have no scale."""
        cdef Block* at = &self.blocks[block]
        cdef Variable* variable = &self.variables[at.variable]
        cdef double value = 0
        if variable.slopes != NULL:
            self.add(self.g + at.start, variable.slopes + (at.start - variable.start), at.p1 - at.p0, 0)
            if at.start == variable.start:
                value = variable.value
        if variable.l1 == 0 and variable.l2 == 0:
            return value
        return value + self.penalty(self.w + at.start, self.g + at.start, at.p1 - at.p0,
                                    scale * variable.l1, scale * variable.l2)

    cdef void penalise_matrices(self, int thread, int threads) noexcept nogil:
        """A thread's share of the penalties that take a whole matrix: value and slopes, which a block adds later."""
        cdef Py_ssize_t i, n
        cdef Variable* variable
        for i in range(self.variable_count):
            variable = &self.variables[i]
            if variable.penalty != NULL and i % threads == thread:
                n = variable.stop - variable.start
                memset(variable.slopes, 0, n * sizeof(float))
                variable.value = variable.penalty(self.w + variable.start, variable.slopes, n // variable.columns,
                                                  variable.columns, variable.penalty_numbers, variable.slopes + n)

    cdef void constrain(self, int thread, int threads) noexcept nogil:
        """A thread's share of each constrained variable: some of its columns, or of its rows.

        Masks come first: the lengths that a constraint sees are those of what is left, and it keeps zeros.
        """
        cdef Py_ssize_t i, row, rows, vectors, first, stop
        cdef Variable* variable
        cdef bint upright
        for i in range(self.variable_count):
            variable = &self.variables[i]
            if variable.constraint == NULL and variable.mask == NULL:
                continue
            rows = (variable.stop - variable.start) // variable.columns
            upright = variable.constraint != NULL and variable.constraint_numbers[0] == 0
            vectors = variable.columns if upright else rows
            first, stop = vectors * thread // threads, vectors * (thread + 1) // threads
            if variable.mask != NULL and upright and stop - first < variable.columns:
                for row in range(rows):
                    self.hide(variable, row * variable.columns + first, row * variable.columns + stop)
            elif variable.mask != NULL:
                self.hide(variable, 0 if upright else first * variable.columns,
                          (rows if upright else stop) * variable.columns)
            if variable.constraint != NULL:
                variable.constraint(self.w + variable.start, rows, variable.columns, first, stop,
                                    variable.constraint_numbers)

    cdef void hide(self, const Variable* variable, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        """Make 0 of a variable's numbers first:stop where its mask is 0, whatever they are."""
        keep(self.w + variable.start + first, variable.mask + first, stop - first)

    cdef double sum_of_penalties(self) noexcept nogil:
        """Sums over variables have the order in which these were given, wherever they lie."""
        cdef Py_ssize_t i
        cdef double total = 0
        if self.has_penalties:
            for i in range(self.variable_count):
                total += self.over_blocks(self.penalty_parts, &self.variables[self.given_order[i]])
        return total

    cdef double over_blocks(self, const double* parts, const Variable* variable) noexcept nogil:
        """The sum of what the variable's blocks have."""
        cdef Py_ssize_t i
        cdef double total = 0
        for i in range(variable.first_block, variable.block_stop):
            total += parts[i]
        return total
