from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport uint64_t

cimport fastnn.kernels.types as types
from fastnn.engine.ops cimport Op
from fastnn.engine.pace cimport Pace
from fastnn.kernels.kernel cimport LossKernel, MAX_NUMBERS, Numbers


cdef enum:
    LINE = 16                           # floats in a cache line
    MAX_SLOTS = 4
    GRAIN = 16                          # rows whose losses are added up together, whoever works on them


cdef struct Score:
    # A loss or a metric with its numbers.
    types.loss32 rows
    double numbers[MAX_NUMBERS]


cdef struct Penalty:
    # L1 and L2 on parameters start:stop.
    Py_ssize_t start
    Py_ssize_t stop
    double l1
    double l2


cdef struct Piece:
    # Parameters p0:p1 of an op, as the team shares them out.
    Py_ssize_t op
    Py_ssize_t p0
    Py_ssize_t p1
    Py_ssize_t start                    # where p0 lies in the flat vector


cdef class Arena:
    cdef readonly tuple ops
    cdef readonly object parameters
    cdef readonly object gradients
    cdef readonly list slots
    cdef readonly Py_ssize_t inputs
    cdef readonly Py_ssize_t units
    cdef public long long iterations    # optimizer steps done
    cdef public uint64_t seed           # of dropout's random numbers
    cdef public object owned_by         # whoever set the loss and the optimizer last

    cdef Py_ssize_t count
    cdef void** op_list                 # the ops again, for code without the GIL
    cdef Op last
    cdef Py_ssize_t parameter_count     # in the flat vector, padding included
    cdef float* w
    cdef float* g
    cdef const float** w_rows           # of all ops
    cdef Piece* pieces
    cdef Py_ssize_t piece_count
    cdef Py_ssize_t workspace_size      # of one member's multiplies
    cdef Py_ssize_t chunk               # rows that go through all ops together
    cdef Py_ssize_t width               # numbers in a row of all ops together
    cdef int members                    # of the team, in the run that holds the lock
    cdef Pace fit_pace
    cdef Pace forward_pace
    cdef int workspaces                 # that there are
    cdef object workspace_array         # of each member, one after the other
    cdef float* workspace

    cdef object arena                   # the activations
    cdef Py_ssize_t capacity            # rows that it has room for
    cdef const float** addresses        # of rows: the batch's input, each op's output, each op's gradient
    cdef float* probabilities           # what a loss from logits makes of them
    cdef float* batch_y                 # the batch's targets and weights, in the batch's order
    cdef float* batch_weight
    cdef const float* zeros             # a row of them

    cdef Score loss
    cdef bint loss_is_fused             # it takes the last op's place in applying the activation
    cdef bint loss_keeps_output         # it reads logits: its probabilities are not the network's output
    cdef Py_ssize_t targets             # numbers in a row of y
    cdef Score* metrics
    cdef double* metric_sums
    cdef Py_ssize_t metric_count
    cdef double* parts                  # sums of GRAIN rows: of the loss, then of each metric
    cdef Py_ssize_t blocks              # that there is room for in parts, for the loss and each metric
    cdef double* penalty_parts          # of each piece
    cdef Penalty* penalties
    cdef Py_ssize_t penalty_count
    cdef types.penalty32 penalty

    cdef types.step32 optimizer
    cdef Numbers optimizer_numbers
    cdef float* slot_list[MAX_SLOTS]

    cdef PyThread_type_lock lock
    cdef int forks                      # before it was made
    cdef unsigned long owner            # the thread that holds it, 0 for none
    cdef unsigned long long float_state  # of that thread, from before
    cdef object pending
    cdef object progress
    cdef double next_tick

    cdef int _set_loss(self, LossKernel kernel, numbers, Py_ssize_t targets, bint fused, bint from_logits,
                       metrics, penalties) except -1
    cdef int find_rows_of_weights(self) except -1
    cdef int cut(self) except -1
    cdef int reserve(self, Py_ssize_t rows) except -1
    cdef int enter(self) except -1
    cdef int prepare(self, Py_ssize_t rows, Py_ssize_t batch, bint training, bint loss_follows, progress) except -1
    cdef int useful_members(self, Py_ssize_t rows, Py_ssize_t batch, bint training) noexcept
    cdef int leave(self) except -1
    cdef bint tick(self, Py_ssize_t done) noexcept nogil
