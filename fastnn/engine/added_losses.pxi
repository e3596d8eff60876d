"""What outputs of ops add to the loss, beside the losses of a network's outputs: penalties on activations.

Such an op has the added loss among its readers, as an output has its objective: it writes its slope where a reader's
gradient goes, and that is added to the others'. Values are added up in blocks of rows, as losses are, so that a sum
does not depend on which thread worked on which rows. Sample weights do not count.
"""


cdef class AddedLosses(Objectives):
    """A network's memory and objectives, with what its ops add to the loss."""

    def __cinit__(self, *args, added=(), **kwargs):
        cdef AddedLoss* one
        cdef Op op
        self.added = tuple(added)
        self.penalty = <types.penalty32>float32_of(kernels.l1_l2, "penalty")
        self.added_losses = <AddedLoss*>calloc(max(1, len(self.added)), sizeof(AddedLoss))
        if self.added_losses == NULL:
            raise MemoryError("no memory for what ops add to the loss")
        for each in self.added:
            one, op = &self.added_losses[self.added_count], self.ops[each.op]
            one.op, one.units = <void*>op, op.units * op.slices
            one.total_weight, one.l1, one.l2, one.mean = each.total, each.l1, each.l2, each.mean
            one.python = NULL if each.python is None else <void*>each.python
            self.adds_by_batch |= one.python != NULL or not one.mean
            self.added_count += 1

    def __dealloc__(self):
        free(self.added_losses)

    cdef int clear_objectives(self) except -1:
        cdef Py_ssize_t k
        Objectives.clear_objectives(self)
        for k in range(self.added_count):
            if self.added_losses[k].python != NULL:
                self.has_whole_losses = self.takes_gil = True
        return 0

    cdef Py_ssize_t extra_space(self, Py_ssize_t rows):
        return Objectives.extra_space(self, rows) + padded(2 * self.added_count * (self.blocks_in(rows) + 1))

    cdef float* take_extra(self, float* space, Py_ssize_t rows):
        space = Objectives.take_extra(self, space, rows)
        self.added_parts = <double*>space
        return space + padded(2 * self.added_count * self.blocks)

    cdef int begin_objectives(self, bint loss_follows) except -1:
        cdef Py_ssize_t k
        for k in range(self.added_count):
            self.added_losses[k].total = 0
        return Objectives.begin_objectives(self, loss_follows)

    # Without the GIL.

    cdef void losses(self, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1, bint weighted, bint slopes) noexcept nogil:
        cdef Py_ssize_t k
        Objectives.losses(self, count, r0, r1, weighted, slopes)
        for k in range(self.added_count):
            if self.added_losses[k].python == NULL:
                self.add_to_losses(k, count, r0, r1, slopes)

    cdef void add_to_losses(self, Py_ssize_t k, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1,
                            bint slopes) noexcept nogil:
        """`count` times what rows r0:r1 of a batch of `count` add, a sum for each block of them, and its slopes."""
        cdef AddedLoss* one = &self.added_losses[k]
        cdef float* slope = self.output_d[self.output_count + k] if slopes else NULL
        cdef Py_ssize_t block, first, i, n
        cdef const float* a
        cdef float* d = NULL
        # An evaluation has as many rows at once as there are threads for: its means are divided when all are there.
        cdef bint late = one.mean and not slopes
        cdef double scale = 1.0 / count if one.mean and slopes else 1, value, total
        for block in range(r0 >> self.block_shift, self.blocks_in(r1)):
            first = block << self.block_shift
            n = (min(r1, first + self.block_rows) - first) * one.units
            a = (<Op>one.op).a + first * one.units
            if slope != NULL:
                d = slope + first * one.units
                for i in range(n):
                    d[i] = <float>(one.total_weight * scale)
            value = total = 0
            if one.l1 != 0 or one.l2 != 0:
                value = self.penalty(a, d, n, one.l1 * scale, one.l2 * scale)
            if one.total_weight != 0:
                for i in range(n):
                    total += a[i]
                value += one.total_weight * scale * total
            self.added_parts[k * self.blocks + block] = value if late else count * value

    cdef void whole_losses(self, Py_ssize_t count, bint weighted, bint slopes) noexcept nogil:
        cdef Py_ssize_t k
        Objectives.whole_losses(self, count, weighted, slopes)
        for k in range(self.added_count):
            if self.added_losses[k].python != NULL:
                self.ask_function(k, count, slopes)

    cdef void ask_function(self, Py_ssize_t k, Py_ssize_t count, bint slopes) noexcept nogil:
        """`count` times what a function in Python adds for the batch's rows, and its slopes."""
        cdef AddedLoss* one = &self.added_losses[k]
        cdef float* d = self.output_d[self.output_count + k] if slopes else NULL
        cdef double scale = 1.0 / count if one.mean else 1
        memset(self.added_parts + k * self.blocks, 0, self.blocks_in(count) * sizeof(double))
        with gil:
            try:
                rows = np.empty((count, one.units), np.float32)
                memcpy(address(rows, True), (<Op>one.op).a, rows.nbytes)
                value, found = (<object>one.python)(rows)
                self.added_parts[k * self.blocks] = count * scale * <double>value
                if d != NULL:
                    found = np.require(np.asarray(found) * scale, np.float32, ["C", "A"])
                    if found.size != count * one.units:
                        raise ValueError(f"an added loss has {found.size} slopes for {count} rows of {one.units}")
                    memcpy(d, address(found), found.nbytes)
            except BaseException as error:
                self.pending, self.error = error, -1

    cdef double sum_of_added(self, Py_ssize_t k, Py_ssize_t count, double total=0) noexcept nogil:
        """`total` and the parts of a batch, added in the order of the rows."""
        cdef Py_ssize_t block
        for block in range(self.blocks_in(count)):
            total += self.added_parts[k * self.blocks + block]
        return total

    cdef double sum_of_losses(self, Py_ssize_t count, bint weighted) noexcept nogil:
        cdef Py_ssize_t k
        cdef double total = Objectives.sum_of_losses(self, count, weighted)
        for k in range(self.added_count):
            total += self.sum_of_added(k, count)
        return total

    cdef void add_logs(self, Py_ssize_t count, bint weighted) noexcept nogil:
        cdef Py_ssize_t k
        for k in range(self.added_count):
            self.added_losses[k].total = self.sum_of_added(k, count, self.added_losses[k].total)
        Objectives.add_logs(self, count, weighted)

    cdef void keep_logs(self, bint back) noexcept nogil:
        cdef Py_ssize_t k
        Objectives.keep_logs(self, back)
        for k in range(self.added_count):
            if back:
                self.added_losses[k].total = self.added_losses[k].total_before
            self.added_losses[k].total_before = self.added_losses[k].total

    cdef double sum_of_totals(self) noexcept nogil:
        cdef Py_ssize_t k
        cdef double total = Objectives.sum_of_totals(self)
        for k in range(self.added_count):
            total += self.added_losses[k].total
        return total
