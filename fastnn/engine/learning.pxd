cimport cython
cimport fastnn.kernels.types as types
from fastnn.engine.added_losses cimport AddedLosses
from fastnn.engine.ops cimport Op, Step
from fastnn.kernels.kernel cimport Kernel, MAX_NUMBERS


cdef enum:
    GROUP = 16384                       # parameters whose gradient is made in one go, to stay in cache


cdef enum Barrier:
    # Where the threads of the team wait for one another; what each must have done before is
    ROWS                                # its rows, forward and back
    SUMS                                # its share of a whole-batch op or loss
    PENALTIES                           # its penalties of whole matrices
    GRADIENTS                           # the gradients of its parameters, and their check
    SQUARES                             # the squares of these, for clipping by a norm
    STEPS                               # its gradients clipped, where a step takes whole variables
    WEIGHTS                             # its steps, where constraints follow
    PARAMETERS                          # all that changes its parameters


cdef struct Variable:
    # A parameter that learns, start:stop of the flat vector.
    Py_ssize_t start
    Py_ssize_t stop
    Py_ssize_t first_block
    Py_ssize_t block_stop
    double l1
    double l2
    bint decays
    double decay                        # of its own, or -1
    Py_ssize_t columns                  # as a matrix
    Py_ssize_t rows                     # its last two axes, as a step of the whole reads it: a vector is one row
    Py_ssize_t row_size
    bint matrix                         # which of its two ways an optimizer takes
    types.matrix_penalty32 penalty      # or NULL
    double penalty_numbers[MAX_NUMBERS]
    float* slopes                       # of that penalty, and its workspace; of one in Python; or NULL
    double value
    types.constraint32 constraint       # or NULL
    double constraint_numbers[MAX_NUMBERS]


cdef struct Block:
    # Parameters p0:p1 of an op, as the team shares them out; no more than one variable's.
    Py_ssize_t op
    Py_ssize_t p0
    Py_ssize_t p1
    Py_ssize_t start                    # where p0 lies in the flat vector
    Py_ssize_t before                   # parameters of all blocks before it
    double work_before                  # operations of their gradients, for each row
    Py_ssize_t variable
    bint joined                         # it follows the block before it without a gap but padding
    Py_ssize_t padding                  # numbers behind it that belong to nobody: a step over them is no harm


cdef types.vector32 vector_of(Kernel kernel) except NULL


cdef class Learning(AddedLosses):
    cdef readonly object gradients
    cdef public long long iterations    # batches that were accepted
    cdef public object owned_by         # the trainer that set the objectives and the optimizer last
    cdef float* g
    cdef list shared_gradients          # of ops that share their parameters with one before them
    cdef void** next_shared             # of each op: the next one that has the same parameters, or NULL

    cdef Variable* variables
    cdef Py_ssize_t variable_count
    cdef Py_ssize_t* given_order        # of the variables as they were given: their numbers in `variables`
    cdef Block* blocks
    cdef Py_ssize_t block_count
    cdef Py_ssize_t learnt              # parameters of all blocks
    cdef double gradient_work           # operations of all their gradients, for each row
    cdef bint has_penalties
    cdef bint has_matrix_penalties
    cdef bint has_constraints
    cdef list kept_matrices             # slopes of matrix penalties
    cdef double* penalty_parts          # of each block
    cdef double* squares                # of each block's gradient
    cdef types.penalty32 penalty
    cdef int not_finite                 # whether a gradient of the last batch is not

    cdef public int huge                # whether a gradient was, since the optimizer was set
    cdef types.vector32 largest

    cdef Barrier delayed_barrier        # of a test: a thread that is late after one of the barriers, by so many seconds
    cdef int delayed_thread
    cdef readonly int delays             # how often it was
    cdef double delay

    cdef int find_shared(self) except -1
    cdef int add_variable(self, Variable* variable, description) except -1
    cdef double work_of(self, Op op) noexcept
    cdef int cut_into_blocks(self, variables) except -1
    cdef int clear_variables(self) except -1
    cdef void wait_for_all(self, Barrier number, int thread, int threads) noexcept nogil

    @cython.final
    cdef inline void wait(self, Barrier number, int thread, int threads) noexcept nogil:
        """Wait until all threads are at this barrier."""
        if threads > 1:
            self.wait_for_all(number, thread, threads)

    cdef Py_ssize_t first_block(self, Py_ssize_t rows, int thread, int threads) noexcept nogil

    @cython.final
    cdef Py_ssize_t group_size(self, Py_ssize_t op, Py_ssize_t rows) noexcept nogil

    @cython.final
    cdef void find_gradients(self, const Step* step, Py_ssize_t block, Py_ssize_t stop, int thread,
                             int threads) noexcept nogil

    @cython.final
    cdef Py_ssize_t find_gradient(self, const Step* step, Py_ssize_t block, Py_ssize_t stop) noexcept nogil
    cdef double penalise(self, Py_ssize_t block) noexcept nogil
    cdef void penalise_matrices(self, int thread, int threads) noexcept nogil
    cdef void constrain(self, int thread, int threads) noexcept nogil
    cdef double sum_of_penalties(self) noexcept nogil
    cdef double over_blocks(self, const double* parts, const Variable* variable) noexcept nogil
