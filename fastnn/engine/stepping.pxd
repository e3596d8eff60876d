cimport cython
cimport fastnn.kernels.types as types
from fastnn.engine.learning cimport Learning, Variable
from fastnn.engine.ops cimport Step
from fastnn.kernels.kernel cimport Numbers


cdef enum:
    MAX_SLOTS = 6                       # an optimizer's four, the gradients' sum, the weights' average


cdef class Stepping(Learning):
    cdef readonly list slots
    cdef bint has_optimizer
    cdef types.step32 optimizer
    cdef types.step64 wide_optimizer    # takes its place once a gradient was huge
    cdef types.whole_step32 whole_step  # of an optimizer that takes whole variables, in place of these two
    cdef types.whole_step32 wide_whole_step
    cdef types.workspace_size workspace
    cdef bint decays_apart              # some variables have a weight decay of their own
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

    cdef int find_workspace(self) except -1
    cdef void take_steps(self, const Step* step, double rate, Py_ssize_t first, Py_ssize_t stop, int thread,
                         int threads) noexcept nogil

    @cython.final
    cdef void accumulate(self, Py_ssize_t first, Py_ssize_t stop, bint last) noexcept nogil

    @cython.final
    cdef double factor(self, const Variable* variable, double of_all) noexcept nogil

    @cython.final
    cdef void shrink(self, Py_ssize_t block, Py_ssize_t stop, double rate, double of_all) noexcept nogil

    @cython.final
    cdef void follow(self, const Step* step, Py_ssize_t start, Py_ssize_t n) noexcept nogil

    @cython.final
    cdef double number_of(self, const Step* step) noexcept nogil

    @cython.final
    cdef void update_whole(self, const Step* step, double rate, int thread, int threads) noexcept nogil

    @cython.final
    cdef void update(self, const Step* step, double rate, Py_ssize_t start, Py_ssize_t n) noexcept nogil
