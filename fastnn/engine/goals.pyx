"""What a network is trained for: a loss for each output, and the metrics that are measured beside it.

The targets of all outputs lie side by side in a row of y. A row's losses are added up in blocks of GRAIN rows, the
blocks in their order, so that a sum does not depend on who worked on which rows.
"""

from libc.math cimport isfinite
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cpython.buffer cimport PyBuffer_Release

import numpy as np

from fastnn.engine.arena cimport Arena, GRAIN, padded
from fastnn.engine.ops cimport Activated, Op
from fastnn.kernels.buffers cimport address, take
from fastnn.kernels.kernel cimport Kernel, Numbers, float32_of

from fastnn.kernels.bindings import state_size

REDUCTIONS = {
    "sum_over_batch_size": OVER_BATCH_SIZE,
    "mean": OVER_BATCH_SIZE,
    "mean_with_sample_weight": OVER_WEIGHTS,
    "sum": SUM,
}


cdef bint _all_finite(const float* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not isfinite(x[i]):
            return False
    return True


cdef inline Py_ssize_t row_of(const Rows* rows, Py_ssize_t place) noexcept nogil:
    """The row of the page that stands at a place of its order."""
    return rows.order[place] if rows.order != NULL else place


cdef double _sum(const float* weight, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(n):
        total += weight[i]
    return total


cdef object _rows(const float* start, Py_ssize_t rows, Py_ssize_t columns):
    """A copy of some rows of a buffer, for Python code that may keep it."""
    array = np.empty((rows, columns), np.float32)
    memcpy(address(array, True), start, rows * columns * sizeof(float))
    return array


cdef const float* floats_of(str name, array, Py_ssize_t rows, Py_ssize_t columns) except? NULL:
    """The numbers of a C-contiguous float32 array, (rows, columns), or (rows,) where columns is negative."""
    cdef Py_buffer view
    cdef bint fits = take(array, False, &view)
    if fits:
        fits = (view.itemsize == sizeof(float) and view.ndim == (1 if columns < 0 else 2) and view.shape[0] == rows
                and (columns < 0 or view.shape[1] == columns))
        PyBuffer_Release(&view)
    if not fits:
        shape = f"({rows}, {columns})" if columns >= 0 else f"({rows},)"
        came = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name} must be a C-contiguous float32 array of shape {shape}, got {came}")
    return <const float*>view.buf


cdef class Goals(Arena):
    """A network's memory, with the losses and metrics of its outputs."""

    def __dealloc__(self):
        free(self.goals)
        free(self.measures)

    cdef int clear_goals(self) except -1:
        free(self.goals)
        free(self.measures)
        self.goals = NULL
        self.measures = NULL
        self.goal_count = self.measure_count = self.targets = 0
        self.states, self.kept_alive, self.loss_waits, self.takes_gil = [], [], False, False
        for op in self.ops:
            self.takes_gil |= (<Op>op).takes_gil
        return 0

    def set_goals(self, goals):
        """The goal of each output, as ``fastnn.engine.description.Goal`` says it."""
        cdef Py_ssize_t i = 0
        if len(goals) != len(self.outputs):
            raise ValueError(f"a network of {len(self.outputs)} outputs needs as many goals, got {len(goals)}")
        self.enter()
        try:
            self.clear_goals()
            self.goals = <Goal*>calloc(len(goals), sizeof(Goal))
            self.measures = <Measure*>calloc(max(1, sum([len(goal.measures) for goal in goals])), sizeof(Measure))
            if self.goals == NULL or self.measures == NULL:
                raise MemoryError("no memory for losses and metrics")
            for number, (place, goal) in enumerate(zip(self.outputs, goals, strict=True)):
                self.add_goal(&self.goals[<Py_ssize_t>number], self.ops[place], goal)
                for measure in goal.measures:
                    self.add_measure(&self.measures[i], number, measure)
                    i += 1
            self.goal_count, self.measure_count = len(goals), i
            self.capacity = 0
        except BaseException:
            self.clear_goals()
            raise
        finally:
            self.leave()

    cdef int add_goal(self, Goal* goal, Op op, description) except -1:
        cdef Numbers numbers = Numbers(description.numbers)
        reduction = description.reduction
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
        goal.op, goal.units, goal.targets = <void*>op, op.units, description.targets
        goal.fused, goal.from_logits = description.fused, description.from_logits
        goal.reduction, goal.importance = REDUCTIONS[reduction], description.importance
        if isinstance(description.loss, Kernel):
            goal.rows, goal.whole = <types.loss32>float32_of(description.loss, "loss"), description.loss.whole
            memcpy(goal.numbers, numbers.values, sizeof(goal.numbers))
        else:
            goal.python, goal.whole = <void*>description.loss, True
            self.takes_gil = True
        self.kept_alive.append(description.loss)
        self.loss_waits |= goal.whole
        goal.y_start = self.targets
        self.targets += goal.targets
        return 0

    cdef int add_measure(self, Measure* measure, Py_ssize_t goal, description) except -1:
        cdef Numbers numbers
        state = np.zeros(2)
        measure.goal, measure.weighted = goal, description.weighted
        measure.from_logits = description.from_logits
        if isinstance(description.kernel, Kernel) and description.kernel.signature == "accumulator":
            values = np.array([*description.numbers, 0.0])      # one more, so that there is an address
            measure.tally = <types.accumulator32>float32_of(description.kernel, "accumulator")
            measure.tally_numbers = <double*>address(values)
            self.kept_alive.append(values)
            state = np.zeros(state_size(
                description.kernel, self.goals[goal].units, self.goals[goal].targets, description.numbers))
        elif isinstance(description.kernel, Kernel):
            numbers = Numbers(description.numbers)
            measure.rows = <types.loss32>float32_of(description.kernel, "loss")
            memcpy(measure.numbers, numbers.values, sizeof(measure.numbers))
        else:
            measure.python = <void*>description.kernel
            self.takes_gil = True
        measure.state, measure.size = <double*>address(state, True), len(state)
        self.states.append(state)
        self.kept_alive.append(description.kernel)
        return 0

    # Memory.

    cdef Py_ssize_t extra_space(self, Py_ssize_t rows):
        cdef Py_ssize_t i, total, blocks = rows // GRAIN + 1
        total = padded(2 * (self.goal_count + self.measure_count) * blocks)     # doubles
        for i in range(self.goal_count):
            total += padded(rows * self.goals[i].units) + padded(rows * self.goals[i].targets) + padded(rows)
        return total

    cdef float* take_extra(self, float* space, Py_ssize_t rows):
        cdef Py_ssize_t i
        cdef Goal* goal
        self.blocks = rows // GRAIN + 1
        self.parts = <double*>space
        space += padded(2 * (self.goal_count + self.measure_count) * self.blocks)
        for i in range(self.goal_count):
            goal = &self.goals[i]
            goal.probabilities = space
            goal.y = goal.probabilities + padded(rows * goal.units)
            goal.weight = goal.y + padded(rows * goal.targets)
            space = goal.weight + padded(rows)
        return space

    cdef int begin_goals(self, bint loss_follows) except -1:
        """A run begins: sums start at 0, and an op leaves its activation out where the loss applies it."""
        cdef Py_ssize_t i
        for i in range(self.goal_count):
            self.goals[i].total = 0
            if self.goals[i].fused:
                (<Activated?><object>self.goals[i].op).raw = loss_follows
        for i in range(self.measure_count):
            memset(self.measures[i].state, 0, self.measures[i].size * sizeof(double))
        return 0

    cdef int page(self, Rows* rows, x, y, weight, order) except -1:
        """A page of rows, its arrays checked. The lock is held, so that what they are checked against stays."""
        if self.goal_count == 0:
            raise RuntimeError("this network has no loss yet; call set_goals first")
        rows.x = floats_of("x", x, len(x), self.inputs)
        rows.count = rows.stop = len(x)
        rows.y = floats_of("y", y, rows.count, self.targets)
        rows.weights = 1
        if weight is not None:
            if getattr(weight, "ndim", 1) == 2:
                rows.weights = self.goal_count
            rows.weight = floats_of("weight", weight, rows.count, -1 if rows.weights == 1 else rows.weights)
        if order is not None:
            if not isinstance(order, np.ndarray) or order.dtype != np.uint32 or order.shape != (rows.count,) \
                    or not (order.flags.c_contiguous and order.flags.aligned):
                raise ValueError(f"order must be a C-contiguous uint32 array of {rows.count} row numbers")
            rows.order = <const uint32_t*>address(order)
        return 0

    # Without the GIL.

    cdef bint collect(self, const Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """Find rows r0:r1 of the batch that begins at `start`; False where the order points outside."""
        cdef Py_ssize_t i, k
        cdef const float* x
        cdef const float** addresses
        if rows.order != NULL:
            for i in range(start + r0, start + r1):
                if rows.order[i] >= rows.count:
                    return False
        for k in range(self.input_count):
            addresses = self.addresses + k * self.capacity
            x = rows.x + self.input_starts[k]
            for i in range(r0, r1):
                addresses[i] = x + row_of(rows, start + i) * self.inputs
        if rows.y != NULL:
            for k in range(self.goal_count):
                self.collect_targets(&self.goals[k], rows, k, start, r0, r1)
            if rows.weight != NULL:
                self.hide_absent_rows(rows, start, r0, r1)
        return True

    cdef void collect_targets(self, Goal* goal, const Rows* rows, Py_ssize_t k, Py_ssize_t start, Py_ssize_t r0,
                              Py_ssize_t r1) noexcept nogil:
        """Copy the targets and weights of goal number k into the batch's order."""
        cdef Py_ssize_t i, j, n = goal.targets, all_targets = self.targets
        cdef const float* all_y = rows.y + goal.y_start
        cdef const float* weight = rows.weight + (k if rows.weights > 1 else 0)
        cdef const float* row
        cdef float* y = goal.y + r0 * n
        for i in range(r0, r1):
            row = all_y + row_of(rows, start + i) * all_targets
            for j in range(n):
                y[j] = row[j]
            y += n
        if rows.weight != NULL:
            for i in range(r0, r1):
                goal.weight[i] = weight[row_of(rows, start + i) * rows.weights]

    cdef void hide_absent_rows(self, const Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """0 * NaN is NaN: a row whose weights are all 0 must not reach a gradient with one."""
        cdef Py_ssize_t i, k
        cdef bint absent
        for i in range(r0, r1):
            absent = True
            for k in range(self.goal_count):
                absent = absent and self.goals[k].weight[i] == 0
            if absent and not _all_finite(rows.x + row_of(rows, start + i) * self.inputs, self.inputs):
                for k in range(self.input_count):
                    self.addresses[k * self.capacity + i] = self.zeros

    cdef double share_of(self, const Goal* goal, Py_ssize_t count, bint weighted) noexcept nogil:
        """What a row's loss counts in `count` times the loss of a batch of `count` rows."""
        cdef double total
        if goal.reduction == OVER_BATCH_SIZE:
            return 1
        if goal.reduction == SUM:
            return <double>count
        total = count
        if weighted:
            total = _sum(goal.weight, count)
        return count / total if total != 0 else 0

    cdef void losses(self, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1, bint weighted, bint slopes) noexcept nogil:
        """Losses and metrics of rows r0:r1 of a batch of `count`, a sum for each GRAIN of them; and the losses' slopes.

        Losses that need the whole batch come later, in `whole_losses`.
        """
        cdef Py_ssize_t block, first, start, k, n
        cdef double scale
        cdef Goal* goal
        cdef Measure* measure
        cdef float* d
        cdef const float* y
        cdef const float* weight
        for k in range(self.goal_count):
            goal = &self.goals[k]
            if goal.whole:
                continue
            scale = goal.importance * self.share_of(goal, count, weighted) / count if slopes else 0
            for block in range(r0 // GRAIN, (r1 + GRAIN - 1) // GRAIN):
                first = block * GRAIN
                n, start = min(r1, first + GRAIN) - first, first * goal.units
                d = self.output_d[k] + start if slopes and self.output_d[k] != NULL else NULL
                self.parts[k * self.blocks + block] = goal.rows(
                    ((<Op>goal.op).z if goal.fused else (<Op>goal.op).a) + start,
                    (goal.probabilities if goal.from_logits else (<Op>goal.op).a) + start,
                    goal.y + first * goal.targets, goal.weight + first if weighted else NULL,
                    d, goal.numbers, n, goal.units, scale)
        for k in range(self.measure_count):
            measure = &self.measures[k]
            if measure.rows == NULL:
                continue
            goal = &self.goals[measure.goal]
            for block in range(r0 // GRAIN, (r1 + GRAIN - 1) // GRAIN):
                first = block * GRAIN
                n, start = min(r1, first + GRAIN) - first, first * goal.units
                y = goal.y + first * goal.targets
                weight = goal.weight + first if weighted and measure.weighted else NULL
                self.parts[(self.goal_count + k) * self.blocks + block] = measure.rows(
                    (<Op>goal.op).a + start,
                    (goal.probabilities if measure.from_logits else (<Op>goal.op).a) + start,
                    y, weight, NULL, measure.numbers, n, goal.units, 1)

    cdef void whole_losses(self, Py_ssize_t count, bint weighted, bint slopes) noexcept nogil:
        """The losses that belong to the batch as a whole; for one member, when all rows are there."""
        cdef Py_ssize_t k, block
        cdef Goal* goal
        for k in range(self.goal_count):
            goal = &self.goals[k]
            if goal.whole:
                for block in range((count + GRAIN - 1) // GRAIN):
                    self.parts[k * self.blocks + block] = 0
                self.parts[k * self.blocks] = self.whole_loss(
                    goal, goal.weight if weighted else NULL, self.output_d[k] if slopes else NULL, count,
                    goal.importance * self.share_of(goal, count, weighted) / count)

    cdef double whole_loss(self, Goal* goal, const float* weight, float* d, Py_ssize_t count,
                           double scale) noexcept nogil:
        cdef double value = 0
        if goal.python == NULL:
            return goal.rows((<Op>goal.op).a, (<Op>goal.op).a, goal.y, weight, d, goal.numbers, count, goal.units,
                             scale)
        with gil:
            try:
                rows = None if weight == NULL else _rows(weight, count, 1)[:, 0]
                value, slopes = (<object>goal.python).value_and_gradient(
                    _rows(goal.y, count, goal.targets), _rows((<Op>goal.op).a, count, goal.units), rows, scale)
                if d != NULL:
                    slopes = np.require(slopes, np.float32, ["C", "A"])
                    if slopes.shape != (count, goal.units):
                        raise ValueError(
                            f"the gradient of {<object>goal.python} must have shape {(count, goal.units)}, "
                            f"got {slopes.shape}")
                    memcpy(d, address(slopes), count * goal.units * sizeof(float))
            except BaseException as error:
                self.pending, self.error = error, -1
        return value

    cdef double sum_of_parts(self, Py_ssize_t which, Py_ssize_t count, double total=0) noexcept nogil:
        """`total` and the parts of a goal or metric, added in the order of the rows."""
        cdef Py_ssize_t block
        for block in range((count + GRAIN - 1) // GRAIN):
            total += self.parts[which * self.blocks + block]
        return total

    cdef double sum_of_losses(self, Py_ssize_t count, bint weighted) noexcept nogil:
        """`count` times the loss of a batch of `count` rows."""
        cdef Py_ssize_t k
        cdef double total = 0
        for k in range(self.goal_count):
            total += self.goals[k].importance * (
                self.share_of(&self.goals[k], count, weighted) * self.sum_of_parts(k, count))
        return total

    cdef void add_figures(self, Py_ssize_t count, bint weighted) noexcept nogil:
        """Add a batch that was accepted to the run's losses and metrics.

        Means over all rows are the same however these were cut into batches.
        """
        cdef Py_ssize_t k
        cdef Goal* goal
        cdef Measure* measure
        for k in range(self.goal_count):
            goal = &self.goals[k]
            if goal.reduction == OVER_BATCH_SIZE:
                goal.total = self.sum_of_parts(k, count, goal.total)
            else:
                goal.total += self.share_of(goal, count, weighted) * self.sum_of_parts(k, count)
        for k in range(self.measure_count):
            measure = &self.measures[k]
            if measure.rows != NULL:
                measure.state[0] = self.sum_of_parts(self.goal_count + k, count, measure.state[0])
                measure.state[1] += (
                    _sum(self.goals[measure.goal].weight, count) if weighted and measure.weighted else count)
            elif measure.tally != NULL:
                goal = &self.goals[measure.goal]
                measure.tally(
                    (<Op>goal.op).a, goal.y, goal.weight if weighted and measure.weighted else NULL, measure.state,
                    measure.tally_numbers, count, goal.units, goal.targets)
            else:
                self.add_python_metric(measure, count, weighted)

    cdef void add_python_metric(self, Measure* measure, Py_ssize_t count, bint weighted) noexcept nogil:
        cdef Goal* goal = &self.goals[measure.goal]
        with gil:
            try:
                weight = _rows(goal.weight, count, 1)[:, 0] if weighted and measure.weighted else None
                (<object>measure.python).update_state(
                    _rows(goal.y, count, goal.targets), _rows((<Op>goal.op).a, count, goal.units), weight)
            except BaseException as error:
                self.pending, self.error = error, -1

    cdef double sum_of_totals(self) noexcept nogil:
        """The loss of the run's rows, of all outputs together."""
        cdef Py_ssize_t k
        cdef double total = 0
        for k in range(self.goal_count):
            total += self.goals[k].importance * self.goals[k].total
        return total

    @property
    def losses_of_outputs(self):
        """The sum of the rows' losses of each output, in the last run."""
        cdef Py_ssize_t k
        return [self.goals[k].total for k in range(self.goal_count)]
