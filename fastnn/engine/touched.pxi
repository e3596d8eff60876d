"""Tables of which only the rows step that a batch touches: a step costs what these are, not what the table holds.

A row is touched by each place of the batch that reads it and has a gradient other than 0. Rows are in 64 buckets by
their hashes. A thread walks through all places and takes those whose rows are in its share of the buckets, in the order
of the batch: so neither a row's sum, nor its step, nor the squares of a bucket depend on how many threads there are.
Nothing here is as large as a table, and every process of a job does all of it.
"""

cdef enum:
    STEPPED = 1024                      # numbers of rows that step together
    APART = 1104                        # from one vector's to the next's: by pages they would be in one another's way
    AHEAD = 12                          # rows before one is needed that it is fetched
    BUCKET_SHIFT = 26                   # of a hash, for its bucket


cdef class SparseLearning(Learning):
    """A network's gradients, some by the rows of tables that a batch touches."""

    def __cinit__(self, *args, **kwargs):
        self.sum_of_squares = vector_of(kernels.squares)
        self.lists = []

    def __dealloc__(self):
        free_tables(self.tables, self.table_count)      # the object may be half made, without a method

    cdef int clear_variables(self) except -1:
        self.clear_tables()
        return Learning.clear_variables(self)

    cdef int clear_tables(self) except -1:
        free_tables(self.tables, self.table_count)
        self.tables, self.lists, self.listed_rows, self.listed_threads = NULL, [], 0, 0
        self.sparse = False
        return 0

    cdef int cut_into_blocks(self, variables) except -1:
        Learning.cut_into_blocks(self, variables)
        return self.find_tables()

    cdef int find_tables(self) except -1:
        """Which op has each table, and the blocks that it has where all its rows have a gradient."""
        cdef Py_ssize_t i
        cdef Table* table
        cdef Variable* variable
        cdef Op op
        self.touches = 0
        if self.table_count == 0:
            return 0
        self.tables = table = <Table*>calloc(self.table_count, sizeof(Table))
        if table == NULL:
            raise MemoryError("no memory for a network's blocks of parameters")
        for i in range(self.variable_count):
            variable = &self.variables[i]
            if not variable.sparse:
                continue
            table.variable, table.depth = variable, variable.columns
            table.first_block, table.block_stop = variable.first_block, variable.block_stop
            table.op = self.blocks[variable.first_block].op
            for op in self.ops:
                if op.start == variable.start and op.size and not op.frozen:
                    if not op.scatters or op.size != variable.stop - variable.start:
                        raise ValueError("an op reads more than rows of a table of which only some step")
                    table.touches += op.slices * op.inputs
            self.touches += table.touches * table.depth
            table += 1
        return 0

    cdef int choose_blocks(self, bint sparse) except -1:
        """Have all parameters that learn have a gradient from now on, or of tables the rows alone that are touched."""
        cdef Table* table
        cdef Py_ssize_t k, most = 0
        cdef Block* last
        if sparse == self.sparse or self.table_count == 0:
            return 0
        for k in range(self.table_count):
            table = &self.tables[k]
            # Behind all blocks lie the squares of a table's buckets.
            most = self.tables[self.table_count - 1].block_stop + k * BUCKETS
            table.variable.first_block = most if sparse else table.first_block
            table.variable.block_stop = most + BUCKETS if sparse else table.block_stop
        last = &self.blocks[most - (self.table_count - 1) * BUCKETS - 1]
        self.block_count = last - self.blocks + 1
        self.learnt = last.before + last.p1 - last.p0
        self.gradient_work = last.work_before + (last.p1 - last.p0) * self.work_of(<Op>self.op_list[last.op])
        if sparse:
            last = &self.blocks[self.tables[0].first_block]
            self.block_count, self.learnt, self.gradient_work = last - self.blocks, last.before, last.work_before
        self.sparse = sparse
        self.own_first, self.own_stop = 0, self.block_count
        return 0

    cdef int reserve_lists(self, Py_ssize_t rows, int threads) except -1:
        """Make room for what a batch of `rows` rows touches."""
        cdef Py_ssize_t k, i, most
        cdef int bits
        cdef Table* table
        cdef Touched* touched
        cdef float* space
        if rows <= self.listed_rows and threads <= self.listed_threads:
            return 0
        rows, threads = max(rows, self.listed_rows), max(threads, self.listed_threads)
        lists = []
        self.listed_rows = self.listed_threads = 0
        for k in range(self.table_count):
            table = &self.tables[k]
            free(table.lists)
            table.lists = <Touched*>calloc(2 * threads, sizeof(Touched))
            most, bits = rows * table.touches, 5
            while most >> bits - 1 and bits < 31:
                bits += 1
            if table.lists == NULL or bits == 31:
                raise MemoryError("no memory for what a batch reads of a table; make batch_size smaller")
            for i in range(2 * threads):
                memory = aligned(padded(most * table.depth) + most + (1 << bits))
                lists.append(memory)
                touched, space = &table.lists[i], <float*>address(memory, True)
                touched.sums, touched.shift = space, 32 - bits
                touched.places = <int32_t*>(space + padded(most * table.depth))
                touched.rows = touched.places + (<Py_ssize_t>1 << bits)
        self.lists, self.listed_rows, self.listed_threads = lists, rows, threads
        return 0

    cdef object table_not_finite(self):
        """The op of the first table whose gradient in the last batch was not finite, or None."""
        cdef Py_ssize_t k
        cdef int thread
        for k in range(self.table_count):
            for thread in range(self.listed_threads):
                if not isfinite(largest_touched(self.largest, &self.tables[k], thread)):
                    return self.tables[k].op
        return None

    # Without the GIL.

    cdef void find_touched(self, const Step* step, int thread, int threads) noexcept nogil:
        """A thread's share of the rows that the rows at hand touch, with what those before of the batch have touched.

        In `not_finite` whether a gradient is not.
        """
        cdef Py_ssize_t k, i, n, op
        cdef Touched* touched
        cdef Touched* own
        cdef float* to
        cdef bint begun
        cdef double largest
        for k in range(self.table_count):
            n, op, touched = self.tables[k].depth, self.tables[k].op, &self.tables[k].lists[2 * thread]
            own, begun = touched + 1, step.first > 0
            if not begun:
                begin_list(touched, thread, threads)
            while True:
                if self.wanted[op] and not begun:
                    (<Op>self.op_list[op]).touch(step, touched)
                elif self.wanted[op]:   # an op's rows, or those of a part of the batch, are added up by themselves
                    begin_list(own, thread, threads)
                    (<Op>self.op_list[op]).touch(step, own)
                    for i in range(own.count):
                        to = touched_row(touched, own.rows[i], n)
                        self.add(to, own.sums + i * n, n, 0)
                begun = True
                if self.next_shared[op] == NULL:
                    break
                op = (<Op>self.next_shared[op]).number
            if step.first + step.rows == step.batch:
                largest = largest_touched(self.largest, &self.tables[k], thread)
                if largest > WIDE_FROM:
                    atomic_swap(&self.huge, True)
                if not isfinite(largest):
                    atomic_swap(&self.not_finite, True)

    cdef void square_touched(self, int thread, int threads) noexcept nogil:
        """The squares of the gradients of a thread's buckets."""
        cdef Py_ssize_t k, i, n
        cdef Touched* touched
        cdef double* squares
        for k in range(self.table_count):
            n, touched = self.tables[k].depth, &self.tables[k].lists[2 * thread]
            squares = self.squares + self.tables[k].variable.first_block
            for i in range(touched.first, touched.last):
                squares[i] = 0
            for i in range(touched.count):
                squares[hash_of(touched.rows[i]) >> BUCKET_SHIFT] += self.sum_of_squares(
                    touched.sums + i * n, NULL, n, 0)


cdef void free_tables(Table* tables, Py_ssize_t count) noexcept:
    cdef Py_ssize_t k
    for k in range(count if tables != NULL else 0):
        free(tables[k].lists)
    free(tables)


cdef inline void begin_list(Touched* touched, int thread, int threads) noexcept nogil:
    """No rows yet, of a thread's share of the buckets."""
    touched.count = 0
    touched.first, touched.last = BUCKETS * thread // threads, BUCKETS * (thread + 1) // threads
    memset(touched.places, 0, (<size_t>1 << (32 - touched.shift)) * sizeof(int32_t))


cdef double largest_touched(types.vector32 largest, const Table* table, int thread) noexcept nogil:
    return largest(table.lists[2 * thread].sums, NULL, table.lists[2 * thread].count * table.depth, 0)
