"""How a network learns: from the rows' gradients to new weights.

The flat vector's variables are cut into pieces, the same for any number of threads; a member of the team has a share
of them. For each of its pieces it works out the gradient over all rows, adds the penalties' slopes, and takes the
optimizer's step while the gradient is in cache. Where gradients are clipped by a norm, all of them are needed before
the first step, and the members wait for one another in between.
"""

from libc.math cimport sqrt
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastnn.engine.arena cimport LINE, padded
from fastnn.engine.arena import aligned
from fastnn.engine.objectives cimport Objectives
from fastnn.engine.ops cimport Op, Step
from fastnn.kernels.buffers cimport address
from fastnn.kernels.kernel cimport Numbers, OptimizerKernel, PACK_A_ROWS, PenaltyKernel, VectorKernel
from fastnn.kernels.matrix_kernel cimport ConstraintKernel, MatrixPenaltyKernel, penalty_workspace
from fastnn.kernels.team cimport barrier

from fastnn import kernels


cdef enum:
    PIECES = 64                         # that the parameters are cut into, about
    PIECE_ROWS = 12                     # and whole multiples of these rows of W, a tile's
    BLOCK = 16384                       # parameters whose gradient and step go together, to stay in cache
    LARGE = 262144                      # numbers in the gradient of a layer's output that are more than L2 holds


cdef types.vector32 _vector(VectorKernel kernel):
    return kernel.vector32


