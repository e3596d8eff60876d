from libc.stdint cimport uint64_t

cimport fastnn.kernels.types as types
from fastnn.kernels.kernel cimport Kernel, Numbers


cdef struct Step:
    # What the ops of one batch need to know of it; each member of the team has its own.
    Py_ssize_t rows
    bint training
    long long number                    # of the optimizer's step, from 1
    uint64_t key                        # of this step's random numbers
    float* workspace                    # of this member's multiplies
    int* trouble                        # 1 + number of an op that cannot go on, 0 while all is well


cdef class Op:
    cdef readonly tuple widths          # numbers in a row of each source that it reads
    cdef readonly Py_ssize_t inputs     # and of all together
    cdef readonly Py_ssize_t units      # numbers in a row that it gives
    cdef readonly Py_ssize_t size       # parameters
    cdef readonly Py_ssize_t granule    # parameters come in whole multiples of this
    cdef readonly Py_ssize_t shares     # of the work on a whole batch; 0 where rows do not mix
    cdef readonly bint takes_gil        # it runs Python: its network works on one thread
    cdef readonly bint settles          # it has something to do once a batch is accepted
    cdef readonly Py_ssize_t start      # where the parameters begin in the flat vector
    cdef readonly bint frozen           # the parameters do not learn
    cdef Py_ssize_t number              # place in the network

    # Set by the network; the buffers have room for the largest batch.
    cdef const float** x                # addresses of the rows read
    cdef const float*** xs              # the same of each source
    cdef float* z                       # what `keeps` asked for, (batch, keeps)
    cdef float* held                    # what `holds` asked for
    cdef float* a                       # rows given, (batch, units)
    cdef float* d                       # gradient by a; backward turns it into the gradient by z
    cdef const float** d_rows           # addresses of its rows
    cdef float* d_x                     # where the gradient by x goes; NULL where nobody asks
    cdef float** d_xs                   # the same of each source
    cdef float* w
    cdef const float** w_rows           # addresses of its rows of `granule` numbers; NULL before and in narrow layers
    cdef float* g

    cdef Py_ssize_t keeps(self) noexcept
    cdef Py_ssize_t holds(self) noexcept
    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil
    cdef void before_forward(self, const Step* step, Py_ssize_t s0, Py_ssize_t s1) noexcept nogil
    cdef void before_backward(self, const Step* step, Py_ssize_t s0, Py_ssize_t s1) noexcept nogil
    cdef void settle(self, const Step* step) noexcept nogil
    cdef object explain(self)


cdef class Activated(Op):
    cdef readonly Kernel kernel
    cdef Numbers numbers
    cdef bint raw                       # the loss applies the activation: leave it out
    cdef types.activation_forward32 activation_forward
    cdef types.activation_backward32 activation_backward

    cdef void activate(self, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef void deactivate(self, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil


cdef class DenseOp(Activated):
    cdef readonly bint use_bias
    cdef types.gemm32 matmul
    cdef types.gemm32 matmul_transposed_a
    cdef types.gemm32 matmul_transposed_b
    cdef types.sum32 column_sums


cdef class ActivationOp(Activated):
    pass
