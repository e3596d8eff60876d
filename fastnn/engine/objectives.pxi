"""What a network is trained for: a loss for each output, and the metrics that are measured beside it.

A row of an output is some lines of `width` numbers each, and a loss has a value for each line; so has a metric. The
targets of all outputs lie side by side in a row of y, line by line, and so do weights that are given by line. Values
are added up in blocks of rows, the blocks in their order, so that a sum does not depend on which thread worked on
which rows.
"""


REDUCTIONS = {
    "sum_over_batch_size": OVER_BATCH_SIZE,
    "mean": OVER_BATCH_SIZE,
    "sum": SUM,
    "mean_with_sample_weight": OVER_WEIGHTS,
}


cdef extern from "atomics.h" nogil:
    int atomic_read(int* p)
    int atomic_swap(int* p, int value)


cdef class Objectives(Arena):
    """A network's memory, with the losses and metrics of its outputs."""

    def __dealloc__(self):
        free(self.objectives)
        free(self.metrics)

    cdef int clear_objectives(self) except -1:
        free(self.objectives)
        free(self.metrics)
        self.objectives = NULL
        self.metrics = NULL
        self.objective_count = self.metric_count = self.targets = self.lines = 0
        self.states, self.line_shapes, self.kept_alive = [], [], []
        self.has_whole_losses = self.loss_waits = self.takes_gil = False
        for op in self.ops:
            self.takes_gil |= (<Op>op).takes_gil
            if isinstance(op, Activated):
                (<Activated>op).fused = False
                (<Activated>op).find_place()
        return 0

    def set_objectives(self, objectives):
        """The objective of each output, as ``fastnn.engine.description.Objective`` says it."""
        cdef Py_ssize_t i = 0
        if len(objectives) != len(self.outputs):
            raise ValueError(
                f"a network of {len(self.outputs)} outputs needs as many objectives, got {len(objectives)}")
        self.enter()
        try:
            self.clear_objectives()
            self.objectives = <Objective*>calloc(len(objectives), sizeof(Objective))
            self.metrics = <Metric*>calloc(max(1, sum([len(each.metrics) for each in objectives])), sizeof(Metric))
            if self.objectives == NULL or self.metrics == NULL:
                raise MemoryError("no memory for losses and metrics")
            for number, (place, each) in enumerate(zip(self.outputs, objectives, strict=True)):
                self.add_objective(&self.objectives[<Py_ssize_t>number], self.ops[place], each, self.masks[number])
                for metric in each.metrics:
                    self.add_metric(&self.metrics[i], number, metric)
                    i += 1
            self.objective_count, self.metric_count = len(objectives), i
            self.capacity = 0
        except BaseException:
            self.clear_objectives()
            raise
        finally:
            self.leave()

    cdef int add_objective(self, Objective* objective, Op op, description, mask) except -1:
        cdef Numbers numbers = Numbers(description.numbers)
        cdef Py_ssize_t units = op.units * op.slices
        reduction, shape = description.reduction, tuple(description.shape) or (units,)
        if prod(shape) != units or min(shape) < 1:
            raise ValueError(f"an output of {units} numbers a row has not the shape {shape}")
        if description.targets < 1:
            raise ValueError(f"a line of an output has at least one target, got {description.targets}")
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
        *lines, width = shape
        objective.op, objective.units, objective.width = <void*>op, units, width
        objective.lines = units // objective.width
        objective.targets = objective.lines * <Py_ssize_t>description.targets
        objective.fused, objective.from_logits = description.fused, description.from_logits
        if objective.fused:
            (<Activated?>op).fused = True
            (<Activated>op).find_place()
        objective.reduction, objective.importance = REDUCTIONS[reduction], description.importance
        if mask is not None:
            objective.mask = <void*>self.ops[mask]
            units = (<Op>objective.mask).units * (<Op>objective.mask).slices
            if units != objective.lines:
                raise ValueError(
                    f"an output of shape {shape} has a mask of {units} number(s) a row, and its loss {objective.lines} "
                    "value(s); end the mask before it, with a layer that gives one line or that passes no mask on")
            if objective.reduction == OVER_BATCH_SIZE:
                objective.reduction = OVER_VALID
        objective.of_a_line = 1.0 / objective.lines if objective.reduction == OVER_BATCH_SIZE else 1
        low, high, whole = description.bounds or (0, 0, False)
        objective.bounds = Bounds(low, high, whole, description.bounds is not None)
        if isinstance(description.loss, Kernel):
            objective.rows = <types.loss32>float32_of(description.loss, "loss")
            objective.whole = description.loss.whole
            memcpy(objective.numbers, numbers.values, sizeof(objective.numbers))
        else:
            objective.python, objective.whole = <void*>description.loss, True
            self.takes_gil = True
        self.kept_alive.append(description.loss)
        self.line_shapes.append(tuple(lines))
        self.has_whole_losses |= objective.whole
        objective.y_start, objective.first_line = self.targets, self.lines
        self.targets += objective.targets
        self.lines += objective.lines
        return 0

    cdef int add_metric(self, Metric* metric, Py_ssize_t objective, description) except -1:
        cdef Numbers numbers
        cdef const Objective* of = &self.objectives[objective]
        size = 2
        metric.objective, metric.weighted = objective, description.weighted
        metric.from_logits = description.from_logits
        self.objectives[objective].measured |= not metric.weighted
        if isinstance(description.kernel, Kernel) and description.kernel.signature == "accumulator":
            values = np.array([*description.numbers, 0.0])      # one more, so that there is an address
            metric.accumulate = <types.accumulator32>float32_of(description.kernel, "accumulator")
            metric.own_numbers = <double*>address(values)
            self.kept_alive.append(values)
            size = state_size(description.kernel, of.width, of.targets // of.lines, description.numbers)
        elif isinstance(description.kernel, Kernel):
            numbers = Numbers(description.numbers)
            metric.rows = <types.loss32>float32_of(description.kernel, "loss")
            memcpy(metric.numbers, numbers.values, sizeof(metric.numbers))
        else:
            metric.python = <void*>description.kernel
            self.takes_gil = True
        state = np.zeros(2 * size)
        metric.state, metric.size = <double*>address(state, True), size
        self.states.append(state[:size])
        self.kept_alive.append(description.kernel)
        return 0

    # Memory.

    cdef Py_ssize_t extra_space(self, Py_ssize_t rows):
        cdef Py_ssize_t i, total, blocks = self.blocks_in(rows) + 1
        cdef const Objective* objective
        total = padded(2 * (self.objective_count + self.metric_count) * blocks)     # doubles
        for i in range(self.objective_count):
            objective = &self.objectives[i]
            total += padded(rows * objective.units) + padded(rows * objective.targets)
            total += 2 * padded(rows * objective.lines)
        return total

    cdef float* take_extra(self, float* space, Py_ssize_t rows):
        cdef Py_ssize_t i
        cdef Objective* objective
        self.blocks = self.blocks_in(rows) + 1
        self.parts = <double*>space
        space += padded(2 * (self.objective_count + self.metric_count) * self.blocks)
        for i in range(self.objective_count):
            objective = &self.objectives[i]
            objective.probabilities = space
            objective.y = objective.probabilities + padded(rows * objective.units)
            objective.weight = objective.y + padded(rows * objective.targets)
            objective.present = objective.weight + padded(rows * objective.lines)
            space = objective.present + padded(rows * objective.lines)
        return space

    cdef int begin_objectives(self, bint loss_follows) except -1:
        """A run begins: sums start at 0, and an op leaves its activation out where the loss applies it."""
        cdef Py_ssize_t i
        self.clear_logs()
        for i in range(self.objective_count):
            if self.objectives[i].fused:
                (<Activated?><object>self.objectives[i].op).raw = loss_follows
        return 0

    cdef void clear_logs(self) noexcept nogil:
        cdef Py_ssize_t i
        self.meaningless = False
        for i in range(self.objective_count):
            self.objectives[i].total = 0
        for i in range(self.metric_count):
            memset(self.metrics[i].state, 0, self.metrics[i].size * sizeof(double))

    cdef int take_x(self, Rows* rows, x) except -1:
        """The rows of x, as float32, or whole numbers that the engine reads, or sparse."""
        if type(x) is not ndarray and hasattr(x, "indptr"):
            return take_sparse(rows, x, self.inputs)
        if not take_rows(rows, x, self.inputs, self.all_ids):
            floats_of("x", x, len(x), self.inputs)
        return 0

    cdef int page(self, Rows* rows, x, y, weight, order) except -1:
        """A page of rows, its arrays checked. The lock is held, so that what they are checked against stays."""
        cdef Py_ssize_t i
        if self.objective_count == 0:
            raise RuntimeError("this network has no loss yet; call set_objectives first")
        self.take_x(rows, x)
        rows.y = floats_of("y", y, rows.count, self.targets)
        rows.weights = 1
        if weight is not None:
            if getattr(weight, "ndim", 1) == 2:
                rows.weights = self.lines
            rows.weight = floats_of("weight", weight, rows.count, -1 if rows.weights == 1 else rows.weights)
        self.loss_waits, self.weighs_lines = self.has_whole_losses, rows.weights > 1
        for i in range(self.objective_count):
            self.objectives[i].divides_late = self.objectives[i].reduction == OVER_VALID or (
                (rows.weight != NULL or self.objectives[i].mask != NULL)
                and self.objectives[i].reduction == OVER_WEIGHTS)
            self.loss_waits |= self.objectives[i].divides_late
        if order is not None:
            if not isinstance(order, np.ndarray) or order.dtype != np.uint32 or order.ndim != 1 \
                    or not (order.flags.c_contiguous and order.flags.aligned):
                raise ValueError("order must be a C-contiguous uint32 array of row numbers")
            rows.order, rows.stop = <const uint32_t*>address(order), len(order)
        return 0

    # Without the GIL.

    cdef void collect(self, const Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """Find rows r0:r1 of the batch that begins at `start`."""
        cdef Py_ssize_t k
        if rows.kind == SPARSE:
            self.collect_sparse(rows, start, r0, r1)
        for k in range(self.input_count if rows.kind != SPARSE else 0):
            find_rows(rows, &self.given[k], self.addresses + k * self.capacity, self.collected, self.inputs, start, r0,
                      r1)
        if rows.y != NULL:
            for k in range(self.objective_count):
                self.collect_targets(&self.objectives[k], rows, start, r0, r1)
            if rows.weight != NULL:
                self.hide_absent_rows(rows, start, r0, r1)
            for k in range(self.objective_count):
                # A mask is known when the rows have gone forward.
                if self.objectives[k].mask == NULL and (self.objectives[k].bounds.limited or rows.weight != NULL):
                    self.check_targets(&self.objectives[k], rows.weight != NULL, r0, r1)

    cdef void collect_sparse(self, const Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t k
        for k in range(self.input_count):
            find_entries(rows, &self.given[k], self.addresses + k * self.capacity, self.entries + k * self.entry_rows,
                         self.collected, self.inputs, self.collected_width, start, r0, r1)

    cdef void take_mask(self, Objective* objective, bint weighted, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """A line that the output's mask leaves out weighs 0, for the loss and for all metrics."""
        cdef Py_ssize_t i, n = objective.lines
        cdef const float* mask = (<Op>objective.mask).a
        for i in range(r0 * n, r1 * n):
            objective.weight[i] = 0 if mask[i] == 0 else objective.weight[i] if weighted else 1
        self.check_targets(objective, True, r0, r1)
        for i in range(r0 * n, r1 * n):
            objective.present[i] *= mask[i] != 0

    cdef void check_targets(self, Objective* objective, bint weighted, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """Note whether a target is beyond the bounds, and which lines a metric that takes no weights can read."""
        cdef Py_ssize_t i, n = objective.lines, targets = objective.targets // n
        cdef const float* weight = objective.weight + r0 * n if weighted else NULL
        cdef const float* y = objective.y + r0 * n * targets
        cdef bint all_count = weight == NULL or (objective.whole and objective.python == NULL)
        if objective.bounds.limited and not lines_are_meant(&objective.bounds, y, weight, all_count, (r1 - r0) * n,
                                                            targets):
            atomic_swap(&self.meaningless, True)
        if weight != NULL and objective.measured:
            for i in range(r1 - r0):
                note_present(&objective.bounds, y + i * n * targets, weight + i * n, objective.present + (r0 + i) * n,
                             self.addresses[r0 + i] == self.zeros, n, targets)

    cdef void collect_targets(self, Objective* objective, const Rows* rows, Py_ssize_t start, Py_ssize_t r0,
                              Py_ssize_t r1) noexcept nogil:
        """Copy an output's targets and weights into the batch's order; a weight of the row is one of all its lines."""
        cdef Py_ssize_t i, j, n = objective.targets, all_targets = self.targets
        cdef const uint32_t* order = rows.order
        cdef const float* all_y = rows.y + objective.y_start
        cdef const float* row
        cdef float* y = objective.y + r0 * n
        cdef float* weight = objective.weight + r0 * objective.lines
        if n == 1 and order != NULL:
            for i in range(r0, r1):
                objective.y[i] = all_y[order[start + i] * all_targets]
        else:
            for i in range(r0, r1):
                row = all_y + row_of(order, start + i) * all_targets
                for j in range(n):
                    y[j] = row[j]
                y += n
        if rows.weight != NULL:
            for i in range(r0, r1):
                row = rows.weight + row_of(order, start + i) * rows.weights
                for j in range(objective.lines):
                    weight[j] = row[objective.first_line + j] if rows.weights > 1 else row[0]
                weight += objective.lines

    cdef void hide_absent_rows(self, const Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """0 * NaN is NaN: a row whose lines all weigh 0 must not reach a gradient with one."""
        cdef Py_ssize_t i, k, row, n = self.inputs
        cdef const float* x
        for i in range(r0, r1):
            row = row_of(rows.order, start + i)
            x = <const float*>(rows.x + row * rows.row_bytes)
            if rows.kind == SPARSE:     # zeros are an Entries too: of none
                x, n = <const float*>rows.x + rows.ends[row], rows.ends[row + 1] - rows.ends[row]
            if (rows.kind == FLOAT32 or rows.kind == SPARSE) \
                    and all_are_0(rows.weight + row * rows.weights, rows.weights) and not all_finite(x, n):
                for k in range(self.input_count):
                    self.addresses[k * self.capacity + i] = self.zeros

    cdef double share_of(self, const Objective* objective, Py_ssize_t count, bint weighted) noexcept nogil:
        """What a line's loss counts in `count` times the loss of a batch of `count` rows.

        Where the weights decide it, all of the batch's must be there: not before a barrier."""
        cdef double total
        if objective.reduction == OVER_BATCH_SIZE:
            return objective.of_a_line
        if objective.reduction == SUM:
            return <double>count
        total = count * objective.lines
        if objective.reduction == OVER_VALID:
            total = count_of((<Op>objective.mask).a, count * objective.lines)
        elif weighted or objective.mask != NULL:
            total = sum_of(objective.weight, count * objective.lines)
        return count / total if total != 0 else 0

    cdef void losses(self, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1, bint weighted, bint slopes) noexcept nogil:
        """Losses, slopes and metrics of rows r0:r1 of a batch of `count`; others: `late_losses` and `whole_losses`."""
        cdef Py_ssize_t k
        cdef Objective* objective
        for k in range(self.objective_count):
            objective = &self.objectives[k]
            if objective.mask != NULL:
                self.take_mask(objective, weighted, r0, r1)
            if not objective.whole and not (slopes and objective.divides_late):
                self.losses_of(k, count, r0, r1, weighted, slopes)
        if self.metric_count:
            self.measure(r0, r1, weighted, slopes, False)

    cdef void measure(self, Py_ssize_t r0, Py_ssize_t r1, bint weighted, bint slopes, bint late) noexcept nogil:
        """Metrics by line, a sum for each block of rows; once the loss has made what they read, where it comes late."""
        cdef Py_ssize_t block, first, start, k, n
        cdef Objective* objective
        cdef Metric* metric
        cdef const float* weight
        for k in range(self.metric_count):
            metric = &self.metrics[k]
            objective = &self.objectives[metric.objective]
            if metric.rows == NULL or (slopes and objective.divides_late and not objective.whole) != late:
                continue
            for block in range(r0 >> self.block_shift, self.blocks_in(r1)):
                first = block << self.block_shift
                n, start = min(r1, first + self.block_rows) - first, first * objective.units
                weight = (objective.weight if metric.weighted else objective.present) + first * objective.lines
                self.parts[(self.objective_count + k) * self.blocks + block] = metric.rows(
                    (<Op>objective.op).a + start,
                    (objective.probabilities if metric.from_logits else (<Op>objective.op).a) + start,
                    objective.y + first * objective.targets,
                    weight if weighted or objective.mask != NULL else NULL, NULL, metric.numbers,
                    n * objective.lines, objective.width, 1)

    cdef void late_losses(self, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """Losses and slopes of rows r0:r1 where the divisor is the sum of the batch's weights, all of them there."""
        cdef Py_ssize_t k
        for k in range(self.objective_count):
            if self.objectives[k].divides_late and not self.objectives[k].whole:
                self.losses_of(k, count, r0, r1, True, True)
        self.measure(r0, r1, True, True, True)

    cdef void losses_of(self, Py_ssize_t k, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1, bint weighted,
                        bint slopes) noexcept nogil:
        cdef Objective* objective = &self.objectives[k]
        cdef Py_ssize_t block, first, start, n
        cdef double scale = objective.importance * self.share_of(objective, count, weighted) / count if slopes else 0
        cdef float* d
        for block in range(r0 >> self.block_shift, self.blocks_in(r1)):
            first = block << self.block_shift
            n, start = min(r1, first + self.block_rows) - first, first * objective.units
            d = self.output_d[k] + start if slopes and self.output_d[k] != NULL else NULL
            self.parts[k * self.blocks + block] = objective.rows(
                ((<Op>objective.op).z if objective.fused else (<Op>objective.op).a) + start,
                (objective.probabilities if objective.from_logits else (<Op>objective.op).a) + start,
                objective.y + first * objective.targets,
                objective.weight + first * objective.lines if weighted or objective.mask != NULL else NULL,
                d, objective.numbers, n * objective.lines, objective.width, scale)

    cdef void whole_losses(self, Py_ssize_t count, bint weighted, bint slopes) noexcept nogil:
        """The losses that belong to the batch as a whole; for one thread, when all rows are there."""
        cdef Py_ssize_t k, block
        cdef Objective* objective
        for k in range(self.objective_count):
            objective = &self.objectives[k]
            if objective.whole:
                for block in range(self.blocks_in(count)):
                    self.parts[k * self.blocks + block] = 0
                self.parts[k * self.blocks] = self.whole_loss(
                    k, objective.weight if weighted or objective.mask != NULL else NULL,
                    self.output_d[k] if slopes else NULL, count,
                    objective.importance * self.share_of(objective, count, weighted) / count)

    cdef double whole_loss(self, Py_ssize_t k, const float* weight, float* d, Py_ssize_t count,
                           double scale) noexcept nogil:
        cdef Objective* objective = &self.objectives[k]
        cdef float* a = (<Op>objective.op).a
        cdef double value = 0
        if objective.python == NULL:
            return objective.rows(
                a, a, objective.y, weight, d, objective.numbers, count * objective.lines, objective.width, scale)
        with gil:
            try:
                output = self.lines_of(a, count, k, (objective.width,))
                value, slopes = (<object>objective.python).value_and_gradient(
                    self.lines_of(objective.y, count, k, (objective.targets // objective.lines,)), output,
                    None if weight == NULL else self.weights_of(k, count), scale)
                if d != NULL:
                    slopes = np.require(slopes, np.float32, ["C", "A"])
                    if slopes.shape != output.shape:
                        raise ValueError(
                            f"the gradient of {<object>objective.python} must have shape {output.shape}, "
                            f"got {slopes.shape}")
                    memcpy(d, address(slopes), count * objective.units * sizeof(float))
            except BaseException as error:
                self.pending, self.error = error, -1
        return value

    cdef object lines_of(self, const float* start, Py_ssize_t count, Py_ssize_t k, tuple last):
        """A copy of what output k has for some rows' lines, `last` numbers each, for Python code that may keep it."""
        array = np.empty((count, *self.line_shapes[k], *last), np.float32)
        memcpy(address(array, True), start, array.size * sizeof(float))
        return array

    cdef object weights_of(self, Py_ssize_t k, Py_ssize_t count):
        """The same of its weights, by row or by line as they were given."""
        weights = self.lines_of(self.objectives[k].weight, count, k, ())
        whole = self.weighs_lines or self.objectives[k].mask != NULL
        return weights if whole else np.ascontiguousarray(weights.reshape(count, -1)[:, 0])

    cdef double sum_of_parts(self, Py_ssize_t which, Py_ssize_t count, double total=0) noexcept nogil:
        """`total` and the parts of an objective or metric, added in the order of the rows."""
        cdef Py_ssize_t block
        for block in range(self.blocks_in(count)):
            total += self.parts[which * self.blocks + block]
        return total

    cdef double sum_of_losses(self, Py_ssize_t count, bint weighted) noexcept nogil:
        """`count` times the loss of a batch of `count` rows."""
        cdef Py_ssize_t k
        cdef double total = NAN if atomic_read(&self.meaningless) else 0
        for k in range(self.objective_count):
            total += self.objectives[k].importance * (
                self.share_of(&self.objectives[k], count, weighted) * self.sum_of_parts(k, count))
        return total

    cdef void add_logs(self, Py_ssize_t count, bint weighted) noexcept nogil:
        """Add a batch that was accepted to the run's losses and metrics.

        Means over all lines are the same however these were cut into batches.
        """
        cdef Py_ssize_t k
        cdef Objective* objective
        cdef Metric* metric
        cdef const float* weight
        cdef bint counts
        for k in range(self.objective_count):
            objective = &self.objectives[k]
            if objective.reduction == OVER_BATCH_SIZE:
                objective.total = self.sum_of_parts(k, count, objective.total)
            else:
                objective.total += self.share_of(objective, count, weighted) * self.sum_of_parts(k, count)
        for k in range(self.metric_count):
            metric = &self.metrics[k]
            objective = &self.objectives[metric.objective]
            counts = weighted or objective.mask != NULL
            weight = (objective.weight if metric.weighted else objective.present) if counts else NULL
            if metric.rows != NULL:
                metric.state[0] = self.sum_of_parts(self.objective_count + k, count, metric.state[0])
                metric.state[1] += sum_of(weight, count * objective.lines) if counts else count * objective.lines
            elif metric.accumulate != NULL:
                metric.accumulate(
                    (<Op>objective.op).a, objective.y, weight, metric.state, metric.own_numbers,
                    count * objective.lines, objective.width, objective.targets // objective.lines)
            else:
                self.add_python_metric(metric, count, counts)

    cdef void keep_logs(self, bint back) noexcept nogil:
        """Note the run's losses and metrics before a batch that goes by parts; or take them back."""
        cdef Py_ssize_t k, n
        cdef double* state
        for k in range(self.objective_count):
            if back:
                self.objectives[k].total = self.objectives[k].total_before
            self.objectives[k].total_before = self.objectives[k].total
        for k in range(self.metric_count):
            state, n = self.metrics[k].state, self.metrics[k].size
            memcpy(state if back else state + n, state + n if back else state, n * sizeof(double))

    cdef void add_python_metric(self, Metric* metric, Py_ssize_t count, bint weighted) noexcept nogil:
        cdef Py_ssize_t k = metric.objective
        cdef Objective* objective = &self.objectives[k]
        with gil:
            try:
                y = self.lines_of(objective.y, count, k, (objective.targets // objective.lines,))
                output = self.lines_of((<Op>objective.op).a, count, k, (objective.width,))
                weights = self.weights_of(k, count) if weighted and metric.weighted else None
                if weighted and not metric.weighted:
                    present = self.lines_of(objective.present, count, k, ())
                    if objective.mask != NULL:
                        weights = present
                    else:
                        present = present.reshape(count, -1).any(axis=1)
                        y, output = y[present], output[present]
                if len(y):
                    (<object>metric.python).update_state(y, output, weights)
            except BaseException as error:
                self.pending, self.error = error, -1

    cdef double sum_of_totals(self) noexcept nogil:
        """The loss of the run's rows, of all outputs together."""
        cdef Py_ssize_t k
        cdef double total = NAN if self.meaningless else 0
        for k in range(self.objective_count):
            total += self.objectives[k].importance * (self.objectives[k].of_a_line * self.objectives[k].total)
        return total