cdef class Learning(Objectives):
    """A network's memory and objectives, with its gradients and its optimizer.

    `gradients` and each of `slots` are flat float32 arrays with the offsets of `parameters`.
    """

    def __cinit__(self, *args, **kwargs):
        self.penalty = (<PenaltyKernel>kernels.l1_l2).penalty32
        self.take_mean, self.clip = _vector(kernels.take_mean), _vector(kernels.clip)
        self.scale, self.decay = _vector(kernels.scale), _vector(kernels.decay)
        self.take_average, self.sum_of_squares = _vector(kernels.average), _vector(kernels.squares)
        self.slots, self.twin_gradients, self.kept_matrices = [], [], []
        self.twins = <void**>calloc(self.count, sizeof(void*))
        if self.twins == NULL:
            raise MemoryError("no memory for a network's ops")

    def __dealloc__(self):
        free(self.twins)
        free(self.variables)
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
            self.find_twins()
            self.variables = <Variable*>calloc(max(1, len(variables)), sizeof(Variable))
            if self.variables == NULL:
                raise MemoryError("no memory for a network's variables")
            for i in range(len(variables)):
                self.add_variable(&self.variables[i], variables[i])
                self.variables[<Py_ssize_t>order[i]].nth = i
            self.variable_count = len(variables)
            self.cut_into_pieces(variables)
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
        variable.decays, variable.factor = description.decays, 1
        self.has_penalties |= variable.l1 != 0 or variable.l2 != 0
        if description.penalty is not None:
            kernel, values = description.penalty
            numbers = Numbers(values)
            gradient = aligned(rows * columns + penalty_workspace(rows, columns))
            self.kept_matrices.append(gradient)
            variable.penalty, variable.slopes = (<MatrixPenaltyKernel>kernel).penalty32, <float*>address(gradient, True)
            memcpy(variable.penalty_numbers, numbers.values, sizeof(variable.penalty_numbers))
            self.has_penalties = self.has_matrix_penalties = True
        if description.constraint is not None:
            kernel, values = description.constraint
            numbers = Numbers(values)
            variable.constraint = (<ConstraintKernel>kernel).constraint32
            memcpy(variable.constraint_numbers, numbers.values, sizeof(variable.constraint_numbers))
            self.has_constraints = True
        return 0

    cdef int clear_variables(self) except -1:
        free(self.variables)
        free(self.pieces)
        free(self.penalty_parts)
        free(self.squares)
        self.variables, self.pieces, self.penalty_parts, self.squares = NULL, NULL, NULL, NULL
        self.variable_count = self.piece_count = self.learnt = 0
        self.has_penalties = self.has_matrix_penalties = self.has_constraints = False
        self.kept_matrices = []
        return 0

    cdef int find_twins(self) except -1:
        """Chain the ops that share their parameters; each but the first has a gradient of its own, to be added."""
        cdef Op op
        last = {}
        self.twin_gradients = []
        for i, op in enumerate(self.ops):
            self.twins[<Py_ssize_t>i] = NULL
            op.g = self.g + op.start
            if op.size and not op.frozen:
                if op.start in last:
                    gradient = aligned(op.size)
                    op.g = <float*>address(gradient, True)
                    self.twin_gradients.append(gradient)
                    self.twins[<Py_ssize_t>last[op.start]] = <void*>op
                last[op.start] = i
        return 0

    cdef int cut_into_pieces(self, variables) except -1:
        cdef Op op
        cdef Variable* variable
        cdef Piece* before
        cdef Py_ssize_t i, step, p0, end, number, count = 0
        owners = {}
        for op in self.ops:
            if op.size and not op.frozen:
                owners.setdefault(op.start, op)
        places, total = [], 0
        for i in range(self.variable_count):
            variable = &self.variables[i]
            op = next(
                (o for o in owners.values() if o.start <= variable.start and variable.stop <= o.start + o.size), None)
            if op is None or variable.stop <= variable.start or (variable.stop - variable.start) % op.granule:
                raise ValueError(f"variable {variables[i]} is not part of an op that learns")
            places.append(op)
            total += variable.stop - variable.start
        for i in range(self.variable_count):
            count += (self.variables[i].stop - self.variables[i].start) // (PIECE_ROWS * (<Op>places[i]).granule) + 1
        self.pieces = <Piece*>calloc(max(1, count), sizeof(Piece))
        self.penalty_parts = <double*>calloc(max(1, count), sizeof(double))
        self.squares = <double*>calloc(max(1, count), sizeof(double))
        if self.pieces == NULL or self.penalty_parts == NULL or self.squares == NULL:
            raise MemoryError("no memory for a network's pieces")
        for i in range(self.variable_count):
            variable, op = &self.variables[i], places[i]
            variable.first_piece = number = self.piece_count
            step = PIECE_ROWS * op.granule
            step *= max(1, <Py_ssize_t>total // (PIECES * step))
            p0, end = variable.start - op.start, variable.stop - op.start
            while p0 < end:
                self.pieces[number] = Piece(op.number, p0, min(p0 + step, end), op.start + p0, self.learnt, i, False, 0)
                if number:
                    before = &self.pieces[number - 1]
                    self.pieces[number].joined = op.start + p0 - (before.start + before.p1 - before.p0) < LINE
                self.learnt += min(step, end - p0)
                p0 += step
                number += 1
            if end == op.size:
                self.pieces[number - 1].padding = padded(op.size) - op.size
            self.piece_count = variable.piece_stop = number
        return 0

    # How.

    def set_optimizer(self, OptimizerKernel kernel, numbers, slot_starts=(), *, accumulation=1, average=False):
        """The optimizer, with a fresh slot for each of `slot_starts`, full of that number; the count of steps is 0.

        accumulation: batches whose mean gradient makes one step; more than 1 take a slot. average: whether a moving
        average of the weights is kept, in the last slot.
        """
        cdef int i
        cdef Numbers values = Numbers(numbers)
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
            self.optimizer, self.optimizer_numbers, self.slots = kernel.step32, values, fresh
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
        self.enter()
        self.optimizer_numbers = values
        self.weight_decay, self.clip_value = weight_decay or 0, clipvalue or 0
        self.clip_norm, self.clip_global_norm = clipnorm or 0, global_clipnorm or 0
        self.average_momentum, self.overwrite = ema_momentum or 0, ema_overwrite_frequency or 0
        self.leave()

    def hold_constraints(self):
        """Bring the weights to where their constraints let them be, as a step does."""
        self.enter()
        self.constrain(0, 1)
        self.leave()

    # Without the GIL.

    cdef Py_ssize_t first_piece(self, int member, int members) noexcept nogil:
        """Of a member's share of the parameters; the next member's is its end."""
        cdef Py_ssize_t low = 0, high = self.piece_count, middle
        cdef Py_ssize_t start = self.learnt * member // members
        while low < high:
            middle = (low + high) // 2
            if self.pieces[middle].before < start:
                low = middle + 1
            else:
                high = middle
        return low if member < members else self.piece_count

    cdef Py_ssize_t block_size(self, Py_ssize_t op, Py_ssize_t rows) noexcept nogil:
        """Parameters whose gradient is made in one go. Rows of d that do not stay in cache are better read seldom."""
        cdef Py_ssize_t units = (<Op>self.op_list[op]).units
        return BLOCK if rows * units < LARGE else max(<Py_ssize_t>BLOCK, PACK_A_ROWS * units)

    cdef void learn(self, const Step* step, double rate, bint update, Py_ssize_t piece, Py_ssize_t stop, int member,
                    int members) noexcept nogil:
        """A member's part of a step: the gradients of pieces piece:stop and, with `update`, their new weights."""
        cdef Py_ssize_t first = piece, end, size = 0
        cdef bint at_once = update and self.clip_norm == 0 and self.clip_global_norm == 0
        if self.has_matrix_penalties:
            self.penalise_matrices(member, members)
            barrier(member, members)
        while piece < stop:
            end = self.find_gradient(step, piece, stop)
            size += self.pieces[end - 1].before + self.pieces[end - 1].p1 - self.pieces[end - 1].p0
            size -= self.pieces[piece].before
            piece = end
            # Small ops share a block, and a large one has several: a block's step follows while it is in cache.
            if at_once and (piece == stop or size >= BLOCK):
                self.step_pieces(step, rate, first, piece)
                first, size = piece, 0
        if update and not at_once:
            self.find_factors(first, stop, member, members)
            self.step_pieces(step, rate, first, stop)
        if update and self.has_constraints:
            barrier(member, members)
            self.constrain(member, members)

    cdef Py_ssize_t find_gradient(self, const Step* step, Py_ssize_t piece, Py_ssize_t stop) noexcept nogil:
        """The gradient of some pieces of one op, penalties included; gives the first piece that is left."""
        cdef Piece* first = &self.pieces[piece]
        cdef Py_ssize_t i, p1, n, end = piece + 1, block = self.block_size(first.op, step.rows)
        while end < stop and self.pieces[end].op == first.op and self.pieces[end].p0 == self.pieces[end - 1].p1 \
                and self.pieces[end].p1 - first.p0 <= block:
            end += 1
        p1 = self.pieces[end - 1].p1
        n = first.op
        (<Op>self.op_list[n]).gradient(step, first.p0, p1)
        while self.twins[n] != NULL:
            (<Op>self.twins[n]).gradient(step, first.p0, p1)
            self.add(self.g + first.start, (<Op>self.twins[n]).g + first.p0, p1 - first.p0, 0)
            n = (<Op>self.twins[n]).number
        if self.has_penalties:
            for i in range(piece, end):
                self.penalty_parts[i] = self.penalise(i)
        if self.sum_of_gradients != NULL:
            if step.number % self.accumulation:
                self.add(self.sum_of_gradients + first.start, self.g + first.start, p1 - first.p0, 0)
            else:
                self.take_mean(self.sum_of_gradients + first.start, self.g + first.start, p1 - first.p0,
                               1.0 / self.accumulation)
        return end

    cdef double penalise(self, Py_ssize_t piece) noexcept nogil:
        """Add the penalties' slopes to a piece's gradient; gives their value."""
        cdef Piece* at = &self.pieces[piece]
        cdef Variable* variable = &self.variables[at.variable]
        cdef double value = 0
        if variable.penalty != NULL:
            self.add(self.g + at.start, variable.slopes + (at.start - variable.start), at.p1 - at.p0, 0)
            if at.start == variable.start:
                value = variable.value
        if variable.l1 == 0 and variable.l2 == 0:
            return value
        return value + self.penalty(self.w + at.start, self.g + at.start, at.p1 - at.p0, variable.l1, variable.l2)

    cdef void penalise_matrices(self, int member, int members) noexcept nogil:
        """A member's share of the penalties that take a whole matrix: value and slopes, which a piece adds later."""
        cdef Py_ssize_t i, n
        cdef Variable* variable
        for i in range(self.variable_count):
            variable = &self.variables[i]
            if variable.penalty != NULL and i % members == member:
                n = variable.stop - variable.start
                memset(variable.slopes, 0, n * sizeof(float))
                variable.value = variable.penalty(self.w + variable.start, variable.slopes, n // variable.columns,
                                                  variable.columns, variable.penalty_numbers, variable.slopes + n)

    cdef void constrain(self, int member, int members) noexcept nogil:
        """A member's share of each constrained variable: some of its columns, or of its rows."""
        cdef Py_ssize_t i, rows, vectors
        cdef Variable* variable
        for i in range(self.variable_count):
            variable = &self.variables[i]
            if variable.constraint != NULL:
                rows = (variable.stop - variable.start) // variable.columns
                vectors = variable.columns if variable.constraint_numbers[0] == 0 else rows
                variable.constraint(self.w + variable.start, rows, variable.columns, vectors * member // members,
                                    vectors * (member + 1) // members, variable.constraint_numbers)

    cdef double sum_of_penalties(self) noexcept nogil:
        cdef Py_ssize_t i
        cdef double total = 0
        if self.has_penalties:
            for i in range(self.variable_count):
                total += self.over_pieces(self.penalty_parts, &self.variables[self.variables[i].nth])
        return total

    cdef double over_pieces(self, const double* parts, const Variable* variable) noexcept nogil:
        """Of what the variable's pieces have."""
        cdef Py_ssize_t i
        cdef double total = 0
        for i in range(variable.first_piece, variable.piece_stop):
            total += parts[i]
        return total

    cdef void find_factors(self, Py_ssize_t first, Py_ssize_t stop, int member, int members) noexcept nogil:
        """What each variable's gradient is multiplied by, so that its norm, or that of all, is not too large."""
        cdef Py_ssize_t i
        cdef Variable* variable
        cdef double total, of_all = 0
        for i in range(first, stop):
            self.squares[i] = self.sum_of_squares(
                self.g + self.pieces[i].start, NULL, self.pieces[i].p1 - self.pieces[i].p0, 0)
        barrier(member, members)
        if member == 0:
            for i in range(self.variable_count):
                variable = &self.variables[self.variables[i].nth]
                total = self.over_pieces(self.squares, variable)
                of_all += total
                if self.clip_norm > 0:
                    variable.factor = self.clip_norm / max(self.clip_norm, sqrt(total))
            if self.clip_norm == 0:
                for i in range(self.variable_count):
                    self.variables[i].factor = self.clip_global_norm / max(self.clip_global_norm, sqrt(of_all))
        barrier(member, members)

    cdef void step_pieces(self, const Step* step, double rate, Py_ssize_t piece, Py_ssize_t stop) noexcept nogil:
        """The optimizer's step for pieces that have their gradient, in stretches without a gap but padding."""
        cdef Py_ssize_t i, start, n
        cdef bint steps = self.accumulation == 1 or step.number % self.accumulation == 0
        while piece < stop:
            start, i = self.pieces[piece].start, piece
            piece += 1
            while piece < stop and self.pieces[piece].joined:
                piece += 1
            # A stretch of whole cache lines leaves the optimizer no rest to do number by number.
            n = self.pieces[piece - 1].start + self.pieces[piece - 1].p1 - self.pieces[piece - 1].p0 - start
            n += self.pieces[piece - 1].padding
            if steps:
                if self.clip_norm > 0 or self.clip_global_norm > 0 or self.weight_decay > 0:
                    self.shrink(i, piece, rate)
                self.update(step, rate, start, n)
                if self.average != NULL:
                    self.follow(step, start, n)

    cdef void shrink(self, Py_ssize_t piece, Py_ssize_t stop, double rate) noexcept nogil:
        """Gradients by their variables' factors, and weights by the decay."""
        cdef Py_ssize_t i, n
        cdef Variable* variable
        for i in range(piece, stop):
            n, variable = self.pieces[i].p1 - self.pieces[i].p0, &self.variables[self.pieces[i].variable]
            if (self.clip_norm > 0 or self.clip_global_norm > 0) and variable.factor != 1:
                self.scale(self.g + self.pieces[i].start, NULL, n, variable.factor)
            if self.weight_decay > 0 and variable.decays:
                self.decay(self.w + self.pieces[i].start, NULL, n, self.weight_decay * rate)

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
        self.optimizer(self.w + start, self.g + start, slots, n, rate, number, self.optimizer_numbers.values)
