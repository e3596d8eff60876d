cimport cython
cimport fastnn.kernels.types as types
from fastnn.engine.arena cimport Arena
from fastnn.engine.ops cimport Op, Step
from fastnn.kernels.kernel cimport MAX_NUMBERS
from libc.stdint cimport uint32_t


cdef enum Reduction:
    OVER_BATCH_SIZE                     # the sum over the rows divided by their number
    OVER_WEIGHTS                        # by the sum of their weights
    SUM


cdef struct Rows:
    # A page of rows, and the batch of them that is being worked on.
    const float* x
    const float* y                      # all targets side by side
    const float* weight                 # or NULL
    const uint32_t* order               # or NULL
    Py_ssize_t weights                  # numbers in a row of weight: 1, or one for each output
    Py_ssize_t count
    Py_ssize_t start                    # of the batch
    Py_ssize_t stop                     # of the run


cdef struct Goal:
    # What one output is to be.
    void* op
    types.loss32 rows                   # NULL for a loss that is Python
    double numbers[MAX_NUMBERS]
    void* python
    bint fused                          # it takes the op's place in applying the activation
    bint from_logits                    # it reads logits: its probabilities are not the network's output
    bint whole                          # its value belongs to the batch as a whole
    Reduction reduction
    double importance                   # what it counts in the sum of all outputs' losses
    Py_ssize_t units
    Py_ssize_t targets
    Py_ssize_t y_start                  # its first target in a row of y
    float* y                            # the batch's targets and weights, in the batch's order
    float* weight
    float* probabilities                # what a loss from logits makes of them
    double total                        # loss of the run's rows


cdef struct Measure:
    # A metric.
    Py_ssize_t goal
    bint weighted
    types.loss32 rows                   # of a mean over the rows, or NULL
    double numbers[MAX_NUMBERS]
    bint from_logits
    types.accumulator32 tally                       # of one that gathers whole batches, or NULL
    const double* tally_numbers
    void* python
    double* state                       # of the run: sum and weight of a mean
    Py_ssize_t size


cdef const float* floats_of(str name, array, Py_ssize_t rows, Py_ssize_t columns) except? NULL


cdef class Goals(Arena):
    cdef readonly Py_ssize_t targets    # numbers in a row of y
    cdef Goal* goals
    cdef Py_ssize_t goal_count
    cdef Measure* measures
    cdef Py_ssize_t measure_count
    cdef readonly list states           # each metric's, float64: sum and weight of a mean
    cdef list kept_alive
    cdef double* parts                  # sums of GRAIN rows: of each goal, then of each metric
    cdef Py_ssize_t blocks              # that there is room for in parts, for each
    cdef bint loss_waits                # for the whole batch

    cdef int add_goal(self, Goal* goal, Op op, description) except -1
    cdef int add_measure(self, Measure* measure, Py_ssize_t goal, description) except -1
    cdef int clear_goals(self) except -1
    cdef int page(self, Rows* rows, x, y, weight, order) except -1
    cdef int begin_goals(self, bint loss_follows) except -1
    cdef bint collect(self, const Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void collect_targets(self, Goal* goal, const Rows* rows, Py_ssize_t k, Py_ssize_t start, Py_ssize_t r0,
                              Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void hide_absent_rows(self, const Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef double share_of(self, const Goal* goal, Py_ssize_t count, bint weighted) noexcept nogil
    cdef void losses(self, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1, bint weighted, bint slopes) noexcept nogil
    cdef void whole_losses(self, Py_ssize_t count, bint weighted, bint slopes) noexcept nogil

    @cython.final
    cdef double whole_loss(self, Goal* goal, const float* weight, float* d, Py_ssize_t count,
                           double scale) noexcept nogil

    @cython.final
    cdef double sum_of_parts(self, Py_ssize_t which, Py_ssize_t count, double total=*) noexcept nogil
    cdef double sum_of_losses(self, Py_ssize_t count, bint weighted) noexcept nogil
    cdef void add_figures(self, Py_ssize_t count, bint weighted) noexcept nogil

    @cython.final
    cdef void add_python_metric(self, Measure* measure, Py_ssize_t count, bint weighted) noexcept nogil
    cdef double sum_of_totals(self) noexcept nogil
