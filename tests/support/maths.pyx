"""The elementary functions of fastnn/kernels/maths.pxd, on arrays at addresses: x (n,) -> a (n,)."""

cimport fastnn.kernels.maths as maths
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


# name -> the addresses of its float32 and its float64 function
ADDRESSES = {
    "exp": (<size_t>&exp_values[float], <size_t>&exp_values[double]),
    "expm1_negative": (<size_t>&expm1_negative_values[float], <size_t>&expm1_negative_values[double]),
    "log": (<size_t>&log_values[float], <size_t>&log_values[double]),
    "tanh": (<size_t>&tanh_values[float], <size_t>&tanh_values[double]),
    "sigmoid": (<size_t>&sigmoid_values[float], <size_t>&sigmoid_values[double]),
    "softplus": (<size_t>&softplus_values[float], <size_t>&softplus_values[double]),
    "normal_tail": (<size_t>&normal_tail_values[float], <size_t>&normal_tail_values[double]),
}
