"""Processes of a job as more threads of the team: each has a share of a batch's rows, and of the parameters.

What a thread of the team reads of another's share lies in memory that they have in common; here each process gives the
others what they read of its share, where the threads have waited for one another. Every number is worked out by one
process, by the operations that one process alone would take, and nothing is added up on its way: so no bit depends on
how many there are. What belongs to the batch as a whole (its divisor, moments, constraints) each works out for itself.

An optimizer's vectors are up to date in a process's own share alone, until `gather_slots`.
"""


cdef class Linked(PythonUnits):
    """A network that learns, perhaps as one of several processes."""

    def __dealloc__(self):
        free(self.first_blocks)
        free(self.given_list)
        free(self.list_starts)

    def set_link(self, link, Py_ssize_t rows=1):
        """Fit as one of several from now on, in batches of `rows` rows; None: alone."""
        # A link has rank and size, and what is called here. gather(send, receive, counts): bytes from each to all, as
        # Communicator.allgatherv. agreed(error): where a fit ends early, of which an error or None is told; gives what
        # to raise, the same for all, or None.
        self.enter()
        try:
            self.link, self.link_rows, self.cut = link, rows, False
            self.find_shares()
        finally:
            self.leave()

    def gather_slots(self):
        """Bring the optimizer's vectors up to date in all processes."""
        cdef int i
        self.enter()
        try:
            for i in range(len(self.slots) if self.link is not None else 0):
                self.give_vector(self.slot_list[i])
        finally:
            self.leave()

    cdef int cut_into_blocks(self, variables) except -1:
        PythonUnits.cut_into_blocks(self, variables)
        return self.find_shares()

    cdef int choose_blocks(self, bint sparse) except -1:
        PythonUnits.choose_blocks(self, sparse)
        return self.find_shares() if self.link is not None else 0

    cdef int find_shares(self) except -1:
        """Share the parameters out, for an optimizer of whole variables by these; this process's share is its own."""
        cdef int rank
        cdef Py_ssize_t block
        self.own_first, self.own_stop = 0, self.block_count
        if self.link is None:
            return 0
        self.rank, self.ranks = self.link.rank, self.link.size
        free(self.first_blocks)
        self.first_blocks = <Py_ssize_t*>malloc((self.ranks + 1) * sizeof(Py_ssize_t))
        if self.first_blocks == NULL:
            raise MemoryError("no memory for the shares of a job's processes")
        for rank in range(self.ranks + 1):
            block = self.first_block(self.link_rows, rank, self.ranks)
            while self.whole_step != NULL and block < self.block_count \
                    and self.variables[self.blocks[block].variable].first_block != block:
                block += 1
            self.first_blocks[rank] = block
        self.own_first, self.own_stop = self.first_blocks[self.rank], self.first_blocks[self.rank + 1]
        return 0

    # What is given at which barrier.

    cdef Py_ssize_t add_given(self, Py_ssize_t n, void* at, Py_ssize_t size, Kind kind) noexcept:
        """One more for the list that is made, unless it is in it; gives the new end."""
        cdef Py_ssize_t i
        for i in range(self.list_starts[self.barrier_number], n):
            if self.given_list[i].at == <char*>at:
                return n
        self.given_list[n] = Given(<char*>at, size, kind)
        return n + 1

    cdef Py_ssize_t add_shared(self, Py_ssize_t n, Py_ssize_t i, Before when) except -1:
        """What an op reads of other processes' rows."""
        cdef Shared shared[MOST_SHARED]
        cdef Op op = <Op>self.op_list[i]
        cdef int k
        for k in range(op.shared(when, shared)):
            if shared[k].blocks:
                n = self.add_given(n, shared[k].at, shared[k].size * sizeof(float), OF_BLOCKS)
            elif shared[k].at != NULL:
                n = self.add_given(n, shared[k].at, shared[k].size * op.slices * sizeof(float), OF_ROWS)
            elif self.sources[i][shared[k].size] >= 0:      # all have all inputs
                n = self.add_output(n, self.ops[self.sources[i][shared[k].size]])
        return n

    cdef Py_ssize_t add_output(self, Py_ssize_t n, Op op) noexcept:
        return self.add_given(n, op.a, op.units * op.slices * sizeof(float), OF_ROWS)

    cdef Py_ssize_t add_masks(self, Py_ssize_t n) noexcept:
        """Masks of outputs, and what they have made of weights; and outputs whose loss belongs to the whole batch."""
        cdef Py_ssize_t k
        cdef Objective* objective
        for k in range(self.objective_count):
            objective = &self.objectives[k]
            if objective.mask != NULL:
                n = self.add_output(n, <Op>objective.mask)
                n = self.add_given(n, objective.weight, objective.lines * sizeof(float), OF_ROWS)
                n = self.add_given(n, objective.present, objective.lines * sizeof(float), OF_ROWS)
            if objective.whole:
                n = self.add_output(n, <Op>objective.op)
        return n

    cdef int make_lists(self, Run* job) except -1:
        """Say what is given at each barrier of the rows, by the numbers that `meet` has: memory is reserved."""
        cdef Py_ssize_t i, n = 0, last = 2 * self.segment_count, blocks = (<Objectives>self).blocks     # of rows
        cdef Op op
        self.job = job
        free(self.given_list)
        free(self.list_starts)
        self.given_list = <Given*>malloc(sizeof(Given) * (
            3 * MOST_SHARED * self.count + 5 * self.objective_count + 2 * self.metric_count + self.added_count))
        self.list_starts = <Py_ssize_t*>malloc((last + 3) * sizeof(Py_ssize_t))
        if self.given_list == NULL or self.list_starts == NULL:
            raise MemoryError("no memory for what processes give one another")
        for i in range(last + 2):
            self.barrier_number, self.list_starts[i] = i, n
            if i < last and self.segments[i // 2].whole:
                n = self.add_shared(n, self.segments[i // 2].first, BEFORE_BACKWARD if i % 2 else BEFORE_FORWARD)
            elif i >= last and (self.loss_waits and job.trains) == (i == last):
                n = self.add_masks(n)
        for i in range(self.count):
            op = <Op>self.op_list[i]
            if (job.trains and op.size and not op.frozen and self.wanted[i]) or op.held_rows:
                n = self.add_shared(n, i, BEFORE_GRADIENT)
        for i in range(self.objective_count + self.metric_count):
            n = self.add_given(n, self.parts + i * blocks, sizeof(double), OF_BLOCKS)
        for i in range(self.metric_count):
            if self.metrics[i].accumulate != NULL:
                n = self.add_output(n, <Op>self.objectives[self.metrics[i].objective].op)
        for i in range(self.added_count):
            n = self.add_given(n, self.added_parts + i * blocks, sizeof(double), OF_BLOCKS)
        self.list_starts[last + 2] = n
        return 0

    # Giving.

    cdef Py_ssize_t part_of(self, int rank, const Given* given, Py_ssize_t n, char* box, int way) noexcept nogil:
        """Bytes of a process's part; put into the box where `way` is above 0, taken out of it where it is below."""
        cdef Py_ssize_t i, k, start, stop, size, count, total = 0
        cdef char* at
        for i in range(n):
            start, stop, size = self.first_blocks[rank], self.first_blocks[rank + 1], given[i].size
            if given[i].kind <= OF_BLOCKS:
                start = share_begin(self.rows_there, self.block_rows, rank, self.ranks)
                stop = share_begin(self.rows_there, self.block_rows, rank + 1, self.ranks)
            if given[i].kind == OF_BLOCKS:
                start, stop = self.blocks_in(start), self.blocks_in(stop)
            at, count, k = given[i].at + start * size, (stop - start) * size, start + 1
            while True:
                if given[i].kind == OF_VECTOR:
                    if k > stop:
                        break
                    at = given[i].at + self.blocks[k - 1].start * sizeof(float)
                    count = (self.blocks[k - 1].p1 - self.blocks[k - 1].p0) * sizeof(float)
                    k += 1
                if way > 0:
                    memcpy(box + total, at, count)
                elif way < 0:
                    memcpy(at, box + total, count)
                total += count
                if given[i].kind != OF_VECTOR:
                    break
        return total

    cdef int give(self, const Given* given, Py_ssize_t n, int status) noexcept with gil:
        """Give all others this process's part, and take theirs. Gives the bits of all `status` together."""
        cdef Py_ssize_t total = 0, at = 0
        cdef int rank, other
        cdef char* box
        if self.cut:
            return status
        try:
            counts = []
            for rank in range(self.ranks):
                at = total if rank == self.rank else at
                counts.append(sizeof(double) + self.part_of(rank, given, n, NULL, 0))
                total += <Py_ssize_t>counts[rank]
            if self.box is None or self.box.size < total:
                self.box = np.empty(total, np.uint8)
            box = <char*>address(self.box, True)
            memcpy(box + at, &status, sizeof(int))
            self.part_of(self.rank, given, n, box + at + sizeof(double), 1)
            everyone = self.box[:total]
            self.link.gather(everyone[at:at + <Py_ssize_t>counts[self.rank]], everyone, counts)
            for rank in range(self.ranks):
                memcpy(&other, box, sizeof(int))
                status |= other
                if rank != self.rank:
                    self.part_of(rank, given, n, box + sizeof(double), -1)
                box += <Py_ssize_t>counts[rank]
        except BaseException as error:
            self.pending, self.cut = error, True
        return status

    cdef int give_vector(self, float* vector) noexcept nogil:
        cdef Given given = Given(<char*>vector, 0, OF_VECTOR)
        return self.give(&given, 1, 0)

    cdef void exchange(self, Barrier number) noexcept nogil:
        """What the processes give one another at a barrier, by their calling threads."""
        cdef Given given = Given(<char*>self.penalty_parts, sizeof(double), OF_PARAMETERS)
        cdef Py_ssize_t first
        cdef int status
        if number == ROWS:
            first = self.list_starts[self.barrier_number]
            status = atomic_read(&self.job.outcome) != DONE or self.error != 0
            status = self.give(&self.given_list[first], self.list_starts[self.barrier_number + 1] - first, status)
            if status and self.error == 0:
                atomic_swap(&self.job.outcome, STOPPED)
        elif number == GRADIENTS:
            status = self.give(&given, self.has_penalties, self.not_finite | self.huge << 1)
            self.not_finite, self.huge = status & 1, status >> 1
            if self.not_finite:
                self.give_vector(self.g)        # for who looks where
        elif number == SQUARES:
            given.at = <char*>self.squares
            self.give(&given, 1, 0)
        elif not self.job.update:
            if self.job.trains:
                self.give_vector(self.g)
        elif number == WEIGHTS or not (self.has_constraints or (self.iterations + 1) % self.accumulation):
            self.give_vector(self.w)
        if self.cut:
            atomic_swap(&self.job.outcome, STOPPED)

    cdef void wait_for_all(self, Barrier number, int thread, int threads) noexcept nogil:
        PythonUnits.wait_for_all(self, number, thread, threads)
        if self.linked and number != SUMS and number != PENALTIES and number != STEPS:
            if thread == 0:
                self.exchange(number)
            barrier(thread, threads)

    # Which rows.

    cdef void share_rows(self, Py_ssize_t rows, int thread, int threads, Py_ssize_t* r0, Py_ssize_t* r1) noexcept nogil:
        """A thread's share of this process's rows."""
        cdef Py_ssize_t start = 0, stop = rows
        if self.linked:
            start = share_begin(rows, self.block_rows, self.rank, self.ranks)
            stop = share_begin(rows, self.block_rows, self.rank + 1, self.ranks)
            if thread == 0:
                self.rows_there = rows
        r0[0] = start + share_begin(stop - start, self.block_rows, thread, threads)
        r1[0] = start + share_begin(stop - start, self.block_rows, thread + 1, threads)

    cdef void collect_others(self, const Rows* rows, Py_ssize_t start, Py_ssize_t n, int thread, int threads
                             ) noexcept nogil:
        """A thread's share of those of n rows that are not this process's: gradients by parameters read them."""
        cdef Py_ssize_t first = share_begin(n, self.block_rows, self.rank, self.ranks)
        cdef Py_ssize_t last = share_begin(n, self.block_rows, self.rank + 1, self.ranks)
        n -= last
        self.collect(rows, start, share_begin(first, self.block_rows, thread, threads),
                     share_begin(first, self.block_rows, thread + 1, threads))
        self.collect(rows, start, last + share_begin(n, self.block_rows, thread, threads),
                     last + share_begin(n, self.block_rows, thread + 1, threads))
