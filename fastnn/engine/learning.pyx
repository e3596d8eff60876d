"""How a network learns: from the rows' gradients to new weights.

The flat vector's variables are cut into blocks, the same for any number of threads; each thread of the team has a share
of them, by the work that they are. For its blocks it works out the gradient over all rows, adds the penalties' slopes,
and looks whether all of it is finite. Only when every thread has found that does the first weight change: a batch is
accepted, or it changes nothing. Then come accumulation, clipping, weight decay, the optimizer's step and the weights'
moving average.
"""

from libc.math cimport isfinite, sqrt
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastnn.engine.added_losses cimport AddedLosses
from fastnn.engine.arena cimport LINE, padded
from fastnn.engine.arena import aligned
from fastnn.engine.ops cimport Op, Step, STEP_WORK
from fastnn.kernels.buffers cimport address
from fastnn.kernels.kernel cimport Kernel, Numbers, PACK_A_ROWS, float32_of, float64_of, penalty_workspace
from fastnn.kernels.team cimport barrier
from fastnn.kernels.wide_step cimport FLOAT_MAX, WIDE_FROM, take_step

from fastnn import kernels


cdef extern from "atomics.h" nogil:
    int atomic_read(int* p)
    int atomic_swap(int* p, int value)


cdef extern from "clock.h" nogil:
    double seconds_now()


cdef enum:
    BLOCKS = 64                         # that the parameters are cut into, about
    BLOCK_ROWS = 12                     # and whole multiples of these rows of W, a tile's
    BLOCK_BATCH = 32                    # rows of the batch for which they are cut
    GROUP = 16384                       # parameters whose gradient is made in one go, to stay in cache
    LARGE = 262144                      # numbers in the gradient of a layer's output that are more than L2 holds


cdef types.vector32 _vector(Kernel kernel) except NULL:
    return <types.vector32>float32_of(kernel, "vector")


