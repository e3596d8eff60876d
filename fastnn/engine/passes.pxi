"""Epochs that follow one another in one call, without the GIL: nobody looks at what is between them."""


cdef class PassRunner(Runner):
    """A network whose epochs run together."""

    cdef object begin_passes(self, Passes* passes, Run* job, Py_ssize_t count, draws):
        """Make room for what the epochs give, and for their rows' order, which the caller keeps while they run."""
        cdef Py_ssize_t i, rows = job.rows.stop
        passes.count, passes.steps, passes.numbers = count, (rows - 1) // job.batch + 1 if rows else 0, 2
        passes.numbers += self.objective_count
        for i in range(self.metric_count):
            passes.numbers += self.metrics[i].size
        self.epoch_logs = np.empty((count, passes.numbers))
        passes.logs, passes.draws = <double*>address(self.epoch_logs, True), NULL
        if draws is not None:
            if draws.dtype != np.uint64 or draws.shape != (count,) or rows >= 2**32:
                raise ValueError(f"draws must be {count} uint64 numbers, for less than 2**32 rows")
            order = np.empty(rows, np.uint32)
            passes.draws, passes.order = <const uint64_t*>address(draws), <uint32_t*>address(order, True)
            job.rows.order = passes.order
            return order

    cdef void run_passes(self, const Passes* passes, Run* job) noexcept nogil:
        cdef Py_ssize_t i, k, rows = job.rows.stop
        cdef double began, now = seconds_now()
        cdef double* to = passes.logs
        for i in range(passes.count):
            began = now
            if passes.draws != NULL:
                shuffle(passes.order, rows, passes.draws[i])
            if i:
                job.rows.start, job.loss = 0, 0
                self.clear_logs()
                if job.rates != NULL:
                    job.rates += passes.steps
            self.run_in_slices(fit_thread, job, &self.fit_tuner)
            if job.outcome != DONE:
                return
            now = seconds_now()
            to[0], to[1] = now - began, job.loss
            to += 2
            for k in range(self.objective_count):
                to[0] = self.objectives[k].of_a_line * self.objectives[k].total
                to += 1
            for k in range(self.metric_count):
                memcpy(to, self.metrics[k].state, self.metrics[k].size * sizeof(double))
                to += self.metrics[k].size
            self.epochs_done = i + 1
            job.looked -= rows
            if atomic_read(&self.lock.asked):       # another thread's turn, as between two calls
                return
            if i + 1 < passes.count and now >= self.next_tick and self.tick(rows, job.loss) \
                    and not self.begins_anew(job):
                job.outcome = STOPPED
                return
