"""Predictions of few rows: the threads share the columns of wide layers, so that each reads its part of W alone."""

from fastnn.kernels.kernel cimport READ_WORK

cdef enum:
    MOST_ROWS_BY_COLUMNS = 256
    COLUMNS = 64                        # that a thread has at least: whole tiles of all kernels, and whole cache lines
    COLUMN_WORK = 1000000               # operations of a thread that its barriers are worth


cdef void columns_thread(void* argument, int thread, int threads) noexcept nogil:
    (<Runner>(<Run*>argument).network).forward_by_columns(<Run*>argument, thread, threads)


cdef class ColumnRunner(Linked):
    """A network whose ops give the threads columns, where they can, in place of rows."""

    cdef double work_in_columns(self, Py_ssize_t rows) noexcept:
        """Operations of a prediction that threads share so; 0 where it should be shared out by rows."""
        cdef Py_ssize_t i
        cdef double multiplies = 0, reads = 0
        cdef Op op
        if rows > min(MOST_ROWS_BY_COLUMNS, self.most_rows) or self.takes_gil:
            return 0
        for i in range(self.count):
            op = <Op>self.op_list[i]
            if op.shares_columns:
                multiplies += 2.0 * op.size * multiplied_lines(op)
                reads += op.size
        if 2 * multiplies < self.row_work and rows > self.block_rows:
            return 0
        return READ_WORK * reads + multiplies * rows

    cdef void forward_by_columns(self, Run* job, int thread, int threads) noexcept nogil:
        """A thread's part of such a prediction: of other ops it has a share of the rows."""
        cdef Step step = (<Runner>self).new_step(False, thread)
        cdef Rows rows = job.rows
        cdef Py_ssize_t i, r0, r1, slices
        cdef bint shares = True
        cdef void* op
        if threads == 1:
            (<Runner>self).forward_rows(job, 0, 1)
            return
        step.rows = rows.count
        r0 = share_begin(rows.count, self.block_rows, thread, threads)
        r1 = share_begin(rows.count, self.block_rows, thread + 1, threads)
        self.collect(&rows, 0, r0, r1)
        for i in range(self.count):
            op = self.op_list[i]
            slices = (<Op>op).slices
            if shares or (<Op>op).shares_columns:
                barrier(thread, threads)
            shares = (<Op>op).shares_columns
            if not shares:
                (<Op>op).forward(&step, r0 * slices, r1 * slices)
                continue
            (<Op>op).forward_columns(&step, rows.count * slices,
                                     share_begin((<Op>op).width, COLUMNS, thread, threads),
                                     share_begin((<Op>op).width, COLUMNS, thread + 1, threads))
            if (<Activated>op).of_lines:
                barrier(thread, threads)
                (<Activated>op).activate(&step, r0 * slices, r1 * slices)
        barrier(thread, threads)
        (<Runner>self).copy_out(job.out, r0, r1)
        if thread == 0:
            job.rows.start = rows.stop
            if self.error:
                job.outcome = FAILED
