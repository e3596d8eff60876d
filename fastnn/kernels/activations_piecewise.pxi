"""The activations that are made of straight lines, and of a parabola between two of them.

Arguments and rules as in activations.pxi. The slope at a kink is that of one of the two lines that meet there.
"""

cimport libc.math as libc

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport checked, make_activation, real, wide


cdef void linear_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = z[i]


cdef void linear_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    pass


# Where a is z by name, a compiler sees that it may work on vectors.
cdef inline void relu_each(const real* z, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = <real>0 if z[i] < 0 else z[i]


cdef void relu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    if z == a:
        relu_each(a, a, rows * units)
    else:
        relu_each(z, a, rows * units)


cdef void relu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] if a[i] > 0 else <real>0


cdef void relu_bounded_forward(
        const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope = <real>p[0], threshold = <real>p[2], below
    cdef real cap = <real>(p[1] if p[1] >= 0 else libc.INFINITY)
    for i in range(rows * units):
        below = slope * (z[i] - threshold) if slope != 0 else <real>0   # -inf times 0 would be NaN
        a[i] = below if z[i] <= threshold else (cap if z[i] > cap else z[i])


cdef void relu_bounded_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope = <real>p[0], threshold = <real>p[2]
    cdef real cap = <real>(p[1] if p[1] >= 0 else libc.INFINITY)
    for i in range(rows * units):
        d[i] = d[i] * (slope if z[i] <= threshold else (<real>0 if z[i] > cap else <real>1))


cdef void leaky_relu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope = <real>p[0]
    for i in range(rows * units):
        a[i] = z[i] * (<real>1 if z[i] > 0 else slope)


cdef void leaky_relu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope = <real>p[0]
    for i in range(rows * units):
        d[i] = d[i] * (<real>1 if z[i] > 0 else slope)


cdef inline real between(real z, real low, real high) noexcept nogil:
    """1 where low < z < high, else 0."""
    return (<real>1 if z < high else <real>0) if z > low else <real>0


cdef inline real line(real z, real reach) noexcept nogil:
    """The line from (-reach, 0) to (reach, 1), 0 before it and 1 after it."""
    return maths.clipped(z + reach, <real>0, reach + reach) / (reach + reach)


cdef void clipped_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real low = <real>p[0], high = <real>p[1]
    for i in range(rows * units):
        a[i] = maths.clipped(z[i], low, high)


cdef void clipped_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real low = <real>p[0], high = <real>p[1]
    for i in range(rows * units):
        d[i] = d[i] * between(z[i], low, high)


cdef void clipped_line_forward(
        const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real reach = <real>p[0]
    for i in range(rows * units):
        a[i] = line(z[i], reach)


cdef void clipped_line_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real reach = <real>p[0], slope = <real>(0.5 / p[0])
    for i in range(rows * units):
        d[i] = d[i] * (slope * between(z[i], -reach, reach))


cdef void hard_silu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = <real>0 if z[i] <= -3 else z[i] * line(z[i], <real>3)


cdef void hard_silu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope
    for i in range(rows * units):
        slope = <real>1 if z[i] >= 3 else (z[i] + <real>1.5) / <real>3
        d[i] = d[i] * (<real>0 if z[i] <= -3 else slope)


cdef void hard_shrink_forward(
        const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real threshold = <real>p[0]
    for i in range(rows * units):
        a[i] = <real>0 if maths.absolute(z[i]) <= threshold else z[i]


cdef void soft_shrink_forward(
        const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real threshold = <real>p[0]
    for i in range(rows * units):
        a[i] = z[i] - maths.clipped(z[i], -threshold, threshold)


cdef void shrink_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real threshold = <real>p[0]
    for i in range(rows * units):
        d[i] = d[i] * (<real>0 if maths.absolute(z[i]) <= threshold else <real>1)


cdef void sparse_plus_forward(
        const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real part
    for i in range(rows * units):
        part = line(z[i], <real>1)
        a[i] = z[i] if z[i] >= 1 else part * part


cdef void sparse_plus_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] * line(z[i], <real>1)


cdef void threshold_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real threshold = <real>p[0], default = <real>p[1]
    for i in range(rows * units):
        a[i] = default if z[i] <= threshold else z[i]


cdef void threshold_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real threshold = <real>p[0]
    for i in range(rows * units):
        d[i] = d[i] * (<real>0 if z[i] <= threshold else <real>1)


make_activation(
    made, "linear", linear_forward[float], linear_backward[float], wide(linear_forward[double]),
    checked(linear_backward[double]))
make_activation(
    made, "relu", relu_forward[float], relu_backward[float], wide(relu_forward[double]), checked(relu_backward[double]),
    True)
make_activation(
    made, "relu_bounded", relu_bounded_forward[float], relu_bounded_backward[float], wide(relu_bounded_forward[double]),
    checked(relu_bounded_backward[double]))
make_activation(
    made, "leaky_relu", leaky_relu_forward[float], leaky_relu_backward[float], wide(leaky_relu_forward[double]),
    checked(leaky_relu_backward[double]))
make_activation(
    made, "clipped", clipped_forward[float], clipped_backward[float], wide(clipped_forward[double]),
    checked(clipped_backward[double]))
make_activation(
    made, "clipped_line", clipped_line_forward[float], clipped_line_backward[float], wide(clipped_line_forward[double]),
    checked(clipped_line_backward[double]))
make_activation(
    made, "hard_silu", hard_silu_forward[float], hard_silu_backward[float], wide(hard_silu_forward[double]),
    checked(hard_silu_backward[double]))
make_activation(
    made, "hard_shrink", hard_shrink_forward[float], shrink_backward[float], wide(hard_shrink_forward[double]),
    checked(shrink_backward[double]))
make_activation(
    made, "soft_shrink", soft_shrink_forward[float], shrink_backward[float], wide(soft_shrink_forward[double]),
    checked(shrink_backward[double]))
make_activation(
    made, "sparse_plus", sparse_plus_forward[float], sparse_plus_backward[float], wide(sparse_plus_forward[double]),
    checked(sparse_plus_backward[double]))
make_activation(
    made, "threshold", threshold_forward[float], threshold_backward[float], wide(threshold_forward[double]),
    checked(threshold_backward[double]))
