"""The elementary functions of maths.pxd, on arrays: for tests and for curious users. The kernels use them in line.

x (n,) -> a (n,). The largest error of each stands beside its formula in maths.pxd.
"""

cimport fastnn.kernels.maths as maths
from fastnn.kernels.kernel cimport MathKernel
from fastnn.kernels.types cimport real


cdef void exp_values(const real* x, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = maths.exp(x[i])


cdef void expm1_negative_values(const real* x, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = maths.expm1_negative(x[i])


cdef void log_values(const real* x, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = maths.log(x[i])


cdef void tanh_values(const real* x, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = maths.tanh(x[i])


cdef void sigmoid_values(const real* x, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = maths.sigmoid(x[i])


cdef void softplus_values(const real* x, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = maths.softplus(x[i])


cdef void normal_tail_values(const real* x, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = maths.normal_tail(x[i], maths.normal_density(x[i]))


exp = MathKernel.make("exp", exp_values[float], exp_values[double])
expm1_negative = MathKernel.make("expm1_negative", expm1_negative_values[float], expm1_negative_values[double])
log = MathKernel.make("log", log_values[float], log_values[double])
tanh = MathKernel.make("tanh", tanh_values[float], tanh_values[double])
sigmoid = MathKernel.make("sigmoid", sigmoid_values[float], sigmoid_values[double])
softplus = MathKernel.make("softplus", softplus_values[float], softplus_values[double])
normal_tail = MathKernel.make("normal_tail", normal_tail_values[float], normal_tail_values[double])
