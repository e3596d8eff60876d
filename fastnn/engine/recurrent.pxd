from libc.stdint cimport uint64_t

cimport fastnn.kernels.types as types
from fastnn.engine.ops cimport Op, Step
from fastnn.kernels.kernel cimport Kernel, Numbers


cdef enum:
    MOST_ROWS = 64                      # that go through the steps together


cdef struct Rows:
    # Some rows at one step.
    Py_ssize_t first
    Py_ssize_t n
    Py_ssize_t step
    const float* h[MOST_ROWS]           # their state before it
    const float* before[MOST_ROWS]      # and as the products have it: with what dropout leaves
    const float* lines[MOST_ROWS]       # their gates


cdef class RecurrentOp(Op):
    cdef Py_ssize_t steps
    cdef Py_ssize_t features   # numbers in a step of x
    cdef Py_ssize_t hidden     # numbers of the state
    cdef Py_ssize_t columns    # of both kernels
    cdef bint use_bias
    cdef bint sequences
    cdef bint states
    cdef bint reverse
    cdef double rate           # of what dropout takes from the state
    cdef Py_ssize_t line                # numbers that a step has for its gates
    cdef Py_ssize_t split               # columns from here on stand at the end of a line, for x
    cdef Py_ssize_t joined              # columns that one product with the state gives; those behind have their own
    cdef Py_ssize_t biases              # rows of it
    cdef Py_ssize_t outputs             # numbers of a row before the states
    cdef bint raw                       # activations other than those of the fused kernel: z is saved too
    cdef int initial                    # states that come by edges
    cdef bint reset_after
    cdef Py_ssize_t arrays_of_state
    cdef Kernel unit_kernel
    cdef Kernel gate_kernel
    cdef Kernel cell_kernel             # of an LSTM or a GRU
    cdef Numbers unit_numbers
    cdef Numbers gate_numbers
    cdef types.activation_forward32 unit
    cdef types.activation_forward32 gate
    cdef types.activation_backward32 unit_slopes
    cdef types.activation_backward32 gate_slopes
    cdef uint64_t own_key
    cdef bint seeded
    cdef object arrays
    cdef const float* zeros
    cdef const float* ones

    cdef types.gemm32 matmul
    cdef types.gemm32 matmul_packed
    cdef types.gemm32 matmul_transposed_a
    cdef types.sum32 column_sums
    cdef types.sum32 pack
    cdef types.sum32 pack_turned
    cdef types.noise32 noise
    cdef types.cell32 cell
    cdef types.cell32 cell_slopes

    # Blocks of all rows, set by `placed`.
    cdef float* gates                   # (rows, steps, line)
    cdef float* z_raw                   # the same before the activations
    cdef float* c                       # (rows, steps, hidden), as the next two
    cdef float* squashed
    cdef float* masked                  # the state before each step, with what dropout leaves
    cdef float* mask                    # (rows, hidden)
    cdef float* h
    cdef Py_ssize_t h_row               # from a row's to the next one's
    cdef float* d_h                     # (rows, hidden)
    cdef float* d_c

    cdef void arrange(self) noexcept
    cdef float* workspace(self, const Step* step) noexcept nogil
    cdef float* panels(self, const Step* step) noexcept nogil
    cdef float* temporary(self, const Step* step) noexcept nogil
    cdef float* bias(self, const Step* step) noexcept nogil
    cdef const float* state_weights(self) noexcept nogil
    cdef float* line_of(self, Py_ssize_t row, Py_ssize_t s) noexcept nogil
    cdef bint drops(self, const Step* step) noexcept nogil
    cdef const float* state_before(self, Py_ssize_t row, Py_ssize_t s) noexcept nogil
    cdef const float* cell_before(self, Py_ssize_t row, Py_ssize_t s) noexcept nogil
    cdef Py_ssize_t lines_of_x(self, Py_ssize_t line, Py_ssize_t end, const float** space,
                               const float* const** addresses) noexcept nogil
    cdef void find(self, const Step* step, Rows* rows, bint back) noexcept nogil
    cdef void times(self, const Step* step, Rows* rows, const float* const* a, Py_ssize_t first, Py_ssize_t c0,
                    Py_ssize_t c1, Py_ssize_t at, const float* packed) noexcept nogil
    cdef const float* bias_of_x(self, const Step* step) noexcept nogil
    cdef void products_of_x(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef void draw(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef Py_ssize_t rows_together(self, Py_ssize_t left) noexcept nogil
    cdef void forward_step(self, const Step* step, Rows* rows, const float* packed) noexcept nogil
    cdef void turn(self, const float* w, Py_ssize_t rows, Py_ssize_t split, float* out) noexcept nogil
    cdef void times_turned(self, const Step* step, Rows* rows, const float* turned, bint add) noexcept nogil
    cdef void take_d(self, Rows* rows, bint last) noexcept nogil
    cdef void begin_backward(self, Py_ssize_t row) noexcept nogil
    cdef void give_d_x(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1, const float* turned) noexcept nogil
    cdef void backward_step(self, const Step* step, Rows* rows, const float* turned) noexcept nogil
    cdef Py_ssize_t states_before(self, const Step* step, Py_ssize_t line, Py_ssize_t end,
                                  const float** space) noexcept nogil
    cdef void add_product(self, const Step* step, const float* const* a, Py_ssize_t first, Py_ssize_t at,
                          Py_ssize_t line, float* g, Py_ssize_t m, Py_ssize_t columns, Py_ssize_t n) noexcept nogil
