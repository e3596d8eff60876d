"""The steps of an optimizer: accumulation, clipping, weight decay, the step itself and the weights' moving average.

A thread takes the steps of its own blocks of parameters. An optimizer that must see the whole of a variable (its norm,
the means of its rows and columns) takes the steps of whole variables instead, each on one thread, once all threads have
made the gradients of their blocks ready; so no bit depends on how many threads there are.

Differentially private steps (Abadi et al. 2016) bring the gradient of each row within a norm before it is added up: a
parameter's gradient is linear in the rows' d, so these are scaled. Where an op does not know how long a row's gradient
is, or several share their parameters, each row goes through the network by itself, and its whole gradient is scaled.
Noise follows, once the gradients are whole.
"""


cdef class Stepping(SparseLearning):
    """A network's gradients, and its optimizer. Each of `slots` is flat, with the offsets of `parameters`."""

    def __cinit__(self, *args, **kwargs):
        self.take_mean, self.clip = vector_of(kernels.take_mean), vector_of(kernels.clip)
        self.scale, self.decay = vector_of(kernels.scale), vector_of(kernels.decay)
        self.take_average = vector_of(kernels.average)
        self.slots = []
        self.noise = <types.noise32>float32_of(kernels.normal_pairs, "noise", FORWARD)

    cdef int clear_variables(self) except -1:
        self.decays_apart = False
        return SparseLearning.clear_variables(self)

    cdef int add_variable(self, Variable* variable, description) except -1:
        SparseLearning.add_variable(self, variable, description)
        shape = [1, 1, *(description.shape or (description.rows, description.columns))]
        variable.row_size, variable.rows = shape.pop(), shape.pop()
        variable.matrix = description.matrix
        variable.decay = -1 if description.decay is None else description.decay
        self.decays_apart |= variable.decay > 0
        return 0

    cdef int cut_into_blocks(self, variables) except -1:
        SparseLearning.cut_into_blocks(self, variables)
        return self.find_workspace()

    cdef int find_workspace(self) except -1:
        """Have each thread's scratch be large enough for the step of any variable, of numbers of eight bytes too."""
        cdef Py_ssize_t i, size
        if self.whole_step != NULL:
            for i in range(self.variable_count):
                size = self.workspace(self.optimizer_numbers.values, self.variables[i].rows, self.variables[i].row_size)
                if padded(2 * size) > self.scratch_size:
                    self.scratch_size, self.scratches = padded(2 * size), 0
        return 0

    # How.

    def set_optimizer(self, Kernel kernel, numbers, slot_starts=(), *, accumulation=1, average=False):
        """The optimizer, with a fresh slot for each of `slot_starts`, full of that number; the count of steps is 0.

        accumulation: batches whose mean gradient makes one step; more than 1 take a slot. average: whether a moving
        average of the weights is kept, in the last slot.
        """
        cdef int i
        cdef Numbers values = Numbers(numbers)
        cdef bint whole = kernel is not None and kernel.signature == "whole_optimizer"
        cdef void* step = float32_of(kernel, "whole_optimizer" if whole else "optimizer")
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
            self.optimizer = NULL if whole else <types.step32>step
            self.wide_optimizer = NULL if whole else <types.step64>float64_of(kernel, "optimizer")
            self.whole_step = <types.whole_step32>step if whole else NULL
            self.wide_whole_step = <types.whole_step32>float64_of(kernel, "whole_optimizer") if whole else NULL
            self.workspace = <types.workspace_size>kernel.size if whole else NULL
            self.has_optimizer = True
            self.optimizer_numbers, self.slots, self.huge = values, fresh, False
            for i in range(MAX_SLOTS):
                self.slot_list[i] = <float*>address(fresh[i], True) if i < len(fresh) else NULL
            self.slot_count = len(slot_starts)
            self.average = self.slot_list[len(fresh) - 1] if average else NULL
            self.sum_of_gradients = self.slot_list[self.slot_count] if accumulation > 1 else NULL
            self.accumulation = max(1, accumulation)
            self.iterations = 0
            self.find_workspace()
        finally:
            self.leave()

    def set_numbers(self, numbers, *, weight_decay=None, clipvalue=None, clipnorm=None, global_clipnorm=None,
                    ema_momentum=None, ema_overwrite_frequency=None, row_clip=0, row_noise=0):
        """New numbers for the optimizer (its momentum, say) and for what happens around its step; slots stay.

        row_clip: the norm that each row's gradient is brought within, 0 for none; row_noise: that of noise for the
        gradient of a batch, times row_clip / rows. No op that learns looks at the whole batch then.
        """
        cdef Numbers values = Numbers(numbers)
        cdef double decay = weight_decay or 0, value = clipvalue or 0, norm = clipnorm or 0
        cdef double of_all = global_clipnorm or 0, momentum = ema_momentum or 0
        cdef long long overwrite = ema_overwrite_frequency or 0
        cdef double row = row_clip, deviation = row_noise
        self.enter()
        try:
            self.optimizer_numbers = values
            self.weight_decay, self.clip_value, self.clip_norm, self.clip_global_norm = decay, value, norm, of_all
            self.average_momentum, self.overwrite = momentum, overwrite
            self.row_clip, self.row_noise = row, deviation
        finally:
            self.leave()

    # Without the GIL.

    cdef void clip_rows(self, const Step* step, Py_ssize_t r0, Py_ssize_t stop) noexcept nogil:
        """Scale d of rows r0:stop, whose way back is done, so that no row's gradient is longer than `row_clip`."""
        cdef double squares[CLIPPED]
        cdef double norm
        cdef Py_ssize_t i, row, units, r1
        while r0 < stop:
            r1 = min(stop, r0 + CLIPPED)
            memset(squares, 0, sizeof(squares))
            for i in range(self.count):
                if (<Op>self.op_list[i]).size and not (<Op>self.op_list[i]).frozen and self.wanted[i]:
                    (<Op>self.op_list[i]).row_squares(step, r0, r1, squares)
            for row in range(r0, r1):       # of the loss's mean: rows times as long
                norm = step.batch * (sqrt(squares[row - r0]) if squares[row - r0] > 0 else squares[row - r0])
                if not norm <= self.row_clip:
                    for i in range(self.count):
                        if (<Op>self.op_list[i]).size and not (<Op>self.op_list[i]).frozen and self.wanted[i]:
                            units = (<Op>self.op_list[i]).units * (<Op>self.op_list[i]).slices
                            self.scale((<Op>self.op_list[i]).d + row * units, NULL, units, self.row_clip / norm)
            r0 = r1

    cdef bint knows_rows(self) noexcept:
        """Whether all ops that learn know how long the gradient by each row is: that of an op, and not of several."""
        cdef Op op
        for op in self.ops:
            if op.size and not op.frozen and (not op.knows_rows or self.next_shared[op.number] != NULL):
                return False
        return True

    cdef void clip_row(self, const Step* step, Py_ssize_t first, Py_ssize_t stop, int thread,
                       int threads) noexcept nogil:
        """Bring the gradient of a row, alone in its part, within `row_clip`; add blocks first:stop to those before."""
        cdef Py_ssize_t i, n
        cdef double total = 0
        cdef Block* block
        cdef float* own
        for i in range(first, stop):
            block = &self.blocks[i]
            own, n = (<Op>self.op_list[block.op]).g + block.p0, block.p1 - block.p0
            self.own_gradient(step, block.op, block.p0, block.p1)
            self.add_shared_gradients(step, block.op, block.p0, block.p1, own)
            self.squares[i] = self.sum_of_squares(own, NULL, n, 0)
        self.wait(SQUARES, thread, threads)
        for i in range(self.block_count):
            total += self.squares[i]
        total = step.batch * sqrt(total)        # of the loss's mean: rows times as long
        for i in range(first, stop):
            block = &self.blocks[i]
            own, n = (<Op>self.op_list[block.op]).g + block.p0, block.p1 - block.p0
            if not total <= self.row_clip:
                self.scale(own, NULL, n, self.row_clip / total)
            if step.first:
                self.add(self.g + block.start, own, n, 0)
            else:
                memcpy(self.g + block.start, own, n * sizeof(float))

    cdef void add_noise(self, const Step* step, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        """Add normal numbers of this step and of a parameter's place to the gradients of blocks first:stop."""
        cdef Py_ssize_t i
        cdef float* g
        cdef uint64_t key = mix64(~mix64(self.seed ^ mix64(<uint64_t>step.number)))
        for i in range(first, stop):
            g = self.g + self.blocks[i].start
            self.noise(g, g, self.blocks[i].p1 - self.blocks[i].p0, <uint32_t>self.blocks[i].start,
                       self.row_noise * self.row_clip / step.batch, key)

    cdef void take_steps(self, const Step* step, double rate, Py_ssize_t first, Py_ssize_t stop, int thread,
                         int threads) noexcept nogil:
        """A thread's part of a step: new weights for blocks first:stop, whose gradients are there and finite."""
        cdef Py_ssize_t i, begin, end = stop, start, n
        cdef bint by_norm = self.clip_norm > 0 or self.clip_global_norm > 0
        cdef bint shrinks = by_norm or self.weight_decay > 0 or self.decays_apart
        cdef double of_all = 0
        if self.accumulation > 1:
            self.accumulate(first, stop, step.number % self.accumulation == 0)
            if step.number % self.accumulation:
                return
        if by_norm:
            for i in range(first, stop):
                self.squares[i] = self.sum_of_squares(
                    self.g + self.blocks[i].start, NULL, self.blocks[i].p1 - self.blocks[i].p0, 0)
            if self.sparse:
                self.square_touched(thread, threads)
            self.wait(SQUARES, thread, threads)
            if self.clip_norm == 0:
                for i in range(self.variable_count):
                    of_all += self.over_blocks(self.squares, &self.variables[self.given_order[i]])
        # In runs of blocks without a gap but padding: whole cache lines leave the optimizer no rest to do one by one.
        # The last first: its gradient is in cache.
        while end > first:
            begin = end - 1
            if self.is_late(step, begin):
                begin = max(first, self.variables[self.late_variable].first_block)
                self.step_late(step, rate, begin, end)
                end = begin
                continue
            while begin > first and self.blocks[begin].joined and not self.is_late(step, begin - 1) and \
                    self.blocks[end - 1].start - self.blocks[begin].start < GROUP:
                begin -= 1
            start = self.blocks[begin].start
            n = self.blocks[end - 1].start + self.blocks[end - 1].p1 - self.blocks[end - 1].p0 - start
            n += self.blocks[end - 1].padding
            if shrinks:
                self.shrink(begin, end, rate, of_all)
            if self.clip_value > 0:
                self.clip(self.g + start, NULL, n, self.clip_value)
            if self.variables[self.blocks[begin].variable].sparse:
                self.update_rows(step, rate, start, n, self.variables[self.blocks[begin].variable].columns)
            elif self.whole_step == NULL:
                self.update(step, rate, start, n, self.g + start)
                if self.average != NULL:
                    self.follow(step, start, n)
            end = begin
        if self.sparse:
            self.step_touched(step, rate, of_all, thread)
        if self.whole_step != NULL:
            self.wait(STEPS, thread, threads)
            self.update_whole(step, rate, thread, threads)
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

    cdef double decay_of(self, const Variable* variable) noexcept nogil:
        """A variable's weight decay, 0 for none."""
        if not variable.decays:
            return 0
        return self.weight_decay if variable.decay < 0 else variable.decay

    cdef void shrink(self, Py_ssize_t block, Py_ssize_t stop, double rate, double of_all) noexcept nogil:
        """Gradients by their variables' factors, and weights by the decay."""
        cdef Py_ssize_t i, n, known = -1
        cdef Variable* variable
        cdef double factor = 1, decay
        for i in range(block, stop):
            n, variable = self.blocks[i].p1 - self.blocks[i].p0, &self.variables[self.blocks[i].variable]
            if self.blocks[i].variable != known:
                known, factor = self.blocks[i].variable, self.factor(variable, of_all)
            if factor != 1:
                self.scale(self.g + self.blocks[i].start, NULL, n, factor)
            decay = self.decay_of(variable)
            if decay > 0:
                self.decay(self.w + self.blocks[i].start, NULL, n, decay * rate)

    cdef void hide(self, const Variable* variable, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        SparseLearning.hide(self, variable, first, stop)
        if self.average != NULL:
            keep(self.average + variable.start + first, variable.mask + first, stop - first)

    cdef void follow(self, const Step* step, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
        """Take new weights into their average, which is at first the weights themselves."""
        self.take_average(self.average + start, self.w + start, n,
                          self.average_momentum if step.number > self.accumulation else 0)
        if self.overwrite and step.number // self.accumulation % self.overwrite == 0:
            memcpy(self.w + start, self.average + start, n * sizeof(float))

    cdef void update(self, const Step* step, double rate, Py_ssize_t start, Py_ssize_t n,
                     float* g) noexcept nogil:
        """The optimizer's step for n parameters from `start` on, by their gradient."""
        cdef float* slots[MAX_SLOTS]
        cdef int i
        for i in range(self.slot_count):
            slots[i] = self.slot_list[i] + start
        take_step(self.optimizer, self.wide_optimizer, self.huge, self.w + start, g, slots, self.slot_count, n,
                  rate, self.number_of(step), self.optimizer_numbers.values)

    cdef void step_touched(self, const Step* step, double rate, double of_all, int thread) noexcept nogil:
        """A thread's share of the rows that the batch touches: some at a time, side by side, as one step."""
        cdef float memory[(1 + MAX_SLOTS) * APART + LINE]
        cdef float* space = memory + (LINE - <size_t>memory // sizeof(float) % LINE) % LINE
        cdef float* slots[MAX_SLOTS]
        cdef float* vectors[1 + MAX_SLOTS]
        cdef float* sums
        cdef Touched* touched
        cdef Table* table
        cdef Py_ssize_t k, i, m, at, n, start
        cdef int slot
        cdef double factor
        for k in range(self.table_count):
            table = &self.tables[k]
            n, start, touched, at = table.depth, table.variable.start, &table.lists[2 * thread], 0
            factor = self.factor(table.variable, of_all)
            if factor != 1:
                self.scale(touched.sums, NULL, touched.count * n, factor)
            if self.clip_value > 0:
                self.clip(touched.sums, NULL, touched.count * n, self.clip_value)
            vectors[0] = self.w + start
            for slot in range(self.slot_count):
                vectors[1 + slot] = self.slot_list[slot] + start
            while at < touched.count:
                m, sums = min(touched.count - at, STEPPED // n), touched.sums + at * n
                if m == 0:              # a long row steps where it lies
                    m = 1
                    self.update(step, rate, start + touched.rows[at] * n, n, sums)
                else:
                    for slot in range(self.slot_count):
                        slots[slot] = space + (1 + slot) * APART
                    for i in range(at, at + m):
                        for slot in range(1 + self.slot_count):
                            if i + AHEAD < touched.count:
                                prefetch(vectors[slot] + touched.rows[i + AHEAD] * n, n * sizeof(float))
                            memcpy(space + slot * APART + (i - at) * n, vectors[slot] + touched.rows[i] * n,
                                   n * sizeof(float))
                    take_step(self.optimizer, self.wide_optimizer, self.huge, space, sums, slots, self.slot_count,
                              m * n, rate, self.number_of(step), self.optimizer_numbers.values)
                    for i in range(at, at + m):
                        for slot in range(1 + self.slot_count):
                            memcpy(vectors[slot] + touched.rows[i] * n, space + slot * APART + (i - at) * n,
                                   n * sizeof(float))
                at += m

    cdef void update_rows(self, const Step* step, double rate, Py_ssize_t start, Py_ssize_t n,
                          Py_ssize_t depth) noexcept nogil:
        """The step of a given gradient for whole rows of a table: for those where it is not 0."""
        cdef Py_ssize_t i, end = start + n
        while start + depth <= end:     # padding follows
            for i in range(start, start + depth):
                if self.g[i] != 0:
                    self.update(step, rate, start, depth, self.g + start)
                    break
            start += depth

    cdef double number_of(self, const Step* step) noexcept nogil:
        """The number of the optimizer's step, from 1."""
        return step.number if self.accumulation == 1 else step.number // self.accumulation

    cdef void update_whole(self, const Step* step, double rate, int thread, int threads) noexcept nogil:
        """A thread's share of the variables, each whole: its step, and its average's."""
        cdef float* slots[MAX_SLOTS]
        cdef Py_ssize_t i, n
        cdef int slot
        cdef Variable* variable
        cdef types.whole_step32 update = self.wide_whole_step if self.huge else self.whole_step
        for i in range(self.variable_count):
            variable = &self.variables[i]
            if i % threads != thread or not self.own_first <= variable.first_block < self.own_stop:
                continue
            n = variable.stop - variable.start
            for slot in range(self.slot_count):
                slots[slot] = self.slot_list[slot] + variable.start
            update(self.w + variable.start, self.g + variable.start, slots, n // (variable.rows * variable.row_size),
                   variable.rows, variable.row_size, variable.matrix, rate, self.number_of(step),
                   self.optimizer_numbers.values, step.scratch)
            if self.average != NULL:
                self.follow(step, variable.start, n)

    # A gradient that is made with its steps.

    cdef int find_late(self, const Rows* rows, Py_ssize_t batch) except -1:
        """Whether the run's steps may make the gradient of a variable as they need it: of a matrix that multiplies
        sparse rows, where nothing that is asked for looks at the whole gradient before.
        """
        cdef Py_ssize_t i, row, items, most = 0, start = rows.start
        cdef Variable* variable
        cdef Op op
        self.late_variable = -1
        if self.has_penalties or self.accumulation > 1 or self.whole_step != NULL or self.apart or self.row_clip > 0 \
                or self.clip_norm > 0 or self.clip_global_norm > 0 or self.clip_value > 0:
            return 0
        for i in range(self.variable_count):
            variable = &self.variables[i]
            op = self.ops[self.blocks[variable.first_block].op]
            if op.reads.sparse and self.wanted[op.number] and op.g == self.g + op.start and variable.start == op.start \
                    and variable.stop - variable.start == op.reads.width * op.width >= LATE_FROM \
                    and self.next_shared[op.number] == NULL:
                while start < rows.stop:
                    items = 0
                    for row in range(start, min(start + batch, rows.stop)):
                        row = row_of(rows.order, row)
                        items += rows.ends[row + 1] - rows.ends[row]
                    most, start = max(most, items), start + batch
                op.reserve_late(self.threads, most)
                self.late_variable, self.late_op = i, op.number
                return 0
        return 0

    cdef void step_late(self, const Step* step, double rate, Py_ssize_t block, Py_ssize_t stop) noexcept nogil:
        """Gradient and steps of some blocks of that variable, part by part."""
        cdef void* op = self.op_list[self.late_op]
        cdef const Variable* variable = &self.variables[self.late_variable]
        cdef Py_ssize_t units = (<Op>op).width, last = self.blocks[stop - 1].p1 // units, part = 0, n, start
        cdef Py_ssize_t row = self.blocks[block].p0 // units, rows = (<Op>op).begin_late(step, row, last)
        cdef double decay = self.decay_of(variable)
        while row < last:
            n, start = min(rows, last - row) * units, variable.start + row * units
            (<Op>op).late_gradient(step, part, n // units, step.scratch)
            if decay > 0:
                self.decay(self.w + start, NULL, n, decay * rate)
            self.update(step, rate, start, n, step.scratch)
            if self.average != NULL:
                self.follow(step, start, n)
            row, part = row + rows, part + 1
