cimport cython
cimport fastnn.kernels.types as types
from fastnn.engine.objectives cimport Objectives
from fastnn.engine.ops cimport Step
from fastnn.kernels.kernel cimport MAX_NUMBERS, Numbers


cdef enum:
    MAX_SLOTS = 6                       # an optimizer's four, the gradients' sum, the weights' average


cdef struct Variable:
    # A parameter that learns, start:stop of the flat vector.
    Py_ssize_t start
    Py_ssize_t stop
    Py_ssize_t first_piece
    Py_ssize_t piece_stop
    double l1
    double l2
    bint decays
    double factor                       # of its gradient, by the norm that it is clipped to
    Py_ssize_t columns                  # as a matrix
    types.matrix_penalty32 penalty      # or NULL
    double penalty_numbers[MAX_NUMBERS]
    float* slopes                       # of that penalty, and its workspace
    double value
    types.constraint32 constraint       # or NULL
    double constraint_numbers[MAX_NUMBERS]
    Py_ssize_t nth                      # not of this one: the number of the variable that was given in its place


cdef struct Piece:
    # Parameters p0:p1 of an op, as the team shares them out; no more than one variable's.
    Py_ssize_t op
    Py_ssize_t p0
    Py_ssize_t p1
    Py_ssize_t start                    # where p0 lies in the flat vector
    Py_ssize_t before                   # parameters of all pieces before it
    Py_ssize_t variable
    bint joined                         # it follows the piece before it without a gap but padding
    Py_ssize_t padding                  # numbers behind it that belong to nobody: a step over them is no harm


cdef class Learning(Objectives):
    cdef readonly object gradients
    cdef readonly list slots
    cdef public long long iterations    # batches that were accepted
    cdef public object owned_by         # which trainer set the objectives and the optimizer last
    cdef float* g
    cdef list twin_gradients            # of ops that share their parameters with one before them
    cdef void** twins                   # of each op: the next one that has the same parameters, or NULL

    cdef Variable* variables
    cdef Py_ssize_t variable_count
    cdef Piece* pieces
    cdef Py_ssize_t piece_count
    cdef Py_ssize_t learnt              # parameters of all pieces
    cdef bint has_penalties
    cdef bint has_matrix_penalties
    cdef bint has_constraints
    cdef list kept_matrices             # slopes of matrix penalties
    cdef double* penalty_parts          # of each piece
    cdef double* squares                # of each piece's gradient
    cdef types.penalty32 penalty

    cdef types.step32 optimizer
    cdef Numbers optimizer_numbers
    cdef float* slot_list[MAX_SLOTS]
    cdef int slot_count                 # the optimizer's own
    cdef float* sum_of_gradients        # NULL without accumulation
    cdef float* average                 # of the weights, or NULL
    cdef long long accumulation         # batches whose gradients make one step
    cdef double weight_decay
    cdef double clip_value              # these three: 0 for no clipping
    cdef double clip_norm
    cdef double clip_global_norm
    cdef double average_momentum
    cdef long long overwrite            # steps after which the average replaces the weights, 0 for never
    cdef types.vector32 take_mean
    cdef types.vector32 clip
    cdef types.vector32 scale
    cdef types.vector32 decay
    cdef types.vector32 take_average
    cdef types.vector32 sum_of_squares

    cdef int find_twins(self) except -1
    cdef int add_variable(self, Variable* variable, description) except -1
    cdef int cut_into_pieces(self, variables) except -1
    cdef int clear_variables(self) except -1
    cdef Py_ssize_t first_piece(self, int member, int members) noexcept nogil

    @cython.final
    cdef Py_ssize_t block_size(self, Py_ssize_t op, Py_ssize_t rows) noexcept nogil
    cdef void learn(self, const Step* step, double rate, bint update, Py_ssize_t piece, Py_ssize_t stop, int member,
                    int members) noexcept nogil

    @cython.final
    cdef Py_ssize_t find_gradient(self, const Step* step, Py_ssize_t piece, Py_ssize_t stop) noexcept nogil

    @cython.final
    cdef void find_factors(self, Py_ssize_t first, Py_ssize_t stop, int member, int members) noexcept nogil

    @cython.final
    cdef void step_pieces(self, const Step* step, double rate, Py_ssize_t piece, Py_ssize_t stop) noexcept nogil

    @cython.final
    cdef void shrink(self, Py_ssize_t piece, Py_ssize_t stop, double rate) noexcept nogil

    @cython.final
    cdef void follow(self, const Step* step, Py_ssize_t start, Py_ssize_t n) noexcept nogil

    @cython.final
    cdef void update(self, const Step* step, double rate, Py_ssize_t start, Py_ssize_t n) noexcept nogil
    cdef double penalise(self, Py_ssize_t piece) noexcept nogil

    @cython.final
    cdef void penalise_matrices(self, int member, int members) noexcept nogil

    @cython.final
    cdef void constrain(self, int member, int members) noexcept nogil
    cdef double sum_of_penalties(self) noexcept nogil
    cdef double over_pieces(self, const double* parts, const Variable* variable) noexcept nogil