cdef class Learning(AddedLosses):
    """A network's memory and objectives, with its gradients and its optimizer.

    `gradients` and each of `slots` are flat float32 arrays with the offsets of `parameters`.
    """

    def __cinit__(self, *args, **kwargs):
        self.penalty = <types.penalty32>float32_of(kernels.l1_l2, "penalty")
        self.take_mean, self.clip = _vector(kernels.take_mean), _vector(kernels.clip)
        self.scale, self.decay = _vector(kernels.scale), _vector(kernels.decay)
        self.take_average, self.sum_of_squares = _vector(kernels.average), _vector(kernels.squares)
        self.largest = _vector(kernels.largest)
        self.slots, self.shared_gradients, self.kept_matrices = [], [], []
        self.next_shared = <void**>calloc(self.count, sizeof(void*))
        if self.next_shared == NULL:
            raise MemoryError("no memory for a network's ops")

    def __dealloc__(self):
        free(self.next_shared)
        free(self.variables)
        free(self.given_order)
        free(self.blocks)
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
        return 0

    cdef int clear_variables(self) except -1:
        free(self.variables)
        free(self.given_order)
        free(self.blocks)
        free(self.penalty_parts)
        free(self.squares)
        self.variables, self.given_order, self.blocks = NULL, NULL, NULL
        self.penalty_parts, self.squares = NULL, NULL
        self.variable_count = self.block_count = self.learnt = 0
        self.gradient_work = 0
        self.has_penalties = self.has_matrix_penalties = self.has_constraints = False
        self.kept_matrices = []
        return 0

    cdef int find_shared(self) except -1:
        """Chain the ops that share their parameters; each but the first has a gradient of its own, to be added."""
        cdef Op op
        last = {}
        self.shared_gradients = []
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

    cdef double work_of(self, Op op) noexcept:
        """Operations that a parameter's gradient takes for a row of the network, in all ops that share it."""
        cdef double work = op.work_of_gradient() * op.slices
        if self.next_shared[op.number] != NULL:
            work += self.work_of(<Op>self.next_shared[op.number])
        return work

    cdef int cut_into_blocks(self, variables) except -1:
        cdef Op op
        cdef Variable* variable
        cdef Block* before
        cdef Py_ssize_t i, step, p0, end, number, count = 0
        cdef double work, total = 0
        owners = {}
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
            total += (variable.stop - variable.start) * (BLOCK_BATCH * self.work_of(op) + STEP_WORK)
        for i in range(self.variable_count):
            count += (self.variables[i].stop - self.variables[i].start) // (BLOCK_ROWS * (<Op>places[i]).row_size) + 1
        self.blocks = <Block*>calloc(max(1, count), sizeof(Block))
        self.penalty_parts = <double*>calloc(max(1, count), sizeof(double))
        self.squares = <double*>calloc(max(1, count), sizeof(double))
        if self.blocks == NULL or self.penalty_parts == NULL or self.squares == NULL:
            raise MemoryError("no memory for a network's blocks of parameters")
        for i in range(self.variable_count):
            variable, op = &self.variables[i], places[i]
            variable.first_block = number = self.block_count
            work = self.work_of(op)
            step = BLOCK_ROWS * op.row_size
            step *= max(1, <Py_ssize_t>(total / (BLOCKS * step * (BLOCK_BATCH * work + STEP_WORK))))
            p0, end = variable.start - op.start, variable.stop - op.start
            while p0 < end:
                self.blocks[number] = Block(op.number, p0, min(p0 + step, end), op.start + p0, self.learnt,
                                            self.gradient_work, i, False, 0)
                if number:
                    before = &self.blocks[number - 1]
                    self.blocks[number].joined = op.start + p0 - (before.start + before.p1 - before.p0) < LINE
                self.learnt += min(step, end - p0)
                self.gradient_work += min(step, end - p0) * work
                p0 += step
                number += 1
            if end == op.size:
                self.blocks[number - 1].padding = padded(op.size) - op.size
            self.block_count = variable.block_stop = number
        return 0

    # How.

    def set_optimizer(self, Kernel kernel, numbers, slot_starts=(), *, accumulation=1, average=False):
        """The optimizer, with a fresh slot for each of `slot_starts`, full of that number; the count of steps is 0.

        accumulation: batches whose mean gradient makes one step; more than 1 take a slot. average: whether a moving
        average of the weights is kept, in the last slot.
        """
        cdef int i
        cdef Numbers values = Numbers(numbers)
        cdef types.step32 step = <types.step32>float32_of(kernel, "optimizer")
        starts = [*slot_starts, *([0.0] if accumulation > 1 else []), *([0.0] if average else [])]
        if len(slot_starts) > MAX_SLOTS - 2:
            raise ValueError(f"an optimizer has at most {MAX_SLOTS - 2} slots, got {len(slot_starts)}")
        fresh = []
        for start in starts:
            slot = aligned(self.parameters.size)
            if start:
                slot[...] = start
            fresh.append(slot)
        self.enter()
        try:
            self.optimizer, self.wide_optimizer = step, <types.step64>float64_of(kernel, "optimizer")
            self.optimizer_numbers, self.slots, self.huge = values, fresh, False
            for i in range(MAX_SLOTS):
                self.slot_list[i] = <float*>address(fresh[i], True) if i < len(fresh) else NULL
            self.slot_count = len(slot_starts)
            self.average = self.slot_list[len(fresh) - 1] if average else NULL
            self.sum_of_gradients = self.slot_list[self.slot_count] if accumulation > 1 else NULL
            self.accumulation = max(1, accumulation)
            self.iterations = 0
        finally:
            self.leave()

    def set_numbers(self, numbers, *, weight_decay=None, clipvalue=None, clipnorm=None, global_clipnorm=None,
                    ema_momentum=None, ema_overwrite_frequency=None):
        """New numbers for the optimizer (its momentum, say) and for what happens around its step; slots stay."""
        cdef Numbers values = Numbers(numbers)
        cdef double decay = weight_decay or 0, value = clipvalue or 0, norm = clipnorm or 0
        cdef double of_all = global_clipnorm or 0, momentum = ema_momentum or 0
        cdef long long overwrite = ema_overwrite_frequency or 0
        self.enter()
        try:
            self.optimizer_numbers = values
            self.weight_decay, self.clip_value, self.clip_norm, self.clip_global_norm = decay, value, norm, of_all
            self.average_momentum, self.overwrite = momentum, overwrite
        finally:
            self.leave()

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
        """Of a thread's share of the parameters, in a batch of `rows` rows; the next thread's is its end."""
        cdef Py_ssize_t low = 0, high = self.block_count, middle
        cdef double start = (self.gradient_work * rows + STEP_WORK * self.learnt) * thread / threads
        if thread == 0:
            return 0
        if thread == threads:
            return high
        while low < high:
            middle = (low + high) // 2
            if self.blocks[middle].work_before * rows + STEP_WORK * self.blocks[middle].before < start:
                low = middle + 1
            else:
                high = middle
        return low

    cdef Py_ssize_t group_size(self, Py_ssize_t op, Py_ssize_t rows) noexcept nogil:
        """Parameters whose gradient is made in one go. Rows of d that do not stay in cache are better read seldom."""
        cdef Py_ssize_t units = (<Op>self.op_list[op]).width
        return GROUP if rows * (<Op>self.op_list[op]).units < LARGE else max(<Py_ssize_t>GROUP, PACK_A_ROWS * units)

    cdef void find_gradients(self, const Step* step, Py_ssize_t block, Py_ssize_t stop, int thread,
                             int threads) noexcept nogil:
        """The gradients of blocks block:stop, up to the first that is not finite; in `not_finite` whether one is."""
        cdef Py_ssize_t n, first = block
        cdef double largest
        cdef Block* last
        if self.has_matrix_penalties:
            self.penalise_matrices(thread, threads)
            self.wait(PENALTIES, thread, threads)
        while block < stop:
            block = self.find_gradient(step, block, stop)
            # Small ops are looked at together, and a large one while it is in cache. Padding is 0.
            last = &self.blocks[block - 1]
            if block == stop or not self.blocks[block].joined or last.start - self.blocks[first].start >= GROUP:
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
        cdef Py_ssize_t i, p1, n, end = block + 1, most = self.group_size(first.op, step.rows)
        while end < stop and self.blocks[end].op == first.op and self.blocks[end].p0 == self.blocks[end - 1].p1 \
                and self.blocks[end].p1 - first.p0 <= most:
            end += 1
        p1 = self.blocks[end - 1].p1
        n = first.op
        (<Op>self.op_list[n]).gradient(step, first.p0, p1)
        while self.next_shared[n] != NULL:
            (<Op>self.next_shared[n]).gradient(step, first.p0, p1)
            self.add(self.g + first.start, (<Op>self.next_shared[n]).g + first.p0, p1 - first.p0, 0)
            n = (<Op>self.next_shared[n]).number
        if self.has_penalties:
            for i in range(block, end):
                self.penalty_parts[i] = self.penalise(i)
        return end

    cdef double penalise(self, Py_ssize_t block) noexcept nogil:
        """Add the penalties' slopes to a block's gradient; gives their value."""
        cdef Block* at = &self.blocks[block]
        cdef Variable* variable = &self.variables[at.variable]
        cdef double value = 0
        if variable.slopes != NULL:
            self.add(self.g + at.start, variable.slopes + (at.start - variable.start), at.p1 - at.p0, 0)
            if at.start == variable.start:
                value = variable.value
        if variable.l1 == 0 and variable.l2 == 0:
            return value
        return value + self.penalty(self.w + at.start, self.g + at.start, at.p1 - at.p0, variable.l1, variable.l2)

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
        """A thread's share of each constrained variable: some of its columns, or of its rows."""
        cdef Py_ssize_t i, rows, vectors
        cdef Variable* variable
        for i in range(self.variable_count):
            variable = &self.variables[i]
            if variable.constraint != NULL:
                rows = (variable.stop - variable.start) // variable.columns
                vectors = variable.columns if variable.constraint_numbers[0] == 0 else rows
                variable.constraint(self.w + variable.start, rows, variable.columns, vectors * thread // threads,
                                    vectors * (thread + 1) // threads, variable.constraint_numbers)

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

    cdef void take_steps(self, const Step* step, double rate, Py_ssize_t first, Py_ssize_t stop, int thread,
                         int threads) noexcept nogil:
        """A thread's part of a step: new weights for blocks first:stop, whose gradients are there and finite."""
        cdef Py_ssize_t i, begin, end = stop, start, n
        cdef bint by_norm = self.clip_norm > 0 or self.clip_global_norm > 0
        cdef double of_all = 0
        if self.accumulation > 1:
            self.accumulate(first, stop, step.number % self.accumulation == 0)
            if step.number % self.accumulation:
                return
        if by_norm:
            for i in range(first, stop):
                self.squares[i] = self.sum_of_squares(
                    self.g + self.blocks[i].start, NULL, self.blocks[i].p1 - self.blocks[i].p0, 0)
            self.wait(SQUARES, thread, threads)
            if self.clip_norm == 0:
                for i in range(self.variable_count):
                    of_all += self.over_blocks(self.squares, &self.variables[self.given_order[i]])
        # In runs of blocks without a gap but padding: whole cache lines leave the optimizer no rest to do one by one.
        # The last first: its gradient is in cache.
        while end > first:
            begin = end - 1
            while begin > first and self.blocks[begin].joined and \
                    self.blocks[end - 1].start - self.blocks[begin].start < GROUP:
                begin -= 1
            start = self.blocks[begin].start
            n = self.blocks[end - 1].start + self.blocks[end - 1].p1 - self.blocks[end - 1].p0 - start
            n += self.blocks[end - 1].padding
            if by_norm or self.weight_decay > 0:
                self.shrink(begin, end, rate, of_all)
            self.update(step, rate, start, n)
            if self.average != NULL:
                self.follow(step, start, n)
            end = begin
        if self.has_constraints:
            self.wait(WEIGHTS, thread, threads)
            self.constrain(thread, threads)

    cdef void accumulate(self, Py_ssize_t first, Py_ssize_t stop, bint last) noexcept nogil:
        """Add the gradients to those of the batches before; with the last batch of a step, take their mean."""
        cdef Py_ssize_t i, n, start
        for i in range(first, stop):
            start, n = self.blocks[i].start, self.blocks[i].p1 - self.blocks[i].p0
            if last:
                self.take_mean(self.sum_of_gradients + start, self.g + start, n, 1.0 / self.accumulation)
                if self.huge:
                    self.clip(self.g + start, NULL, n, FLOAT_MAX)
            else:
                self.add(self.sum_of_gradients + start, self.g + start, n, 0)
                if self.huge:
                    self.clip(self.sum_of_gradients + start, NULL, n, FLOAT_MAX)

    cdef double factor(self, const Variable* variable, double of_all) noexcept nogil:
        """What a variable's gradient is multiplied by, so that its norm, or that of all, is not too large."""
        if self.clip_norm > 0:
            return self.clip_norm / max(self.clip_norm, sqrt(self.over_blocks(self.squares, variable)))
        return self.clip_global_norm / max(self.clip_global_norm, sqrt(of_all)) if self.clip_global_norm > 0 else 1

    cdef void shrink(self, Py_ssize_t block, Py_ssize_t stop, double rate, double of_all) noexcept nogil:
        """Gradients by their variables' factors, and weights by the decay."""
        cdef Py_ssize_t i, n, known = -1
        cdef Variable* variable
        cdef double factor = 1
        for i in range(block, stop):
            n, variable = self.blocks[i].p1 - self.blocks[i].p0, &self.variables[self.blocks[i].variable]
            if self.blocks[i].variable != known:
                known, factor = self.blocks[i].variable, self.factor(variable, of_all)
            if factor != 1:
                self.scale(self.g + self.blocks[i].start, NULL, n, factor)
            if self.weight_decay > 0 and variable.decays:
                self.decay(self.w + self.blocks[i].start, NULL, n, self.weight_decay * rate)

    cdef void follow(self, const Step* step, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
        """Take new weights into their average, which is at first the weights themselves."""
        self.take_average(self.average + start, self.w + start, n,
                          self.average_momentum if step.number > self.accumulation else 0)
        if self.overwrite and step.number // self.accumulation % self.overwrite == 0:
            memcpy(self.w + start, self.average + start, n * sizeof(float))

    cdef void update(self, const Step* step, double rate, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
        cdef float* slots[MAX_SLOTS]
        cdef int i
        cdef double number
        if self.clip_value > 0:
            self.clip(self.g + start, NULL, n, self.clip_value)
        for i in range(self.slot_count):
            slots[i] = self.slot_list[i] + start
        number = step.number if self.accumulation == 1 else step.number // self.accumulation
        take_step(self.optimizer, self.wide_optimizer, self.huge, self.w + start, self.g + start, slots,
                  self.slot_count, n, rate, number, self.optimizer_numbers.values)
