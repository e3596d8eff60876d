from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport uint64_t

cimport fastnn.kernels.types as types
from fastnn.engine.ops cimport Op
from fastnn.engine.pace cimport Pace


cdef enum:
    LINE = 16                           # floats in a cache line
    GRAIN = 16                          # rows whose losses are added up together, whoever works on them


cdef Py_ssize_t padded(Py_ssize_t n) noexcept


cdef class Arena:
    cdef readonly tuple ops
    cdef readonly tuple sources         # of each op: i for op i's output, -1 - k for input k
    cdef readonly tuple input_widths
    cdef readonly tuple outputs         # places of the ops whose outputs the network gives
    cdef readonly object parameters
    cdef readonly Py_ssize_t inputs     # numbers in a row of all inputs
    cdef readonly Py_ssize_t units      # numbers in a row of all outputs
    cdef public uint64_t seed           # of dropout's random numbers

    cdef Py_ssize_t count
    cdef void** op_list                 # the ops again, for code without the GIL
    cdef Py_ssize_t parameter_count     # of all ops, padding included
    cdef float* w
    cdef const float** w_rows           # of all ops
    cdef Py_ssize_t workspace_size      # of one member's multiplies
    cdef Py_ssize_t chunk               # rows that go through all ops together
    cdef Py_ssize_t width               # numbers in a row of all ops together
    cdef Py_ssize_t* cuts               # ops at which the batch must be whole: 0, each op in which rows mix, `count`
    cdef Py_ssize_t segments            # between them
    cdef bint takes_gil                 # some op, loss or metric runs Python
    cdef int members                    # of the team, in the run that holds the lock
    cdef Pace fit_pace
    cdef Pace forward_pace
    cdef int workspaces                 # that there are
    cdef object workspace_array         # of each member, one after the other
    cdef float* workspace

    cdef object arena                   # the activations
    cdef Py_ssize_t capacity            # rows that it has room for
    cdef const float** addresses        # of rows: each input's, each op's output, each op's gradient
    cdef Py_ssize_t input_count
    cdef Py_ssize_t* input_starts       # in a row of x
    cdef const float* zeros             # a row of them

    # An op's place among the sources of all ops is an edge.
    cdef const float*** edge_rows       # addresses of the rows that come in by it
    cdef float** edge_d                 # where their gradient goes, NULL where nobody asks
    cdef list edges                     # (op, place among its sources) in the order of the ops
    cdef list readers                   # of each op: the edges, or ~output, that take its output
    cdef list wants                     # of each op: whether a gradient by its output is needed
    cdef bint* wanted                   # the same
    cdef float** extra_d                # an op with n readers has n - 1 gradients beside d, to be added to it
    cdef Py_ssize_t* extra_starts       # of each op, in extra_d; and the end
    cdef Py_ssize_t* output_places
    cdef Py_ssize_t output_count
    cdef float** output_d               # where the gradient by each output goes, NULL where nobody asks
    cdef types.vector32 add

    cdef PyThread_type_lock lock
    cdef int forks                      # before it was made
    cdef unsigned long owner            # the thread that holds it, 0 for none
    cdef bint flushes                   # denormals, while it runs
    cdef unsigned long long float_state  # of that thread, from before
    cdef object pending
    cdef object progress
    cdef double next_tick
    cdef int trouble                    # 1 + number of an op that could not go on

    cdef int find_rows_of_weights(self) except -1
    cdef int find_edges(self) except -1
    cdef int find_cuts(self) except -1
    cdef int ask_for_gradients(self, frozen) except -1
    cdef Py_ssize_t extra_space(self, Py_ssize_t rows)
    cdef float* take_extra(self, float* space, Py_ssize_t rows)
    cdef int reserve(self, Py_ssize_t rows) except -1
    cdef float* reserve_op(self, Op op, float* space, Py_ssize_t rows)
    cdef int point_edges(self, Py_ssize_t rows) except -1
    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef bint tick(self, Py_ssize_t done) noexcept nogil
