# What Objectives hold: network.pxd includes it.

cdef enum Reduction:
    OVER_BATCH_SIZE                     # the sum over the lines divided by their number
    OVER_WEIGHTS                        # by the sum of their weights
    OVER_VALID                          # by the number of those that the output's mask leaves
    SUM


cdef struct Objective:
    # What one output is trained for: its loss. A row of the output is `lines` lines of `width` numbers.
    void* op
    void* mask                          # an op that gives 0 for lines that do not count; NULL where all do
    types.loss32 rows                   # NULL for a loss that is Python
    double numbers[MAX_NUMBERS]
    void* python
    bint fused                          # it takes the op's place in applying the activation
    bint from_logits                    # it reads logits: its probabilities are not the network's output
    bint whole                          # its value belongs to the batch as a whole
    bint divides_late                   # in this run its divisor is known when all rows are there
    Reduction reduction
    double importance                   # what it counts in the sum of all outputs' losses
    double of_a_line                    # what a line counts in the sum over the rows: 1 / lines of a mean, else 1
    Py_ssize_t lines
    Py_ssize_t width
    Py_ssize_t units                    # lines x width
    Py_ssize_t targets                  # in a row
    Py_ssize_t y_start                  # its first target in a row of y
    Py_ssize_t first_line               # among the lines of all outputs
    float* y                            # the batch's targets and weights, in the batch's order
    float* weight
    float* present                      # 1 for each line that a metric without weights counts, 0 for others
    float* probabilities                # what a loss from logits makes of them
    Bounds bounds                       # of the targets that the loss and the metrics have a meaning for
    bint measured                       # a metric of it counts lines whatever they weigh
    double total                        # loss of the run's lines
    double total_before                 # the same before the batch that is under way


cdef struct Metric:
    Py_ssize_t objective                # whose output it measures
    bint weighted
    types.loss32 rows                   # of a mean over the lines, or NULL
    double numbers[MAX_NUMBERS]
    bint from_logits
    types.accumulator32 accumulate      # of one that gathers whole batches, or NULL
    const double* own_numbers
    void* python
    double* state                       # of the run: sum and weight of a mean; then what it was before the batch
    Py_ssize_t size


cdef class Objectives(Arena):
    cdef readonly Py_ssize_t targets    # numbers in a row of y
    cdef readonly Py_ssize_t lines      # in a row of all outputs
    cdef Objective* objectives
    cdef Py_ssize_t objective_count
    cdef Metric* metrics
    cdef Py_ssize_t metric_count
    cdef readonly list states           # each metric's, float64: sum and weight of a mean
    cdef list line_shapes               # of each output: how its lines lie, for code in Python
    cdef list kept_alive
    cdef double* parts                  # sums of blocks of rows: of each objective, then of each metric
    cdef Py_ssize_t blocks              # that there is room for in parts, for each
    cdef bint weighs_lines              # this run's weights are by line, not by row
    cdef bint has_whole_losses          # that one thread works out
    cdef bint loss_waits                # for the whole batch, in this run
    cdef int meaningless                # a target of this run's last batch is beyond its bounds

    cdef int add_objective(self, Objective* objective, Op op, description, mask) except -1
    cdef int add_metric(self, Metric* metric, Py_ssize_t objective, description) except -1
    cdef int clear_objectives(self) except -1
    cdef int take_x(self, Rows* rows, x) except -1
    cdef int page(self, Rows* rows, x, y, weight, order) except -1
    cdef int begin_objectives(self, bint loss_follows) except -1
    cdef void clear_logs(self) noexcept nogil
    cdef void collect(self, const Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void collect_sparse(self, const Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void collect_targets(self, Objective* objective, const Rows* rows, Py_ssize_t start, Py_ssize_t r0,
                              Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void check_targets(self, Objective* objective, bint weighted, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void take_mask(self, Objective* objective, bint weighted, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void hide_absent_rows(self, const Rows* rows, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef double share_of(self, const Objective* objective, Py_ssize_t count, bint weighted) noexcept nogil
    cdef void losses(self, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1, bint weighted, bint slopes) noexcept nogil

    @cython.final
    cdef void measure(self, Py_ssize_t r0, Py_ssize_t r1, bint weighted, bint slopes, bint late) noexcept nogil
    cdef void late_losses(self, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void losses_of(self, Py_ssize_t k, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1, bint weighted,
                        bint slopes) noexcept nogil
    cdef void whole_losses(self, Py_ssize_t count, bint weighted, bint slopes) noexcept nogil

    @cython.final
    cdef double whole_loss(self, Py_ssize_t k, const float* weight, float* d, Py_ssize_t count,
                           double scale) noexcept nogil
    cdef object lines_of(self, const float* start, Py_ssize_t count, Py_ssize_t k, tuple last)
    cdef object weights_of(self, Py_ssize_t k, Py_ssize_t count)

    @cython.final
    cdef double sum_of_parts(self, Py_ssize_t which, Py_ssize_t count, double total=*) noexcept nogil
    cdef double sum_of_losses(self, Py_ssize_t count, bint weighted) noexcept nogil
    cdef void add_logs(self, Py_ssize_t count, bint weighted) noexcept nogil
    cdef void keep_logs(self, bint back) noexcept nogil

    @cython.final
    cdef void add_python_metric(self, Metric* metric, Py_ssize_t count, bint weighted) noexcept nogil
    cdef double sum_of_totals(self) noexcept nogil
