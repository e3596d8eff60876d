"""What a network is made of once it is built: each layer's arithmetic on rows and on parameters.

An op has three methods, all without the GIL and without memory of their own:

forward(rows r0:r1)          x -> a
backward(rows r0:r1)         d enters as dL/da, leaves as dL/dz; dL/dx goes to d_x where somebody wants it
gradient(parameters p0:p1)   dL/dw over all rows of the batch, into g

Rows are independent in the first two, parameters in the third, so that threads can share either. An op in which rows
mix (BatchNormalization) has two more, which see the whole batch while no member is at work on its rows:

before_forward(shares s0:s1)    in training, when all rows of x are there
before_backward(shares s0:s1)   when all rows of d are there

and an op that changes something of its own at each step has `settle`, called once a batch is accepted: a batch whose
loss is not finite changes nothing. An op that cannot go on sets step.trouble; `explain` then gives the exception.
"""

from libc.string cimport memcpy

from fastnn.kernels.kernel cimport BACKWARD, FORWARD, Kernel, Numbers, float32_of

from fastnn import kernels


cdef Py_ssize_t LARGEST = 2**48          # parameters: far from overflow, beyond any memory


cdef class Op:
    """One step of a network: rows of `inputs` numbers in, rows of `units` numbers out, `size` parameters."""

    cdef Py_ssize_t keeps(self) noexcept:
        """Numbers a row that it keeps in z, beside its output."""
        return 0

    cdef Py_ssize_t holds(self) noexcept:
        """Numbers that it holds for a whole batch, whatever the rows."""
        return 0

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        pass

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        pass

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        pass

    cdef void before_forward(self, const Step* step, Py_ssize_t s0, Py_ssize_t s1) noexcept nogil:
        pass

    cdef void before_backward(self, const Step* step, Py_ssize_t s0, Py_ssize_t s1) noexcept nogil:
        pass

    cdef void settle(self, const Step* step) noexcept nogil:
        pass

    cdef object explain(self):
        return RuntimeError(f"op {self.number} could not go on")


cdef class Activated(Op):
    """An op that ends in an activation, a = f(z). A linear one writes z straight into a."""

    def __cinit__(self, *args, Kernel activation=None, numbers=(), **kwargs):
        self.kernel = kernels.linear if activation is None else activation
        self.numbers = Numbers(numbers)
        self.activation_forward = <types.activation_forward32>float32_of(self.kernel, "activation", FORWARD)
        self.activation_backward = <types.activation_backward32>float32_of(self.kernel, "activation", BACKWARD)

    cdef Py_ssize_t keeps(self) noexcept:
        return 0 if self.kernel is kernels.linear else self.units

    cdef void activate(self, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units
        if self.a != self.z and not self.raw:
            self.activation_forward(self.z + start, self.a + start, self.numbers.values, r1 - r0, self.units)

    cdef void deactivate(self, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units
        if self.a != self.z and not self.raw:
            self.activation_backward(
                self.z + start, self.a + start, self.d + start, self.numbers.values, r1 - r0, self.units)


cdef class DenseOp(Activated):
    """z = x.W + b, a = f(z). Parameters: W row by row, (inputs, units), then b, (units,)."""

    def __init__(self, Py_ssize_t inputs, Py_ssize_t units, bint use_bias=True, activation=None, numbers=()):
        if inputs < 1 or units < 1 or units > LARGEST // (inputs + 1):
            raise ValueError(f"a dense op of {inputs} inputs and {units} units cannot be")
        self.widths, self.inputs, self.units, self.use_bias = (inputs,), inputs, units, use_bias
        self.size = (inputs + use_bias) * units
        self.granule = units
        self.matmul = <types.gemm32>float32_of(kernels.gemm, "gemm")
        self.matmul_transposed_a = <types.gemm32>float32_of(kernels.gemm_transposed_a, "gemm")
        self.matmul_transposed_b = <types.gemm32>float32_of(kernels.gemm_transposed_b, "gemm")
        self.column_sums = <types.sum32>float32_of(kernels.column_sums, "sum")

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* bias = self.w + self.inputs * self.units if self.use_bias else NULL
        self.matmul(self.x + r0, 0, self.w, self.units, bias, self.z + r0 * self.units, self.units,
                    r1 - r0, self.units, self.inputs, step.workspace)
        self.activate(r0, r1)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        self.deactivate(r0, r1)
        if self.d_x == NULL:
            return
        if step.rows == 1 and self.w_rows != NULL:      # W.d for the only row: turning W would cost more than the rest
            self.matmul(self.w_rows, 0, self.d, 1, NULL, self.d_x, 1, self.inputs, 1, self.units, step.workspace)
        else:
            self.matmul_transposed_b(self.d_rows + r0, 0, self.w, self.units, NULL, self.d_x + r0 * self.inputs,
                                     self.inputs, r1 - r0, self.inputs, self.units, step.workspace)

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        # The bias is row number `inputs` of the parameters.
        cdef Py_ssize_t first = p0 // self.units, last = p1 // self.units
        cdef Py_ssize_t end = min(last, self.inputs)
        if first < end:
            self.matmul_transposed_a(
                self.x, first, self.d, self.units, NULL, self.g + first * self.units, self.units,
                end - first, self.units, step.rows, step.workspace)
        if last > self.inputs:
            self.column_sums(self.d, self.units, step.rows, self.units, self.g + self.inputs * self.units)


cdef class ActivationOp(Activated):
    """a = f(x), an activation as a layer of its own."""

    def __init__(self, Py_ssize_t units, activation=None, numbers=()):
        self.widths, self.inputs, self.units = (units,), units, units

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row
        for row in range(r0, r1):
            memcpy(self.z + row * self.units, self.x[row], self.units * sizeof(float))
        self.activate(r0, r1)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t start = r0 * self.units
        self.deactivate(r0, r1)
        if self.d_x != NULL:
            memcpy(self.d_x + start, self.d + start, (r1 - r0) * self.units * sizeof(float))
